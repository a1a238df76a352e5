"""Numbers for what changed: of a pair of boxes, and of all pairs of a class. numpy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.compare.matching import BoxPair, Kind
from ppdet_cam.metrics import Interval, bootstrap_interval, spearman
from ppdet_cam.report.reading import Box
from ppdet_cam.structures import MapStatus

BoxXyxy = tuple[float, float, float, float]


@dataclass(frozen=True)
class MapsOfPair:
    """The maps of both boxes of a pair, on one grid.

    Attributes:
        a: float32 [h, w], >= 0, run A's.
        b: run B's.
        reduction: so many pixels of the image along each side are one value.
    """

    a: np.ndarray
    b: np.ndarray
    reduction: int


@dataclass(frozen=True)
class Change:
    """What changed from run A to run B in one place; None for what cannot be told.

    Attributes:
        score: B's score less A's, -1 to 1.
        energy_in_box: B's share of its map's sum that lies in its box less A's in A's, -1 to 1.
        map_correlation: Pearson's correlation of the two maps over the image, -1 to 1.
        rank_correlation: Spearman's over the rectangle that holds both boxes, -1 to 1.
    """

    score: float | None
    energy_in_box: float | None
    map_correlation: float | None
    rank_correlation: float | None

    @property
    def largest(self) -> float | None:
        """The largest of |score|, |energy_in_box| and 1 - map_correlation, 0 to 1; None when there is none of them."""
        parts = [abs(value) for value in (self.score, self.energy_in_box) if value is not None]
        if self.map_correlation is not None:
            parts.append(1 - max(0.0, self.map_correlation))
        return max(parts, default=None)


def change_of(pair: BoxPair, maps: MapsOfPair | None) -> Change:
    """Returns what changed in a pair.

    Args:
        pair: the boxes.
        maps: of both, None when they were not stored or one shows nothing.
    """
    a, b = pair.a, pair.b
    if a is None or b is None:
        return Change(None, None, None, None)
    has_scores = all(box.status is not MapStatus.NO_CANDIDATE for box in (a, b))
    energies = (a.energy_in_box, b.energy_in_box)
    return Change(
        score=b.detection.score - a.detection.score if has_scores else None,
        energy_in_box=None if energies[0] is None or energies[1] is None else energies[1] - energies[0],
        map_correlation=map_correlation(maps.a, maps.b) if maps else None,
        rank_correlation=_rank_correlation_of(maps, a, b) if maps else None,
    )


def map_correlation(heatmap_a: np.ndarray, heatmap_b: np.ndarray) -> float:
    """Returns Pearson's correlation of two maps over the image, each value counting as much as it is hot.

    Where there is next to no heat in both, which is most of an image, both lie just below their means and next to
    nothing is added: the number tells whether the heat is in the same places, and sees heat that left the box.

    Args:
        heatmap_a: float [H, W], finite.
        heatmap_b: float [H, W], finite.

    Returns:
        -1 to 1; a map times a positive number scores the same. Where a map is constant, which none is that shows
        something, as `metrics.spearman`: 1 when both are, 0 when one is.

    Example:
        >>> map_correlation(np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 5.0]]))
        -0.5
    """
    a, b = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (heatmap_a, heatmap_b))
    constant = [float(np.ptp(values)) == 0 for values in (heatmap_a, heatmap_b)]
    if any(constant):
        return 1.0 if all(constant) else 0.0
    product = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float(np.clip((a * b).sum() / product, -1.0, 1.0)) if product > 0 else 0.0


def rank_correlation(
    heatmap_a: np.ndarray, heatmap_b: np.ndarray, *, boxes_xyxy: Sequence[BoxXyxy], reduction: int = 1
) -> float | None:
    """Returns Spearman's rank correlation of two maps over the smallest rectangle that holds all the boxes.

    Ranks give each pixel the same say. Over the whole image the many faint ones around the object would decide; over
    the boxes it is the order of the object's own parts that is compared, however strong the hottest one is.

    Args:
        heatmap_a: float [h, w].
        heatmap_b: float [h, w].
        boxes_xyxy: left, top, right, bottom in the image's pixels. A value that an edge cuts counts as a whole.
        reduction: so many pixels along each side are one value.

    Returns:
        `metrics.spearman`, -1 to 1; None when the rectangle lies outside of the image.

    Example:
        >>> a = np.array([[9.0, 1.0, 2.0, 3.0, 0.0]])
        >>> rank_correlation(a, a[:, ::-1], boxes_xyxy=[(1, 0, 3, 1), (2, 0, 4, 1)])
        -1.0
    """
    left, top = (min(box[side] for box in boxes_xyxy) / reduction for side in (0, 1))
    right, bottom = (max(box[side] for box in boxes_xyxy) / reduction for side in (2, 3))
    rows = slice(max(0, int(np.floor(top))), max(0, int(np.ceil(bottom))))
    columns = slice(max(0, int(np.floor(left))), max(0, int(np.ceil(right))))
    part_a, part_b = heatmap_a[rows, columns], heatmap_b[rows, columns]
    return spearman(part_a, part_b) if part_a.size else None


def _rank_correlation_of(maps: MapsOfPair, a: Box, b: Box) -> float | None:
    boxes = [box.detection.box_xyxy for box in (a, b)]
    return rank_correlation(maps.a, maps.b, boxes_xyxy=boxes, reduction=maps.reduction)


@dataclass(frozen=True)
class MeasuredPair:
    """A pair of boxes and what changed in it.

    Attributes:
        image: position among the compared images.
        pair: the boxes.
        change: the numbers.
    """

    image: int
    pair: BoxPair
    change: Change

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of its boxes: one, or the two that it changed between.

        The candidate that stands in the place of a lost or new box has no say.
        """
        a, b = self.pair.a, self.pair.b
        boxes = {Kind.LOST: (a,), Kind.NEW: (b,)}.get(self.pair.kind, (a, b))
        return tuple(dict.fromkeys(box.detection.class_name for box in boxes if box is not None))


@dataclass(frozen=True)
class Mean:
    """A mean over pairs in both runs, and of their differences.

    Attributes:
        a: mean of run A's values.
        b: of run B's.
        change: mean of B's less A's, with its interval.
    """

    a: float
    b: float
    change: Interval


@dataclass(frozen=True)
class Summary:
    """What changed in all boxes of a class, or of the runs. Means are over kept boxes; None where there is none.

    Attributes:
        class_name: None for all classes.
        boxes_a: detections of run A.
        boxes_b: of run B.
        kept: of the same class in both.
        lost: in A only.
        new: in B only.
        to_other: of this class in A, of another in B.
        from_other: of this class in B, of another in A.
        score: the scores.
        energy_in_box: shares of heat in the box.
        map_correlation: of the maps over the image.
        rank_correlation: of the maps over the boxes.
    """

    class_name: str | None
    boxes_a: int
    boxes_b: int
    kept: int
    lost: int
    new: int
    to_other: int
    from_other: int
    score: Mean | None
    energy_in_box: Mean | None
    map_correlation: Interval | None
    rank_correlation: Interval | None


def summaries(pairs: Sequence[MeasuredPair]) -> list[Summary]:
    """Returns the summary of each class that a detection of either run has, by name.

    Args:
        pairs: of all images.
    """
    detections = [pair for pair in pairs if pair.pair.kind is not Kind.ASKED]
    names = sorted({name for pair in detections for name in pair.class_names})
    return [summary([pair for pair in detections if name in pair.class_names], name) for name in names]


def summary(pairs: Iterable[MeasuredPair], class_name: str | None = None) -> Summary:
    """Returns the summary of some pairs; boxes that were asked about count for nothing.

    Args:
        pairs: of one class, or all.
        class_name: the class, None for all.
    """
    detections = [pair for pair in pairs if pair.pair.kind is not Kind.ASKED]
    count = Counter(pair.pair.kind for pair in detections)
    changed = [pair.pair for pair in detections if pair.pair.kind is Kind.OTHER_CLASS]
    to_other = sum(class_name in (None, box.detection.class_name) for box in (pair.a for pair in changed) if box)
    from_other = sum(class_name in (None, box.detection.class_name) for box in (pair.b for pair in changed) if box)
    kept = [pair for pair in detections if pair.pair.kind is Kind.KEPT]
    return Summary(
        class_name=class_name,
        boxes_a=count[Kind.KEPT] + count[Kind.LOST] + to_other,
        boxes_b=count[Kind.KEPT] + count[Kind.NEW] + from_other,
        kept=count[Kind.KEPT],
        lost=count[Kind.LOST],
        new=count[Kind.NEW],
        to_other=to_other,
        from_other=from_other,
        score=_mean(kept, lambda box: box.detection.score, lambda change: change.score),
        energy_in_box=_mean(kept, lambda box: box.energy_in_box, lambda change: change.energy_in_box),
        map_correlation=_interval(kept, lambda change: change.map_correlation),
        rank_correlation=_interval(kept, lambda change: change.rank_correlation),
    )


def _interval(pairs: Sequence[MeasuredPair], value_of: Callable[[Change], float | None]) -> Interval | None:
    found = [(value, pair.image) for pair in pairs if (value := value_of(pair.change)) is not None]
    return bootstrap_interval([value for value, _ in found], [image for _, image in found]) if found else None


def _mean(
    pairs: Sequence[MeasuredPair], value_of: Callable[[Box], float | None], change_in: Callable[[Change], float | None]
) -> Mean | None:
    measured = [pair for pair in pairs if change_in(pair.change) is not None]
    interval = _interval(measured, change_in)
    if interval is None:
        return None
    return Mean(
        a=_mean_value([pair.pair.a for pair in measured], value_of),
        b=_mean_value([pair.pair.b for pair in measured], value_of),
        change=interval,
    )


def _mean_value(boxes: Sequence[Box | None], value_of: Callable[[Box], float | None]) -> float:
    values = [value_of(box) for box in boxes if box is not None]
    return float(np.mean([value for value in values if value is not None]))
