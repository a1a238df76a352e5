"""A panel of one box: the photograph, the map over it, and each level's part, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ppdet_cam.errors import ImageError
from ppdet_cam.render.boxes import paint_outlines
from ppdet_cam.render.checks import check_map, check_scale, check_sizes
from ppdet_cam.render.colours import BRIGHT_TEXT
from ppdet_cam.render.footer import footer, level_names
from ppdet_cam.render.heat import (
    heat_of,
    masked,
    normalise,
    overlay,
    scale_end,
)
from ppdet_cam.render.layout import MIN_PICTURE_HW, blank, enlarge, font_height
from ppdet_cam.render.style import DEFAULT_STYLE, RenderStyle
from ppdet_cam.render.text import paint_text, text_mask, wrap_words
from ppdet_cam.structures import Explanation, MapStatus

_LARGEST_TILE_SIDE = 640
_SMALLEST_TILE_SIDE = 320
_LEAST_TILE_WIDTH = 160
_WANTED_ASPECT = 16 / 9
LEAST_FONT_PX = 16  # a panel is wide and looked at from further away


def draw_panel(
    frame_image: np.ndarray,
    explanation: Explanation,
    level_heatmaps: Sequence[np.ndarray],
    *,
    style: RenderStyle = DEFAULT_STYLE,
    highest: float | None = None,
) -> np.ndarray:
    """Returns the photograph with the box, the map over it, and a tile per level, in rows, with a footer below.

    No label hides a part of the photograph: the footer says class and score. All tiles share one colour scale, so the
    levels' tiles add up to the map. A single level is the map and gets no tile of its own. Where there is no map, the
    photograph is the only tile.

    Args:
        frame_image: uint8 [H, W, 3], RGB, the original image.
        explanation: what to draw; its heatmap is [H, W].
        level_heatmaps: each level's part of that heatmap, float [H, W], in the order of `explanation.levels`.
        style: how it is coloured.
        highest: the raw value of the hottest colour; None for the end of the whole map's own scale.

    Returns:
        uint8 [H', W', 3], RGB. Large photographs are made smaller, small ones larger.

    Raises:
        ImageError: the image is not uint8 [H, W, 3], a heatmap has another height and width, or there is not one
            heatmap for each level.
        ConfigError: the style compares maps and `highest` is missing.
    """
    check_sizes(frame_image, explanation)
    check_scale(style, highest)
    small_hw, factor = tile_size((frame_image.shape[0], frame_image.shape[1]))
    photo = shrunk(frame_image, small_hw)
    font_px = max(LEAST_FONT_PX, font_height((small_hw[0] * factor, small_hw[1] * factor)))
    captions, tiles = ["photo"], [_tile(photo, explanation, factor, font_px)]
    for caption, heat in _heats(explanation, level_heatmaps, style=style, highest=highest):
        coloured = overlay(photo, shrunk(heat, small_hw), style=style)
        captions.append(caption)
        tiles.append(_tile(coloured, explanation, factor, font_px))
    tiled = arrange(tiles, captions, font_px=font_px)
    return np.concatenate([tiled, footer(explanation, tiled.shape[1], font_px, style=style, highest=highest)])


def _heats(
    explanation: Explanation, level_heatmaps: Sequence[np.ndarray], *, style: RenderStyle, highest: float | None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields caption and heat of the map and of each level, on one scale; nothing when there is no map."""
    if explanation.status is not MapStatus.OK:
        return
    if len(level_heatmaps) != len(explanation.levels):
        raise ImageError(f"{len(level_heatmaps)} heatmaps were given for {len(explanation.levels)} levels")
    names = level_names(explanation.levels)
    yield (
        "map of all levels" if len(names) > 1 else f"map: {''.join(names)}",
        heat_of(explanation, style=style, highest=highest),
    )
    if len(names) <= 1:
        return
    scale = scale_end([explanation], style=style) if highest is None else highest
    for name, heatmap in zip(names, level_heatmaps):
        check_map(explanation.heatmap, heatmap)
        yield f"level {name}", masked(normalise(heatmap, highest=scale), explanation.detection, style=style)


def tile_size(original_hw: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """Returns to which height and width an image is made smaller for a tile, and by which whole factor then larger."""
    scale = min(1.0, _LARGEST_TILE_SIDE / max(original_hw))
    small_hw = max(1, round(original_hw[0] * scale)), max(1, round(original_hw[1] * scale))
    return small_hw, max(1, _SMALLEST_TILE_SIDE // max(small_hw))


def arrange(tiles: Sequence[np.ndarray], captions: Sequence[str], *, font_px: int) -> np.ndarray:
    """Returns tiles of one size in rows, each with its caption below.

    Args:
        tiles: uint8 [H, W, 3] each.
        captions: one for each; long ones take several lines.
        font_px: font size.
    """
    height, width = tiles[0].shape[:2]
    cell_width = max(width, _LEAST_TILE_WIDTH)
    lines = [wrap_words(caption, font_px, max_px=cell_width) for caption in captions]
    line_height = text_mask("", font_px).shape[0]
    gap = max(6, font_px // 2)
    cell_hw = height + gap // 2 + line_height * max(map(len, lines)), cell_width
    columns = column_count(len(tiles), (cell_hw[0] + gap, cell_hw[1] + gap))
    rows = math.ceil(len(tiles) / columns)
    sheet = blank((gap + rows * (cell_hw[0] + gap), max(MIN_PICTURE_HW[1], gap + columns * (cell_hw[1] + gap))))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = gap + row * (cell_hw[0] + gap), gap + column * (cell_hw[1] + gap)
        inner_left = left + (cell_width - width) // 2
        sheet[top : top + height, inner_left : inner_left + width] = tile
        for position, line in enumerate(lines[number]):
            line_top = top + height + gap // 2 + position * line_height
            paint_text(sheet, text_mask(line, font_px), top=line_top, left=inner_left, colour=BRIGHT_TEXT)
    return sheet


def column_count(tiles: int, cell_hw: tuple[int, int]) -> int:
    """Returns the columns that bring the sheet of tiles closest to the shape of a screen, with few places empty."""

    def unlikeness(columns: int) -> tuple[float, int]:
        rows = math.ceil(tiles / columns)
        aspect = columns * cell_hw[1] / (rows * cell_hw[0])
        return abs(math.log(aspect / _WANTED_ASPECT)) + (rows * columns - tiles) / tiles, columns

    return min(range(1, tiles + 1), key=unlikeness)


def shrunk(picture: np.ndarray, small_hw: tuple[int, int]) -> np.ndarray:
    """Returns a picture or a map made smaller by averaging; itself when it has that height and width."""
    if picture.shape[:2] == small_hw:
        return picture
    return np.asarray(cv2.resize(picture, small_hw[::-1], interpolation=cv2.INTER_AREA))


def _tile(photo: np.ndarray, explanation: Explanation, factor: int, font_px: int) -> np.ndarray:
    """Returns a tile's picture with the explanation's boxes."""
    canvas = enlarge(photo, factor)
    hw = canvas.shape[0], canvas.shape[1]
    original_hw = explanation.heatmap.shape
    scale_yx = hw[0] / original_hw[0], hw[1] / original_hw[1]
    paint_outlines(canvas, explanation, font_px=font_px, limit_hw=hw, scale_yx=scale_yx)
    return canvas
