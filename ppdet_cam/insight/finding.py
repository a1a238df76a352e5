"""A run's folder -> what its maps say: the classes, their groups, the suspects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.insight.collecting import Boxes, Collected, Progress, check_stores_maps, collect
from ppdet_cam.insight.grouping import LEAST_BOXES, group_of
from ppdet_cam.insight.sentences import sentence_of, truth_sentence
from ppdet_cam.insight.suspects import Found, suspects_of
from ppdet_cam.insight.values import ClassInsight, Counts, Example, Group, Suspect
from ppdet_cam.languages import Said
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.report.reading import Role, Run, read_run

EXAMPLES = 24
_LEAST_OTHER = 0.01
_FALSE_AWAY = "False positives look further away: {0} of the heat lies outside the box, of true ones {1}."
_MISSED_AWAY = "Missed objects look further away: {0} of the heat lies outside the box, of true ones {1}."


@dataclass(frozen=True)
class Insight:
    """What the maps of a run say.

    Attributes:
        run: whose maps.
        collected: what could be read of them.
        classes: those that have boxes, the most boxes first.
        suspects: ranked over all classes, the strongest first.
        has_truth: whether it is known which boxes are true.
    """

    run: Run
    collected: Collected
    classes: tuple[ClassInsight, ...]
    suspects: tuple[Suspect, ...]
    has_truth: bool

    @property
    def boxes(self) -> Boxes:
        """The boxes with a map."""
        return self.collected.boxes


def find_insight(run_folder: Path, *, gt: Path | None = None, progress: Progress = iter, seed: int = 0) -> Insight:
    """Returns what the maps of a finished run say: per class where its heat lies, groups, and suspects.

    Args:
        run_folder: the run's `--cam_out`, with stored maps (`--save raw`).
        gt: annotations of its images; None for what the run itself knows.
        progress: shows how many of the images are read.
        seed: of the clustering.

    Raises:
        ConfigError: it is no finished run, stored no such maps, or the annotations cannot be used.

    Example:
        >>> find_insight(Path("cam_out")).suspects[0].sentence  # doctest: +SKIP
        Said(pattern="{0} of {1} '{2}' boxes rest on a place beside the object, ...", values=('31', '80', ...))
    """
    run = read_run(Path(run_folder))
    check_stores_maps(run)
    truth = read_ground_truth(gt, run.class_names) if gt else None
    collected = collect(run, truth, progress=progress)
    return insight_of(run, collected, seed=seed)


def insight_of(run: Run, collected: Collected, *, seed: int = 0) -> Insight:
    """Returns what boxes' maps say.

    Args:
        run: of which they are.
        collected: the boxes.
        seed: of the clustering.
    """
    boxes = collected.boxes
    has_truth = collected.missed is not None or any(image.truth is not None for image in run.images)
    is_detection = ~boxes.of_role(Role.MISSED, Role.ASKED)
    classes: list[ClassInsight] = []
    suspects: list[Suspect] = []
    for number, name in enumerate(boxes.class_names):
        rows = np.flatnonzero(boxes.class_of == number)
        rows = rows[~boxes.of_role(Role.ASKED)[rows]]
        if not len(rows):
            continue
        own, others = rows[is_detection[rows]], np.flatnonzero(is_detection & (boxes.class_of != number))
        groups = _groups(boxes, rows, seed=seed) if len(own) >= LEAST_BOXES else []
        found = suspects_of(boxes, own, [group.rows for group in groups], others) if len(own) >= LEAST_BOXES else []
        of_class = [_suspect(boxes, one, name, len(own)) for one in found]
        suspects.extend(of_class)
        missed = None if collected.missed is None else collected.missed.get(name, 0)
        one = _class(boxes, rows, own, name, groups=groups, missed=missed)
        classes.append(dataclasses.replace(one, findings=tuple(_findings(one, of_class))))
    suspects.sort(key=lambda one: -one.strength)
    classes.sort(key=lambda one: -one.boxes)
    return Insight(run, collected, tuple(classes), tuple(suspects), has_truth)


def _groups(boxes: Boxes, rows: np.ndarray, *, seed: int) -> list[Group]:
    numbers, distances = group_of(boxes, rows, seed=seed)
    groups = []
    for number in range(int(numbers.max()) + 1):
        chosen = np.flatnonzero(numbers == number)
        chosen = rows[chosen[np.argsort(distances[chosen], kind="stable")]]
        groups.append(
            Group(
                name=chr(ord("A") + number),
                rows=chosen,
                mean_score=float(boxes.scores[chosen].mean()),
                heat_outside=float(boxes.outside[chosen].mean()),
                counts=counts_of(boxes, chosen),
                box_frame=_mean(boxes.in_box_frame[chosen]),
                image_frame=_mean(boxes.in_image[chosen]),
                examples=examples_of(boxes, chosen),
            )
        )
    return groups


def counts_of(boxes: Boxes, rows: np.ndarray) -> Counts:
    """Returns how many of some boxes are true and false positives, and missed objects."""
    roles = [boxes.roles[int(row)] for row in rows]
    return Counts(*(roles.count(role) for role in (Role.MATCHED, Role.FALSE_POSITIVE, Role.MISSED)))


def examples_of(boxes: Boxes, rows: Sequence[int] | np.ndarray) -> tuple[Example, ...]:
    """Returns the first of some boxes, as examples."""
    return tuple(Example(int(row), int(boxes.image_of[row]), int(boxes.box_of[row])) for row in rows[:EXAMPLES])


def _mean(maps: np.ndarray) -> np.ndarray:
    return maps.mean(axis=0, dtype=np.float32)


def _suspect(boxes: Boxes, found: Found, name: str, of_boxes: int) -> Suspect:
    return Suspect(
        class_name=name,
        kind=found.kind,
        place=found.place,
        rows=found.rows,
        of_boxes=of_boxes,
        heat=found.heat,
        usual_heat=found.usual_heat,
        strength=found.strength,
        sentence=sentence_of(found.kind, found.place, name, boxes=len(found.rows), of_boxes=of_boxes, heat=found.heat),
        counts=counts_of(boxes, found.rows),
        examples=examples_of(boxes, found.rows),
    )


def _class(
    boxes: Boxes, rows: np.ndarray, own: np.ndarray, name: str, *, groups: Sequence[Group], missed: int | None
) -> ClassInsight:
    shown = own if len(own) else rows
    outside = boxes.outside[shown]
    on_others = boxes.on_others[shown].mean(axis=0)
    others = {boxes.class_names[number]: float(on_others[number]) for number in np.argsort(-on_others)}
    note = None
    if len(own) < LEAST_BOXES:
        note = Said(
            "Too few boxes to group or to suspect: {0}, and {1} are needed.", (f"{len(own):,}", str(LEAST_BOXES))
        )
    return ClassInsight(
        class_name=name,
        boxes=len(own),
        mean_score=float(boxes.scores[shown].mean()),
        heat_outside=float(outside.mean()),
        spread=float(outside.std()),
        sides=boxes.sides[shown].mean(axis=0, dtype=np.float32),
        on_others={other: share for other, share in others.items() if share >= _LEAST_OTHER},
        box_frame=_mean(boxes.in_box_frame[shown]),
        image_frame=_mean(boxes.in_image[shown]),
        counts=counts_of(boxes, rows),
        objects_missed=missed,
        outside_by_role=_outside_by_role(boxes, rows),
        groups=tuple(groups),
        note=note,
    )


def _outside_by_role(boxes: Boxes, rows: np.ndarray) -> Mapping[str, float]:
    found = {}
    for key, role in (("true", Role.MATCHED), ("false", Role.FALSE_POSITIVE), ("missed", Role.MISSED)):
        chosen = [row for row in rows if boxes.roles[int(row)] is role]
        if chosen:
            found[key] = float(boxes.outside[chosen].mean())
    return found


def _findings(of: ClassInsight, suspects: Sequence[Suspect]) -> list[Said]:
    """Returns what false positives and missed objects have in common that true ones have not."""
    parts = [(group.counts, group.name, True) for group in of.groups if len(of.groups) > 1]
    parts += [(suspect.counts, suspect.kind.value, False) for suspect in suspects]
    found = [truth_sentence(counts, of.counts, what, is_group=is_group) for counts, what, is_group in parts]
    return [one for one in [*found, *_missed_sentences(of)] if one is not None]


def _missed_sentences(of: ClassInsight) -> list[Said]:
    outside = of.outside_by_role
    found = []
    for key, number, text in (
        ("false", of.counts.false, _FALSE_AWAY),
        ("missed", of.counts.missed, _MISSED_AWAY),
    ):
        if number >= 3 and of.counts.true >= 3 and outside[key] >= outside["true"] + 0.1:
            found.append(Said(text, (_percent(outside[key]), _percent(outside["true"]))))
    return found


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"
