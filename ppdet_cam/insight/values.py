"""What is found in a run's maps, as frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppdet_cam.languages import Said
from ppdet_cam.metrics import Interval

Quad = tuple[float, float, float, float]


class Frame(enum.Enum):
    """What a place is measured in: parts of the box's sides from its upper left corner, or of the image's."""

    BOX = "box"
    IMAGE = "image"


class Kind(enum.Enum):
    """Why a class's evidence is suspect."""

    BESIDE = "beside the object"
    FIXED = "a fixed place of the image"
    THING = "the same small thing"


class Verdict(enum.Enum):
    """What became of a suspect when its place was taken out of the images."""

    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "does not hold"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Place:
    """Where evidence lies.

    Attributes:
        frame: what it is measured in.
        xyxy: left, top, right, bottom. In the box's frame 0 and 1 are the box's own edges.
    """

    frame: Frame
    xyxy: Quad


@dataclass(frozen=True)
class Example:
    """One box.

    Attributes:
        row: of `Boxes`.
        image: the image's place in the run.
        box: the box's place in its image.
    """

    row: int
    image: int
    box: int


@dataclass(frozen=True)
class Counts:
    """What boxes are where there is ground truth; all zero without."""

    true: int = 0
    false: int = 0
    missed: int = 0


@dataclass(frozen=True)
class Group:
    """Boxes of one class that are explained alike.

    Attributes:
        name: "A" for the largest, "B", ...
        rows: int [n], of `Boxes`, the most typical first.
        mean_score: of them.
        heat_outside: mean share of heat outside the box, 0 to 1.
        counts: what they are.
        box_frame: float [CELLS, CELLS], the mean map in the box's frame.
        image_frame: the same in the image's.
        examples: the most typical ones.
    """

    name: str
    rows: np.ndarray
    mean_score: float
    heat_outside: float
    counts: Counts
    box_frame: np.ndarray
    image_frame: np.ndarray
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Check:
    """What became of boxes' scores when a place was taken out of their images.

    Attributes:
        boxes: how many were asked.
        drop_there: mean fall of the score with the place taken out.
        drop_elsewhere: with as much taken out elsewhere.
        difference: of the two, with its interval over images.
        verdict: whether the suspect holds.
    """

    boxes: int
    drop_there: float
    drop_elsewhere: float
    difference: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Suspect:
    """Evidence of a class that does not lie on its objects.

    Attributes:
        class_name: the class.
        kind: why it is suspect.
        place: where the evidence lies; for a small thing that lies here and there, None.
        rows: int [n], of `Boxes`: the boxes that rest on it, the clearest first.
        of_boxes: how many boxes the class has.
        heat: mean share of these boxes' heat that lies there, 0 to 1.
        usual_heat: the same share at this place for the other classes' boxes.
        strength: what suspects are ranked by: the share of the class's heat that lies there beyond what is usual.
        sentence: for a person.
        counts: what the boxes that rest on it are.
        examples: the clearest of them.
        check: proof by intervention, None where none was asked for.
    """

    class_name: str
    kind: Kind
    place: Place | None
    rows: np.ndarray
    of_boxes: int
    heat: float
    usual_heat: float
    strength: float
    sentence: Said
    counts: Counts
    examples: tuple[Example, ...]
    check: Check | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether it holds."""
        return Verdict.NOT_CHECKED if self.check is None else self.check.verdict


@dataclass(frozen=True)
class ClassInsight:
    """What the maps of one class say.

    Attributes:
        class_name: the class.
        boxes: how many have a map.
        mean_score: of them.
        heat_outside: mean share of heat outside the box, 0 to 1.
        spread: standard deviation of that share.
        sides: float [3, 3], the mean share above left, above, above right, left, in the box, right, below left, ...
        on_others: other class -> mean share of heat that lies on its boxes and outside the own one, the largest first.
        box_frame: float [CELLS, CELLS], the mean map in the box's frame.
        image_frame: the same in the image's.
        counts: what the boxes are; `missed` counts the objects that have a map, for runs with ground truth.
        objects_missed: all objects of the class that were not found, None without ground truth.
        outside_by_role: "true", "false", "missed" -> mean share of heat outside the box.
        groups: the largest first; none where there are too few boxes.
        note: why there are no groups, None otherwise.
        findings: sentences on what false positives and missed objects have in common.
    """

    class_name: str
    boxes: int
    mean_score: float
    heat_outside: float
    spread: float
    sides: np.ndarray
    on_others: Mapping[str, float]
    box_frame: np.ndarray
    image_frame: np.ndarray
    counts: Counts
    objects_missed: int | None
    outside_by_role: Mapping[str, float]
    groups: tuple[Group, ...]
    note: Said | None
    findings: tuple[Said, ...] = ()
