"""The only door to ppdet: settings -> model, weights, preprocessing, one forward pass."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppdet_cam import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

import paddle  # isort: skip
from paddle import nn
from ppdet.core import workspace
from ppdet.core.config.schema import SchemaDict
from ppdet.data.reader import Compose
from ppdet.data.source.category import get_categories
from ppdet.utils.download import get_weights_path

from ppdet_cam.capture import (
    ROOT,
    Capture,
    Output,
    Watch,
    capturing,
    feature_maps,
    resolve_layer,
    watching,
    without_graph,
)
from ppdet_cam.device import choose_device
from ppdet_cam.errors import ConfigError, ImageError, UnknownNameError
from ppdet_cam.extractors import Extractor, families, family_name
from ppdet_cam.extractors.base import KeptRow, check_nms, recording_nms
from ppdet_cam.places import find_file
from ppdet_cam.reader import geometry_of, operations
from ppdet_cam.registry import closest
from ppdet_cam.settings import Tagged
from ppdet_cam.structures import CellStrides, Detection, Frame, ImageGeometry
from ppdet_cam.weights import check_fit, fit_report, load_state_dict, resolve_weights

log = logging.getLogger(__name__)

# What ppdet's reader operations pass on: an image's arrays and sizes by name. An operation on a batch takes a list.
Sample = dict[str, Any]
Operator = Callable[..., Any]

# Keys that ppdet's tools read beside the registered modules; an override may set them though no module has them.
TOOL_KEYS = frozenset(
    {
        "architecture",
        "weights",
        "pretrain_weights",
        "metric",
        "map_type",
        "num_classes",
        "filename",
        "epoch",
        "log_iter",
        "snapshot_epoch",
        "save_dir",
        "use_gpu",
        "use_xpu",
        "use_npu",
        "use_mlu",
        "print_flops",
        "print_params",
        "worker_num",
        "use_ema",
        "ema_decay",
        "export",
        "find_unused_parameters",
        "save_prediction_only",
        "norm_type",
        "depth_mult",
        "width_mult",
        "data_format",
    }
)

# Top-level sections that inference does not read: they may hold anything, even tags that ppdet 2.6.0 does not know.
TRAINING_SECTIONS = ("LearningRate", "OptimizerBuilder")


@dataclass(frozen=True)
class ForwardPass:
    """One image through the detector. Holds paddle tensors; goes no further than `gradients`.

    Attributes:
        detections: every row of the detector's output that is a detection.
        kept: index of a detection -> its candidate before NMS.
        geometry: where the image lies in the network input.
        capture: the chosen layers' feature maps.
        watch: what the extractor reads its scores from.
        cell_strides: the size of a cell, for grids of which the head says so.
        extractor: turns a kept candidate into its score with a graph.
    """

    detections: tuple[Detection, ...]
    kept: Mapping[int, KeptRow]
    geometry: ImageGeometry
    capture: Capture
    watch: Watch
    cell_strides: CellStrides
    extractor: Extractor


@dataclass(frozen=True)
class FeatureLayer:
    """A layer that can be captured.

    Attributes:
        path: dotted path.
        kind: name of the layer's class.
        shapes: [N, C, h, w] of each feature map that it gives.
        padded_hw: size of the network input that they were seen with.
        per_roi: whether it sees one row per RoI.
    """

    path: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    padded_hw: tuple[int, int]
    per_roi: bool


class Detector:
    """A ppdet model built for inference: in eval mode, with all parameters frozen.

    Attributes:
        architecture: ppdet's name of it.
        model: the paddle model.
        extractor: knows where its scores are.
        class_names: names by class id.
        weights: the file that the parameters came from, None before `load_weights`.
    """

    def __init__(self, settings: Mapping[str, object]) -> None:
        """Builds the model of a merged config.

        Args:
            settings: from `read_settings` and `merge`.

        Raises:
            ConfigError: the config does not build.
            UnknownNameError: the architecture is not supported.
            GeometryError: the reader moves pixels in an unknown way.
        """
        self.architecture = _architecture(settings)
        known = _known_heads(self.architecture)
        self.class_names = _class_names(settings)
        self._sample_transforms, self._batch_transforms = _transforms(settings)
        device, reason = choose_device(settings, available_accelerators())
        log.info(reason)
        paddle.set_device(device)
        self.device = device
        with isolated_workspace():
            sections = _inference_sections(settings)
            workspace.merge_config(sections)
            try:
                self.model: nn.Layer = workspace.create(self.architecture)
            except (TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
                raise ConfigError(
                    f"ppdet cannot build {self.architecture} from config {settings.get('filename')!r}: "
                    f"{type(error).__name__}: {_first_line(error)}. Check the sections that it names"
                ) from error
        extractor = _extractor_type(self.model, self.architecture, known)
        self.model.eval()
        for parameter in self.model.parameters():
            parameter.stop_gradient = True
        self.extractor: Extractor = extractor(self.model)
        check_nms(self.extractor.nms_owner)
        self.weights: Path | None = None

    def load_weights(self, weights: str) -> Path:
        """Loads a `.pdparams` file or URL; every parameter of the model must be in it.

        Raises:
            WeightsError: not there, not safe to unpickle, or does not fit.
        """
        path = resolve_weights(weights, fetch=get_weights_path)
        given = load_state_dict(path)
        own = self.model.state_dict()
        report = fit_report({name: tuple(value.shape) for name, value in own.items()}, given)
        surplus = check_fit(report, str(path))
        if surplus:
            log.warning(surplus)
        for name, value in own.items():
            value.set_value(np.ascontiguousarray(given[name].astype(_numpy_name(value))))
        self.weights = path
        return path

    def prepare(self, frame: Frame) -> tuple[dict[str, paddle.Tensor], ImageGeometry]:
        """Returns the network inputs of one image and where the image lies in them."""
        height, width = frame.original_hw
        sample: Sample = {
            "im_id": np.array([0]),
            "image": frame.image.copy(),
            "h": height,
            "w": width,
            "im_shape": np.array([height, width], dtype=np.float32),
            "scale_factor": np.array([1.0, 1.0], dtype=np.float32),
        }
        try:
            for operation in self._sample_transforms:
                sample = operation(sample)
            for operation in self._batch_transforms:
                (sample,) = operation([sample])
        except Exception as error:  # anything: ppdet's operations check little of what they are given
            raise ImageError(
                f"{type(operation).__name__} of TestReader fails on {frame.path or 'the image'} ({height} x {width} "
                f"pixels): {_first_line(error)}. Check its arguments in the config, and whether they suit the image"
            ) from error
        names = ("image", "im_shape", "scale_factor", "im_id")
        inputs = {name: paddle.to_tensor(np.asarray(sample[name])[None]) for name in names}
        return inputs, geometry_of(frame.original_hw, inputs["image"].shape, np.asarray(sample["scale_factor"]))

    def predict(self, frame: Frame) -> np.ndarray:
        """Returns the boxes that ppdet's plain inference gives: float32 [K, 6], label, score and box."""
        inputs, _ = self.prepare(frame)
        with paddle.no_grad(), self.extractor.boxes_only():
            return self._run(inputs, frame)

    def layers(self, paths: Sequence[str]) -> tuple[dict[str, nn.Layer], dict[str, nn.Layer]]:
        """Returns (layers that see the whole image, layers that see one row per RoI), each path -> layer.

        Raises:
            LayerError: a path names no layer.
        """
        head = self.extractor.roi_head
        second_stage = set() if head is None else set(head.sublayers(include_self=True))
        found = {path: resolve_layer(self.model, path) for path in paths}
        roi = {path: layer for path, layer in found.items() if layer in second_stage}
        return {path: layer for path, layer in found.items() if path not in roi}, roi

    def forward(self, frame: Frame, layers: Mapping[str, nn.Layer]) -> ForwardPass:
        """Runs one image and keeps what its scores' gradients need.

        Args:
            frame: the image.
            layers: path -> layer to capture.
        """
        inputs, geometry = self.prepare(frame)
        with contextlib.ExitStack() as stack:
            stack.enter_context(paddle.enable_grad())
            record = stack.enter_context(recording_nms(self.extractor.nms_owner))
            stack.enter_context(self.extractor.boxes_only())
            stack.enter_context(without_graph(self.extractor.graph_free))
            capture = stack.enter_context(capturing(dict(layers)))
            watch = stack.enter_context(watching(self.extractor.watched))
            rows = self._run(inputs, frame)
        kept = self.extractor.kept_rows(record)
        detections = tuple(self._detection(index, row) for index, row in enumerate(rows[: len(kept)]) if row[0] >= 0)
        return ForwardPass(
            detections=detections,
            kept={detection.index: kept[detection.index] for detection in detections},
            geometry=geometry,
            capture=capture,
            watch=watch,
            cell_strides=self.extractor.cell_strides(watch, geometry.padded_hw),
            extractor=self.extractor,
        )

    def feature_layers(self, frame: Frame) -> list[FeatureLayer]:
        """Returns every layer that gives feature maps when this image runs, in the model's order."""
        shapes: dict[str, list[tuple[int, ...]]] = {}

        def note(path: str, output: Output) -> None:
            found = [tuple(tensor.shape) for tensor in feature_maps(output)]
            if found:
                shapes.setdefault(path, []).extend(found)

        inputs, geometry = self.prepare(frame)
        named = [(f"{ROOT}.{name}", layer) for name, layer in self.model.named_sublayers()]
        with contextlib.ExitStack() as stack:
            for path, layer in named:
                hook = layer.register_forward_post_hook(lambda _layer, _inputs, output, path=path: note(path, output))
                stack.callback(hook.remove)
            with paddle.no_grad(), self.extractor.boxes_only():
                self._run(inputs, frame)
        _, per_roi = self.layers(list(shapes))
        return [
            FeatureLayer(path, type(layer).__name__, tuple(shapes[path]), geometry.padded_hw, path in per_roi)
            for path, layer in named
            if path in shapes
        ]

    def _run(self, inputs: dict[str, paddle.Tensor], frame: Frame) -> np.ndarray:
        try:
            return self.model(inputs)["bbox"].numpy()
        except (ValueError, RuntimeError, OSError, LookupError, TypeError, AttributeError) as error:
            (height, width), shape = frame.original_hw, list(inputs["image"].shape)
            raise ImageError(
                f"{self.architecture} cannot run {frame.path or 'the image'} ({height} x {width} pixels, network input "
                f"{shape}): {_first_line(error)}. Either the image is too small for the network's strides, or parts of "
                "the config do not fit together (eval_size, where it is set, is the size that TestReader resizes to)"
            ) from error

    def _detection(self, index: int, row: np.ndarray) -> Detection:
        label = int(row[0])
        left, top, right, bottom = (float(value) for value in row[2:6])
        name = self.class_names[label] if label < len(self.class_names) else f"class {label}"
        return Detection(index, label, name, float(row[1]), (left, top, right, bottom))


def available_accelerators() -> list[str]:
    """Returns the accelerators that this paddle was built for and finds."""
    found = []
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0:
        found.append("gpu")
    if paddle.device.is_compiled_with_xpu():
        found.append("xpu")
    return found + [kind for kind in paddle.device.get_all_custom_device_type() or [] if kind in ("npu", "mlu")]


@contextlib.contextmanager
def isolated_workspace() -> Iterator[None]:
    """Puts ppdet's one global config back afterwards, so that no setting leaks into the next model."""
    config = workspace.global_config
    before = {name: _copied_section(value) for name, value in config.items()}
    try:
        yield
    finally:
        config.clear()
        config.update(before)


def _copied_section(value: object) -> object:
    if not isinstance(value, SchemaDict):
        return copy.deepcopy(value)
    section = value.copy()
    for key, entry in list(section.items()):
        section[key] = copy.deepcopy(entry)
    section.schema = {name: copy.copy(entry) for name, entry in section.schema.items()}
    for entry in section.schema.values():
        if entry.has_default() and isinstance(entry.default, (dict, list)):
            entry.default = copy.deepcopy(entry.default)
    return section


def _architecture(settings: Mapping[str, object]) -> str:
    architecture = settings.get("architecture")
    if not isinstance(architecture, str):
        raise ConfigError(
            f"config {settings.get('filename')!r} names no architecture, so there is nothing to build. "
            f"Supported: {', '.join(families.names())}"
        )
    return architecture


def _known_heads(architecture: str) -> list[type[Extractor]]:
    """Returns the extractors for an architecture's heads.

    Raises:
        UnknownNameError: there is none.
    """
    known = [name for name in families.names() if name.startswith(f"{architecture} (")]
    if not known:
        supported = families.names()
        raise UnknownNameError(
            f"architecture {architecture!r} is not supported{closest(architecture, supported)}. "
            f"Supported: {', '.join(supported)}"
        )
    return [families.get(name) for name in known]


def _extractor_type(model: nn.Layer, architecture: str, known: Sequence[type[Extractor]]) -> type[Extractor]:
    """Returns the extractor for the head that the model really has."""
    for extractor in known:
        head_type = type(getattr(model, extractor.head_name, None)).__name__
        if family_name(architecture, head_type) in families.names():
            return families.get(family_name(architecture, head_type))
    raise UnknownNameError(
        f"{architecture} with head {head_type} is not supported. Supported: {', '.join(families.names())}"
    )


def _transforms(settings: Mapping[str, object]) -> tuple[list[Operator], list[Operator]]:
    """Returns the reader's operations on one image, decoding left out, and on the batch."""
    reader = settings.get("TestReader")
    if not isinstance(reader, Mapping) or not reader.get("sample_transforms"):
        raise ConfigError("the config has no TestReader.sample_transforms, so it is not known how to read an image")
    samples = [operation for operation in operations(reader, "sample_transforms") if "Decode" not in operation]
    try:
        return Compose(samples).transforms_cls, Compose(operations(reader, "batch_transforms")).transforms_cls
    except (TypeError, ValueError, AttributeError, AssertionError) as error:
        raise ConfigError(f"ppdet cannot build the operations of TestReader: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Returns an error in one line without a full stop; paddle and cv2 append hints and places in their source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _inference_sections(settings: Mapping[str, object]) -> dict[str, object]:
    """Returns the sections that building the model reads, with ppdet's own tags constructed."""
    kept = {
        name: value
        for name, value in settings.items()
        if not name.endswith(("Dataset", "Reader")) and name not in TRAINING_SECTIONS
    }
    sections = {name: _construct(value, name) for name, value in kept.items()}
    for section in sections.values():
        # a backbone's own pretrained weights: ppdet would download them, and all are overwritten afterwards
        if isinstance(section, dict) and isinstance(section.get("pretrained"), str):
            section["pretrained"] = None
    return sections


def _construct(value: object, section: str) -> object:
    """Returns `value` with every `!Tag {...}` that ppdet has registered built as ppdet's YAML loader builds it."""
    if isinstance(value, Mapping):
        return {key: _construct(part, section) for key, part in value.items()}
    if isinstance(value, list):
        return [_construct(part, section) for part in value]
    if not isinstance(value, Tagged):
        return copy.deepcopy(value)
    name = value.tag.lstrip("!")
    schema = workspace.global_config.get(name)
    if not isinstance(schema, SchemaDict) or not isinstance(value.value, (Mapping, list)):
        raise ConfigError(f"section {section} uses the tag !{name}, which ppdet does not know")
    cls = getattr(schema.pymodule, name)
    arguments = _construct(value.value, section)
    return cls(**arguments) if isinstance(arguments, dict) else cls(*arguments)  # type: ignore[misc]


def check_overrides(overrides: Mapping[str, object], file_settings: Mapping[str, object]) -> None:
    """Raises ConfigError for an override of a name that neither the config file nor ppdet has."""
    modules = workspace.get_registered_modules()
    shared = {name for module in modules.values() for name in module.shared}
    known = {*file_settings, *modules, *shared, *TOOL_KEYS}
    for name in overrides:
        if name not in known:
            raise ConfigError(f"-o sets {name!r}, which nothing reads{closest(name, sorted(known))}")


def _class_names(settings: Mapping[str, object]) -> list[str]:
    """Returns names by class id: the config's own list if it is there, else the metric's standard one if it fits."""
    count = settings.get("num_classes", 80)
    if not isinstance(count, int) or count < 1:
        raise ConfigError(f"num_classes must be a whole number of at least 1, not {count!r}")
    dataset = settings.get("TestDataset")
    fields = dataset.value if isinstance(dataset, Tagged) else dataset
    fields = fields if isinstance(fields, Mapping) else {}
    annotations = fields.get("anno_path")
    path = find_file(Path(str(fields.get("dataset_dir") or ""), str(annotations))) if annotations else None
    ppdet_log = logging.getLogger("ppdet.data.source.category")
    level = ppdet_log.level
    ppdet_log.setLevel(logging.ERROR)
    try:
        categories, names = get_categories(str(settings.get("metric", "COCO")), anno_file=path and str(path))
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"class names cannot be read for metric {settings.get('metric')!r}: {error}") from error
    finally:
        ppdet_log.setLevel(level)
    if len(categories) == count:
        return [str(names[categories[index]]) for index in range(count)]
    log.warning(
        "no names for the %d classes: %s; they are called 'class 0', 'class 1', ... Set TestDataset.anno_path to a "
        "label list (one name per line) or a COCO annotation file",
        count,
        f"{path} is not there" if path and not path.is_file() else f"the list found has {len(categories)}",
    )
    return [f"class {index}" for index in range(count)]


def _numpy_name(value: paddle.Tensor) -> str:
    return str(value.dtype).split(".")[-1]
