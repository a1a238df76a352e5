"""The Python API on a small seeded detector."""

from __future__ import annotations

import cv2
import numpy as np
import paddle
import pytest
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.detectors.building import weights_of
from ppdet_cam.errors import ConfigError, ImageError, LayerError, UnknownNameError
from ppdet_cam.structures import MapStatus

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


# --- asked otherwise for one image


@pytest.fixture(scope="module")
def ssd(detector_of):
    """An explainer of a seeded detector with several classes."""
    return Explainer(detector_of("ssd"), draw_threshold=0.3)


def test_call_may_ask_otherwise_for_one_image(ssd, photo):
    """Every part of the question can be changed for one call, and the next call asks what it asked before."""
    before = ssd(photo)
    changed = ssd(photo, layers="model.backbone@1,model.backbone@0", method="odam", target="logit", draw_threshold=0.5)
    assert {(e.method, e.target) for e in changed} == {("odam", "logit")}
    assert {tuple(level.level for level in e.levels) for e in changed} == {(0, 1)}
    assert [e.detection for e in changed] == [e.detection for e in before if e.detection.score >= 0.5]
    again = ssd(photo)
    assert [e.detection for e in again] == [e.detection for e in before]
    for one, other in zip(before, again):
        assert (one.method, one.target, one.layers) == (other.method, other.target, other.layers)
        np.testing.assert_array_equal(one.heatmap, other.heatmap)


def test_choice_of_boxes_changes_no_map(ssd, photo):
    """The best boxes, those of a class and those of given rows are the same explanations as among all."""
    everything = {e.detection.index: e for e in ssd(photo)}
    best = sorted(everything.values(), key=lambda e: -e.detection.score)[:2]
    first = next(iter(everything.values())).detection
    of_class = {index for index, e in everything.items() if e.detection.class_id == first.class_id}
    assert len(everything) > len(of_class)
    for chosen, wanted in (
        (ssd(photo, top_k=2), {e.detection.index for e in best}),
        (ssd(photo, classes=[first.class_name]), of_class),
        (ssd(photo, classes=[first.class_id]), of_class),
        (ssd(photo, box_index=[first.index], draw_threshold=1.0), {first.index}),
    ):
        assert {e.detection.index for e in chosen} == wanted
        for explanation in chosen:
            alone = everything[explanation.detection.index]
            np.testing.assert_array_equal(explanation.heatmap, alone.heatmap)
            assert explanation.levels == alone.levels


def test_level_alone_gives_its_part_of_the_whole_map(ssd, photo):
    """The levels' maps add up to the map of the layer, each with the share that the whole told for it."""
    (whole,) = ssd(photo, top_k=1, method="layercam")
    parts = [
        ssd(photo, top_k=1, method="layercam", layers=f"model.backbone@{level.level}")[0] for level in whole.levels
    ]
    total = sum(float(part.heatmap.sum()) for part in parts)
    np.testing.assert_allclose(
        sum(part.heatmap for part in parts), whole.heatmap, rtol=1e-4, atol=1e-6 * whole.heatmap.max()
    )
    for part, level in zip(parts, whole.levels):
        assert len(part.levels) == 1 and part.levels[0].level == level.level
        assert part.heatmap.any() == (level.share > 0)
    assert total > 0


def test_box_target_combines_the_four_sides(ssd, photo):
    """Each side's map divided by its own maximum, and the highest at every pixel."""
    (combined,) = ssd(photo, top_k=1, target="box")
    sides = [ssd(photo, top_k=1, target=f"box:{side}")[0] for side in ("left", "top", "right", "bottom")]
    shown = [side.heatmap / side.heatmap.max() for side in sides if side.status is MapStatus.OK]
    assert combined.target == "box" and len(shown) > 1
    np.testing.assert_allclose(combined.heatmap, np.maximum.reduce(shown), rtol=1e-5, atol=1e-7)


def test_contrast_is_the_difference_of_two_classes(ssd, photo):
    """Against the own class there is nothing to contrast: all gradients are zero."""
    (explanation,) = ssd(photo, top_k=1)
    own = explanation.detection.class_name
    (nothing,) = ssd(photo, top_k=1, target=f"contrast:{own}")
    assert nothing.status is MapStatus.ZERO_GRADIENT and not nothing.heatmap.any()
    other = next(name for name in ssd.detector.class_names if name != own)
    (against,) = ssd(photo, top_k=1, target=f"contrast:{other}")
    assert against.detection == explanation.detection
    assert not np.allclose(against.heatmap, explanation.heatmap)


def test_what_an_explainer_is_made_for_is_checked_at_once(detector_of):
    """A layer, class, target or number that does not fit is refused before any image is read."""
    detector = detector_of("ssd")
    for arguments, error, message in (
        ({"layers": "model.nek"}, LayerError, "no layer 'model.nek'"),
        ({"layers": "model.backbone@x"}, LayerError, "a level is a number from 0"),
        ({"target": "iou"}, ConfigError, "has not. It has"),
        ({"target": "other:zebra"}, UnknownNameError, "no class 'zebra'"),
        ({"classes": ["zebra"]}, UnknownNameError, "no class 'zebra'"),
        ({"top_k": 0}, ConfigError, "--top_k must be at least 1"),
        ({"samples": 0}, ConfigError, "--samples must be at least 1"),
        ({"batch": 0}, ConfigError, "--batch_size must be at least 1"),
        ({"seed": -1}, ConfigError, "--seed must be 0 or more"),
        ({"method": "drise", "target": "logit"}, ConfigError, "--target must be 'class'"),
    ):
        with pytest.raises(error, match=message):
            Explainer(detector, **arguments)


# --- what is refused


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
