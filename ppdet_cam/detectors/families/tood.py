"""TOOD: the square root of class probability times alignment; a box is read where the head says, near its cell."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import CellExtractor, Source, boxes_around, cell_points, extracts, of_cells
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("TOOD", head_type="TOODHead")
class TOODExtractor(CellExtractor):
    """One head runs on every level in turn; everything comes from the box's own level."""

    head_name = "head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.head
        aligning = [head.cls_prob_conv2, head.reg_offset_conv2] if head.use_align_head else []
        return [head.tood_cls, *head.scales_regs, *aligning]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        head = self.model.head
        aligning = [head.reg_offset_conv1, head.reg_offset_conv2] if head.use_align_head else []
        return [head.reg_decomp, head.tood_reg, *head.scales_regs, *aligning]

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        return watch.outputs[self.model.head.tood_cls]

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns class logits, the square root of class probability times alignment, and boxes."""
        head = self.model.head
        logits = of_cells(self.class_logits(watch), sources, image)
        scores = F.sigmoid(logits)
        if head.use_align_head:
            alignment = of_cells(watch.outputs[head.cls_prob_conv2], sources, image)
            scores = paddle.sqrt(scores * F.sigmoid(alignment))
        found = [self._box(watch, source, image) for source in sources] if wanted is Quantity.BOXES else None
        return HeadOutputs(scores, logits, None if found is None else paddle.stack(found))

    def _box(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns [1, 4], network input pixels, before clipping.

        With alignment, each side is read from the level's grid of boxes at a point of its own, between cells.
        """
        head = self.model.head
        grids = [watch.outputs[layer][-1] for layer in head.scales_regs]
        point, stride = cell_points(grids, [source], head.fpn_strides, head.grid_cell_offset)
        if not head.use_align_head:
            return boxes_around(point, of_cells(grids, [source], image)) * stride
        _, _, height, width = grids[source.level].shape
        everywhere = [Source(source.level, position) for position in range(height * width)]
        points, _ = cell_points(grids, everywhere, head.fpn_strides, head.grid_cell_offset)
        distances = grids[source.level][image].flatten(1).transpose([1, 0])
        sides = boxes_around(points, distances).transpose([1, 0]).reshape([4, 1, height, width])
        offsets = of_cells(watch.outputs[head.reg_offset_conv2], [source], image).reshape([4, 2])
        where = ((offsets + point) / paddle.to_tensor([width, height], dtype="float32")).clip(0.0, 1.0)
        read = F.grid_sample(sides, (2 * where - 1).reshape([4, 1, 1, 2]))
        return read.reshape([1, 4]) * stride
