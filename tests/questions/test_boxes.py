"""Which boxes are explained, and what became of boxes that someone asks about."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ppdet_cam.errors import ConfigError, PpdetCamError, UnknownNameError
from ppdet_cam.questions.boxes import AskedBox, Judgement, Scene, Selection, asked_box, judge, parse_box
from ppdet_cam.questions.overlaps import iou
from ppdet_cam.structures import Candidates, Contest, Detection, Verdict

NAMES = ("cat", "dog", "mug")
CAT, DOG, MUG = range(3)


def detection(index: int, class_id: int, score: float, box_xyxy: tuple[float, float, float, float]) -> Detection:
    return Detection(index, class_id, NAMES[class_id], score, box_xyxy)


def candidates(*rows: tuple[tuple[float, ...], tuple[float, float, float]]) -> Candidates:
    """Returns candidates with one box each, from (box, scores)."""
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 1, 4)
    return Candidates(boxes, np.array([scores for _, scores in rows], np.float32).reshape(-1, len(NAMES)))


def scene(
    of_image: Candidates,
    detections: dict[int, Detection],
    *,
    draw_threshold: float = 0.5,
    nms_score_threshold: float = 0.01,
    nms_iou: float | None = 0.6,
    proposals: np.ndarray | None = None,
    contest: Contest = Contest.OVERLAPS,
    limit: int | None = None,
) -> Scene:
    """Returns a scene, from candidate's row -> detection."""
    rows = {kept.index: row for row, kept in detections.items()}
    return Scene(
        of_image,
        list(detections.values()),
        rows,
        NAMES,
        draw_threshold,
        nms_score_threshold,
        nms_iou,
        proposals,
        contest,
        limit,
    )


# Row 0 is detection 0; row 1 overlaps it by 80 / 120; row 2 is weak; row 3 is a mug that nothing kept overlaps.
DOG_BOX = (0.0, 0.0, 10.0, 10.0)
OF_IMAGE = candidates(
    (DOG_BOX, (0.05, 0.9, 0.0)),
    ((0.0, 2.0, 10.0, 12.0), (0.0, 0.8, 0.0)),
    ((100.0, 100.0, 110.0, 110.0), (0.3, 0.02, 0.0)),
    ((200.0, 200.0, 210.0, 210.0), (0.0, 0.0, 0.7)),
)
PLANTED = scene(OF_IMAGE, {0: detection(0, DOG, 0.9, DOG_BOX)})


def judged(box: str, planted: Scene = PLANTED, claimed: tuple[int, ...] = ()) -> Judgement:
    return judge(parse_box(box), planted, claimed=frozenset(claimed))


# verdicts


@pytest.mark.parametrize("name", ["", ",dog", ",1"])
def test_judge_finds_a_detection(name: str) -> None:
    """A shown detection that overlaps the box by 8 / 12 found it, asked for any class or for its own."""
    found = judged(f"0,2,10,12{name}")
    assert found.answer.verdict is Verdict.FOUND
    assert found.answer.words == "found by detection 0 (dog 0.900), IoU 0.67"
    assert (found.answer.other_index, found.answer.iou) == (0, pytest.approx(2 / 3))
    assert found.answer.class_name == ("dog" if name else None)
    assert (found.row, found.detection) == (0, PLANTED.detections[0])


def test_judge_takes_the_detection_that_overlaps_most() -> None:
    """Of two detections that overlap the box enough, the closer one found it, whatever the scores."""
    near, far = (0.0, 0.0, 10.0, 10.0), (0.0, 3.0, 10.0, 13.0)
    both = scene(
        candidates((near, (0.0, 0.6, 0.0)), (far, (0.95, 0.0, 0.0))),
        {0: detection(4, DOG, 0.6, near), 1: detection(5, CAT, 0.95, far)},
    )
    assert judged("0,1,10,11", both).answer.other_index == 4
    assert judged("0,1,10,11,cat", both).answer.other_index == 5


def test_judge_names_the_detection_that_suppressed_a_candidate() -> None:
    """Row 1 overlaps box and detection 0 by 8 / 12, above the 0.6 of NMS; detection 0 overlaps the box by 6 / 14."""
    found = judged("0,4,10,14,dog")
    assert found.answer.verdict is Verdict.SUPPRESSED
    assert found.answer.words == (
        "suppressed by NMS: detection 0 (dog 0.900) overlaps its candidate (dog 0.800, IoU 0.67) by 0.67, "
        "more than the 0.6 that NMS allows"
    )
    assert (found.answer.other_index, found.answer.iou) == (0, pytest.approx(2 / 3))
    assert (found.row, found.detection) == (1, detection(-1, DOG, pytest.approx(0.8), (0.0, 2.0, 10.0, 12.0)))


def test_judge_takes_the_suppressor_that_overlaps_most() -> None:
    """Two kept dogs overlap the candidate by 0.62 and 0.72; a cat that overlaps it fully suppresses no dog."""
    lost = (0.0, 0.0, 10.0, 100.0)
    shorter, longer, cat = (0.0, 0.0, 10.0, 62.0), (0.0, 28.0, 10.0, 100.0), lost
    planted = scene(
        candidates(
            (shorter, (0.0, 0.95, 0.0)),
            (longer, (0.0, 0.9, 0.0)),
            (cat, (0.8, 0.0, 0.0)),
            (lost, (0.0, 0.7, 0.0)),
        ),
        {
            0: detection(0, DOG, 0.95, shorter),
            1: detection(1, DOG, 0.9, longer),
            2: detection(2, CAT, 0.8, cat),
        },
        draw_threshold=0.6,
    )
    found = judged("0,0,10,199,dog", planted)  # overlaps `lost` by 100 / 199, and the kept dogs by less than a half
    assert (found.answer.verdict, found.answer.other_index, found.row) == (Verdict.SUPPRESSED, 1, 3)
    assert "by 0.72, more than" in found.answer.words


def test_judge_says_when_the_limits_of_nms_left_a_candidate_out() -> None:
    """Row 3 has score enough and overlaps nothing that was kept."""
    found = judged("200,200,210,210,mug")
    assert found.answer.verdict is Verdict.LIMITED
    assert found.answer.words == (
        "left out by NMS's limits (nms_top_k, keep_top_k): nothing that was kept suppresses its candidate "
        "(mug 0.700, IoU 1.00)"
    )
    assert (found.answer.other_index, found.row) == (None, 3)


def test_judge_counts_an_overlap_of_just_the_limit_as_allowed() -> None:
    """NMS keeps a box whose overlap is the threshold itself: 50 / 100 is no suppression at 0.5."""
    kept, half = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 5.0)
    planted = scene(
        candidates((kept, (0.0, 0.9, 0.0)), (half, (0.0, 0.8, 0.0))), {0: detection(0, DOG, 0.9, kept)}, nms_iou=0.5
    )
    assert judged("0,0,10,4,dog", planted).answer.verdict is Verdict.LIMITED


def test_judge_is_suppressed_by_a_stronger_detection_only() -> None:
    """A kept detection with a lower score suppresses nothing."""
    weak, strong = (0.0, 0.0, 10.0, 10.0), (0.0, 2.0, 10.0, 12.0)
    planted = scene(candidates((weak, (0.0, 0.6, 0.0)), (strong, (0.0, 0.8, 0.0))), {0: detection(0, DOG, 0.6, weak)})
    assert judged("0,4,10,14", planted).answer.verdict is Verdict.LIMITED


def test_judge_tells_of_an_nms_that_lowers_scores() -> None:
    """Of MatrixNMS's kind: the box is a detection of 0.3, and its candidate of 0.8 is what is told and explained."""
    lowered = Detection(1, DOG, "dog", 0.3, (0.0, 2.0, 10.0, 12.0), score_before_nms=0.8)
    planted = scene(OF_IMAGE, {0: detection(0, DOG, 0.9, DOG_BOX), 1: lowered}, nms_iou=None)
    found = judged("0,4,10,14,dog", planted)
    assert found.answer.verdict is Verdict.SUPPRESSED
    assert found.answer.words == (
        "suppressed by NMS: detection 0 (dog 0.900) overlaps its candidate (dog 0.800, IoU 0.67) by 0.67, "
        "for which NMS lowers its score below 0.5"
    )
    assert (found.answer.other_index, found.row, found.detection.score) == (0, 1, pytest.approx(0.8))


def test_judge_says_the_score_that_was_too_low() -> None:
    """Row 2 is a cat of 0.3, below the 0.5 that is drawn; as a dog it has 0.02."""
    found = judged("100,100,110,112")
    assert found.answer.verdict is Verdict.LOW_SCORE
    assert found.answer.words == "scored too low: 0.300 for cat at IoU 0.83, below 0.5"
    assert (found.row, found.detection.class_id, found.detection.index) == (2, CAT, -1)
    assert found.detection.score == pytest.approx(0.3)
    as_dog = judged("100,100,110,112,dog")
    assert as_dog.answer.words == "scored too low: 0.020 for dog at IoU 0.83, below 0.5"
    assert (as_dog.row, as_dog.detection.class_id) == (2, DOG)


def test_judge_says_the_threshold_of_nms_where_it_is_the_higher_one() -> None:
    """With --draw_threshold 0 it is NMS's own score threshold that leaves a candidate out."""
    planted = scene(OF_IMAGE, {0: PLANTED.detections[0]}, draw_threshold=0.0, nms_score_threshold=0.4)
    assert judged("100,100,110,110", planted).answer.words.endswith("below 0.4")


def test_judge_takes_the_closest_candidate_and_tells_the_highest_score() -> None:
    """The closest weak candidate is explained; a less close one with a higher score is mentioned."""
    planted = scene(
        candidates(
            ((0.0, 0.0, 10.0, 10.0), (0.0, 0.1, 0.0)),
            ((0.0, 0.0, 10.0, 9.0), (0.0, 0.25, 0.0)),
            ((0.0, 0.0, 10.0, 10.0), (0.0, 0.2, 0.0)),
        ),
        {},
    )
    found = judged("0,0,10,10,dog", planted)
    assert found.row == 2  # as close as row 0, and more sure
    assert found.answer.words == (
        "scored too low: 0.200 for dog at IoU 1.00, below 0.5 (at most 0.250 among the candidates there)"
    )


def test_judge_names_a_detection_of_another_class_there() -> None:
    """The dog's box, asked for as a cat: too low as a cat, and detection 0 lies there."""
    found = judged("0,0,10,10,cat")
    assert found.answer.words == (
        "scored too low: 0.050 for cat at IoU 1.00, below 0.5; detection 0 (dog 0.900) lies there"
    )
    assert (found.answer.verdict, found.row, found.answer.other_index) == (Verdict.LOW_SCORE, 0, None)


@pytest.mark.parametrize(("name", "class_name", "class_id"), [("", None, CAT), (",mug", "mug", MUG)])
def test_judge_says_that_there_is_no_candidate(name: str, class_name: str | None, class_id: int) -> None:
    """The best candidate overlaps the box by 2 / 18 only; what is explained is the box itself, with score 0."""
    found = judged(f"0,10,10,18{name}")
    assert found.answer.verdict is Verdict.NO_CANDIDATE
    assert found.answer.words == "no candidate there: the best IoU is 0.12"  # row 1: 2 / (8 + 10 - 2)
    assert (found.row, found.answer.other_index, found.answer.class_name) == (None, None, class_name)
    assert found.detection == Detection(-1, class_id, class_name or "any", 0.0, (0.0, 10.0, 10.0, 18.0))


def test_judge_of_an_image_without_any_candidate() -> None:
    """Nothing overlaps by nothing."""
    found = judged("0,0,10,10", scene(candidates(), {}))
    assert (found.answer.verdict, found.answer.iou, found.row) == (Verdict.NO_CANDIDATE, 0.0, None)


def test_judge_refuses_an_unknown_class() -> None:
    """The close name is shown."""
    with pytest.raises(UnknownNameError, match="no class 'dgo'.*did you mean 'dog'"):
        judged("0,0,10,10,dgo")


def test_judge_keeps_what_was_asked() -> None:
    """Name, box and class of the answer are those of the question."""
    answer = judge(AskedBox("gt_17", (0.0, 2.0, 10.0, 12.0), "dog"), PLANTED).answer
    assert (answer.name, answer.box_xyxy, answer.class_name) == ("gt_17", (0.0, 2.0, 10.0, 12.0), "dog")


# detections that found other objects


def test_judge_leaves_out_a_claimed_detection() -> None:
    """Detection 0 is another dog's; the box that it would have found is suppressed by it."""
    found = judged("0,2,10,12,dog", claimed=(0,))
    assert (found.answer.verdict, found.answer.other_index, found.row) == (Verdict.SUPPRESSED, 0, 1)


def test_judge_does_not_call_a_claimed_candidate_too_low() -> None:
    """The only candidate there is another object's detection, well above the threshold: none is left for this box."""
    alone = scene(candidates((DOG_BOX, (0.0, 0.9, 0.0))), {0: detection(0, DOG, 0.9, DOG_BOX)})
    found = judged("0,2,10,12,dog", alone, claimed=(0,))
    assert (found.answer.verdict, found.row, found.answer.iou) == (Verdict.NO_CANDIDATE, None, 0.0)
    assert found.answer.words == (
        "no candidate there: the best IoU is 0.00; detection 0 (dog 0.900) lies there, and found another object"
    )


def test_judge_passes_over_a_claimed_candidate_for_a_weak_one() -> None:
    """Beside the claimed detection a weak candidate lies there, which is what the box scored."""
    planted = scene(
        candidates((DOG_BOX, (0.0, 0.9, 0.0)), ((0.0, 3.0, 10.0, 13.0), (0.0, 0.2, 0.0))),
        {0: detection(0, DOG, 0.9, DOG_BOX)},
    )
    found = judged("0,2,10,12,dog", planted, claimed=(0,))
    assert (found.answer.verdict, found.row) == (Verdict.LOW_SCORE, 1)
    assert found.answer.words == (
        "scored too low: 0.200 for dog at IoU 0.82, below 0.5; detection 0 (dog 0.900) lies there, "
        "and found another object"
    )


# heat maps: a row of cells with a box each, three pixels further to the right from one to the next


def heat_map(*dogs: float, kept: dict[int, int]) -> Scene:
    """Returns a scene of cells beside one another, from their scores and cell -> detection's index."""
    boxes = [(3.0 * cell, 0.0, 3.0 * cell + 10.0, 10.0) for cell in range(len(dogs))]
    cells = candidates(*((box, (0.0, dog, 0.0)) for box, dog in zip(boxes, dogs)))
    planted = scene(cells, {cell: detection(index, DOG, dogs[cell], boxes[cell]) for cell, index in kept.items()})
    of_cells = dataclasses.replace(cells, grid_hw=(1, len(dogs)))
    return dataclasses.replace(planted, candidates=of_cells, contest=Contest.PEAKS)


def test_judge_says_that_a_cell_is_no_maximum() -> None:
    """A cell with a higher neighbour is no detection; the peak that it belongs to is named, steps away."""
    found = judged("0,0,9,10,dog", heat_map(0.6, 0.7, 0.8, 0.9, 0.1, kept={3: 5}))
    assert (found.answer.verdict, found.answer.other_index, found.row) == (Verdict.NO_PEAK, 5, 0)
    assert found.answer.words == (
        "no maximum of the heat map: the cell of its candidate (dog 0.600, IoU 0.90) has a neighbour of 0.700; "
        "the peak beside it is detection 5 (dog 0.900)"
    )


def test_judge_says_that_the_top_k_left_a_peak_out() -> None:
    """A peak that was not kept, and a cell beside one, fell to the limit on their number."""
    planted = heat_map(0.7, 0.6, 0.1, 0.1, 0.1, 0.9, kept={5: 0})
    peak, beside = judged("0,0,10,10,dog", planted), judged("3,0,13,10,dog", planted)
    assert (peak.answer.verdict, peak.answer.other_index) == (Verdict.LIMITED, None)
    assert peak.answer.words == (
        "left out by the top-k: its candidate (dog 0.700, IoU 1.00) is a peak of the heat map, but those that were "
        "kept (1) score 0.900 or more"
    )
    assert (beside.answer.verdict, beside.answer.other_index) == (Verdict.NO_PEAK, None)
    assert beside.answer.words.endswith("the peak beside it, 0.700, was left out by the top-k")


def test_judge_says_of_a_weak_cell_that_it_scores_too_low() -> None:
    """Below the threshold it does not matter whether it is a peak."""
    assert judged("0,0,10,10,dog", heat_map(0.3, 0.2, 0.1, kept={})).answer.verdict is Verdict.LOW_SCORE


def test_judge_keeps_the_other_classes_of_a_claimed_row() -> None:
    """The row that a claimed dog came from is still the cat's candidate, which NMS's limits left out."""
    planted = scene(candidates((DOG_BOX, (0.6, 0.9, 0.0))), {0: detection(0, DOG, 0.9, DOG_BOX)})
    found = judged("0,0,10,10,cat", planted, claimed=(0,))
    assert (found.answer.verdict, found.row, found.detection.class_id) == (Verdict.LIMITED, 0, CAT)


# two stages


def per_class_scene(*, proposals: tuple[float, float, float, float]) -> Scene:
    """One RoI whose box is elsewhere for each class: a weak cat on the left, a dog, a mug on the right."""
    boxes = np.array([[[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]], np.float32)
    of_image = Candidates(boxes, np.array([[0.1, 0.8, 0.05]], np.float32))
    kept = detection(0, DOG, 0.8, (20.0, 0.0, 30.0, 10.0))
    return scene(of_image, {0: kept}, proposals=np.array([proposals], np.float32))


def test_judge_takes_the_box_of_the_class() -> None:
    """Asked as a cat or a mug, the RoI's box for that class counts; asked for any, the one of its best class."""
    planted = per_class_scene(proposals=(0.0, 0.0, 10.0, 10.0))
    cat = judged("0,0,10,10,cat", planted)
    assert (cat.answer.verdict, cat.row, cat.detection.box_xyxy) == (Verdict.LOW_SCORE, 0, (0.0, 0.0, 10.0, 10.0))
    assert judged("40,0,50,10,mug", planted).answer.verdict is Verdict.LOW_SCORE
    assert judged("40,0,50,10", planted).answer.verdict is Verdict.NO_CANDIDATE
    assert judged("20,0,30,10", planted).answer.verdict is Verdict.FOUND


def test_judge_says_that_the_second_stage_refused_a_proposal() -> None:
    """The proposal overlaps the box by 8 / 12, so the first stage saw the object."""
    words = judged("0,2,10,12,cat", per_class_scene(proposals=(0.0, 0.0, 10.0, 10.0))).answer.words
    assert words == (
        "scored too low: 0.100 for cat at IoU 0.67, below 0.5; the first stage proposed it (IoU 0.67), "
        "the second refused it"
    )


def test_judge_says_that_the_first_stage_proposed_nothing() -> None:
    """Neither a candidate nor a proposal lies there; or the candidate came from a proposal elsewhere."""
    planted = per_class_scene(proposals=(0.0, 6.0, 10.0, 16.0))
    assert judged("70,0,80,10", planted).answer.words == (
        "no candidate there: the best IoU is 0.00; the first stage proposed nothing there (best IoU 0.00)"
    )
    assert judged("0,0,10,10,cat", planted).answer.words == (
        "scored too low: 0.100 for cat at IoU 1.00, below 0.5; the first stage proposed nothing there (best IoU 0.25)"
    )


# boxes as they are given


@pytest.mark.parametrize(
    ("text", "box_xyxy", "class_text"),
    [
        ("10,20,110.5,220", (10.0, 20.0, 110.5, 220.0), None),
        ("10,20,110,220,dog", (10.0, 20.0, 110.0, 220.0), "dog"),
        (" -5 , 0, 1e2,7 , street sign, red ", (-5.0, 0.0, 100.0, 7.0), "street sign, red"),
        ("0,0,1,1,", (0.0, 0.0, 1.0, 1.0), None),
        ("0,0,1,1,3", (0.0, 0.0, 1.0, 1.0), "3"),
    ],
)
def test_parse_box_reads_four_numbers_and_a_class(text: str, box_xyxy: tuple, class_text: str | None) -> None:
    """Spaces do not matter; what stands behind the fourth comma is the class, commas and all."""
    assert parse_box(text, 2) == AskedBox("box_2", box_xyxy, class_text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--box '' is not left,top,right,bottom or left,top,right,bottom,CLASS in pixels"),
        ("1,2,3", "--box '1,2,3' is not left,top,right,bottom"),
        ("1,2,3,x", "--box '1,2,3,x' is not"),
        ("dog", "such as --box 34,50,210,180,dog"),
        ("1 2 3 4", "--box '1 2 3 4' is not"),
        ("5,5,5,10", "box 5,5,5,10 has no area: it must have left < right and top < bottom"),
        ("5,10,6,5", "box 5,10,6,5 has no area"),
        ("0,0,nan,5", "four finite numbers, or eight for a polygon's corners, not (0.0, 0.0, nan, 5.0)"),
        ("0,0,inf,5", "four finite numbers"),
    ],
)
def test_parse_box_refuses_what_is_no_box(text: str, message: str) -> None:
    """What was given and how it is written stand in the message."""
    with pytest.raises(ConfigError) as caught:
        parse_box(text)
    assert message in str(caught.value)
    assert isinstance(caught.value, PpdetCamError)


def test_asked_box_refuses_three_numbers() -> None:
    """From Python as well, a box has four."""
    with pytest.raises(ConfigError, match="four finite numbers"):
        asked_box((1.0, 2.0, 3.0))


def test_iou_of_boxes() -> None:
    """Half an overlap of equal boxes is 1 / 3; apart, and without area, it is 0; it never fails on none."""
    boxes = np.array([[1, 0, 3, 1], [0, 0, 2, 1], [5, 5, 6, 6], [1, 0, 1, 1], [3, 0, 1, 1]], np.float32)
    np.testing.assert_allclose(iou((0, 0, 2, 1), boxes), [1 / 3, 1.0, 0.0, 0.0, 0.0])
    assert iou((0, 0, 2, 1), np.zeros((0, 4))).shape == (0,)


# a choice among the detections

SCORES = (0.9, 0.3, 0.7, 0.5, 0.7)
CLASSES = (DOG, CAT, CAT, MUG, DOG)
FOUND = [detection(index, c, s, DOG_BOX) for index, (c, s) in enumerate(zip(CLASSES, SCORES))]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(0.5), [0, 2, 3, 4]),
        (Selection(0.7), [0, 2, 4]),
        (Selection(0.0), [0, 1, 2, 3, 4]),
        (Selection(1.0), []),
        (Selection(0.5, top_k=1), [0]),
        (Selection(0.5, top_k=2), [0, 2]),  # of equal scores the detector's first
        (Selection(0.0, top_k=4), [0, 2, 3, 4]),
        (Selection(0.5, top_k=99), [0, 2, 3, 4]),
        (Selection(0.0, classes=("cat",)), [1, 2]),
        (Selection(0.5, classes=("cat", "2")), [2, 3]),
        (Selection(0.5, classes=("1", "dog")), [0, 4]),
        (Selection(0.0, top_k=1, classes=("cat",)), [2]),
        (Selection(0.5, box_index=(4, 1, 4)), [1, 4]),
        (Selection(1.0, top_k=1, classes=("cat",), box_index=(3, 0)), [0, 3]),
    ],
    ids=str,
)
def test_selection_chooses_in_the_detectors_order(selection: Selection, expected: list[int]) -> None:
    """Threshold (inclusive), classes by name or id, and the best of them; indices alone when they are given."""
    assert [chosen.index for chosen in selection.choose(FOUND, NAMES)] == expected


def test_selection_counts_gaps_in_the_indices() -> None:
    """An index is the row of the detector's output, not a position among the detections."""
    with_gap = [FOUND[0], FOUND[3]]
    assert Selection(0.5, box_index=(3,)).choose(with_gap, NAMES) == [FOUND[3]]
    with pytest.raises(ConfigError) as caught:
        Selection(0.5, box_index=(2, 0, 7)).choose(with_gap, NAMES)
    assert str(caught.value).startswith("the image has no detection with index 2, 7; it has indices 0 to 3.")


def test_selection_by_index_of_an_image_without_detections() -> None:
    """The message says that there is none."""
    with pytest.raises(ConfigError, match="no detection with index 0; it has none"):
        Selection(0.5, box_index=(0,)).choose([], NAMES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"draw_threshold": -0.1}, "--draw_threshold must lie between 0 and 1, not -0.1"),
        ({"draw_threshold": 1.01}, "--draw_threshold must lie between 0 and 1, not 1.01"),
        ({"draw_threshold": math.nan}, "not nan"),
        ({"draw_threshold": 0.5, "top_k": 0}, "--top_k must be at least 1, not 0"),
        ({"draw_threshold": 0.5, "top_k": -3}, "--top_k must be at least 1, not -3"),
        ({"draw_threshold": 0.5, "box_index": (3, -2)}, "--box_index counts from 0, not -2"),
    ],
)
def test_selection_refuses_numbers_that_mean_nothing(arguments: dict, message: str) -> None:
    """Each is refused when it is made, before any image is read."""
    with pytest.raises(ConfigError) as caught:
        Selection(**arguments)
    assert message in str(caught.value)


def test_selection_refuses_unknown_classes() -> None:
    """By name and by id."""
    for text in ("dgo", "3", "-1"):
        with pytest.raises(UnknownNameError, match=f"no class '{text}'"):
            Selection(0.5, classes=("cat", text)).choose(FOUND, NAMES)
    assert Selection(0.5).class_ids(NAMES) is None
    assert Selection(0.5, classes=("mug", "0")).class_ids(NAMES) == {MUG, CAT}


# --- object queries

# Query 0 is a shown dog, and its cat comes close; query 1 lies on query 0's box and is weak; query 2 is alone and weak.
QUERIES = candidates(
    (DOG_BOX, (0.4, 0.6, 0.0)),
    ((0.0, 3.0, 10.0, 13.0), (0.0, 0.3, 0.0)),
    ((100.0, 100.0, 110.0, 110.0), (0.3, 0.02, 0.0)),
)


def of_queries(contest: Contest, **numbers: float) -> Scene:
    """Returns the scene of the queries, of which the first is a detection."""
    return scene(
        QUERIES, {0: detection(0, DOG, 0.6, DOG_BOX)}, nms_score_threshold=0.0, contest=contest, limit=20, **numbers
    )


@pytest.mark.parametrize("contest", [Contest.QUERIES, Contest.PAIRS])
def test_another_class_of_the_query_beats_the_one_asked_about(contest: Contest) -> None:
    """A query that is shown under another class: that detection is named, and the query's own class explained."""
    found = judged("0,0,10,10,cat", of_queries(contest))
    assert (found.answer.verdict, found.answer.other_index, found.row) == (Verdict.BEATEN, 0, 0)
    assert found.answer.words == (
        "another class of query 0 beat it: detection 0 (dog 0.600) instead of its candidate (cat 0.400, IoU 1.00)"
    )
    assert (found.detection.class_id, found.detection.score) == (CAT, pytest.approx(0.4))


def test_another_query_beats_the_one_on_the_box() -> None:
    """A weak query on whose box another one is shown: the stronger one is named, with both overlaps."""
    found = judged("0,4,10,14,dog", of_queries(Contest.PAIRS))
    assert (found.answer.verdict, found.answer.other_index, found.row) == (Verdict.BEATEN, 0, 1)
    assert found.answer.words == (
        "another query beat it: detection 0 (dog 0.600) of query 0 overlaps by 0.54 that of query 1, its candidate "
        "(dog 0.300, IoU 0.82)"
    )


def test_query_that_nothing_beat_scored_too_low() -> None:
    """A weak query away from every detection is weak by itself."""
    found = judged("100,100,110,110,cat", of_queries(Contest.PAIRS))
    assert (found.answer.verdict, found.answer.other_index, found.row) == (Verdict.LOW_SCORE, None, 2)


@pytest.mark.parametrize(
    ("contest", "words"),
    [(Contest.PAIRS, "20 pairs of object query and class"), (Contest.QUERIES, "20 object queries")],
)
def test_query_beyond_the_limit_is_told_the_limit(contest: Contest, words: str) -> None:
    """A query with score enough that is no detection, and that nothing beat, fell to the number that is kept."""
    found = judged("100,100,110,110,cat", of_queries(contest, draw_threshold=0.2))
    assert found.answer.verdict is Verdict.LIMITED
    assert f"left out by the limit (num_top_queries): {words} score higher" in found.answer.words
