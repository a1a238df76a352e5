"""The command `cam_compare`: two runs over the same images -> what changed, as a page and as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ppdet_cam import __version__
from ppdet_cam.commands.flags import add_lang
from ppdet_cam.commands.insight_lines import change_lines
from ppdet_cam.commands.progress import show_progress
from ppdet_cam.commands.terminal import EXIT_DONE, Parser, exit_code_of, print_result
from ppdet_cam.compare.comparison import Comparison, compare_runs
from ppdet_cam.compare.html import COMPARE_FILE, COMPARE_RECORD, check_may_write, write_comparison
from ppdet_cam.compare.matching import ImagePair
from ppdet_cam.compare.measures import Summary
from ppdet_cam.errors import OutputError
from ppdet_cam.languages import check_lang
from ppdet_cam.metrics import Interval
from ppdet_cam.tables import aligned

PROGRAM = "cam_compare"

_MOST_CLASSES = 20
_NONE = "-"


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all arguments."""
    parser = Parser(
        prog=PROGRAM,
        advice=f"usage: {PROGRAM} RUN_A RUN_B [--out FOLDER]",
        description="Compares two runs of cam_ppdet over the same images, such as before and after a training: which "
        "boxes were lost, are new or changed class, and how scores and maps changed. "
        f"Writes {COMPARE_FILE} and {COMPARE_RECORD}, and prints a line per class.",
    )
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help="the --cam_out of the run before")
    parser.add_argument("run_b", type=Path, metavar="RUN_B", help="the --cam_out of the run after")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("cam_compare"),
        metavar="FOLDER",
        help="folder to write into (default: %(default)s)",
    )
    add_lang(parser, COMPARE_FILE)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 2 something given was wrong, 130 interrupted."""

    def compare() -> int:
        options = build_parser().parse_args(arguments)
        print_result(_compare(options.run_a, options.run_b, options.out, options.lang))
        return EXIT_DONE

    return exit_code_of(PROGRAM, compare)


def _compare(run_a: Path, run_b: Path, out: Path, lang: str | None) -> str:
    """Compares, writes, and returns what is printed."""
    check_lang(lang)
    try:
        check_may_write(out)
        comparison = compare_runs(run_a, run_b, progress=_show_progress)
        page = write_comparison(comparison, out, lang)
    except OutputError as error:
        # what writes names the flag of the command that it is mostly called by
        raise OutputError(str(error).replace("--cam_out", "--out")) from error
    insight = [] if comparison.insight is None else change_lines(comparison.insight)
    return "\n".join([*_differences(comparison), class_table(comparison), _totals(comparison), *insight, str(page)])


def _show_progress(images: Sequence[ImagePair]) -> Iterable[ImagePair]:
    return show_progress(images, total=len(images), what="images")


def _differences(comparison: Comparison) -> list[str]:
    lines = [f"differs: {one.name}: A {one.a}, B {one.b} ({one.touches.value})" for one in comparison.differences]
    if comparison.has_same_weights:
        lines.append("A and B have the same weights")
    return [*lines, ""] if lines else []


def class_table(comparison: Comparison) -> str:
    """Returns a line per class, and one for all: how many boxes, what became of them, how the kept ones changed.

    Args:
        comparison: what changed.
    """
    head = ["class", "A", "B", "kept", "lost", "new", "to other", "score", "heat in box", "map corr.", "rank corr."]
    busiest = sorted(comparison.classes, key=lambda summary: -(summary.boxes_a + summary.boxes_b))[:_MOST_CLASSES]
    shown = [summary for summary in comparison.classes if summary in busiest]
    rows = [head, *(_row(summary) for summary in shown), _row(comparison.total)]
    left = len(comparison.classes) - len(shown)
    more = f"\n({left} more classes with fewer boxes: {COMPARE_FILE})" if left else ""
    return aligned(rows) + more


def _row(summary: Summary) -> list[str]:
    numbers = (summary.boxes_a, summary.boxes_b, summary.kept, summary.lost, summary.new, summary.to_other)
    return [
        "all" if summary.class_name is None else summary.class_name,
        *map(str, numbers),
        _signed(summary.score.change if summary.score else None),
        _signed(summary.energy_in_box.change if summary.energy_in_box else None),
        _plain(summary.map_correlation),
        _plain(summary.rank_correlation),
    ]


def _signed(interval: Interval | None) -> str:
    return _NONE if interval is None else f"{interval.mean:+.3f}{_ends(interval, '+.3f')}"


def _plain(interval: Interval | None) -> str:
    return _NONE if interval is None else f"{interval.mean:.2f}{_ends(interval, '.2f')}"


def _ends(interval: Interval, form: str) -> str:
    return f" [{interval.low:{form}}, {interval.high:{form}}]" if interval.images > 1 else ""


def _totals(comparison: Comparison) -> str:
    images = comparison.images
    counts = [
        (len(images.compared), "compared"),
        (len(images.failed), "failed in one run or both"),
        (len(images.unlike), "of another size"),
        (len(images.only_a), "in A only"),
        (len(images.only_b), "in B only"),
    ]
    text = "images: " + ", ".join(f"{number} {words}" for number, words in counts if number or words == "compared")
    if comparison.without_maps:
        text += f"\nno map correlations: {' and '.join(comparison.without_maps)} stored no maps (--save raw)"
    return text


if __name__ == "__main__":
    sys.exit(main())
