"""Two insights, as before and after a training -> which groups and suspects came and went."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.insight.record import read_record, records_of
from ppdet_cam.report.insights import INSIGHT_FILE

# groups whose mean maps share so much are one (sum of the smaller of both, each map summing to 1)
SAME_GROUP = 0.75
# a suspect that came or went is told from one that counts less or more by this factor of its strength
MUCH = 2.0


class Became(enum.Enum):
    """What became of a group or suspect."""

    GONE = "gone"
    NEW = "new"
    WEAKER = "weaker"
    STRONGER = "stronger"
    STAYED = "stayed"
    REFUTED = "no longer holds"


@dataclass(frozen=True)
class SuspectChange:
    """What became of a suspect.

    Attributes:
        became: what.
        sentence: of the suspect, `sentence` of its record.
        a: its record before, None for a new one.
        b: after, None for one that is gone.
    """

    became: Became
    sentence: Mapping[str, object]
    a: Mapping[str, object] | None
    b: Mapping[str, object] | None

    @property
    def words(self) -> str:
        """What became of it, after the training: "counts no more: 31 of 80 'wired_lamp' boxes rest on ..."."""
        return f"{_WORDS[self.became]}: {self.sentence.get('text', '')}"


@dataclass(frozen=True)
class GroupChange:
    """What became of a group.

    Attributes:
        class_name: its class.
        became: gone, new or stayed.
        a: its name before, "" for a new one.
        b: after, "" for one that is gone.
        share_a: of the class's boxes, before.
        share_b: after.
    """

    class_name: str
    became: Became
    a: str
    b: str
    share_a: float
    share_b: float


@dataclass(frozen=True)
class InsightChanges:
    """What became of suspects and groups.

    Attributes:
        suspects: those that are gone or do not hold any more first.
        groups: class by class.
    """

    suspects: tuple[SuspectChange, ...]
    groups: tuple[GroupChange, ...]


_WORDS = {
    Became.GONE: "counts no more",
    Became.REFUTED: "taken out, it lowers the score no more",
    Became.NEW: "new",
    Became.WEAKER: "counts less",
    Became.STRONGER: "counts more",
    Became.STAYED: "as before",
}
_ORDER = (Became.GONE, Became.REFUTED, Became.NEW, Became.WEAKER, Became.STRONGER, Became.STAYED)


def changes_of(a: Mapping[str, object], b: Mapping[str, object]) -> InsightChanges:
    """Returns which groups and suspects came and went between two insights.

    Args:
        a: the content of `insight.json` before.
        b: after.

    Raises:
        ConfigError: a record is not as this version writes it.
    """
    try:
        return InsightChanges(tuple(_suspects(a, b)), tuple(_groups(a, b)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"an insight.json is not as cam_insight writes it ({error}); run cam_insight again"
        ) from error


def _suspects(a: Mapping[str, object], b: Mapping[str, object]) -> list[SuspectChange]:
    after = list(records_of(b, "suspects"))
    found = []
    for one in records_of(a, "suspects"):
        same = next((other for other in after if _is_same(one, other)), None)
        if same is not None:
            after.remove(same)
        found.append(_change(one, same))
    found += [_change(None, other) for other in after]
    return sorted(found, key=lambda change: _ORDER.index(change.became))


def _is_same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    if (one["class_name"], one["kind"]) != (other["class_name"], other["kind"]):
        return False
    places = one["place"], other["place"]
    if not all(isinstance(place, dict) for place in places):
        return True
    (left, top, right, bottom), there = (
        [float(side) for side in place["xyxy"]]  # type: ignore[index]
        for place in places
    )
    off = abs(left + right - there[0] - there[2]) / 2, abs(top + bottom - there[1] - there[3]) / 2
    return max(off) <= right - left


def _change(a: Mapping[str, object] | None, b: Mapping[str, object] | None) -> SuspectChange:
    if a is None or b is None:
        became = Became.NEW if a is None else Became.GONE
    elif a["verdict"] == "confirmed" and b["verdict"] == "not_confirmed":
        became = Became.REFUTED
    else:
        before, now = float(str(a["strength"])), float(str(b["strength"]))
        ratio = now / before if before > 0 else math.inf
        became = Became.WEAKER if ratio < 1 / MUCH else Became.STRONGER if ratio > MUCH else Became.STAYED
    record = b if a is None else a
    assert record is not None
    sentence = record["sentence"]
    return SuspectChange(became, sentence if isinstance(sentence, dict) else {}, a, b)


def _groups(a: Mapping[str, object], b: Mapping[str, object]) -> list[GroupChange]:
    classes_b = {str(one["class_name"]): one for one in records_of(b, "classes")}
    found = []
    for before in records_of(a, "classes"):
        name = str(before["class_name"])
        after = classes_b.pop(name, None)
        found += _of_class(name, _parts(before), _parts(after) if after else [])
    for name, after in classes_b.items():
        found += _of_class(name, [], _parts(after))
    return found


def _parts(of: Mapping[str, object]) -> list[tuple[str, float, np.ndarray]]:
    """Returns name, share of the class's boxes and mean map of each group."""
    groups = records_of(of, "groups")
    total = sum(int(str(one["boxes"])) for one in groups)
    return [
        (str(one["name"]), int(str(one["boxes"])) / max(1, total), np.array(one["box_frame"], float)) for one in groups
    ]


def _of_class(
    name: str, a: Sequence[tuple[str, float, np.ndarray]], b: Sequence[tuple[str, float, np.ndarray]]
) -> list[GroupChange]:
    alike = sorted(
        ((_shared(one[2], other[2]), i, j) for i, one in enumerate(a) for j, other in enumerate(b)), reverse=True
    )
    paired: dict[int, int] = {}
    for shared, i, j in alike:
        if shared >= SAME_GROUP and i not in paired and j not in paired.values():
            paired[i] = j
    found = []
    for i, (group, share, _) in enumerate(a):
        other = b[paired[i]] if i in paired else None
        became = Became.STAYED if other else Became.GONE
        found.append(GroupChange(name, became, group, other[0] if other else "", share, other[1] if other else 0.0))
    found += [
        GroupChange(name, Became.NEW, "", group, 0.0, share)
        for j, (group, share, _) in enumerate(b)
        if j not in paired.values()
    ]
    return found


def _shared(one: np.ndarray, other: np.ndarray) -> float:
    sums = one.sum(), other.sum()
    return float(np.minimum(one / sums[0], other / sums[1]).sum()) if min(sums) > 0 else 0.0


def changes_record(changes: InsightChanges) -> dict[str, object]:
    """Returns what became of suspects and groups, as `compare.json` has it.

    Args:
        changes: from `changes_of`.
    """
    return {
        "suspects": [
            {
                "became": one.became.value,
                "sentence": dict(one.sentence),
                "class_name": (one.a or one.b or {}).get("class_name"),
                "strength_a": None if one.a is None else one.a["strength"],
                "strength_b": None if one.b is None else one.b["strength"],
            }
            for one in changes.suspects
        ],
        "groups": [
            {
                "class_name": one.class_name,
                "became": one.became.value,
                "a": one.a or None,
                "b": one.b or None,
                "share_a": round(one.share_a, 5),
                "share_b": round(one.share_b, 5),
            }
            for one in changes.groups
        ],
    }


def changes_of_runs(folder_a: Path, folder_b: Path) -> InsightChanges | None:
    """Returns what became of suspects and groups between two runs' folders, None where one has no `insight.json`.

    Raises:
        ConfigError: one is of another schema, or cannot be read.
    """
    if not all((folder / INSIGHT_FILE).is_file() for folder in (folder_a, folder_b)):
        return None
    return changes_of(read_record(folder_a), read_record(folder_b))
