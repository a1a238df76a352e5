"""What was found -> `insight.json`, for other programs, and back; docs/insight.md explains every key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ppdet_cam import __version__
from ppdet_cam.errors import ConfigError
from ppdet_cam.insight.finding import Insight
from ppdet_cam.insight.values import Check, ClassInsight, Counts, Example, Group, Place, Suspect
from ppdet_cam.languages import Said
from ppdet_cam.places import read_regular
from ppdet_cam.report.insights import INSIGHT_FILE, INSIGHT_SCHEMA, SCHEMA_KEY


def insight_record(insight: Insight) -> dict[str, object]:
    """Returns the content of `insight.json`.

    Args:
        insight: what was found.
    """
    run, collected = insight.run, insight.collected
    return {
        SCHEMA_KEY: INSIGHT_SCHEMA,
        "version": __version__,
        "run": {
            "config": run.config,
            "architecture": run.architecture,
            "weights": dict(run.weights),
            "images": len(run.images),
            "boxes": len(collected.boxes),
        },
        "has_truth": insight.has_truth,
        "left_out": {
            "maps_unread": list(collected.unread),
            "blank_boxes": collected.blank,
            "images_without_photo": collected.without_photo,
        },
        "suspects": [_suspect(insight, one, rank) for rank, one in enumerate(insight.suspects, 1)],
        "classes": [_class(insight, one) for one in insight.classes],
    }


def said_record(said: Said) -> dict[str, object]:
    """Returns a sentence as it is read, and as a page says it in another language."""
    return {"text": str(said), "pattern": said.pattern, "values": list(said.values)}


def _suspect(insight: Insight, of: Suspect, rank: int) -> dict[str, object]:
    return {
        "rank": rank,
        "class_name": of.class_name,
        "kind": of.kind.name.lower(),
        "sentence": said_record(of.sentence),
        "place": None if of.place is None else _place(of.place),
        "boxes": len(of.rows),
        "of_boxes": of.of_boxes,
        "heat": _short(of.heat),
        "usual_heat": _short(of.usual_heat),
        "strength": _short(of.strength),
        "counts": _counts(of.counts, insight.has_truth),
        "verdict": of.verdict.name.lower(),
        "check": None if of.check is None else _check(of.check),
        "examples": [_example(insight, one) for one in of.examples],
    }


def _place(of: Place) -> dict[str, object]:
    return {"frame": of.frame.value, "xyxy": [_short(side) for side in of.xyxy]}


def _check(of: Check) -> dict[str, object]:
    return {
        "boxes": of.boxes,
        "drop_there": _short(of.drop_there),
        "drop_elsewhere": _short(of.drop_elsewhere),
        "difference": {
            "mean": _short(of.difference.mean),
            "low": _short(of.difference.low),
            "high": _short(of.difference.high),
        },
    }


def _class(insight: Insight, of: ClassInsight) -> dict[str, object]:
    return {
        "class_name": of.class_name,
        "boxes": of.boxes,
        "mean_score": _short(of.mean_score),
        "heat_outside": {"mean": _short(of.heat_outside), "spread": _short(of.spread)},
        "sides": _rows(of.sides),
        "on_other_classes": {name: _short(share) for name, share in of.on_others.items()},
        "counts": _counts(of.counts, insight.has_truth),
        "objects_missed": of.objects_missed,
        "heat_outside_by_result": {name: _short(share) for name, share in of.outside_by_role.items()},
        "findings": [said_record(one) for one in of.findings],
        "note": None if of.note is None else said_record(of.note),
        "box_frame": _rows(of.box_frame),
        "image_frame": _rows(of.image_frame),
        "groups": [_group(insight, one) for one in of.groups],
    }


def _group(insight: Insight, of: Group) -> dict[str, object]:
    return {
        "name": of.name,
        "boxes": len(of.rows),
        "mean_score": _short(of.mean_score),
        "heat_outside": _short(of.heat_outside),
        "counts": _counts(of.counts, insight.has_truth),
        "box_frame": _rows(of.box_frame),
        "image_frame": _rows(of.image_frame),
        "examples": [_example(insight, one) for one in of.examples],
    }


def _counts(of: Counts, has_truth: bool) -> dict[str, int] | None:
    return {"true": of.true, "false": of.false, "missed": of.missed} if has_truth else None


def _example(insight: Insight, of: Example) -> dict[str, object]:
    image = insight.run.images[of.image]
    box = image.boxes[of.box]
    return {
        "image": image.title,
        "box": box.answer.name if box.answer else box.detection.index,
        "score": _short(box.detection.score),
        "box_xyxy": [round(float(side), 1) for side in box.detection.box_xyxy],
    }


def _rows(values: np.ndarray) -> list[list[float]]:
    return [[_short(value) for value in row] for row in values]


def _short(value: float) -> float:
    return round(float(value), 5)


def read_record(path: Path) -> Mapping[str, object]:
    """Returns the content of an `insight.json`, or of that in a run's folder.

    Args:
        path: the file, or the folder that holds it.

    Raises:
        ConfigError: it is not there, not of this program, or of another schema.
    """
    file = path / INSIGHT_FILE if path.is_dir() else path
    try:
        document = json.loads(read_regular(file))
    except FileNotFoundError as error:
        raise ConfigError(f"{file} is not there; cam_insight writes it: cam_insight {file.parent}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read: {error}. Run cam_insight again") from error
    schema = document.get(SCHEMA_KEY) if isinstance(document, dict) else None
    if schema != INSIGHT_SCHEMA:
        raise ConfigError(
            f"{file} has {SCHEMA_KEY} {schema!r}; this version reads {INSIGHT_SCHEMA}. Run cam_insight again"
        )
    return document


def records_of(document: Mapping[str, object], key: str) -> Sequence[Mapping[str, object]]:
    """Returns a list of objects of a record, without what is none."""
    value = document.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
