"""Which layers of a detector can be captured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ppdet_cam.explainer import build_detector
from ppdet_cam.images import read_image
from ppdet_cam.projection import nominal_stride
from ppdet_cam.structures import Frame

BLANK_HW = (480, 640)


def layer_table(config: Path, overrides: Sequence[str], *, image: Path | None = None) -> str:
    """Returns a line per layer that can be captured: path, type, output shapes, stride.

    Args:
        config: a ppdet config; its weights are not loaded.
        overrides: "key=value" items.
        image: an image to run; by default a gray one of 480 x 640, so sizes differ for readers that keep the size.
    """
    detector, _ = build_detector(config, overrides=overrides)
    frame = read_image(image) if image else Frame(np.full((*BLANK_HW, 3), 127, np.uint8))
    rows = [("layer", "type", "output [C, h, w]", "stride")]
    for layer in detector.feature_layers(frame):
        shapes = " ".join("x".join(map(str, shape[1:])) for shape in layer.shapes)
        strides = {f"{nominal_stride(layer.padded_hw[0], shape[2]):g}": None for shape in layer.shapes}
        rows.append((layer.path, layer.kind, shapes, "per RoI" if layer.per_roi else " ".join(strides)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]) for row in rows)
