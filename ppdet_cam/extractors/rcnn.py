"""Faster R-CNN and Mask R-CNN: softmax scores per RoI, the background's column last."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn
from ppdet.modeling.architectures.faster_rcnn import FasterRCNN

from ppdet_cam.capture import Watch, replaced_methods
from ppdet_cam.extractors.base import Extractor, KeptRow, NmsRecord, check_scores, extracts


@extracts("FasterRCNN", head_type="BBoxHead")
class RCNNExtractor(Extractor):
    """The second stage is run once more on the detected RoIs only, instead of through all proposals.

    A RoI's row goes through the head by itself, so its score and gradient are the same; the proposals are taken
    as given, as ppdet's operators have no gradient with respect to them.
    """

    head_name = "bbox_head"

    @property
    def nms_owner(self) -> object:
        return self.model.bbox_post_process

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.bbox_head]

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        return [self.model.rpn_head, self.model.bbox_head]

    @property
    def roi_head(self) -> nn.Layer:
        return self.model.bbox_head

    def kept_rows(self, record: NmsRecord) -> list[KeptRow]:
        """Returns row and class; the operator's index counts row x class over [M, classes], background left out."""
        classes = record.scores.shape[1]
        kept = [KeptRow(int(index) // classes, int(index) % classes) for index in record.index]
        check_scores([record.scores[k.row, k.class_id] for k in kept], record.rows[:, 1], tolerance=0.0)
        check_scores([k.class_id for k in kept], record.rows[:, 0], tolerance=0.0)
        return kept

    def score(self, watch: Watch, kept: KeptRow) -> paddle.Tensor:
        """Returns the class score of one RoI from the features of its own pyramid level."""
        features, rois = self._second_stage_inputs(watch)
        roi = rois[kept.row : kept.row + 1]
        return self._probabilities(self._own_level_only(features, roi), roi)[0, kept.class_id]

    def roi_scores(self, watch: Watch, kept: Sequence[KeptRow]) -> paddle.Tensor:
        """Returns [K] class scores, row k from a copy of candidate k's RoI: no two scores share a RoI row."""
        features, rois = self._second_stage_inputs(watch)
        chosen = paddle.gather(rois, paddle.to_tensor([k.row for k in kept], dtype="int64"))
        probabilities = self._probabilities(features, chosen)
        columns = paddle.to_tensor([[k.class_id] for k in kept], dtype="int64")
        return paddle.take_along_axis(probabilities, columns, axis=1).flatten()

    def roi_boxes(self, watch: Watch, kept: Sequence[KeptRow]) -> np.ndarray:
        """Returns float32 [K, 4], the pooled proposals in network input pixels."""
        _, rois = self._second_stage_inputs(watch)
        return rois.numpy()[[k.row for k in kept]]

    def _second_stage_inputs(self, watch: Watch) -> tuple[list[paddle.Tensor], paddle.Tensor]:
        features, rois = watch.inputs[self.model.bbox_head][0][:2]
        return list(features), rois[0]

    def _probabilities(self, features: list[paddle.Tensor], rois: paddle.Tensor) -> paddle.Tensor:
        count = paddle.to_tensor([rois.shape[0]], dtype="int32")
        (_, probabilities), _ = self.model.bbox_head(features, [rois], count, None)
        return probabilities

    def _own_level_only(self, features: list[paddle.Tensor], roi: paddle.Tensor) -> list[paddle.Tensor]:
        """Returns the features with the graph of every level cut from which this RoI is not pooled.

        Such a level gives the RoI nothing, so its gradient is zero; cut, it also costs nothing.
        """
        extractor = self.model.bbox_head.roi_extractor
        if type(extractor).__name__ != "RoIAlign" or len(features) == 1:
            return features
        lowest, highest = extractor.start_level + 2, extractor.end_level + 2
        one = paddle.to_tensor([1], dtype="int32")
        per_level, _, _ = paddle.vision.ops.distribute_fpn_proposals(
            roi, lowest, highest, extractor.canconical_level, extractor.canonical_size, rois_num=one
        )
        used = {extractor.start_level + i for i, rois in enumerate(per_level) if rois.shape[0] > 0}
        return [feature if level in used else feature.detach() for level, feature in enumerate(features)]


@extracts("MaskRCNN", head_type="BBoxHead")
class MaskRCNNExtractor(RCNNExtractor):
    """Boxes and scores are Faster R-CNN's; the masks are drawn from them afterwards, and cost most of the time."""

    def boxes_only(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model runs as the Faster R-CNN that it contains."""
        return replaced_methods(
            self.model,
            get_pred=functools.partial(FasterRCNN.get_pred, self.model),
            _forward=functools.partial(FasterRCNN._forward, self.model),
        )
