"""The whole chain on really trained weights: the released BlazeFace and two photographs with a face each."""

from __future__ import annotations

import json

import cv2
import numpy as np
import paddle
import pytest
from support.gradient_checks import features_of, target_of
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.commands.cam_ppdet import main
from ppdet_cam.evaluation.altered import AlteredImages
from ppdet_cam.images.reading import read_image
from ppdet_cam.metrics import curves
from ppdet_cam.running.noticing import is_of_blind_layers
from ppdet_cam.structures import MapStatus

pytestmark = pytest.mark.real_weights

CONFIG = ROOT / "configs/face_detection/blazeface_1000e.yml"
# what plain ppdet inference finds
FACES = {
    "hrnet_demo.jpg": (0.998, (169.2, 40.0, 196.5, 73.6)),
    "000000014439.jpg": (0.978, (527.9, 120.5, 542.3, 138.4)),
}


@pytest.fixture(scope="module")
def explainer(real_folder):
    """BlazeFace with its released weights."""
    return Explainer.from_config(CONFIG, weights=real_folder / "blazeface_1000e.pdparams", method="gradcam")


def in_box(heatmap: np.ndarray, box_xyxy: tuple[float, float, float, float]) -> tuple[float, bool]:
    """The part of the energy inside the box, and whether the peak lies inside."""
    left, top, right, bottom = box_xyxy
    rows, columns = (np.arange(length) + 0.5 for length in heatmap.shape)
    inside = ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))[None, :]
    return float(heatmap[inside].sum() / heatmap.sum()), bool(inside.ravel()[heatmap.argmax()])


def test_faces_are_explained_by_themselves(explainer, real_folder, capsys):
    """Each face's map peaks in its box; on average 80 % of the energy lies inside, on each at least 65 %."""
    energies = []
    for name, (score, box_xyxy) in FACES.items():
        result = explainer(real_folder / name)
        (explanation,) = result.explanations
        assert explanation.detection.class_name == "face"
        assert explanation.detection.score == pytest.approx(score, abs=1e-3)
        assert explanation.detection.box_xyxy == pytest.approx(box_xyxy, abs=0.1)
        assert explanation.status is MapStatus.OK
        energy, peak_inside = in_box(explanation.heatmap, explanation.detection.box_xyxy)
        assert peak_inside
        assert energy >= 0.65
        energies.append(energy)
        with capsys.disabled():
            print(f"\n{name}: energy in box {energy:.3f}, levels {[round(x.share, 3) for x in explanation.levels]}")
    assert np.mean(energies) >= 0.80


def test_refined_faces_keep_to_the_face(explainer, real_folder):
    """A refined map has more of its energy in the box than the map as it is, 90 % at least, and peaks inside."""
    for name in FACES:
        plain, refined = (explainer(real_folder / name, method="layercam", refine_by=by)[0] for by in ((), "auto"))
        box_xyxy = plain.detection.box_xyxy
        energy, peak_inside = in_box(refined.heatmap, box_xyxy)
        assert peak_inside
        assert energy > max(0.9, in_box(plain.heatmap, box_xyxy)[0])
        assert refined.refined_by == ("model.backbone.blaze_1", "model.backbone.blaze_4")


def test_gradients_equal_finite_differences(explainer, real_folder):
    """On the released weights, single activations' gradients equal central differences of the score."""
    detector = explainer.detector
    forward = detector.forward(read_image(real_folder / "hrnet_demo.jpg"), detector.layers(["model.backbone"])[0])
    detection = forward.detections[0]
    kept = forward.kept[detection.index]
    (features,) = features_of(forward, kept, target_of(detector))

    def score(values: list[np.ndarray]) -> float:
        with paddle.no_grad():
            feats = detector.model.neck([paddle.to_tensor(value[None]) for value in values])
            (_, logits), _ = detector.model.blaze_head(feats, paddle.zeros([1, 3, *forward.geometry.padded_hw]))
            # in float64, so that the difference of two scores near 1 keeps its digits
            return float(paddle.nn.functional.softmax(paddle.concat(logits, axis=1)[0, kept.row].astype("float64"))[0])

    values = [feature.activations for feature in features]
    (level,) = [index for index, feature in enumerate(features) if feature.gradients is not None]
    gradients = features[level].gradients
    assert score(values) == pytest.approx(detection.score, abs=1e-6)
    for position in np.argsort(np.abs(gradients).ravel())[::-1][:5]:
        where = np.unravel_index(position, gradients.shape)
        changed = []
        for sign in (1, -1):
            moved = [value.copy() for value in values]
            moved[level][where] += sign * 0.05
            changed.append(score(moved))
        assert (changed[0] - changed[1]) / 0.1 == pytest.approx(float(gradients[where]), rel=0.02)


def test_command_writes_the_face(real_folder, tmp_path, capsys):
    """The documented BlazeFace command, with a local weights path, writes picture, line and run record."""
    out = tmp_path / "cam"
    weights = real_folder / "blazeface_1000e.pdparams"
    arguments = ["-c", CONFIG, "--infer_img", real_folder / "hrnet_demo.jpg", "--cam_out", out]
    assert (
        main([*map(str, arguments), "--target_feature_layer_name", "model.backbone", "-o", f"weights={weights}"]) == 0
    )
    assert "1 picture in" in capsys.readouterr().out
    (line,) = (out / "images.jsonl").read_text().splitlines()
    (box,) = json.loads(line)["boxes"]
    assert box["status"] == "ok" and box["class_name"] == "face" and (out / box["files"]["overlay"]).is_file()
    picture = cv2.imread(str(out / box["files"]["overlay"]))
    assert picture is not None and picture.shape[1] >= 359


SSD = ROOT / "configs/ssd/ssd_mobilenet_v1_300_120e_voc.yml"


@pytest.fixture(scope="module")
def bear(real_folder):
    """SSD with COCO's 80 classes, and the photograph that a bear fills."""
    explain = Explainer.from_config(
        SSD,
        weights=real_folder / "ssd_mobilenet_v1_300_coco.pdparams",
        overrides=["num_classes=80", "metric=COCO"],
        draw_threshold=0.35,
    )
    return explain, read_image(real_folder / "coco/000000000285.jpg")


def test_blind_layer_of_a_trained_detector_is_called_blind(bear):
    """SSD's head reads the backbone by 1 x 1 convolutions: LayerCAM's bump is called one, stagecam has none."""
    explain, frame = bear
    (plain,), (whole,) = explain(frame, method="layercam"), explain(frame, method="stagecam")
    assert is_of_blind_layers(plain) and not is_of_blind_layers(whole)
    assert plain.note == (
        "model.backbone is blind for this box: its gradient reaches hardly more than one cell. "
        "Take model.backbone.conv4_1, or --method stagecam at model.backbone"
    )
    assert whole.note is not None and "so the map is of model.backbone." in whole.note


@pytest.mark.slow
def test_stages_tell_more_than_a_blind_layer(bear):
    """What stagecam shows first makes the score, and without it the score is gone, more so than LayerCAM's bump."""
    explain, frame = bear
    (plain,), (whole,) = explain(frame, method="layercam"), explain(frame, method="stagecam")
    score_fn = AlteredImages(explain.detector, frame, [whole.detection]).score_fn(whole.detection)
    told = [
        curves(frame.image, explanation.heatmap, score_fn=score_fn, steps=10).insertion_minus_deletion
        for explanation in (plain, whole)
    ]
    assert told[1] > 0.45 and told[1] > told[0] + 0.1
    assert in_box(whole.heatmap, whole.detection.box_xyxy)[0] > 0.8
