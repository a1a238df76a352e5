"""What heads of rotated boxes share: a rectangle of centre, size and angle, and its corners."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import CellExtractor, Source, of_cells
from ppdet_cam.structures import HeadOutputs, Quantity


class RotatedExtractor(CellExtractor):
    """Heads with a candidate per cell whose boxes have a centre, a size and an angle; NMS is given the corners."""

    @property
    def quantities(self) -> frozenset[Quantity]:
        return super().quantities | {Quantity.ROTATED}

    @abc.abstractmethod
    def rotated_boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 5], centre x and y, width, height and angle, network input pixels and radians."""

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the cells' logits, their sigmoids, the rotated boxes and the upright ones around them."""
        logits = of_cells(self.class_logits(watch), sources, image)
        if not wanted.is_of_box:
            return HeadOutputs(F.sigmoid(logits), logits)
        rotated = self.rotated_boxes(watch, sources, image)
        corners = corners_of_rotated(rotated)
        around = paddle.concat([corners.min(axis=1), corners.max(axis=1)], axis=1).unsqueeze(1)
        return HeadOutputs(F.sigmoid(logits), logits, around, rotated=rotated)


def corners_of_rotated(rotated: paddle.Tensor) -> paddle.Tensor:
    """Returns the corners [K, 4, 2] of rectangles [K, 5]: centre x and y, width, height, angle in radians."""
    centre, half, angle = rotated[:, :2], 0.5 * rotated[:, 2:4], rotated[:, 4:5]
    along = paddle.concat([paddle.cos(angle), paddle.sin(angle)], axis=1) * half[:, :1]
    across = paddle.concat([-paddle.sin(angle), paddle.cos(angle)], axis=1) * half[:, 1:]
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return paddle.stack([centre + x * along + y * across for x, y in signs], axis=1)
