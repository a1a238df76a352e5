"""FCOSR: sigmoid scores and a rotated box per cell, levels from fine to coarse."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import Source, cell_points, extracts, of_cells
from ppdet_cam.detectors.families.rotated import RotatedExtractor


@extracts("YOLOv3", head_type="FCOSRHead")
class FCOSRExtractor(RotatedExtractor):
    """One head runs on every level in turn; a level's scale runs on its centres first, then on its sizes."""

    head_name = "yolo_head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.yolo_head
        return [head.pred_cls, head.pred_angle, *head.scales]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        head = self.model.yolo_head
        return [*head.stem_reg, head.pred_xy, head.pred_wh, head.pred_angle, *head.scales]

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        return watch.outputs[self.model.yolo_head.pred_cls]

    def rotated_boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 5]: centre and size in strides from the cell's centre, and the angle less whole quarters."""
        head = self.model.yolo_head
        centres, sizes = zip(*(watch.outputs[scale][-2:] for scale in head.scales))
        points, strides = cell_points(centres, sources, head.fpn_strides, 0.5)
        centre = (points + of_cells(centres, sources, image)) * strides
        size = F.elu(of_cells(sizes, sources, image) + 1.0) * strides
        angle = of_cells(watch.outputs[head.pred_angle], sources, image)
        quarters = paddle.trunc((angle / head.half_pi).detach())
        return paddle.concat([centre, size, angle - quarters * head.half_pi], axis=1)
