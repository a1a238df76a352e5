"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # of a container: "quota period" in microseconds, or "max period"


def available_cores(limit: Path = CGROUP_LIMIT) -> int:
    """Returns the cores that this process may run on, and no more than a container's share of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limit.read_text(encoding="ascii").split()
        share = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no container, or one without a limit
        return cores
    return max(1, min(cores, share))
