"""The Python API on a small seeded detector."""

from __future__ import annotations

import cv2
import numpy as np
import paddle
import pytest
from conftest import ROOT

from ppdet_cam import Explainer
from ppdet_cam.errors import ConfigError, ImageError, LayerError, UnknownNameError
from ppdet_cam.explainer import weights_of

CONFIG = ROOT / "configs/face_detection/blazeface_1000e.yml"
PHOTO = ROOT / "demo/coffee.jpg"


@pytest.fixture(scope="module")
def weights(seeded_weights):
    """Seeded BlazeFace weights in a file."""
    return seeded_weights[CONFIG]


@pytest.fixture(scope="module")
def explainer(weights):
    """An explainer as users make it."""
    return Explainer.from_config(CONFIG, weights=weights)


@pytest.mark.smoke
def test_path_and_array_give_the_same(explainer):
    """A file and its pixels as an array give the same explanations; maps are raw float32 in image pixels."""
    from_file = explainer(PHOTO)
    from_array = explainer(cv2.imread(str(PHOTO))[..., ::-1])
    assert len(from_file) == len(from_array) > 0
    for one, other in zip(from_file, from_array):
        assert one.detection == other.detection
        assert one.heatmap.dtype == np.float32 and one.heatmap.shape == from_file.frame.original_hw
        np.testing.assert_array_equal(one.heatmap, other.heatmap)
    assert from_file.frame.path == PHOTO and from_array.frame.path is None
    assert from_file[0] is from_file.explanations[0]
    assert from_file.highest_score == max(detection.score for detection in from_file.detections)


def test_explaining_twice_gives_the_same(explainer):
    """Nothing is carried from one call to the next."""
    for one, other in zip(explainer(PHOTO), explainer(PHOTO)):
        np.testing.assert_array_equal(one.heatmap, other.heatmap)


def test_one_layer_may_be_given_as_text(weights):
    """A single dotted path needs no list around it."""
    explainer = Explainer.from_config(CONFIG, weights=str(weights), layers="model.neck")
    assert explainer.layers == ("model.neck",)
    assert explainer(PHOTO)[0].layers == ("model.neck",)


def test_stream_makes_explanations_as_they_are_asked_for(explainer):
    """The stream gives the call's explanations, one at a time."""
    stream = explainer.stream(PHOTO)
    first = next(stream.explanations)
    assert first.detection in stream.detections
    np.testing.assert_array_equal(first.heatmap, explainer(PHOTO)[0].heatmap)


def test_threshold_chooses_the_boxes(weights):
    """Exactly the detections with at least the threshold's score are explained, in the detector's order."""
    result = Explainer.from_config(CONFIG, weights=weights, draw_threshold=0.4)(PHOTO)
    wanted = [detection for detection in result.detections if detection.score >= 0.4]
    assert [explanation.detection for explanation in result] == wanted != []


def test_overrides_may_be_a_mapping(weights):
    """Settings are changed by ppdet's key=value texts or by a mapping."""
    for overrides in (["use_gpu=false", f"weights={weights}"], {"use_gpu": False, "weights": str(weights)}):
        assert Explainer.from_config(CONFIG, overrides=overrides).detector.weights == weights


def test_it_works_where_gradients_are_switched_off(explainer):
    """A caller's `paddle.no_grad` does not take the graph away."""
    with paddle.no_grad():
        inside = explainer(PHOTO)
    np.testing.assert_array_equal(inside[0].heatmap, explainer(PHOTO)[0].heatmap)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": []}, ConfigError, "layers must be dotted paths"),
        ({"layers": [3]}, ConfigError, "layers must be dotted paths"),
        ({"layers": "model.nek"}, LayerError, "did you mean 'model.neck'"),
        ({"method": "gradcamm"}, UnknownNameError, "did you mean 'gradcam'"),
        ({"draw_threshold": 1.5}, ConfigError, "between 0 and 1, not 1.5"),
        ({"draw_threshold": float("nan")}, ConfigError, "between 0 and 1, not nan"),
        ({"overrides": {"wieghts": "x"}}, ConfigError, "did you mean 'weights'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_by_name(weights, arguments, error, message):
    """A wrong argument raises the package's own error, which is also the fitting builtin."""
    with pytest.raises(error, match=message):
        Explainer.from_config(CONFIG, weights=weights, **arguments)


def test_wrong_image_is_refused(explainer):
    """An array that is no image is refused with its shape and dtype."""
    with pytest.raises(ImageError, match="float"):
        explainer(np.zeros((10, 10, 3)))


def test_config_without_weights_is_refused():
    """A config that names no weights says how to give them."""
    with pytest.raises(ConfigError, match="-o weights="):
        weights_of({"filename": "mine"}, None)
