"""Occlusion: which places a box's class cannot do without. numpy and scipy only; no forward pass is run here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ppdet_cam.methods.base import Levels, Needs, method

CELLS = 10
WIDENED_BY = 0.4


@dataclass(frozen=True)
class Window:
    """A square place that is occluded.

    Attributes:
        centre_yx: original pixels.
        side: of its core, original pixels.
    """

    centre_yx: tuple[float, float]
    side: float

    def cover(self, image_hw: tuple[int, int]) -> np.ndarray:
        """Returns how far each pixel is occluded: 1 in the core, falling to 0 over half a side around it."""
        along = [self._distance(axis, pixels) for axis, pixels in enumerate(image_hw)]
        rows, columns = (np.clip(1.5 - distance, 0.0, 1.0) for distance in along)
        return np.outer(rows, columns).astype(np.float32)

    def tent(self, image_hw: tuple[int, int]) -> np.ndarray:
        """Returns the window's share of each pixel: a tent over the core and half a side around it, with sum 1 or 0."""
        along = [self._distance(axis, pixels) for axis, pixels in enumerate(image_hw)]
        rows, columns = (np.clip(1.0 - distance, 0.0, 1.0) for distance in along)
        tent = np.outer(rows, columns)
        return tent / (tent.sum() or 1.0)

    def _distance(self, axis: int, pixels: int) -> np.ndarray:
        return np.abs(np.arange(pixels) + 0.5 - self.centre_yx[axis]) / self.side


def windows_over(box_xyxy: Sequence[float], *, image_hw: tuple[int, int], cells: int = CELLS) -> list[Window]:
    """Returns square windows side by side over a box and what lies around it, within the image.

    Args:
        box_xyxy: left, top, right, bottom in original pixels.
        image_hw: height and width of the image.
        cells: windows along the longer side.
    """
    left, top, right, bottom = box_xyxy
    reach = WIDENED_BY * max(right - left, bottom - top)
    top, bottom = max(0.0, top - reach), min(float(image_hw[0]), bottom + reach)
    left, right = max(0.0, left - reach), min(float(image_hw[1]), right + reach)
    if top >= bottom or left >= right:
        return []
    side = max(bottom - top, right - left) / cells
    down, across = max(1, round((bottom - top) / side)), max(1, round((right - left) / side))
    return [
        Window((top + (row + 0.5) * (bottom - top) / down, left + (column + 0.5) * (right - left) / across), side)
        for row in range(down)
        for column in range(across)
    ]


@method(
    "occlusion",
    needs=Needs.OCCLUSIONS,
    levels=Levels.NONE,
    reference="this project's own, after Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, "
    "ECCV 2014, section 4.2",
    cost="some 100 forward passes of the detector",
)
def occlusion(windows: Sequence[Window], drops: np.ndarray, *, image_hw: tuple[int, int]) -> np.ndarray:
    """Returns the map of the places that a box's class cannot do without: sum_n excess_n^2 tent_n.

    A window's excess is by how much the class falls when the window is occluded, less the median over the windows, cut
    at 0: what any occlusion costs counts for nothing. The square lets the map rest on the few windows that decide.

    Deviations from Zeiler and Fergus, who slide a gray square over the image and draw the class probability: the
    windows tile the box and its surroundings only, the fill is the blurred image (`fill_of`), what falls is the lead
    over the best other class (`margin`), and the result is the excess squared.

    Args:
        windows: from `windows_over`.
        drops: float [N], one per window.
        image_hw: height and width of the image.

    Returns:
        float64 [H, W], >= 0, original pixels.

    Example:
        >>> windows = [Window((0.5, 0.5), 1.0), Window((0.5, 1.5), 1.0), Window((0.5, 2.5), 1.0)]
        >>> occlusion(windows, np.array([0.1, 2.1, 0.1]), image_hw=(1, 3))
        array([[0., 4., 0.]])
    """
    heatmap = np.zeros(image_hw)
    excess = (drops - np.median(drops)).clip(min=0.0) if len(drops) else drops
    for window, amount in zip(windows, excess):
        if amount > 0:
            heatmap += amount**2 * window.tent(image_hw)
    return heatmap


def occluded(image: np.ndarray, cover: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Returns the image with its fill where the cover is 1: uint8 [H, W, 3]."""
    weight = cover[..., None]
    return np.rint(image * (1.0 - weight) + fill * weight).astype(np.uint8)


def fill_of(image: np.ndarray, box_xyxy: Sequence[float]) -> np.ndarray:
    """Returns what occludes: the image blurred with a deviation of a quarter of the box's longer side, float32."""
    left, top, right, bottom = box_xyxy
    deviation = max(right - left, bottom - top) / 4
    blurred = ndimage.gaussian_filter(image.astype(np.float32), sigma=(deviation, deviation, 0), mode="nearest")
    return np.asarray(blurred, np.float32)


def margin(probabilities: np.ndarray, class_id: int) -> float:
    """Returns by how much a class leads: the log odds against the best other class; for a lone class, against nothing.

    Args:
        probabilities: float [classes].
        class_id: the class.
    """
    values = probabilities.astype(np.float64).clip(1e-9, 1.0 - 1e-9)
    own, others = float(values[class_id]), np.delete(values, class_id)
    return math.log(own) - math.log(float(others.max()) if len(others) else 1.0 - own)
