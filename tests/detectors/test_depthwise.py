"""Depthwise convolutions by OpenCV equal paddle's, and are in place only while altered images run."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_cam.detectors import depthwise as module
from ppdet_cam.detectors.depthwise import LEAST, depthwise, fast_depthwise, is_depthwise


@pytest.mark.parametrize(
    ("kernel", "padding"), [(1, 0), (3, 0), (3, 1), (3, (1, 0)), (5, 0), (5, 1), (5, 2), (5, (2, 1))]
)
@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
@pytest.mark.parametrize("size", [(7, 9), (8, 8)])
def test_values_equal_paddles(kernel, stride, padding, size):
    """For strides, paddings and sizes of either parity; to the rounding of sums of 25 products."""
    generator = np.random.default_rng(0)
    image = generator.normal(size=(2, 3, *size)).astype(np.float32)
    layer = nn.Conv2D(3, 3, kernel, stride=stride, padding=padding, groups=3, bias_attr=False)
    found = depthwise(
        image,
        layer.weight.numpy()[:, 0],
        stride=tuple(np.broadcast_to(stride, 2)),
        padding=tuple(np.broadcast_to(padding, 2)),
    )
    np.testing.assert_allclose(found, layer(paddle.to_tensor(image)).numpy(), rtol=0, atol=1e-5)


def test_model_runs_the_same_and_gets_its_own_layers_back(monkeypatch):
    """Large depthwise layers, with bias or without, give the same values by another forward; it is gone afterwards."""
    model = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1),
        nn.Conv2D(8, 8, 5, padding=2, groups=8),
        nn.Conv2D(8, 8, 3, padding=1, stride=2, groups=8, bias_attr=False),
    )
    assert [is_depthwise(layer) for layer in model] == [False, True, True]
    image = paddle.to_tensor(np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32))
    assert 64 * 64 * 9 / 4 < LEAST < 64 * 64 * 25  # one of the two is large enough
    shapes = []

    def noted(image, kernels, **places):
        shapes.append(kernels.shape)
        return depthwise(image, kernels, **places)

    monkeypatch.setattr(module, "depthwise", noted)
    with paddle.no_grad():
        own = model(image).numpy()
        with fast_depthwise(model):
            found = model(image).numpy()
    assert not any("forward" in layer.__dict__ for layer in model)
    np.testing.assert_allclose(found, own, rtol=0, atol=1e-5)
    assert shapes == [(8, 5, 5)]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2D(4, 8, 3, groups=4),
        nn.Conv2D(4, 4, 3, groups=2),
        nn.Conv2D(4, 4, 3, groups=4, dilation=2),
        nn.Conv2D(4, 4, 2, groups=4),
        nn.Conv2D(4, 4, (3, 5), groups=4),
    ],
)
def test_other_convolutions_are_left_alone(layer):
    """Several outputs per channel, shared channels, gaps, and kernels without a middle."""
    assert not is_depthwise(layer)
