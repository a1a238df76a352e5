"""Where ppdet's RoIAlign pools a RoI from: which feature map, and which part of the network input its cells lie on."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.families.base import Box


def levels_are_known(pooling: nn.Layer) -> bool:
    """Whether a RoI extractor is ppdet's RoIAlign, which pools each RoI from one level by its size."""
    return type(pooling).__name__ == "RoIAlign"


def pooled_level(pooling: nn.Layer, roi: Box) -> int:
    """Returns the position of the feature map that a RoI is pooled from; 0 where that is not known."""
    if not levels_are_known(pooling) or len(pooling.spatial_scale) == 1:
        return 0
    per_level, _, _ = paddle.vision.ops.distribute_fpn_proposals(
        paddle.to_tensor(np.array([roi], np.float32)),
        pooling.start_level + 2,
        pooling.end_level + 2,
        pooling.canconical_level,
        pooling.canonical_size,
        rois_num=paddle.to_tensor([1], dtype="int32"),
    )
    used = next(level for level, rois in enumerate(per_level) if rois.shape[0] > 0)
    return int(pooling.start_level) + used


def pooled_part(pooling: nn.Layer, roi: Box) -> Box:
    """Returns the RoI, moved and enlarged as RoIAlign does.

    Where it is not aligned, the RoI's corners count from the middle of the feature map's first cell instead of its
    edge, which is half a cell further: `aligned` of paddle.vision.ops.roi_align. PaddleDetection's develop branch does
    so whatever the config says. No RoI is smaller than a cell of the feature map.
    """
    if not levels_are_known(pooling):
        return roi
    scales = pooling.spatial_scale
    cell = 1.0 / float(scales[pooled_level(pooling, roi) if len(scales) > 1 else 0])
    shift = 0.0 if pooling.aligned else cell / 2
    left, top, right, bottom = roi
    width, height = max(right - left, cell), max(bottom - top, cell)
    return left + shift, top + shift, left + shift + width, top + shift + height


def box_of(row: np.ndarray) -> Box:
    """Returns a row of four numbers as a box."""
    left, top, right, bottom = (float(value) for value in row)
    return left, top, right, bottom
