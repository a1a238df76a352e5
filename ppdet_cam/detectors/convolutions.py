"""Gradients through convolutions, computed where they are not zero.

The score of one box is read from one cell, so what flows back into a convolution is zero but for a window around that
cell, which grows from layer to layer. Paddle's own gradient multiplies the zeros too. Here each convolution of a model
keeps its forward, bit for bit, and gets a gradient that looks for that window in what reaches it: where nothing is
zero, the window is the whole map, so no architecture has to be known, and nothing is left out.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Callable

import numpy as np
import paddle
from paddle import nn
from paddle.autograd import PyLayer, PyLayerContext

from ppdet_cam.detectors.capture import replaced_methods

# Multiply-adds of a whole gradient below which the look for the window costs more than it saves.
LEAST = 10_000_000
SIGNLESS = np.uint32(0x7FFFFFFF)  # all bits of a float32 but the sign: minus zero is zero


@contextlib.contextmanager
def windowed_gradients(model: nn.Layer) -> Iterator[None]:
    """Gives every convolution of a model the gradient of this module, with respect to its input only.

    What ran in the context keeps it; the model is as before when the context ends. For CPUs: the products are numpy's.

    Args:
        model: its parameters are frozen.
    """
    with contextlib.ExitStack() as stack:
        for layer in model.sublayers(include_self=True):
            if is_plain(layer):
                stack.enter_context(replaced_methods(layer, forward=_recorded_as_one(layer)))
        yield


def is_plain(layer: nn.Layer) -> bool:
    """Whether a layer is a convolution of channels first, with as many zeros before as behind."""
    return (
        type(layer) is nn.Conv2D
        and layer._padding_mode == "zeros"
        and layer._padding_algorithm == "EXPLICIT"
        and np.size(layer._updated_padding) <= 2
        and layer._data_format == "NCHW"
    )


def _recorded_as_one(layer: nn.Conv2D) -> Callable[[paddle.Tensor], paddle.Tensor]:
    """Returns the layer's own forward, as a node of the graph with the gradient of this module."""
    convolution = _Convolution(layer)

    def forward(image: paddle.Tensor) -> paddle.Tensor:
        differentiable = paddle.is_grad_enabled() and not image.stop_gradient and image.dtype == paddle.float32
        if differentiable and convolution.multiply_adds(image) >= LEAST:
            return _Node.apply(image, convolution)
        return convolution.own_forward(image)

    return forward


class _Convolution:
    """A layer's forward and what its gradient needs."""

    def __init__(self, layer: nn.Conv2D) -> None:
        self.own_forward = layer.forward
        self._layer = layer

    def multiply_adds(self, image: paddle.Tensor) -> int:
        """Returns about how many an output, and a gradient without a window, takes."""
        down, right = pair(self._layer._stride)
        images, _, height, width = image.shape
        return int(np.prod(self._layer.weight.shape)) * images * (height // down) * (width // right)

    @functools.cached_property
    def _taps(self) -> np.ndarray:
        return kernel_taps(self._layer.weight.numpy(), self._layer._groups)

    def input_gradient(self, output_gradient: paddle.Tensor, input_shape: Sequence[int]) -> paddle.Tensor:
        """Returns the gradient of the layer's input."""
        layer = self._layer
        found = input_gradient(
            output_gradient.numpy(),
            self._taps,
            input_shape,
            stride=pair(layer._stride),
            padding=pair(layer._updated_padding),
            dilation=pair(layer._dilation),
        )
        return paddle.to_tensor(found)


class _Node(PyLayer):  # type: ignore[misc]
    @staticmethod
    def forward(context: PyLayerContext, image: paddle.Tensor, convolution: _Convolution) -> paddle.Tensor:
        context.convolution, context.input_shape = convolution, image.shape
        return convolution.own_forward(image)

    @staticmethod
    def backward(context: PyLayerContext, gradient: paddle.Tensor) -> paddle.Tensor:
        return context.convolution.input_gradient(gradient, context.input_shape)


def kernel_taps(weight: np.ndarray, groups: int = 1) -> np.ndarray:
    """Returns a kernel as the matrices that its gradient is made of: [kernel height, kernel width, groups, C, D].

    Args:
        weight: [groups x D, C, kernel height, kernel width].
        groups: of channels that do not see each other.
    """
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return np.ascontiguousarray(grouped.transpose(3, 4, 0, 2, 1))


def input_gradient(
    output_gradient: np.ndarray,
    taps: np.ndarray,
    input_shape: Sequence[int],
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Returns what reaches a convolution's input, float32 [N, C, h, w].

    One matrix product per tap of the kernel, over the window in which the gradient of the output is not zero.

    Args:
        output_gradient: float32 [N, D, y, x].
        taps: float32, from `kernel_taps`.
        input_shape: N, C, h, w.
        stride, padding, dilation: downwards and to the right.
    """
    batch, channels, height, width = input_shape
    found = np.zeros((batch, channels, height + 2 * padding[0], width + 2 * padding[1]), np.float32)
    rows, columns = window(output_gradient)
    given = output_gradient[:, :, rows, columns].transpose(1, 0, 2, 3)
    images, high, wide = given.shape[1:]
    given = given.reshape(taps.shape[2], taps.shape[4], -1)
    for down, right in np.ndindex(*taps.shape[:2]) if given.size else ():
        top, left = rows.start * stride[0] + down * dilation[0], columns.start * stride[1] + right * dilation[1]
        reached = found[
            :,
            :,
            top : top + (high - 1) * stride[0] + 1 : stride[0],
            left : left + (wide - 1) * stride[1] + 1 : stride[1],
        ]
        reached += (taps[down, right] @ given).reshape(channels, images, high, wide).transpose(1, 0, 2, 3)
    return found[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]


def window(gradient: np.ndarray) -> tuple[slice, slice]:
    """Returns the smallest rows and columns outside of which a float32 [N, C, h, w] is zero; empty where all is."""
    bits = np.bitwise_or.reduce(gradient.view(np.uint32), axis=(0, 1)) & SIGNLESS  # type: ignore  # numpy 2.5's stubs
    return _span(bits.any(axis=1)), _span(bits.any(axis=0))


def _span(used: np.ndarray) -> slice:
    (places,) = np.nonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    down, right = (value, value) if isinstance(value, int) else value
    return int(down), int(right)
