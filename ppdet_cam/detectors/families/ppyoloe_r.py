"""PP-YOLOE-R: PP-YOLOE with an angle, whose distribution over 0 to 90 degrees gives its expected value."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import Source, cell_points, extracts, of_cells
from ppdet_cam.detectors.families.rotated import RotatedExtractor


@extracts("YOLOv3", head_type="PPYOLOERHead")
class PPYOLOERExtractor(RotatedExtractor):
    """Everything comes from the box's own level; levels go from coarse to fine."""

    head_name = "yolo_head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.yolo_head
        return [*head.pred_cls, *head.pred_reg, *head.pred_angle]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        head = self.model.yolo_head
        return [*head.stem_reg, *head.pred_reg, *head.stem_angle, *head.pred_angle]

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        return [watch.outputs[layer][-1] for layer in self.model.yolo_head.pred_cls]

    def rotated_boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 5]: centre and size in strides from the cell's centre, and the angle's expected value."""
        head = self.model.yolo_head
        grids = [watch.outputs[layer][-1] for layer in head.pred_reg]
        numbers = of_cells(grids, sources, image)
        bins = of_cells([watch.outputs[layer][-1] for layer in head.pred_angle], sources, image)
        points, strides = cell_points(grids, sources, head.fpn_strides, 0.5)  # whatever grid_cell_offset says
        centre, size = (points + numbers[:, :2]) * strides, (F.elu(numbers[:, 2:]) + 1.0) * strides
        angle = (F.softmax(bins, axis=1) * head.angle_proj_conv.weight.flatten()).sum(axis=1, keepdim=True)
        return paddle.concat([centre, size, angle], axis=1)
