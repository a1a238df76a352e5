"""Evidence on which the stages of a network agree. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppdet_cam.methods.base import Levels, Needs, method
from ppdet_cam.methods.gradient import ONE_BACKWARD, layercam

# What a stage that shows nothing at a pixel leaves of the others there. Of 0 (the product), 0.05, 0.1 and without bound
# (the sum) it was chosen by measurement: docs/methods.md.
FLOOR = 0.05
# A layer that a gradient reaches in fewer cells than this is blind: it shows where the head looked, not what it saw.
LEAST_CELLS = 2.0


@method(
    "stagecam",
    needs=Needs.GRADIENTS,
    levels=Levels.STAGES,
    reference="this project's own, after Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for "
    "Localization, IEEE Transactions on Image Processing 2021",
    cost=f"{ONE_BACKWARD}, through the stages",
)
def stagecam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the map of one stage, ReLU(sum_k ReLU(g_k) * A_k): LayerCAM's. `agreement` puts the stages together.

    Args:
        activations: float [C, h, w].
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> stagecam(np.ones((1, 1, 2)), np.array([[[-1.0, 3.0]]]))
        array([[0., 3.]])
    """
    return layercam(activations, gradients)


def agreement(maps: Sequence[np.ndarray], *, floor: float = FLOOR) -> np.ndarray:
    """Returns prod_l (m_l + floor) - floor^n, m_l the n maps, each divided by its own maximum.

    Multiplied out, that is the product of all maps, plus floor times every product of all but one, and so on down to
    floor^(n - 1) times their sum: a pixel counts most where all stages see evidence, little where one does, and not at
    all where none does. So units do not matter, only each map's own proportions.

    Args:
        maps: float [H, W] each, >= 0, at least one, each with a value above 0.
        floor: 0 or more.

    Returns:
        float64 [H, W], >= 0; 0 exactly where all maps are 0.

    Example:
        >>> agreement([np.array([[0.0, 1.0, 2.0]]), np.array([[0.0, 0.0, 3.0]])], floor=0.1).round(3)
        array([[0.  , 0.05, 1.2 ]])
    """
    product = np.ones(maps[0].shape)
    for one in maps:
        product *= one / float(one.max()) + floor
    agreed = product - floor ** len(maps)
    agreed[np.all([one == 0 for one in maps], axis=0)] = 0.0
    return np.maximum(agreed, 0.0)


def cells_reached(gradients: np.ndarray) -> float:
    """Returns how many cells a gradient reaches: as many as would share it evenly, (sum_i q_i)^2 / sum_i q_i^2.

    q_i is the gradient's length at cell i. A head that reads a layer by a 1 x 1 convolution gives 1.
    Counting cells that are not zero would not do: a squeeze-and-excitation behind the layer lets a trace reach all.

    Args:
        gradients: float [C, h, w].

    Returns:
        1 to h * w; 0 where all gradients are zero or one of them is not finite.

    Example:
        >>> cells_reached(np.array([[[3.0, 0.0, 3.0]], [[4.0, 0.0, 4.0]]]))
        2.0
    """
    largest = float(np.abs(gradients).max(initial=0.0))
    if not 0 < largest < np.inf:
        return 0.0
    lengths = np.linalg.norm(gradients.astype(np.float64) / largest, axis=0)
    return float(lengths.sum() ** 2 / (lengths**2).sum())
