"""Boxes and their labels, painted onto a canvas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppdet_cam.polygons import PolygonXy
from ppdet_cam.render.colours import ASKED, BLACK, WHITE, Colour, class_colour, contrasting
from ppdet_cam.render.layout import MIN_PICTURE_HW, BoxXyxy, PixelBox, clip_box, line_width, place_box, widen_box
from ppdet_cam.render.polygons import paint_dashed_polygon, paint_polygon, place_polygon
from ppdet_cam.render.text import drawable, paint_text, shorten, text_mask, title_of
from ppdet_cam.structures import Answer, Explanation, MapStatus

_NOWHERE: PixelBox = (0, 0, 0, 0)


def unanswered(explanation: Explanation) -> Answer | None:
    """Returns the question when the detector has no candidate for it, so that there is no other box; else None."""
    return explanation.answer if explanation.status is MapStatus.NO_CANDIDATE else None


def outline_box(explanation: Explanation) -> BoxXyxy:
    """Returns the box that is looked at: the candidate's, or the one asked about when there is no candidate."""
    question = unanswered(explanation)
    return question.box_xyxy if question else explanation.detection.box_xyxy


def outline_polygon(explanation: Explanation) -> PolygonXy | None:
    """Returns the corners of that box, None for an upright one."""
    question = unanswered(explanation)
    return question.polygon_xy if question else explanation.detection.polygon_xy


def box_colour(explanation: Explanation) -> Colour:
    """Returns the colour of that box: its class's, or the one of boxes asked about when there is no candidate."""
    return ASKED if unanswered(explanation) else class_colour(explanation.detection.class_id)


def paint_outlines(
    canvas: np.ndarray,
    explanation: Explanation,
    *,
    font_px: int,
    limit_hw: tuple[int, int],
    origin_xy: tuple[float, float] = (0.0, 0.0),
    scale_yx: tuple[float, float] = (1.0, 1.0),
    with_proposal: bool = True,
) -> PixelBox:
    """Paints an explanation's boxes: the pooled proposal and the box asked about dashed, its own box solid.

    Args:
        canvas: uint8 [H, W, 3].
        explanation: whose boxes, in original pixels.
        font_px: the size of letters that the lines have to suit.
        limit_hw: height and width of the part of the canvas that may be painted on.
        origin_xy: where on the original that part starts.
        scale_yx: how much larger it is drawn.
        with_proposal: whether the proposal is painted.

    Returns:
        What the box covers with its lines, left, top, right, bottom; all 0 when it lies outside.
    """

    def placed(box_xyxy: BoxXyxy) -> PixelBox | None:
        return clip_box(place_box(box_xyxy, origin_xy=origin_xy, scale_yx=scale_yx), 1, limit_hw)

    def placed_polygon(polygon_xy: PolygonXy) -> PolygonXy:
        return place_polygon(polygon_xy, origin_xy=origin_xy, scale_yx=scale_yx)

    line_px = line_width(font_px)
    proposal = placed(explanation.box_xyxy_roi) if with_proposal and explanation.box_xyxy_roi else None
    if proposal:
        paint_dashes(canvas, proposal, line_px=max(1, line_px // 2))
    box = placed(outline_box(explanation))
    if box and not unanswered(explanation):
        polygon, colour, edge_px = outline_polygon(explanation), box_colour(explanation), edge_width(line_px)
        if polygon:
            corners = placed_polygon(polygon)
            paint_polygon(canvas, corners, line_px=line_px, edge_px=edge_px, colour=colour, limit_hw=limit_hw)
        else:
            paint_box(canvas, box, line_px=line_px, colour=colour, limit_hw=limit_hw)
        box = widen_box(box, line_px + edge_px, limit_hw)
    answer = explanation.answer
    asked = placed(answer.box_xyxy) if answer else None
    if asked and answer and answer.polygon_xy:
        corners = placed_polygon(answer.polygon_xy)
        paint_dashed_polygon(canvas, corners, line_px=line_px + 1, limit_hw=limit_hw, light=ASKED)
    elif asked:
        paint_dashes(canvas, asked, line_px=line_px + 1, light=ASKED)
    return box or _NOWHERE


def paint_box(
    canvas: np.ndarray, box_ltrb: PixelBox, *, line_px: int, colour: Colour, limit_hw: tuple[int, int]
) -> None:
    """Paints a coloured line around the box and a black or white one around that, visible on any background.

    Args:
        canvas: uint8 [H, W, 3].
        box_ltrb: from `clip_box`. The lines run outside of it, and inside where there is no room outside.
        line_px: width of the coloured line.
        colour: of the inner line.
        limit_hw: height and width of the part of the canvas that may be painted on.
    """
    edge_px = edge_width(line_px)
    left, top, right, bottom = widen_box(box_ltrb, line_px + edge_px, limit_hw)
    _paint_frame(canvas, (left, top, right, bottom), edge_px, contrasting(colour))
    _paint_frame(canvas, (left + edge_px, top + edge_px, right - edge_px, bottom - edge_px), line_px, colour)


def edge_width(line_px: int) -> int:
    """Returns the width of the line around a coloured line: half of it, so that the colour prevails."""
    return (line_px + 1) // 2


def paint_dashes(
    canvas: np.ndarray, box_ltrb: PixelBox, *, line_px: int, light: Colour = WHITE, dark: Colour = BLACK
) -> None:
    """Paints a line of alternating light and dark dashes along the inner edge of the box.

    Args:
        canvas: uint8 [H, W, 3].
        box_ltrb: from `clip_box`.
        line_px: width of the line.
        light: colour of every other dash, the first one included.
        dark: colour of the dashes between.
    """
    left, top, right, bottom = box_ltrb
    across = _dashes(right - left, line_px, light=light, dark=dark)[None, :]
    down = _dashes(bottom - top, line_px, light=light, dark=dark)[:, None]
    canvas[top : min(top + line_px, bottom), left:right] = across
    canvas[max(bottom - line_px, top) : bottom, left:right] = across
    canvas[top:bottom, left : min(left + line_px, right)] = down
    canvas[top:bottom, max(right - line_px, left) : right] = down


def label_of(explanation: Explanation, font_px: int, *, max_px: int) -> str:
    """Returns what a box's plate says: class and score, or what was asked for when there is no candidate."""
    question = unanswered(explanation)
    if question:
        return shorten(f"asked: {asked_class(question)}", font_px, max_px=max_px)
    return title_of(explanation.detection, font_px, max_px=max_px)


def asked_class(question: Answer) -> str:
    """Returns the class that was asked about, "any class" for none in particular."""
    return drawable(question.class_name or "any class")


def paint_label(
    canvas: np.ndarray,
    text: str,
    box_ltrb: PixelBox,
    *,
    font_px: int,
    colour: Colour,
    taken: Sequence[PixelBox] = (),
) -> PixelBox:
    """Paints a text on a plate beside the box, wholly inside the canvas.

    Args:
        canvas: uint8 [H, W, 3].
        text: in letters that the font has.
        box_ltrb: the box with its lines, in pixels of the canvas.
        font_px: font size.
        colour: of the plate; the letters are black or white, whichever is easier to read on it.
        taken: plates that are there already.

    Returns:
        left, top, right, bottom of the plate.
    """
    margin_x, margin_y = plate_margins(font_px)
    mask = text_mask(text, font_px)
    plate_hw = mask.shape[0] + 2 * margin_y, mask.shape[1] + 2 * margin_x
    left, top = place_plate(plate_hw, box_ltrb, (canvas.shape[0], canvas.shape[1]), taken=taken)
    canvas[top : top + plate_hw[0], left : left + plate_hw[1]] = colour
    paint_text(canvas, mask, top=top + margin_y, left=left + margin_x, colour=contrasting(colour))
    return left, top, left + plate_hw[1], top + plate_hw[0]


def plate_margins(font_px: int) -> tuple[int, int]:
    """Returns the room left and right of a plate's text, and above and below it."""
    return max(2, font_px // 3), max(1, font_px // 8)


def widest_label(canvas_width: int, font_px: int, *, part: float = 0.6) -> int:
    """Returns the width that a plate's text may have: a part of the canvas, so as not to bury the picture."""
    return int(max(canvas_width, MIN_PICTURE_HW[1]) * part) - 2 * plate_margins(font_px)[0]


def place_plate(
    plate_hw: tuple[int, int], box_ltrb: PixelBox, canvas_hw: tuple[int, int], *, taken: Sequence[PixelBox] = ()
) -> tuple[int, int]:
    """Returns left and top of a plate: the first free place beside its box, else the nearest free one on the canvas.

    Beside the box is: above, below, in its upper left corner, then at its other corners. Where nothing is free, the
    plate covers as little of the others as it can.

    Args:
        plate_hw: height and width of the plate.
        box_ltrb: the box with its lines.
        canvas_hw: height and width of the canvas.
        taken: the plates that are not to be covered.
    """
    height, width = plate_hw
    last_left, last_top = max(0, canvas_hw[1] - width), max(0, canvas_hw[0] - height)
    left, top, right, bottom = box_ltrb
    wanted = [
        *((left, top - height), (left, bottom), (left, top)),
        *((right - width, top - height), (right - width, bottom), (right - width, top)),
        *((right, top), (left - width, top), (left, bottom - height), (right - width, bottom - height)),
    ]
    beside = [(min(max(0, x), last_left), y) for x, y in wanted if 0 <= y <= last_top]
    for place in beside:
        if not _covered(np.array([place]), plate_hw, taken)[0]:
            return place
    anywhere = _grid_of_places((last_left, last_top), step_xy=(max(1, width // 4), max(1, height // 4)))
    covered = _covered(anywhere, plate_hw, taken)
    distance = np.hypot(anywhere[:, 0] - left, anywhere[:, 1] - (top - height))
    best = np.lexsort((distance, covered))[0]
    return int(anywhere[best, 0]), int(anywhere[best, 1])


def _grid_of_places(last_xy: tuple[int, int], *, step_xy: tuple[int, int]) -> np.ndarray:
    """Returns int [N, 2]: left and top of places from (0, 0) to the last one, that one included."""
    sides = [np.unique(np.append(np.arange(0, last, step), last)) for last, step in zip(last_xy, step_xy)]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def _covered(places: np.ndarray, plate_hw: tuple[int, int], taken: Sequence[PixelBox]) -> np.ndarray:
    """Returns float [N]: how many pixels of other plates a plate would cover at each place."""
    covered = np.zeros(len(places))
    for left, top, right, bottom in taken:
        across = np.minimum(places[:, 0] + plate_hw[1], right) - np.maximum(places[:, 0], left)
        down = np.minimum(places[:, 1] + plate_hw[0], bottom) - np.maximum(places[:, 1], top)
        covered += across.clip(min=0) * down.clip(min=0)
    return covered


def _dashes(length: int, line_px: int, *, light: Colour, dark: Colour) -> np.ndarray:
    is_dark = np.arange(length) // (4 * line_px) % 2 == 1
    return np.where(is_dark[:, None], np.array(dark, np.uint8), np.array(light, np.uint8))


def _paint_frame(canvas: np.ndarray, box_ltrb: PixelBox, line_px: int, colour: Colour) -> None:
    left, top, right, bottom = box_ltrb
    if left >= right or top >= bottom:
        return
    canvas[top : min(top + line_px, bottom), left:right] = colour
    canvas[max(bottom - line_px, top) : bottom, left:right] = colour
    canvas[top:bottom, left : min(left + line_px, right)] = colour
    canvas[top:bottom, max(right - line_px, left) : right] = colour
