"""What a run writes about itself: `images.jsonl`, a line per image, and `run.json`, last; see docs/output.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ppdet_cam.languages import Said
from ppdet_cam.places import open_regular
from ppdet_cam.polygons import PolygonXy
from ppdet_cam.questions.truth import Match, TrueBox
from ppdet_cam.structures import Detection, Explanation, LayerView, MapStatus

SCHEMA_VERSION = 2
IMAGES_FILE = "images.jsonl"
RUN_FILE = "run.json"

# kind -> what its file is called: a box's behind the box's name, an image's wholly
BOX_FILES: Mapping[str, str] = MappingProxyType(
    {"overlay": ".jpg", "clean": ".clean.png", "heatmap": ".heatmap.png", "crop": ".crop.jpg", "panel": ".panel.jpg"}
)
IMAGE_FILES: Mapping[str, str] = MappingProxyType({"raw": "maps.npz", "summary": "summary.jpg", "photo": "photo.jpg"})

_OWN_FILE = re.compile(
    "(?:{numbers})(?:{suffixes})|{whole}".format(
        numbers="[0-9]+|box_[0-9]+|gt_-?[0-9]+|layer_[0-9]+",
        suffixes="|".join(map(re.escape, BOX_FILES.values())),
        whole="|".join(map(re.escape, IMAGE_FILES.values())),
    )
)


def box_record(
    explanation: Explanation,
    files: Mapping[str, str],
    *,
    energy_in_box: float | None = None,
    truth: Mapping[str, object] | None = None,
    drawn_as: str | None = None,
) -> dict[str, object]:
    """Returns one box's entry of `images.jsonl`.

    Args:
        explanation: the box.
        files: kind -> path of its file below the output folder.
        energy_in_box: the share of its map that lies in it, None when there is no map.
        truth: from `box_truth`, for a detection of an annotated image.
        drawn_as: what its pictures call the class, None where that is not noted.
    """
    detection = explanation.detection
    record: dict[str, object] = {
        "index": detection.index,
        "class_id": detection.class_id,
        "class_name": detection.class_name,
        "score": detection.score,
        "box_xyxy": list(detection.box_xyxy),
        "files": dict(files),
        "method": explanation.method,
        "target": explanation.target,
        "layers": list(explanation.layers),
        "refined_by": list(explanation.refined_by),
        "levels": [
            {
                "layer": level.layer,
                "level": level.level,
                "grid_hw": list(level.grid_hw),
                "stride_yx": list(level.stride_yx),
                "share": level.share,
                **({} if level.cells is None else {"cells_reached": round(level.cells, 2)}),
            }
            for level in explanation.levels
        ],
        "status": explanation.status.name.lower(),
        "energy_in_box": energy_in_box,
    }
    if detection.polygon_xy is not None:
        record["polygon_xy"] = _points(detection.polygon_xy)
    if detection.score_before_nms is not None:
        record["score_before_nms"] = detection.score_before_nms
    if drawn_as is not None and drawn_as != detection.class_name:
        record["drawn_as"] = drawn_as
    if explanation.status is not MapStatus.OK:
        record["reason"] = explanation.status.value
    if explanation.note is not None:
        record["note"] = explanation.note
    if explanation.box_xyxy_roi is not None:
        record["roi_xyxy"] = list(explanation.box_xyxy_roi)
    if explanation.slice_xyxy is not None:
        record["slice_xyxy"] = list(explanation.slice_xyxy)
    if explanation.answer is not None:
        answer = explanation.answer
        record["answer"] = {
            "name": answer.name,
            "box_xyxy": list(answer.box_xyxy),
            "class_name": answer.class_name,
            "verdict": answer.verdict.name.lower(),
            "words": answer.words,
            "iou": answer.iou,
            "other_index": answer.other_index,
            **({} if answer.polygon_xy is None else {"polygon_xy": _points(answer.polygon_xy)}),
            **({} if answer.share_seen is None else {"share_seen": answer.share_seen}),
            **({"said": [_said(clause) for clause in answer.said]} if answer.said else {}),
        }
    if truth is not None:
        record["truth"] = dict(truth)
    return record


def _said(said: Said) -> dict[str, object]:
    return {"pattern": said.pattern, "values": list(said.values)}


def _points(polygon_xy: PolygonXy) -> list[list[float]]:
    return [list(corner) for corner in polygon_xy]


def view_record(view: LayerView, files: Mapping[str, str]) -> dict[str, object]:
    """Returns one layer's level's entry of `images.jsonl`.

    Args:
        view: what it shows.
        files: kind -> path of its file below the output folder.
    """
    return {
        "layer": view.layer,
        "level": view.level,
        "grid_hw": list(view.grid_hw),
        "stride_yx": list(view.stride_yx),
        "channels": view.channel_count,
        "strongest": [channel for channel, _ in view.strongest],
        "files": dict(files),
    }


def image_record(
    path: str | None,
    name: str,
    *,
    original_hw: tuple[int, int],
    detections: Sequence[Detection],
    boxes: Sequence[Mapping[str, object]],
    seconds: Mapping[str, float],
    files: Mapping[str, str] | None = None,
    truth: Mapping[str, object] | None = None,
    warnings: Sequence[str] = (),
    views: Sequence[Mapping[str, object]] = (),
) -> dict[str, object]:
    """Returns one image's line of `images.jsonl`.

    Args:
        path: the image, as it was given; None for an array.
        name: the folder of its files below the output folder, "" for the output folder itself.
        original_hw: its height and width.
        detections: every row of the detector's output.
        boxes: from `box_record`.
        seconds: wall time by step.
        files: kind -> path below the output folder, of what is written once per image.
        truth: from `image_truth`, for an annotated image.
        warnings: what is amiss with it, though it could be explained.
        views: from `view_record`.
    """
    height, width = original_hw
    record: dict[str, object] = {
        "path": path,
        "name": name,
        "status": "ok",
        "size": {"height": height, "width": width},
        "seconds": {step: round(duration, 4) for step, duration in seconds.items()},
        "detections": len(detections),
        "highest_score": max((detection.score for detection in detections), default=None),
        "boxes": list(boxes),
    }
    if files:
        record["files"] = dict(files)
    if truth is not None:
        record["truth"] = dict(truth)
    if warnings:
        record["warnings"] = list(warnings)
    if views:
        record["views"] = list(views)
    return record


def failed_record(path: str, name: str, reason: str) -> dict[str, object]:
    """Returns the line of `images.jsonl` of an image that could not be explained."""
    return {"path": path, "name": name, "status": "failed", "reason": reason}


def box_truth(index: int, matches: Sequence[Match]) -> dict[str, object]:
    """Returns what ground truth says of a detection.

    Args:
        index: the detection's.
        matches: which detections found which objects.
    """
    for found in matches:
        if found.index == index:
            return {"matched": True, "annotation_id": found.true_box.annotation_id, "iou": found.iou}
    return {"matched": False, "annotation_id": None, "iou": None}


def image_truth(
    shown: Sequence[Detection], true_boxes: Sequence[TrueBox], matches: Sequence[Match]
) -> dict[str, object]:
    """Returns what ground truth says of an image.

    Args:
        shown: the detections with score enough to be shown.
        true_boxes: its objects.
        matches: which of these found which of those.
    """
    found = {match.index for match in matches}
    return {
        "boxes": len(true_boxes),
        "matched": len(matches),
        "missed": len(true_boxes) - len(matches),
        "false_positives": [detection.index for detection in shown if detection.index not in found],
    }


def encode_line(record: Mapping[str, object]) -> bytes:
    """Returns a record as one line of JSON."""
    return _utf8(json.dumps(record, ensure_ascii=False, allow_nan=False))


def encode_document(record: Mapping[str, object]) -> bytes:
    """Returns a record as an indented JSON document."""
    return _utf8(json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2))


def _utf8(text: str) -> bytes:
    # a file name that is not UTF-8 holds surrogates, which become JSON escapes
    return (text + "\n").encode(errors="backslashreplace")


def decode_line(line: bytes) -> dict[str, object] | None:
    """Returns the record of a line of `images.jsonl`, None for a line that is none, or not whole."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "status" in record else None


def files_of(record: Mapping[str, object]) -> list[str]:
    """Returns the files that an image's line lists, as paths below the output folder.

    What no run would write is left out, as someone else may have written the line.
    """
    return list(dict.fromkeys(file for file in _listed(record) if isinstance(file, str) and _is_own(file)))


def _listed(record: Mapping[str, object]) -> Iterator[object]:
    owners = [owner for key in ("boxes", "views") if isinstance(found := record.get(key), list) for owner in found]
    for owner in (record, *owners):
        if isinstance(owner, dict):
            files = owner.get("files")
            yield from files.values() if isinstance(files, dict) else ()
            yield owner.get("file")  # as schema 1 had it


def _is_own(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and bool(_OWN_FILE.fullmatch(path.name))


def listed_files(folder: Path) -> set[str]:
    """Returns the files that an earlier run's `images.jsonl` in this folder lists; empty when there is none."""
    try:
        with open_regular(folder / IMAGES_FILE) as lines:
            return {file for line in lines for file in files_of(decode_line(line) or {})}
    except OSError:
        return set()
