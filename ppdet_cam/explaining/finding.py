"""What of a box is found in a black box's output, in the words that methods and verdicts ask with. numpy only."""

from __future__ import annotations

import numpy as np

from ppdet_cam.metrics.similarity import box_iou
from ppdet_cam.polygons import boxes_around_polygons
from ppdet_cam.questions.overlaps import MATCH_IOU
from ppdet_cam.structures import Candidates, Detection


def candidates_of(output: np.ndarray, *, classes: int) -> Candidates:
    """Returns an output as other detectors' candidates before NMS are: each with a score for its own class only.

    Args:
        output: of one image, as `Found` has it.
        classes: how many there are; more where a detection is of a class beyond.
    """
    class_ids = _class_ids(output)
    scores = np.zeros((len(output), _classes(class_ids, classes)), np.float32)
    scores[np.arange(len(output)), class_ids] = output[:, 1]
    polygons = _polygons(output)
    boxes = output[:, 2:6] if polygons is None else boxes_around_polygons(polygons)
    return Candidates(boxes.reshape(-1, 1, 4).astype(np.float32), scores, polygons_xy=polygons)


def best_near(sought: Detection, output: np.ndarray, *, classes: int, floor: float) -> np.ndarray:
    """Returns each class's highest score among the detections that overlap a box by at least MATCH_IOU.

    Args:
        sought: the box.
        output: of an image, as `Found` has it.
        classes: how many there are.
        floor: the score of a class of which none lies there.

    Returns:
        float64 [classes].

    Example:
        >>> cat = Detection(0, 0, "cat", 0.9, (0.0, 0.0, 4.0, 4.0))
        >>> best_near(cat, np.array([[1, 0.4, 0.0, 0.0, 4.0, 3.0]]), classes=2, floor=0.01)
        array([0.01, 0.4 ])
    """
    class_ids = _class_ids(output)
    scores = np.full(_classes(class_ids, classes), floor)
    if len(output):
        polygons = _polygons(output)
        near = box_iou(sought.outline, output[:, 2:6] if polygons is None else polygons) >= MATCH_IOU
        np.maximum.at(scores, class_ids[near], output[near, 1].astype(np.float64))
    return scores


def _class_ids(output: np.ndarray) -> np.ndarray:
    return output[:, 0].astype(np.int64)


def _classes(class_ids: np.ndarray, known: int) -> int:
    return max(known, int(class_ids.max(initial=-1)) + 1)


def _polygons(output: np.ndarray) -> np.ndarray | None:
    """Returns corners [K, 4, 2] where the boxes are rotated."""
    return output[:, 2:].reshape(-1, 4, 2) if output.shape[1] > 6 else None
