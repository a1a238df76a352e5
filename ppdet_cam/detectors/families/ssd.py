"""SSD and BlazeFace: softmax scores over the classes and a last column for the background."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import DenseExtractor, Source, extracts
from ppdet_cam.structures import CellStrides, HeadOutputs, Quantity


@extracts("SSD", head_type="SSDHead")
class SSDExtractor(DenseExtractor):
    """Everything comes from the box's own level."""

    head_name = "ssd_head"
    background_columns = 1

    @property
    def _head(self) -> nn.Layer:
        return getattr(self.model, self.head_name)

    @property
    def nms_owner(self) -> object:
        return self.model.post_process

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self._head]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return list(self._head.box_convs)

    def cell_strides(self, watch: Watch, padded_hw: tuple[int, int]) -> CellStrides:
        """Returns the anchors' steps; a step of 0 spreads a level's anchors evenly over the network input."""
        steps = self._head.anchor_generator.steps
        return {
            grid_hw: (float(step), float(step)) if step else (padded_hw[0] / grid_hw[0], padded_hw[1] / grid_hw[1])
            for grid_hw, step in zip(self._grids(watch), steps)
        }

    def level_lengths(self, watch: Watch) -> list[int]:
        """Returns the number of anchors of each level."""
        (_, level_logits), _ = watch.outputs[self._head][-1]
        return [logits.shape[1] for logits in level_logits]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the source's level: the head reads each feature map at every cell."""
        (_, level_logits), _ = watch.outputs[self._head][-1]
        anchors = self._head.num_priors[source.level]
        cells = level_logits[source.level].shape[1] // anchors
        grids = [grid_hw for grid_hw in self._grids(watch) if grid_hw[0] * grid_hw[1] == cells]
        return grids[0] if grids else (1, cells)

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the anchors' class logits without the background's, the softmax over both, and the decoded boxes."""
        (_, level_logits), _ = watch.outputs[self._head][-1]
        logits = paddle.stack([level_logits[source.level][image, source.position] for source in sources])
        return HeadOutputs(
            probabilities=F.softmax(logits, axis=-1)[:, :-1],
            logits=logits[:, :-1],
            boxes_xyxy=paddle.stack([self._box(watch, source, image) for source in sources])
            if wanted is Quantity.BOXES
            else None,
        )

    def _grids(self, watch: Watch) -> list[tuple[int, int]]:
        features = watch.inputs[self._head][-1][0]
        return [(int(feature.shape[2]), int(feature.shape[3])) for feature in features]

    def _box(self, watch: Watch, source: Source, image: int) -> paddle.Tensor:
        """Returns [1, 4], as ppdet's SSDBox decodes it, before its scaling to the original image."""
        (level_offsets, _), priors = watch.outputs[self._head][-1]
        decode = self.model.post_process.decode
        extra = 0.0 if decode.is_normalized else 1.0
        prior = priors[source.level][source.position]
        size = prior[2:] - prior[:2] + extra
        centre = prior[:2] + 0.5 * size
        offsets = level_offsets[source.level][image, source.position] * paddle.to_tensor(decode.prior_box_var)
        new_centre, new_half = centre + offsets[:2] * size, 0.5 * paddle.exp(offsets[2:]) * size
        box = paddle.concat([new_centre - new_half, new_centre + new_half - extra])
        if decode.is_normalized:
            _, _, height, width = watch.inputs[self._head][-1][1].shape
            box = box * paddle.to_tensor([width, height, width, height], dtype="float32")
        return box.unsqueeze(0)


@extracts("BlazeFace", head_type="FaceHead")
class BlazeFaceExtractor(SSDExtractor):
    """The same from BlazeFace's head."""

    head_name = "blaze_head"
