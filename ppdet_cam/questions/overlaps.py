"""How much boxes overlap, as the detector draws them: upright boxes as boxes, rotated ones as polygons. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ppdet_cam.polygons import BoxXyxy, PolygonXy, corners_of, polygon_iou

# Two boxes are of the same object when they overlap by this much, as in COCO's AP50 and Pascal VOC.
MATCH_IOU = 0.5


class Outlined(Protocol):
    """A detection, an annotated object, or a box asked about."""

    @property
    def box_xyxy(self) -> BoxXyxy: ...

    @property
    def polygon_xy(self) -> PolygonXy | None: ...


def corners(of: Outlined) -> PolygonXy:
    """Returns the four corners of a box, rotated or not."""
    return of.polygon_xy or corners_of(of.box_xyxy)


def overlaps(one: Outlined, others: Sequence[Outlined], *, rotated: bool) -> np.ndarray:
    """Returns the IoU of one box with each of others, float64 [M].

    Args:
        one: the box.
        others: M boxes.
        rotated: whether the detector draws rotated boxes. An upright box then counts as its four corners; for a
            detector of upright boxes, what is annotated or asked about as a polygon counts as the box around it.
    """
    if not rotated:
        return iou(one.box_xyxy, np.array([other.box_xyxy for other in others]))
    return polygon_iou(corners(one), np.array([corners(other) for other in others], np.float64).reshape(-1, 4, 2))


def overlaps_of(one: Outlined, boxes_xyxy: np.ndarray, polygons_xy: np.ndarray | None) -> np.ndarray:
    """Returns the IoU of one box with each of [M, 4], or of their polygons [M, 4, 2] where there are some."""
    return iou(one.box_xyxy, boxes_xyxy) if polygons_xy is None else polygon_iou(corners(one), polygons_xy)


def iou(box_xyxy: Sequence[float], boxes_xyxy: np.ndarray) -> np.ndarray:
    """Returns intersection over union of one box with each of [M, 4], float64 [M].

    Example:
        >>> iou((0, 0, 2, 1), np.array([[1, 0, 3, 1], [0, 0, 2, 1]]))
        array([0.33333333, 1.        ])
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    left, top, right, bottom = (float(value) for value in box_xyxy)
    width = (np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)).clip(min=0)
    height = (np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], top)).clip(min=0)
    shared = width * height
    areas = (boxes[:, 2] - boxes[:, 0]).clip(min=0) * (boxes[:, 3] - boxes[:, 1]).clip(min=0)
    return shared / np.maximum((right - left) * (bottom - top) + areas - shared, 1e-12)
