"""Pictures as the bytes of a file."""

from __future__ import annotations

import cv2
import numpy as np

from ppdet_cam.errors import ImageError

MAX_JPEG_SIDE = 65500


def encode_jpeg(rgb: np.ndarray, quality: int = 95) -> bytes:
    """Returns a picture as JPEG bytes.

    Args:
        rgb: uint8 [H, W, 3].
        quality: 0 to 100.

    Raises:
        ImageError: a side is longer than the 65500 pixels that libjpeg takes.
    """
    height, width = rgb.shape[:2]
    if max(height, width) > MAX_JPEG_SIDE:
        raise ImageError(f"a picture of {width} x {height} pixels cannot be a JPEG; a side may have {MAX_JPEG_SIDE}")
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(encoded)


def encode_png(picture: np.ndarray) -> bytes:
    """Returns a picture as PNG bytes, without loss.

    Args:
        picture: uint8 [H, W, 3], RGB, or [H, W, 4], RGBA.
    """
    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, order))
    return bytes(encoded)
