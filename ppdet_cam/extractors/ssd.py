"""SSD and BlazeFace: softmax scores over the classes and a last column for the background."""

from __future__ import annotations

from typing import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.capture import Watch
from ppdet_cam.extractors.base import DenseExtractor, Family, KeptRow, families, level_of


class SSDExtractor(DenseExtractor):
    """The score comes from the logits of the box's own level."""

    head = "ssd_head"

    @property
    def _head(self) -> nn.Layer:
        return getattr(self.model, self.head)

    @property
    def nms_owner(self) -> object:
        return self.model.post_process

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self._head]

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        return list(self._head.box_convs)

    @property
    def stretches_cells(self) -> bool:  # type: ignore[override]
        """With anchor steps of 0 the anchors are spread evenly over the input, whatever the layer's stride."""
        return not any(self._head.anchor_generator.steps)

    def score(self, watch: Watch, kept: KeptRow) -> paddle.Tensor:
        """Returns the softmax of the row's logits at its class."""
        (_, level_logits), _ = watch.outputs[self._head][-1]
        level, row = level_of(kept.row, [logits.shape[1] for logits in level_logits])
        return F.softmax(level_logits[level][0, row], axis=-1)[kept.class_id]


class BlazeFaceExtractor(SSDExtractor):
    """The same scores from BlazeFace's head."""

    head = "blaze_head"


families.register("SSD")(Family(SSDExtractor, head="ssd_head", head_types=("SSDHead",)))
families.register("BlazeFace")(Family(BlazeFaceExtractor, head="blaze_head", head_types=("FaceHead",)))
