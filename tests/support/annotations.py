"""The drawn scenes' annotations in other forms than COCO's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.truth import GroundTruth
from support.places import ROOT

SCENES = ROOT / "demo" / "drawn"
CLASS_NAMES = tuple((ROOT / "configs/demo/scenes_classes.txt").read_text(encoding="utf-8").split("\n")[:-1])


def scenes_truth() -> GroundTruth:
    """Returns the scenes' annotations."""
    return read_ground_truth(SCENES / "annotations.json", CLASS_NAMES)


def save_voc(folder: Path) -> Path:
    """Writes an XML file per scene, and returns the folder."""
    folder.mkdir(parents=True)
    truth = scenes_truth()
    for name, boxes in truth.boxes.items():
        height, width = truth.sizes[name]
        objects = [
            f"<object><name>{box.class_name}</name><difficult>0</difficult><bndbox>"
            + "".join(
                f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box.box_xyxy)
            )
            + "</bndbox></object>"
            for box in boxes
        ]
        size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        text = f"<annotation><filename>elsewhere.png</filename>{size}{''.join(objects)}</annotation>"
        (folder / f"{Path(name).stem}.xml").write_text(text, encoding="utf-8")
    return folder


def save_yolo(folder: Path, class_names: Sequence[str] = CLASS_NAMES) -> Path:
    """Writes a label file per scene, and returns the folder.

    Args:
        folder: to write into.
        class_names: by class id.
    """
    folder.mkdir(parents=True)
    truth = scenes_truth()
    for name, boxes in truth.boxes.items():
        height, width = truth.sizes[name]
        lines = []
        for box in boxes:
            left, top, right, bottom = box.box_xyxy
            centre = (left + right) / 2 / width, (top + bottom) / 2 / height
            size = (right - left) / width, (bottom - top) / height
            lines.append(" ".join(map(str, [class_names.index(box.class_name), *centre, *size])))
        (folder / f"{Path(name).stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
