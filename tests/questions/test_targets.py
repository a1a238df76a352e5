"""Targets read the right number of a head's outputs, on arrays alone; texts that name none are refused."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.errors import ConfigError, PpdetCamError, UnknownNameError
from ppdet_cam.questions.targets import DEFAULT_TARGET, available_kinds, class_id_of, parse_target, targets
from ppdet_cam.structures import HeadOutputs, Quantity

NAMES = ("cat", "dog", "mug")
EVERYTHING = frozenset(Quantity)
PLAIN = frozenset({Quantity.PROBABILITIES, Quantity.LOGITS, Quantity.BOXES})

# two candidates; the second one has a box per class
ONE_BOX = HeadOutputs(
    probabilities=np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]),
    logits=np.array([[-2.0, 1.0, -1.0], [0.0, -0.8, -1.4]]),
    boxes_xyxy=np.array([[[10.0, 20.0, 30.0, 50.0]], [[1.0, 2.0, 3.0, 5.0]]]),
    objectness=np.array([0.9, 0.4]),
    quality=np.array([0.8, 0.6]),
    centerness=np.array([0.7, 0.5]),
    rotated=np.array([[60.0, 50.0, 40.0, 30.0, 0.5], [6.0, 5.0, 10.0, 8.0, 0.1]]),
)
BOX_PER_CLASS = HeadOutputs(
    probabilities=ONE_BOX.probabilities,
    logits=ONE_BOX.logits,
    boxes_xyxy=np.arange(24.0).reshape(2, 3, 4),
)


def parsed(text: str, known: frozenset[Quantity] = EVERYTHING):
    return parse_target(text, NAMES, known=known, detector="YOLOv3 (YOLOv3Head)")


def numbers(text: str, row: int, class_id: int, outputs: HeadOutputs = ONE_BOX) -> list[float]:
    return [float(part(outputs, row, class_id)) for part in parsed(text).parts]


@pytest.mark.parametrize(
    ("text", "row", "class_id", "expected"),
    [
        ("class", 0, 1, [0.7]),
        ("class", 1, 0, [0.5]),
        ("logit", 0, 1, [1.0]),
        ("logit", 1, 2, [-1.4]),
        ("lead", 0, 1, [1.0 - -1.0]),
        ("lead", 1, 1, [-0.8 - 0.0]),
        ("objectness", 1, 0, [0.4]),
        ("iou", 0, 2, [0.8]),
        ("centerness", 1, 2, [0.5]),
        ("contrast:dog", 1, 0, [0.5 - 0.3]),
        ("contrast:1", 1, 0, [0.5 - 0.3]),
        ("contrast:mug", 0, 1, [0.7 - 0.2]),
        ("contrast:dog", 0, 1, [0.0]),
        ("other:mug", 0, 1, [0.2]),
        ("other:2", 0, 1, [0.2]),
        ("rotated:x", 0, 1, [60.0]),
        ("rotated:height", 1, 0, [8.0]),
        ("rotated:angle", 0, 2, [0.5]),
    ],
)
def test_target_reads_its_number(text: str, row: int, class_id: int, expected: list[float]) -> None:
    """Each target gives one number of the row, of the box's own class or of the class that is named."""
    assert numbers(text, row, class_id) == pytest.approx(expected)


@pytest.mark.parametrize(("side", "expected"), [("left", -10), ("top", -20), ("right", 30), ("bottom", 50)])
def test_box_side_grows_outwards(side: str, expected: float) -> None:
    """A side's number is larger the farther out it lies: left and top count against the axis."""
    assert numbers(f"box:{side}", 0, 2) == [expected]


def test_box_without_a_side_has_four_parts() -> None:
    """Left, top, right and bottom, in this order."""
    assert numbers("box", 1, 0) == [-1.0, -2.0, 3.0, 5.0]


def test_box_per_class_is_the_one_of_the_own_class() -> None:
    """A head with a box per class is asked for the box of the class that is explained: row 1, class 2 is 20 to 23."""
    assert numbers("box", 1, 2, BOX_PER_CLASS) == [-20.0, -21.0, 22.0, 23.0]
    assert numbers("box:right", 0, 1, BOX_PER_CLASS) == [6.0]


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("class", Quantity.PROBABILITIES),
        ("logit", Quantity.LOGITS),
        ("lead", Quantity.LOGITS),
        ("objectness", Quantity.OBJECTNESS),
        ("iou", Quantity.QUALITY),
        ("box", Quantity.BOXES),
        ("box:top", Quantity.BOXES),
        ("contrast:cat", Quantity.PROBABILITIES),
        ("other:cat", Quantity.PROBABILITIES),
        ("rotated:width", Quantity.ROTATED),
    ],
)
def test_target_says_its_name_and_what_it_needs(text: str, quantity: Quantity) -> None:
    """The name is kept as it was asked for, and every kind of target is covered here."""
    target = parsed(text)
    assert (target.name, target.quantity) == (text, quantity)


def test_every_kind_is_tested_above() -> None:
    """A new target must be added to these tests."""
    names = "box centerness class contrast iou lead logit mask objectness other rotated rpn"
    assert targets.names() == names.split()
    assert DEFAULT_TARGET in targets.names()


def test_available_kinds_are_those_that_the_head_has() -> None:
    """Without objectness and quality, neither is offered."""
    forms = [kind.form for kind in available_kinds(PLAIN)]
    assert forms == ["box[:left|top|right|bottom]", "class", "contrast:CLASS", "lead", "logit", "other:CLASS"]
    assert len(available_kinds(EVERYTHING)) == len(targets.names())


def test_class_with_a_colon_in_its_name_can_be_named() -> None:
    """Only the first colon divides."""
    target = parse_target("other:a:b", ("a", "a:b"), known=EVERYTHING, detector="x")
    assert float(target.parts[0](ONE_BOX, 0, 0)) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("clas", UnknownNameError, "target 'clas' is not supported (did you mean 'class'"),
        ("", UnknownNameError, "target '' is not supported"),
        ("Class", UnknownNameError, "did you mean 'class'"),
        ("class:dog", ConfigError, "target 'class' takes nothing after a colon, not 'dog'"),
        ("objectness:dog", ConfigError, "target 'objectness' takes nothing after a colon"),
        ("lead:dog", ConfigError, "target 'lead' takes nothing after a colon, not 'dog'; contrast:dog may be meant"),
        ("class:", ConfigError, "target 'class:' has nothing after its colon"),
        ("box:", ConfigError, "target 'box:' has nothing after its colon"),
        ("contrast:", ConfigError, "target 'contrast:' has nothing after its colon"),
        ("box:lefd", ConfigError, "a box has no side 'lefd' (did you mean 'left'?). Sides: left, top, right, bottom"),
        ("contrast", ConfigError, "target 'contrast' needs a class: contrast:cat"),
        ("other", ConfigError, "target 'other' needs a class: other:cat"),
        ("rotated", ConfigError, "a rotated box is five numbers. Ask for one: rotated:x|y|width|height|angle"),
        (
            "rotated:angel",
            ConfigError,
            "a rotated box has no 'angel' (did you mean 'angle'?). Ask for one: rotated:x|y",
        ),
        ("contrast:dgo", UnknownNameError, "no class 'dgo' (did you mean 'dog'?). Give a name (cat, dog, mug) or"),
        ("other:3", UnknownNameError, "no class '3'. Give a name (cat, dog, mug) or an id from 0 to 2"),
        ("other:-1", UnknownNameError, "no class '-1'"),
        ("other:\N{SUPERSCRIPT TWO}", UnknownNameError, "no class '\N{SUPERSCRIPT TWO}'"),
    ],
)
def test_target_that_is_none_is_refused(text: str, error: type[PpdetCamError], message: str) -> None:
    """What was wrong, what was given and what is allowed stand in one message."""
    with pytest.raises(error) as caught:
        parsed(text)
    assert message in str(caught.value)
    assert isinstance(caught.value, PpdetCamError)


def test_target_that_the_head_has_not_names_those_it_has() -> None:
    """The detector is named, and so is every target that it offers."""
    with pytest.raises(ConfigError) as caught:
        parsed("iou", PLAIN)
    assert str(caught.value) == (
        "target 'iou' needs the head's quality (IoU), which YOLOv3 (YOLOv3Head) has not. It has: "
        "box[:left|top|right|bottom], class, contrast:CLASS, lead, logit, other:CLASS"
    )


def test_lead_needs_a_runner_up() -> None:
    """A detector of one class has none, and is told what to ask instead."""
    with pytest.raises(ConfigError, match="has one class; 'logit' is its number"):
        parse_target("lead", ("face",), known=EVERYTHING, detector="x")


def test_class_is_found_by_name_before_id() -> None:
    """A class that is called "1" is found by its name; ids count from 0."""
    assert class_id_of("dog", NAMES) == 1
    assert class_id_of("2", NAMES) == 2
    assert class_id_of("1", ("zero", "two", "1")) == 2


def test_long_lists_of_classes_are_cut() -> None:
    """Of many classes the first eight are listed."""
    with pytest.raises(UnknownNameError, match=r"\(c0, c1, c2, c3, c4, c5, c6, c7, \.\.\.\) or an id from 0 to 79"):
        class_id_of("zebra", [f"c{index}" for index in range(80)])


def test_class_in_another_case_is_named() -> None:
    """The message says why a name that looks right is refused."""
    with pytest.raises(UnknownNameError, match="no class 'face': upper and lower case count, and the model has 'Face'"):
        class_id_of("face", ["Face", "hand"])
