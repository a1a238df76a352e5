"""Explanations of a detector of which nothing is known but what it finds: an exported model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Optional, Protocol

import numpy as np

from ppdet_cam.detectors.families.last_step import KeepRule
from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.altering import BoxSought, Progress, batches, occluded_map, similarity_maps
from ppdet_cam.explaining.finding import best_near, candidates_of
from ppdet_cam.methods import Needs, margin, methods
from ppdet_cam.questions.boxes import Scene, judge
from ppdet_cam.questions.question import DEFAULT_LAYER, Question
from ppdet_cam.questions.targets import DEFAULT_TARGET
from ppdet_cam.questions.truth import TrueBox, asked_about
from ppdet_cam.structures import Answer, Candidates, Contest, Detection, Explanation, Found, Frame, MapStatus

# The least score that a box may have and still be in a detector's output is not known. Of a box that is gone: the
# lowest score in the image's own output above 0, which fillers have, but between these.
LOWEST_SCORES = (0.001, 0.05)


class BlackBox(Protocol):
    """What finds boxes on images.

    Attributes:
        class_names: names by class id.
        name: what errors call it.
        way_inside: how its inside is looked at, for errors.
        keep_rule: the numbers by which its candidates become detections, where it shows candidates.
    """

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def name(self) -> str: ...

    @property
    def way_inside(self) -> str: ...

    @property
    def keep_rule(self) -> KeepRule | None: ...

    def detect(self, frames: Sequence[Frame], *, until_nms: bool = False) -> list[Found]:
        """Returns what is found on images of one size.

        Args:
            frames: the images.
            until_nms: whether candidates, where they are shown, or else numbers will do, and no detections are made of
                them.
        """
        ...


def check_black_box(box: BlackBox, question: Question) -> None:
    """Checks a question before any image is read.

    Raises:
        ConfigError: it asks for the inside.
        UnknownNameError: no such class.
    """
    fitting = [name for name in methods.names() if methods.get(name).needs.is_of_images]
    inside = f"Only its output is known; to look inside, {box.way_inside}"
    if question.is_of_layers or question.method not in fitting:
        raise ConfigError(
            f"--method {question.method} looks inside, and {box.name} shows nothing of it. {inside}. Or ask "
            f"with --method {' or '.join(fitting)}"
        )
    if question.layers != (DEFAULT_LAYER,):
        raise ConfigError(f"layer {question.layers[0]!r} lies inside, and {box.name} shows nothing of it. {inside}")
    if question.target != DEFAULT_TARGET:
        raise ConfigError(
            f"--target {question.target} is a number inside the head, and {box.name} gives scores and boxes alone, so "
            f"--target must be {DEFAULT_TARGET!r}. {inside}"
        )
    if question.slicing is not None:
        raise ConfigError(
            f"--slice_infer goes with what looks inside: {box.way_inside}; or give the parts of the image as images"
        )
    question.selection.class_ids(box.class_names)


def explained(
    box: BlackBox,
    frame: Frame,
    found: Found,
    question: Question,
    true_boxes: Sequence[TrueBox],
    *,
    progress: Progress,
) -> Iterator[Explanation]:
    """Yields the explanation of each chosen detection or box asked about, then of the objects that were missed."""
    subjects = _subjects(box, found, question, true_boxes)
    sought = [(detection, row) for detection, row, _ in subjects if row is not None]
    maps = _maps(box, frame, found, sought, question, progress)
    for detection, row, answer in subjects:
        heatmap = np.zeros(frame.original_hw, np.float32) if row is None else next(maps)
        status = MapStatus.NO_CANDIDATE if row is None else MapStatus.OK if heatmap.any() else MapStatus.NEGATIVE
        yield Explanation(detection, question.method, (), (), heatmap, status, target=DEFAULT_TARGET, answer=answer)


Sought = tuple[Detection, int]  # a box, and its row among what is known before NMS
Subject = tuple[Detection, Optional[int], Optional[Answer]]  # the same, None where it is not there; what became of it


def _known(found: Found, *, classes: int) -> Candidates:
    """Returns every box that is known of an image: those before NMS where they are shown, else the detections."""
    return found.candidates or candidates_of(found.output, classes=classes)


def _rows(found: Found) -> Mapping[int, int]:
    """Returns a detection's index -> its row in what is known."""
    return found.rows if found.candidates else {one.index: row for row, one in enumerate(found.detections)}


def _subjects(box: BlackBox, found: Found, question: Question, true_boxes: Sequence[TrueBox]) -> list[Subject]:
    detections, rows, rule = found.detections, _rows(found), box.keep_rule if found.candidates else None
    subjects: list[Subject] = []
    if not question.boxes:
        subjects = [(one, rows[one.index], None) for one in question.selection.choose(detections, box.class_names)]
    threshold = question.selection.draw_threshold
    rotated = any(one.polygon_xy is not None for one in detections)
    asked = asked_about(question.boxes, detections, true_boxes, draw_threshold=threshold, rotated=rotated)
    scene = Scene(
        candidates=_known(found, classes=len(box.class_names)),
        detections=detections,
        rows=dict(rows),
        class_names=box.class_names,
        draw_threshold=threshold,
        nms_score_threshold=rule.score_threshold if rule else 0.0,
        nms_iou=rule.iou_threshold if rule else 0.0,
        contest=rule.contest if rule else Contest.OVERLAPS,
        limit=rule.limit if rule else None,
        is_output_only=rule is None,
    )
    for one, taken in asked:
        judgement = judge(one, scene, claimed=taken)
        subjects.append((judgement.detection, judgement.row, judgement.answer))
    return subjects


def _maps(
    box: BlackBox, frame: Frame, found: Found, sought: Sequence[Sought], question: Question, progress: Progress
) -> Iterator[np.ndarray]:
    """Yields the map of each box, float32 [H, W]."""
    if methods.get(question.method).needs is Needs.MASKS:
        yield from _similarity_maps(box, frame, found, sought, question, progress)
    else:
        for one in sought:
            yield _occlusion_map(box, frame, found, one, question, progress)


def _similarity_maps(
    box: BlackBox, frame: Frame, found: Found, sought: Sequence[Sought], question: Question, progress: Progress
) -> list[np.ndarray]:
    if not sought:
        return []
    seen = _known(found, classes=len(box.class_names))
    classes = seen.scores.shape[1]
    boxes = [BoxSought(one.class_id, seen.outlines(one.class_id)[row], seen.scores[row]) for one, row in sought]

    def left(there: Found) -> Candidates:
        if there.candidates is None or box.keep_rule is None:
            return _known(there, classes=classes)
        return there.candidates.only(there.candidates.scores.max(axis=1) >= box.keep_rule.score_threshold)

    return similarity_maps(
        frame,
        boxes,
        lambda images: [left(there) for there in box.detect(images, until_nms=True)],
        question,
        progress=progress,
    )


def _occlusion_map(
    box: BlackBox, frame: Frame, found: Found, sought: Sought, question: Question, progress: Progress
) -> np.ndarray:
    """Returns the map of a box: what falls is the lead of its class over the others.

    At the box's own candidate where it is shown and is the same on every image, else among the boxes that lie there:
    the queries of many DETRs are picked anew on each image.
    """
    detection, row = sought
    low, high = LOWEST_SCORES
    floor = min(max(min((one.score for one in found.detections if one.score > 0), default=high), low), high)
    seen = _known(found, classes=len(box.class_names))
    classes = seen.scores.shape[1]  # more than there are names where the graph finds such

    def lead(there: Found) -> float:
        if there.candidates is not None and box.keep_rule is not None and not box.keep_rule.contest.is_of_queries:
            return margin(there.candidates.scores[row], detection.class_id)
        return margin(best_near(detection, _known(there, classes=classes), floor=floor), detection.class_id)

    def leads(images: Iterable[np.ndarray]) -> Iterator[float]:
        for some in batches(images, question.batch):
            altered = [Frame(image, frame.path) for image in some]
            yield from (lead(there) for there in box.detect(altered, until_nms=True))

    place = seen.boxes_of(detection.class_id)[row].tolist()
    heatmap = occluded_map(frame, place, lambda: lead(found), leads, question, progress=progress)
    return heatmap.astype(np.float32)
