"""Faster R-CNN and Mask R-CNN: softmax scores per RoI, the background's column last."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn
from ppdet.modeling.architectures.faster_rcnn import FasterRCNN
from ppdet.modeling.bbox_utils import delta2bbox

from ppdet_cam.detectors.capture import Watch, replaced_methods, watching
from ppdet_cam.detectors.families.base import Box, Extractor, KeptRow, Source, check_scores, extracts
from ppdet_cam.detectors.families.last_step import LastStep
from ppdet_cam.structures import Candidates, HeadOutputs, ImageGeometry, Quantity


@extracts("FasterRCNN", head_type="BBoxHead")
class RCNNExtractor(Extractor):
    """The second stage is run once more on the chosen RoIs only, instead of on all proposals.

    A RoI's row goes through the head by itself, so its score and gradient are the same; the proposals are taken
    as given, as ppdet's operators have no gradient with respect to them.
    """

    head_name = "bbox_head"
    recommended_layers = (
        *Extractor.recommended_layers,
        ("model.bbox_head.roi_extractor", "what the second stage sees of the proposal: fast, nothing outside of it"),
    )

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

    def on_sources(self, sources: Sequence[Source]) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the first stage proposes these RoIs on every image, and does not run."""
        rois = self.first_rois(sources)
        count = paddle.to_tensor([len(sources)], dtype="int32")

        def propose(features: Sequence[paddle.Tensor], inputs: object) -> tuple[object, ...]:
            images = int(features[0].shape[0])
            return [rois] * images, paddle.tile(count, [images]), None

        return replaced_methods(self.model.rpn_head, forward=propose)

    def first_rois(self, sources: Sequence[Source]) -> paddle.Tensor:
        """Returns float32 [K, 4], what the first stage has to propose for these sources."""
        return rois_of(sources)

    def proposals(self, watch: Watch) -> np.ndarray:
        """Returns float32 [R, 4], what the RPN proposed, in network input pixels."""
        return watch.inputs[self.model.bbox_head][0][1][0].numpy()

    def kept_rows(self, record: LastStep) -> list[KeptRow]:
        """Returns row and class; the operator's index counts row x class over [M, classes], background left out."""
        classes = record.scores.shape[1]
        kept = [
            KeptRow(int(index) // classes, int(index) % classes, float(score))
            for index, score in zip(record.index, record.rows[:, 1])
        ]
        check_scores([record.scores[k.row, k.class_id] for k in kept], record.rows[:, 1], tolerance=0.0)
        check_scores([k.class_id for k in kept], record.rows[:, 0], tolerance=0.0)
        return kept

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns a box per RoI and class; this NMS works in network input pixels, which are scaled back here."""
        start = int(record.counts[:image].sum())
        rows = slice(start, start + int(record.counts[image]))
        (scale_y, scale_x), (offset_y, offset_x) = geometry.scale_yx, geometry.offset_yx
        offset = np.array([offset_x, offset_y, offset_x, offset_y], np.float32)
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        return Candidates((record.boxes[rows] - offset) / scale, record.scores[rows])

    def source(self, watch: Watch, row: int) -> Source:
        """Returns the RoI of a row."""
        roi = self.proposals(watch)[row]
        left, top, right, bottom = (float(value) for value in roi)
        return Source(self._level(roi), 0, (left, top, right, bottom))

    def pooled_xyxy(self, roi: Box) -> Box:
        """Returns the proposal, moved and enlarged as RoIAlign does.

        Where it is not aligned, the proposal's corners count from the middle of the feature map's first cell instead of
        its edge, which is half a cell further: `aligned` of paddle.vision.ops.roi_align. PaddleDetection's develop
        branch does so whatever the config says. No RoI is smaller than a cell of the feature map.
        """
        extractor = self.model.bbox_head.roi_extractor
        if not self._levels_are_known:
            return roi
        scales = extractor.spatial_scale
        cell = 1.0 / float(scales[self._level(np.array(roi, np.float32)) if len(scales) > 1 else 0])
        shift = 0.0 if extractor.aligned else cell / 2
        left, top, right, bottom = roi
        width, height = max(right - left, cell), max(bottom - top, cell)
        return left + shift, top + shift, left + shift + width, top + shift + height

    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns, for each feature map that RoIs are pooled from, a RoI of the size that is pooled from it."""
        extractor = self.model.bbox_head.roi_extractor
        sides = [32.0]
        if self._levels_are_known and len(extractor.spatial_scale) > 1:
            levels = range(extractor.start_level + 2, extractor.end_level + 3)
            sides = [1.1 * extractor.canonical_size * 2.0 ** (level - extractor.canconical_level) for level in levels]
        return [Source(position, 0, (0.0, 0.0, side, side)) for position, side in enumerate(sides)]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the feature map that the RoI is pooled from."""
        _, _, height, width = watch.inputs[self.model.bbox_head][0][0][source.level].shape
        return height, width

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns what the second stage says of each RoI, one row each: no two sources share a RoI row."""
        head = self.model.bbox_head
        features = [feature[image : image + 1] for feature in watch.inputs[head][0][0]]
        if len(sources) == 1 and self._levels_are_known:
            features = _with_graph_of_one(features, sources[0].level)
        rois = rois_of(sources)
        count = paddle.to_tensor([len(sources)], dtype="int32")
        with watching([head.bbox_score]) as scoring:
            (deltas, probabilities), _ = head(features, [rois], count, None)
        decoded = (
            delta2bbox(deltas, rois, self.model.bbox_post_process.decode.prior_box_var)
            if wanted is Quantity.BOXES
            else None
        )
        return HeadOutputs(probabilities[:, :-1], scoring.outputs[head.bbox_score][-1][:, :-1], decoded)

    @property
    def _levels_are_known(self) -> bool:
        return type(self.model.bbox_head.roi_extractor).__name__ == "RoIAlign"

    def _level(self, roi: np.ndarray) -> int:
        """Returns the position of the feature map that a RoI is pooled from; 0 where that is not known."""
        extractor = self.model.bbox_head.roi_extractor
        if not self._levels_are_known or len(extractor.spatial_scale) == 1:
            return 0
        per_level, _, _ = paddle.vision.ops.distribute_fpn_proposals(
            paddle.to_tensor(roi[None]),
            extractor.start_level + 2,
            extractor.end_level + 2,
            extractor.canconical_level,
            extractor.canonical_size,
            rois_num=paddle.to_tensor([1], dtype="int32"),
        )
        used = next(level for level, rois in enumerate(per_level) if rois.shape[0] > 0)
        return int(extractor.start_level) + used


def _with_graph_of_one(features: list[paddle.Tensor], own: int) -> list[paddle.Tensor]:
    """Returns the features with the graph of every level cut from which the RoI is not pooled.

    Such a level gives the RoI nothing, so its gradient is zero; cut, it also costs nothing.
    """
    return [feature if level == own else feature.detach() for level, feature in enumerate(features)]


def rois_of(sources: Sequence[Source]) -> paddle.Tensor:
    """Returns float32 [K, 4], the sources' RoIs."""
    return paddle.to_tensor(np.array([source.roi_xyxy for source in sources], np.float32))


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
