"""A disk that fails once: at its so-many-th use, and never again."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# what a process does to the disk, as Python's audit events name it
EVENTS = frozenset("open os.rename os.remove os.mkdir os.rmdir os.truncate os.listdir os.scandir".split())


@dataclass
class Fault:
    """The use of a folder that fails.

    Attributes:
        folder: uses of what lies in it are counted, and those of the folder itself.
        step: the so-many-th of them fails.
        number: the error's.
        seen: how many there were.
        what: what failed, "" until then.
    """

    folder: Path
    step: int
    number: int
    seen: int = 0
    what: str = ""

    def note(self, event: str, path: object) -> None:
        if not isinstance(path, (str, os.PathLike)) or not self._is_inside(os.fspath(path)):
            return
        self.seen += 1
        if self.seen == self.step:
            self.what = f"{event} {path}"
            raise OSError(self.number, os.strerror(self.number), os.fspath(path))

    def _is_inside(self, path: str) -> bool:
        whole = os.path.abspath(path)
        return whole == str(self.folder) or whole.startswith(f"{self.folder}{os.sep}")


_active: list[Fault] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _active and event in EVENTS:
        _active[-1].note(event, arguments[0])


sys.addaudithook(_hook)  # it stays for good, and does nothing without a fault


@contextlib.contextmanager
def failing(folder: Path, *, step: int, number: int) -> Iterator[Fault]:
    """Lets a use of a folder fail; syncing a file counts as one.

    Args:
        folder: absolute.
        step: which use, from 1.
        number: the error's, such as `errno.ENOSPC`.
    """
    fault, real = Fault(folder, step, number), os.fsync

    def fsync(file: int) -> None:
        fault.note("fsync", os.readlink(f"/proc/self/fd/{file}"))
        real(file)

    os.fsync = fsync
    _active.append(fault)
    try:
        yield fault
    finally:
        _active.pop()
        os.fsync = real
