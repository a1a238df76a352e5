"""CAM methods: (activations, gradients) -> map on the grid. numpy only.

A method is one function, registered by name. The command line, the docs and the tests take the names from here.
"""

from __future__ import annotations

from typing import Callable

import numpy as np

from ppdet_cam.registry import Registry

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]

methods: Registry[Method] = Registry("method")


@methods.register("gradcam")
def gradcam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the Grad-CAM map ReLU(sum_k alpha_k A_k), alpha_k being the mean of the gradient over space.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    ICCV 2017, equations 1 and 2. No deviation: positive sign, no normalisation.

    Args:
        activations: float [C, h, w].
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> gradcam(np.ones((1, 1, 2)), np.array([[[1.0, 3.0]]]))
        array([[2., 2.]])
    """
    weights = gradients.mean(axis=(1, 2), dtype=np.float64)
    return np.maximum(np.tensordot(weights, activations.astype(np.float64), axes=1), 0.0)


@methods.register("hirescam")
def hirescam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the HiResCAM map ReLU(sum_k g_k * A_k), the product taken cell by cell.

    Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
    arXiv:2011.08891, 2020, section 3. One deviation: the paper's map keeps negative values; they are cut here, as
    evidence against a box is not drawn.

    Args:
        activations: float [C, h, w].
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> hirescam(np.ones((1, 1, 2)), np.array([[[1.0, 3.0]]]))
        array([[1., 3.]])
    """
    return np.maximum((activations * gradients).sum(axis=0, dtype=np.float64), 0.0)
