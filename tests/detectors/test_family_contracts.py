"""What a family's extractor says of a box beside its score: the box itself, other quantities, altered images."""

from __future__ import annotations

import dataclasses

import numpy as np
import paddle
import pytest
from support.families import FAMILIES
from support.gradient_checks import (
    BACKBONE,
    assert_target_equals_differences,
    features_of,
    forward_of,
    gradients_of,
    slope,
    target_of,
    targets_of,
)
from support.places import ROOT

from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.families.jde import JDEExtractor
from ppdet_cam.detectors.families.solov2 import MASK_STRIDE
from ppdet_cam.detectors.inner_layers import feature_layers
from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.gradients import roi_features
from ppdet_cam.explaining.projection import box_on_original
from ppdet_cam.explaining.replay import candidates_of_images, masked, replays
from ppdet_cam.methods import cells_reached
from ppdet_cam.questions.boxes import own_score
from ppdet_cam.questions.targets import parse_target, targets
from ppdet_cam.structures import Quantity

# layers behind which no class score lies, and layers before the scores, by family
NOT_REACHED = {
    "ppyoloe": ("model.yolo_head.stem_reg.0", "model.yolo_head.pred_reg.0"),
    "faster": ("model.rpn_head.rpn_feat", "model.rpn_head.rpn_rois_score"),
    "mask": ("model.rpn_head.rpn_feat", "model.rpn_head.rpn_rois_score"),
    "blazeface": ("model.blaze_head.boxes0", "model.blaze_head.boxes1"),
    "ssd": ("model.ssd_head.boxes0", "model.ssd_head.boxes5"),
    "retinanet": ("model.head.retina_reg",),
    "yolov3": (),  # one layer gives boxes and scores
    "picodet": ("model.head.head_reg_list.0", "model.head.head_reg_list.3"),
    "picodet_v1": (),  # one layer gives boxes and scores
    "gfl": ("model.head.gfl_head_reg", "model.head.p3_feat"),
    "yolox": (),  # one layer gives boxes and objectness
    "fcos": ("model.fcos_head.fcos_head_reg",),
    "tood": ("model.head.tood_reg", "model.head.reg_offset_conv2"),
    "yolof": ("model.head.bbox_pred",),
    "cascade": ("model.rpn_head.rpn_feat", "model.rpn_head.rpn_rois_score"),
    "ppyolo": (),
    "detr": (),  # what gives scores and boxes gives them for queries, which are no places
    "deformable_detr": (),
    "dino": (),
    "centernet": ("model.head.size", "model.head.offset"),
    "ttfnet": ("model.ttf_head.wh_head",),
    "fairmot": ("model.head.size", "model.head.offset"),
    "centertrack": ("model.head.size", "model.plugin_head.tracking"),
    "jde": (),
    "ppyoloe_ins": ("model.yolo_head.stem_reg.0", "model.yolo_head.pred_reg.0"),
    "solov2": (),  # the score depends on the mask too
    "sparse": (),  # its layers beside the pooling give no maps
    "queryinst": (),
    "ppyoloe_r": ("model.yolo_head.stem_angle.0", "model.yolo_head.pred_reg.0"),
    "fcosr": ("model.yolo_head.stem_reg.0", "model.yolo_head.pred_wh"),
    "s2anet": ("model.s2anet_head.odm_reg", "model.s2anet_head.fam_cls"),
}
SCORE_LAYERS = {
    "ppyoloe": "model.yolo_head.pred_cls.2",
    "faster": "model.bbox_head.roi_extractor",
    "mask": "model.bbox_head.roi_extractor",
    "blazeface": "model.blaze_head.scores0",
    "ssd": "model.ssd_head.scores0",
    "retinanet": "model.head.retina_cls",
    "yolov3": "model.yolo_head.yolo_output.0",
    "picodet": "model.head.cls_align.0",
    "picodet_v1": "model.head.head_cls0",
    "gfl": "model.head.gfl_head_cls",
    "yolox": "model.head.conv_cls.0",
    "fcos": "model.fcos_head.fcos_head_centerness",
    "tood": "model.head.cls_prob_conv2",
    "yolof": "model.head.object_pred",
    "cascade": "model.bbox_head.roi_extractor",
    "ppyolo": "model.yolo_head.yolo_output.0",
    "detr": "model.transformer.encoder",
    "deformable_detr": "model.transformer.encoder.layers.0",
    "dino": "model.transformer.encoder",
    "centernet": "model.head.heatmap",
    "ttfnet": "model.ttf_head.hm_head",
    "fairmot": "model.head.heatmap",
    "centertrack": "model.head.heatmap",
    "jde": "model.yolo_head.yolo_output.0",
    "ppyoloe_ins": "model.yolo_head.pred_cls.2",
    "solov2": "model.solov2_head.bbox_head.solo_cate",
    "sparse": "model.head.box_pooler",
    "queryinst": "model.roi_head.bbox_roi_extractor",
    "ppyoloe_r": "model.yolo_head.pred_cls.2",
    "fcosr": "model.yolo_head.pred_cls",
    "s2anet": "model.s2anet_head.fam_reg",
}
# what a family's head says beside class probabilities, logits and boxes
MORE_QUANTITIES = {
    "yolov3": {"objectness"},
    "ppyolo": {"objectness", "iou"},
    "yolox": {"objectness"},
    "yolof": {"objectness"},
    "fcos": {"centerness"},
    "faster": {"rpn"},
    "mask": {"rpn", "mask"},
    "cascade": {"rpn"},
    "queryinst": {"mask"},
    "solov2": {"mask"},
    "ppyoloe_ins": {"mask"},
    "ppyoloe_r": {"rotated"},
    "fcosr": {"rotated"},
    "s2anet": {"rotated"},
}
EXTRA_TARGETS = ("objectness", "iou", "centerness", "mask", "rpn", "rotated")
RCNNS = ("faster", "mask")


@pytest.fixture(scope="module")
def passes(detector_of, photo):
    """Gives a family's forward pass with the graph of the boxes, run once."""
    done = {}

    def get(name):
        if name not in done:
            done[name] = forward_of(detector_of(name), photo, wanted=Quantity.BOXES)
        return done[name]

    return get


def least_saturated(forward, chosen):
    """The candidate of the chosen box whose score is the least saturated one."""
    return forward.kept[max(chosen, key=lambda detection: slope(detection.score)).index]


def second_class(forward, kept):
    """The class with the highest score at a candidate's place, its own apart."""
    scores = forward.candidates().scores[kept.row].copy()
    scores[kept.class_id] = -1.0
    return int(scores.argmax())


def as_printed(detector, box_xyxy, original_hw):
    """A box as this detector prints it: some clip to the image, `yolo_box` to its last pixel, JDE to whole pixels."""
    height, width = original_hw
    if isinstance(detector.extractor, JDEExtractor):
        return np.round(np.maximum(box_xyxy, 0))
    if hasattr(detector.model, "bbox_head") or detector.name.startswith(("TOOD", "YOLOF", "SparseRCNN", "QueryInst")):
        return np.clip(box_xyxy, 0, [width, height, width, height])
    if hasattr(detector.model, "s2anet_head"):  # each corner, to the last pixel
        return np.clip(box_xyxy, 0, [width - 1, height - 1, width - 1, height - 1])
    if hasattr(detector.model, "yolo_head") and detector.model.post_process is not None:
        return np.clip(box_xyxy, [0, 0, -np.inf, -np.inf], [np.inf, np.inf, width - 1, height - 1])
    return np.array(box_xyxy)


# --- boxes and candidates


@pytest.mark.smoke
def test_decoded_box_equals_the_printed_one(family, detector, photo, passes):
    """What `outputs` says of a box, brought to the original image, is the box that the detector prints."""
    forward, _, _ = passes(family.name)
    if Quantity.BOXES not in forward.extractor.quantities:
        pytest.skip("its boxes are those around its masks")
    for detection in forward.detections:
        kept = forward.kept[detection.index]
        source = forward.extractor.source(forward.watch, kept.row)
        boxes = forward.extractor.outputs(forward.watch, [source], wanted=Quantity.BOXES).boxes_xyxy.numpy()[0]
        decoded = boxes[kept.class_id if len(boxes) > 1 else 0]
        found = np.array(box_on_original(tuple(float(value) for value in decoded), forward.geometry))
        if hasattr(detector.model, "plugin_head"):  # CenterTrack's boxes count from a pixel's middle, as `cv2` warps
            found += 0.5 / np.tile(forward.geometry.scale_yx[::-1], 2) - 0.5
        printed = as_printed(detector, found, photo.original_hw)
        np.testing.assert_allclose(printed, detection.box_xyxy, rtol=1e-4, atol=0.02)


def test_boxes_are_given_only_where_asked_for(family, passes):
    """Without `wanted=Quantity.BOXES` nothing is decoded."""
    forward, chosen, _ = passes(family.name)
    source = forward.extractor.source(forward.watch, forward.kept[chosen[0].index].row)
    assert forward.extractor.outputs(forward.watch, [source]).boxes_xyxy is None


@pytest.mark.smoke
def test_candidates_are_the_printed_boxes_and_scores_at_the_kept_rows(family, detector, photo, passes):
    """The candidate that a detection was before NMS has its class score exactly, and its box but for clipping."""
    forward, _, _ = passes(family.name)
    candidates = forward.candidates()
    assert candidates.scores.shape[1] == len(detector.class_names)
    assert candidates.boxes_xyxy.shape[:2] in {(len(candidates.scores), n) for n in (1, len(detector.class_names))}
    apart = []
    for detection in forward.detections:
        kept = forward.kept[detection.index]
        assert float(candidates.scores[kept.row, kept.class_id]) == own_score(detection)
        column = kept.class_id if candidates.boxes_xyxy.shape[1] > 1 else 0
        box = as_printed(detector, candidates.boxes_xyxy[kept.row, column], photo.original_hw)
        apart.append(np.abs(box - detection.box_xyxy).max())
    if family.name == "solov2":  # NMS sees a mask's cells; what is printed is enlarged, and may lose faint ones
        cell = max(MASK_STRIDE / scale for scale in forward.geometry.scale_yx)
        assert np.mean(np.array(apart) <= cell) > 0.9
    else:
        assert max(apart) < 5e-3


def test_several_sources_give_what_each_gives_alone(family, passes):
    """Row k of the outputs is of source k and depends on no other."""
    forward, chosen, _ = passes(family.name)
    sources = [forward.extractor.source(forward.watch, forward.kept[d.index].row) for d in chosen]
    together = forward.extractor.outputs(forward.watch, sources, wanted=Quantity.BOXES)
    for row, source in enumerate(sources):
        alone = forward.extractor.outputs(forward.watch, [source], wanted=Quantity.BOXES)
        for field in dataclasses.fields(together):
            of_all, of_one = getattr(together, field.name), getattr(alone, field.name)
            assert (of_all is None) == (of_one is None)
            if of_all is not None:
                np.testing.assert_allclose(of_all[row].numpy(), of_one[0].numpy(), rtol=1e-3, atol=1e-4)


# --- targets


@pytest.mark.smoke
def test_every_target_has_the_gradient_of_its_differences(family, detector, photo, passes):
    """Each number that the family's head gives has, at the backbone, the gradient that differences show."""
    forward, chosen, _ = passes(family.name)
    kept = least_saturated(forward, chosen)
    for text in targets_of(detector, kept, second_class(forward, kept)):
        needed = target_of(detector, text).quantity
        if detector.extractor.explained_layers(needed):  # `passes` runs them without a graph
            own, _, _ = forward_of(detector, photo, wanted=needed)
        else:
            own = forward
        assert_target_equals_differences(detector, photo, own, kept, text)


def test_quantities_are_what_the_outputs_hold(family, passes):
    """A head that says it has a quantity gives it, and gives no other."""
    forward, chosen, _ = passes(family.name)
    source = forward.extractor.source(forward.watch, forward.kept[chosen[0].index].row)
    outputs = forward.extractor.outputs(forward.watch, [source], wanted=Quantity.BOXES)
    given = {
        Quantity.PROBABILITIES: outputs.probabilities,
        Quantity.LOGITS: outputs.logits,
        Quantity.BOXES: outputs.boxes_xyxy,
        Quantity.OBJECTNESS: outputs.objectness,
        Quantity.QUALITY: outputs.quality,
        Quantity.CENTERNESS: outputs.centerness,
        Quantity.ROTATED: outputs.rotated,
    }
    kept = forward.kept[chosen[0].index]
    for quantity, name in ((Quantity.MASK, "mask"), (Quantity.PROPOSAL, "proposal")):  # given where asked for only
        assert getattr(outputs, name) is None
        if quantity in forward.extractor.quantities:
            source = forward.extractor.source_of(forward.watch, kept, wanted=quantity)
            given[quantity] = getattr(forward.extractor.outputs(forward.watch, [source], wanted=quantity), name)
    assert {quantity for quantity, value in given.items() if value is not None} == forward.extractor.quantities
    assert outputs.probabilities.shape == outputs.logits.shape == [1, len(passes_classes(forward))]


def passes_classes(forward):
    """The classes of a forward pass, by its candidates' columns."""
    return range(forward.candidates().scores.shape[1])


def test_target_that_the_head_has_not_is_refused(family, detector):
    """Asking for it names the detector and every target that it has."""
    known = detector.extractor.quantities
    missing = [name for name in targets.names() if targets.get(name).quantity not in known]
    without_boxes = {"box"} if family.name == "solov2" else set()
    assert set(missing) == set(EXTRA_TARGETS) - MORE_QUANTITIES.get(family.name, set()) | without_boxes
    there = [targets.get(name).form for name in targets.names() if name not in missing]
    for name in missing:
        with pytest.raises(ConfigError) as caught:
            parse_target(name, detector.class_names, known=known, detector=detector.name)
        needs = targets.get(name).quantity.value
        assert str(caught.value) == (
            f"target {name!r} needs the head's {needs}, which {detector.name} has not. It has: {', '.join(there)}"
        )


def test_class_gradients_need_no_graph_of_the_boxes(family, detector, photo, passes):
    """Where only scores are explained the box branch runs without a graph, and no class gradient changes by that."""
    with_boxes, chosen, _ = passes(family.name)
    without, _, _ = forward_of(detector, photo)
    assert with_boxes.detections == without.detections
    for detection in chosen:
        kept = without.kept[detection.index]
        (one,), (other,) = (features_of(forward, kept, target_of(detector)) for forward in (with_boxes, without))
        for wanted, given in zip(gradients_of(one), gradients_of(other)):
            np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-6 * max(np.abs(wanted).max(), 1e-12))


def test_box_target_without_the_graph_of_the_boxes_has_no_path(detector_of, photo):
    """It is the forward pass that says whether boxes will be explained: without, PP-YOLOE's have no gradient."""
    detector = detector_of("ppyoloe")
    forward, chosen, _ = forward_of(detector, photo)
    parts = features_of(forward, forward.kept[chosen[0].index], target_of(detector, "box:left"))
    assert all(feature.gradients is None for part in parts for feature in part)


@pytest.mark.parametrize("name", RCNNS)
def test_roi_features_have_the_box_targets_gradient(detector_of, photo, name):
    """The second stage's box has a gradient at the RoI's own features, one per side, of its own class's box."""
    detector = detector_of(name)
    layer = SCORE_LAYERS[name]
    forward, chosen, roi_layers = forward_of(detector, photo, [layer], wanted=Quantity.BOXES)
    kept = forward.kept[chosen[0].index]
    (parts,) = roi_features(forward, roi_layers, {layer: None}, [kept], target_of(detector, "box"))
    source = forward.extractor.source(forward.watch, kept.row)
    for replay, (feature,) in zip(replays(detector, photo, forward, kept, target_of(detector, "box"), batch=2), parts):
        size = float(np.linalg.norm(feature.gradients))
        assert size > 0 and feature.roi_xyxy == source.roi_xyxy
        step = 0.05 / size
        moved = [feature.activations + sign * step * feature.gradients / size for sign in (1, -1)]
        high, low = replay.scores_of_altered_features(feature, moved)
        assert (high - low) / (2 * step) == pytest.approx(size, rel=0.02)


# --- replays


def numbers_of(extractor, watch, source, image=0):
    """Everything that the head says at one place."""
    with paddle.no_grad():
        outputs = extractor.outputs(watch, [source], wanted=Quantity.BOXES, image=image)
    values = (outputs.probabilities, outputs.boxes_xyxy, outputs.objectness, outputs.quality, outputs.centerness)
    return np.concatenate([value.numpy().ravel() for value in values if value is not None])


def sources_of(forward, chosen):
    """The places in the head of the chosen boxes."""
    return [forward.extractor.source(forward.watch, forward.kept[detection.index].row) for detection in chosen]


def altered_images(photo):
    """Two images of the photograph's size that differ from it and from one another: a half of each is darkened."""
    height, width = photo.original_hw
    left, top = np.ones((height, width)), np.ones((height, width))
    left[:, : width // 2], top[: height // 2] = 0.3, 0.5
    return [masked(photo, mask) for mask in (left, top)]


@pytest.mark.smoke
def test_replay_of_the_same_image_changes_nothing(family, detector, photo, passes):
    """The unaltered image, run again up to NMS, gives the same candidates, also when only some places are asked for."""
    forward, chosen, _ = passes(family.name)
    _, record = detector.replay(forward.inputs, photo)
    again, candidates = detector.extractor.candidates(record, forward.geometry), forward.candidates()
    np.testing.assert_allclose(again.scores, candidates.scores, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(again.boxes_xyxy, candidates.boxes_xyxy, rtol=1e-4, atol=1e-2)
    for source in sources_of(forward, chosen):
        watch, _ = detector.replay(forward.inputs, photo, sources=[source])
        np.testing.assert_allclose(
            numbers_of(detector.extractor, watch, source),
            numbers_of(detector.extractor, forward.watch, source),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.smoke
def test_image_of_a_batch_gives_what_it_gives_alone(family, detector, photo, passes):
    """Image k of a batch of two different images has the numbers, and the candidates, that it has by itself."""
    forward, chosen, _ = passes(family.name)
    source = sources_of(forward, chosen)[0]
    images = altered_images(photo)
    together, _ = detector.replay(detector.reader.prepare_batch(images)[0], photo, sources=[source])
    numbers = []
    for position, image in enumerate(images):
        alone, _ = detector.replay(detector.reader.prepare(image)[0], photo, sources=[source])
        numbers.append(numbers_of(detector.extractor, alone, source))
        np.testing.assert_allclose(
            numbers_of(detector.extractor, together, source, image=position), numbers[-1], rtol=1e-3, atol=1e-3
        )
    assert not np.allclose(*numbers, rtol=1e-2), "the alterations change nothing"
    for batched, image in zip(candidates_of_images(detector, photo, images), images):
        (single,) = candidates_of_images(detector, photo, [image])
        np.testing.assert_allclose(batched.scores, single.scores, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(batched.boxes_xyxy, single.boxes_xyxy, rtol=1e-3, atol=1e-2)


def test_replay_of_unaltered_features_changes_nothing(family, detector, photo, passes):
    """A captured feature map put back in its own place gives the number of the image as it is."""
    forward, chosen, _ = passes(family.name)
    kept = forward.kept[chosen[0].index]
    (features,) = features_of(forward, kept, target_of(detector))
    (replay,) = replays(detector, photo, forward, kept, target_of(detector), batch=2)
    assert replay.score() == pytest.approx(kept.score, abs=5e-5)
    feature = next(feature for feature in features if feature.is_own_level)
    scores = list(replay.scores_of_altered_features(feature, [feature.activations] * 3))
    assert scores == pytest.approx([kept.score] * 3, abs=5e-5)


def test_replay_leaves_no_method_replaced(family, detector, photo, passes):
    """After a replay that ends at NMS the model runs as before."""
    forward, chosen, _ = passes(family.name)
    before = detector.predict(photo)
    source = sources_of(forward, chosen)[0]
    detector.replay(
        forward.inputs, photo, outputs={detector.model.backbone: forward.capture.outputs[BACKBONE][0]}, sources=[source]
    )
    assert all("forward" not in layer.__dict__ for layer in detector.model.sublayers(include_self=True))
    np.testing.assert_array_equal(detector.predict(photo), before)


# --- layers


def test_feature_layers_say_which_gradients_reach(family, detector, photo):
    """Backbone, neck and class branch are reached from the class scores; RPN and box branch are not."""
    layers = {layer.path: layer for layer in feature_layers(detector, photo, cells_of=cells_reached)}
    reached = [BACKBONE, SCORE_LAYERS[family.name]]
    if getattr(detector.model, "neck", None) is not None:
        reached.append("model.neck")
    for path in (*reached, *NOT_REACHED[family.name]):
        assert layers[path].reached == (path in reached), path
    assert {path for path, layer in layers.items() if layer.per_roi} == {
        path
        for path in layers
        if detector.extractor.roi_head is not None
        and path.startswith((f"model.{detector.extractor.head_name}.", "model.mask_head."))
    }
    for path, _ in detector.extractor.recommended_layers:
        assert path not in layers or layers[path].reached


# --- IoU awareness


@pytest.fixture(scope="module")
def iou_aware(detector_of, photo):
    """PP-YOLO tiny with a head that predicts the IoU as well: the seeded weights, and seeded channels in front."""
    seeded, family = detector_of("yolov3"), FAMILIES["yolov3"]
    overrides = ["YOLOv3Head.iou_aware=true", "YOLOv3Head.iou_aware_factor=0.4"]
    detector, _ = build_detector(ROOT / family.config, overrides=overrides)
    weights = {name: value.numpy() for name, value in seeded.model.state_dict().items()}
    random = np.random.default_rng(0)
    for name, value in detector.model.state_dict().items():
        array = weights[name]
        if "yolo_output" in name:
            extra = (len(seeded.model.yolo_head.anchors[0]), *array.shape[1:])
            scale = float(array.std()) if array.ndim > 1 else 1.0
            array = np.concatenate([random.normal(0, scale, extra).astype(np.float32), array])
        value.set_value(array)
    return detector


@pytest.fixture(scope="module")
def iou_aware_pass(iou_aware, photo):
    """Its forward pass, and the candidate of a detection whose score is not saturated."""
    forward = iou_aware.forward(photo, iou_aware.layers([BACKBONE])[0], wanted=Quantity.BOXES)
    return forward, forward.kept[max(forward.detections, key=lambda detection: slope(detection.score)).index]


def test_iou_aware_score_is_the_product_of_its_parts(iou_aware, iou_aware_pass):
    """objectness^(1 - f) * IoU^f * class probability is every printed score, with f = 0.4."""
    forward, _ = iou_aware_pass
    assert len(forward.detections) > 5
    for detection in forward.detections:
        kept = forward.kept[detection.index]
        source = forward.extractor.source(forward.watch, kept.row)
        outputs = forward.extractor.outputs(forward.watch, [source])
        class_probability = 1 / (1 + np.exp(-float(outputs.logits[0, kept.class_id])))
        objectness, quality = float(outputs.objectness[0]), float(outputs.quality[0])
        assert objectness**0.6 * quality**0.4 * class_probability == pytest.approx(detection.score, rel=1e-4)
        assert float(outputs.probabilities[0, kept.class_id]) == pytest.approx(detection.score, rel=1e-4)


def test_iou_aware_targets_have_the_gradients_of_their_differences(iou_aware, iou_aware_pass, photo):
    """The predicted IoU, the raw objectness and the mixed score each have the gradient that differences show."""
    forward, kept = iou_aware_pass
    texts = targets_of(iou_aware, kept, second_class(forward, kept))
    assert {"iou", "objectness", "class", "box"} <= set(texts)
    for text in texts:
        assert_target_equals_differences(iou_aware, photo, forward, kept, text)
