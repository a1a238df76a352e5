"""The number by which a mask is explained: the mean logit of the pixels that it covers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.families.base import Source


def covered(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Returns int [P], the flattened positions where a mask's probability is above a threshold.

    A mask that covers nothing has the one pixel that comes closest.

    Args:
        logits: float [h, w].
        threshold: of the probability, between 0 and 1.
    """
    flat = logits.ravel()
    positions = np.flatnonzero(flat > np.log(threshold / (1.0 - threshold)))
    return positions if positions.size else np.array([int(np.argmax(flat))])


def mean_in_masks(values: paddle.Tensor, sources: Sequence[Source]) -> paddle.Tensor:
    """Returns [K], the mean of [K, h, w] over the pixels of each source's mask.

    Of logits, it is what decides that these pixels belong to the mask, and it does not saturate as their probabilities
    do. The number is this project's choice.
    """
    means = []
    for row, source in enumerate(sources):
        assert source.mask is not None  # `located` has put it there
        means.append(values[row].flatten().gather(paddle.to_tensor(source.mask.pixels, dtype="int64")).mean())
    return paddle.stack(means)


def roi_mask_logits(
    mask_head: nn.Layer,
    features: Sequence[paddle.Tensor],
    sources: Sequence[Source],
    shared: nn.Layer | None,
) -> paddle.Tensor:
    """Returns [K, h, w], what ppdet's MaskHead says in each source's box of its class's mask.

    Args:
        mask_head: the head.
        features: of one image, [1, C, h, w] each.
        sources: with their masks' places.
        shared: what a RoI's features go through first, where the head shares it with the box head.
    """
    places = [source.mask for source in sources if source.mask is not None]
    boxes = paddle.to_tensor(np.array([place.box_xyxy for place in places], np.float32))
    pooled = mask_head.roi_extractor(features, [boxes], paddle.to_tensor([len(places)], dtype="int32"))
    if mask_head.share_bbox_feat and shared is not None:
        pooled = shared(pooled)
    logits = mask_head.mask_fcn_logits(mask_head.head(pooled))
    return of_classes(logits, [place.class_id for place in places])


def of_classes(logits: paddle.Tensor, class_ids: Sequence[int]) -> paddle.Tensor:
    """Returns [K, h, w], each row's own class's mask out of [K, classes, h, w]; one mask may stand for all classes."""
    several = int(logits.shape[1]) > 1
    return paddle.stack([logits[row, class_id if several else 0] for row, class_id in enumerate(class_ids)])
