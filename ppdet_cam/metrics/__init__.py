"""Metrics of a map: where it lies, whether the detector depends on what it shows, how alike two maps are.

numpy and scipy only. A metric takes arrays, and where the detector has to be asked again a function
uint8 [N, H, W, 3] -> float [N]. `metrics` names those that give one number per map; tables, docs and tests take names,
directions and needs from there. Definitions with their sources: docs/metrics.md.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, TypeVar

import numpy as np

from ppdet_cam.metrics.baselines import Baseline, baselines, centred_gaussian, filled_box, uniform
from ppdet_cam.metrics.deletion import (
    Curve,
    Curves,
    ScoreFn,
    content_free,
    curves,
    deletion_curve,
    fills,
    insertion_curve,
)
from ppdet_cam.metrics.localization import (
    compactness,
    energy,
    energy_area,
    energy_in_mask,
    energy_over_chance,
    evidence_energy,
    evidence_hit,
    object_discrimination,
    pointing,
    pointing_in_mask,
    pointing_over_chance,
)
from ppdet_cam.metrics.regions import Box, MetricError, box_coverage, box_share
from ppdet_cam.metrics.sanity import map_ssim, rank_correlations, spearman, structural_similarity
from ppdet_cam.metrics.similarity import best_similarity, box_iou, similarity
from ppdet_cam.metrics.statistics import Interval, bootstrap_interval, paired_difference
from ppdet_cam.polygons import BoxXyxy
from ppdet_cam.registry import Registry

__all__ = [
    "Baseline",
    "Better",
    "Box",
    "Curve",
    "Curves",
    "Interval",
    "MeasuredMap",
    "Metric",
    "MetricError",
    "ScoreFn",
    "applicable",
    "baselines",
    "best_similarity",
    "bootstrap_interval",
    "box_coverage",
    "box_iou",
    "box_share",
    "centred_gaussian",
    "compactness",
    "content_free",
    "curves",
    "deletion_curve",
    "energy",
    "energy_area",
    "energy_in_mask",
    "energy_over_chance",
    "evidence_energy",
    "evidence_hit",
    "filled_box",
    "fills",
    "insertion_curve",
    "map_ssim",
    "measure",
    "metrics",
    "object_discrimination",
    "paired_difference",
    "pointing",
    "pointing_in_mask",
    "pointing_over_chance",
    "rank_correlations",
    "similarity",
    "spearman",
    "structural_similarity",
    "uniform",
]

T = TypeVar("T")


@dataclass(frozen=True)
class MeasuredMap:
    """One map, and what is known about its box; None for what is not known.

    Attributes:
        heatmap: float [H, W], >= 0, original pixels.
        box_xyxy: the object, left, top, right, bottom in original pixels, or the four corners (x, y) of a rotated box.
        mask: bool or float [H, W], the object's pixels.
        evidence_xyxy: the place that alone makes the object its class.
        other_boxes_xyxy: the image's other objects; empty counts as not known, as nothing can be told apart.
        curves: deletion and insertion of this map.
        compared_heatmap: float [H, W], the map to compare with.
    """

    heatmap: np.ndarray
    box_xyxy: Box
    mask: np.ndarray | None = None
    evidence_xyxy: BoxXyxy | None = None
    other_boxes_xyxy: tuple[Box, ...] = ()
    curves: Curves | None = None
    compared_heatmap: np.ndarray | None = None


class Better(enum.Enum):
    """Which way a metric is good."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "depends on what is compared"


@dataclass(frozen=True)
class Metric:
    """A metric that gives one number per map.

    Attributes:
        summary: what the number is, one line for tables and help.
        better: which way it is good.
        value: a map -> the number; never NaN.
        needs: the attribute of `MeasuredMap` that it needs beside map and box, None for nothing more.
    """

    summary: str
    better: Better
    value: Callable[[MeasuredMap], float]
    needs: str | None = None


metrics: Registry[Metric] = Registry("metric")

_METRICS: dict[str, Metric] = {
    "pointing": Metric(
        "the map's peak lies in the box",
        Better.HIGHER,
        lambda of: pointing(of.heatmap, of.box_xyxy),
    ),
    "pointing_over_chance": Metric(
        "pointing / the box's share of the image",
        Better.HIGHER,
        lambda of: pointing_over_chance(of.heatmap, of.box_xyxy),
    ),
    "pointing_in_mask": Metric(
        "the map's peak lies on the object's mask",
        Better.HIGHER,
        lambda of: pointing_in_mask(of.heatmap, _known(of.mask)),
        needs="mask",
    ),
    "energy": Metric(
        "share of the map's sum in the box",
        Better.HIGHER,
        lambda of: energy(of.heatmap, of.box_xyxy),
    ),
    "energy_over_chance": Metric(
        "energy / the box's share of the image",
        Better.HIGHER,
        lambda of: energy_over_chance(of.heatmap, of.box_xyxy),
    ),
    "energy_in_mask": Metric(
        "share of the map's sum on the object's mask",
        Better.HIGHER,
        lambda of: energy_in_mask(of.heatmap, _known(of.mask)),
        needs="mask",
    ),
    "evidence_hit": Metric(
        "the map's peak lies on the known evidence",
        Better.HIGHER,
        lambda of: evidence_hit(of.heatmap, _known(of.evidence_xyxy)),
        needs="evidence_xyxy",
    ),
    "evidence_energy": Metric(
        "share of the map's sum on the known evidence",
        Better.HIGHER,
        lambda of: evidence_energy(of.heatmap, _known(of.evidence_xyxy)),
        needs="evidence_xyxy",
    ),
    "compactness": Metric(
        "distance of the energy from the peak, in half diagonals of the box",
        Better.LOWER,
        lambda of: compactness(of.heatmap, of.box_xyxy),
    ),
    "energy_area_50": Metric(
        "smallest share of the image that holds 50 % of the energy",
        Better.LOWER,
        lambda of: energy_area(of.heatmap, share=0.5),
    ),
    "energy_area_80": Metric(
        "smallest share of the image that holds 80 % of the energy",
        Better.LOWER,
        lambda of: energy_area(of.heatmap, share=0.8),
    ),
    "object_discrimination": Metric(
        "of the energy on objects, the share on other objects",
        Better.LOWER,
        lambda of: object_discrimination(of.heatmap, of.box_xyxy, other_boxes_xyxy=of.other_boxes_xyxy),
        needs="other_boxes_xyxy",
    ),
    "deletion": Metric(
        "mean score while the map's top is deleted first",
        Better.LOWER,
        lambda of: _known(of.curves).deletion.auc,
        needs="curves",
    ),
    "insertion": Metric(
        "mean score while the map's top is shown first",
        Better.HIGHER,
        lambda of: _known(of.curves).insertion.auc,
        needs="curves",
    ),
    "insertion_minus_deletion": Metric(
        "insertion - deletion",
        Better.HIGHER,
        lambda of: _known(of.curves).insertion_minus_deletion,
        needs="curves",
    ),
    "spearman": Metric(
        "rank correlation with another map",
        Better.NEITHER,
        lambda of: spearman(of.heatmap, _known(of.compared_heatmap)),
        needs="compared_heatmap",
    ),
    "ssim": Metric(
        "structural similarity with another map",
        Better.NEITHER,
        lambda of: map_ssim(of.heatmap, _known(of.compared_heatmap)),
        needs="compared_heatmap",
    ),
}
for _name, _metric in _METRICS.items():
    metrics.register(_name)(_metric)


def applicable(of: MeasuredMap) -> list[str]:
    """Returns the names of the metrics whose needs are known for this map, sorted.

    Example:
        >>> "evidence_hit" in applicable(MeasuredMap(np.ones((2, 2)), (0, 0, 1, 1)))
        False
    """
    return [name for name in metrics.names() if _has(of, metrics.get(name).needs)]


def measure(of: MeasuredMap, names: Sequence[str] | None = None) -> dict[str, float]:
    """Returns the metrics of one map by name.

    Args:
        of: the map and what is known about its box.
        names: which metrics, None for all that are applicable.

    Returns:
        Finite numbers, in the order of `names`.

    Raises:
        UnknownNameError: no metric has this name.
        MetricError: a metric needs what is not known for this map, or cannot be computed from the arrays.

    Example:
        >>> measure(MeasuredMap(np.array([[1.0, 3.0]]), (1, 0, 2, 1)), ["pointing", "energy"])
        {'pointing': 1.0, 'energy': 0.75}
    """
    chosen = {name: metrics.get(name) for name in (applicable(of) if names is None else names)}
    for name, metric in chosen.items():
        if not _has(of, metric.needs):
            raise MetricError(f"metric {name!r} needs {metric.needs}, which this map comes without")
    return {name: metric.value(of) for name, metric in chosen.items()}


def _has(of: MeasuredMap, needs: str | None) -> bool:
    if needs is None:
        return True
    known = getattr(of, needs)
    return len(known) > 0 if isinstance(known, tuple) else known is not None


def _known(value: T | None) -> T:
    if value is None:
        raise MetricError("this metric needs something that this map comes without; `applicable` lists those that fit")
    return value
