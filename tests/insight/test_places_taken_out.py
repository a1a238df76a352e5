"""What is taken out of an image, and what elsewhere it is held against."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.insight.places import MOST_ELSEWHERE, elsewhere, mask_of, pixels_of
from ppdet_cam.insight.sentences import where
from ppdet_cam.insight.values import Frame, Place

HW = (200, 300)
BOX = (120.0, 80.0, 160.0, 120.0)


def test_place_beside_a_box_is_widened_by_a_fifth() -> None:
    """Half a box to the left: 20 pixels and 2 on each side."""
    assert pixels_of(Place(Frame.BOX, (-0.5, 0.0, 0.0, 0.5)), BOX, HW) == pytest.approx((98, 78, 122, 102))
    assert pixels_of(Place(Frame.IMAGE, (0.5, 0.5, 1.0, 1.0)), BOX, HW) == pytest.approx((135, 90, 315, 210))


def test_the_box_itself_is_never_taken_out() -> None:
    """Whatever the place covers."""
    mask = mask_of((100.0, 60.0, 180.0, 140.0), BOX, HW)
    assert mask.sum() == 80 * 80 - 40 * 40 and not mask[80:120, 120:160].any()


@pytest.mark.parametrize("frame", [Frame.BOX, Frame.IMAGE])
def test_elsewhere_has_as_many_pixels_and_is_elsewhere(frame: Frame) -> None:
    """At most four, each about as large, none on the box or the place; the first is the mirror image."""
    place = Place(frame, (-0.5, 0.2, 0.0, 0.7) if frame is Frame.BOX else (0.8, 0.8, 1.0, 1.0))
    rect = pixels_of(place, BOX, HW)
    there = mask_of(rect, BOX, HW)
    found = elsewhere(rect, place, BOX, HW, seed=1)
    assert len(found) == MOST_ELSEWHERE
    for mask in found:
        assert 0.7 < mask.sum() / there.sum() < 1.4
        assert (mask & there).sum() < 0.1 * there.sum() and not mask[80:120, 120:160].any()
    about = (BOX[0] + BOX[2]) / 2 if frame is Frame.BOX else HW[1] / 2
    middles = [np.flatnonzero(mask.any(axis=0)).mean() + 0.5 - about for mask in (there, found[0])]
    assert middles[1] == pytest.approx(-middles[0], abs=1)


def test_no_room_elsewhere_is_said_by_nothing() -> None:
    """A place that fills the image."""
    assert elsewhere((0.0, 0.0, 300.0, 200.0), None, BOX, HW, seed=0) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place(Frame.BOX, (-0.5, 0.6, 0.0, 1.1)), "to the left of it, low"),
        (Place(Frame.BOX, (1.0, -0.4, 1.5, 0.1)), "above it to the right"),
        (Place(Frame.BOX, (0.25, 1.0, 0.75, 1.5)), "below it"),
        (Place(Frame.BOX, (1.0, 0.25, 1.5, 0.75)), "to the right of it"),
        (Place(Frame.IMAGE, (0.8, 0.8, 1.0, 1.0)), "the lower right corner"),
        (Place(Frame.IMAGE, (0.4, 0.0, 0.6, 0.2)), "the upper edge"),
    ],
)
def test_where_a_place_lies_in_words(place: Place, words: str) -> None:
    """As a person says it."""
    assert where(place) == words
