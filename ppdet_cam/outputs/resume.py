"""What an earlier run left in an output folder: is it one of ours, had it other settings, which images are finished?"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ppdet_cam.errors import OutputError
from ppdet_cam.outputs.files import is_whole
from ppdet_cam.outputs.manifest import IMAGES_FILE, RUN_FILE, decode_line, files_of
from ppdet_cam.outputs.sharding import Rank
from ppdet_cam.places import open_regular, read_regular

PARTIAL_FILE = "run.partial.json"
REPORT_FILE = "report.html"
VIDEO_FILE = "video.mp4"

_PART_FILE = re.compile(r"images(\.[0-9]+)?\.jsonl")
# they change neither what is written nor where; `opt` is in the settings
_FREE_FLAGS = frozenset({"cam_out", "report", "lang", "vdl_log_dir", "opt"})
_SHOWN = 5


@dataclass(frozen=True)
class EarlierRun:
    """A run that is in the output folder.

    Attributes:
        document: what it wrote about itself, empty when it died before.
        is_finished: whether its `run.json` is there.
    """

    document: Mapping[str, object]
    is_finished: bool


class Line(NamedTuple):
    """One line of an `images.jsonl`, or of the part of it that one rank wrote.

    Attributes:
        part: the file.
        offset: where in it the line starts, in bytes.
        record: what it says.
    """

    part: Path
    offset: int
    record: dict[str, object]


def part_file(rank: Rank) -> str:
    """Returns the name of the file that a rank appends its images' lines to."""
    return IMAGES_FILE if rank.count == 1 else f"images.{rank.index}.jsonl"


def part_files(cam_out: Path) -> list[Path]:
    """Returns all files in an output folder that hold lines of images.

    Raises:
        OutputError: the folder is there and cannot be listed.
    """
    try:
        return sorted(cam_out / name for name in os.listdir(cam_out) if _PART_FILE.fullmatch(name))
    except OSError as error:
        # another process may have made it since
        if isinstance(error, FileNotFoundError) or not os.path.isdir(cam_out):
            return []
        # an earlier run may be there, and must not be taken for none
        raise OutputError(f"cannot list {cam_out}: {error.strerror}. Choose another --cam_out") from error


def read_lines(cam_out: Path) -> Iterator[Line]:
    """Yields all lines of images in an output folder; a line that is cut off is left out.

    Raises:
        OutputError: they are there and cannot be read.
    """
    for part in part_files(cam_out):
        offset = 0
        try:
            with open_regular(part) as lines:
                for line in lines:
                    record = decode_line(line)
                    if record is not None:
                        yield Line(part, offset, record)
                    offset += len(line)
        except OSError as error:
            raise OutputError(f"cannot read {part}: {error.strerror}. Choose another --cam_out") from error


def find_earlier_run(cam_out: Path) -> EarlierRun | None:
    """Returns the run that is in an output folder, None when there is none.

    Raises:
        OutputError: a file there has a manifest's name and is not of a run.
    """
    # In this order, as others may be at work: parts are made after the partial document, which goes after the whole one
    # is there. The other way round, a rank could see the parts of its siblings and no document.
    parts = part_files(cam_out)
    documents = {name: _document(cam_out / name) for name in (PARTIAL_FILE, RUN_FILE)}
    for part in parts:
        _check_part(part)
    document = documents[RUN_FILE] or documents[PARTIAL_FILE]
    if document is None and not parts:
        return None
    return EarlierRun(document or {}, documents[RUN_FILE] is not None)


def _document(path: Path) -> dict[str, object] | None:
    try:
        text = read_regular(path)
    except OSError as error:
        if error.errno == errno.EINVAL:  # a device or pipe
            raise _foreign(path) from error
        return None  # not there; anything else comes up again, with its cause, when it is to be replaced
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or "schema_version" not in record:
        raise _foreign(path)
    return record


def _check_part(path: Path) -> None:
    try:
        with open_regular(path) as lines:
            first = lines.readline()
    except OSError:
        return
    # a run that was killed leaves none, or one that is cut off
    if decode_line(first) is None and not _is_begun(path.parent):
        raise _foreign(path)


def _is_begun(cam_out: Path) -> bool:
    return os.path.exists(cam_out / PARTIAL_FILE)


def _foreign(path: Path) -> OutputError:
    return OutputError(f"{path} is not of an earlier run and would be replaced. Choose another --cam_out")


def is_single(cam_out: Path) -> bool:
    """Returns whether the run in an output folder is one of a single image, whose files lie in that folder itself."""
    if _is_begun(cam_out):
        return False
    names = [line.record.get("name", "") for line, _ in zip(read_lines(cam_out), range(2))]
    return len(names) < 2 and not any(names)


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Returns how two runs' settings differ, a text for each difference.

    Args:
        before: the document of the first run.
        now: of the second one.

    Example:
        >>> differences({"flags": {"method": "gradcam"}}, {"flags": {"method": "hirescam"}})
        ["--method was 'gradcam', is 'hirescam'"]
    """
    found = []
    for section, name_of in (("flags", "--{}"), ("settings", "the config's {}")):
        one, other = _mapping(before.get(section)), _mapping(now.get(section))
        for key in sorted({*one, *other} - (_FREE_FLAGS if section == "flags" else frozenset())):
            if one.get(key) != other.get(key):
                found.append(f"{name_of.format(key)} was {_shown(one.get(key))}, is {_shown(other.get(key))}")
    one, other = _mapping(before.get("weights")), _mapping(now.get("weights"))
    if one.get("sha256") != other.get("sha256"):
        found.append(f"the weights were {_weights(one)}, are {_weights(other)}")
    one, other = _mapping(before.get("inputs")), _mapping(now.get("inputs"))
    if one.get("images") != other.get("images"):
        found.append(f"the images were {one.get('images')}, are {other.get('images')}")
    elif one.get("images_sha256") != other.get("images_sha256"):
        found.append("the images have other names")
    for key, flag in (("gt_sha256", "--gt"), ("video_sha256", "--video_file")):
        if one.get(key) != other.get(key):
            found.append(f"the content of {flag} is another one")
    return found


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _shown(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ",".join(value)
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _weights(of: Mapping[str, object]) -> str:
    return f"{of.get('path')} (SHA-256 {str(of.get('sha256'))[:12]})"


def check_same_settings(cam_out: Path, before: Mapping[str, object], now: Mapping[str, object]) -> None:
    """Raises OutputError, with what differs, when a run cannot go on with other settings than its own."""
    found = differences(before, now)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise OutputError(
            f"the run in {cam_out} has other settings: {'; '.join(found[:_SHOWN])}{more}. Give the same ones to go on, "
            "--overwrite to start anew, or another --cam_out"
        )


def is_finished(cam_out: Path, record: Mapping[str, object]) -> bool:
    """Returns whether an image was explained, and all files that its line lists are there and whole."""
    return record.get("status") == "ok" and all(is_whole(cam_out / file) for file in files_of(record))


def remove_run(cam_out: Path) -> None:
    """Removes all that an earlier run wrote, and nothing else. When it is killed, it can be called again.

    Raises:
        OSError: a file cannot be removed.
    """
    earlier = find_earlier_run(cam_out)
    flags = _mapping(earlier.document.get("flags")) if earlier else {}
    for flag, file in (("report", REPORT_FILE), ("video_file", VIDEO_FILE)):
        if flags.get(flag):
            (cam_out / file).unlink(missing_ok=True)
    (cam_out / RUN_FILE).unlink(missing_ok=True)
    for line in read_lines(cam_out):
        remove_files(cam_out, files_of(line.record))
    for part in part_files(cam_out):
        part.unlink(missing_ok=True)
    (cam_out / PARTIAL_FILE).unlink(missing_ok=True)


def remove_files(cam_out: Path, files: list[str]) -> None:
    """Removes files of a run, and the folders that are then empty.

    Raises:
        OSError: one cannot be removed.
    """
    for file in files:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (cam_out / file).unlink()
    for folder in {(cam_out / file).parent for file in files}:
        with contextlib.suppress(OSError):  # not empty, or gone
            while folder != cam_out:
                folder.rmdir()
                folder = folder.parent
