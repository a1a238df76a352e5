"""Locks on files and folders: the kernel lets go of them when a process dies, however it dies."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ARE_KEPT = fcntl is not None


def take(file: io.FileIO | int, *, wait: bool = False) -> bool:
    """Returns whether a file is now this process's alone, until it is closed; always so where nothing can be locked.

    Args:
        file: it, or its descriptor, which a folder has as well.
        wait: whether to wait until no other process has it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def is_taken(path: Path) -> bool:
    """Returns whether another process, or this one, has a file or folder; not so when it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not take(descriptor)
    finally:
        os.close(descriptor)
