"""A suspect's place in one image's pixels, and places as large elsewhere that it is held against. numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ppdet_cam.insight.values import Frame, Place, Quad

# by so much of its own sides a place is widened before it is taken out: it is known to half a box only
WIDENED = 0.2
MOST_ELSEWHERE = 4
_TRIES = 60
# a place elsewhere has about as many pixels
_LEAST_AREA, _MOST_AREA = 0.75, 1.35


def pixels_of(place: Place, box_xyxy: Sequence[float], original_hw: tuple[int, int]) -> Quad:
    """Returns a place in pixels of an image, widened: left, top, right, bottom; it may reach beyond the image.

    Args:
        place: in the box's frame or the image's.
        box_xyxy: the box, original pixels.
        original_hw: height and width of the image.
    """
    height, width = original_hw
    frame = tuple(box_xyxy) if place.frame is Frame.BOX else (0.0, 0.0, float(width), float(height))
    across, down = frame[2] - frame[0], frame[3] - frame[1]
    left, top, right, bottom = place.xyxy
    x, y = WIDENED * (right - left) / 2, WIDENED * (bottom - top) / 2
    return (
        frame[0] + (left - x) * across,
        frame[1] + (top - y) * down,
        frame[0] + (right + x) * across,
        frame[1] + (bottom + y) * down,
    )


def mask_of(rect: Quad, box_xyxy: Sequence[float], original_hw: tuple[int, int]) -> np.ndarray:
    """Returns the pixels of a place that do not belong to the box: bool [H, W]."""
    mask = np.zeros(original_hw, bool)
    mask[_slices(rect, original_hw)] = True
    mask[_slices(box_xyxy, original_hw)] = False
    return mask


def elsewhere(
    rect: Quad, place: Place | None, box_xyxy: Sequence[float], original_hw: tuple[int, int], *, seed: int
) -> list[np.ndarray]:
    """Returns masks of other places with about as many pixels: its mirror images first, then places by chance.

    None of them meets the place or the box. Fewer than MOST_ELSEWHERE where the image has no room, perhaps none.

    Args:
        rect: the place, original pixels.
        place: what it is the pixels of, None for a place of its own.
        box_xyxy: the box, original pixels.
        original_hw: height and width of the image.
        seed: of the chance.
    """
    there = mask_of(rect, box_xyxy, original_hw)
    found: list[np.ndarray] = []
    for other in (*_mirrored(rect, place, box_xyxy, original_hw), *_by_chance(rect, original_hw, seed)):
        mask = mask_of(other, box_xyxy, original_hw)
        of_place = max(1, int(there.sum()))
        area, shared = int(mask.sum()) / of_place, int((mask & there).sum()) / of_place
        if _LEAST_AREA <= area <= _MOST_AREA and shared < 0.1:
            found.append(mask)
        if len(found) == MOST_ELSEWHERE:
            break
    return found


def _slices(rect: Sequence[float], original_hw: tuple[int, int]) -> tuple[slice, slice]:
    height, width = original_hw
    left, right = (int(round(min(max(value, 0), width))) for value in (rect[0], rect[2]))
    top, bottom = (int(round(min(max(value, 0), height))) for value in (rect[1], rect[3]))
    return slice(top, bottom), slice(left, right)


def _mirrored(
    rect: Quad, place: Place | None, box_xyxy: Sequence[float], original_hw: tuple[int, int]
) -> Iterator[Quad]:
    height, width = original_hw
    is_of_image = place is not None and place.frame is Frame.IMAGE
    frame = (0.0, 0.0, float(width), float(height)) if is_of_image else tuple(box_xyxy)
    x, y = frame[0] + frame[2], frame[1] + frame[3]
    left, top, right, bottom = rect
    yield x - right, top, x - left, bottom
    yield left, y - bottom, right, y - top
    yield x - right, y - bottom, x - left, y - top


def _by_chance(rect: Quad, original_hw: tuple[int, int], seed: int) -> Iterator[Quad]:
    random = np.random.default_rng(seed)
    height, width = original_hw
    across, down = min(rect[2] - rect[0], width), min(rect[3] - rect[1], height)
    for _ in range(_TRIES):
        left, top = random.uniform(0, max(width - across, 1e-6)), random.uniform(0, max(height - down, 1e-6))
        yield left, top, left + across, top + down
