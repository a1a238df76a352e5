"""From one box's feature maps and gradients to its map on the image. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppdet_cam.methods import Method
from ppdet_cam.projection import (
    GridPlacement,
    box_on_original,
    image_placement,
    nominal_stride,
    project,
    roi_placement,
)
from ppdet_cam.structures import CellStrides, FeatureMap, ImageGeometry, LevelShare, MapStatus


def map_on_image(
    features: Sequence[FeatureMap],
    method: Method,
    geometry: ImageGeometry,
    *,
    cell_strides: CellStrides | None = None,
) -> tuple[np.ndarray, tuple[LevelShare, ...], MapStatus]:
    """Returns (heatmap, each level's share of the evidence, whether the map shows something).

    A level's evidence is the sum of its map over its cells. Each cell's evidence is spread over the image area
    that the cell stands for, and the levels are added: so every level takes part in proportion to its evidence,
    and neither a fine grid's many cells nor a coarse grid's large ones count for more.

    Args:
        features: all captured feature maps of one box.
        method: (activations, gradients) -> map on the grid, >= 0.
        geometry: where the image lies in the network input.
        cell_strides: the size of a cell, for grids of which the head says so.

    Returns:
        heatmap: float32 [H, W], >= 0, original pixels; all zero unless the status is OK.
    """
    finite = all(_is_finite(feature) for feature in features)
    grid_maps = [_grid_map(feature, method) if finite else np.zeros(feature.grid_hw) for feature in features]
    strides = [_stride_yx(feature, geometry, cell_strides or {}) for feature in features]
    heatmap = np.zeros(geometry.original_hw, dtype=np.float32)
    for feature, grid_map, stride_yx in zip(features, grid_maps, strides):
        if grid_map.any():
            placement = _placement(feature, geometry, stride_yx)
            heatmap += project(grid_map, placement, original_hw=geometry.original_hw)
    status = _status(features, grid_maps, heatmap) if finite else MapStatus.NOT_FINITE
    evidence = [float(grid_map.sum()) if status is MapStatus.OK else 0.0 for grid_map in grid_maps]
    total = sum(evidence) or 1.0
    shares = tuple(
        LevelShare(feature.layer, feature.level, feature.grid_hw, stride_yx, amount / total)
        for feature, stride_yx, amount in zip(features, strides, evidence)
    )
    return heatmap, shares, status


def _is_finite(feature: FeatureMap) -> bool:
    return feature.gradients is None or bool(
        np.isfinite(feature.gradients).all() and np.isfinite(feature.activations).all()
    )


def _grid_map(feature: FeatureMap, method: Method) -> np.ndarray:
    if feature.gradients is None:
        return np.zeros(feature.grid_hw)
    return method(feature.activations, feature.gradients)


def _status(features: Sequence[FeatureMap], grid_maps: Sequence[np.ndarray], heatmap: np.ndarray) -> MapStatus:
    gradients = [feature.gradients for feature in features if feature.gradients is not None]
    if not gradients:
        return MapStatus.NO_PATH
    if not any(gradient.any() for gradient in gradients):
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
