"""Runs of the command line inside the test's own process, and what came of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from ppdet_cam.commands.cam_ppdet import main
from support.families import FAMILIES
from support.places import ROOT

PHOTO = ROOT / "demo" / "coffee.jpg"
BLAZEFACE, SSD = (ROOT / FAMILIES[name].config for name in ("blazeface", "ssd"))
DEVICE_LINE = "cam_ppdet: device: "
ERROR_LINE = "cam_ppdet: error: "


@dataclass(frozen=True)
class Run:
    """What one run gave.

    Attributes:
        code: exit code.
        out: lines of stdout.
        devices: the device lines of stderr.
        err: all other lines of stderr.
    """

    code: int
    out: list[str]
    devices: list[str]
    err: list[str]


class Command:
    """`cam_ppdet` in one folder.

    Attributes:
        folder: the current folder of every run.
        weights: architecture's config -> its seeded weights.
    """

    def __init__(self, folder: Path, weights: dict[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.weights = weights
        self._capsys = capsys

    @property
    def cam_out(self) -> Path:
        """The default output folder."""
        return self.folder / "cam_out"

    def __call__(self, *arguments: str | Path) -> Run:
        """Runs with these arguments and no others."""
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        err = captured.err.splitlines()
        devices = [line for line in err if line.startswith(DEVICE_LINE)]
        return Run(code, captured.out.splitlines(), devices, [line for line in err if line not in devices])

    def explain(self, *arguments: str | Path, config: Path = BLAZEFACE, image: str | Path = PHOTO) -> Run:
        """Runs a detector with its seeded weights on an image; `arguments` come last."""
        seeded = self.weights[config]
        return self("-c", config, "--infer_img", image, "-o", f"weights={seeded}", *arguments)

    def refused(self, run: Run) -> str:
        """Returns the message of a run that was refused, and asserts that it was refused in the one right form."""
        assert run.code == 2
        assert run.out == []
        assert len(run.devices) <= 1
        assert len(run.err) == 1, run.err
        assert run.err[0].startswith(ERROR_LINE)
        return run.err[0][len(ERROR_LINE) :]

    def image_record(self) -> dict:
        """Returns the one line of `images.jsonl`."""
        (line,) = (self.cam_out / "images.jsonl").read_text(encoding="utf-8").splitlines()
        return json.loads(line)

    def run_record(self) -> dict:
        """Returns the content of `run.json`."""
        return json.loads((self.cam_out / "run.json").read_text(encoding="utf-8"))

    def pictures(self) -> set[str]:
        """Returns the names of the pictures in the default output folder."""
        return {path.name for path in self.cam_out.iterdir() if path.suffix == ".jpg"}


def save_seeded_weights(folder: Path, detector_of) -> dict[Path, Path]:
    """Writes the seeded weights of the small detectors; returns config -> file."""
    import paddle

    saved = {}
    for name, config in (("blazeface", BLAZEFACE), ("ssd", SSD)):
        saved[config] = folder / f"{name}.pdparams"
        paddle.save(detector_of(name).model.state_dict(), str(saved[config]))
    return saved
