"""A sheet of what a layer shows: the photograph, the mean and the maximum over its channels, single channels."""

from __future__ import annotations

import math

import numpy as np

from ppdet_cam.render.checks import check_image
from ppdet_cam.render.colours import BRIGHT_TEXT
from ppdet_cam.render.footer import bar_strip, notes, text_block
from ppdet_cam.render.heat import overlay
from ppdet_cam.render.layout import blank, enlarge, font_height, margin_width
from ppdet_cam.render.panel import LEAST_FONT_PX, arrange, shrunk, tile_size
from ppdet_cam.render.style import DEFAULT_STYLE, RenderStyle
from ppdet_cam.render.text import SEPARATOR, drawable, wrap_words
from ppdet_cam.structures import GridPlacement, LayerView


def draw_view(frame_image: np.ndarray, view: LayerView, *, style: RenderStyle = DEFAULT_STYLE) -> np.ndarray:
    """Returns a tile for the photograph, the mean, the maximum and each of the strongest channels, in rows.

    Each tile's colours reach from its own lowest value to its highest, which its caption says: activations have no
    unit, and a layer without a ReLU has negative ones.

    Args:
        frame_image: uint8 [H, W, 3], RGB, the original image.
        view: what the layer shows of it.
        style: how it is coloured; its mask and normalisation are of boxes and count for nothing here.

    Returns:
        uint8 [H', W', 3], RGB.

    Raises:
        ImageError: the image is not uint8 [H, W, 3].
    """
    check_image(frame_image)
    small_hw, factor = tile_size((frame_image.shape[0], frame_image.shape[1]))
    photo = shrunk(frame_image, small_hw)
    font_px = max(LEAST_FONT_PX, font_height((small_hw[0] * factor, small_hw[1] * factor)))
    captions, tiles = ["photo"], [enlarge(photo, factor)]
    for name, values in view.grids():
        low, high = _limits(values)
        captions.append(f"{name}: {low:.2g} to {high:.2g}" if low < high else f"{name}: {low:.2g} everywhere")
        original_hw = (frame_image.shape[0], frame_image.shape[1])
        heat = sampled(_stretched(values, low, high), view.placement, original_hw=original_hw, picture_hw=small_hw)
        tiles.append(enlarge(overlay(photo, heat, style=style), factor))
    tiled = arrange(tiles, captions, font_px=font_px)
    width = tiled.shape[1]
    grid = f"{view.grid_hw[0]}x{view.grid_hw[1]} cells"
    title = SEPARATOR.join([drawable(f"{view.layer}@{view.level}"), f"{view.channel_count} channels", grid])
    lines = [(line, BRIGHT_TEXT) for line in wrap_words(title, font_px, max_px=width - 2 * margin_width(font_px))]
    about = ["activations, whatever the boxes; channels: those with the highest mean absolute activation"]
    return np.concatenate(
        [
            tiled,
            text_block(lines, width, font_px),
            text_block(notes(about, font_px, max_px=width - 2 * margin_width(font_px)), width, font_px),
            bar_strip("each tile's lowest", "its highest", width, font_px, style=style),
            blank((font_px // 2, width)),
        ]
    )


def sampled(
    grid: np.ndarray, placement: GridPlacement, *, original_hw: tuple[int, int], picture_hw: tuple[int, int]
) -> np.ndarray:
    """Returns a grid's values on a picture of the image: linear between the cells' centres, constant beyond the last.

    Args:
        grid: float [h, w].
        placement: where it lies on the image.
        original_hw: height and width of the image.
        picture_hw: height and width of the picture. Where several cells meet in one of its pixels, it has their mean.

    Returns:
        float32 [H, W].
    """
    values, parts = grid.astype(np.float64), []
    for axis, (cells, start, length) in enumerate(zip(grid.shape, placement.top_left_yx, placement.cell_yx)):
        pixel = original_hw[axis] / picture_hw[axis]
        parts.append(max(1, math.ceil(pixel / length)))
        places = (np.arange(picture_hw[axis] * parts[-1]) + 0.5) * pixel / parts[-1]
        places = ((places - start) / length - 0.5).clip(0, cells - 1)
        below = np.floor(places).astype(int)
        weight = (places - below).reshape((-1, 1) if axis == 0 else (1, -1))
        above = np.minimum(below + 1, cells - 1)
        values = values.take(below, axis) * (1 - weight) + values.take(above, axis) * weight
    return values.reshape(picture_hw[0], parts[0], picture_hw[1], parts[1]).mean(axis=(1, 3)).astype(np.float32)


def _limits(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Returns float32 [h, w], 0 to 1."""
    if not low < high:
        return np.zeros(values.shape, np.float32)
    known = np.where(np.isfinite(values), values, low)
    return ((known.astype(np.float64) - low) / (high - low)).astype(np.float32)
