"""What holds for every map that is put onto an image, tried on grids, paddings and scales that are drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ppdet_cam.explaining.projection import GridPlacement, box_on_original, image_placement, project, roi_placement
from ppdet_cam.structures import ImageGeometry

steady = settings(max_examples=100, deadline=None, derandomize=True, database=None)

numbers = st.floats(0.0, 1e6, width=32)
grids = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.one_of(st.just(0.0), numbers)
)
image_sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
scales = st.tuples(st.floats(0.05, 8.0), st.floats(0.05, 8.0))
strides = st.tuples(st.floats(0.5, 64.0), st.floats(0.5, 64.0))
offsets = st.tuples(st.floats(0.0, 40.0), st.floats(0.0, 40.0))
corners = st.floats(-30.0, 80.0)
sides = st.floats(0.01, 90.0)


@st.composite
def geometries(draw: st.DrawFn) -> ImageGeometry:
    """An image of any size, scaled by another factor along each axis, somewhere in a network input that holds it."""
    (height, width), (scale_y, scale_x), (top, left) = draw(image_sizes), draw(scales), draw(offsets)
    padding = draw(st.tuples(st.integers(0, 40), st.integers(0, 40)))
    padded = (int(top + height * scale_y + 1) + padding[0], int(left + width * scale_x + 1) + padding[1])
    return ImageGeometry((height, width), padded, (scale_y, scale_x), (top, left))


def total(heatmap: np.ndarray) -> float:
    return float(heatmap.sum(dtype=np.float64))


def surrounded(placement: GridPlacement, grid_hw: tuple[int, int]) -> tuple[GridPlacement, tuple[int, int]]:
    """Returns the grid's place on an image that is so large that no cell's tent reaches beyond it, and its size."""
    pads = [cell / 2 + 1 for cell in placement.cell_yx]
    lengths = [cell * cells + 2 * pad for cell, cells, pad in zip(placement.cell_yx, grid_hw, pads)]
    moved = GridPlacement((pads[0], pads[1]), placement.cell_yx)
    return moved, (int(lengths[0]) + 1, int(lengths[1]) + 1)


@steady
@given(grids, geometries(), strides)
def test_project_never_adds_evidence(grid: np.ndarray, geometry: ImageGeometry, stride_yx: tuple[float, float]) -> None:
    """However the image lies in the input, its map is finite, >= 0 and sums to no more than the grid."""
    placement = image_placement(geometry, stride_yx=stride_yx)
    heatmap = project(grid, placement, original_hw=geometry.original_hw)
    assert heatmap.shape == geometry.original_hw
    assert heatmap.dtype == np.float32
    assert np.isfinite(heatmap).all()
    assert heatmap.min() >= 0
    assert total(heatmap) <= total(grid) * (1 + 1e-6)


@steady
@given(grids, geometries(), strides)
def test_project_keeps_all_evidence_that_lies_on_the_image(
    grid: np.ndarray, geometry: ImageGeometry, stride_yx: tuple[float, float]
) -> None:
    """At any scale, enlarged or made smaller, nothing is lost where no tent reaches beyond the image."""
    placement, image_hw = surrounded(image_placement(geometry, stride_yx=stride_yx), grid.shape)
    assume(image_hw[0] * image_hw[1] < 4_000_000)
    assert total(project(grid, placement, original_hw=image_hw)) == pytest.approx(total(grid), rel=1e-5)


@st.composite
def cells_on_images(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], GridPlacement, tuple[int, int]]:
    """A grid's size, one of its cells, where the grid lies, and the size of an image that holds the cell's centre."""
    sizes, indices, starts, lengths, image_hw = [], [], [], [], []
    for _ in range(2):
        sizes.append(draw(st.integers(1, 9)))
        indices.append(draw(st.integers(0, sizes[-1] - 1)))
        lengths.append(draw(st.floats(0.05, 40.0)))
        centre = draw(st.floats(0.0, 60.0))
        starts.append(centre - (indices[-1] + 0.5) * lengths[-1])
        image_hw.append(int(centre) + 1 + draw(st.integers(0, 40)))
    placement = GridPlacement((starts[0], starts[1]), (lengths[0], lengths[1]))
    return (sizes[0], sizes[1]), (indices[0], indices[1]), placement, (image_hw[0], image_hw[1])


@steady
@given(cells_on_images())
def test_project_puts_an_impulse_where_its_cell_is(
    drawn: tuple[tuple[int, int], tuple[int, int], GridPlacement, tuple[int, int]],
) -> None:
    """The highest pixel is the one that holds the cell's centre, at any scale and wherever the grid begins."""
    grid_hw, cell, placement, image_hw = drawn
    grid = np.zeros(grid_hw)
    grid[cell] = 1.0
    heatmap = project(grid, placement, original_hw=image_hw)
    # a wide tent falls so little from pixel to pixel that float32 rounds several of them to one value
    peaks = np.nonzero(heatmap >= heatmap.max() * (1 - 1e-6))
    for axis in range(2):
        centre = placement.top_left_yx[axis] + (cell[axis] + 0.5) * placement.cell_yx[axis]
        assert np.abs(peaks[axis] + 0.5 - centre).min() <= 0.5 + 1e-4


@steady
@given(grids, geometries(), strides, st.floats(0.0, 100.0), st.integers(0, 2**32 - 1))
def test_project_is_linear(
    grid: np.ndarray, geometry: ImageGeometry, stride_yx: tuple[float, float], factor: float, seed: int
) -> None:
    """The map of factor * one + other is factor * the one's map + the other's."""
    other = np.random.default_rng(seed).random(grid.shape) * 1e6
    placement = image_placement(geometry, stride_yx=stride_yx)

    def on_image(values: np.ndarray) -> np.ndarray:
        return project(values, placement, original_hw=geometry.original_hw).astype(np.float64)

    together = on_image(factor * grid.astype(np.float64) + other)
    np.testing.assert_allclose(together, factor * on_image(grid) + on_image(other), rtol=1e-5, atol=1e-6)


@steady
@given(grids, geometries(), strides, st.sampled_from([0, 1]))
def test_project_of_a_mirrored_grid_is_the_mirrored_map(
    grid: np.ndarray, geometry: ImageGeometry, stride_yx: tuple[float, float], axis: int
) -> None:
    """Mirroring the grid and its place mirrors the map: neither side of the image is favoured."""
    placement = image_placement(geometry, stride_yx=stride_yx)
    starts = list(placement.top_left_yx)
    starts[axis] = geometry.original_hw[axis] - starts[axis] - grid.shape[axis] * placement.cell_yx[axis]
    there = GridPlacement((starts[0], starts[1]), placement.cell_yx)
    heatmap = project(grid, placement, original_hw=geometry.original_hw)
    mirrored = project(np.flip(grid, axis), there, original_hw=geometry.original_hw)
    np.testing.assert_allclose(mirrored, np.flip(heatmap, axis), rtol=1e-4, atol=1e-6 * max(1.0, float(grid.max())))


@steady
@given(grids, geometries(), strides)
def test_project_of_a_transposed_grid_is_the_transposed_map(
    grid: np.ndarray, geometry: ImageGeometry, stride_yx: tuple[float, float]
) -> None:
    """Both axes are treated alike."""
    placement = image_placement(geometry, stride_yx=stride_yx)
    turned = GridPlacement(placement.top_left_yx[::-1], placement.cell_yx[::-1])
    heatmap = project(grid, placement, original_hw=geometry.original_hw)
    transposed = project(grid.T, turned, original_hw=geometry.original_hw[::-1])
    np.testing.assert_allclose(transposed, heatmap.T, rtol=1e-5, atol=1e-6)


@steady
@given(grids, corners, corners, sides, sides)
def test_roi_evidence_stays_within_half_a_bin_of_the_roi(
    grid: np.ndarray, left: float, top: float, width: float, height: float
) -> None:
    """A RoI's map is empty beyond it, also where the RoI is partly or wholly outside the image."""
    placement = roi_placement((left, top, left + width, top + height), grid_hw=grid.shape)
    heatmap = project(grid, placement, original_hw=(50, 60))
    rows, columns = np.nonzero(heatmap)
    margin_y, margin_x = placement.cell_yx[0] / 2 + 1 + 1e-6, placement.cell_yx[1] / 2 + 1 + 1e-6
    assert ((rows >= top - margin_y) & (rows + 1 <= top + height + margin_y)).all()
    assert ((columns >= left - margin_x) & (columns + 1 <= left + width + margin_x)).all()
    assert total(heatmap) <= total(grid) * (1 + 1e-6)


@steady
@given(st.integers(1, 9), st.integers(1, 9), corners, corners, sides, sides)
def test_roi_placement_covers_the_roi_with_its_bins(
    rows: int, columns: int, left: float, top: float, width: float, height: float
) -> None:
    """The bins begin at the RoI's corner and end at the opposite one."""
    placement = roi_placement((left, top, left + width, top + height), grid_hw=(rows, columns))
    assert placement.top_left_yx == (top, left)
    assert top + rows * placement.cell_yx[0] == pytest.approx(top + height, abs=1e-9)
    assert left + columns * placement.cell_yx[1] == pytest.approx(left + width, abs=1e-9)


@steady
@given(geometries(), corners, corners, sides, sides)
def test_box_on_original_undoes_the_reader(
    geometry: ImageGeometry, left: float, top: float, width: float, height: float
) -> None:
    """A box that is scaled and moved as the image was comes back to where it was."""
    (scale_y, scale_x), (offset_y, offset_x) = geometry.scale_yx, geometry.offset_yx
    box = (left, top, left + width, top + height)
    there = tuple(edge * (scale_x, scale_y)[axis % 2] + (offset_x, offset_y)[axis % 2] for axis, edge in enumerate(box))
    assert box_on_original(there, geometry) == pytest.approx(box, abs=1e-6)
