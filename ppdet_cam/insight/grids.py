"""The maps of an image's boxes, `maps.npz`, as grids, and how much of each lies where. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.projection import tent_shares
from ppdet_cam.outputs.raw import block_means
from ppdet_cam.places import open_regular

# maps in the image's pixels become grids of at most so many cells a side, finer than any frame that is laid over them
PIXEL_CELLS = 256


@dataclass(frozen=True)
class ImageGrids:
    """The maps of one image's boxes, K of them.

    Attributes:
        names: of each box, its file stem: "3", "gt_17".
        levels: float [K, h, w] of each feature map, >= 0, raw but for a factor per box; one of maps in pixels.
        top_left_yx: float64 [K, N, 2], outer corner of cell (0, 0) of each box's grid of each of N feature maps.
        cell_yx: float64 [K, N, 2], size of one cell, original pixels.
        original_hw: height and width of the image.
    """

    names: tuple[str, ...]
    levels: tuple[np.ndarray, ...]
    top_left_yx: np.ndarray
    cell_yx: np.ndarray
    original_hw: tuple[int, int]


def read_grids(path: Path) -> ImageGrids:
    """Returns the maps of a `maps.npz`: on the feature grids, or in the image's pixels, which are averaged.

    Raises:
        ConfigError: it is not there, or not as a run writes it.
    """
    try:
        with open_regular(path) as stream, np.load(stream, allow_pickle=False) as archive:
            return _of_pixels(archive) if "maps" in archive else _on_grids(archive)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is not there any more") from error
    except Exception as error:  # numpy and zipfile raise nearly anything on broken data
        raise ConfigError(f"{path} is not as a run writes it: {error}") from error


def _of_pixels(archive: Mapping[str, np.ndarray]) -> ImageGrids:
    maps, reduction = archive["maps"], int(archive["reduction"])
    original_hw = tuple(int(side) for side in archive["original_hw"])
    if reduction < 1 or maps.shape[1:] != tuple(-(-side // reduction) for side in original_hw):
        raise ValueError(
            f"it has values of {list(maps.shape)}, of {reduction} pixels each, for an image of {list(original_hw)}"
        )
    block = -(-max(maps.shape[1:]) // PIXEL_CELLS)
    rows, columns = (-(-side // block) for side in maps.shape[1:])
    level = np.empty((len(maps), rows, columns), np.float32)
    for box, one in enumerate(maps):
        level[box] = block_means(one.astype(np.float32), block)
    places = np.zeros((len(maps), 1, 2))
    return _checked(archive, (level,), places, places + reduction * block)


def _on_grids(archive: Mapping[str, np.ndarray]) -> ImageGrids:
    levels = tuple(archive[f"grid_{number}"].astype(np.float32) for number in range(len(archive["layers"])))
    return _checked(archive, levels, *(archive[name].astype(np.float64) for name in ("top_left_yx", "cell_yx")))


def _checked(
    archive: Mapping[str, np.ndarray], levels: tuple[np.ndarray, ...], corners: np.ndarray, cells: np.ndarray
) -> ImageGrids:
    names = tuple(str(name) for name in archive["names"])
    count = len(levels)
    height, width = (int(side) for side in archive["original_hw"])
    for values, shape in ((corners, (len(names), count, 2)), (cells, (len(names), count, 2))):
        if values.shape != shape:
            raise ValueError(f"it has places of {list(values.shape)} for {len(names)} boxes and {count} feature maps")
    for level in levels:
        if level.ndim != 3 or len(level) != len(names):
            raise ValueError(f"it has values of {list(level.shape)} for {len(names)} boxes")
    everything: list[np.ndarray] = [corners, cells, *levels]
    if min(height, width) < 1 or not all(np.isfinite(values).all() for values in everything):
        raise ValueError("it holds infinity, or values that are no numbers")
    return ImageGrids(names, tuple(np.maximum(level, 0) for level in levels), corners, cells, (height, width))


def heat_between(grids: ImageGrids, edges_y: np.ndarray, edges_x: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Returns how much of some boxes' heat lies in each cell of a raster that is laid over the image for each of them.

    It is what `projection.project` puts there, without the image's pixels between.

    Args:
        grids: of the image.
        edges_y: float [K, n + 1], the raster's rows, original pixels.
        edges_x: float [K, m + 1], its columns.
        rows: which boxes, K of them.

    Returns:
        float64 [K, n, m], raw evidence.
    """
    chosen = list(rows)
    total = np.zeros((len(chosen), edges_y.shape[1] - 1, edges_x.shape[1] - 1))
    for number, level in enumerate(grids.levels):
        start, length = grids.top_left_yx[chosen, number], grids.cell_yx[chosen, number]
        down = tent_shares(edges_y, level.shape[1], start=start[:, 0], cell_length=length[:, 0])
        across = tent_shares(edges_x, level.shape[2], start=start[:, 1], cell_length=length[:, 1])
        total += down @ level[chosen] @ across.transpose(0, 2, 1)
    return total
