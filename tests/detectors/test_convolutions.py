"""Gradients through convolutions that skip the zeros are those of paddle."""

from __future__ import annotations

import contextlib

import numpy as np
import paddle
import pytest
from paddle import nn
from support.families import FAMILIES
from support.gradient_checks import (
    THRESHOLD,
    features_of,
    forward_of,
    gradients_of,
    score_from_backbone,
    slope,
    target_of,
)

from ppdet_cam.detectors import convolutions
from ppdet_cam.detectors import detector as detector_module
from ppdet_cam.detectors.convolutions import input_gradient, kernel_taps, window, windowed_gradients
from ppdet_cam.explaining.explainer import Explainer
from ppdet_cam.structures import Quantity

RELATIVE = 1e-5


@pytest.fixture
def every_size(monkeypatch):
    """Small convolutions get the windowed gradient as well."""
    monkeypatch.setattr(convolutions, "LEAST", 0)


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a part of the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def test_input_gradient_of_one_cell_is_the_kernel_turned_around():
    """One cell's gradient reaches the 3 x 3 cells that it was computed from, each by its own weight."""
    weight = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    given = np.zeros((1, 1, 4, 5), np.float32)
    given[0, 0, 1, 3] = 2
    found = input_gradient(given, kernel_taps(weight), (1, 1, 4, 5), padding=(1, 1))
    wanted = np.zeros((4, 5), np.float32)
    wanted[0:3, 2:5] = 2 * weight[0, 0]
    np.testing.assert_array_equal(found[0, 0], wanted)


def test_window_holds_all_that_is_not_zero():
    """The window spans images and channels; minus zero is zero."""
    gradient = np.full((2, 3, 6, 7), -0.0, np.float32)
    assert window(gradient) == (slice(0, 0), slice(0, 0))
    gradient[0, 2, 4, 1] = -1e-38
    gradient[1, 0, 2, 3] = np.nan
    assert window(gradient) == (slice(2, 5), slice(1, 4))


def test_input_gradient_of_zeros_is_zero():
    """Nothing comes of nothing, also without a window."""
    taps = kernel_taps(np.ones((2, 3, 3, 3), np.float32))
    found = input_gradient(np.zeros((1, 2, 4, 4), np.float32), taps, (1, 3, 4, 4), padding=(1, 1))
    assert found.shape == (1, 3, 4, 4) and not found.any()


@pytest.mark.parametrize("cells", ["one", "corner", "some", "all"])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 2},
        {"kernel_size": (1, 5), "padding": (0, 2), "stride": (1, 2)},
        {"kernel_size": 5, "padding": 2, "groups": 4},
        {"kernel_size": 2, "stride": 3},
    ],
)
def test_layer_has_the_value_and_the_gradient_of_paddle(every_size, options, cells):
    """Bit for bit in the forward, to float32 in the gradient, for several images at once."""
    paddle.seed(3)
    layer = nn.Conv2D(4, 8, bias_attr=True, **options)
    for parameter in layer.parameters():
        parameter.stop_gradient = True
    results = []
    for context in (windowed_gradients(layer), contextlib.nullcontext()):
        image = paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 4, 11, 13)).astype(np.float32))
        image.stop_gradient = False
        with context:
            output = layer(image)
        chosen = np.zeros(output.shape, np.float32)
        place = {"one": (1, 3, 2, 1), "corner": (0, 0, -1, -1), "some": (slice(None), 1, slice(2), 1), "all": ...}[
            cells
        ]
        chosen[place] = np.random.default_rng(2).normal(size=chosen[place].shape)
        (gradient,) = paddle.grad(output, image, paddle.to_tensor(chosen))
        results.append((output.numpy(), gradient.numpy()))
    (value, gradient), (plain_value, plain_gradient) = results
    np.testing.assert_array_equal(value, plain_value)
    np.testing.assert_allclose(gradient, plain_gradient, atol=RELATIVE * np.abs(plain_gradient).max(), rtol=RELATIVE)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "SAME"},
        {"padding": [1, 0, 2, 1]},
        {"padding": 1, "padding_mode": "reflect"},
        {"data_format": "NHWC"},
    ],
)
def test_other_convolutions_keep_the_gradient_of_paddle(options):
    """Paddings and formats that this module does not know are left alone."""
    layer = nn.Conv2D(4, 4, 3, **options)
    with windowed_gradients(layer):
        assert "forward" not in layer.__dict__


def test_context_leaves_the_model_as_it_was():
    """No method stays replaced, also after an error."""
    model = nn.Sequential(nn.Conv2D(3, 4, 3), nn.Conv2D(4, 4, 3))
    with contextlib.suppress(RuntimeError), windowed_gradients(model):
        assert all("forward" in layer.__dict__ for layer in model)
        raise RuntimeError
    assert not any("forward" in layer.__dict__ for layer in model)


@pytest.mark.parametrize("text", ["class", "box"])
@pytest.mark.parametrize("name", FAMILIES)
def test_detector_has_the_gradients_of_paddle(detector_of, photo, every_size, monkeypatch, name, text):
    """For every level of every layer, and for each side of the box; detections and activations are the same bits."""
    detector = detector_of(name)
    if text == "box" and Quantity.BOXES not in detector.extractor.quantities:
        pytest.skip("its boxes are those around its masks")
    layers = list(detector.layers(FAMILIES[name].layers)[0])
    wanted = Quantity.BOXES if text == "box" else Quantity.PROBABILITIES
    forward, chosen, _ = forward_of(detector, photo, layers, wanted=wanted)
    for saving in ("windowed_gradients", "affine_gradients"):
        monkeypatch.setattr(detector_module, saving, lambda model: contextlib.nullcontext())
    plain, plain_chosen, _ = forward_of(detector, photo, layers, wanted=wanted)
    assert chosen == plain_chosen
    target = target_of(detector, text)
    compared = 0
    for detection in [box for box in chosen if THRESHOLD <= box.score < 0.99][:3]:
        kept = forward.kept[detection.index]
        for found, wanted in zip(features_of(forward, kept, target, layers), features_of(plain, kept, target, layers)):
            for one, other in zip(found, wanted):
                np.testing.assert_array_equal(one.activations, other.activations)
                assert (one.gradients is None) == (other.gradients is None)
                if one.gradients is not None and other.gradients.any():
                    assert relative_error(one.gradients, other.gradients) < RELATIVE
                    compared += 1
    assert compared > 0


WITHOUT_GRADIENT = ("yolov3", "ppyolo")  # ppdet's own operator for their boxes and scores


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in WITHOUT_GRADIENT])
def test_all_savings_together_give_the_gradient_of_the_plain_way(detector_of, photo, every_size, name):
    """The score in ppdet's own head of all levels, or of all proposals, differentiated by paddle alone."""
    detector = detector_of(name)
    forward, chosen, _ = forward_of(detector, photo)
    kept = forward.kept[max(chosen, key=lambda box: slope(box.score)).index]
    (found,) = features_of(forward, kept, target_of(detector))
    leaves = [paddle.to_tensor(feature.activations[None], stop_gradient=False) for feature in found]
    if hasattr(detector.model, "bbox_head"):
        _, rois, count, inputs = forward.watch.inputs[detector.model.bbox_head][0][:4]
        (_, scores), _ = detector.model.bbox_head(detector.model.neck(leaves), rois, count, inputs)
        score = scores[kept.row, kept.class_id]
    else:
        score = score_from_backbone(detector, leaves, forward, kept)
    wanted = paddle.grad(score, leaves, allow_unused=True)
    largest = max(float(gradient.abs().max()) for gradient in wanted if gradient is not None)
    for given, plain in zip(gradients_of(found), wanted):
        plain = np.zeros_like(given) if plain is None else plain.numpy()[0]
        np.testing.assert_allclose(given, plain, atol=RELATIVE * largest, rtol=RELATIVE)


def test_ctrl_c_in_a_gradient_is_ctrl_c(monkeypatch, detector_of, photo):
    """Paddle turns it into an error of its own, which is turned back."""

    monkeypatch.setattr(
        "ppdet_cam.explaining.gradients.paddle.grad", _raising(OSError("(External) KeyboardInterrupt: "))
    )
    explainer = Explainer(detector_of("ssd"), draw_threshold=0.0, top_k=1)
    with pytest.raises(KeyboardInterrupt):
        explainer(photo)


def _raising(error: Exception):
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
