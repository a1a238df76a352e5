"""Methods measured on a detector and annotated images: which map says most truly why a box is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.config import Question
from ppdet_cam.detector import Detector
from ppdet_cam.explainer import Explainer
from ppdet_cam.metrics import Curves, MeasuredMap, baselines, best_similarity, curves, measure
from ppdet_cam.replay import candidates_of_images
from ppdet_cam.structures import Candidates, Detection, Explanation, Frame
from ppdet_cam.truth import Match, TrueBox, match

BATCH = 8


@dataclass(frozen=True)
class Measured:
    """One map of one box, measured.

    Attributes:
        image: the image's name.
        index: the detection's.
        class_name: its class.
        evidence: "inside" or "outside" the box, "" where none is known.
        method: name of the method, or of a baseline.
        layer: the layers looked at, joined by commas; "" for methods and baselines without one.
        values: metric -> number.
    """

    image: str
    index: int
    class_name: str
    evidence: str
    method: str
    layer: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class _Box:
    """A detection that found an object, and what is known of the object."""

    detection: Detection
    match: Match
    others: tuple[TrueBox, ...]


def measured_image(
    detector: Detector,
    frame: Frame,
    name: str,
    true_boxes: Sequence[TrueBox],
    questions: Sequence[Question],
    *,
    curve_boxes: int = 0,
    names: Sequence[str] | None = None,
) -> Iterator[Measured]:
    """Yields the metrics of every question's maps, and of the baselines, for each detection that found an object.

    Args:
        detector: with its weights loaded.
        frame: the image.
        name: its name.
        true_boxes: its objects.
        questions: what to ask; each one's selection says which detections take part.
        curve_boxes: for how many boxes to measure deletion and insertion, which take a forward pass per step; they are
            taken evenly from the image's boxes.
        names: the metrics; None for all that can be measured.
    """
    explainer = Explainer.of_question(detector, questions[0])
    first = explainer.stream(frame, question=dataclasses.replace(questions[0], method="eigencam"))
    chosen = questions[0].selection.choose(first.detections, detector.class_names)
    boxes = [
        _Box(
            next(d for d in chosen if d.index == found.index),
            found,
            tuple(box for box in true_boxes if box is not found.true_box),
        )
        for found in match(chosen, true_boxes)
    ]
    if not boxes:
        return
    chosen_for_curves = boxes[:: -(-len(boxes) // curve_boxes)] if curve_boxes else []
    score_fns = {box.detection.index: _score_fn(detector, frame, box.detection) for box in chosen_for_curves}
    for question in questions:
        selection = dataclasses.replace(question.selection, box_index=tuple(sorted(b.detection.index for b in boxes)))
        asked = dataclasses.replace(question, selection=selection)
        by_index = {e.detection.index: e for e in explainer.stream(frame, question=asked).explanations}
        for box in boxes:
            explanation = by_index[box.detection.index]
            yield _measured(frame, name, box, explanation, score_fns.get(box.detection.index), names)
    for baseline in baselines.names():
        for box in boxes:
            heatmap = baselines.get(baseline)(box.detection.box_xyxy, map_hw=frame.original_hw)
            yield _of_map(frame, name, box, heatmap, baseline, "", score_fns.get(box.detection.index), names)


def _measured(
    frame: Frame,
    name: str,
    box: _Box,
    explanation: Explanation,
    score_fn: Callable[[np.ndarray], np.ndarray] | None,
    names: Sequence[str] | None,
) -> Measured:
    layer = ",".join(explanation.layers)
    method = explanation.method if explanation.target == "class" else f"{explanation.method} {explanation.target}"
    return _of_map(frame, name, box, explanation.heatmap, method, layer, score_fn, names)


def _of_map(
    frame: Frame,
    name: str,
    box: _Box,
    heatmap: np.ndarray,
    method: str,
    layer: str,
    score_fn: Callable[[np.ndarray], np.ndarray] | None,
    names: Sequence[str] | None,
) -> Measured:
    known = box.match.true_box
    both: Curves | None = None
    if score_fn is not None:
        both = curves(frame.image, heatmap, score_fn=score_fn, steps=20, batch_size=BATCH)
    of = MeasuredMap(
        heatmap,
        box.detection.box_xyxy,
        evidence_xyxy=known.evidence_xyxy,
        other_boxes_xyxy=tuple(other.box_xyxy for other in box.others),
        curves=both,
    )
    where = "" if known.evidence_xyxy is None else "outside" if known.evidence_is_outside else "inside"
    values = measure(of, names)
    return Measured(name, box.detection.index, box.detection.class_name, where, method, layer, values)


def _score_fn(detector: Detector, frame: Frame, detection: Detection) -> Callable[[np.ndarray], np.ndarray]:
    """Returns D-RISE's similarity to a detection: how much of it is left on altered images.

    The candidates are those that NMS would be given; the highest class score of each stands for its objectness.
    """
    scores = np.zeros(len(detector.class_names), np.float64)
    scores[detection.class_id] = 1.0

    def score(images: np.ndarray) -> np.ndarray:
        frames = [Frame(image) for image in images]
        return np.array([_left(candidates) for candidates in candidates_of_images(detector, frame, frames)])

    def _left(candidates: Candidates) -> float:
        sure = candidates.scores[:, detection.class_id]
        seen = sure >= detector.nms_settings.score_threshold
        column = detection.class_id if candidates.boxes_xyxy.shape[1] > 1 else 0
        return best_similarity(
            detection.box_xyxy,
            scores[: candidates.scores.shape[1]],
            boxes_xyxy=candidates.boxes_xyxy[seen, column],
            scores=candidates.scores[seen],
            objectness=sure[seen],
        )

    return score
