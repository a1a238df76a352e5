"""`cam_insight --check` with runs and with earlier checks that are not as they were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzzing.insights import PLANTED, furnish

from ppdet_cam.commands.cam_insight import main
from ppdet_cam.insight.checking import CHECKS_FILE
from ppdet_cam.report.insights import INSIGHT_FILE
from tests.support.exporting import export_demo


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of faces whose heat lies beside them, with its photos; the current folder is beside it."""
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return Path(PLANTED)


def checks(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / CHECKS_FILE).read_text(encoding="utf-8").splitlines()]


def test_class_that_the_detector_has_not_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A box of class 79 cannot be asked of a detector of faces; the others are."""
    file = run / "images.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace('"class_id": 0', '"class_id": 79'), encoding="utf-8")
    assert main([str(run), "--check", "2"]) == 0
    printed = capsys.readouterr().err
    assert "not asked: " in printed and "class id 79, and the detector's 1 classes count from 0" in printed
    assert "Traceback" not in printed
    assert [one["measured"] for one in checks(run)[1:]] == [None] * 2


@pytest.mark.parametrize("measured", ["x", 0.5, [], [0.1, 0.2], [0.1, None, 0.3], [1e400, 0, 0], {"a": 1}])
def test_earlier_check_that_makes_no_sense_is_done_again(run: Path, measured: object) -> None:
    """A line whose scores are none is left out, and the box is asked again."""
    assert main([str(run), "--check", "2"]) == 0
    header, first, second = checks(run)
    assert all(isinstance(one["measured"], list) for one in (first, second))
    lines = [header, {**first, "measured": measured}, second]
    (run / CHECKS_FILE).write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    assert main([str(run), "--check", "2"]) == 0
    assert checks(run)[3:] == [first]
    document = json.loads((run / INSIGHT_FILE).read_text(encoding="utf-8"))
    assert document["suspects"][0]["check"]["boxes"] == 2


def test_report_of_somebody_else_is_noticed_before_anything_is_written(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """cam_insight would renew the run's report, which must be one; elsewhere it does not."""
    (run / "report.html").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main([str(run), "--check", "1"]) == 2
    assert "report.html is not a report of an earlier run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert main([str(run), "--out", "out"]) == 0


def test_run_of_an_exported_model_is_checked_with_that_model(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its output alone: the scores are those of the config that it was exported from."""
    assert main([str(run), "--check", "2"]) == 0
    of_config = [one["measured"] for one in checks(run)[1:]]
    folder = export_demo("blazeface", tmp_path / "exported")
    document = json.loads((run / "run.json").read_text(encoding="utf-8"))
    document["flags"]["model_dir"] = str(folder)
    document["config"]["path"] = str(folder / "infer_cfg.yml")
    (run / "run.json").write_text(json.dumps(document), encoding="utf-8")
    assert main([str(run), "--check", "2"]) == 0
    header, *lines = checks(run)
    assert header["weights"] == str(folder / "model.pdiparams")
    for one, other in zip(lines, of_config):
        assert one["measured"] == pytest.approx(other, abs=0.05)
    capsys.readouterr()
    assert main([str(run), "--check", "2", "-o", "use_gpu=false"]) == 2
    assert "is of an exported model, which -o cannot change; give -c and its config" in capsys.readouterr().err
