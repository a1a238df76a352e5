"""Memory that was freed is used again by a command's process."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from ppdet_cam.commands.memory import keep_freed_memory
assert keep_freed_memory() is {expected}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(2**23)
before = faults()
for _ in range(20):
    np.ones(2**23)
print(faults() - before)
"""


def _faults(expected: bool, **environment: str) -> int:
    """Returns how often a process needed a new page for twenty arrays of 64 MB, of which one is there at a time."""
    program = [sys.executable, "-c", PROGRAM.format(expected=expected)]
    done = subprocess.run(program, env={"PATH": "", **environment}, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_arrays_that_were_freed_make_room_for_the_next() -> None:
    """Without the setting each has new pages; what a user set is left alone."""
    usual, kept = _faults(False, MALLOC_ARENA_MAX="2"), _faults(True)
    assert usual > 200
    assert kept < usual / 10
