"""Frames that boxes of any size share: the box itself widened to twice its sides, and the whole image. numpy only."""

from __future__ import annotations

import numpy as np

# cells along each side of both frames; the box takes the middle half of its own
CELLS = 16
BOX_CELLS = slice(CELLS // 4, CELLS - CELLS // 4)


def box_edges(boxes_xyxy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows' and columns' edges of each box's frame: the box widened to twice its sides about its middle.

    Args:
        boxes_xyxy: float [K, 4].

    Returns:
        float64 [K, CELLS + 1] each, original pixels: y, x.
    """
    places = np.linspace(-0.5, 1.5, CELLS + 1)
    boxes = boxes_xyxy.astype(np.float64)
    x = boxes[:, :1] + places * (boxes[:, 2:3] - boxes[:, :1])
    y = boxes[:, 1:2] + places * (boxes[:, 3:] - boxes[:, 1:2])
    return y, x


def image_edges(count: int, original_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the edges of the image's frame, for so many boxes: float64 [count, CELLS + 1] each, y and x."""
    height, width = original_hw
    y, x = (np.linspace(0, side, CELLS + 1) for side in (height, width))
    return np.tile(y, (count, 1)), np.tile(x, (count, 1))


def side_edges(boxes_xyxy: np.ndarray, original_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the edges that part the image in what lies left, right, above and below of each box, and the box itself.

    Args:
        boxes_xyxy: float [K, 4].
        original_hw: height and width of the image.

    Returns:
        float64 [K, 4] each: y, x; within the image.
    """
    height, width = original_hw
    count, boxes = len(boxes_xyxy), boxes_xyxy.astype(np.float64)
    y = np.stack([np.zeros(count), boxes[:, 1], boxes[:, 3], np.full(count, height)], axis=1)
    x = np.stack([np.zeros(count), boxes[:, 0], boxes[:, 2], np.full(count, width)], axis=1)
    return np.maximum.accumulate(np.clip(y, 0, height), axis=1), np.maximum.accumulate(np.clip(x, 0, width), axis=1)


def outside_of_box() -> np.ndarray:
    """Returns which cells of a box's frame lie outside the box: bool [CELLS, CELLS]."""
    outside = np.ones((CELLS, CELLS), bool)
    outside[BOX_CELLS, BOX_CELLS] = False
    return outside


def cells_in_box(box_xyxy: np.ndarray, original_hw: tuple[int, int], *, margin: float = 0.0) -> np.ndarray:
    """Returns which part of each cell of the image's frame a box covers.

    Args:
        box_xyxy: float [K, 4], original pixels.
        original_hw: height and width of the image.
        margin: in parts of the box's sides, by which it is widened on each side.

    Returns:
        float64 [K, CELLS, CELLS], 0 to 1.
    """
    height, width = original_hw
    boxes = box_xyxy.astype(np.float64)
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x = _covered(boxes[:, 0] - margin * widths, boxes[:, 2] + margin * widths, width)
    y = _covered(boxes[:, 1] - margin * heights, boxes[:, 3] + margin * heights, height)
    return y[:, :, None] * x[:, None, :]


def _covered(low: np.ndarray, high: np.ndarray, length: float) -> np.ndarray:
    edges = np.linspace(0, length, CELLS + 1)
    shared = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    return np.clip(shared, 0, None) / (length / CELLS)
