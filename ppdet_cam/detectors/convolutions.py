"""Gradients through convolutions, computed where they are not zero.

The score of one box is read from one cell, so what flows back into a convolution is zero but for a window around that
cell, which grows from layer to layer. Paddle's own gradient multiplies the zeros too. Here each convolution of a model
keeps its forward, bit for bit, and gets a gradient that looks for that window in what reaches it: where nothing is
zero, the window is the whole map, so no architecture has to be known, and nothing is left out.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Callable

import numpy as np
import paddle
from paddle import nn
from paddle.autograd import PyLayer, PyLayerContext

from ppdet_cam.detectors.capture import replaced_forwards

# Multiply-adds of a whole gradient below which the look for the window costs more than it saves.
LEAST = 10_000_000
# What the columns of one matrix product may take: of 0.5 MB to all at once, the quickest for most layers of a ResNet.
COLUMNS_BYTES = 4 * 2**20
SIGNLESS = np.uint32(0x7FFFFFFF)  # all bits of a float32 but the sign: minus zero is zero


def windowed_gradients(model: nn.Layer) -> contextlib.AbstractContextManager[None]:
    """Returns a context that gives every convolution of a model this module's gradient, for its input only.

    What ran in the context keeps it; the model is as before when the context ends. For CPUs: the products are numpy's.

    Args:
        model: its parameters are frozen.
    """
    return replaced_forwards(model, is_plain, _recorded_as_one)


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
    """Returns a kernel turned around, as the matrices that its gradient is made of.

    Args:
        weight: [groups x D, C, kernel height, kernel width].
        groups: of channels that do not see each other.

    Returns:
        [groups, C, kernel height, kernel width, D].
    """
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return np.ascontiguousarray(grouped[..., ::-1, ::-1].transpose(0, 2, 3, 4, 1))


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

    Only the window in which the gradient of the output is not zero is looked at.

    Args:
        output_gradient: float32 [N, D, y, x].
        taps: float32, from `kernel_taps`.
        input_shape: N, C, h, w.
        stride, padding, dilation: downwards and to the right.
    """
    rows, columns = window(output_gradient)
    given, start = output_gradient[:, :, rows, columns], (rows.start, columns.start)
    if not given.size:
        return np.zeros(input_shape, np.float32)
    if stride == (1, 1):
        return _turned_around(given, start, taps, input_shape, padding=padding, dilation=dilation)
    return _tap_by_tap(given, start, taps, input_shape, stride=stride, padding=padding, dilation=dilation)


def _turned_around(
    given: np.ndarray,
    start: tuple[int, int],
    taps: np.ndarray,
    input_shape: Sequence[int],
    *,
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """Returns the gradient for a stride of 1: the convolution of what is given with the kernel turned around.

    One matrix product for some rows at a time, so that the columns that it is made of stay in the processor's cache.
    """
    groups, per_group, high, wide, depth = taps.shape
    reach = (high - 1) * dilation[0], (wide - 1) * dilation[1]
    first = [begin - pad for begin, pad in zip(start, padding)]  # where the kernel reaches first, in the input
    ends = [begin + size + far for begin, size, far in zip(first, given.shape[2:], reach)]
    top, left = (max(0, begin) for begin in first)
    bottom, right = (min(size, end) for size, end in zip(input_shape[2:], ends))
    width, is_whole = right - left, (top, left, bottom, right) == (0, 0, *input_shape[2:])
    found = (np.empty if is_whole else np.zeros)(input_shape, np.float32)
    matrix = taps.reshape(groups, per_group, -1)
    step = max(1, COLUMNS_BYTES // (4 * groups * matrix.shape[2] * width)) if matrix.shape[2] > depth else bottom - top
    for image, gradient in zip(found, given):
        around = np.pad(gradient, [(0, 0), *((far, far) for far in reach)]) if any(reach) else gradient
        around = around[:, top - first[0] :, left - first[1] :].reshape(
            groups, depth, -1, around.shape[2] - left + first[1]
        )
        for row in range(0, bottom - top, step):
            count = min(step, bottom - top - row)
            columns = np.empty((groups, high, wide, depth, count, width), np.float32)
            for down, across in np.ndindex(high, wide):
                begin, side = row + down * dilation[0], across * dilation[1]
                columns[:, down, across] = around[:, :, begin : begin + count, side : side + width]
            product = matrix @ columns.reshape(groups, matrix.shape[2], -1)
            image[:, top + row : top + row + count, left:right] = product.reshape(-1, count, width)
    return found


def _tap_by_tap(
    given: np.ndarray,
    start: tuple[int, int],
    taps: np.ndarray,
    input_shape: Sequence[int],
    *,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """Returns the gradient for any stride: one matrix product per tap of the kernel, added where that tap reaches."""
    batch, channels, height, width = input_shape
    found = np.zeros((batch, channels, height + 2 * padding[0], width + 2 * padding[1]), np.float32)
    images, high, wide = batch, *given.shape[2:]
    given = given.transpose(1, 0, 2, 3).reshape(taps.shape[0], taps.shape[4], -1)
    for down, right in np.ndindex(*taps.shape[2:4]):
        top, left = start[0] * stride[0] + down * dilation[0], start[1] * stride[1] + right * dilation[1]
        reached = found[
            :,
            :,
            top : top + (high - 1) * stride[0] + 1 : stride[0],
            left : left + (wide - 1) * stride[1] + 1 : stride[1],
        ]
        tap = taps[:, :, -1 - down, -1 - right]
        reached += (tap @ given).reshape(channels, images, high, wide).transpose(1, 0, 2, 3)
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
