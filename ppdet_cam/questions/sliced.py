"""A box that is asked about in an image looked at slice by slice: what the slices' boxes say, or which slice to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ppdet_cam.languages import Said
from ppdet_cam.polygons import corners_of, shared_areas
from ppdet_cam.questions.boxes import AskedBox, Judgement, answer_of, best_shown, found_another, found_by, named
from ppdet_cam.questions.slicing import Slicing, Window
from ppdet_cam.questions.targets import class_id_of
from ppdet_cam.structures import Detection, Verdict

# which slice a box comes from, and its index there
Origin = tuple[int, int]


@dataclass(frozen=True)
class SliceBoxes:
    """The boxes of an image's slices, in the image's pixels.

    Attributes:
        slicing: how the image was cut, and the boxes combined.
        windows: where the slices lie.
        original_hw: height and width of the image.
        detections: the boxes that became the image's, with indices of their own.
        left_out: those that combining left out, with indices from -2 downwards.
        origins: index -> where a box comes from.
    """

    slicing: Slicing
    windows: Sequence[Window]
    original_hw: tuple[int, int]
    detections: tuple[Detection, ...]
    left_out: tuple[Detection, ...]
    origins: Mapping[int, Origin]


def combined(
    found: Sequence[tuple[Detection, Origin]],
    slicing: Slicing,
    windows: Sequence[Window],
    original_hw: tuple[int, int],
) -> SliceBoxes:
    """Returns the boxes of all slices, combined.

    Args:
        found: each slice's boxes, in the image's pixels.
        slicing: how to combine them.
        windows: where the slices lie.
        original_hw: height and width of the image.
    """
    kept = slicing.kept([detection for detection, _ in found])
    left = sorted(set(range(len(found))) - set(kept))
    index_of = {position: index for index, position in enumerate(kept)}
    index_of.update({position: -2 - place for place, position in enumerate(left)})
    detections, left_out = (
        tuple(replace(found[position][0], index=index_of[position]) for position in some) for some in (kept, left)
    )
    origins = {index: found[position][1] for position, index in index_of.items()}
    return SliceBoxes(slicing, windows, original_hw, detections, left_out, origins)


@dataclass(frozen=True)
class Asking:
    """Where a box is asked about.

    Attributes:
        box: the box.
        claimed: indices of the image's detections that found other objects.
        number: of the slice.
        share_seen: the part of the box in the image that the slice sees, 0 to 1.
        known: what became of it, where the slices' boxes tell; None where the slice is yet to be asked. It has no row.
        index: then the slice's own index of the detection that was found.
    """

    box: AskedBox
    claimed: frozenset[int]
    number: int
    share_seen: float
    known: Judgement | None = None
    index: int | None = None


def asking(
    box: AskedBox,
    boxes: SliceBoxes,
    class_names: Sequence[str],
    *,
    draw_threshold: float,
    rotated: bool,
    claimed: frozenset[int] = frozenset(),
) -> Asking:
    """Returns where a box is asked about.

    1. Found: in the slice that the detection comes from.
    2. Found in a slice and left out when the slices were combined: in that slice.
    3. Else in the slice that sees most of it; of several, the one whose middle is closest.

    Args:
        box: the box, in the image's pixels.
        boxes: of all slices.
        class_names: by class id.
        draw_threshold: detections with a lower score are not shown.
        rotated: whether the detector draws polygons.
        claimed: indices of detections that found other objects.

    Raises:
        UnknownNameError: no such class.
    """
    class_id = None if box.class_text is None else class_id_of(box.class_text, class_names)
    class_name = None if class_id is None else class_names[class_id]
    shares = _shares_seen(box, boxes, rotated=rotated)
    free = [detection for detection in boxes.detections if detection.index not in claimed]
    for some, verdict in ((free, Verdict.FOUND), (boxes.left_out, Verdict.COMBINED)):
        best = best_shown(box, some, class_id, draw_threshold=draw_threshold, rotated=rotated)
        if best is None:
            continue
        found, overlap = best
        number, index = boxes.origins[found.index]
        if verdict is Verdict.FOUND:
            other, why = found.index, [found_by(found, overlap)]
        else:
            other, why = _left_out_for(found, overlap, boxes, claimed)
        why += _of_slice(boxes.windows[number], shares[number])
        answer = answer_of(box, class_name, verdict, why, overlap, other, share_seen=shares[number])
        known = Judgement(answer, replace(found, index=max(found.index, -1)), None)
        return Asking(box, claimed, number, shares[number], known, index)
    number = _most_central(box, boxes, shares)
    return Asking(box, claimed, number, shares[number])


def in_slice(judgement: Judgement, asked: Asking, boxes: SliceBoxes) -> Judgement:
    """Returns what a slice answered, with which slice that was and how much of the box it sees."""
    answer, window = judgement.answer, boxes.windows[asked.number]
    clause = _asked_in(asked, window, boxes.original_hw)
    return replace(
        judgement,
        answer=replace(
            answer, words=f"{answer.words}{clause}", said=(*answer.said, clause), share_seen=asked.share_seen
        ),
    )


def _left_out_for(
    dropped: Detection, overlap: float, boxes: SliceBoxes, claimed: frozenset[int]
) -> tuple[int, list[Said]]:
    """Returns the detection that combining preferred to another one, and what is said of it."""
    slicing = boxes.slicing
    winner, between = slicing.preferred(dropped, boxes.detections)
    text = (
        "found in a slice {0}, IoU {1}, but left out when the slices were combined: detection {2} overlaps it by {3} "
        "({4}), at least the {5} of --match_threshold"
    )
    values = (named(replace(dropped, index=-1)), f"{overlap:.2f}", named(winner), f"{between:.2f}")
    said = Said(text, (*values, slicing.match_metric, f"{slicing.match_threshold:g}"))
    return winner.index, [said, *found_another(winner, claimed)]


def _of_slice(window: Window, share: float) -> list[Said]:
    if share == 1:
        return [Said("; in slice {0}", (_name(window),))]
    return [Said("; in slice {0}, which sees {1} of the box asked about", (_name(window), _percent(share)))]


def _asked_in(asked: Asking, window: Window, original_hw: tuple[int, int]) -> Said:
    name, share = _name(window), asked.share_seen
    if share == 1:
        return Said("; asked in slice {0}, which sees all of it", (name,))
    if share == 0:
        return Said("; asked in slice {0}, the nearest: it lies outside the image", (name,))
    left, top, right, bottom = _within(asked.box, original_hw)
    if right - left > window[2] - window[0] or bottom - top > window[3] - window[1]:
        return Said("; asked in slice {0}, which sees {1} of it: it is larger than a slice", (name, _percent(share)))
    return Said("; asked in slice {0}, which sees {1} of it: every slice cuts it", (name, _percent(share)))


def _name(window: Window) -> str:
    return ",".join(map(str, window))


def _percent(share: float) -> str:
    """Returns a part that is neither nothing nor all."""
    return f"{min(max(round(100 * share), 1), 99)} %"


def _within(box: AskedBox, original_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """Returns the part of a box that lies in the image; it may have no area."""
    (height, width), (left, top, right, bottom) = original_hw, box.box_xyxy
    return min(max(left, 0), width), min(max(top, 0), height), min(max(right, 0), width), min(max(bottom, 0), height)


def _shares_seen(box: AskedBox, boxes: SliceBoxes, *, rotated: bool) -> list[float]:
    """Returns the part of a box in the image that each slice sees, 0 to 1 to six digits."""
    height, width = boxes.original_hw
    windows = np.array([(0, 0, width, height), *boxes.windows], np.float64)
    if rotated and box.polygon_xy is not None:
        seen = shared_areas(box.polygon_xy, np.array([corners_of(window) for window in windows]))
    else:
        left, top, right, bottom = _within(box, boxes.original_hw)
        across = np.minimum(windows[:, 2], right) - np.maximum(windows[:, 0], left)
        seen = across.clip(min=0) * (np.minimum(windows[:, 3], bottom) - np.maximum(windows[:, 1], top)).clip(min=0)
    return np.round(seen[1:] / max(seen[0], 1e-12), 6).clip(0, 1).tolist()


def _most_central(box: AskedBox, boxes: SliceBoxes, shares: Sequence[float]) -> int:
    """Returns which slice sees most of a box; of several, the one whose middle is closest to the box's."""
    left, top, right, bottom = _within(box, boxes.original_hw)
    windows = np.array(boxes.windows, np.float64)
    across = (windows[:, 0] + windows[:, 2]) / 2 - (left + right) / 2
    down = (windows[:, 1] + windows[:, 3]) / 2 - (top + bottom) / 2
    return int(np.lexsort((np.round(np.hypot(across, down), 6), -np.array(shares)))[0])
