"""SSD and BlazeFace: softmax scores over the classes and a last column for the background."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.capture import Watch
from ppdet_cam.extractors.base import DenseExtractor, KeptRow, extracts, level_of
from ppdet_cam.structures import CellStrides


@extracts("SSD", head_type="SSDHead")
class SSDExtractor(DenseExtractor):
    """The score comes from the logits of the box's own level."""

    head_name = "ssd_head"

    @property
    def _head(self) -> nn.Layer:
        return getattr(self.model, self.head_name)

    @property
    def nms_owner(self) -> object:
        return self.model.post_process

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self._head]

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        return list(self._head.box_convs)

    def cell_strides(self, watch: Watch, padded_hw: tuple[int, int]) -> CellStrides:
        """Returns the anchors' steps; a step of 0 spreads a level's anchors evenly over the network input."""
        features = watch.inputs[self._head][-1][0]
        steps = self._head.anchor_generator.steps
        grids = [(int(feature.shape[2]), int(feature.shape[3])) for feature in features]
        return {
            grid_hw: (float(step), float(step)) if step else (padded_hw[0] / grid_hw[0], padded_hw[1] / grid_hw[1])
            for grid_hw, step in zip(grids, steps)
        }

    def score(self, watch: Watch, kept: KeptRow) -> paddle.Tensor:
        """Returns the softmax of the row's logits at its class."""
        (_, level_logits), _ = watch.outputs[self._head][-1]
        level, row = level_of(kept.row, [logits.shape[1] for logits in level_logits])
        return F.softmax(level_logits[level][0, row], axis=-1)[kept.class_id]


@extracts("BlazeFace", head_type="FaceHead")
class BlazeFaceExtractor(SSDExtractor):
    """The same scores from BlazeFace's head."""

    head_name = "blaze_head"
