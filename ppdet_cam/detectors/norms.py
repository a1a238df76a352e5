"""Batch normalisation at inference, recorded as what it is: a factor and a shift for each channel.

Paddle's own node keeps the input for a gradient of the statistics, which nobody asks for. It is as large as the output,
and half of what the graph of a ResNet holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Callable

import paddle
from paddle import nn
from paddle.autograd import PyLayer, PyLayerContext

from ppdet_cam.detectors.capture import replaced_methods


@contextlib.contextmanager
def affine_gradients(model: nn.Layer) -> Iterator[None]:
    """Gives every batch normalisation of a model a gradient with respect to its input only.

    What ran in the context keeps it; the model is as before when the context ends. Forward passes are the same bits.

    Args:
        model: in evaluation mode, its parameters frozen.
    """
    with contextlib.ExitStack() as stack:
        for layer in model.sublayers(include_self=True):
            if is_affine(layer):
                stack.enter_context(replaced_methods(layer, forward=_recorded_as_one(layer)))
        yield


def is_affine(layer: nn.Layer) -> bool:
    """Whether a layer normalises by statistics that it learned, channels first."""
    is_norm = type(layer) is nn.BatchNorm2D and layer._data_format == "NCHW"
    return bool(is_norm and (layer._use_global_stats or not layer.training))


def _recorded_as_one(layer: nn.BatchNorm2D) -> Callable[[paddle.Tensor], paddle.Tensor]:
    own_forward = layer.forward
    factor = (layer.weight.detach() * paddle.rsqrt(layer._variance.detach() + layer._epsilon)).reshape([1, -1, 1, 1])

    def forward(image: paddle.Tensor) -> paddle.Tensor:
        if paddle.is_grad_enabled() and not image.stop_gradient and image.dtype == factor.dtype:
            return _Node.apply(image, own_forward, factor)
        return own_forward(image)

    return forward


class _Node(PyLayer):  # type: ignore[misc]
    @staticmethod
    def forward(
        context: PyLayerContext,
        image: paddle.Tensor,
        own_forward: Callable[[paddle.Tensor], paddle.Tensor],
        factor: paddle.Tensor,
    ) -> paddle.Tensor:
        context.factor = factor
        return own_forward(image)

    @staticmethod
    def backward(context: PyLayerContext, gradient: paddle.Tensor) -> paddle.Tensor:
        return gradient * context.factor
