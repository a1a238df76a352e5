"""Fabricated runs with maps on a feature grid, for the tests of `ppdet_cam.insight`: heat where it is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ppdet_cam.outputs.raw import RawGrids, encode_grids
from ppdet_cam.structures import Detection, GridMap, GridPlacement
from support.report_runs import HW, Record, box_record, image_record, write_run

CELL = 5.0  # pixels of the image per cell of the grid: 24 x 32 cells
GRID_FLAGS = {"method": "layercam", "save": ["raw"], "raw_frame": "grid"}
TRUE = {"matched": True, "annotation_id": 1, "iou": 0.9}
FALSE = {"matched": False, "annotation_id": None, "iou": None}


@dataclass(frozen=True)
class Spot:
    """Where heat lies: in the box's frame (0 to 1 is the box), or in the image's when `of_image`; and how much."""

    x: float
    y: float
    share: float
    of_image: bool = False


@dataclass(frozen=True)
class Drawn:
    """A box: its class, corners, and where its heat lies beside a bump in its middle."""

    class_name: str
    box_xyxy: tuple[float, float, float, float]
    spots: tuple[Spot, ...] = ()
    more: Record = field(default_factory=dict)


def heat_of(drawn: Drawn) -> np.ndarray:
    """Returns the box's map, float32 [24, 32]: bumps of two cells' width that sum to 1."""
    height, width = int(HW[0] / CELL), int(HW[1] / CELL)
    y, x = (np.mgrid[:height, :width] + 0.5) * CELL
    left, top, right, bottom = drawn.box_xyxy
    rest = 1 - sum(spot.share for spot in drawn.spots)
    heat = np.zeros((height, width))
    for spot in (Spot(0.5, 0.5, rest), *drawn.spots):
        frame = (0, 0, HW[1], HW[0]) if spot.of_image else (left, top, right, bottom)
        at = frame[0] + spot.x * (frame[2] - frame[0]), frame[1] + spot.y * (frame[3] - frame[1])
        bump = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * (1.2 * CELL) ** 2))
        heat += spot.share * bump / max(bump.sum(), 1e-9)
    return heat.astype(np.float32)


def write_grid_run(folder: Path, images: Sequence[Sequence[Drawn]], **more: object) -> Path:
    """Writes a run's manifest and its maps on the grid, and returns its folder."""
    lines = []
    for position, drawn in enumerate(images):
        name = f"{position:04d}"
        boxes = [
            box_record(index, class_name=one.class_name, box_xyxy=one.box_xyxy, **one.more)
            for index, one in enumerate(drawn)
        ]
        stored = [_stored(index, one) for index, one in enumerate(drawn)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "maps.npz").write_bytes(encode_grids(stored, original_hw=HW, dtype="float16"))
        lines.append(image_record(name, boxes, files={"raw": f"{name}/maps.npz"}))
    return write_run(folder, lines, **{"flags": GRID_FLAGS, **more})


def _stored(index: int, drawn: Drawn) -> RawGrids:
    heat = heat_of(drawn)
    highest = float(heat.max())
    grid = GridMap((heat / highest).astype(np.float16), GridPlacement((0.0, 0.0), (CELL, CELL)))
    detection = Detection(index, 0, drawn.class_name, 0.9, drawn.box_xyxy)
    return RawGrids(str(index), detection, (grid,), ("model.neck",), (0,), highest)


def scattered(
    class_name: str, count: int, *, seed: int, spots: Sequence[tuple[Spot, ...]] = ((),), **more: object
) -> list[Drawn]:
    """Returns boxes of some sizes at places by chance, away from the image's lower right corner.

    Args:
        class_name: of all.
        count: how many.
        seed: of the chance.
        spots: of the first, the second, ... box, over and over.
        more: of each box's record.
    """
    random = np.random.default_rng(seed)
    boxes = []
    for number in range(count):
        across, down = random.uniform(24, 44, 2)
        left, top = random.uniform(26, 70), random.uniform(24, 40)
        corners = (left, top, left + across, top + down)
        boxes.append(Drawn(class_name, corners, tuple(spots[number % len(spots)]), dict(more)))
    return boxes
