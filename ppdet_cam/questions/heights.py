"""Where the peaks of a heat map are. numpy only."""

from __future__ import annotations

import numpy as np


def higher_neighbour(heights: np.ndarray, cell: int) -> int | None:
    """Returns the highest of a cell's eight neighbours, None where none is higher than the cell itself.

    Args:
        heights: float [h, w].
        cell: counted row by row.

    Example:
        >>> higher_neighbour(np.array([[0.1, 0.5, 0.9]]), 0), higher_neighbour(np.array([[0.1, 0.5, 0.9]]), 2)
        (1, None)
    """
    row, column = divmod(cell, heights.shape[1])
    top, left = max(row - 1, 0), max(column - 1, 0)
    around = heights[top : row + 2, left : column + 2]
    if not around.max() > heights[row, column]:
        return None
    down, right = divmod(int(around.argmax()), around.shape[1])  # type: ignore  # numpy 2.5's stubs
    return (top + down) * heights.shape[1] + left + right


def summit(heights: np.ndarray, cell: int) -> int:
    """Returns the peak that is reached from a cell by going to the highest neighbour, again and again.

    Example:
        >>> summit(np.array([[0.1, 0.5, 0.9]]), 0)
        2
    """
    while (higher := higher_neighbour(heights, cell)) is not None:
        cell = higher
    return cell
