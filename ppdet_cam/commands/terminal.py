"""What the project's commands have in common: errors on one line, results on stdout, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from ppdet_cam.commands.memory import keep_freed_memory
from ppdet_cam.detectors.checkout import choose
from ppdet_cam.errors import ConfigError, MissingPackageError, PpdetCamError

EXIT_DONE, EXIT_WRONG_INPUT, EXIT_SOME_FAILED, EXIT_INTERRUPTED = 0, 2, 3, 130  # 130: what a shell gives for Ctrl-C
EXIT_SIGNAL = 128  # and the signal's number behind it, as a shell has it

_SHOWN = 20
_LONGEST_ERROR = 2000  # characters: what is wrong may be a name of a million


class Parser(argparse.ArgumentParser):
    """Raises what argparse would print over several lines before it leaves the process."""

    def __init__(self, *, prog: str, description: str, advice: str, table: str = "") -> None:
        """Makes a parser without arguments.

        Args:
            prog: the command's name.
            description: for its help.
            advice: what to do when an argument is wrong.
            table: lines below its help, which are not wrapped.
        """
        super().__init__(prog=prog, allow_abbrev=False, description=description)
        self._advice, self._table = advice, table

    def format_help(self) -> str:
        return f"{super().format_help()}\n{self._table}\n" if self._table else super().format_help()

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; {self._advice}")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        # argparse drops the value of --flag=-- and gives a list of nothing for it
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: '--' is no value for it")
        return super()._get_values(action, arg_strings)  # type: ignore[misc]


def user_path(text: str) -> Path:
    """Returns the path that a user gave."""
    # a shell leaves the ~ of --flag=~/file as it is; Path.expanduser would raise for an unknown user
    return Path(os.path.expanduser(text))


def comma_items(text: str | None, flag: str) -> tuple[str, ...]:
    """Returns the items of a list separated by commas.

    Args:
        text: the list, None for none.
        flag: that it was given with.

    Raises:
        ConfigError: an item is empty.

    Example:
        >>> comma_items("person, dog", "--classes")
        ('person', 'dog')
    """
    if text is None:
        return ()
    items = tuple(item.strip() for item in text.split(","))
    if not all(items):
        raise ConfigError(f"{flag} {text!r} has an empty item; give a list such as 3,7 or person,dog")
    return items


@contextlib.contextmanager
def logging_on_stderr(program: str) -> Iterator[None]:
    """Shows what the package logs, one line each, and nothing of other packages' loggers.

    Args:
        program: the command's name.
    """
    logger = logging.getLogger("ppdet_cam")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{program}: %(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # importing paddle gives the root logger a handler of its own
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextlib.contextmanager
def detector_packages(ppdet: Path | None = None) -> Iterator[None]:
    """Says clearly why the packages that the detectors need cannot be imported; memory is kept for them from here on.

    Args:
        ppdet: the PaddleDetection checkout to take ppdet from, None for the one that is installed or named otherwise.

    Raises:
        ConfigError: the folder is no PaddleDetection, or too old.
        PpdetCamError: one of them is not installed.
        KeyboardInterrupt: Ctrl-C, which paddle turns into an ImportError while its library loads.
    """
    choose(ppdet)
    keep_freed_memory()
    try:
        yield
    except ModuleNotFoundError as error:
        raise PpdetCamError(
            f"the Python package {error.name!r} is missing. Install it, or all that is needed: "
            "pip install <this project's folder>"
        ) from error
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def exit_code_of(program: str, action: Callable[[], int]) -> int:
    """Runs a command's action and returns its exit code; an error is printed on one line of stderr,
    a missing package on two.

    Args:
        program: the command's name.
        action: does everything and returns its exit code.
    """
    try:
        return _code_of(program, action)
    except KeyboardInterrupt:  # also when it comes while an error is printed
        print(f"{program}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _code_of(program: str, action: Callable[[], int]) -> int:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(?!ppdet_cam)")  # what other packages warn of is not for users
            return action()
    except MissingPackageError as error:
        first, *more = str(error).splitlines()
        for line in (f"error: {first}", *more):
            print_error(program, line)
        return EXIT_WRONG_INPUT
    except PpdetCamError as error:
        text = " ".join(str(error).split())
        print_error(program, f"error: {text if len(text) <= _LONGEST_ERROR else text[:_LONGEST_ERROR] + ' ...'}")
        return EXIT_WRONG_INPUT


def print_result(text: str) -> None:
    """Prints what a command has to say; a reader that has gone is no error."""
    try:
        print(_printable(text, sys.stdout.encoding), flush=True)
    except BrokenPipeError:
        # `--list_layers | head` has read enough; the interpreter's own last flush must not fail as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(program: str, text: str) -> None:
    """Prints a line on stderr, with the command's name before it."""
    print(f"{program}: {_printable(text, sys.stderr.encoding)}", file=sys.stderr)


def print_images(program: str, what: str, images: Sequence[tuple[str, str]], *, count: int, named_in: str) -> None:
    """Prints which images failed, or something is amiss with, and why.

    Args:
        program: the command's name.
        what: the word before each, such as "failed".
        images: path and reason of the first of them.
        count: how many there are.
        named_in: the file that names all.
    """
    for path, reason in images[:_SHOWN]:
        print_error(program, f"{what}: {'' if path in reason else f'{path}: '}{reason}")
    if count > _SHOWN:
        print_error(program, f"{what}: {count - _SHOWN} more; {named_in} names them")


def _printable(text: str, encoding: str | None) -> str:
    # a file name may hold what the terminal's encoding lacks
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
