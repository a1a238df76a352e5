"""CenterTrack on a video's first image: CenterNet's peaks, with the boxes that a head of the tracker's own gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.base import extracts
from ppdet_cam.detectors.families.peaks import CenterNetExtractor, at_cells
from ppdet_cam.errors import ConfigError


@extracts("CenterTrack", head_type="CenterNetHead")
class CenterTrackExtractor(CenterNetExtractor):
    """The tracker takes boxes of whole objects, beyond the image's edges: four numbers of the moved cell.

    A single image is a video's first one: the image before it is itself, and nothing is tracked yet.
    """

    def check(self) -> None:
        """Raises ConfigError for a tracker without a head for whole boxes, whose boxes ppdet puts elsewhere."""
        super().check()
        if not hasattr(self.model.plugin_head, "ltrb_amodal"):
            raise ConfigError(
                "CenterTrackHead.add_ltrb_amodal is false: ppdet scales the boxes back twice then, and none lies on "
                "its object. Set it to true, or use the config of the CenterNet within"
            )

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [*super().watched, self.model.neck]

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [self.model.head.size, self.model.head.offset, self.model.plugin_head]

    def completed(self, inputs: Mapping[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        """Adds the image before, and the heat map of what is tracked."""
        image = inputs["image"]
        return {**inputs, "pre_image": image, "pre_hm": paddle.zeros([image.shape[0], 1, *image.shape[2:]])}

    def network_boxes(self, watch: Watch, positions: np.ndarray, image: int) -> paddle.Tensor:
        """Returns the sides as the tracker's head has them, counted from the moved cell's corner."""
        features = watch.outputs[self.model.neck][-1][image : image + 1]
        sides = at_cells(self.model.plugin_head.ltrb_amodal(features), positions, 0)
        corners = paddle.floor(self.middles(watch, positions, image))
        return (paddle.concat([corners, corners], axis=1) + sides) * self.post_process.down_ratio

    def printed_boxes(self, watch: Watch, boxes: np.ndarray, image: int) -> np.ndarray:
        """Returns the boxes with the reader's scale undone, which is around the middle of input and image."""
        _, _, height, width = self.model_inputs["image"].shape
        image_height, image_width = self.model_inputs["im_shape"][image].numpy()
        scale = width / max(image_height, image_width)
        middle, image_middle = (
            np.array([width, height] * 2, np.float32) / 2,
            np.array([image_width, image_height] * 2, np.float32) / 2,
        )
        return ((boxes - middle) / scale + image_middle).astype(np.float32)

    def output_rows(self, outputs: Mapping[str, paddle.Tensor]) -> np.ndarray:
        """Returns the peaks with the boxes as ppdet's tracker is given them."""
        rows = super().output_rows(outputs)
        head, inputs = self.model.plugin_head, self.model_inputs
        tracked = head(
            outputs["neck_feat"],
            inputs,
            *(outputs[name] for name in ("bbox", "bbox_inds", "topk_clses", "topk_ys", "topk_xs")),
        )
        given = head.centertrack_post_process(tracked, self._reader_notes(), -1.0)
        rows[:, 2:] = np.array([peak["bbox"] for peak in given], np.float32).reshape(-1, 4)
        return rows

    def _reader_notes(self) -> dict[str, paddle.Tensor]:
        """Returns what WarpAffine tells ppdet's tracker of the image."""
        height, width = self.model_inputs["im_shape"][0].numpy()
        ratio = self.post_process.down_ratio
        out_height, out_width = (length // ratio for length in self.model_inputs["image"].shape[2:])
        return {
            "center": paddle.to_tensor([[width / 2, height / 2]]),
            "scale": paddle.to_tensor([max(height, width)]),
            "out_height": paddle.to_tensor([out_height]),
            "out_width": paddle.to_tensor([out_width]),
        }
