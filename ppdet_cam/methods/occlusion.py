"""Occlusion: which places a box's class cannot do without. numpy and scipy only; no forward pass is run here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ppdet_cam.methods.base import Levels, Needs, method

CELLS = 10
WIDENED_BY = 0.4
DECIDING = 0.25  # of the highest excess


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

    def reach(self, image_hw: tuple[int, int]) -> tuple[slice, slice]:
        """Returns rows and columns of the pixels that are occluded at all."""
        rows, columns = (np.flatnonzero(self._distance(axis, pixels) < 1.5) for axis, pixels in enumerate(image_hw))
        return _span(rows), _span(columns)

    def core(self, image_hw: tuple[int, int]) -> tuple[slice, slice]:
        """Returns rows and columns of the pixels whose centres lie in the core."""
        rows, columns = (np.flatnonzero(self._distance(axis, pixels) <= 0.5) for axis, pixels in enumerate(image_hw))
        return _span(rows), _span(columns)

    def _distance(self, axis: int, pixels: int) -> np.ndarray:
        return np.abs(np.arange(pixels) + 0.5 - self.centre_yx[axis]) / self.side


def _span(positions: np.ndarray) -> slice:
    return slice(int(positions[0]), int(positions[-1]) + 1) if len(positions) else slice(0, 0)


def windows_over(box_xyxy: Sequence[float], *, image_hw: tuple[int, int], cells: int = CELLS) -> list[Window]:
    """Returns square windows over a box and what lies around it, within the image, leaving no gap between them.

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
    down, across = (max(1, math.ceil(length / side - 1e-6)) for length in (bottom - top, right - left))
    return [
        Window((top + (row + 0.5) * (bottom - top) / down, left + (column + 0.5) * (right - left) / across), side)
        for row in range(down)
        for column in range(across)
    ]


def shifted(windows: Sequence[Window], excess: np.ndarray) -> list[Window]:
    """Returns windows half a side away, along one axis or both, from those that decide.

    Args:
        windows: from `windows_over`.
        excess: float [N], by how much more than usual the class falls for each; those with at least `DECIDING` of the
            highest decide.
    """
    if not np.any(excess > 0):
        return []
    half = windows[0].side / 2
    places: dict[tuple[int, int], Window] = {}
    for window, amount in zip(windows, excess):
        if amount >= DECIDING * excess.max():
            for down, across in itertools.product((-half, 0.0, half), repeat=2):
                centre_yx = window.centre_yx[0] + down, window.centre_yx[1] + across
                key = round(4 * centre_yx[0] / half), round(4 * centre_yx[1] / half)
                if down or across:
                    places.setdefault(key, Window(centre_yx, window.side))
    return list(places.values())


@method(
    "occlusion",
    needs=Needs.OCCLUSIONS,
    levels=Levels.NONE,
    reference="this project's own, after Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, "
    "ECCV 2014, section 4.2",
    cost="some 150 forward passes of the detector",
)
def occlusion(windows: Sequence[Window], excess: np.ndarray, *, image_hw: tuple[int, int]) -> np.ndarray:
    """Returns the map of the places that a box's class cannot do without.

    A pixel's value is the least excess among the windows over it, to the third power: a place counts if no window can
    cover it without the class falling, and the power lets the map rest on the few places that decide. It is smoothed by
    an eighth of a window's side.

    Deviations from Zeiler and Fergus, who slide a gray square over the image and draw the class probability: the
    windows tile the box and its surroundings only, and again half a side away from where they decide; the fill is the
    blurred image (`fill_of`); what falls is the lead over the best other class (`margin`); what any occlusion costs
    counts for nothing; and windows are intersected.

    Args:
        windows: from `windows_over` and `shifted`.
        excess: float [N], by how much more than usual the class falls when each is occluded; below 0 counts as 0.
        image_hw: height and width of the image.

    Returns:
        float64 [H, W], >= 0, original pixels.

    Example:
        >>> windows = [Window((0.5, 1.0), 2.0), Window((0.5, 2.0), 2.0)]
        >>> occlusion(windows, np.array([2.0, 1.0]), image_hw=(1, 3)).round(2)
        array([[8., 1., 1.]])
    """
    least = np.full(image_hw, np.inf)
    for window, amount in zip(windows, excess):
        core = window.core(image_hw)
        least[core] = np.minimum(least[core], max(0.0, float(amount)))
    least[~np.isfinite(least)] = 0.0
    deviation = windows[0].side / 8 if windows else 0.0
    return np.asarray(ndimage.gaussian_filter(least**3, deviation, mode="nearest"), np.float64)


def occluded(image: np.ndarray, cover: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Returns the image with its fill where the cover is 1: uint8 [H, W, 3]."""
    weight = cover[..., None]
    return np.rint(image * (1.0 - weight) + fill * weight).astype(np.uint8)


def occluded_by(image: np.ndarray, window: Window, fill: np.ndarray) -> np.ndarray:
    """Returns the image with a window filled, as `occluded` does; the other pixels are not computed."""
    place = window.reach((image.shape[0], image.shape[1]))
    altered = image.copy()
    altered[place] = occluded(image[place], window.cover((image.shape[0], image.shape[1]))[place], fill[place])
    return altered


def fill_of(image: np.ndarray, box_xyxy: Sequence[float], *, cells: int = CELLS) -> np.ndarray:
    """Returns what occludes: the image blurred with a deviation of a quarter of the box's longer side, float32.

    It is blurred where windows reach, and left as it is elsewhere.

    Args:
        image: uint8 [H, W, 3].
        box_xyxy: left, top, right, bottom in original pixels.
        cells: windows along the longer side, as of `windows_over`.
    """
    left, top, right, bottom = box_xyxy
    longer = max(right - left, bottom - top)
    deviation = longer / 4
    reach = WIDENED_BY * longer + 2 * (1 + 2 * WIDENED_BY) * longer / cells  # of a window that is half a side away
    seen = reach + 4 * deviation + 1  # the Gaussian is cut at four deviations
    fill = image.astype(np.float32)
    (rows, columns), (rows_seen, columns_seen) = (
        _around(box_xyxy, distance, image_hw=(image.shape[0], image.shape[1])) for distance in (reach, seen)
    )
    blurred = ndimage.gaussian_filter(fill[rows_seen, columns_seen], sigma=(deviation, deviation, 0), mode="nearest")
    fill[rows, columns] = blurred[
        rows.start - rows_seen.start : rows.stop - rows_seen.start,
        columns.start - columns_seen.start : columns.stop - columns_seen.start,
    ]
    return fill


def _around(box_xyxy: Sequence[float], distance: float, *, image_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Returns rows and columns of the pixels at most so far from a box."""
    left, top, right, bottom = box_xyxy
    rows, columns = (
        slice(
            int(np.clip(math.floor(start - distance), 0, length)), int(np.clip(math.ceil(stop + distance), 0, length))
        )
        for start, stop, length in ((top, bottom, image_hw[0]), (left, right, image_hw[1]))
    )
    return rows, columns


def margin(probabilities: np.ndarray, class_id: int) -> float:
    """Returns by how much a class leads: the log odds against the best other class; for a lone class, against nothing.

    Args:
        probabilities: float [classes].
        class_id: the class.
    """
    values = probabilities.astype(np.float64).clip(1e-9, 1.0 - 1e-9)
    own, others = float(values[class_id]), np.delete(values, class_id)
    return math.log(own) - math.log(float(others.max()) if len(others) else 1.0 - own)
