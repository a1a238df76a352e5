"""Which boxes are explained: a choice among the detections, and boxes that someone asks about. numpy only."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.languages import Said
from ppdet_cam.polygons import BoxXyxy, PolygonXy, box_around, is_convex, polygon_of
from ppdet_cam.questions.heights import higher_neighbour, summit
from ppdet_cam.questions.overlaps import MATCH_IOU, iou, overlaps, overlaps_of
from ppdet_cam.questions.targets import class_id_of
from ppdet_cam.structures import Answer, Candidates, Contest, Detection, Verdict


@dataclass(frozen=True)
class AskedBox:
    """A box that is asked about, drawn by hand or taken from ground truth.

    Attributes:
        name: file stem of what is written about it.
        box_xyxy: original pixels.
        class_text: name or id of the class asked about, None for any.
        polygon_xy: its four corners, where it was given as a polygon; `box_xyxy` is then the upright box around it.
    """

    name: str
    box_xyxy: BoxXyxy
    class_text: str | None = None
    polygon_xy: PolygonXy | None = None

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers that it was given by: four, or eight of a polygon."""
        return (
            self.box_xyxy if self.polygon_xy is None else tuple(value for corner in self.polygon_xy for value in corner)
        )


def parse_box(text: str, position: int = 0) -> AskedBox:
    """Returns the box of "left,top,right,bottom" or of a polygon's corners "x,y,x,y,x,y,x,y", ",CLASS" behind or not.

    Args:
        text: as on the command line.
        position: counts the boxes asked about; it names the files.

    Raises:
        ConfigError: not four finite numbers, or eight, or a box without area.

    Example:
        >>> parse_box("10,20,110.5,220,dog").box_xyxy
        (10.0, 20.0, 110.5, 220.0)
    """
    for count in (8, 4):
        parts = text.split(",", count)
        values = _numbers(parts[:count])
        if len(values) == count:
            return asked_box(values, parts[count].strip() if len(parts) > count else None, name=f"box_{position}")
    raise ConfigError(
        f"--box {text!r} is not left,top,right,bottom or left,top,right,bottom,CLASS in pixels of the image, such as "
        "--box 34,50,210,180,dog; nor a polygon's corners x,y,x,y,x,y,x,y with ,CLASS behind them or not"
    )


def _numbers(parts: Sequence[str]) -> list[float]:
    """Returns the parts as numbers, as far as they are some."""
    numbers = []
    with contextlib.suppress(ValueError):
        for part in parts:
            numbers.append(float(part))
    return numbers


def asked_box(box_xyxy: Sequence[float], class_text: str | None = None, *, name: str = "box_0") -> AskedBox:
    """Returns a box to ask about.

    Args:
        box_xyxy: left, top, right, bottom; or x and y of a polygon's four corners, one after the other around it.
        class_text: name or id of the class, None for any.
        name: file stem of what is written about it.

    Raises:
        ConfigError: not four finite numbers, or eight; a box without area, or a polygon that is not convex.
    """
    values = tuple(float(value) for value in box_xyxy)
    if len(values) not in (4, 8) or not np.isfinite(values).all():
        raise ConfigError(
            f"a box is left, top, right, bottom: four finite numbers, or eight for a polygon's corners, not {values}"
        )
    if len(values) == 8:
        polygon = polygon_of(values)
        if not is_convex(polygon):
            raise ConfigError(
                f"polygon {','.join(f'{value:g}' for value in values)} is not convex: give its four corners x,y one "
                "after the other around it"
            )
        return AskedBox(name, box_around(polygon), class_text or None, polygon)
    left, top, right, bottom = values
    if left >= right or top >= bottom:
        raise ConfigError(
            f"box {left:g},{top:g},{right:g},{bottom:g} has no area: it must have left < right and top < bottom"
        )
    return AskedBox(name, (left, top, right, bottom), class_text or None)


@dataclass(frozen=True)
class Selection:
    """Which detections are explained.

    Attributes:
        draw_threshold: those with at least this score, 0 to 1.
        top_k: of these, so many with the highest scores; None for all.
        classes: of these classes only, by name or id; empty for all.
        box_index: exactly these rows of the detector's output, whatever score and class; empty for no such choice.
    """

    draw_threshold: float
    top_k: int | None = None
    classes: tuple[str, ...] = ()
    box_index: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.draw_threshold <= 1.0:
            raise ConfigError(f"--draw_threshold must lie between 0 and 1, not {self.draw_threshold}")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"--top_k must be at least 1, not {self.top_k}")
        if any(index < 0 for index in self.box_index):
            raise ConfigError(f"--box_index counts from 0, not {min(self.box_index)}")

    def class_ids(self, class_names: Sequence[str]) -> frozenset[int] | None:
        """Returns the classes' ids, None for all.

        Raises:
            UnknownNameError: no such class.
        """
        return frozenset(class_id_of(text, class_names) for text in self.classes) if self.classes else None

    def choose(self, detections: Sequence[Detection], class_names: Sequence[str]) -> list[Detection]:
        """Returns the chosen detections, in the detector's order.

        Raises:
            ConfigError: there is no detection with an index asked for.
            UnknownNameError: no such class.
        """
        if self.box_index:
            return self._by_index(detections)
        wanted = self.class_ids(class_names)
        chosen = [
            detection
            for detection in detections
            if detection.score >= self.draw_threshold and (wanted is None or detection.class_id in wanted)
        ]
        if self.top_k is None:
            return chosen
        best = sorted(chosen, key=lambda detection: -detection.score)[: self.top_k]
        return sorted(best, key=lambda detection: detection.index)

    def _by_index(self, detections: Sequence[Detection]) -> list[Detection]:
        there = {detection.index: detection for detection in detections}
        missing = sorted(set(self.box_index) - set(there))
        if missing:
            indices = f"indices {min(there)} to {max(there)}" if there else "none"
            raise ConfigError(
                f"the image has no detection with index {', '.join(map(str, missing))}; it has {indices}. "
                "See them all with --draw_threshold 0"
            )
        return [there[index] for index in sorted(set(self.box_index))]


@dataclass(frozen=True)
class Judgement:
    """What became of a box that was asked about, and which candidate is to be explained.

    Attributes:
        answer: for the manifest and the picture.
        detection: its best candidate; for NO_CANDIDATE the box itself, with score 0.
        row: the candidate's row before NMS, None for NO_CANDIDATE.
    """

    answer: Answer
    detection: Detection
    row: int | None


@dataclass(frozen=True)
class Scene:
    """Everything that the detector made of one image, as far as a verdict needs it.

    Attributes:
        candidates: every box before NMS.
        detections: what NMS kept.
        rows: a detection's index -> its candidate's row.
        class_names: by class id.
        draw_threshold: detections with a lower score are not shown.
        nms_score_threshold: candidates with a lower score never reach NMS.
        nms_iou: of two boxes of a class that overlap more, NMS keeps one; None for an NMS that lowers scores instead.
        proposals_xyxy: float [R, 4], what the first of two stages proposed, original pixels; None for one stage.
        contest: what competes to be kept.
        limit: how many are kept at most; None where NMS has limits of its own.
        is_output_only: whether the candidates are no more than the detections, as nothing else is known.
        of_image: what is shown in the end, where that is not `detections`: those of a slice, which are combined with
            other slices'. A detection that combining left out has an index below 0.
    """

    candidates: Candidates
    detections: Sequence[Detection]
    rows: dict[int, int]
    class_names: Sequence[str]
    draw_threshold: float
    nms_score_threshold: float
    nms_iou: float | None
    proposals_xyxy: np.ndarray | None = None
    contest: Contest = Contest.OVERLAPS
    limit: int | None = None
    is_output_only: bool = False
    of_image: Sequence[Detection] | None = None

    @property
    def has_queries(self) -> bool:
        """Whether candidates are object queries, of which no NMS leaves any out."""
        return self.contest.is_of_queries

    @property
    def threshold(self) -> float:
        """The score that a candidate needs to be shown."""
        return max(self.draw_threshold, self.nms_score_threshold)

    @property
    def is_rotated(self) -> bool:
        """Whether the detector draws polygons."""
        return self.candidates.polygons_xy is not None

    def class_name(self, class_id: int) -> str:
        """Returns the name of a class."""
        return self.class_names[class_id] if class_id < len(self.class_names) else f"class {class_id}"


def judge(asked: AskedBox, scene: Scene, *, claimed: frozenset[int] = frozenset()) -> Judgement:
    """Returns what became of a box.

    1. Found: a shown detection of the class overlaps it by at least MATCH_IOU.
    2. No candidate: no box before NMS overlaps it so much.
    3. Suppressed by NMS, or left out by the detector's limits: of those that do, one has score enough to be shown. Of a
       heat map's cells: no maximum, or left out by the limits.
    4. Beaten: of object queries, another class of the same query, or another query, is shown instead.
    5. Scored too low: none has score enough.

    The candidate that is explained is the one with the highest IoU, then the highest score, among those that the
    verdict is about.

    Args:
        asked: the box.
        scene: what the detector made of the image.
        claimed: indices of detections that found other objects, so that they cannot be this box's.

    Raises:
        UnknownNameError: no such class.
    """
    class_id = None if asked.class_text is None else class_id_of(asked.class_text, scene.class_names)
    finder = _finder(asked, class_id, scene, claimed)
    if finder is not None:
        found, overlap = finder
        said = found_by(found, overlap)
        return _judgement(
            asked, scene, class_id, Verdict.FOUND, [said], overlap, scene.rows[found.index], found, found.index
        )
    boxes, scores, class_ids = _per_candidate(scene.candidates, class_id)
    polygons = scene.candidates.polygons_xy
    shared = overlaps_of(asked, boxes, polygons)
    shared[_claimed_rows(scene, claimed, class_ids)] = 0.0  # they are other objects' candidates
    near = shared >= MATCH_IOU
    if not near.any():
        best = float(shared.max(initial=0.0))
        if scene.is_output_only:
            said = Said(
                "no box of the output there (what NMS left out is not known): the best IoU is {0}", (_two(best),)
            )
        else:
            said = Said("no candidate there: the best IoU is {0}", (_two(best),))
        why = [said, *_first_stage(asked, scene), *_others_there(asked, scene, class_id, claimed)]
        nothing = Detection(
            -1,
            class_id or 0,
            "any" if class_id is None else scene.class_name(class_id),
            0.0,
            asked.box_xyxy,
            polygon_xy=asked.polygon_xy,
        )
        return _judgement(asked, scene, class_id, Verdict.NO_CANDIDATE, why, best, None, nothing, None)
    passing = near & (scores >= scene.threshold)
    among = passing if passing.any() else near
    row = max(np.flatnonzero(among), key=lambda candidate: (shared[candidate], scores[candidate]))
    left, top, right, bottom = (float(value) for value in boxes[row])
    name = scene.class_name(int(class_ids[row]))
    candidate = Detection(
        -1,
        int(class_ids[row]),
        name,
        float(scores[row]),
        (left, top, right, bottom),
        polygon_xy=None if polygons is None else polygon_of(polygons[row]),
    )
    overlap = float(shared[row])
    of_candidate = f"({name} {candidate.score:.3f}, IoU {_two(overlap)})"
    rival, beaten = _rival(candidate, int(row), of_candidate, scene)
    if rival is not None and beaten is not None:
        why = [beaten, *found_another(rival, claimed)]
        return _judgement(asked, scene, class_id, Verdict.BEATEN, why, overlap, int(row), candidate, rival.index)
    if not passing.any():
        highest = float(scores[near].max())
        values = (f"{candidate.score:.3f}", name, _two(overlap), f"{scene.threshold:g}")
        why = [Said("scored too low: {0} for {1} at IoU {2}, below {3}", values)]
        if highest > candidate.score:
            why.append(Said(" (at most {0} among the candidates there)", (f"{highest:.3f}",)))
        why += [*_first_stage(asked, scene), *_others_there(asked, scene, class_id, claimed)]
        return _judgement(asked, scene, class_id, Verdict.LOW_SCORE, why, overlap, int(row), candidate, None)
    left_out = _not_kept_as_peak if scene.contest is Contest.PEAKS else _not_kept_by_nms
    verdict, said, other_index = left_out(candidate, int(row), of_candidate, scene)
    return _judgement(asked, scene, class_id, verdict, [said], overlap, int(row), candidate, other_index)


_BEYOND_LIMIT = {
    Contest.QUERIES: "left out by the limit (num_top_queries): {0} object queries score higher than its candidate {1}",
    Contest.PAIRS: "left out by the limit (num_top_queries): {0} pairs of object query and class score higher than its "
    "candidate {1}",
}


def _not_kept_by_nms(
    candidate: Detection, row: int, of_candidate: str, scene: Scene
) -> tuple[Verdict, Said, int | None]:
    """Returns why NMS did not keep a candidate that scores high enough, and the detection that it kept instead."""
    winner, between = _suppressor(candidate, row, scene)
    if winner is None:
        if scene.has_queries:
            return Verdict.LIMITED, Said(_BEYOND_LIMIT[scene.contest], (str(scene.limit), of_candidate)), None
        text = "left out by NMS's limits (nms_top_k, keep_top_k): nothing that was kept suppresses its candidate {0}"
        return Verdict.LIMITED, Said(text, (of_candidate,)), None
    values = (named(winner), of_candidate, _two(between))
    if scene.nms_iou is None:
        text = (
            "suppressed by NMS: detection {0} overlaps its candidate {1} by {2}, for which NMS lowers its score "
            "below {3}"
        )
        return Verdict.SUPPRESSED, Said(text, (*values, f"{scene.draw_threshold:g}")), winner.index
    text = "suppressed by NMS: detection {0} overlaps its candidate {1} by {2}, more than the {3} that NMS allows"
    return Verdict.SUPPRESSED, Said(text, (*values, f"{scene.nms_iou:g}")), winner.index


def _not_kept_as_peak(
    candidate: Detection, row: int, of_candidate: str, scene: Scene
) -> tuple[Verdict, Said, int | None]:
    """Returns why a cell of a heat map is no detection, and the one at the peak that it belongs to."""
    assert scene.candidates.grid_hw is not None  # of a heat map
    heights = scene.candidates.scores[:, candidate.class_id].reshape(scene.candidates.grid_hw)
    neighbour = higher_neighbour(heights, row)
    if neighbour is None:
        lowest = min((d.score for d in scene.detections), default=1.0)
        text = (
            "left out by the top-k: its candidate {0} is a peak of the heat map, but those that were kept ({1}) score "
            "{2} or more"
        )
        return Verdict.LIMITED, Said(text, (of_candidate, str(len(scene.detections)), f"{lowest:.3f}")), None
    peak, values = summit(heights, row), (of_candidate, f"{heights.flat[neighbour]:.3f}")
    at_peak = [d for d in scene.detections if d.class_id == candidate.class_id and scene.rows[d.index] == peak]
    if not at_peak:
        text = (
            "no maximum of the heat map: the cell of its candidate {0} has a neighbour of {1}; the peak beside it, "
            "{2}, was left out by the top-k"
        )
        return Verdict.NO_PEAK, Said(text, (*values, f"{heights.flat[peak]:.3f}")), None
    text = (
        "no maximum of the heat map: the cell of its candidate {0} has a neighbour of {1}; the peak beside it is "
        "detection {2}"
    )
    return Verdict.NO_PEAK, Said(text, (*values, named(at_peak[0]))), at_peak[0].index


def _judgement(
    asked: AskedBox,
    scene: Scene,
    class_id: int | None,
    verdict: Verdict,
    why: Sequence[Said],
    overlap: float,
    row: int | None,
    detection: Detection,
    other_index: int | None,
) -> Judgement:
    class_name = None if class_id is None else scene.class_name(class_id)
    if other_index is not None and other_index < 0:
        why, other_index = [*why, Said("; that detection was left out when the slices were combined")], None
    return Judgement(answer_of(asked, class_name, verdict, why, overlap, other_index), detection, row)


def answer_of(
    asked: AskedBox,
    class_name: str | None,
    verdict: Verdict,
    why: Sequence[Said],
    overlap: float,
    other_index: int | None,
    *,
    share_seen: float | None = None,
) -> Answer:
    """Returns the answer to a question.

    Args:
        asked: the box.
        class_name: the class asked about, None for any.
        verdict: what became of it.
        why: the verdict in words, clause by clause.
        overlap: IoU of the best candidate with the box.
        other_index: the detection that has to do with it.
        share_seen: what part of the box the slice sees that was asked.
    """
    words = "".join(map(str, why))
    return Answer(
        asked.name,
        asked.box_xyxy,
        class_name,
        verdict,
        words,
        overlap,
        other_index,
        asked.polygon_xy,
        tuple(why),
        share_seen,
    )


def found_by(found: Detection, overlap: float) -> Said:
    """Returns what is said of a box that a detection found."""
    return Said("found by detection {0}, IoU {1}", (named(found), _two(overlap)))


def found_another(other: Detection, claimed: frozenset[int]) -> list[Said]:
    """Returns that the other detection is another object's, nothing when it is not."""
    return [Said(", and found another object")] if other.index in claimed else []


def named(detection: Detection) -> str:
    """Returns "3 (dog 0.912)"; "(dog 0.912)" for one that is none of the image's."""
    which = f"{detection.index} " if detection.index >= 0 else ""
    return f"{which}({detection.class_name} {detection.score:.3f})"


def _two(number: float) -> str:
    return f"{number:.2f}"


def _finder(
    asked: AskedBox, class_id: int | None, scene: Scene, claimed: frozenset[int] = frozenset()
) -> tuple[Detection, float] | None:
    shown = scene.detections if scene.of_image is None else scene.of_image
    free = [detection for detection in shown if detection.index not in claimed]
    return best_shown(asked, free, class_id, draw_threshold=scene.draw_threshold, rotated=scene.is_rotated)


def best_shown(
    asked: AskedBox, detections: Sequence[Detection], class_id: int | None, *, draw_threshold: float, rotated: bool
) -> tuple[Detection, float] | None:
    """Returns the detection that overlaps a box most, and their IoU; None when none overlaps it enough.

    Args:
        asked: the box.
        detections: among these.
        class_id: of this class, None for any.
        draw_threshold: those with a lower score are not shown.
        rotated: whether the detector draws polygons.
    """
    shown = [
        detection
        for detection in detections
        if detection.score >= draw_threshold and class_id in (None, detection.class_id)
    ]
    shared = overlaps(asked, shown, rotated=rotated)
    if not shown or shared.max() < MATCH_IOU:
        return None
    best = max(range(len(shown)), key=lambda position: (shared[position], shown[position].score))
    return shown[best], float(shared[best])


def _per_candidate(candidates: Candidates, class_id: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns each candidate's box [M, 4], score [M] and class [M]: of the class asked about, or of its best one."""
    rows = np.arange(len(candidates.scores))
    class_ids = candidates.scores.argmax(axis=1) if class_id is None else np.full(len(rows), class_id)
    columns = class_ids if candidates.boxes_xyxy.shape[1] > 1 else np.zeros(len(rows), np.int64)
    return candidates.boxes_xyxy[rows, columns], candidates.scores[rows, class_ids], class_ids


def _rival(candidate: Detection, row: int, of_candidate: str, scene: Scene) -> tuple[Detection | None, Said | None]:
    """Returns the shown detection that an object query lost to, and how: none where there are no queries.

    That is another class of the same query, or else another query, whose box overlaps the candidate's: queries see one
    another, so that one of them takes an object and the others give it up.
    """
    stronger = [d for d in scene.detections if own_score(d) >= candidate.score and d.score >= scene.draw_threshold]
    if not scene.has_queries or not stronger:
        return None, None
    of_query = [d for d in stronger if scene.rows[d.index] == row and d.class_id != candidate.class_id]
    if of_query:
        best = max(of_query, key=own_score)
        text = "another class of query {0} beat it: detection {1} instead of its candidate {2}"
        return best, Said(text, (str(row), named(best), of_candidate))
    others = [d for d in stronger if scene.rows[d.index] != row]
    shared = overlaps(candidate, others, rotated=scene.is_rotated)
    if not others or shared.max() < MATCH_IOU:
        return None, None
    position = int(shared.argmax())  # type: ignore  # numpy 2.5's stubs
    best = others[position]
    text = "another query beat it: detection {0} of query {1} overlaps by {2} that of query {3}, its candidate {4}"
    of_queries = (str(scene.rows[best.index]), _two(float(shared[position])), str(row))
    return best, Said(text, (named(best), *of_queries, of_candidate))


def _suppressor(candidate: Detection, row: int, scene: Scene) -> tuple[Detection | None, float]:
    """Returns the kept detection of the same class that overlaps the candidate most, above NMS's limit, and its IoU."""
    if scene.has_queries:
        return None, 0.0
    rivals = [
        d
        for d in scene.detections
        if d.class_id == candidate.class_id and own_score(d) >= candidate.score and scene.rows[d.index] != row
    ]
    boxes, _, _ = _per_candidate(scene.candidates, candidate.class_id)  # as NMS saw them, not clipped to the image
    polygons, rows = scene.candidates.polygons_xy, [scene.rows[d.index] for d in rivals]
    shared = overlaps_of(candidate, boxes[rows], None if polygons is None else polygons[rows])
    if not rivals or shared.max() <= (scene.nms_iou or 0.0):
        return None, 0.0
    best = int(shared.argmax())  # type: ignore  # numpy 2.5's stubs
    return rivals[best], float(shared[best])


def own_score(detection: Detection) -> float:
    """Returns a detection's score as its head gave it, before NMS."""
    return detection.score if detection.score_before_nms is None else detection.score_before_nms


def _first_stage(asked: AskedBox, scene: Scene) -> list[Said]:
    """Returns what the first of two stages did, nothing for one stage."""
    if scene.proposals_xyxy is None:
        return []
    best = float(iou(asked.box_xyxy, scene.proposals_xyxy).max(initial=0.0))
    if best < MATCH_IOU:
        return [Said("; the first stage proposed nothing there (best IoU {0})", (_two(best),))]
    return [Said("; the first stage proposed it (IoU {0}), the second refused it", (_two(best),))]


def _others_there(asked: AskedBox, scene: Scene, class_id: int | None, claimed: frozenset[int]) -> list[Said]:
    """Returns which shown detection lies there that is of another class or another object, nothing when none does."""
    other = None if class_id is None else _finder(asked, None, scene)
    if other is None:
        return []
    return [Said("; detection {0} lies there", (named(other[0]),)), *found_another(other[0], claimed)]


def _claimed_rows(scene: Scene, claimed: frozenset[int], class_ids: np.ndarray) -> list[int]:
    """Returns the rows of the claimed detections that are looked at for the class that they were kept under."""
    kept = [(scene.rows[d.index], d.class_id) for d in scene.detections if d.index in claimed]
    return [row for row, class_id in kept if class_ids[row] == class_id]
