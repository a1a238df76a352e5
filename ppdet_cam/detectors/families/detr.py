"""DETR and its kin: object queries that look at the image's features; each query has one box, and no NMS follows.

DETR gives a query its best class (softmax, the background's column last); the others, with sigmoids, keep the best
pairs of query and class, so that one query may be kept under several classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.attention import grids_of
from ppdet_cam.detectors.capture import Watch, replaced_methods
from ppdet_cam.detectors.compat import PaddleSeenByModule
from ppdet_cam.detectors.families.base import (
    Extractor,
    KeptRow,
    MaskPlace,
    Source,
    check_lowered,
    check_scores,
    extracts,
)
from ppdet_cam.detectors.families.last_step import KeepRule, LastStep, ReachedLastStep
from ppdet_cam.detectors.families.masks import covered, mean_in_masks
from ppdet_cam.errors import ConfigError
from ppdet_cam.structures import Candidates, Contest, HeadOutputs, ImageGeometry, Quantity


@extracts("DETR", head_type="DETRHead")
@extracts("DETR", head_type="DeformableDETRHead")
@extracts("DETR", head_type="DINOHead")
@extracts("DETR", head_type="MaskDINOHead")
class DETRExtractor(Extractor):
    """A candidate is a query. Its scores and box depend on all of the image, and on the other queries."""

    head_name = "detr_head"
    recommended_layers = (
        *Extractor.recommended_layers,
        ("model.transformer.encoder", "what the queries look at"),
    )

    def check(self) -> None:
        """Raises ConfigError for a post-processing of which it is not known what it keeps."""
        post = self.model.post_process
        if self.model.exclude_post_process or not hasattr(post, "num_top_queries"):
            raise ConfigError(
                f"the config has DETR.post_process {type(post).__name__} and exclude_post_process "
                f"{self.model.exclude_post_process}; which queries become detections is known of ppdet's own "
                "DETRPostProcess (DETRBBoxPostProcess in 2.6.0) without exclude_post_process"
            )

    @property
    def keep_rule(self) -> KeepRule:
        """So many of the best; overlaps leave none out."""
        post = self.model.post_process
        contest = Contest.PAIRS if post.use_focal_loss else Contest.QUERIES
        return KeepRule(0.0, None, contest, int(post.num_top_queries))

    def last_step(self, *, stop: bool = False) -> contextlib.AbstractContextManager[LastStep]:
        return _recording(self.model, stop=stop)

    def boxes_only(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model has no masks, unless its scores are made of them."""
        post = self.model.post_process
        if not getattr(post, "with_mask", False) or post.use_avg_mask_score:
            return contextlib.nullcontext()
        return _without_masks(self.model)

    def on_sources(self, sources: Sequence[Source]) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the queries stay where they were picked among the encoder's tokens."""
        tokens = sources[0].query_tokens
        return _picking(self.model.transformer, tokens) if tokens else contextlib.nullcontext()

    def whole_graph(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the transformer's boxes keep their graph from layer to layer.

        DINO and its kin cut it for their training; the score depends on those boxes all the same.
        """
        return _undetached(self.model.transformer)

    @property
    def watched(self) -> Sequence[nn.Layer]:
        transformer = self.model.transformer
        last = self._last_attention
        weighing = getattr(last, "attention_weights", None)
        seen = [transformer, self.model.detr_head, last, weighing, self._picker]
        return [layer for layer in seen if layer is not None]

    @property
    def _last_attention(self) -> nn.Layer:
        return list(self.cross_attention.values())[-1]

    @property
    def _picker(self) -> nn.Layer | None:
        """The layer whose scores pick the queries among the encoder's tokens; None where queries were learned."""
        transformer = self.model.transformer
        if not hasattr(transformer, "enc_output"):
            return None
        picker: nn.Layer = getattr(transformer, "enc_score_head", None) or transformer.score_head
        return picker

    @property
    def token_layers(self) -> Sequence[nn.Layer]:
        """The encoder's sequences as well; the decoder's are object queries."""
        parts = [getattr(self.model.transformer, name, None) for name in ("encoder", "position_embedding")]
        return [*super().token_layers, *(part for part in parts if part is not None)]  # RT-DETR's encoder is its neck

    @property
    def query_layers(self) -> Sequence[nn.Layer]:
        transformer, head = self.model.transformer, self.model.detr_head
        return [transformer, *transformer.decoder.sublayers(include_self=True), *head.sublayers(include_self=True)]

    @property
    def levels_in_sequence(self) -> int:
        transformer = self.model.transformer
        return int(getattr(transformer, "num_levels", getattr(transformer, "num_feature_levels", 1)))

    @property
    def cross_attention(self) -> Mapping[str, nn.Layer]:
        """That of every decoder layer up to the one whose boxes are printed."""
        decoder = self.model.transformer.decoder
        used = list(decoder.layers)[: getattr(decoder, "eval_idx", len(decoder.layers) - 1) + 1]
        return {f"model.transformer.decoder.layers.{i}.cross_attn": layer.cross_attn for i, layer in enumerate(used)}

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        """The last box layers; those before them move the points that the next decoder layer looks at."""
        head, transformer = self.model.detr_head, self.model.transformer
        if hasattr(head, "bbox_head"):
            return [head.bbox_head]
        layers = getattr(transformer, "dec_bbox_head", None)  # Mask RT-DETR has one for all layers
        return [] if layers is None else [layers[getattr(transformer.decoder, "eval_idx", -1)]]

    def kept_rows(self, record: LastStep) -> list[KeptRow]:
        """Returns query and class; the index counts query x class."""
        classes = record.scores.shape[1]
        kept = [
            KeptRow(int(query), int(label), float(record.scores[0, label, query]))
            for query, label in (divmod(int(index), classes) for index in record.index)
        ]
        printed = record.rows
        if record.lowers_scores:
            check_lowered([k.score for k in kept], printed[:, 1])
        else:
            check_scores([k.score for k in kept], printed[:, 1], tolerance=0.0)
        check_scores([k.class_id for k in kept], printed[:, 0], tolerance=0.0)
        return kept

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns a box per query."""
        return Candidates(record.boxes[image][:, None], record.scores[image].T)

    def source(self, watch: Watch, row: int) -> Source:
        """Returns the query; where queries are picked among the encoder's tokens, with what was picked."""
        if self._picker is None:
            return Source(0, row)
        scores = watch.outputs[self._picker][0][0].detach()
        _, tokens = paddle.topk(scores.max(-1), self.model.transformer.num_queries)
        return Source(0, row, query_tokens=tuple(int(token) for token in tokens))

    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns one query: it sees all levels."""
        return [Source(0, 0)]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the grid at which the query's last cross-attention looked most."""
        layer = self._last_attention
        if not hasattr(layer, "attention_weights"):
            _, _, height, width = watch.outputs[self.model.transformer][0][1].shape
            return height, width
        logits = watch.outputs[layer.attention_weights][0][0, source.position].detach()
        weights = F.softmax(logits.reshape([layer.num_heads, -1])).mean(axis=0).numpy()
        grids = grids_of(watch.inputs[layer][0][3])
        points = getattr(layer, "num_points_list", None) or [layer.num_points] * len(grids)
        of_levels = [part.sum() for part in np.split(weights, np.cumsum(points)[:-1])]
        return grids[int(np.argmax(of_levels))]

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns what the last decoder layer says of each query."""
        boxes, logits = watch.outputs[self.model.detr_head][-1][:2]
        queries = paddle.to_tensor([source.position for source in sources])
        of_queries = paddle.index_select(logits[image], queries)
        has_background = not self.model.post_process.use_focal_loss
        decoded = None
        if wanted is Quantity.BOXES:
            inputs = watch.inputs[self.model.transformer][0][2]
            size = _image_hw(inputs["im_shape"], inputs["scale_factor"]) * inputs["scale_factor"]
            decoded = _corners(paddle.index_select(boxes[image], queries), size[image]).unsqueeze(1)
        mask = mean_in_masks(self._mask_logits(watch, sources, image), sources) if wanted is Quantity.MASK else None
        if has_background:
            return HeadOutputs(F.softmax(of_queries)[:, :-1], of_queries[:, :-1], decoded, mask=mask)
        return HeadOutputs(F.sigmoid(of_queries), of_queries, decoded, mask=mask)

    @property
    def quantities(self) -> frozenset[Quantity]:
        has_masks = getattr(self.model.post_process, "with_mask", False)  # Mask RT-DETR
        return super().quantities | ({Quantity.MASK} if has_masks else set())

    def located(self, watch: Watch, source: Source, class_id: int, *, wanted: Quantity) -> Source:
        """Returns a source with the pixels of the query's mask."""
        if wanted is not Quantity.MASK or source.mask is not None:
            return source
        with paddle.no_grad():
            (logits,) = self._mask_logits(watch, [source], 0).numpy()
        pixels = covered(logits, self.model.post_process.mask_threshold)
        return dataclasses.replace(source, mask=MaskPlace(class_id, None, pixels))

    def _mask_logits(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, h, w], the last decoder layer's masks, which cover the network input."""
        masks = watch.outputs[self.model.detr_head][-1][2]
        return paddle.index_select(masks[image], paddle.to_tensor([source.position for source in sources]))


def _image_hw(im_shape: paddle.Tensor, scale_factor: paddle.Tensor) -> paddle.Tensor:
    """Returns [N, 2], height and width of the original images, as the post-processing finds them."""
    return paddle.floor(im_shape / scale_factor + 0.5)


def _corners(boxes: paddle.Tensor, hw: paddle.Tensor) -> paddle.Tensor:
    """Returns left, top, right and bottom of boxes that are given as centre and size, parts of an image's size.

    Args:
        boxes: [..., 4].
        hw: [2], height and width of the image.
    """
    centres, sizes = boxes[..., :2], boxes[..., 2:]
    return paddle.concat([centres - 0.5 * sizes, centres + 0.5 * sizes], axis=-1) * hw.flip(-1).tile([2])


class _RecordingPostProcess:
    """Stands in for ppdet's post-processing, which does not tell which queries it kept."""

    def __init__(self, post: object, record: LastStep, *, stop: bool) -> None:
        self._post = post
        self._record = record
        self._stop = stop

    def __getattr__(self, name: str) -> object:
        return getattr(self._post, name)

    def __call__(
        self,
        head_out: tuple[paddle.Tensor, ...],
        im_shape: paddle.Tensor,
        scale_factor: paddle.Tensor,
        *rest: object,
    ) -> tuple[object, ...]:
        post, record = self._post, self._record
        boxes, logits = head_out[:2]
        if getattr(post, "dual_queries", False):  # the other groups of queries are for training only
            own = int(logits.shape[1] // (post.dual_groups + 1))  # type: ignore[attr-defined]
            boxes, logits = boxes[:, :own], logits[:, :own]
        focal: bool = post.use_focal_loss  # type: ignore[attr-defined]
        scores = F.sigmoid(logits) if focal else F.softmax(logits)[:, :, :-1]
        record.scores = scores.numpy().transpose(0, 2, 1)
        sizes = _image_hw(im_shape, scale_factor)
        record.boxes = np.stack([_corners(of_one, hw).numpy() for of_one, hw in zip(boxes, sizes)])
        if self._stop:
            raise ReachedLastStep
        kept = post(head_out, im_shape, scale_factor, *rest)  # type: ignore[operator]
        record.rows = kept[0].numpy()
        record.index = _kept_pairs(scores[0], int(post.num_top_queries), focal=focal)  # type: ignore[attr-defined]
        return kept  # type: ignore[no-any-return]


def _kept_pairs(scores: paddle.Tensor, count: int, *, focal: bool) -> np.ndarray:
    """Returns query x class of what is kept, in its order, by the operators that ppdet sorts with.

    Args:
        scores: [queries, classes].
        count: how many are kept at most.
        focal: whether pairs of query and class compete, instead of each query's best class.
    """
    if focal:
        return np.asarray(paddle.topk(scores.flatten(), count)[1].numpy())
    labels = scores.argmax(-1).numpy()
    queries = np.arange(len(labels))
    if len(labels) > count:
        queries = paddle.topk(scores.max(-1), count)[1].numpy()
    return np.asarray(queries * scores.shape[1] + labels[queries])


@contextlib.contextmanager
def _recording(model: nn.Layer, *, stop: bool) -> Iterator[LastStep]:
    post = model.post_process
    lowers = getattr(post, "with_mask", False) and post.use_avg_mask_score
    record = LastStep(lowers_scores=bool(lowers))
    with replaced_methods(model, post_process=_RecordingPostProcess(post, record, stop=stop)):
        yield record


@contextlib.contextmanager
def _without_masks(model: nn.Layer) -> Iterator[None]:
    with replaced_methods(model.post_process, with_mask=False), replaced_methods(model, with_mask=False):
        yield


@contextlib.contextmanager
def _picking(transformer: nn.Layer, tokens: Sequence[int]) -> Iterator[None]:
    """Lets a transformer pick these of the encoder's tokens for its queries, whatever their scores are."""
    module = sys.modules[type(transformer).__module__]
    seen = module.paddle
    calls = []

    def topk(values: paddle.Tensor, k: int, axis: int = -1) -> tuple[paddle.Tensor, paddle.Tensor]:
        calls.append(k)
        if len(calls) > 1:  # further groups of queries, which are for training only
            return paddle.topk(values, k, axis=axis)  # type: ignore[no-any-return]
        index = paddle.to_tensor([list(tokens)], dtype="int64").tile([values.shape[0], 1])
        return paddle.take_along_axis(values, index, axis), index

    own = vars(seen) if isinstance(seen, PaddleSeenByModule) else {}
    with replaced_methods(module, paddle=PaddleSeenByModule(**{**own, "topk": topk})):
        yield


@contextlib.contextmanager
def _undetached(layer: nn.Layer) -> Iterator[None]:
    """Lets what a layer detaches keep its graph."""
    own: Callable[..., object] = layer.forward

    def forward(*inputs: object, **named: object) -> object:
        detach = paddle.Tensor.detach
        paddle.Tensor.detach = paddle.Tensor.clone
        try:
            return own(*inputs, **named)
        finally:
            paddle.Tensor.detach = detach

    with replaced_methods(layer, forward=forward):
        yield
