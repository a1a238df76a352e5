"""A run's folder -> one page to look at it with."""

from __future__ import annotations

from ppdet_cam.report.html import REPORT_FILE, write_report

__all__ = ["REPORT_FILE", "write_report"]
