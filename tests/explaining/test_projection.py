"""Evidence in a cell lands on that cell's place in the original image, none lost and none invented."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ppdet_cam.explaining.projection import (
    GridPlacement,
    box_on_original,
    image_placement,
    nominal_stride,
    project,
    roi_placement,
)
from ppdet_cam.structures import ImageGeometry


@dataclass(frozen=True)
class Case:
    """A grid over a network input, with what follows from it by hand: the stride, and the cells on the image."""

    geometry: ImageGeometry
    grid_hw: tuple[int, int]
    stride_yx: tuple[float, float]
    cells_on_image: int


def geometry(
    original_hw: tuple[int, int],
    padded_hw: tuple[int, int],
    scale_yx: tuple[float, float] = (1.0, 1.0),
    offset_yx: tuple[float, float] = (0.0, 0.0),
) -> ImageGeometry:
    return ImageGeometry(original_hw, padded_hw, scale_yx, offset_yx)


CASES = {
    "resized up, other scale per axis": Case(
        geometry((120, 200), (320, 320), (320 / 120, 320 / 200)), (10, 10), (32.0, 32.0), 100
    ),
    "resized down, other scale per axis": Case(
        geometry((500, 333), (256, 256), (256 / 500, 256 / 333)), (8, 8), (32.0, 32.0), 64
    ),
    # 90 x 150 -> 180 x 300; the last column's centre, 304, lies in the padding
    "keep-ratio, padded right and bottom": Case(geometry((90, 150), (192, 320), (2.0, 2.0)), (6, 10), (32.0, 32.0), 54),
    # 150 x 100 -> 120 x 80 in 160 x 160: rows 6 and 7 and columns 4 to 7 are beyond the image; 8 cells of 16 would
    # not reach across 160, so the cells are 20
    "keep-ratio down, a wide padding": Case(geometry((150, 100), (160, 160), (0.8, 0.8)), (8, 8), (20.0, 20.0), 24),
    "own size, rounded up": Case(geometry((53, 45), (53, 45)), (7, 6), (8.0, 8.0), 42),
    # 404 / 16 = 25.25 -> 26 cells, the last of them centred at 408
    "own size, last row beyond the image": Case(geometry((404, 48), (404, 48)), (26, 3), (16.0, 16.0), 75),
    "own size, rounded down": Case(geometry((75, 70), (75, 70)), (9, 8), (8.0, 8.0), 72),
    "no power of two": Case(geometry((300, 280), (300, 280)), (7, 7), (300 / 7, 40.0), 49),
    # 60 x 80 -> 120 x 160 at (10, 30) in 160 x 224; that holds the centres of rows 1 to 7 and columns 2 to 11
    "offset": Case(geometry((60, 80), (160, 224), (2.0, 2.0), (10.0, 30.0)), (10, 14), (16.0, 16.0), 70),
}

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def impulse(grid_hw: tuple[int, int], row: int, column: int) -> np.ndarray:
    grid_map = np.zeros(grid_hw)
    grid_map[row, column] = 1.0
    return grid_map


def peak_yx(heatmap: np.ndarray) -> tuple[float, float]:
    """Returns the centre of the highest pixel."""
    row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    return row + 0.5, column + 0.5


def project_case(case: Case, grid_map: np.ndarray) -> np.ndarray:
    placement = image_placement(case.geometry, stride_yx=case.stride_yx)
    return project(grid_map, placement, original_hw=case.geometry.original_hw)


@pytest.mark.parametrize(
    ("input_length", "cells", "stride"),
    [
        (640, 80, 8.0),
        (640, 20, 32.0),
        (640, 640, 1.0),
        (423, 53, 8.0),
        (359, 45, 8.0),
        (404, 26, 16.0),
        (300, 75, 4.0),
        (75, 37, 2.0),
        (300, 37, 8.0),
        (300, 19, 16.0),
        (300, 10, 32.0),
        (300, 7, 300 / 7),
        (160, 8, 20.0),
        (32, 64, 0.5),
    ],
)
def test_nominal_stride_is_the_power_of_two_that_rounding_allows_or_else_the_ratio(
    input_length: int, cells: int, stride: float
) -> None:
    """A grid rounded up or down keeps its power of two; any other grid covers the input evenly."""
    assert nominal_stride(input_length, cells) == pytest.approx(stride, abs=1e-12)


@each_case
def test_nominal_stride_gives_the_stride_of_each_case(case: Case) -> None:
    """The strides that the placement tests below take for granted are those that the package finds."""
    found = tuple(nominal_stride(length, cells) for length, cells in zip(case.geometry.padded_hw, case.grid_hw))
    assert found == pytest.approx(case.stride_yx)


def test_image_placement_undoes_scale_and_offset() -> None:
    """A grid at scale (2, 4) and offset (10, 30) starts at (-5, -7.5), with cells of 16 / 2 by 32 / 4 pixels."""
    placement = image_placement(geometry((60, 80), (160, 352), (2.0, 4.0), (10.0, 30.0)), stride_yx=(16.0, 32.0))
    assert placement == GridPlacement(top_left_yx=(-5.0, -7.5), cell_yx=(8.0, 8.0))


@each_case
def test_project_puts_an_impulse_on_its_cells_centre(case: Case) -> None:
    """An impulse in any cell, border cells too, peaks at the cell's centre to half a pixel per axis."""
    height, width = case.geometry.original_hw
    looked_at, misplaced = 0, []
    for row in range(case.grid_hw[0]):
        for column in range(case.grid_hw[1]):
            centre_y = ((row + 0.5) * case.stride_yx[0] - case.geometry.offset_yx[0]) / case.geometry.scale_yx[0]
            centre_x = ((column + 0.5) * case.stride_yx[1] - case.geometry.offset_yx[1]) / case.geometry.scale_yx[1]
            if not (0 <= centre_y < height and 0 <= centre_x < width):
                continue
            looked_at += 1
            y, x = peak_yx(project_case(case, impulse(case.grid_hw, row, column)))
            if abs(y - centre_y) > 0.5 + 1e-6 or abs(x - centre_x) > 0.5 + 1e-6:
                misplaced.append(((row, column), (centre_y, centre_x), (y, x)))
    assert looked_at == case.cells_on_image
    assert misplaced == []


@each_case
def test_project_returns_a_float32_map_of_the_originals_size(case: Case) -> None:
    """The map is contiguous float32 of the original's size, finite and nowhere negative."""
    heatmap = project_case(case, np.ones(case.grid_hw, dtype=np.float32))
    assert heatmap.shape == case.geometry.original_hw
    assert heatmap.dtype == np.float32
    assert heatmap.flags.c_contiguous
    assert np.isfinite(heatmap).all()
    assert heatmap.min() >= 0


@pytest.mark.parametrize(
    ("name", "row", "column"),
    [
        ("resized up, other scale per axis", 1, 1),
        ("resized up, other scale per axis", 8, 3),
        ("resized down, other scale per axis", 6, 6),
        ("no power of two", 1, 5),
        ("offset", 2, 3),
        ("offset", 6, 10),
    ],
)
def test_project_keeps_the_evidence_of_an_inner_cell(name: str, row: int, column: int) -> None:
    """A cell whose tent lies on the image gives the image all of its evidence, whatever the scale."""
    heatmap = project_case(CASES[name], 3.0 * impulse(CASES[name].grid_hw, row, column))
    assert heatmap.sum(dtype=np.float64) == pytest.approx(3.0, rel=1e-6)


def test_project_loses_what_lies_outside_the_image() -> None:
    """A border cell's tent reaches half a cell beyond the edge: 1/8 of it per axis is lost."""
    case = CASES["resized up, other scale per axis"]
    corner = project_case(case, impulse(case.grid_hw, 0, 0))
    edge = project_case(case, impulse(case.grid_hw, 9, 4))
    assert corner.sum(dtype=np.float64) == pytest.approx((7 / 8) ** 2, rel=1e-6)
    assert edge.sum(dtype=np.float64) == pytest.approx(7 / 8, rel=1e-6)


def test_project_shows_nothing_of_a_cell_in_the_padding() -> None:
    """A cell whose tent lies in the padding leaves the image empty."""
    case = CASES["keep-ratio down, a wide padding"]
    assert not project_case(case, impulse(case.grid_hw, 7, 7)).any()
    assert not project_case(case, impulse(case.grid_hw, 0, 5)).any()


def test_project_keeps_the_evidence_when_the_image_is_smaller_than_the_grid() -> None:
    """On a 16 x 16 image under an 80 x 80 grid, every cell off the border still counts in full."""
    tiny = geometry((16, 16), (640, 640), (40.0, 40.0))
    placement = image_placement(tiny, stride_yx=(8.0, 8.0))
    grid_map = np.zeros((80, 80))
    grid_map[1:-1, 1:-1] = np.random.default_rng(0).random((78, 78))
    heatmap = project(grid_map, placement, original_hw=(16, 16))
    assert heatmap.sum(dtype=np.float64) == pytest.approx(grid_map.sum(), rel=1e-6)
    for row, column in [(1, 1), (2, 7), (37, 41), (78, 78), (40, 1)]:
        one = project(impulse((80, 80), row, column), placement, original_hw=(16, 16))
        assert one.sum(dtype=np.float64) == pytest.approx(1.0, rel=1e-6)
        assert peak_yx(one) == (row // 5 + 0.5, column // 5 + 0.5)


def test_project_gives_a_constant_grid_a_constant_density() -> None:
    """Cells of 12 x 20 pixels with evidence 1 give 1/240 per pixel, up to half a cell from the border."""
    case = CASES["resized up, other scale per axis"]
    heatmap = project_case(case, np.ones(case.grid_hw))
    np.testing.assert_allclose(heatmap[6:-6, 10:-10], 1 / 240, rtol=1e-6)
    assert heatmap.max() == pytest.approx(1 / 240, rel=1e-6)


def test_project_gives_a_constant_grid_a_constant_density_on_a_tiny_image() -> None:
    """Cells of 0.2 pixels give 25 per pixel; a border pixel lacks 1/40 per axis, where no tent overlaps the first."""
    placement = GridPlacement(top_left_yx=(0.0, 0.0), cell_yx=(0.2, 0.2))
    heatmap = project(np.ones((80, 80)), placement, original_hw=(16, 16))
    np.testing.assert_allclose(heatmap[1:-1, 1:-1], 25.0, rtol=1e-6)
    np.testing.assert_allclose(heatmap[0, 1:-1], 25.0 * 0.975, rtol=1e-6)
    assert heatmap[-1, -1] == pytest.approx(25.0 * 0.975**2, rel=1e-6)


def test_project_is_bilinear_between_cell_centres() -> None:
    """Cells 1, 3, 5, 7 of 4 x 4 pixels have density (1 + 2u + 4v) / 16 at (u, v) of the way between their centres."""
    grid_map = np.array([[1.0, 3.0], [5.0, 7.0]])
    heatmap = project(grid_map, GridPlacement((0.0, 0.0), (4.0, 4.0)), original_hw=(8, 8))
    # centres at 2 and 6: pixel 3 is 1.5 / 4 of the way, pixel 4 2.5 / 4, pixel 5 3.5 / 4
    assert heatmap[3, 3] == pytest.approx((1 + 2 * 0.375 + 4 * 0.375) / 16)
    assert heatmap[4, 5] == pytest.approx((1 + 2 * 0.875 + 4 * 0.625) / 16)


def test_project_is_linear() -> None:
    """The map of a sum is the sum of the maps."""
    case = CASES["offset"]
    first, second = np.random.default_rng(1).random((2, *case.grid_hw))
    together = project_case(case, 2 * first + second)
    np.testing.assert_allclose(together, 2 * project_case(case, first) + project_case(case, second), rtol=1e-5)


def test_roi_placement_divides_the_roi_evenly() -> None:
    """Seven bins along a RoI of 70 x 35 pixels are 10 wide and 5 high, from its own corner on."""
    placement = roi_placement((20.0, 10.0, 90.0, 45.0), grid_hw=(7, 7))
    assert placement == GridPlacement(top_left_yx=(10.0, 20.0), cell_yx=(5.0, 10.0))


def test_roi_placement_puts_each_bin_on_its_part_of_the_roi() -> None:
    """An impulse in any of 7 x 7 bins peaks at the bin's centre and fades within one bin."""
    placement = roi_placement((20.0, 10.0, 90.0, 45.0), grid_hw=(7, 7))
    for row in range(7):
        for column in range(7):
            heatmap = project(impulse((7, 7), row, column), placement, original_hw=(60, 120))
            y, x = peak_yx(heatmap)
            centre_y, centre_x = 10 + 5 * (row + 0.5), 20 + 10 * (column + 0.5)
            assert abs(y - centre_y) <= 0.5 + 1e-6
            assert abs(x - centre_x) <= 0.5 + 1e-6
            rows, columns = np.nonzero(heatmap)
            assert np.abs(rows + 0.5 - centre_y).max() <= 5.5
            assert np.abs(columns + 0.5 - centre_x).max() <= 10.5
            assert heatmap.sum(dtype=np.float64) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("column", "kept"), [(0, 0.0), (1, 0.0), (2, 1 / 8), (3, 7 / 8), (4, 1.0), (6, 1.0)])
def test_roi_placement_cuts_a_roi_that_is_partly_outside(column: int, kept: float) -> None:
    """Of seven 10-pixel bins from x = -30 on, each shows the part of its tent that lies on the image."""
    placement = roi_placement((-30.0, 20.0, 40.0, 55.0), grid_hw=(7, 7))
    heatmap = project(impulse((7, 7), 3, column), placement, original_hw=(80, 80))
    assert heatmap.sum(dtype=np.float64) == pytest.approx(kept, abs=1e-6)
    if column >= 3:
        assert peak_yx(heatmap)[1] == pytest.approx(-30 + 10 * (column + 0.5), abs=0.5 + 1e-6)


@pytest.mark.parametrize(
    "box_xyxy", [(20.0, 10.0, 20.0, 10.0), (20.0, 10.0, 20.0, 45.0), (20.0, 10.0, 90.0, 10.0)], ids=str
)
def test_roi_placement_of_a_zero_size_roi_gives_a_zero_map(box_xyxy: tuple[float, float, float, float]) -> None:
    """A RoI without area shows nothing, and no NaN."""
    heatmap = project(np.ones((7, 7)), roi_placement(box_xyxy, grid_hw=(7, 7)), original_hw=(60, 120))
    assert heatmap.shape == (60, 120)
    assert (heatmap == 0).all()


def test_box_on_original_inverts_scale_and_offset() -> None:
    """At scale (2, 4) and offset (10, 30), x is (x - 30) / 4 and y is (y - 10) / 2."""
    placed = geometry((60, 80), (160, 352), (2.0, 4.0), (10.0, 30.0))
    assert box_on_original((30.0, 10.0, 70.0, 50.0), placed) == (0.0, 0.0, 10.0, 20.0)
    assert box_on_original((22.0, 5.0, 350.0, 130.0), placed) == (-2.0, -2.5, 80.0, 60.0)
