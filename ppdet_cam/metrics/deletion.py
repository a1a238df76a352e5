"""Deletion and insertion: how a box's score falls or rises while the image is altered in the map's order.

Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, carried over to
detectors by Petsiuk et al., "Black-box Explanation of Object Detectors via Saliency Maps" (D-RISE), CVPR 2021,
where the score is the similarity of `metrics.similarity`. The detector is a function here, image stack -> scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
from scipy import ndimage

from ppdet_cam.metrics.regions import MetricError, checked_heatmap
from ppdet_cam.registry import Registry

# uint8 [N, H, W, 3] -> float [N], the box's score or similarity on each image.
ScoreFn = Callable[[np.ndarray], np.ndarray]
# uint8 [H, W, 3] -> uint8 [H, W, 3], an image without the photo's content.
Fill = Callable[[np.ndarray], np.ndarray]

fills: Registry[Fill] = Registry("fill")

GRAY = 128
BLUR_PART_OF_LONGER_SIDE = 1 / 20


@fills.register("mean")
def mean_colour(image: np.ndarray) -> np.ndarray:
    """Returns the image's mean colour everywhere: uint8 [H, W, 3]."""
    colour = np.rint(image.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
    return np.broadcast_to(colour, image.shape).copy()


@fills.register("blur")
def blurred(image: np.ndarray) -> np.ndarray:
    """Returns the image blurred by a Gaussian of a twentieth of its longer side: uint8 [H, W, 3].

    RISE blurs images of 224 x 224 with a standard deviation of 5 in a window of 11 pixels. Detectors read larger images
    and find blurred objects, so the blur here is stronger, grows with the image and is not cut off by a window.
    """
    deviation = BLUR_PART_OF_LONGER_SIDE * max(image.shape[:2])
    smooth = ndimage.gaussian_filter(image.astype(np.float64), sigma=(deviation, deviation, 0), mode="nearest")
    return np.rint(smooth).astype(np.uint8)


@fills.register("gray")
def gray(image: np.ndarray) -> np.ndarray:
    """Returns middle gray, 128, everywhere: uint8 [H, W, 3]."""
    return np.full_like(image, GRAY)


@fills.register("black")
def black(image: np.ndarray) -> np.ndarray:
    """Returns black everywhere, RISE's own fill for deletion: uint8 [H, W, 3]."""
    return np.zeros_like(image)


def content_free(image: np.ndarray, fill: str | np.ndarray) -> np.ndarray:
    """Returns an image without the photo's content: uint8 [H, W, 3].

    Args:
        image: uint8 [H, W, 3], RGB.
        fill: a name in `fills`, or the image without content itself.

    Raises:
        MetricError: an image is none, or they are not of one size.
        UnknownNameError: no fill has this name.
    """
    _checked_image(image)
    if isinstance(fill, str):
        return fills.get(fill)(image)
    if _checked_image(fill).shape != image.shape:
        raise MetricError(f"the fill is {list(fill.shape)}, the image {list(image.shape)}; they must be one size")
    return fill


@dataclass(frozen=True)
class Curve:
    """A box's score along the alteration of its image.

    Attributes:
        shares: float64 [K], the share of the pixels altered, ascending from 0.
        scores: float64 [K], the score at each, as the score function gave it.
        full_score: the score on the unaltered image, above 0.
    """

    shares: np.ndarray
    scores: np.ndarray
    full_score: float

    @property
    def normalised(self) -> np.ndarray:
        """Scores over the unaltered image's: float64 [K]. Not clipped: altered images may score more than 1."""
        return self.scores / self.full_score

    @property
    def auc(self) -> float:
        """Area under `normalised` by the trapezoid rule, over the shares' range: its mean height."""
        heights = (self.normalised[1:] + self.normalised[:-1]) / 2
        widths = np.diff(self.shares)
        return float((heights * widths).sum() / widths.sum())


@dataclass(frozen=True)
class Curves:
    """Both curves of one map.

    Attributes:
        deletion: from the image to the fill, the map's highest pixels first; a good map falls early.
        insertion: from the start to the image, in the same order; a good map rises early.
    """

    deletion: Curve
    insertion: Curve

    @property
    def insertion_minus_deletion(self) -> float:
        """AUC of insertion less AUC of deletion; about 0 for an order that says nothing."""
        return self.insertion.auc - self.deletion.auc


def deletion_curve(
    image: np.ndarray,
    heatmap: np.ndarray,
    *,
    score_fn: ScoreFn,
    fill: str | np.ndarray = "mean",
    steps: int = 50,
    until: float = 1.0,
    batch_size: int = 16,
) -> Curve:
    """Returns how the score falls while the map's highest pixels are replaced first.

    RISE and D-RISE (see the module) with steps of equal area: after step k of K, the round(k * until * H * W / K)
    highest pixels are replaced. Pixels of equal value go in reading order, so the part of a map that is all zero is
    deleted from the top down, and a blank map from the image's top: compare with the baselines. Deviations: scores are
    divided by the unaltered image's, so boxes of any score weigh alike; the fill is a choice, RISE's is black.

    Args:
        image: uint8 [H, W, 3], RGB.
        heatmap: float [H, W], >= 0, on the image's pixels.
        score_fn: called with uint8 [N, H, W, 3], N <= `batch_size`; gives float [N], the box's score on each.
        fill: what a deleted pixel becomes, a name in `fills`, or such an image itself.
        steps: number of steps; the curve has one point more, fewer if steps would be finer than a pixel.
        until: the share of the image that is altered in the end, above 0 and at most 1. A small object is gone after
            the first of many coarse steps; a smaller `until` spends the steps on the map's top. ODAM (`compactness`)
            ends at the box's own area.
        batch_size: images per call of `score_fn`; changes memory, not the result.

    Returns:
        A curve from 0 to `until`; `normalised` starts at 1.

    Raises:
        MetricError: sizes or ranges do not fit, a score is not finite, or the unaltered image scores 0 or less.
        UnknownNameError: no fill has this name.

    Example:
        >>> image = np.array([[[200] * 3, [0] * 3]], dtype=np.uint8)
        >>> brightness = lambda images: images.mean(axis=(1, 2, 3))
        >>> heatmap = np.array([[1.0, 0.0]])
        >>> deletion_curve(image, heatmap, score_fn=brightness, fill="black", steps=2).normalised
        array([1., 0., 0.])
    """
    points = _Points(steps, until, batch_size)
    shares, scores = _walk(image, content_free(image, fill), heatmap=heatmap, score_fn=score_fn, points=points)
    return _curve(shares, scores, full_score=float(scores[0]))


def insertion_curve(
    image: np.ndarray,
    heatmap: np.ndarray,
    *,
    score_fn: ScoreFn,
    start: str | np.ndarray = "blur",
    steps: int = 50,
    until: float = 1.0,
    batch_size: int = 16,
) -> Curve:
    """Returns how the score rises while the map's highest pixels are shown first.

    As `deletion_curve`, from an image without content to the photo.

    Args:
        image: uint8 [H, W, 3], RGB.
        heatmap: float [H, W], >= 0, on the image's pixels.
        score_fn: called with uint8 [N, H, W, 3], N <= `batch_size`; gives float [N], the box's score on each.
        start: the image without content, a name in `fills`, or itself; RISE's is the blurred image.
        steps: number of steps; the curve has one point more, fewer if steps would be finer than a pixel.
        until: the share of the image that is shown in the end, above 0 and at most 1.
        batch_size: images per call of `score_fn`; changes memory, not the result.

    Returns:
        A curve from 0 to `until`; `normalised` ends at 1 when `until` is 1.

    Raises:
        MetricError: sizes or ranges do not fit, a score is not finite, or the unaltered image scores 0 or less.
        UnknownNameError: no fill has this name.

    Example:
        >>> image = np.array([[[200] * 3, [0] * 3]], dtype=np.uint8)
        >>> brightness = lambda images: images.mean(axis=(1, 2, 3))
        >>> heatmap = np.array([[1.0, 0.0]])
        >>> insertion_curve(image, heatmap, score_fn=brightness, start="black", steps=2).normalised
        array([0., 1., 1.])
    """
    points = _Points(steps, until, batch_size)
    shares, scores = _walk(content_free(image, start), image, heatmap=heatmap, score_fn=score_fn, points=points)
    full_score = scores[-1] if shares[-1] == 1 else _scores(score_fn, image[None])[0]
    return _curve(shares, scores, full_score=float(full_score))


def curves(
    image: np.ndarray,
    heatmap: np.ndarray,
    *,
    score_fn: ScoreFn,
    fill: str | np.ndarray = "mean",
    start: str | np.ndarray = "blur",
    steps: int = 50,
    until: float = 1.0,
    batch_size: int = 16,
) -> Curves:
    """Returns both curves of one map; the arguments are those of `deletion_curve` and `insertion_curve`.

    Args:
        image: uint8 [H, W, 3], RGB.
        heatmap: float [H, W], >= 0, on the image's pixels.
        score_fn: called with uint8 [N, H, W, 3]; gives float [N].
        fill: what a deleted pixel becomes: a name, or an image from `content_free`, for many maps of one image.
        start: the image that insertion begins with, likewise.
        steps: number of steps of each curve.
        until: the share of the image that is altered in the end.
        batch_size: images per call of `score_fn`.

    Returns:
        Both curves.

    Example:
        >>> image = np.array([[[200] * 3, [0] * 3]], dtype=np.uint8)
        >>> brightness = lambda images: images.mean(axis=(1, 2, 3))
        >>> both = curves(image, np.array([[1.0, 0.0]]), score_fn=brightness, fill="black", start="black", steps=2)
        >>> both.deletion.auc, both.insertion.auc, both.insertion_minus_deletion
        (0.25, 0.75, 0.5)
    """
    return Curves(
        deletion_curve(image, heatmap, score_fn=score_fn, fill=fill, steps=steps, until=until, batch_size=batch_size),
        insertion_curve(
            image, heatmap, score_fn=score_fn, start=start, steps=steps, until=until, batch_size=batch_size
        ),
    )


@dataclass(frozen=True)
class _Points:
    """Where a curve is read."""

    steps: int
    until: float
    batch_size: int

    def pixels(self, total: int) -> np.ndarray:
        """Returns int [K], ascending from 0: how many of the image's pixels are altered at each point."""
        if self.steps < 1 or not 0 < self.until <= 1 or self.batch_size < 1:
            raise MetricError(
                f"steps={self.steps}, until={self.until}, batch_size={self.batch_size}: steps and batch_size are at "
                "least 1, until is above 0 and at most 1"
            )
        altered = np.unique(np.rint(np.arange(self.steps + 1) * (self.until * total / self.steps)).astype(np.int64))
        if len(altered) < 2:
            raise MetricError(f"until={self.until} is less than half a pixel of the image's {total}; raise it")
        return altered


def _walk(
    before: np.ndarray, after: np.ndarray, *, heatmap: np.ndarray, score_fn: ScoreFn, points: _Points
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the shares altered and the scores on the way from one image to the other, in the map's order."""
    values = checked_heatmap(heatmap)
    if values.shape != before.shape[:2]:
        raise MetricError(f"the map is {list(values.shape)}, the image {list(before.shape[:2])}; they must be one size")
    altered = points.pixels(values.size)
    order = np.argsort(-values, axis=None, kind="stable")
    rank = np.empty(values.size, dtype=np.int64)
    rank[order] = np.arange(values.size)
    rank = rank.reshape(values.shape)  # type: ignore  # numpy 2.5's stubs
    scores = []
    for first in range(0, len(altered), points.batch_size):
        replaced = rank[None] < altered[first : first + points.batch_size, None, None]
        scores.append(_scores(score_fn, np.where(replaced[..., None], after, before)))
    return altered / values.size, np.concatenate(scores)


def _scores(score_fn: ScoreFn, images: np.ndarray) -> np.ndarray:
    scores = np.asarray(score_fn(images), dtype=np.float64)
    if scores.shape != (len(images),) or not np.isfinite(scores).all():
        raise MetricError(f"score_fn gave {scores} for {len(images)} images; it must give one finite score for each")
    return scores


def _curve(shares: np.ndarray, scores: np.ndarray, *, full_score: float) -> Curve:
    if not full_score > 0:
        raise MetricError(
            f"the box scores {full_score:.3g} on the unaltered image; curves are relative to that score, so score_fn "
            "must find the box there"
        )
    return Curve(shares, scores, full_score)


def _checked_image(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise MetricError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    return image
