"""GFL, its distilled LD-GFL, and PicoDet: a candidate per cell, sides as expected values of distributions."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import (
    CellExtractor,
    Source,
    boxes_around,
    cell_points,
    expected_distances,
    extracts,
    of_cells,
)
from ppdet_cam.structures import HeadOutputs, Quantity

# what ppdet adds below its square root
ALIGNMENT_EPSILON = 1e-9


class DistributionExtractor(CellExtractor):
    """Everything comes from the box's own level."""

    head_name = "head"

    @property
    def quantities(self) -> frozenset[Quantity]:
        """With a quality predictor (GFLv2) the head also says how well the box lies."""
        return super().quantities | ({Quantity.QUALITY} if self.model.head.dgqp_module else set())

    @abc.abstractmethod
    def distance_bins(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns [images, 4 x bins, h, w] of each level, the logits of the sides' distances."""

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the cells' logits, their scores, their boxes from the distances' expected values, and the quality.

        With a quality predictor ppdet takes the sigmoid once more of sigmoid times quality; that product is the logit.
        """
        head = self.model.head
        logits = of_cells(self.class_logits(watch), sources, image)
        quality = None
        if head.dgqp_module:
            quality = of_cells(watch.outputs[head.dgqp_module], sources, image)
            logits = F.sigmoid(logits) * quality
        return HeadOutputs(
            probabilities=self.scores(watch, sources, logits, image),
            logits=logits,
            boxes_xyxy=self._boxes(watch, sources, image) if wanted is Quantity.BOXES else None,
            quality=None if quality is None else quality[:, 0],
        )

    def scores(self, watch: Watch, sources: Sequence[Source], logits: paddle.Tensor, image: int) -> paddle.Tensor:
        """Returns [K, classes], what the head makes of the logits [K, classes]."""
        return F.sigmoid(logits)

    def _boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 1, 4]."""
        head, grids = self.model.head, self.distance_bins(watch)
        distances = expected_distances(of_cells(grids, sources, image), head.distribution_project.project)
        points, strides = cell_points(grids, sources, head.fpn_stride, head.cell_offset)
        return (boxes_around(points, distances) * strides).unsqueeze(1)


@extracts("GFL", head_type="GFLHead")
@extracts("GFL", head_type="LDGFLHead")
class GFLExtractor(DistributionExtractor):
    """One head runs on every level in turn."""

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.head
        return [head.gfl_head_cls, *head.scales_regs, *([head.dgqp_module] if head.dgqp_module else [])]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        head = self.model.head
        return [] if head.dgqp_module else [head.gfl_head_reg, *head.scales_regs]

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        return watch.outputs[self.model.head.gfl_head_cls]

    def distance_bins(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of distances."""
        return [watch.outputs[layer][-1] for layer in self.model.head.scales_regs]


@extracts("PicoDet", head_type="PicoHead")
class PicoDetExtractor(DistributionExtractor):
    """Each level has layers of its own; one of them may give logits and distances together."""

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.head
        return [*head.head_cls_list, *head.head_reg_list, *([head.dgqp_module] if head.dgqp_module else [])]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [] if self.model.head.dgqp_module else list(self.model.head.head_reg_list)

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of logits."""
        classes = self.model.head.cls_out_channels
        return [watch.outputs[layer][-1][:, :classes] for layer in self.model.head.head_cls_list]

    def distance_bins(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns each level's grid of distances: behind the classes' channels where one layer gives both."""
        head = self.model.head
        if len(head.head_reg_list):
            return [watch.outputs[layer][-1] for layer in head.head_reg_list]
        return [watch.outputs[layer][-1][:, head.cls_out_channels :] for layer in head.head_cls_list]


@extracts("PicoDet", head_type="PicoHeadV2")
class PicoDetV2Extractor(PicoDetExtractor):
    """The score is the square root of class probability times alignment, which is one number for all classes."""

    @property
    def quantities(self) -> frozenset[Quantity]:
        """This head makes no use of a quality predictor."""
        return super().quantities - {Quantity.QUALITY}

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [*super().watched, *self.model.head.cls_align]

    def scores(self, watch: Watch, sources: Sequence[Source], logits: paddle.Tensor, image: int) -> paddle.Tensor:
        """Returns the square roots, or the class probabilities alone for a head without alignment."""
        aligning = self.model.head.cls_align
        if not len(aligning):
            return F.sigmoid(logits)
        alignment = of_cells([watch.outputs[layer][-1] for layer in aligning], sources, image)
        return paddle.sqrt(F.sigmoid(logits) * F.sigmoid(alignment) + ALIGNMENT_EPSILON)
