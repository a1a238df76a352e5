"""Small fonts, made for a test."""

from __future__ import annotations

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen


def save_font(file: Path, letters: str) -> Path:
    """Writes a font whose letters are filled squares, and returns its path."""
    pen = TTGlyphPen(None)
    for step, place in enumerate([(50, 0), (50, 800), (950, 800), (950, 0)]):
        (pen.lineTo if step else pen.moveTo)(place)
    pen.closePath()
    square, names = pen.glyph(), [f"square{number}" for number in range(len(letters))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names)})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), **dict.fromkeys(names, square)})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), **dict.fromkeys(names, (1000, 50))})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=880, sTypoDescender=-120)
    builder.setupPost()
    file.parent.mkdir(parents=True, exist_ok=True)
    builder.save(str(file))
    return file
