"""Detections by ppdet's own Trainer: what the detections of a `Detector` must be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ppdet.core import workspace
from ppdet.engine import Trainer

from ppdet_cam.detectors.workspace import isolated_workspace


def plain_detections(config: Path, weights: Path, images: Sequence[Path], folder: Path) -> list[np.ndarray]:
    """Returns, for each image, float32 [K, 6], label, score and box, as ppdet's tools/infer.py prints them.

    Args:
        config: ppdet's YAML file.
        weights: a `.pdparams` file.
        images: files.
        folder: for what ppdet writes; nothing.
    """
    with isolated_workspace():
        settings = workspace.load_config(str(config))
        workspace.merge_config({"use_gpu": False})
        trainer = Trainer(settings, mode="test")
        trainer.load_weights(str(weights))
        results = trainer.predict([str(image) for image in images], output_dir=str(folder), visualize=False)
    return [result["bbox"] for result in results]
