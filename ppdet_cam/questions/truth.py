"""Ground truth: which objects an image has, and which of them were found. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.polygons import BoxXyxy, PolygonXy, is_convex, polygon_of
from ppdet_cam.questions.boxes import AskedBox
from ppdet_cam.questions.overlaps import MATCH_IOU, overlaps
from ppdet_cam.registry import closest
from ppdet_cam.structures import Detection


@dataclass(frozen=True)
class TrueBox:
    """One annotated object.

    Attributes:
        annotation_id: COCO's; for a file per image, the object's place in it: its number, or its line, from 1.
        class_name: its category's name.
        box_xyxy: original pixels.
        evidence_xyxy: the place that alone makes it its class, where the annotation says so (`evidence`, as `bbox`).
        evidence_is_outside: whether that place lies outside the box (`evidence_outside`).
        segmentation: COCO's polygons or run lengths, None without.
        polygon_xy: the segmentation, where it is one convex polygon of four corners, as DOTA's objects have it. Only
            detectors of rotated boxes are matched by it.
    """

    annotation_id: int
    class_name: str
    box_xyxy: BoxXyxy
    evidence_xyxy: BoxXyxy | None = None
    evidence_is_outside: bool = False
    segmentation: object = field(default=None, compare=False, repr=False)
    polygon_xy: PolygonXy | None = None

    def asked(self, *, rotated: bool = False) -> AskedBox:
        """Returns the question what became of it; as a polygon, where it is one, for a detector of rotated boxes."""
        polygon = self.polygon_xy if rotated else None
        return AskedBox(f"gt_{self.annotation_id}", self.box_xyxy, self.class_name, polygon)


@dataclass(frozen=True)
class GroundTruth:
    """The annotations of a data set.

    Attributes:
        path: the file or folder.
        boxes: name of an image as annotated -> its objects; crowds and difficult objects are left out.
        sizes: name -> height and width as annotated, of the images whose annotation says them.
        files: that were read.
        by_stem: whether the names are paths without suffix: an annotation file per image, which is called like it.
        is_relative: whether boxes and polygons are in parts of the image's width and height, 0 to 1, not in pixels.
    """

    path: Path
    boxes: Mapping[str, tuple[TrueBox, ...]]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    by_stem: bool = False
    is_relative: bool = False

    def name_of(self, image: Path, names: Sequence[str] | None = None) -> str:
        """Returns an image's name as annotated, found by its path's end, which may be the name alone.

        Args:
            image: its path.
            names: those that come into question; None for all.

        Raises:
            ConfigError: there is no such image, or several.
        """
        known = list(self.boxes) if names is None else names
        whole, own = image.resolve(), image
        if self.by_stem:
            whole, own = whole.with_suffix(""), own.with_suffix("")
        parts = whole.parts
        fitting = [name for name in known if parts[-len(PurePosixPath(name).parts) :] == PurePosixPath(name).parts]
        if not fitting:
            fitting = [name for name in known if PurePosixPath(name).name == own.name]
        if len(fitting) != 1:
            how_many = f"{len(fitting)} images named like" if fitting else "no image"
            hint = "" if fitting else closest(own.name, [PurePosixPath(name).name for name in self.boxes])
            raise ConfigError(f"--gt {self.path} has {how_many} {image.name!r}{hint}; it has {len(self.boxes)} images")
        return fitting[0]

    def objects(self, name: str, original_hw: tuple[int, int]) -> tuple[TrueBox, ...]:
        """Returns the objects of an image, in its pixels.

        Args:
            name: as annotated.
            original_hw: height and width of the image.
        """
        if not self.is_relative:
            return self.boxes[name]
        return tuple(_in_pixels(box, original_hw) for box in self.boxes[name])

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


def _in_pixels(box: TrueBox, original_hw: tuple[int, int]) -> TrueBox:
    height, width = original_hw
    left, top, right, bottom = box.box_xyxy
    polygons: list[list[float]] = box.segmentation or []  # type: ignore[assignment]  # relative ones are polygons
    placed = [[value * (height if place % 2 else width) for place, value in enumerate(one)] for one in polygons]
    return replace(
        box,
        box_xyxy=(left * width, top * height, right * width, bottom * height),
        segmentation=placed or None,
        polygon_xy=four_corners(placed),
    )


def four_corners(segmentation: object) -> PolygonXy | None:
    """Returns a segmentation that is one convex polygon of four corners, None for any other."""
    if not (isinstance(segmentation, list) and len(segmentation) == 1 and isinstance(segmentation[0], list)):
        return None
    (numbers,) = segmentation
    if len(numbers) != 8 or not np.isfinite([float(number) for number in numbers]).all():
        return None
    polygon = polygon_of(numbers)
    return polygon if is_convex(polygon) else None


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
    that it overlaps most, by at least MATCH_IOU: as COCO's evaluation matches. Rotated detections are compared with the
    objects' polygons, upright ones with their boxes.
    """
    free = list(true_boxes)
    found = []
    for detection in sorted(detections, key=lambda detection: -detection.score):
        rivals = [box for box in free if box.class_name == detection.class_name]
        shared = overlaps(detection, rivals, rotated=detection.polygon_xy is not None)
        if rivals and shared.max() >= MATCH_IOU:
            best = int(shared.argmax())  # type: ignore  # numpy 2.5's stubs
            found.append(Match(rivals[best], detection.index, float(shared[best])))
            free.remove(rivals[best])
    return found


def asked_about(
    boxes: Sequence[AskedBox],
    detections: Sequence[Detection],
    true_boxes: Sequence[TrueBox],
    *,
    draw_threshold: float,
    rotated: bool,
) -> list[tuple[AskedBox, frozenset[int]]]:
    """Returns the boxes to ask about, then the objects that no detection found; each with the detections that are
    other objects'.

    Args:
        boxes: that somebody asks about.
        detections: of the image.
        true_boxes: its objects.
        draw_threshold: detections with a lower score found nothing.
        rotated: whether the detector draws polygons.
    """
    matches = match([one for one in detections if one.score >= draw_threshold], true_boxes)
    claimed = frozenset(found.index for found in matches)
    asked = [(box, frozenset[int]()) for box in boxes]
    return asked + [(box.asked(rotated=rotated), claimed) for box in missed(true_boxes, matches)]


def missed(true_boxes: Sequence[TrueBox], matches: Sequence[Match]) -> list[TrueBox]:
    """Returns the objects that no detection found."""
    found = {match.true_box.annotation_id for match in matches}
    return [box for box in true_boxes if box.annotation_id not in found]
