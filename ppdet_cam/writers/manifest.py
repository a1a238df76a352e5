"""What a run writes about itself: `images.jsonl`, a line per image, and `run.json`, last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ppdet_cam.structures import Detection, Explanation, Frame, MapStatus

SCHEMA_VERSION = 1
IMAGES_FILE = "images.jsonl"
RUN_FILE = "run.json"


def box_record(explanation: Explanation, file: str) -> dict[str, object]:
    """Returns one box's entry of `images.jsonl`."""
    detection = explanation.detection
    record: dict[str, object] = {
        "index": detection.index,
        "class_id": detection.class_id,
        "class_name": detection.class_name,
        "score": detection.score,
        "box_xyxy": list(detection.box_xyxy),
        "file": file,
        "method": explanation.method,
        "target": explanation.target,
        "layers": list(explanation.layers),
        "levels": [
            {
                "layer": level.layer,
                "level": level.level,
                "grid_hw": list(level.grid_hw),
                "stride_yx": list(level.stride_yx),
                "share": level.share,
            }
            for level in explanation.levels
        ],
        "status": explanation.status.name.lower(),
    }
    if explanation.status is not MapStatus.OK:
        record["reason"] = explanation.status.value
    if explanation.box_xyxy_roi is not None:
        record["roi_xyxy"] = list(explanation.box_xyxy_roi)
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
        }
    return record


def image_record(
    frame: Frame,
    detections: Sequence[Detection],
    boxes: Sequence[Mapping[str, object]],
    *,
    seconds: Mapping[str, float],
) -> dict[str, object]:
    """Returns one image's line of `images.jsonl`."""
    height, width = frame.original_hw
    return {
        "path": None if frame.path is None else str(frame.path),
        "status": "ok",
        "size": {"height": height, "width": width},
        "seconds": {step: round(duration, 4) for step, duration in seconds.items()},
        "detections": len(detections),
        "highest_score": max((detection.score for detection in detections), default=None),
        "boxes": list(boxes),
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


def listed_files(folder: Path) -> set[str]:
    """Returns the pictures that an earlier run's `images.jsonl` in this folder lists; empty when there is none."""
    try:
        lines = (folder / IMAGES_FILE).read_text(encoding="utf-8").split("\n")
        return {str(box["file"]) for line in lines if line for box in json.loads(line)["boxes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
