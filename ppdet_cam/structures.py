"""What flows between the rooms: frozen values, numpy only.

Frames: a *grid* is a feature map's cells; the *network input* is the resized and padded tensor; the
*original* is the decoded image after EXIF orientation. Coordinates are continuous with pixel edges at
the integers, so pixel (or cell) i covers [i, i + 1) and its centre is i + 0.5.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ppdet_cam.languages import Said
from ppdet_cam.polygons import BoxXyxy, PolygonXy

# Network input pixels per cell along y and x, by the grid's (height, width).
CellStrides = Mapping[tuple[int, int], tuple[float, float]]


@dataclass(frozen=True)
class Frame:
    """One image as the detector sees it before any resize.

    Attributes:
        image: uint8 [H, W, 3], RGB, EXIF orientation applied.
        path: the file it came from, None for an array.
        notes: what is amiss with that file, though it has all its pixels.
    """

    image: np.ndarray
    path: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def original_hw(self) -> tuple[int, int]:
        return int(self.image.shape[0]), int(self.image.shape[1])


@dataclass(frozen=True)
class Detection:
    """One row of the detector's own output.

    Attributes:
        index: the row's position in that output; -1 for a candidate that was no detection.
        class_id: the class as the detector prints it.
        class_name: its name.
        score: the class score, 0 to 1.
        box_xyxy: left, top, right, bottom in original pixels, not clipped beyond what the detector does.
        score_before_nms: the candidate's own score, where the detector's NMS lowers the scores that it prints; it is
            what is explained. None where both are the same.
        polygon_xy: its four corners (x, y) in original pixels, where the detector gives rotated boxes; `box_xyxy` is
            then the upright box around them. None for upright boxes.
    """

    index: int
    class_id: int
    class_name: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    score_before_nms: float | None = None
    polygon_xy: PolygonXy | None = None

    @property
    def outline(self) -> BoxXyxy | PolygonXy:
        """What it covers: its polygon where it has one, else its box."""
        return self.polygon_xy or self.box_xyxy


@dataclass(frozen=True)
class ImageGeometry:
    """How the original image was placed into the network input.

    Attributes:
        original_hw: height and width of the original, in pixels.
        padded_hw: height and width of the network input, padding included.
        scale_yx: network input pixels per original pixel, along y and x.
        offset_yx: where the original's top left corner lies in the network input.
    """

    original_hw: tuple[int, int]
    padded_hw: tuple[int, int]
    scale_yx: tuple[float, float]
    offset_yx: tuple[float, float] = (0.0, 0.0)


class Quantity(enum.Enum):
    """What a head may say of a candidate."""

    PROBABILITIES = "class probabilities"
    LOGITS = "class logits"
    BOXES = "box"
    ROTATED = "rotated box"
    OBJECTNESS = "objectness"
    QUALITY = "quality (IoU)"
    CENTERNESS = "centre-ness"
    MASK = "mask"
    PROPOSAL = "first stage"

    @property
    def is_of_box(self) -> bool:
        """Whether it says where the candidate lies."""
        return self in (Quantity.BOXES, Quantity.ROTATED)


@dataclass(frozen=True)
class HeadOutputs:
    """What a head says of K candidates. The arrays are numpy's, or paddle's with their graph.

    Attributes:
        probabilities: [K, classes], the class scores as the detector prints them.
        logits: [K, classes], what sigmoid or softmax is taken of.
        boxes_xyxy: [K, classes or 1, 4], network input pixels; None where not asked for.
        objectness: [K], 0 to 1; None where the head has none.
        quality: [K], the predicted IoU with the object, 0 to 1; None where the head has none.
        centerness: [K], how close the candidate lies to its object's middle, 0 to 1; None where the head has none.
        mask: [K], mean logit of the pixels that the candidate's mask covers on the image as it is; None where not asked
            for.
        proposal: [K], the first stage's logit that there is an object, at the anchor that became the candidate's
            proposal; None where not asked for.
        rotated: [K, 5], centre x and y, width and height in network input pixels, and the angle between the width and
            the x axis in radians, clockwise in the image; None where not asked for, and where the head has none.
    """

    probabilities: np.ndarray
    logits: np.ndarray
    boxes_xyxy: np.ndarray | None = None
    objectness: np.ndarray | None = None
    quality: np.ndarray | None = None
    centerness: np.ndarray | None = None
    mask: np.ndarray | None = None
    proposal: np.ndarray | None = None
    rotated: np.ndarray | None = None


@dataclass(frozen=True)
class Candidates:
    """Every box of one image before NMS.

    Attributes:
        boxes_xyxy: float32 [M, classes or 1, 4], original pixels.
        scores: float32 [M, classes].
        grid_hw: of a heat map, whose cells are the candidates, row by row; None for others.
        polygons_xy: float32 [M, 4, 2], their corners in original pixels, where the boxes are rotated; `boxes_xyxy` are
            then the upright boxes around them.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    grid_hw: tuple[int, int] | None = None
    polygons_xy: np.ndarray | None = None

    def boxes_of(self, class_id: int) -> np.ndarray:
        """Returns [M, 4], each candidate's box for a class."""
        return self.boxes_xyxy[:, class_id if self.boxes_xyxy.shape[1] > 1 else 0]

    def only(self, rows: np.ndarray) -> Candidates:
        """Returns some of the candidates.

        Args:
            rows: bool [M], which.
        """
        polygons = None if self.polygons_xy is None else self.polygons_xy[rows]
        return Candidates(self.boxes_xyxy[rows], self.scores[rows], polygons_xy=polygons)

    def outlines(self, class_id: int) -> np.ndarray:
        """Returns what overlaps are told by: the polygons [M, 4, 2] where there are some, else `boxes_of` the class."""
        return self.boxes_of(class_id) if self.polygons_xy is None else self.polygons_xy


@dataclass(frozen=True)
class Found:
    """What a detector of which only the output is known shows of one image.

    Attributes:
        detections: every row of its output that is a detection; none where they were not asked for.
        candidates: every box before NMS, where it shows them; None where its output is the detections alone.
        rows: with candidates, index of a detection -> its candidate's row.
        output: where there are no candidates, the detections as numbers, in the same order: float32 [K, 6], class,
            score, left, top, right, bottom; or [K, 10], with corners.
    """

    detections: tuple[Detection, ...]
    candidates: Candidates | None = None
    rows: Mapping[int, int] = field(default_factory=dict)
    output: np.ndarray = field(default_factory=lambda: np.zeros((0, 6), np.float32))


class Contest(enum.Enum):
    """What competes to become a detection; the value is the word for many of them.

    Attributes:
        OVERLAPS: boxes of one class that overlap, in an NMS.
        PEAKS: cells of a class's heat map, each with its neighbours.
        QUERIES: object queries, each with its best class.
        PAIRS: pairs of object query and class.
    """

    OVERLAPS = "boxes"
    PEAKS = "peaks"
    QUERIES = "object queries"
    PAIRS = "pairs of object query and class"

    @property
    def is_of_queries(self) -> bool:
        """Whether candidates are object queries, of which no NMS leaves any out."""
        return self in (Contest.QUERIES, Contest.PAIRS)


class FeatureKind(enum.Enum):
    """What the rows of a captured tensor are."""

    IMAGE = "image"
    ROI = "roi"


@dataclass(frozen=True)
class FeatureMap:
    """One captured feature map, and how a box's score depends on it.

    Attributes:
        layer: dotted path of the layer.
        level: position among the feature maps that the layer gave.
        kind: of the whole image, or of the box's own RoI.
        activations: float [C, h, w]; of a cross-attention, the weights of its heads, [heads, h, w].
        gradients: float [C, h, w], d score / d activations; None when no path leads from here to the score.
        roi_xyxy: for a RoI, the proposal in network input pixels.
        pooled_xyxy: for a RoI, the part of the network input that its cells lie on; None where that is the proposal.
        is_own_level: whether the head made the box from a grid of this size, or, among a layer's grids, from the one
            closest to it in size.
        channel_scores: float [C], the score with each channel altered in turn; None unless the method asks for it.
        score: of the image as it is, to compare those with; None unless the method asks for it.
    """

    layer: str
    level: int
    kind: FeatureKind
    activations: np.ndarray
    gradients: np.ndarray | None
    roi_xyxy: tuple[float, float, float, float] | None = None
    pooled_xyxy: tuple[float, float, float, float] | None = None
    is_own_level: bool = True
    channel_scores: np.ndarray | None = None
    score: float | None = None

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Cells along y and x."""
        return int(self.activations.shape[1]), int(self.activations.shape[2])


class MapStatus(enum.Enum):
    """Whether a map shows something, and if not, why."""

    OK = "ok"
    NO_PATH = "no path from this layer to the score"
    ZERO_GRADIENT = "all gradients are zero"
    NEGATIVE = "no positive evidence: every weighted activation is zero or negative"
    NOT_FINITE = "the gradients or activations are not finite, or far too large"
    OUTSIDE = "no evidence falls on the image"
    DISJOINT = "the map of a finer layer shows nothing where this one does"
    NO_CANDIDATE = "the detector has no candidate at this place"


@dataclass(frozen=True)
class GridPlacement:
    """Where a grid lies on the original image, in original pixels.

    Attributes:
        top_left_yx: outer corner of cell (0, 0).
        cell_yx: size of one cell.
    """

    top_left_yx: tuple[float, float]
    cell_yx: tuple[float, float]


@dataclass(frozen=True)
class GridMap:
    """A map on the cells of a feature grid.

    Attributes:
        values: float [h, w], >= 0, evidence per cell, raw.
        placement: where the grid lies; `projection.project` puts the values there.
    """

    values: np.ndarray
    placement: GridPlacement


@dataclass(frozen=True)
class LevelShare:
    """How much of the evidence one captured tensor carries.

    Attributes:
        layer: dotted path of the layer.
        level: position among the tensors that the layer gave.
        grid_hw: cells along y and x.
        stride_yx: network input pixels per cell along y and x (for a RoI: of the box's own RoI).
        share: part of the evidence, 0 to 1; all shares of a box sum to 1, or are all 0 when there is none.
        grid: the map on its own cells, of which it was put on the image; of a map that several grids made, the whole on
            the finest of the layer that was named; None for the others, and when it was read from a manifest.
        cells: how many of its cells the gradient reaches, as `methods.cells_reached` counts them; None where none does
            or none was asked for.
    """

    layer: str
    level: int
    grid_hw: tuple[int, int]
    stride_yx: tuple[float, float]
    share: float
    grid: GridMap | None = field(default=None, compare=False, repr=False)
    cells: float | None = field(default=None, compare=False)


class Verdict(enum.Enum):
    """What became of a box that was asked about."""

    FOUND = "found"
    SUPPRESSED = "suppressed by NMS"
    COMBINED = "left out when the slices were combined"
    BEATEN = "beaten by another class or query"
    LIMITED = "left out by the detector's limits"
    NO_PEAK = "no maximum of the heat map"
    LOW_SCORE = "scored too low"
    NO_CANDIDATE = "no candidate there"


@dataclass(frozen=True)
class Answer:
    """What the detector made of a box that was drawn by hand or taken from ground truth.

    Attributes:
        name: file stem of what is written about it: "box_0", or "gt_17" for an annotation's id.
        box_xyxy: the box asked about, original pixels.
        class_name: the class asked about, None for any.
        verdict: what became of it.
        words: the verdict in one sentence, with its numbers.
        iou: of the best candidate with the box, 0 to 1.
        other_index: the detection that found it, suppressed it or beat it, or the peak beside it; else None.
        polygon_xy: its corners, where it was asked about as a polygon; `box_xyxy` is then the upright box around it.
        said: `words` clause by clause, for pages in other languages; empty when that is not known.
        share_seen: of an image looked at slice by slice, the part of the box in the image that the asked slice sees, 0
            to 1; None for an image looked at as a whole.
    """

    name: str
    box_xyxy: tuple[float, float, float, float]
    class_name: str | None
    verdict: Verdict
    words: str
    iou: float
    other_index: int | None = None
    polygon_xy: PolygonXy | None = None
    said: tuple[Said, ...] = ()
    share_seen: float | None = None


@dataclass(frozen=True)
class Explanation:
    """Why the detector drew one box, or what it saw in a box that was asked about.

    Attributes:
        detection: the box.
        method: name of the CAM method.
        layers: dotted paths of the layers looked at.
        levels: the evidence's share per level, before the map is refined.
        heatmap: float32 [H, W], >= 0, original pixels, raw (evidence per original pixel; not normalised).
        status: OK, or why the map is empty (then the heatmap is all zero).
        box_xyxy_roi: for RoI features, the proposal that was pooled, in original pixels.
        target: name of the number that is explained: "class", "box:left", "contrast:dog", ...
        answer: for a box that was asked about, what became of it; `detection` is then its best candidate.
        level_heatmaps: float32 [H, W] each, what every level adds to the heatmap, in the order of `levels`; empty
            unless they were asked for, and for a map that shows nothing.
        refined_by: dotted paths of the layers whose maps the map was multiplied with.
        note: what else a reader has to know of the map: that its layer is blind for this box, or has no stages inside.
        slice_xyxy: of an image looked at slice by slice, the slice that the map is of, in original pixels.
    """

    detection: Detection
    method: str
    layers: tuple[str, ...]
    levels: tuple[LevelShare, ...]
    heatmap: np.ndarray
    status: MapStatus
    box_xyxy_roi: tuple[float, float, float, float] | None = None
    target: str = "class"
    answer: Answer | None = None
    level_heatmaps: tuple[np.ndarray, ...] = ()
    refined_by: tuple[str, ...] = ()
    note: str | None = None
    slice_xyxy: tuple[int, int, int, int] | None = None

    @property
    def name(self) -> str:
        """File stem of what is written about it: the detection's index, or the name of the box asked about."""
        return self.answer.name if self.answer else str(self.detection.index)


@dataclass(frozen=True)
class LayerView:
    """What one level of a layer shows of an image, whatever the boxes.

    Attributes:
        layer: dotted path of the layer.
        level: position among the feature maps that the layer gave.
        stride_yx: network input pixels per cell along y and x.
        placement: where its grid lies on the image.
        channel_count: how many channels it has.
        mean: float [h, w], over all channels, raw activations.
        maximum: float [h, w], the same for their maximum.
        strongest: number and activations, float [h, w], of the channels with the highest mean absolute activation, the
            strongest first.
    """

    layer: str
    level: int
    stride_yx: tuple[float, float]
    placement: GridPlacement
    channel_count: int
    mean: np.ndarray
    maximum: np.ndarray
    strongest: tuple[tuple[int, np.ndarray], ...]

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Cells along y and x."""
        return int(self.mean.shape[0]), int(self.mean.shape[1])

    def grids(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields each grid with its name: "mean", "maximum", "channel 17"."""
        yield "mean", self.mean
        yield "maximum", self.maximum
        for channel, values in self.strongest:
            yield f"channel {channel}", values
