#!/usr/bin/env python3
r"""Goes through every config of a PaddleDetection checkout that names a detector: is it explained, and if not, why?

    python benchmarks/coverage.py --paddledetection ../PaddleDetection --out coverage.json
    python benchmarks/coverage.py --table coverage-v2.6.0.json coverage-develop.json --write docs/coverage.md

Each is built with that checkout's ppdet, given seeded weights (demo/seeded_weights.py) and one small picture, at the
smallest network input at which ppdet itself runs it. Explained is one whose printed scores are those of ppdet's plain
inference with the same weights, whose top boxes have maps or a cause why not, and whose gradient equals finite
differences. Configs of which inference reads the same are run once and counted each. It takes hours: --resume goes on.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

import cv2  # noqa: E402

from benchmarks.covering.configs import Config, find_configs  # noqa: E402
from benchmarks.covering.records import Lines, document, to_run, write_document  # noqa: E402
from benchmarks.covering.running import Cases, Limits, outcome_line  # noqa: E402
from benchmarks.covering.table import coverage_of, tables  # noqa: E402
from benchmarks.pages import write_between  # noqa: E402
from ppdet_cam.detectors.checkout import check, revision_of  # noqa: E402

EXIT_TERMINATED = 128 + signal.SIGTERM
PHOTO, PICTURE_WH = ROOT / "demo" / "coffee.jpg", (160, 128)  # so that sides of 32 pixels' multiples are both


def run(options: argparse.Namespace) -> None:
    """Runs what is open, and writes what is known after it."""
    checkout = options.paddledetection
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    check(checkout)
    found_configs = find_configs(checkout)
    lines = Lines(options.out.with_suffix(".jsonl"), _source(checkout))
    found = lines.begin(resume=options.resume or options.retry)
    wanted = [config for config in found_configs.detectors if fnmatch.fnmatch(config.name, options.only)]
    groups = to_run(wanted, found, retry=options.retry)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "picture.png")
        small = cv2.resize(cv2.imread(str(PHOTO)), PICTURE_WH, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(picture), small)
        cases = Cases(checkout, picture, Limits(options.seconds, options.gigabytes))
        try:
            for position, (key, group) in enumerate(groups.items(), start=1):
                outcome = cases.run(checkout / "configs" / group[0].name, group[0].sides)
                lines.add(key, {"config": group[0].name, **outcome})
                found[key] = {"key": key, "config": group[0].name, **outcome}
                said = outcome_line(_named(group), outcome)
                print(f"{position}/{len(groups)} {said}", file=sys.stderr, flush=True)
        finally:  # also after Ctrl-C, and when the process is told to end
            content = document(lines.source, found_configs.detectors, found_configs.others, found)
            write_document(options.out, content)


def _named(group: Sequence[Config]) -> str:
    return f"{group[0].name}{f' and {len(group) - 1} alike' if len(group) > 1 else ''}"


def _source(checkout: Path) -> str:
    """Returns the checkout's folder, or its tag or commit where they are known."""
    tag, commit = revision_of(checkout)
    return tag or commit or checkout.resolve().name


def table(options: argparse.Namespace) -> None:
    """Prints the tables of some runs, or puts them into a page."""
    text = tables([coverage_of(json.loads(file.read_text(encoding="utf-8"))) for file in options.table])
    if options.write:
        write_between(options.write, text)
    else:
        print(text)


def main() -> int:
    """Runs what the flags say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--paddledetection", type=Path, metavar="FOLDER", help="run the configs of this checkout")
    what.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="Markdown of these files of --out")
    parser.add_argument("--out", type=Path, default=Path("coverage.json"), help="lines go to the same name, .jsonl")
    parser.add_argument("--resume", action="store_true", help="keep what is in --out, and run the rest")
    parser.add_argument("--retry", action="store_true", help="the same, and run again what is not explained")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="of configs' paths: 'picodet/*'")
    parser.add_argument("--seconds", type=float, default=600, help="at most per config (600)")
    parser.add_argument("--gigabytes", type=float, default=12, help="of address space at most per config (12)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, between its marks")
    options = parser.parse_args()
    table(options) if options.table else run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
