"""What the shipped, really trained demo detectors must hold on drawn scenes that no training saw."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from recipes import model_names
from support.gradient_checks import assert_gradients_equal_differences, slope
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.images.reading import read_image
from ppdet_cam.structures import MapStatus

MODELS = sorted(path.stem for path in (ROOT / "demo/weights").glob("*.pdparams"))
SCENES = sorted((ROOT / "demo/drawn").glob("*.jpg"))
LARGEST_FILE, LARGEST_SUM = 8 * 2**20, 30 * 2**20


@pytest.fixture(scope="module", params=MODELS)
def explainer(request):
    """Each demo detector as a user loads it, with maps of its neck, or of its backbone where it has none."""
    explainer = Explainer.from_config(ROOT / f"configs/demo/{request.param}.yml", method="hirescam")
    if getattr(explainer.detector.model, "neck", None) is None:
        return explainer
    return Explainer(explainer.detector, layers="model.neck", method="hirescam")


@pytest.fixture(scope="module")
def results(explainer):
    """The explanations of every shipped scene."""
    return {path.name: explainer(path) for path in SCENES}


def iou(one, other) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    overlap = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return overlap / (sum(areas) - overlap)


def test_every_recipe_has_shipped_weights():
    """Each demo detector can be used without training it: one of each documented family."""
    assert model_names() == MODELS
    assert len(MODELS) == 8


def test_weights_are_small_enough_to_ship():
    """Each file is at most 8 MB, all together 30 MB."""
    sizes = [path.stat().st_size for path in (ROOT / "demo/weights").glob("*.pdparams")]
    assert max(sizes) <= LARGEST_FILE and sum(sizes) <= LARGEST_SUM


def test_drawn_objects_are_found(explainer, results):
    """Most objects of the scenes, of the classes that the detector knows, are found with their class."""
    truth = json.loads((ROOT / "demo/drawn/annotations.json").read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in truth["categories"]}
    files = {image["id"]: image["file_name"] for image in truth["images"]}
    found = []
    for annotation in truth["annotations"]:
        name = names[annotation["category_id"]]
        if name not in explainer.detector.class_names:
            continue
        left, top, width, height = annotation["bbox"]
        box_xyxy = (left, top, left + width, top + height)
        found.append(
            any(
                detection.class_name == name and detection.score > 0.2 and iou(detection.box_xyxy, box_xyxy) > 0.5
                for detection in results[files[annotation["image_id"]]].detections
            )
        )
    assert np.mean(found) >= 0.6


def test_detections_and_scores_equal_plain_inference(explainer):
    """Every row is bit for bit plain ppdet's, and every target score is the printed one."""
    detector = explainer.detector
    frame = read_image(SCENES[0])
    inputs, _ = detector.reader.prepare(frame)
    with paddle.no_grad():
        plain = detector.model(inputs)["bbox"].numpy()
    forward = detector.forward(frame, detector.layers(["model.backbone"])[0])
    for detection in forward.detections:
        assert detection.score == float(plain[detection.index, 1])
        kept = forward.kept[detection.index]
        source = forward.extractor.source(forward.watch, kept.row)
        scores = forward.extractor.outputs(forward.watch, [source]).probabilities
        assert float(scores[0, kept.class_id]) == pytest.approx(detection.score, abs=1e-5)


def test_gradients_equal_finite_differences(explainer, results):
    """On trained weights as well, gradients equal central differences through ppdet's own heads."""
    slopes = {name: max((slope(e.detection.score) for e in result), default=0.0) for name, result in results.items()}
    unsaturated = max(slopes, key=slopes.get)
    assert_gradients_equal_differences(explainer.detector, results[unsaturated].frame)


def test_maps_peak_in_their_boxes(results):
    """The hottest pixel of nine maps in ten lies inside the map's own box, though the scenes hold many objects.

    Where there are fewer than ten maps, one may miss.
    """
    inside = []
    for result in results.values():
        for explanation in result:
            assert explanation.status is MapStatus.OK
            row, column = np.unravel_index(explanation.heatmap.argmax(), explanation.heatmap.shape)
            left, top, right, bottom = explanation.detection.box_xyxy
            inside.append(left <= column + 0.5 <= right and top <= row + 0.5 <= bottom)
    assert inside and inside.count(False) <= max(1, 0.1 * len(inside))
