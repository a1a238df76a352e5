"""Peaks of a heat map, and where one comes to from beside it."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.questions.heights import higher_neighbour, summit

#   0.1 0.2 0.9
#   0.1 0.3 0.2
#   0.8 0.1 0.1
HEIGHTS = np.array([[0.1, 0.2, 0.9], [0.1, 0.3, 0.2], [0.8, 0.1, 0.1]])


@pytest.mark.parametrize(("cell", "wanted"), [(0, 4), (1, 2), (2, None), (4, 2), (3, 6), (6, None), (8, 4)])
def test_higher_neighbour_is_the_highest_of_the_eight(cell: int, wanted: int | None) -> None:
    """Also over corners and at the map's edges, where there are fewer."""
    assert higher_neighbour(HEIGHTS, cell) == wanted


def test_equal_neighbours_are_both_peaks() -> None:
    """As with ppdet's maximum, a cell as high as its neighbour is one."""
    flat = np.full((2, 2), 0.5)
    assert [higher_neighbour(flat, cell) for cell in range(4)] == [None] * 4


def test_summit_goes_up_until_nothing_is_higher() -> None:
    """From the lower right, over the middle, to the upper right; a peak is its own."""
    assert [summit(HEIGHTS, cell) for cell in (8, 4, 0, 6)] == [2, 2, 2, 6]
