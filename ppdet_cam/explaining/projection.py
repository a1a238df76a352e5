"""From a feature grid, or a RoI's grid, to the original image.

Every cell spreads its evidence over the image as a tent: highest at the cell's centre, zero at the centres
of its neighbours. Between cells this is bilinear interpolation. What a pixel gets is the tent's integral over
that pixel, so the map neither loses nor invents evidence, whether it is enlarged or made smaller, and an
impulse in one cell peaks at that cell's centre, in border cells as well.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import sparse

from ppdet_cam.structures import GridPlacement, ImageGeometry


def nominal_stride(input_length: int, cells: int) -> float:
    """Returns the network input pixels per cell along one axis.

    Strided convolutions and poolings halve the length again and again and round up or down, so the last cell
    of an input that is no multiple of the stride reaches beyond the input or stops before its end; the stride
    stays a power of two. Rounding up, which padded convolutions do, is tried first. For any other ratio, and for a
    single cell, the cells are taken to cover the input evenly.

    Args:
        input_length: length of the network input, in pixels.
        cells: length of the grid, in cells.

    Example:
        >>> nominal_stride(640, 80), nominal_stride(359, 45), nominal_stride(300, 7)
        (8.0, 8.0, 42.857142857142854)
    """
    ratio = input_length / cells
    below = 2.0 ** math.floor(math.log2(ratio))
    for rounded in (math.ceil, math.floor):
        for stride in (below, 2 * below):
            if cells > 1 and rounded(input_length / stride) == cells:
                return stride
    return ratio


def image_placement(
    geometry: ImageGeometry, *, stride_yx: tuple[float, float], shift_yx: tuple[float, float] = (0.0, 0.0)
) -> GridPlacement:
    """Returns where a grid over the whole network input lies on the original image.

    Args:
        geometry: where the image lies in the network input.
        stride_yx: network input pixels per cell.
        shift_yx: how far below and to the right of the input's corner the grid's corner lies, in network input pixels.
    """
    return GridPlacement(
        top_left_yx=(
            (shift_yx[0] - geometry.offset_yx[0]) / geometry.scale_yx[0],
            (shift_yx[1] - geometry.offset_yx[1]) / geometry.scale_yx[1],
        ),
        cell_yx=(stride_yx[0] / geometry.scale_yx[0], stride_yx[1] / geometry.scale_yx[1]),
    )


def roi_placement(box_xyxy: tuple[float, float, float, float], *, grid_hw: tuple[int, int]) -> GridPlacement:
    """Returns where the grid pooled from a RoI lies on the original image: evenly over that RoI."""
    left, top, right, bottom = box_xyxy
    return GridPlacement(
        top_left_yx=(top, left),
        cell_yx=((bottom - top) / grid_hw[0], (right - left) / grid_hw[1]),
    )


def box_on_original(
    box_xyxy: tuple[float, float, float, float], geometry: ImageGeometry
) -> tuple[float, float, float, float]:
    """Returns a box of the network input in original pixels."""
    (scale_y, scale_x), (offset_y, offset_x) = geometry.scale_yx, geometry.offset_yx
    left, top, right, bottom = box_xyxy
    return (
        (left - offset_x) / scale_x,
        (top - offset_y) / scale_y,
        (right - offset_x) / scale_x,
        (bottom - offset_y) / scale_y,
    )


def project(grid_map: np.ndarray, placement: GridPlacement, *, original_hw: tuple[int, int]) -> np.ndarray:
    """Returns the map on the original image.

    Args:
        grid_map: [h, w], evidence per cell.
        placement: where the grid lies.
        original_hw: size of the image, in pixels.

    Returns:
        float32 [H, W], evidence per pixel. It sums to `grid_map.sum()` less what lies outside the image.
    """
    rows = _tent_weights(grid_map.shape[0], placement.top_left_yx[0], placement.cell_yx[0], original_hw[0])
    columns = _tent_weights(grid_map.shape[1], placement.top_left_yx[1], placement.cell_yx[1], original_hw[1])
    along_x = columns @ np.asarray(grid_map, dtype=np.float64).T
    return (rows @ along_x.T).astype(np.float32)


def gathered(heatmap: np.ndarray, placement: GridPlacement, *, grid_hw: tuple[int, int]) -> np.ndarray:
    """Returns a map on a grid: what of it lies in each cell.

    Args:
        heatmap: [H, W], evidence per pixel.
        placement: where the grid lies.
        grid_hw: its size, in cells.

    Returns:
        float64 [h, w]. It sums to `heatmap.sum()` less what lies beside the grid.
    """
    rows, columns = (
        _overlaps(cells, start, length, pixels)
        for cells, start, length, pixels in zip(grid_hw, placement.top_left_yx, placement.cell_yx, heatmap.shape)
    )
    return rows @ np.asarray(heatmap, dtype=np.float64) @ columns.T


def _overlaps(cells: int, start: float, cell_length: float, pixels: int) -> np.ndarray:
    """Returns [cells, pixels]: the part of each pixel that lies in each cell of one axis."""
    edges = start + np.arange(cells + 1) * cell_length
    lows, highs = np.maximum(edges[:-1, None], np.arange(pixels)), np.minimum(edges[1:, None], np.arange(1, pixels + 1))
    return np.maximum(highs - lows, 0.0)


def tent_shares(edges: np.ndarray, cells: int, *, start: np.ndarray, cell_length: np.ndarray) -> np.ndarray:
    """Returns which part of each cell's evidence falls between neighbouring edges, along one axis of some boxes' grids.

    Args:
        edges: float [K, n + 1], ascending, original pixels.
        cells: of the grid along this axis.
        start: float [K], the outer corner of the first cell.
        cell_length: float [K], of one cell; a box whose cells have no length gets nothing.

    Returns:
        float64 [K, n, cells], 0 to 1.

    Example:
        >>> tent_shares(np.array([[-9.0, 1.0, 9.0]]), 1, start=np.array([0.0]), cell_length=np.array([2.0]))
        array([[[0.5],
                [0.5]]])
    """
    is_there = cell_length > 0
    lengths = np.where(is_there, cell_length, 1.0)[:, None]
    centres = start[:, None] + (np.arange(cells) + 0.5) * lengths
    cumulated = _tent_integral((edges[:, :, None] - centres[:, None, :]) / lengths[:, None])
    return np.diff(cumulated, axis=1) * is_there[:, None, None]


@lru_cache(maxsize=64)
def _tent_weights(cells: int, start: float, cell_length: float, pixels: int) -> sparse.csr_matrix:
    """Returns [pixels, cells]: the part of each cell's evidence that falls into each pixel of one axis."""
    if not cell_length > 0:
        return sparse.csr_matrix((pixels, cells))
    centres = start + (np.arange(cells) + 0.5) * cell_length
    edges = np.arange(pixels + 1)
    cumulated = _tent_integral((edges[:, None] - centres[None, :]) / cell_length)
    return sparse.csr_matrix(np.diff(cumulated, axis=0))


def _tent_integral(position: np.ndarray) -> np.ndarray:
    """Returns the integral from minus infinity to `position` of the tent max(0, 1 - |u|)."""
    left = np.clip(position + 1.0, 0.0, 1.0)
    right = np.clip(position, 0.0, 1.0)
    return 0.5 * left**2 + right - 0.5 * right**2
