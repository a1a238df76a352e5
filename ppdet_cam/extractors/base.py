"""What an architecture family has to tell: where its scores before NMS are, and how a kept index maps to them."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.capture import Watch
from ppdet_cam.errors import ConfigError, ScoreMismatchError
from ppdet_cam.registry import Registry
from ppdet_cam.structures import CellStrides

# A score with a graph may be computed again from one row, whose matrix products are rounded otherwise than a thousand
# rows' are; reduced precision on an accelerator widens that. The row itself is checked exactly, in `kept_rows`.
SCORE_TOLERANCE = 5e-3


@dataclass(frozen=True)
class KeptRow:
    """The candidate that a detection was before NMS: its row, and the class it was kept under."""

    row: int
    class_id: int


@dataclass
class NmsRecord:
    """What one NMS was given and kept.

    Attributes:
        scores: the class scores of every candidate, [1, classes, M] or [M, classes].
        index: int [K], the kept positions as the operator counts them.
        rows: float32 [K, 6], label, score and box of each kept candidate.
    """

    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 6), np.float32))


class _RecordingNms:
    """Stands in for a ppdet MultiClassNMS and notes the index that ppdet throws away."""

    def __init__(self, nms: object, record: NmsRecord) -> None:
        self._nms = nms
        self._record = record

    def __getattr__(self, name: str) -> object:
        return getattr(self._nms, name)

    def __call__(self, bboxes: object, score: paddle.Tensor, *rest: object) -> tuple[object, ...]:
        asked = self._nms.return_index  # type: ignore[attr-defined]
        self._nms.return_index = True  # type: ignore[attr-defined]
        try:
            rows, count, index = self._nms(bboxes, score, *rest)  # type: ignore[operator]
        finally:
            self._nms.return_index = asked  # type: ignore[attr-defined]
        self._record.scores = score.numpy()
        if rows.ndim == 2 and rows.shape[-1] == 6:
            self._record.rows = rows.numpy()
            self._record.index = index.numpy().reshape(-1).astype(np.int64)
        return rows, count, (index if asked else None)


def check_nms(owner: object) -> None:
    """Raises ConfigError when `owner.nms` is of a kind that tells no index."""
    nms = getattr(owner, "nms", None)
    if not hasattr(nms, "return_index") or getattr(nms, "trt", False):
        raise ConfigError(
            f"the config's NMS is {type(nms).__name__}{' with trt' if hasattr(nms, 'return_index') else ''}, which "
            "does not tell the rows that it kept; MultiClassNMS without trt does. Set the head's nms to that"
        )


@contextlib.contextmanager
def recording_nms(owner: object) -> Iterator[NmsRecord]:
    """Notes what `owner.nms` keeps while the context lasts, and puts the owner's own NMS back."""
    check_nms(owner)
    nms = owner.nms  # type: ignore[attr-defined]
    record = NmsRecord()
    owner.nms = _RecordingNms(nms, record)  # type: ignore[attr-defined]
    try:
        yield record
    finally:
        owner.nms = nms  # type: ignore[attr-defined]


class Extractor(abc.ABC):
    """Finds the class score of a detection before NMS, with its graph.

    Attributes:
        head_name: the model's attribute that holds the head.
    """

    head_name: str

    def __init__(self, model: nn.Layer) -> None:
        self.model = model

    @property
    @abc.abstractmethod
    def nms_owner(self) -> object:
        """The object whose attribute `nms` is called."""

    @property
    @abc.abstractmethod
    def watched(self) -> Sequence[nn.Layer]:
        """The layers whose inputs or outputs `score` reads."""

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        """Layers that no class score depends on: they run without recording a graph."""
        return ()

    def cell_strides(self, watch: Watch, padded_hw: tuple[int, int]) -> CellStrides:
        """Returns the size of a cell, where the head itself says so; elsewhere it follows from the grid's size."""
        return {}

    def boxes_only(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model leaves out what comes after its boxes, such as masks."""
        return contextlib.nullcontext()

    @property
    def roi_head(self) -> nn.Layer | None:
        """The layer that sees one row per RoI, for detectors with two stages."""
        return None

    def roi_scores(self, watch: Watch, kept: Sequence[KeptRow]) -> paddle.Tensor:
        """Returns [K] class scores, score k depending on RoI row k only; for detectors with two stages."""
        raise TypeError(f"{type(self).__name__} has no RoIs")

    def roi_boxes(self, watch: Watch, kept: Sequence[KeptRow]) -> np.ndarray:
        """Returns float32 [K, 4], the pooled RoIs in network input pixels; for detectors with two stages."""
        raise TypeError(f"{type(self).__name__} has no RoIs")

    @abc.abstractmethod
    def kept_rows(self, record: NmsRecord) -> list[KeptRow]:
        """Returns the candidate of each detection, in the detector's order."""

    @abc.abstractmethod
    def score(self, watch: Watch, kept: KeptRow) -> paddle.Tensor:
        """Returns the 0-d class score of one candidate, with its graph."""


class DenseExtractor(Extractor):
    """Heads without RoIs: one score per class and row, rows counted through the levels."""

    def kept_rows(self, record: NmsRecord) -> list[KeptRow]:
        """Returns row and class; the operator's index counts the rows of [1, classes, M]."""
        kept = [KeptRow(int(row), int(label)) for row, label in zip(record.index, record.rows[:, 0])]
        check_scores([record.scores[0, k.class_id, k.row] for k in kept], record.rows[:, 1], tolerance=0.0)
        return kept


def check_scores(found: Iterable[float], printed: Iterable[float], *, tolerance: float = SCORE_TOLERANCE) -> None:
    """Raises ScoreMismatchError when a score found before NMS is not the printed one."""
    for position, (score, wanted) in enumerate(zip(found, printed)):
        if not abs(float(score) - float(wanted)) <= tolerance:
            raise ScoreMismatchError(
                f"detection {position} has score {float(wanted):.6f}, but the row found for it before NMS has "
                f"{float(score):.6f}. Nothing is explained rather than the wrong box; please report this model"
            )


families: Registry[type[Extractor]] = Registry("detector")


def family_name(architecture: str, head_type: str) -> str:
    """Returns the name under which an extractor is registered; one architecture can carry heads of several kinds."""
    return f"{architecture} ({head_type})"


def extracts(*architectures: str, head_type: str) -> Callable[[type[Extractor]], type[Extractor]]:
    """Returns a decorator that registers an extractor for ppdet architectures with this class of head."""
    return families.register(*(family_name(architecture, head_type) for architecture in architectures))


def level_of(row: int, lengths: Sequence[int]) -> tuple[int, int]:
    """Returns (level, row within that level) of a row counted through all levels.

    Example:
        >>> level_of(5, [4, 3])
        (1, 1)
    """
    for level, length in enumerate(lengths):
        if row < length:
            return level, row
        row -= length
    raise IndexError(f"row lies {row} beyond the last level")
