"""The maps that a run stored, `maps.npz` of an image, on a grid that two runs share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.projection import project
from ppdet_cam.outputs.raw import block_means
from ppdet_cam.places import open_regular
from ppdet_cam.structures import GridMap, GridPlacement


@dataclass(frozen=True)
class StoredMaps:
    """The maps of one image's boxes.

    Attributes:
        by_name: what a box is called in the run's files -> float16 or float32 [h, w], >= 0, the map divided by its
            maximum; those stored on feature grids are put on the image when they are asked for.
        reduction: so many pixels of the image along each side are one value of a map.
        original_hw: height and width of the image.
    """

    by_name: Mapping[str, np.ndarray]
    reduction: int
    original_hw: tuple[int, int]


class _OnGrids(Mapping[str, np.ndarray]):
    """Boxes' names -> their maps, which are put on the image one at a time: all of them need not fit into memory."""

    def __init__(self, grids: Mapping[str, Sequence[GridMap]], original_hw: tuple[int, int]) -> None:
        self._grids, self._original_hw = grids, original_hw

    def __getitem__(self, name: str) -> np.ndarray:
        heatmap = np.zeros(self._original_hw, np.float32)
        for grid in self._grids[name]:
            heatmap += project(grid.values, grid.placement, original_hw=self._original_hw)
        return heatmap / (heatmap.max(initial=0.0) or 1.0)  # type: ignore  # numpy 2.5's stubs

    def __iter__(self) -> Iterator[str]:
        return iter(self._grids)

    def __len__(self) -> int:
        return len(self._grids)


def read_maps(path: Path) -> StoredMaps:
    """Returns the maps of a `maps.npz`.

    Raises:
        ConfigError: it is not there, or not as a run writes it.
    """
    try:
        # opened here, as numpy leaves a file open that is no archive
        with open_regular(path) as stream, np.load(stream, allow_pickle=False) as archive:
            return _in_pixels(archive) if "maps" in archive else _on_grids(archive)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is not there any more") from error
    except Exception as error:  # numpy and zipfile raise nearly anything on broken data
        raise ConfigError(f"{path} is not as a run writes it: {error}") from error


def _in_pixels(archive: Mapping[str, np.ndarray]) -> StoredMaps:
    maps, names, original_hw = archive["maps"], archive["names"], _original_hw(archive)
    reduction = int(archive["reduction"])
    grid_hw = tuple(-(-side // max(reduction, 1)) for side in original_hw)
    if reduction < 1 or maps.shape != (len(names), *grid_hw):
        raise ValueError(_unfit(maps, names, original_hw))
    _check_finite(maps)
    return StoredMaps({str(name): heatmap for name, heatmap in zip(names, maps)}, reduction, original_hw)


def _on_grids(archive: Mapping[str, np.ndarray]) -> StoredMaps:
    names, original_hw, count = archive["names"], _original_hw(archive), len(archive["layers"])
    corners, cells = archive["top_left_yx"], archive["cell_yx"]
    stacks = [archive[f"grid_{number}"] for number in range(count)]
    for places in (corners, cells):
        if places.shape != (len(names), count, 2):
            raise ValueError(_unfit(places, names, original_hw))
    for stack in stacks:
        if stack.ndim != 3 or len(stack) != len(names):
            raise ValueError(_unfit(stack, names, original_hw))
    _check_finite(corners, cells, *stacks)
    grids = {
        str(name): [
            GridMap(stack[box], GridPlacement(_pair(corners[box, number]), _pair(cells[box, number])))
            for number, stack in enumerate(stacks)
        ]
        for box, name in enumerate(names)
    }
    return StoredMaps(_OnGrids(grids, original_hw), 1, original_hw)


def _original_hw(archive: Mapping[str, np.ndarray]) -> tuple[int, int]:
    height, width = (int(side) for side in archive["original_hw"])
    return height, width


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _check_finite(*arrays: np.ndarray) -> None:
    if not all(np.isfinite(values).all() for values in arrays):
        raise ValueError("it holds infinity, or values that are no numbers")


def _unfit(values: np.ndarray, names: np.ndarray, original_hw: tuple[int, int]) -> str:
    height, width = original_hw
    return f"it has {list(values.shape)} values for {len(names)} boxes of an image of {height}x{width} pixels"


def shared_reduction(a: StoredMaps, b: StoredMaps) -> int:
    """Returns how many pixels along each side one value stands for when both runs' maps are on one grid."""
    return math.lcm(a.reduction, b.reduction)


def map_on_grid(maps: StoredMaps, name: str, reduction: int) -> np.ndarray | None:
    """Returns a box's map, each value the mean of reduction x reduction pixels; None when it was not stored.

    Args:
        maps: of the image.
        name: what the box is called in the run's files.
        reduction: a multiple of the maps' own.

    Returns:
        float32 [ceil(H / reduction), ceil(W / reduction)], >= 0.
    """
    stored = maps.by_name.get(name)
    return None if stored is None else block_means(stored.astype(np.float32), reduction // maps.reduction)
