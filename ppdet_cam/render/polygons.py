"""Outlines of rotated boxes, painted onto a canvas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ppdet_cam.polygons import PolygonXy
from ppdet_cam.render.colours import BLACK, WHITE, Colour, contrasting

# OpenCV takes whole numbers and how many of their bits lie behind the point
_BITS = 4
_FARTHEST = 1e5
_MAX_DASHES = 2000

# a line's two ends, (x, y) each
_Side = tuple[tuple[float, float], tuple[float, float]]


def place_polygon(polygon_xy: PolygonXy, *, origin_xy: tuple[float, float], scale_yx: tuple[float, float]) -> PolygonXy:
    """Returns the polygon as it lies in a part of the image that starts at `origin_xy` and is then scaled."""
    return tuple(((x - origin_xy[0]) * scale_yx[1], (y - origin_xy[1]) * scale_yx[0]) for x, y in polygon_xy)


def scale_polygon(polygon_xy: PolygonXy, factor: float) -> PolygonXy:
    """Returns the polygon `factor` times as large about the mean of its corners.

    Example:
        >>> scale_polygon(((0, 0), (2, 0), (2, 2), (0, 2)), 2)
        ((-1.0, -1.0), (3.0, -1.0), (3.0, 3.0), (-1.0, 3.0))
    """
    middle_x, middle_y = (sum(corner[axis] for corner in polygon_xy) / len(polygon_xy) for axis in (0, 1))
    return tuple((middle_x + (x - middle_x) * factor, middle_y + (y - middle_y) * factor) for x, y in polygon_xy)


def paint_polygon(
    canvas: np.ndarray,
    polygon_xy: PolygonXy,
    *,
    line_px: int,
    edge_px: int,
    colour: Colour,
    limit_hw: tuple[int, int],
) -> None:
    """Paints a coloured line along the polygon's edge and a black or white one on both sides of it.

    Args:
        canvas: uint8 [H, W, 3].
        polygon_xy: its corners, in pixels of the canvas.
        line_px: width of the coloured line.
        edge_px: width of the lines beside it.
        colour: of the inner line.
        limit_hw: height and width of the part of the canvas that may be painted on.
    """
    for width_px, painted in ((line_px + 2 * edge_px, contrasting(colour)), (line_px, colour)):
        _paint_lines(canvas, _sides(polygon_xy), width_px, painted, limit_hw)


def paint_dashed_polygon(
    canvas: np.ndarray,
    polygon_xy: PolygonXy,
    *,
    line_px: int,
    limit_hw: tuple[int, int],
    light: Colour = WHITE,
    dark: Colour = BLACK,
) -> None:
    """Paints a line of alternating light and dark dashes along the polygon's edge.

    Args:
        canvas: uint8 [H, W, 3].
        polygon_xy: its corners, in pixels of the canvas.
        line_px: width of the line.
        limit_hw: height and width of the part of the canvas that may be painted on.
        light: colour of every other dash.
        dark: colour of the line between.
    """
    sides = _sides(polygon_xy)
    _paint_lines(canvas, sides, line_px, dark, limit_hw)
    dashes = [dash for side in sides for dash in _dashes(side, 4 * line_px)]
    _paint_lines(canvas, dashes, line_px, light, limit_hw)


def _sides(polygon_xy: PolygonXy) -> list[_Side]:
    """Returns each corner with the next one; none for a polygon that is not finite."""
    if not np.isfinite(polygon_xy).all():
        return []
    corners = [tuple(corner) for corner in np.clip(polygon_xy, -_FARTHEST, _FARTHEST).tolist()]
    return list(zip(corners, corners[1:] + corners[:1]))


def _dashes(side: _Side, dash_px: int) -> Iterator[_Side]:
    """Yields every other piece of a line, the first one included."""
    start, end = np.array(side)
    length = float(np.hypot(*(end - start)))
    count = min(math.ceil(length / dash_px), _MAX_DASHES)
    for number in range(0, count, 2):
        first, last = (start + (end - start) * min(1.0, at * dash_px / length) for at in (number, number + 1))
        yield tuple(first.tolist()), tuple(last.tolist())


def _paint_lines(
    canvas: np.ndarray, lines: Sequence[_Side], width_px: int, colour: Colour, limit_hw: tuple[int, int]
) -> None:
    part = canvas[: limit_hw[0], : limit_hw[1]]
    for line in lines:
        # OpenCV's pixels have their middles at whole numbers
        start, end = (tuple(round((value - 0.5) * 2**_BITS) for value in point) for point in line)
        cv2.line(part, start, end, colour, width_px, cv2.LINE_AA, _BITS)
