"""Sizes and places: how large a picture is drawn, and where a box lies in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ppdet_cam.render.colours import BACKGROUND

MIN_PICTURE_HW = (48, 320)
MAX_ENLARGED_SIDE = 4096

# left, top, right, bottom in whole pixels; right and bottom exclusive
PixelBox = tuple[int, int, int, int]
BoxXyxy = tuple[float, float, float, float]


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
    padded = blank((picture.shape[0] + missing_y, picture.shape[1] + missing_x))
    padded[: picture.shape[0], : picture.shape[1]] = picture
    return padded


def blank(hw: tuple[int, int], colour: tuple[int, int, int] = BACKGROUND) -> np.ndarray:
    """Returns an area of one colour, uint8 [H, W, 3]."""
    return np.full((*hw, 3), colour, dtype=np.uint8)


def font_height(hw: tuple[int, int]) -> int:
    """Returns the font size in pixels that suits a picture of this height and width."""
    height, width = hw
    return max(13, round(min(0.025 * math.sqrt(height * width), width / 28)))


def line_width(font_px: int) -> int:
    """Returns the width of lines, in pixels, that goes with a font size."""
    return max(1, round(font_px / 8))


def margin_width(font_px: int) -> int:
    """Returns the free space, in pixels, left and right of a strip's text."""
    return max(6, font_px * 2 // 3)


def clip_box(box_xyxy: BoxXyxy, factor: int, original_hw: tuple[int, int]) -> PixelBox | None:
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


def widen_box(box_ltrb: PixelBox, margin_px: int, limit_hw: tuple[int, int]) -> PixelBox:
    """Returns the box grown on all sides, but not beyond the height and width given."""
    left, top, right, bottom = box_ltrb
    return (
        max(0, left - margin_px),
        max(0, top - margin_px),
        min(limit_hw[1], right + margin_px),
        min(limit_hw[0], bottom + margin_px),
    )


def scale_box(box_xyxy: BoxXyxy, factor: float) -> BoxXyxy:
    """Returns the box with `factor` times its width and height about the same centre.

    Example:
        >>> scale_box((10, 10, 20, 30), 1.5)
        (7.5, 5.0, 22.5, 35.0)
    """
    left, top, right, bottom = box_xyxy
    more_x, more_y = (right - left) * (factor - 1) / 2, (bottom - top) * (factor - 1) / 2
    return left - more_x, top - more_y, right + more_x, bottom + more_y


def place_box(box_xyxy: BoxXyxy, *, origin_xy: tuple[float, float], scale_yx: tuple[float, float]) -> BoxXyxy:
    """Returns the box as it lies in a part of the image that starts at `origin_xy` and is then scaled."""
    left, top, right, bottom = box_xyxy
    return (
        (left - origin_xy[0]) * scale_yx[1],
        (top - origin_xy[1]) * scale_yx[0],
        (right - origin_xy[0]) * scale_yx[1],
        (bottom - origin_xy[1]) * scale_yx[0],
    )
