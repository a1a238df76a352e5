"""Boxes that are asked about, on trained detectors: the verdict, its numbers, and the candidate that is explained."""

from __future__ import annotations

import numpy as np
import pytest
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.errors import ConfigError, UnknownNameError
from ppdet_cam.images.reading import read_image
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.overlaps import MATCH_IOU, iou
from ppdet_cam.questions.truth import TrueBox, match
from ppdet_cam.structures import MapStatus, Verdict

# with this NMS a candidate may be suppressed by a detection that does not find it: their IoU lies between the two
NMS_IOU = 0.3
SETTINGS = {
    "ppyoloe": {"PPYOLOEHead": {"nms": {"nms_threshold": NMS_IOU}}},
    "mask_rcnn": {"BBoxPostProcess": {"nms": {"nms_threshold": NMS_IOU}}},
}
LOW = 0.06  # above both detectors' NMS score threshold
SCENE = ROOT / "demo/drawn/scene_2.jpg"
TRUTH = ROOT / "demo/drawn/annotations.json"


@pytest.fixture(scope="module", params=sorted(SETTINGS))
def explainer(request):
    """A demo detector of one stage, and one of two, as users load them."""
    name = request.param
    return Explainer.from_config(ROOT / f"configs/demo/{name}.yml", overrides=SETTINGS[name], draw_threshold=LOW)


@pytest.fixture(scope="module")
def forward(explainer):
    """What the detector made of the scene."""
    return explainer.detector.forward(read_image(SCENE), {})


def of_class(forward, class_id):
    """Each candidate's box and score for a class, in float64."""
    candidates = forward.candidates()
    column = class_id if candidates.boxes_xyxy.shape[1] > 1 else 0
    return candidates.boxes_xyxy[:, column].astype(float), candidates.scores[:, class_id].astype(float)


def shown(forward, threshold, class_id=None):
    """The detections above a threshold, of one class or of all."""
    return [d for d in forward.detections if d.score >= threshold and class_id in (None, d.class_id)]


def overlaps_of(detections, boxes):
    """The largest IoU of each box with any of the detections."""
    return np.max([iou(detection.box_xyxy, boxes) for detection in detections], axis=0)


def asked(explainer, box, class_id, **changes):
    """The one explanation of a box that is asked about, with its class's name."""
    (explanation,) = explainer(SCENE, boxes=[(*box, explainer.detector.class_names[class_id])], **changes)
    return explanation


def test_found_box_is_the_detections_explanation(explainer, forward):
    """A detection's own box, asked about, is that detection with that detection's map."""
    detection = max(forward.detections, key=lambda found: found.score)
    explanation = asked(explainer, detection.box_xyxy, detection.class_id)
    answer = explanation.answer
    assert (answer.verdict, answer.other_index, answer.iou) == (Verdict.FOUND, detection.index, pytest.approx(1.0))
    assert (explanation.detection, explanation.name, answer.name) == (detection, "box_0", "box_0")
    (plain,) = explainer(SCENE, box_index=[detection.index])
    assert plain.answer is None and plain.name == str(detection.index)
    np.testing.assert_array_equal(explanation.heatmap, plain.heatmap)
    assert explanation.levels == plain.levels


def test_suppressed_box_names_its_suppressor_and_is_explained(explainer, forward):
    """The box of a candidate that NMS dropped: the detection that dropped it, and the candidate's own map."""
    kept_rows = {(kept.row, kept.class_id) for kept in forward.kept.values()}
    cases = []
    for class_id in {detection.class_id for detection in shown(forward, LOW)}:
        boxes, scores = of_class(forward, class_id)
        alike = shown(forward, LOW, class_id)
        for row in np.flatnonzero((scores >= LOW) & (overlaps_of(alike, boxes) < MATCH_IOU - 0.02)):
            stronger = [d for d in alike if d.score >= scores[row]]
            overlaps = iou(boxes[row], np.array([boxes[forward.kept[d.index].row] for d in stronger]))
            if (row, class_id) not in kept_rows and overlaps.max() > NMS_IOU + 0.02:
                cases.append((overlaps.max(), class_id, int(row), stronger[int(overlaps.argmax())]))
    assert cases, "no candidate of the scene was suppressed by a box that it hardly overlaps"
    overlap, class_id, row, suppressor = max(cases, key=lambda case: case[0])
    boxes, scores = of_class(forward, class_id)
    explanation = asked(explainer, boxes[row], class_id)
    answer = explanation.answer
    assert (answer.verdict, answer.other_index) == (Verdict.SUPPRESSED, suppressor.index), answer.words
    assert answer.iou == pytest.approx(1.0)
    assert answer.words.startswith(f"suppressed by NMS: detection {suppressor.index} ({suppressor.class_name} ")
    assert f" by {overlap:.2f}, more than the {NMS_IOU} that NMS allows" in answer.words
    assert explanation.detection.index == -1
    assert explanation.detection.score == pytest.approx(scores[row])
    assert explanation.detection.box_xyxy == pytest.approx(tuple(boxes[row]))
    assert explanation.status is MapStatus.OK
    (of_suppressor,) = explainer(SCENE, box_index=[suppressor.index])
    assert not np.array_equal(explanation.heatmap, of_suppressor.heatmap)


def test_weak_box_tells_its_score_and_is_explained(explainer, forward):
    """A candidate below the threshold, away from every detection: its score, and where its evidence lies."""
    threshold = 0.5
    strong = shown(forward, threshold)
    best = (0.0, 0, 0)
    for class_id in range(len(explainer.detector.class_names)):
        boxes, scores = of_class(forward, class_id)
        apart = (overlaps_of(strong, boxes) < 0.2) & (scores < threshold)
        row = int(np.where(apart, scores, 0.0).argmax())
        best = max(best, (float(scores[row]), class_id, row))
    score, class_id, row = best
    boxes, scores = of_class(forward, class_id)
    near = iou(boxes[row], boxes) >= MATCH_IOU
    assert scores[near].max() < threshold
    explanation = asked(explainer, boxes[row], class_id, draw_threshold=threshold)
    assert explanation.answer.verdict is Verdict.LOW_SCORE, explanation.answer.words
    name = explainer.detector.class_names[class_id]
    assert explanation.answer.words.startswith(f"scored too low: {score:.3f} for {name} at IoU 1.00, below 0.5")
    two_stages = "the first stage proposed" in explanation.answer.words
    assert two_stages == (explainer.detector.extractor.roi_head is not None)
    assert explanation.detection.score == pytest.approx(score)
    assert explanation.status is MapStatus.OK


def test_box_without_a_candidate_has_no_map(explainer):
    """Two pixels in a corner: no candidate overlaps them by a half, and nothing is explained."""
    explanation = asked(explainer, (1, 1, 3, 3), 0)
    assert explanation.answer.verdict is Verdict.NO_CANDIDATE
    assert explanation.answer.words.startswith("no candidate there: the best IoU is 0.")
    assert explanation.status is MapStatus.NO_CANDIDATE
    assert not explanation.heatmap.any() and explanation.heatmap.shape == (338, 507)
    assert explanation.levels == () and explanation.detection.score == 0.0
    assert explanation.detection.box_xyxy == (1.0, 1.0, 3.0, 3.0)


def test_boxes_with_and_without_a_candidate_keep_their_maps(explainer, forward):
    """A box without a candidate between others takes no map away from them."""
    one, other = sorted(forward.detections, key=lambda found: -found.score)[:2]
    boxes = [one.box_xyxy, (1, 1, 3, 3), np.array(other.box_xyxy)]
    first, nothing, last = explainer(SCENE, boxes=boxes)
    assert [explanation.name for explanation in (first, nothing, last)] == ["box_0", "box_1", "box_2"]
    assert nothing.status is MapStatus.NO_CANDIDATE
    for explanation, detection in ((first, one), (last, other)):
        (alone,) = explainer(SCENE, box_index=[detection.index])
        scale = max(float(alone.heatmap.max()), 1e-12)
        np.testing.assert_allclose(explanation.heatmap, alone.heatmap, rtol=1e-3, atol=1e-4 * scale)


def test_limits_of_nms_leave_boxes_out(explainer, forward):
    """With room for one box only, another object's box is left out by that, not suppressed."""
    first, second = sorted(shown(forward, 0.5), key=lambda found: -found.score)[:2]
    assert iou(first.box_xyxy, np.array([second.box_xyxy]))[0] < NMS_IOU
    nms = explainer.detector.extractor.nms_owner.nms
    before = nms.keep_top_k
    nms.keep_top_k = 1
    try:
        explanation = asked(explainer, second.box_xyxy, second.class_id)
    finally:
        nms.keep_top_k = before
    assert explanation.answer.verdict is Verdict.LIMITED, explanation.answer.words
    assert explanation.detection.score == pytest.approx(second.score, abs=1e-5)


# ground truth


@pytest.fixture(scope="module")
def true_boxes(explainer):
    """The scene's annotated objects."""
    truth = read_ground_truth(TRUTH, explainer.detector.class_names)
    return truth.boxes[truth.name_of(SCENE)]


def test_objects_that_nothing_found_are_asked_about(explainer, forward, true_boxes):
    """After the detections come the missed objects, named by their annotation, each with its verdict."""
    threshold = 0.9
    found = shown(forward, threshold)
    matched = {of_object.true_box.annotation_id for of_object in match(found, true_boxes)}
    wanted = [box for box in true_boxes if box.annotation_id not in matched]
    assert wanted and matched
    result = explainer(SCENE, draw_threshold=threshold, true_boxes=true_boxes)
    assert [explanation.detection for explanation in result][: len(found)] == found
    missed = list(result)[len(found) :]
    assert [explanation.name for explanation in missed] == [f"gt_{box.annotation_id}" for box in wanted]
    for explanation, box in zip(missed, wanted):
        assert explanation.answer.box_xyxy == box.box_xyxy
        assert explanation.answer.class_name == box.class_name
        assert explanation.answer.verdict is not Verdict.FOUND


def test_detection_finds_one_object_only(explainer, forward):
    """An object drawn over a found one is asked about; the detection that is taken does not count as its own."""
    detection = max(forward.detections, key=lambda found: found.score)
    left, top, right, bottom = detection.box_xyxy
    shifted = (left + 0.2 * (right - left), top, right + 0.2 * (right - left), bottom)
    twice = [TrueBox(1, detection.class_name, detection.box_xyxy), TrueBox(2, detection.class_name, shifted)]
    result = explainer(SCENE, draw_threshold=detection.score, true_boxes=twice)
    explanation = result[-1]
    assert explanation.name == "gt_2"
    assert explanation.answer.verdict is not Verdict.FOUND
    assert explanation.detection.box_xyxy != detection.box_xyxy


# what is refused


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"boxes": [(0, 0, 5)]}, ConfigError, "four finite numbers"),
        ({"boxes": (0, 0, 5, 5)}, ConfigError, r"boxes\[0\] must be left, top, right, bottom: .*, not 0"),
        ({"boxes": [(0, 0, 5, 5), (0, 0, 5, 5, "mug", 3)]}, ConfigError, r"boxes\[1\] must be"),
        ({"boxes": [("a", 0, 5, 5)]}, ConfigError, "four finite numbers"),
        ({"boxes": [(0, 0, 5, None)]}, ConfigError, "four finite numbers"),
        ({"boxes": [(5, 0, 5, 5)]}, ConfigError, "has no area"),
        ({"boxes": [(0, 0, 5, 5, "mugg")]}, UnknownNameError, "did you mean 'mug'"),
        ({"boxes": [(0, 0, 5, 5, 8)]}, UnknownNameError, "no class '8'"),
        ({"box_index": [9999]}, ConfigError, "no detection with index 9999"),
        ({"classes": ["mugg"]}, UnknownNameError, "did you mean 'mug'"),
        ({"top_k": 0}, ConfigError, "--top_k must be at least 1"),
        ({"target": "objectness"}, ConfigError, "has not. It has: "),
        ({"target": "box:lefd"}, ConfigError, "did you mean 'left'"),
        ({"method": "drise", "target": "logit"}, ConfigError, "--target must be 'class', not 'logit'"),
    ],
    ids=str,
)
def test_question_that_fits_no_image_is_refused(explainer, arguments, error, message):
    """Each is refused with the package's own error."""
    with pytest.raises(error, match=message):
        explainer(SCENE, **arguments)
