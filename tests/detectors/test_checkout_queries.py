"""Detectors of object queries that PaddleDetection has since 2.7.0: with a checkout only, its configs made small."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import paddle
import pytest
from seeded_weights import seed_detector
from support.families import reader
from support.gradient_checks import (
    assert_gradients_equal_differences,
    assert_target_equals_differences,
    forward_of,
    targets_of,
)

from ppdet_cam import Explainer
from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.inner_layers import feature_layers
from ppdet_cam.methods import cells_reached
from ppdet_cam.structures import MapStatus, Quantity

SIDE = 96
SQUARE = (reader(SIDE, SIDE, keep_ratio=False), f"eval_size=[{SIDE}, {SIDE}]")


def decoder(name: str, **more: object) -> list[str]:
    """Overrides that make a transformer's decoder small."""
    small = {"num_queries": 30, "num_decoder_layers": 2, "nhead": 4, "dim_feedforward": 64, **more}
    return [f"{name}.{key}={value}" for key, value in small.items()]


def encoder(name: str, more: str) -> list[str]:
    """Overrides that make a hybrid encoder, and all that shares its width, small."""
    layer = "{name: TransformerLayer, d_model: 32, nhead: 4, dim_feedforward: 64, dropout: 0., activation: gelu}"
    small = f"hidden_dim: 32, num_encoder_layers: 1, expansion: 0.5, encoder_layer: {layer}"
    return ["hidden_dim=32", f"{name}={{{small}, {more}}}"]


# name -> config below the checkout's `configs`, what makes it small
MODELS = {
    "rtdetr": (
        "rtdetr/rtdetr_r18vd_6x_coco.yml",
        (*SQUARE, *encoder("HybridEncoder", "use_encoder_idx: [2]"), *decoder("RTDETRTransformer")),
    ),
    "rtdetrv2": (
        "rtdetrv2/rtdetrv2_r18vd_120e_coco.yml",
        (
            *SQUARE,
            *encoder("HybridEncoder", "use_encoder_idx: [2]"),
            *decoder("RTDETRTransformerv2"),
        ),
    ),
    "rtdetrv2_discrete": (
        "rtdetrv2/rtdetrv2_r18vd_dsp_3x_coco.yml",
        (
            *SQUARE,
            *encoder("HybridEncoder", "use_encoder_idx: [2]"),
            *decoder("RTDETRTransformerv2"),
        ),
    ),
    "mask_rtdetr": (
        "mask_rtdetr/mask_rtdetr_hgnetv2_s_6x_coco.yml",
        (
            *SQUARE,
            *encoder("MaskHybridEncoder", "use_encoder_idx: [3], mask_feat_channels: [16, 16]"),
            *decoder("MaskRTDETR"),
        ),
    ),
    "group_dino": (
        "group_detr/group_dino_r50_4scale_1x_coco.yml",
        (
            reader(64, 96, keep_ratio=True),
            "ResNet.depth=18",
            "hidden_dim=32",
            *decoder("GroupDINOTransformer", num_encoder_layers=1, dual_groups=2),
            "DETRPostProcess.dual_groups=2",
        ),
    ),
    "qr": (
        "sqr/deformable_detr_sqr_r50_12e_coco.yml",
        (
            reader(64, 96, keep_ratio=True),
            "ResNet.depth=18",
            "hidden_dim=32",
            *decoder("QRDeformableTransformer", num_encoder_layers=1),
        ),
    ),
}
TOP = "DETRPostProcess.num_top_queries=20"


@pytest.fixture(scope="module", params=MODELS)
def name(request) -> str:
    """Each model in turn."""
    return request.param


@pytest.fixture(scope="module")
def detector(name, photo):
    """The model, seeded; skipped without a checkout that has it."""
    path, overrides = MODELS[name]
    config = Path(os.environ.get("PPDET_CAM_PPDET", "")) / "configs" / path
    if not os.environ.get("PPDET_CAM_PPDET") or not config.is_file():
        pytest.skip(f"needs a PaddleDetection checkout with {path}; set PPDET_CAM_PPDET to its folder")
    built, _ = build_detector(config, overrides=[*overrides, TOP])
    seed_detector(built, photo)
    return built


@pytest.fixture(scope="module")
def forward(detector, photo):
    """Its forward pass with the graph of the boxes, and the boxes above the threshold."""
    found, chosen, _ = forward_of(detector, photo, wanted=Quantity.BOXES)
    return found, chosen


def test_detections_equal_plain_inference(detector, photo, forward):
    """Every row is bit for bit what ppdet's plain inference gives."""
    inputs, _ = detector.reader.prepare(photo)
    with paddle.no_grad():
        plain = detector.model(inputs)["bbox"].numpy()
    found, _ = forward
    assert [[d.class_id, d.score, *d.box_xyxy] for d in found.detections] == plain.tolist()


def test_gradients_equal_finite_differences(name, detector, photo, forward):
    """The class score's gradient, and that of every other target, is what differences show."""
    if name == "rtdetrv2_discrete":
        pytest.skip("its sampled cells jump, and no gradient tells that")
    assert_gradients_equal_differences(detector, photo)
    found, chosen = forward
    kept = found.kept[chosen[0].index]
    for text in targets_of(detector, kept, (kept.class_id + 1) % 80):
        assert_target_equals_differences(detector, photo, found, kept, text)


def test_query_stays_where_it_was_picked(detector, photo, forward):
    """Under an altered image a query is asked about at the token that it was picked at, whatever its rank is now."""
    found, chosen = forward
    source = detector.extractor.source(found.watch, found.kept[chosen[0].index].row)
    darker = type(photo)(photo.image // 2)
    inputs, _ = detector.reader.prepare(darker)
    watch, _ = detector.replay(inputs, photo, sources=[source])
    free, _ = detector.replay(inputs, photo)
    if not source.query_tokens:
        return
    assert detector.extractor.source(free, 0).query_tokens != source.query_tokens
    with paddle.no_grad():
        pinned = detector.extractor.outputs(watch, [source]).probabilities.numpy()
        moved = detector.extractor.outputs(free, [source]).probabilities.numpy()
    assert not np.array_equal(pinned, moved)


def test_mask_is_the_one_that_is_drawn(name, detector, photo):
    """The pixels of the target `mask` are those of the query's mask where it is above the threshold."""
    if Quantity.MASK not in detector.extractor.quantities:
        pytest.skip("it has no masks")
    found, chosen, _ = forward_of(detector, photo, wanted=Quantity.MASK)
    for detection in chosen:
        kept = found.kept[detection.index]
        source = detector.extractor.source_of(found.watch, kept, wanted=Quantity.MASK)
        logits = found.watch.outputs[detector.model.detr_head][-1][2][0, kept.row].numpy().ravel()
        assert source.mask.pixels.tolist() == np.flatnonzero(logits > 0).tolist() or logits.max() <= 0
        number = detector.extractor.outputs(found.watch, [source], wanted=Quantity.MASK).mask
        assert float(number[0]) == pytest.approx(float(logits[source.mask.pixels].mean()), rel=1e-4)


@pytest.mark.parametrize("method", ["layercam", "attention", "attention_gradient"])
def test_maps_show_something(detector, photo, method):
    """The maps of features and of attention show something, or say why not."""
    result = Explainer(detector, method=method, draw_threshold=0.5)(photo)
    assert result.explanations
    assert MapStatus.OK in {explanation.status for explanation in result}
    for explanation in result:
        assert explanation.heatmap.any() == (explanation.status is MapStatus.OK)


def test_encoders_layers_are_feature_maps(name, detector, photo):
    """The tokens of the encoder, in the transformer or in the neck, are on their grids."""
    layers = {layer.path: layer.shapes for layer in feature_layers(detector, photo, cells_of=cells_reached)}
    if name in ("group_dino", "qr"):
        path, grids = "model.transformer.encoder.layers.0", [(8, 12), (4, 6), (2, 3), (1, 2)]
    else:
        path, grids = "model.neck.encoder.0.layers.0", [(SIDE // 32, SIDE // 32)]
    assert [shape[2:] for shape in layers[path]] == grids
    assert not any(path.startswith("model.transformer.decoder") for path in layers)
