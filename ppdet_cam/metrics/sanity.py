"""How alike two maps are: for randomised weights (they should differ) and for repeats (they should not)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ppdet_cam.metrics.regions import MetricError, checked_heatmap

WINDOW_DEVIATION = 1.5
WINDOW_RADIUS = 5
LUMINANCE_CONSTANT = 0.01
CONTRAST_CONSTANT = 0.03


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Spearman's rank correlation of two maps, pixel by pixel; equal values share their mean rank.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, compare maps before and after weights are
    randomised with it. Maps here are >= 0, so their two variants, with and without absolute values, are one.

    Args:
        first: float [H, W].
        second: float [H, W].

    Returns:
        -1 to 1. Where a map is constant there is no order to compare: 1 when both are, 0 when one is.

    Raises:
        MetricError: the maps differ in size or are not finite.

    Example:
        >>> spearman(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 4.0, 9.0]]))
        1.0
    """
    first, second = _checked_pair(first, second)
    constant = [float(np.ptp(values)) == 0 for values in (first, second)]
    if any(constant):
        return 1.0 if all(constant) else 0.0
    return float(np.clip(np.corrcoef(_ranks(first), _ranks(second))[0, 1], -1.0, 1.0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns each value's rank; written out here, as scipy.stats takes 0.3 s to import."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places.ravel()]


def rank_correlations(heatmaps: Sequence[np.ndarray]) -> np.ndarray:
    """Returns `spearman` of each map with each other; every map is ranked once only.

    Args:
        heatmaps: K maps, float [H, W] each.

    Returns:
        float64 [K, K], symmetric, -1 to 1, 1 on the diagonal.

    Raises:
        MetricError: the maps differ in size or are not finite.

    Example:
        >>> rank_correlations([np.array([[1.0, 2.0, 3.0]]), np.array([[9.0, 4.0, 1.0]])])
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    maps = [_checked_pair(heatmap, heatmaps[0])[0] for heatmap in heatmaps]
    ranks = np.array([_ranks(heatmap) for heatmap in maps])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    centred = np.divide(centred, lengths[:, None], out=np.zeros_like(centred), where=lengths[:, None] > 0)
    both_constant = np.outer(lengths == 0, lengths == 0)
    correlations = np.where(both_constant, 1.0, np.clip(centred @ centred.T, -1.0, 1.0))
    np.fill_diagonal(correlations, 1.0)
    return correlations


def map_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the structural similarity of two maps, each divided by its own maximum.

    `structural_similarity` with range 1. A map's scale says nothing across models, its zero does, so maps are scaled
    and not shifted. Adebayo et al. (see `spearman`) use SSIM as their second measure; they scale maps for display,
    which also shifts them.

    Args:
        first: float [H, W], >= 0, both sides at least 11.
        second: float [H, W], >= 0.

    Returns:
        -1 to 1; 1 for maps that differ by a factor alone. A blank map stays 0: two blank maps score 1.

    Raises:
        MetricError: the maps differ in size, are smaller than the window, not finite, or negative.

    Example:
        >>> map_ssim(np.eye(11), 3 * np.eye(11))
        1.0
    """
    return structural_similarity(_unit_peak(first), _unit_peak(second), data_range=1.0)


def structural_similarity(first: np.ndarray, second: np.ndarray, *, data_range: float) -> float:
    """Returns the mean structural similarity (SSIM) of two images of one channel.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE Transactions on Image
    Processing, 2004, equation 13 averaged as in equation 17: per place
    (2 m1 m2 + C1)(2 s12 + C2) / ((m1^2 + m2^2 + C1)(s1^2 + s2^2 + C2)), means m, variances s^2 and covariance s12 under
    a Gaussian window of 11 x 11 pixels, standard deviation 1.5, summing to 1; C1 = (0.01 L)^2, C2 = (0.03 L)^2, L the
    range. Averaged over the places where the window fits into the image. No deviation; images are not made smaller
    first.

    Args:
        first: float [H, W], both sides at least 11.
        second: float [H, W].
        data_range: L, the highest possible value less the lowest.

    Returns:
        -1 to 1; 1 for equal images only. C1 and C2 keep it defined where images are constant.

    Raises:
        MetricError: the images differ in size, are smaller than the window or not finite, or the range is not above 0.

    Example:
        >>> structural_similarity(np.zeros((11, 11)), np.zeros((11, 11)), data_range=1.0)
        1.0
    """
    first, second = _checked_pair(first, second)
    if not data_range > 0:
        raise MetricError(f"data_range is {data_range}; it must be above 0")
    if min(first.shape) < 2 * WINDOW_RADIUS + 1:
        raise MetricError(
            f"the maps are {list(first.shape)}; SSIM's window needs at least {2 * WINDOW_RADIUS + 1} a side"
        )
    luminance, contrast = (LUMINANCE_CONSTANT * data_range) ** 2, (CONTRAST_CONSTANT * data_range) ** 2
    mean_1, mean_2 = _windowed(first), _windowed(second)
    variance_1 = _windowed(first * first) - mean_1**2
    variance_2 = _windowed(second * second) - mean_2**2
    covariance = _windowed(first * second) - mean_1 * mean_2
    numerator = (2 * mean_1 * mean_2 + luminance) * (2 * covariance + contrast)
    denominator = (mean_1**2 + mean_2**2 + luminance) * (variance_1 + variance_2 + contrast)
    return float((numerator / denominator).mean())


def _windowed(values: np.ndarray) -> np.ndarray:
    """Returns the Gaussian mean at each place where the window fits: [H - 10, W - 10]."""
    smooth = ndimage.gaussian_filter(values, WINDOW_DEVIATION, truncate=WINDOW_RADIUS / WINDOW_DEVIATION)
    return smooth[WINDOW_RADIUS:-WINDOW_RADIUS, WINDOW_RADIUS:-WINDOW_RADIUS]


def _unit_peak(heatmap: np.ndarray) -> np.ndarray:
    values = checked_heatmap(heatmap)
    highest = values.max()
    return values / highest if highest > 0 else values


def _checked_pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.size == 0:
        raise MetricError(f"two maps of one size [H, W] are compared, not {list(first.shape)} and {list(second.shape)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise MetricError("a map holds NaN or infinity; a map that could not be computed is given as all zero")
    return first, second
