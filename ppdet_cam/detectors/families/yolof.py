"""YOLOF: one level, anchors; the logit holds the objectness as well, so that its sigmoid is the product of both."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn
from ppdet.modeling.bbox_utils import delta2bbox_v2

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import Source, extracts
from ppdet_cam.detectors.families.retinanet import RetinaNetExtractor, of_anchor
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("YOLOF", head_type="YOLOFHead")
class YOLOFExtractor(RetinaNetExtractor):
    """As RetinaNet: before NMS only the best anchors are kept."""

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.head, self.model.head.object_pred]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [self.model.head.bbox_pred]

    @property
    def quantities(self) -> frozenset[Quantity]:
        return super().quantities | {Quantity.OBJECTNESS}

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns what RetinaNet's head says, and the objectness."""
        found = super().outputs(watch, sources, wanted=wanted, image=image)
        grids = [watch.outputs[self.model.head.object_pred][-1]]
        raw = paddle.concat([of_anchor(grids, source, 1, image) for source in sources])
        return HeadOutputs(found.probabilities, found.logits, found.boxes_xyxy, objectness=F.sigmoid(raw))

    def level_outputs(self, watch: Watch) -> tuple[list[paddle.Tensor], list[paddle.Tensor]]:
        """Returns the only level's logits and offsets."""
        _, logits, offsets = watch.outputs[self.model.head][-1]
        return [logits], [offsets]

    def box(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns [1, 4]: the anchor moved by its offsets, which are limited; before clipping."""
        head = self.model.head
        anchor = watch.outputs[head][-1][0][source.position]
        offsets = of_anchor(self.level_outputs(watch)[1], source, 4, image)
        return delta2bbox_v2(
            offsets.unsqueeze(0), anchor.unsqueeze(0), head.delta_mean, head.delta_std, ctr_clip=head.ctr_clip
        ).reshape([1, 4])
