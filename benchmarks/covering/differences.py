"""A gradient held against finite differences of the same number, run again with the feature map moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ppdet_cam.detectors.detector import Detector
from ppdet_cam.explaining.gradients import image_features
from ppdet_cam.explaining.replay import replays
from ppdet_cam.questions.question import DEFAULT_LAYER
from ppdet_cam.questions.targets import DEFAULT_TARGET, parse_target
from ppdet_cam.structures import Detection, FeatureMap, Frame

# How far the score's logit is moved. The smaller steps, of which single precision leaves less, are for scores with a
# kink close by.
LOGIT_STEPS = (0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
TOLERANCE = 0.02


@dataclass(frozen=True)
class Slope:
    """How a box's score changes along its gradient with respect to the backbone's feature map that it depends on most.

    Attributes:
        gradient: from the gradient.
        difference: central difference.
    """

    gradient: float
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether the two are the same, up to what single precision and the score's curve leave."""
        return math.isclose(self.gradient, self.difference, rel_tol=TOLERANCE)


def slope_of(detector: Detector, frame: Frame, detection: Detection) -> Slope | None:
    """Returns both slopes of a detection's score; None where no path leads from the backbone to it."""
    target = parse_target(
        DEFAULT_TARGET, detector.class_names, known=detector.extractor.quantities, detector=detector.name
    )
    layers, _ = detector.layers([DEFAULT_LAYER])
    forward = detector.forward(frame, layers, wanted=target.quantity)
    kept = forward.kept[detection.index]
    (features,) = image_features(forward, {DEFAULT_LAYER: forward.capture.chosen(DEFAULT_LAYER, None)}, kept, target)
    feature = max(features, key=_size)
    if not _size(feature):
        return None
    direction = feature.gradients / _size(feature)
    (replay,) = replays(detector, frame, forward, kept, target, batch=2)
    found = []
    for logit_step in LOGIT_STEPS:
        step = logit_step * max(kept.score * (1 - kept.score), 1e-6) / _size(feature)
        plus, minus = replay.scores_of_altered_features(
            feature, [feature.activations + sign * step * direction for sign in (1, -1)]
        )
        found.append(Slope(_size(feature), (plus - minus) / (2 * step)))
        if found[-1].agrees:
            return found[-1]
    return min(found, key=lambda slope: abs(slope.gradient - slope.difference))


def _size(feature: FeatureMap) -> float:
    return 0.0 if feature.gradients is None else float(np.sqrt((feature.gradients.astype(np.float64) ** 2).sum()))
