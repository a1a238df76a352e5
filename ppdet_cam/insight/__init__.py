"""A run's maps -> what the detector rests on, class by class, and what it cheats with.

    from ppdet_cam.insight import find_insight, write_insight

    insight = find_insight(Path("cam_out"))
    for suspect in insight.suspects:
        print(suspect.sentence)

`ppdet_cam.insight.checking.check_suspects` proves suspects on the detector; it imports paddle and ppdet.
"""

from __future__ import annotations

from ppdet_cam.insight.changes import InsightChanges, changes_of
from ppdet_cam.insight.finding import Insight, find_insight
from ppdet_cam.insight.html import write_insight
from ppdet_cam.insight.record import insight_record, read_record
from ppdet_cam.insight.values import ClassInsight, Group, Place, Suspect

__all__ = [
    "ClassInsight",
    "Group",
    "Insight",
    "InsightChanges",
    "Place",
    "Suspect",
    "changes_of",
    "find_insight",
    "insight_record",
    "read_record",
    "write_insight",
]
