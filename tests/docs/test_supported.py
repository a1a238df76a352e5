"""What help and README say of the detectors is what the registry of families has."""

from __future__ import annotations

import re

from support.places import ROOT

from ppdet_cam.commands.cam_ppdet import build_parser
from ppdet_cam.detectors.families import families
from ppdet_cam.detectors.supported import SUPPORTED, detector_rows, detector_table

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_of_detectors_is_the_registry():
    """Every family that is registered stands in the table once, and nothing else does."""
    told = [family for entry in SUPPORTED for family in entry.families]
    assert sorted(told) == families.names(), "detectors/supported.py names the detectors for help and docs"


def test_readme_has_the_table_of_detectors():
    """A row per detector, word for word; the named config is there, and a documented command uses it."""
    for name, heads, config in detector_rows():
        assert f"| {name} | {heads} | {f'`configs/{config}`' if config else '-'} |" in README
        assert not config or re.search(rf"^python tools/cam_ppdet\.py -c configs/{config} ", README, re.MULTILINE)
    rows = README.partition("| detector | architecture (head) in ppdet |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) == len(SUPPORTED)


def test_help_has_the_table_of_detectors():
    """Line by line, not wrapped."""
    lines = [line.strip() for line in build_parser().format_help().splitlines()]
    assert [line for line in detector_table().splitlines() if line.strip() not in lines] == []
