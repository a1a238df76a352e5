"""`--gt`: which form annotations have, and what all forms have in common."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from ppdet_cam.errors import ConfigError
from ppdet_cam.questions import coco, voc, yolo
from ppdet_cam.questions.truth import GroundTruth

FORMS = "COCO's JSON, a folder of VOC's XML files, ppdet's list of images and XML files, or a folder of YOLO's labels"


def read_ground_truth(path: Path, class_names: Sequence[str]) -> GroundTruth:
    """Returns the annotations of a data set, those of classes that the detector knows.

    Args:
        path: COCO's JSON; a folder of VOC's XML or of YOLO's labels, or one such file; a list of images and XML files.
        class_names: the detector's, by class id.

    Raises:
        ConfigError: not there, in none of these forms, or without any class of the detector's.
    """
    if os.path.isdir(path):
        truth, classes = _of_folder(path, class_names)
    elif os.path.exists(path) and not os.path.isfile(path):
        raise ConfigError(f"--gt {path} is a device or pipe, and is read several times; save the annotations to a file")
    elif path.suffix.lower() == ".xml":
        truth, classes = voc.read([path], path, path.parent, class_names)
    elif path.suffix.lower() == ".txt":
        pairs = voc.pairs_of(path)
        if pairs is None:
            truth, classes = yolo.read([path], path, path.parent, class_names)
        else:
            truth, classes = voc.read_pairs(pairs, path, class_names)
    else:
        truth, classes = coco.read(path, class_names)
    if classes or not truth.by_stem:  # files per image may all be of images without objects
        _check_classes(path, classes, class_names)
    return truth


def _of_folder(folder: Path, class_names: Sequence[str]) -> tuple[GroundTruth, Collection[str]]:
    found: dict[str, list[Path]] = {".xml": [], ".txt": []}
    for here, _, names in os.walk(folder, followlinks=True):
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in found and not (suffix == ".txt" and name in yolo.CLASS_FILES):
                found[suffix].append(Path(here, name))
    if found[".xml"]:
        return voc.read(sorted(found[".xml"]), folder, folder, class_names)
    if found[".txt"]:
        return yolo.read(sorted(found[".txt"]), folder, folder, class_names)
    raise ConfigError(f"--gt {folder} holds no annotations; give {FORMS}")


def _check_classes(path: Path, classes: Collection[str], class_names: Sequence[str]) -> None:
    if set(classes) & set(class_names):
        return
    folded = {name.casefold() for name in classes} & {name.casefold() for name in class_names}
    case = "; some differ in upper and lower case only, which counts" if folded else ""
    raise ConfigError(
        f"--gt {path} has none of the detector's classes: it has {', '.join(sorted(classes)[:8])}; "
        f"the detector has {', '.join(list(class_names)[:8])}{case}"
    )
