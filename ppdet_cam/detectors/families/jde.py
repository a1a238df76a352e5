"""JDE's YOLOv3, which its trackers are given: one class, whose score is a softmax of two numbers per anchor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F

from ppdet_cam.detectors.capture import Watch, replaced_methods
from ppdet_cam.detectors.families.base import Source, extracts
from ppdet_cam.detectors.families.last_step import KeepRule, LastStep, ReachedLastStep, nms_rule, recording_nms
from ppdet_cam.detectors.families.yolov3 import YOLOv3Extractor
from ppdet_cam.structures import Candidates, HeadOutputs, ImageGeometry, Quantity


@extracts("YOLOv3", head_type="JDEBBoxPostProcess")
class JDEExtractor(YOLOv3Extractor):
    """Rows count as YOLOv3's: levels from coarse to fine, within a level anchors first, then cells.

    ppdet's post-processing decodes one image and gives NMS the anchors above a threshold only; it is asked image by
    image here, and every anchor is a candidate. The tracker scales the boxes back to the image and rounds them.
    """

    @property
    def quantities(self) -> frozenset[Quantity]:
        return frozenset({Quantity.PROBABILITIES, Quantity.LOGITS, Quantity.BOXES})

    @property
    def keep_rule(self) -> KeepRule:
        """NMS's, with the threshold that an anchor needs to reach it."""
        rule = nms_rule(self.nms_owner.nms)  # type: ignore[attr-defined]
        threshold = float(self.model.post_process.decode.conf_thresh)
        return KeepRule(max(rule.score_threshold, threshold), rule.iou_threshold)

    @contextlib.contextmanager
    def last_step(self, *, stop: bool = False) -> Iterator[LastStep]:
        """Notes all anchors, and those that NMS keeps among the ones above the threshold."""
        own, record = self.model.post_process, LastStep()

        def post_process(levels: Sequence[paddle.Tensor], anchors: object) -> tuple[paddle.Tensor, ...]:
            images = range(int(levels[0].shape[0]))
            decoded = [own.decode([level[image : image + 1] for level in levels], anchors) for image in images]
            values = np.concatenate([all_anchors.numpy() for _, all_anchors in decoded])
            record.boxes, record.scores = values[:, :, :4], values[:, :, 4:].transpose(0, 2, 1)
            if stop:
                raise ReachedLastStep
            with recording_nms(own) as of_nms:
                result: tuple[paddle.Tensor, ...] = own(levels, anchors)
            above = decoded[0][0].numpy().reshape(-1, 2)[:, 1]
            record.rows, record.index = of_nms.rows, above[of_nms.index] if len(above) else of_nms.index[:0]
            return result

        with replaced_methods(self.model, post_process=post_process):
            yield record

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns one box per anchor, scaled back as the tracker does, but neither clipped nor rounded."""
        return Candidates(self._scaled_back(record.boxes[image], image)[:, None], record.scores[image].T)

    def output_rows(self, outputs: Mapping[str, paddle.Tensor]) -> np.ndarray:
        """Returns the detections with the boxes as the tracker takes them: in whole pixels of the image."""
        rows = outputs["bbox"].numpy()
        boxes = self._scaled_back(rows[:, 2:], 0)
        rows[:, 2:] = np.round(np.clip(boxes, 0, boxes.max(initial=0.0)))
        return rows

    def _scaled_back(self, boxes: np.ndarray, image: int) -> np.ndarray:
        """Returns boxes of the network input in original pixels, by ppdet's numbers of the letter box."""
        height, width = self.model.inputs["image"].shape[2:]
        image_height, image_width = (int(length) for length in self.model.inputs["im_shape"][image])
        pad_x, pad_y = (width - image_width) / 2, (height - image_height) / 2
        ratio = self.model.inputs["scale_factor"][image].numpy()[0]
        return (boxes - np.array([pad_x, pad_y, pad_x, pad_y], np.float32)) / ratio

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the difference of foreground and background, its sigmoid, and boxes."""
        values = paddle.stack([self._values(watch, source, image) for source in sources])
        logits = values[:, 5:6] - values[:, 4:5]
        return HeadOutputs(
            probabilities=F.sigmoid(logits),
            logits=logits,
            boxes_xyxy=paddle.stack([self._box(watch, source, image) for source in sources])
            if wanted is Quantity.BOXES
            else None,
        )

    def _box(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns [1, 4]: the cell's corner moved by parts of the anchor, the anchor's size times exponentials."""
        head = self.model.yolo_head
        values = self._values(watch, source, image)
        anchor, cell = self._anchor_and_cell(watch, source)
        row, column = divmod(cell, self.grid_hw(watch, source)[1])
        stride = self.model.post_process.decode.downsample_ratio // 2**source.level
        size = paddle.to_tensor(head.anchors[source.level][anchor], dtype="float32")
        centre = paddle.to_tensor([column, row], dtype="float32") * stride + values[:2] * size
        half = 0.5 * paddle.exp(values[2:4]) * size
        return paddle.concat([centre - half, centre + half]).unsqueeze(0)
