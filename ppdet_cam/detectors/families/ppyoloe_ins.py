"""PP-YOLOE-Ins: PP-YOLOE with a mask per box, a mix of maps that all boxes share (PaddleDetection's develop branch)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.capture import Watch, replaced_methods
from ppdet_cam.detectors.families.base import Box, MaskPlace, Source, extracts, of_cells
from ppdet_cam.detectors.families.last_step import LastStep
from ppdet_cam.detectors.families.masks import covered, mean_in_masks
from ppdet_cam.detectors.families.pooling import box_of
from ppdet_cam.detectors.families.ppyoloe import PPYOLOEExtractor
from ppdet_cam.structures import Candidates, HeadOutputs, ImageGeometry, Quantity


@extracts("YOLOv3", "PPYOLOE", head_type="PPYOLOEInsHead")
class PPYOLOEInsExtractor(PPYOLOEExtractor):
    """Boxes and scores as PP-YOLOE's; a mask's logits are its cell's coefficients times the maps, within its box."""

    recommended_layers = (
        *PPYOLOEExtractor.recommended_layers,
        ("model.yolo_head.proto", "what all masks are mixed from, for the target mask"),
    )

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.yolo_head
        return [*super().watched, *head.pred_ins, head.proto]

    @property
    def quantities(self) -> frozenset[Quantity]:
        return super().quantities | {Quantity.MASK}

    def boxes_only(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which no mask is enlarged and cut to its box."""
        head = self.model.yolo_head

        def post_process(
            outputs: Sequence[paddle.Tensor], im_shape: paddle.Tensor, scale_factor: paddle.Tensor, **_: object
        ) -> tuple[object, ...]:
            scores, distances, _, _, points, strides = outputs
            boxes = paddle.concat([points - distances[..., :2], points + distances[..., 2:]], axis=-1) * strides
            rows, count, index = head.nms(boxes, scores)
            rows[:, 2:] /= scale_factor.flip(-1).tile([1, 2])
            return rows, count, None, index

        return replaced_methods(head, post_process=post_process)

    def output_rows(self, outputs: Mapping[str, paddle.Tensor]) -> np.ndarray:
        """Returns the detections; ppdet's row of zeros for an image without any is marked as none."""
        rows = outputs["bbox"].numpy()
        if len(rows) == 1 and not rows.any():
            rows[0, 0] = -1
        return rows

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns one box per cell; this NMS works in network input pixels, which are scaled back here."""
        found = super().candidates(record, geometry, image=image)
        scale = np.array([*geometry.scale_yx[::-1], *geometry.scale_yx[::-1]], np.float32)
        return dataclasses.replace(found, boxes_xyxy=found.boxes_xyxy / scale)

    def located(self, watch: Watch, source: Source, class_id: int, *, wanted: Quantity) -> Source:
        """Returns a source with the pixels of its mask, which end at its box."""
        if wanted is not Quantity.MASK or source.mask is not None:
            return source
        with paddle.no_grad():
            boxes = self._boxes(watch, [source], 0)
            (logits,) = self._mask_logits(watch, [source], 0).numpy()
        box = box_of(boxes[0, 0].numpy())
        pixels = covered(_within(logits, box, self._mask_stride(watch)), self.model.yolo_head.mask_thr_binary)
        return dataclasses.replace(source, mask=MaskPlace(class_id, None, pixels))

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the cells' logits, sigmoids, boxes, and their masks' logits."""
        said = super().outputs(watch, sources, wanted=wanted, image=image)
        if wanted is not Quantity.MASK:
            return said
        return dataclasses.replace(said, mask=mean_in_masks(self._mask_logits(watch, sources, image), sources))

    def _mask_logits(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        coefficients = of_cells([watch.outputs[layer][-1] for layer in self.model.yolo_head.pred_ins], sources, image)
        maps = watch.outputs[self.model.yolo_head.proto][-1][image]
        return (coefficients @ maps.flatten(1)).reshape([len(sources), *maps.shape[1:]])

    def _mask_stride(self, watch: Watch) -> float:
        """Returns the network input pixels per pixel of the masks' grid, which is finer than the finest level's."""
        finest = min(range(len(self.level_lengths(watch))), key=lambda level: self.model.yolo_head.fpn_strides[level])
        cells = int(self.class_logits(watch)[finest].shape[2])
        return (
            self.model.yolo_head.fpn_strides[finest]
            * cells
            / int(watch.outputs[self.model.yolo_head.proto][-1].shape[2])
        )


def _within(logits: np.ndarray, box: Box, stride: float) -> np.ndarray:
    """Returns a mask's logits, minus infinity where a pixel's middle lies outside of the box; of none inside, as given.

    Args:
        logits: [h, w].
        box: network input pixels.
        stride: network input pixels per pixel of the mask.
    """
    left, top, right, bottom = (value / stride for value in box)
    rows, columns = (np.arange(length) + 0.5 for length in logits.shape)
    inside = np.outer((rows >= top) & (rows < bottom), (columns >= left) & (columns < right))
    return np.where(inside, logits, -np.inf) if inside.any() else logits
