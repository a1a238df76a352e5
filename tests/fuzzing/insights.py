"""Runs with maps on the grid, spoilt, for `cam_insight`; and what an earlier insight left beside them."""

from __future__ import annotations

import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
from support.insight_runs import GRID_FLAGS, Spot, scattered, write_grid_run

from fuzzing.runs import spoilt_run
from fuzzing.spoiling import garbled
from fuzzing.world import CONFIG, WEIGHTS, Drawn, save_photo
from ppdet_cam.metrics import fills
from ppdet_cam.report.insights import INSIGHT_FILE, INSIGHT_PAGE

PLANTED, SEEN = "planted", "seen"  # a run with a suspect, and the same with an insight of it
_IMAGES, _EACH = 10, 4
_ONE_OF = {
    "--gt": ("gt.json", "gone.json", "photos", "run/run.json"),
    "--check": ("1", "1", "2", "0", "-1", "x"),
    "--fill": (*fills.names(), "nope", ""),
    "-c": (str(CONFIG), "configs/demo/ssd.yml", "gone.yml", "run"),
    "-o": ("use_gpu=false", "weights=nowhere.pdparams", "nope=1", "x"),
    "--against": (f"run/{INSIGHT_FILE}", "run", "earlier", "gone", "run/run.json", INSIGHT_PAGE),
    "--out": ("out", "new/deep", "run", "mine.txt", "photos", "/dev/null/x", ""),
    "--lang": ("en", "zh", "fr"),
}
_FREE = ("--nope", "--help", "--version")


def furnish(here: Path) -> None:
    """Makes a run of which each class has a suspect, and the photos that it names."""
    (here / "photos").mkdir()
    boxes = scattered("face", _IMAGES * _EACH, seed=1, spots=[(Spot(1.3, 0.5, 0.5),), ()], class_id=0)
    for number in range(_IMAGES):
        save_photo(here / "photos" / f"{number:04d}.jpg")
    write_grid_run(
        here / PLANTED,
        [boxes[_EACH * number : _EACH * (number + 1)] for number in range(_IMAGES)],
        config={"path": str(CONFIG), "architecture": "BlazeFace"},
        weights={"asked": str(WEIGHTS), "path": str(WEIGHTS), "sha256": "00" * 32},
        flags={**GRID_FLAGS, "opt": [], "gt": None},
        class_names=["face"],
    )


def draw(draws: random.Random, here: Path, earlier: Path) -> Drawn:
    """Returns `cam_insight` for a run's folder, spoilt or not, with flags in any combination."""
    shutil.copytree(earlier / "photos", here / "photos")
    shutil.copytree(earlier / SEEN, here / "earlier")
    (here / "mine.txt").write_bytes(b"mine")
    shutil.copy(earlier / "gt.json", here / "gt.json")
    run = here / "run"
    what = spoilt_run(draws, run, earlier, draws.choice([PLANTED] * 4 + [SEEN] * 7 + ["many", "kept"]))
    if draws.random() < 0.3:
        what += f"; {_spoil_maps(draws, run)}"
    if draws.random() < 0.2:
        path = run / draws.choice([INSIGHT_FILE, INSIGHT_PAGE, "insight_checks.jsonl"])
        path.write_bytes(draws.choice([b"mine", b"", garbled(path.read_bytes() if path.is_file() else b"{}", draws)]))
        what += f"; {path.name} is another one"
    if draws.random() < 0.1:
        for photo in sorted((here / "photos").iterdir()):
            photo.write_bytes(draws.choice([b"", garbled(photo.read_bytes(), draws)]))
        what += "; photos garbled"
    folders = ["run"] if draws.random() < 0.97 else draws.choice([["gone"], [], ["run", "run"]])
    groups = []
    for _ in range(draws.choice([0, 0, 1, 1, 2, 3])):
        flag = draws.choice([*_ONE_OF, *_ONE_OF, *_ONE_OF, *_FREE])
        groups.append([flag, draws.choice(_ONE_OF[flag])] if flag in _ONE_OF else [flag])
    needs_check = any(flag in ("-c", "-o", "--fill") for flag, *_ in groups)
    groups += [["--check", "1"]] if draws.random() < (0.9 if needs_check else 0.3) else []
    draws.shuffle(groups)
    return Drawn((*folders, *(word for group in groups for word in group)), what, "cam_insight")


def _spoil_maps(draws: random.Random, run: Path) -> str:
    """Writes another array into one of the run's files of maps: of other type, shape or values, or leaves one out."""
    files = sorted(path for path in run.rglob("maps.npz") if path.is_file())
    if not files:
        return "no maps"
    path = draws.choice(files)
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile):  # spoilt before
        return f"{path.name} cannot be read"
    if not arrays:
        return f"{path.name} is empty"
    name = draws.choice(sorted(arrays))
    value = arrays[name]
    other = draws.choice(["gone", "nan", "negative", "huge", "other shape", "text", "empty", "object", "zeros"])
    if other == "gone":
        del arrays[name]
    elif other in ("nan", "negative", "huge", "zeros"):
        number = {"nan": float("nan"), "negative": -1.0, "huge": 1e30, "zeros": 0.0}[other]
        arrays[name] = np.full(value.shape, number, np.float32)
    else:
        arrays[name] = {
            "other shape": lambda: np.zeros((3, *value.shape), np.float32),
            "text": lambda: np.array(["x"] * max(1, len(np.atleast_1d(value)))),
            "empty": lambda: value.ravel()[:0],
            "object": lambda: np.array([None, {}], object),
        }[other]()
    np.savez(path, **arrays)
    return f"{path.name}: {name} is {other}"
