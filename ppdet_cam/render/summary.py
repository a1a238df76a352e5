"""One picture of all boxes of an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ppdet_cam.render.boxes import (
    asked_class,
    box_colour,
    paint_label,
    paint_outlines,
    unanswered,
    widest_label,
)
from ppdet_cam.render.checks import check_image, check_map, check_scale
from ppdet_cam.render.colours import ASKED, BRIGHT_TEXT, DIM_TEXT
from ppdet_cam.render.footer import (
    ASKED_LEGEND,
    SCALES,
    Line,
    bar_strip,
    mask_note,
    method_entries,
    notes,
    scale_texts,
    text_block,
)
from ppdet_cam.render.heat import heat_of, highest_value, overlay
from ppdet_cam.render.layout import (
    MIN_PICTURE_HW,
    PixelBox,
    blank,
    enlarge,
    enlargement,
    font_height,
    margin_width,
    pad_to,
)
from ppdet_cam.render.style import DEFAULT_STYLE, RenderStyle
from ppdet_cam.render.text import drawable, shorten, text_width, title_of, wrap, wrap_words
from ppdet_cam.structures import Explanation, MapStatus

_NO_MAP = np.zeros((0, 0), np.float32)


def draw_summary(
    frame_image: np.ndarray,
    explanations: Iterable[Explanation],
    *,
    style: RenderStyle = DEFAULT_STYLE,
    highest: float | None = None,
) -> np.ndarray:
    """Returns the photograph with all boxes in their classes' colours, labelled "index class score", and their heat.

    The heat of a pixel is the highest among all maps, each scaled before. Labels keep clear of each other as long as
    there is room for that in the picture.

    Args:
        frame_image: uint8 [H, W, 3], RGB, the original image.
        explanations: all of this image; read once, and no map is kept, so they may be made on the way.
        style: how it is coloured.
        highest: the raw value of the hottest colour in every map; None for the end of each map's own scale.

    Returns:
        uint8 [H', W', 3], RGB. The photograph, enlarged or not, starts at the top left corner.

    Raises:
        ImageError: the image is not uint8 [H, W, 3], or a heatmap has another height and width.
        ConfigError: the style compares maps and `highest` is missing.
    """
    check_image(frame_image)
    check_scale(style, highest)
    heat = np.zeros(frame_image.shape[:2], np.float32)
    boxes, reached = [], 0.0
    for explanation in explanations:
        check_map(frame_image, explanation.heatmap)
        np.maximum(heat, heat_of(explanation, style=style, highest=highest), out=heat)
        reached = max(reached, highest_value([explanation]) if highest is not None else 0.0)
        boxes.append(replace(explanation, heatmap=_NO_MAP))
    photo = overlay(frame_image, heat, style=style)
    factor = enlargement(photo.shape[:2])
    limit_hw = photo.shape[0] * factor, photo.shape[1] * factor
    font_px = font_height(limit_hw)
    canvas = pad_to(enlarge(photo, factor), MIN_PICTURE_HW)
    _paint_boxes(canvas, boxes, factor, font_px, limit_hw=limit_hw)
    bar = ("evidence  0", "each box's end of scale") if highest is None else scale_texts(reached, highest)
    lines = _summary_lines(boxes, canvas.shape[1], font_px, style=style, highest=highest)
    return np.concatenate(
        [
            canvas,
            text_block(lines, canvas.shape[1], font_px),
            bar_strip(*bar, canvas.shape[1], font_px, style=style),
            blank((font_px // 2, canvas.shape[1])),
        ]
    )


def _paint_boxes(
    canvas: np.ndarray, boxes: list[Explanation], factor: int, font_px: int, *, limit_hw: tuple[int, int]
) -> None:
    """Paints all boxes, those with the highest scores on top, then all labels, those with the highest scores first."""
    ranked = sorted(boxes, key=lambda explanation: -explanation.detection.score)
    scale_yx = factor, factor
    covered = [
        paint_outlines(canvas, box, font_px=font_px, limit_hw=limit_hw, scale_yx=scale_yx, with_proposal=False)
        for box in reversed(ranked)
    ]
    plates: list[PixelBox] = []
    max_px = widest_label(canvas.shape[1], font_px, part=0.45)
    for explanation, box_ltrb in zip(ranked, reversed(covered)):
        label, colour = numbered_label(explanation, font_px, max_px=max_px), box_colour(explanation)
        plates.append(paint_label(canvas, label, box_ltrb, font_px=font_px, colour=colour, taken=plates))


def numbered_label(explanation: Explanation, font_px: int, *, max_px: int) -> str:
    """Returns "index class score", the name of the question in place of the index for a box that was asked about."""
    number = f"{shorten(drawable(explanation.name), font_px, max_px=max_px // 2)} "
    left_px = max_px - text_width(number, font_px)
    question = unanswered(explanation)
    if question:
        return number + shorten(asked_class(question), font_px, max_px=left_px)
    return number + title_of(explanation.detection, font_px, max_px=left_px)


def _summary_lines(
    boxes: list[Explanation], width: int, font_px: int, *, style: RenderStyle, highest: float | None
) -> list[Line]:
    """Returns how many boxes there are, how their maps were made, and what their lines and colours mean."""
    max_px = width - 2 * margin_width(font_px)
    details = wrap(method_entries(boxes), font_px, max_px=max_px)
    remarks = list(mask_note(style))
    without = [drawable(explanation.name) for explanation in boxes if explanation.status is not MapStatus.OK]
    if without:
        remarks.append(f"without a map: {', '.join(without)}")
    if highest is not None:
        remarks.append(f"colours reach to {SCALES[style.normalize]}")
    is_asked = any(explanation.answer for explanation in boxes)
    return [
        (f"{len(boxes)} box{'' if len(boxes) == 1 else 'es'}" if boxes else "no boxes", BRIGHT_TEXT),
        *((line, ASKED) for line in wrap_words(ASKED_LEGEND if is_asked else "", font_px, max_px=max_px)),
        *((line, DIM_TEXT) for line in details),
        *notes(remarks, font_px, max_px=max_px),
    ]
