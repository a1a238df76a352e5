"""What explaining an exported model costs beside running it: CPU seconds of a method by those of the model alone.

    python benchmarks/deployed.py FOLDER IMAGE [--samples 200] [--batch_size 8]

The model's own time is that of its graph on the same images in the same batches; whoever runs it spends that of its
preprocessing too.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam import Explainer
from ppdet_cam.detectors.deployed.detector import build_deployed
from ppdet_cam.images.reading import read_image
from ppdet_cam.structures import Frame

METHODS = ("drise", "occlusion")


@dataclass(frozen=True)
class Cost:
    """What a method took.

    Attributes:
        images: that the graph ran on.
        seconds: of the CPU, in all.
        alone: those of the graph.
        preparing: those of its preprocessing.
    """

    images: int
    seconds: float
    alone: float
    preparing: float


def cost_of(folder: Path, frame: Frame, method: str, *, samples: int | None, batch: int, boxes: int) -> Cost:
    """Explains an image, with a clock around each run of the graph, and around what prepares it."""
    detector, images, alone, preparing = build_deployed(folder), 0, 0.0, 0.0
    run, prepared = detector.run, detector.prepared

    def timed(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        nonlocal images, alone
        images += len(inputs["image"])
        started = time.process_time()
        outputs = run(inputs)
        alone += time.process_time() - started
        return outputs

    def timed_preparing(frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        nonlocal preparing
        started = time.process_time()
        inputs = prepared(frames)
        preparing += time.process_time() - started
        return inputs

    detector.run, detector.prepared = timed, timed_preparing  # type: ignore[method-assign]
    explainer = Explainer(detector, method=method, samples=samples, batch=batch, top_k=boxes)
    explainer(dataclasses.replace(frame, image=frame.image[:, ::-1].copy()), samples=2)
    images, alone, preparing = 0, 0.0, 0.0
    started = time.process_time()
    explainer(frame)
    return Cost(images, time.process_time() - started, alone, preparing)


def main() -> None:
    """Prints a line per method and number of boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--batch_size", type=int, default=8)
    options = parser.parse_args()
    frame, batch = read_image(options.image), options.batch_size
    print("method     boxes  images  seconds  the graph's  times  with preprocessing  times")
    for method in METHODS:
        for boxes in (1, 4):
            samples = options.samples if method == "drise" else None
            cost = cost_of(options.folder, frame, method, samples=samples, batch=batch, boxes=boxes)
            both = cost.alone + cost.preparing
            alone = f"{cost.images:>7} {cost.seconds:>8.2f} {cost.alone:>12.2f} {cost.seconds / cost.alone:>6.2f}"
            print(f"{method:<10} {boxes:>5} {alone} {both:>19.2f} {cost.seconds / both:>6.2f}")


if __name__ == "__main__":
    main()
