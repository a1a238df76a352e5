"""RetinaNet: sigmoid scores; before NMS each level keeps only its best anchors, so a row is not an anchor."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.capture import Watch
from ppdet_cam.extractors.base import DenseExtractor, KeptRow, extracts, level_of


@extracts("RetinaNet", head_type="RetinaHead")
class RetinaNetExtractor(DenseExtractor):
    """The score comes from the logits of the box's own level; its top-k is done once more to find the anchor."""

    head_name = "head"

    @property
    def nms_owner(self) -> object:
        return self.model.head

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.head]

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        return [self.model.head.retina_reg]

    def score(self, watch: Watch, kept: KeptRow) -> paddle.Tensor:
        """Returns sigmoid of the anchor's class logit."""
        head = self.model.head
        level_logits, _ = watch.outputs[head][-1]
        per_anchor = [logits.transpose([0, 2, 3, 1]).reshape([-1, head.num_classes]) for logits in level_logits]
        limit = head.nms_pre if head.nms_pre is not None else max(logits.shape[0] for logits in per_anchor)
        level, row = level_of(kept.row, [min(logits.shape[0], limit) for logits in per_anchor])
        logits = per_anchor[level]
        anchor = row
        if logits.shape[0] > limit:
            with paddle.no_grad():
                _, best = logits.max(axis=1).topk(limit)
            anchor = int(best[row])
        return F.sigmoid(logits[anchor, kept.class_id])
