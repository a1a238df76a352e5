"""Maps from activations alone. numpy only."""

from __future__ import annotations

import numpy as np

from ppdet_cam.methods.base import Levels, Needs, method


@method(
    "eigencam",
    needs=Needs.ACTIVATIONS,
    levels=Levels.OWN,
    reference="Muhammad and Yeasin, Eigen-CAM: Class Activation Map using Principal Components, IJCNN 2020",
    cost="no further pass; one eigenvector",
)
def eigencam(activations: np.ndarray) -> np.ndarray:
    """Returns the Eigen-CAM map: the first principal component of the activations, negative values cut.

    With O [h * w, C] the activations and O = U S V^T their singular value decomposition, the map is O V_1, V_1 being
    the first column of V. Muhammad and Yeasin, IJCNN 2020. Neither class nor score takes part: every box of one level
    gets the same map.

    Deviations:

    - The sign of V_1 is left open by the decomposition; here the map's largest absolute value is positive. For
      activations >= 0 that makes the whole map >= 0.
    - What is then negative is cut.

    O is not centred; the package grad-cam centres it, which gives another map.

    Args:
        activations: float [C, h, w].

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> eigencam(np.array([[[3.0, 0.0]], [[4.0, 0.0]]])).round(6)  # one cell of length 5, one of 0
        array([[5., 0.]])
    """
    component = first_component(activations)
    largest = component.flat[int(np.abs(component).argmax())]  # type: ignore  # numpy 2.5's stubs
    return np.maximum(component if largest >= 0 else -component, 0.0)


def first_component(values: np.ndarray) -> np.ndarray:
    """Returns the projection of each cell's channels on the first right singular vector; its sign is arbitrary.

    Args:
        values: float [C, h, w].

    Returns:
        float64 [h, w].

    Example:
        >>> abs(first_component(np.array([[[3.0, 0.0]], [[4.0, 0.0]]]))).round(6)
        array([[5., 0.]])
    """
    scale = float(np.abs(values).max(initial=0.0)) or 1.0  # so that squares stay within range
    cells = values.reshape(len(values), -1).T.astype(np.float64) / scale
    if cells.shape[1] <= cells.shape[0]:
        component = cells @ _first_eigenvector(cells.T @ cells)
    else:
        cell_vector = _first_eigenvector(cells @ cells.T)
        component = cell_vector * np.linalg.norm(cell_vector @ cells)
    return scale * component.reshape(values.shape[1:])


def _first_eigenvector(symmetric: np.ndarray) -> np.ndarray:
    """Returns the eigenvector of the largest eigenvalue; the smaller Gram matrix is cheaper than a decomposition."""
    return np.linalg.eigh(symmetric)[1][:, -1]
