"""Trackers: their detector is explained, and its boxes are those that the whole tracker works with."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from support.families import FAMILIES
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.detectors.building import build_detector, detector_of_model, weights_of
from ppdet_cam.detectors.settings import merge, parse_overrides, read_settings
from ppdet_cam.detectors.trackers import detector_settings, detector_weights
from ppdet_cam.detectors.workspace import build_model, isolated_workspace
from ppdet_cam.errors import ConfigError

TRACKERS = ("fairmot", "centertrack", "jde")


def settings_of(family):
    """The merged config of a tracker, as it is."""
    return merge(read_settings(ROOT / family.config), parse_overrides(family.overrides))


def tracker_of(name, detector):
    """ppdet's whole tracker, with the weights of the small detector within it."""
    settings = settings_of(FAMILIES[name])
    tracker = build_model(str(settings["architecture"]), settings)
    tracker.eval()
    own = {name: value.numpy() for name, value in detector.model.state_dict().items()}
    for path, value in tracker.state_dict().items():
        inner = path[len("detector.") :] if path.startswith("detector.") else path
        if inner in own:
            value.set_value(own[inner])
    return tracker


def inputs_of(detector, frame):
    """Everything that the reader says of an image, as the tracker's loader hands it on."""
    height, width = frame.original_hw
    sample = {
        "image": frame.image.copy(),
        "im_id": np.array([0]),
        "im_shape": np.array([height, width], np.float32),
        "scale_factor": np.ones(2, np.float32),
    }
    for operation in detector.reader.sample_transforms:
        sample = operation(sample)
    return {key: paddle.to_tensor(np.asarray(value)[None]) for key, value in sample.items()}


@pytest.mark.smoke
@pytest.mark.parametrize("name", TRACKERS)
def test_boxes_are_those_of_the_whole_tracker(detector_of, photo, name):
    """What is explained of a tracker are the classes, scores and boxes that it works with, in its order."""
    detector = detector_of(name)
    tracker = tracker_of(name, detector)
    with paddle.no_grad():
        found = tracker(inputs_of(detector, photo))
    if name == "centertrack":
        found = [(peak["class"] - 1, float(peak["score"]), *peak["bbox"]) for peak in found]
    else:
        found = found[0].numpy()
    own, found = detector.predict(photo), np.array(found, np.float32)
    own = own[own[:, 0] >= 0]
    count = min(len(own), len(found))  # FairMOT fills up with cells of score 0; CenterTrack leaves low scores out
    assert count >= 3
    np.testing.assert_array_equal(own[:count, :2], found[:count, :2])
    np.testing.assert_allclose(own[:count, 2:], found[:count, 2:], rtol=1e-5, atol=1e-3)
    assert not found[count:, 1].any()


@pytest.mark.parametrize("name", TRACKERS)
def test_weights_of_tracker_or_of_detector_alone(detector_of, tmp_path, caplog, name):
    """The whole tracker's weights and the detector's own fill the detector, and nothing is said to be left over."""
    seeded = detector_of(name)
    whole, alone = tmp_path / "whole.pdparams", tmp_path / "alone.pdparams"
    paddle.save(tracker_of(name, seeded).state_dict(), str(whole))
    paddle.save(seeded.model.state_dict(), str(alone))
    detector, _ = build_detector(ROOT / FAMILIES[name].config, overrides=FAMILIES[name].overrides)
    for path in (whole, alone):
        for parameter in detector.model.parameters():
            parameter.set_value(paddle.zeros_like(parameter))
        caplog.clear()
        detector.load_weights(str(path))
        assert not [record for record in caplog.records if record.levelname == "WARNING"]
        for key, value in detector.model.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), seeded.model.state_dict()[key].numpy())


def test_detector_weights_take_the_prefix_off():
    """Names below `detector.` lose it; what else the detector has by its own name stays, and the rest is left out."""
    given = {"detector.a": np.zeros(1), "reid.b": np.ones(1), "plugin_head.c": np.ones(2)}
    assert set(detector_weights(given, {"a": (1,), "plugin_head.c": (2,)})) == {"a", "plugin_head.c"}
    plain = {"a": np.zeros(1), "b": np.zeros(1)}
    assert detector_weights(plain, {"a": (1,)}) is plain


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "tracker"), [("yolox", "ByteTrack"), ("ppyoloe", "DeepSORT"), ("faster", "ByteTrack")]
)
def test_detector_within_a_tracker_is_that_detector(detector_of, photo, tmp_path, name, tracker):
    """A tracker's config gives the detections of its detector's own config, with the weights of `det_weights`."""
    seeded, family = detector_of(name), FAMILIES[name]
    weights = tmp_path / "detector.pdparams"
    paddle.save(seeded.model.state_dict(), str(weights))
    # as in configs/mot/bytetrack: the detector's sections as they are, and the tracker's beside them
    config = tmp_path / "tracker.yml"
    config.write_text(
        f"_BASE_: ['{ROOT / family.config}']\narchitecture: {tracker}\n"
        f"{tracker}: {{detector: {seeded.architecture}, reid: None, tracker: OCSORTTracker}}\n"
        f"det_weights: {weights}\nreid_weights: None\n",
        encoding="utf-8",
    )
    detector, settings = build_detector(config, overrides=family.overrides)
    assert weights_of(settings, None) == str(weights)
    assert detector.name == seeded.name
    detector.load_weights(weights_of(settings, None))
    np.testing.assert_array_equal(detector.predict(photo), seeded.predict(photo))


def test_own_reader_and_weights_of_a_tracker():
    """`TestMOTReader` comes before `TestReader`; `weights` that were set, then `det_weights`, then the config's own."""
    settings = {
        "architecture": "ByteTrack",
        "ByteTrack": {"detector": "YOLOX"},
        "TestReader": {"sample_transforms": [1]},
        "TestMOTReader": {"sample_transforms": [2]},
        "weights": "output/model_final",
        "det_weights": "detector.pdparams",
    }
    found = detector_settings(settings, changed={})
    assert (found["architecture"], found["TestReader"], found["weights"]) == (
        "YOLOX",
        {"sample_transforms": [2]},
        "detector.pdparams",
    )
    assert detector_settings(settings, changed={"weights": "mine"})["weights"] == "output/model_final"
    assert detector_settings({**settings, "det_weights": "None"}, changed={})["weights"] == "output/model_final"
    del settings["ByteTrack"]
    assert detector_settings(settings, changed={})["architecture"] == "YOLOX"  # ppdet's own default
    assert detector_settings({"architecture": "YOLOX"}, changed={}) == {"architecture": "YOLOX"}


def test_tracker_without_a_detector_is_refused():
    """DeepSORT can read its boxes from a file: there is no detector, and that is said."""
    settings = {"architecture": "DeepSORT", "DeepSORT": {"detector": "None"}, "filename": "reid.yml"}
    with pytest.raises(ConfigError, match="'reid.yml' is of a DeepSORT without a detector: it reads its boxes"):
        detector_settings(settings, changed={})


def test_jde_detector_of_deepsort(detector_of, photo):
    """DeepSORT's JDE detector gives no embeddings and asks for no index; its boxes are the same."""
    family = FAMILIES["jde"]
    overrides = (
        "architecture=DeepSORT",
        "DeepSORT={detector: YOLOv3, reid: PCBPyramid, tracker: DeepSORTTracker}",
        "YOLOv3.for_mot=False",
        "JDEBBoxPostProcess.return_idx=False",
        "JDEBBoxPostProcess.nms.return_index=False",
    )
    detector, _ = build_detector(ROOT / family.config, overrides=(*family.overrides, *overrides))
    detector.model.set_state_dict(detector_of("jde").model.state_dict())
    np.testing.assert_array_equal(detector.predict(photo), detector_of("jde").predict(photo))
    explanations = Explainer(detector, draw_threshold=0.5, top_k=1)(photo)
    assert len(explanations) == 1 and explanations[0].heatmap.any()


def test_jde_without_a_box_above_its_threshold_finds_nothing(detector_of, photo):
    """ppdet's made-up box of class -1 is no detection."""
    detector = detector_of("jde")
    decode = detector.model.post_process.decode
    before = decode.conf_thresh
    decode.conf_thresh = 1.0
    try:
        result = Explainer(detector, draw_threshold=0.0)(photo)
    finally:
        decode.conf_thresh = before
    assert result.detections == () and len(result) == 0


@pytest.mark.parametrize("name", TRACKERS)
def test_tracker_in_memory_is_explained_as_from_its_files(detector_of, photo, name):
    """A model that ppdet built gives its detector's boxes, and is left as it was."""
    seeded, settings = detector_of(name), settings_of(FAMILIES[name])
    tracker = tracker_of(name, seeded)
    layers = [path for path, _ in tracker.named_sublayers()]
    with isolated_workspace():
        detector = detector_of_model(tracker, settings)
    np.testing.assert_array_equal(detector.predict(photo), seeded.predict(photo))
    assert [path for path, _ in tracker.named_sublayers()] == layers
