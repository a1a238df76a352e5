"""A map becomes heat, 0 to 1, and heat becomes colour and opacity."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from ppdet_cam.polygons import polygon_coverage
from ppdet_cam.render.layout import clip_box, scale_box
from ppdet_cam.render.polygons import scale_polygon
from ppdet_cam.render.style import COLORMAPS, DEFAULT_STYLE, RenderStyle
from ppdet_cam.structures import Detection, Explanation, MapStatus

# The darkest end of a table is hard to tell from a shadow in the photograph.
_COLORMAP_START = 0.05
_OPACITY_EXPONENT = 0.6


def heat_of(
    explanation: Explanation, *, style: RenderStyle = DEFAULT_STYLE, highest: float | None = None
) -> np.ndarray:
    """Returns what is coloured of an explanation's map: scaled, masked, and nothing when its status is not OK.

    Args:
        explanation: whose heatmap is taken.
        style: says the mask.
        highest: the raw value that becomes 1, and values above it too; None for the end of the map's own scale.

    Returns:
        float32 [H, W], 0 to 1.
    """
    if explanation.status is not MapStatus.OK:
        return np.zeros(explanation.heatmap.shape, np.float32)
    end = scale_end([explanation], style=style) if highest is None else highest
    return masked(normalise(explanation.heatmap, highest=end), explanation.detection, style=style)


def highest_value(explanations: Iterable[Explanation]) -> float:
    """Returns the highest raw value in the maps of all explanations that show something, 0 when none does."""
    shown = (explanation for explanation in explanations if explanation.status is MapStatus.OK)
    return max((float(_positive(explanation.heatmap).max(initial=0)) for explanation in shown), default=0.0)


def scale_end(explanations: Iterable[Explanation], *, style: RenderStyle = DEFAULT_STYLE) -> float:
    """Returns the raw value that the hottest colour stands for: the highest of the maps' ends of scale, 0 without any.

    A fine map has single pixels far above all others; were the highest of them the end, the rest would be dark. So by
    default a scale ends where that share of pixels is above it which `style.scale` says, counted in pixels of the box:
    of a small box few, of a large one many, and never none.
    """
    shown = (explanation for explanation in explanations if explanation.status is MapStatus.OK)
    return max((_own_end(explanation, style) for explanation in shown), default=0.0)


def _own_end(explanation: Explanation, style: RenderStyle) -> float:
    positive = _positive(explanation.heatmap)
    if style.percentile == 100:
        return float(positive.max(initial=0))
    box = clip_box(explanation.detection.box_xyxy, 1, (positive.shape[0], positive.shape[1]))
    pixels = positive.size if box is None else (box[2] - box[0]) * (box[3] - box[1])
    above = max(1, round(pixels * (100 - style.percentile) / 100))
    if above >= positive.size:
        return float(positive.max(initial=0))
    end = float(np.partition(positive, positive.size - 1 - above, axis=None)[positive.size - 1 - above])
    return end or float(positive.max(initial=0))


def normalise(heatmap: np.ndarray, *, highest: float | None = None) -> np.ndarray:
    """Returns the heatmap divided by a maximum, so that colours reach from 0 to that maximum.

    With its own maximum, a constant map becomes 1 everywhere when it is above zero, and 0 everywhere when it is not.

    Args:
        heatmap: float [H, W]; negative and non-finite values count as 0.
        highest: what becomes 1; values above it become 1, too. None for the heatmap's own maximum.

    Returns:
        float32 [H, W], 0 to 1.
    """
    positive = _positive(heatmap)
    divisor = np.float32(positive.max(initial=0) if highest is None else highest)
    if not divisor > 0:
        return np.zeros_like(positive)
    return np.asarray(positive / divisor) if highest is None else np.asarray((positive / divisor).clip(max=1))


def masked(heat: np.ndarray, detection: Detection, *, style: RenderStyle) -> np.ndarray:
    """Returns the heat without what lies outside the style's mask about a box; pixels that it touches are kept.

    Args:
        heat: float [H, W], original pixels.
        detection: the box, rotated or not.
        style: says the mask.
    """
    if style.mask_factor is None:
        return heat
    hw = heat.shape[0], heat.shape[1]
    if detection.polygon_xy is not None:
        touched = polygon_coverage(scale_polygon(detection.polygon_xy, style.mask_factor), map_hw=hw) > 0
        return np.where(touched, heat, np.zeros_like(heat))
    kept = np.zeros_like(heat)
    box = clip_box(scale_box(detection.box_xyxy, style.mask_factor), 1, hw)
    if box is not None:
        left, top, right, bottom = box
        kept[top:bottom, left:right] = heat[top:bottom, left:right]
    return kept


def shown_share(explanation: Explanation, *, style: RenderStyle) -> float:
    """Returns the part of a map's sum that the style's mask leaves visible, 0 to 1."""
    positive = _positive(explanation.heatmap)
    total = float(positive.sum(dtype=np.float64))
    visible = masked(positive, explanation.detection, style=style)
    return float(visible.sum(dtype=np.float64)) / total if total > 0 else 0.0


def colorize(heat: np.ndarray, *, colormap: str = DEFAULT_STYLE.colormap) -> np.ndarray:
    """Returns the colour of each value.

    Args:
        heat: float32 [H, W], 0 to 1.
        colormap: a name among `style.COLORMAPS`.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    levels = np.rint(255 * (_COLORMAP_START + (1 - _COLORMAP_START) * heat)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, COLORMAPS[colormap]), cv2.COLOR_BGR2RGB))


def opacity(heat: np.ndarray, *, alpha: float = DEFAULT_STYLE.alpha) -> np.ndarray:
    """Returns how much of the photograph each value hides: none without heat, then rising with it.

    Args:
        heat: float32 [H, W], 0 to 1.
        alpha: opacity of the hottest.

    Returns:
        float32 [H, W], 0 to alpha.
    """
    return np.asarray(alpha * heat**_OPACITY_EXPONENT, dtype=np.float32)


def overlay(photo: np.ndarray, heat: np.ndarray, *, style: RenderStyle) -> np.ndarray:
    """Returns the photograph with heat over it; exactly the photograph where there is none.

    Args:
        photo: uint8 [H, W, 3].
        heat: float32 [H, W], 0 to 1.
        style: says colours and opacity.

    Returns:
        uint8 [H, W, 3].
    """
    if not heat.any():
        return photo
    return blend(photo, colorize(heat, colormap=style.colormap), opacity(heat, alpha=style.alpha))


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


def _positive(heatmap: np.ndarray) -> np.ndarray:
    if not np.isfinite(heatmap.max(initial=0)):  # the maximum of what holds a NaN is NaN
        heatmap = np.where(np.isfinite(heatmap), heatmap, 0)
    return np.maximum(heatmap, 0, dtype=np.float32)
