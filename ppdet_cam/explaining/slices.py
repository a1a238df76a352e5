"""An image looked at slice by slice: the slices' boxes become the image's, each map is placed in the whole image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ppdet_cam.detectors.detector import Detector
from ppdet_cam.explaining.altering import Progress
from ppdet_cam.explaining.chain import Asked, explanations, forward_of
from ppdet_cam.explaining.subjects import Subject
from ppdet_cam.questions.slicing import Slicing, Window
from ppdet_cam.structures import Detection, Explanation, Frame, GridPlacement, LevelShare


@dataclass(frozen=True)
class SlicedImage:
    """An image whose slices were all looked at once.

    Attributes:
        frame: the whole image.
        windows: where its slices lie.
        detections: of the image, with its pixels and their own indices.
        origins: for each of them, which slice it is of, and its index there.
    """

    frame: Frame
    windows: Sequence[Window]
    detections: tuple[Detection, ...]
    origins: Sequence[tuple[int, int]]


def looked_at(detector: Detector, frame: Frame, slicing: Slicing) -> SlicedImage:
    """Returns the boxes of all slices, combined. No slice's forward pass is kept: a large image has hundreds."""
    windows = slicing.windows(frame.original_hw)
    found = [
        (_shifted(detection, window), (number, detection.index))
        for number, window in enumerate(windows)
        for detection in detector.forward(_cut(frame, window), {}, wanted=None).detections
    ]
    kept = [found[position] for position in slicing.kept([detection for detection, _ in found])]
    detections = tuple(replace(detection, index=index) for index, (detection, _) in enumerate(kept))
    return SlicedImage(frame, windows, detections, [origin for _, origin in kept])


def explained_slices(
    detector: Detector, image: SlicedImage, asked: Asked, *, keep_levels: bool, progress: Progress
) -> Iterator[Explanation]:
    """Yields the explanation of each chosen detection, slice by slice; each slice that has some runs once more."""
    chosen = asked.question.selection.choose(image.detections, detector.class_names)
    for number, window in enumerate(image.windows):
        here = [detection for detection in chosen if image.origins[detection.index][0] == number]
        if not here:
            continue
        frame = _cut(image.frame, window)
        forward = forward_of(detector, frame, asked)
        local = {detection.index: detection for detection in forward.detections}
        places = [image.origins[detection.index][1] for detection in here]
        subjects = [Subject(local[place], forward.kept[place]) for place in places]
        found = explanations(detector, frame, forward, asked, subjects, keep_levels=keep_levels, progress=progress)
        for detection, explanation in zip(here, found):
            yield _placed(explanation, detection, window, image.frame.original_hw)


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


def _placed(
    explanation: Explanation, detection: Detection, window: Window, original_hw: tuple[int, int]
) -> Explanation:
    """Returns a slice's explanation in the whole image: nothing of the image beyond the slice had a part in it."""

    def on_image(heatmap: np.ndarray) -> np.ndarray:
        whole = np.zeros(original_hw, heatmap.dtype)
        whole[window[1] : window[3], window[0] : window[2]] = heatmap
        return whole

    roi_xyxy = explanation.box_xyxy_roi
    return replace(
        explanation,
        detection=detection,
        heatmap=on_image(explanation.heatmap),
        levels=tuple(_placed_level(level, window) for level in explanation.levels),
        box_xyxy_roi=None if roi_xyxy is None else _shifted_box(roi_xyxy, window),
        level_heatmaps=tuple(map(on_image, explanation.level_heatmaps)),
    )


def _placed_level(level: LevelShare, window: Window) -> LevelShare:
    if level.grid is None:
        return level
    placement = level.grid.placement
    top, left = placement.top_left_yx
    moved = GridPlacement((top + window[1], left + window[0]), placement.cell_yx)
    return replace(level, grid=replace(level.grid, placement=moved))
