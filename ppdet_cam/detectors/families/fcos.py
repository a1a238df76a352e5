"""FCOS, also of ARSL: class probability times centre-ness, or the square root of that, a candidate per cell."""

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
    extracts,
    of_cells,
)
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("FCOS", head_type="FCOSHead")
@extracts("ARSL_FCOS", head_type="FCOSHead_ARSL")
class FCOSExtractor(CellExtractor):
    """One head runs on every level in turn; everything comes from the box's own level."""

    head_name = "fcos_head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.fcos_head
        return [head.fcos_head_cls, head.fcos_head_centerness, *head.scales_regs]

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What multiplies the class probability was trained as centre-ness, or as the box's IoU."""
        return super().quantities | {Quantity.QUALITY if self._says_iou else Quantity.CENTERNESS}

    @property
    def _says_iou(self) -> bool:
        loss = self.model.fcos_head.fcos_loss
        return getattr(loss, "quality", "centerness") == "iou" or type(loss).__name__ == "FCOSLossMILC"  # of ARSL

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [self.model.fcos_head.fcos_head_reg, *self.model.fcos_head.scales_regs]

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        return watch.outputs[self.model.fcos_head.fcos_head_cls]

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns class logits, the product with the centre-ness, boxes, and the centre-ness or IoU."""
        head = self.model.fcos_head
        logits = of_cells(self.class_logits(watch), sources, image)
        factor = F.sigmoid(of_cells(watch.outputs[head.fcos_head_centerness], sources, image))
        scores = F.sigmoid(logits) * factor
        return HeadOutputs(
            probabilities=paddle.sqrt(scores) if head.sqrt_score else scores,
            logits=logits,
            boxes_xyxy=self._boxes(watch, sources, image) if wanted is Quantity.BOXES else None,
            quality=factor[:, 0] if self._says_iou else None,
            centerness=None if self._says_iou else factor[:, 0],
        )

    def _boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 1, 4]: the cell's point, less and plus the distances of the four sides."""
        head = self.model.fcos_head
        grids = [watch.outputs[layer][-1] for layer in head.scales_regs]
        numbers = of_cells(grids, sources, image)
        points, strides = cell_points(grids, sources, head.fpn_stride, head.num_shift)
        distances = F.relu(numbers) * strides if head.norm_reg_targets else paddle.exp(numbers)
        return boxes_around(points * strides, distances).unsqueeze(1)
