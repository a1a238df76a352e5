"""Sparse R-CNN and QueryInst: learned proposals that move from stage to stage, scored as (query, class), no NMS."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch, replaced_methods, watching
from ppdet_cam.detectors.families.base import Box, Extractor, KeptRow, MaskPlace, Source, check_scores, extracts
from ppdet_cam.detectors.families.last_step import KeepRule, LastStep, ReachedLastStep
from ppdet_cam.detectors.families.masks import covered, mean_in_masks, of_classes
from ppdet_cam.detectors.families.pooling import box_of, pooled_level, pooled_part
from ppdet_cam.structures import Candidates, Contest, HeadOutputs, ImageGeometry, Quantity


class SparseExtractor(Extractor):
    """A query sees all others in every stage, so everything is read from the one pass of them all.

    The RoIs of all stages are taken as given, as a cascade's are: pooling has no gradient in their position. Scores and
    boxes are the last stage's.

    Attributes:
        post_process_name: the model's attribute that holds ppdet's SparsePostProcess.
    """

    post_process_name: str

    @property
    @abc.abstractmethod
    def pooling(self) -> nn.Layer:
        """The RoIAlign that runs once per stage."""

    @abc.abstractmethod
    def last_stage(self, watch: Watch) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Returns class logits [images, queries, classes] and boxes [images, queries, 4], network input pixels."""

    @abc.abstractmethod
    def with_boxes(self, boxes: Sequence[np.ndarray]) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which each stage but the first is given these boxes, [queries, 4], on every image."""

    @property
    def head(self) -> nn.Layer:
        """The model's head."""
        return getattr(self.model, self.head_name)

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.head, self.pooling]

    @property
    def roi_head(self) -> nn.Layer:
        return self.head

    @property
    def rows_are_apart(self) -> bool:
        return False

    def check(self) -> None:
        """Returns: nothing in the config changes what the last step tells."""

    @property
    def keep_rule(self) -> KeepRule:
        """The best (query, class) pairs stay, however low their scores are."""
        post_process = getattr(self.model, self.post_process_name)
        return KeepRule(0.0, None, Contest.PAIRS, int(post_process.num_proposals))

    @contextlib.contextmanager
    def last_step(self, *, stop: bool = False) -> Iterator[LastStep]:
        """Notes what ppdet's post-processing is given, and which (query, class) pairs it keeps."""
        own, record = getattr(self.model, self.post_process_name), LastStep()

        def post_process(
            logits: paddle.Tensor, boxes: paddle.Tensor, scale: paddle.Tensor, sizes: paddle.Tensor, *masks: object
        ) -> tuple[object, ...]:
            scores = F.sigmoid(logits)
            record.scores = scores.numpy().transpose(0, 2, 1)
            record.boxes = (boxes / scale.unsqueeze(1)).numpy()
            if stop:
                raise ReachedLastStep
            record.index = _kept(own, scores[0], record.boxes[0], sizes[0].numpy())
            outputs = own(logits, boxes, scale, sizes, *masks)
            record.rows = outputs[0].numpy()[: len(record.index)]
            return tuple(outputs)

        with replaced_methods(self.model, **{self.post_process_name: post_process}):
            yield record

    def output_rows(self, outputs: Mapping[str, paddle.Tensor]) -> np.ndarray:
        """Returns the detections; ppdet's row of zeros for an image without any is marked as none."""
        rows = outputs["bbox"].numpy()
        if len(rows) == 1 and not rows.any():
            rows[0, 0] = -1
        return rows

    def kept_rows(self, record: LastStep) -> list[KeptRow]:
        """Returns query and class; the index counts queries x classes."""
        classes = record.scores.shape[1]
        kept = [
            KeptRow(int(index) // classes, int(index) % classes, float(record.scores[0].T.flat[int(index)]))
            for index in record.index
        ]
        check_scores([k.score for k in kept], record.rows[:, 1], tolerance=0.0)
        check_scores([k.class_id for k in kept], record.rows[:, 0], tolerance=0.0)
        return kept

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns a box per query, original pixels, not clipped."""
        return Candidates(record.boxes[image][:, None], record.scores[image].T)

    def source(self, watch: Watch, row: int) -> Source:
        """Returns the RoIs of a query in every stage; the last one is its own."""
        stages = np.stack([call[1][0].numpy() for call in watch.inputs[self.pooling]])
        rois = tuple(box_of(roi) for roi in stages[:, row])
        return Source(pooled_level(self.pooling, rois[-1]), row, rois[-1], rois, query_rois=stages)

    def on_sources(self, sources: Sequence[Source]) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which all queries look where they looked on the unaltered image."""
        rois = sources[0].query_rois
        return contextlib.nullcontext() if rois is None else self.with_boxes(list(rois[1:]))

    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns the first query: what one depends on they all do."""
        return [self.source(watch, 0)]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the feature map that the last stage's RoI is pooled from."""
        _, _, height, width = watch.inputs[self.pooling][0][0][source.level].shape
        return height, width

    def second_stage(self, watch: Watch) -> Watch:
        """Returns what the head's layers see when it runs once more."""
        with self.boxes_only(), watching(self.watched) as again:
            self.head(*watch.inputs[self.head][0])
        return again

    def roi_row(self, source: Source, layer: nn.Layer, position: int) -> int:
        """Returns the query: these layers see all of them."""
        return source.position

    def roi_seen(self, source: Source, layer: nn.Layer, call: int) -> Box | None:
        """Returns the RoI of the stage that the layer ran in: of its own call, or of the stage that it belongs to."""
        return source.stage_rois[call if layer is self.pooling else self.stage_of(layer)]

    @abc.abstractmethod
    def stage_of(self, layer: nn.Layer) -> int:
        """Returns which stage a layer belongs to."""

    def pooled_xyxy(self, roi: Box, layer: nn.Layer | None = None) -> Box:
        """Returns the RoI, enlarged as RoIAlign does."""
        return pooled_part(self.pooling, roi)

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the last stage's logits, their sigmoids, and its boxes."""
        logits, boxes = self.last_stage(watch)
        queries = paddle.to_tensor([source.position for source in sources])
        own = logits[image].gather(queries)
        return HeadOutputs(
            probabilities=F.sigmoid(own),
            logits=own,
            boxes_xyxy=boxes[image].gather(queries).unsqueeze(1) if wanted is Quantity.BOXES else None,
        )


@extracts("SparseRCNN", head_type="SparseRCNNHead")
class SparseRCNNExtractor(SparseExtractor):
    """One head per stage, in a list."""

    head_name = "head"
    post_process_name = "postprocess"
    recommended_layers = (
        *Extractor.recommended_layers,
        ("model.head.box_pooler", "what each stage sees of the query's own box, one map per stage"),
    )

    @property
    def pooling(self) -> nn.Layer:
        return self.head.box_pooler

    def last_stage(self, watch: Watch) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Returns what the head gives."""
        said = watch.outputs[self.head][-1]
        return said["pred_logits"], said["pred_boxes"]

    @contextlib.contextmanager
    def with_boxes(self, boxes: Sequence[np.ndarray]) -> Iterator[None]:
        """A context in which each stage but the last gives these boxes to the next one."""
        with contextlib.ExitStack() as stack:
            for stage, given in zip(self.head.head_series, boxes):

                def forward(
                    *inputs: object,
                    own: Callable[..., tuple[paddle.Tensor, ...]] = stage.forward,
                    given: np.ndarray = given,
                ) -> tuple[paddle.Tensor, ...]:
                    logits, moved, queries = own(*inputs)
                    return logits, paddle.to_tensor(given).expand(moved.shape), queries

                stack.enter_context(replaced_methods(stage, forward=forward))
            yield

    def stage_of(self, layer: nn.Layer) -> int:
        """Returns the stage whose head the layer is in."""
        return _place_in(self.head.head_series, layer)


@extracts("QueryInst", head_type="SparseRoIHead")
class QueryInstExtractor(SparseExtractor):
    """As Sparse R-CNN, and a mask per query and class; one that is explained is made once more, in its box alone."""

    head_name = "roi_head"
    post_process_name = "post_process"
    recommended_layers = (
        *Extractor.recommended_layers,
        ("model.roi_head.bbox_roi_extractor", "what each stage sees of the query's own box, one map per stage"),
    )

    @property
    def pooling(self) -> nn.Layer:
        return self.head.bbox_roi_extractor

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [*super().watched, self.head.bbox_heads[-1]]

    @property
    def quantities(self) -> frozenset[Quantity]:
        return super().quantities | {Quantity.MASK}

    @property
    def mask_layers(self) -> Sequence[nn.Layer]:
        return [self.head.mask_roi_extractor, *self.head.mask_heads]

    @contextlib.contextmanager
    def with_boxes(self, boxes: Sequence[np.ndarray]) -> Iterator[None]:
        """A context in which each stage but the last gives these boxes to the next one."""
        with contextlib.ExitStack() as stack:
            for stage, given in zip(self.head.bbox_heads, boxes):

                def refine(before: paddle.Tensor, _: object, given: np.ndarray = given) -> paddle.Tensor:
                    return paddle.to_tensor(given).expand(before.shape)

                stack.enter_context(replaced_methods(stage, refine_bboxes=refine))
            yield

    def last_stage(self, watch: Watch) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Returns what the head gives."""
        said = watch.outputs[self.head][-1]
        return said["class_logits"], said["bbox_pred"]

    def stage_of(self, layer: nn.Layer) -> int:
        """Returns the stage whose box head the layer is in."""
        return _place_in(self.head.bbox_heads, layer)

    @contextlib.contextmanager
    def boxes_only(self) -> Iterator[None]:
        """A context in which no query's mask is made."""
        own = getattr(self.model, self.post_process_name)

        def post_process(*given: object) -> tuple[object, ...]:
            return (*own(*given[:4]), None)

        nothing = {self.head.num_stages - 1: lambda *_: None}
        with contextlib.ExitStack() as stack:
            stack.enter_context(replaced_methods(self.head, mask_heads=nothing, mask_roi_extractor=lambda *_: None))
            stack.enter_context(replaced_methods(self.model, **{self.post_process_name: post_process}))
            yield

    def located(self, watch: Watch, source: Source, class_id: int, *, wanted: Quantity) -> Source:
        """Returns a source with its mask, in the box that the last stage gives it."""
        if wanted is not Quantity.MASK or source.mask is not None:
            return source
        with paddle.no_grad():
            box = box_of(self.last_stage(watch)[1][0, source.position].numpy())
            empty = dataclasses.replace(source, mask=MaskPlace(class_id, box, np.zeros(0, np.int64)))
            (logits,) = self._mask_logits(watch, [empty], 0).numpy()
        threshold = getattr(self.model, self.post_process_name).binary_thresh
        return dataclasses.replace(source, mask=MaskPlace(class_id, box, covered(logits, threshold)))

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the feature map that the RoI is pooled from, or the mask's, where it is asked about."""
        if source.mask is None or source.mask.box_xyxy is None:
            return super().grid_hw(watch, source)
        level = pooled_level(self.head.mask_roi_extractor, source.mask.box_xyxy)
        return super().grid_hw(watch, dataclasses.replace(source, level=level))

    def roi_row(self, source: Source, layer: nn.Layer, position: int) -> int:
        """Returns the query; of layers that make masks, its place among those asked about."""
        return position if self.makes_masks(layer) else source.position

    def roi_seen(self, source: Source, layer: nn.Layer, call: int) -> Box | None:
        """Returns the RoI of the layer's stage, or the box that the mask lies in."""
        if self.makes_masks(layer):
            return None if source.mask is None else source.mask.box_xyxy
        return super().roi_seen(source, layer, call)

    def pooled_xyxy(self, roi: Box, layer: nn.Layer | None = None) -> Box:
        """Returns the RoI, enlarged as the layer's own RoIAlign does."""
        of_mask = layer is not None and self.makes_masks(layer)
        return pooled_part(self.head.mask_roi_extractor if of_mask else self.pooling, roi)

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the last stage's logits, sigmoids, boxes, and the masks' logits."""
        said = super().outputs(watch, sources, wanted=wanted, image=image)
        if wanted is not Quantity.MASK:
            return said
        return dataclasses.replace(said, mask=mean_in_masks(self._mask_logits(watch, sources, image), sources))

    def _mask_logits(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        places = [source.mask for source in sources if source.mask is not None]
        features = [feature[image : image + 1] for feature in watch.inputs[self.pooling][-1][0]]
        boxes = paddle.to_tensor(np.array([place.box_xyxy for place in places], np.float32))
        pooled = self.head.mask_roi_extractor(features, [boxes], paddle.to_tensor([len(places)], dtype="int32"))
        *_, attended = watch.outputs[self.head.bbox_heads[-1]][-1]
        own = attended[image].gather(paddle.to_tensor([source.position for source in sources]))
        return of_classes(self.head.mask_heads[-1](pooled, own), [place.class_id for place in places])


def _kept(post_process: object, scores: paddle.Tensor, boxes: np.ndarray, original_hw: np.ndarray) -> np.ndarray:
    """Returns which positions among queries x classes ppdet's SparsePostProcess keeps, in its order.

    Args:
        post_process: knows how many there are to be.
        scores: [queries, classes].
        boxes: [queries, 4], original pixels; those that are a pixel or less wide or high on the image are left out.
        original_hw: the image's size.
    """
    _, best = scores.flatten().topk(post_process.num_proposals, sorted=False)  # type: ignore[attr-defined]
    height, width = (int(value) for value in original_hw)
    index = best.numpy()
    clipped = np.clip(boxes[index // scores.shape[1]], 0, np.array([width, height, width, height], np.float32))
    return index[((clipped[:, 2:] - clipped[:, :2]) > 1.0).all(axis=1)]


def _place_in(stages: Sequence[nn.Layer], layer: nn.Layer) -> int:
    """Returns which of the stages a layer is in, the last where it is in none."""
    found = [place for place, stage in enumerate(stages) if layer in set(stage.sublayers(include_self=True))]
    return found[0] if found else len(stages) - 1
