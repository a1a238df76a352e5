"""The part of each pixel that a box covers, and the checks that all metrics make on what they are given."""

from __future__ import annotations

from typing import Union

import numpy as np

from ppdet_cam.errors import PpdetCamError
from ppdet_cam.polygons import PolygonXy, polygon_coverage, polygon_of

# (left, top, right, bottom), or the four corners (x, y) of a rotated box
Box = Union[tuple[float, float, float, float], PolygonXy]


class MetricError(PpdetCamError, ValueError):
    """Arrays or numbers that a metric cannot be computed from."""


def box_coverage(box_xyxy: Box, *, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns how much of each pixel lies in a box.

    Pixel i covers [i, i + 1), so along one axis it shares max(0, min(i + 1, right) - max(i, left)) with the box; the
    pixel's covered area is the product over the axes. Of a rotated box the covered area is exact as well
    (`polygons.polygon_coverage`). What lies outside the image counts for nothing.

    Args:
        box_xyxy: left, top, right, bottom in pixels, any floats with left <= right and top <= bottom; or the four
            corners (x, y) of a convex polygon.
        map_hw: height and width of the map.

    Returns:
        float64 [H, W], 0 to 1. It sums to the area of the box within the image.

    Raises:
        MetricError: the box is not finite, or its edges are the wrong way round.

    Example:
        >>> box_coverage(((1, 0), (2, 1), (1, 2), (0, 1)), map_hw=(2, 2))
        array([[0.5, 0.5],
               [0.5, 0.5]])
        >>> box_coverage((0.5, 0.0, 2.0, 0.5), map_hw=(1, 3))
        array([[0.25, 0.5 , 0.  ]])
    """
    if is_polygon(box_xyxy):
        return polygon_coverage(checked_polygon(box_xyxy), map_hw=map_hw)
    left, top, right, bottom = checked_box(box_xyxy)
    along_y = _axis_coverage(top, bottom, map_hw[0])
    along_x = _axis_coverage(left, right, map_hw[1])
    return np.outer(along_y, along_x)


def box_share(box_xyxy: Box, *, map_hw: tuple[int, int]) -> float:
    """Returns the box's share of the image's area, which is what a flat map scores in it by chance.

    Args:
        box_xyxy: left, top, right, bottom, or four corners, in pixels; only the part within the image counts.
        map_hw: height and width of the image.

    Returns:
        0 to 1.

    Example:
        >>> box_share((0.0, 0.0, 2.0, 1.0), map_hw=(2, 4))
        0.25
    """
    return float(box_coverage(box_xyxy, map_hw=map_hw).sum() / (map_hw[0] * map_hw[1]))


def is_polygon(box_xyxy: Box) -> bool:
    """Returns whether a box is given by its corners."""
    return np.ndim(box_xyxy) == 2


def checked_polygon(corners_xy: Box) -> PolygonXy:
    """Returns the corners as floats.

    Raises:
        MetricError: they are not four finite (x, y).
    """
    points = np.asarray(corners_xy, dtype=np.float64)
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise MetricError(
            f"{corners_xy!r} are not a polygon's four corners; give four finite (x, y), in order around it"
        )
    return polygon_of(points)


def checked_box(box_xyxy: Box) -> tuple[float, float, float, float]:
    """Returns the box as floats.

    Raises:
        MetricError: it has not four finite edges, or they are the wrong way round.
    """
    edges = np.asarray(box_xyxy, dtype=np.float64)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise MetricError(f"box {box_xyxy!r} is not four finite numbers; give (left, top, right, bottom) in pixels")
    left, top, right, bottom = edges.tolist()
    if right < left or bottom < top:
        raise MetricError(
            f"box {box_xyxy!r} ends before it begins; give (left, top, right, bottom), "
            "not (left, top, width, height) as COCO does"
        )
    return left, top, right, bottom


def checked_heatmap(heatmap: np.ndarray) -> np.ndarray:
    """Returns the map as float64.

    Raises:
        MetricError: it is not [H, W] with at least one pixel, not finite, or negative somewhere.
    """
    values = np.asarray(heatmap, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise MetricError(f"a map is [H, W] with at least one pixel, not {list(values.shape)}")
    if not np.isfinite(values).all():
        raise MetricError("the map holds NaN or infinity; a map that could not be computed is given as all zero")
    if values.min() < 0:
        raise MetricError(f"the map goes down to {values.min():.3g}; metrics take evidence >= 0, so cut it at 0 first")
    return values


def checked_mask(mask: np.ndarray, *, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns the mask as float64, the part of each pixel that belongs to the object.

    Raises:
        MetricError: it has another size than the map, or values outside 0 to 1.
    """
    values = np.asarray(mask, dtype=np.float64)
    if values.shape != map_hw:
        raise MetricError(f"the mask is {list(values.shape)}, the map {list(map_hw)}; they must have one size")
    if not ((values >= 0) & (values <= 1)).all():
        raise MetricError("a mask holds the part of each pixel that belongs to the object, 0 to 1, or booleans")
    return values


def _axis_coverage(start: float, stop: float, pixels: int) -> np.ndarray:
    """Returns [pixels]: the length that each pixel of one axis shares with [start, stop]."""
    edges = np.arange(pixels + 1, dtype=np.float64)
    return np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0.0, 1.0)
