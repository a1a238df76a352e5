"""Ground truth in COCO's JSON form: which objects an image has, and which of them were found. numpy only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.questions.boxes import MATCH_IOU, AskedBox, BoxXyxy, iou
from ppdet_cam.registry import closest
from ppdet_cam.structures import Detection


@dataclass(frozen=True)
class TrueBox:
    """One annotated object.

    Attributes:
        annotation_id: COCO's.
        class_name: its category's name.
        box_xyxy: original pixels.
        evidence_xyxy: the place that alone makes it its class, where the annotation says so (`evidence`, as `bbox`).
        evidence_is_outside: whether that place lies outside the box (`evidence_outside`).
        segmentation: COCO's polygons or run lengths, None without.
    """

    annotation_id: int
    class_name: str
    box_xyxy: BoxXyxy
    evidence_xyxy: BoxXyxy | None = None
    evidence_is_outside: bool = False
    segmentation: object = field(default=None, compare=False, repr=False)

    def asked(self) -> AskedBox:
        """Returns the question what became of it."""
        return AskedBox(f"gt_{self.annotation_id}", self.box_xyxy, self.class_name)


@dataclass(frozen=True)
class GroundTruth:
    """The annotations of a data set.

    Attributes:
        path: the file.
        boxes: file name as annotated -> its objects; crowds are left out.
        sizes: file name -> height and width as annotated, of the images whose annotation says them.
    """

    path: Path
    boxes: Mapping[str, tuple[TrueBox, ...]]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def name_of(self, image: Path) -> str:
        """Returns an image's file name as annotated, found by its path's end, which may be the name alone.

        Raises:
            ConfigError: the file has no such image, or several.
        """
        parts = image.resolve().parts
        fitting = [name for name in self.boxes if parts[-len(PurePosixPath(name).parts) :] == PurePosixPath(name).parts]
        if not fitting:
            fitting = [name for name in self.boxes if PurePosixPath(name).name == image.name]
        if len(fitting) != 1:
            how_many = f"{len(fitting)} images named like" if fitting else "no image"
            hint = "" if fitting else closest(image.name, [PurePosixPath(name).name for name in self.boxes])
            raise ConfigError(f"--gt {self.path} has {how_many} {image.name!r}{hint}; it has {len(self.boxes)} images")
        return fitting[0]

    def of(self, image: Path) -> tuple[TrueBox, ...]:
        """Returns the objects of an image.

        Raises:
            ConfigError: the file has no such image, or several.
        """
        return self.boxes[self.name_of(image)]

    def size_note(self, name: str, original_hw: tuple[int, int]) -> str | None:
        """Returns what is to be said of an image that is not as large as annotated, None for nothing.

        Args:
            name: as annotated.
            original_hw: height and width of the file's image.
        """
        annotated = self.sizes.get(name, original_hw)
        if annotated == original_hw:
            return None
        turned = ", turned by its EXIF orientation or not" if annotated == original_hw[::-1] else ""
        return (
            f"--gt {self.path} says {annotated[1]} x {annotated[0]} pixels, the file has {original_hw[1]} x "
            f"{original_hw[0]}{turned}; the annotated boxes may lie elsewhere"
        )


def read_ground_truth(path: Path, class_names: Sequence[str]) -> GroundTruth:
    """Returns the annotations of a COCO file, those of classes that the detector knows.

    Raises:
        ConfigError: not there, not in COCO's form, or without any class of the detector's.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ConfigError(f"--gt {path} is a device or pipe, and is read several times; save the annotations to a file")
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
                box = TrueBox(int(annotation["id"]), name, box_xyxy, evidence, outside, shape)
                boxes[files[annotation["image_id"]]].append(box)
    except OSError as error:
        raise ConfigError(f"--gt {path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"--gt {path} is not a COCO annotation file ({type(error).__name__}: {error}); it must be JSON with "
            "'images', 'annotations' and 'categories'"
        ) from error
    if not set(names.values()) & set(class_names):
        folded = {name.casefold() for name in names.values()} & {name.casefold() for name in class_names}
        case = "; some differ in upper and lower case only, which counts" if folded else ""
        raise ConfigError(
            f"--gt {path} has none of the detector's classes: it has {', '.join(sorted(names.values())[:8])}; "
            f"the detector has {', '.join(list(class_names)[:8])}{case}"
        )
    return GroundTruth(path, {name: tuple(found) for name, found in boxes.items()}, sizes)


def _annotated_size(image: Mapping[str, object]) -> tuple[int, int] | None:
    """Returns the height and width that an annotation gives its image, None where they are no sizes."""
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0 else None


def true_mask(box: TrueBox, *, original_hw: tuple[int, int]) -> np.ndarray | None:
    """Returns the pixels of an object, bool [H, W]; None where the annotation does not say which they are.

    Args:
        box: the object.
        original_hw: height and width of its image.

    Raises:
        ConfigError: its segmentation is not in COCO's form, or of an image of another size.
    """
    from pycocotools import mask as coco_mask  # here, as few runs need it

    shape, (height, width) = box.segmentation, original_hw
    if shape is None:
        return None
    try:
        if isinstance(shape, list) or isinstance(shape["counts"], list):  # type: ignore[index]
            encoded = coco_mask.frPyObjects(shape, height, width)
            shape = coco_mask.merge(encoded) if isinstance(encoded, list) else encoded
        mask = coco_mask.decode(shape).astype(bool)
    except Exception as error:  # pycocotools raises plain Exceptions
        raise ConfigError(
            f"annotation {box.annotation_id} has a segmentation not in COCO's form ({error}); it must be polygons "
            "or run lengths"
        ) from error
    if mask.shape != original_hw:
        raise ConfigError(
            f"annotation {box.annotation_id} has the segmentation of an image of {mask.shape[0]} x {mask.shape[1]} "
            f"pixels; its image has {height} x {width}"
        )
    return mask


def _corners(left_top_width_height: Sequence[float]) -> BoxXyxy:
    left, top, width, height = (float(value) for value in left_top_width_height)
    if not np.isfinite([left, top, width, height]).all():
        raise ValueError(f"bbox {left_top_width_height} is not four finite numbers")
    return left, top, left + width, top + height


@dataclass(frozen=True)
class Match:
    """A detection that found an object.

    Attributes:
        true_box: the object.
        index: the detection's.
        iou: of the two boxes.
    """

    true_box: TrueBox
    index: int
    iou: float


def match(detections: Sequence[Detection], true_boxes: Sequence[TrueBox]) -> list[Match]:
    """Returns which detections found which objects.

    The detection with the highest score chooses first, among the objects of its class that no other has chosen, the one
    that it overlaps most, by at least MATCH_IOU: as COCO's evaluation matches.
    """
    free = list(true_boxes)
    found = []
    for detection in sorted(detections, key=lambda detection: -detection.score):
        rivals = [box for box in free if box.class_name == detection.class_name]
        overlaps = iou(detection.box_xyxy, np.array([box.box_xyxy for box in rivals]))
        if rivals and overlaps.max() >= MATCH_IOU:
            best = int(overlaps.argmax())  # type: ignore  # numpy 2.5's stubs
            found.append(Match(rivals[best], detection.index, float(overlaps[best])))
            free.remove(rivals[best])
    return found


def missed(true_boxes: Sequence[TrueBox], matches: Sequence[Match]) -> list[TrueBox]:
    """Returns the objects that no detection found."""
    found = {match.true_box.annotation_id for match in matches}
    return [box for box in true_boxes if box.annotation_id not in found]
