"""From a config file to its detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.settings import merge, parse_overrides, read_settings
from ppdet_cam.detectors.workspace import check_overrides
from ppdet_cam.errors import ConfigError
from ppdet_cam.places import find_file


def build_detector(
    config: str | Path, *, overrides: Sequence[str] | Mapping[str, object] = ()
) -> tuple[Detector, dict[str, object]]:
    """Returns a config's detector, without its weights, and the merged settings."""
    file_settings = read_settings(find_file(Path(config)))
    changes = dict(overrides) if isinstance(overrides, Mapping) else parse_overrides(overrides)
    check_overrides(changes, file_settings)
    settings = merge(file_settings, changes)
    return Detector(settings), settings


def weights_of(settings: Mapping[str, object], weights: str | Path | None) -> str:
    """Returns the weights asked for, or else the config's own."""
    chosen = weights if weights is not None else settings.get("weights")
    if isinstance(chosen, (str, Path)) and str(chosen):
        return str(chosen) if "://" in str(chosen) else str(find_file(Path(chosen)))
    if chosen:
        raise ConfigError(f"weights must be a file or a URL, not {chosen!r}. Give them: -o weights=<file>.pdparams")
    raise ConfigError(f"config {settings.get('filename')!r} names no weights. Give them: -o weights=<file>.pdparams")
