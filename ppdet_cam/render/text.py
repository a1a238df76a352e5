"""Text: what the font can draw, how wide it is, where lines break."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Sequence
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ppdet_cam.render.colours import Colour
from ppdet_cam.render.heat import blend
from ppdet_cam.render.layout import blank, margin_width
from ppdet_cam.structures import Detection

SEPARATOR = " \u00b7 "
_ELLIPSIS = "\u2026"
_MAX_LINES = 3

# signs that the font lacks
_SPELLED = str.maketrans(
    {
        "\u2265": ">=",
        "\u2264": "<=",
        "\u2248": "~",
        "\u00d7": "x",
        "\u2192": "->",
        "\u2212": "-",
        "\u2013": "-",
        "\u2014": "-",
    }
)


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
    plain = unicodedata.normalize("NFKD", " ".join(text.split()).translate(_SPELLED))
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


def wrap(entries: Sequence[str], font_px: int, *, max_px: int, separator: str = SEPARATOR) -> list[str]:
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


def wrap_words(text: str, font_px: int, *, max_px: int) -> list[str]:
    """Returns the whole text in as many lines as it needs; words that are wider than a line are broken."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, font_px) <= max_px:
            lines[-1] = joined
        else:
            lines += _pieces(word, font_px, max_px=max_px)
    return lines


def _pieces(word: str, font_px: int, *, max_px: int) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_width(pieces[-1] + letter, font_px) > max_px:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def text_mask(text: str, font_px: int) -> np.ndarray:
    """Returns how much of each pixel the text covers, uint8 [line height, text width], 255 is all."""
    font = _font(font_px)
    image = Image.new("L", (text_width(text, font_px) + 1, sum(font.getmetrics())))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    return np.asarray(image)


def paint_text(canvas: np.ndarray, mask: np.ndarray, *, top: int, left: int, colour: Colour) -> None:
    """Paints a text's mask onto the canvas, as far as it lies inside."""
    area = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    visible = mask[: area.shape[0], : area.shape[1]]
    area[:] = blend(area, np.full_like(area, colour), visible / np.float32(255))


def text_strip(text: str, width: int, font_px: int, *, colour: Colour, background: Colour) -> np.ndarray:
    """Returns one line of text on a strip of the given width, uint8 [line height, width, 3]."""
    mask = text_mask(text, font_px)
    strip = blank((mask.shape[0] + font_px // 6, width), background)
    paint_text(strip, mask, top=0, left=margin_width(font_px), colour=colour)
    return strip


@functools.lru_cache(maxsize=16)
def _font(font_px: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(font_px))  # with a size it is never a bitmap font


@functools.lru_cache(maxsize=1024)
def _has_glyph(letter: str) -> bool:
    font = _font(20)
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))
