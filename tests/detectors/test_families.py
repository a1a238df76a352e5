"""What every architecture family must hold; a new family is picked up from `families.py`."""

from __future__ import annotations

import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from ppdet.modeling.layers import MatrixNMS
from support.gradient_checks import (
    BACKBONE,
    THRESHOLD,
    assert_gradients_equal_differences,
    features_of,
    forward_of,
    gradients_of,
    last_step_of,
    target_of,
)

from ppdet_cam import Explainer
from ppdet_cam.detectors.capture import capturing, watching
from ppdet_cam.detectors.families import families
from ppdet_cam.detectors.families.base import Source
from ppdet_cam.detectors.families.last_step import check_nms
from ppdet_cam.errors import ConfigError, ScoreMismatchError
from ppdet_cam.explaining.gradients import roi_features
from ppdet_cam.explaining.projection import box_on_original
from ppdet_cam.polygons import box_around, polygon_of
from ppdet_cam.questions.boxes import own_score
from ppdet_cam.structures import MapStatus, Verdict

ROI_LAYER = "model.bbox_head.roi_extractor"


def explained(detector, photo, layers):
    return Explainer(detector, layers=layers, method="layercam", draw_threshold=THRESHOLD)(photo)


def test_registered_architectures_are_tested(detector_of):
    """Every registered extractor whose head this ppdet has is exercised by one of the families here."""
    from support.families import FAMILIES, MISSING

    names = [name for name in families.names() if not any(f"({head})" in name for head in MISSING)]
    registered = {families.get(name) for name in names}
    assert {type(detector_of(name).extractor) for name in FAMILIES} == registered


@pytest.mark.smoke
def test_detections_equal_plain_inference(detector, photo):
    """With layers captured and gradients recorded, every row is bit for bit what ppdet's plain inference gives."""
    inputs, _ = detector.reader.prepare(photo)
    with paddle.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PP-YOLOE-Ins copies its masks in a way that paddle warns about
        printed = detector.model(detector.extractor.completed(inputs))
        plain = detector.extractor.output_rows(printed)
    plain = plain[plain[:, 0] >= 0]
    forward, _, _ = forward_of(detector, photo)
    assert len(forward.detections) == len(plain)
    for detection in forward.detections:
        row = plain[detection.index]
        assert (detection.class_id, detection.score) == (int(row[0]), float(row[1]))
        if len(row) > 6:
            assert detection.polygon_xy == polygon_of(row[2:])
            assert detection.box_xyxy == box_around(polygon_of(row[2:]))
        else:
            assert detection.box_xyxy == tuple(float(value) for value in row[2:])


@pytest.mark.smoke
def test_target_score_equals_printed_score(detector, photo):
    """The scalar that is differentiated is each detection's own printed score, for every box of the output.

    Where NMS lowers the printed score, it is the candidate's own.

    An R-CNN's is computed again from one RoI: the sums of its matrix products are rounded otherwise, and the seeded
    heads, whose logits are small differences of large features, show it more than trained ones.
    """
    forward, _, _ = forward_of(detector, photo)
    target = target_of(detector)
    for detection in forward.detections:
        kept = forward.kept[detection.index]
        assert (kept.class_id, kept.score) == (detection.class_id, own_score(detection))
        source = forward.extractor.source(forward.watch, kept.row)
        outputs = forward.extractor.outputs(forward.watch, [source])
        assert float(target.parts[0](outputs, 0, kept.class_id)) == pytest.approx(kept.score, abs=5e-5)


def test_score_that_is_not_the_printed_one_is_refused(detector, photo):
    """Where the score with a graph is not the printed one, nothing is explained rather than the wrong box."""
    forward, chosen, _ = forward_of(detector, photo)
    kept = forward.kept[chosen[0].index]
    with pytest.raises(ScoreMismatchError, match=f"detection 0 has score {kept.score + 0.01:.6f}"):
        features_of(forward, dataclasses.replace(kept, score=kept.score + 0.01), target_of(detector))


@pytest.mark.smoke
def test_gradients_equal_finite_differences(detector, photo):
    """d score / d features along several directions equals the central difference through ppdet's own heads."""
    assert_gradients_equal_differences(detector, photo)


def test_maps_show_something_on_every_layer(family, detector, photo):
    """Every layer of interest gives, for some box, a finite map with heat; and every other box states its cause."""
    for layer in family.layers:
        result = explained(detector, photo, [layer])
        assert result.explanations
        assert any(explanation.status is MapStatus.OK for explanation in result.explanations), layer
        for explanation in result.explanations:
            assert explanation.heatmap.shape == photo.original_hw
            assert explanation.heatmap.dtype == np.float32
            assert np.isfinite(explanation.heatmap).all() and explanation.heatmap.min() >= 0
            assert explanation.heatmap.any() == (explanation.status is MapStatus.OK)
            shares = sum(level.share for level in explanation.levels)
            assert shares == pytest.approx(1.0 if explanation.status is MapStatus.OK else 0.0)


def test_every_pyramid_level_is_recorded(family, detector, photo):
    """A level that the layer gives is in the record of each box, whatever evidence it carries."""
    forward, _, _ = forward_of(detector, photo)
    levels = len(forward.capture.feature_maps(BACKBONE))
    result = explained(detector, photo, [BACKBONE])
    for explanation in result.explanations:
        of_layer = [share.level for share in explanation.levels if share.layer == BACKBONE]
        assert of_layer == list(range(levels))


def test_first_frozen_stage_takes_part(detector_of, photo):
    """R-CNN's frozen first backbone level, whose own output has no gradient, still gets one."""
    detector = detector_of("faster")
    forward, chosen, _ = forward_of(detector, photo)
    firsts = [features_of(forward, forward.kept[d.index], target_of(detector))[0][0] for d in chosen]
    assert any(first.gradients is not None and first.gradients.any() for first in firsts)


CHANGED_BY_ANY_RUN = ("inputs", "refined_rois", "seg_pred", "cate_pred_list", "kernel_pred_list", "_built")


def snapshot(detector):
    """Everything about a model that explaining could change, but for what any plain run changes as well.

    That is ppdet's `inputs`, a cascade's `refined_rois`, what SOLOv2's heads gave, and paddle's own note `_built` that
    a layer has run (paddle 2.6 makes it with hooks only).
    """
    model = detector.model
    layers = [model, *model.sublayers()]
    attributes = [
        {name: id(value) for name, value in layer.__dict__.items() if name not in CHANGED_BY_ANY_RUN}
        for layer in layers
    ]
    hooks = [(len(layer._forward_pre_hooks), len(layer._forward_post_hooks)) for layer in layers]
    last = last_step_of(detector)
    gradients = [(parameter.stop_gradient, parameter.grad is None) for parameter in model.parameters()]
    return attributes, hooks, id(last), dict(vars(last)), gradients, model.training


@pytest.mark.smoke
def test_model_is_left_as_it_was(family, detector, photo):
    """After explaining: no hook, no changed attribute, no gradient, eval mode, and the same outputs bit for bit."""
    before, outputs = snapshot(detector), detector.predict(photo)
    for layer in family.layers:
        explained(detector, photo, [layer])
    assert snapshot(detector) == before
    np.testing.assert_array_equal(detector.predict(photo), outputs)


def test_model_is_left_as_it_was_when_the_forward_raises(detector, photo, monkeypatch):
    """Ctrl-C in the middle of a forward pass leaves no hook and no replaced method behind either."""
    before = snapshot(detector)
    last = last_step_of(detector)

    def fail(*_, **__):
        raise KeyboardInterrupt("planted")

    monkeypatch.setattr(type(last), "__call__", fail)
    with pytest.raises(KeyboardInterrupt, match="planted"):
        detector.forward(photo, detector.layers([BACKBONE])[0])
    monkeypatch.undo()
    assert snapshot(detector) == before


def test_layer_off_the_path_says_so(detector_of, photo):
    """A layer that runs but leads to no class score gives an empty map with that cause."""
    result = explained(detector_of("ppyoloe"), photo, ["model.yolo_head.stem_reg.0"])
    assert {explanation.status for explanation in result.explanations} == {MapStatus.NO_PATH}
    result = explained(detector_of("faster"), photo, ["model.rpn_head.rpn_feat"])
    assert {explanation.status for explanation in result.explanations} == {MapStatus.NO_PATH}


def test_zero_gradients_say_so(detector_of, photo):
    """Class weights of zero, as PP-YOLOE's are at initialisation, give an empty map with that cause."""
    detector = detector_of("ppyoloe")
    convolutions = detector.model.yolo_head.pred_cls
    before = [convolution.weight.numpy() for convolution in convolutions]
    biases = [convolution.bias.numpy() for convolution in convolutions]
    try:
        for convolution in convolutions:
            convolution.weight.set_value(paddle.zeros_like(convolution.weight))
            convolution.bias.set_value(paddle.full_like(convolution.bias, 0.5))
        explainer = Explainer(detector, draw_threshold=THRESHOLD)
        stream = explainer.stream(photo)
        assert next(stream.explanations).status is MapStatus.ZERO_GRADIENT
    finally:
        for convolution, weight, bias in zip(convolutions, before, biases):
            convolution.weight.set_value(weight)
            convolution.bias.set_value(bias)


@pytest.mark.parametrize("name", ["faster", "mask"])
def test_rcnn_never_explains_background(detector_of, photo, name):
    """No kept candidate of an R-CNN points at the background's column."""
    forward, _, _ = forward_of(detector_of(name), photo)
    assert all(kept.class_id < len(detector_of(name).class_names) for kept in forward.kept.values())


def roi_gradients(detector, forward, roi_layers, kept):
    """The class score's gradients at the RoI layer, one per box."""
    levels = dict.fromkeys(roi_layers)
    per_box = roi_features(forward, roi_layers, levels, kept, target_of(detector))
    return [features[0].gradients for (features,) in per_box]


def test_rcnn_row_kept_under_two_classes_is_explained_twice(detector_of, photo):
    """A RoI that is kept under several classes gets a map per class, each the gradient of its own class's score."""
    detector = detector_of("faster")
    forward, _, roi_layers = forward_of(detector, photo, [ROI_LAYER])
    by_row: dict[int, list] = {}
    for kept in forward.kept.values():
        by_row.setdefault(kept.row, []).append(kept)
    twice = next(several for several in by_row.values() if len(several) > 1)
    together = roi_gradients(detector, forward, roi_layers, twice)
    alone = [roi_gradients(detector, forward, roi_layers, [kept])[0] for kept in twice]
    assert not np.allclose(together[0], together[1])
    for one, other in zip(together, alone):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


def test_rcnn_roi_gradients_equal_those_through_all_proposals(detector_of, photo):
    """All RoI rows in one backward of the re-run head give what one backward through all proposals gives."""
    detector = detector_of("faster")
    forward, chosen, roi_layers = forward_of(detector, photo, [ROI_LAYER])
    head = detector.model.bbox_head
    features, rois, count = forward.watch.inputs[head][0][:3]
    with capturing(dict(roi_layers)) as capture:
        (_, scores), _ = head(features, rois, count, None)
    leaf = capture.feature_maps(ROI_LAYER)[0]
    boxes = [forward.kept[detection.index] for detection in chosen]
    for kept, found in zip(boxes, roi_gradients(detector, forward, roi_layers, boxes)):
        gradient = paddle.grad(scores[kept.row, kept.class_id], leaf, retain_graph=True)[0].numpy()
        np.testing.assert_allclose(found, gradient[kept.row], rtol=1e-3, atol=1e-5 * np.abs(gradient).max())
        others = np.delete(gradient, kept.row, axis=0)
        assert not others.any()


def test_rcnn_own_level_gives_the_gradient_of_all_levels(detector_of, photo):
    """Cutting the graph of the levels that a RoI is not pooled from changes no gradient."""
    detector = detector_of("faster")
    forward, chosen, _ = forward_of(detector, photo)
    head = detector.model.bbox_head
    features, rois = forward.watch.inputs[head][0][:2]
    leaves = forward.capture.feature_maps(BACKBONE)
    for detection in chosen:
        kept = forward.kept[detection.index]
        (_, scores), _ = head(features, [rois[0][kept.row : kept.row + 1]], paddle.to_tensor([1], dtype="int32"), None)
        whole = paddle.grad(scores[0, kept.class_id], leaves, retain_graph=True, allow_unused=True)
        (found,) = features_of(forward, kept, target_of(detector))
        for feature, given, wanted in zip(found, gradients_of(found), whole):
            wanted = np.zeros_like(feature.activations) if wanted is None else wanted.numpy()[0]
            np.testing.assert_allclose(given, wanted, rtol=1e-3, atol=1e-6 * max(np.abs(wanted).max(), 1e-12))


def test_rcnn_place_on_any_level_has_the_gradient_of_all_levels(detector_of, photo):
    """A RoI of any size is pooled from the level that is told, whose gradient alone is not zero among the neck's."""
    detector = detector_of("faster")
    forward, _, _ = forward_of(detector, photo, ["model.neck"])
    extractor, leaves = forward.extractor, forward.capture.feature_maps("model.neck")
    sources = extractor.a_source_per_level(forward.watch)
    assert [source.level for source in sources] == list(range(len(sources))) and len(sources) > 3
    for source in sources:
        assert extractor._level(np.array(source.roi_xyxy, np.float32)) == source.level
        # two places at once are not cut, one is
        uncut, cut = (extractor.outputs(forward.watch, [source] * count).logits[0].sum() for count in (2, 1))
        whole, own = (paddle.grad(score, leaves, retain_graph=True, allow_unused=True) for score in (uncut, cut))
        assert extractor.grid_hw(forward.watch, source) == tuple(leaves[source.level].shape[2:])
        for level, (wanted, given) in enumerate(zip(whole, own)):
            assert (wanted is not None and bool(wanted.any())) == (level == source.level)
            if level == source.level:
                np.testing.assert_allclose(
                    given.numpy(), wanted.numpy(), rtol=1e-3, atol=1e-5 * float(wanted.abs().max())
                )


def test_dense_own_level_gives_the_gradient_of_the_concatenated_scores(detector_of, photo):
    """PP-YOLOE's score from its own level's logits has the gradient of the score in the head's own output."""
    detector = detector_of("ppyoloe")
    head = detector.model.yolo_head
    forward, chosen, _ = forward_of(detector, photo)
    leaves = forward.capture.feature_maps(BACKBONE)
    with watching([head]) as watch:
        head(detector.model.neck(leaves))
    scores = watch.outputs[head][0][0]
    for detection in chosen:
        kept = forward.kept[detection.index]
        whole = paddle.grad(scores[0, kept.class_id, kept.row], leaves, retain_graph=True)
        (found,) = features_of(forward, kept, target_of(detector))
        for feature, wanted in zip(found, whole):
            np.testing.assert_allclose(
                feature.gradients, wanted.numpy()[0], rtol=1e-3, atol=1e-6 * float(wanted.abs().max())
            )


def test_rcnn_without_detection_gives_none(detector_of, photo):
    """The fake box that ppdet appends to an R-CNN's empty output is no detection."""
    detector = detector_of("faster")
    bias = detector.model.bbox_head.bbox_score.bias
    before = bias.numpy()
    try:
        raised = before.copy()
        raised[-1] += 1000.0
        bias.set_value(raised)
        result = explained(detector, photo, [BACKBONE])
        assert result.detections == () and result.explanations == () and result.highest_score is None
        assert explained(detector, photo, [ROI_LAYER]).explanations == ()
    finally:
        bias.set_value(before)


def test_several_layers_are_put_together(detector_of, photo):
    """A whole-image layer and a RoI layer in one explanation: levels of both, shares that sum to one."""
    layers = [BACKBONE, ROI_LAYER]
    result = explained(detector_of("faster"), photo, layers)
    for explanation in result.explanations:
        assert {level.layer for level in explanation.levels} == set(layers)
        assert sum(level.share for level in explanation.levels) == pytest.approx(1.0)
    alone = explained(detector_of("faster"), photo, layers[1:])
    assert all(explanation.box_xyxy_roi is not None for explanation in alone.explanations)


def test_roi_map_lies_at_the_proposal(detector_of, photo):
    """The map of RoI features reaches at most half a bin beyond the proposal, which is not the final box."""
    detector = detector_of("faster")
    forward, _, _ = forward_of(detector, photo)
    (proposals,) = forward.watch.inputs[detector.model.bbox_head][0][1]
    for explanation in explained(detector, photo, [ROI_LAYER]):
        roi = tuple(float(value) for value in proposals[forward.kept[explanation.detection.index].row])
        assert explanation.box_xyxy_roi == pytest.approx(box_on_original(roi, forward.geometry))
        if explanation.status is not MapStatus.OK:
            continue
        left, top, right, bottom = explanation.box_xyxy_roi
        assert explanation.box_xyxy_roi != pytest.approx(explanation.detection.box_xyxy)
        rows, columns = np.nonzero(explanation.heatmap > 0)
        margin_y, margin_x = (bottom - top) / 14, (right - left) / 14
        assert rows.min() + 1 >= top - margin_y - 1e-3 and rows.max() <= bottom + margin_y + 1e-3
        assert columns.min() + 1 >= left - margin_x - 1e-3 and columns.max() <= right + margin_x + 1e-3


def test_two_explainers_in_one_process_do_not_mix(photo, detector_of):
    """A second config built after the first changes neither, whichever runs first."""
    first = explained(detector_of("ssd"), photo, [BACKBONE])
    detector_of("blazeface")
    detector_of("faster")
    again = explained(detector_of("ssd"), photo, [BACKBONE])
    assert [e.detection for e in first.explanations] == [e.detection for e in again.explanations]
    for one, other in zip(first.explanations, again.explanations):
        np.testing.assert_array_equal(one.heatmap, other.heatmap)
    assert len(detector_of("ssd").class_names) == 20 and detector_of("blazeface").class_names == ["face"]


@pytest.mark.smoke
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("roi", [(60.0, 50.0, 150.0, 90.0), (33.0, 21.0, 40.0, 24.0)], ids=["large", "below a cell"])
def test_roi_cells_lie_where_ppdet_pools_them(detector_of, monkeypatch, aligned, roi):
    """What a pooled cell sees of the feature map, by its gradient, is centred on the cell's place on the image."""
    detector = detector_of("faster")
    pooling = detector.model.bbox_head.roi_extractor
    monkeypatch.setattr(pooling, "aligned", aligned)
    # all levels alike, so that it does not matter from which the RoI is pooled
    strides = [round(1 / scale) for scale in pooling.spatial_scale]
    features = [paddle.zeros([1, 1, 256 // stride, 256 // stride]) for stride in strides]
    for feature in features:
        feature.stop_gradient = False
    extractor = detector.extractor
    source = Source(extractor._level(np.array(roi, np.float32)), 0, roi)
    pooled = pooling(features, [paddle.to_tensor([roi])], paddle.to_tensor([1], dtype="int32"))
    left, top, right, bottom = extractor.pooled_xyxy(roi)
    rows, columns = pooled.shape[2:]
    for row, column in [(0, 0), (rows // 2, 1), (rows - 1, columns - 1)]:
        used, stride = features[source.level], strides[source.level]
        (seen,) = paddle.grad(pooled[0, 0, row, column], [used], retain_graph=True)
        seen = seen.numpy()[0, 0]
        assert seen.sum() == pytest.approx(1, abs=1e-4)
        centres = (np.arange(seen.shape[0]) + 0.5) * stride
        place = (seen.sum(axis=1) @ centres, seen.sum(axis=0) @ centres)
        expected = (top + (row + 0.5) * (bottom - top) / rows, left + (column + 0.5) * (right - left) / columns)
        assert place == pytest.approx(expected, abs=0.02)


def test_matrix_nms_records_both_scores(detector_of, photo):
    """Where NMS lowers a score, the printed one and the candidate's own are recorded; the own is explained."""
    forward, _, _ = forward_of(detector_of("ppyolo"), photo)
    for detection in forward.detections:
        kept = forward.kept[detection.index]
        assert detection.score_before_nms == kept.score >= detection.score - 1e-6
        np.testing.assert_array_equal(forward.candidates().boxes_xyxy[kept.row, 0], detection.box_xyxy)
    assert any(detection.score_before_nms > detection.score + 1e-3 for detection in forward.detections)


def test_matrix_nms_is_named_by_the_verdict_on_a_lowered_box(detector_of, photo):
    """A box whose score NMS lowered below the threshold: which detection did it, and the candidate's own score."""
    detector = detector_of("ppyolo")
    detections = forward_of(detector, photo)[0].detections
    lowered = max(detections, key=lambda found: found.score_before_nms - found.score)
    threshold = (lowered.score + lowered.score_before_nms) / 2
    explainer = Explainer(detector, draw_threshold=threshold)
    (explanation,) = explainer(photo, boxes=[(*lowered.box_xyxy, lowered.class_name)])
    answer = explanation.answer
    assert answer.verdict is Verdict.SUPPRESSED
    assert answer.words.endswith(f"for which NMS lowers its score below {threshold:g}")
    (winner,) = [found for found in detections if found.index == answer.other_index]
    assert winner.class_id == lowered.class_id and winner.score_before_nms >= lowered.score_before_nms
    assert explanation.detection.score == pytest.approx(lowered.score_before_nms)


def test_subclass_of_a_known_head_is_explained_as_its_parent(detector_of, caplog):
    """A head that a user derived from a known one has its parent's extractor, and the log says so in one line."""
    from ppdet_cam.detectors.families.choosing import extractor_type

    model = detector_of("gfl").model
    known = type(model.head)
    try:
        model.head.__class__ = type("MyHead", (known,), {})
        with caplog.at_level("INFO"):
            found = extractor_type(model, "GFL", [type(detector_of("gfl").extractor)])
    finally:
        model.head.__class__ = known
    assert found is type(detector_of("gfl").extractor)
    assert [record.message for record in caplog.records if "MyHead" in record.message] == [
        "MyHead is explained as the GFLHead that it derives from"
    ]


def test_cascade_roi_features_lie_at_each_stages_roi(detector_of, photo):
    """A cascade's RoI features are a map per stage, placed at the RoI of that stage; the last one is drawn."""
    detector = detector_of("cascade")
    forward, chosen, roi_layers = forward_of(detector, photo, [ROI_LAYER])
    kept = forward.kept[chosen[0].index]
    ((features,),) = roi_features(forward, roi_layers, dict.fromkeys(roi_layers), [kept], target_of(detector))
    source = forward.extractor.source(forward.watch, kept.row)
    assert [feature.roi_xyxy for feature in features] == list(source.stage_rois)
    assert len(set(source.stage_rois)) == 3 and all(feature.gradients.any() for feature in features)
    explanation = explained(detector, photo, [ROI_LAYER])[0]
    assert explanation.box_xyxy_roi == pytest.approx(box_on_original(source.roi_xyxy, forward.geometry))


def test_a_matrix_nms_of_no_boxes_is_refused():
    """Over which paddle would end the process; another number is taken."""
    check_nms(SimpleNamespace(nms=MatrixNMS(nms_top_k=1)))
    with pytest.raises(ConfigError, match=r"nms_top_k of MatrixNMS is 0, .*give a number above 0, or -1 for all"):
        check_nms(SimpleNamespace(nms=MatrixNMS(nms_top_k=0)))
