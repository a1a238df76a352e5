"""What is seen where a box's heat outside of it is strongest: a small patch of the photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pictures
from PIL import ImageOps, UnidentifiedImageError

from ppdet_cam.insight.frames import CELLS, cells_in_box
from ppdet_cam.places import find_file, open_regular
from ppdet_cam.report.reading import Image

# values along each side of a patch, and the side of the square that it shows, in parts of the image's shorter side
PATCH = 6
PATCH_SHARE = 0.14
# photos are decoded at about this many pixels of the shorter side: a patch needs no more
DECODED_SIDE = 160


@dataclass(frozen=True)
class Seen:
    """What is seen of N boxes.

    Attributes:
        hottest_xy: float32 [N, 2], the middle of the image's cell with the most heat outside the box, in parts of the
            image's width and height.
        patches: float16 [N, PATCH, PATCH, 3], RGB around it, 0 to 1.
        is_seen: bool [N], whether the photo was there.
    """

    hottest_xy: np.ndarray
    patches: np.ndarray
    is_seen: np.ndarray


def seen_of(
    folder: Path, image: Image, corners: np.ndarray, in_image: np.ndarray
) -> tuple[Mapping[str, np.ndarray], bool]:
    """Returns the arrays of `Seen` for an image's boxes, and whether its photo was there.

    Args:
        folder: of the run.
        image: of the run.
        corners: float [K, 4], the boxes, original pixels.
        in_image: float [K, CELLS, CELLS], heat in the image's cells.
    """
    assert image.original_hw is not None
    outside = in_image * (1 - cells_in_box(corners, image.original_hw))
    hottest = outside.reshape(len(corners), -1).argmax(axis=1)
    xy = np.stack([(hottest % CELLS + 0.5) / CELLS, (hottest // CELLS + 0.5) / CELLS], axis=1)
    photo = _photo(folder, image)
    patches = np.zeros((len(corners), PATCH, PATCH, 3), np.float16)
    if photo is not None:
        patches[:] = [_patch(photo, x, y) for x, y in xy]
    is_seen = np.full(len(corners), photo is not None)
    return {"hottest_xy": xy.astype(np.float32), "patches": patches, "is_seen": is_seen}, photo is not None


def _photo(folder: Path, image: Image) -> Pictures.Image | None:
    saved = (image.files or {}).get("photo")
    for path in ([folder / saved] if saved else []) + [find_file(image.path)]:
        try:
            with open_regular(path) as stream, Pictures.open(stream) as picture:
                shorter = max(1, min(picture.size))
                picture.draft("RGB", tuple(max(1, side * DECODED_SIDE // shorter) for side in picture.size))  # type: ignore[arg-type]
                return ImageOps.exif_transpose(picture.convert("RGB"))
        except (OSError, UnidentifiedImageError, Pictures.DecompressionBombError, ValueError):
            continue
    return None


def _patch(photo: Pictures.Image, x: float, y: float) -> np.ndarray:
    half = PATCH_SHARE * min(photo.size) / 2
    left, top = x * photo.width - half, y * photo.height - half
    box = (left, top, left + 2 * half, top + 2 * half)
    inside = (max(0.0, box[0]), max(0.0, box[1]), min(float(photo.width), box[2]), min(float(photo.height), box[3]))
    small = photo.resize((PATCH, PATCH), Pictures.Resampling.BOX, box=inside)
    return np.asarray(small, np.float32) / 255
