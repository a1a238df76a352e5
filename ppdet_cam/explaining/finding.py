"""What of a box is found among detections: a black box's output in the words that methods and verdicts ask with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppdet_cam.metrics.similarity import box_iou
from ppdet_cam.questions.overlaps import MATCH_IOU
from ppdet_cam.structures import Candidates, Detection


def candidates_of(detections: Sequence[Detection], *, classes: int) -> Candidates:
    """Returns detections as other detectors' candidates before NMS are: each with a score for its own class only.

    Args:
        detections: of one image.
        classes: how many there are; more where a detection is of a class beyond.
    """
    classes = max([classes, *(one.class_id + 1 for one in detections)])
    scores = np.zeros((len(detections), classes), np.float32)
    scores[np.arange(len(detections)), [one.class_id for one in detections]] = [one.score for one in detections]
    boxes = np.array([one.box_xyxy for one in detections], np.float32).reshape(-1, 1, 4)
    polygons = [one.polygon_xy for one in detections if one.polygon_xy is not None]
    return Candidates(boxes, scores, polygons_xy=np.array(polygons, np.float32) if polygons else None)


def best_near(sought: Detection, found: Sequence[Detection], *, classes: int, floor: float) -> np.ndarray:
    """Returns each class's highest score among the detections that overlap a box by at least MATCH_IOU.

    Args:
        sought: the box.
        found: detections of an image.
        classes: how many there are.
        floor: the score of a class of which none lies there.

    Returns:
        float64 [classes].

    Example:
        >>> cat = Detection(0, 0, "cat", 0.9, (0.0, 0.0, 4.0, 4.0))
        >>> best_near(cat, [Detection(0, 1, "dog", 0.4, (0.0, 0.0, 4.0, 3.0))], classes=2, floor=0.01)
        array([0.01, 0.4 ])
    """
    scores = np.full(max([classes, *(one.class_id + 1 for one in found)]), floor)
    if not found:
        return scores
    is_rotated = sought.polygon_xy is not None
    outlines = [one.polygon_xy if is_rotated else one.box_xyxy for one in found]
    shared = box_iou(sought.outline, np.array(outlines, np.float64))
    for one, overlap in zip(found, shared):
        if overlap >= MATCH_IOU:
            scores[one.class_id] = max(scores[one.class_id], one.score)
    return scores
