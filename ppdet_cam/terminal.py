"""What the project's commands have in common: errors on one line, results on stdout, exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from ppdet_cam.errors import ConfigError, PpdetCamError

EXIT_DONE, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 2, 130  # 130: what a shell gives for Ctrl-C


class Parser(argparse.ArgumentParser):
    """Raises what argparse would print over several lines before it leaves the process."""

    def __init__(self, *, prog: str, description: str, advice: str) -> None:
        """Makes a parser without arguments.

        Args:
            prog: the command's name.
            description: for its help.
            advice: what to do when an argument is wrong.
        """
        super().__init__(prog=prog, allow_abbrev=False, description=description)
        self._advice = advice

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; {self._advice}")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        # argparse drops the value of --flag=-- and gives a list of nothing for it
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: '--' is no value for it")
        return super()._get_values(action, arg_strings)  # type: ignore[misc]


def exit_code_of(program: str, action: Callable[[], int]) -> int:
    """Runs a command's action and returns its exit code; an error is printed on one line of stderr.

    Args:
        program: the command's name.
        action: does everything and returns its exit code.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(?!ppdet_cam)")  # what other packages warn of is not for users
            return action()
    except PpdetCamError as error:
        print(f"{program}: error: {_printable(' '.join(str(error).split()), sys.stderr.encoding)}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def print_result(text: str) -> None:
    """Prints what a command has to say; a reader that has gone is no error."""
    try:
        print(_printable(text, sys.stdout.encoding), flush=True)
    except BrokenPipeError:
        # `--list_layers | head` has read enough; the interpreter's own last flush must not fail as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _printable(text: str, encoding: str | None) -> str:
    # a file name may hold what the terminal's encoding lacks
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
