"""Convex polygons of four corners: how much of each other, and of each pixel, they cover. numpy only.

Coordinates are continuous with pixel edges at the integers; y points down. Either direction around a polygon will do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# four corners (x, y), one after the other around the polygon
PolygonXy = tuple[tuple[float, float], ...]
BoxXyxy = tuple[float, float, float, float]


def polygon_of(numbers: Sequence[float] | np.ndarray) -> PolygonXy:
    """Returns the polygon of x, y, x, y, ... or of [4, 2].

    Example:
        >>> polygon_of([0, 0, 2, 0, 2, 1, 0, 1])
        ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0))
    """
    return tuple((float(x), float(y)) for x, y in np.asarray(numbers, np.float64).reshape(-1, 2))


def corners_of(box_xyxy: Sequence[float]) -> PolygonXy:
    """Returns an upright box as a polygon.

    Example:
        >>> corners_of((0, 0, 2, 1))
        ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0))
    """
    left, top, right, bottom = (float(side) for side in box_xyxy)
    return (left, top), (right, top), (right, bottom), (left, bottom)


def box_around(polygon_xy: Sequence[Sequence[float]] | np.ndarray) -> BoxXyxy:
    """Returns the upright box around a polygon.

    Example:
        >>> box_around([(1, 0), (2, 1), (1, 2), (0, 1)])
        (0.0, 0.0, 2.0, 2.0)
    """
    left, top, right, bottom = boxes_around_polygons(np.asarray(polygon_xy, np.float64)[None])[0].tolist()
    return left, top, right, bottom


def boxes_around_polygons(polygons_xy: np.ndarray) -> np.ndarray:
    """Returns the upright boxes [M, 4] around polygons [M, corners, 2]."""
    return np.concatenate([polygons_xy.min(axis=1), polygons_xy.max(axis=1)], axis=1)


def is_convex(polygon_xy: Sequence[Sequence[float]]) -> bool:
    """Returns whether a polygon has an area, no dent, and edges that do not cross.

    Example:
        >>> is_convex([(0, 0), (2, 0), (2, 2), (0, 2)]), is_convex([(0, 0), (2, 2), (2, 0), (0, 2)])
        (True, False)
    """
    points = np.asarray(polygon_xy, np.float64)
    edges = np.roll(points, -1, axis=0) - points
    edges = edges[edges.any(axis=1)]  # a corner may be given twice
    turns = _cross(edges, np.roll(edges, -1, axis=0))
    if not turns.any() or (turns.min() < 0 < turns.max()):
        return False
    # a star turns one way as well, but more than once around
    turned = np.arctan2(turns, (edges * np.roll(edges, -1, axis=0)).sum(axis=1)).sum()
    return bool(abs(abs(turned) - 2 * np.pi) < 1e-6)


def areas(polygons_xy: np.ndarray) -> np.ndarray:
    """Returns the area of each of [M, corners, 2], float64 [M], >= 0.

    Example:
        >>> areas(np.array([[[1, 0], [2, 1], [1, 2], [0, 1]]]))
        array([2.])
    """
    return np.abs(_signed_areas(np.asarray(polygons_xy, np.float64)))


def polygon_iou(polygon_xy: Sequence[Sequence[float]], polygons_xy: np.ndarray) -> np.ndarray:
    """Returns intersection over union of one convex polygon with each of others.

    Args:
        polygon_xy: its corners.
        polygons_xy: [M, corners, 2].

    Returns:
        float64 [M], 0 to 1; 0 where neither has an area.

    Example:
        >>> diamond = [(1, 0), (2, 1), (1, 2), (0, 1)]
        >>> polygon_iou(diamond, np.array([[(0, 0), (2, 0), (2, 2), (0, 2)], diamond]))
        array([0.5, 1. ])
    """
    shared = shared_areas(polygon_xy, polygons_xy)
    union = areas(np.asarray(polygon_xy)[None]) + areas(polygons_xy) - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def shared_areas(polygon_xy: Sequence[Sequence[float]] | np.ndarray, polygons_xy: np.ndarray) -> np.ndarray:
    """Returns the area that one convex polygon shares with each of others.

    Each is cut along the one's edges, one after the other (Sutherland and Hodgman, "Reentrant Polygon Clipping",
    Communications of the ACM, 1974).

    Args:
        polygon_xy: its corners.
        polygons_xy: [M, corners, 2].

    Returns:
        float64 [M], >= 0.

    Example:
        >>> shared_areas([(1, 0), (2, 1), (1, 2), (0, 1)], np.array([[(0, 0), (1, 0), (1, 2), (0, 2)]]))
        array([1.])
    """
    one, others = np.asarray(polygon_xy, np.float64), np.asarray(polygons_xy, np.float64)
    shared = np.zeros(len(others))
    if not len(others):
        return shared
    mine, theirs = boxes_around_polygons(one[None]), boxes_around_polygons(others)
    near = np.flatnonzero((theirs[:, :2] < mine[:, 2:]).all(axis=1) & (theirs[:, 2:] > mine[:, :2]).all(axis=1))
    if near.size:
        shared[near] = areas(_cut(others[near], one))
    return shared


def polygon_coverage(polygon_xy: Sequence[Sequence[float]], *, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns how much of each pixel lies in a polygon, exactly.

    Along a row, what of it lies left of x in the polygon is the sum, over the edges that pass the row, of the part of
    the row left of both x and the edge, with the edge's direction as its sign; of that the differences between the
    pixels' edges are taken.

    Args:
        polygon_xy: its corners; edges that do not cross.
        map_hw: height and width of the map.

    Returns:
        float64 [H, W], 0 to 1. It sums to the polygon's area within the image.

    Example:
        >>> polygon_coverage([(0, 0), (2, 0), (0, 2), (0, 1)], map_hw=(2, 2))
        array([[1. , 0.5],
               [0.5, 0. ]])
    """
    points = np.asarray(polygon_xy, np.float64)
    covered = np.zeros(map_hw)
    left, top, right, bottom = box_around(points)
    rows = np.arange(max(0, int(np.floor(top))), min(map_hw[0], int(np.ceil(bottom))))
    columns = np.arange(max(0, int(np.floor(left))), min(map_hw[1], int(np.ceil(right))) + 1)
    if not rows.size or columns.size < 2:
        return covered
    inside = np.zeros((rows.size, columns.size - 1))
    for start, end in zip(points, np.roll(points, -1, axis=0)):
        (upper_x, upper_y), (lower_x, lower_y) = sorted([start, end], key=lambda point: float(point[1]))
        if upper_y == lower_y:
            continue
        first, last = rows.clip(upper_y, lower_y), (rows + 1).clip(upper_y, lower_y)
        slope = (lower_x - upper_x) / (lower_y - upper_y)
        beyond = [columns - (upper_x + slope * (at - upper_y))[:, None] for at in (first, last)]
        sign = 1.0 if end[1] > start[1] else -1.0
        inside += sign * (last - first)[:, None] * (1.0 - np.diff(_mean_above_zero(*beyond), axis=1))
    covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1]] = np.abs(inside).clip(max=1.0)
    return covered


def _mean_above_zero(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the mean of max(0, v) for v that goes evenly from `start` to `end`."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    crossing = np.square(high) / (2 * np.where(high > low, high - low, 1.0))
    return np.where(low >= 0, (low + high) / 2, np.where(high <= 0, 0.0, crossing))


def _cut(polygons: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Returns the part of each polygon [M, n, 2] within a convex one; corners that it has not repeat another."""
    by = by if _signed_areas(by[None])[0] >= 0 else by[::-1]
    for start, end in zip(by, np.roll(by, -1, axis=0)):
        sides = _cross(end - start, polygons - start)
        next_sides, following = np.roll(sides, -1, axis=1), np.roll(polygons, -1, axis=1)
        is_inside, crosses = sides > 0, (sides > 0) != (next_sides > 0)
        along = sides / np.where(crosses, sides - next_sides, 1.0)
        crossing = polygons + along[..., None] * (following - polygons)
        slots = np.stack([polygons, crossing], axis=2).reshape(len(polygons), -1, 2)
        filled = np.stack([is_inside, crosses], axis=2).reshape(len(polygons), -1)
        latest = np.maximum.accumulate(np.where(filled, np.arange(filled.shape[1]), -1), axis=1)
        latest = np.where(latest < 0, latest[:, -1:], latest)  # before the first corner: the last one
        polygons = np.take_along_axis(slots, latest[..., None], axis=1)
    return polygons


def _signed_areas(polygons: np.ndarray) -> np.ndarray:
    centred = polygons - polygons[:, :1]  # far from the origin the products would lose digits
    return 0.5 * _cross(centred, np.roll(centred, -1, axis=1)).sum(axis=1)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
