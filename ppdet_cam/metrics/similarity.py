"""How much a detection on an altered image is still the one asked about. numpy only."""

from __future__ import annotations

import numpy as np

from ppdet_cam.metrics.regions import Box, MetricError, checked_box, checked_polygon, is_polygon
from ppdet_cam.polygons import polygon_iou


def similarity(
    box_xyxy: Box,
    class_scores: np.ndarray,
    *,
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    objectness: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the D-RISE similarity of each candidate with one detection.

    Petsiuk et al., "Black-box Explanation of Object Detectors via Saliency Maps" (D-RISE), CVPR 2021, section 3:
    s = IoU of the boxes x cosine of the class scores x objectness of the candidate; without objectness that factor is
    left out. The cosine does not see class scores that fall all by one factor: where a detector has no objectness and
    independent (sigmoid) class scores, give each candidate's highest class score as `objectness`. For detections that
    keep one class and its score, give one-hot rows and the score as `objectness`.

    Args:
        box_xyxy: the detection's box, or its four corners.
        class_scores: float [C], its class scores.
        boxes_xyxy: float [N, 4], the candidates' boxes, or [N, 4, 2], their corners.
        scores: float [N, C], their class scores.
        objectness: float [N], 0 to 1, or None.

    Returns:
        float64 [N]; 0 to 1 for class scores >= 0. 0 where boxes do not meet or all class scores are 0.

    Raises:
        MetricError: the arrays do not fit together, or are not finite.

    Example:
        >>> similarity((0, 0, 2, 1), np.array([1.0, 0.0]), boxes_xyxy=np.array([[0.0, 0.0, 1.0, 1.0]]),
        ...            scores=np.array([[3.0, 4.0]]))
        array([0.3])
    """
    boxes, candidates, target = (np.asarray(values, dtype=np.float64) for values in (boxes_xyxy, scores, class_scores))
    boxes = boxes if boxes.ndim == 3 else boxes.reshape(-1, 4)
    factor = np.ones(len(boxes)) if objectness is None else np.asarray(objectness, dtype=np.float64)
    if candidates.shape != (len(boxes), len(target)) or factor.shape != (len(boxes),):
        raise MetricError(
            f"{len(boxes)} candidate boxes and {len(target)} classes need scores of {[len(boxes), len(target)]}, "
            f"not {list(candidates.shape)}, and objectness of {[len(boxes)]}, not {list(factor.shape)}"
        )
    if not all(np.isfinite(values).all() for values in (boxes, candidates, target, factor)):
        raise MetricError("boxes, class scores and objectness must be finite")
    return box_iou(box_xyxy, boxes) * _cosine(target, candidates) * factor


def best_similarity(
    box_xyxy: Box,
    class_scores: np.ndarray,
    *,
    boxes_xyxy: np.ndarray,
    scores: np.ndarray,
    objectness: np.ndarray | None = None,
) -> float:
    """Returns the similarity of the candidate most like one detection: what D-RISE takes from an altered image.

    D-RISE, section 3: the maximum of `similarity` over all candidates.

    Args:
        box_xyxy: the detection's box, or its four corners.
        class_scores: float [C], its class scores.
        boxes_xyxy: float [N, 4], the candidates' boxes, or [N, 4, 2], their corners.
        scores: float [N, C], their class scores.
        objectness: float [N], 0 to 1, or None.

    Returns:
        As `similarity`; 0 when there is no candidate.

    Example:
        >>> best_similarity((0, 0, 2, 1), np.ones(1), boxes_xyxy=np.zeros((0, 4)), scores=np.zeros((0, 1)))
        0.0
    """
    each = similarity(box_xyxy, class_scores, boxes_xyxy=boxes_xyxy, scores=scores, objectness=objectness)
    return float(each.max(initial=0.0))


def box_iou(box_xyxy: Box, boxes_xyxy: np.ndarray) -> np.ndarray:
    """Returns intersection over union of a box with each of others, edges being continuous (no pixel is added).

    Args:
        box_xyxy: left, top, right, bottom; or four corners.
        boxes_xyxy: float [N, 4]; or [N, 4, 2], as the box.

    Returns:
        float64 [N], 0 to 1; 0 where neither box has an area.

    Example:
        >>> box_iou((0, 0, 2, 1), np.array([[1.0, 0.0, 3.0, 1.0]]))
        array([0.33333333])
    """
    if is_polygon(box_xyxy):
        return polygon_iou(checked_polygon(box_xyxy), np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4, 2))
    left, top, right, bottom = checked_box(box_xyxy)
    others = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    widths = np.minimum(others[:, 2], right) - np.maximum(others[:, 0], left)
    heights = np.minimum(others[:, 3], bottom) - np.maximum(others[:, 1], top)
    intersection = np.maximum(widths, 0.0) * np.maximum(heights, 0.0)
    areas = np.maximum(others[:, 2] - others[:, 0], 0.0) * np.maximum(others[:, 3] - others[:, 1], 0.0)
    union = (right - left) * (bottom - top) + areas - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _cosine(target: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Returns [N]: the cosine between `target` and each row, 0 where either is all zero."""
    lengths = np.linalg.norm(candidates, axis=1) * np.linalg.norm(target)
    cosine = np.divide(candidates @ target, lengths, out=np.zeros(len(candidates)), where=lengths > 0)
    return np.clip(cosine, -1.0, 1.0)
