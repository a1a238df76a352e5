"""PP-YOLOE and PP-YOLOE+: sigmoid scores, one row per cell, levels from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import (
    CellExtractor,
    Source,
    boxes_around,
    cell_points,
    expected_distances,
    extracts,
    of_cells,
)
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("YOLOv3", "PPYOLOE", "PPYOLOEWithAuxHead", head_type="PPYOLOEHead")
@extracts("YOLOv3", "PPYOLOE", head_type="PPYOLOEContrastHead")
class PPYOLOEExtractor(CellExtractor):
    """Everything comes from the box's own level, so the other levels' heads cost nothing."""

    head_name = "yolo_head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [*self.model.yolo_head.pred_cls, *self.model.yolo_head.pred_reg]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [*self.model.yolo_head.stem_reg, *self.model.yolo_head.pred_reg]

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        return [watch.outputs[layer][-1] for layer in self.model.yolo_head.pred_cls]

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the cells' logits, their sigmoids, and their boxes from the distances' expected values."""
        logits = of_cells(self.class_logits(watch), sources, image)
        return HeadOutputs(
            probabilities=F.sigmoid(logits),
            logits=logits,
            boxes_xyxy=self._boxes(watch, sources, image) if wanted is Quantity.BOXES else None,
        )

    def _boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 1, 4]: the cell's centre, less and plus the expected distances of the four sides, in strides."""
        head = self.model.yolo_head
        grids = [watch.outputs[layer][-1] for layer in head.pred_reg]
        distances = expected_distances(of_cells(grids, sources, image), head.proj_conv.weight)
        points, strides = cell_points(grids, sources, head.fpn_strides, head.grid_cell_offset)
        return (boxes_around(points, distances) * strides).unsqueeze(1)
