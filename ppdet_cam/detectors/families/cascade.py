"""Cascade R-CNN, also with masks: RoIs that move from stage to stage, softmax scores averaged over the stages."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn
from ppdet.modeling.bbox_utils import delta2bbox

from ppdet_cam.detectors.capture import Watch, replaced_methods, watching
from ppdet_cam.detectors.families.base import Box, Source, extracts
from ppdet_cam.detectors.families.first_stage import rpn_layers
from ppdet_cam.detectors.families.pooling import box_of
from ppdet_cam.detectors.families.rcnn import RCNNExtractor, rois_of
from ppdet_cam.structures import HeadOutputs, Quantity


@extracts("CascadeRCNN", head_type="CascadeHead")
class CascadeExtractor(RCNNExtractor):
    """The RoIs of all stages are taken as given, as the proposals are: pooling has no gradient in their position."""

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.bbox_head, self.model.bbox_head.roi_extractor, *rpn_layers(self.model.rpn_head)]

    @property
    def mask_layers(self) -> Sequence[nn.Layer]:
        return [self.model.mask_head] if self.model.with_mask else []

    def boxes_only(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model has no masks."""
        return contextlib.nullcontext() if not self.model.with_mask else replaced_methods(self.model, with_mask=False)

    def source(self, watch: Watch, row: int) -> Source:
        """Returns the RoIs of a row in every stage; the last one is its own."""
        stages = [call[1][0][row].numpy() for call in watch.inputs[self.model.bbox_head.roi_extractor]]
        rois = tuple(box_of(roi) for roi in stages)
        return Source(self._level(rois[-1]), 0, rois[-1], rois)

    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns, for each feature map that RoIs are pooled from, a RoI of its size, which stays in its place."""
        stages = self.model.bbox_head.num_cascade_stages
        return [
            Source(source.level, 0, source.roi_xyxy, (source.roi_xyxy,) * stages)
            for source in super().a_source_per_level(watch)
            if source.roi_xyxy is not None
        ]

    def roi_seen(self, source: Source, layer: nn.Layer, call: int) -> Box | None:
        """Returns the RoI of the stage that the layer ran in: its own, one stage's after the other's, the mask's."""
        if self.makes_masks(layer):
            return super().roi_seen(source, layer, call)
        for stage, head in enumerate(self.model.bbox_head.head.head_list):
            if layer in set(head.sublayers(include_self=True)):
                return source.stage_rois[stage]
        return source.stage_rois[call]

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the stages' mean class probabilities, their mean logits, and the boxes that the last stage gives."""
        head = self.model.bbox_head
        features = self._features(watch, sources, wanted, image)
        stages = [
            paddle.to_tensor(np.array([source.stage_rois[stage] for source in sources], np.float32))
            for stage in range(head.num_cascade_stages)
        ]
        count = paddle.to_tensor([len(sources)], dtype="int32")
        later = iter(stages[1:])

        def given(_boxes: object, _shapes: object) -> tuple[list[paddle.Tensor], paddle.Tensor]:
            return [next(later)], count

        with watching(head.bbox_score_list) as scoring, replaced_methods(head, _get_rois_from_boxes=given):
            (deltas, probabilities), _ = head(features, [stages[0]], count, watch.inputs[head][0][3])
        logits = paddle.stack([scoring.outputs[layer][-1] for layer in head.bbox_score_list]).mean(axis=0)
        weights = self.model.bbox_post_process.decode.prior_box_var
        decoded = delta2bbox(deltas, stages[-1], weights) if wanted is Quantity.BOXES else None
        more = self._more(watch, sources, wanted, image, features)
        return HeadOutputs(probabilities[:, :-1], logits[:, :-1], decoded, **more)

    def _levels_used(self, source: Source) -> set[int]:
        return {self._level(roi) for roi in source.stage_rois}

    def first_rois(self, sources: Sequence[Source]) -> paddle.Tensor:
        """Returns the proposals that became these RoIs."""
        return rois_of([Source(0, 0, source.stage_rois[0]) for source in sources])
