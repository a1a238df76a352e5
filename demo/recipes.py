"""Which demo models there are, where their files lie, and how the scenes that they see are drawn."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs" / "demo"
WEIGHTS = ROOT / "demo" / "weights"
SCENES = ROOT / "demo_out" / "scenes"
SPLIT_SEEDS = {"train": 1, "val": 2}
SPLIT_IMAGES = {"train": 1200, "val": 250}


def model_names() -> list[str]:
    """Returns the models that have a recipe."""
    return sorted(path.stem for path in CONFIGS.glob("*.yml") if "\narchitecture:" in path.read_text("utf-8"))
