"""`--gt` in every form gives the same answers and the same measurements."""

from __future__ import annotations

import json
import shutil

import pytest
from support.annotations import SCENES, save_voc, save_yolo
from support.places import ROOT

from ppdet_cam.commands import cam_eval, cam_ppdet

CONFIG = ROOT / "configs" / "demo" / "ssd.yml"


def test_each_form_gives_the_same_answers_and_measurements(tmp_path, monkeypatch, capsys) -> None:
    """Three forms beside the scenes: the same verdicts, matches and numbers, and a digest of each one's files."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SCENES, "images", ignore=shutil.ignore_patterns("*.json"))
    shutil.copy(SCENES / "annotations.json", "coco.json")
    given = {"coco": "coco.json", "voc": save_voc(tmp_path / "Annotations"), "yolo": save_yolo(tmp_path / "labels")}
    told, measured, digests = {}, {}, set()
    for form, gt in given.items():
        words = ["-c", CONFIG, "--gt", gt, "--draw_threshold", "0.9"]
        assert cam_ppdet.main([*map(str, words), "--cam_out", f"out_{form}", "--save", "photo", "--report"]) == 0
        lines = map(json.loads, (tmp_path / f"out_{form}" / "images.jsonl").read_text().splitlines())
        told[form] = [
            [
                line["truth"],
                [(box.get("truth", {}).get("iou"), box.get("answer", {}).get("verdict")) for box in line["boxes"]],
            ]
            for line in lines
        ]
        digests.add(json.loads((tmp_path / f"out_{form}" / "run.json").read_text())["inputs"]["gt_sha256"])
        words += [
            "--metrics",
            "pointing,energy",
            "--method",
            "layercam",
            "--images",
            "2",
            "--out",
            f"eval_{form}",
        ]
        assert cam_eval.main(list(map(str, words))) == 0
        measured[form] = json.loads((tmp_path / f"eval_{form}" / "eval.json").read_text())["maps"]
    assert len(digests) == 3
    assert any(verdict for image in told["coco"] for _, verdict in image[1])
    for form in ("voc", "yolo"):
        for ours, theirs in zip(told[form], told["coco"]):
            assert ours[0] == theirs[0]
            assert [verdict for _, verdict in ours[1]] == [verdict for _, verdict in theirs[1]]
            assert [iou for iou, _ in ours[1]] == pytest.approx([iou for iou, _ in theirs[1]], abs=1e-6)
        assert measured[form] == measured["coco"]
    capsys.readouterr()
