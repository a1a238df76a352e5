"""YOLOX: the square root of class probability times objectness, a candidate per cell, levels from fine to coarse."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import CellExtractor, Source, cell_points, extracts, of_cells
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("YOLOX", head_type="YOLOXHead")
class YOLOXExtractor(CellExtractor):
    """Everything comes from the box's own level; one layer gives box and objectness."""

    head_name = "head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [*self.model.head.conv_cls, *self.model.head.conv_reg]

    @property
    def quantities(self) -> frozenset[Quantity]:
        return super().quantities | {Quantity.OBJECTNESS}

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        return [watch.outputs[layer][-1] for layer in self.model.head.conv_cls]

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns class logits, the square root of both probabilities' product, boxes, and the objectness."""
        head = self.model.head
        grids = [watch.outputs[layer][-1] for layer in head.conv_reg]
        logits = of_cells(self.class_logits(watch), sources, image)
        numbers = of_cells(grids, sources, image)
        objectness = F.sigmoid(numbers[:, 4])
        return HeadOutputs(
            probabilities=paddle.sqrt(F.sigmoid(logits) * objectness.unsqueeze(1)),
            logits=logits,
            boxes_xyxy=self._boxes(grids, sources, numbers) if wanted is Quantity.BOXES else None,
            objectness=objectness,
        )

    def _boxes(
        self, grids: Sequence[paddle.Tensor], sources: Sequence[Source], numbers: paddle.Tensor
    ) -> paddle.Tensor:
        """Returns [K, 1, 4]: the cell's corner moved, less and plus half of an exponential size, in strides."""
        corners, strides = cell_points(grids, sources, self.model.head.fpn_strides, 0.0)
        centre, half = corners + numbers[:, :2], 0.5 * paddle.exp(numbers[:, 2:4])
        return (paddle.concat([centre - half, centre + half], axis=1) * strides).unsqueeze(1)
