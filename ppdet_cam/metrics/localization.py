"""Where a map lies: on its box, on the evidence, on other objects, and how widely it is spread. numpy only.

A box is four numbers, or the four corners of a rotated one. All of these look at the map's shape alone: a map times a
positive number scores the same. A blank map (all zero) is a miss: 0 where more is better; where less is better it
scores as a flat map (spread) or the worst value (`object_discrimination`). No metric returns NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppdet_cam.metrics.regions import (
    Box,
    MetricError,
    box_coverage,
    box_share,
    checked_box,
    checked_heatmap,
    checked_mask,
    checked_polygon,
    is_polygon,
)


def pointing(heatmap: np.ndarray, box_xyxy: Box) -> float:
    """Returns whether the map's peak lies in the box: the pointing game.

    Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, section 4.1: a hit when the highest
    pixel lies in the object. Deviations: no margin around the object (theirs is 15 pixels); a peak pixel that the
    box's edge cuts hits by the part of it that is in the box; when several pixels share the highest value, the hit is
    the mean over them, which is the chance of a hit when one of them is drawn. So a flat map scores the box's share of
    the image, and neither the order of pixels nor a flip of the image matters.

    Args:
        heatmap: float [H, W], >= 0.
        box_xyxy: left, top, right, bottom in the map's pixels, or the four corners (x, y) of a rotated box.

    Returns:
        0 to 1; 0 for a blank map, and for a box outside the image.

    Example:
        >>> pointing(np.array([[0.0, 3.0], [1.0, 0.0]]), (1.0, 0.0, 2.0, 1.0))
        1.0
    """
    values = checked_heatmap(heatmap)
    return _peak_share(values, box_coverage(box_xyxy, map_hw=_hw(values)))


def pointing_in_mask(heatmap: np.ndarray, mask: np.ndarray) -> float:
    """Returns whether the map's peak lies on the object's mask: the pointing game on segmentations.

    As `pointing`, with the mask in the box's place.

    Args:
        heatmap: float [H, W], >= 0.
        mask: bool [H, W], or float, the part of each pixel that belongs to the object.

    Returns:
        0 to 1; 0 for a blank map.

    Example:
        >>> pointing_in_mask(np.array([[0.0, 3.0]]), np.array([[True, False]]))
        0.0
    """
    values = checked_heatmap(heatmap)
    return _peak_share(values, checked_mask(mask, map_hw=_hw(values)))


def pointing_over_chance(heatmap: np.ndarray, box_xyxy: Box) -> float:
    """Returns `pointing` divided by the box's share of the image, which a flat map would score.

    Args:
        heatmap: float [H, W], >= 0.
        box_xyxy: left, top, right, bottom in the map's pixels, or the four corners (x, y) of a rotated box.

    Returns:
        0 to 1 / share; 1 is chance. 0 for a blank map, and for a box without area in the image.

    Example:
        >>> pointing_over_chance(np.array([[0.0, 3.0], [1.0, 0.0]]), (1.0, 0.0, 2.0, 1.0))
        4.0
    """
    return _over_chance(pointing(heatmap, box_xyxy), box_xyxy, heatmap)


def energy(heatmap: np.ndarray, box_xyxy: Box) -> float:
    """Returns the share of the map's sum that lies in the box: the energy-based pointing game.

    Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPR Workshops 2020,
    section 4.3: sum of L over the box / sum of L. Deviation: a pixel cut by the box's edge counts by the part of it
    that is in the box; papers round the box to whole pixels.

    Args:
        heatmap: float [H, W], >= 0.
        box_xyxy: left, top, right, bottom in the map's pixels, or the four corners (x, y) of a rotated box.

    Returns:
        0 to 1; 0 for a blank map. A flat map scores the box's share of the image.

    Example:
        >>> energy(np.array([[1.0, 2.0], [0.0, 1.0]]), (1.0, 0.0, 2.0, 1.0))
        0.5
    """
    values = checked_heatmap(heatmap)
    return _energy_share(values, box_coverage(box_xyxy, map_hw=_hw(values)))


def energy_in_mask(heatmap: np.ndarray, mask: np.ndarray) -> float:
    """Returns the share of the map's sum that lies on the object's mask.

    As `energy`, with the mask in the box's place.

    Args:
        heatmap: float [H, W], >= 0.
        mask: bool [H, W], or float, the part of each pixel that belongs to the object.

    Returns:
        0 to 1; 0 for a blank map.

    Example:
        >>> energy_in_mask(np.array([[1.0, 3.0]]), np.array([[True, False]]))
        0.25
    """
    values = checked_heatmap(heatmap)
    return _energy_share(values, checked_mask(mask, map_hw=_hw(values)))


def energy_over_chance(heatmap: np.ndarray, box_xyxy: Box) -> float:
    """Returns `energy` divided by the box's share of the image: the mean density in the box over that of the image.

    Args:
        heatmap: float [H, W], >= 0.
        box_xyxy: left, top, right, bottom in the map's pixels, or the four corners (x, y) of a rotated box.

    Returns:
        0 to 1 / share; 1 is chance. 0 for a blank map, and for a box without area in the image.

    Example:
        >>> energy_over_chance(np.array([[1.0, 2.0], [0.0, 1.0]]), (1.0, 0.0, 2.0, 1.0))
        2.0
    """
    return _over_chance(energy(heatmap, box_xyxy), box_xyxy, heatmap)


def evidence_hit(heatmap: np.ndarray, evidence_xyxy: Box) -> float:
    """Returns whether the map's peak lies on the evidence, the place that alone makes the object its class.

    `pointing` on the evidence's box, which may lie in the object's box or outside of it. Only data whose evidence is
    known by construction can be asked; a map of the object's box alone scores little here.

    Args:
        heatmap: float [H, W], >= 0.
        evidence_xyxy: left, top, right, bottom of the evidence in the map's pixels.

    Returns:
        0 to 1; 0 for a blank map.

    Example:
        >>> evidence_hit(np.array([[0.0, 3.0, 1.0]]), (0.0, 0.0, 1.0, 1.0))
        0.0
    """
    return pointing(heatmap, evidence_xyxy)


def evidence_energy(heatmap: np.ndarray, evidence_xyxy: Box) -> float:
    """Returns the share of the map's sum that lies on the evidence.

    `energy` on the evidence's box, which may lie in the object's box or outside of it. To see what the method knows
    beyond the object's box, compare with the same number of the baseline `box` (`metrics.baselines`).

    Args:
        heatmap: float [H, W], >= 0.
        evidence_xyxy: left, top, right, bottom of the evidence in the map's pixels.

    Returns:
        0 to 1; 0 for a blank map.

    Example:
        >>> evidence_energy(np.array([[1.0, 3.0, 0.0]]), (0.0, 0.0, 1.0, 1.0))
        0.25
    """
    return energy(heatmap, evidence_xyxy)


def compactness(heatmap: np.ndarray, box_xyxy: Box) -> float:
    """Returns how far the map's energy lies from its peak, in half diagonals of the box: less is more compact.

    Zhao and Chan, "ODAM: Gradient-based Instance-Specific Visual Explanations for Object Detection", ICLR 2023, their
    compactness as `tools/eval_pointgame.py` of their code computes it: sqrt(sum_i h_i |x_i - x_peak|^2 / (S sum_i h_i))
    with S = (width^2 + height^2) / 4. The peak is the first highest pixel, row by row. No deviation for a map that is
    not blank.

    Args:
        heatmap: float [H, W], >= 0.
        box_xyxy: left, top, right, bottom in the map's pixels; only its width and height count. Of four corners, the
            two diagonals' mean square counts.

    Returns:
        0 (all energy in one pixel) and up, at most the image's diagonal over the box's half diagonal. A blank map
        counts as a flat one.

    Raises:
        MetricError: the box has neither width nor height.

    Example:
        >>> compactness(np.array([[3.0, 0.0, 1.0]]), (0.0, 0.0, 2.0, 0.0))
        1.0
    """
    values = checked_heatmap(heatmap)
    half_diagonal_squared = _half_diagonal_squared(box_xyxy)
    if half_diagonal_squared == 0:
        raise MetricError(f"box {box_xyxy!r} is a point; compactness is measured in half diagonals of the box")
    if not values.any():
        values = np.ones_like(values)
    peak_y, peak_x = np.unravel_index(np.argmax(values), values.shape)
    distance_squared = (
        np.square(np.arange(values.shape[0]) - peak_y)[:, None]
        + np.square(np.arange(values.shape[1]) - peak_x)[None, :]
    )
    density = values / values.sum()
    return float(np.sqrt((density * distance_squared).sum() / half_diagonal_squared))


def energy_area(heatmap: np.ndarray, *, share: float) -> float:
    """Returns the smallest share of the image's area that holds a given share of the map's energy: less is tighter.

    Pixels are taken from the highest value down until their sum reaches `share` of the whole; the last one counts by
    the part of it that is needed. This is the map's Lorenz curve read at one point (Hurley and Rickard, "Comparing
    Measures of Sparsity", IEEE Transactions on Information Theory, 2009, use the whole curve for the Gini index).
    Unlike `compactness` it asks for no single peak: two tight spots far apart are tight.

    Args:
        heatmap: float [H, W], >= 0.
        share: the energy to be held, above 0 and at most 1.

    Returns:
        Above 0 and at most `share`, which a flat map scores. A blank map counts as a flat one.

    Raises:
        MetricError: `share` is out of its range.

    Example:
        >>> energy_area(np.array([[4.0, 2.0, 1.0, 1.0]]), share=0.5), energy_area(np.ones((2, 2)), share=0.5)
        (0.25, 0.5)
    """
    if not 0 < share <= 1:
        raise MetricError(f"share is {share}; it must be above 0 and at most 1")
    values = checked_heatmap(heatmap)
    if not values.any():
        return float(share)
    descending = np.sort(values, axis=None)[::-1]
    cumulated = np.cumsum(descending)
    target = share * cumulated[-1]
    whole_pixels = int(np.searchsorted(cumulated, target))
    held = cumulated[whole_pixels - 1] if whole_pixels else 0.0
    return float((whole_pixels + (target - held) / descending[whole_pixels]) / values.size)


def object_discrimination(heatmap: np.ndarray, box_xyxy: Box, *, other_boxes_xyxy: Sequence[Box]) -> float:
    """Returns how much of the energy on objects lies on other objects: less tells the object apart better.

    Zhao and Chan, ICLR 2023 (see `compactness`), "object discrimination index" (ODI), as `tools/eval_odi.py` of their
    code computes it on boxes: energy in the union of the other objects' boxes / energy in the union of all boxes. Where
    the own box overlaps another one, the energy counts as the other's. Deviations: border pixels count by the part that
    the boxes cover, theirs are rounded outwards (a pixel that several boxes cut counts by the largest part); a blank
    map scores 1, theirs 0, which would be the best value.

    Args:
        heatmap: float [H, W], >= 0.
        box_xyxy: the explained object, in the map's pixels.
        other_boxes_xyxy: the image's other objects. Without any the value is 0 whatever the map: leave such images out
            of averages.

    Returns:
        0 to 1. 0 when no energy lies on any object; 1 for a blank map.

    Example:
        >>> object_discrimination(np.array([[3.0, 1.0, 5.0]]), (0, 0, 1, 1), other_boxes_xyxy=[(1, 0, 2, 1)])
        0.25
    """
    values = checked_heatmap(heatmap)
    if not values.any():
        return 1.0
    others = np.zeros_like(values)
    for other_xyxy in other_boxes_xyxy:
        others = np.maximum(others, box_coverage(other_xyxy, map_hw=_hw(values)))
    every = np.maximum(others, box_coverage(box_xyxy, map_hw=_hw(values)))
    on_objects = float((values * every).sum())
    return float((values * others).sum() / on_objects) if on_objects else 0.0


def _half_diagonal_squared(box_xyxy: Box) -> float:
    if is_polygon(box_xyxy):
        one, two, three, four = np.array(checked_polygon(box_xyxy))
        return float((np.square(three - one).sum() + np.square(four - two).sum()) / 8)
    left, top, right, bottom = checked_box(box_xyxy)
    return ((right - left) ** 2 + (bottom - top) ** 2) / 4


def _hw(values: np.ndarray) -> tuple[int, int]:
    return int(values.shape[0]), int(values.shape[1])


def _peak_share(values: np.ndarray, region: np.ndarray) -> float:
    """Returns the mean of `region` over the pixels with the highest value, 0 for a blank map."""
    highest = values.max()
    return float(region[values == highest].mean()) if highest > 0 else 0.0


def _energy_share(values: np.ndarray, region: np.ndarray) -> float:
    """Returns the part of the map's sum that lies in the region, 0 for a blank map."""
    total = values.sum()
    return min(float((values * region).sum() / total), 1.0) if total > 0 else 0.0


def _over_chance(value: float, box_xyxy: Box, heatmap: np.ndarray) -> float:
    chance = box_share(box_xyxy, map_hw=_hw(np.asarray(heatmap)))
    return value / chance if chance > 0 else 0.0
