"""The detectors that are measured: really trained ones on photographs, the demo detectors on drawn scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes import CONFIGS, ROOT, SCENES, WEIGHTS

from ppdet_cam import Explainer
from ppdet_cam.questions.question import DEFAULT_THRESHOLD

Annotations = dict[str, list[dict[str, Any]]]  # as COCO has them

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
    """Returns public weights on photographs: annotated ones of COCO, and two more.

    Of those that nobody annotated, and of all for BlazeFace, the boxes that the detector is sure of itself are the
    objects.

    Args:
        real: the folder with the weights, two photographs, and `coco/` with `instances.json`.
        out: where the annotations are written.
    """
    configs = ROOT / "configs"
    others, of_coco = sorted(real.glob("*.jpg")), sorted((real / "coco").glob("*.jpg"))
    coco = _of_coco(real / "coco" / "instances.json")
    nothing: Annotations = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "face"}]}
    ssd = (f"weights={real / 'ssd_mobilenet_v1_300_coco.pdparams'}", "num_classes=80", "metric=COCO")
    picodet = (f"weights={real / 'picodet_xs_320_coco_lcnet.pdparams'}",)
    yolox = (f"weights={real / 'yolox_nano_300e_coco.pdparams'}",)
    blazeface = (f"weights={real / 'blazeface_1000e.pdparams'}",)
    sure = DEFAULT_THRESHOLD
    wanted = [  # SSD is seldom sure
        ("SSD MobileNet v1", "ssd/ssd_mobilenet_v1_300_120e_voc.yml", ssd, 0.3, coco, others),
        ("PicoDet XS", "picodet/picodet_xs_320_coco_lcnet.yml", picodet, sure, coco, others),
        ("YOLOX nano", "yolox/yolox_nano_300e_coco.yml", yolox, sure, coco, others),
        ("BlazeFace", "face_detection/blazeface_1000e.yml", blazeface, sure, nothing, [*others, *of_coco]),
    ]
    subjects = []
    for name, config, overrides, threshold, known, unknown in wanted:
        subject = Subject(
            name,
            configs / config,
            overrides,
            out / f"{name.replace(' ', '_')}.json",
            real,
            has_rivals=len(known["categories"]) > 1,
            draw_threshold=threshold,
        )
        if not subject.gt.is_file():
            subject.gt.parent.mkdir(parents=True, exist_ok=True)
            subject.gt.write_text(json.dumps(_with_own_boxes(subject, known, unknown)), encoding="utf-8")
        subjects.append(subject)
    return subjects


def _of_coco(file: Path) -> Annotations:
    """Returns COCO annotations whose images lie beside their file, named from the folder above."""
    content = json.loads(file.read_text(encoding="utf-8"))
    images = [{**one, "file_name": f"{file.parent.name}/{one['file_name']}"} for one in content["images"]]
    return {"images": images, "annotations": content["annotations"], "categories": content["categories"]}


def _with_own_boxes(subject: Subject, known: Annotations, photographs: Sequence[Path]) -> Annotations:
    """Returns annotations with, of further photographs, the boxes that the detector is sure of; none without one."""
    explain = Explainer.from_config(
        subject.config, overrides=list(subject.overrides), draw_threshold=subject.draw_threshold, method="layercam"
    )
    images, annotations = list(known["images"]), list(known["annotations"])
    ids = {category["name"]: category["id"] for category in known["categories"]}
    for path in photographs:
        result = explain.stream(path)  # of which no map is made
        height, width = result.frame.original_hw
        number = 1 + max((int(one["id"]) for one in images), default=0)
        sure = [one for one in result.detections if one.score >= subject.draw_threshold]
        if sure:
            name = path.relative_to(subject.folder).as_posix()
            images.append({"id": number, "file_name": name, "height": height, "width": width})
        for one in sure:
            left, top, right, bottom = one.box_xyxy
            box = {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
            own = {"image_id": number, "category_id": ids[one.class_name], "iscrowd": 0}
            annotations.append({"id": 1 + max((int(one["id"]) for one in annotations), default=0), **own, **box})
    return {"images": images, "annotations": annotations, "categories": known["categories"]}
