"""The lines that ranks and interrupted runs wrote -> one `images.jsonl` in the order of the images."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ppdet_cam.images.inputs import ImageFile
from ppdet_cam.outputs.manifest import IMAGES_FILE, decode_line
from ppdet_cam.outputs.resume import is_finished, part_files, read_lines

MAX_FAILURES = 1000

_NOWHERE = -1
_OFFSET_BITS = 48


@dataclass(frozen=True)
class Failure:
    """An image that could not be explained, or something is amiss with.

    Attributes:
        path: as it was given.
        reason: why, or what.
    """

    path: str
    reason: str


class Tally:
    """Counts what images' lines say.

    Attributes:
        failures: the first of them.
        warnings: the first of the images that something is amiss with.
    """

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.warnings: list[Failure] = []
        self.images = self.failed = self.warned = self.detections = self.explained = self.blank = self.views = 0
        self.highest_score: float | None = None

    def add(self, record: dict[str, object]) -> None:
        """Counts an image's line."""
        self.images += 1
        if record.get("status") != "ok":
            self.failed += 1
            if len(self.failures) < MAX_FAILURES:
                self.failures.append(Failure(str(record.get("path")), str(record.get("reason"))))
            return
        warnings: list[str] = record.get("warnings", [])  # type: ignore[assignment]
        self.warned += bool(warnings)
        if warnings and len(self.warnings) < MAX_FAILURES:
            self.warnings.append(Failure(str(record.get("path")), "; ".join(map(str, warnings))))
        boxes: list[dict[str, object]] = record["boxes"]  # type: ignore[assignment]
        self.detections += int(record["detections"])  # type: ignore[call-overload]
        self.explained += len(boxes)
        self.views += len(record.get("views", ()))  # type: ignore[arg-type]
        self.blank += sum(box["status"] != "ok" for box in boxes)
        score: float | None = record["highest_score"]  # type: ignore[assignment]
        if score is not None:
            self.highest_score = score if self.highest_score is None else max(score, self.highest_score)

    def totals(self, *, seconds: float) -> dict[str, object]:
        """Returns the totals of `run.json`.

        Args:
            seconds: wall time.
        """
        return {
            "images": self.images,
            "failed": self.failed,
            "warned": self.warned,
            "detections": self.detections,
            "explained": self.explained,
            "blank": self.blank,
            "views": self.views,
            "highest_score": self.highest_score,
            "seconds": round(seconds, 3),
        }


def merge_parts(cam_out: Path, images: Sequence[ImageFile], *, workshop: Path) -> Tally | None:
    """Puts all lines together as `images.jsonl`, in the order of the images, and removes the parts.

    An image that has several lines, as one that was done again has, keeps one whose files are there.

    Args:
        cam_out: the output folder.
        images: all of the run.
        workshop: a folder in it for a file that is not whole yet.

    Returns:
        What the lines say, None when an image has no line yet, or not all of its files; then nothing is changed.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    parts = part_files(cam_out)
    places = _places(cam_out, images, parts)
    if places is None:
        return None
    tally = Tally()
    merged = workshop / IMAGES_FILE
    with merged.open("wb") as target:
        for line in _lines(parts, places):
            target.write(line)
            tally.add(decode_line(line) or {})
        target.flush()
        os.fsync(target.fileno())
    merged.replace(cam_out / IMAGES_FILE)
    for part in parts:
        if part.name != IMAGES_FILE:
            part.unlink()
    return tally


def _places(cam_out: Path, images: Sequence[ImageFile], parts: Sequence[Path]) -> array[int] | None:
    """Returns for every image in which part and where its line is, as one number each; None when one has none."""
    position_of = {image.name: position for position, image in enumerate(images)}
    number_of = {part: number for number, part in enumerate(parts)}
    places = array("q", [_NOWHERE]) * len(images)
    doubtful: dict[int, list[int]] = {}
    last: dict[Path, tuple[int, int]] = {}
    for line in read_lines(cam_out):
        position = position_of.get(str(line.record.get("name")))
        if position is None:
            continue
        place = number_of[line.part] << _OFFSET_BITS | line.offset
        if places[position] != _NOWHERE:
            doubtful.setdefault(position, [places[position]]).append(place)
        places[position] = place
        last[line.part] = position, place
    # a line is written before its files are moved: a rank that died in between leaves its last line without them
    for position, place in last.values():
        doubtful.setdefault(position, [place])
    for position, candidates in doubtful.items():
        places[position] = _best_of(cam_out, parts, candidates)
    return None if _NOWHERE in places else places


def _best_of(cam_out: Path, parts: Sequence[Path], candidates: Sequence[int]) -> int:
    """Returns the last line whose files are all there, else the last one that tells of a failure, else nowhere."""
    records = [decode_line(line) or {} for line in _lines(parts, candidates)]
    for wanted in (lambda record: is_finished(cam_out, record), lambda record: record.get("status") == "failed"):
        for place, record in zip(reversed(candidates), reversed(records)):
            if wanted(record):
                return place
    return _NOWHERE


def _lines(parts: Sequence[Path], places: Sequence[int] | array[int]) -> Iterator[bytes]:
    """Yields the lines at these places."""
    streams: dict[int, BinaryIO] = {}
    try:
        for place in places:
            number, offset = place >> _OFFSET_BITS, place & ((1 << _OFFSET_BITS) - 1)
            if number not in streams:
                streams[number] = parts[number].open("rb")
            streams[number].seek(offset)
            yield streams[number].readline()
    finally:
        for stream in streams.values():
            stream.close()
