"""Folders of earlier runs, spoilt, for the commands that read them; and evaluations."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from fuzzing import flags
from fuzzing.annotations import save_annotations
from fuzzing.spoiling import as_text, garbled, put_in_its_place, spoilt
from fuzzing.world import CONFIG, Drawn
from ppdet_cam.metrics import metrics

_BASES = ("single", "many", "many", "many", "kept", "kept", "kept", "unfinished")
_WRITTEN = ("run.json", "images.jsonl")


def report(draws: random.Random, here: Path, earlier: Path) -> Drawn:
    """Returns `cam_report` for a run's folder."""
    what = spoilt_run(draws, here / "run", earlier, draws.choice(_BASES))
    words = [["run"], ["./run/"], ["run", "run"], [], ["gone"], ["run", "--nope"], ["run/images.jsonl"], ["--version"]]
    return Drawn(tuple(draws.choice([["run"]] * 20 + words)), what, "cam_report")


def comparison(draws: random.Random, here: Path, earlier: Path) -> Drawn:
    """Returns `cam_compare` for two runs' folders."""
    first = draws.choice(_BASES)
    second = first if draws.random() < 0.9 else draws.choice(_BASES)
    what = f"{spoilt_run(draws, here / 'a', earlier, first)}; {spoilt_run(draws, here / 'b', earlier, second)}"
    places = [["--out", "out"], ["--out=new/deep"], ["--out", "a"], ["--out", "mine.txt"], ["--out"]]
    out = draws.choice([[]] * 30 + places)
    (here / "mine.txt").write_bytes(b"mine")
    if draws.random() < 0.1:
        (here / "cam_compare").mkdir()
        (here / "cam_compare" / draws.choice(["compare.html", "compare.json", "x"])).write_bytes(b"mine")
    runs = draws.choice([["a", "b"]] * 40 + [["a", "a"], ["a"], ["a", "gone"], ["a", "b", "a"]])
    return Drawn((*runs, *out), what, "cam_compare")


def spoilt_run(draws: random.Random, folder: Path, earlier: Path, base: str) -> str:
    """Makes a folder of one of the earlier runs, spoilt or not, and returns what was done."""
    shutil.copytree(earlier / base, folder)
    done = [base]
    for _ in range(draws.choice([0, 0, 1, 1, 2, 3])):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        written = [path for path in files if path.name in _WRITTEN]
        if not files:
            break
        path = draws.choice(written if written and draws.random() < 0.75 else files)
        kind = draws.choice(["a value", "a value", "a value", "a value", "garbled", "in its place"])
        if kind == "a value" and path in written:
            _spoil_values(path, draws)
        elif kind == "in its place":
            kind = put_in_its_place(path, draws)
        else:
            path.write_bytes(garbled(path.read_bytes(), draws))
        done.append(f"{path.name}: {kind}")
    if draws.random() < 0.05:
        (folder / "report.html").write_bytes(b"mine")
    return ", ".join(done)


def _spoil_values(path: Path, draws: random.Random) -> None:
    count = draws.choice([1, 1, 1, 2, 5])
    try:
        if path.suffix == ".json":
            path.write_bytes(as_text(spoilt(json.loads(path.read_bytes()), draws, count)))
            return
        lines = path.read_bytes().splitlines()
        if lines:
            place = draws.randrange(len(lines))
            lines[place] = as_text(spoilt(json.loads(lines[place]), draws, count))
            path.write_bytes(b"\n".join(lines) + b"\n")
    except ValueError:  # spoilt before
        path.write_bytes(garbled(path.read_bytes(), draws))


# --- evaluations

_METHODS = ("layercam", "gradcam,eigencam", "hirescam", "occlusion", "activations", "nope", "layercam,layercam", "")
_METRICS = (*metrics.names(), "agreement", "pointing,energy", "pointing", "energy", "nope", "", "sanity")
_ONE_OF = {
    "--method": _METHODS,
    "--metrics": _METRICS,
    "--target": ("class", "logit", "box:left", "nope", "contrast:face"),
    "--refine_by": ("none", "auto", "model.neck", "nope"),
    "--target_feature_layer_name": ("model.backbone", "model.neck@0", "model.backbone,model.neck", "model.nope", "@"),
    "--images": ("1", "2", "0", "-1", "x"),
    "--costly_boxes": ("0", "1", "-1"),
    "--draw_threshold": ("0.05", "0.5", "1.1", "nan"),
    "--seed": ("0", "-1"),
    "--infer_dir": (".", "folder", "gone"),
    "--samples": ("1", "0"),
    "-o": ("use_gpu=false", "weights=nowhere.pdparams", "nope=1"),
}
_FREE = ("--strict_images", "--resume", "--overwrite", "--nope", "--help", "--version")


def evaluation(draws: random.Random, here: Path, earlier: Path) -> Drawn:
    """Returns `cam_eval` with flags in any combination, and annotations that may be spoilt."""
    flags.furnish(here)
    gt, what = save_annotations(draws, here, spoil=draws.random() < 0.3)
    if draws.random() < 0.3:
        shutil.copytree(earlier / "evaluated", here / "cam_eval")
        what += f"; an earlier evaluation {_spoilt_evaluation(draws, here / 'cam_eval')}"
    base = [["-c", str(CONFIG)], ["--gt", gt], ["--images", "1"], ["--costly_boxes", "1"], ["--metrics", "pointing"]]
    groups = [group for group in base if draws.random() < 0.98]
    for _ in range(draws.choice([0, 1, 1, 2, 4])):
        flag = draws.choice([*_ONE_OF, *_FREE])
        groups.append([flag, draws.choice(_ONE_OF[flag])] if flag in _ONE_OF else [flag])
    if draws.random() < 0.2:
        groups.append(["--out", draws.choice(["out", "new/deep", "mine", "photo.jpg", "/dev/null/x", "folder"])])
    draws.shuffle(groups)
    words = [word for group in groups for word in group]
    return Drawn((*words, "--samples", "1") if "occlusion" in words else tuple(words), what, "cam_eval")


def _spoilt_evaluation(draws: random.Random, folder: Path) -> str:
    if draws.random() < 0.4:
        return "whole"
    path = draws.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    path.write_bytes(garbled(path.read_bytes(), draws))
    return f"{path.name} garbled"
