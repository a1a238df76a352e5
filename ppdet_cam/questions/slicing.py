"""Looking at an image slice by slice, for objects too small in the whole: which slices, and which boxes stay.

As ppdet's tools have it with `--slice_infer`: the slices are those of sahi (`get_slice_bboxes`), the boxes are combined
as by ppdet's `multiclass_nms` (ppdet/modeling/post_process.py). numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.polygons import areas as polygon_areas
from ppdet_cam.polygons import shared_areas
from ppdet_cam.questions.overlaps import corners
from ppdet_cam.registry import closest
from ppdet_cam.structures import Detection

COMBINE_METHODS = ("nms", "concat")
MATCH_METRICS = ("ios", "iou")
DEFAULT_SIZE, DEFAULT_OVERLAP, DEFAULT_MATCH = 640, 0.25, 0.6
MAX_SLICES = 10_000

# left, top, right, bottom in pixels
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Slicing:
    """How an image is cut into slices, and how their boxes become the image's.

    Attributes:
        size_hw: height and width of a slice, in pixels of the image.
        overlap_yx: how much of a slice's height and width the next one covers as well, 0 to below 1.
        combine: "nms" drops boxes that overlap one of their class with a higher score; "concat" keeps all.
        match_threshold: they overlap when their `match_metric` is at least so much, 0 to 1.
        match_metric: "iou", or "ios": the intersection by the smaller of the two.

    Raises:
        ConfigError: one of them is not allowed.
    """

    size_hw: tuple[int, int] = (DEFAULT_SIZE, DEFAULT_SIZE)
    overlap_yx: tuple[float, float] = (DEFAULT_OVERLAP, DEFAULT_OVERLAP)
    combine: str = COMBINE_METHODS[0]
    match_threshold: float = DEFAULT_MATCH
    match_metric: str = MATCH_METRICS[0]

    def __post_init__(self) -> None:
        if min(self.size_hw) < 1:
            raise ConfigError(f"--slice_size must be at least 1 pixel, not {' x '.join(map(str, self.size_hw))}")
        if not all(0 <= overlap < 1 for overlap in self.overlap_yx):
            raise ConfigError(f"--overlap_ratio must be from 0 to below 1, not {self.overlap_yx}")
        if self.combine == "nmm":
            raise ConfigError(
                "--combine_method nmm, which ppdet refuses as well, makes one box of several: it has no score of its "
                "own to explain. Use nms, or concat for all boxes of all slices"
            )
        for flag, given, allowed in (
            ("--combine_method", self.combine, COMBINE_METHODS),
            ("--match_metric", self.match_metric, MATCH_METRICS),
        ):
            if given not in allowed:
                raise ConfigError(
                    f"{flag} {given!r} is not supported{closest(given, list(allowed))}. Supported: {', '.join(allowed)}"
                )
        if not 0 <= self.match_threshold <= 1:
            raise ConfigError(f"--match_threshold must be from 0 to 1, not {self.match_threshold}")

    def windows(self, original_hw: tuple[int, int]) -> list[Window]:
        """Returns the slices of an image, row by row; the last of a row or column is moved back into the image.

        Raises:
            ConfigError: there are too many.

        Example:
            >>> Slicing((4, 4), (0.5, 0.5)).windows((4, 7))
            [(0, 0, 4, 4), (2, 0, 6, 4), (3, 0, 7, 4)]
        """
        rows, columns = (
            _stretches(length, size, int(overlap * size))
            for length, size, overlap in zip(original_hw, self.size_hw, self.overlap_yx)
        )
        if len(rows) * len(columns) > MAX_SLICES:
            raise ConfigError(
                f"an image of {original_hw[1]} x {original_hw[0]} pixels has {len(rows) * len(columns)} such slices; "
                f"allowed are {MAX_SLICES}: choose a larger --slice_size, or a smaller --overlap_ratio"
            )
        return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]

    def kept(self, detections: Sequence[Detection]) -> list[int]:
        """Returns which boxes of all slices are the image's, by their position: of each class, the best first.

        Args:
            detections: of all slices, boxes in pixels of the image.
        """
        if self.combine == "concat" or not detections:
            return list(range(len(detections)))
        boxes = _outlines(detections)
        scores = np.array([detection.score for detection in detections])
        classes = np.array([detection.class_id for detection in detections])
        return [int(position) for c in np.unique(classes) for position in self._nms(boxes, scores, classes == c)]

    def preferred(self, dropped: Detection, kept: Sequence[Detection]) -> tuple[Detection, float]:
        """Returns the box that another one was dropped for, and how much it overlaps that.

        Args:
            dropped: a box that is not among those kept.
            kept: the image's boxes, of each class the best first.
        """
        for rival in kept:
            if rival.class_id == dropped.class_id:
                overlap = float(self._overlaps(_outlines([rival])[0], _outlines([dropped]))[0])
                if overlap >= self.match_threshold:
                    return rival, overlap
        raise ValueError(f"nothing that was kept overlaps {dropped}")

    def _nms(self, boxes: np.ndarray, scores: np.ndarray, of_class: np.ndarray) -> list[int]:
        left = np.flatnonzero(of_class)
        left = left[np.argsort(scores[left], kind="stable")[::-1]]
        kept = []
        while left.size:
            best, left = int(left[0]), left[1:]
            kept.append(best)
            left = left[self._overlaps(boxes[best], boxes[left]) < self.match_threshold]
        return kept

    def _overlaps(self, box: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Returns how much a box overlaps others, float [N].

        Sides count the last pixel as well, as ppdet's do; the areas of rotated boxes [4, 2], which ppdet has not, are
        their own.
        """
        if box.ndim == 2:
            shared, area, areas = shared_areas(box, others), float(polygon_areas(box[None])[0]), polygon_areas(others)
            whole = np.minimum(area, areas) if self.match_metric == "ios" else area + areas - shared
            return shared / np.maximum(whole, 1e-12)
        sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]) + 1
        shared = np.maximum(sides, 0).prod(axis=1)
        area, areas = (box[2:] - box[:2] + 1).prod(), (others[:, 2:] - others[:, :2] + 1).prod(axis=1)
        return shared / (np.minimum(area, areas) if self.match_metric == "ios" else area + areas - shared)


def _outlines(detections: Sequence[Detection]) -> np.ndarray:
    """Returns boxes [N, 4], or corners [N, 4, 2] where some are rotated."""
    if any(detection.polygon_xy is not None for detection in detections):
        return np.array([corners(detection) for detection in detections])
    return np.array([detection.box_xyxy for detection in detections])


def _stretches(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Returns where slices of one axis start and end."""
    starts = range(0, max(1, length - overlap), size - overlap)
    ends = [min(start + size, length) for start in starts]
    return [(max(0, end - size), end) for end in ends]
