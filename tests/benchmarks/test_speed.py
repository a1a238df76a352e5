"""The speed benchmark runs, and its numbers are of the same boxes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.places import ROOT


@pytest.mark.slow
def test_speed_benchmark_of_a_small_case(tmp_path):
    """Every part gives its numbers; what is printed is Markdown."""
    program = [sys.executable, "benchmarks/speed.py", "--quick", "--cases", "demo_blazeface", "demo_faster_rcnn"]
    files = ["--weights", str(tmp_path), "--out", str(tmp_path / "speed.json")]
    done = subprocess.run([*program, *files], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    compared = {(record["case"], record["layer"]): record for record in found["boxes"]}
    assert len(compared) == 3
    for record in compared.values():
        assert len(record["ours"]) == len(record["old"]) == 2
        assert 0 < min(record["ours"]) < min(record["old"])
        assert 0 <= record["multiply_adds"] <= record["all_multiply_adds"]
    for record in found["commands"]:
        assert record["boxes"] == 10
        assert min(record["plain"]) > 0 and record["plain_mb"] > 100
    for record in (*found["refined"], *found["stages"]):
        assert record["boxes"] == 10
        assert 0 < min(record["as_they_are"]) < min(record["changed"])
        assert min(record["ours"]) > 0 and record["ours_mb"] > 100
    (record,) = found["folder"]
    assert (record["case"], record["images"]) == ("demo_blazeface", 6) and record["boxes"] > 0
    assert all(len(record[key]) == 2 for key in ("plain", "computing alone", "workers 0", "workers 1", "workers 2"))
    titles = [line for line in done.stdout.splitlines() if line.startswith("### ")]
    assert [title.split()[1] for title in titles] == [
        "machine",
        "boxes",
        "commands",
        "stages",
        "refined",
        "growth",
        "folder",
    ]
    assert "| demo_faster_rcnn | bbox_head.roi_extractor |" in done.stdout
