"""S2ANet: a first stage refines each anchor, a second looks where it then lies; before NMS only the best are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch, replaced_methods
from ppdet_cam.detectors.families.base import Source, extracts, of_cells
from ppdet_cam.detectors.families.last_step import LastStep, ReachedLastStep, recording_nms
from ppdet_cam.detectors.families.rotated import RotatedExtractor
from ppdet_cam.errors import ConfigError
from ppdet_cam.polygons import boxes_around_polygons
from ppdet_cam.structures import Candidates, ImageGeometry


@extracts("S2ANet", head_type="S2ANetHead")
class S2ANetExtractor(RotatedExtractor):
    """An anchor per cell. The score depends on the first stage as well: its boxes steer the second's convolution."""

    head_name = "s2anet_head"

    def check(self) -> None:
        super().check()
        if not self.model.s2anet_head.use_sigmoid_cls:
            raise ConfigError(
                "S2ANetHead has use_sigmoid_cls: false, where ppdet hands the background to NMS as one more class. "
                "Set it to true, as PaddleDetection's own configs do"
            )

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.s2anet_head
        return [head.fam_reg, head.odm_cls, head.odm_reg]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        head = self.model.s2anet_head
        return [head.odm_reg_convs, head.odm_reg]

    @contextlib.contextmanager
    def last_step(self, *, stop: bool = False) -> Iterator[LastStep]:
        """Notes what NMS is given and keeps; NMS is called for one image after the other."""
        head = self.model.s2anet_head
        with recording_nms(head, stop=stop) as record:

            def of_each_image(made: Sequence[Sequence[paddle.Tensor]]) -> None:
                given = []
                for image in range(int(made[0][0].shape[0])):
                    with contextlib.suppress(ReachedLastStep):
                        boxes, logits = ([level[image] for level in levels] for levels in made)
                        head.get_bboxes_single(logits, boxes)
                    given.append((record.boxes, record.scores))
                record.boxes, record.scores = (np.concatenate(arrays) for arrays in zip(*given))
                raise ReachedLastStep

            with replaced_methods(head, **({"get_bboxes": of_each_image} if stop else {})):
                yield record

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns the second stage's logits, a grid per level."""
        return watch.outputs[self.model.s2anet_head.odm_cls]

    def level_lengths(self, watch: Watch) -> list[int]:
        """Returns how many anchors each level keeps for NMS."""
        return [min(length, self.model.s2anet_head.nms_pre) for length in super().level_lengths(watch)]

    def source(self, watch: Watch, row: int) -> Source:
        """Returns the anchor of a row."""
        kept, limit = super().source(watch, row), self.model.s2anet_head.nms_pre
        logits = self.class_logits(watch)[kept.level][0]
        if int(logits.shape[1]) * int(logits.shape[2]) <= limit:
            return kept
        with paddle.no_grad():
            scores = F.sigmoid(logits.transpose([1, 2, 0]).reshape([-1, logits.shape[0]]))
            _, best = scores.max(axis=1).topk(limit)
        return Source(kept.level, int(best[kept.position]))

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns one polygon per candidate, before clipping; this head's NMS works in network input pixels."""
        found = super().candidates(record, geometry, image=image)
        assert found.polygons_xy is not None  # this head's boxes are polygons
        polygons = found.polygons_xy / np.array(geometry.scale_yx[::-1], np.float32)
        return Candidates(boxes_around_polygons(polygons)[:, None], found.scores, polygons_xy=polygons)

    def rotated_boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 5]: the anchors, moved by the first stage, then by the second; before clipping."""
        head = self.model.s2anet_head
        anchors = paddle.stack([self._anchor(watch, source) for source in sources])
        for layer in (head.fam_reg, head.odm_reg):
            offsets = of_cells(watch.outputs[layer], sources, image)
            anchors = head.bbox_decode(offsets.unsqueeze(0), anchors.unsqueeze(0)).squeeze(0)
        return anchors

    def _anchor(self, watch: Watch, source: Source) -> paddle.Tensor:
        head = self.model.s2anet_head
        of_level = head.anchor_generators[source.level](self.grid_hw(watch, source), head.anchor_strides[source.level])
        return of_level[source.position]
