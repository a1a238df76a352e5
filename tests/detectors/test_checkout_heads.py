"""Heads that only a newer PaddleDetection has: run with a checkout, skipped without."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from ppdet.core import workspace as ppdet_workspace
from support.families import FAMILIES
from support.gradient_checks import assert_target_equals_differences, forward_of, slope, targets_of
from support.places import ROOT

from ppdet_cam.detectors.building import build_detector
from ppdet_cam.structures import Quantity

pytestmark = pytest.mark.smoke


def needs(name):
    """Skips where this ppdet has no class of that name."""
    if name not in ppdet_workspace.get_registered_modules():
        pytest.skip(f"{name} is not in this ppdet; a checkout of PaddleDetection's develop branch has it")


@pytest.fixture(scope="module")
def arsl(photo):
    """ARSL's FCOS, small and seeded."""
    needs("FCOSHead_ARSL")
    from seeded_weights import seed_detector

    family = FAMILIES["fcos"]
    overrides = [text for text in family.overrides if not text.startswith("FCOSHead")]
    feature = "{name: FCOSFeat, feat_in: 32, feat_out: 256, num_convs: 1, norm_type: bn}"
    overrides += [
        "architecture=ARSL_FCOS",
        "ARSL_FCOS={backbone: ResNet, neck: FPN, fcos_head: FCOSHead_ARSL}",
        f"FCOSHead_ARSL={{fcos_feat: {feature}, fcos_loss: {{name: FCOSLossMILC}}, nms: {{name: MultiClassNMS, "
        "score_threshold: 0.025, nms_threshold: 0.6, nms_top_k: 1000, keep_top_k: 100}}",
    ]
    detector, _ = build_detector(ROOT / family.config, overrides=overrides)
    seed_detector(detector, photo)
    return detector


def test_arsl_explains_what_plain_inference_gives(arsl, photo):
    """Rows are bit for bit ppdet's own; every target, the predicted IoU too, has its differences' gradient."""
    inputs, _ = arsl.reader.prepare(photo)
    with paddle.no_grad():
        plain = arsl.model(inputs)["bbox"].numpy()
    forward, chosen, _ = forward_of(arsl, photo, wanted=Quantity.BOXES)
    assert [(d.class_id, d.score, *d.box_xyxy) for d in forward.detections] == [
        tuple(float(value) for value in row) for row in plain
    ]
    kept = forward.kept[max(chosen, key=lambda detection: slope(detection.score)).index]
    scores = forward.candidates().scores[kept.row].copy()
    scores[kept.class_id] = -1.0
    texts = targets_of(arsl, kept, int(np.argmax(scores)))
    assert {"iou", "class", "box"} <= set(texts) and "centerness" not in texts
    for text in texts:
        assert_target_equals_differences(arsl, photo, forward, kept, text)
