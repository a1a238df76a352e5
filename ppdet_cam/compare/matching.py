"""Which images, and which boxes of an image, of two runs belong together."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from ppdet_cam.questions.overlaps import MATCH_IOU, overlaps
from ppdet_cam.report.reading import Box, Image, Role


class Kind(enum.Enum):
    """What became of a box from run A to run B."""

    LOST = "lost"
    NEW = "new"
    OTHER_CLASS = "other class"
    KEPT = "kept"
    ASKED = "asked"


@dataclass(frozen=True)
class BoxPair:
    """A box of run A and the one in its place in run B.

    Attributes:
        kind: what became of it.
        a: the box of run A; None for a new box. For a new box that finds an object which A missed: A's best candidate.
        b: the box of run B; None for a lost box. For a lost box whose object B missed: B's best candidate.
        iou: of the two, None without both.
        beside: for a lost or new box, the detection of the other run in its place that is the partner of another box:
            one run has a box there, the other has several. None when there is none.
    """

    kind: Kind
    a: Box | None
    b: Box | None
    iou: float | None
    beside: Box | None = None


@dataclass(frozen=True)
class ImagePair:
    """An image in both runs."""

    a: Image
    b: Image

    @property
    def is_explained(self) -> bool:
        """Whether neither run failed on it."""
        return self.a.failure is None and self.b.failure is None


@dataclass(frozen=True)
class ImageMatch:
    """The images of two runs.

    Attributes:
        compared: in both, explained in both, of one size; in run A's order.
        failed: in both; one run or both failed.
        unlike: in both by name, with different sizes: not the same picture.
        only_a: in run A only.
        only_b: in run B only.
    """

    compared: tuple[ImagePair, ...]
    failed: tuple[ImagePair, ...]
    unlike: tuple[ImagePair, ...]
    only_a: tuple[Image, ...]
    only_b: tuple[Image, ...]


def match_images(images_a: Sequence[Image], images_b: Sequence[Image]) -> ImageMatch:
    """Returns which images are the same: those of one file, and of the others those of one name.

    Two paths are of one file when they lead to the same place, links followed; relative ones start in the current
    folder. An image's name is its place in its run, so the same pictures in another folder are found; of a run over a
    single image, which has no place, it is the file's name without suffix.

    Args:
        images_a: of run A.
        images_b: of run B.
    """
    partner_of: dict[int, int] = {}
    for key_of in (_file_of, _name_of):
        left_b = {key_of(images_b[b]): b for b in _without(len(images_b), partner_of.values())}
        for a in _without(len(images_a), partner_of):
            b = left_b.pop(key_of(images_a[a]), None)
            if b is not None:
                partner_of[a] = b
    pairs = [ImagePair(images_a[a], images_b[partner_of[a]]) for a in sorted(partner_of)]
    both = [pair for pair in pairs if pair.is_explained]
    return ImageMatch(
        compared=tuple(pair for pair in both if pair.a.original_hw == pair.b.original_hw),
        failed=tuple(pair for pair in pairs if not pair.is_explained),
        unlike=tuple(pair for pair in both if pair.a.original_hw != pair.b.original_hw),
        only_a=tuple(images_a[a] for a in _without(len(images_a), partner_of)),
        only_b=tuple(images_b[b] for b in _without(len(images_b), partner_of.values())),
    )


def match_boxes(boxes_a: Sequence[Box], boxes_b: Sequence[Box]) -> list[BoxPair]:
    """Returns what became of each box of an image.

    Detections of one class whose IoU is at least 0.5 are pairs, the highest IoU first, each box once. Of what is left,
    detections of different classes with such an IoU are pairs that changed class, again the highest first. The rest of
    A's detections are lost, the rest of B's are new.

    Boxes that were asked about in both runs are pairs whatever was found there. With ground truth, an object that one
    run missed and a lost or new box of the other run found gives that box its partner: the best candidate there.

    Args:
        boxes_a: of run A.
        boxes_b: of run B.

    Returns:
        Lost boxes, new ones, changes of class, kept ones, boxes asked about; each in the order of their run.
    """
    found_a, found_b = ([box for box in boxes if box.answer is None] for boxes in (boxes_a, boxes_b))
    kept = _greedy_pairs(found_a, found_b, lambda a, b: _class_of(a) == _class_of(b))
    left_a, left_b = _without(len(found_a), kept), _without(len(found_b), kept.values())
    moved = _greedy_pairs(
        [found_a[a] for a in left_a], [found_b[b] for b in left_b], lambda a, b: _class_of(a) != _class_of(b)
    )
    changed = {left_a[a]: left_b[b] for a, b in moved.items()}
    lost = [found_a[a] for a in left_a if a not in changed]
    new = [found_b[b] for b in left_b if b not in changed.values()]
    return [
        *(_pair(Kind.LOST, box, _missed_object(box, boxes_b), beside=_in_place_of(box, found_b)) for box in lost),
        *(_pair(Kind.NEW, _missed_object(box, boxes_a), box, beside=_in_place_of(box, found_a)) for box in new),
        *(_pair(Kind.OTHER_CLASS, found_a[a], found_b[changed[a]]) for a in sorted(changed)),
        *(_pair(Kind.KEPT, found_a[a], found_b[kept[a]]) for a in sorted(kept)),
        *_asked_pairs(boxes_a, boxes_b),
    ]


def _without(count: int, taken: Iterable[int]) -> list[int]:
    gone = set(taken)
    return [position for position in range(count) if position not in gone]


def _file_of(image: Image) -> str:
    return os.path.realpath(image.path)


def _name_of(image: Image) -> str:
    return image.name or PurePosixPath(image.title).stem


def _class_of(box: Box) -> str:
    return box.detection.class_name


def _greedy_pairs(
    boxes_a: Sequence[Box], boxes_b: Sequence[Box], may_pair: Callable[[Box, Box], bool]
) -> dict[int, int]:
    """Returns position in A -> position in B, the highest IoU first.

    Ties go to the higher scores, then to the run's order.
    """
    candidates = []
    for a, box_a in enumerate(boxes_a):
        shared = _overlaps(box_a, boxes_b)
        for b in np.flatnonzero(shared >= MATCH_IOU).tolist():
            box_b = boxes_b[b]
            if may_pair(box_a, box_b):
                scores = box_a.detection.score + box_b.detection.score
                candidates.append((-float(shared[b]), -scores, a, b))
    pairs: dict[int, int] = {}
    taken_b: set[int] = set()
    for _, _, a, b in sorted(candidates):
        if a not in pairs and b not in taken_b:
            pairs[a] = b
            taken_b.add(b)
    return pairs


def _in_place_of(box: Box, boxes: Sequence[Box]) -> Box | None:
    """Returns the box that overlaps most, if by as much as a partner would."""
    if not boxes:
        return None
    shared = _overlaps(box, boxes)
    most = int(np.argmax(shared))
    return boxes[most] if shared[most] >= MATCH_IOU else None


def _overlaps(box: Box, boxes: Sequence[Box]) -> np.ndarray:
    """Returns the IoU with each box, of polygons where one of the runs has rotated boxes."""
    others = [other.detection for other in boxes]
    rotated = any(one.polygon_xy is not None for one in (box.detection, *others))
    return overlaps(box.detection, others, rotated=rotated)


def _missed_object(found: Box, boxes: Sequence[Box]) -> Box | None:
    """Returns, of the boxes of the other run, the best candidate for the object that a detection found."""
    if found.truth is None or found.truth.annotation_id is None:
        return None
    name = f"gt_{found.truth.annotation_id}"
    return next((box for box in boxes if box.role is Role.MISSED and box.answer and box.answer.name == name), None)


def _asked_pairs(boxes_a: Sequence[Box], boxes_b: Sequence[Box]) -> list[BoxPair]:
    asked_b = {_asked(box): box for box in boxes_b if box.answer is not None}
    asked_a = [box for box in boxes_a if box.answer is not None]
    return [_pair(Kind.ASKED, box, asked_b[_asked(box)]) for box in asked_a if _asked(box) in asked_b]


def _asked(box: Box) -> tuple[object, ...]:
    answer = box.answer
    return () if answer is None else (answer.name, answer.box_xyxy, answer.polygon_xy, answer.class_name)


def _pair(kind: Kind, a: Box | None, b: Box | None, *, beside: Box | None = None) -> BoxPair:
    if a is None or b is None:
        return BoxPair(kind, a, b, None, beside)
    return BoxPair(kind, a, b, float(_overlaps(a, [b])[0]), beside)
