"""Maps of where an object query looked. numpy only.

Every function takes the weights A of one cross-attention for one query, [heads, h, w]: with what the value of cell i, j
is taken by head k. Softmax makes them sum to 1 over the cells of all levels; deformable attention to less, where its
points lie outside of the features.
"""

from __future__ import annotations

import numpy as np

from ppdet_cam.methods.base import Levels, Needs, method


@method(
    "attention",
    needs=Needs.ATTENTION,
    levels=Levels.ALL,
    reference="Carion et al., End-to-End Object Detection with Transformers, ECCV 2020, its figures of decoder "
    "attention; for sampled points Zhu et al., Deformable DETR, ICLR 2021",
    cost="no further pass",
)
def attention(weights: np.ndarray) -> np.ndarray:
    """Returns where a query's cross-attention looked: the mean of A_k over the heads.

    Carion et al., ECCV 2020, show the decoder's attention for single queries, and Zhu et al., ICLR 2021, the points
    that deformable attention samples, coloured by their weights. Neither class nor score takes part: a query that is
    kept under two classes has one map.

    Deviations:

    - The figures are of one layer; here every decoder layer that is looked at adds its map.
    - A sampled point is no dot: its weight lies on the cells between which it is interpolated.

    Args:
        weights: float [heads, h, w], >= 0.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> attention(np.array([[[1.0, 0.0]], [[0.5, 0.5]]]))
        array([[0.75, 0.25]])
    """
    return weights.mean(axis=0, dtype=np.float64)


@method(
    "attention_gradient",
    needs=Needs.ATTENTION_GRADIENTS,
    levels=Levels.ALL,
    reference="Chefer et al., Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder "
    "Transformers, ICCV 2021, eq. 5; the authors' code",
    cost="one backward pass, from the score to the decoder",
)
def attention_gradient(weights: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns what a query's cross-attention took that raised the score: the mean over the heads of ReLU(g_k * A_k).

    g = d score / d A. Chefer et al., ICCV 2021, equation 5, as in the authors' code.

    Deviations:

    - Equations 6 to 10 then multiply the layers' matrices with those of self-attention, among the queries and among the
      encoder's tokens; here the layers' maps are added, and a token stands for its own cell.
    - The code differentiates the class logit, which is the target "logit" here.
    - Deformable attention is not in the paper. It is attention all the same, to the cells between which its points are
      interpolated.

    Args:
        weights: float [heads, h, w], >= 0.
        gradients: float [heads, h, w], d score / d weights.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> attention_gradient(np.array([[[0.5, 0.5]], [[1.0, 0.0]]]), np.array([[[4.0, -4.0]], [[2.0, 2.0]]]))
        array([[2., 0.]])
    """
    return np.maximum(gradients.astype(np.float64) * weights, 0.0).mean(axis=0)
