"""Exports whose graph holds no NMS: which boxes they give, and what the NMS that is done here keeps of them."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.detectors.deployed.detector import build_deployed, rows_as_array
from ppdet_cam.detectors.deployed.raw import PicoDetNms, PpdetNms, Raw, raw_of, suppression_of
from ppdet_cam.detectors.settings import read_settings
from ppdet_cam.errors import ConfigError
from ppdet_cam.images.reading import frame_of
from ppdet_cam.places import PROJECT_ROOT
from ppdet_cam.structures import Frame
from tests.detectors.test_deployed import config_detector
from tests.support.exporting import export, export_demo

SCENE = PROJECT_ROOT / "demo/drawn/scene_1.jpg"
# a network image of 32 x 64 pixels, of an original half as high and a quarter as wide
INPUTS = {
    "image": np.zeros((1, 3, 32, 64), np.float32),
    "im_shape": np.array([[32, 64]], np.float32),
    "scale_factor": np.array([[2.0, 4.0]], np.float32),
}
BOXES = np.array([[[0, 0, 8, 8], [0, 0, 8, 7], [16, 16, 40, 32]]], np.float32)
SCORES = np.array([[[0.9, 0.8, 0.1], [0.2, 0.3, 0.7]]], np.float32)


def raw(*outputs: np.ndarray, is_scaled: bool = False, strides: tuple[int, ...] = (8, 16)) -> Raw:
    found = raw_of(outputs, INPUTS, is_scaled=is_scaled, strides=strides, classes=2)
    assert found is not None and len(found) == 1
    return found[0]


@pytest.mark.parametrize("outputs", [(BOXES, SCORES), (np.concatenate([BOXES, SCORES.transpose(0, 2, 1)], axis=2),)])
def test_boxes_and_scores_beside_or_in_one(outputs: tuple[np.ndarray, ...]) -> None:
    """Of a graph that does not know how the image was scaled, the boxes are of the network's image."""
    found = raw(*outputs)
    assert found.boxes_xyxy.tolist()[2] == [4.0, 8.0, 10.0, 16.0]
    assert np.allclose(found.scores, SCORES[0].T)
    assert raw(*outputs, is_scaled=True).boxes_xyxy.tolist()[2] == [16.0, 16.0, 40.0, 32.0]


@pytest.mark.parametrize(
    "outputs",
    [
        (np.zeros((1, 3, 6)),),  # rows of class, score and box, of a graph with its NMS
        (np.zeros((1, 3, 7)),),
        (np.zeros((3, 6), np.float32), np.array([3], np.int32)),
        (np.zeros((1, 10, 4)), np.zeros((1, 10, 2))),  # queries, whose scores no NMS goes with
        (np.zeros(()), np.zeros(())),
        (),
    ],
)
def test_other_outputs_are_no_raw_boxes(outputs: tuple[np.ndarray, ...]) -> None:
    """They are rows of detections, or refused."""
    assert raw_of(outputs, INPUTS, is_scaled=False, strides=(8, 16), classes=2) is None


def test_picodets_levels_are_decoded_from_the_middle_of_each_cell() -> None:
    """All certain of the second bin: a box of one stride to each side."""
    scores = [np.full((1, 32, 2), 0.5), np.full((1, 8, 2), 0.5)]
    distances = [np.tile([-50.0, 50.0], 4) * np.ones((1, cells, 8)) for cells in (32, 8)]
    found = raw(*scores, *distances)
    assert found.lengths == (32, 8) and found.limits_wh == (16.0, 16.0)
    assert found.boxes_xyxy[0].tolist() == [-1.0, -2.0, 3.0, 6.0]  # of -4, -4, 12, 12 in the network's image
    assert found.boxes_xyxy[-1].tolist() == [10.0, 4.0, 18.0, 20.0]


@pytest.mark.parametrize("strides", [(8, 15), (16, 8), (1, 1), (8, 2**30)])
def test_levels_of_other_strides_are_refused(strides: tuple[int, ...]) -> None:
    """The deployment file may be another model's."""
    outputs = [np.zeros((1, cells, numbers)) for numbers in (2, 8) for cells in (32, 8)]
    with pytest.raises(ConfigError, match=r"fpn_stride .* is \[.*gives scores \[1, .*Give the strides of its levels"):
        raw(*outputs, strides=strides)


def test_an_nms_keeps_one_of_boxes_that_overlap() -> None:
    """Both say which rows they kept."""
    found = Raw(BOXES[0], SCORES[0].T, (30.0, 30.0), (3,))
    for nms in (
        suppression_of(
            {"name": "MultiClassNMS", "score_threshold": 0.4, "nms_threshold": 0.5}, Path("f"), of_levels=False
        ),
        suppression_of(None, Path("f"), of_levels=True),
    ):
        rows, kept = nms.kept(found)
        assert (rows[:, 0].tolist(), kept.tolist()) == ([0.0, 1.0], [0, 2])
        assert np.allclose(rows[:, 1], [0.9, 0.7])
    assert rows[1, 2:].tolist() == [16.0, 16.0, 30.0, 30.0]  # PicoDet's is clipped to the image
    assert suppression_of(None, Path("f"), of_levels=False).rule.score_threshold == 0.05  # ppdet's own


def test_an_nms_that_lowers_scores_tells_the_rows_too() -> None:
    """MatrixNMS, with its own words."""
    named = {"name": "MatrixNMS", "score_threshold": 0.05, "post_threshold": 0.05, "background_label": -1}
    nms = suppression_of(named, Path("f"), of_levels=False)
    assert isinstance(nms, PpdetNms) and nms.rule.iou_threshold is None
    rows, kept = nms.kept(Raw(BOXES[0], SCORES[0].T))
    own = SCORES[0][rows[:, 0].astype(int), kept]
    assert (rows[:, 1] <= own + 1e-6).all() and (rows[:, 1] < own - 0.1).any()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (3, "NMS must be its numbers by their names"),
        ({"name": "SoftNMS"}, "NMS 'SoftNMS' is not known.*Known: MultiClassNMS, MatrixNMS"),
        ({"score_treshold": 0.1}, "cannot be made of"),
        ({"nms_threshold": "half"}, "nms_threshold must be a number, not 'half'"),
        ({"score_threshold": float("nan")}, "score_threshold must be a number, not nan"),
        ({"nms_threshold": 10**400}, "nms_threshold must be a number, not 10000"),
        ({"keep_top_k": 1.5}, r"keep_top_k must be a whole number, not 1\.5"),
        ({"nms_top_k": 2**31}, "nms_top_k must be a whole number, not 2147483648"),
        ({"normalized": 1}, "normalized must be true or false, not 1"),
        (
            {"name": "MatrixNMS", "nms_top_k": 0},
            r"nms_top_k of MatrixNMS is 0, over which paddle ends .*-1 for all",
        ),
        ({"name": "MatrixNMS", "nms_threshold": 0.5}, "MatrixNMS cannot be made of"),
    ],
)
def test_an_nms_that_is_none_is_refused(named: object, words: str) -> None:
    """With what it may be."""
    with pytest.raises(ConfigError, match=words):
        suppression_of(named, Path("infer_cfg.yml"), of_levels=False)


def test_without_boxes_nothing_is_kept() -> None:
    """Neither NMS stumbles."""
    nothing = Raw(BOXES[0], np.zeros((3, 2)), lengths=(3,))
    for nms in (PicoDetNms(0.5), suppression_of({"score_threshold": 0.1}, Path("f"), of_levels=False)):
        rows, kept = nms.kept(nothing)
        assert len(kept) == 0 and (rows[:, 0] >= 0).sum() == 0


def test_an_export_without_nms_finds_what_its_config_finds(tmp_path: Path) -> None:
    """By the config's NMS, written into the deployment file; one image or several at a time."""
    folder = export_demo("ppyoloe", tmp_path, exclude_nms=True)
    frame, plain = frame_of(SCENE), config_detector("ppyoloe").predict(frame_of(SCENE))
    named = "NMS: {name: MultiClassNMS, score_threshold: 0.01, nms_threshold: 0.6, nms_top_k: 400, keep_top_k: 100}\n"
    file = folder / "infer_cfg.yml"
    file.write_text(file.read_text(encoding="utf-8") + named, encoding="utf-8")
    for found in build_deployed(folder).detect([frame, frame]):
        assert found.candidates is not None and len(found.candidates.scores) == 1344
        assert np.allclose(rows_as_array(found.detections), plain, atol=2e-3)
        assert set(found.rows) == {one.index for one in found.detections}


def test_a_deployment_file_of_another_export_is_told_by_the_size_of_its_images(tmp_path: Path) -> None:
    """In either form of graph."""
    folder = export_demo("ssd", tmp_path, TestReader=_with_image_shape("ssd", [3, 256, 256]))
    file = folder / "infer_cfg.yml"
    file.write_text(file.read_text(encoding="utf-8").replace("- 256", "- 320"), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"takes images of \[-1, 3, 256, 256\].*makes \[1, 3, 320, 320\].*two exports"
    ):
        build_deployed(folder).detect([Frame(np.zeros((9, 9, 3), np.uint8))])


def _with_image_shape(name: str, image_shape: list[int]) -> dict[str, object]:
    reader = dict(read_settings(PROJECT_ROOT / f"configs/demo/{name}.yml")["TestReader"])
    return {**reader, "inputs_def": {"image_shape": image_shape}}


@pytest.mark.real_weights
@pytest.mark.slow
def test_picodets_levels_are_kept_as_deploy_python_keeps_them(tmp_path: Path) -> None:
    """PaddleDetection's own NMS in numpy, given the same outputs, gives the same rows."""
    scripts = Path(os.environ.get("PPDET_CAM_CHECKOUTS", "")) / "v2.6.0/deploy/python"
    weights = Path(os.environ.get("PPDET_CAM_REAL", "")) / "picodet_xs_320_coco_lcnet.pdparams"
    if not os.environ.get("PPDET_CAM_CHECKOUTS") or not scripts.is_dir() or not weights.is_file():
        pytest.skip("no checkout v2.6.0 in PPDET_CAM_CHECKOUTS, or no PicoDet in PPDET_CAM_REAL")
    config = PROJECT_ROOT / "configs/picodet/picodet_xs_320_coco_lcnet.yml"
    whole = export(config, weights, tmp_path / "whole")
    levels = build_deployed(export(config, weights, tmp_path / "levels", export={"post_process": False}))
    frame = frame_of(PROJECT_ROOT / "demo/astronaut.jpg")
    assert levels.takes_one
    inputs = levels.prepared([frame])
    outputs = levels.run(inputs)
    sys.path.insert(0, str(scripts))
    try:
        theirs = importlib.import_module("picodet_postprocess").PicoDetPostProcess(
            inputs["image"].shape[2:], inputs["im_shape"], inputs["scale_factor"], strides=[8, 16, 32, 64]
        )
    finally:
        sys.path.remove(str(scripts))
    rows, _ = theirs(outputs[:4], outputs[4:])
    found, _ = levels.detect([frame, frame])
    assert len(rows) and np.allclose(rows_as_array(found.detections), rows, atol=1e-4)
    # the same boxes as of the graph that holds its NMS
    (best,) = (one for one in build_deployed(whole).detect([frame])[0].detections if one.score > 0.8)
    assert np.allclose(rows_as_array([best]), rows[:1], atol=0.5)
