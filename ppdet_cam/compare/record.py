"""A comparison -> `compare.json`: every number of it, for other programs. docs/compare.md explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ppdet_cam import __version__
from ppdet_cam.compare.comparison import Comparison
from ppdet_cam.compare.differences import Difference
from ppdet_cam.compare.matching import ImagePair
from ppdet_cam.compare.measures import Mean, MeasuredPair, Summary
from ppdet_cam.insight.changes import changes_record
from ppdet_cam.metrics import Interval
from ppdet_cam.questions.overlaps import MATCH_IOU
from ppdet_cam.report.reading import Box, Image, Run

COMPARE_SCHEMA = 1
# the key by which the file is known for one of ours
SCHEMA_KEY = "compare_schema_version"


def comparison_record(comparison: Comparison) -> dict[str, object]:
    """Returns the content of `compare.json`.

    Args:
        comparison: what changed.
    """
    images = comparison.images
    return {
        SCHEMA_KEY: COMPARE_SCHEMA,
        "version": __version__,
        "match_iou": MATCH_IOU,
        "runs": {"a": _run_record(comparison.a), "b": _run_record(comparison.b)},
        "same_weights": comparison.has_same_weights,
        "differences": [_difference_record(difference) for difference in comparison.differences],
        "settings": [_difference_record(difference) for difference in comparison.settings],
        "images": {
            "compared": len(images.compared),
            "failed": [_failure_record(pair) for pair in images.failed],
            "unlike": [pair.a.title for pair in images.unlike],
            "only_a": [image.title for image in images.only_a],
            "only_b": [image.title for image in images.only_b],
        },
        "without_maps": list(comparison.without_maps),
        "unread_maps": list(comparison.unread_maps),
        "asked_once": comparison.asked_once,
        "total": summary_record(comparison.total),
        "classes": [summary_record(one) for one in comparison.classes],
        **({} if comparison.insight is None else {"insight": changes_record(comparison.insight)}),
        "pairs": [_pair_record(measured, images.compared) for measured in comparison.pairs],
    }


def summary_record(summary: Summary) -> dict[str, object]:
    """Returns a summary with its means and intervals."""
    return {
        "class_name": summary.class_name,
        "boxes_a": summary.boxes_a,
        "boxes_b": summary.boxes_b,
        "kept": summary.kept,
        "lost": summary.lost,
        "new": summary.new,
        "to_other": summary.to_other,
        "from_other": summary.from_other,
        "score": _mean_record(summary.score),
        "energy_in_box": _mean_record(summary.energy_in_box),
        "map_correlation": _interval_record(summary.map_correlation),
        "rank_correlation": _interval_record(summary.rank_correlation),
    }


def _mean_record(mean: Mean | None) -> dict[str, object] | None:
    return None if mean is None else {"a": mean.a, "b": mean.b, "change": _interval_record(mean.change)}


def _interval_record(interval: Interval | None) -> dict[str, object] | None:
    return None if interval is None else asdict(interval)


def _run_record(run: Run) -> dict[str, object]:
    return {
        "folder": str(run.folder),
        "config": run.config,
        "architecture": run.architecture,
        "weights": dict(run.weights),
        "images": len(run.images),
    }


def _difference_record(difference: Difference) -> dict[str, object]:
    return {"name": difference.name, "a": difference.a, "b": difference.b, "touches": difference.touches.value}


def _failure_record(pair: ImagePair) -> dict[str, object]:
    return {"image": pair.a.title, "a": pair.a.failure, "b": pair.b.failure}


def _pair_record(measured: MeasuredPair, images: Sequence[ImagePair]) -> dict[str, object]:
    pair, change = measured.pair, measured.change
    image: Image = images[measured.image].a
    return {
        "image": image.title,
        "path": image.path,
        "kind": pair.kind.value,
        "a": _box_record(pair.a),
        "b": _box_record(pair.b),
        "iou": pair.iou,
        "beside": pair.beside and pair.beside.detection.index,
        "score_change": change.score,
        "energy_in_box_change": change.energy_in_box,
        "map_correlation": change.map_correlation,
        "rank_correlation": change.rank_correlation,
        "change": change.largest,
    }


def _box_record(box: Box | None) -> dict[str, object] | None:
    if box is None:
        return None
    polygon = box.detection.polygon_xy
    return {
        "index": box.detection.index,
        "class_name": box.detection.class_name,
        "score": box.detection.score,
        "box_xyxy": list(box.detection.box_xyxy),
        "status": box.status.name.lower(),
        "energy_in_box": box.energy_in_box,
        **({} if polygon is None else {"polygon_xy": [list(corner) for corner in polygon]}),
        **({"asked": box.answer.name, "verdict": box.answer.verdict.name.lower()} if box.answer else {}),
    }
