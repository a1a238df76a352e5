"""The command `cam_report`: the folder of an earlier run -> its `report.html`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ppdet_cam import __version__
from ppdet_cam.errors import ConfigError, PpdetCamError
from ppdet_cam.report.html import REPORT_FILE, write_report

PROGRAM = "cam_report"

EXIT_DONE, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 2, 130


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print over several lines before it leaves the process."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; usage: {PROGRAM} DIR")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all arguments."""
    parser = _Parser(
        prog=PROGRAM,
        allow_abbrev=False,
        description=f"Writes {REPORT_FILE} into the folder of an earlier run of cam_ppdet, and prints its path.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the --cam_out of the run")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 2 something given was wrong, 130 interrupted."""
    try:
        path = write_report(build_parser().parse_args(arguments).folder)
    except PpdetCamError as error:
        print(f"{PROGRAM}: error: {_printable(' '.join(str(error).split()), sys.stderr.encoding)}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    try:
        print(_printable(str(path), sys.stdout.encoding), flush=True)
    except BrokenPipeError:
        # the reader has gone; the interpreter's own last flush must not fail as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_DONE


def _printable(text: str, encoding: str | None) -> str:
    # a file name may hold what the terminal's encoding lacks
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


if __name__ == "__main__":
    sys.exit(main())
