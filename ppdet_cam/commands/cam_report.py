"""The command `cam_report`: the folder of an earlier run -> its `report.html`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ppdet_cam import __version__
from ppdet_cam.commands.flags import add_lang
from ppdet_cam.commands.terminal import EXIT_DONE, Parser, exit_code_of, print_result
from ppdet_cam.report.html import REPORT_FILE, write_report

PROGRAM = "cam_report"


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all arguments."""
    parser = Parser(
        prog=PROGRAM,
        advice=f"usage: {PROGRAM} DIR",
        description=f"Writes {REPORT_FILE} into the folder of an earlier run of cam_ppdet, and prints its path.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the --cam_out of the run")
    add_lang(parser)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 2 something given was wrong, 130 interrupted."""

    def report() -> int:
        options = build_parser().parse_args(arguments)
        print_result(str(write_report(options.folder, options.lang)))
        return EXIT_DONE

    return exit_code_of(PROGRAM, report)


if __name__ == "__main__":
    sys.exit(main())
