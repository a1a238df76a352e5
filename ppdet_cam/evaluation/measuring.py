"""One annotated image: the maps of every method, and of the baselines, measured for each object that was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.families.base import KeptRow, Source
from ppdet_cam.detectors.layer_names import parse_layers
from ppdet_cam.errors import WeightsError
from ppdet_cam.evaluation.altered import AlteredImages
from ppdet_cam.evaluation.config import label_of
from ppdet_cam.evaluation.randomising import Part, cascade
from ppdet_cam.evaluation.shipped_tool import NAME as SHIPPED_TOOL
from ppdet_cam.evaluation.shipped_tool import shipped_level, shipped_map
from ppdet_cam.evaluation.values import SANITY_BASELINE, ImageMeasurement, Measured, Place, Sanity
from ppdet_cam.explaining.chain import Asked, asked_of, forward_of, maps_from_features, maps_of
from ppdet_cam.explaining.explainer import Explainer
from ppdet_cam.explaining.gradients import image_features, roi_features
from ppdet_cam.metrics import (
    MeasuredMap,
    applicable,
    baselines,
    content_free,
    curves,
    map_ssim,
    measure,
    metrics,
    rank_correlations,
    spearman,
)
from ppdet_cam.outputs.raw import block_means
from ppdet_cam.questions.overlaps import corners
from ppdet_cam.questions.question import Question
from ppdet_cam.questions.targets import DEFAULT_TARGET, parse_target
from ppdet_cam.questions.truth import Match, TrueBox, match, true_mask
from ppdet_cam.structures import Detection, Frame, Quantity

CURVE_STEPS = 20
BATCH = 8
# maps are compared with each other after they were averaged to at most so many values a side
COMPARED_SIDE = 128
# what is compared when parameters are random: the box and half of it around, and never less than SSIM's window twice
SANITY_WIDENED_BY = 0.5
SANITY_LEAST = 22.0


@dataclass(frozen=True)
class Plan:
    """What is measured of each image.

    Attributes:
        questions: one for each method and layer; the first one's selection says which detections take part.
        metrics: names of metrics, those of which a box has what they need are measured.
        costly_boxes: of how many boxes of an image deletion, insertion and sanity are measured; they take a forward
            pass per step. The boxes are taken evenly.
        agreement: whether the methods' maps are compared with each other.
        sanity: the model's parts that are made random one after the other; empty for no such check.
        seed: of that.
    """

    questions: tuple[Question, ...]
    metrics: tuple[str, ...]
    costly_boxes: int = 0
    agreement: bool = False
    sanity: tuple[Part, ...] = ()
    seed: int = 0

    @property
    def with_curves(self) -> bool:
        """Whether a metric needs deletion and insertion."""
        return any(metrics.get(name).needs == "curves" for name in self.metrics)


def measured_image(detector: Detector, frame: Frame, true_boxes: Sequence[TrueBox], plan: Plan) -> ImageMeasurement:
    """Returns the metrics of every question's maps, and of the baselines, for each detection that found an object.

    Args:
        detector: with its weights loaded.
        frame: the image.
        true_boxes: its objects.
        plan: what to measure.

    Raises:
        PpdetCamError: the image cannot be explained.
    """
    image = _Image(detector, frame, true_boxes, plan)
    maps: list[list[Measured]] = [[] for _ in image.boxes]
    compared: list[list[np.ndarray]] = [[] for _ in image.boxes]
    block = -(-max(frame.original_hw) // COMPARED_SIDE)
    for question, position, heatmap in image.maps():
        box = image.boxes[position]
        maps[position].append(image.measured(box, heatmap, *label_of(question)))
        if plan.agreement:
            compared[position].append(block_means(heatmap, block))
    for name, layer, heatmaps in image.baselines():
        for position, heatmap in enumerate(heatmaps):
            maps[position].append(image.measured(image.boxes[position], heatmap, name, layer))
    sanity = image.sanity()
    return ImageMeasurement(
        len(true_boxes),
        tuple(
            Place(
                box.detection.index,
                box.detection.class_name,
                box.detection.score,
                box.evidence,
                tuple(maps[position]),
                tuple(_upper_triangle(rank_correlations(compared[position]))) if compared[position] else (),
                tuple(sanity.get(box.detection.index, ())),
            )
            for position, box in enumerate(image.boxes)
        ),
    )


@dataclass(frozen=True)
class _Box:
    """A detection that found an object, and what is known of the object."""

    detection: Detection
    kept: KeptRow
    match: Match
    others: tuple[TrueBox, ...]
    is_costly: bool

    @property
    def evidence(self) -> str:
        known = self.match.true_box
        return "" if known.evidence_xyxy is None else "outside" if known.evidence_is_outside else "inside"


class _Image:
    """One image while it is measured."""

    def __init__(self, detector: Detector, frame: Frame, true_boxes: Sequence[TrueBox], plan: Plan) -> None:
        self._detector, self._frame, self._plan = detector, frame, plan
        self._explainer = Explainer.of_question(detector, plan.questions[0])
        self._asked = [asked_of(detector, question) for question in plan.questions]
        forward = self._forward = detector.forward(frame, {})
        chosen = plan.questions[0].selection.choose(forward.detections, detector.class_names)
        found = sorted(match(chosen, true_boxes), key=lambda one: one.index)
        costly = found[:: -(-len(found) // plan.costly_boxes)] if found and plan.costly_boxes else []
        by_index = {detection.index: detection for detection in chosen}
        self.boxes = [
            _Box(
                by_index[one.index],
                dataclasses.replace(
                    forward.kept[one.index],
                    pinned=self._place(forward, forward.kept[one.index]),
                ),
                one,
                tuple(box for box in true_boxes if box is not one.true_box),
                one in costly,
            )
            for one in found
        ]
        self._altered = AlteredImages(detector, frame, [box.detection for box in self.boxes if box.is_costly])

    def _place(self, forward: ForwardPass, kept: KeptRow) -> Source:
        """Returns a candidate's place in the head, with all that the plan's targets need beside it."""
        extractor = forward.extractor
        place = extractor.source(forward.watch, kept.row)
        for quantity in {one.target.quantity for one in self._asked}:
            place = extractor.located(forward.watch, place, kept.class_id, wanted=quantity)
        return place

    def maps(self) -> Iterator[tuple[Question, int, np.ndarray]]:
        """Yields question, a box's position, and its map; of each box, in the order of the questions."""
        if not self.boxes:
            return
        detector, frame, progress = self._detector, self._frame, self._explainer.progress
        kept = [dataclasses.replace(box.kept, pinned=None) for box in self.boxes]
        of_images = {
            one.question: maps_of(detector, frame, self._forward, one, kept, progress=progress)
            for one in self._asked
            if one.method.needs.is_of_images
        }
        of_features = self._feature_maps(kept)
        for position in range(len(self.boxes)):
            found = {question: next(maps).heatmap for question, maps in of_images.items()}
            found.update(next(of_features, {}))
            for question in self._plan.questions:
                yield question, position, found[question]

    def _feature_maps(self, kept: Sequence[KeptRow]) -> Iterator[dict[Question, np.ndarray]]:
        """Yields, box by box, the map for each question about feature maps.

        One forward pass serves all questions about one quantity, one backward pass all methods that look at the same
        layers for the same target.
        """
        alike: dict[object, list[Asked]] = {}
        by_quantity: dict[Quantity, list[Asked]] = {}
        for one in self._asked:
            if not one.method.needs.is_of_images:
                alike.setdefault((one.target.name, one.layers, tuple(one.finer)), []).append(one)
                by_quantity.setdefault(one.target.quantity, []).append(one)
        forwards = {of: forward_of(self._detector, self._frame, *asked) for of, asked in by_quantity.items()}
        groups = [
            maps_from_features(
                self._detector,
                self._frame,
                forwards[asked[0].target.quantity],
                asked,
                kept,
                progress=self._explainer.progress,
            )
            for asked in alike.values()
        ]
        for of_box in zip(*groups):
            yield {
                one.question: found.heatmap
                for asked, maps in zip(alike.values(), of_box)
                for one, found in zip(asked, maps)
            }

    def baselines(self) -> Iterator[tuple[str, str, Iterator[np.ndarray]]]:
        """Yields name, layer, and a map per box, of what needs no method."""
        original_hw = self._frame.original_hw
        for name in baselines.names():
            of_box = baselines.get(name)
            yield name, "", (of_box(box.detection.outline, map_hw=original_hw) for box in self.boxes)
        layers = [question.layers for question in self._plan.questions if label_of(question)[1]]
        for layer, *_ in dict.fromkeys(layers):
            yield SHIPPED_TOOL, layer, self._shipped_maps(layer)

    def _shipped_maps(self, layer: str) -> Iterator[np.ndarray]:
        detector, wanted = self._detector, parse_layers((layer,))
        image_layers, roi_layers = detector.layers(list(wanted))
        target = parse_target(
            DEFAULT_TARGET, detector.class_names, known=detector.extractor.quantities, detector=detector.name
        )
        forward = detector.forward(self._frame, image_layers)
        levels = {path: forward.capture.chosen(path, wanted[path]) for path in image_layers}
        kept = [box.kept for box in self.boxes]
        if roi_layers:
            features = (of_target for (of_target,) in roi_features(forward, roi_layers, wanted, kept, target))
        else:
            features = (image_features(forward, levels, one, target)[0] for one in kept)
        for box, found in zip(self.boxes, features):
            yield shipped_map(
                shipped_level(found), box_xyxy=box.detection.box_xyxy, original_hw=self._frame.original_hw
            )

    def measured(self, box: _Box, heatmap: np.ndarray, method: str, layer: str) -> Measured:
        """Returns the metrics of one map."""
        known, frame = box.match.true_box, self._frame
        both = None
        if box.is_costly and self._plan.with_curves:
            score_fn, (fill, start) = self._altered.score_fn(box.detection), self._content_free
            both = curves(
                frame.image, heatmap, score_fn=score_fn, fill=fill, start=start, steps=CURVE_STEPS, batch_size=BATCH
            )
        of = MeasuredMap(
            heatmap,
            box.detection.outline,
            mask=self._mask(known),
            evidence_xyxy=known.evidence_xyxy,
            other_boxes_xyxy=tuple(
                other.box_xyxy if box.detection.polygon_xy is None else corners(other) for other in box.others
            ),
            curves=both,
        )
        there = set(applicable(of))
        values = measure(of, [name for name in self._plan.metrics if name in there])
        if both is None:
            return Measured(method, layer, values)
        deletion, insertion = (
            tuple(round(float(score), 4) for score in curve.normalised) for curve in (both.deletion, both.insertion)
        )
        return Measured(method, layer, values, deletion, insertion)

    @cached_property
    def _content_free(self) -> tuple[np.ndarray, np.ndarray]:
        """What deletion ends with, and what insertion begins with."""
        return content_free(self._frame.image, "mean"), content_free(self._frame.image, "blur")

    def _mask(self, known: TrueBox) -> np.ndarray | None:
        if known.annotation_id not in self._masks:
            self._masks[known.annotation_id] = true_mask(known, original_hw=self._frame.original_hw)
        return self._masks[known.annotation_id]

    @cached_property
    def _masks(self) -> dict[int, np.ndarray | None]:
        return {}

    def sanity(self) -> dict[int, list[Sanity]]:
        """Returns, by detection, how alike each map of feature maps is to itself when parts of the model are random.

        And last how alike it is to SANITY_BASELINE, as maps of one box are whatever they show.
        """
        boxes = [box for box in self.boxes if box.is_costly]
        asked = [question for question in self._plan.questions if label_of(question)[1]]
        if not (boxes and asked and self._plan.sanity):
            return {}
        places = [box.kept for box in boxes]
        crops = [_sanity_crop(box.detection, self._frame.original_hw) for box in boxes]

        def maps() -> list[dict[Question, np.ndarray]]:
            """Returns the map for each question, box by box, of the model as it is now."""
            try:
                found = list(self._feature_maps(places))
            except WeightsError:  # a random model may give boxes that are no numbers: then there is no map either
                nothing = np.zeros(self._frame.original_hw, np.float32)
                found = [dict.fromkeys(asked, nothing) for _ in places]
            return [{of: heatmap[crop] for of, heatmap in one.items()} for one, crop in zip(found, crops)]

        before = maps()
        alike: list[list[list[tuple[float, float]]]] = [[[] for _ in boxes] for _ in asked]
        with cascade(self._detector, list(self._plan.sanity), seed=self._plan.seed) as parts:
            for _ in parts:
                for position, after in enumerate(maps()):
                    for number, question in enumerate(asked):
                        own, other = before[position][question], after[question]
                        alike[number][position].append((spearman(own, other), map_ssim(own, other)))
        of_box = baselines.get(SANITY_BASELINE)
        for position, (box, crop) in enumerate(zip(boxes, crops)):
            other = of_box(box.detection.outline, map_hw=self._frame.original_hw)[crop]
            for number, question in enumerate(asked):
                own = before[position][question]
                alike[number][position].append((spearman(own, other), map_ssim(own, other)))
        return {
            box.detection.index: [
                Sanity(
                    *label_of(question),
                    tuple(rank for rank, _ in alike[number][position]),
                    tuple(similar for _, similar in alike[number][position]),
                )
                for number, question in enumerate(asked)
            ]
            for position, box in enumerate(boxes)
        }


def _sanity_crop(detection: Detection, original_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Returns rows and columns around a box, within the image."""
    left, top, right, bottom = detection.box_xyxy

    def along(start: float, stop: float, pixels: int) -> slice:
        reach = max((stop - start) * (0.5 + SANITY_WIDENED_BY), SANITY_LEAST / 2)
        centre = min(max((start + stop) / 2, SANITY_LEAST / 2), pixels - SANITY_LEAST / 2)
        return slice(max(0, int(centre - reach)), min(pixels, int(np.ceil(centre + reach))))

    return along(top, bottom, original_hw[0]), along(left, right, original_hw[1])


def _upper_triangle(matrix: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in matrix[np.triu_indices(len(matrix), 1)]]
