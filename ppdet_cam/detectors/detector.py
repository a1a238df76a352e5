"""A detector: settings -> model, weights, preprocessing, one forward pass."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

import paddle  # isort: skip
from paddle import nn
from ppdet.utils.download import get_weights_path

from ppdet_cam.detectors.capture import (
    ROOT,
    Capture,
    Output,
    Watch,
    capturing,
    feature_maps,
    replaced_methods,
    resolve_layer,
    watching,
    without_graph,
)
from ppdet_cam.detectors.convolutions import windowed_gradients
from ppdet_cam.detectors.device import choose_device
from ppdet_cam.detectors.families import Extractor, families, family_name
from ppdet_cam.detectors.families.base import (
    KeptRow,
    NmsRecord,
    ReachedNms,
    Source,
    check_nms,
    lowers_scores,
    recording_nms,
)
from ppdet_cam.detectors.reader import geometry_of
from ppdet_cam.detectors.weights import check_fit, fit_report, load_state_dict, resolve_weights
from ppdet_cam.detectors.workspace import Sample, build_model, class_names, first_line, reader_operations
from ppdet_cam.errors import ConfigError, ImageError, LayerError, PpdetCamError, UnknownNameError, WeightsError
from ppdet_cam.registry import closest
from ppdet_cam.structures import Candidates, CellStrides, Detection, Frame, ImageGeometry

log = logging.getLogger(__name__)

BACKBONE = f"{ROOT}.backbone"


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
        extractor: turns a kept candidate into what the head says of it, with a graph.
        record: what NMS was given and kept.
        inputs: the network's inputs.
    """

    detections: tuple[Detection, ...]
    kept: Mapping[int, KeptRow]
    geometry: ImageGeometry
    capture: Capture
    watch: Watch
    cell_strides: CellStrides
    extractor: Extractor
    record: NmsRecord
    inputs: Mapping[str, paddle.Tensor]

    def candidates(self) -> Candidates:
        """Returns every box of the image before NMS."""
        return self.extractor.candidates(self.record, self.geometry)


@dataclass(frozen=True)
class NmsSettings:
    """The numbers of a detector's NMS.

    Attributes:
        score_threshold: candidates with a lower score are left out.
        iou_threshold: of two boxes of a class that overlap more, the one with the higher score stays; None for an NMS
            that lowers scores instead.
    """

    score_threshold: float
    iou_threshold: float | None


@dataclass(frozen=True)
class FeatureLayer:
    """A layer that can be captured.

    Attributes:
        path: dotted path.
        kind: name of the layer's class.
        shapes: [N, C, h, w] of each feature map that it gives.
        padded_hw: size of the network input that they were seen with.
        per_roi: whether it sees one row per RoI.
        reached: whether gradients of the class scores reach it.
    """

    path: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    padded_hw: tuple[int, int]
    per_roi: bool
    reached: bool


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
        self.class_names = class_names(settings)
        self._sample_transforms, self._batch_transforms = reader_operations(settings)
        device, reason = choose_device(settings, available_accelerators())
        log.info(reason)
        paddle.set_device(device)
        self.device = device
        self.model: nn.Layer = build_model(self.architecture, settings)
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
                f"pixels): {first_line(error)}. Check its arguments in the config, and whether they suit the image"
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

    @property
    def nms_settings(self) -> NmsSettings:
        """The numbers of the detector's NMS."""
        nms = self.extractor.nms_owner.nms  # type: ignore[attr-defined]
        return NmsSettings(float(nms.score_threshold), None if lowers_scores(nms) else float(nms.nms_threshold))

    @property
    def name(self) -> str:
        """Architecture and head, as the registry of extractors has them."""
        return family_name(self.architecture, type(getattr(self.model, self.extractor.head_name)).__name__)

    def forward(self, frame: Frame, layers: Mapping[str, nn.Layer], *, boxes: bool = False) -> ForwardPass:
        """Runs one image and keeps what its gradients need.

        Args:
            frame: the image.
            layers: path -> layer to capture.
            boxes: whether the gradients of boxes will be asked for, and not of scores only.
        """
        inputs, geometry = self.prepare(frame)
        with contextlib.ExitStack() as stack:
            stack.enter_context(paddle.enable_grad())
            record = stack.enter_context(recording_nms(self.extractor.nms_owner))
            stack.enter_context(self.extractor.boxes_only())
            if self.device == "cpu":
                stack.enter_context(windowed_gradients(self.model))
            stack.enter_context(without_graph(self.extractor.graph_free))
            stack.enter_context(without_graph([] if boxes else self.extractor.box_branch))
            capture = stack.enter_context(capturing(dict(layers)))
            watch = stack.enter_context(watching(self.extractor.watched))
            rows = self._run(inputs, frame)
        kept = self.extractor.kept_rows(record)
        own = [candidate.score if record.lowers_scores else None for candidate in kept]
        detections = tuple(
            self._detection(index, *both) for index, both in enumerate(zip(rows, own)) if both[0][0] >= 0
        )
        return ForwardPass(
            detections=detections,
            kept={detection.index: kept[detection.index] for detection in detections},
            geometry=geometry,
            capture=capture,
            watch=watch,
            cell_strides=self.extractor.cell_strides(watch, geometry.padded_hw),
            extractor=self.extractor,
            record=record,
            inputs=inputs,
        )

    def replay(
        self,
        inputs: Mapping[str, paddle.Tensor],
        frame: Frame,
        *,
        outputs: Mapping[nn.Layer, Output] | None = None,
        sources: Sequence[Source] | None = None,
    ) -> tuple[Watch, NmsRecord]:
        """Runs altered images, or altered features, up to NMS and without a graph.

        Args:
            inputs: of a batch.
            frame: the image that they are altered from.
            outputs: layer -> what it gives instead of running.
            sources: the only places that will be asked about; None for every candidate.

        Returns:
            What the extractor's layers saw, and what NMS was given.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(paddle.no_grad())
            record = stack.enter_context(recording_nms(self.extractor.nms_owner, stop=True))
            stack.enter_context(self.extractor.boxes_only())
            if sources is not None:
                stack.enter_context(self.extractor.on_sources(sources))
            for layer, output in (outputs or {}).items():
                stack.enter_context(replaced_methods(layer, forward=lambda *_, output=output, **__: output))
            watch = stack.enter_context(watching(self.extractor.watched))
            with contextlib.suppress(ReachedNms):
                self._run(inputs, frame)
        return watch, record

    def backbone_grids(self, input_hw: tuple[int, int]) -> list[tuple[str, tuple[int, int]]]:
        """Returns path, and height and width of a feature map, for all within the backbone, in the order they come.

        Args:
            input_hw: size of an empty network input.

        Raises:
            LayerError: the backbone does not run on it.
        """
        backbone = resolve_layer(self.model, BACKBONE)
        found: list[tuple[str, tuple[int, int]]] = []

        def see(path: str) -> Callable[[nn.Layer, Output, Output], None]:
            return lambda _layer, _inputs, output: found.extend(
                (path, (int(tensor.shape[2]), int(tensor.shape[3]))) for tensor in feature_maps(output)
            )

        with contextlib.ExitStack() as stack:
            stack.enter_context(paddle.no_grad())
            for name, layer in backbone.named_sublayers():
                stack.callback(layer.register_forward_post_hook(see(f"{BACKBONE}.{name}")).remove)
            try:
                backbone({"image": paddle.zeros([1, 3, *input_hw])})
            except Exception as error:  # anything: it may be made for other inputs only
                raise LayerError(
                    f"the backbone of {self.name} does not run on an empty input of {input_hw[0]} x {input_hw[1]} "
                    f"pixels: {first_line(error)}. Name the layers instead of --refine_by auto"
                ) from error
        return found

    def prepare_batch(self, frames: Sequence[Frame]) -> tuple[dict[str, paddle.Tensor], ImageGeometry]:
        """Returns the network inputs of images of one size as one batch, and where each image lies in them."""
        prepared, geometries = zip(*(self.prepare(frame) for frame in frames))
        return {name: paddle.concat([inputs[name] for inputs in prepared]) for name in prepared[0]}, geometries[0]

    def feature_layers(self, frame: Frame) -> list[FeatureLayer]:
        """Returns every layer that gives feature maps when this image runs, in the model's order.

        Whether gradients reach a layer does not depend on the weights: an untrained head's are zero, but they reach it.
        """
        named = {f"{ROOT}.{name}": layer for name, layer in self.model.named_sublayers()}
        whole_image, per_roi = self.layers(list(named))
        forward = self.forward(frame, whole_image)
        with paddle.enable_grad(), capturing(per_roi) as roi_capture:
            sources = self.extractor.a_source_per_level(forward.watch)
            scores = [self.extractor.outputs(forward.watch, [source]).probabilities.sum() for source in sources]
        captured = {**forward.capture.tensors, **roi_capture.tensors}
        reached = _reached(scores, captured)
        return [
            FeatureLayer(
                path,
                type(named[path]).__name__,
                tuple(dict.fromkeys(tuple(tensor.shape) for tensor in captured[path]))
                if path in per_roi
                else tuple(tuple(tensor.shape) for tensor in captured[path]),
                forward.geometry.padded_hw,
                path in per_roi,
                path in reached,
            )
            for path in named
            if captured.get(path)
        ]

    def _run(self, inputs: Mapping[str, paddle.Tensor], frame: Frame) -> np.ndarray:
        try:
            rows = self.model(dict(inputs))["bbox"].numpy()
        except (ReachedNms, PpdetCamError):
            raise
        except Exception as error:  # anything: paddle gives a SystemError or MemoryError for numbers too large
            (height, width), shape = frame.original_hw, list(inputs["image"].shape)
            raise ImageError(
                f"{self.architecture} cannot run {frame.path or 'the image'} ({height} x {width} pixels, network input "
                f"{shape}): {first_line(error)}. Either the image is too small for the network's strides, or parts of "
                "the config do not fit together (eval_size, where it is set, is the size that TestReader resizes to)"
            ) from error
        if not np.isfinite(rows).all():
            raise WeightsError(
                f"{self.architecture} gives boxes with nan or inf for {frame.path or 'the image'}: its weights hold "
                f"such numbers, or far too large ones. Get {self.weights or 'them'} again, or others with -o weights"
            )
        return rows

    def _detection(self, index: int, row: np.ndarray, score_before_nms: float | None) -> Detection:
        label = int(row[0])
        left, top, right, bottom = (float(value) for value in row[2:6])
        name = self.class_names[label] if label < len(self.class_names) else f"class {label}"
        return Detection(index, label, name, float(row[1]), (left, top, right, bottom), score_before_nms)


def _reached(scores: Sequence[paddle.Tensor], captured: Mapping[str, Sequence[paddle.Tensor]]) -> set[str]:
    """Returns the layers from which a path leads to one of the scores."""
    places = [(path, tensor) for path, tensors in captured.items() for tensor in tensors]
    found = set()
    for score in scores:
        if not score.stop_gradient:
            tensors = [tensor for _, tensor in places]
            gradients = paddle.grad(score, tensors, retain_graph=True, allow_unused=True)
            found |= {path for (path, _), gradient in zip(places, gradients) if gradient is not None}
    return found


def available_accelerators() -> list[str]:
    """Returns the accelerators that this paddle was built for and finds."""
    found = []
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0:
        found.append("gpu")
    if paddle.device.is_compiled_with_xpu():
        found.append("xpu")
    return found + [kind for kind in paddle.device.get_all_custom_device_type() or [] if kind in ("npu", "mlu")]


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
    """Returns the extractor for the head that the model really has, or for the closest known parent of its class."""
    heads = [head for head in (getattr(model, extractor.head_name, None) for extractor in known) if head is not None]
    for head in heads:
        for kind in type(head).__mro__:
            if family_name(architecture, kind.__name__) in families.names():
                if kind is not type(head):
                    log.info(f"{type(head).__name__} is explained as the {kind.__name__} that it derives from")
                return families.get(family_name(architecture, kind.__name__))
    there = ", ".join(dict.fromkeys(type(head).__name__ for head in heads)) or "NoneType"
    raise UnknownNameError(
        f"{architecture} with head {there} is not supported. Supported: {', '.join(families.names())}"
    )


def _numpy_name(value: paddle.Tensor) -> str:
    return str(value.dtype).split(".")[-1]
