#!/usr/bin/env python3
"""Runs the command line on random inputs of every kind, and says what should not have happened.

    python tests/fuzz.py --cases 2000 --seed 0 --out fuzz.json
    python tests/fuzz.py --kinds images,videos --cases 4000      # of some kinds only
    python tests/fuzz.py --seed 0 --kinds images --only 137 --keep case_137     # one case again, and its folder

The kinds take turns. What the N-th case of a kind is depends on the seed, the kind and N only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzzing import (  # noqa: E402  (needs the path above)
    annotations,
    configs,
    deployments,
    flags,
    images,
    insights,
    runs,
    videos,
    weights,
)
from fuzzing.oracle import error_of, faults  # noqa: E402
from fuzzing.running import run_apart, run_here  # noqa: E402
from fuzzing.world import CONFIG, HOME, Draw, snapshot  # noqa: E402

KINDS = (
    *("images", "configs", "flags", "weights", "classes", "annotations", "videos"),
    *("reports", "comparisons", "evaluations", "insight", "deployments"),
)
INTERRUPTED_SHARE = 0.03
EVALUATED = ("-c", str(CONFIG), "--gt", "gt.json", "--images", "1", "--metrics", "pointing", "--out", "evaluated")
MEMORY = 8 * 2**30  # bytes of addresses that a worker may have


@dataclass(frozen=True)
class Report:
    """What came of one case.

    Attributes:
        index, kind: which case of its kind.
        what: what was wrong with its inputs.
        arguments: of the command.
        apart: whether it ran in a process of its own.
        code: its exit code.
        seconds: how long it took.
        message: the error line.
        faults: what should not have happened.
    """

    index: int
    kind: str
    what: str
    arguments: list[str]
    apart: bool
    code: int | None
    seconds: float
    message: str
    faults: list[str]


def main() -> int:
    """Runs the cases and returns 1 when something should not have happened, else 0."""
    options = _parsed()
    if options.worker is not None:
        return _work(options)
    if options.only is not None:
        with tempfile.TemporaryDirectory() as scratch:
            report = _one(options, options.only, Path(scratch), _earlier_runs(Path(scratch)), keep=options.keep)
        print(json.dumps(asdict(report), indent=1))
        return bool(report.faults)
    started, reports = time.perf_counter(), []
    for report in _all(options):
        reports.append(report)
        if report["faults"]:
            _print_failure(report, options)
    return _summary(options, reports, time.perf_counter() - started)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all cases (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="so many at once (default: %(default)s)")
    parser.add_argument(
        "--apart", type=int, default=50, help="each so-many-th in its own process (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="write what came of each case, as JSON")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which (default: %(default)s)")
    parser.add_argument("--only", type=int, metavar="INDEX", help="run this case only, and print what came of it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --only: where its files are left")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.kinds = tuple(options.kinds.split(","))
    if options.only is not None and len(options.kinds) > 1:
        parser.error("--only needs the one kind that the case is of: --kinds KIND")
    return options


# --- one case


def _one(options: argparse.Namespace, index: int, scratch: Path, earlier: Path, *, keep: Path | None = None) -> Report:
    """Makes a case, runs it, and looks at what it did."""
    kinds = options.kinds
    kind, number = kinds[index % len(kinds)], index // len(kinds)
    draws = random.Random(f"{options.seed}:{kind}:{number}")
    drawers: dict[str, Draw] = {
        "images": images.draw,
        "configs": configs.draw,
        "flags": partial(flags.draw, earlier=earlier),
        "weights": weights.draw,
        "classes": annotations.classes,
        "annotations": annotations.draw,
        "videos": videos.draw,
        "reports": partial(runs.report, earlier=earlier),
        "comparisons": partial(runs.comparison, earlier=earlier),
        "evaluations": partial(runs.evaluation, earlier=earlier),
        "insight": partial(insights.draw, earlier=earlier),
        "deployments": partial(deployments.draw, earlier=earlier),
    }
    case = Path(tempfile.mkdtemp(dir=scratch))
    here, home = case / "here", case / HOME
    here.mkdir()
    home.mkdir()
    os.environ["HOME"] = str(home)
    drawn = drawers[kind](draws, here)
    before = snapshot(case)
    apart = options.apart > 0 and number % options.apart == options.apart - 1
    after = draws.uniform(0.01, 0.3) if draws.random() < INTERRUPTED_SHARE else None
    words, program = drawn.arguments, drawn.program
    if apart:
        outcome = run_apart(words, here, program=program)
    else:
        outcome = run_here(words, here, program=program, interrupt_after=after)
    try:
        found = faults(words, outcome, before=before, case=case, here=here, program=program)
    except (ValueError, KeyError, OSError) as error:
        found = [f"what it wrote cannot be read: {type(error).__name__}: {error}"]
    if keep is not None:
        shutil.copytree(case, keep, symlinks=True, ignore=lambda *_: {"fifo"}, dirs_exist_ok=True)
        print(outcome.out, outcome.err, outcome.escaped, sep="\n")
    shutil.rmtree(case)
    error = error_of(program)
    message = next((line[len(error) :] for line in outcome.err.splitlines() if line.startswith(error)), "")
    arguments = [word.encode("utf-8", "backslashreplace").decode() for word in drawn.arguments]
    if found:
        found.append(f"stderr: {outcome.err[-2000:]}")
    what = drawn.what if after is None else f"{drawn.what}; interrupted after {after:.2f} s"
    return Report(
        number, kind, what, [program, *arguments], apart, outcome.code, round(outcome.seconds, 3), message, found
    )


def _earlier_runs(scratch: Path) -> Path:
    """Makes the runs that flags may go on with or replace, and returns the folder that holds them."""
    here = scratch / "earlier"
    here.mkdir()
    flags.furnish(here)
    for name, arguments in flags.EARLIER.items():
        outcome = run_here([*arguments, "--cam_out", name], here)
        if outcome.code not in (0, 3):
            raise RuntimeError(f"the earlier run {name!r} cannot be made: {outcome}")
    outcome = run_here(EVALUATED, here, program="cam_eval")
    if outcome.code != 0:
        raise RuntimeError(f"the earlier evaluation cannot be made: {outcome}")
    insights.furnish(here)
    shutil.copytree(here / insights.PLANTED, here / insights.SEEN)
    outcome = run_here((insights.SEEN, "--check", "1"), here, program="cam_insight")
    if outcome.code != 0 or "1. " not in outcome.out:
        raise RuntimeError(f"the earlier insight cannot be made: {outcome}")
    return here


# --- all cases, in processes that may die


def _work(options: argparse.Namespace) -> int:
    """Runs each so-many-th case and prints a line of JSON for it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    reports = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print there as well
    with tempfile.TemporaryDirectory() as scratch:
        earlier = _earlier_runs(Path(scratch))
        for index in range(options.first, options.cases, options.jobs):
            print(json.dumps({"begins": index}), file=reports)
            print(json.dumps(asdict(_one(options, index, Path(scratch), earlier))), file=reports)
    return 0


def _all(options: argparse.Namespace) -> Iterator[dict]:
    """Yields what came of each case; a case that ends its worker is reported, and another worker goes on."""
    import selectors

    with selectors.DefaultSelector() as selector:
        for first in range(min(options.jobs, options.cases)):
            _start(options, first, selector)
        while selector.get_map():
            for key, _ in selector.select():
                worker, at = key.data
                line = worker.stdout.readline()
                record = json.loads(line) if line.endswith("\n") else None
                if record is not None and "begins" in record:
                    at["index"] = record["begins"]
                elif record is not None:
                    at["index"] = None
                    yield record
                else:
                    selector.unregister(worker.stdout)
                    code = worker.wait()
                    if at["index"] is not None:
                        yield _died(at["index"], code, options.kinds)
                        if at["index"] + options.jobs < options.cases:
                            _start(options, at["index"] + options.jobs, selector)
                    elif code:
                        raise RuntimeError(f"a worker ended with {code} before its first case")


def _start(options: argparse.Namespace, first: int, selector: object) -> None:
    import selectors

    words = [sys.executable, __file__, "--worker", "0", "--first", str(first)]
    for name in ("cases", "seed", "jobs", "apart"):
        words += [f"--{name}", str(getattr(options, name))]
    words += ["--kinds", ",".join(options.kinds)]
    worker = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, bufsize=1)
    selector.register(worker.stdout, selectors.EVENT_READ, (worker, {"index": None}))  # type: ignore[attr-defined]


def _died(index: int, code: int, kinds: tuple[str, ...]) -> dict:
    number, kind = index // len(kinds), kinds[index % len(kinds)]
    return asdict(Report(number, kind, "", [], False, code, 0.0, "", [f"the process died with {code}"]))


# --- what is printed


def _print_failure(report: dict, options: argparse.Namespace) -> None:
    print(f"\n{report['kind']} {report['index']}: {report['what']}\n  {report['arguments']}")
    for fault in report["faults"]:
        print("  - " + fault.replace("\n", "\n    "))
    print(
        f"  again: python tests/fuzz.py --seed {options.seed} --kinds {report['kind']} --only {report['index']}",
        flush=True,
    )


def _summary(options: argparse.Namespace, reports: list[dict], seconds: float) -> int:
    failed = [f"{report['kind']} {report['index']}" for report in reports if report["faults"]]
    print(f"\n{'kind':12}{'cases':>7}{'exit 0':>8}{'2':>6}{'3':>6}{'130':>6}{'failures':>10}{'longest':>10}")
    for kind in (*options.kinds, "all"):
        of_kind = [report for report in reports if kind in (report["kind"], "all")]
        codes = Counter(report["code"] for report in of_kind)
        bad = sum(bool(report["faults"]) for report in of_kind)
        longest = max((report["seconds"] for report in of_kind), default=0.0)
        counts = "".join(f"{codes[code]:{width}}" for code, width in ((0, 8), (2, 6), (3, 6), (130, 6)))
        print(f"{kind:12}{len(of_kind):7}{counts}{bad:10}{longest:8.1f} s")
    apart = sum(report["apart"] for report in reports)
    print(f"{len(reports)} cases, {apart} of them in processes of their own, in {seconds:.0f} s; failed: {failed}")
    if options.out:
        summary = {"seed": options.seed, "cases": len(reports), "failed": failed, "seconds": round(seconds, 1)}
        options.out.write_text(json.dumps({**summary, "reports": reports}, indent=1), encoding="utf-8")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
