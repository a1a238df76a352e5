#!/usr/bin/env python3
r"""Measures every CAM method on the demo detectors and the drawn validation scenes: the table that chooses the default.

    python benchmarks/methods.py --models ppyoloe ssd --images 40 --curve_images 10 --out methods.json

The scenes are drawn by `python demo/scenes.py --out demo_out/scenes --split val --images 250 --seed 2`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

from recipes import CONFIGS, SCENES, WEIGHTS  # noqa: E402

from ppdet_cam.building import build_detector  # noqa: E402
from ppdet_cam.config import Question  # noqa: E402
from ppdet_cam.evaluation import Measured, measured_image  # noqa: E402
from ppdet_cam.images import read_image  # noqa: E402
from ppdet_cam.methods import Needs, methods  # noqa: E402
from ppdet_cam.tables import aligned  # noqa: E402
from ppdet_cam.truth import read_ground_truth  # noqa: E402

LAYERS = ("model.backbone", "model.neck")
COLUMNS = ("pointing", "energy", "object_discrimination", "compactness", "evidence_hit", "evidence_energy")
CURVES = ("deletion", "insertion", "insertion_minus_deletion")


def usual_methods() -> list[str]:
    """Returns the methods that take one backward per box, or none, and occlusion."""
    wanted = (Needs.GRADIENTS, Needs.ACTIVATIONS, Needs.OCCLUSIONS)
    return [name for name in methods.names() if methods.get(name).needs in wanted]


def measured(
    model: str, *, images: int, curve_images: int, names: Iterable[str], layers: Iterable[str], target: str
) -> Iterator[Measured]:
    """Yields the metrics of every map on the first validation scenes."""
    detector, settings = build_detector(CONFIGS / f"{model}.yml")
    detector.load_weights(str(WEIGHTS / f"{model}.pdparams"))
    truth = read_ground_truth(SCENES / "annotations" / "val.json", detector.class_names)
    there = [layer for layer in layers if layer != "model.neck" or getattr(detector.model, "neck", None) is not None]
    questions = [
        dataclasses.replace(Question(), layers=(layer,), method=name, target=target)
        for layer in there
        for name in names
        if layer == there[0] or not methods.get(name).needs.is_of_images
    ]
    for position, name in enumerate(sorted(truth.boxes)[:images]):
        frame = read_image(SCENES / "val" / name)
        yield from measured_image(
            detector, frame, name, truth.boxes[name], questions, curve_boxes=2 if position < curve_images else 0
        )


def table(results: list[Measured]) -> str:
    """Returns a line per method and layer: means over the boxes."""
    rows = [("layer", "method", *COLUMNS, *CURVES, "boxes")]
    for layer, method in sorted({(of.layer, of.method) for of in results}):
        own = [of for of in results if (of.layer, of.method) == (layer, method)]
        means = []
        for column in (*COLUMNS, *CURVES):
            values = [of.values[column] for of in own if column in of.values]
            means.append(f"{np.mean(values):.3f}" if values else "-")
        rows.append((layer or "-", method, *means, str(len(own))))
    return aligned(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=sorted(path.stem for path in WEIGHTS.glob("*.pdparams")))
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument(
        "--curve_images",
        type=int,
        default=0,
        help="measure deletion and insertion of two boxes each on so many of them",
    )
    parser.add_argument("--methods", nargs="+", default=usual_methods())
    parser.add_argument("--layers", nargs="+", default=list(LAYERS))
    parser.add_argument("--target", default="class")
    parser.add_argument("--out", type=Path, help="JSON file of all numbers")
    options = parser.parse_args()
    everything: dict[str, list[dict[str, object]]] = {}
    for model in options.models:
        started = time.perf_counter()
        results = list(
            measured(
                model,
                images=options.images,
                curve_images=options.curve_images,
                names=options.methods,
                layers=options.layers,
                target=options.target,
            )
        )
        everything[model] = [dataclasses.asdict(of) for of in results]
        print(
            f"\n{model} ({options.images} images, {time.perf_counter() - started:.0f} s)\n{table(results)}", flush=True
        )
    if options.out:
        options.out.write_text(json.dumps(everything), encoding="utf-8")


if __name__ == "__main__":
    main()
