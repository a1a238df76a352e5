#!/usr/bin/env python3
"""ppdet's plain inference of an image or a folder, as its tools/infer.py does it: CONFIG WEIGHTS IMAGES THRESHOLD OUT.

ppdet is imported first, as its users import it; the repairs without which no R-CNN runs come after it, and one for its
drawing, which asks Pillow for a method that Pillow 10 has no more.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam.detectors import compat  # noqa: E402, F401  # isort: skip  (first: it imports ppdet)
from one_element import repair  # noqa: E402
from PIL import ImageDraw  # noqa: E402
from ppdet.core.workspace import load_config, merge_config  # noqa: E402
from ppdet.engine import Trainer  # noqa: E402
from ppdet.engine import trainer as trainer_module


def text_size(draw: ImageDraw.ImageDraw, text: str) -> tuple[int, int]:
    """Returns width and height of a text, as Pillow's `textsize` did."""
    _, _, width, height = draw.textbbox((0, 0), text)
    return int(width), int(height)


def main() -> None:
    repair(trainer_module)
    ImageDraw.ImageDraw.textsize = text_size  # type: ignore[attr-defined]
    config, weights, images, threshold, out = sys.argv[1:]
    files = sorted(map(str, Path(images).iterdir())) if Path(images).is_dir() else [images]
    settings = load_config(config)
    merge_config({"use_gpu": False, "weights": weights})
    trainer = Trainer(settings, mode="test")
    trainer.load_weights(weights)
    trainer.predict(files, draw_threshold=float(threshold), output_dir=out, save_results=False, visualize=True)


if __name__ == "__main__":
    main()
