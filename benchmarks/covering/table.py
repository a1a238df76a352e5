"""Coverage runs of several checkouts -> Markdown: by family and in total, and what is left and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.covering.configs import TRACKERS
from ppdet_cam.evaluation.tables import markdown_table

EXPLAINED, PPDET = "explained", "ppdet"
NOT_RUN = "not run"
MAX_NAMES = 3


@dataclass(frozen=True)
class Row:
    """One config and what came of it.

    Attributes:
        name: of the config.
        family: architecture and head.
        is_tracker: whether its architecture is a tracker's.
        status: of its outcome.
        reason: in one line.
    """

    name: str
    family: str
    is_tracker: bool
    status: str
    reason: str


@dataclass(frozen=True)
class Coverage:
    """One checkout.

    Attributes:
        title: what it is called.
        rows: its configs.
        runs: how many configs were run, those that infer alike once.
        others: how many configs are of other tasks, by task.
    """

    title: str
    rows: tuple[Row, ...]
    runs: int
    others: Mapping[str, int]


def coverage_of(document: Mapping) -> Coverage:
    """Returns a run's document, as `records.document` makes it, with each config's own outcome."""
    outcomes = document["outcomes"]
    rows = []
    for config in document["configs"]:
        outcome = outcomes.get(config["key"], {"status": NOT_RUN, "reason": ""})
        rows.append(
            Row(
                config["name"],
                config["family"],
                config["architecture"] in TRACKERS,
                outcome["status"],
                outcome.get("reason", ""),
            )
        )
    return Coverage(document["source"], tuple(rows), len(outcomes), document["others"])


def tables(coverages: Sequence[Coverage]) -> str:
    """Returns the whole part of the page that is made of runs."""
    return "\n\n".join(_parts(coverages))


def _parts(coverages: Sequence[Coverage]) -> Iterable[str]:
    yield "## In total"
    yield _totals(coverages)
    yield "## By family"
    yield "Explained / all configs of the family."
    yield _families(coverages)
    for coverage in coverages:
        left = [row for row in coverage.rows if row.status != EXPLAINED]
        yield f"## Left of {coverage.title}"
        yield _left(left) if left else "Nothing."


def _totals(coverages: Sequence[Coverage]) -> str:
    kinds = (("detectors", False), ("trackers", True))
    lines = []
    for coverage in coverages:
        for kind, is_tracker in kinds:
            rows = [row for row in coverage.rows if row.is_tracker == is_tracker]
            counts = [sum(row.status == status for row in rows) for status in (EXPLAINED, PPDET, NOT_RUN)]
            lines.append(
                [coverage.title, kind, *(str(number) for number in (len(rows), *counts, len(rows) - sum(counts)))]
            )
    return markdown_table(
        ["PaddleDetection", "configs of", "all", "explained", "ppdet itself fails", "not run", "not explained"], lines
    )


def _families(coverages: Sequence[Coverage]) -> str:
    names = sorted({row.family for coverage in coverages for row in coverage.rows})
    lines = [[f"`{name}`", *(_share(coverage, name) for coverage in coverages)] for name in names]
    return markdown_table(["family", *(coverage.title for coverage in coverages)], lines)


def _share(coverage: Coverage, family: str) -> str:
    rows = [row for row in coverage.rows if row.family == family]
    return f"{sum(row.status == EXPLAINED for row in rows)} / {len(rows)}" if rows else "-"


def _left(rows: Sequence[Row]) -> str:
    """Returns a line per family and reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row.family, row.status, row.reason), []).append(row.name)
    lines = [
        [
            f"`{family}`",
            str(len(names)),
            _names(names),
            _why(status, reason),
        ]
        for (family, status, reason), names in sorted(groups.items())
    ]
    return markdown_table(["family", "configs", "such as", "why"], lines)


def _why(status: str, reason: str) -> str:
    """Returns a reason's first sentence; what to do about it stands in the following ones."""
    first = reason.partition(". ")[0]
    return f"ppdet: {first}" if status == PPDET else first or status


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
