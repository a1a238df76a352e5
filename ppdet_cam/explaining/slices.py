"""An image looked at slice by slice: the slices' boxes become the image's, each map is placed in the whole image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.explaining.altering import Progress
from ppdet_cam.explaining.chain import Asked, explanations, forward_of
from ppdet_cam.explaining.subjects import Subject, scene_of, subject_of
from ppdet_cam.questions.boxes import Scene, judge
from ppdet_cam.questions.sliced import Asking, SliceBoxes, asking, combined, in_slice
from ppdet_cam.questions.slicing import Slicing, Window
from ppdet_cam.questions.truth import TrueBox, asked_about
from ppdet_cam.structures import Candidates, Detection, Explanation, Frame, GridPlacement, LevelShare, Quantity


@dataclass(frozen=True)
class SlicedImage:
    """An image whose slices were all looked at once.

    Attributes:
        frame: the whole image.
        boxes: of its slices.
    """

    frame: Frame
    boxes: SliceBoxes


def looked_at(detector: Detector, frame: Frame, slicing: Slicing) -> SlicedImage:
    """Returns the boxes of all slices, combined. No slice's forward pass is kept: a large image has hundreds."""
    windows = slicing.windows(frame.original_hw)
    found = [
        (_shifted(detection, window), (number, detection.index))
        for number, window in enumerate(windows)
        for detection in detector.forward(_cut(frame, window), {}, wanted=None).detections
    ]
    return SlicedImage(frame, combined(found, slicing, windows, frame.original_hw))


def explained_slices(
    detector: Detector,
    image: SlicedImage,
    asked: Asked,
    true_boxes: Sequence[TrueBox],
    *,
    keep_levels: bool,
    progress: Progress,
) -> Iterator[Explanation]:
    """Returns the explanation of each chosen detection or box asked about, and of the objects that were missed.

    They come slice by slice; each slice that has some runs once more.

    Raises:
        ConfigError, UnknownNameError: something asked for is not there.
    """
    question, boxes = asked.question, image.boxes
    threshold, rotated = question.selection.draw_threshold, Quantity.ROTATED in detector.extractor.quantities
    chosen = [] if question.boxes else question.selection.choose(boxes.detections, detector.class_names)
    questions = [
        asking(box, boxes, detector.class_names, draw_threshold=threshold, rotated=rotated, claimed=claimed)
        for box, claimed in asked_about(
            question.boxes, boxes.detections, true_boxes, draw_threshold=threshold, rotated=rotated
        )
    ]
    return _explained(detector, image, asked, chosen, questions, keep_levels=keep_levels, progress=progress)


def _explained(
    detector: Detector,
    image: SlicedImage,
    asked: Asked,
    chosen: Sequence[Detection],
    questions: Sequence[Asking],
    *,
    keep_levels: bool,
    progress: Progress,
) -> Iterator[Explanation]:
    boxes = image.boxes
    for number, window in enumerate(boxes.windows):
        here = [detection for detection in chosen if boxes.origins[detection.index][0] == number]
        asked_here = [one for one in questions if one.number == number]
        if not here and not asked_here:
            continue
        frame = _cut(image.frame, window)
        forward = forward_of(detector, frame, asked)
        subjects = [Subject(detection, forward.kept[boxes.origins[detection.index][1]]) for detection in here]
        subjects += _subjects_asked(detector, forward, asked_here, boxes, asked.question.selection.draw_threshold)
        found = explanations(detector, frame, forward, asked, subjects, keep_levels=keep_levels, progress=progress)
        for explanation in found:
            yield _placed(explanation, window, boxes.original_hw)


def _subjects_asked(
    detector: Detector, forward: ForwardPass, asked: Sequence[Asking], boxes: SliceBoxes, draw_threshold: float
) -> list[Subject]:
    """Returns what is explained of boxes that are asked about in one slice, in the image's pixels."""
    if not asked:
        return []
    scene = _scene(scene_of(detector, forward, draw_threshold), boxes, asked[0].number)
    subjects = []
    for one in asked:
        if one.known is not None and one.index is not None:
            subjects.append(Subject(one.known.detection, forward.kept[one.index], one.known.answer))
        else:
            subjects.append(subject_of(in_slice(judge(one.box, scene, claimed=one.claimed), one, boxes)))
    return subjects


def _scene(of_slice: Scene, boxes: SliceBoxes, number: int) -> Scene:
    """Returns what a verdict needs of a slice, in the image's pixels and with the image's indices."""
    window = boxes.windows[number]
    corner = np.array(window[:2], np.float64)
    index_of = {index: image_index for image_index, (slice_, index) in boxes.origins.items() if slice_ == number}
    candidates, proposals = of_slice.candidates, of_slice.proposals_xyxy
    return replace(
        of_slice,
        candidates=Candidates(
            candidates.boxes_xyxy + np.tile(corner, 2),
            candidates.scores,
            candidates.grid_hw,
            None if candidates.polygons_xy is None else candidates.polygons_xy + corner,
        ),
        detections=[replace(_shifted(one, window), index=index_of[one.index]) for one in of_slice.detections],
        rows={index_of[index]: row for index, row in of_slice.rows.items()},
        proposals_xyxy=None if proposals is None else proposals.reshape(-1, 4) + np.tile(corner, 2),
        of_image=boxes.detections,
    )


def _cut(frame: Frame, window: Window) -> Frame:
    left, top, right, bottom = window
    return Frame(np.ascontiguousarray(frame.image[top:bottom, left:right]), frame.path)


def _shifted(detection: Detection, window: Window) -> Detection:
    polygon = detection.polygon_xy
    return replace(
        detection,
        box_xyxy=_shifted_box(detection.box_xyxy, window),
        polygon_xy=None if polygon is None else tuple((x + window[0], y + window[1]) for x, y in polygon),
    )


def _shifted_box(box_xyxy: tuple[float, float, float, float], window: Window) -> tuple[float, float, float, float]:
    left, top, right, bottom = box_xyxy
    return left + window[0], top + window[1], right + window[0], bottom + window[1]


def _placed(explanation: Explanation, window: Window, original_hw: tuple[int, int]) -> Explanation:
    """Returns a slice's explanation in the whole image: nothing of the image beyond the slice had a part in it."""

    def on_image(heatmap: np.ndarray) -> np.ndarray:
        whole = np.zeros(original_hw, heatmap.dtype)
        whole[window[1] : window[3], window[0] : window[2]] = heatmap
        return whole

    roi_xyxy = explanation.box_xyxy_roi
    return replace(
        explanation,
        heatmap=on_image(explanation.heatmap),
        levels=tuple(_placed_level(level, window) for level in explanation.levels),
        box_xyxy_roi=None if roi_xyxy is None else _shifted_box(roi_xyxy, window),
        level_heatmaps=tuple(map(on_image, explanation.level_heatmaps)),
        slice_xyxy=window,
    )


def _placed_level(level: LevelShare, window: Window) -> LevelShare:
    if level.grid is None:
        return level
    placement = level.grid.placement
    top, left = placement.top_left_yx
    moved = GridPlacement((top + window[1], left + window[0]), placement.cell_yx)
    return replace(level, grid=replace(level.grid, placement=moved))
