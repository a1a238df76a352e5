"""Rotated boxes are asked about, judged and matched as polygons; overlaps are worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ppdet_cam.errors import ConfigError
from ppdet_cam.polygons import box_around, polygon_of
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.boxes import AskedBox, Scene, asked_box, judge, parse_box
from ppdet_cam.questions.choices import asked
from ppdet_cam.questions.overlaps import overlaps
from ppdet_cam.questions.question import Question
from ppdet_cam.questions.truth import TrueBox, match
from ppdet_cam.structures import Candidates, Detection, Verdict

NAMES = ("ship", "plane")
# two strips of 10 x 2 along both diagonals: their upright boxes are nearly the same, they share 2 x 2 of 20 + 20
DOWN = polygon_of(np.array([(-5, -1), (5, -1), (5, 1), (-5, 1)]) @ np.array([[1, 1], [-1, 1]]) / 2**0.5 + 10)
UP = polygon_of([(20 - x, y) for x, y in DOWN])
CROSSING = 4 / 36


def detection(index: int, polygon, score: float = 0.9) -> Detection:
    return Detection(index, 0, "ship", score, box_around(polygon), polygon_xy=polygon)


def scene(*polygons, scores, kept: dict[int, Detection]) -> Scene:
    """From candidates' polygons and scores as a ship, and row -> detection."""
    boxes = np.array([box_around(polygon) for polygon in polygons], np.float32)[:, None]
    of_image = Candidates(
        boxes, np.array([[score, 0.0] for score in scores]), polygons_xy=np.array(polygons, np.float32)
    )
    rows = {one.index: row for row, one in kept.items()}
    return Scene(of_image, list(kept.values()), rows, NAMES, 0.5, 0.01, 0.1)


def moved(polygon, x: float, y: float):
    return tuple((corner_x + x, corner_y + y) for corner_x, corner_y in polygon)


def text_of(polygon) -> str:
    return ",".join(f"{value}" for corner in polygon for value in corner)


# --- overlaps


def test_detectors_boxes_decide_how_overlaps_are_told() -> None:
    """Two crossing strips share a ninth; the boxes around them are the same."""
    down, up = detection(0, DOWN), detection(1, UP)
    assert overlaps(down, [up], rotated=True) == pytest.approx([CROSSING])
    assert overlaps(down, [up], rotated=False) == pytest.approx([1.0])


def test_upright_box_counts_as_its_corners() -> None:
    """A strip with an area of 20 lies wholly in its upright box, with sides of 12 / sqrt 2: 20 / 72."""
    upright = TrueBox(1, "ship", box_around(DOWN))
    assert overlaps(detection(0, DOWN), [upright], rotated=True) == pytest.approx([20 / 72])


# --- boxes as they are given


def test_parse_box_reads_eight_numbers_and_a_class() -> None:
    """A polygon's corners, and the upright box around them."""
    found = parse_box("1,0,2,1,1,2,0,1, street sign, red", 3)
    polygon = ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
    assert found == AskedBox("box_3", (0.0, 0.0, 2.0, 2.0), "street sign, red", polygon)
    assert found.numbers == (1.0, 0.0, 2.0, 1.0, 1.0, 2.0, 0.0, 1.0)
    assert parse_box("1,0,2,1,1,2,0,1").class_text is None
    assert parse_box("0,0,5,5,1,2,3").class_text == "1,2,3"  # fewer than eight numbers: a box and a class


@pytest.mark.parametrize("text", ["0,0,2,2,2,0,0,2", "0,0,4,0,1,1,0,4", "0,0,1,1,2,2,3,3"])
def test_polygon_that_is_not_convex_is_refused(text: str) -> None:
    """Crossing edges, a dent, no area."""
    with pytest.raises(ConfigError, match="is not convex: give its four corners x,y one after the other around it"):
        parse_box(text)


def test_polygons_from_python() -> None:
    """Eight numbers, with a class behind them or not, also as an array."""
    given = [(1, 0, 2, 1, 1, 2, 0, 1, "ship"), np.array([1, 0, 2, 1, 1, 2, 0, 1])]
    one, other = asked(Question(), {"boxes": given}).boxes
    assert one.polygon_xy == other.polygon_xy == ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
    assert (one.class_text, other.class_text) == ("ship", None)
    with pytest.raises(ConfigError, match=r"boxes\[0\] must be left, top, right, bottom"):
        asked(Question(), {"boxes": [(1, 0, 2, 1, 1, 2, 0)]})


# --- verdicts


def test_judge_tells_crossing_polygons_apart() -> None:
    """What lies across the polygon that is asked about did not find it, though both have the same upright box."""
    planted = scene(DOWN, UP, scores=(0.9, 0.1), kept={0: detection(4, DOWN)})
    found = judge(parse_box(text_of(DOWN)), planted)
    assert (found.answer.verdict, found.answer.other_index, found.row) == (Verdict.FOUND, 4, 0)
    assert np.array(found.answer.polygon_xy) == pytest.approx(np.array(DOWN))
    missed = judge(parse_box(text_of(UP) + ",ship"), planted)
    assert (missed.answer.verdict, missed.row) == (Verdict.LOW_SCORE, 1)
    assert missed.answer.iou == pytest.approx(1.0, abs=1e-6)
    assert np.array(missed.detection.polygon_xy) == pytest.approx(np.array(UP), rel=1e-6)


def test_judge_names_the_polygon_that_suppressed_a_candidate() -> None:
    """NMS compares polygons: a strip moved by its own width along itself overlaps it by 8 / 12."""
    along = 2 / 2**0.5
    near = moved(DOWN, along, along)
    planted = scene(DOWN, near, scores=(0.9, 0.8), kept={0: detection(0, DOWN)})
    found = judge(asked_box([value for corner in moved(near, along, along) for value in corner], "ship"), planted)
    assert (found.answer.verdict, found.answer.other_index) == (Verdict.SUPPRESSED, 0)
    assert (
        "overlaps its candidate (ship 0.800, IoU 0.67) by 0.67, more than the 0.1 that NMS allows" in found.answer.words
    )


def test_judge_without_a_candidate_keeps_the_polygon_asked_about() -> None:
    """So that it can be drawn."""
    planted = scene(DOWN, scores=(0.9,), kept={0: detection(0, DOWN)})
    found = judge(parse_box(text_of(UP)), planted)
    assert found.answer.verdict is Verdict.NO_CANDIDATE
    assert found.answer.words == "no candidate there: the best IoU is 0.11"
    assert np.array(found.detection.polygon_xy) == pytest.approx(np.array(UP))


# --- ground truth


def test_ground_truth_reads_a_polygon_of_four_corners(tmp_path) -> None:
    """As DOTA's objects have it; any other segmentation is none, and the box counts."""
    shapes = [[[1, 0, 2, 1, 1, 2, 0, 1]], [[0, 0, 9, 0, 9, 9]], {"size": [9, 9], "counts": [81]}, [], [[0, 0] * 4]]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2], "segmentation": shape}
            for number, shape in enumerate(shapes)
        ],
    }
    (tmp_path / "gt.json").write_text(json.dumps(document), encoding="utf-8")
    boxes = read_ground_truth(tmp_path / "gt.json", NAMES).boxes["a.jpg"]
    polygon = ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
    assert [box.polygon_xy for box in boxes] == [polygon, None, None, None, None]
    assert boxes[0].asked(rotated=True) == AskedBox("gt_0", (0.0, 0.0, 2.0, 2.0), "ship", polygon)
    assert boxes[0].asked() == AskedBox("gt_0", (0.0, 0.0, 2.0, 2.0), "ship")


def test_yolos_labels_of_rotated_boxes_are_polygons_in_pixels(tmp_path) -> None:
    """A class and four corners, relative to the image's size."""
    (tmp_path / "a.txt").write_text("0 0.1 0 0.2 0.1 0.1 0.2 0 0.1\n1 0.5 0.5 0.2 0.2\n")
    truth = read_ground_truth(tmp_path / "a.txt", NAMES)
    rotated, upright = truth.objects("a", (100, 200))
    assert np.array(rotated.polygon_xy) == pytest.approx(np.array([(20, 0), (40, 10), (20, 20), (0, 10)]))
    assert upright.polygon_xy is None


def test_match_is_by_polygon_for_rotated_detections_only() -> None:
    """The strip across an object does not find it; an upright detection is compared with its box, as COCO does."""
    up = TrueBox(7, "ship", box_around(UP), polygon_xy=UP)
    assert match([detection(0, DOWN)], [up]) == []
    (found,) = match([detection(0, UP)], [up])
    assert (found.index, found.iou) == (0, pytest.approx(1.0))
    (found,) = match([Detection(3, 0, "ship", 0.9, box_around(UP))], [up])
    assert (found.index, found.iou) == (3, pytest.approx(1.0))
