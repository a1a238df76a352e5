"""ppdet's workspace: settings -> model, reader operations, class names, without a trace in its global config."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

from paddle import nn  # isort: skip
from ppdet.core import workspace as ppdet_workspace
from ppdet.core.config.schema import SchemaDict
from ppdet.data.reader import Compose
from ppdet.data.source.category import get_categories

from ppdet_cam.detectors.reader import operations
from ppdet_cam.detectors.settings import Tagged
from ppdet_cam.errors import ConfigError
from ppdet_cam.places import find_file
from ppdet_cam.registry import closest

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


def build_model(architecture: str, settings: Mapping[str, object]) -> nn.Layer:
    """Returns the model of a merged config, freshly initialised.

    Raises:
        ConfigError: ppdet cannot build it.
    """
    with isolated_workspace():
        ppdet_workspace.merge_config(_inference_sections(settings))
        try:
            return ppdet_workspace.create(architecture)
        except Exception as error:  # anything: numbers too large for paddle even give a SystemError or MemoryError
            raise ConfigError(
                f"ppdet cannot build {architecture} from config {settings.get('filename')!r}: "
                f"{type(error).__name__}: {first_line(error)}. Check the sections that it names"
            ) from error


@contextlib.contextmanager
def isolated_workspace() -> Iterator[None]:
    """Puts ppdet's one global config back afterwards, so that no setting leaks into the next model."""
    config = ppdet_workspace.global_config
    before = {name: _copied_section(value) for name, value in config.items()}
    defaults = [(function, _copied_defaults(function)) for function in _constructors(config.values())]
    try:
        yield
    finally:
        config.clear()
        config.update(before)
        for function, given in defaults:
            function.__defaults__ = given


def _constructors(sections: Iterable[object]) -> list[FunctionType]:
    """Returns the `__init__` of every registered class."""
    classes = [getattr(one.pymodule, one.name, None) for one in sections if isinstance(one, SchemaDict)]
    found = [getattr(kind, "__init__", None) for kind in classes]
    return [function for function in found if isinstance(function, FunctionType)]


def _copied_defaults(function: FunctionType) -> tuple[object, ...] | None:
    """Returns a function's defaults with lists and dicts copied: LCPAN's constructor appends to one of its own."""
    given = function.__defaults__
    if given is None:
        return None
    return tuple(copy.deepcopy(value) if isinstance(value, (dict, list)) else value for value in given)


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


def reader_operations(settings: Mapping[str, object]) -> tuple[list[Operator], list[Operator]]:
    """Returns the reader's operations on one image, decoding left out, and on the batch."""
    reader = settings.get("TestReader")
    if not isinstance(reader, Mapping) or not reader.get("sample_transforms"):
        raise ConfigError("the config has no TestReader.sample_transforms, so it is not known how to read an image")
    samples = [operation for operation in operations(reader, "sample_transforms") if "Decode" not in operation]
    try:
        return Compose(samples).transforms_cls, Compose(operations(reader, "batch_transforms")).transforms_cls
    except (TypeError, ValueError, AttributeError, AssertionError) as error:
        raise ConfigError(f"ppdet cannot build the operations of TestReader: {first_line(error)}") from error


def first_line(error: Exception) -> str:
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
    schema = ppdet_workspace.global_config.get(name)
    if not isinstance(schema, SchemaDict) or not isinstance(value.value, (Mapping, list)):
        raise ConfigError(f"section {section} uses the tag !{name}, which ppdet does not know")
    cls = getattr(schema.pymodule, name)
    arguments = _construct(value.value, section)
    return cls(**arguments) if isinstance(arguments, dict) else cls(*arguments)  # type: ignore[misc]


def check_overrides(overrides: Mapping[str, object], file_settings: Mapping[str, object]) -> None:
    """Raises ConfigError for an override of a name that neither the config file nor ppdet has."""
    modules = ppdet_workspace.get_registered_modules()
    shared = {name for module in modules.values() for name in module.shared}
    known = {*file_settings, *modules, *shared, *TOOL_KEYS}
    for name in overrides:
        if name not in known:
            raise ConfigError(f"-o sets {name!r}, which nothing reads{closest(name, sorted(known))}")


def class_names(settings: Mapping[str, object]) -> list[str]:
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
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools says what it reads
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
