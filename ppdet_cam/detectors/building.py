"""From a config file, or from a model in memory, to its detector."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

import paddle  # isort: skip
from paddle import nn

from ppdet_cam.detectors.class_names import class_names
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.device import SWITCHES, choose_device
from ppdet_cam.detectors.families.choosing import architecture_of, extractor_type, known_heads
from ppdet_cam.detectors.override_names import check_overrides
from ppdet_cam.detectors.preprocessing import Preprocessing
from ppdet_cam.detectors.settings import merge, parse_overrides, read_settings
from ppdet_cam.detectors.trackers import detector_settings, detector_within
from ppdet_cam.detectors.workspace import build_model, reader_operations
from ppdet_cam.errors import ConfigError
from ppdet_cam.places import find_file

log = logging.getLogger(__name__)

_READ_IN_MEMORY = ("architecture", "metric", "num_classes", "filename")


def build_detector(
    config: str | Path, *, overrides: Sequence[str] | Mapping[str, object] = ()
) -> tuple[Detector, dict[str, object]]:
    """Returns a config's detector, without its weights, and the merged settings."""
    file_settings = read_settings(find_file(Path(config)))
    changes = dict(overrides) if isinstance(overrides, Mapping) else parse_overrides(overrides)
    check_overrides(changes, file_settings)
    settings = detector_settings(merge(file_settings, changes), changed=changes)
    return detector_of(settings), settings


def detector_of(settings: Mapping[str, object], *, model: nn.Layer | None = None) -> Detector:
    """Returns the detector of a merged config, in eval mode, frozen, without its weights.

    Args:
        settings: from `read_settings` and `merge`.
        model: of these settings, which is put in eval mode and frozen; None to build a new one.

    Raises:
        ConfigError: the config does not build.
        UnknownNameError: the architecture is not supported.
        GeometryError: the reader moves pixels in an unknown way.
    """
    architecture = architecture_of(settings)
    known = known_heads(architecture)
    names, reader = class_names(settings), Preprocessing(*reader_operations(settings))
    device, reason = choose_device(settings, available_accelerators())
    log.info(reason)
    paddle.set_device(device)
    model = detector_within(build_model(architecture, settings) if model is None else model)
    extractor = extractor_type(model, architecture, known)
    model.eval()
    for parameter in model.parameters():
        parameter.stop_gradient = True
    detector = Detector(architecture, model, extractor(model), class_names=names, reader=reader, device=device)
    detector.extractor.check()
    return detector


def detector_of_model(model: nn.Layer, cfg: Mapping[str, object]) -> Detector:
    """Returns a detector that is a copy of a model in memory, as it is now, on paddle's present device.

    The model itself is left as it is: its mode, its parameters' gradients and its hooks. Training it further does not
    change the copy.

    Args:
        model: of a ppdet Trainer; one that `paddle.DataParallel` wraps is taken out of it.
        cfg: the config that it was built from, of the Trainer or as ppdet's `load_config` gives it.

    Raises:
        ConfigError: the config lacks what inference needs, or is not the model's.
        UnknownNameError: the architecture is not supported.
        GeometryError: the reader moves pixels in an unknown way.
    """
    bare = getattr(model, "_layers", model)  # paddle.DataParallel
    settings = _settings_in_memory(cfg)
    own, said = type(bare).__name__, settings.get("architecture")
    if own != said:
        raise ConfigError(
            f"the config is for {said!r}, and the model is a {own}. Give the config that it was built from"
        )
    return detector_of(detector_settings(settings, changed={}), model=copy.deepcopy(bare))


def _settings_in_memory(cfg: Mapping[str, object]) -> dict[str, object]:
    """Returns what a detector reads of a config whose datasets ppdet has made into objects already."""
    settings: dict[str, object] = {name: cfg[name] for name in _READ_IN_MEMORY if name in cfg}
    for name in ("TestReader", "TestMOTReader", str(settings.get("architecture"))):
        section = cfg.get(name)
        if isinstance(section, Mapping):
            settings[name] = dict(section)
    dataset = cfg.get("TestDataset")
    if isinstance(dataset, Mapping):
        settings["TestDataset"] = dict(dataset)
    elif dataset is not None:
        names = ("dataset_dir", "anno_path")
        settings["TestDataset"] = {name: getattr(dataset, name, None) for name in names}
    kind = paddle.get_device().partition(":")[0]
    return {**settings, **{switch: device == kind for switch, device in SWITCHES.items()}}


def weights_of(settings: Mapping[str, object], weights: str | Path | None) -> str:
    """Returns the weights asked for, or else the config's own."""
    chosen = weights if weights is not None else settings.get("weights")
    if isinstance(chosen, (str, Path)) and str(chosen):
        return str(chosen) if "://" in str(chosen) else str(find_file(Path(chosen)))
    if chosen:
        raise ConfigError(f"weights must be a file or a URL, not {chosen!r}. Give them: -o weights=<file>.pdparams")
    raise ConfigError(f"config {settings.get('filename')!r} names no weights. Give them: -o weights=<file>.pdparams")


def available_accelerators() -> list[str]:
    """Returns the accelerators that this paddle was built for and finds."""
    found = []
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0:
        found.append("gpu")
    if paddle.device.is_compiled_with_xpu():
        found.append("xpu")
    return found + [kind for kind in paddle.device.get_all_custom_device_type() or [] if kind in ("npu", "mlu")]
