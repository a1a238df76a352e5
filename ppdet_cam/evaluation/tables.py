"""An evaluation as Markdown, and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ppdet_cam.evaluation.summary import BOX_BASELINES, Row, Summary
from ppdet_cam.evaluation.values import SANITY_BASELINE
from ppdet_cam.metrics import Better, Interval, metrics
from ppdet_cam.tables import aligned

_NONE = "-"
_DIRECTIONS = {Better.HIGHER: "higher is better", Better.LOWER: "lower is better"}

# the tables' captions and the metrics in them
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Where the maps lie",
        (
            "pointing",
            "energy",
            "pointing_in_mask",
            "energy_in_mask",
            "compactness",
            "object_discrimination",
        ),
    ),
    (
        "Against chance, and how spread the maps are",
        ("pointing_over_chance", "energy_over_chance", "energy_area_50", "energy_area_80"),
    ),
    (
        "On the known evidence",
        (
            "evidence_hit",
            "evidence_energy",
            "evidence_hit inside",
            "evidence_energy inside",
            "evidence_hit outside",
            "evidence_energy outside",
        ),
    ),
    ("Deletion and insertion", ("deletion", "insertion", "insertion_minus_deletion")),
)


OVERVIEW = (
    "pointing",
    "energy",
    "evidence_hit",
    "evidence_energy",
    "deletion",
    "insertion",
    "insertion_minus_deletion",
)


def overview(summary: Summary) -> str:
    """Returns the means of the metrics that tell most, aligned for the terminal."""
    there = [name for name in OVERVIEW if any(name in row.values for row in summary.rows)]
    rows = [("method", "layer", *there, "boxes")]
    for row in summary.rows:
        means = [f"{row.values[name].mean:.3f}" if name in row.values else _NONE for name in there]
        boxes = max((interval.boxes for interval in row.values.values()), default=0)
        rows.append((row.label.method, row.label.layer or _NONE, *means, str(boxes)))
    return aligned(rows)


def markdown(summary: Summary) -> str:
    """Returns the whole evaluation as Markdown tables: means over the boxes, with 95 % intervals over the images."""
    parts = [
        f"{summary.images} images, {summary.found} of their {summary.objects} objects found. Means over boxes, "
        "with 95 % bootstrap intervals over images.",
        *(table for caption, names in GROUPS for table in _metric_table(summary, caption, names)),
        *_verdicts(summary),
        *_agreement(summary),
        *_sanity(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _metric_table(summary: Summary, caption: str, names: Sequence[str]) -> Iterator[str]:
    there = [name for name in names if any(name in row.values for row in summary.rows)]
    if not there:
        return
    rows = [[*_name(row), *(_cell(row.values.get(name)) for name in there)] for row in summary.rows]
    yield f"### {caption}"
    yield markdown_table(["method", "layer", *there], rows)
    yield "\n".join(f"- `{name}`: {explanation(name)}" for name in there)


def explanation(name: str) -> str:
    """Returns what a number of a row is, and which way it is good."""
    metric = metrics.get(name.partition(" ")[0])
    where = name.partition(" ")[2]
    what = f"{metric.summary}, for evidence {where} of the box" if where else metric.summary
    return f"{what}; {_DIRECTIONS[metric.better]}" if metric.better in _DIRECTIONS else what


def _verdicts(summary: Summary) -> Iterator[str]:
    rows = [
        [*_name(row), *(", ".join(f"`{name}`" for name in row.no_better[one]) or _NONE for one in BOX_BASELINES)]
        for row in summary.rows
        if row.no_better is not None
    ]
    if not rows or not any(cell != _NONE for row in rows for cell in row[2:]):
        return
    yield "### No better than a map that only knows the box"
    yield markdown_table(["method", "layer", *(f"no better than `{name}` in" for name in BOX_BASELINES)], rows)
    yield "A metric is named when the 95 % interval of the paired difference does not lie on the better side of 0."


def _agreement(summary: Summary) -> Iterator[str]:
    for layer in agreement_layers(summary):
        labels, matrix = agreement_matrix(summary, layer)
        yield f"### Agreement between methods{f' at `{layer}`' if layer else ''}"
        rows = [[f"`{label}`", *(f"{value:.2f}" for value in row)] for label, row in zip(labels, matrix)]
        yield markdown_table(["rank correlation", *(f"`{label}`" for label in labels)], rows)


def agreement_layers(summary: Summary) -> list[str]:
    """Returns the layers at which at least two methods were compared; "" when none of them looks at a layer."""
    layers = list(dict.fromkeys(label.layer for pair in summary.agreement for label in pair))
    named = [layer for layer in layers if layer] or layers
    return [layer for layer in named if len(agreement_matrix(summary, layer)[0]) > 1]


def agreement_matrix(summary: Summary, layer: str) -> tuple[list[str], list[list[float]]]:
    """Returns the methods of a layer, and of none, and the mean rank correlation of each with each."""
    labels = list(dict.fromkeys(label for pair in summary.agreement for label in pair if label.layer in (layer, "")))
    values = {frozenset(pair): interval.mean for pair, interval in summary.agreement.items()}
    matrix = [[1.0 if one == other else values[frozenset((one, other))] for other in labels] for one in labels]
    return [label.method for label in labels], matrix


def _sanity(summary: Summary) -> Iterator[str]:
    for what, name in (("Rank correlation", "spearman"), ("Structural similarity", "ssim")):
        rows = [[*_name(row), *map(_cell, getattr(row, name))] for row in summary.sanity]
        if rows:
            yield f"### {what} with the own map when the model is made random, from its output on"
            yield markdown_table(["method", "layer", *summary.parts], rows)
    if summary.sanity:
        yield (
            "In and around the box. Low is good: a map that stays alike does not depend on what the model learned. In "
            f"the last column but one the whole model is random. The last, `{SANITY_BASELINE}`, is what to read it by: "
            "how alike the map is to a Gaussian in its box, as any two maps are that lie on one box."
        )


def _name(row: object) -> list[str]:
    label = row.label  # type: ignore[attr-defined]
    return [f"`{label.method}`", f"`{label.layer}`" if label.layer else _NONE]


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return _NONE
    if interval.images < 2:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown.

    Example:
        >>> print(markdown_table(["a", "b"], [["1", "2"]]))
        | a | b |
        | --- | --- |
        | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def summary_record(summary: Summary) -> dict[str, object]:
    """Returns an evaluation as values for JSON."""
    return {
        "images": summary.images,
        "objects": summary.objects,
        "found": summary.found,
        "parts": list(summary.parts),
        "maps": [_row_record(row) for row in summary.rows],
        "agreement": [
            {
                "maps": [[label.method, label.layer] for label in pair],
                "rank_correlation": _interval_record(interval),
            }
            for pair, interval in summary.agreement.items()
        ],
        "sanity": [
            {
                "method": row.label.method,
                "layer": row.label.layer,
                "spearman": [_interval_record(interval) for interval in row.spearman],
                "ssim": [_interval_record(interval) for interval in row.ssim],
            }
            for row in summary.sanity
        ],
    }


def _row_record(row: Row) -> dict[str, object]:
    return {
        "method": row.label.method,
        "layer": row.label.layer,
        "metrics": {name: _interval_record(interval) for name, interval in row.values.items()},
        "no_better_than": None
        if row.no_better is None
        else {name: list(names) for name, names in row.no_better.items()},
        "over": None
        if row.over is None
        else {
            baseline: {name: _interval_record(difference) for name, difference in differences.items()}
            for baseline, differences in row.over.items()
        },
        "deletion_curve": list(row.deletion),
        "insertion_curve": list(row.insertion),
    }


def _interval_record(interval: Interval) -> dict[str, object]:
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "boxes": interval.boxes,
        "images": interval.images,
    }
