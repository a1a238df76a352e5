"""Depthwise convolutions by OpenCV, where nothing is differentiated.

Paddle's own take most of a small detector's time on a CPU: five to ten times OpenCV's for kernels of 5 x 5. The sums
are of the same products in another order, so values differ in their last bits; a forward pass whose detections are
printed keeps paddle's. Altered images are run by the hundred, and only compared.
"""

from __future__ import annotations

import contextlib
from typing import Callable

import cv2
import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.capture import replaced_forwards
from ppdet_cam.detectors.convolutions import is_plain, pair

# Multiply-adds of a channel below which a call costs more than it saves.
LEAST = 10_000


def fast_depthwise(model: nn.Layer) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which a model's depthwise convolutions run by OpenCV: on a CPU, without a graph."""
    return replaced_forwards(model, lambda layer: is_plain(layer) and is_depthwise(layer), _forward)


def is_depthwise(layer: nn.Conv2D) -> bool:
    """Whether a convolution has a kernel of odd size for each channel, and no gaps in it."""
    channels, per_group, height, width = layer.weight.shape
    return (
        layer._groups == channels == layer._in_channels
        and per_group == 1
        and height == width
        and height % 2 == 1
        and pair(layer._dilation) == (1, 1)
    )


def _forward(layer: nn.Conv2D) -> Callable[[paddle.Tensor], paddle.Tensor]:
    own_forward = layer.forward
    kernels = layer.weight.numpy()[:, 0]
    bias = None if layer.bias is None else layer.bias.numpy()
    stride, padding = pair(layer._stride), pair(layer._updated_padding)

    def forward(image: paddle.Tensor) -> paddle.Tensor:
        high, wide = int(image.shape[2]), int(image.shape[3])
        if image.dtype != paddle.float32 or high * wide * kernels[0].size < LEAST * stride[0] * stride[1]:
            return own_forward(image)
        found = depthwise(image.numpy(), kernels, stride=stride, padding=padding)
        return paddle.to_tensor(found if bias is None else found + bias[:, None, None])

    return forward


def depthwise(
    image: np.ndarray, kernels: np.ndarray, *, stride: tuple[int, int], padding: tuple[int, int]
) -> np.ndarray:
    """Returns the convolution of each channel with its own kernel, float32 [N, C, y, x].

    Args:
        image: float32 [N, C, h, w].
        kernels: float32 [C, k, k], k odd.
        stride, padding: downwards and to the right; as many zeros before as behind, at most k // 2.
    """
    reach = kernels.shape[1] // 2
    top, left = reach - padding[0], reach - padding[1]
    rows, columns = slice(top, image.shape[2] - top, stride[0]), slice(left, image.shape[3] - left, stride[1])
    found = np.empty((*image.shape[:2], *image[0, 0, rows, columns].shape), np.float32)
    for one, whole in zip(found, image):
        for channel, kernel in enumerate(kernels):
            # OpenCV's filter is a correlation around the kernel's middle, as a convolution layer is.
            filtered = cv2.filter2D(whole[channel], cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
            one[channel] = filtered[rows, columns]
    return found
