"""An evaluation -> `report.html`: its plots and tables on one page that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.evaluation import plots
from ppdet_cam.evaluation.summary import BOX_BASELINES, Row, SanityRow, Summary
from ppdet_cam.evaluation.tables import GROUPS, agreement_layers, explanation
from ppdet_cam.metrics import Better, Interval, metrics
from ppdet_cam.outputs.merging import Failure
from ppdet_cam.report.page import TEMPLATES, PageFiles, encode_payload, render_page

_FILES = PageFiles(
    kind="evaluation",
    template="evaluation.html",
    styles=("report.css", "evaluation.css"),
    scripts=(),
    folders=(Path(__file__).resolve().parent / "templates", TEMPLATES),
)


@dataclass(frozen=True)
class Picture:
    """A plot.

    Attributes:
        caption: what it shows.
        address: of its content.
    """

    caption: str
    address: str


@dataclass(frozen=True)
class Cell:
    """A number of a table.

    Attributes:
        text: the mean, "" where nothing was measured.
        interval: its interval, in words.
        is_best: whether no other method's mean is better.
    """

    text: str
    interval: str = ""
    is_best: bool = False


def render_evaluation(summary: Summary, document: Mapping[str, object], failures: Sequence[Failure]) -> str:
    """Returns the page as HTML.

    Args:
        summary: of all images.
        document: what the evaluation says of itself: config, weights, flags, device, versions.
        failures: the images that could not be measured.
    """
    config, weights, flags = (_mapping(document.get(key)) for key in ("config", "weights", "flags"))
    layers = list(dict.fromkeys(row.label.layer for row in summary.rows if row.label.layer)) or [""]
    values = {
        "summary": summary,
        "facts": [
            ("Detector", str(config.get("architecture", ""))),
            ("Config", str(config.get("path", ""))),
            ("Weights", str(weights.get("asked", ""))),
            ("Annotations", str(flags.get("gt", ""))),
            ("Targets", ", ".join(_texts(flags.get("target")))),
            ("Device", str(document.get("device", ""))),
            ("Versions", ", ".join(f"{name} {text}" for name, text in _mapping(document.get("versions")).items())),
        ],
        "failures": failures,
        "groups": [(caption, *_table(summary, names)) for caption, names in GROUPS if _measured(summary, names)],
        "verdicts": [row for row in summary.rows if row.no_better and any(row.no_better.values())],
        "box_baselines": BOX_BASELINES,
        "bars": _picture("Each kind of map, mean and 95 % interval", plots.bars(summary)),
        "curves": [_picture(_at(layer), plots.mean_curves(summary, layer)) for layer in layers],
        "agreement": [_picture(_at(layer), plots.agreement(summary, layer)) for layer in agreement_layers(summary)],
        "sanity": [_picture(_at(layer), plots.sanity(summary, layer)) for layer in layers],
        "sanity_rows": [_sanity_cells(row) for row in summary.sanity],
    }
    title = f"{Path(str(config.get('path', ''))).stem}: {summary.found} boxes of {summary.images} images"
    return render_page(_FILES, values, title=title, payload=encode_payload({}))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []


def _at(layer: str) -> str:
    return f"at {layer}" if layer else "methods that look at no layer"


def _picture(caption: str, svg: str | None) -> Picture | None:
    if svg is None:
        return None
    return Picture(caption, "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode())


def _measured(summary: Summary, names: Sequence[str]) -> bool:
    return any(name in row.values for row in summary.rows for name in names)


def _table(summary: Summary, names: Sequence[str]) -> tuple[list[tuple[str, str]], list[tuple[Row, list[Cell]]]]:
    """Returns the columns with what they are, and a row of cells per kind of map."""
    there = [name for name in names if any(name in row.values for row in summary.rows)]
    best = {name: _best(summary, name) for name in there}
    rows = [(row, [_cell(row.values.get(name), best[name], row) for name in there]) for row in summary.rows]
    return [(name, explanation(name)) for name in there], rows


def _best(summary: Summary, name: str) -> float | None:
    means = [row.values[name].mean for row in summary.rows if name in row.values and not row.label.is_baseline]
    if not means:
        return None
    return min(means) if metrics.get(name.partition(" ")[0]).better is Better.LOWER else max(means)


def _cell(interval: Interval | None, best: float | None, row: Row) -> Cell:
    if interval is None:
        return Cell("")
    return Cell(f"{interval.mean:.3f}", _words(interval), not row.label.is_baseline and interval.mean == best)


def _sanity_cells(row: SanityRow) -> tuple[SanityRow, list[Cell]]:
    cells = [
        Cell(f"{rank.mean:.2f} / {similar.mean:.2f}", f"rank correlation {_words(rank)}; similarity {_words(similar)}")
        for rank, similar in zip(row.spearman, row.ssim)
    ]
    return row, cells


def _words(interval: Interval) -> str:
    images = f"{interval.boxes} boxes of {interval.images} image{'' if interval.images == 1 else 's'}"
    return f"{interval.low:.3f} to {interval.high:.3f}, {images}" if interval.images > 1 else images
