"""Why an RPN proposed a RoI: the anchor that became it, and that anchor's objectness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn
from ppdet.modeling.bbox_utils import delta2bbox

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import Box, Source
from ppdet_cam.errors import ScoreMismatchError

# Pixels: the operator decodes with the same formula, in another order of the same float32 operations.
SAME_BOX = 0.02


def rpn_layers(rpn: nn.Layer) -> list[nn.Layer]:
    """Returns the layers that have to be watched for an RPN's anchors to be known."""
    return [rpn, rpn.rpn_rois_score, rpn.rpn_rois_delta, rpn.anchor_generator]


def anchor_of(rpn: nn.Layer, watch: Watch, proposal: Box) -> tuple[int, int]:
    """Returns level and position, in [h, w, anchors], of the anchor that an RPN moved to a proposal.

    ppdet's operator does not say it. It is the anchor whose decoded and clipped box is the proposal; of several, the
    one that NMS within the RPN prefers, the highest score's.

    Args:
        rpn: the RPN head.
        watch: of the pass that proposed it, first image.
        proposal: network input pixels.

    Raises:
        ScoreMismatchError: there is none.
    """
    height, width = (float(value) for value in watch.inputs[rpn][0][1]["im_shape"][0])
    best: tuple[float, int, int] | None = None
    nearest = np.inf
    layers = (
        watch.outputs[rpn.rpn_rois_score],
        watch.outputs[rpn.rpn_rois_delta],
        watch.outputs[rpn.anchor_generator][-1],
    )
    with paddle.no_grad():
        for level, (logits, deltas, anchors) in enumerate(zip(*layers)):
            scores = logits[0].transpose([1, 2, 0]).flatten().numpy()
            offsets = deltas[0].transpose([1, 2, 0]).reshape([-1, 4])
            boxes = delta2bbox(offsets, anchors.reshape([-1, 4]))[:, 0].numpy()
            boxes = np.clip(boxes, 0.0, np.array([width, height, width, height], np.float32))
            apart = np.abs(boxes - np.array(proposal, np.float32)).max(axis=1)
            nearest = min(nearest, float(apart.min()))
            for position in np.flatnonzero(apart <= SAME_BOX):
                if best is None or float(scores[position]) > best[0]:
                    best = (float(scores[position]), level, int(position))
    if best is None:
        raise ScoreMismatchError(
            f"no anchor of the RPN gives the proposal {tuple(round(value, 1) for value in proposal)}: the closest is "
            f"{nearest:.2f} pixels away. Nothing is explained rather than the wrong anchor; please report this model"
        )
    return best[1], best[2]


def objectness_logits(rpn: nn.Layer, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
    """Returns [K], the objectness logit of each source's anchor, as the RPN ranks its proposals by it."""
    numbers = []
    for source in sources:
        assert source.anchor is not None  # `located` has put it there
        level, position = source.anchor
        logits = watch.outputs[rpn.rpn_rois_score][level]
        _, anchors, _, width = logits.shape
        cell, anchor = divmod(position, int(anchors))
        numbers.append(logits[image, anchor, cell // int(width), cell % int(width)])
    return paddle.stack(numbers)
