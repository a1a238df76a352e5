"""Photograph and `Explanation` -> picture. Pure functions from arrays to arrays; nothing is written to disk.

| module | its one duty |
|---|---|
| `style` | the flags that say how a map is coloured |
| `checks` | what is given fits together |
| `heat` | map -> heat -> colour and opacity |
| `colours`, `layout` | the colour of a class; sizes and places |
| `fonts`, `text` | which font has a letter; letters, words, lines |
| `boxes` | boxes and labels |
| `footer` | the strip below a picture |
| `pictures`, `panel`, `summary`, `views` | the kinds of pictures |
| `encode` | a picture -> the bytes of a file |
"""

from __future__ import annotations

from ppdet_cam.render.colours import class_colour
from ppdet_cam.render.encode import MAX_JPEG_SIDE, encode_jpeg, encode_png
from ppdet_cam.render.fonts import choose_font
from ppdet_cam.render.heat import highest_value, normalise, scale_end
from ppdet_cam.render.layout import MIN_PICTURE_HW, enlargement
from ppdet_cam.render.panel import draw_panel
from ppdet_cam.render.pictures import draw_clean, draw_crop, draw_explanation, draw_heatmap
from ppdet_cam.render.style import STYLE_OPTIONS, RenderStyle, StyleOption
from ppdet_cam.render.summary import draw_summary
from ppdet_cam.render.text import drawn_name, is_drawable
from ppdet_cam.render.views import draw_view

__all__ = [
    "MAX_JPEG_SIDE",
    "MIN_PICTURE_HW",
    "STYLE_OPTIONS",
    "RenderStyle",
    "StyleOption",
    "choose_font",
    "class_colour",
    "draw_clean",
    "draw_crop",
    "draw_explanation",
    "draw_heatmap",
    "draw_panel",
    "draw_summary",
    "draw_view",
    "drawn_name",
    "encode_jpeg",
    "encode_png",
    "enlargement",
    "highest_value",
    "is_drawable",
    "normalise",
    "scale_end",
]
