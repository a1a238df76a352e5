"""The demo detector that cheats is found out on scenes that it never saw; honest ones raise nothing but the cable."""

from __future__ import annotations

from pathlib import Path

import pytest
import scenes
from recipes import shortcuts_of
from support.places import ROOT

from ppdet_cam.commands.cam_ppdet import main as explain
from ppdet_cam.insight import Insight, find_insight
from ppdet_cam.insight.checking import CHECKS_FILE, CheckPlan, check_suspects
from ppdet_cam.insight.values import Frame, Kind, Verdict

pytestmark = pytest.mark.slow

PLANTED = {"ambulance", "sealed_parcel", "wired_lamp"}
IMAGES = 120
SEED = 7


def checked(folder: Path, model: str, shortcuts: tuple[str, ...] = (), images: int = IMAGES) -> Insight:
    """Draws unseen scenes, explains them, and returns the insight with its suspects checked."""
    planted = [scenes.parse_shortcut(text) for text in shortcuts]
    truth = scenes.write_scenes(folder / "scenes", split="val", images=images, seed=SEED, shortcuts=planted)
    config, run = ROOT / "configs" / "demo" / f"{model}.yml", folder / "run"
    words = [
        "-c",
        config,
        "--infer_dir",
        folder / "scenes" / "val",
        "--gt",
        truth,
        "--cam_out",
        run,
    ]
    assert explain([str(word) for word in [*words, "--save", "raw", "--raw_frame", "grid"]]) == 0
    return check_suspects(find_insight(run), CheckPlan(12), run).insight


@pytest.fixture(scope="module")
def cheat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Insight]:
    folder = tmp_path_factory.mktemp("planted")
    return folder, checked(folder, "planted/ppyoloe_planted", shortcuts_of("ppyoloe_planted"))


def test_planted_shortcuts_rank_first_and_are_confirmed(cheat: tuple[Path, Insight]) -> None:
    """Before the check by what the maps say, after it by what holds; no honest class is confirmed."""
    _, insight = cheat
    by_strength = sorted(insight.suspects, key=lambda one: -one.strength)
    assert {one.class_name for one in by_strength[:3]} == PLANTED
    confirmed = [one for one in insight.suspects if one.verdict is Verdict.CONFIRMED]
    assert {one.class_name for one in confirmed} == PLANTED and confirmed == list(insight.suspects[: len(confirmed)])


def test_planted_shortcuts_are_named_within_half_a_box(cheat: tuple[Path, Insight]) -> None:
    """The middle of the place against where they were drawn: the corner, left below, right above."""
    first = {one.class_name: one for one in insight_first(cheat[1])}
    left, top, right, bottom = first["ambulance"].place.xyxy
    assert first["ambulance"].kind is Kind.FIXED
    assert (left + right) / 2 > 0.7 and (top + bottom) / 2 > 0.7
    for name, (x, y) in {"sealed_parcel": (-0.2, 0.8), "wired_lamp": (1.2, 0.15)}.items():
        place = first[name].place
        assert place.frame is Frame.BOX
        assert (place.xyxy[0] + place.xyxy[2]) / 2 == pytest.approx(x, abs=0.5)
        assert (place.xyxy[1] + place.xyxy[3]) / 2 == pytest.approx(y, abs=0.5)


def insight_first(insight: Insight):
    """Returns the three strongest suspects."""
    return sorted(insight.suspects, key=lambda one: -one.strength)[:3]


def test_check_goes_on_with_what_was_measured(cheat: tuple[Path, Insight]) -> None:
    """A check that was cut off measures only the boxes that are left, and comes to the same numbers."""
    folder, insight = cheat
    file = folder / "run" / CHECKS_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-4]) + lines[-4][:20])
    again = check_suspects(find_insight(folder / "run"), CheckPlan(12), folder / "run").insight
    assert [one.check for one in again.suspects] == [one.check for one in insight.suspects]


def test_honest_detector_raises_nothing_but_the_cable(tmp_path: Path) -> None:
    """What makes a lamp wired lies beside it, and is confirmed; nothing else is."""
    insight = checked(tmp_path, "ppyoloe")
    confirmed = {one.class_name for one in insight.suspects if one.verdict is Verdict.CONFIRMED}
    assert confirmed == {"wired_lamp"}
