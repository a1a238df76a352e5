"""PP-YOLOE and PP-YOLOE+: sigmoid scores, one row per cell, levels from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import DenseExtractor, Source, extracts
from ppdet_cam.structures import HeadOutputs


@extracts("YOLOv3", "PPYOLOE", "PPYOLOEWithAuxHead", head_type="PPYOLOEHead")
class PPYOLOEExtractor(DenseExtractor):
    """Everything comes from the box's own level, so the other levels' heads cost nothing."""

    head_name = "yolo_head"

    @property
    def nms_owner(self) -> object:
        return self.model.yolo_head

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [*self.model.yolo_head.pred_cls, *self.model.yolo_head.pred_reg]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [*self.model.yolo_head.stem_reg, *self.model.yolo_head.pred_reg]

    def level_lengths(self, watch: Watch) -> list[int]:
        """Returns the number of cells of each level."""
        return [logits.shape[2] * logits.shape[3] for logits in self._logits(watch)]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the source's level."""
        _, _, height, width = self._logits(watch)[source.level].shape
        return height, width

    def outputs(self, watch: Watch, sources: Sequence[Source], *, boxes: bool = False, image: int = 0) -> HeadOutputs:
        """Returns the cells' logits, their sigmoids, and their boxes from the distances' expected values."""
        grids = self._logits(watch)
        logits = paddle.stack([_of_cell(grids[source.level], source, image) for source in sources])
        return HeadOutputs(
            probabilities=F.sigmoid(logits),
            logits=logits,
            boxes_xyxy=paddle.stack([self._box(watch, source, image) for source in sources]) if boxes else None,
        )

    def _logits(self, watch: Watch) -> list[paddle.Tensor]:
        return [watch.outputs[layer][-1] for layer in self.model.yolo_head.pred_cls]

    def _box(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns [1, 4]: the cell's centre, less and plus the expected distances of the four sides, in strides."""
        head = self.model.yolo_head
        grid = watch.outputs[head.pred_reg[source.level]][-1]
        bins = _of_cell(grid, source, image).reshape([4, head.reg_channels])
        distances = (F.softmax(bins, axis=-1) * head.proj_conv.weight.flatten()).sum(axis=-1)
        row, column = divmod(source.position, int(grid.shape[3]))
        centre = paddle.to_tensor([column, row, column, row], dtype="float32") + head.grid_cell_offset
        outwards = paddle.to_tensor([-1.0, -1.0, 1.0, 1.0])
        return ((centre + outwards * distances) * float(head.fpn_strides[source.level])).unsqueeze(0)


def _of_cell(grid: paddle.Tensor, source: Source, image: int) -> paddle.Tensor:
    """Returns the channels of a cell of [images, channels, h, w]."""
    row, column = divmod(source.position, int(grid.shape[3]))
    return grid[image, :, row, column]
