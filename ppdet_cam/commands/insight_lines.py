"""What is printed of suspects and groups that came and went."""

from __future__ import annotations

from ppdet_cam.insight.changes import Became, InsightChanges


def change_lines(changes: InsightChanges) -> list[str]:
    """Returns a line per suspect, and one per group that is gone or new."""
    lines = [one.words for one in changes.suspects]
    went = [one for one in changes.groups if one.became is not Became.STAYED]
    return lines + [
        f"group {one.a or one.b} of '{one.class_name}': {one.became.value} "
        f"({one.share_a or one.share_b:.0%} of its boxes {'before' if one.a else 'after'})"
        for one in went
    ]
