"""Small pictures of boxes with what the detector looked at: the photo around a box, or whole, and the heat over it."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageOps, UnidentifiedImageError

from ppdet_cam.insight.collecting import Boxes
from ppdet_cam.insight.values import Frame, Place
from ppdet_cam.places import find_file, open_regular
from ppdet_cam.render.heat import overlay
from ppdet_cam.render.style import DEFAULT_STYLE
from ppdet_cam.report.reading import Image, Run

log = logging.getLogger(__name__)

SIDE = 132
_QUALITY = 68
_DECODED_SIDE = 480
_BOX, _PLACE = (255, 255, 255), (80, 225, 255)


class Sheets:
    """Makes the pictures of a run's boxes; an image's photo is decoded once for the boxes that follow each other."""

    def __init__(self, run: Run, boxes: Boxes) -> None:
        self._run, self._boxes = run, boxes
        self._photo: tuple[int, Pictures.Image | None] = (-1, None)

    def picture(self, row: int, place: Place | None, *, whole: bool = False) -> str | None:
        """Returns a JPEG as a data URL: the box at twice its sides and the heat there, the box and the place drawn.

        None when the photo is gone.

        Args:
            row: of the boxes.
            place: that is drawn, None for none.
            whole: the whole image instead, as for a place of the image.
        """
        photo = self._photo_of(int(self._boxes.image_of[row]))
        if photo is None:
            return None
        height, width = (int(side) for side in self._boxes.images_hw[row])
        scale = photo.width / width
        box = self._boxes.boxes_xyxy[row].astype(float) * scale
        if whole:
            window = (0.0, 0.0, float(photo.width), float(photo.height))
            heat = self._boxes.in_image[row]
        else:
            across, down = box[2] - box[0], box[3] - box[1]
            window = (box[0] - across / 2, box[1] - down / 2, box[2] + across / 2, box[3] + down / 2)
            heat = self._boxes.in_box_frame[row]
        frame = tuple(box) if place is not None and place.frame is Frame.BOX else (0, 0, photo.width, height * scale)
        return _jpeg(_drawn(photo, window, heat.astype(np.float32), tuple(box), _rect(place, frame)))

    def _photo_of(self, position: int) -> Pictures.Image | None:
        if self._photo[0] != position:
            self._photo = position, _decoded(self._run.folder, self._run.images[position])
        return self._photo[1]


def _decoded(folder: Path, image: Image) -> Pictures.Image | None:
    saved = (image.files or {}).get("photo")
    for path in ([folder / saved] if saved else []) + [find_file(image.path)]:
        try:
            with open_regular(path) as stream, Pictures.open(stream) as picture:
                picture.draft("RGB", (_DECODED_SIDE, _DECODED_SIDE))
                return ImageOps.exif_transpose(picture.convert("RGB"))
        except (OSError, UnidentifiedImageError, Pictures.DecompressionBombError, ValueError) as error:
            log.debug("no picture of %s: %s", image.title, error)
    return None


def _rect(place: Place | None, frame: tuple[float, ...]) -> tuple[float, float, float, float] | None:
    if place is None:
        return None
    across, down = frame[2] - frame[0], frame[3] - frame[1]
    left, top, right, bottom = place.xyxy
    return frame[0] + left * across, frame[1] + top * down, frame[0] + right * across, frame[1] + bottom * down


def _drawn(
    photo: Pictures.Image,
    window: tuple[float, float, float, float],
    heat: np.ndarray,
    box: tuple[float, ...],
    place: tuple[float, float, float, float] | None,
) -> Pictures.Image:
    across, down = window[2] - window[0], window[3] - window[1]
    unit = SIDE / max(across, down, 1e-6)
    size = max(1, round(across * unit)), max(1, round(down * unit))
    # what lies beyond the photo stays gray
    picture = Pictures.new("RGB", size, (128, 128, 128))
    inside = (max(0.0, window[0]), max(0.0, window[1]), min(photo.width, window[2]), min(photo.height, window[3]))
    corner = round((inside[0] - window[0]) * unit), round((inside[1] - window[1]) * unit)
    part = max(1, round((inside[2] - inside[0]) * unit)), max(1, round((inside[3] - inside[1]) * unit))
    picture.paste(photo.resize(part, Pictures.Resampling.BILINEAR, box=inside), corner)
    picture = _with_heat(picture, heat)
    draw = ImageDraw.Draw(picture)
    for rect, colour in ((box, _BOX), (place, _PLACE)):
        if rect is not None:
            corners = [(value - window[side % 2]) * unit for side, value in enumerate(rect)]
            draw.rectangle(corners, outline=colour, width=2)
    return picture


def _with_heat(picture: Pictures.Image, heat: np.ndarray) -> Pictures.Image:
    highest = float(heat.max())
    if not highest > 0:
        return picture
    scaled = Pictures.fromarray((heat / highest * 255).astype(np.uint8)).resize(
        picture.size, Pictures.Resampling.BICUBIC
    )
    values = np.asarray(scaled, np.float32) / 255
    return Pictures.fromarray(overlay(np.asarray(picture), values, style=DEFAULT_STYLE))


def _jpeg(picture: Pictures.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
