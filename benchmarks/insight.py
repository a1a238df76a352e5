#!/usr/bin/env python3
r"""How long `cam_insight` takes for many boxes, how much memory it needs, and how large its page is.

    python benchmarks/insight.py --boxes 100000 --out demo_out/insight_scale

writes a fabricated run with maps on the grids of a PP-YOLOE at 256 x 256 (32 x 32, 16 x 16 and 8 x 8 cells in half
precision, 2.7 kB per box; ten boxes an image, 80 classes), runs `cam_insight` on it in a process of its own, and prints
what that took. A run that is there already is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ppdet_cam.outputs.raw import RawGrids, encode_grids  # noqa: E402
from ppdet_cam.structures import Detection, GridMap, GridPlacement  # noqa: E402

HW = (512, 512)
PHOTO = ROOT / "demo" / "astronaut.jpg"
BOXES_OF_IMAGE = 10
CLASSES = 80
GRIDS = (32, 16, 8)


def fabricated(number: int) -> list[RawGrids]:
    """Returns the boxes of an image with their maps: a bump in each box, one beside those of each tenth class."""
    random = np.random.default_rng(number)
    stored = []
    for index in range(BOXES_OF_IMAGE):
        class_id = int(random.integers(CLASSES))
        side = random.uniform(40, 160, 2)
        left, top = random.uniform(0, 512 - side)
        box = (float(left), float(top), float(left + side[0]), float(top + side[1]))
        maps = [_bumps(cells, box, beside=class_id % 10 == 0, random=random) for cells in GRIDS]
        highest = max(float(values.max()) for values in maps)
        placed = tuple(
            GridMap((values / highest).astype(np.float16), GridPlacement((0.0, 0.0), (512 / cells, 512 / cells)))
            for cells, values in zip(GRIDS, maps)
        )
        detection = Detection(index, class_id, f"class {class_id}", float(random.uniform(0.5, 1)), box)
        stored.append(RawGrids(str(index), detection, placed, ("model.backbone",) * 3, (0, 1, 2), highest))
    return stored


def _bumps(
    cells: int, box: tuple[float, float, float, float], *, beside: bool, random: np.random.Generator
) -> np.ndarray:
    y, x = (np.mgrid[:cells, :cells] + 0.5) * (512 / cells)
    width, height = box[2] - box[0], box[3] - box[1]
    middles = [(0.5, 0.5, 1.0), *([(-0.25, 0.75, 0.4)] if beside else [])]
    heat = random.uniform(0, 0.02, (cells, cells))
    for across, down, share in middles:
        off_x, off_y = (x - box[0] - across * width) / width, (y - box[1] - down * height) / height
        heat += share * np.exp(-(off_x**2 + off_y**2) / 0.08)
    return heat


def write_image(out: Path, number: int) -> str:
    """Writes the maps of an image, and returns its line of `images.jsonl`."""
    stored = fabricated(number)
    name = f"{number:06d}"
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / "maps.npz").write_bytes(encode_grids(stored, original_hw=HW, dtype="float16"))
    boxes = [
        {
            "index": one.detection.index,
            "class_id": one.detection.class_id,
            "class_name": one.detection.class_name,
            "score": one.detection.score,
            "box_xyxy": list(one.detection.box_xyxy),
            "files": {},
            "method": "layercam",
            "target": "class",
            "layers": ["model.backbone"],
            "refined_by": [],
            "levels": [],
            "status": "ok",
            "energy_in_box": 0.8,
        }
        for one in stored
    ]
    record = {
        "path": str(PHOTO),
        "name": name,
        "status": "ok",
        "size": {"height": HW[0], "width": HW[1]},
        "seconds": {},
        "detections": len(boxes),
        "highest_score": max(box["score"] for box in boxes),
        "boxes": boxes,
        "files": {"raw": f"{name}/maps.npz"},
    }
    return json.dumps(record)


def write_run(out: Path, boxes: int, workers: int) -> None:
    """Writes a fabricated run of so many boxes, its `run.json` last."""
    out.mkdir(parents=True, exist_ok=True)
    images = -(-boxes // BOXES_OF_IMAGE)
    with ProcessPoolExecutor(workers) as pool:
        lines = list(pool.map(write_image, [out] * images, range(images), chunksize=50))
    (out / "images.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    document = {
        "schema_version": 2,
        "config": {"path": "fabricated.yml", "architecture": "fabricated"},
        "weights": {"asked": "none"},
        "flags": {"raw_frame": "grid"},
        "device": "cpu",
        "versions": {},
        "class_names": [f"class {number}" for number in range(CLASSES)],
        "totals": {"seconds": 0},
    }
    (out / "run.json").write_text(json.dumps(document), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints seconds, memory and sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True, help="folder of the fabricated run")
    parser.add_argument("--workers", type=int, default=2, help="processes that write the run")
    options = parser.parse_args(arguments)
    if not (options.out / "run.json").is_file():
        write_run(options.out, options.boxes, options.workers)
    command = [sys.executable, str(ROOT / "tools" / "cam_insight.py"), str(options.out)]
    started = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, work = used.ru_maxrss / 2**20, used.ru_utime + used.ru_stime
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return done.returncode
    page = (options.out / "insight.html").stat().st_size / 2**20
    suspects = sum(line[:1].isdigit() for line in done.stdout.splitlines())
    took = f"{seconds:.0f} s ({work:.0f} s of a core), {peak:.2f} GB"
    print(f"{options.boxes:,} boxes: {took}, page {page:.1f} MB, {suspects} suspects")
    return 0


if __name__ == "__main__":
    sys.exit(main())
