"""Which boxes of an image are explained: detections that are chosen, boxes that are asked about, missed objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.families.base import KeptRow
from ppdet_cam.explaining.projection import box_on_original
from ppdet_cam.questions.boxes import Judgement, Scene, judge, own_score
from ppdet_cam.questions.question import Question
from ppdet_cam.questions.truth import TrueBox, asked_about
from ppdet_cam.structures import Answer, Detection, Quantity


@dataclass(frozen=True)
class Subject:
    """A box to explain; without a candidate there is nothing to explain, and that is said.

    Attributes:
        detection: the box.
        kept: its candidate before NMS.
        answer: what became of it, for a box that was asked about.
    """

    detection: Detection
    kept: KeptRow | None
    answer: Answer | None = None


def subjects_of(
    detector: Detector, forward: ForwardPass, question: Question, true_boxes: Sequence[TrueBox]
) -> list[Subject]:
    """Returns the chosen detections in their order, or the boxes asked about; then the objects that were missed."""
    subjects = []
    if not question.boxes:
        chosen = question.selection.choose(forward.detections, detector.class_names)
        subjects = [Subject(detection, forward.kept[detection.index]) for detection in chosen]
    threshold, rotated = question.selection.draw_threshold, Quantity.ROTATED in detector.extractor.quantities
    asked = asked_about(question.boxes, forward.detections, true_boxes, draw_threshold=threshold, rotated=rotated)
    if asked:
        scene = scene_of(detector, forward, threshold)
        subjects += [subject_of(judge(box, scene, claimed=taken)) for box, taken in asked]
    return subjects


def subject_of(judgement: Judgement) -> Subject:
    """Returns what is explained of a box that was asked about."""
    detection, row = judgement.detection, judgement.row
    kept = None if row is None else KeptRow(row, detection.class_id, own_score(detection))
    return Subject(detection, kept, judgement.answer)


def scene_of(detector: Detector, forward: ForwardPass, draw_threshold: float) -> Scene:
    """Returns what a verdict needs of a forward pass."""
    rule, proposals = forward.extractor.keep_rule, forward.extractor.proposals(forward.watch)
    return Scene(
        candidates=forward.candidates(),
        detections=forward.detections,
        rows={index: kept.row for index, kept in forward.kept.items()},
        class_names=detector.class_names,
        draw_threshold=draw_threshold,
        nms_score_threshold=rule.score_threshold,
        nms_iou=rule.iou_threshold,
        proposals_xyxy=None
        if proposals is None
        else np.array([box_on_original(tuple(box), forward.geometry) for box in proposals]),
        contest=rule.contest,
        limit=rule.limit,
    )
