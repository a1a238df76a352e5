"""Rotated boxes are drawn along their own edges, and masks follow them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.made_up_maps import changed_pixels, explanation, hot_square, photograph

from ppdet_cam.polygons import box_around, polygon_coverage
from ppdet_cam.render import class_colour, draw_crop, draw_explanation, draw_summary
from ppdet_cam.render.heat import masked
from ppdet_cam.render.polygons import paint_dashed_polygon, paint_polygon, place_polygon, scale_polygon
from ppdet_cam.render.style import RenderStyle
from ppdet_cam.structures import Answer, MapStatus, Verdict

DIAMOND = ((200.0, 60.0), (290.0, 150.0), (200.0, 240.0), (110.0, 150.0))


def rotated(heatmap: np.ndarray | None = None, **more):
    """An explanation of a box with the diamond's corners."""
    made = explanation(hot_square() if heatmap is None else heatmap, box_xyxy=box_around(DIAMOND), **more)
    return dataclasses.replace(made, detection=dataclasses.replace(made.detection, polygon_xy=DIAMOND))


def near_the_edge(reach: float, hw: tuple[int, int] = (300, 400)) -> np.ndarray:
    """Bool [H, W]: whether a pixel's middle lies within `reach` of the diamond's edge."""
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    return np.abs(np.abs(x - 200) + np.abs(y - 150) - 90) < reach * 2**0.5


def test_polygon_is_drawn_along_its_edges_only() -> None:
    """Its colour lies on all four sides; inside, and in the corners of the upright box around it, nothing changes."""
    photo = photograph()
    picture = draw_explanation(photo, rotated(np.zeros((300, 400), np.float32), status=MapStatus.NEGATIVE))
    changed = changed_pixels(picture, photo)
    changed[:60] = False  # the label
    assert not changed[~near_the_edge(6)].any()
    assert changed[near_the_edge(1)][60:].all()
    coloured = (picture[:300] == class_colour(7)).all(axis=2)
    for x, y in ((245, 105), (245, 195), (155, 195), (155, 105)):  # the sides' middles
        assert coloured[y - 2 : y + 2, x - 2 : x + 2].any()


def test_polygon_has_a_contrasting_line_on_both_sides() -> None:
    """So it can be seen on any background."""
    canvas = np.full((60, 60, 3), 128, np.uint8)
    square = ((20.0, 20.0), (40.0, 20.0), (40.0, 40.0), (20.0, 40.0))
    paint_polygon(canvas, square, line_px=3, edge_px=2, colour=(255, 0, 0), limit_hw=(60, 60))
    column = canvas[10:30, 30]
    assert (column[10] == (255, 0, 0)).all()
    dark = [row for row in range(20) if (column[row] < 10).all()]
    assert min(dark) < 10 < max(dark)
    assert (canvas[30, 30] == 128).all() and (canvas[5, 5] == 128).all()


def test_polygon_keeps_to_its_part_of_the_canvas() -> None:
    """Nothing is painted below and beside the photograph, and corners far away or nowhere do no harm."""
    canvas = np.zeros((40, 40, 3), np.uint8)
    polygon = ((-10.0, 10.0), (1e12, 12.0), (30.0, 90.0), (5.0, 30.0))
    paint_polygon(canvas, polygon, line_px=3, edge_px=2, colour=(255, 255, 255), limit_hw=(25, 30))
    assert canvas[:25, :30].any()
    assert not canvas[25:].any() and not canvas[:, 30:].any()
    nowhere = ((float("nan"), 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    paint_dashed_polygon(canvas[25:], nowhere, line_px=2, limit_hw=(15, 40))
    assert not canvas[25:].any()


def test_asked_polygon_is_dashed() -> None:
    """Both colours of its line are there, the background's is not on its edge."""
    canvas = np.full((300, 400, 3), 128, np.uint8)
    paint_dashed_polygon(canvas, DIAMOND, line_px=4, limit_hw=(300, 400), light=(0, 255, 255), dark=(0, 0, 0))
    edge = canvas[near_the_edge(0.7)]
    assert (edge == (0, 255, 255)).all(axis=1).mean() == pytest.approx(0.5, abs=0.15)
    assert not (edge == 128).all(axis=1).any()


def test_question_without_a_candidate_is_drawn_as_its_polygon() -> None:
    """A dashed diamond, and no solid box."""
    answer = Answer(
        "box_0", box_around(DIAMOND), "ship", Verdict.NO_CANDIDATE, "no candidate there", 0.1, polygon_xy=DIAMOND
    )
    blank = rotated(np.zeros((300, 400), np.float32), status=MapStatus.NO_CANDIDATE, answer=answer)
    photo = photograph()
    changed = changed_pixels(draw_explanation(photo, blank), photo)
    changed[:60] = False
    assert changed[near_the_edge(0.7)].mean() > 0.9
    assert not changed[~near_the_edge(6)].any()


def test_mask_follows_the_polygon() -> None:
    """Pixels that the polygon, widened, touches are kept; all others lose their heat."""
    heat = np.ones((300, 400), np.float32)
    style = RenderStyle(mask="box:1.5")
    found = masked(heat, rotated().detection, style=style)
    wider = tuple((200 + (x - 200) * 1.5, 150 + (y - 150) * 1.5) for x, y in DIAMOND)
    np.testing.assert_array_equal(found > 0, polygon_coverage(wider, map_hw=(300, 400)) > 0)
    assert found.sum() == pytest.approx(2 * 135**2, rel=0.02)


def test_place_and_scale_polygon() -> None:
    """A part of the image that starts at (100, 50), enlarged; and twice the size about the middle."""
    assert place_polygon(DIAMOND, origin_xy=(100, 50), scale_yx=(2, 3))[1] == (570.0, 200.0)
    assert scale_polygon(DIAMOND, 2)[0] == (200.0, -30.0)


def test_crop_and_summary_draw_the_polygon() -> None:
    """In every kind of picture the diamond's colour is on the slanting sides."""
    photo = photograph()
    for picture in (draw_crop(photo, rotated()), draw_summary(photo, [rotated()])):
        coloured = (picture == class_colour(7)).all(axis=2)
        rows, columns = np.nonzero(coloured)
        assert len(np.unique(rows)) > 100 and len(np.unique(columns)) > 100
