"""From one box's feature maps and gradients to its map on the image. numpy only."""

from __future__ import annotations

from typing import Sequence

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
from ppdet_cam.structures import FeatureMap, ImageGeometry, LevelShare, MapStatus


def map_on_image(
    features: Sequence[FeatureMap], method: Method, geometry: ImageGeometry, *, stretches_cells: bool = False
) -> tuple[np.ndarray, tuple[LevelShare, ...], MapStatus]:
    """Returns (heatmap, each level's share of the evidence, whether the map shows something).

    A level's evidence is the sum of its map over its cells. Each cell's evidence is spread over the image area
    that the cell stands for, and the levels are added: so every level takes part in proportion to its evidence,
    and neither a fine grid's many cells nor a coarse grid's large ones count for more.

    Args:
        features: all captured feature maps of one box.
        method: (activations, gradients) -> map on the grid, >= 0.
        geometry: where the image lies in the network input.
        stretches_cells: see `Extractor.stretches_cells`.

    Returns:
        heatmap: float32 [H, W], >= 0, original pixels; all zero unless the status is OK.
    """
    grid_maps = [_grid_map(feature, method) for feature in features]
    evidence = [float(grid_map.sum()) for grid_map in grid_maps]
    status = _status(features, evidence)
    total = sum(evidence) if status is MapStatus.OK else 0.0
    heatmap = np.zeros(geometry.original_hw, dtype=np.float32)
    shares = []
    for feature, grid_map, amount in zip(features, grid_maps, evidence):
        stride_yx = _stride_yx(feature, geometry, stretches_cells)
        share = amount / total if total else 0.0
        shares.append(LevelShare(feature.layer, feature.level, feature.grid_hw, stride_yx, share))
        if share > 0:
            placement = _placement(feature, geometry, stride_yx)
            heatmap += project(grid_map, placement, original_hw=geometry.original_hw)
    if status is MapStatus.OK and not heatmap.any():
        status = MapStatus.OUTSIDE
    return heatmap, tuple(shares), status


def _grid_map(feature: FeatureMap, method: Method) -> np.ndarray:
    if feature.gradients is None:
        return np.zeros(feature.grid_hw)
    return method(feature.activations, feature.gradients)


def _status(features: Sequence[FeatureMap], evidence: Sequence[float]) -> MapStatus:
    gradients = [feature.gradients for feature in features if feature.gradients is not None]
    if not gradients:
        return MapStatus.NO_PATH
    if not np.isfinite(evidence).all() or not all(np.isfinite(gradient).all() for gradient in gradients):
        return MapStatus.NOT_FINITE
    if not any(gradient.any() for gradient in gradients):
        return MapStatus.ZERO_GRADIENT
    return MapStatus.OK if sum(evidence) > 0 else MapStatus.NEGATIVE


def _stride_yx(feature: FeatureMap, geometry: ImageGeometry, stretches_cells: bool) -> tuple[float, float]:
    height, width = feature.grid_hw
    if feature.roi_xyxy is not None:
        left, top, right, bottom = feature.roi_xyxy
        return (bottom - top) / height, (right - left) / width
    padded_height, padded_width = geometry.padded_hw
    if stretches_cells:
        return padded_height / height, padded_width / width
    return nominal_stride(padded_height, height), nominal_stride(padded_width, width)


def _placement(feature: FeatureMap, geometry: ImageGeometry, stride_yx: tuple[float, float]) -> GridPlacement:
    if feature.roi_xyxy is None:
        return image_placement(geometry, stride_yx=stride_yx)
    return roi_placement(box_on_original(feature.roi_xyxy, geometry), grid_hw=feature.grid_hw)
