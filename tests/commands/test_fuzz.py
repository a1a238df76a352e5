"""Random inputs end in an exit code and whole files; and the fuzz run would notice if they did not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing.oracle import faults
from fuzzing.running import Outcome
from fuzzing.world import save_photo, snapshot
from support.places import ROOT

ERROR_LINE = "cam_ppdet: error: it is wrong\n"
ARGUMENTS = ("-c", "c.yml", "--infer_img", "photo.jpg")
REFUSED = Outcome(2, "", ERROR_LINE, 0.1)
DONE = Outcome(0, "1 picture in cam_out\n", "", 0.1)
RECORD = {"name": "", "status": "ok", "boxes": [{"files": {"overlay": "0.jpg"}}]}


KINDS = {
    *("images", "configs", "flags", "weights", "classes", "annotations", "videos"),
    *("reports", "comparisons", "evaluations", "insight", "deployments"),
}


@pytest.mark.parametrize(("cases", "apart"), [(24, 0), pytest.param(240, 10, marks=pytest.mark.slow)])
def test_random_inputs_leave_no_traceback_and_nothing_half_written(tmp_path, cases, apart):
    """A short run of `tests/fuzz.py`; docs/reliability.md has the long one."""
    words = [sys.executable, str(ROOT / "tests" / "fuzz.py"), f"--cases={cases}", "--seed=7", f"--apart={apart}"]
    done = subprocess.run([*words, "--out", str(tmp_path / "fuzz.json")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    report = json.loads((tmp_path / "fuzz.json").read_text(encoding="utf-8"))
    assert (report["cases"], report["failed"]) == (cases, [])
    assert sum(case["apart"] for case in report["reports"]) == (cases // apart if apart else 0)
    assert {case["kind"] for case in report["reports"]} == KINDS


# --- the judge


@pytest.fixture
def here(tmp_path):
    """A current folder with a photograph."""
    (tmp_path / "here").mkdir()
    save_photo(tmp_path / "here" / "photo.jpg")
    return tmp_path / "here"


def found(here: Path, outcome: Outcome, made: dict[str, bytes], arguments: tuple[str, ...] = ARGUMENTS) -> str:
    """Returns what the judge says of a command that made these files."""
    before = snapshot(here.parent)
    for name, content in made.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content)
    return "; ".join(faults(arguments, outcome, before=before, case=here.parent, here=here))


def whole(here: Path, **changed: bytes | None) -> dict[str, bytes]:
    """Returns the files of a run over one image; None leaves one out."""
    document = {"totals": {"images": 1, "failed": 0}}
    files = {
        "0.jpg": (here / "photo.jpg").read_bytes(),
        "images.jsonl": json.dumps(RECORD).encode() + b"\n",
        "run.json": json.dumps(document).encode(),
    }
    files.update({name.replace("_", "."): content for name, content in changed.items()})
    return {f"cam_out/{name}": content for name, content in files.items() if content is not None}


def test_judge_accepts_what_is_right(here):
    """A refusal that leaves nothing, and a run that is whole."""
    assert found(here, REFUSED, {}) == ""
    assert found(here, DONE, whole(here)) == ""


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome(None, "", "", 0.1, "Traceback: ValueError"), "main raised: Traceback: ValueError"),
        (Outcome(1, "", ERROR_LINE, 0.1), "exit code 1"),
        (Outcome(2, "", "", 0.1), "0 error lines"),
        (Outcome(2, "", ERROR_LINE * 2, 0.1), "2 error lines"),
        (Outcome(2, "", ERROR_LINE + "Traceback (most recent call last)", 0.1), "a traceback on stderr"),
        (Outcome(2, "half", ERROR_LINE, 0.1), "something on stdout"),
        (Outcome(2, "", f"x.py:1: UserWarning: old\n{ERROR_LINE}", 0.1), "a Python warning"),
        (Outcome(2, "", f"{ERROR_LINE[:-1]}{'x' * 5000}", 0.1), "an endless error line"),
        (Outcome(130, "", "", 121.0, is_late=True), "it took 121 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_judge_notices_what_is_printed(here, outcome, message):
    """Exit code, error line, traceback, time."""
    assert message in found(here, outcome, {})


@pytest.mark.parametrize("name", ["ran", "cam_out/0.jpg", "cam_out/.cam-x/0.jpg", "../home/x"])
def test_judge_notices_what_a_refused_command_left(here, name):
    """Anywhere: beside the output folder, in it, hidden in it, at home."""
    assert f"{name.removeprefix('../')} was None" in found(here, REFUSED, {name: b""})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"0_jpg": b"\xff\xd8\xff"}, "0.jpg is listed and is no picture"),
        ({"0_jpg": None}, "0.jpg is listed and cannot be read"),
        ({"run_json": None}, "run.json is not there"),
        ({"run_json": b'{"totals": {"images": 2, "failed": 0}}'}, "of 1 lines"),
    ],
    ids="cut-off gone no-manifest other-totals".split(),
)
def test_judge_notices_what_is_not_whole(here, changed, message):
    """A picture that is cut off or not there; a manifest that is missing or does not fit."""
    assert message in found(here, DONE, whole(here, **changed))


def test_judge_notices_what_is_not_listed(here):
    """Files and folders of a run that no line names, hidden or not."""
    for name in ("1.jpg", ".cam-x/0.jpg", ".hidden"):
        assert f"{name} is there and not listed" in found(here, DONE, whole(here) | {f"cam_out/{name}": b""})


def test_judge_notices_a_file_of_the_user_that_is_gone(here):
    """What lay in the output folder before has to stay."""
    (here / "cam_out").mkdir()
    (here / "cam_out" / "notes.txt").write_bytes(b"mine")
    assert "notes.txt, which was there" in found(here, DONE, whole(here) | {"cam_out/notes.txt": b"not mine"})


def test_judge_notices_nan_in_the_lines(here):
    """Only Python reads NaN in JSON."""
    line = json.dumps({**RECORD, "highest_score": float("nan")}).encode() + b"\n"
    with pytest.raises(ValueError, match="NaN in JSON"):
        found(here, DONE, whole(here, images_jsonl=line))


# --- the judge of the other commands


@pytest.mark.parametrize(
    ("program", "arguments", "made"),
    [
        ("cam_report", ("run",), {"run/report.html": b"<html></html>\n"}),
        ("cam_compare", ("a", "b"), {"cam_compare/compare.html": b"</html>", "cam_compare/compare.json": b"{}"}),
        ("cam_insight", ("run",), {"run/insight.html": b"</html>", "run/insight.json": b"{}"}),
        ("cam_insight", ("run", "--out", "o"), {"o/insight.html": b"</html>", "o/insight.json": b"{}"}),
        ("cam_eval", ("--gt", "x", "--out", "new/out"), {"new/out/eval.json": b"{}", "new/out/eval.md": b""}),
    ],
)
def test_judge_knows_what_each_command_writes(here, program, arguments, made):
    """What it writes is right, anything else is not; a page that is cut off, and JSON that is none, are noticed."""

    def judged(outcome: Outcome, files: dict[str, bytes]) -> str:
        before = snapshot(here.parent)
        for name, content in files.items():
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_bytes(content)
        return "; ".join(faults(arguments, outcome, before=before, case=here.parent, here=here, program=program))

    refused = Outcome(2, "", f"{program}: error: it is wrong\n", 0.1)
    assert judged(refused, {}) == ""
    assert "here/notes.txt was None" in judged(refused, {"notes.txt": b""})
    assert judged(DONE, made) == ""
    assert "here/other.txt was None" in judged(DONE, {"other.txt": b""})
    for name in made:
        if name.endswith(".html"):
            assert "is cut off" in judged(DONE, {name: b"<html>"})
        if name.endswith(".json"):
            with pytest.raises(ValueError, match="Expecting"):
                judged(DONE, {name: b"{"})
    assert "0 error lines" in judged(REFUSED, {})
