"""Batch normalisation keeps its forward and gets the gradient of a factor per channel."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_cam.detectors.norms import affine_gradients, is_affine


def _learned(channels: int = 3) -> nn.BatchNorm2D:
    """A layer with statistics of its own; those of channel 1 are nearly constant."""
    draws = np.random.default_rng(0)
    layer = nn.BatchNorm2D(channels)
    for tensor, values in (
        (layer._mean, draws.normal(size=channels)),
        (layer._variance, [0.5, 1e-6, 3.0]),
        (layer.weight, [1.5, -0.2, 0.7]),
        (layer.bias, draws.normal(size=channels)),
    ):
        tensor.set_value(np.asarray(values, np.float32))
    layer.eval()
    for parameter in layer.parameters():
        parameter.stop_gradient = True
    return layer


def test_forward_is_the_same_bits_and_the_gradient_that_of_paddle() -> None:
    """Of two images, with a gradient of its own at each cell."""
    layer, draws = _learned(), np.random.default_rng(1)
    values, weights = (draws.normal(size=(2, 3, 4, 5)).astype(np.float32) for _ in range(2))
    found = []
    for context in (affine_gradients(layer), paddle.enable_grad()):
        image = paddle.to_tensor(values, stop_gradient=False)
        with context:
            output = layer(image)
        (gradient,) = paddle.grad((output * paddle.to_tensor(weights)).sum(), [image])
        found.append((output.numpy(), gradient.numpy()))
    (own, own_gradient), (plain, plain_gradient) = found
    assert np.array_equal(own, plain)
    assert np.allclose(own_gradient, plain_gradient, rtol=1e-5)
    assert "forward" not in layer.__dict__


def test_the_input_is_not_kept() -> None:
    """Nothing but the factor is needed."""
    layer = _learned()
    leaf = paddle.ones([1, 3, 4, 4])
    leaf.stop_gradient = False
    with affine_gradients(layer):
        image = leaf * 2
        seen = weakref.ref(image)
        output = layer(image)
    del image
    gc.collect()
    assert seen() is None
    (gradient,) = paddle.grad(output.sum(), [leaf])
    assert gradient.shape == leaf.shape


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.BatchNorm2D(3, use_global_stats=True), True),
        (nn.BatchNorm2D(3), False),  # it is training
        (nn.BatchNorm2D(3, data_format="NHWC", use_global_stats=True), False),
        (nn.LayerNorm(3), False),
        (nn.InstanceNorm2D(3), False),
    ],
)
def test_other_layers_are_left_alone(layer: nn.Layer, expected: bool) -> None:
    """Their statistics are those of what they are given, or they have other formats."""
    assert is_affine(layer) is expected
