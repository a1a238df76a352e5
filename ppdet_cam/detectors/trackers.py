"""Trackers: the detector within one, whose boxes it is given, is what is built and explained."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

from paddle import nn  # isort: skip
from ppdet.core import workspace as ppdet_workspace

from ppdet_cam.errors import ConfigError

log = logging.getLogger(__name__)

# ppdet's architectures of trackers. OC-SORT and BoT-SORT are ByteTrack with another module for its tracks.
TRACKERS = ("ByteTrack", "CenterTrack", "DeepSORT", "FairMOT", "JDE")
# Whose boxes are made by a part of the tracker beside its detector: that part is kept.
WITH_OWN_BOXES = ("CenterTrack",)
PREFIX = "detector."
_NOTHING = (None, "None", "")


def is_tracker(settings: Mapping[str, object]) -> bool:
    """Whether a config is of a tracker."""
    return settings.get("architecture") in TRACKERS


def detector_settings(settings: Mapping[str, object], *, changed: Mapping[str, object]) -> dict[str, object]:
    """Returns a config as that of its detector: of a tracker the one within it, of a detector the config itself.

    A tracker's images are read by `TestMOTReader`. Its detector's weights are `det_weights`, where it has any, unless
    `weights` was set.

    Args:
        settings: the merged config.
        changed: what was set over the config file.

    Raises:
        ConfigError: the tracker has no detector, but reads its boxes from a file.
    """
    found = dict(settings)
    if not is_tracker(settings):
        return found
    tracker = str(settings["architecture"])
    section = settings.get(tracker)
    inner = section.get("detector") if isinstance(section, Mapping) and "detector" in section else _default(tracker)
    if inner in _NOTHING:
        raise ConfigError(
            f"config {settings.get('filename')!r} is of a {tracker} without a detector: it reads its boxes from a "
            "file, so there is nothing to explain. Use the config of the detector that made them"
        )
    log.info("%s is given its boxes by its detector %s, which is explained", tracker, inner)
    if tracker not in WITH_OWN_BOXES:
        found["architecture"] = str(inner)
    if "TestMOTReader" in settings:
        found["TestReader"] = settings["TestMOTReader"]
    if "weights" not in changed and settings.get("det_weights") not in _NOTHING:
        found["weights"] = settings["det_weights"]
    return found


def detector_within(model: nn.Layer) -> nn.Layer:
    """Returns a tracker's detector, with the part beside it that makes the tracker's boxes; another model as it is."""
    if type(model).__name__ not in TRACKERS:
        return model
    detector: nn.Layer = model.detector
    if type(model).__name__ in WITH_OWN_BOXES:
        detector.add_sublayer("plugin_head", model.plugin_head)
    return detector


def detector_weights(given: Mapping[str, np.ndarray], own: Mapping[str, object]) -> Mapping[str, np.ndarray]:
    """Returns the arrays of a tracker's detector by the detector's own names; of a detector's weights all.

    Args:
        given: the weights: of the whole tracker, or of the detector alone.
        own: the detector's arrays.
    """
    if not any(name.startswith(PREFIX) for name in given):
        return given
    inner = {name[len(PREFIX) :]: value for name, value in given.items() if name.startswith(PREFIX)}
    return {**inner, **{name: value for name, value in given.items() if name in own}}


def _default(tracker: str) -> object:
    """Returns the detector that ppdet takes where the config names none."""
    return ppdet_workspace.get_registered_modules()[tracker].schema["detector"].default
