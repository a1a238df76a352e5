"""PP-YOLOE and PP-YOLOE+: sigmoid scores, one row per cell, levels from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.capture import Watch
from ppdet_cam.extractors.base import DenseExtractor, KeptRow, extracts, level_of


@extracts("YOLOv3", "PPYOLOE", "PPYOLOEWithAuxHead", head_type="PPYOLOEHead")
class PPYOLOEExtractor(DenseExtractor):
    """The score comes from the logits of the box's own level, so the other levels' heads cost nothing."""

    head_name = "yolo_head"

    @property
    def nms_owner(self) -> object:
        return self.model.yolo_head

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return list(self.model.yolo_head.pred_cls)

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        return [*self.model.yolo_head.stem_reg, *self.model.yolo_head.pred_reg]

    def score(self, watch: Watch, kept: KeptRow) -> paddle.Tensor:
        """Returns sigmoid of the cell's class logit."""
        logits = [watch.outputs[layer][-1] for layer in self.watched]
        level, cell = level_of(kept.row, [level_logits.shape[2] * level_logits.shape[3] for level_logits in logits])
        return F.sigmoid(logits[level].flatten(2)[0, kept.class_id, cell])
