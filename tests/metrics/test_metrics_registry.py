"""The table of metrics: every name can be measured, is documented, and says what it needs."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from support.places import ROOT

import ppdet_cam.metrics as package
from ppdet_cam.errors import UnknownNameError
from ppdet_cam.metrics import (
    Better,
    MeasuredMap,
    MetricError,
    applicable,
    baselines,
    curves,
    fills,
    measure,
    metrics,
)

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
MODULES = [f"ppdet_cam.metrics.{module.name}" for module in pkgutil.iter_modules(package.__path__)]


def fully_known(heatmap: np.ndarray) -> MeasuredMap:
    """Returns the map with everything known that any metric needs."""
    photo = np.full((*heatmap.shape, 3), 200, dtype=np.uint8)
    photo[4:8, 4:8] = 250
    return MeasuredMap(
        heatmap=heatmap,
        box_xyxy=(3.5, 3.0, 9.0, 9.5),
        mask=np.eye(12, 14, dtype=bool),
        evidence_xyxy=(4.0, 4.0, 8.0, 8.0),
        other_boxes_xyxy=((8.0, 8.0, 12.0, 12.0),),
        curves=curves(photo, heatmap, score_fn=lambda images: images.mean(axis=(1, 2, 3)) / 255, steps=4),
        compared_heatmap=np.random.default_rng(9).random(heatmap.shape),
    )


@pytest.mark.parametrize("kind", ["random", "flat", "blank", "one pixel"])
def test_measure_gives_finite_numbers_for_every_metric(kind: str) -> None:
    """No table ever holds NaN, whatever the map."""
    heatmap = {
        "random": np.random.default_rng(0).random((12, 14)),
        "flat": np.full((12, 14), 3.0),
        "blank": np.zeros((12, 14)),
        "one pixel": np.eye(12, 14) * (np.arange(14) == 5),
    }[kind]
    found = measure(fully_known(heatmap))
    assert list(found) == metrics.names()
    for value in found.values():
        assert isinstance(value, float)
        assert math.isfinite(value)


def test_applicable_lists_what_is_known() -> None:
    """A map and its box alone leave out what needs more; each addition brings its metrics."""
    bare = MeasuredMap(np.ones((12, 14)), (0.0, 0.0, 3.0, 3.0))
    assert applicable(bare) == [
        "compactness",
        "energy",
        "energy_area_50",
        "energy_area_80",
        "energy_over_chance",
        "pointing",
        "pointing_over_chance",
    ]
    assert applicable(fully_known(np.ones((12, 14)))) == metrics.names()
    assert list(measure(bare)) == applicable(bare)


def test_measure_keeps_the_order_of_names() -> None:
    """Columns come as asked for."""
    bare = MeasuredMap(np.array([[1.0, 3.0]]), (1.0, 0.0, 2.0, 1.0))
    assert measure(bare, ["pointing", "energy"]) == {"pointing": 1.0, "energy": 0.75}
    assert list(measure(bare, ["energy", "pointing"])) == ["energy", "pointing"]


@pytest.mark.parametrize("name", [name for name in metrics.names() if metrics.get(name).needs])
def test_measure_names_what_a_metric_lacks(name: str) -> None:
    """Asked for by name, a metric without its need is an error, not a gap."""
    with pytest.raises(MetricError, match=f"'{name}' needs {metrics.get(name).needs}"):
        measure(MeasuredMap(np.ones((12, 14)), (0.0, 0.0, 3.0, 3.0)), [name])


def test_measure_names_a_metric_that_is_not_there() -> None:
    """Close names are offered."""
    with pytest.raises(UnknownNameError, match="did you mean 'pointing'"):
        measure(MeasuredMap(np.ones((2, 2)), (0.0, 0.0, 1.0, 1.0)), ["pointng"])


def test_metrics_say_which_way_they_are_good() -> None:
    """A map of the box's inside is no worse than a map of its outside, the way each metric says."""
    inside, outside = np.zeros((12, 14)), np.ones((12, 14))
    inside[4:8, 4:8], outside[3:10, 3:10] = 1.0, 0.0
    good, bad = measure(fully_known(inside)), measure(fully_known(outside))
    for name, value in good.items():
        better = metrics.get(name).better
        if better is Better.HIGHER:
            assert value > bad[name], name
        elif better is Better.LOWER:
            assert value < bad[name], name


@pytest.mark.parametrize("name", [*metrics.names(), *fills.names(), *baselines.names()])
def test_every_name_is_on_the_page(name: str) -> None:
    """docs/metrics.md has a row for each metric, fill and baseline."""
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("module", ["ppdet_cam.metrics", *MODULES])
def test_examples_in_docstrings_hold(module: str) -> None:
    """The tiny examples run and give what they say."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_metrics_import_no_detector() -> None:
    """The room is numpy and scipy: no module of it names paddle or ppdet."""
    for path in Path(package.__path__[0]).glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "import paddle" not in source
        assert "import ppdet\n" not in source
