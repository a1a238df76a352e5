"""What `cam_insight` left in a run's folder, as far as the report's page "Classes" shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ppdet_cam.places import read_regular

INSIGHT_FILE = "insight.json"
INSIGHT_PAGE = "insight.html"
INSIGHT_SCHEMA = 1
# the key by which the file is known for one of ours
SCHEMA_KEY = "insight_schema_version"

_OF_SUSPECT = ("class_name", "sentence", "verdict", "rank")
_OF_CLASS = ("class_name", "boxes", "mean_score", "heat_outside", "counts", "objects_missed")


def insight_values(folder: Path) -> dict[str, object] | None:
    """Returns suspects and classes of the `insight.json` in a folder, without maps and examples.

    None where there is none, or none that this version wrote: a report does not need it.

    Args:
        folder: the run's.
    """
    try:
        document = json.loads(read_regular(folder / INSIGHT_FILE))
        if document[SCHEMA_KEY] != INSIGHT_SCHEMA:
            return None
        return {
            "suspects": [{key: one[key] for key in _OF_SUSPECT} for one in document["suspects"]],
            "classes": [_class(one) for one in document["classes"]],
            "hasTruth": bool(document["has_truth"]),
        }
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return None


def _class(one: Mapping[str, object]) -> dict[str, object]:
    groups = one["groups"]
    return {**{key: one[key] for key in _OF_CLASS}, "groupCount": len(groups) if isinstance(groups, list) else 0}
