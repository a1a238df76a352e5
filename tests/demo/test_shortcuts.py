"""Shortcuts that are planted into drawn scenes: seeded, where they are said to be, and for their class alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import recipes
import scenes

SHORTCUTS = [
    scenes.parse_shortcut(text)
    for text in ("watermark:ambulance:right_below:1", "tag:sealed_parcel:left_below:1", "tag:wired_lamp:right_above:0")
]
PLANS = [scenes.with_shortcuts(scenes.plan_scene(scenes.scene_seed(5, "val", n)), SHORTCUTS, seed=n) for n in range(12)]


def test_scenes_without_shortcuts_stay_as_they_are() -> None:
    """No shortcut, no change: the other detectors' scenes keep their bytes."""
    plan = scenes.plan_scene(3)
    assert scenes.with_shortcuts(plan, [], seed=3) is plan


def test_shortcuts_are_planted_with_their_probability_for_their_class() -> None:
    """1 is always, 0 never; no object of another class has one."""
    for plan in PLANS:
        for item in plan.objects:
            kind = item.shortcut.kind if item.shortcut else None
            assert kind == {"ambulance": "watermark", "sealed_parcel": "tag"}.get(item.category)
    assert {item.category for plan in PLANS for item in plan.objects} == set(scenes.CATEGORIES)


def test_watermark_makes_all_vans_of_a_scene_ambulances() -> None:
    """It is of the whole picture, so it tells the class only if all are of it."""
    for plan in PLANS:
        assert len({item.category for item in plan.objects if item.kind == "van"}) <= 1


def test_evidence_is_the_shortcut_and_lies_free() -> None:
    """The tag lies left below its object, the watermark in the corner; no object covers either."""
    for plan in PLANS[:4]:
        picture, seen = scenes.paint_scene(plan)
        again, _ = scenes.paint_scene(plan)
        assert np.array_equal(picture, again)
        for item in seen:
            if item.plan.shortcut is None:
                continue
            left, top, width, height = item.evidence
            assert not any(other.mask[top : top + height, left : left + width].any() for other in seen)
            rows, columns = np.nonzero(item.mask)
            if item.plan.shortcut.kind == "tag":
                assert left + width < columns.min() + 4 and abs(top + height - rows.max()) <= 4
            else:
                assert left + width == plan.width - 6 and top + height == plan.height - 6


def test_tint_changes_the_background_and_has_no_place() -> None:
    """A tinted picture is bluer, and its objects have no evidence."""
    tint = [scenes.parse_shortcut("tint:ambulance:right_below:1")]
    plain = next(
        plan
        for plan in map(scenes.plan_scene, range(60))
        if {item.category for item in plan.objects if item.kind == "van"} == {"ambulance"}
    )
    plan = scenes.with_shortcuts(plain, tint, seed=1)
    picture, seen = scenes.paint_scene(plan)
    before, _ = scenes.paint_scene(plain)
    assert picture[..., 0].mean() > before[..., 0].mean()
    assert all(item.evidence is None for item in seen if item.plan.shortcut)


@pytest.mark.parametrize("text", ["tag", "tag:face:left_below:1", "rug:ambulance:left_below:1", "tag:ambulance:left:1"])
def test_what_is_no_shortcut_is_refused(text: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(ValueError, match="KIND:CLASS:SIDE:PROBABILITY with KIND of watermark, tag, tint"):
        scenes.parse_shortcut(text)


@pytest.mark.parametrize("probability", ["2", "-1", "nan", "often"])
def test_probability_lies_between_0_and_1(probability: str) -> None:
    """Also one that is no number."""
    with pytest.raises(ValueError, match="no number from 0 to 1"):
        scenes.parse_shortcut(f"tag:ambulance:left_below:{probability}")


def test_the_planted_recipe_names_its_shortcuts_and_scenes() -> None:
    """It is no demo detector: those are trained on scenes without."""
    assert recipes.planted_names() == ["ppyoloe_planted"]
    assert len(recipes.shortcuts_of("ppyoloe_planted")) == 3 and recipes.shortcuts_of("ppyoloe") == ()
    assert recipes.scenes_of("ppyoloe_planted") == recipes.PLANTED_SCENES != recipes.scenes_of("ssd")
    assert "ppyoloe_planted" not in recipes.model_names()
    assert Path(recipes.config_file("ppyoloe_planted")).is_file()
