"""The README's commands, verbatim, on full-size models with seeded weights in ppdet's cache."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import paddle
import pytest
from support.places import ROOT

pytestmark = pytest.mark.slow

COMMANDS = re.findall(
    r"^python tools/cam_ppdet\.py .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
)
# the photographs that the commands name are PaddleDetection's; others stand in for them
STAND_INS = {
    "000000014439.jpg": "coffee.jpg",
    "hrnet_demo.jpg": "astronaut.jpg",
    "P0861__1.0__1154___824.png": "cat.jpg",
}


def options_of(command: str) -> dict[str, str]:
    words = shlex.split(command)
    options = {name: value for name, value in zip(words, words[1:]) if name.startswith("-")}
    options["weights"] = options["-o"].partition("=")[2]
    return options


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder like a clone of the project with PaddleDetection's photographs, and a home of its own."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("tools", "configs"):
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    (folder / "demo").mkdir()
    for name, stand_in in STAND_INS.items():
        (folder / "demo" / name).write_bytes((ROOT / "demo" / stand_in).read_bytes())
    (folder / "home").mkdir()
    return folder


@pytest.fixture(scope="module")
def fill_cache(workplace):
    """Returns a function that puts seeded weights where ppdet keeps what it downloads."""

    def fill(options: dict[str, str]) -> Path:
        from seeded_weights import seed_detector

        from ppdet_cam.detectors.building import build_detector
        from ppdet_cam.images.reading import read_image

        path = workplace / "home/.cache/paddle/weights" / options["weights"].rpartition("/")[2]
        if not path.exists():
            detector, _ = build_detector(ROOT / options["-c"])
            seed_detector(detector, read_image(workplace / options["--infer_img"]), boxes=2)
            path.parent.mkdir(parents=True, exist_ok=True)
            paddle.save(detector.model.state_dict(), str(path))
        return path

    return fill


def test_all_documented_commands_are_found():
    """The README documents thirty commands, each with its own output folder."""
    assert len(COMMANDS) == 30
    assert len({options_of(command)["--cam_out"] for command in COMMANDS}) == 30


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: options_of(command)["--cam_out"])
def test_documented_command_gives_pictures(command, workplace, fill_cache):
    """Typed as it stands, the command exits 0 and writes a whole picture per box, with maps that show something."""
    options = options_of(command)
    weights = fill_cache(options)
    environment = {
        **os.environ,
        "HOME": str(workplace / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command, shell=True, cwd=workplace, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    out = workplace / options["--cam_out"]
    run = json.loads((out / "run.json").read_text())
    assert run["weights"]["path"] == str(weights)
    (line,) = (out / "images.jsonl").read_text().splitlines()
    boxes = json.loads(line)["boxes"]
    assert boxes and len(boxes) == run["totals"]["explained"]
    assert {path.name for path in out.glob("*.jpg")} == {f"{box['index']}.jpg" for box in boxes}
    assert any(box["status"] == "ok" for box in boxes)
    for box in boxes:
        assert cv2.imread(str(out / box["files"]["overlay"])) is not None
        assert box["layers"] == [options["--target_feature_layer_name"]]
        assert box["status"] == "ok" or box["reason"]
        if box["status"] == "ok":
            assert sum(level["share"] for level in box["levels"]) == pytest.approx(1)


def test_default_weights_are_the_released_ones(workplace, fill_cache):
    """Without `-o`, the config's own weights URL is used, and found in ppdet's cache."""
    command = next(command for command in COMMANDS if "blazeface" in command)
    weights = fill_cache(options_of(command))
    environment = {**os.environ, "HOME": str(workplace / "home")}
    arguments = shlex.split(command.partition(" -o ")[0])[1:]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=workplace, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((workplace / "cam_blazeface/run.json").read_text())["weights"]["path"] == str(weights)
