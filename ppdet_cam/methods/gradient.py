"""Maps from activations and gradients. numpy only.

Every function takes activations A and gradients g = d score / d A, both [C, h, w], and gives a map [h, w]. In the
formulas k is a channel and i, j a cell. What is negative in a map is cut: evidence against a box is not drawn.
"""

from __future__ import annotations

import numpy as np

from ppdet_cam.methods.activation import first_component
from ppdet_cam.methods.base import Levels, Needs, method

ONE_BACKWARD = "one backward pass"


@method(
    "gradcam",
    needs=Needs.GRADIENTS,
    levels=Levels.ALL,
    reference="Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, "
    "ICCV 2017, eq. 1 and 2",
    cost=ONE_BACKWARD,
)
def gradcam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the Grad-CAM map ReLU(sum_k w_k A_k), w_k being the mean of g_k over space.

    Selvaraju et al., ICCV 2017, equations 1 and 2. No deviation; the authors' code takes the sum for the mean, which
    differs by a constant.

    Args:
        activations: float [C, h, w].
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> gradcam(np.ones((1, 1, 2)), np.array([[[1.0, 3.0]]]))
        array([[2., 2.]])
    """
    return _weighted(gradients.mean(axis=(1, 2), dtype=np.float64), activations)


@method(
    "gradcam++",
    needs=Needs.GRADIENTS,
    levels=Levels.ALL,
    reference="Chattopadhay et al., Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional "
    "Networks, WACV 2018, eq. 5, 19 and 20 of arXiv:1710.11063",
    cost=ONE_BACKWARD,
)
def gradcampp(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the Grad-CAM++ map ReLU(sum_k w_k A_k), w_k = sum_ij a_kij ReLU(g_kij).

    a_kij = g^2 / (2 g^2 + g^3 sum_ab A_kab), which is 1 / (2 + g sum_ab A_kab) where g is not zero. Chattopadhay et
    al., WACV 2018, equations 5, 19 and 20 in the numbering of arXiv:1710.11063.

    Deviations:

    - The paper differentiates exp(score). That multiplies every w_k by the same exp(score), which is left out.
    - Where the denominator is exactly zero, a_kij is 0. The paper has activations >= 0, for which it is at least 2
      wherever ReLU(g) counts; with a layer whose activations may be negative it can come close to zero, and the map
      is then ruled by few channels.
    - The authors' code divides each channel's a_kij by their sum over the cells with g > 0; the paper does not, nor
      does this.

    Args:
        activations: float [C, h, w]; made for values >= 0.
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> gradcampp(np.array([[[1.0, 1.0]]]), np.array([[[2.0, -1.0]]]))  # 2 / (2 + 2 * 2)
        array([[0.33333333, 0.33333333]])
    """
    positive = np.maximum(gradients.astype(np.float64), 0.0)
    denominators = 2.0 + positive * activations.sum(axis=(1, 2), keepdims=True, dtype=np.float64)
    weights = np.divide(positive, denominators, out=np.zeros_like(positive), where=denominators != 0)
    return _weighted(weights.sum(axis=(1, 2)), activations)


@method(
    "xgradcam",
    needs=Needs.GRADIENTS,
    levels=Levels.ALL,
    reference="Fu et al., Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs, BMVC 2020; "
    "the authors' code",
    cost=ONE_BACKWARD,
)
def xgradcam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the XGrad-CAM map ReLU(sum_k w_k A_k), w_k = sum_ij g_kij A_kij / sum_ij A_kij.

    Fu et al., BMVC 2020, as in the authors' code.

    Deviation: the code adds 1e-6 to the denominator; here a channel that sums to exactly zero weighs 0. Where
    activations may be negative a sum can come close to zero, and the map is then ruled by few channels.

    Args:
        activations: float [C, h, w]; made for values >= 0.
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> xgradcam(np.array([[[1.0, 3.0]]]), np.array([[[1.0, 3.0]]]))  # (1 + 9) / (1 + 3) = 2.5
        array([[2.5, 7.5]])
    """
    products = np.einsum("khw,khw->k", activations, gradients, dtype=np.float64)
    sums = activations.sum(axis=(1, 2), dtype=np.float64)
    return _weighted(np.divide(products, sums, out=np.zeros_like(sums), where=sums != 0), activations)


@method(
    "hirescam",
    needs=Needs.GRADIENTS,
    levels=Levels.ALL,
    reference="Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural "
    "networks, arXiv:2011.08891, 2020; the authors' code",
    cost=ONE_BACKWARD,
)
def hirescam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the HiResCAM map ReLU(sum_k g_k * A_k), the product taken cell by cell.

    Draelos and Carin, arXiv:2011.08891, 2020, as in the authors' code.

    Deviation: the paper's map keeps negative values; they are cut here.

    Args:
        activations: float [C, h, w].
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> hirescam(np.ones((1, 1, 2)), np.array([[[1.0, 3.0]]]))
        array([[1., 3.]])
    """
    return np.maximum(_products_over_channels(gradients, activations), 0.0)


@method(
    "layercam",
    needs=Needs.GRADIENTS,
    levels=Levels.ALL,
    reference="Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, IEEE "
    "Transactions on Image Processing 2021; the authors' code",
    cost=ONE_BACKWARD,
)
def layercam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the LayerCAM map ReLU(sum_k ReLU(g_k) * A_k), the product taken cell by cell.

    Jiang et al., IEEE Transactions on Image Processing 2021, as in the authors' code.

    Deviation: the authors' code has no outer ReLU, as it looks at activations >= 0; here negative sums are cut.

    Args:
        activations: float [C, h, w].
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> layercam(np.ones((1, 1, 2)), np.array([[[-1.0, 3.0]]]))
        array([[0., 3.]])
    """
    return np.maximum(_products_over_channels(np.maximum(gradients, 0.0), activations), 0.0)


@method(
    "eigengradcam",
    needs=Needs.GRADIENTS,
    levels=Levels.ALL,
    reference="no paper; EigenGradCAM of the package grad-cam 1.5.7, after Eigen-CAM",
    cost="one backward pass and one eigenvector",
)
def eigengradcam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns Eigen-CAM's map of the products g_k * A_k: their first principal component, negative values cut.

    There is no paper; the method comes with the package grad-cam, which calls it Eigen-CAM on activations times
    gradients.

    Deviations from that package:

    - The products are not centred before the decomposition, as they are not in Eigen-CAM's formula. So a cell without
      evidence stays at zero.
    - The package leaves the component's sign to the decomposition. Here it is the sign under which the component
      rises with the sum of the products over the channels, which is HiResCAM's map before the cut.

    Args:
        activations: float [C, h, w].
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> eigengradcam(np.ones((1, 1, 2)), np.array([[[4.0, -3.0]]])).round(6)
        array([[4., 0.]])
    """
    products = activations.astype(np.float64) * gradients
    component = first_component(products)
    rises = float(np.vdot(component, products.sum(axis=0))) >= 0
    return np.maximum(component if rises else -component, 0.0)


@method(
    "odam",
    needs=Needs.GRADIENTS,
    levels=Levels.OWN,
    reference="Zhao and Chan, ODAM: Gradient-based Instance-Specific Visual Explanations for Object Detection, "
    "ICLR 2023; the authors' code",
    cost=ONE_BACKWARD,
)
def odam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns the ODAM map ReLU(sum_k g_k * A_k) of the level from which the head made the box.

    Zhao and Chan, ICLR 2023, as in the authors' code: the product is taken cell by cell, so on one level this is
    HiResCAM's map; what ODAM adds is that no other level is looked at. The code smooths neither the gradients nor the
    map.

    Deviation: the code stretches every map to 0 to 1; raw values are kept here.

    Args:
        activations: float [C, h, w], of the box's own level.
        gradients: float [C, h, w], d score / d activations.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> odam(np.ones((1, 1, 2)), np.array([[[1.0, -3.0]]]))
        array([[1., 0.]])
    """
    return np.maximum(_products_over_channels(gradients, activations), 0.0)


def _weighted(weights: np.ndarray, activations: np.ndarray) -> np.ndarray:
    return np.maximum(np.tensordot(weights, activations.astype(np.float64), axes=1), 0.0)


def _products_over_channels(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("khw,khw->hw", one, other, dtype=np.float64)
