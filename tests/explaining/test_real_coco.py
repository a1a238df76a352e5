"""The whole chain on detectors that were really trained on COCO, and on photographs: PicoDet XS and YOLOX nano."""

from __future__ import annotations

import numpy as np
import pytest
from support.places import ROOT
from support.plain_ppdet import plain_detections

from ppdet_cam import Explainer
from ppdet_cam.metrics.localization import energy, pointing
from ppdet_cam.structures import MapStatus

pytestmark = pytest.mark.real_weights

CONFIGS = {
    "picodet_xs_320_coco_lcnet": "picodet/picodet_xs_320_coco_lcnet.yml",
    "yolox_nano_300e_coco": "yolox/yolox_nano_300e_coco.yml",
}
# at least, for the default method at the default layer, over all boxes that score 0.5 or more
POINTING = {"picodet_xs_320_coco_lcnet": 0.93, "yolox_nano_300e_coco": 0.91}  # measured: 0.954 of 65, 0.936 of 124
ENERGY = {"picodet_xs_320_coco_lcnet": 0.85, "yolox_nano_300e_coco": 0.86}  # measured: 0.872, 0.880
MARGIN = 15  # pixels, of the pointing game as Zhang et al. (ECCV 2016) play it


@pytest.fixture(scope="module")
def photographs(real_folder):
    """The photograph of the README's commands, and the annotated ones."""
    return [real_folder / "000000014439.jpg", *sorted((real_folder / "coco").glob("*.jpg"))]


@pytest.fixture(scope="module", params=list(CONFIGS))
def name(request):
    """Each detector in turn."""
    return request.param


@pytest.fixture(scope="module")
def results(name, real_folder, photographs):
    """What the detector sees in each photograph, explained with the defaults."""
    explainer = Explainer.from_config(ROOT / "configs" / CONFIGS[name], weights=real_folder / f"{name}.pdparams")
    return [explainer(photograph) for photograph in photographs]


def test_detections_are_those_of_plain_inference(name, results, real_folder, photographs, tmp_path):
    """Every row, those below the threshold too, is what ppdet's Trainer gives: labels, scores and boxes."""
    weights = real_folder / f"{name}.pdparams"
    plain = plain_detections(ROOT / "configs" / CONFIGS[name], weights, photographs, tmp_path)
    assert sum(len(rows) for rows in plain) > 100
    for result, rows in zip(results, plain):
        ours = [(found.class_id, found.score, *found.box_xyxy) for found in result.detections]
        np.testing.assert_allclose(np.array(ours).reshape(-1, 6), rows, rtol=1e-6, atol=1e-6)


def test_maps_point_at_their_boxes(name, results, capsys):
    """Every map shows something; nearly all peak in their box, and all but two in a hundred within the usual margin."""
    hits, near, inside = [], [], []
    for result in results:
        for found in result:
            assert found.status is MapStatus.OK
            left, top, right, bottom = found.detection.box_xyxy
            wide = (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)
            hits.append(pointing(found.heatmap, found.detection.box_xyxy))
            near.append(pointing(found.heatmap, wide))
            inside.append(energy(found.heatmap, found.detection.box_xyxy))
    with capsys.disabled():
        print(f"\n{name}: {len(hits)} boxes, pointing {np.mean(hits):.3f}, within {MARGIN} pixels {np.mean(near):.3f}")
        print(f"energy in box {np.mean(inside):.3f}")
    assert np.mean(hits) >= POINTING[name]
    assert np.mean(near) >= 0.98
    assert np.mean(inside) >= ENERGY[name]
