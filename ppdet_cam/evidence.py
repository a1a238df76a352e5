"""From one box's feature maps to its map on the image. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ppdet_cam.methods import Levels, Method, Needs
from ppdet_cam.projection import (
    GridPlacement,
    box_on_original,
    image_placement,
    nominal_stride,
    project,
    roi_placement,
)
from ppdet_cam.structures import CellStrides, FeatureMap, ImageGeometry, LevelShare, MapStatus

OnImage = tuple[np.ndarray, tuple[LevelShare, ...], MapStatus]


def map_on_image(
    features: Sequence[FeatureMap],
    method: Method,
    geometry: ImageGeometry,
    *,
    cell_strides: CellStrides | None = None,
) -> OnImage:
    """Returns (heatmap, each level's share of the evidence, whether the map shows something).

    A level's evidence is the sum of its map over its cells. Each cell's evidence is spread over the image area
    that the cell stands for, and the levels are added: so every level takes part in proportion to its evidence,
    and neither a fine grid's many cells nor a coarse grid's large ones count for more.

    Args:
        features: all captured feature maps of one box.
        method: what makes a map on the grid of each; a level that it leaves out, or that has not got what it needs,
            counts 0.
        geometry: where the image lies in the network input.
        cell_strides: the size of a cell, for grids of which the head says so.

    Returns:
        heatmap: float32 [H, W], >= 0, original pixels; all zero unless the status is OK.

    Raises:
        ValueError: the method looks at no feature map.
    """
    inputs = [_inputs(feature, method) for feature in features]
    finite = all(np.isfinite(value).all() for given in inputs for value in given)
    grid_maps = [
        method.function(*given) if given and finite else np.zeros(feature.grid_hw)
        for feature, given in zip(features, inputs)
    ]
    strides = [_stride_yx(feature, geometry, cell_strides or {}) for feature in features]
    heatmap = np.zeros(geometry.original_hw, dtype=np.float32)
    with np.errstate(over="ignore"):  # evidence beyond float32 becomes infinite, which the status tells
        for feature, grid_map, stride_yx in zip(features, grid_maps, strides):
            if grid_map.any():
                placement = _placement(feature, geometry, stride_yx)
                heatmap += project(grid_map, placement, original_hw=geometry.original_hw)
    if not np.isfinite(heatmap).all():
        finite, heatmap = False, np.zeros_like(heatmap)
    status = _status(method, inputs, grid_maps, heatmap) if finite else MapStatus.NOT_FINITE
    evidence = [float(grid_map.sum()) if status is MapStatus.OK else 0.0 for grid_map in grid_maps]
    total = sum(evidence) or 1.0
    shares = tuple(
        LevelShare(feature.layer, feature.level, feature.grid_hw, stride_yx, amount / total)
        for feature, stride_yx, amount in zip(features, strides, evidence)
    )
    return heatmap, shares, status


def placement_of(
    feature: FeatureMap, geometry: ImageGeometry, *, cell_strides: CellStrides | None = None
) -> GridPlacement:
    """Returns where a feature map's grid lies on the original image."""
    return _placement(feature, geometry, _stride_yx(feature, geometry, cell_strides or {}))


def combined(maps: Sequence[OnImage]) -> OnImage:
    """Returns one map of the maps of a target's parts: each divided by its own maximum, then the highest at each pixel.

    ODAM (Zhao and Chan, ICLR 2023) explains the four sides of a box one by one and stretches each map by itself; its
    authors' code shows them side by side, so the maximum is this project's choice. A single map is returned as it is.
    The level shares are the parts' means; parts without a map are left out.
    """
    shown = [of_part for of_part in maps if of_part[2] is MapStatus.OK]
    if len(maps) == 1 or not shown:
        return maps[0]
    heatmap = np.maximum.reduce([heatmap / heatmap.max() for heatmap, _, _ in shown])
    per_level = zip(*(levels for _, levels, _ in shown))
    levels = tuple(
        dataclasses.replace(of_level[0], share=float(np.mean([level.share for level in of_level])))
        for of_level in per_level
    )
    return heatmap, levels, MapStatus.OK


def level_heatmaps(
    per_part: Sequence[Sequence[FeatureMap]],
    maps: Sequence[OnImage],
    method: Method,
    geometry: ImageGeometry,
    *,
    cell_strides: CellStrides | None = None,
) -> tuple[np.ndarray, ...]:
    """Returns what every level adds to a box's map: they sum to the map that `combined` gives.

    Where the parts of a target are combined, each pixel has one part's value, and so that part's levels.

    Args:
        per_part: for each part of the target, all captured feature maps of the box.
        maps: of the parts, from `map_on_image`.
        method, geometry, cell_strides: as for `map_on_image`.

    Returns:
        float32 [H, W] for each feature map, original pixels; nothing when no part's map shows something.
    """
    shown = [(features, of_part[0]) for features, of_part in zip(per_part, maps) if of_part[2] is MapStatus.OK]
    if not shown:
        return ()
    levels = [
        [map_on_image([feature], method, geometry, cell_strides=cell_strides)[0] for feature in features]
        for features, _ in shown
    ]
    if len(maps) == 1:
        return tuple(levels[0])
    winner = np.stack([heatmap / heatmap.max() for _, heatmap in shown]).argmax(axis=0)
    scaled = [[level / heatmap.max() for level in of_part] for of_part, (_, heatmap) in zip(levels, shown)]
    return tuple(np.choose(winner, of_level) for of_level in zip(*scaled))


def _inputs(feature: FeatureMap, method: Method) -> tuple[np.ndarray | float, ...]:
    """Returns what the method's function is called with; nothing for a feature map that takes no part."""
    if method.needs.is_of_images:
        raise ValueError(f"method {method.name!r} makes its map from {method.needs.value}, not from feature maps")
    if method.levels is Levels.OWN and not feature.is_own_level:
        return ()
    wanted: dict[Needs, tuple[np.ndarray | float | None, ...]] = {
        Needs.ACTIVATIONS: (feature.activations,),
        Needs.GRADIENTS: (feature.activations, feature.gradients),
        Needs.CHANNEL_SCORES: (feature.activations, feature.channel_scores),
        Needs.ABLATED_SCORES: (feature.activations, feature.score, feature.channel_scores),
    }
    given = tuple(value for value in wanted[method.needs] if value is not None)
    return given if len(given) == len(wanted[method.needs]) else ()


def _status(
    method: Method,
    inputs: Sequence[tuple[np.ndarray | float, ...]],
    grid_maps: Sequence[np.ndarray],
    heatmap: np.ndarray,
) -> MapStatus:
    used = [given for given in inputs if given]
    if not used:
        return MapStatus.NO_PATH
    if method.needs is Needs.GRADIENTS and not any(np.any(gradients) for _, gradients in used):
        return MapStatus.ZERO_GRADIENT
    if not any(grid_map.any() for grid_map in grid_maps):
        return MapStatus.NEGATIVE
    return MapStatus.OK if heatmap.any() else MapStatus.OUTSIDE


def _stride_yx(feature: FeatureMap, geometry: ImageGeometry, cell_strides: CellStrides) -> tuple[float, float]:
    height, width = feature.grid_hw
    if feature.roi_xyxy is not None:
        left, top, right, bottom = feature.roi_xyxy
        return (bottom - top) / height, (right - left) / width
    padded_height, padded_width = geometry.padded_hw
    if feature.grid_hw in cell_strides:
        return cell_strides[feature.grid_hw]
    return nominal_stride(padded_height, height), nominal_stride(padded_width, width)


def _placement(feature: FeatureMap, geometry: ImageGeometry, stride_yx: tuple[float, float]) -> GridPlacement:
    if feature.roi_xyxy is None:
        return image_placement(geometry, stride_yx=stride_yx)
    return roi_placement(box_on_original(feature.roi_xyxy, geometry), grid_hw=feature.grid_hw)
