"""The detectors that are measured: really trained ones on photographs, the demo detectors on drawn scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recipes import CONFIGS, ROOT, SCENES, WEIGHTS

from ppdet_cam import Explainer
from ppdet_cam.images.reading import read_image
from ppdet_cam.questions.question import DEFAULT_THRESHOLD

BACKBONE, NECK, ROI = "model.backbone", "model.neck", "model.bbox_head.roi_extractor"


@dataclass(frozen=True)
class Subject:
    """A detector and its annotated images.

    Attributes:
        name: of its folder and in the tables.
        config: its config file.
        overrides: `-o` items.
        gt: COCO annotations.
        folder: where their file names start.
        layers: that are looked at.
        has_rivals: whether there is a second class, so the target "lead".
        draw_threshold: detections with a lower score take no part.
    """

    name: str
    config: Path
    overrides: tuple[str, ...]
    gt: Path
    folder: Path
    layers: tuple[str, ...] = (BACKBONE,)
    has_rivals: bool = True
    draw_threshold: float = DEFAULT_THRESHOLD


# SSD has no neck, and this BlazeFace's hands the backbone's maps on as they are
_DEMO_LAYERS: Mapping[str, tuple[str, ...]] = {
    "ppyoloe": (BACKBONE, NECK),
    "faster_rcnn": (BACKBONE, NECK, ROI),
    "mask_rcnn": (BACKBONE, NECK, ROI),
    "ssd": (BACKBONE,),
    "retinanet": (BACKBONE, NECK),
    "ppyolo_tiny": (BACKBONE, NECK),
    "picodet": (BACKBONE, NECK),
    "blazeface": (BACKBONE,),
}


def demo_detectors() -> list[Subject]:
    """Returns the demo detectors on the drawn scenes, whose marks are known to make the class."""
    return [
        Subject(
            name,
            CONFIGS / f"{name}.yml",
            (f"weights={WEIGHTS / f'{name}.pdparams'}",),
            SCENES / "annotations" / "val.json",
            SCENES / "val",
            layers,
            has_rivals=name != "blazeface",
        )
        for name, layers in _DEMO_LAYERS.items()
    ]


def trained_detectors(real: Path, out: Path) -> list[Subject]:
    """Returns public weights on photographs, those of BlazeFace on the faces that it is sure of itself.

    Args:
        real: the folder with the weights, two photographs, and `coco/` with `instances.json`.
        out: where BlazeFace's annotations are written.
    """
    configs = ROOT / "configs"
    photographs = real / "coco" / "instances.json", real / "coco"
    blazeface = configs / "face_detection/blazeface_1000e.yml"
    weights = f"weights={real / 'blazeface_1000e.pdparams'}"
    return [
        Subject(
            "SSD MobileNet v1",
            configs / "ssd/ssd_mobilenet_v1_300_120e_voc.yml",
            (f"weights={real / 'ssd_mobilenet_v1_300_coco.pdparams'}", "num_classes=80", "metric=COCO"),
            *photographs,
            draw_threshold=0.3,  # it is seldom sure
        ),
        Subject(
            "PicoDet XS",
            configs / "picodet/picodet_xs_320_coco_lcnet.yml",
            (f"weights={real / 'picodet_xs_320_coco_lcnet.pdparams'}",),
            *photographs,
        ),
        Subject(
            "YOLOX nano",
            configs / "yolox/yolox_nano_300e_coco.yml",
            (f"weights={real / 'yolox_nano_300e_coco.pdparams'}",),
            *photographs,
        ),
        Subject("BlazeFace", blazeface, (weights,), _own_faces(blazeface, weights, real, out), real, has_rivals=False),
    ]


def _own_faces(config: Path, weights: str, real: Path, out: Path) -> Path:
    """Writes the faces that BlazeFace is sure of as annotations, unless they are there; returns the file."""
    file = out / "faces.json"
    if file.is_file():
        return file
    explain = Explainer.from_config(config, overrides=[weights], draw_threshold=DEFAULT_THRESHOLD, method="layercam")
    images, annotations = [], []
    for number, path in enumerate([*sorted(real.glob("*.jpg")), *sorted((real / "coco").glob("*.jpg"))], start=1):
        frame = read_image(path)
        height, width = frame.image.shape[:2]
        images.append({"id": number, "file_name": path.relative_to(real).as_posix(), "height": height, "width": width})
        for explanation in explain(frame):
            left, top, right, bottom = explanation.detection.box_xyxy
            box = {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, **box})
    found = {one["image_id"] for one in annotations}
    content = {
        "images": [one for one in images if one["id"] in found],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "face"}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file
