"""Pictures of one box: the overlay, the same without box and text, the heat alone, and a close-up."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ppdet_cam.render.boxes import box_colour, label_of, outline_box, paint_label, paint_outlines, widest_label
from ppdet_cam.render.checks import check_scale, check_sizes
from ppdet_cam.render.colours import DIM_TEXT, contrasting
from ppdet_cam.render.footer import answer_lines, box_entries, mask_note, method_entries, notes, scale_strip, text_block
from ppdet_cam.render.footer import footer as footer_of
from ppdet_cam.render.heat import colorize, heat_of, opacity, overlay
from ppdet_cam.render.layout import (
    MIN_PICTURE_HW,
    BoxXyxy,
    PixelBox,
    blank,
    clip_box,
    enlarge,
    enlargement,
    font_height,
    margin_width,
    pad_to,
    scale_box,
)
from ppdet_cam.render.style import DEFAULT_STYLE, RenderStyle
from ppdet_cam.render.text import text_strip, wrap
from ppdet_cam.structures import Explanation, MapStatus

CROP_CONTEXT = 1.5
_MIN_CROP_SIDE = 24
_CROP_SIDE = 480


def draw_explanation(
    frame_image: np.ndarray,
    explanation: Explanation,
    *,
    style: RenderStyle = DEFAULT_STYLE,
    highest: float | None = None,
) -> np.ndarray:
    """Returns the photograph with the map, the box and its label drawn over it, and a footer below.

    Small photographs are enlarged by a whole factor, and filled up on the right and below if that is not enough,
    so that the label stays readable. A map whose status is not OK leaves the photograph uncoloured, and the footer
    says why.

    Args:
        frame_image: uint8 [H, W, 3], RGB, the original image.
        explanation: what to draw; its heatmap is [H, W].
        style: how it is coloured.
        highest: the raw value of the hottest colour, above which colours do not change; None for the end of
            the map's own scale. See `scale_end`.

    Returns:
        uint8 [H', W', 3], RGB. The photograph, enlarged or not, starts at the top left corner.

    Raises:
        ImageError: the image is not uint8 [H, W, 3], or the heatmap has another height and width.
        ConfigError: the style compares maps and `highest` is missing.
    """
    photo = draw_clean(frame_image, explanation, style=style, highest=highest)
    height, width = photo.shape[:2]
    factor = enlargement((height, width))
    limit_hw = height * factor, width * factor
    font_px = font_height(limit_hw)
    canvas = pad_to(enlarge(photo, factor), MIN_PICTURE_HW)
    box = paint_outlines(canvas, explanation, font_px=font_px, limit_hw=limit_hw, scale_yx=(factor, factor))
    label = label_of(explanation, font_px, max_px=widest_label(canvas.shape[1], font_px))
    paint_label(canvas, label, box, font_px=font_px, colour=box_colour(explanation))
    return np.concatenate([canvas, footer_of(explanation, canvas.shape[1], font_px, style=style, highest=highest)])


def draw_clean(
    frame_image: np.ndarray,
    explanation: Explanation,
    *,
    style: RenderStyle = DEFAULT_STYLE,
    highest: float | None = None,
) -> np.ndarray:
    """Returns the photograph with the map over it and nothing else: no box, no text, the size as it is.

    Args:
        frame_image: uint8 [H, W, 3], RGB, the original image.
        explanation: what to draw; its heatmap is [H, W].
        style: how it is coloured.
        highest: the raw value of the hottest colour; None for the end of the map's own scale.

    Returns:
        uint8 [H, W, 3], RGB; the photograph itself where there is no map.

    Raises:
        ImageError: the image is not uint8 [H, W, 3], or the heatmap has another height and width.
        ConfigError: the style compares maps and `highest` is missing.
    """
    check_sizes(frame_image, explanation)
    check_scale(style, highest)
    return overlay(frame_image, heat_of(explanation, style=style, highest=highest), style=style)


def draw_heatmap(
    explanation: Explanation, *, style: RenderStyle = DEFAULT_STYLE, highest: float | None = None
) -> np.ndarray:
    """Returns the colours of a map alone, to be laid over the photograph: no box, no text.

    Args:
        explanation: what to draw; its heatmap is [H, W].
        style: how it is coloured.
        highest: the raw value of the hottest colour; None for the end of the map's own scale.

    Returns:
        uint8 [H, W, 4], RGBA, alpha not multiplied into the colours; transparent where there is no heat.

    Raises:
        ConfigError: the style compares maps and `highest` is missing.
    """
    check_scale(style, highest)
    heat = heat_of(explanation, style=style, highest=highest)
    alpha = np.rint(255 * opacity(heat, alpha=style.alpha)).astype(np.uint8)
    return np.concatenate([colorize(heat, colormap=style.colormap), alpha[:, :, None]], axis=2)


def draw_crop(
    frame_image: np.ndarray,
    explanation: Explanation,
    *,
    style: RenderStyle = DEFAULT_STYLE,
    highest: float | None = None,
) -> np.ndarray:
    """Returns a close-up of the box, widened 1.5 times about its centre, with the map over it and its label above.

    Small boxes are enlarged. Colours mean the same as in the picture of the whole image. A box
    outside the image shows the whole image.

    Args:
        frame_image: uint8 [H, W, 3], RGB, the original image.
        explanation: what to draw; its heatmap is [H, W].
        style: how it is coloured.
        highest: the raw value of the hottest colour; None for the end of the map's own scale, wherever it is.

    Returns:
        uint8 [H', W', 3], RGB.

    Raises:
        ImageError: the image is not uint8 [H, W, 3], or the heatmap has another height and width.
        ConfigError: the style compares maps and `highest` is missing.
    """
    check_sizes(frame_image, explanation)
    check_scale(style, highest)
    left, top, right, bottom = crop_region(explanation)
    heat = heat_of(explanation, style=style, highest=highest)[top:bottom, left:right]
    photo = overlay(frame_image[top:bottom, left:right], heat, style=style)
    crop = _magnified(photo)
    limit_hw = crop.shape[0], crop.shape[1]
    font_px = font_height(limit_hw)
    paint_outlines(
        crop,
        explanation,
        font_px=font_px,
        limit_hw=limit_hw,
        origin_xy=(left, top),
        scale_yx=(limit_hw[0] / photo.shape[0], limit_hw[1] / photo.shape[1]),
        with_proposal=False,
    )
    return _frame_crop(_centred(crop), explanation, font_px, style=style, highest=highest)


def crop_region(explanation: Explanation) -> PixelBox:
    """Returns the part of the original that a close-up shows: the box, and the one asked about, with some context."""
    height, width = explanation.heatmap.shape
    box = outline_box(explanation)
    if explanation.answer is not None:
        box = _around(box, explanation.answer.box_xyxy)
    left, top, right, bottom = scale_box(box, CROP_CONTEXT)
    # neither a thread of pixels nor a handful of them tells what is there
    least = max(_MIN_CROP_SIDE, (right - left) / 2, (bottom - top) / 2)
    more_x, more_y = max(0.0, least - (right - left)) / 2, max(0.0, least - (bottom - top)) / 2
    region = clip_box((left - more_x, top - more_y, right + more_x, bottom + more_y), 1, (height, width))
    return (0, 0, width, height) if region is None or clip_box(box, 1, (height, width)) is None else region


def _magnified(photo: np.ndarray) -> np.ndarray:
    """Returns a copy that fills a close-up: at least one side, and the least width unless that makes it too high."""
    height, width = photo.shape[:2]
    factor = max(1.0, _CROP_SIDE / max(height, width), min(MIN_PICTURE_HW[1] / width, 2 * _CROP_SIDE / height))
    hw = math.ceil(height * factor), math.ceil(width * factor)
    return np.asarray(cv2.resize(photo, hw[::-1], interpolation=cv2.INTER_CUBIC)) if factor > 1 else photo.copy()


def _around(one: BoxXyxy, other: BoxXyxy) -> BoxXyxy:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _centred(picture: np.ndarray) -> np.ndarray:
    """Returns the picture, filled up on both sides to the least width."""
    missing = max(0, MIN_PICTURE_HW[1] - picture.shape[1])
    before, after = blank((picture.shape[0], missing // 2)), blank((picture.shape[0], missing - missing // 2))
    return np.concatenate([before, picture, after], axis=1)


def _frame_crop(
    crop: np.ndarray, explanation: Explanation, font_px: int, *, style: RenderStyle, highest: float | None
) -> np.ndarray:
    """Returns the close-up with its label above and, below, which box it is, how it was made, and its colours."""
    width = crop.shape[1]
    max_px = width - 2 * margin_width(font_px)
    colour = box_colour(explanation)
    label = label_of(explanation, font_px, max_px=max_px)
    hidden = mask_note(style) if explanation.status is MapStatus.OK else []
    made = wrap([*box_entries(explanation), *method_entries([explanation])], font_px, max_px=max_px)
    lines = [
        *answer_lines(explanation, font_px, max_px=max_px),
        *((line, DIM_TEXT) for line in made),
        *notes(hidden, font_px, max_px=max_px),
    ]
    return np.concatenate(
        [
            blank((font_px // 4, width), colour),
            text_strip(label, width, font_px, colour=contrasting(colour), background=colour),
            crop,
            text_block(lines, width, font_px),
            scale_strip(explanation, width, font_px, style=style, highest=highest),
        ]
    )
