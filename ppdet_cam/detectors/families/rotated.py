"""What heads of rotated boxes share: a rectangle of centre, size and angle, and its corners."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import DenseExtractor, Source
from ppdet_cam.structures import HeadOutputs, Quantity


class RotatedExtractor(DenseExtractor):
    """Heads whose boxes have a centre, a size and an angle; their NMS is given the corners."""

    @property
    def quantities(self) -> frozenset[Quantity]:
        return super().quantities | {Quantity.ROTATED}

    def rotated_boxes(self, watch: Watch, sources: Sequence[Source], image: int) -> paddle.Tensor:
        """Returns [K, 5], centre x and y, width, height and angle, network input pixels and radians."""
        raise NotImplementedError(f"{type(self).__name__} has no rotated boxes")

    def with_boxes(
        self, scores: HeadOutputs, watch: Watch, sources: Sequence[Source], *, wanted: Quantity, image: int
    ) -> HeadOutputs:
        """Returns the scores with the rotated boxes and the upright ones around them, where those are wanted."""
        if not wanted.is_of_box:
            return scores
        rotated = self.rotated_boxes(watch, sources, image)
        corners = corners_of_rotated(rotated)
        around = paddle.concat([corners.min(axis=1), corners.max(axis=1)], axis=1).unsqueeze(1)
        return HeadOutputs(scores.probabilities, scores.logits, around, rotated=rotated)


def corners_of_rotated(rotated: paddle.Tensor) -> paddle.Tensor:
    """Returns the corners [K, 4, 2] of rectangles [K, 5]: centre x and y, width, height, angle in radians."""
    centre, half, angle = rotated[:, :2], 0.5 * rotated[:, 2:4], rotated[:, 4:5]
    along = paddle.concat([paddle.cos(angle), paddle.sin(angle)], axis=1) * half[:, :1]
    across = paddle.concat([-paddle.sin(angle), paddle.cos(angle)], axis=1) * half[:, 1:]
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return paddle.stack([centre + x * along + y * across for x, y in signs], axis=1)
