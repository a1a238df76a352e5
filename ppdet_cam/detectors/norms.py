"""Batch normalisation at inference, recorded as what it is: a factor and a shift for each channel.

Paddle's own node keeps the input for a gradient of the statistics, which nobody asks for. It is as large as the output,
and half of what the graph of a ResNet holds.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Callable

import paddle
from paddle import nn
from paddle.autograd import PyLayer, PyLayerContext

from ppdet_cam.detectors.capture import replaced_forwards


def affine_gradients(model: nn.Layer) -> contextlib.AbstractContextManager[None]:
    """Returns a context that gives every batch normalisation of a model a gradient with respect to its input only.

    What ran in the context keeps it; the model is as before when the context ends. Forward passes are the same bits.

    Args:
        model: in evaluation mode, its parameters frozen.
    """
    return replaced_forwards(model, is_affine, _recorded_as_one)


def is_affine(layer: nn.Layer) -> bool:
    """Whether a layer normalises by statistics that it learned, channels first."""
    is_norm = type(layer) is nn.BatchNorm2D and layer._data_format == "NCHW"
    return bool(is_norm and (layer._use_global_stats or not layer.training))


def _recorded_as_one(layer: nn.BatchNorm2D) -> Callable[[paddle.Tensor], paddle.Tensor]:
    norm = _Norm(layer)

    def forward(image: paddle.Tensor) -> paddle.Tensor:
        if paddle.is_grad_enabled() and not image.stop_gradient and image.dtype == layer.weight.dtype:
            return _Node.apply(image, norm)
        return norm.own_forward(image)

    return forward


class _Norm:
    """A layer's forward and what its gradient needs."""

    def __init__(self, layer: nn.BatchNorm2D) -> None:
        self.own_forward = layer.forward
        self._layer = layer

    @functools.cached_property
    def factor(self) -> paddle.Tensor:
        """[1, C, 1, 1], made when the first gradient asks for it: a forward pass has a hundred such layers."""
        layer = self._layer
        factor = layer.weight.detach() * paddle.rsqrt(layer._variance.detach() + layer._epsilon)
        return factor.reshape([1, -1, 1, 1])


class _Node(PyLayer):  # type: ignore[misc]
    @staticmethod
    def forward(context: PyLayerContext, image: paddle.Tensor, norm: _Norm) -> paddle.Tensor:
        context.norm = norm
        return norm.own_forward(image)

    @staticmethod
    def backward(context: PyLayerContext, gradient: paddle.Tensor) -> paddle.Tensor:
        return gradient * context.norm.factor
