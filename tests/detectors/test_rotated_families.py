"""What heads of rotated boxes hold beside the contracts of every family."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from support.families import FAMILIES
from support.gradient_checks import forward_of
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.detectors import compat
from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.families.rotated import corners_of_rotated
from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.replay import candidates_of_images
from ppdet_cam.polygons import areas, box_around, is_convex, polygon_coverage, polygon_iou
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.running.drawing import energy_in_box
from ppdet_cam.structures import Frame, MapStatus, Quantity, Verdict

ROTATED = ("ppyoloe_r", "fcosr", "s2anet")


@pytest.fixture(params=ROTATED)
def rotated(request, detector_of):
    """The small detector of each rotated family in turn."""
    return detector_of(request.param)


@pytest.fixture
def seen(rotated, photo):
    """Its forward pass with the graph of the boxes."""
    return forward_of(rotated, photo, wanted=Quantity.ROTATED)[0]


def test_corners_of_a_rotated_box_by_hand() -> None:
    """A box of 4 x 2 about (10, 20): upright, and turned by a quarter clockwise."""
    upright, turned = corners_of_rotated(
        paddle.to_tensor([[10.0, 20.0, 4.0, 2.0, 0.0], [10.0, 20.0, 4.0, 2.0, np.pi / 2]])
    ).numpy()
    np.testing.assert_allclose(upright, [[12, 21], [8, 21], [8, 19], [12, 19]], atol=1e-5)
    np.testing.assert_allclose(turned, [[9, 22], [9, 18], [11, 18], [11, 22]], atol=1e-5)


def test_decoded_corners_are_the_printed_ones(rotated, seen, photo) -> None:
    """Centre, size and angle give the polygon that the detector prints; S2ANet clips its corners to the image."""
    height, width = photo.original_hw
    scale = np.array(seen.geometry.scale_yx[::-1])
    for detection in seen.detections:
        source = seen.extractor.source(seen.watch, seen.kept[detection.index].row)
        outputs = seen.extractor.outputs(seen.watch, [source], wanted=Quantity.ROTATED)
        corners = corners_of_rotated(outputs.rotated).numpy()[0] / scale
        if hasattr(rotated.model, "s2anet_head"):
            corners = corners.clip(0, [width - 1, height - 1])
        # each head starts at a corner of its own
        printed = np.array(detection.polygon_xy)
        apart = [
            np.abs(np.roll(way, turn, axis=0) - printed).max() for turn in range(4) for way in (corners, corners[::-1])
        ]
        assert min(apart) < 0.02


def test_box_is_the_upright_one_around_the_polygon(seen) -> None:
    """Both are in original pixels; polygons are convex, but for those that S2ANet's clipping leaves no area of."""
    assert seen.detections
    for detection in seen.detections:
        assert detection.box_xyxy == box_around(detection.polygon_xy)
        assert is_convex(detection.polygon_xy) or areas(np.array([detection.polygon_xy]))[0] < 1e-3


def test_nms_kept_no_two_polygons_of_a_class_that_overlap(rotated, seen) -> None:
    """So ppdet's NMS compares what `polygon_iou` compares; it clips no corners yet."""
    candidates, limit = seen.candidates(), seen.extractor.keep_rule.iou_threshold
    for class_id in {detection.class_id for detection in seen.detections}:
        rows = [seen.kept[detection.index].row for detection in seen.detections if detection.class_id == class_id]
        polygons = candidates.polygons_xy[rows]
        for position, polygon in enumerate(polygons):
            assert (np.delete(polygon_iou(polygon, polygons), position) <= limit + 1e-3).all()


def test_candidates_of_a_batch_are_each_images_own(rotated, photo) -> None:
    """S2ANet hands its images to NMS one by one; a batch gives what each image gives alone."""
    other = Frame(photo.image[:, ::-1].copy())
    together = candidates_of_images(rotated, photo, [photo, other])
    for found, image in zip(together, (photo, other)):
        (alone,) = candidates_of_images(rotated, image, [image])
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(found.polygons_xy, alone.polygons_xy, atol=0.05)


def test_energy_is_counted_in_the_polygon(rotated, photo) -> None:
    """Not in the upright box around it."""
    explanation = next(one for one in Explainer(rotated, draw_threshold=0.5)(photo) if one.status is MapStatus.OK)
    covered = polygon_coverage(explanation.detection.polygon_xy, map_hw=photo.original_hw)
    expected = float((covered * explanation.heatmap).sum() / explanation.heatmap.sum(dtype=np.float64))
    assert energy_in_box(explanation) == pytest.approx(expected, rel=1e-4)


def test_polygon_of_a_detection_is_found_when_it_is_asked_about(rotated, seen, photo) -> None:
    """Its eight numbers, and as an object of ground truth."""
    best = max(seen.detections, key=lambda detection: detection.score)
    numbers = [value for corner in best.polygon_xy for value in corner]
    (found,) = Explainer(rotated, draw_threshold=0.4)(photo, boxes=[(*numbers, best.class_name)])
    assert (found.answer.verdict, found.answer.other_index) == (Verdict.FOUND, best.index)
    assert found.answer.iou == pytest.approx(1.0, abs=1e-3)


def test_objects_that_a_rotated_detector_missed_are_asked_about_as_polygons(rotated, seen, photo, tmp_path) -> None:
    """The detection's own polygon is found; a thin one elsewhere is asked about, and keeps its corners."""
    best = max(seen.detections, key=lambda detection: detection.score)
    own = [value for corner in best.polygon_xy for value in corner]
    thin = [500.0, 10.0, 590.0, 100.0, 588.0, 102.0, 498.0, 12.0]
    document = {
        "images": [{"id": 1, "file_name": "coffee.jpg"}],
        "categories": [{"id": 1, "name": best.class_name}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": [shape]}
            for number, shape in enumerate((own, thin))
        ],
    }
    (tmp_path / "gt.json").write_text(json.dumps(document), encoding="utf-8")
    truth = read_ground_truth(tmp_path / "gt.json", rotated.class_names).boxes["coffee.jpg"]
    stream = Explainer(rotated, draw_threshold=best.score - 1e-6).stream(photo, true_boxes=truth)
    *_, missed = stream.explanations
    assert missed.answer.name == "gt_1"
    assert missed.answer.verdict is not Verdict.FOUND
    assert missed.answer.polygon_xy == ((500.0, 10.0), (590.0, 100.0), (588.0, 102.0), (498.0, 12.0))


def test_polygons_of_slices_lie_where_their_slice_does(rotated, photo) -> None:
    """Corners, upright box and map are moved together."""
    slicing = Slicing((200, 300), (0.0, 0.0), combine="concat")
    result = Explainer(rotated, draw_threshold=0.0, top_k=3)(photo, slicing=slicing)
    assert len(slicing.windows(photo.original_hw)) == 4
    for one in result.detections:
        assert one.box_xyxy == pytest.approx(box_around(one.polygon_xy), abs=1e-3)
    left, top, right, bottom = slicing.windows(photo.original_hw)[3]
    alone = Explainer(rotated)(Frame(photo.image[top:bottom, left:right].copy())).detections
    moved = [np.array(one.polygon_xy) + [left, top] for one in alone]
    ours = [np.array(one.polygon_xy) for one in result.detections][-len(alone) :]
    np.testing.assert_allclose(ours, moved, atol=1e-3)


def test_s2anet_without_sigmoid_is_refused() -> None:
    """Its NMS would be given the background as a class."""
    family = FAMILIES["s2anet"]
    with pytest.raises(ConfigError, match="S2ANetHead has use_sigmoid_cls: false"):
        build_detector(ROOT / family.config, overrides=[*family.overrides, "S2ANetHead.use_sigmoid_cls=False"])


# --- repairs


def test_rotated_anchors_take_whole_numbers() -> None:
    """What `anchor_generator` calls `paddle.to_tensor` and `paddle.stack` gives floats; all else is paddle's own."""
    seen = compat._module("ppdet.modeling.proposal_generator.anchor_generator").paddle
    assert seen.to_tensor([4]).dtype == seen.stack([paddle.to_tensor([1])]).dtype == paddle.float32
    assert seen.to_tensor([1.5], dtype="float64").dtype == paddle.float64
    assert seen.meshgrid is paddle.meshgrid


def test_alignment_keeps_its_graph_but_in_training() -> None:
    """The score depends on where the first stage makes the second look, and so does the gradient."""
    align = compat._module("ppdet.modeling.layers").AlignConv(2, 2)
    features = paddle.arange(32, dtype="float32").reshape([1, 2, 4, 4])
    anchors = paddle.to_tensor([[[8.0 * x + 3, 8.0 * y + 3, 20.0, 12.0, 0.3] for y in range(4) for x in range(4)]])
    for is_training, has_graph in ((False, True), (True, False)):
        (align.train if is_training else align.eval)()
        align.align_conv.weight.set_value(paddle.ones_like(align.align_conv.weight))
        leaf = anchors.clone().detach()
        leaf.stop_gradient = False
        out = align(features, leaf, (4, 4), paddle.to_tensor(8)).sum()
        (gradient,) = paddle.grad(out, [leaf], allow_unused=True)
        assert (gradient is not None and bool((gradient != 0).any())) is has_graph
