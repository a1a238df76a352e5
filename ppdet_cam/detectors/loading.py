"""Weights into a model: found, read without running code, checked to fit, set."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

import paddle  # isort: skip
from paddle import nn
from ppdet.utils.download import get_weights_path

from ppdet_cam.detectors.trackers import detector_weights
from ppdet_cam.detectors.weights import check_fit, fit_report, load_state_dict, resolve_weights

log = logging.getLogger(__name__)


def load_into(model: nn.Layer, weights: str) -> Path:
    """Loads a `.pdparams` file or URL into a model; every parameter of the model must be in it.

    Returns:
        The file.

    Raises:
        WeightsError: not there, not safe to unpickle, or does not fit.
    """
    path = resolve_weights(weights, fetch=get_weights_path)
    own = model.state_dict()
    given = detector_weights(load_state_dict(path), own)
    report = fit_report({name: tuple(value.shape) for name, value in own.items()}, given)
    surplus = check_fit(report, str(path))
    if surplus:
        log.warning(surplus)
    for name, value in own.items():
        value.set_value(np.ascontiguousarray(given[name].astype(_numpy_name(value))))
    return path


def _numpy_name(value: paddle.Tensor) -> str:
    return str(value.dtype).split(".")[-1]
