"""An evaluation as pictures: SVG by matplotlib, on no background, readable on white and on black."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppdet_cam.evaluation.summary import Label, Row, Summary
from ppdet_cam.evaluation.tables import agreement_matrix, explanation

BAR_METRICS = ("pointing", "energy", "evidence_energy", "insertion_minus_deletion")

_INK = "#7d8590"
_BASELINE = "#9aa3ad"
_COLOURS = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
_LAYER_COLOURS = ("#3b78c3", "#d9822b", "#4c9f5f", "#8a5fb5", "#c44e52")
_STYLE = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "ppdet_cam",  # the same evaluation gives the same file
}


def bars(summary: Summary) -> str | None:
    """Returns a bar with its interval for every kind of map, in one panel per telling metric; None without any.

    Args:
        summary: of the evaluation.
    """
    names = [name for name in BAR_METRICS if any(name in row.values for row in summary.rows)]
    if not names:
        return None
    rows = list(reversed(summary.rows))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.0 * len(names) + 2.2, 0.23 * len(rows) + 1.0), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
        for panel, name in zip(panels, names):
            for place, row in enumerate(rows):
                _bar(panel, place, row, name, _colour_of(row.label, summary))
            panel.set_title(name.replace("_", " "))
            panel.set_xlim(left=min(0.0, panel.get_xlim()[0]))
            panel.grid(axis="x", color=_INK, alpha=0.25, linewidth=0.5)
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(rows)), [_text(row.label) for row in rows])
        panels[0].set_ylim(-0.6, len(rows) - 0.4)
        return _svg(figure, "; ".join(f"{name}: {explanation(name)}" for name in names))


def _bar(panel: Axes, place: int, row: Row, name: str, colour: str) -> None:
    interval = row.values.get(name)
    if interval is not None:
        panel.barh(place, interval.mean, color=colour, height=0.72)
        panel.plot([interval.low, interval.high], [place, place], color=_INK, linewidth=1.1)


def mean_curves(summary: Summary, layer: str) -> str | None:
    """Returns the mean deletion and insertion curves of a layer's methods, and of what looks at no layer.

    Args:
        summary: of the evaluation.
        layer: of the methods; "" for none.
    """
    rows = [row for row in summary.rows if row.deletion and row.label.layer in (layer, "")]
    if not rows:
        return None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for panel, what in zip(panels, ("deletion", "insertion")):
            _lines(panel, rows, [getattr(row, what) for row in rows])
            panel.set_title(f"{what}: the map's highest pixels first")
            panel.set_xlabel(f"share of the image {'deleted' if what == 'deletion' else 'shown'}")
        panels[0].set_ylabel("share of the box's score")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
        return _svg(figure, f"mean deletion and insertion curves at {layer or 'no layer'}")


def _lines(panel: Axes, rows: Sequence[Row], curves: Sequence[Sequence[float]]) -> None:
    methods = [row for row in rows if not row.label.is_baseline]
    baselines = [row for row in rows if row.label.is_baseline]
    for row, curve in zip(rows, curves):
        shares = np.linspace(0, 1, len(curve))
        if row.label.is_baseline:
            dashes = ("--", ":", "-.", (0, (1, 3)))[baselines.index(row) % 4]
            panel.plot(shares, curve, color=_BASELINE, linestyle=dashes, linewidth=1.2, label=row.label.method)
        else:
            colour = _COLOURS[methods.index(row) % len(_COLOURS)]
            panel.plot(shares, curve, color=colour, linewidth=1.5, label=row.label.method)
    panel.grid(color=_INK, alpha=0.2, linewidth=0.5)
    panel.set_xlim(0, 1)
    panel.set_ylim(bottom=0)


def agreement(summary: Summary, layer: str) -> str:
    """Returns the rank correlation of each method of a layer with each other, as coloured squares with numbers.

    Args:
        summary: of the evaluation.
        layer: one of `agreement_layers`.
    """
    labels, matrix = agreement_matrix(summary, layer)
    count = len(labels)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(0.55 * count + 2.0, 0.42 * count + 1.4), layout="constrained")
        panel = figure.subplots()
        panel.imshow(matrix, cmap="cividis", vmin=-0.2, vmax=1.0, aspect="auto")
        for row, column in np.ndindex(count, count):
            value = matrix[row][column]
            panel.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="black" if value > 0.55 else "white",
                fontsize=7.5,
            )
        panel.set_xticks(range(count), labels, rotation=40, ha="right")
        panel.set_yticks(range(count), labels)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
        return _svg(figure, f"mean rank correlation between methods at {layer or 'no layer'}")


def sanity(summary: Summary, layer: str) -> str | None:
    """Returns how alike a layer's maps stay to themselves while the model is made random.

    Args:
        summary: of the evaluation.
        layer: of the methods.
    """
    rows = [row for row in summary.sanity if row.label.layer == layer]
    if not rows:
        return None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        steps = ["trained", *summary.parts]
        last_random = len(steps) - 2  # what comes after is no random model
        for panel, title, name in zip(panels, ("rank correlation", "structural similarity"), ("spearman", "ssim")):
            for number, row in enumerate(rows):
                values = [1.0, *(interval.mean for interval in getattr(row, name))]
                colour = _COLOURS[number % len(_COLOURS)]
                shown = {"marker": "o", "markersize": 3, "color": colour}
                panel.plot(range(last_random + 1), values[:-1], **shown, label=row.label.method)
                panel.plot(last_random + 1, values[-1], **shown)
            panel.set_xticks(range(len(steps)), steps, rotation=30, ha="right")
            panel.set_title(f"{title} with the own map")
            panel.grid(color=_INK, alpha=0.2, linewidth=0.5)
        panels[0].set_xlabel("made random, from the output on")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
        return _svg(figure, f"maps at {layer} while the model is made random")


def _colour_of(label: Label, summary: Summary) -> str:
    if label.is_baseline:
        return _BASELINE
    layers = list(dict.fromkeys(row.label.layer for row in summary.rows if not row.label.is_baseline))
    return _LAYER_COLOURS[layers.index(label.layer) % len(_LAYER_COLOURS)]


def _text(label: Label) -> str:
    return f"{label.method}  {label.layer}".rstrip()


def _svg(figure: Figure, title: str) -> str:
    target = io.StringIO()
    figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    return target.getvalue()
