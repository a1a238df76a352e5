"""Fabricated folders of runs, for the tests of the report: manifests as a run writes them, with drawn pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppdet_cam.render import draw_explanation, draw_heatmap, encode_jpeg, encode_png
from ppdet_cam.structures import Detection, Explanation, LevelShare, MapStatus

HW = (120, 160)
STRIDES = (8, 16, 32)

Record = dict[str, Any]


def box_record(
    index: int = 0,
    *,
    class_name: str = "dog",
    score: float = 0.9,
    box_xyxy: Sequence[float] = (20.0, 30.0, 80.0, 90.0),
    shares: Sequence[float] = (0.2, 0.7, 0.1),
    energy_in_box: float | None = 0.8,
    **more: object,
) -> Record:
    """Returns a box's entry of `images.jsonl` without files."""
    return {
        "index": index,
        "class_id": sum(map(ord, class_name)) % 80,
        "class_name": class_name,
        "score": score,
        "box_xyxy": list(box_xyxy),
        "files": {},
        "method": "gradcam",
        "target": "class",
        "layers": ["model.neck"],
        "refined_by": [],
        "levels": [
            {
                "layer": "model.neck",
                "level": level,
                "grid_hw": [320 // s, 320 // s],
                "stride_yx": [s, s],
                "share": share,
            }
            for level, (s, share) in enumerate(zip(STRIDES, shares))
        ],
        "status": "ok",
        "energy_in_box": energy_in_box,
        **more,
    }


def blank_record(index: int = 0, status: str = "zero_gradient", **more: Any) -> Record:
    """Returns the entry of a box that has no map."""
    return box_record(
        index,
        shares=(0, 0, 0),
        energy_in_box=None,
        **{"status": status, "reason": MapStatus[status.upper()].value, **more},
    )


def missed_record(annotation: int, *, asked: Record | None = None, **more: Any) -> Record:
    """Returns the entry of an object of ground truth that no detection found; `asked` changes its answer."""
    place = [100.0, 40.0, 150.0, 100.0]
    answer = {
        "name": f"gt_{annotation}",
        "box_xyxy": place,
        "class_name": "dog",
        "verdict": "low_score",
        "words": "the best candidate there scores 0.210, below --draw_threshold 0.5",
        "iou": 0.64,
        "other_index": None,
    }
    entry = {"score": 0.21, "box_xyxy": (95.0, 45.0, 140.0, 110.0), "energy_in_box": 0.35, **more}
    return box_record(-1, **entry, answer={**answer, **(asked or {})})


def image_record(name: str = "", boxes: Sequence[Record] = (), *, path: str | None = None, **more: object) -> Record:
    """Returns an image's line of `images.jsonl`."""
    detections = [box for box in boxes if box["index"] >= 0]
    return {
        "path": f"photos/{name or 'street'}.jpg" if path is None else path,
        "name": name,
        "status": "ok",
        "size": {"height": HW[0], "width": HW[1]},
        "seconds": {"detect": 0.25, "explain_and_write": 0.5},
        "detections": len(detections) + 4,
        "highest_score": max((box["score"] for box in detections), default=None),
        "boxes": list(boxes),
        **more,
    }


def failed_record(name: str, reason: str = "not an image") -> Record:
    """Returns the line of an image that could not be explained."""
    return {"path": f"photos/{name}.jpg", "name": name, "status": "failed", "reason": reason}


def run_record(images: Sequence[Record], **more: object) -> Record:
    """Returns the content of `run.json`."""
    done = [image for image in images if image["status"] == "ok"]
    boxes = [box for image in done for box in image["boxes"]]
    return {
        "schema_version": 2,
        "config": {"path": "configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml", "architecture": "YOLOv3"},
        "weights": {"asked": "ppyoloe_crn_l.pdparams", "path": "weights/ppyoloe_crn_l.pdparams", "sha256": "5f" * 32},
        "flags": {"method": "gradcam", "draw_threshold": 0.5, "save": ["overlay", "heatmap"]},
        "device": "cpu",
        "versions": {"ppdet_cam": "0.1.0", "paddledet": "2.6.0"},
        "class_names": ["dog", "cat"],
        "totals": {
            "images": len(images),
            "failed": len(images) - len(done),
            "detections": sum(image["detections"] for image in done),
            "explained": len(boxes),
            "blank": sum(box["status"] != "ok" for box in boxes),
            "highest_score": max((box["score"] for box in boxes), default=None),
            "seconds": 12.5,
        },
        **more,
    }


def write_run(folder: Path, images: Sequence[Record], **more: object) -> Path:
    """Writes the manifest of a run without its pictures, and returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(image, ensure_ascii=False) + "\n" for image in images)
    (folder / "images.jsonl").write_bytes(lines.encode(errors="backslashreplace"))
    (folder / "run.json").write_bytes(json.dumps(run_record(images, **more)).encode())
    return folder


def add_pictures(folder: Path, image: Record, *, kinds: Sequence[str] = ("overlay", "heatmap", "photo")) -> Record:
    """Draws an image's pictures into the folder, and returns its line with their names."""
    stem = f"{image['name']}/" if image["name"] else ""
    height, width = image["size"]["height"], image["size"]["width"]
    photo = drawn_photo((height, width), seed=len(stem))
    files: dict[str, str] = dict(image.get("files", {}))
    if "photo" in kinds:
        files["photo"] = f"{stem}photo.jpg"
        _write(folder / files["photo"], encode_jpeg(photo))
    boxes = []
    for box in image["boxes"]:
        name = stem + (box["answer"]["name"] if "answer" in box else str(box["index"]))
        heat = drawn_heat((height, width), box["box_xyxy"], box["energy_in_box"] or 0) * (box["status"] == "ok")
        explanation = _explanation(box, heat)
        picture = draw_explanation(photo, explanation)
        contents: dict[str, tuple[str, Callable[[], bytes]]] = {
            "overlay": (f"{name}.jpg", lambda picture=picture: encode_jpeg(picture)),
            "crop": (f"{name}.crop.jpg", lambda picture=picture: encode_jpeg(picture[:60, :60])),
            "heatmap": (f"{name}.heatmap.png", lambda shown=explanation: encode_png(draw_heatmap(shown))),
        }
        written = {kind: contents[kind] for kind in kinds if kind in contents}
        for file, encoded in written.values():
            _write(folder / file, encoded())
        boxes.append({**box, "files": {kind: file for kind, (file, _) in written.items()}})
    return {**image, "files": files, "boxes": boxes}


def drawn_photo(hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Returns a picture of a sky over a floor with a few things on it, uint8 [H, W, 3]."""
    height, width = hw
    generator = np.random.default_rng(seed)
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = (np.array([150, 185, 215]) * (1 - rows) + np.array([120, 125, 105]) * rows).repeat(width, axis=1)
    picture = np.ascontiguousarray(picture.astype(np.uint8))
    for _ in range(9):
        centre = (int(generator.integers(width)), int(generator.integers(height // 3, height)))
        side = int(generator.integers(height // 12, height // 5))
        colour = tuple(int(value) for value in generator.integers(40, 220, 3))
        cv2.rectangle(picture, centre, (centre[0] + side, centre[1] + side), colour, -1)
    return picture


def drawn_heat(hw: tuple[int, int], box_xyxy: Sequence[float], energy_in_box: float) -> np.ndarray:
    """Returns a map that is hottest in or beside the box, float32 [H, W], 0 to 1."""
    ys, xs = np.mgrid[: hw[0], : hw[1]].astype(np.float32)
    left, top, right, bottom = box_xyxy
    sigma = max(4.0, (right - left) / 4)
    x, y = (left + right) / 2 + (1 - energy_in_box) * 2 * sigma, (top + bottom) / 2
    return np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def _explanation(box: Record, heat: np.ndarray) -> Explanation:
    left, top, right, bottom = box["box_xyxy"]
    return Explanation(
        detection=Detection(box["index"], box["class_id"], box["class_name"], box["score"], (left, top, right, bottom)),
        method=box["method"],
        layers=tuple(box["layers"]),
        refined_by=tuple(box["refined_by"]),
        levels=tuple(
            LevelShare(
                level["layer"], level["level"], tuple(level["grid_hw"]), tuple(level["stride_yx"]), level["share"]
            )
            for level in box["levels"]
        ),
        heatmap=heat,
        status=MapStatus[box["status"].upper()],
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
