"""Explanation -> picture: the map over the photograph, the box, its label and a footer. Writes nothing to disk."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ppdet_cam.errors import ImageError
from ppdet_cam.structures import Detection, Explanation, MapStatus

MIN_PICTURE_HW = (48, 320)
MAX_ENLARGED_SIDE = 4096
MAX_JPEG_SIDE = 65500

# Chosen by looking, on dark, green and warm photographs. Plasma's lightness rises evenly with the heat, it is safe for
# colour-blind eyes, and unlike inferno it starts at violet, not at a black that looks like a shadow in the photograph.
_COLORMAP = cv2.COLORMAP_PLASMA
_COLORMAP_START = 0.05
_OPACITY_OF_HOTTEST = 0.8
_OPACITY_EXPONENT = 0.6

_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
_PANEL = (24, 26, 31)
_BRIGHT_TEXT = (240, 240, 242)
_DIM_TEXT = (168, 172, 180)
_BANNER = (250, 204, 80)
_BAR_BASE = (128, 128, 128)

_SEPARATOR = " \u00b7 "
_ELLIPSIS = "\u2026"
_MAX_LINES = 3


def draw_explanation(frame_image: np.ndarray, explanation: Explanation) -> np.ndarray:
    """Returns the photograph with the map, the box and its label drawn over it, and a footer below.

    Small photographs are enlarged by a whole factor, and filled up on the right and below if that is not enough,
    so that the label stays readable. A map whose status is not OK leaves the photograph uncoloured, and the footer
    says why.

    Args:
        frame_image: uint8 [H, W, 3], RGB, the original image.
        explanation: what to draw; its heatmap is [H, W].

    Returns:
        uint8 [H', W', 3], RGB. The photograph, enlarged or not, starts at the top left corner.

    Raises:
        ImageError: the image is not uint8 [H, W, 3], or the heatmap has another height and width.
    """
    _check_sizes(frame_image, explanation)
    photo = frame_image
    if explanation.status is MapStatus.OK:
        heat = normalise(explanation.heatmap)
        photo = blend(photo, colorize(heat), opacity(heat))
    height, width = photo.shape[:2]
    factor = enlargement((height, width))
    font_px = font_height((height * factor, width * factor))
    picture = pad_to(enlarge(photo, factor), MIN_PICTURE_HW)
    picture = _draw_boxes(picture, explanation, factor, font_px, original_hw=(height, width))
    return np.concatenate([picture, footer(explanation, picture.shape[1], font_px)])


def encode_jpeg(rgb: np.ndarray, quality: int = 95) -> bytes:
    """Returns a picture as JPEG bytes.

    Args:
        rgb: uint8 [H, W, 3].
        quality: 0 to 100.

    Raises:
        ImageError: a side is longer than the 65500 pixels that libjpeg takes.
    """
    height, width = rgb.shape[:2]
    if max(height, width) > MAX_JPEG_SIDE:
        raise ImageError(f"a picture of {width} x {height} pixels cannot be a JPEG; a side may have {MAX_JPEG_SIDE}")
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(encoded)


def _check_sizes(frame_image: np.ndarray, explanation: Explanation) -> None:
    if frame_image.dtype != np.uint8 or frame_image.ndim != 3 or frame_image.shape[2] != 3 or frame_image.size == 0:
        raise ImageError(
            f"cannot draw on an image of shape {list(frame_image.shape)} and dtype {frame_image.dtype}; "
            f"allowed is uint8 [H, W, 3]; see images.frame_from_array"
        )
    if explanation.heatmap.shape != frame_image.shape[:2]:
        raise ImageError(
            f"a heatmap of shape {list(explanation.heatmap.shape)} does not fit an image of "
            f"shape {list(frame_image.shape)}; give the image that was explained"
        )


# --- the map ---


def normalise(heatmap: np.ndarray) -> np.ndarray:
    """Returns the heatmap divided by its own maximum, so that colours reach from 0 to that maximum.

    A constant map becomes 1 everywhere when it is above zero, and 0 everywhere when it is not.

    Args:
        heatmap: float [H, W]; negative and non-finite values count as 0.

    Returns:
        float32 [H, W], 0 to 1.
    """
    positive = np.where(np.isfinite(heatmap), heatmap, 0).astype(np.float32).clip(min=0)
    highest = positive.max(initial=0)
    return np.asarray(positive / highest if highest > 0 else positive)


def colorize(heat: np.ndarray) -> np.ndarray:
    """Returns the colour of each value: from violet over red to yellow.

    Args:
        heat: float32 [H, W], 0 to 1.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    levels = np.rint(255 * (_COLORMAP_START + (1 - _COLORMAP_START) * heat)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, _COLORMAP), cv2.COLOR_BGR2RGB))


def opacity(heat: np.ndarray) -> np.ndarray:
    """Returns how much of the photograph each value hides: none without heat, then rising with it.

    Args:
        heat: float32 [H, W], 0 to 1.

    Returns:
        float32 [H, W], 0 to 0.8.
    """
    return np.asarray(_OPACITY_OF_HOTTEST * heat**_OPACITY_EXPONENT, dtype=np.float32)


def blend(photo: np.ndarray, colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Returns the photograph mixed with a colour; exactly the photograph where the weight is 0.

    Args:
        photo: uint8 [H, W, 3].
        colour: uint8 [H, W, 3].
        weight: float32 [H, W], 0 to 1, the part of the colour.

    Returns:
        uint8 [H, W, 3].
    """
    blended = np.empty_like(photo)
    for top in range(0, photo.shape[0], 256):  # in strips, to spare the memory of a float copy of a large image
        rows = slice(top, top + 256)
        if not weight[rows].any():
            blended[rows] = photo[rows]
            continue
        difference = colour[rows].astype(np.float32) - photo[rows]
        blended[rows] = np.rint(photo[rows] + weight[rows, :, None] * difference)
    return blended


# --- sizes ---


def enlargement(hw: Sequence[int]) -> int:
    """Returns the whole factor, 1 or more, by which an image of this height and width is drawn larger."""
    wanted = max(math.ceil(least / side) for least, side in zip(MIN_PICTURE_HW, hw))
    return max(1, min(wanted, MAX_ENLARGED_SIDE // max(hw)))


def enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    """Returns the picture [H * factor, W * factor, 3], each pixel repeated; a copy also when the factor is 1."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else picture.copy()


def pad_to(picture: np.ndarray, least_hw: tuple[int, int]) -> np.ndarray:
    """Returns the picture, filled up on the right and below to at least this height and width."""
    missing_y, missing_x = (max(0, least - side) for least, side in zip(least_hw, picture.shape[:2]))
    if not missing_y and not missing_x:
        return picture
    padded = np.full((picture.shape[0] + missing_y, picture.shape[1] + missing_x, 3), _PANEL, dtype=np.uint8)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    return padded


def font_height(hw: tuple[int, int]) -> int:
    """Returns the font size in pixels that suits a picture of this height and width."""
    height, width = hw
    return max(13, round(min(0.025 * math.sqrt(height * width), width / 28)))


# --- boxes ---


def clip_box(
    box_xyxy: tuple[float, float, float, float], factor: int, original_hw: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Returns the pixels that a box touches, None when it touches none.

    Args:
        box_xyxy: left, top, right, bottom in original pixels, anywhere.
        factor: how many times the original is enlarged.
        original_hw: height and width of the original.

    Returns:
        left, top, right, bottom of the enlarged original's pixels, at least 1 x 1, right and bottom exclusive.
    """
    if not all(map(math.isfinite, box_xyxy)):
        return None
    height, width = original_hw[0] * factor, original_hw[1] * factor
    left, top, right, bottom = (side * factor for side in box_xyxy)
    if right < 0 or bottom < 0 or left > width or top > height:
        return None
    first_x, first_y = min(max(0, math.floor(left)), width - 1), min(max(0, math.floor(top)), height - 1)
    end_x, end_y = min(max(math.ceil(right), first_x + 1), width), min(max(math.ceil(bottom), first_y + 1), height)
    return first_x, first_y, end_x, end_y


def widen_box(
    box_ltrb: tuple[int, int, int, int], margin_px: int, limit_hw: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Returns the box grown on all sides, but not beyond the height and width given."""
    left, top, right, bottom = box_ltrb
    return (
        max(0, left - margin_px),
        max(0, top - margin_px),
        min(limit_hw[1], right + margin_px),
        min(limit_hw[0], bottom + margin_px),
    )


def draw_box(
    picture: np.ndarray, box_ltrb: tuple[int, int, int, int], *, line_px: int, limit_hw: tuple[int, int]
) -> np.ndarray:
    """Returns the picture with a dark and a light line around the box, visible on any background.

    Args:
        picture: uint8 [H, W, 3].
        box_ltrb: from `clip_box`. The lines run outside of it, and inside where there is no room outside.
        line_px: width of each of the two lines.
        limit_hw: height and width of the part of the picture that may be drawn on.
    """
    drawn = picture.copy()
    left, top, right, bottom = widen_box(box_ltrb, 2 * line_px, limit_hw)
    _fill_frame(drawn, (left, top, right, bottom), line_px, _BLACK)
    _fill_frame(drawn, (left + line_px, top + line_px, right - line_px, bottom - line_px), line_px, _WHITE)
    return drawn


def draw_dashed_box(picture: np.ndarray, box_ltrb: tuple[int, int, int, int], *, line_px: int) -> np.ndarray:
    """Returns the picture with a thin line of alternating dark and light dashes along the inner edge of the box.

    Args:
        picture: uint8 [H, W, 3].
        box_ltrb: from `clip_box`.
        line_px: width of the line.
    """
    drawn = picture.copy()
    left, top, right, bottom = box_ltrb
    across, down = _dashes(right - left, line_px)[None, :], _dashes(bottom - top, line_px)[:, None]
    drawn[top : min(top + line_px, bottom), left:right] = across
    drawn[max(bottom - line_px, top) : bottom, left:right] = across
    drawn[top:bottom, left : min(left + line_px, right)] = down
    drawn[top:bottom, max(right - line_px, left) : right] = down
    return drawn


def _dashes(length: int, line_px: int) -> np.ndarray:
    is_dark = np.arange(length) // (4 * line_px) % 2 == 1
    return np.where(is_dark[:, None], np.array(_BLACK, np.uint8), np.array(_WHITE, np.uint8))


def _fill_frame(
    canvas: np.ndarray, box_ltrb: tuple[int, int, int, int], line_px: int, colour: tuple[int, int, int]
) -> None:
    left, top, right, bottom = box_ltrb
    if left >= right or top >= bottom:
        return
    canvas[top : min(top + line_px, bottom), left:right] = colour
    canvas[max(bottom - line_px, top) : bottom, left:right] = colour
    canvas[top:bottom, left : min(left + line_px, right)] = colour
    canvas[top:bottom, max(right - line_px, left) : right] = colour


def _draw_boxes(
    picture: np.ndarray, explanation: Explanation, factor: int, font_px: int, *, original_hw: tuple[int, int]
) -> np.ndarray:
    line_px = max(1, round(font_px / 8))
    limit_hw = (original_hw[0] * factor, original_hw[1] * factor)
    if explanation.box_xyxy_roi is not None:
        proposal = clip_box(explanation.box_xyxy_roi, factor, original_hw)
        picture = picture if proposal is None else draw_dashed_box(picture, proposal, line_px=max(1, line_px // 2))
    box = clip_box(explanation.detection.box_xyxy, factor, original_hw)
    if box is None:
        return draw_label(picture, explanation.detection, (0, 0, 0, 0), font_px=font_px)
    picture = draw_box(picture, box, line_px=line_px, limit_hw=limit_hw)
    return draw_label(picture, explanation.detection, widen_box(box, 2 * line_px, limit_hw), font_px=font_px)


# --- text ---


def draw_label(
    picture: np.ndarray, detection: Detection, box_ltrb: tuple[int, int, int, int], *, font_px: int
) -> np.ndarray:
    """Returns the picture with class and score on a dark plate beside the box, wholly inside the picture.

    Args:
        picture: uint8 [H, W, 3].
        detection: whose class and score are written.
        box_ltrb: the box with its lines, in pixels of the picture; the plate lies above it, below it where there is
            no room above, and in its upper left corner where there is none below either.
        font_px: font size.
    """
    height, width = picture.shape[:2]
    margin_x, margin_y = max(2, font_px // 3), max(1, font_px // 8)
    title = title_of(detection, font_px, max_px=max(width * 6 // 10, MIN_PICTURE_HW[1] * 6 // 10) - 2 * margin_x)
    text = text_mask(title, font_px)
    plate_h, plate_w = text.shape[0] + 2 * margin_y, text.shape[1] + 2 * margin_x
    left = max(0, min(box_ltrb[0], width - plate_w))
    tops = (box_ltrb[1] - plate_h, box_ltrb[3], box_ltrb[1])
    top = next((top for top in tops if 0 <= top <= height - plate_h), max(0, height - plate_h))
    drawn = picture.copy()
    drawn[top : top + plate_h, left : left + plate_w] = _PANEL
    _write(drawn, text, top + margin_y, left + margin_x, _WHITE)
    return drawn


def title_of(detection: Detection, font_px: int, *, max_px: int) -> str:
    """Returns class and score; the class is shortened to keep to the width, the score never."""
    score = f" {detection.score:.3f}"
    return shorten(name_of(detection), font_px, max_px=max_px - text_width(score, font_px)) + score


def name_of(detection: Detection) -> str:
    """Returns the class name in letters that the font has, "class_3" when it has none of them."""
    name = drawable(detection.class_name)
    return name if any(map(str.isalnum, name)) else f"class_{detection.class_id}"


def drawable(text: str) -> str:
    """Returns the text in one line, accents dropped and "?" for each character that the font lacks."""
    plain = unicodedata.normalize("NFKD", " ".join(text.split()))
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if _has_glyph(letter) else "?" for letter in letters)


def text_width(text: str, font_px: int) -> int:
    """Returns the width of the text in pixels, rounded up."""
    return math.ceil(_font(font_px).getlength(text))


def shorten(text: str, font_px: int, *, max_px: int) -> str:
    """Returns the text, or as much of it as fits into the width with an ellipsis behind it."""
    if text_width(text, font_px) <= max_px:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if text_width(text[:middle].rstrip() + _ELLIPSIS, font_px) <= max_px:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip() + _ELLIPSIS


def wrap(entries: Sequence[str], font_px: int, *, max_px: int, separator: str = _SEPARATOR) -> list[str]:
    """Returns the entries in as few lines as the width allows; three at most, the last one is then shortened."""
    lines: list[str] = []
    for entry in entries:
        joined = f"{lines[-1]}{separator}{entry}" if lines else entry
        if lines and text_width(joined, font_px) <= max_px:
            lines[-1] = joined
        else:
            lines.append(entry)
    kept = lines[: _MAX_LINES - 1] + [separator.join(lines[_MAX_LINES - 1 :])]
    return [shorten(line, font_px, max_px=max_px) for line in kept if line]


def text_mask(text: str, font_px: int) -> np.ndarray:
    """Returns how much of each pixel the text covers, uint8 [line height, text width], 255 is all."""
    font = _font(font_px)
    image = Image.new("L", (text_width(text, font_px) + 1, sum(font.getmetrics())))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    return np.asarray(image)


def _write(canvas: np.ndarray, mask: np.ndarray, top: int, left: int, colour: tuple[int, int, int]) -> None:
    area = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    visible = mask[: area.shape[0], : area.shape[1]]
    area[:] = blend(area, np.full_like(area, colour), visible / np.float32(255))


@functools.lru_cache(maxsize=16)
def _font(font_px: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(font_px))  # with a size it is never a bitmap font


@functools.lru_cache(maxsize=1024)
def _has_glyph(letter: str) -> bool:
    font = _font(20)
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


# --- the footer ---


def footer(explanation: Explanation, width: int, font_px: int) -> np.ndarray:
    """Returns the strip below the photograph: the box, the method, the layers, the levels and the colour bar.

    Args:
        explanation: what is drawn.
        width: of the strip, in pixels.
        font_px: font size.

    Returns:
        uint8 [height as needed, width, 3].
    """
    max_px = width - 2 * _margin(font_px)
    index = f"{_SEPARATOR}box {explanation.detection.index}"
    title = title_of(explanation.detection, font_px, max_px=max_px - text_width(index, font_px)) + index
    details = wrap([drawable(explanation.method), *map(drawable, explanation.layers)], font_px, max_px=max_px)
    if len(explanation.levels) > 1:
        details += wrap(level_shares(explanation), font_px, max_px=max_px)
    details += [shorten(note, font_px, max_px=max_px) for note in _notes(explanation)]
    strips = [
        _blank_strip(font_px // 2, width, _PANEL),
        text_strip(title, width, font_px, colour=_BRIGHT_TEXT, background=_PANEL),
        *(text_strip(line, width, font_px, colour=_DIM_TEXT, background=_PANEL) for line in details),
        _last_strip(explanation, width, font_px),
    ]
    return np.concatenate(strips)


def level_shares(explanation: Explanation) -> list[str]:
    """Returns each level's grid, rows x columns, and its share of the evidence: "levels: 80x80 88 %", "40x40 12 %"."""
    one_layer = len({level.layer for level in explanation.levels}) == 1
    shares = [
        ("" if one_layer else f"{drawable(level.layer)} ")
        + f"{level.grid_hw[0]}x{level.grid_hw[1]} "
        + ("<1 %" if 0 < level.share < 0.01 else f"{level.share:.0%}".replace("%", " %"))
        for level in explanation.levels
    ]
    return [f"levels: {shares[0]}", *shares[1:]] if shares else []


def _notes(explanation: Explanation) -> list[str]:
    notes = []
    if explanation.box_xyxy_roi is not None:
        notes.append("dashed line: the proposal that was pooled")
    height, width = explanation.heatmap.shape
    if clip_box(explanation.detection.box_xyxy, 1, (height, width)) is None:
        notes.append("the box lies outside the image")
    return notes


def text_strip(
    text: str, width: int, font_px: int, *, colour: tuple[int, int, int], background: tuple[int, int, int]
) -> np.ndarray:
    """Returns one line of text on a strip of the given width, uint8 [line height, width, 3]."""
    mask = text_mask(text, font_px)
    strip = _blank_strip(mask.shape[0] + font_px // 6, width, background)
    _write(strip, mask, 0, _margin(font_px), colour)
    return strip


def bar_strip(highest: float, width: int, font_px: int) -> np.ndarray:
    """Returns the colour bar from 0 to the map's highest value, as the colours look over gray.

    Args:
        highest: raw evidence per pixel where the map is hottest.
        width: of the strip, in pixels.
        font_px: font size.

    Returns:
        uint8 [line height, width, 3].
    """
    margin = _margin(font_px)
    first, last = text_mask("evidence per pixel  0", font_px), text_mask(f"{highest:.2g}", font_px)
    strip = _blank_strip(first.shape[0], width, _PANEL)
    left, right = margin + first.shape[1] + font_px // 2, width - margin - last.shape[1] - font_px // 2
    _write(strip, first, 0, margin, _DIM_TEXT)
    _write(strip, last, 0, width - margin - last.shape[1], _DIM_TEXT)
    bar = np.tile(np.linspace(0, 1, right - left, dtype=np.float32), (max(4, font_px // 2), 1))
    top = (strip.shape[0] - bar.shape[0]) // 2
    coloured = blend(np.full((*bar.shape, 3), _BAR_BASE, dtype=np.uint8), colorize(bar), opacity(bar))
    strip[top : top + bar.shape[0], left:right] = coloured
    return strip


def _last_strip(explanation: Explanation, width: int, font_px: int) -> np.ndarray:
    gap = font_px // 2
    if explanation.status is MapStatus.OK:
        finite = explanation.heatmap[np.isfinite(explanation.heatmap)]
        bar = bar_strip(float(finite.max(initial=0)), width, font_px)
        return np.concatenate([bar, _blank_strip(gap, width, _PANEL)])
    words = f"no map: {explanation.status.value}".split()
    lines = wrap(words, font_px, max_px=width - 2 * _margin(font_px), separator=" ")
    banner = [text_strip(line, width, font_px, colour=_PANEL, background=_BANNER) for line in lines]
    edge = _blank_strip(gap, width, _BANNER)
    return np.concatenate([_blank_strip(gap, width, _PANEL), edge, *banner, edge])


def _blank_strip(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def _margin(font_px: int) -> int:
    return max(6, font_px * 2 // 3)
