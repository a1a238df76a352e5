"""Maps from scores of altered inputs, and what to alter the inputs with. numpy only; no forward pass is run here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from ppdet_cam.methods.base import Levels, Needs, method
from ppdet_cam.metrics.similarity import best_similarity


def channel_mask(channel: np.ndarray) -> np.ndarray:
    """Returns a channel stretched to 0 to 1, by which Score-CAM masks the image; a constant channel gives zeros.

    Wang et al., CVPR Workshops 2020, equation 8. The paper enlarges the channel to the image first (equation 7), so
    this is for the enlarged channel.

    Args:
        channel: float [h, w].

    Returns:
        float32 [h, w], 0 to 1.

    Example:
        >>> channel_mask(np.array([[-1.0, 0.0, 3.0]]))
        array([[0.  , 0.25, 1.  ]], dtype=float32)
    """
    above = channel.astype(np.float64) - channel.min()
    return (above / (above.max() or 1.0)).astype(np.float32)


@method(
    "scorecam",
    needs=Needs.CHANNEL_SCORES,
    levels=Levels.OWN,
    reference="Wang et al., Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, CVPR "
    "Workshops 2020, eq. 6 to 9 and algorithm 1",
    cost="one forward pass of the detector per channel",
)
def scorecam(activations: np.ndarray, channel_scores: np.ndarray) -> np.ndarray:
    """Returns the Score-CAM map ReLU(sum_k w_k A_k), w being the softmax of the channels' scores.

    Wang et al., CVPR Workshops 2020, equation 9 with the weights of algorithm 1. A channel's score is the one of the
    image masked by it, less the one of an empty image; the latter drops out of the softmax. The algorithm takes
    logits: probabilities lie so close together that their softmax weighs all channels nearly alike.

    Deviations:

    - A constant channel, whose mask equation 8 does not define, weighs 0 and is left out of the softmax.
    - The authors' code has neither softmax nor the empty image: it weighs with the class probability itself.

    Args:
        activations: float [C, h, w].
        channel_scores: float [C], the score of the image masked by each channel, a logit in the paper.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> scorecam(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), np.array([np.log(3.0), 0.0])).round(6)
        array([[0.75, 0.25]])
    """
    varies = activations.min(axis=(1, 2)) != activations.max(axis=(1, 2))
    if not varies.any():
        return np.zeros(activations.shape[1:])
    scores = np.asarray(channel_scores, dtype=np.float64)[varies]
    weights = np.exp(scores - scores.max())
    return _cut_sum(weights / weights.sum(), activations[varies])


@method(
    "ablationcam",
    needs=Needs.ABLATED_SCORES,
    levels=Levels.OWN,
    reference="Desai and Ramaswamy, Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free "
    "Localization, WACV 2020",
    cost="one forward pass behind the layer per channel",
)
def ablationcam(activations: np.ndarray, score: float, ablated_scores: np.ndarray) -> np.ndarray:
    """Returns the Ablation-CAM map ReLU(sum_k w_k A_k), w_k = (score - score without channel k) / score.

    Desai and Ramaswamy, WACV 2020. A channel is left out by setting it to zero.

    Deviation: the division is by the score's absolute value, and left out for a score of zero. The paper's scores are
    positive; a negative one, such as a logit, would turn the map's sign.

    Args:
        activations: float [C, h, w].
        score: of the image as it is.
        ablated_scores: float [C], the score with each channel set to zero.

    Returns:
        float64 [h, w], >= 0.

    Example:
        >>> ablationcam(np.ones((2, 1, 1)), 0.8, np.array([0.4, 0.8]))  # (0.8 - 0.4) / 0.8
        array([[0.5]])
    """
    drops = score - np.asarray(ablated_scores, dtype=np.float64)
    return _cut_sum(drops / (abs(score) or 1.0), activations)


def random_mask(
    index: int,
    *,
    image_hw: tuple[int, int],
    cells_hw: tuple[int, int] = (16, 16),
    keep: float = 0.5,
    seed: int,
) -> np.ndarray:
    """Returns the random mask number `index` of a seed: a small grid of zeros and ones, enlarged and shifted.

    Each cell is 1 with probability `keep`. The grid is enlarged bilinearly to one cell more than covers the image, and
    an image-sized part of it is cut out at a random offset of less than a cell. Petsiuk et al., RISE, BMVC 2018, as in
    the authors' code; grid and probability are those that D-RISE is run with.

    Deviation: less than half a cell from the enlarged grid's border, the outermost cell's value is repeated where the
    authors' code mirrors it.

    Args:
        index: which of the seed's masks; it does not depend on the others.
        image_hw: height and width of the mask, in pixels.
        cells_hw: cells of the grid along y and x.
        keep: probability that a cell is kept, 0 to 1.
        seed: of all masks.

    Returns:
        float32 [H, W], 0 to 1.

    Example:
        >>> float(random_mask(3, image_hw=(4, 6), cells_hw=(2, 2), keep=1.0, seed=0).min())
        1.0
    """
    random = np.random.default_rng([seed, index])
    grid = (random.random(cells_hw) < keep).astype(np.float32)
    cell_hw = [math.ceil(pixels / cells) for pixels, cells in zip(image_hw, cells_hw)]
    offsets = [int(random.integers(pixels)) for pixels in cell_hw]
    rows, columns = (
        _bilinear(cells, (cells + 1) * cell, first=offset, count=pixels)
        for cells, cell, offset, pixels in zip(cells_hw, cell_hw, offsets, image_hw)
    )
    return np.asarray(np.minimum(rows @ grid @ columns.T, 1.0), np.float32)


def random_masks(
    count: int,
    *,
    image_hw: tuple[int, int],
    cells_hw: tuple[int, int] = (16, 16),
    keep: float = 0.5,
    seed: int,
) -> Iterator[np.ndarray]:
    """Yields the first `count` random masks of a seed, each as `random_mask` gives it.

    Args:
        count: how many.
        image_hw: height and width of a mask, in pixels.
        cells_hw: cells of the grid along y and x.
        keep: probability that a cell is kept, 0 to 1.
        seed: of all masks.

    Returns:
        float32 [H, W] each, 0 to 1.

    Example:
        >>> [mask.shape for mask in random_masks(2, image_hw=(4, 6), cells_hw=(2, 2), seed=0)]
        [(4, 6), (4, 6)]
    """
    for index in range(count):
        yield random_mask(index, image_hw=image_hw, cells_hw=cells_hw, keep=keep, seed=seed)


def detection_similarity(
    box: np.ndarray,
    class_scores: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    objectness: np.ndarray | None = None,
) -> float:
    """Returns how much of a box is left: the largest of IoU * cosine * objectness over all candidates.

    The cosine is the one between the class scores. Petsiuk et al., D-RISE, CVPR 2021: the similarity of a detection
    and a candidate, its maximum over the candidates; the objectness is the candidate's, and 1 for detectors without.

    No deviation. A candidate without area or without any class score counts 0.

    Args:
        box: float [4], left, top, right, bottom; or [4, 2], the corners of a rotated box.
        class_scores: float [C], of the box, >= 0.
        boxes: float [M, 4] or [M, 4, 2], the candidates' boxes, in the same frame.
        scores: float [M, C], the candidates' class scores, >= 0.
        objectness: float [M], 0 to 1; None when the detector has none.

    Returns:
        0 to 1 for scores >= 0; 0 when there is no candidate.

    Example:
        >>> detection_similarity(
        ...     np.array([0.0, 0.0, 2.0, 2.0]), np.array([0.9, 0.0]),
        ...     boxes=np.array([[0.0, 0.0, 2.0, 1.0]]), scores=np.array([[0.3, 0.0]]),
        ... )  # half of the box, the same class
        0.5
    """
    return best_similarity(tuple(box.tolist()), class_scores, boxes_xyxy=boxes, scores=scores, objectness=objectness)


@method(
    "drise",
    needs=Needs.MASKS,
    levels=Levels.NONE,
    reference="Petsiuk et al., Black-box Explanation of Object Detectors via Saliency Maps, CVPR 2021",
    cost="one forward pass of the detector per mask, thousands of them, shared by all boxes of the image",
)
def drise(masks: Iterable[np.ndarray], similarities: np.ndarray) -> np.ndarray:
    """Returns the D-RISE map: the masks' mean, each weighted with what it leaves of the box.

    Petsiuk et al., D-RISE, CVPR 2021: the sum of the masks, weighted with `detection_similarity`.

    Deviation: the sum is divided by the number of masks, so that the map does not grow with it. RISE's code divides by
    that and by the probability that a cell is kept, another constant.

    The map has a floor: a pixel that does not matter gets the mean similarity times the share of masks that keep it.

    Args:
        masks: float [N, h, w], or N masks [h, w] one after the other, as `random_masks` yields them.
        similarities: float [N], >= 0.

    Returns:
        float64 [h, w], >= 0.

    Raises:
        ValueError: no mask, or not as many masks as similarities.

    Example:
        >>> drise(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), np.array([0.8, 0.2]))
        array([[0.4, 0.1]])
    """
    if isinstance(masks, np.ndarray) and len(masks) == len(similarities) > 0:
        return np.maximum(
            np.tensordot(np.asarray(similarities, masks.dtype), masks, axes=1).astype(np.float64) / len(masks), 0.0
        )
    total, count = np.zeros(()), 0
    for count, mask in enumerate(masks, start=1):
        if count <= len(similarities):
            total = total + float(similarities[count - 1]) * mask.astype(np.float64)
    if count == 0 or count != len(similarities):
        raise ValueError(f"{count} masks and {len(similarities)} similarities; each mask needs one, and none is no map")
    return np.maximum(total / count, 0.0)


def _cut_sum(weights: np.ndarray, activations: np.ndarray) -> np.ndarray:
    return np.maximum(np.tensordot(weights, activations.astype(np.float64), axes=1), 0.0)


def _bilinear(cells: int, pixels: int, *, first: int, count: int) -> np.ndarray:
    """Returns the rows `first` to `first + count` of the matrix [pixels, cells] that enlarges `cells` values."""
    centres = (np.arange(first, first + count) + 0.5) * cells / pixels - 0.5
    distances = np.abs(centres.clip(0, cells - 1)[:, None] - np.arange(cells))
    return np.maximum(1.0 - distances, 0.0).astype(np.float32)
