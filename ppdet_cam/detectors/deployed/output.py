"""What an exported detector gives -> rows per image: class, score, box. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.polygons import box_around, polygon_of
from ppdet_cam.structures import Detection, Found

UPRIGHT, ROTATED = 6, 10  # class, score, and four numbers or eight


def rows_of(outputs: Sequence[np.ndarray], *, images: int, said_by: str) -> list[np.ndarray]:
    """Returns each image's boxes: float32 [K, 6], class, score, left, top, right, bottom; or [K, 10] with corners.

    Args:
        outputs: of the graph: the boxes of all images, one after the other, and how many each has.
        images: how many the batch had.
        said_by: the model, for the error.

    Raises:
        ConfigError: it is no detector's output.
    """
    boxes = next((one for one in outputs if one.ndim == 2 and one.shape[1] in (UPRIGHT, ROTATED)), None)
    counts = next((one for one in outputs if one.ndim <= 1 and one.dtype.kind == "i" and one.size == images), None)
    if boxes is None:  # [N, K, 6], a row per image
        stacked = next((one for one in outputs if one.ndim == 3 and one.shape[2] in (UPRIGHT, ROTATED)), None)
        if stacked is not None and len(stacked) == images:
            return [np.asarray(one, np.float32) for one in stacked]
    elif counts is None and images == 1:  # some exports lack the number
        counts = np.array([len(boxes)])
    if boxes is None or counts is None or int(counts.sum()) > len(boxes):
        shapes = ", ".join(f"{one.dtype} {list(one.shape)}" for one in outputs) or "nothing"
        raise ConfigError(
            f"{said_by} gives {shapes}, and a detector with its NMS gives boxes [K, {UPRIGHT}] (class, score, left, "
            "top, right, bottom) and how many each image has; without it, boxes [N, L, 4] and scores [N, classes, L] "
            "(a DETR: logits [N, L, classes]) of as many classes as label_list has. Export it with its NMS: "
            "-o export.post_process=True export.nms=True, and not export.benchmark"
        )
    ends = np.cumsum(counts.reshape(-1))
    return [np.asarray(boxes[end - count : end], np.float32) for end, count in zip(ends, counts.reshape(-1))]


def are_detections(rows: np.ndarray) -> np.ndarray:
    """Returns which rows are detections, bool [K]: a padding row has class -1."""
    return np.asarray(np.isfinite(rows).all(axis=1) & (np.trunc(rows[:, 0]) >= 0))


def detections_of(rows: np.ndarray, class_names: Sequence[str]) -> tuple[Detection, ...]:
    """Returns the rows that are detections."""
    found = []
    for index in np.flatnonzero(are_detections(rows)).tolist():
        label, score, *place = rows[index].tolist()
        class_id = int(label)
        polygon = polygon_of(place) if len(place) > 4 else None
        left, top, right, bottom = box_around(polygon) if polygon else place
        name = class_names[class_id] if class_id < len(class_names) else f"class {class_id}"
        found.append(Detection(index, class_id, name, score, (left, top, right, bottom), None, polygon))
    return tuple(found)


def found_in(rows: np.ndarray, class_names: Sequence[str], *, as_numbers: bool) -> Found:
    """Returns what an image's rows say.

    Args:
        rows: as `rows_of` gives them.
        class_names: names by class id.
        as_numbers: whether the numbers will do; thousands of images with a thousand rows each take long as detections.
    """
    detections = () if as_numbers else detections_of(rows, class_names)
    return Found(detections, output=rows[are_detections(rows)])
