"""Which demo models there are, where their files lie, and how the scenes that they see are drawn."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ppdet_cam.detectors.settings import read_settings  # noqa: E402

CONFIGS = ROOT / "configs" / "demo"
WEIGHTS = ROOT / "demo" / "weights"
SCENES = ROOT / "demo_out" / "scenes"
PLANTED_SCENES = ROOT / "demo_out" / "planted"
SPLIT_SEEDS = {"train": 1, "val": 2}
SPLIT_IMAGES = {"train": 1200, "val": 250}


def model_names() -> list[str]:
    """Returns the models that have a recipe."""
    return sorted(path.stem for path in CONFIGS.glob("*.yml") if "\narchitecture:" in path.read_text("utf-8"))


def planted_names() -> list[str]:
    """Returns the models that are trained on scenes with planted shortcuts: they cheat, and are no demo detectors."""
    return sorted(path.stem for path in (CONFIGS / "planted").glob("*.yml"))


def checkout_names() -> list[str]:
    """Returns the demo detectors that paddledet 2.6.0 lacks: they need the ppdet of a newer PaddleDetection."""
    return sorted(path.stem for path in (CONFIGS / "checkout").glob("*.yml"))


def all_names() -> list[str]:
    """Returns the models of every kind."""
    return [*model_names(), *planted_names(), *checkout_names()]


def config_file(model: str) -> Path:
    """Returns the recipe of a model of any kind."""
    return CONFIGS / _kind(model) / f"{model}.yml"


def weights_folder(model: str) -> Path:
    """Returns where the trained weights of a model of any kind lie."""
    return WEIGHTS / _kind(model)


def _kind(model: str) -> str:
    return "planted" if model in planted_names() else "checkout" if model in checkout_names() else ""


def shortcuts_of(model: str) -> tuple[str, ...]:
    """Returns the shortcuts that a model's scenes have, as `scenes.parse_shortcut` reads them; most have none."""
    given = read_settings(config_file(model)).get("shortcuts", ())
    return tuple(str(text) for text in given) if isinstance(given, (list, tuple)) else ()


def scenes_of(model: str) -> Path:
    """Returns the folder of the scenes that a model is trained and evaluated on."""
    return PLANTED_SCENES if shortcuts_of(model) else SCENES
