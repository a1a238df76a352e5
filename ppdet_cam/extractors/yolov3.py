"""YOLOv3, PP-YOLO and PP-YOLO tiny: objectness times class probability, a row per anchor and cell."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.capture import Watch
from ppdet_cam.extractors.base import DenseExtractor, KeptRow, extracts, level_of


@extracts("YOLOv3", head_type="YOLOv3Head")
class YOLOv3Extractor(DenseExtractor):
    """The score is decoded here, from the head's own level: paddle's `yolo_box` has no gradient.

    Levels go from coarse to fine; within a level, rows count anchors first, then cells.
    """

    head_name = "yolo_head"

    @property
    def nms_owner(self) -> object:
        return self.model.post_process

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.yolo_head]

    def score(self, watch: Watch, kept: KeptRow) -> paddle.Tensor:
        """Returns sigmoid(objectness) * sigmoid(class logit) of one anchor in one cell."""
        head = self.model.yolo_head
        outputs = watch.outputs[head][-1]
        anchors = [len(level_anchors) for level_anchors in head.anchors]
        cells = [int(output.shape[2]) * int(output.shape[3]) for output in outputs]
        level, row = level_of(kept.row, [count * area for count, area in zip(anchors, cells)])
        anchor, cell = divmod(row, cells[level])
        # an anchor's channels: 4 for the box, objectness (with IoU awareness mixed in by the head), then the classes
        values = outputs[level][0].reshape([anchors[level], -1, cells[level]])[anchor, :, cell]
        return F.sigmoid(values[4]) * F.sigmoid(values[5 + kept.class_id])
