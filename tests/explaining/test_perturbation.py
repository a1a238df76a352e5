"""Perturbation methods ask the detector what they say they ask: each number found again by another route."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from support.gradient_checks import BACKBONE, forward_of, score_from_backbone, target_of

from ppdet_cam import Explainer
from ppdet_cam.errors import LayerError
from ppdet_cam.explaining.evidence import placement_of
from ppdet_cam.explaining.gradients import image_features, roi_features
from ppdet_cam.explaining.perturbation import black_box_maps, with_channel_scores
from ppdet_cam.explaining.projection import project
from ppdet_cam.explaining.replay import candidates_of_images, masked
from ppdet_cam.methods import ablationcam, channel_mask, detection_similarity, random_masks, scorecam
from ppdet_cam.questions.question import Question
from ppdet_cam.structures import MapStatus, Quantity

ROI_LAYER = "model.bbox_head.roi_extractor"


@dataclasses.dataclass
class Case:
    """One box of one family, with its own level of the backbone."""

    detector: object
    frame: object
    forward: object
    kept: object
    features: list

    @property
    def own(self):
        """The feature map of the level that the box was made from."""
        return next(feature for feature in self.features if feature.is_own_level)

    def scored(self, method, text="class", *, features=None, samples=4, batch=3):
        """The feature maps with the channels' scores, part by part."""
        question = Question(method=method, target=text, samples=samples, batch=batch)
        target = target_of(self.detector, text)
        per_part = [self.features if features is None else features] * len(target.parts)
        return with_channel_scores(self.detector, self.frame, self.forward, question, target, self.kept, per_part)


@pytest.fixture(scope="module")
def case_of(detector_of, photo):
    """Gives the most certain box of a family."""
    made = {}

    def get(name):
        if name not in made:
            detector = detector_of(name)
            forward, chosen, _ = forward_of(detector, photo)
            kept = forward.kept[max(chosen, key=lambda detection: detection.score).index]
            levels = {BACKBONE: forward.capture.chosen(BACKBONE, None)}
            (features,) = image_features(forward, levels, kept, target_of(detector), gradients=False)
            made[name] = Case(detector, photo, forward, kept, features)
        return made[name]

    return get


def most_active(activations, count):
    """The channels with the largest sums of absolute activations, in their order."""
    return sorted(np.argsort(-np.abs(activations).sum(axis=(1, 2)), kind="stable")[:count])


@contextlib.contextmanager
def channel_set_to_zero(layer, level, channel):
    """Zeroes one channel of one of a layer's outputs while the context lasts, by a hook."""

    def change(_layer, _inputs, output):
        tensors = list(output) if isinstance(output, (list, tuple)) else [output]
        values = tensors[level].numpy()
        values[:, channel] = 0.0
        tensors[level] = paddle.to_tensor(values)
        return tensors if isinstance(output, (list, tuple)) else tensors[0]

    handle = layer.register_forward_post_hook(change)
    try:
        yield
    finally:
        handle.remove()


def ssd_outputs(detector, frame):
    """Logits and softmax of every anchor of an SSD, from a hook on a plain run."""
    seen = []
    hook = detector.model.ssd_head.register_forward_post_hook(lambda _l, _i, output: seen.append(output))
    try:
        detector.predict(frame)
    finally:
        hook.remove()
    (_, level_logits), _ = seen[0]
    logits = paddle.concat(level_logits, axis=1)[0]
    return logits.numpy(), F.softmax(logits, axis=-1).numpy()


# Ablation-CAM


def test_ablated_scores_are_those_of_a_run_without_the_channel(case_of):
    """A hook zeroes each channel of the backbone's level in a whole run; the score at the box's row is the same."""
    case = case_of("ssd")
    ((feature,),) = case.scored("ablationcam", features=[case.own], samples=3)
    channels = most_active(case.own.activations, 3)
    np.testing.assert_array_equal(feature.activations, case.own.activations[channels])
    assert feature.score == pytest.approx(case.kept.score, abs=1e-6)
    for channel, found in zip(channels, feature.channel_scores):
        with channel_set_to_zero(case.detector.model.backbone, case.own.level, channel):
            _, probabilities = ssd_outputs(case.detector, case.frame)
        assert found == pytest.approx(float(probabilities[case.kept.row, case.kept.class_id]), abs=1e-5)
    assert np.ptp(feature.channel_scores) > 1e-5, "no channel matters"


@pytest.mark.smoke
def test_ablated_scores_are_those_of_ppdets_own_heads(family, case_of):
    """The zeroed channel goes through ppdet's neck and head; an R-CNN's proposals stay as they were."""
    case = case_of(family.name)
    ((*_, feature),) = case.scored("ablationcam", features=[case.own], samples=2)
    for channel, found in zip(most_active(case.own.activations, 2), feature.channel_scores):
        values = [paddle.to_tensor(each.activations[None].copy()) for each in case.features]
        values[case.own.level][:, int(channel)] = 0.0
        with paddle.no_grad():
            wanted = float(score_from_backbone(case.detector, values, case.forward, case.kept))
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", ["faster", "mask"])
def test_ablated_roi_scores_are_those_of_a_run_without_the_channel(case_of, name):
    """The same at the RoI's own features: a hook zeroes a channel there, and the second stage runs on that RoI."""
    case = case_of(name)
    detector, kept = case.detector, case.kept
    forward, _, roi_layers = forward_of(detector, case.frame, [ROI_LAYER])
    ((features,),) = roi_features(forward, roi_layers, {ROI_LAYER: None}, [kept], target_of(detector))
    (plain,) = features
    question = Question(layers=(ROI_LAYER,), method="ablationcam", samples=4, batch=3)
    ((feature,),) = with_channel_scores(detector, case.frame, forward, question, target_of(detector), kept, [features])
    head = detector.model.bbox_head
    inputs, rois = forward.watch.inputs[head][0][:2]
    roi, count = rois[0][kept.row : kept.row + 1], paddle.to_tensor([1], dtype="int32")
    for channel, found in zip(most_active(plain.activations, 4), feature.channel_scores):
        with channel_set_to_zero(head.roi_extractor, 0, channel), paddle.no_grad():
            (_, scores), _ = head(inputs, [roi], count, None)
        assert found == pytest.approx(float(scores[0, kept.class_id]), abs=5e-5)  # matrix products of other sizes
    assert np.ptp(feature.channel_scores) > 1e-6


def test_ablationcam_map_is_made_of_the_own_level_only(case_of):
    """The explanation's map is the formula's on the box's own level, laid over the image; no other level takes part."""
    case = case_of("ssd")
    scored = case.scored("ablationcam")[0]
    (own,) = [feature for feature in scored if feature.channel_scores is not None]
    assert own.is_own_level and [feature.level for feature in scored] == list(range(len(case.features)))
    grid_map = ablationcam(own.activations, own.score, own.channel_scores)
    placement = placement_of(own, case.forward.geometry, cell_strides=case.forward.cell_strides)
    expected = project(grid_map, placement, original_hw=case.frame.original_hw)
    explainer = Explainer(case.detector, method="ablationcam", samples=4, batch=3)
    index = next(index for index, kept in case.forward.kept.items() if kept == case.kept)
    (explanation,) = explainer(case.frame, box_index=[index])
    assert explanation.status is MapStatus.OK
    np.testing.assert_allclose(explanation.heatmap, expected, rtol=1e-4, atol=1e-6 * expected.max())
    assert [level.share for level in explanation.levels] == [float(f.is_own_level) for f in scored]


def test_ablation_of_a_box_side_asks_for_the_side(detector_of, photo):
    """Targets read from the box are ablated as well: each side moves as it does in a run without the channel."""
    detector = detector_of("ssd")
    forward, chosen, _ = forward_of(detector, photo, wanted=Quantity.BOXES)
    kept, target = forward.kept[chosen[0].index], target_of(detector, "box")
    assert target.quantity is Quantity.BOXES
    levels = {BACKBONE: forward.capture.chosen(BACKBONE, None)}
    per_part = image_features(forward, levels, kept, target, gradients=False)
    question = Question(method="ablationcam", target="box", samples=2)
    scored = with_channel_scores(detector, photo, forward, question, target, kept, per_part)
    own = next(feature for feature in per_part[0] if feature.is_own_level)
    printed = np.array(chosen[0].box_xyxy)
    (scale_y, scale_x) = forward.geometry.scale_yx
    outwards = np.array([-scale_x, -scale_y, scale_x, scale_y])
    found = [next(feature for feature in part if feature.channel_scores is not None) for part in scored]
    assert [feature.score for feature in found] == pytest.approx(list(printed * outwards), abs=0.02)
    for position, channel in enumerate(most_active(own.activations, 2)):
        with channel_set_to_zero(detector.model.backbone, own.level, channel):
            boxes = detector.forward(photo, {}).candidates().boxes_xyxy[kept.row, 0]
        wanted = list(boxes * outwards)
        assert [feature.channel_scores[position] for feature in found] == pytest.approx(wanted, abs=0.02)


def test_layer_that_runs_several_times_cannot_be_ablated(detector_of, photo):
    """RetinaNet's class layer runs once per level; the message says how often, and what to do."""
    explainer = Explainer(detector_of("retinanet"), layers="model.head.retina_cls", method="ablationcam", samples=1)
    with pytest.raises(LayerError, match=r"'model\.head\.retina_cls' runs 5 times per image.*choose another layer"):
        explainer(photo)


def test_layer_that_runs_several_times_can_be_masked(detector_of, photo):
    """Score-CAM alters the image, so such a layer is no problem."""
    explainer = Explainer(detector_of("retinanet"), layers="model.head.retina_cls", method="scorecam", samples=1)
    assert next(explainer.stream(photo).explanations).status in (MapStatus.OK, MapStatus.NEGATIVE)


# Score-CAM


def masks_of(case, feature, channels):
    """Each channel between 0 and 1, laid over the image, between 0 and 1 again: what Score-CAM masks the image by."""
    placement = placement_of(feature, case.forward.geometry, cell_strides=case.forward.cell_strides)
    return [
        channel_mask(project(channel_mask(feature.activations[channel]), placement, original_hw=case.frame.original_hw))
        for channel in channels
    ]


@pytest.mark.smoke
def test_scorecam_scores_are_the_logits_of_the_masked_images(case_of):
    """Each channel masks the image; the detector, run on that image as on any other, gives the channel's logit."""
    case = case_of("ssd")
    ((feature,),) = case.scored("scorecam", features=[case.own], samples=3)
    for mask, found in zip(masks_of(case, case.own, most_active(case.own.activations, 3)), feature.channel_scores):
        assert (mask.min(), mask.max()) == (0.0, 1.0)
        logits, _ = ssd_outputs(case.detector, masked(case.frame, mask))
        assert found == pytest.approx(float(logits[case.kept.row, case.kept.class_id]), rel=1e-4, abs=1e-4)
    logits, _ = ssd_outputs(case.detector, case.frame)
    assert feature.score == pytest.approx(float(logits[case.kept.row, case.kept.class_id]), abs=1e-4)
    assert np.ptp(feature.channel_scores) > 1e-3


def test_scorecam_asks_for_the_target_that_is_named(case_of):
    """Another target than the class is taken as it is: the difference of two scores of the masked image."""
    case = case_of("ssd")
    other = (case.kept.class_id + 1) % len(case.detector.class_names)
    ((feature,),) = case.scored("scorecam", f"contrast:{other}", features=[case.own], samples=1)
    (mask,) = masks_of(case, case.own, most_active(case.own.activations, 1))
    _, probabilities = ssd_outputs(case.detector, masked(case.frame, mask))
    scores = probabilities[case.kept.row]
    assert feature.channel_scores[0] == pytest.approx(float(scores[case.kept.class_id] - scores[other]), abs=1e-5)


def test_scorecam_masks_a_roi_to_nothing_outside(case_of, monkeypatch):
    """At a RoI's features the mask is 0 where the RoI is not, whatever the channel's sign."""
    case = case_of("faster")
    forward, _, roi_layers = forward_of(case.detector, case.frame, [ROI_LAYER])
    target = target_of(case.detector)
    ((features,),) = roi_features(forward, roi_layers, {ROI_LAYER: None}, [case.kept], target)
    assert features[0].activations.min() < 0
    seen = []
    monkeypatch.setattr(
        "ppdet_cam.explaining.perturbation.Replay.scores_of_masked_images",
        lambda _self, masks: [seen.append(mask) or 0.0 for mask in masks],
    )
    question = Question(layers=(ROI_LAYER,), method="scorecam", samples=5)
    with_channel_scores(case.detector, case.frame, forward, question, target, case.kept, [features])
    (placement,) = [placement_of(feature, forward.geometry) for feature in features]
    (top, left), (cell_y, cell_x), (rows, columns) = placement.top_left_yx, placement.cell_yx, features[0].grid_hw
    height, width = case.frame.original_hw
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    outside = (y + 1 < top - cell_y / 2) | (y > top + (rows + 0.5) * cell_y)
    outside = outside | (x + 1 < left - cell_x / 2) | (x > left + (columns + 0.5) * cell_x)
    assert len(seen) == 5 and outside.any() and not outside.all()
    for mask in seen:
        assert not mask[outside].any()
        assert mask.max() == 1.0


def test_scorecam_map_is_the_formula_of_its_scores(case_of):
    """The explanation's map is the softmax-weighted sum of the channels that were looked at, laid over the image."""
    case = case_of("ssd")
    (own,) = [feature for feature in case.scored("scorecam")[0] if feature.channel_scores is not None]
    placement = placement_of(own, case.forward.geometry, cell_strides=case.forward.cell_strides)
    grid_map = scorecam(own.activations, own.channel_scores)
    expected = project(grid_map, placement, original_hw=case.frame.original_hw)
    index = next(index for index, kept in case.forward.kept.items() if kept == case.kept)
    (explanation,) = Explainer(case.detector, method="scorecam", samples=4, batch=2)(case.frame, box_index=[index])
    np.testing.assert_allclose(explanation.heatmap, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("method", ["ablationcam", "scorecam"])
def test_channel_scores_do_not_depend_on_the_batch(case_of, method):
    """One altered image at a time gives what several at once give."""
    case = case_of("ssd")
    one, several = (
        case.scored(method, features=[case.own], samples=5, batch=batch)[0][0].channel_scores for batch in (1, 4)
    )
    np.testing.assert_allclose(one, several, rtol=1e-4, atol=1e-5)


def test_progress_is_told_for_every_channel(case_of):
    """The bar counts the channels of the one level that is looked at."""
    case = case_of("ssd")
    told = []

    def progress(items, *, total, what):
        items = list(items)
        told.append((len(items), total, what))
        return items

    question = Question(method="ablationcam", samples=3)
    target = target_of(case.detector)
    with_channel_scores(
        case.detector, case.frame, case.forward, question, target, case.kept, [case.features], progress=progress
    )
    assert told == [(3, 3, f"channels of {BACKBONE}@{case.own.level}")]


# D-RISE


def test_drise_is_the_same_for_a_seed_and_any_batch(detector_of, photo):
    """The map depends on seed and number of masks; how many run at once does not matter."""
    detector = detector_of("ssd")
    forward, chosen, _ = forward_of(detector, photo)
    kept = [forward.kept[detection.index] for detection in chosen]

    def maps(**changes):
        return black_box_maps(detector, photo, forward, Question(method="drise", samples=6, **changes), kept)

    first = maps(seed=1, batch=4)
    assert len(first) == len(kept)
    for one, other in zip(first, maps(seed=1, batch=1)):
        assert one.dtype == np.float32 and one.shape == photo.original_hw and one.min() == 0.0
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * one.max())
    assert not np.allclose(first[0], maps(seed=2, batch=4)[0])


def test_drise_weighs_each_mask_with_what_it_leaves_of_the_box(detector_of, photo):
    """The mean of the masks, each times the similarity of the masked image's candidates, less its minimum."""
    detector = detector_of("ssd")
    forward, chosen, _ = forward_of(detector, photo)
    kept = forward.kept[chosen[0].index]
    masks = list(random_masks(4, image_hw=photo.original_hw, seed=3))
    candidates = forward.candidates()
    box, scores = candidates.boxes_xyxy[kept.row, 0], candidates.scores[kept.row]
    expected = np.zeros(photo.original_hw)
    for mask in masks:
        left = detector.forward(masked(photo, mask), {}).candidates()
        sure = left.scores.max(axis=1)
        shown = sure >= detector.extractor.keep_rule.score_threshold
        similarity = detection_similarity(
            box, scores, left.boxes_xyxy[shown, 0], left.scores[shown], objectness=sure[shown]
        )
        expected += similarity * mask / len(masks)
    expected -= expected.min()
    (found,) = black_box_maps(detector, photo, forward, Question(method="drise", samples=4, seed=3, batch=3), [kept])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("name", ["ssd", "faster"])
def test_full_mask_leaves_all_of_a_box(detector_of, photo, name):
    """Under a mask of ones every box is its own most similar candidate: IoU and cosine are 1."""
    detector = detector_of(name)
    forward, chosen, _ = forward_of(detector, photo)
    (candidates,) = candidates_of_images(detector, photo, [masked(photo, np.ones(photo.original_hw))])
    (same,) = candidates_of_images(detector, photo, [photo])
    np.testing.assert_array_equal(candidates.scores, same.scores)
    before = forward.candidates()
    for detection in chosen:
        kept = forward.kept[detection.index]
        column = kept.class_id if before.boxes_xyxy.shape[1] > 1 else 0
        box, scores = before.boxes_xyxy[kept.row, column], before.scores[kept.row]
        similarity = detection_similarity(box, scores, candidates.boxes_xyxy[:, column], candidates.scores)
        assert similarity == pytest.approx(1.0, abs=1e-4)


# images


def test_masked_image_is_darkened_pixel_by_pixel(photo):
    """Each pixel is multiplied and rounded; ones change nothing, zeros leave black; the original stays."""
    before = photo.image.copy()
    half = masked(photo, np.full(photo.original_hw, 0.5))
    np.testing.assert_array_equal(half.image, np.rint(before * 0.5).astype(np.uint8))
    np.testing.assert_array_equal(masked(photo, np.ones(photo.original_hw)).image, before)
    assert not masked(photo, np.zeros(photo.original_hw)).image.any()
    np.testing.assert_array_equal(photo.image, before)
    assert half.path == photo.path
