"""Slices are sahi's, and the boxes of all slices are combined as by ppdet."""

from __future__ import annotations

import numpy as np
import pytest
from ppdet.modeling.post_process import multiclass_nms

from ppdet_cam.errors import ConfigError
from ppdet_cam.polygons import box_around
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.structures import Detection


def detection(index: int, class_id: int, score: float, box: tuple[float, ...]) -> Detection:
    return Detection(index, class_id, f"class {class_id}", score, tuple(box))


@pytest.mark.parametrize(
    ("hw", "size", "overlap", "expected"),
    [
        ((100, 100), (640, 640), (0.25, 0.25), [(0, 0, 100, 100)]),
        ((640, 640), (640, 640), (0.25, 0.25), [(0, 0, 640, 640)]),
        ((640, 1000), (640, 640), (0.25, 0.25), [(0, 0, 640, 640), (360, 0, 1000, 640)]),
        ((10, 4), (4, 4), (0.5, 0.5), [(0, 0, 4, 4), (0, 2, 4, 6), (0, 4, 4, 8), (0, 6, 4, 10)]),
        ((5, 5), (3, 4), (0.0, 0.0), [(0, 0, 4, 3), (1, 0, 5, 3), (0, 2, 4, 5), (1, 2, 5, 5)]),
    ],
)
def test_windows_cover_the_image(hw, size, overlap, expected) -> None:
    """Row by row; the last ones are moved back into the image; an image smaller than a slice is one."""
    assert Slicing(size, overlap).windows(hw) == expected


@pytest.mark.parametrize("seed", range(8))
def test_windows_cover_every_pixel_with_the_overlap(seed: int) -> None:
    """No pixel is left out, slices keep their size, and neighbours share what was asked for at least."""
    draws = np.random.default_rng(seed)
    hw, size = draws.integers(50, 400, 2), draws.integers(30, 200, 2)
    overlap = draws.uniform(0, 0.8, 2)
    windows = Slicing(tuple(map(int, size)), tuple(overlap)).windows(tuple(map(int, hw)))
    covered = np.zeros(hw, int)
    for left, top, right, bottom in windows:
        assert (bottom - top, right - left) == (min(size[0], hw[0]), min(size[1], hw[1]))
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1
    columns = sorted({(left, right) for left, _, right, _ in windows})
    assert all(end - start >= int(overlap[1] * size[1]) for (_, end), (start, _) in zip(columns, columns[1:]))


@pytest.mark.parametrize("metric", ["ios", "iou"])
@pytest.mark.parametrize("seed", range(6))
def test_kept_boxes_are_those_of_ppdet(metric: str, seed: int) -> None:
    """The same rows as ppdet's own combination of slices gives; of each class the best first."""
    draws = np.random.default_rng(seed)
    corners = draws.uniform(0, 100, (60, 2))
    boxes = np.concatenate([corners, corners + draws.uniform(5, 60, (60, 2))], axis=1)
    scores, classes = draws.permutation(np.linspace(0.01, 0.99, 60)), draws.integers(0, 3, 60)
    found = [detection(n, int(c), float(s), tuple(b)) for n, (c, s, b) in enumerate(zip(classes, scores, boxes))]
    kept = Slicing(match_metric=metric, match_threshold=0.4).kept(found)
    rows = np.column_stack([classes, scores, boxes])
    expected = np.concatenate(multiclass_nms(rows, 3, 0.4, metric))
    assert 3 < len(kept) < 60
    np.testing.assert_array_equal(rows[kept], expected[np.lexsort((-expected[:, 1], expected[:, 0]))])


def test_kept_boxes_of_concat_are_all() -> None:
    """In the order of the slices; without any there is none."""
    twice = [detection(0, 1, 0.5, (0, 0, 9, 9)), detection(0, 1, 0.9, (0, 0, 9, 9))]
    assert Slicing(combine="concat").kept(twice) == [0, 1]
    assert Slicing().kept(twice) == [1]
    assert Slicing().kept([]) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size_hw": (0, 640)}, "--slice_size must be at least 1 pixel, not 0 x 640"),
        ({"overlap_yx": (0.2, 1.0)}, "--overlap_ratio must be from 0 to below 1"),
        ({"overlap_yx": (float("nan"), 0.5)}, "--overlap_ratio must be"),
        ({"combine": "nmm"}, "which ppdet refuses as well, makes one box of several"),
        ({"combine": "nsm"}, "--combine_method 'nsm' is not supported"),
        ({"match_metric": "giou"}, "--match_metric 'giou' is not supported"),
        ({"match_threshold": 1.5}, "--match_threshold must be from 0 to 1"),
    ],
)
def test_slicing_refuses_what_cannot_be(values, message: str) -> None:
    """By the names of the flags."""
    with pytest.raises(ConfigError) as caught:
        Slicing(**values)
    assert message in str(caught.value)


def test_too_many_slices_are_refused() -> None:
    """Rather than to run for days."""
    with pytest.raises(ConfigError, match="has 240000 such slices; allowed are 10000"):
        Slicing((1, 1)).windows((400, 600))


DOWN = ((10.0, 10.0), (50.0, 50.0), (48.0, 52.0), (8.0, 12.0))
UP = tuple((60.0 - x, y) for x, y in DOWN)


def rotated(index: int, score: float, polygon) -> Detection:
    return Detection(index, 0, "ship", score, box_around(polygon), polygon_xy=polygon)


@pytest.mark.parametrize("metric", ["iou", "ios"])
def test_rotated_boxes_of_slices_are_combined_by_their_polygons(metric: str) -> None:
    """Two strips across each other lie in one upright box and both stay; of one strip twice, the better one does."""
    shifted = tuple((x + 1, y + 1) for x, y in DOWN)
    found = [rotated(0, 0.7, shifted), rotated(1, 0.9, DOWN), rotated(2, 0.8, UP)]
    assert Slicing(match_metric=metric).kept(found) == [1, 2]


def test_smaller_polygon_in_a_larger_one_is_dropped_by_ios() -> None:
    """The half of a strip shares all of itself: 1 by its own area, a half by the union's."""
    half = ((10.0, 10.0), (30.0, 30.0), (28.0, 32.0), (8.0, 12.0))
    found = [rotated(0, 0.9, DOWN), rotated(1, 0.8, half)]
    assert Slicing(match_metric="ios").kept(found) == [0]
    assert Slicing(match_metric="iou").kept(found) == [0, 1]
