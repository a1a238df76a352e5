"""How many cores this process may use, and what paddle has to be told of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
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


def needs_mkl_hint(cpuinfo: Path = CPUINFO) -> bool:
    """Returns whether this is AMD's processor with AVX2, on which the MKL within paddle takes its slowest path.

    MKL_DEBUG_CPU_TYPE=5 makes it take AVX2 there; elsewhere it chooses by itself.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux
        return False
    fields = dict(line.split(":", 1) for line in text.split("\n\n", 1)[0].splitlines() if ":" in line)
    said = {name.strip(): value.split() for name, value in fields.items()}
    return said.get("vendor_id") == ["AuthenticAMD"] and "avx2" in said.get("flags", [])
