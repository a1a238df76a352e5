"""SOLOv2: a mask per cell of square grids, scored by class and by how sure its pixels are; its box is the mask's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch, replaced_methods, watching
from ppdet_cam.detectors.families.base import (
    Extractor,
    KeptRow,
    MaskPlace,
    Source,
    check_lowered,
    check_scores,
    extracts,
    level_of,
    of_cells,
)
from ppdet_cam.detectors.families.last_step import KeepRule, LastStep, ReachedLastStep
from ppdet_cam.detectors.families.masks import covered, mean_in_masks
from ppdet_cam.structures import Candidates, CellStrides, HeadOutputs, ImageGeometry, Quantity

# Network input pixels per cell of the grid that masks are made on.
MASK_STRIDE = 4


@extracts("SOLOv2", head_type="SOLOv2Head")
class SOLOv2Extractor(Extractor):
    """The class's probability in a cell, times the mean probability of the pixels in the cell's mask.

    Those pixels are taken from the unaltered image: which they are is a step, without a gradient. The matrix NMS among
    masks lowers the scores that are printed.
    """

    head_name = "solov2_head"
    recommended_layers = (
        *Extractor.recommended_layers,
        ("model.mask_head", "what all masks are made of, for the target mask"),
    )

    @property
    def head(self) -> nn.Layer:
        """The model's head for classes and for what masks are made with."""
        return self.model.solov2_head

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.head, self.head.solo_cate, self.head.solo_kernel, self.model.mask_head]

    @property
    def quantities(self) -> frozenset[Quantity]:
        return frozenset({Quantity.PROBABILITIES, Quantity.LOGITS, Quantity.MASK})

    def check(self) -> None:
        """Returns: there is one NMS for masks."""

    @property
    def keep_rule(self) -> KeepRule:
        """NMS leaves out what it has lowered too far; whatever the overlap, no mask leaves out another."""
        return KeepRule(score_threshold=float(self.head.mask_nms.update_threshold), iou_threshold=None)

    def cell_strides(self, watch: Watch, padded_hw: tuple[int, int]) -> CellStrides:
        """Returns the cells of the square grids, which cover the network input whatever its shape is."""
        return {(side, side): (padded_hw[0] / side, padded_hw[1] / side) for side in self.head.seg_num_grids}

    @contextlib.contextmanager
    def last_step(self, *, stop: bool = False) -> Iterator[LastStep]:
        """Notes the candidates of every image, and which of them the matrix NMS keeps."""
        own, nms, record = self.head.get_prediction, self.head.mask_nms, LastStep(lowers_scores=True)
        kept: list[np.ndarray] = []

        def numbered_nms(
            masks: paddle.Tensor, binary: paddle.Tensor, labels: paddle.Tensor, scores: paddle.Tensor, **more: object
        ) -> tuple[paddle.Tensor, ...]:
            # it only gathers from its first argument: what it does to the numbers it would do to the masks
            index, lowered, kept_labels = nms(paddle.arange(len(scores)), binary, labels, scores, **more)
            kept.extend([index.numpy(), lowered.numpy(), kept_labels.numpy(), scores.numpy()])
            return masks.gather(index), lowered, kept_labels

        @paddle.no_grad()  # type: ignore[untyped-decorator]
        def predict(
            classes: Sequence[paddle.Tensor],
            kernels: Sequence[paddle.Tensor],
            features: paddle.Tensor,
            im_shape: paddle.Tensor,
            scale_factor: paddle.Tensor,
        ) -> tuple[object, ...]:
            logits = seen.outputs[self.head.solo_cate][-len(classes) :]
            images = range(int(features.shape[0]))
            found = [self._candidates(classes, logits, kernels, features, im_shape, image) for image in images]
            record.scores = np.stack([scores for scores, _, _ in found])
            record.boxes = np.stack([boxes for _, boxes, _ in found])
            if stop:
                raise ReachedLastStep
            outputs = own(classes, kernels, features, im_shape, scale_factor)
            _note(record, found[0][2], *kept)
            return tuple(outputs)

        replaced = replaced_methods(self.head, get_prediction=predict, mask_nms=numbered_nms)
        with watching([self.head.solo_cate]) as seen, replaced:
            yield record

    def _candidates(
        self,
        classes: Sequence[paddle.Tensor],
        logits: Sequence[paddle.Tensor],
        kernels: Sequence[paddle.Tensor],
        features: paddle.Tensor,
        im_shape: paddle.Tensor,
        image: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what the NMS is given of one image, by the same steps as ppdet's.

        Args:
            classes: probabilities of each level, [images, side, side, classes], zero where a neighbour's is higher.
            logits: of each level, [images, classes, side, side], of which ppdet leaves only the highest of neighbours.
            kernels: of each level, [images, kernel, side, side].
            features: [images, kernel, h, w].
            im_shape: [images, 2], the network input's height and width without padding.
            image: which.

        Returns:
            scores: [classes, cells], of every class of a cell with a candidate; zero for the others.
            boxes: [cells, 4] around the masks' cells, in network input pixels.
            positions: among cells x classes, those that ppdet hands on, in its order.
        """
        head = self.head
        probabilities = np.concatenate([level[image].reshape([-1, level.shape[-1]]).numpy() for level in classes])
        cells, labels = np.nonzero(probabilities > head.score_threshold)
        scores = np.zeros_like(probabilities)
        boxes = np.zeros((len(probabilities), 4), np.float32)
        used = np.unique(cells)
        if not used.size:
            return scores.T, boxes, np.zeros(0, np.int64)
        flat = paddle.concat([level[image].transpose([1, 2, 0]).reshape([-1, level.shape[1]]) for level in kernels])
        own = flat.gather(paddle.to_tensor(used))
        masks = F.sigmoid(F.conv2d(features[image : image + 1], own.unsqueeze([2, 3]))[0]).numpy()
        binary = masks > head.mask_threshold
        areas = binary.sum(axis=(1, 2))
        strides = np.repeat(head.segm_strides, np.square(head.seg_num_grids))[used]
        large = np.zeros(len(probabilities), bool)
        large[used] = areas > strides
        sure = (masks * binary).sum(axis=(1, 2)) / np.maximum(areas, 1)
        unthinned = [F.sigmoid(level[image]).transpose([1, 2, 0]).flatten(0, 1).numpy() for level in logits]
        scores[used] = np.concatenate(unthinned)[used] * sure[:, None]
        for cell, mask in zip(used, binary):
            boxes[cell] = np.minimum(box_around(mask, scale=MASK_STRIDE), im_shape[image].numpy()[[1, 0, 1, 0]])
        scores[~large], boxes[~large] = 0.0, 0.0
        handed_on = large[cells]
        return scores.T, boxes, cells[handed_on] * probabilities.shape[1] + labels[handed_on]

    def output_rows(self, outputs: Mapping[str, paddle.Tensor]) -> np.ndarray:
        """Returns a row per mask: label, score, and the box around it in original pixels.

        A mask without a pixel, and the one that ppdet adds lest there be none (its score is 0), are no detections.
        """
        masks = outputs["segm"].numpy().astype(bool)
        labels, scores = outputs["cate_label"].numpy(), outputs["cate_score"].numpy()
        rows = np.zeros((len(masks), 6), np.float32)
        rows[:, 0], rows[:, 1] = labels, np.nan_to_num(scores)
        rows[:, 2:] = [box_around(mask) for mask in masks]
        rows[(rows[:, 1] <= 0) | (rows[:, 4] <= rows[:, 2]), 0] = -1
        return rows

    def kept_rows(self, record: LastStep) -> list[KeptRow]:
        """Returns cell and class of each mask; of the one that ppdet adds, which is no detection, the first cell."""
        classes = record.scores.shape[1]
        kept = []
        for index, label in zip(record.index, record.rows[:, 0]):
            cell, class_id = divmod(int(index), classes) if index >= 0 else (0, int(label))
            kept.append(KeptRow(cell, class_id, float(record.scores[0, class_id, cell])))
        real = record.index >= 0
        found = [one for one, is_real in zip(kept, real) if is_real]
        check_scores([one.class_id for one in found], record.rows[real, 0], tolerance=0.0)
        check_lowered([one.score for one in found], record.rows[real, 1])
        return kept

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns a row per cell; cells without a mask that NMS is given have no box and no score.

        A box lies around the mask as NMS sees it, on its own grid: the printed one lies around the enlarged mask, in
        which a cell that was hardly above the threshold may have vanished.
        """
        scale = np.array([*geometry.scale_yx[::-1], *geometry.scale_yx[::-1]], np.float32)
        return Candidates((record.boxes[image] / scale)[:, None], record.scores[image].T)

    def source(self, watch: Watch, row: int) -> Source:
        """Returns level and position of a cell, and the pixels of its mask."""
        level, position = level_of(row, [side * side for side in self.head.seg_num_grids])
        return self._with_mask(watch, Source(level, position))

    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns the first cell of each level."""
        return [self._with_mask(watch, Source(level, 0)) for level in range(len(self.head.seg_num_grids))]

    def _with_mask(self, watch: Watch, source: Source) -> Source:
        with paddle.no_grad():
            (logits,) = self._mask_logits(watch, [source], 0).numpy()
        place = MaskPlace(0, None, covered(logits, self.head.mask_threshold))
        return Source(source.level, source.position, mask=place)

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the feature map that the source's grid is made from."""
        _, _, height, width = watch.inputs[self.head][0][0][source.level].shape
        return height, width

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns each cell's class logits, their sigmoids times the mask's mean probability, and its mean logit."""
        logits = of_cells(watch.outputs[self.head.solo_cate], sources, image)
        masks = self._mask_logits(watch, sources, image)
        return HeadOutputs(
            probabilities=F.sigmoid(logits) * mean_in_masks(F.sigmoid(masks), sources).unsqueeze(1),
            logits=logits,
            mask=mean_in_masks(masks, sources) if wanted is Quantity.MASK else None,
        )

    def _mask_logits(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, h, w], each cell's own 1 x 1 convolution of the features that all masks share."""
        kernels = of_cells(watch.outputs[self.head.solo_kernel], sources, image)
        features = watch.outputs[self.model.mask_head][-1][image : image + 1]
        return F.conv2d(features, kernels.unsqueeze([2, 3]))[0]


def _note(
    record: LastStep,
    positions: np.ndarray,
    index: np.ndarray,
    lowered: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Notes in the record what the matrix NMS kept.

    Args:
        record: with the candidates.
        positions: among cells x classes, of the masks that it was given.
        index: of these, what it kept; behind them come one or two that ppdet adds lest there be none.
        lowered: their scores after it.
        labels: their classes.
        scores: what it was given, of all.

    Raises:
        ScoreMismatchError: it was given other masks than these.
    """
    classes = record.scores.shape[1]
    own = record.scores[0].T.reshape(-1)[positions]
    check_scores(np.append(own, 0.0), scores[: len(own) + 1], tolerance=1e-4)
    record.scores[0, positions % classes, positions // classes] = scores[: len(own)]  # they differ by rounding
    record.index = np.append(positions, [-1, -1])[index]
    record.rows = np.zeros((len(index), 6), np.float32)
    record.rows[:, 0], record.rows[:, 1] = labels, lowered


def box_around(mask: np.ndarray, *, scale: int = 1) -> np.ndarray:
    """Returns float32 [4], the outer corners of a mask's pixels; zeros for a mask without any.

    Example:
        >>> box_around(np.array([[False, True, True]])).tolist()
        [1.0, 0.0, 3.0, 1.0]
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not columns.size:
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32) * scale
