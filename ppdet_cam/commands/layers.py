"""Which layers of a detector can be captured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.inner_layers import FeatureLayer, feature_layers
from ppdet_cam.errors import LayerError
from ppdet_cam.explaining.finer import finer_layers, stages_of
from ppdet_cam.explaining.projection import nominal_stride
from ppdet_cam.images.reading import blank_frame, read_image
from ppdet_cam.methods import LEAST_CELLS, cells_reached
from ppdet_cam.questions.question import AUTO, DEFAULT_LAYER
from ppdet_cam.tables import aligned


def layer_table(config: Path, overrides: Sequence[str], *, image: Path | None = None) -> str:
    """Returns a line per layer that can be captured, which are recommended, and which refine a map.

    Columns: path, type, output shapes, stride, whether gradients of the class scores reach it, and in how many cells
    those of a box in the middle of the image do, at the level where they reach most. A method that needs gradients has
    nothing to show at a layer that they do not reach, and little where they reach one cell: such a layer is blind.

    Args:
        config: a ppdet config; its weights are not loaded.
        overrides: "key=value" items.
        image: an image to run; by default a gray one of 480 x 640, so sizes differ for readers that keep the size.
    """
    detector, _ = build_detector(config, overrides=overrides)
    frame = read_image(image) if image else blank_frame()
    rows = [("layer", "type", "output [C, h, w]", "stride", "gradients", "cells")]
    layers = feature_layers(detector, frame, cells_of=cells_reached)
    for layer in layers:
        shapes = " ".join("x".join(map(str, shape[1:])) for shape in layer.shapes)
        strides = {f"{nominal_stride(layer.padded_hw[0], shape[2]):g}": None for shape in layer.shapes}
        stride = "per RoI" if layer.per_roi else " ".join(strides)
        rows.append((layer.path, layer.kind, shapes, stride, "yes" if layer.reached else "no", _cells(layer)))
    there = {layer.path for layer in layers}
    advice = [f"recommended: {path} ({why})" for path, why in detector.extractor.recommended_layers if path in there]
    return "\n".join([aligned(rows), *advice, *_refinement(detector)])


def _cells(layer: FeatureLayer) -> str:
    """Returns how many cells a gradient reaches; "-" where an untrained head's are all zero, and for RoIs."""
    if layer.per_roi or not layer.cells:
        return "-"
    return f"{layer.cells:.0f}" + (" (blind)" if layer.cells < LEAST_CELLS else "")


def _refinement(detector: Detector) -> list[str]:
    """Returns lines with the stages of the default method, and what `--refine_by auto` stands for, if there are any."""
    stages = stages_of(detector, DEFAULT_LAYER)
    found = [f"--method stagecam at {DEFAULT_LAYER} looks into: {', '.join(stages)}"] if stages else []
    try:
        return [*found, f"--refine_by {AUTO}: {', '.join(finer_layers(detector))}"]
    except LayerError:
        return found
