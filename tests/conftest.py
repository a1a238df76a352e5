"""Detectors are built once per session: small, seeded, and never changed by a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "demo"), str(HERE)]

import ppdet_cam.detectors.compat  # noqa: E402, F401  # isort: skip  (first: tests import ppdet's own modules too)
from support.families import FAMILIES  # noqa: E402  (needs the path above)
from support.places import ROOT  # noqa: E402

from ppdet_cam.structures import Frame  # noqa: E402

REAL_WEIGHTS = "PPDET_CAM_REAL"


@pytest.fixture(autouse=True)
def no_system_fonts(monkeypatch: pytest.MonkeyPatch):
    """Pictures are the same on every machine: letters that Pillow's own font lacks are drawn with none of its."""
    from ppdet_cam.render import choose_font, fonts

    monkeypatch.setattr(fonts, "FOLDERS", ())
    choose_font(None)
    yield
    choose_font(None)


@pytest.fixture(scope="session")
def photo() -> Frame:
    """A photograph, wider than high."""
    from ppdet_cam.images.reading import read_image

    return read_image(ROOT / "demo" / "coffee.jpg")


@pytest.fixture(scope="session")
def detector_of(photo: Frame):
    """Returns a function that gives the seeded small detector of a family."""
    built = {}

    def get(name: str):
        if name not in built:
            import paddle
            from seeded_weights import seed_detector

            from ppdet_cam.detectors.building import build_detector

            family = FAMILIES[name]
            paddle.seed(0)  # what the seeding leaves as it was built, such as deformable convolutions
            detector, _ = build_detector(ROOT / family.config, overrides=family.overrides)
            seed_detector(detector, photo)
            built[name] = detector
        return built[name]

    return get


@pytest.fixture(scope="session")
def seeded_weights(tmp_path_factory, detector_of):
    """The seeded weights of the two smallest detectors, as files: config -> path."""
    from support.runs import save_seeded_weights

    return save_seeded_weights(tmp_path_factory.mktemp("weights"), detector_of)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, seeded_weights):
    """The command line, in an empty current folder."""
    from support.runs import Command

    monkeypatch.chdir(tmp_path)
    return Command(tmp_path, seeded_weights, capsys)


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest):
    """Each family in turn."""
    return FAMILIES[request.param]


@pytest.fixture
def detector(family, detector_of):
    """The family's seeded small detector."""
    return detector_of(family.name)


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """The folder with really trained weights and the photographs they are checked on."""
    folder = os.environ.get(REAL_WEIGHTS)
    if not folder:
        pytest.skip(f"really trained weights are not shipped; set {REAL_WEIGHTS} to the folder that holds them")
    return Path(folder)
