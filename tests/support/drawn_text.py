"""Whether a text stands in a picture."""

from __future__ import annotations

import cv2
import numpy as np

from ppdet_cam.render.colours import (
    ASKED,
    BACKGROUND,
    BRIGHT_TEXT,
    DIM_TEXT,
    Colour,
)
from ppdet_cam.render.text import text_mask


def holds_text(
    picture: np.ndarray, text: str, font_px: int = 13, *, ground: Colour = BACKGROUND, ink: Colour | None = None
) -> bool:
    """Returns whether a text stands in a picture, pixel by pixel; in a colour of the footer unless one is given."""
    letters = text_mask(text, font_px)
    if letters.shape[0] > picture.shape[0] or letters.shape[1] > picture.shape[1]:
        return False
    inks = [ink] if ink else [BRIGHT_TEXT, DIM_TEXT, ASKED]
    is_ground = (picture == ground).all(axis=2).astype(np.float32)
    is_ink = np.any([(picture == colour).all(axis=2) for colour in inks], axis=0).astype(np.float32)
    empty, full = (letters == 0).astype(np.float32), (letters == 255).astype(np.float32)
    fits = cv2.matchTemplate(is_ground, empty, cv2.TM_CCORR) + cv2.matchTemplate(is_ink, full, cv2.TM_CCORR)
    return bool(full.any() and fits.max() > empty.sum() + full.sum() - 0.5)
