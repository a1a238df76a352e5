"""A process per case: ppdet's workspace is one per process, and memory and time have bounds."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

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

    def run(self, config: Path) -> dict[str, object]:
        """Returns the outcome of a config; where its process does not come to an end, why."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_child, args=(config, self._picture, self._limits.gigabytes, sender))
        process.start()
        sender.close()
        try:
            if receiver.poll(self._limits.seconds):
                return receiver.recv()
            return _failed(f"not done after {self._limits.seconds:.0f} seconds", self._limits.seconds)
        except EOFError:
            process.join()
            return _failed(f"its process ended by {_ending(process.exitcode)}", 0.0)
        finally:
            process.kill()
            process.join()
            receiver.close()


def _failed(reason: str, seconds: float) -> dict[str, object]:
    return {"status": "failed", "reason": reason, "seconds": seconds}


def _ending(exit_code: int | None) -> str:
    return signal.Signals(-exit_code).name if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"


def _child(config: Path, picture: Path, gigabytes: float, sender: Connection) -> None:
    from benchmarks.covering.case import run_case

    bound = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    with Path(os.devnull).open("w") as nowhere:  # paddle and ppdet log much
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            sender.send(run_case(config, picture))


def outcome_line(name: str, outcome: Mapping[str, object]) -> str:
    """Returns an outcome in one line for the terminal."""
    reason = f": {outcome['reason']}" if outcome.get("reason") else ""
    return f"{name} {outcome['status']}{reason} ({outcome['seconds']} s)"
