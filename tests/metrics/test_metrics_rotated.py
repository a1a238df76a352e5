"""Metrics of rotated boxes, on maps small enough to add up by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.metrics import (
    MeasuredMap,
    MetricError,
    baselines,
    best_similarity,
    box_iou,
    box_share,
    compactness,
    energy,
    measure,
    object_discrimination,
    pointing,
    similarity,
)

# a diamond over the middle of 2 x 2 pixels covers half of each; a triangle the upper left pixel and half of two others
DIAMOND = ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
TRIANGLE = ((0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (0.0, 1.0))
HEATMAP = np.array([[1.0, 2.0], [3.0, 4.0]])
STRIP = np.array([[0.0, 1.0], [3.0, -2.0], [4.0, -1.0], [1.0, 2.0]])


def test_energy_in_a_polygon() -> None:
    """Half of everything in the diamond; 1 + 2 / 2 + 3 / 2 of 10 in the triangle."""
    assert energy(HEATMAP, DIAMOND) == pytest.approx(0.5)
    assert energy(HEATMAP, TRIANGLE) == pytest.approx(3.5 / 10)


def test_pointing_in_a_polygon() -> None:
    """The peak's pixel counts by the part of it that lies in the polygon."""
    assert pointing(HEATMAP, DIAMOND) == pytest.approx(0.5)
    assert pointing(HEATMAP, TRIANGLE) == 0.0
    assert pointing(HEATMAP[::-1, ::-1], TRIANGLE) == 1.0


def test_share_of_a_polygon() -> None:
    """An area of 2 in an image of 4 x 4; what lies outside does not count."""
    assert box_share(DIAMOND, map_hw=(4, 4)) == pytest.approx(2 / 16)
    assert box_share(tuple((x - 1, y) for x, y in DIAMOND), map_hw=(4, 4)) == pytest.approx(1 / 16)


def test_compactness_takes_the_polygons_own_diagonals() -> None:
    """The diamond's half diagonals are 1 long; energy 1 of 4 lies two pixels from the peak: sqrt(4 / 4)."""
    assert compactness(np.array([[3.0, 0.0, 1.0]]), DIAMOND) == pytest.approx(1.0)


def test_object_discrimination_of_polygons() -> None:
    """Other objects may be rotated too: on the diamond lies 5, on the triangle 3.5; where both are, the other's."""
    # by pixel the larger part counts: 1, 1/2, 1/2 and 1/2
    every = 1 + 1 + 1.5 + 2
    found = object_discrimination(HEATMAP, DIAMOND, other_boxes_xyxy=[TRIANGLE])
    assert found == pytest.approx(3.5 / every)


def test_similarity_of_polygons_by_hand() -> None:
    """IoU 1 / 2 of the square and the diamond in it, times the cosine, times the objectness."""
    square = ((0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0))
    boxes = np.array([DIAMOND, square])
    assert box_iou(square, boxes) == pytest.approx([0.5, 1.0])
    scores = np.array([[0.6, 0.8], [0.0, 1.0]])
    target = np.array([1.0, 0.0])
    found = similarity(square, target, boxes_xyxy=boxes, scores=scores, objectness=np.array([0.5, 1.0]))
    assert found == pytest.approx([0.5 * 0.6 * 0.5, 0.0])
    assert best_similarity(square, target, boxes_xyxy=np.zeros((0, 4, 2)), scores=np.zeros((0, 2))) == 0.0


@pytest.mark.parametrize("name", baselines.names())
def test_baselines_of_a_polygon_are_densities_within_it(name: str) -> None:
    """Each sums to 1; but for the flat one nothing lies outside, and their middle is the polygon's."""
    corners = tuple((x * 3 + 10.0, y * 3 + 12.0) for x, y in STRIP.tolist())
    density = baselines.get(name)(corners, map_hw=(30, 30))
    assert density.sum() == pytest.approx(1.0)
    if name != "uniform":
        wider = np.mean(corners, axis=0) + (corners - np.mean(corners, axis=0)) * 1.5  # whole border pixels
        assert energy(density, tuple(map(tuple, wider))) == pytest.approx(1.0)
        middle = np.mean(corners, axis=0)
        y, x = np.mgrid[:30, :30] + 0.5
        assert [(density * x).sum(), (density * y).sum()] == pytest.approx(middle.tolist(), abs=0.01)


def test_measure_takes_a_polygon_in_the_boxs_place() -> None:
    """So cam_eval measures rotated boxes without more ado."""
    assert measure(MeasuredMap(HEATMAP, DIAMOND), ["energy", "pointing_over_chance"]) == pytest.approx(
        {"energy": 0.5, "pointing_over_chance": 1.0}
    )


@pytest.mark.parametrize("corners", [((0, 0), (1, 0), (1, 1)), ((0, 0), (1, 0), (1, np.nan), (0, 1))])
def test_what_is_no_polygon_is_refused(corners) -> None:
    """Three corners, or one that is nowhere."""
    with pytest.raises(MetricError, match="are not a polygon's four corners"):
        energy(HEATMAP, corners)
