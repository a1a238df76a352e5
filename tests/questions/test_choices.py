"""What is chosen from Python changes the question, and nothing else of it."""

from __future__ import annotations

import pytest

from ppdet_cam.errors import ConfigError
from ppdet_cam.questions.boxes import Selection
from ppdet_cam.questions.choices import asked
from ppdet_cam.questions.question import Question

BEFORE = Question(method="hirescam", selection=Selection(0.3, top_k=2), samples=7)


def test_asked_keeps_what_is_not_chosen() -> None:
    """Only the threshold is another one."""
    assert asked(BEFORE, {"draw_threshold": 0.6}) == Question(
        method="hirescam", selection=Selection(0.6, top_k=2), samples=7
    )
    assert asked(BEFORE, {}) == BEFORE


def test_asked_can_take_a_choice_back() -> None:
    """None is a value of its own, not the same as saying nothing."""
    assert asked(BEFORE, {"top_k": None, "samples": None}) == Question(method="hirescam", selection=Selection(0.3))


def test_asked_takes_one_layer_or_several() -> None:
    """A text is one layer."""
    assert asked(BEFORE, {"layers": "model.neck"}).layers == ("model.neck",)
    assert asked(BEFORE, {"layers": ["model.neck", "model.backbone"]}).layers == ("model.neck", "model.backbone")


def test_asked_reads_boxes() -> None:
    """Numbers, and a class behind them; they are named by their position."""
    plain, named = asked(BEFORE, {"boxes": [(1, 2, 3, 4), (5, 6, 7, 8, "face")]}).boxes
    assert (plain.box_xyxy, plain.class_text) == ((1.0, 2.0, 3.0, 4.0), None)
    assert (named.class_text, named.name) == ("face", "box_1")


def test_asked_names_what_can_be_chosen() -> None:
    """A keyword that is none is not passed over."""
    with pytest.raises(TypeError, match=r"no 'treshold'.* There are: layers, method, target, draw_threshold"):
        asked(BEFORE, {"treshold": 0.4})  # type: ignore[typeddict-unknown-key]


def test_asked_refuses_no_layer() -> None:
    """There must be something to look at."""
    with pytest.raises(ConfigError, match="layers must be dotted paths"):
        asked(BEFORE, {"layers": []})
