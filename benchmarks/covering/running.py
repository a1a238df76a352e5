"""A process per case: ppdet's workspace is one per process, and memory and time have bounds."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

PLAIN = "ppdet's plain inference"  # what a case says it does first
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Limits:
    """Of one case.

    Attributes:
        seconds: wall time.
        gigabytes: address space.
    """

    seconds: float
    gigabytes: float


class Cases:
    """Runs one case after the other, each in a fork of a process that has imported ppdet and nothing else yet."""

    def __init__(self, checkout: Path, picture: Path, limits: Limits) -> None:
        """Names the checkout whose ppdet is imported; no other can be named in this process afterwards."""
        folders = [str(ROOT), str(ROOT / "demo")]
        os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
        os.environ["PPDET_CAM_PPDET"] = str(checkout.resolve())
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["benchmarks.covering.case"])
        self._picture, self._limits = picture, limits

    def run(self, config: Path, sides: Sequence[int]) -> dict[str, object]:
        """Returns the outcome of a config; where its process does not come to an end, why.

        Where ppdet ends the process, or does not end, at an input that is too small for it, larger ones are tried.
        """
        sides, outcome = list(sides), {}
        while sides:
            outcome, ended_in = self._run(config, sides)
            if ended_in is None or ended_in[0] != PLAIN:
                break
            sides = [side for side in sides if side > ended_in[1]]
        return outcome

    def _run(self, config: Path, sides: Sequence[int]) -> tuple[dict[str, object], tuple[str, int] | None]:
        """Returns the outcome, and what was done when the process had to end before it gave one."""
        receiver, sender = self._context.Pipe(duplex=False)
        arguments = (config, self._picture, sides, self._limits.gigabytes, sender)
        process = self._context.Process(target=_child, args=arguments)
        process.start()
        sender.close()
        deadline, at = time.monotonic() + self._limits.seconds, (PLAIN, sides[0])
        try:
            while receiver.poll(max(0.0, deadline - time.monotonic())):
                message = receiver.recv()
                if isinstance(message, dict):
                    return message, None
                at = message
            return _ended(f"{at[0]} is not done after {self._limits.seconds:.0f} seconds", at), at
        except EOFError:
            process.join()
            return _ended(f"{at[0]} at side {at[1]} ends the process: {_ending(process.exitcode)}", at), at
        finally:
            process.kill()
            process.join()
            receiver.close()


def _ended(reason: str, at: tuple[str, int]) -> dict[str, object]:
    return {"status": "ppdet" if at[0] == PLAIN else "failed", "reason": reason, "side": at[1], "seconds": 0.0}


def _ending(exit_code: int | None) -> str:
    return signal.Signals(-exit_code).name if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"


def _child(config: Path, picture: Path, sides: Sequence[int], gigabytes: float, sender: Connection) -> None:
    from benchmarks.covering.case import run_case

    bound = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    with Path(os.devnull).open("w") as nowhere:  # paddle and ppdet log much
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            sender.send(run_case(config, picture, sides, tell=lambda what, side: sender.send((what, side))))


def outcome_line(name: str, outcome: Mapping[str, object]) -> str:
    """Returns an outcome in one line for the terminal."""
    reason = f": {outcome['reason']}" if outcome.get("reason") else ""
    return f"{name} {outcome['status']}{reason} ({outcome['seconds']} s)"
