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
    class_ids = output[:, 0].astype(np.int64)
    scores = np.zeros((len(output), int(np.append(class_ids, classes - 1).max()) + 1), np.float32)
    scores[np.arange(len(output)), class_ids] = output[:, 1]
    polygons = output[:, 2:].reshape(-1, 4, 2) if output.shape[1] > 6 else None
    boxes = output[:, 2:6] if polygons is None else boxes_around_polygons(polygons)
    return Candidates(boxes.reshape(-1, 1, 4).astype(np.float32), scores, polygons_xy=polygons)


def best_near(sought: Detection, found: Candidates, *, floor: float) -> np.ndarray:
    """Returns each class's highest score among the candidates that overlap a box by at least MATCH_IOU.

    Args:
        sought: the box.
        found: of an image.
        floor: the lowest score there is; that of a class of which none lies there.

    Returns:
        float64 [classes].

    Example:
        >>> cat = Detection(0, 0, "cat", 0.9, (0.0, 0.0, 4.0, 4.0))
        >>> dog_there = np.array([[1, 0.5, 0.0, 0.0, 4.0, 3.0]])
        >>> best_near(cat, candidates_of(dog_there, classes=2), floor=0.01)
        array([0.01, 0.5 ])
    """
    if not len(found.scores):
        return np.full(found.scores.shape[1], floor)
    near = box_iou(sought.outline, found.outlines(sought.class_id)) >= MATCH_IOU
    return np.maximum(found.scores[near].max(axis=0, initial=0.0), floor).astype(np.float64)
