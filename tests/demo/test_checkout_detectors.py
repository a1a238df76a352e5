"""What the demo detector that paddledet 2.6.0 lacks must hold, with the ppdet of a PaddleDetection checkout."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from recipes import all_names, checkout_names, config_file, model_names, weights_folder
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.detectors.deployed.detector import build_deployed, rows_as_array
from ppdet_cam.images.reading import read_image
from ppdet_cam.metrics.localization import pointing

SCENES = sorted((ROOT / "demo/drawn").glob("*.jpg"))
TRANSFORMER = "ppdet/modeling/transformers/rtdetr_transformer.py"


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    """The RT-DETR as a user loads it; skipped without a checkout that has it."""
    folder = os.environ.get("PPDET_CAM_PPDET", "")
    if not folder or not (Path(folder) / TRANSFORMER).is_file():
        pytest.skip(f"needs a PaddleDetection checkout with {TRANSFORMER}; set PPDET_CAM_PPDET to its folder")
    return Explainer.from_config(config_file("rtdetr"))


def test_every_checkout_recipe_has_shipped_weights() -> None:
    """They lie apart: the other demo detectors work with every ppdet."""
    assert checkout_names() == ["rtdetr"]
    assert not set(checkout_names()) & set(model_names()) and set(checkout_names()) < set(all_names())
    sizes = [(weights_folder(name) / f"{name}.pdparams").stat().st_size for name in checkout_names()]
    assert max(sizes) <= 4 * 2**20


def test_detections_equal_plain_inference_and_maps_point(explainer: Explainer) -> None:
    """On the drawn scenes: every score as ppdet prints it, and nearly every peak in its box."""
    hits = []
    for path in SCENES:
        result = explainer(path)
        plain = explainer.detector.predict(read_image(path))
        assert [one.score for one in result.detections] == plain[:, 1].tolist()
        hits += [pointing(one.heatmap, one.detection.box_xyxy) for one in result.explanations]
    assert len(hits) >= 20
    assert np.mean(hits) >= 0.9


def test_attention_lies_on_the_objects(explainer: Explainer) -> None:
    """Where a query's cross-attention looked: most of it inside the box, however it was trained."""
    result = explainer(SCENES[0], method="attention")
    inside = []
    for one in result.explanations:
        left, top, right, bottom = (round(value) for value in one.detection.box_xyxy)
        inside.append(one.heatmap[max(top, 0) : bottom, max(left, 0) : right].sum() / one.heatmap.sum())
    assert np.mean(inside) > 0.5


def test_its_export_without_post_processing_finds_what_it_finds(explainer: Explainer, tmp_path: Path) -> None:
    """The queries' boxes and logits are what the graph gives; one batch or several images by themselves."""
    from tests.support.exporting import export  # here: it needs the checkout's ppdet

    weights = weights_folder("rtdetr") / "rtdetr.pdparams"
    deployed = build_deployed(export(config_file("rtdetr"), weights, tmp_path, exclude_post_process=True))
    frame = read_image(SCENES[0])
    plain = explainer.detector.predict(frame)
    for found in deployed.detect([frame]) + deployed.detect([frame, frame]):
        assert np.allclose(rows_as_array(found.detections)[: len(plain)], plain, atol=1e-2)
