"""What a mask and a proposal are explained by is what ppdet itself makes of them."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from support.families import FAMILIES
from support.gradient_checks import THRESHOLD, difference, features_of, forward_of, target_of

from ppdet_cam import Explainer
from ppdet_cam.detectors.capture import replaced_methods, watching
from ppdet_cam.detectors.families.masks import covered
from ppdet_cam.detectors.families.solov2 import box_around
from ppdet_cam.errors import LayerError, ScoreMismatchError
from ppdet_cam.explaining.gradients import roi_features
from ppdet_cam.explaining.replay import replays
from ppdet_cam.structures import MapStatus, Quantity

# a layer of each mask head that sees one row per RoI
MASK_LAYERS = {"mask": "model.mask_head.roi_extractor", "queryinst": "model.roi_head.mask_roi_extractor"}
POOLING = {"sparse": "model.head.box_pooler", "queryinst": "model.roi_head.bbox_roi_extractor"}
MASKED = ["mask", "queryinst", "solov2"]


def plain(detector, photo, layers):
    """What the plain model gives for a photograph, and what some of its layers see."""
    inputs, _ = detector.reader.prepare(photo)
    with paddle.no_grad(), watching(layers) as watch:
        return detector.model(inputs), watch


def mask_source(detector, photo, layers=("model.backbone",)):
    """A forward pass, the candidate of its first box, and that candidate's place with its mask."""
    forward, chosen, roi_layers = forward_of(detector, photo, layers, wanted=Quantity.MASK)
    kept = forward.kept[chosen[0].index]
    return forward, kept, forward.extractor.source_of(forward.watch, kept, wanted=Quantity.MASK), roi_layers


def test_covered_pixels_by_hand():
    """Those above the threshold's logit; of none, the highest one."""
    logits = np.array([[-1.0, 0.5], [2.0, 0.0]])
    assert covered(logits, 0.5).tolist() == [1, 2]
    assert covered(logits, 0.7).tolist() == [2]  # whose logit is 0.85
    assert covered(logits - 5, 0.5).tolist() == [2]


def test_mask_is_the_one_that_mask_rcnn_draws(detector_of, photo):
    """The covered pixels are those of the mask that the plain model's mask head gives for this box and class."""
    detector = detector_of("mask")
    _, watch = plain(detector, photo, [detector.model.mask_head])
    masks = watch.outputs[detector.model.mask_head][-1].numpy()
    forward, chosen, _ = forward_of(detector, photo, wanted=Quantity.MASK)
    for detection in chosen:
        source = forward.extractor.source_of(forward.watch, forward.kept[detection.index], wanted=Quantity.MASK)
        drawn = masks[detection.index]
        expected = np.flatnonzero(drawn.ravel() > 0.5)
        unsure = np.flatnonzero(np.abs(drawn.ravel() - 0.5) < 1e-4)
        assert set(source.mask.pixels) ^ set(expected) <= set(unsure)


def test_mask_is_the_one_that_queryinst_draws(detector_of, photo):
    """The same of QueryInst, whose plain model makes the masks of all queries and classes."""
    detector = detector_of("queryinst")
    _, watch = plain(detector, photo, [detector.model.roi_head])
    masks = watch.outputs[detector.model.roi_head][-1]["mask_logits"].numpy()
    forward, chosen, _ = forward_of(detector, photo, wanted=Quantity.MASK)
    for detection in chosen:
        kept = forward.kept[detection.index]
        source = forward.extractor.source_of(forward.watch, kept, wanted=Quantity.MASK)
        drawn = masks[kept.row, kept.class_id].ravel()
        unsure = np.flatnonzero(np.abs(drawn) < 1e-4)
        assert set(source.mask.pixels) ^ set(np.flatnonzero(drawn > 0)) <= set(unsure)


def test_solov2_boxes_lie_around_the_masks_that_it_draws(detector_of, photo):
    """Each printed box is the one around the mask of the same row; the mask that ppdet adds is no detection."""
    detector = detector_of("solov2")
    outputs, _ = plain(detector, photo, [])
    masks, scores = outputs["segm"].numpy(), outputs["cate_score"].numpy()
    forward, _, _ = forward_of(detector, photo)
    assert len(forward.detections) == int((scores > 0).sum()) < len(scores) + 1
    for detection in forward.detections:
        assert detection.score == float(scores[detection.index])
        rows, columns = np.nonzero(masks[detection.index])
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert detection.box_xyxy == tuple(float(value) for value in box)


def test_solov2_records_both_scores(detector_of, photo):
    """Matrix NMS lowers printed scores; the candidate's own is recorded and is what the class target reads."""
    forward, _, _ = forward_of(detector_of("solov2"), photo)
    assert all(d.score_before_nms >= d.score - 1e-6 for d in forward.detections)
    assert any(d.score_before_nms > d.score + 1e-3 for d in forward.detections)


def test_solov2_without_a_candidate_has_no_detection(detector_of, photo):
    """Where no cell's class passes the threshold, the mask that ppdet adds is none, and nothing is explained."""
    detector = detector_of("solov2")
    bias = detector.model.solov2_head.solo_cate.bias
    before = bias.numpy()
    try:
        bias.set_value(before - 50.0)
        result = Explainer(detector)(photo)
        assert result.detections == () and not len(result)
        assert (detector.predict(photo)[:, 0] == -1).all()
    finally:
        bias.set_value(before)


def test_solov2_refuses_masks_that_are_not_those_of_nms(detector_of, photo, monkeypatch):
    """Where the masks found here are others than NMS was given, nothing is explained."""
    detector = detector_of("solov2")
    own = type(detector.extractor)._candidates

    def shuffled(*given):
        scores, boxes, positions = own(*given)
        return scores, boxes, positions[::-1]

    monkeypatch.setattr(type(detector.extractor), "_candidates", shuffled)
    with pytest.raises(ScoreMismatchError):
        detector.forward(photo, {})


def test_solov2_explains_any_class_of_a_cell(detector_of, photo):
    """Each class of a mask's cell has its own score, also where a neighbour's is higher: the one that is explained."""
    forward, chosen, _ = forward_of(detector_of("solov2"), photo)
    scores = forward.candidates().scores
    for detection in chosen:
        row = forward.kept[detection.index].row
        source = forward.extractor.source(forward.watch, row)
        said = forward.extractor.outputs(forward.watch, [source]).probabilities.numpy()[0]
        np.testing.assert_allclose(scores[row], said, atol=1e-5)


def test_box_around_by_hand():
    """Outer corners of the pixels; of none, zeros."""
    mask = np.zeros((4, 6), bool)
    assert box_around(mask).tolist() == [0, 0, 0, 0]
    mask[1, 2] = mask[3, 4] = True
    assert box_around(mask).tolist() == [2, 1, 5, 4]
    assert box_around(mask, scale=4).tolist() == [8, 4, 20, 16]


@pytest.mark.parametrize("name", MASKED)
def test_the_pixels_stay_when_the_image_changes(detector_of, photo, name):
    """A replay of the image as it is gives the same number, and its place is the unaltered image's."""
    detector = detector_of(name)
    forward, kept, source, _ = mask_source(detector, photo)
    (replay,) = replays(detector, photo, forward, kept, target_of(detector, "mask"), batch=2)
    np.testing.assert_array_equal(replay.source.mask.pixels, source.mask.pixels)
    as_is, darker = replay.scores_of_images([photo.image, photo.image // 2])
    assert as_is == pytest.approx(replay.score(), rel=1e-3, abs=1e-4)
    assert darker != pytest.approx(as_is, rel=1e-3)


@pytest.mark.parametrize("name", sorted(MASK_LAYERS))
def test_mask_heads_roi_features_have_the_masks_gradient(detector_of, photo, name):
    """The mask's number has a gradient at the RoI features of its own head, which lie at the mask's box."""
    detector, layer = detector_of(name), MASK_LAYERS[name]
    forward, kept, source, roi_layers = mask_source(detector, photo, [layer])
    target = target_of(detector, "mask")
    (((feature,),),) = roi_features(forward, roi_layers, {layer: None}, [kept], target)
    assert feature.roi_xyxy == source.mask.box_xyxy
    size = float(np.linalg.norm(feature.gradients))
    (replay,) = replays(detector, photo, forward, kept, target, batch=2)
    step = 0.0005 / size
    moved = [feature.activations + sign * step * feature.gradients / size for sign in (1, 0, -1)]
    numbers = replay.scores_of_altered_features(feature, moved)
    assert difference(forward, *numbers, step, size) == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize("name", sorted(MASK_LAYERS))
def test_mask_layers_are_for_masks_only(detector_of, photo, name):
    """With another target they are refused before any image is read; with this one they show something."""
    detector, layer = detector_of(name), MASK_LAYERS[name]
    with pytest.raises(LayerError, match="makes masks only, and target 'class' does not depend on it"):
        Explainer(detector, layers=layer)
    for explanation in Explainer(detector, layers=layer, target="mask", draw_threshold=THRESHOLD, top_k=2)(photo):
        assert explanation.status is MapStatus.OK


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("method", ["gradcam", "ablationcam", "occlusion", "eigencam"])
def test_masks_by_every_kind_of_method(detector_of, photo, name, method):
    """Gradients, channels taken out, parts of the image hidden, activations alone: each gives a finite map."""
    explainer = Explainer(detector_of(name), method=method, target="mask", draw_threshold=THRESHOLD, top_k=1, samples=4)
    (explanation,) = explainer(photo)
    assert np.isfinite(explanation.heatmap).all()
    assert explanation.heatmap.any() == (explanation.status is MapStatus.OK)


# --- the first stage


@pytest.mark.parametrize("name", ["faster", "cascade"])
def test_anchor_has_the_score_that_the_rpn_ranked_the_proposal_by(detector_of, photo, name):
    """The logit found for a box's proposal is the one that ppdet's operator gives beside this very proposal."""
    detector = detector_of(name)
    rpn = detector.model.rpn_head
    generator, given = rpn.test_proposal, []

    def noting(**inputs):
        proposed = generator(**inputs)
        given.append((proposed[0].numpy(), proposed[1].numpy().ravel()))
        return proposed

    with replaced_methods(rpn, test_proposal=noting):
        forward, chosen, _ = forward_of(detector, photo, wanted=Quantity.PROPOSAL)
    boxes = np.concatenate([proposals for proposals, _ in given])
    logits = np.concatenate([scores for _, scores in given])
    for detection in chosen:
        kept = forward.kept[detection.index]
        source = forward.extractor.source_of(forward.watch, kept, wanted=Quantity.PROPOSAL)
        number = forward.extractor.outputs(forward.watch, [source], wanted=Quantity.PROPOSAL).proposal
        proposal = forward.extractor.first_rois([source]).numpy()[0]
        ranked = logits[np.abs(boxes - proposal).max(axis=1) == 0]
        assert float(number[0]) == pytest.approx(float(ranked.max()), abs=1e-5)


def test_proposal_has_a_gradient_within_the_rpn_and_none_in_the_second_stage(detector_of, photo):
    """The RPN's own layers are reached by its target; the features of the RoI are not."""
    detector = detector_of("faster")

    def statuses(layer):
        explainer = Explainer(detector, layers=layer, target="rpn", draw_threshold=THRESHOLD, top_k=2)
        return {explanation.status for explanation in explainer(photo)}

    assert statuses("model.rpn_head.rpn_feat") == statuses("model.neck") == {MapStatus.OK}
    assert statuses("model.bbox_head.roi_extractor") == {MapStatus.NO_PATH}


def test_own_level_of_a_proposal_is_its_anchors(detector_of, photo):
    """The level that methods for one level look at is the one with the anchor, where alone there is a gradient."""
    detector = detector_of("faster")
    forward, chosen, _ = forward_of(detector, photo, ["model.neck"], wanted=Quantity.PROPOSAL)
    for detection in chosen:
        kept = forward.kept[detection.index]
        (features,) = features_of(forward, kept, target_of(detector, "rpn"), ["model.neck"])
        with_gradient = [f.is_own_level for f in features if f.gradients is not None and f.gradients.any()]
        assert with_gradient == [True]


# --- queries that see one another


@pytest.mark.parametrize("name", sorted(POOLING))
def test_roi_features_of_queries_have_the_gradient_of_differences(detector_of, photo, name):
    """Each stage's map is of the query's own RoI, and its gradient is what moving these features alone changes."""
    detector, layer = detector_of(name), POOLING[name]
    forward, chosen, roi_layers = forward_of(detector, photo, [layer])
    boxes = [forward.kept[detection.index] for detection in chosen]
    extractor, pooling = forward.extractor, roi_layers[layer]
    found = list(roi_features(forward, roi_layers, {layer: None}, boxes, target_of(detector)))
    for kept, (features,) in zip(boxes, found):
        source = extractor.source(forward.watch, kept.row)
        assert [feature.roi_xyxy for feature in features] == list(source.stage_rois)
        last = features[-1]
        size = float(np.linalg.norm(last.gradients))

        def score(step, last=last, kept=kept, source=source, size=size):
            calls = []

            def moved(*inputs):
                pooled = type(pooling).forward(pooling, *inputs)
                calls.append(1)
                if len(calls) == len(source.stage_rois):
                    change = np.zeros(pooled.shape, np.float32)
                    change[kept.row] = step * last.gradients / size
                    pooled = pooled + paddle.to_tensor(change)
                return pooled

            with paddle.no_grad(), replaced_methods(pooling, forward=moved):
                watch = extractor.second_stage(forward.watch)
                return float(extractor.outputs(watch, [source]).probabilities[0, kept.class_id])

        step = 0.0005 / size
        numbers = [score(step), score(0.0), score(-step)]
        assert difference(forward, *numbers, step, size) == pytest.approx(size, rel=0.03)


def test_all_queries_look_where_they_looked(detector_of, photo):
    """Under a replay of another image the RoIs of every stage are the unaltered image's."""
    for name in POOLING:
        detector = detector_of(name)
        forward, chosen, _ = forward_of(detector, photo)
        source = forward.extractor.source(forward.watch, forward.kept[chosen[0].index].row)
        inputs = {**forward.inputs, "image": forward.inputs["image"] * 0.5}
        watch, _ = detector.replay(inputs, photo, sources=[source])
        rois = np.stack([call[1][0].numpy() for call in watch.inputs[forward.extractor.pooling]])
        np.testing.assert_allclose(rois, source.query_rois, rtol=1e-5, atol=1e-4)


def test_layer_that_runs_in_every_stage_is_not_altered_alone(detector_of, photo):
    """Taking channels out of features that are pooled once per stage is refused with the reason."""
    explainer = Explainer(detector_of("sparse"), layers=POOLING["sparse"], method="ablationcam", top_k=1)
    with pytest.raises(LayerError, match="runs 3 times per image"):
        explainer(photo, draw_threshold=THRESHOLD)


def test_sparse_rcnn_without_a_detection_gives_none(detector_of, photo):
    """ppdet's row of zeros, for an image whose boxes are all a pixel or less wide, is no detection."""
    detector = detector_of("sparse")
    deltas = [stage.bboxes_delta for stage in detector.model.head.head_series]
    before = [layer.bias.numpy() for layer in deltas]
    try:
        for layer, bias in zip(deltas, before):
            layer.bias.set_value(bias - np.array([0, 0, 9, 9], np.float32))
        assert (detector.predict(photo)[:, 0] == -1).all()
        assert Explainer(detector)(photo).detections == ()
    finally:
        for layer, bias in zip(deltas, before):
            layer.bias.set_value(bias)


@pytest.mark.skipif("ppyoloe_ins" not in FAMILIES, reason="a head of PaddleDetection's develop branch")
def test_mask_is_the_one_that_ppyoloe_ins_draws(detector_of, photo):
    """The covered pixels, enlarged, are nearly the printed mask: it is cut to the box and enlarged bilinearly."""
    detector = detector_of("ppyoloe_ins")
    inputs, _ = detector.reader.prepare(photo)
    with paddle.no_grad(), pytest.warns(UserWarning, match="copy construct"):
        drawn = detector.model(inputs)["mask"].numpy() > 0
    forward, chosen, _ = forward_of(detector, photo, wanted=Quantity.MASK)
    for detection in chosen:
        source = forward.extractor.source_of(forward.watch, forward.kept[detection.index], wanted=Quantity.MASK)
        height, width = forward.watch.outputs[detector.model.yolo_head.proto][-1].shape[2:]
        small = np.zeros(height * width)
        small[source.mask.pixels] = 1
        mask = drawn[detection.index]
        rows = (np.arange(mask.shape[0]) * height // mask.shape[0])[:, None]
        columns = (np.arange(mask.shape[1]) * width // mask.shape[1])[None]
        enlarged = small.reshape(height, width)[rows, columns] > 0
        # a seeded head's masks are speckled, which enlarging smooths
        assert (enlarged & mask).sum() / (enlarged | mask).sum() > 0.6
