"""A box -> the small picture of it that the report shows in its tables."""

from __future__ import annotations

import base64
import io
import logging
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pictures
from PIL import UnidentifiedImageError

from ppdet_cam.places import open_regular
from ppdet_cam.render import MIN_PICTURE_HW, enlargement
from ppdet_cam.report.reading import Box, Image

log = logging.getLogger(__name__)

MAX_SIDE = 96
MAX_EMBEDDED = 2000

_QUALITY = 72
_LEAST_WINDOW = 48
_MARGIN = 0.3
_GRAY = (128, 128, 128)

# left, top, right, bottom
_Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Thumbnail:
    """A small picture inside the report, or a part of a file beside it.

    Attributes:
        data_url: the small picture itself; None when the file is shown.
        file: path below the run's folder; None when the small picture is there.
        window: the file's part to show: left, top, width, height in units of the picture's width; None for all of it.
    """

    data_url: str | None = None
    file: str | None = None
    window: _Rectangle | None = None


def embedded_thumbnail(folder: Path, image: Image, box: Box) -> Thumbnail | None:
    """Returns a small JPEG of the box and what is around it, None when the run saved no picture or it is gone.

    It is taken from the first kind of picture that there is: the overlay, the box's crop, the panel, the photo with
    the heatmap over it, the photo. A JPEG is cut while it is decoded, a heatmap has to be decoded as a whole.

    Args:
        folder: the run's folder.
        image: of which the box is.
        box: the box.
    """
    try:
        picture = _small_picture(folder, image, box)
    except (OSError, UnidentifiedImageError, Pictures.DecompressionBombError, ValueError) as error:
        log.debug("no thumbnail of box %d of %s: %s", box.detection.index, image.title, error)
        return None
    if picture is None:
        return None
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Pictures.Resampling.LANCZOS)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY, optimize=True)
    return Thumbnail(data_url="data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii"))


def linked_thumbnail(image: Image, box: Box) -> Thumbnail | None:
    """Returns which part of which file shows the box and what is around it, None when the run saved no picture.

    Args:
        image: of which the box is.
        box: the box.
    """
    if "overlay" in box.files:
        return Thumbnail(file=box.files["overlay"], window=_overlay_window(image, box))
    if "crop" in box.files:
        return Thumbnail(file=box.files["crop"])
    if "panel" in box.files:
        return Thumbnail(file=box.files["panel"])
    file = (image.files or {}).get("photo")
    return None if file is None else Thumbnail(file=file, window=_photo_window(image, box))


def _small_picture(folder: Path, image: Image, box: Box) -> Pictures.Image | None:
    photo = (image.files or {}).get("photo")
    if "overlay" in box.files:
        return _cut(folder / box.files["overlay"], _overlay_window(image, box))
    if "crop" in box.files:
        return _cut(folder / box.files["crop"], None)
    if "panel" in box.files:
        return _cut(folder / box.files["panel"], None)
    if photo is None:
        return None
    picture = _cut(folder / photo, _photo_window(image, box))
    if "heatmap" not in box.files:
        return picture
    with open_regular(folder / box.files["heatmap"]) as stream, Pictures.open(stream) as heat:
        heat_rgba = heat.convert("RGBA")
    part = heat_rgba.crop(_scaled(_photo_window(image, box), heat_rgba.size)).resize(picture.size)
    picture.paste(part, mask=part)
    return picture


def _cut(file: Path, window: _Rectangle | None) -> Pictures.Image:
    with open_regular(file) as stream, Pictures.open(stream) as picture:
        part = _scaled(window, picture.size)
        fraction = MAX_SIDE / max(1, part[2] - part[0], part[3] - part[1])
        # libjpeg can leave out what a smaller picture does not show, which is several times faster
        picture.draft("RGB", (round(picture.width * fraction), round(picture.height * fraction)))
        return picture.crop(_scaled(window, picture.size)).convert("RGB")


def _scaled(window: _Rectangle | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns the window in whole pixels of a picture of this width and height, at least one pixel of it."""
    width, height = size
    if window is None:
        return 0, 0, width, height
    left, top = min(width - 1, int(window[0] * width)), min(height - 1, int(window[1] * width))
    right, bottom = round((window[0] + window[2]) * width), round((window[1] + window[3]) * width)
    return left, top, max(left + 1, min(width, right)), max(top + 1, min(height, bottom))


def _overlay_window(image: Image, box: Box) -> _Rectangle | None:
    """Returns the box's part of its overlay, which is the enlarged photo with a margin on the right and a footer."""
    if image.original_hw is None or min(image.original_hw) < 1:
        return None
    factor = enlargement(image.original_hw)
    left, top, right, bottom = _surroundings(box, image.original_hw)
    unit = factor / max(MIN_PICTURE_HW[1], factor * image.original_hw[1])
    return left * unit, top * unit, (right - left) * unit, (bottom - top) * unit


def _photo_window(image: Image, box: Box) -> _Rectangle | None:
    if image.original_hw is None or min(image.original_hw) < 1:
        return None
    left, top, right, bottom = _surroundings(box, image.original_hw)
    unit = 1 / image.original_hw[1]
    return left * unit, top * unit, (right - left) * unit, (bottom - top) * unit


def _surroundings(box: Box, original_hw: tuple[int, int]) -> _Rectangle:
    """Returns the box and what is around it, within the image, in original pixels."""
    corners = [box.detection.box_xyxy]
    if box.answer is not None:  # its best candidate may lie elsewhere, or nowhere
        corners = [box.answer.box_xyxy, *(corners if box.detection.score > 0 else [])]
    left, top = min(corner[0] for corner in corners), min(corner[1] for corner in corners)
    right, bottom = max(corner[2] for corner in corners), max(corner[3] for corner in corners)
    side = max(_LEAST_WINDOW, (1 + 2 * _MARGIN) * max(right - left, bottom - top))
    height, width = original_hw
    across, down = min(side, width), min(side, height)
    left = min(max(0.0, (left + right - across) / 2), width - across)
    top = min(max(0.0, (top + bottom - down) / 2), height - down)
    return left, top, left + across, top + down
