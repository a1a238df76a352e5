"""YOLOv3, PP-YOLO and PP-YOLO tiny: objectness times class probability, a row per anchor and cell."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import DenseExtractor, Source, extracts
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("YOLOv3", head_type="YOLOv3Head")
class YOLOv3Extractor(DenseExtractor):
    """Everything is decoded here, from the head's own level: paddle's `yolo_box` has no gradient.

    Levels go from coarse to fine; within a level, rows count anchors first, then cells.
    """

    head_name = "yolo_head"

    @property
    def nms_owner(self) -> object:
        return self.model.post_process

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.yolo_head, *self.model.yolo_head.yolo_outputs]

    @property
    def quantities(self) -> frozenset[Quantity]:
        """With IoU awareness the head also predicts the box's quality."""
        iou = {Quantity.QUALITY} if self.model.yolo_head.iou_aware else set()
        return super().quantities | {Quantity.OBJECTNESS} | iou

    def level_lengths(self, watch: Watch) -> list[int]:
        """Returns anchors x cells of each level."""
        head = self.model.yolo_head
        return [
            len(anchors) * int(output.shape[2]) * int(output.shape[3])
            for anchors, output in zip(head.anchors, watch.outputs[head][-1])
        ]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the source's level."""
        _, _, height, width = watch.outputs[self.model.yolo_head][-1][source.level].shape
        return height, width

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns class logits, sigmoid(objectness) * sigmoid(class logit), boxes, objectness and predicted IoU."""
        values = paddle.stack([self._values(watch, source, image) for source in sources])
        # with IoU awareness the head has mixed the predicted IoU into the objectness that the score is made of
        raw = [self._raw_objectness_and_iou(watch, source, image) for source in sources]
        qualities = [quality for _, quality in raw if quality is not None]
        logits = values[:, 5:]
        return HeadOutputs(
            probabilities=F.sigmoid(values[:, 4:5]) * F.sigmoid(logits),
            logits=logits,
            boxes_xyxy=paddle.stack([self._box(watch, source, image) for source in sources])
            if wanted is Quantity.BOXES
            else None,
            objectness=paddle.stack([objectness for objectness, _ in raw]),
            quality=paddle.stack(qualities) if qualities else None,
        )

    def _anchor_and_cell(self, watch: Watch, source: Source) -> tuple[int, int]:
        height, width = self.grid_hw(watch, source)
        return divmod(source.position, height * width)

    def _values(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns an anchor's channels in one cell: 4 for the box, objectness, then the classes."""
        head = self.model.yolo_head
        anchor, cell = self._anchor_and_cell(watch, source)
        output = watch.outputs[head][-1][source.level][image].flatten(1)
        return output.reshape([len(head.anchors[source.level]), -1, output.shape[-1]])[anchor, :, cell]

    def _raw_objectness_and_iou(
        self, watch: Watch, source: Source, image: int
    ) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        head = self.model.yolo_head
        if not head.iou_aware:
            return F.sigmoid(self._values(watch, source, image)[4]), None
        anchors = len(head.anchors[source.level])
        anchor, cell = self._anchor_and_cell(watch, source)
        raw = watch.outputs[head.yolo_outputs[source.level]][-1]
        raw = (raw.transpose([0, 3, 1, 2]) if head.data_format == "NHWC" else raw)[image].flatten(1)
        objectness = raw[anchors:].reshape([anchors, -1, raw.shape[-1]])[anchor, 4, cell]
        return F.sigmoid(objectness), F.sigmoid(raw[anchor, cell])

    def _box(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns [1, 4]: the cell moved by sigmoids, the anchor's size times exponentials; before clipping."""
        head, decode = self.model.yolo_head, self.model.post_process.decode
        values = self._values(watch, source, image)
        anchor, cell = self._anchor_and_cell(watch, source)
        row, column = divmod(cell, self.grid_hw(watch, source)[1])
        stride = decode.downsample_ratio // 2**source.level
        corner = paddle.to_tensor([column, row], dtype="float32") - 0.5 * (decode.scale_x_y - 1)
        centre = (corner + decode.scale_x_y * F.sigmoid(values[:2])) * stride
        half = 0.5 * paddle.exp(values[2:4]) * paddle.to_tensor(head.anchors[source.level][anchor], dtype="float32")
        return paddle.concat([centre - half, centre + half]).unsqueeze(0)
