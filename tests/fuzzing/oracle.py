"""What has to hold after every command line, whatever it was given."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NoReturn

import cv2
import numpy as np

from fuzzing.running import Outcome
from fuzzing.world import LISTINGS, Snapshot, is_folder, snapshot
from ppdet_cam.commands.cam_ppdet import build_parser
from ppdet_cam.compare import COMPARE_FILE, COMPARE_RECORD
from ppdet_cam.errors import PpdetCamError
from ppdet_cam.evaluation.files import OWN_FILES as EVALUATION_FILES
from ppdet_cam.outputs.manifest import files_of
from ppdet_cam.outputs.resume import REPORT_FILE
from ppdet_cam.report.insights import INSIGHT_FILE, INSIGHT_PAGE

LONGEST_ERROR = 4000  # characters
DONE, WRONG_INPUT, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130
RUN_FILES = re.compile(r"(run|run\.partial)\.json|images(\.[0-9]+)?\.jsonl|report\.html|video\.mp4")

CHECKS_FILE = "insight_checks.jsonl"

# command -> the files that it writes into the folder of its flag, or argument: of the first one that is given
OWN_FILES = {
    "cam_report": (("folder",), (REPORT_FILE,)),
    "cam_compare": (("out",), (COMPARE_FILE, COMPARE_RECORD)),
    "cam_eval": (("out",), EVALUATION_FILES),
    "cam_insight": (("out", "run"), (INSIGHT_FILE, INSIGHT_PAGE, CHECKS_FILE, REPORT_FILE)),
}
PAGE_END = b"</html>"

_DROPPED_INTERRUPT = re.compile(r"Exception ignored in: .*?^KeyboardInterrupt: ?$", re.DOTALL | re.MULTILINE)


def error_of(program: str) -> str:
    """Returns what a command's error line begins with."""
    return f"{program}: error: "


def faults(
    arguments: Sequence[str],
    outcome: Outcome,
    *,
    before: Snapshot,
    case: Path,
    here: Path,
    program: str = "cam_ppdet",
) -> list[str]:
    """Returns what should not have happened, nothing when all is well.

    Args:
        arguments: the command line.
        program: the command.
        outcome: what came of it.
        before: of the case's folder, before the command ran.
        case: everything that the command may see lies in it.
        here: the command's current folder.
    """
    after = snapshot(case)
    found = list(_printed(outcome, program))
    if program != "cam_ppdet":
        return found + list(_own_files(arguments, outcome, before, after, case=case, here=here, program=program))
    cam_out, logs = _output_folders(arguments, here)
    if outcome.code == WRONG_INPUT or cam_out is None or any(word in LISTINGS for word in arguments):
        return found + _changes(before, after)
    after = {name: kind for name, kind in after.items() if name in before or not _is_of_log(name, logs, case)}
    inside = f"{cam_out.relative_to(case)}/".removeprefix("./")
    found += _changes(
        {name: kind for name, kind in before.items() if not name.startswith(inside)},
        {name: kind for name, kind in after.items() if not name.startswith(inside) and not _is_above(name, inside)},
        above={name for name in before if _is_above(name, inside)},
    )
    found += _output(
        cam_out,
        outcome.code,
        {name.removeprefix(inside): kind for name, kind in before.items() if name.startswith(inside)},
        {name.removeprefix(inside): kind for name, kind in after.items() if name.startswith(inside)},
        is_shard=any(word.startswith("--shard") for word in arguments),
    )
    return found


def _is_above(name: str, inside: str) -> bool:
    return inside.startswith(f"{name}/")


def _own_files(
    arguments: Sequence[str],
    outcome: Outcome,
    before: Snapshot,
    after: Snapshot,
    *,
    case: Path,
    here: Path,
    program: str,
) -> Iterator[str]:
    """Yields what is wrong with what a command left that writes a few files by fixed names into one folder."""
    places, names = OWN_FILES[program]
    # an evaluation that is interrupted, or whose disk fails, keeps what it measured
    may_write = outcome.code != WRONG_INPUT or program == "cam_eval"
    may_write = may_write and not any(word in LISTINGS for word in arguments)
    folder = None if not may_write else _folder_of(arguments, places, program)
    allowed = set()
    if folder is not None:
        place = Path(os.path.realpath(here / folder))
        if place.is_relative_to(case):
            inside = place.relative_to(case)
            allowed = {str(inside / name) for name in names} | {str(inside), *map(str, inside.parents)}
            if outcome.code in (DONE, SOME_FAILED):
                # what was there and is as it was is not the command's
                was = {name: before.get(str(inside / name)) for name in names}
                written = [name for name in names if was[name] is None or was[name] != after.get(str(inside / name))]
                yield from _unwhole(place, written)
    for name in sorted({*before, *after} - allowed):
        if before.get(name) != after.get(name):
            yield f"{name} was {before.get(name)}, is {after.get(name)}"


def _folder_of(arguments: Sequence[str], places: Sequence[str], program: str) -> Path | None:
    parser = importlib.import_module(f"ppdet_cam.commands.{program}").build_parser()
    try:
        options, _ = parser.parse_known_args([word for word in arguments if word not in LISTINGS])
    except PpdetCamError:
        return None
    return next((folder for place in places if (folder := getattr(options, place)) is not None), None)


def _unwhole(folder: Path, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if not (folder / name).is_file():
            if name not in ("eval.partial.json", "measurements.jsonl", REPORT_FILE, COMPARE_FILE, CHECKS_FILE):
                yield f"{name} is not there"
        elif name.endswith(".json"):
            _parsed((folder / name).read_text("utf-8"))
        elif name.endswith(".jsonl"):
            _lines(folder / name)
        elif name.endswith(".html") and not (folder / name).read_bytes().rstrip().endswith(PAGE_END):
            yield f"{name} is cut off"


def _printed(outcome: Outcome, program: str) -> Iterator[str]:
    if outcome.is_late:
        yield f"it took {outcome.seconds:.0f} s and was interrupted"
    if outcome.escaped:
        yield f"main raised: {outcome.escaped}"
    elif outcome.code not in (DONE, WRONG_INPUT, SOME_FAILED, INTERRUPTED):
        yield f"exit code {outcome.code}"
    # Python drops a Ctrl-C that comes within a weak reference's callback, and prints that it did
    if "Traceback" in _DROPPED_INTERRUPT.sub("", outcome.err):
        yield "a traceback on stderr"
    lines = outcome.err.splitlines()
    errors = [line for line in lines if line.startswith(error_of(program))]
    if len(errors) != (outcome.code == WRONG_INPUT):
        yield f"{len(errors)} error lines with exit code {outcome.code}"
    if any(len(line) > LONGEST_ERROR for line in errors):
        yield "an endless error line"
    if outcome.code == WRONG_INPUT and outcome.out:
        yield "something on stdout beside an error"
    if outcome.code == DONE and not outcome.out:
        yield "nothing on stdout"
    if outcome.code == SOME_FAILED and not any(line.startswith(f"{program}: failed: ") for line in lines):
        yield "exit code 3 without a failure"
    if any("Warning:" in line for line in lines):
        yield "a Python warning on stderr"


def _output_folders(arguments: Sequence[str], here: Path) -> tuple[Path | None, Path | None]:
    """Returns where the command was to write, and where its log; None for what the command line does not say."""
    try:
        options, _ = build_parser().parse_known_args([word for word in arguments if word not in LISTINGS])
    except PpdetCamError:
        return None, None
    folders = (options.cam_out, options.vdl_log_dir)  # Path.resolve raises for a link to itself
    cam_out, logs = (None if folder is None else Path(os.path.realpath(here / folder)) for folder in folders)
    return cam_out, logs


def _is_of_log(name: str, logs: Path | None, case: Path) -> bool:
    """Whether an entry is a log for VisualDL, or a folder that leads there."""
    place = case / name
    if logs is None:
        return False
    return logs.is_relative_to(place) or (place.parent == logs and place.name.startswith("vdlrecords."))


def _changes(before: Snapshot, after: Snapshot, *, above: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    names = sorted({*before, *after} - above)
    return [
        f"{name} was {before.get(name)}, is {after.get(name)}" for name in names if before.get(name) != after.get(name)
    ]


def _output(folder: Path, code: int | None, before: Snapshot, after: Snapshot, *, is_shard: bool) -> Iterator[str]:
    """Yields what is wrong in the output folder of a run that was not refused."""
    records = [record for part in folder.glob("images*.jsonl") for record in _lines(part)]
    listed = {file for record in records for file in files_of(record)}
    earlier = {name for name in before if RUN_FILES.fullmatch(name)}
    for name, kind in before.items():
        # an earlier run's files may go; those beside it may not
        if after.get(name) != kind and not earlier and not is_folder(kind):
            yield f"{name}, which was there, was {kind}, is {after.get(name)}"
    is_done = code in (DONE, SOME_FAILED)
    goes_on = not is_done or (is_shard and "run.json" not in after)
    folders = {str(parent) for name in (*listed, *before) for parent in PurePosixPath(name).parents}
    for name, kind in after.items():
        known = name in listed or name in before or RUN_FILES.fullmatch(name) or (is_folder(kind) and name in folders)
        if not known and not (goes_on and name.split("/")[0] == ".cam"):
            yield f"{name} is there and not listed"
    if not is_done:
        return
    if not goes_on:
        if "run.json" not in after or "run.partial.json" in after:
            yield "run.json is not there, or run.partial.json still is"
        else:
            yield from _totals(_parsed((folder / "run.json").read_text("utf-8")), records)
    for name in sorted(listed):
        if (reason := _undecodable(folder / name)) is not None:
            yield f"{name} is listed and {reason}"


def _totals(document: object, records: list[dict[str, object]]) -> Iterator[str]:
    totals = document["totals"] if isinstance(document, dict) else {}
    failed = sum(record["status"] == "failed" for record in records)
    if (totals.get("images"), totals.get("failed")) != (len(records), failed):
        yield f"totals {totals} of {len(records)} lines, {failed} of them failed"


def _lines(part: Path) -> list[dict[str, object]]:
    return [_parsed(line) for line in part.read_text("utf-8").split("\n")[:-1]]  # type: ignore[misc]


def _parsed(text: str) -> object:
    """Returns what JSON says; other readers than Python's know no NaN."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


def _undecodable(path: Path) -> str | None:
    """Returns why a file of a run cannot be read, None when it can."""
    try:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                bad = [
                    name
                    for name in arrays.files
                    if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all()
                ]
            return f"holds {bad} that are not finite" if bad else None
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return "is no picture" if cv2.imdecode(content, cv2.IMREAD_UNCHANGED) is None else None
