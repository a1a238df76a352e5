"""Maps that no detector was asked for: what a metric gives to a method that only knows the box, or nothing."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from scipy import special

from ppdet_cam.metrics.regions import Box, box_coverage, checked_box, checked_polygon, is_polygon
from ppdet_cam.polygons import PolygonXy
from ppdet_cam.registry import Registry


class Baseline(Protocol):
    """(box, size) -> map."""

    def __call__(self, box_xyxy: Box, *, map_hw: tuple[int, int]) -> np.ndarray: ...


baselines: Registry[Baseline] = Registry("baseline")


@baselines.register("uniform")
def uniform(box_xyxy: Box, *, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns the same value everywhere: chance.

    Args:
        box_xyxy: not looked at; here so that all baselines are called alike.
        map_hw: height and width of the map.

    Returns:
        float64 [H, W], sums to 1.

    Example:
        >>> uniform((0, 0, 1, 1), map_hw=(1, 2))
        array([[0.5, 0.5]])
    """
    return np.full(map_hw, 1.0 / (map_hw[0] * map_hw[1]))


@baselines.register("box")
def filled_box(box_xyxy: Box, *, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns the box filled evenly; a pixel cut by its edge gets the part that is in the box.

    Args:
        box_xyxy: left, top, right, bottom, or four corners, in pixels.
        map_hw: height and width of the map.

    Returns:
        float64 [H, W], sums to 1; all zero for a box without area in the image.

    Example:
        >>> filled_box((0.0, 0.0, 1.5, 1.0), map_hw=(1, 3)).round(3)
        array([[0.667, 0.333, 0.   ]])
    """
    return _density(box_coverage(box_xyxy, map_hw=map_hw))


@baselines.register("centred_gaussian")
def centred_gaussian(box_xyxy: Box, *, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns a Gaussian on the box's centre, cut off at the box: "look at the middle of the object".

    Its standard deviation is a quarter of the box's width along x and of its height along y, so the box reaches two
    standard deviations to each side. A pixel gets the Gaussian's integral over the part of it that is in the box; in a
    rotated box, whose width and height run along its own sides, the value at its middle times the part in the box.

    Args:
        box_xyxy: left, top, right, bottom, or four corners, in pixels.
        map_hw: height and width of the map.

    Returns:
        float64 [H, W], sums to 1; all zero for a box without area in the image.

    Example:
        >>> centred_gaussian((0.0, 0.0, 4.0, 1.0), map_hw=(1, 4)).round(3)
        array([[0.142, 0.358, 0.358, 0.142]])
    """
    if is_polygon(box_xyxy):
        return _density(_rotated_gaussian(checked_polygon(box_xyxy), map_hw) * box_coverage(box_xyxy, map_hw=map_hw))
    left, top, right, bottom = checked_box(box_xyxy)
    along_y = _axis_gaussian(top, bottom, map_hw[0])
    along_x = _axis_gaussian(left, right, map_hw[1])
    return _density(np.outer(along_y, along_x))


def _axis_gaussian(start: float, stop: float, pixels: int) -> np.ndarray:
    """Returns [pixels]: the integral of a Gaussian over the part of each pixel within [start, stop]."""
    if not stop > start:
        return np.zeros(pixels)
    edges = np.clip(np.arange(pixels + 1, dtype=np.float64), start, stop)
    deviation = (stop - start) / 4
    return np.diff(special.erf((edges - (start + stop) / 2) / (math.sqrt(2) * deviation))) / 2


def _rotated_gaussian(corners: PolygonXy, map_hw: tuple[int, int]) -> np.ndarray:
    """Returns [H, W], at each pixel's middle, a Gaussian on the corners' middle with a quarter of each side."""
    one, two, three, four = np.array(corners)
    sides = np.stack([(two - one + three - four) / 2, (four - one + three - two) / 2])
    if abs(np.linalg.det(sides)) < 1e-12:
        return np.zeros(map_hw)
    y, x = np.mgrid[: map_hw[0], : map_hw[1]] + 0.5
    middle = (one + two + three + four) / 4
    in_sides = np.stack([x - middle[0], y - middle[1]], axis=-1) @ np.linalg.inv(sides)
    return np.exp(-np.square(4 * in_sides).sum(axis=-1) / 2)


def _density(weights: np.ndarray) -> np.ndarray:
    total = weights.sum()
    return weights / total if total > 0 else weights
