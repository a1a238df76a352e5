"""ppdet's workspace: settings -> model, reader operations, class names, without a trace in its global config."""

from __future__ import annotations

import contextlib
import copy
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

from paddle import nn  # isort: skip
from ppdet.core import workspace as ppdet_workspace
from ppdet.core.config.schema import SchemaDict
from ppdet.data.reader import Compose
from ppdet.modeling.architectures.yolox import YOLOX

from ppdet_cam.detectors.reader import operations
from ppdet_cam.detectors.settings import Tagged
from ppdet_cam.errors import ConfigError

log = logging.getLogger(__name__)

# What ppdet's reader operations pass on: an image's arrays and sizes by name. An operation on a batch takes a list.
Sample = dict[str, Any]
Operator = Callable[..., Any]

# Keys that ppdet's tools read beside the registered modules; an override may set them though no module has them.
TOOL_KEYS = frozenset(
    {
        "architecture",
        "weights",
        "det_weights",
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

WITH_DEFAULT_WEIGHTS = ("SwinTransformer", "FocalNet")  # ppdet/modeling/backbones: `if pretrained is None: ... = URL`
YOLOX_EPSILON = 1e-3  # ppdet/engine/trainer.py and tracker.py; weights were trained with it, and no config names it

_UNKNOWN_KEY = re.compile(r"unexpected keyword argument '(?P<key>\w+)'")


def build_model(architecture: str, settings: Mapping[str, object]) -> nn.Layer:
    """Returns the model of a merged config, freshly initialised.

    Raises:
        ConfigError: ppdet cannot build it.
    """
    with isolated_workspace():
        ppdet_workspace.merge_config(_inference_sections(settings))
        _leave_out_pretrained()
        try:
            return _finished(ppdet_workspace.create(architecture))
        except Exception as error:  # anything: numbers too large for paddle even give a SystemError or MemoryError
            _check_is_known_key(error, architecture, settings)
            raise ConfigError(
                f"ppdet cannot build {architecture} from config {settings.get('filename')!r}: "
                f"{type(error).__name__}: {first_line(error)}. Check the sections that it names"
            ) from error


def _finished(model: nn.Layer) -> nn.Layer:
    """Returns a model as ppdet's Trainer and Tracker have it: they give every normalisation of a YOLOX this epsilon."""
    if isinstance(getattr(model, "detector", model), YOLOX):
        for layer in model.sublayers():
            if isinstance(layer, nn.BatchNorm2D):
                layer._epsilon = YOLOX_EPSILON
    return model


def _check_is_known_key(error: Exception, architecture: str, settings: Mapping[str, object]) -> None:
    """Raises ConfigError when ppdet failed for a key that it does not have: those of a newer PaddleDetection."""
    match = _UNKNOWN_KEY.search(str(error))
    if not isinstance(error, TypeError) or match is None:
        return
    key = match["key"]
    places = list(_paths_to(key, settings))
    where = f" ({', '.join(places)})" if places else ""
    raise ConfigError(
        f"ppdet cannot build {architecture} from config {settings.get('filename')!r}: it sets {key!r}{where}, which "
        f"ppdet {compat.PPDET} does not have; a newer PaddleDetection may. Leave the key out of the config, or use "
        "that PaddleDetection: --ppdet FOLDER"
    ) from error


def _paths_to(key: str, settings: object, parents: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the dotted path of every setting of this name."""
    if isinstance(settings, Tagged):
        settings = settings.value
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            if name == key:
                yield ".".join((*parents, key))
            yield from _paths_to(key, value, (*parents, str(name)))


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
    return {name: _construct(value, name) for name, value in kept.items()}


def _leave_out_pretrained() -> None:
    """Lets no backbone get weights of its own: ppdet would download them, and all are overwritten afterwards.

    With none, some get the default ones of their kind; with an empty name, nothing. Others take that name for a file's.
    """
    for name, section in ppdet_workspace.global_config.items():
        if isinstance(section, SchemaDict) and "pretrained" in section.schema:
            section["pretrained"] = "" if name in WITH_DEFAULT_WEIGHTS else None


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
