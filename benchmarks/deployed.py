"""What explaining an exported model costs beside running it: CPU seconds of a method by those of the model alone.

    python benchmarks/deployed.py FOLDER IMAGE [--samples 200] [--batch_size 8]

The model's own time is that of as many images, already prepared, in batches of the same size.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

from ppdet_cam import Explainer
from ppdet_cam.detectors.deployed.detector import build_deployed
from ppdet_cam.images.reading import read_image
from ppdet_cam.structures import Frame

METHODS = ("drise", "occlusion")


def model_seconds(folder: Path, frame: Frame, *, images: int, batch: int) -> float:
    """Returns the CPU seconds that the graph alone takes for so many images in batches."""
    detector = build_deployed(folder)
    batch = 1 if detector.takes_one else batch
    inputs = detector.prepared([frame] * batch)
    detector.run(inputs)
    started = time.process_time()
    for _ in range(-(-images // batch)):
        detector.run(inputs)
    return (time.process_time() - started) * images / (batch * -(-images // batch))


def method_seconds(
    folder: Path, frame: Frame, method: str, *, samples: int | None, batch: int, boxes: int
) -> tuple[float, int]:
    """Returns the CPU seconds that a method takes, and how many images it ran."""
    detector, counted = build_deployed(folder), 0
    run = detector.run

    def counting(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        nonlocal counted
        counted += len(inputs["image"])
        return run(inputs)

    detector.run = counting  # type: ignore[method-assign]
    explainer = Explainer(detector, method=method, samples=samples, batch=batch, top_k=boxes)
    explainer(dataclasses.replace(frame, image=frame.image[:, ::-1].copy()), samples=2)
    counted = 0
    started = time.process_time()
    explainer(frame)
    return time.process_time() - started, counted


def main() -> None:
    """Prints a line per method and number of boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--batch_size", type=int, default=8)
    options = parser.parse_args()
    frame, batch = read_image(options.image), options.batch_size
    print("method     boxes  images  seconds  the model's  times")
    for method in METHODS:
        for boxes in (1, 4):
            samples = options.samples if method == "drise" else None
            seconds, images = method_seconds(options.folder, frame, method, samples=samples, batch=batch, boxes=boxes)
            alone = model_seconds(options.folder, frame, images=images, batch=batch)
            print(f"{method:<10} {boxes:>5} {images:>7} {seconds:>8.2f} {alone:>12.2f} {seconds / alone:>6.2f}")


if __name__ == "__main__":
    main()
