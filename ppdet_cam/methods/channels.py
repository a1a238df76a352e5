"""Which channels of a feature map stand out, whatever the box."""

from __future__ import annotations

import numpy as np


def strongest_channels(activations: np.ndarray, count: int) -> np.ndarray:
    """Returns the channels with the highest mean absolute activation, the strongest first.

    Args:
        activations: float [C, h, w].
        count: how many at most.

    Returns:
        int [min(count, C)].

    Example:
        >>> strongest_channels(np.array([[[1.0]], [[-3.0]], [[2.0]]]), 2)
        array([1, 2])
    """
    strength = np.abs(activations.astype(np.float64)).mean(axis=(1, 2))
    return np.argsort(-strength, kind="stable")[:count]
