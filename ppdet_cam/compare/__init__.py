"""Two runs over the same images -> what changed between them, box by box and class by class."""

from __future__ import annotations

from ppdet_cam.compare.comparison import Comparison, compare_runs
from ppdet_cam.compare.html import COMPARE_FILE, COMPARE_RECORD, write_comparison

__all__ = ["COMPARE_FILE", "COMPARE_RECORD", "Comparison", "compare_runs", "write_comparison"]
