"""Runs over many images, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

from support.runs import BLAZEFACE, Command, Run
from support.trees import contents

SIDE = 96
THRESHOLD = 0.2
CHOICE = ("--draw_threshold", str(THRESHOLD), "--top_k", "2")
ALL_KINDS = "overlay,clean,heatmap,crop,panel,raw,summary,photo"
Record = dict[str, object]


class Many:
    """Runs over many images, in one folder."""

    def __init__(self, command: Command, photos: Path) -> None:
        self.command, self.photos = command, photos
        self.folder, self.cam_out = command.folder, command.cam_out

    def __call__(self, *arguments: str | Path, folder: Path | None = None) -> Run:
        """Runs the small detector on a folder and those in it; `arguments` come last."""
        return self.on("--infer_dir", folder or self.photos, "--recursive", *CHOICE, *arguments)

    def on(self, *arguments: str | Path) -> Run:
        """Runs the small detector on other images."""
        return self.command("-c", BLAZEFACE, "-o", f"weights={self.command.weights[BLAZEFACE]}", *arguments)

    def records(self, cam_out: Path | None = None) -> list[Record]:
        """Returns the lines of `images.jsonl`."""
        lines = ((cam_out or self.cam_out) / "images.jsonl").read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]

    def result(self, cam_out: Path | None = None) -> dict[str, object]:
        """Returns everything in the output folder but for the times, and for the folder's name."""
        return without_times(cam_out or self.cam_out)


def without_times(cam_out: Path) -> dict[str, object]:
    found: dict[str, object] = dict(contents(cam_out))
    for name in [name for name in found if name.endswith(".jsonl")]:
        records = [json.loads(line) for line in bytes(found[name]).decode().splitlines()]
        found[name] = [{key: value for key, value in record.items() if key != "seconds"} for record in records]
    if "run.json" in found:
        document = json.loads(bytes(found["run.json"]))
        del document["totals"]["seconds"], document["flags"]["cam_out"]
        found["run.json"] = document
    return found
