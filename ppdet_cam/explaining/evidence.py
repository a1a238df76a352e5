"""From one box's feature maps to its map on the image. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from ppdet_cam.explaining.projection import box_on_original, image_placement, nominal_stride, project, roi_placement
from ppdet_cam.methods import Levels, Method, Needs, cells_reached
from ppdet_cam.structures import (
    CellStrides,
    FeatureKind,
    FeatureMap,
    GridMap,
    GridPlacement,
    ImageGeometry,
    LevelShare,
    MapStatus,
)

OnImage = tuple[np.ndarray, tuple[LevelShare, ...], MapStatus]


def map_on_image(
    features: Sequence[FeatureMap],
    method: Method,
    geometry: ImageGeometry,
    *,
    cell_strides: CellStrides | None = None,
    blur_yx: tuple[float, float] = (0.0, 0.0),
    shifts: Mapping[float, tuple[float, float]] = MappingProxyType({}),
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
        blur_yx: standard deviations, in original pixels, of a Gaussian that smooths each level's map on its grid.
        shifts: stride -> how far the grids of it are moved, down and to the right, in network input pixels; coarser
            grids than any of them as the coarsest.

    Returns:
        heatmap: float32 [H, W], >= 0, original pixels; all zero unless the status is OK.

    Raises:
        ValueError: the method looks at no feature map.
    """
    inputs = [_inputs(feature, method) for feature in features]
    finite = all(np.isfinite(value).all() for given in inputs for value in given)
    strides = [_stride_yx(feature, geometry, cell_strides or {}) for feature in features]
    grids = [
        GridMap(
            method.function(*given) if given and finite else np.zeros(feature.grid_hw),
            _placement(feature, geometry, stride_yx, _shift_of(stride_yx, shifts)),
        )
        for feature, given, stride_yx in zip(features, inputs, strides)
    ]
    if any(blur_yx):
        grids = [_blurred(grid, blur_yx) for grid in grids]
    heatmap = np.zeros(geometry.original_hw, dtype=np.float32)
    with np.errstate(over="ignore"):  # evidence beyond float32 becomes infinite, which the status tells
        for grid in grids:
            if grid.values.any():
                heatmap += project(grid.values, grid.placement, original_hw=geometry.original_hw)
    if not np.isfinite(heatmap).all():
        finite, heatmap = False, np.zeros_like(heatmap)
    status = _status(method, inputs, grids, heatmap) if finite else MapStatus.NOT_FINITE
    evidence = [float(grid.values.sum()) if status is MapStatus.OK else 0.0 for grid in grids]
    total = sum(evidence) or 1.0
    shares = tuple(
        LevelShare(feature.layer, feature.level, feature.grid_hw, stride_yx, amount / total, grid, _cells(feature))
        for feature, stride_yx, amount, grid in zip(features, strides, evidence, grids)
    )
    return heatmap, shares, status


def _blurred(grid: GridMap, blur_yx: tuple[float, float]) -> GridMap:
    cell_yx = grid.placement.cell_yx
    if not (grid.values.any() and all(length > 0 for length in cell_yx)):
        return grid
    deviations = [deviation / length for deviation, length in zip(blur_yx, cell_yx)]
    return GridMap(ndimage.gaussian_filter(grid.values, deviations, mode="constant"), grid.placement)


def projected_levels(of: OnImage, *, original_hw: tuple[int, int]) -> list[np.ndarray]:
    """Returns each level's part of a map that was not refined, float32 [H, W]; nothing when it shows nothing."""
    _, levels, status = of
    if status is not MapStatus.OK:
        return []
    return [project(level.grid.values, level.grid.placement, original_hw=original_hw) for level in levels if level.grid]


def refined(coarse: OnImage, finer: Sequence[OnImage]) -> tuple[OnImage, np.ndarray]:
    """Returns a map where the maps of finer layers agree with it, and what each pixel of it was multiplied with.

    The factor is the product of the finer layers' maps, each divided by its own maximum, so 0 to 1. Deep layers know
    which object a box is of and lose where in it the evidence was; shallow ones know where and answer to more than the
    box. LayerCAM (Jiang et al., IEEE TIP 2021) puts the maps of a network's stages together by their maximum; the
    product is this project's choice: a pixel must count in all of them.

    Args:
        coarse: a map; its shares stay what they are.
        finer: of other layers, at least one.

    Returns:
        The map, all zero and with the reason as its status if one of the maps has nothing to show, or if they meet
        nowhere; and float64 [H, W].
    """
    heatmap, shares, status = coarse
    factor = np.ones(heatmap.shape)
    for of_layer, _, of_status in finer:
        factor *= of_layer / (of_layer.max() or 1.0)
        status = of_status if status is MapStatus.OK else status
    result = (heatmap * factor).astype(np.float32)
    if status is MapStatus.OK and not result.any():
        status = MapStatus.DISJOINT
    if status is not MapStatus.OK:
        shares = tuple(dataclasses.replace(share, share=0.0) for share in shares)
        result = np.zeros_like(result)
    return (result, shares, status), factor


def placement_of(
    feature: FeatureMap, geometry: ImageGeometry, *, cell_strides: CellStrides | None = None
) -> GridPlacement:
    """Returns where a feature map's grid lies on the original image."""
    return _placement(feature, geometry, _stride_yx(feature, geometry, cell_strides or {}))


def stride_of(
    feature: FeatureMap, geometry: ImageGeometry, *, cell_strides: CellStrides | None = None
) -> tuple[float, float]:
    """Returns the network input pixels per cell along y and x."""
    return _stride_yx(feature, geometry, cell_strides or {})


def combined(maps: Sequence[OnImage]) -> OnImage:
    """Returns one map of the maps of a target's parts: each divided by its own maximum, then the highest at each pixel.

    ODAM (Zhao and Chan, ICLR 2023) explains the four sides of a box one by one and stretches each map by itself; its
    authors' code shows them side by side, so the maximum is this project's choice. A single map is returned as it is.
    The level shares are the parts' means; parts without a map are left out. The levels' own grids are put together
    in the same way, cell by cell; put on the image they come close to the heatmap.
    """
    shown = [of_part for of_part in maps if of_part[2] is MapStatus.OK]
    if len(maps) == 1 or not shown:
        return maps[0]
    peaks = [heatmap.max() for heatmap, _, _ in shown]
    heatmap = np.maximum.reduce([heatmap / peak for (heatmap, _, _), peak in zip(shown, peaks)])  # type: ignore  # numpy 2.5's stubs
    per_level = zip(*(levels for _, levels, _ in shown))
    return heatmap, tuple(_combined_level(of_level, peaks) for of_level in per_level), MapStatus.OK


def _combined_level(of_parts: Sequence[LevelShare], peaks: Sequence[float]) -> LevelShare:
    share = float(np.mean([level.share for level in of_parts]))
    grids = [level.grid for level in of_parts if level.grid]
    if not grids:
        return dataclasses.replace(of_parts[0], share=share)
    values = np.maximum.reduce([grid.values / peak for grid, peak in zip(grids, peaks)])  # type: ignore  # numpy 2.5's stubs
    return dataclasses.replace(of_parts[0], share=share, grid=GridMap(values, grids[0].placement))


def level_heatmaps(
    maps: Sequence[OnImage],
    *,
    original_hw: tuple[int, int],
    factors: Sequence[np.ndarray] = (),
    parts: Sequence[Sequence[np.ndarray]] = (),
) -> tuple[np.ndarray, ...]:
    """Returns what every level adds to a box's map: they sum to the map that `combined` gives.

    Where the parts of a target are combined, each pixel has one part's value, and so that part's levels.

    Args:
        maps: of the parts, from `map_on_image`.
        original_hw: size of the image, in pixels.
        factors: of refined maps, from `refined`, one for each part.
        parts: for each part its levels' maps before it was refined, where they are not those on its levels' grids.

    Returns:
        float32 [H, W] for each feature map, original pixels; nothing when no part's map shows something.
    """
    before = parts or [projected_levels(of_part, original_hw=original_hw) for of_part in maps]
    shown = [
        (heatmap, [level * factor.astype(np.float32) for level in of_part])
        for (heatmap, _, status), of_part, factor in zip(maps, before, factors or [np.ones(())] * len(maps))
        if status is MapStatus.OK
    ]
    if not shown:
        return ()
    levels = [of_part for _, of_part in shown]
    if len(maps) == 1:
        return tuple(levels[0])
    winner = np.stack([heatmap / heatmap.max() for heatmap, *_ in shown]).argmax(axis=0)
    scaled = [[level / heatmap.max() for level in of_part] for of_part, (heatmap, *_) in zip(levels, shown)]
    return tuple(np.choose(winner, of_level) for of_level in zip(*scaled))


def _cells(feature: FeatureMap) -> float | None:
    """Returns how many cells the gradient reaches; None where there is none, and for a RoI, which is all reached."""
    if feature.gradients is None or feature.kind is FeatureKind.ROI:
        return None
    return cells_reached(feature.gradients)


def _inputs(feature: FeatureMap, method: Method) -> tuple[np.ndarray | float, ...]:
    """Returns what the method's function is called with; nothing for a feature map that takes no part."""
    if method.needs.is_of_images:
        raise ValueError(f"method {method.name!r} makes its map from {method.needs.value}, not from feature maps")
    if method.levels is Levels.OWN and not feature.is_own_level:
        return ()
    wanted: dict[Needs, tuple[np.ndarray | float | None, ...]] = {
        Needs.ACTIVATIONS: (feature.activations,),
        Needs.GRADIENTS: (feature.activations, feature.gradients),
        Needs.ATTENTION: (feature.activations,),
        Needs.ATTENTION_GRADIENTS: (feature.activations, feature.gradients),
        Needs.CHANNEL_SCORES: (feature.activations, feature.channel_scores),
        Needs.ABLATED_SCORES: (feature.activations, feature.score, feature.channel_scores),
    }
    given = tuple(value for value in wanted[method.needs] if value is not None)
    return given if len(given) == len(wanted[method.needs]) else ()


def _status(
    method: Method,
    inputs: Sequence[tuple[np.ndarray | float, ...]],
    grids: Sequence[GridMap],
    heatmap: np.ndarray,
) -> MapStatus:
    used = [given for given in inputs if given]
    if not used:
        return MapStatus.NO_PATH
    if method.needs.is_of_gradients and not any(np.any(gradients) for _, gradients in used):
        return MapStatus.ZERO_GRADIENT
    if not any(grid.values.any() for grid in grids):
        return MapStatus.NEGATIVE
    return MapStatus.OK if heatmap.any() else MapStatus.OUTSIDE


def _stride_yx(feature: FeatureMap, geometry: ImageGeometry, cell_strides: CellStrides) -> tuple[float, float]:
    height, width = feature.grid_hw
    pooled = feature.pooled_xyxy or feature.roi_xyxy
    if pooled is not None:
        left, top, right, bottom = pooled
        return (bottom - top) / height, (right - left) / width
    padded_height, padded_width = geometry.padded_hw
    if feature.grid_hw in cell_strides:
        return cell_strides[feature.grid_hw]
    return nominal_stride(padded_height, height), nominal_stride(padded_width, width)


def _shift_of(stride_yx: tuple[float, float], shifts: Mapping[float, tuple[float, float]]) -> tuple[float, float]:
    known = [stride for stride in shifts if stride <= stride_yx[0]]
    return shifts[max(known)] if known else (0.0, 0.0)


def _placement(
    feature: FeatureMap,
    geometry: ImageGeometry,
    stride_yx: tuple[float, float],
    shift_yx: tuple[float, float] = (0.0, 0.0),
) -> GridPlacement:
    pooled = feature.pooled_xyxy or feature.roi_xyxy
    if pooled is None:
        return image_placement(geometry, stride_yx=stride_yx, shift_yx=shift_yx)
    return roi_placement(box_on_original(pooled, geometry), grid_hw=feature.grid_hw)
