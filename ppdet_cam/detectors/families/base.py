"""What an architecture family has to tell: where its scores before NMS are, and how a kept index maps to them."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.capture import Watch
from ppdet_cam.detectors.families.last_step import KeepRule, LastStep, check_nms, nms_rule, recording_nms
from ppdet_cam.detectors.grids import Grids
from ppdet_cam.errors import ScoreMismatchError
from ppdet_cam.polygons import boxes_around_polygons
from ppdet_cam.registry import Registry
from ppdet_cam.structures import Candidates, CellStrides, HeadOutputs, ImageGeometry, Quantity

# A score with a graph may be computed again from one row, whose matrix products are rounded otherwise than a thousand
# rows' are; reduced precision on an accelerator widens that. The row itself is checked exactly, in `kept_rows`.
SCORE_TOLERANCE = 5e-3


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class MaskPlace:
    """The pixels of a candidate's mask, as they are on the unaltered image.

    They are taken as given: whether a pixel belongs to the mask is a step, which has no gradient.

    Attributes:
        class_id: whose mask it is, where a candidate has one per class.
        box_xyxy: where the mask's grid lies, network input pixels; None for one of the whole image.
        pixels: int [P], positions in the flattened grid.
    """

    class_id: int
    box_xyxy: Box | None
    pixels: np.ndarray = field(compare=False)


@dataclass(frozen=True)
class Source:
    """The place in the head that a candidate comes from; the same place on every image of one size.

    Attributes:
        level: the head's pyramid level.
        position: row among that level's cells or anchors; for RoIs 0.
        roi_xyxy: for two stages, the RoI that is pooled, in network input pixels; of a cascade, the last stage's.
        stage_rois: of a cascade, the RoI of each stage.
        query_tokens: where object queries are picked among the encoder's tokens, those that all queries were.
        mask: where its mask lies, when the mask is asked about.
        query_rois: of queries that see one another, the RoIs of all of them in each stage, [stages, queries, 4].
        anchor: level and position of the anchor that became its proposal, when the proposal is asked about; positions
            count [h, w, anchors].
    """

    level: int
    position: int
    roi_xyxy: Box | None = None
    stage_rois: tuple[Box, ...] = ()
    query_tokens: tuple[int, ...] = ()
    mask: MaskPlace | None = None
    query_rois: np.ndarray | None = field(default=None, compare=False)
    anchor: tuple[int, int] | None = None


@dataclass(frozen=True)
class KeptRow:
    """The candidate that a box was before NMS.

    Attributes:
        row: as NMS counts the candidates.
        class_id: the class that it was kept under, or that is asked about.
        score: its score for that class, as NMS saw it.
        pinned: its place in the head, for a model whose parameters were changed since, so that rows and scores differ.
    """

    row: int
    class_id: int
    score: float
    pinned: Source | None = None


class Extractor(abc.ABC):
    """Finds what a head says of a candidate before NMS, with its graph.

    Attributes:
        head_name: the model's attribute that holds the head.
        recommended_layers: (path, what it shows), for those who do not know the architecture.
    """

    head_name: str
    recommended_layers: tuple[tuple[str, str], ...] = (
        ("model.backbone", "what the image's features say"),
        ("model.neck", "what the head sees: sharper, closer to the box"),
    )

    def __init__(self, model: nn.Layer) -> None:
        self.model = model

    @property
    def nms_owner(self) -> object:
        """The object whose attribute `nms` is called; for a head without one, the next four are its own."""
        raise NotImplementedError(f"{type(self).__name__} has no NMS")

    def check(self) -> None:
        """Raises ConfigError when the config makes a last step of which nothing can be known."""
        check_nms(self.nms_owner)

    @property
    def keep_rule(self) -> KeepRule:
        """The numbers by which the last step chooses among the candidates."""
        return nms_rule(self.nms_owner.nms)  # type: ignore[attr-defined]

    def last_step(self, *, stop: bool = False) -> contextlib.AbstractContextManager[LastStep]:
        """Returns a context that notes what the last step is given and keeps.

        Args:
            stop: raise ReachedLastStep when it is reached, instead of running it.
        """
        return recording_nms(self.nms_owner, stop=stop)

    def completed(self, inputs: Mapping[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        """Returns the model's inputs: the reader's, and what a model wants beside them, such as an image before."""
        return dict(inputs)

    def output_rows(self, outputs: Mapping[str, paddle.Tensor]) -> np.ndarray:
        """Returns the detections of the model's output: float32 [K, 6], label, score and box; polygons [K, 10]."""
        return outputs["bbox"].numpy()

    @property
    @abc.abstractmethod
    def watched(self) -> Sequence[nn.Layer]:
        """The layers whose inputs or outputs `outputs` reads."""

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What the head says of a candidate."""
        return frozenset({Quantity.PROBABILITIES, Quantity.LOGITS, Quantity.BOXES})

    @property
    def graph_free(self) -> Sequence[nn.Layer]:
        """Layers that nothing explained depends on: they run without recording a graph."""
        return ()

    def explained_layers(self, wanted: Quantity) -> Sequence[nn.Layer]:
        """Returns which of `graph_free` a quantity does depend on."""
        return ()

    @property
    def box_branch(self) -> Sequence[nn.Layer]:
        """Layers that only the boxes depend on: they run without a graph where only scores are explained."""
        return ()

    @property
    def token_layers(self) -> Sequence[nn.Layer]:
        """Layers whose sequences [N, L, C] are places in the image, and those inside of them."""
        return [part for part in (self.model.backbone, getattr(self.model, "neck", None)) if part is not None]

    @property
    def query_layers(self) -> Sequence[nn.Layer]:
        """Layers that give object queries, which are no places in the image."""
        return ()

    @property
    def levels_in_sequence(self) -> int:
        """How many grids such a sequence holds one after another, where it is not a single one."""
        return 1

    def grids(self, images: int, input_hw: tuple[int, int]) -> Grids:
        """Returns what the layers' sequences stand for.

        Args:
            images: how many images are in the network input.
            input_hw: its height and width, in pixels.
        """
        layers = [layer for part in self.token_layers for layer in part.sublayers(include_self=True)]
        return Grids(images, input_hw, self.levels_in_sequence, frozenset(layers), frozenset(self.query_layers))

    @property
    def cross_attention(self) -> Mapping[str, nn.Layer]:
        """The layers with which object queries look at the image's features, in their order: dotted path -> layer."""
        return {}

    def cell_strides(self, watch: Watch, padded_hw: tuple[int, int]) -> CellStrides:
        """Returns the size of a cell, where the head itself says so; elsewhere it follows from the grid's size."""
        return {}

    def boxes_only(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model leaves out what comes after its boxes, such as masks."""
        return contextlib.nullcontext()

    def on_sources(self, sources: Sequence[Source]) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model leaves out what these sources do not need, such as proposals."""
        return contextlib.nullcontext()

    def whole_graph(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model cuts nothing from the graph that its outputs depend on."""
        return contextlib.nullcontext()

    @property
    def roi_head(self) -> nn.Layer | None:
        """The layer that sees one row per RoI, for detectors with two stages."""
        return None

    @property
    def mask_layers(self) -> Sequence[nn.Layer]:
        """The layers that make a mask of each RoI; they run only where masks are explained."""
        return ()

    def makes_masks(self, layer: nn.Layer) -> bool:
        """Whether a layer is one of those, or within one."""
        return any(layer in set(maker.sublayers(include_self=True)) for maker in self.mask_layers)

    @property
    def rows_are_apart(self) -> bool:
        """Whether what the second stage says of a RoI depends on no other RoI."""
        return True

    def second_stage(self, watch: Watch) -> Watch:
        """Returns what the layers see when the second stage runs once more, where `outputs` does not run it itself."""
        return watch

    def roi_row(self, source: Source, layer: nn.Layer, position: int) -> int:
        """Returns which row of a second stage's layer is the source's.

        Args:
            source: the source.
            layer: the layer.
            position: of the source among those that `outputs` is asked about.
        """
        return position

    def proposals(self, watch: Watch) -> np.ndarray | None:
        """Returns float32 [R, 4], the first stage's proposals in network input pixels; None without two stages."""
        return None

    def roi_seen(self, source: Source, layer: nn.Layer, call: int) -> Box | None:
        """Returns the RoI whose features a layer of the second stage gave, network input pixels.

        Args:
            source: where the candidate comes from.
            layer: the layer.
            call: which of the layer's feature maps it is.
        """
        return source.roi_xyxy

    @abc.abstractmethod
    def kept_rows(self, record: LastStep) -> list[KeptRow]:
        """Returns the candidate of each detection, in the detector's order."""

    @abc.abstractmethod
    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns every candidate of one image of the batch, as the last step was given it."""

    def pooled_xyxy(self, roi: Box, layer: nn.Layer | None = None) -> Box:
        """Returns the part of the network input that a RoI's cells lie on, as a layer of the second stage pools it."""
        return roi

    @abc.abstractmethod
    def source(self, watch: Watch, row: int) -> Source:
        """Returns where a candidate comes from."""

    def source_of(self, watch: Watch, kept: KeptRow, *, wanted: Quantity = Quantity.PROBABILITIES) -> Source:
        """Returns where a kept candidate comes from, with the places that the wanted quantity needs."""
        source = kept.pinned or self.source(watch, kept.row)
        return self.located(watch, source, kept.class_id, wanted=wanted)

    def located(self, watch: Watch, source: Source, class_id: int, *, wanted: Quantity) -> Source:
        """Returns a source with the places that a quantity needs beside it, as they are on the unaltered image.

        Args:
            watch: of the unaltered image.
            source: where the candidate comes from; places that it has stay.
            class_id: the candidate's class.
            wanted: the quantity.
        """
        return source

    @abc.abstractmethod
    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns a place on each of the head's levels that has one."""

    @abc.abstractmethod
    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns height and width of the grid that the head read the source from, in cells."""

    @abc.abstractmethod
    def outputs(
        self, watch: Watch, sources: Sequence[Source], *, wanted: Quantity = Quantity.PROBABILITIES, image: int = 0
    ) -> HeadOutputs:
        """Returns what the head says at K sources, with its graph.

        Args:
            watch: what the watched layers saw.
            sources: where to look. For RoI layers, output row k depends on RoI row k only.
            wanted: the quantity that is asked for; what costs more than scores is left out for others.
            image: position in the batch.
        """


class DenseExtractor(Extractor):
    """Heads without RoIs: one score per class and row, rows counted through the levels.

    Attributes:
        background_columns: how many of the last score columns are no class.
    """

    background_columns = 0

    @property
    def nms_owner(self) -> object:
        """The head itself, where no post-processing of the model's own has the NMS."""
        return getattr(self.model, self.head_name)

    def kept_rows(self, record: LastStep) -> list[KeptRow]:
        """Returns row and class; the operator's index counts the rows of [1, classes, M]."""
        kept = [
            KeptRow(int(row), int(label), float(record.scores[0, int(label), int(row)]))
            for row, label in zip(record.index, record.rows[:, 0])
        ]
        if record.lowers_scores:
            check_lowered([k.score for k in kept], record.rows[:, 1])
        else:
            check_scores([k.score for k in kept], record.rows[:, 1], tolerance=0.0)
        return kept

    def candidates(self, record: LastStep, geometry: ImageGeometry, *, image: int = 0) -> Candidates:
        """Returns one box per candidate; these heads' NMS works in original pixels."""
        scores, boxes = record.scores[image].T, record.boxes[image]
        own_scores = scores[:, : scores.shape[1] - self.background_columns]
        if boxes.shape[1] == 4:
            return Candidates(boxes[:, None], own_scores)
        polygons = boxes.reshape(-1, 4, 2)
        return Candidates(boxes_around_polygons(polygons)[:, None], own_scores, polygons_xy=polygons)

    def source(self, watch: Watch, row: int) -> Source:
        """Returns level and position of a row that is counted through the levels."""
        return Source(*level_of(row, self.level_lengths(watch)))

    def a_source_per_level(self, watch: Watch) -> list[Source]:
        """Returns a place in the middle of each level."""
        return [
            Source(level, min(length - 1, (length + length // self.grid_hw(watch, Source(level, 0))[0]) // 2))
            for level, length in enumerate(self.level_lengths(watch))
        ]

    @abc.abstractmethod
    def level_lengths(self, watch: Watch) -> list[int]:
        """Returns how many candidates each level has."""


class CellExtractor(DenseExtractor):
    """Heads with one candidate per cell of each level."""

    @abc.abstractmethod
    def class_logits(self, watch: Watch) -> list[paddle.Tensor]:
        """Returns [images, classes, h, w] of each level, or more channels behind the classes'."""

    def level_lengths(self, watch: Watch) -> list[int]:
        """Returns the number of cells of each level."""
        return [int(grid.shape[2]) * int(grid.shape[3]) for grid in self.class_logits(watch)]

    def grid_hw(self, watch: Watch, source: Source) -> tuple[int, int]:
        """Returns the size of the source's level."""
        _, _, height, width = self.class_logits(watch)[source.level].shape
        return height, width


def of_cells(grids: Sequence[paddle.Tensor], sources: Sequence[Source], image: int) -> paddle.Tensor:
    """Returns [K, channels], the channels of each source's cell out of the levels' [images, channels, h, w]."""
    cells = []
    for source in sources:
        grid = grids[source.level]
        row, column = divmod(source.position, int(grid.shape[3]))
        cells.append(grid[image, :, row, column])
    return paddle.stack(cells)


def cell_points(
    grids: Sequence[paddle.Tensor], sources: Sequence[Source], strides: Sequence[float], offset: float
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Returns each source's point (x, y) in cells of its level, [K, 2], and its stride, [K, 1].

    Args:
        grids: the levels' [images, channels, h, w].
        sources: where.
        strides: of each level.
        offset: of the point from the cell's top left corner, in cells.
    """
    points = [divmod(source.position, int(grids[source.level].shape[3]))[::-1] for source in sources]
    return (
        paddle.to_tensor(points, dtype="float32") + offset,
        paddle.to_tensor([[float(strides[source.level])] for source in sources], dtype="float32"),
    )


def expected_distances(bins: paddle.Tensor, values: paddle.Tensor) -> paddle.Tensor:
    """Returns [K, 4], the expected value of each side's distribution over `values`, from logits [K, 4 x values]."""
    logits = bins.reshape([bins.shape[0], 4, -1])
    return (paddle.nn.functional.softmax(logits, axis=-1) * values.flatten()).sum(axis=-1)


def boxes_around(points: paddle.Tensor, distances: paddle.Tensor) -> paddle.Tensor:
    """Returns [K, 4]: each point, less and plus the distances to the left, top, right and bottom side."""
    return paddle.concat([points - distances[:, :2], points + distances[:, 2:]], axis=1)


def check_scores(found: Iterable[float], printed: Iterable[float], *, tolerance: float = SCORE_TOLERANCE) -> None:
    """Raises ScoreMismatchError when a score found before NMS is not the printed one."""
    for position, (score, wanted) in enumerate(zip(found, printed)):
        if not abs(float(score) - float(wanted)) <= tolerance:
            raise ScoreMismatchError(
                f"detection {position} has score {float(wanted):.6f}, but the row found for it before NMS has "
                f"{float(score):.6f}. Nothing is explained rather than the wrong box; please report this model"
            )


def check_lowered(found: Iterable[float], printed: Iterable[float]) -> None:
    """Raises ScoreMismatchError when a printed score is higher than the one that NMS was given to lower."""
    for position, (score, wanted) in enumerate(zip(found, printed)):
        if not float(wanted) <= float(score) + 1e-6:
            raise ScoreMismatchError(
                f"detection {position} has score {float(wanted):.6f}, but the row found for it before NMS has "
                f"{float(score):.6f}, and NMS only lowers scores. Nothing is explained rather than the wrong box; "
                "please report this model"
            )


families: Registry[type[Extractor]] = Registry("detector")


def family_name(architecture: str, head_type: str) -> str:
    """Returns the name under which an extractor is registered; one architecture can carry heads of several kinds."""
    return f"{architecture} ({head_type})"


def extracts(*architectures: str, head_type: str) -> Callable[[type[Extractor]], type[Extractor]]:
    """Returns a decorator that registers an extractor for ppdet architectures with this class of head."""
    return families.register(*(family_name(architecture, head_type) for architecture in architectures))


def level_of(row: int, lengths: Sequence[int]) -> tuple[int, int]:
    """Returns (level, row within that level) of a row counted through all levels.

    Example:
        >>> level_of(5, [4, 3])
        (1, 1)
    """
    for level, length in enumerate(lengths):
        if row < length:
            return level, row
        row -= length
    raise IndexError(f"row lies {row} beyond the last level")
