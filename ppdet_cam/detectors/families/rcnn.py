"""Faster R-CNN and Mask R-CNN: softmax scores per RoI, the background's column last."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn
from ppdet.modeling.architectures.faster_rcnn import FasterRCNN
from ppdet.modeling.bbox_utils import delta2bbox

from ppdet_cam.detectors.capture import Watch, replaced_methods, watching
from ppdet_cam.detectors.families.base import Box, Extractor, KeptRow, MaskPlace, Source, check_scores, extracts
from ppdet_cam.detectors.families.first_stage import anchor_of, objectness_logits, rpn_layers
from ppdet_cam.detectors.families.last_step import LastStep
from ppdet_cam.detectors.families.masks import covered, mean_in_masks, roi_mask_logits
from ppdet_cam.detectors.families.pooling import box_of, levels_are_known, pooled_level, pooled_part
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
        return [self.model.bbox_head, *rpn_layers(self.model.rpn_head)]

    @property
    def quantities(self) -> frozenset[Quantity]:
        own = {Quantity.PROPOSAL, Quantity.MASK} if self.mask_layers else {Quantity.PROPOSAL}
        return super().quantities | own

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        return [self.model.rpn_head, self.model.bbox_head]

    def explained_layers(self, wanted: Quantity) -> Sequence[nn.Layer]:
        """Returns the RPN, where the proposal is explained."""
        return [self.model.rpn_head] if wanted is Quantity.PROPOSAL else []

    @property
    def roi_head(self) -> nn.Layer:
        return self.model.bbox_head

    def on_sources(self, sources: Sequence[Source]) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the first stage proposes these RoIs on every image.

        It does not run, but for the objectness where that is asked about.
        """
        rpn, rois = self.model.rpn_head, self.first_rois(sources)
        count = paddle.to_tensor([len(sources)], dtype="int32")

        def propose(features: Sequence[paddle.Tensor], inputs: object) -> tuple[object, ...]:
            if any(source.anchor is not None for source in sources):
                for feature in rpn.rpn_feat(features):
                    rpn.rpn_rois_score(feature)
            images = int(features[0].shape[0])
            return [rois] * images, paddle.tile(count, [images]), None

        return replaced_methods(rpn, forward=propose)

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
        roi = box_of(self.proposals(watch)[row])
        return Source(self._level(roi), 0, roi)

    def located(self, watch: Watch, source: Source, class_id: int, *, wanted: Quantity) -> Source:
        """Returns a source with its anchor, or with its mask in the box that the second stage gives its class."""
        if wanted is Quantity.PROPOSAL and source.anchor is None:
            first = box_of(self.first_rois([source])[0].numpy())
            return dataclasses.replace(source, anchor=anchor_of(self.model.rpn_head, watch, first))
        if wanted is Quantity.MASK and source.mask is None:
            return self._with_mask(watch, source, class_id)
        return source

    def _with_mask(self, watch: Watch, source: Source, class_id: int) -> Source:
        with paddle.no_grad():
            decoded = self.outputs(watch, [source], wanted=Quantity.BOXES).boxes_xyxy
            assert decoded is not None  # asked for
            boxes = decoded[0].numpy()
        height, width = watch.inputs[self.model.rpn_head][0][1]["im_shape"][0].numpy()
        box = np.clip(boxes[class_id if len(boxes) > 1 else 0], 0, [width, height, width, height])
        placed = dataclasses.replace(source, mask=MaskPlace(class_id, box_of(box), np.zeros(0, np.int64)))
        with paddle.no_grad():
            (logits,) = self._mask_logits(self._features(watch, [placed], Quantity.MASK, 0), [placed]).numpy()
        pixels = covered(logits, self.model.mask_post_process.binary_thresh)
        return dataclasses.replace(source, mask=MaskPlace(class_id, box_of(box), pixels))

    def roi_seen(self, source: Source, layer: nn.Layer, call: int) -> Box | None:
        """Returns the proposal; of a layer that makes the mask, the box that the mask lies in."""
        return source.roi_xyxy if source.mask is None or not self.makes_masks(layer) else source.mask.box_xyxy

    def pooled_xyxy(self, roi: Box, layer: nn.Layer | None = None) -> Box:
        """Returns the RoI, moved and enlarged as the RoIAlign of the layer's head does."""
        head = self.model.mask_head if layer is not None and self.makes_masks(layer) else self.model.bbox_head
        return pooled_part(head.roi_extractor, roi)

    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns, for each feature map that RoIs are pooled from, a RoI of the size that is pooled from it."""
        extractor = self.model.bbox_head.roi_extractor
        sides = [32.0]
        if self._levels_are_known and len(extractor.spatial_scale) > 1:
            levels = range(extractor.start_level + 2, extractor.end_level + 3)
            sides = [1.1 * extractor.canonical_size * 2.0 ** (level - extractor.canconical_level) for level in levels]
        return [Source(position, 0, (0.0, 0.0, side, side)) for position, side in enumerate(sides)]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the feature map that has the RoI; of a mask or anchor asked about, of theirs."""
        features, level = watch.inputs[self.model.bbox_head][0][0], source.level
        if source.anchor is not None:
            features, level = watch.outputs[self.model.rpn_head.rpn_rois_score], source.anchor[0]
        elif source.mask is not None and source.mask.box_xyxy is not None:
            level = pooled_level(self.model.mask_head.roi_extractor, source.mask.box_xyxy)
        _, _, height, width = features[level].shape
        return height, width

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns what the second stage says of each RoI, one row each: no two sources share a RoI row."""
        head = self.model.bbox_head
        features = self._features(watch, sources, wanted, image)
        rois = rois_of(sources)
        count = paddle.to_tensor([len(sources)], dtype="int32")
        with watching([head.bbox_score]) as scoring:
            (deltas, probabilities), _ = head(features, [rois], count, None)
        decoded = (
            delta2bbox(deltas, rois, self.model.bbox_post_process.decode.prior_box_var)
            if wanted is Quantity.BOXES
            else None
        )
        logits = scoring.outputs[head.bbox_score][-1][:, :-1]
        more = self._more(watch, sources, wanted, image, features)
        return HeadOutputs(probabilities[:, :-1], logits, decoded, **more)

    def _more(
        self,
        watch: Watch,
        sources: Sequence[Source],
        wanted: Quantity,
        image: int,
        features: Sequence[paddle.Tensor],
    ) -> dict[str, paddle.Tensor]:
        """Returns the numbers beside scores and boxes that are wanted, by their names in `HeadOutputs`."""
        if wanted is Quantity.PROPOSAL:
            return {"proposal": objectness_logits(self.model.rpn_head, watch, sources, image)}
        if wanted is Quantity.MASK:
            return {"mask": mean_in_masks(self._mask_logits(features, sources), sources)}
        return {}

    def _mask_logits(self, features: Sequence[paddle.Tensor], sources: Sequence[Source]) -> paddle.Tensor:
        return roi_mask_logits(self.model.mask_head, features, sources, getattr(self.model.bbox_head, "head", None))

    def _features(self, watch: Watch, sources: Sequence[Source], wanted: Quantity, image: int) -> list[paddle.Tensor]:
        """Returns one image's feature maps; for a single source, without the graph of those that it is not pooled from.

        Such a level gives the RoI nothing, so its gradient is zero; cut, it also costs nothing.
        """
        features = [feature[image : image + 1] for feature in watch.inputs[self.model.bbox_head][0][0]]
        if len(sources) > 1 or not self._levels_are_known:
            return features
        used = self._levels_used(sources[0])
        if wanted is Quantity.MASK and sources[0].mask is not None and sources[0].mask.box_xyxy is not None:
            used |= {pooled_level(self.model.mask_head.roi_extractor, sources[0].mask.box_xyxy)}
        return [feature if level in used else feature.detach() for level, feature in enumerate(features)]

    def _levels_used(self, source: Source) -> set[int]:
        """Returns the feature maps that the source's score is read from."""
        return {source.level}

    @property
    def _levels_are_known(self) -> bool:
        return levels_are_known(self.model.bbox_head.roi_extractor)

    def _level(self, roi: Box) -> int:
        """Returns the position of the feature map that a RoI is pooled from; 0 where that is not known."""
        return pooled_level(self.model.bbox_head.roi_extractor, roi)


def rois_of(sources: Sequence[Source]) -> paddle.Tensor:
    """Returns float32 [K, 4], the sources' RoIs."""
    return paddle.to_tensor(np.array([source.roi_xyxy for source in sources], np.float32))


@extracts("MaskRCNN", head_type="BBoxHead")
class MaskRCNNExtractor(RCNNExtractor):
    """Boxes and scores are Faster R-CNN's; the masks are drawn from them afterwards, and cost most of the time.

    A mask that is explained is made once more, in the one box alone.
    """

    @property
    def mask_layers(self) -> Sequence[nn.Layer]:
        return [self.model.mask_head]

    def boxes_only(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model runs as the Faster R-CNN that it contains."""
        return replaced_methods(
            self.model,
            get_pred=functools.partial(FasterRCNN.get_pred, self.model),
            _forward=functools.partial(FasterRCNN._forward, self.model),
        )
