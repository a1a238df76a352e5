"""The detector's last step: which of its candidates become detections. For most heads that is NMS."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import paddle
from ppdet.modeling import ops as operators

from ppdet_cam.detectors.capture import replaced_methods
from ppdet_cam.errors import ConfigError
from ppdet_cam.structures import Contest


@dataclass
class LastStep:
    """What the last step was given and kept.

    Attributes:
        boxes: [N, M, 4], or [M, classes, 4] for RoIs of all images together; polygons have 8 numbers instead of 4.
        scores: the class scores of every candidate, [N, classes, M] or [M, classes].
        counts: for RoIs, how many each image has.
        index: int [K], the kept positions as the last step counts them.
        rows: float32 [K, 6], label, score and box of each kept candidate; of polygons [K, 10].
        lowers_scores: whether it prints a lower score for a candidate that others overlap.
        grid_hw: of a heat map, whose cells are the candidates, row by row; None for others.
    """

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 4), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 6), np.float32))
    lowers_scores: bool = False
    grid_hw: tuple[int, int] | None = None


class ReachedLastStep(Exception):
    """Everything that the last step is given is known; the rest of the forward pass is not wanted."""


@dataclass(frozen=True)
class KeepRule:
    """The numbers by which the last step chooses.

    Attributes:
        score_threshold: candidates with a lower score are left out.
        iou_threshold: of two boxes of a class that overlap more, the one with the higher score stays; None where
            overlaps leave no box out.
        contest: what competes to be kept.
        limit: how many are kept at most; None where NMS has limits of its own.
    """

    score_threshold: float
    iou_threshold: float | None
    contest: Contest = Contest.OVERLAPS
    limit: int | None = None


def nms_rule(nms: object) -> KeepRule:
    """Returns the numbers of a ppdet NMS."""
    iou = None if lowers_scores(nms) else float(nms.nms_threshold)  # type: ignore[attr-defined]
    return KeepRule(float(nms.score_threshold), iou)  # type: ignore[attr-defined]


class _RecordingNms:
    """Stands in for a ppdet NMS and notes the index that ppdet throws away."""

    def __init__(self, nms: object, record: LastStep, *, stop: bool) -> None:
        self._nms = nms
        self._record = record
        self._stop = stop

    def __getattr__(self, name: str) -> object:
        return getattr(self._nms, name)

    def __call__(self, bboxes: object, score: paddle.Tensor, *rest: object) -> tuple[object, ...]:
        self._record.scores = score.numpy()
        boxes, counts = bboxes if isinstance(bboxes, tuple) else (bboxes, None)
        self._record.boxes = boxes.numpy()  # type: ignore[attr-defined]
        if counts is not None:
            self._record.counts = counts.numpy()
        if self._stop:
            raise ReachedLastStep
        indexed = _matrix_nms if lowers_scores(self._nms) else _multiclass_nms
        rows, count, index, asked = indexed(self._nms, bboxes, score, *rest)
        if rows.ndim == 2 and rows.shape[-1] in (6, 10):
            self._record.rows = rows.numpy()
            self._record.index = index.numpy().reshape(-1).astype(np.int64)
        return rows, count, (index if asked else None)


def lowers_scores(nms: object) -> bool:
    """Whether an NMS is of MatrixNMS's kind: it leaves no box out for an overlap, but lowers its score."""
    return hasattr(nms, "post_threshold")


def _multiclass_nms(
    nms: object, bboxes: object, score: paddle.Tensor, *rest: object
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor, bool]:
    """Returns rows, count and index of the kept candidates, and whether ppdet wants the index itself."""
    asked: bool = nms.return_index  # type: ignore[attr-defined]
    nms.return_index = True  # type: ignore[attr-defined]
    try:
        rows, count, index = nms(bboxes, score, *rest)  # type: ignore[operator]
    finally:
        nms.return_index = asked  # type: ignore[attr-defined]
    return rows, count, index, asked


def _matrix_nms(
    nms: object, bboxes: object, score: paddle.Tensor, *rest: object
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor, bool]:
    """Returns the same of ppdet's MatrixNMS, which does not ask the operator for the index: it is asked here."""
    asking = functools.partial(operators.matrix_nms, return_index=True)
    with replaced_methods(operators, matrix_nms=asking):
        rows, count, index = nms(bboxes, score, *rest)  # type: ignore[operator]
    return rows, count, index, False


def check_nms(owner: object) -> None:
    """Raises ConfigError when `owner.nms` is of a kind that tells no index, or would end the process."""
    nms = getattr(owner, "nms", None)
    if not (hasattr(nms, "return_index") or lowers_scores(nms)) or getattr(nms, "trt", False):
        raise ConfigError(
            f"the config's NMS is {type(nms).__name__}{' with trt' if hasattr(nms, 'return_index') else ''}, which "
            "does not tell the rows that it kept; MultiClassNMS without trt and MatrixNMS do. Set the head's nms to one"
        )
    if lowers_scores(nms) and nms.nms_top_k == 0:  # type: ignore[union-attr]
        raise ConfigError(
            f"nms_top_k of {type(nms).__name__} is 0, over which paddle ends the process. It says how many boxes are "
            "compared, those of the highest scores: give a number above 0, or -1 for all"
        )


@contextlib.contextmanager
def recording_nms(owner: object, *, stop: bool = False) -> Iterator[LastStep]:
    """Notes what `owner.nms` is given and keeps while the context lasts, and puts the owner's own NMS back.

    Args:
        owner: has the attribute.
        stop: raise ReachedLastStep when NMS is reached, instead of running it.
    """
    check_nms(owner)
    nms = owner.nms  # type: ignore[attr-defined]
    record = LastStep(lowers_scores=lowers_scores(nms))
    owner.nms = _RecordingNms(nms, record, stop=stop)  # type: ignore[attr-defined]
    try:
        yield record
    finally:
        owner.nms = nms  # type: ignore[attr-defined]
