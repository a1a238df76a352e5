"""The map on which the stages inside a layer agree: `--method stagecam` on the image. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ppdet_cam.explaining.evidence import OnImage, map_on_image, placement_of, projected_levels
from ppdet_cam.explaining.projection import gathered
from ppdet_cam.methods import LEAST_CELLS, Method, agreement, cells_reached
from ppdet_cam.structures import CellStrides, FeatureKind, FeatureMap, GridMap, ImageGeometry, LevelShare, MapStatus

# Standard deviations of the Gaussians that smooth, in cells of the level that the head made the box from. That cell is
# the network's own measure of the object: a stage's map is smoothed to less than such a cell, and the layer's own map,
# the gate that says which object, is widened so that it does not cut the object out.
STAGE_SMOOTHING = 1 / 8
GATE_WIDENING = 1.0


@dataclass(frozen=True)
class Staged:
    """What the stages agree on.

    Attributes:
        on_image: map, shares and status.
        parts: float32 [H, W] for each of the shares; they sum to the map.
        taken: paths of the stages that took part.
    """

    on_image: OnImage
    parts: tuple[np.ndarray, ...]
    taken: tuple[str, ...]


def staged(
    own: Sequence[FeatureMap],
    stages: Mapping[str, Sequence[FeatureMap]],
    method: Method,
    geometry: ImageGeometry,
    *,
    cell_strides: CellStrides | None = None,
    shifts: Mapping[float, tuple[float, float]] = MappingProxyType({}),
) -> Staged:
    """Returns the map on which a layer and the stages inside of it agree.

    A stage takes part if it has a map and is not blind. The layer itself takes part, widened, if it is not blind, or if
    no stage does; without stages its map stays as it is.

    Args:
        own: the layer's feature maps.
        stages: path -> feature maps of each stage.
        method: what makes a map on the grid of each.
        geometry: where the image lies in the network input.
        cell_strides: the size of a cell, for grids of which the head says so.
        shifts: stride -> from where grids of it are drawn to where they look, as `finer.looks_from` has it: what is
            multiplied has to lie in one place.

    Returns:
        A map that sums to what the layer's own map sums to (or, where that shows nothing, the first stage's): its unit
        is the evidence's, and boxes can be compared.
    """

    def on_image(features: Sequence[FeatureMap], cells: float) -> OnImage:
        blur_yx = (cells * cell_yx[0], cells * cell_yx[1])
        return map_on_image(features, method, geometry, cell_strides=cell_strides, blur_yx=blur_yx, shifts=shifts)

    cell_yx = _own_cell(own, geometry, cell_strides)
    sharp = map_on_image(own, method, geometry, cell_strides=cell_strides)
    of_stage = {path: on_image(features, STAGE_SMOOTHING) for path, features in stages.items()}
    taken = [path for path, found in of_stage.items() if found[2] is MapStatus.OK and not is_blind(stages[path])]
    if not taken:
        parts = projected_levels(sharp, original_hw=geometry.original_hw)
        return Staged((sharp[0], _on_one_grid(*sharp[:2]) if stages else sharp[1], sharp[2]), tuple(parts), ())
    gate = on_image(own, GATE_WIDENING)
    gates = gate[2] is MapStatus.OK and not is_blind(own)
    maps = [(gate, gates), *((found, path in taken) for path, found in of_stage.items())]
    agreed = agreement([found[0] for found, takes_part in maps if takes_part])
    evidence = float((sharp if sharp[2] is MapStatus.OK else of_stage[taken[0]])[0].sum(dtype=np.float64))
    heatmap = (agreed * (evidence / float(agreed.sum()))).astype(np.float32)
    shares, parts = _divided(heatmap, maps)
    return Staged((heatmap, _on_one_grid(heatmap, shares), MapStatus.OK), tuple(parts), tuple(taken))


def _on_one_grid(heatmap: np.ndarray, shares: Sequence[LevelShare]) -> tuple[LevelShare, ...]:
    """Returns the shares, the finest level of the layer itself with the whole map on its grid, the others with none."""
    own = [share for share in shares if share.layer == shares[0].layer]
    finest = max(own, key=lambda share: share.grid_hw[0] * share.grid_hw[1])
    grids = [_gathered(heatmap, share) if share is finest else None for share in shares]
    return tuple(dataclasses.replace(share, grid=grid) for share, grid in zip(shares, grids))


def _gathered(heatmap: np.ndarray, share: LevelShare) -> GridMap | None:
    if share.grid is None:
        return None
    placement = share.grid.placement
    return GridMap(gathered(heatmap, placement, grid_hw=share.grid_hw), placement)


def is_blind(features: Sequence[FeatureMap]) -> bool:
    """Whether a gradient reaches hardly more than a cell of each of a layer's feature maps, and something at all."""
    cells = [cells_reached(feature.gradients) for feature in features if feature.gradients is not None]
    return 0 < max(cells, default=0.0) < LEAST_CELLS and all(f.kind is FeatureKind.IMAGE for f in features)


def _own_cell(
    features: Sequence[FeatureMap], geometry: ImageGeometry, cell_strides: CellStrides | None
) -> tuple[float, float]:
    """Returns the size of a cell of the box's own level, along y and x, in original pixels."""
    own = next((feature for feature in features if feature.is_own_level), features[0])
    return placement_of(own, geometry, cell_strides=cell_strides).cell_yx


def _divided(heatmap: np.ndarray, maps: Sequence[tuple[OnImage, bool]]) -> tuple[list[LevelShare], list[np.ndarray]]:
    """Returns share and part of each level of each map: a pixel is divided as the maps that take part are there."""
    original_hw = heatmap.shape[0], heatmap.shape[1]
    nothing: np.ndarray = np.zeros(original_hw, np.float32)
    of_level: list[tuple[LevelShare, np.ndarray]] = []
    for found, takes_part in maps:
        shown = projected_levels(found, original_hw=original_hw) if takes_part else []
        heights = [part / float(found[0].max()) for part in shown] or [nothing] * len(found[1])
        of_level += zip(found[1], heights)
    total = np.sum([part for _, part in of_level], axis=0)
    parts = [heatmap * np.divide(part, total, out=np.zeros_like(total), where=total > 0) for _, part in of_level]
    sums = [float(part.sum(dtype=np.float64)) for part in parts]
    shares = [
        dataclasses.replace(share, share=amount / (sum(sums) or 1.0)) for (share, _), amount in zip(of_level, sums)
    ]
    return shares, parts
