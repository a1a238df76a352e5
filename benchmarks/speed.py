#!/usr/bin/env python3
r"""Measures how fast explanations are: against paddledet's own CAM tool, and against plain inference.

    python benchmarks/speed.py --out speed.json                        # everything: about an hour on two cores
    python benchmarks/speed.py --quick --cases demo_ssd demo_ppyoloe   # a minute

Prints tables in Markdown, those of docs/performance.md. Every case runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import measuring  # noqa: E402
from cases import CASES, ROOT, prepare_weights  # noqa: E402
from measuring import alone  # noqa: E402

Record = dict[str, object]
PARTS = ("machine", "boxes", "commands", "stages", "refined", "growth", "folder")
COUNTS, QUICK_COUNTS = (1, 10, 50, 100), (1, 10)
PIXELS, QUICK_PIXELS = (320, 640, 960, 1280), (320, 640)
COUNT_CASES, PIXEL_CASES = ("blazeface", "ssd", "ppyoloe", "faster_rcnn"), ("ppyoloe", "retinanet")
FOLDER_CASES = ("demo_blazeface", "demo_ppyoloe")


def seconds(values: Iterable[float]) -> str:
    """Returns the median, and the lowest and highest in brackets."""
    ordered = sorted(values)
    digits = 3 if ordered[-1] < 10 else 1
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(ordered), ordered[0], ordered[-1]))
    return middle if len(ordered) == 1 else f"{middle} ({low} to {high})"


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Returns how many times one median is the other."""
    return statistics.median(numerators) / statistics.median(denominators)


def against(value: float, goal: float, *, most: bool = False) -> str:
    """Returns a ratio with its goal, and whether that is met."""
    met = value <= goal if most else value >= goal
    text = f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return f"{text} ({'at most' if most else 'at least'} {goal:g}: {'met' if met else 'not met'})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine_table(found: Record) -> str:
    """Returns the machine's rates of matrix products."""
    return table(("measured", "value"), [(name, str(value)) for name, value in found.items()])


def boxes_table(records: Sequence[Record]) -> str:
    """Returns a line per case and layer: seconds per box of both tools, the forward passes, the multiply-adds."""
    rows = [
        (
            of["case"],
            of["layer"].removeprefix("model."),
            str(of["boxes"]),
            seconds(of["old"]),
            seconds(of["ours"]),
            against(ratio(of["old"], of["ours"]), of["goal"]),
            seconds(of["old_forward"]),
            seconds(of["forward"]),
            seconds(of["plain_forward"]),
            f"{of['multiply_adds'] / 1e9:.3f} of {of['all_multiply_adds'] / 1e9:.3f}",
        )
        for of in records
    ]
    return table(
        (
            "case", "layer", "boxes", "BBoxCAM, s per box", "ours, s per box", "times faster", "BBoxCAM forward, s",
            "our forward, s", "plain forward, s", "10^9 multiply-adds per box",
        ),
        rows,
    )  # fmt: skip


def commands_table(records: Sequence[Record]) -> str:
    """Returns a line per case and layer: whole commands and peak memory."""
    rows = [
        (
            of["case"],
            of["layer"].removeprefix("model."),
            str(of["boxes"]),
            seconds(of["plain"]),
            seconds(of["ours"]),
            against(ratio(of["ours"], of["plain"]), of["goal"], most=True),
            f"{of['plain_mb']:.0f}",
            f"{of['ours_mb']:.0f}",
            against(of["ours_mb"] / of["plain_mb"], 1.2, most=True),
            f"{of['old_mb']:.0f}" if of["old_mb"] else "-",
        )
        for of in records
    ]
    return table(
        (
            "case", "layer", "boxes", "plain inference, s", "ours, s", "times as long", "plain, MB", "ours, MB",
            "times as much", "BBoxCAM with one box, MB",
        ),
        rows,
    )  # fmt: skip


def variant_table(records: Sequence[Record], name: str) -> str:
    """Returns a line per case: a box's map as it is and made otherwise, and whole commands with the latter.

    Args:
        records: of the cases.
        name: of how it is made otherwise.
    """
    rows = [
        (
            of["case"],
            str(of["boxes"]),
            seconds(of["as_they_are"]),
            seconds(of["changed"]),
            f"{ratio(of['changed'], of['as_they_are']):.1f}",
            seconds(of["plain"]),
            seconds(of["ours"]),
            f"{ratio(of['ours'], of['plain']):.2f}",
            f"{of['plain_mb']:.0f}",
            f"{of['ours_mb']:.0f}",
        )
        for of in records
    ]
    return table(
        (
            "case", "boxes", f"{measuring.METHOD}, s per box", f"{name}, s per box", "times as long",
            "plain inference, s", f"{name}, s", "times as long", "plain, MB", f"{name}, MB",
        ),
        rows,
    )  # fmt: skip


def folder_table(records: Sequence[Record]) -> str:
    """Returns a line per case: whole commands over a folder, by how many threads draw."""
    drawing = [f"workers {workers}" for workers in measuring.FOLDER_WORKERS]
    rows = [
        (
            of["case"],
            f"{of['images']}, {of['boxes']}",
            seconds(of["plain"]),
            seconds(of["computing alone"]),
            *(seconds(of[name]) for name in drawing),
            *(f"{ratio(of[name], of['computing alone']):.2f}" for name in drawing),
            f"{of['workers 2, MB']:.0f}",
        )
        for of in records
    ]
    return table(
        (
            "case", "images, boxes", "plain inference, s", "computing alone, s", *(f"{name}, s" for name in drawing),
            *(f"{name}, times computing alone" for name in drawing), "workers 2, MB",
        ),
        rows,
    )  # fmt: skip


def growth_tables(counts: Sequence[Record], pixels: Sequence[Record]) -> str:
    """Returns seconds by number of boxes, and by size of the network's input."""
    by_count = [
        (
            of["case"],
            of["layer"].removeprefix("model."),
            str(of["boxes"]),
            seconds(of["forward"]),
            seconds(of["explain"]),
            f"{statistics.median(of['explain']) / of['boxes']:.4f}",
        )
        for of in counts
    ]
    by_size = [
        (of["case"], str(of["pixels"]), seconds(of["forward"]), seconds(of["explain"]), f"{of['level_hw']}")
        for of in pixels
    ]
    return "\n\n".join(
        (
            table(("case", "layer", "boxes", "forward, s", "all boxes, s", "s per box"), by_count),
            table(("case", "pixels", "forward, s", "one box, s", "the box's grid"), by_size),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--heavy_repeats", type=int, default=2, help="where BBoxCAM takes many seconds per box")
    parser.add_argument("--quick", action="store_true", help="two repeats, fewer sizes")
    parser.add_argument("--weights", type=Path, default=Path("demo_out/speed"), help="folder for seeded weights")
    parser.add_argument(
        "--images", type=Path, default=ROOT / "demo" / "drawn", help="folder of many images, for `folder`"
    )
    parser.add_argument("--out", type=Path, help="JSON file of all numbers")
    options = parser.parse_args()
    few, many = (min(options.heavy_repeats, 2), 2) if options.quick else (options.heavy_repeats, options.repeats)
    folder = str(options.weights.absolute())
    cases = [CASES[name] for name in options.cases]
    found: dict[str, object] = {}
    started = time.perf_counter()

    def show(part: str, records: object, text: str) -> None:
        found[part] = records
        print(f"\n### {part} ({time.perf_counter() - started:.0f} s)\n\n{text}", flush=True)
        if options.out:
            options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")

    for case in cases:
        alone(prepare_weights, case.name, folder)
    if "machine" in options.parts:
        rates = alone(measuring.machine)
        show("machine", rates, machine_table(rates))
    if "boxes" in options.parts:
        records = [
            record
            for case in cases
            for record in alone(measuring.boxes, case.name, folder, few if case.heavy else many)
        ]
        show("boxes", records, boxes_table(records))
    if "commands" in options.parts:
        records = [
            record for case in cases for record in measuring.commands(case.name, folder, few if case.heavy else many)
        ]
        show("commands", records, commands_table(records))
    if "stages" in options.parts:
        records = [measuring.staged(case.name, folder, few if case.heavy else many) for case in cases]
        show("stages", records, variant_table(records, measuring.DEFAULT_METHOD))
    if "refined" in options.parts:
        records = [measuring.refined(case.name, folder, few if case.heavy else many) for case in cases]
        show("refined", records, variant_table(records, "refined"))
    if "growth" in options.parts:
        counts = [
            record
            for case in cases
            if case.name in COUNT_CASES
            for record in alone(measuring.by_count, case.name, folder, QUICK_COUNTS if options.quick else COUNTS)
        ]
        pixels = [
            alone(measuring.at_pixels, case.name, folder, size)
            for case in cases
            if case.name in PIXEL_CASES
            for size in (QUICK_PIXELS if options.quick else PIXELS)
        ]
        show("growth", {"counts": counts, "pixels": pixels}, growth_tables(counts, pixels))
    if "folder" in options.parts:
        images = sorted(options.images.glob("*.jpg"))[: 6 if options.quick else 60]
        chosen = [case for case in cases if case.name in FOLDER_CASES]
        records = [measuring.folder(case.name, folder, images, few) for case in chosen]
        show("folder", records, folder_table(records))


if __name__ == "__main__":
    main()
