"""How a command's process keeps the memory that it is done with."""

from __future__ import annotations

import ctypes
import os
import sys

# glibc's mallopt: which number, and what it is set to
TRIM_THRESHOLD = (-1, 512 * 2**20)  # bytes that lie free at the end of the heap before they go back
LARGEST_NUMBER_OF_MAPS = (-4, 0)
OWN_WORD = "MALLOC_"  # of the environment variables by which a user says so


def keep_freed_memory() -> bool:
    """Lets glibc use the memory of arrays again that were freed, instead of getting new memory for each.

    By default an array of some megabytes is a map of its own: it goes back to the system as soon as it is freed, and
    the next one is given page by page. The gradients of one box on a ResNet take a million pages so, a third of its
    time. Peak memory stays what it was (docs/performance.md).

    Returns:
        Whether it was set: not where the C library has no such setting, or the user set one.
    """
    if not sys.platform.startswith("linux") or any(name.startswith(OWN_WORD) for name in os.environ):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return False
    return all(set_option(*option) == 1 for option in (TRIM_THRESHOLD, LARGEST_NUMBER_OF_MAPS))
