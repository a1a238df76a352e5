"""What is found, in sentences that a person understands; a page says them in its language."""

from __future__ import annotations

from ppdet_cam.insight.values import Counts, Frame, Kind, Place
from ppdet_cam.languages import Said

# by where the middle of a place lies: below 0, 0 to 1, above 1 of the box; below 1/3, to 2/3, above of the image
_BESIDE = (
    ("above it to the left", "above it", "above it to the right"),
    ("to the left of it", "on it", "to the right of it"),
    ("below it to the left", "below it", "below it to the right"),
)
_HEIGHTS = {
    0: ("to the left of it, high", "to the left of it", "to the left of it, low"),
    2: ("to the right of it, high", "to the right of it", "to the right of it, low"),
}
_CORNERS = (
    ("the upper left corner", "the upper edge", "the upper right corner"),
    ("the left edge", "the middle", "the right edge"),
    ("the lower left corner", "the lower edge", "the lower right corner"),
)


def where(place: Place) -> str:
    """Returns where a place lies, in words.

    Example:
        >>> where(Place(Frame.BOX, (-0.5, 0.6, 0.0, 1.1)))
        'to the left of it, low'
    """
    x, y = ((place.xyxy[side] + place.xyxy[side + 2]) / 2 for side in (0, 1))
    if place.frame is Frame.IMAGE:
        return _CORNERS[_third(y, 1 / 3, 2 / 3)][_third(x, 1 / 3, 2 / 3)]
    column, row = _third(x, 0, 1), _third(y, 0, 1)
    if row == 1 and column != 1:
        return _HEIGHTS[column][_third(y, 1 / 3, 2 / 3)]
    return _BESIDE[row][column]


def _third(value: float, low: float, high: float) -> int:
    return 0 if value < low else 1 if value <= high else 2


def sentence_of(kind: Kind, place: Place | None, class_name: str, *, boxes: int, of_boxes: int, heat: float) -> Said:
    """Returns what is said of a suspect.

    Args:
        kind: why it is suspect.
        place: where it lies.
        class_name: the class.
        boxes: how many rest on it.
        of_boxes: how many the class has.
        heat: mean share of their heat there.
    """
    values = (f"{boxes:,}", f"{of_boxes:,}", class_name, f"{heat:.0%}".replace("%", " %"))
    if kind is Kind.BESIDE and place is not None:
        text = "{0} of {1} '{2}' boxes rest on a place beside the object, {4}: {3} of their heat lies there."
        return Said(text, (*values, where(place)))
    if kind is Kind.FIXED and place is not None:
        text = "{0} of {1} '{2}' boxes rest on one place of the image, {4}: {3} of their heat lies there."
        return Said(text, (*values, where(place)))
    text = "{0} of {1} '{2}' boxes rest on one small thing beside the object, now here, now there ({3} of their heat)."
    return Said(text, values)


def truth_sentence(counts: Counts, of: Counts, what: str, *, is_group: bool) -> Said | None:
    """Returns how false positives differ from true ones in something, None where they do not by much.

    Args:
        counts: the boxes that have it.
        of: all boxes of the class.
        what: the group's name, or the suspect's kind.
        is_group: which of both.
    """
    if of.false < 3 or of.true < 3 or counts.false < 3:
        return None
    share_false, share_true = counts.false / of.false, counts.true / of.true
    if share_false < 2 * share_true or share_false < share_true + 0.2:
        return None
    numbers = (f"{counts.false:,}", f"{of.false:,}", f"{counts.true:,}", f"{of.true:,}")
    if is_group:
        return Said("{0} of {1} false positives, but {2} of {3} true ones, are of group {4}.", (*numbers, what))
    return Said("{0} of {1} false positives, but {2} of {3} true ones, rest on the suspect: {4}.", (*numbers, what))
