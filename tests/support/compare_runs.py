"""Fabricated pairs of runs, for the tests of comparisons: manifests, pictures, and the maps as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ppdet_cam.outputs.raw import RawMap, block_means, encode_raw
from ppdet_cam.structures import Detection
from support.report_runs import Record, add_pictures, box_record, drawn_heat, image_record, write_run

PLACES = {"left": (10.0, 30.0, 60.0, 90.0), "right": (90.0, 40.0, 150.0, 100.0), "top": (60.0, 0.0, 100.0, 30.0)}


def box_at(place: str, index: int = 0, *, shift: float = 0.0, **more: object) -> Record:
    """Returns a box's entry at one of three places that do not overlap, moved to the right by some pixels."""
    left, top, right, bottom = PLACES[place]
    return box_record(index, box_xyxy=(left + shift, top, right + shift, bottom), **more)


def add_maps(
    folder: Path, image: Record, heats: Mapping[str, np.ndarray] | None = None, *, reduction: int = 1
) -> Record:
    """Stores an image's maps, and returns its line with their file.

    Args:
        folder: the run's.
        image: its line.
        heats: what a box is called in files -> float [H, W]; those of `drawn_heat` where there is none.
        reduction: as `--raw_reduction`.
    """
    height, width = image["size"]["height"], image["size"]["width"]
    maps = []
    for box in image["boxes"]:
        name = box["answer"]["name"] if "answer" in box else str(box["index"])
        heat = (heats or {}).get(name)
        if heat is None:
            heat = drawn_heat((height, width), box["box_xyxy"], box["energy_in_box"] or 0)
        values = block_means(np.asarray(heat, np.float32) * (box["status"] == "ok"), reduction)
        scale = float(values.max(initial=0.0))
        stored = (values / scale if scale else values).astype(np.float16)
        left, top, right, bottom = box["box_xyxy"]
        detection = Detection(
            box["index"], box["class_id"], box["class_name"], box["score"], (left, top, right, bottom)
        )
        maps.append(RawMap(name, detection, stored, scale))
    file = f"{image['name']}/maps.npz" if image["name"] else "maps.npz"
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    content = encode_raw(maps, original_hw=(height, width), dtype="float16", reduction=reduction)
    (folder / file).write_bytes(content)
    return {**image, "files": {**image.get("files", {}), "raw": file}}


def write_drawn_run(folder: Path, images: Sequence[Record], *, stores_maps: bool = True, **more: object) -> Path:
    """Writes a run with its pictures and maps, and returns its folder."""
    drawn = []
    for image in images:
        if image["status"] == "ok":
            image = add_pictures(folder, image)
            image = add_maps(folder, image) if stores_maps else image
        drawn.append(image)
    return write_run(folder, drawn, **more)


def two_runs(
    folder: Path, boxes_a: Sequence[Record], boxes_b: Sequence[Record], **more_of_b: object
) -> tuple[Path, Path]:
    """Writes two manifests of one image, and returns their folders."""
    a = write_run(folder / "before", [image_record("street", boxes_a)])
    return a, write_run(folder / "after", [image_record("street", boxes_b)], **more_of_b)
