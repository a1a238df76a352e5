"""Explanations of a detector of which nothing is known but what it finds: an exported model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.altering import BoxSought, Progress, batches, occluded_map, similarity_maps
from ppdet_cam.explaining.finding import best_near, candidates_of
from ppdet_cam.methods import Needs, margin, methods
from ppdet_cam.questions.boxes import Scene, judge
from ppdet_cam.questions.question import DEFAULT_LAYER, Question
from ppdet_cam.questions.targets import DEFAULT_TARGET
from ppdet_cam.questions.truth import TrueBox, asked_about
from ppdet_cam.structures import Answer, Detection, Explanation, Frame, MapStatus

# The least score that a box may have and still be in a detector's output is not known. Of a box that is gone: the
# lowest score in the image's own output, but between these.
LOWEST_SCORES = (0.001, 0.05)


class BlackBox(Protocol):
    """What finds boxes on images.

    Attributes:
        class_names: names by class id.
        name: what errors call it.
    """

    class_names: Sequence[str]

    @property
    def name(self) -> str: ...

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        """Returns the detections of images of one size."""
        ...


def check_black_box(box: BlackBox, question: Question) -> None:
    """Checks a question before any image is read.

    Raises:
        ConfigError: it asks for the inside.
        UnknownNameError: no such class.
    """
    fitting = [name for name in methods.names() if methods.get(name).needs.is_of_images]
    inside = (
        "Only its output is known; to look inside, give -c and the config that it was exported from, and its weights"
    )
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
        raise ConfigError("--slice_infer goes with -c, not with --model_dir; give the parts of the image as images")
    question.selection.class_ids(box.class_names)


def explained(
    box: BlackBox,
    frame: Frame,
    detections: Sequence[Detection],
    question: Question,
    true_boxes: Sequence[TrueBox],
    *,
    progress: Progress,
) -> Iterator[Explanation]:
    """Yields the explanation of each chosen detection or box asked about, then of the objects that were missed."""
    subjects = _subjects(box, detections, question, true_boxes)
    maps = _maps(box, frame, detections, [found for found, is_there, _ in subjects if is_there], question, progress)
    for detection, is_there, answer in subjects:
        heatmap = next(maps) if is_there else np.zeros(frame.original_hw, np.float32)
        status = MapStatus.NO_CANDIDATE if not is_there else MapStatus.OK if heatmap.any() else MapStatus.NEGATIVE
        yield Explanation(detection, question.method, (), (), heatmap, status, target=DEFAULT_TARGET, answer=answer)


Subject = tuple[Detection, bool, "Answer | None"]  # the box, whether the output has it, what became of it


def _subjects(
    box: BlackBox, detections: Sequence[Detection], question: Question, true_boxes: Sequence[TrueBox]
) -> list[Subject]:
    subjects: list[Subject] = []
    if not question.boxes:
        subjects = [(one, True, None) for one in question.selection.choose(detections, box.class_names)]
    threshold = question.selection.draw_threshold
    rotated = any(one.polygon_xy is not None for one in detections)
    asked = asked_about(question.boxes, detections, true_boxes, draw_threshold=threshold, rotated=rotated)
    scene = Scene(
        candidates=candidates_of(detections, classes=len(box.class_names)),
        detections=detections,
        rows={one.index: row for row, one in enumerate(detections)},
        class_names=box.class_names,
        draw_threshold=threshold,
        nms_score_threshold=0.0,
        nms_iou=0.0,
        is_output_only=True,
    )
    for one, taken in asked:
        judgement = judge(one, scene, claimed=taken)
        subjects.append((judgement.detection, judgement.row is not None, judgement.answer))
    return subjects


def _maps(
    box: BlackBox,
    frame: Frame,
    detections: Sequence[Detection],
    sought: Sequence[Detection],
    question: Question,
    progress: Progress,
) -> Iterator[np.ndarray]:
    """Yields the map of each box, float32 [H, W]."""
    if methods.get(question.method).needs is Needs.MASKS:
        yield from _similarity_maps(box, frame, sought, question, progress)
    else:
        for one in sought:
            yield _occlusion_map(box, frame, detections, one, question, progress)


def _similarity_maps(
    box: BlackBox, frame: Frame, sought: Sequence[Detection], question: Question, progress: Progress
) -> list[np.ndarray]:
    if not sought:
        return []
    classes = max([len(box.class_names), *(one.class_id + 1 for one in sought)])
    seen = candidates_of(sought, classes=classes)
    boxes = [
        BoxSought(one.class_id, seen.outlines(one.class_id)[row], seen.scores[row]) for row, one in enumerate(sought)
    ]
    return similarity_maps(
        frame,
        boxes,
        lambda images: [candidates_of(found, classes=classes) for found in box.detect(images)],
        question,
        progress=progress,
    )


def _occlusion_map(
    box: BlackBox,
    frame: Frame,
    detections: Sequence[Detection],
    sought: Detection,
    question: Question,
    progress: Progress,
) -> np.ndarray:
    """Returns the map of a box. What falls is the lead of its class over the others among the boxes that lie there."""
    low, high = LOWEST_SCORES
    floor = min(max(min((one.score for one in detections), default=high), low), high)
    classes = max([len(box.class_names), *(one.class_id + 1 for one in detections)])

    def lead(found: Sequence[Detection]) -> float:
        probabilities = best_near(sought, found, classes=classes, floor=floor)
        return margin(probabilities, sought.class_id)

    def leads(images: Iterable[np.ndarray]) -> Iterator[float]:
        for some in batches(images, question.batch):
            yield from (lead(found) for found in box.detect([Frame(image, frame.path) for image in some]))

    heatmap = occluded_map(frame, sought.box_xyxy, lambda: lead(detections), leads, question, progress=progress)
    return heatmap.astype(np.float32)
