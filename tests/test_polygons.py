"""Convex polygons against areas that are worked out by hand, and against OpenCV's clipping and fine sampling."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ppdet_cam.polygons import areas, box_around, corners_of, is_convex, polygon_coverage, polygon_iou, polygon_of

SQUARE = ((0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0))
DIAMOND = ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
# a square with sides of 2 about (1, 1), turned by 45 degrees: its corners lie sqrt(2) from the middle
TURNED = tuple((1 + x * 2**0.5, 1 + y * 2**0.5) for x, y in ((0, -1), (1, 0), (0, 1), (-1, 0)))


def random_rectangles(count: int) -> np.ndarray:
    """Rectangles of many sizes and angles in an area of 100 x 100, in both directions around."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        middle, (width, height), angle = random.uniform(20, 80, 2), random.uniform(3, 50, 2), random.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2 @ turn.T
        made.append((middle + corners)[:: random.choice([1, -1])])
    return np.stack(made)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (SQUARE, SQUARE, 1.0),
        (SQUARE, SQUARE[::-1], 1.0),  # the other way around
        (SQUARE, DIAMOND, 2 / 4),  # the diamond is half of the square
        (SQUARE, ((1, 0), (3, 0), (3, 2), (1, 2)), 2 / 6),
        (SQUARE, ((2, 0), (4, 0), (4, 2), (2, 2)), 0.0),  # they share an edge
        (SQUARE, ((3, 3), (4, 3), (4, 4), (3, 4)), 0.0),
        (SQUARE, ((0.5, 0.5), (1.5, 0.5), (1.5, 1.5), (0.5, 1.5)), 1 / 4),
        # two squares with sides of 2 at 45 degrees share a regular octagon: 8 (sqrt 2 - 1)
        (SQUARE, TURNED, 8 * (2**0.5 - 1) / (8 - 8 * (2**0.5 - 1))),
        (SQUARE, ((0, 0), (0, 0), (0, 0), (0, 0)), 0.0),
    ],
)
def test_polygon_iou_by_hand(one, other, expected: float) -> None:
    """Whichever is cut by the other."""
    assert polygon_iou(one, np.array([other])) == pytest.approx([expected], abs=1e-12)
    assert polygon_iou(other, np.array([one])) == pytest.approx([expected], abs=1e-12)


def test_polygon_iou_equals_opencvs() -> None:
    """On rectangles of many sizes and angles; OpenCV computes in single precision."""
    rectangles = random_rectangles(60)
    sizes = areas(rectangles)
    for one, size in zip(rectangles[:20], sizes):
        shared = np.array(
            [cv2.intersectConvexConvex(one.astype(np.float32), other.astype(np.float32))[0] for other in rectangles]
        )
        np.testing.assert_allclose(polygon_iou(one, rectangles), shared / (size + sizes - shared), atol=1e-5)


def test_polygon_iou_does_not_depend_on_where_the_polygons_lie() -> None:
    """Far from the origin no digits are lost."""
    rectangles = random_rectangles(20)
    far = rectangles + np.array([1e6, -1e6])
    np.testing.assert_allclose(polygon_iou(far[0], far), polygon_iou(rectangles[0], rectangles), atol=1e-8)


def test_polygon_iou_with_none_is_empty() -> None:
    """No others, no numbers."""
    assert polygon_iou(SQUARE, np.zeros((0, 4, 2))).shape == (0,)


def test_polygon_coverage_by_hand() -> None:
    """A diamond of 2 x 2 covers half of each of its pixels; moved by half a pixel, a whole one and four quarters."""
    np.testing.assert_allclose(polygon_coverage(DIAMOND, map_hw=(2, 2)), np.full((2, 2), 0.5))
    moved = [(x + 0.5, y + 0.5) for x, y in DIAMOND]
    quarter = 1 / 4
    np.testing.assert_allclose(
        polygon_coverage(moved, map_hw=(3, 4)),
        [[0, quarter, 0, 0], [quarter, 1, quarter, 0], [0, quarter, 0, 0]],
        atol=1e-12,
    )


@pytest.mark.parametrize("turned", [SQUARE, SQUARE[::-1]])
def test_polygon_coverage_of_a_box_is_the_boxs(turned) -> None:
    """Either way around; what lies outside the image counts for nothing."""
    shifted = [(x - 0.5, y + 1.0) for x, y in turned]
    np.testing.assert_allclose(polygon_coverage(shifted, map_hw=(2, 3)), [[0, 0, 0], [1, 0.5, 0]])
    assert not polygon_coverage([(x + 9, y) for x, y in turned], map_hw=(2, 3)).any()


def test_polygon_coverage_equals_fine_sampling() -> None:
    """And it sums to the area."""
    for corners in random_rectangles(5) * 0.3:
        found = polygon_coverage(corners, map_hw=(30, 30))
        assert found.sum() == pytest.approx(areas(corners[None])[0])
        middles = (np.arange(30 * 32) + 0.5) / 32
        sides = [
            (end[0] - start[0]) * (middles[:, None] - start[1]) - (end[1] - start[1]) * (middles[None] - start[0])
            for start, end in zip(corners, np.roll(corners, -1, axis=0))
        ]
        inside = np.all([side >= 0 for side in sides], axis=0) | np.all([side <= 0 for side in sides], axis=0)
        np.testing.assert_allclose(found, inside.reshape(30, 32, 30, 32).mean(axis=(1, 3)), atol=0.02)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        (SQUARE, True),
        (DIAMOND[::-1], True),
        (((0, 0), (2, 0), (2, 0), (0, 2)), True),  # a corner given twice
        (((0, 0), (2, 2), (2, 0), (0, 2)), False),  # edges that cross
        (((0, 0), (4, 0), (1, 1), (0, 4)), False),  # a dent
        (((0, 0), (1, 1), (2, 2), (3, 3)), False),  # no area
    ],
)
def test_is_convex(corners, expected: bool) -> None:
    """What can be a rotated box, and what cannot."""
    assert is_convex(corners) is expected


def test_boxes_and_polygons_lead_into_each_other() -> None:
    """The box around a box's corners is the box."""
    assert box_around(corners_of((1, 2, 3, 5))) == (1, 2, 3, 5)
    assert polygon_of([0, 0, 2, 0, 2, 2, 0, 2]) == SQUARE
