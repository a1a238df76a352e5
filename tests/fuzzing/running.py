"""One command line, run in this process or in one of its own, and what came of it."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fuzzing.world import ROOT

LONGEST = 120.0  # seconds that a command may take, also on a busy machine; most take a tenth of a second
AGAIN_AFTER, GIVEN_UP_AFTER = 10.0, 60.0  # seconds from one Ctrl-C to the next, and to the end


@dataclass(frozen=True)
class Outcome:
    """What came of a command line.

    Attributes:
        code: its exit code; None when something else ended it.
        out, err: what it printed.
        seconds: how long it took.
        escaped: the traceback of what came out of `main` instead of an exit code.
        is_late: whether it took so long that it was interrupted.
    """

    code: int | None
    out: str
    err: str
    seconds: float
    escaped: str = ""
    is_late: bool = False


class TooLong(BaseException):
    """The command did not end, not even when it was interrupted."""


def run_here(
    arguments: Sequence[str], here: Path, *, program: str = "cam_ppdet", interrupt_after: float | None = None
) -> Outcome:
    """Runs a command line in this process.

    Args:
        arguments: of the command.
        here: its current folder.
        program: which command.
        interrupt_after: seconds until Ctrl-C is pressed, to see how it stops.
    """
    main = importlib.import_module(f"ppdet_cam.commands.{program}").main
    code, escaped, started = None, "", time.perf_counter()
    with _current_folder(here), _captured() as read:
        try:
            with _interrupted(LONGEST if interrupt_after is None else interrupt_after):
                code = main(list(arguments))
        except SystemExit as stop:  # of --help and --version
            code = 0 if stop.code is None else stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            escaped = traceback.format_exc()
        seconds = time.perf_counter() - started
        out, err = read()
    return Outcome(code, out, err, seconds, escaped, interrupt_after is None and seconds > LONGEST)


def run_apart(arguments: Sequence[str], here: Path, *, program: str = "cam_ppdet") -> Outcome:
    """Runs a command line in a process of its own."""
    started = time.perf_counter()
    words = [sys.executable, "-m", f"ppdet_cam.commands.{program}", *arguments]
    if program == "cam_ppdet":
        words = [sys.executable, str(ROOT / "tools" / "cam_ppdet.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(words, cwd=here, capture_output=True, timeout=4 * LONGEST, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return Outcome(None, "", "", time.perf_counter() - started, is_late=True)
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return Outcome(done.returncode, out, err, time.perf_counter() - started)


@contextlib.contextmanager
def _current_folder(here: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(here)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _captured() -> Iterator[object]:
    """Yields a function that gives what was printed, by Python or by a library below it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = [os.dup(number) for number in (1, 2)]

        def read() -> tuple[str, str]:
            sys.stdout.flush()
            sys.stderr.flush()
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode("utf-8", "replace"))
            return texts[0], texts[1]

        sys.stdout.flush()
        sys.stderr.flush()
        for file, number in ((out, 1), (err, 2)):
            os.dup2(file.fileno(), number)
        try:
            yield read
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for saved, number in zip(kept, (1, 2)):
                os.dup2(saved, number)
                os.close(saved)


@contextlib.contextmanager
def _interrupted(after: float) -> Iterator[None]:
    """Presses Ctrl-C twice if the body takes so long, and then ends it."""
    pressed = 0

    def press(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if pressed > 2:
            raise TooLong("it did not end when it was interrupted")
        signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER if pressed == 1 else GIVEN_UP_AFTER)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, press)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run puts back what paddle's import left
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
