"""CenterNet, TTFNet and PAFNet: a detection is a peak of a class's heat map, a candidate each of its cells; no NMS."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_cam.detectors.capture import Watch, replaced_methods, watching
from ppdet_cam.detectors.families.base import CellExtractor, Source, extracts, of_cells
from ppdet_cam.detectors.families.last_step import KeepRule, LastStep, ReachedLastStep
from ppdet_cam.errors import ConfigError
from ppdet_cam.structures import Candidates, Contest, HeadOutputs, ImageGeometry, Quantity


class PeakExtractor(CellExtractor):
    """One level. A cell is kept for a class where no neighbour's score is higher, and few peaks' are."""

    def __init__(self, model: nn.Layer) -> None:
        super().__init__(model)
        self.post_process = model.post_process  # the model's own: another stands in its place in `last_step`

    @property
    @abc.abstractmethod
    def heatmap_layer(self) -> nn.Layer:
        """The layer that gives the heat map's logits."""

    @property
    @abc.abstractmethod
    def peak_finder(self) -> object:
        """ppdet's object that finds the peaks."""

    @abc.abstractmethod
    def network_boxes(self, watch: Watch, positions: np.ndarray, image: int) -> paddle.Tensor:
        """Returns [K, 4], the boxes of cells that are counted row by row, in network input pixels."""

    @abc.abstractmethod
    def printed_boxes(self, watch: Watch, boxes: np.ndarray, image: int) -> np.ndarray:
        """Returns [K, 4] in original pixels, as ppdet prints them."""

    @property
    def model_inputs(self) -> dict[str, paddle.Tensor]:
        """What the model was last given."""
        inputs: dict[str, paddle.Tensor] = self.model.inputs
        return inputs

    def check(self) -> None:
        """Raises ConfigError when it is not known how the config finds peaks."""
        finder = self.peak_finder
        if not all(hasattr(finder, name) for name in ("_topk", "_simple_nms", "down_ratio")):
            raise ConfigError(
                f"the config finds peaks with {type(finder).__name__}, of which it is not known what it keeps; "
                "CenterNetPostProcess does for CenterNet, BBoxPostProcess with decode TTFBox for TTFNet"
            )

    @property
    def keep_rule(self) -> KeepRule:
        threshold = float(getattr(self.peak_finder, "score_thresh", 0.0))
        return KeepRule(threshold, None, Contest.PEAKS)

    @contextlib.contextmanager
    def last_step(self, *, stop: bool = False) -> Iterator[LastStep]:
        """Notes every cell's scores and box, and the cells of the peaks that are kept."""
        own, finder, record = self.post_process, self.peak_finder, LastStep()

        def post_process(*given: object, **named: object) -> tuple[paddle.Tensor, ...]:
            with paddle.no_grad():
                self._note_candidates(watch, record)
            if stop:
                raise ReachedLastStep
            kept: list[tuple[paddle.Tensor, ...]] = []
            top_k = finder._topk  # type: ignore[attr-defined]

            def noting(scores: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
                kept.append(top_k(scores))
                return kept[-1]

            with replaced_methods(finder, _topk=noting):
                result: tuple[paddle.Tensor, ...] = own(*given, **named)
            scores, cells = (tensor.numpy().reshape(-1) for tensor in kept[0][:2])
            # fewer peaks than are asked for are filled up with cells that are none, of score 0
            count = int((scores > self.keep_rule.score_threshold).sum())
            record.index, record.rows = cells[:count].astype(np.int64), result[0].numpy().reshape(-1, 6)[:count]
            return result

        with watching(self.watched) as watch, replaced_methods(self.model, post_process=post_process):
            yield record

    def _note_candidates(self, watch: Watch, record: LastStep) -> None:
        (logits,) = self.class_logits(watch)
        images, _, height, width = logits.shape
        record.scores = F.sigmoid(logits).flatten(2).numpy()
        cells = np.arange(height * width)
        record.boxes = np.stack(
            [
                self.printed_boxes(watch, self.network_boxes(watch, cells, image).numpy(), image)
                for image in range(images)
            ]
        )
        record.grid_hw = (height, width)

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns one box per cell."""
        return Candidates(record.boxes[image][:, None], record.scores[image].T, grid_hw=record.grid_hw)

    def output_rows(self, outputs: Mapping[str, paddle.Tensor]) -> np.ndarray:
        """Returns the peaks; what fills their number up, of score 0 or of no class, is of class -1."""
        rows = outputs["bbox"].numpy().reshape(-1, 6)
        rows[rows[:, 1] <= 0, 0] = -1
        return rows

    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns the heat map's logits."""
        return [watch.outputs[self.heatmap_layer][-1]]

    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns the cells' logits, their sigmoids, and their boxes."""
        logits = of_cells(self.class_logits(watch), sources, image)
        positions = np.array([source.position for source in sources])
        return HeadOutputs(
            probabilities=F.sigmoid(logits),
            logits=logits,
            boxes_xyxy=self.network_boxes(watch, positions, image).unsqueeze(1) if wanted is Quantity.BOXES else None,
        )

    def points(self, watch: Watch, positions: np.ndarray) -> paddle.Tensor:
        """Returns float32 [K, 2], column and row of each cell."""
        rows, columns = np.divmod(positions, int(self.class_logits(watch)[0].shape[3]))
        return paddle.to_tensor(np.stack([columns, rows], axis=1), dtype="float32")


def at_cells(grid: paddle.Tensor, positions: np.ndarray, image: int) -> paddle.Tensor:
    """Returns [K, channels] out of [images, channels, h, w]."""
    return paddle.gather(grid[image].flatten(1).transpose([1, 0]), paddle.to_tensor(positions))


def sides_from(points: paddle.Tensor, sizes: paddle.Tensor) -> paddle.Tensor:
    """Returns [K, 4]: points with the distances to the four sides, or in the middle of a width and a height."""
    if sizes.shape[1] == 2:
        sizes = paddle.concat([sizes, sizes], axis=1) / 2
    return paddle.concat([points - sizes[:, :2], points + sizes[:, 2:]], axis=1)


@extracts("CenterNet", head_type="CenterNetHead")
class CenterNetExtractor(PeakExtractor):
    """The box comes from the cell, moved by an offset, and its size."""

    head_name = "head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        head = self.model.head
        return [head.heatmap, head.size, head.offset]

    @property
    def heatmap_layer(self) -> nn.Layer:
        return self.model.head.heatmap

    @property
    def peak_finder(self) -> object:
        return self.post_process

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [self.model.head.size, self.model.head.offset]

    def middles(self, watch: Watch, positions: np.ndarray, image: int) -> paddle.Tensor:
        """Returns [K, 2], the cells moved by their offsets, in cells."""
        return self.points(watch, positions) + at_cells(watch.outputs[self.model.head.offset][-1], positions, image)

    def network_boxes(self, watch: Watch, positions: np.ndarray, image: int) -> paddle.Tensor:
        """Returns the boxes around the moved cells."""
        sizes = at_cells(watch.outputs[self.model.head.size][-1], positions, image)
        return sides_from(self.middles(watch, positions, image), sizes) * self.post_process.down_ratio

    def printed_boxes(self, watch: Watch, boxes: np.ndarray, image: int) -> np.ndarray:
        """Returns the boxes less the padding, which is half of what the network input is larger than the image."""
        _, _, height, width = self.class_logits(watch)[0].shape
        ratio = self.post_process.down_ratio
        image_height, image_width = self.model_inputs["im_shape"][image].numpy()
        scale_y, scale_x = self.model_inputs["scale_factor"][image].numpy()
        pad = np.array([(width * ratio - image_width) / 2, (height * ratio - image_height) / 2], np.float32)
        return (boxes - np.tile(pad, 2)) / np.array([scale_x, scale_y, scale_x, scale_y], np.float32)


@extracts("TTFNet", head_type="TTFHead")
class TTFNetExtractor(PeakExtractor):
    """The box comes from the cell's corner and four distances."""

    head_name = "ttf_head"

    @property
    def watched(self) -> Sequence[nn.Layer]:
        return [self.model.ttf_head.hm_head, self.model.ttf_head.wh_head]

    @property
    def heatmap_layer(self) -> nn.Layer:
        return self.model.ttf_head.hm_head

    @property
    def peak_finder(self) -> object:
        return self.post_process.decode

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        return [self.model.ttf_head.wh_head]

    def network_boxes(self, watch: Watch, positions: np.ndarray, image: int) -> paddle.Tensor:
        """Returns the boxes around the cells."""
        head = self.model.ttf_head
        distances = at_cells(watch.outputs[head.wh_head][-1], positions, image) * head.wh_offset_base
        return sides_from(self.points(watch, positions) * self.peak_finder.down_ratio, distances)  # type: ignore[attr-defined]

    def printed_boxes(self, watch: Watch, boxes: np.ndarray, image: int) -> np.ndarray:
        """Returns the boxes less the reader's scale."""
        scale_y, scale_x = self.model_inputs["scale_factor"][image].numpy()
        return boxes / np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
