"""Ground truth in COCO's JSON form."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.polygons import BoxXyxy
from ppdet_cam.questions.truth import GroundTruth, TrueBox, four_corners


def read(path: Path, class_names: Sequence[str]) -> tuple[GroundTruth, Collection[str]]:
    """Returns the annotations of a file, and all classes that it has.

    Raises:
        ConfigError: not there, or not in COCO's form.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        names = {category["id"]: str(category["name"]) for category in document["categories"]}
        files = {image["id"]: str(image["file_name"]).replace("\\", "/") for image in document["images"]}
        sizes = {files[image["id"]]: size for image in document["images"] if (size := _annotated_size(image))}
        boxes: dict[str, list[TrueBox]] = {name: [] for name in files.values()}
        for annotation in document["annotations"]:
            name = names[annotation["category_id"]]
            box_xyxy = _corners(annotation["bbox"])
            if (
                name in class_names
                and not annotation.get("iscrowd")
                and box_xyxy[0] < box_xyxy[2]
                and box_xyxy[1] < box_xyxy[3]
            ):
                evidence = _corners(annotation["evidence"]) if annotation.get("evidence") else None
                outside = bool(annotation.get("evidence_outside"))
                shape = annotation.get("segmentation") or None
                box = TrueBox(int(annotation["id"]), name, box_xyxy, evidence, outside, shape, four_corners(shape))
                boxes[files[annotation["image_id"]]].append(box)
    except OSError as error:
        raise ConfigError(f"--gt {path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"--gt {path} is not a COCO annotation file ({type(error).__name__}: {error}); it must be JSON with "
            "'images', 'annotations' and 'categories'"
        ) from error
    truth = GroundTruth(path, {name: tuple(found) for name, found in boxes.items()}, sizes, (path,))
    return truth, set(names.values())


def _annotated_size(image: Mapping[str, object]) -> tuple[int, int] | None:
    """Returns the height and width that an annotation gives its image, None where they are no sizes."""
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0 else None


def _corners(left_top_width_height: Sequence[float]) -> BoxXyxy:
    left, top, width, height = (float(value) for value in left_top_width_height)
    if not np.isfinite([left, top, width, height]).all():
        raise ValueError(f"bbox {left_top_width_height} is not four finite numbers")
    return left, top, left + width, top + height
