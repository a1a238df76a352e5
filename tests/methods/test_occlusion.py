"""Occlusion: windows, what falls, and the map, on numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from ppdet_cam.methods import Window, fill_of, margin, occluded, occluded_by, occlusion, shifted, windows_over


def test_windows_tile_the_box_and_its_surroundings():
    """A box of 20 x 10 far from the border is widened by 8 on each side: 36 x 26, ten windows of 3.6 along, 8 down."""
    windows = windows_over((100, 50, 120, 60), image_hw=(200, 300), cells=10)
    assert len(windows) == 10 * 8
    assert [window.side for window in windows] == pytest.approx([3.6] * 80)
    rows, columns = zip(*(window.centre_yx for window in windows))
    assert min(columns) == pytest.approx(92 + 1.8) and max(columns) == pytest.approx(128 - 1.8)
    assert min(rows) == pytest.approx(42 + 26 / 16) and max(rows) == pytest.approx(68 - 26 / 16)


def test_windows_stay_in_the_image_and_there_are_none_outside():
    """The region is cut at the border; a box beyond it has no window."""
    assert all(window.centre_yx[0] > 0 for window in windows_over((0, 0, 10, 10), image_hw=(20, 20)))
    assert windows_over((50, 50, 60, 60), image_hw=(20, 20)) == []


def test_cover_is_whole_in_the_core_and_gone_half_a_side_away():
    """A window of side 2 around the middle of 1 x 8: distances 3.5, 2.5, 1.5, 0.5 halves give 0, 0.25, 0.75, 1."""
    cover = Window((0.5, 4.0), 2.0).cover((1, 8))
    assert cover[0] == pytest.approx([0.0, 0.25, 0.75, 1.0, 1.0, 0.75, 0.25, 0.0])


def test_margin_is_the_lead_over_the_best_other_class():
    """log 0.6 - log 0.3; a lone class leads over nothing: log 0.8 - log 0.2."""
    assert margin(np.array([0.1, 0.6, 0.3]), 1) == pytest.approx(math.log(2))
    assert margin(np.array([0.8]), 0) == pytest.approx(math.log(4))
    assert math.isfinite(margin(np.array([1.0, 0.0]), 0))


def test_map_is_the_least_excess_of_the_windows_over_a_place():
    """Windows of 16 pixels, half of it apart, with excess 2, 3 and -1: least 2, 2, 0, 0 over their parts, cubed."""
    windows = [Window((8.0, column), 16.0) for column in (8.0, 16.0, 24.0)]
    heatmap = occlusion(windows, np.array([2.0, 3.0, -1.0]), image_hw=(16, 40))
    assert heatmap[8, [2, 10, 22, 28, 36]] == pytest.approx([8, 8, 0, 0, 0], abs=0.1)


def test_map_is_smoothed_by_an_eighth_of_a_window():
    """A step from 8 to 0 is half as high at the edge, and none is left a window away."""
    heatmap = occlusion([Window((8.0, 8.0), 16.0)], np.array([2.0]), image_hw=(16, 40))
    assert heatmap[8, 15] + heatmap[8, 16] == pytest.approx(8.0, abs=0.01)
    assert heatmap[8, 32:].max() < 1e-6


def test_windows_leave_no_gap():
    """Where every window decides alike, every pixel around the box has the same value."""
    windows = windows_over((100, 50, 123, 57), image_hw=(200, 300))
    heatmap = occlusion(windows, np.ones(len(windows)), image_hw=(200, 300))
    assert heatmap[46:61, 96:127].min() == pytest.approx(1.0)


def test_map_of_no_excess_or_no_window_is_blank():
    """Where nothing matters more than anything else there is nothing to show."""
    windows = [Window((0.5, 0.5), 1.0), Window((0.5, 1.5), 1.0)]
    assert not occlusion(windows, np.array([0.0, -0.7]), image_hw=(1, 2)).any()
    assert not occlusion([], np.array([]), image_hw=(1, 2)).any()


def test_shifted_windows_lie_around_those_that_decide():
    """Half a side away in eight directions; where two windows decide, a place between them comes once."""
    windows = [Window((2.0, 2.0), 4.0), Window((2.0, 6.0), 4.0), Window((2.0, 10.0), 4.0)]
    around = {window.centre_yx for window in shifted(windows, np.array([0.9, 0.1, 0.2]))}
    assert around == {(y, x) for y in (0.0, 2.0, 4.0) for x in (0.0, 2.0, 4.0)} - {(2.0, 2.0)}
    both = [window.centre_yx for window in shifted(windows, np.array([0.9, 0.9, 0.0]))]
    assert len(both) == len(set(both)) == 3 * 5 - 2
    assert {window.side for window in shifted(windows, np.array([0.9, 0.1, 0.2]))} == {4.0}


def test_no_window_is_shifted_where_none_decides():
    """Nothing falls, or nothing is there."""
    assert shifted([Window((2.0, 2.0), 4.0)], np.array([0.0])) == []
    assert shifted([], np.array([])) == []


def test_occluded_image_is_the_fill_where_covered():
    """Half covered is half of each, rounded; a flat image is its own fill."""
    image = np.full((2, 2, 3), 100, np.uint8)
    cover = np.array([[1.0, 0.5], [0.0, 0.0]], np.float32)
    assert occluded(image, cover, np.full((2, 2, 3), 200, np.float32))[..., 0].tolist() == [[200, 150], [100, 100]]
    assert fill_of(image, (0, 0, 2, 2)) == pytest.approx(image)


def test_fill_is_blurred_where_windows_reach_and_nowhere_else() -> None:
    """There it is what a blur of the whole image gives; a window and those half a side away reach no further."""
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    box = (40.0, 50.0, 52.0, 60.0)
    whole = ndimage.gaussian_filter(image.astype(np.float32), sigma=(3, 3, 0), mode="nearest")
    windows = windows_over(box, image_hw=(120, 160))
    windows += shifted(windows, np.ones(len(windows)))
    for window in windows:
        place = window.reach((120, 160))
        assert np.allclose(fill_of(image, box)[place], whole[place], atol=1e-3)
    assert np.array_equal(fill_of(image, box)[100:], image[100:])


def test_occluding_a_window_alone_is_occluding_the_image() -> None:
    """Only the pixels that it reaches are computed."""
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    fill = np.full(image.shape, 99.0, np.float32)
    for window in (Window((3.0, 4.0), 5.0), Window((39.0, 20.0), 7.5)):
        expected = occluded(image, window.cover((40, 50)), fill)
        assert np.array_equal(occluded_by(image, window, fill), expected)
