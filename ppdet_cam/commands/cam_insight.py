"""The command `cam_insight`: a run's maps -> what the detector rests on, class by class, and what it cheats with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence

from ppdet_cam import __version__
from ppdet_cam.commands.flags import add_config, add_lang
from ppdet_cam.commands.insight_lines import change_lines
from ppdet_cam.commands.progress import ImagesBar, show_progress
from ppdet_cam.commands.terminal import (
    EXIT_DONE,
    EXIT_SIGNAL,
    Parser,
    detector_packages,
    exit_code_of,
    logging_on_stderr,
    print_error,
    print_result,
    user_path,
)
from ppdet_cam.errors import ConfigError
from ppdet_cam.insight.changes import changes_of
from ppdet_cam.insight.finding import Insight, find_insight
from ppdet_cam.insight.html import check_may_write, write_insight
from ppdet_cam.insight.record import insight_record, read_record
from ppdet_cam.insight.values import Suspect, Verdict
from ppdet_cam.languages import check_lang
from ppdet_cam.metrics import fills
from ppdet_cam.questions.annotations import FORMS
from ppdet_cam.report.html import REPORT_FILE, check_may_replace_report, write_report
from ppdet_cam.report.insights import INSIGHT_FILE, INSIGHT_PAGE
from ppdet_cam.report.reading import Image
from ppdet_cam.tables import aligned

PROGRAM = "cam_insight"
DEFAULT_FILL = "blur"

_MOST_CLASSES = 20


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all arguments."""
    parser = Parser(
        prog=PROGRAM,
        advice=f"usage: {PROGRAM} RUN [--check N]",
        description="Reads the maps of a finished run of cam_ppdet (--save overlay,raw) and says, "
        "class by class, what the detector rests on: groups of boxes explained alike, and suspects, evidence that "
        f"does not lie on the objects. Writes {INSIGHT_PAGE} and {INSIGHT_FILE}, and prints the suspects.",
    )
    parser.add_argument("run", type=user_path, metavar="RUN", help="the --cam_out of the run")
    parser.add_argument(
        "--gt", type=user_path, metavar="PATH", help=f"annotations of its images, for a run without ({FORMS})"
    )
    parser.add_argument(
        "--check",
        type=int,
        metavar="N",
        help="prove each suspect on N of its boxes: its place is taken out of the images and, against as much taken "
        "out elsewhere, the scores are measured again. An interrupted check goes on by itself",
    )
    parser.add_argument(
        "--fill",
        default=DEFAULT_FILL,
        metavar="NAME",
        help=f"what a place becomes that is taken out: {', '.join(fills.names())} (default: %(default)s)",
    )
    add_config(parser)
    parser.add_argument(
        "--against",
        type=user_path,
        metavar="INSIGHT",
        help=f"an earlier {INSIGHT_FILE}, or the folder that holds it: prints which suspects and groups came and went",
    )
    parser.add_argument("--out", type=user_path, metavar="FOLDER", help="folder to write into (default: RUN)")
    add_lang(parser, INSIGHT_PAGE)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 2 something given was wrong, 130 interrupted."""

    def insight() -> int:
        with logging_on_stderr(PROGRAM):
            return _insight(build_parser().parse_args(arguments))

    return exit_code_of(PROGRAM, insight)


def _insight(options: argparse.Namespace) -> int:
    check_lang(options.lang)
    _check_flags(options)
    out = options.out or options.run
    before = read_record(options.against) if options.against else None
    if options.out is not None or options.run.is_dir():
        check_may_write(out)
    has_report = out == options.run and (options.run / REPORT_FILE).is_file()
    if has_report:
        check_may_replace_report(options.run)
    found = find_insight(options.run, gt=options.gt, progress=_show_progress)
    if options.check is not None and found.suspects:
        with detector_packages(options.ppdet):
            from ppdet_cam.insight.checking import CheckPlan, check_suspects  # here: it imports paddle and ppdet

        plan = CheckPlan(options.check, options.config, tuple(options.opt), options.fill)
        checked = check_suspects(found, plan, out, ImagesBar())
        for reason in checked.unread:
            print_error(PROGRAM, f"not asked: {reason}")
        if checked.left:
            print_error(PROGRAM, f"interrupted with {checked.left} boxes left; the same command goes on")
            return EXIT_SIGNAL + checked.stopped_by
        found = checked.insight
    page = write_insight(found, out, options.lang)
    if has_report:
        write_report(options.run, options.lang)  # its page "Classes"
    lines = [*suspect_lines(found), "", class_table(found)]
    if before is not None:
        lines += ["", *_change_lines(before, found)]
    print_result("\n".join([*lines, str(page)]))
    return EXIT_DONE


def _check_flags(options: argparse.Namespace) -> None:
    fills.get(options.fill)
    if options.check is None and (options.config is not None or options.opt):
        raise ConfigError(
            "-c and -o say which detector checks the suspects; give --check N as well, such as --check 20"
        )
    if options.check is not None and options.check < 1:
        raise ConfigError(f"--check must be at least 1, not {options.check}")


def _show_progress(images: Sequence[Image]) -> Iterable[Image]:
    return show_progress(images, total=len(images), what="images")


def suspect_lines(insight: Insight) -> list[str]:
    """Returns what is printed of the suspects, a line for each and one for its check."""
    if not insight.suspects:
        return ["no suspects: no class rests on a place that is not its objects' own"]
    lines = []
    for rank, suspect in enumerate(insight.suspects, 1):
        lines.append(f"{rank}. {suspect.sentence}")
        if suspect.check is not None:
            lines.append(f"   {_check_words(suspect)}")
    if all(suspect.check is None for suspect in insight.suspects):
        lines.append("(not checked: --check N takes each place out of N images and measures the scores again)")
    return lines


def _check_words(suspect: Suspect) -> str:
    check = suspect.check
    assert check is not None
    holds = "confirmed" if check.verdict is Verdict.CONFIRMED else "does not hold"
    return (
        f"{holds}: score falls by {check.drop_there:.2f} there, by {check.drop_elsewhere:.2f} elsewhere "
        f"({check.boxes} boxes; difference {check.difference.mean:.2f} [{check.difference.low:.2f}, "
        f"{check.difference.high:.2f}])"
    )


def class_table(insight: Insight) -> str:
    """Returns a line per class: boxes, mean score, heat outside the box, groups, and what became of objects."""
    rows = [["class", "boxes", "score", "heat outside", "groups", "false", "missed"]]
    for one in insight.classes[:_MOST_CLASSES]:
        groups = "too few boxes" if one.note else ", ".join(f"{g.name} {len(g.rows):,}" for g in one.groups)
        rows.append(
            [
                one.class_name,
                f"{one.boxes:,}",
                f"{one.mean_score:.2f}",
                f"{one.heat_outside:.2f} ± {one.spread:.2f}",
                groups,
                f"{one.counts.false:,}" if insight.has_truth else "-",
                "-" if one.objects_missed is None else f"{one.objects_missed:,}",
            ]
        )
    left = len(insight.classes) - _MOST_CLASSES
    return aligned(rows) + (f"\n({left} more classes with fewer boxes: {INSIGHT_PAGE})" if left > 0 else "")


def _change_lines(before: Mapping[str, object], found: Insight) -> list[str]:
    changes = changes_of(before, insight_record(found))
    return change_lines(changes) or ["no suspects before and after"]


if __name__ == "__main__":
    sys.exit(main())
