"""What is given to be drawn has to fit together."""

from __future__ import annotations

import math

import numpy as np

from ppdet_cam.errors import ConfigError, ImageError
from ppdet_cam.render.style import RenderStyle
from ppdet_cam.structures import Explanation


def check_scale(style: RenderStyle, highest: float | None) -> None:
    """Raises ConfigError when maps are to be compared and the value to compare them by is missing, or is no number."""
    if style.normalize != "box" and highest is None:
        raise ConfigError(
            f"normalize {style.normalize!r} needs highest=<the end of scale of the {style.normalize}>; "
            "see ppdet_cam.render.scale_end"
        )
    if highest is not None and not 0 <= highest < math.inf:
        raise ConfigError(f"highest must be a finite number of 0 or more, not {highest}")


def check_sizes(frame_image: np.ndarray, explanation: Explanation) -> None:
    """Raises ImageError when the image is not uint8 [H, W, 3], or the heatmap has another height and width."""
    check_image(frame_image)
    check_map(frame_image, explanation.heatmap)


def check_image(frame_image: np.ndarray) -> None:
    """Raises ImageError when the image is not uint8 [H, W, 3]."""
    if frame_image.dtype != np.uint8 or frame_image.ndim != 3 or frame_image.shape[2] != 3 or frame_image.size == 0:
        raise ImageError(
            f"cannot draw on an image of shape {list(frame_image.shape)} and dtype {frame_image.dtype}; "
            f"allowed is uint8 [H, W, 3]; see images.frame_from_array"
        )


def check_map(frame_image: np.ndarray, heatmap: np.ndarray) -> None:
    """Raises ImageError when the heatmap has another height and width than the image."""
    if heatmap.shape != frame_image.shape[:2]:
        raise ImageError(
            f"a heatmap of shape {list(heatmap.shape)} does not fit an image of "
            f"shape {list(frame_image.shape)}; give the image that was explained"
        )
