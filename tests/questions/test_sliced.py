"""Which slice a box is asked about in, and what the boxes of all slices say of it."""

from __future__ import annotations

import pytest

from ppdet_cam.errors import UnknownNameError
from ppdet_cam.polygons import box_around
from ppdet_cam.questions.boxes import Judgement, answer_of, parse_box
from ppdet_cam.questions.sliced import Asking, asking, combined, in_slice
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.structures import Detection, Verdict

NAMES = ("cat", "dog")
HW = (100, 220)
SLICING = Slicing((100, 100), (0.4, 0.4))  # 0 to 100, 60 to 160, 120 to 220


def found(number: int, index: int, class_id: int, score: float, box: tuple[float, ...]):
    return Detection(index, class_id, NAMES[class_id], score, tuple(box)), (number, index)


def where(box: str, *of_slices, slicing: Slicing = SLICING, threshold: float = 0.5, claimed=(), hw=HW) -> Asking:
    boxes = combined(of_slices, slicing, slicing.windows(hw), hw)
    return asking(parse_box(box), boxes, NAMES, draw_threshold=threshold, rotated=False, claimed=frozenset(claimed))


def asked_in(box: str, **more) -> tuple[int, float, str]:
    """Returns the slice that a box is asked about in, what it sees of it, and the clause that says so."""
    place = where(box, **more)
    assert place.known is None and place.index is None
    slicing, hw = more.get("slicing", SLICING), more.get("hw", HW)
    boxes = combined([], slicing, slicing.windows(hw), hw)
    answer = answer_of(place.box, None, Verdict.NO_CANDIDATE, [], 0.0, None)
    told = in_slice(Judgement(answer, Detection(-1, 0, "cat", 0.0, place.box.box_xyxy), None), place, boxes).answer
    assert told.share_seen == place.share_seen
    assert told.words == "".join(map(str, told.said))
    return place.number, place.share_seen, told.words


@pytest.mark.parametrize(
    ("box", "number", "share", "words"),
    [
        ("10,10,50,50", 0, 1.0, "; asked in slice 0,0,100,100, which sees all of it"),
        ("70,10,90,30", 0, 1.0, "; asked in slice 0,0,100,100, which sees all of it"),  # 1 sees it too, less centrally
        ("74,10,94,30", 1, 1.0, "; asked in slice 60,0,160,100, which sees all of it"),
        ("70,10,90,90,dog", 0, 1.0, "; asked in slice 0,0,100,100, which sees all of it"),  # as close to both
        ("50,0,110,100", 0, 0.833333, ", which sees 83 % of it: every slice cuts it"),
        ("20,0,150,100", 1, 0.692308, "60,0,160,100, which sees 69 % of it: it is larger than a slice"),
        ("-40,-50,40,50", 0, 1.0, "; asked in slice 0,0,100,100, which sees all of it"),  # of what is in the image
        ("900,900,950,950", 2, 0.0, "; asked in slice 120,0,220,100, the nearest: it lies outside the image"),
        ("-1e300,-1e300,1e300,1e300", 1, 0.454545, "which sees 45 % of it: it is larger than a slice"),
    ],
)
def test_box_is_asked_about_in_the_slice_that_sees_most_of_it(box: str, number: int, share: float, words: str) -> None:
    """Of several, in the one whose middle is closest; the answer says how much the slice sees."""
    place = asked_in(box)
    assert place[:2] == (number, share)
    assert words in place[2]


def test_part_seen_is_neither_nothing_nor_all_in_words() -> None:
    """A pixel of a thousand is not 0 %, and all but a pixel is not 100 %."""
    assert "sees 99 % of it" in asked_in("0,0,100.1,100")[2]
    assert "sees 1 % of it" in asked_in("0,0,4000,1", slicing=Slicing((1, 10), (0, 0)), hw=(1, 4000))[2]


def test_rotated_box_is_asked_about_where_its_polygon_lies() -> None:
    """The upright box around a wedge may lie mostly where the wedge does not."""
    wedge = "30,0,140,49,140,51,30,100"
    boxes = combined([], SLICING, SLICING.windows(HW), HW)
    upright, rotated = (asking(parse_box(wedge), boxes, NAMES, draw_threshold=0.5, rotated=r) for r in (False, True))
    assert (upright.number, rotated.number) == (1, 0)
    assert upright.share_seen == pytest.approx(80 / 110, abs=1e-6) and rotated.share_seen > 0.8


DOG = (62.0, 10.0, 98.0, 40.0)
TWICE = (found(0, 3, 1, 0.8, DOG), found(1, 0, 1, 0.9, DOG), found(1, 1, 0, 0.7, (10.0, 10.0, 50.0, 50.0)))


def test_box_is_found_by_a_combined_detection() -> None:
    """The detection's own slice is told, and its index there."""
    place = where("62,10,98,40,dog", *TWICE)
    assert (place.number, place.index, place.share_seen) == (1, 0, 1.0)
    assert place.known is not None
    assert place.known.answer.verdict is Verdict.FOUND
    assert place.known.answer.words == "found by detection 1 (dog 0.900), IoU 1.00; in slice 60,0,160,100"
    assert place.known.answer.other_index == place.known.detection.index == 1


def test_detection_in_a_slice_that_cuts_the_box_is_said_to_be_so() -> None:
    """Its slice sees a part of the box, while another may see all."""
    place = where("50,10,100,40,dog", found(1, 0, 1, 0.9, (60.0, 10.0, 100.0, 40.0)))
    assert place.known is not None
    assert place.known.answer.words.endswith("; in slice 60,0,160,100, which sees 80 % of the box asked about")


def test_box_that_combining_left_out_is_told_for_which() -> None:
    """Two dogs, one in the other's box: both were found, in two slices, and combining took one of them away."""
    small, large = found(0, 4, 1, 0.8, (62.0, 10.0, 80.0, 40.0)), found(1, 2, 1, 0.9, (62.0, 10.0, 120.0, 60.0))
    place = where("62,10,80,40,dog", small, large)
    assert (place.number, place.index) == (0, 4)
    assert place.known is not None
    answer = place.known.answer
    assert answer.verdict is Verdict.COMBINED and (answer.iou, answer.other_index) == (1.0, 0)
    assert answer.words == (
        "found in a slice (dog 0.800), IoU 1.00, but left out when the slices were combined: detection 0 (dog 0.900) "
        "overlaps it by 1.00 (ios), at least the 0.6 of --match_threshold; in slice 0,0,100,100"
    )
    assert place.known.detection == Detection(-1, 1, "dog", 0.8, (62.0, 10.0, 80.0, 40.0))
    claimed = where("62,10,80,40,dog", small, large, claimed=(0,))
    assert ", and found another object; in slice" in claimed.known.answer.words


def test_what_combining_left_out_counts_by_class_and_threshold() -> None:
    """Of another class, or with a score that is not shown, it is no answer; and nothing is left out by concat."""
    small, large = found(0, 4, 1, 0.8, (62.0, 10.0, 80.0, 40.0)), found(1, 2, 1, 0.9, (62.0, 10.0, 120.0, 60.0))
    assert where("62,10,80,40,cat", small, large).known is None
    assert where("62,10,80,40,dog", small, large, threshold=0.85).known is None
    assert where("62,10,80,40", small, large).known.answer.verdict is Verdict.COMBINED
    everything = where("62,10,80,40,dog", small, large, slicing=Slicing(SLICING.size_hw, combine="concat"))
    assert everything.known.answer.verdict is Verdict.FOUND


def test_another_objects_detection_does_not_find_a_box() -> None:
    """Nor does the twin of it that combining left out find it: the twin was left out for the other object's."""
    place = where("62,10,98,40,dog", *TWICE, claimed=(1,))
    assert place.known is not None and place.known.answer.verdict is Verdict.COMBINED
    assert "detection 1 (dog 0.900) overlaps it by 1.00 (ios)" in place.known.answer.words


@pytest.mark.parametrize("metric", ["ios", "iou"])
@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_preferred_is_the_box_that_dropped_another(metric: str, rotated: bool, seed: int) -> None:
    """Without it, and without those that drop it as well, the box would have stayed."""
    import numpy as np

    draws = np.random.default_rng(seed)
    corners = draws.uniform(0, 80, (40, 2))
    sides = draws.uniform(10, 60, (40, 2))
    all_found = []
    for index, ((x, y), (w, h)) in enumerate(zip(corners, sides)):
        polygon = ((x + w / 3, y), (x + w, y + h / 2), (x + w / 2, y + h), (x, y + h / 3)) if rotated else None
        box = box_around(polygon) if polygon else (x, y, x + w, y + h)
        all_found.append(Detection(index, index % 2, NAMES[index % 2], draws.uniform(), box, polygon_xy=polygon))
    slicing = Slicing(match_metric=metric, match_threshold=0.3)
    kept = [all_found[position] for position in slicing.kept(all_found)]
    dropped = [one for one in all_found if one not in kept]
    assert dropped
    for one in dropped:
        winner, overlap = slicing.preferred(one, kept)
        assert winner.class_id == one.class_id and winner.score > one.score and overlap >= 0.3
        assert slicing.kept([winner, one]) == [0]


def test_unknown_class_is_refused() -> None:
    """By its name, as for an image looked at as a whole."""
    with pytest.raises(UnknownNameError, match="no class 'cow'"):
        where("1,2,30,40,cow")
