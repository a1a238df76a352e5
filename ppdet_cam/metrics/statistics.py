"""How sure a mean over boxes is. Boxes of one image are not independent, so images are drawn, not boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np

from ppdet_cam.metrics.regions import MetricError

ImageIds = Union[Sequence[str], Sequence[int]]


@dataclass(frozen=True)
class Interval:
    """A mean over boxes and its confidence interval.

    Attributes:
        mean: over all boxes.
        low: lower end.
        high: upper end.
        confidence: the interval's confidence, between 0 and 1.
        boxes: how many boxes the mean is over.
        images: how many images they come from.
    """

    mean: float
    low: float
    high: float
    confidence: float
    boxes: int
    images: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside: for a difference, that the two methods differ at this confidence."""
        return self.low > 0 or self.high < 0


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    image_ids: ImageIds,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the mean over boxes with a bootstrap confidence interval over images.

    The percentile interval of Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13, with whole
    images drawn with replacement (the cluster bootstrap of Field and Welsh, "Bootstrapping clustered data", JRSS B,
    2007): each drawn image brings all its boxes, and the mean is again over boxes. The ends are quantiles of the
    resampled means, interpolated linearly. The boxes' order does not matter (beyond rounding).

    Args:
        values: float [N], one per box, finite.
        image_ids: [N], the image that each box comes from.
        confidence: between 0 and 1.
        resamples: how often the images are drawn again.
        seed: of the drawing; the same seed gives the same interval.

    Returns:
        The interval. With a single image nothing can be drawn anew, and both ends are the mean.

    Raises:
        MetricError: no box, lengths that differ, a value that is not finite, or numbers out of range.

    Example:
        >>> interval = bootstrap_interval([0.0, 1.0, 1.0, 1.0], ["a", "a", "b", "b"])
        >>> interval.mean, interval.low, interval.high
        (0.75, 0.5, 1.0)
    """
    numbers, ids = np.asarray(values, dtype=np.float64), np.asarray(image_ids)
    if numbers.ndim != 1 or numbers.shape != ids.shape or numbers.size == 0:
        raise MetricError(
            f"{list(numbers.shape)} values and {list(ids.shape)} image ids; give one id per value, at least one"
        )
    if not np.isfinite(numbers).all():
        raise MetricError(
            "a value is NaN or infinite; metrics return neither, so it was not measured: leave the box out"
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise MetricError(f"confidence={confidence} must lie between 0 and 1, resamples={resamples} be at least 1")
    _, image_of_box = np.unique(ids, return_inverse=True)
    sums = np.bincount(image_of_box, weights=numbers)
    counts = np.bincount(image_of_box)
    drawn = np.random.default_rng(seed).integers(len(counts), size=(resamples, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(numbers.mean()), float(low), float(high), confidence, numbers.size, len(counts))


def paired_difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    image_ids: ImageIds,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the mean difference of two methods on the same boxes, first less second, with its interval.

    `bootstrap_interval` of the differences: every drawn image counts for both methods, so what makes an image hard for
    both cancels out, and the interval is narrower than those of the two means suggest.

    Args:
        first: float [N], one method's values.
        second: float [N], the other's, for the same boxes in the same order.
        image_ids: [N], the image that each box comes from.
        confidence: between 0 and 1.
        resamples: how often the images are drawn again.
        seed: of the drawing.

    Returns:
        The interval of the difference; `excludes_zero` tells whether the methods differ.

    Raises:
        MetricError: as `bootstrap_interval`, or the two methods were not measured on as many boxes.

    Example:
        >>> paired_difference([0.5, 0.9], [0.4, 0.8], ["a", "b"]).excludes_zero
        True
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape:
        raise MetricError(f"{list(one.shape)} and {list(other.shape)} values; both methods need the same boxes")
    return bootstrap_interval(one - other, image_ids, confidence=confidence, resamples=resamples, seed=seed)
