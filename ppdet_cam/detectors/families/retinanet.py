"""RetinaNet: sigmoid scores; before NMS each level keeps only its best anchors, so a row is not an anchor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from ppdet.modeling.bbox_utils import delta2bbox

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import DenseExtractor, Source, extracts
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("RetinaNet", head_type="RetinaHead")
class RetinaNetExtractor(DenseExtractor):
    """Everything comes from the box's own level; its top-k is done once more to find the anchor."""

    head_name = "head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.head]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [self.model.head.retina_reg]

    def level_lengths(self, watch: Watch) -> list[int]:
        """Returns how many anchors each level keeps for NMS."""
        classes = self.model.head.num_classes
        lengths = [int(np.prod(logits.shape[1:])) // classes for logits in self.level_outputs(watch)[0]]
        limit = self.model.head.nms_pre
        return lengths if limit is None else [min(length, limit) for length in lengths]

    def source(self, watch: Watch, row: int) -> Source:
        """Returns the anchor of a row."""
        kept = super().source(watch, row)
        logits = self.level_outputs(watch)[0][kept.level]
        limit, classes = self.model.head.nms_pre, self.model.head.num_classes
        if limit is None or int(np.prod(logits.shape[1:])) // classes <= limit:
            return kept
        with paddle.no_grad():
            _, best = logits[0].transpose([1, 2, 0]).reshape([-1, classes]).max(axis=1).topk(limit)
        return Source(kept.level, int(best[kept.position]))

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the source's level."""
        _, _, height, width = self.level_outputs(watch)[0][source.level].shape
        return height, width

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the anchors' logits, their sigmoids, and their decoded boxes."""
        level_logits, _ = self.level_outputs(watch)
        logits = paddle.stack(
            [of_anchor(level_logits, source, self.model.head.num_classes, image) for source in sources]
        )
        return HeadOutputs(
            probabilities=F.sigmoid(logits),
            logits=logits,
            boxes_xyxy=paddle.stack([self.box(watch, source, image) for source in sources])
            if wanted is Quantity.BOXES
            else None,
        )

    def level_outputs(self, watch: Watch) -> tuple[list[paddle.Tensor], list[paddle.Tensor]]:
        """Returns each level's logits, [images, anchors x classes, h, w], and offsets, [images, anchors x 4, h, w]."""
        logits, offsets = watch.outputs[self.model.head][-1]
        return logits, offsets

    def box(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns [1, 4]: the anchor moved by its offsets."""
        level_logits, level_offsets = self.level_outputs(watch)
        anchor = self.model.head.anchor_generator(level_logits)[source.level][source.position]
        offsets = of_anchor(level_offsets, source, 4, image)
        return delta2bbox(offsets.unsqueeze(0), anchor.unsqueeze(0), self.model.head.weights)[0]


def of_anchor(grids: Sequence[paddle.Tensor], source: Source, numbers: int, image: int) -> paddle.Tensor:
    """Returns an anchor's numbers out of [images, anchors x numbers, h, w]; positions count anchors cell by cell."""
    _, channels, _, width = grids[source.level].shape
    cell, anchor = divmod(source.position, channels // numbers)
    row, column = divmod(cell, width)
    return grids[source.level][image, anchor * numbers : (anchor + 1) * numbers, row, column]
