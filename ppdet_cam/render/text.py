"""Text: what the font can draw, how wide it is, where lines break."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ppdet_cam.render.colours import Colour
from ppdet_cam.render.fonts import base_face, chosen_font, has_any_glyph, has_glyph, runs
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
    """Returns the class name in letters that can be drawn, "class_3" when none of them can."""
    return drawn_name(detection.class_name, detection.class_id)


def drawn_name(class_name: str, class_id: int) -> str:
    """Returns what pictures call a class: its name in letters that can be drawn, "class_3" when none of them can."""
    name = drawable(class_name)
    return name if any(map(str.isalnum, name)) else f"class_{class_id}"


def drawable(text: str) -> str:
    """Returns the text in one line, "?" for each character that no font has.

    Letters whose accents the base font lacks lose them, rather than to be drawn with another font amid a word.
    """
    composed = unicodedata.normalize("NFC", " ".join(text.split()).translate(_SPELLED))
    return "".join(map(_drawable_letter, composed))


def is_drawable(text: str) -> bool:
    """Returns whether some font has every letter of the text, perhaps without its accents."""
    return "?" not in drawable(text.replace("?", ""))


def _drawable_letter(letter: str) -> str:
    parts = [part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part)]
    if not all(map(has_glyph, parts)) and has_any_glyph(letter):
        return letter
    return "".join(part if has_glyph(part) else "?" for part in parts)


def text_width(text: str, font_px: int) -> int:
    """Returns the width of the text in pixels, rounded up."""
    return _width(text, font_px, chosen_font())


@functools.lru_cache(maxsize=4096)  # a run's pictures say much the same, and lines are broken by trying
def _width(text: str, font_px: int, font: Path | None) -> int:
    return math.ceil(sum(face.getlength(part) for part, face in runs(text, font_px)))


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
    """Returns how much of each pixel the text covers, uint8 [line height, text width], 255 is all; not writable."""
    return _mask(text, font_px, chosen_font())


@functools.lru_cache(maxsize=512)
def _mask(text: str, font_px: int, font: Path | None) -> np.ndarray:
    ascent, descent = base_face(font_px).getmetrics()
    image, left = Image.new("L", (text_width(text, font_px) + 1, ascent + descent)), 0.0
    for part, face in runs(text, font_px):
        ImageDraw.Draw(image).text((left, ascent), part, fill=255, font=face, anchor="ls")
        left += face.getlength(part)
    mask = np.asarray(image)
    mask.setflags(write=False)
    return mask


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
