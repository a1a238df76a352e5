"""A finished run -> a log for VisualDL: the run's pictures and numbers."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ppdet_cam.errors import OutputError, PpdetCamError
from ppdet_cam.outputs.files import cannot_write, check_output_folder, remove_unfinished, write_parts_atomically
from ppdet_cam.report.reading import Box, Image, Run, read_run

FLAG = "--vdl_log_dir"

# whole pictures; a heatmap alone is transparent, a photo shows nothing of the run
_BOX_PICTURES = ("overlay", "crop", "panel")
_PER_TAG = 10  # VisualDL shows so many pictures and texts of a tag, at random when there are more
_IN_NAME = "vdlrecords"  # VisualDL takes a file for a log whose name holds this
_HEAD_TAG = "meta_data_tag"


class Entry(NamedTuple):
    """One value of the log.

    Attributes:
        tag: its name; VisualDL groups tags by what stands before the first "/".
        step: its place among the values of its tag.
        value: a number, a text, or the content of a picture's file.
    """

    tag: str
    step: int
    value: float | str | bytes


def check_vdl_log(log_dir: Path, cam_out: Path) -> None:
    """Checks, before anything is explained, that a log can be written.

    Args:
        log_dir: the folder for it.
        cam_out: the run's folder.

    Raises:
        PpdetCamError: VisualDL cannot be imported.
        OutputError: the folder cannot be written, or holds a log of another run or program.
    """
    _framing()
    check_output_folder(log_dir, flag=FLAG)
    try:
        names = os.listdir(log_dir)
    except FileNotFoundError:
        return
    except OSError as error:  # a name that is too long, for instance
        raise cannot_write(log_dir, error, flag=FLAG) from error
    others = sorted(name for name in names if _IN_NAME in name and name != log_file(log_dir, cam_out).name)
    if others:
        raise OutputError(
            f"{log_dir} holds another log, {others[0]}, and VisualDL shows one log of a folder. "
            f"Choose another {FLAG}, such as {log_dir / cam_out.name}: visualdl --logdir {log_dir} shows both"
        )


def log_file(log_dir: Path, cam_out: Path) -> Path:
    """Returns the file of a run's log; it is the same each time, so that a log replaces the run's earlier one."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(cam_out))).hexdigest()  # pathlib raises for links in a circle
    return log_dir / f"{_IN_NAME}.cam_ppdet-{digest[:12]}.log"


def write_vdl_log(cam_out: Path, log_dir: Path) -> Path:
    """Writes the log of a finished run, in place of an earlier log of it, and returns the file.

    Args:
        cam_out: the run's folder.
        log_dir: the folder for the log; it is made.

    Raises:
        PpdetCamError: VisualDL cannot be imported.
        ConfigError: it is no finished run, or its manifest is broken.
        OutputError: the log cannot be written, or a picture of the run cannot be read.
    """
    framed, file = _framing(), log_file(log_dir, cam_out)
    with contextlib.suppress(OSError):  # it is not there yet; what else is wrong comes up again
        remove_unfinished(log_dir)
    write_parts_atomically(file, map(framed, entries(read_run(cam_out))), flag=FLAG)
    return file


def entries(run: Run) -> Iterator[Entry]:
    """Yields all values of a run's log; a picture is read when its turn comes.

    Raises:
        OutputError: a picture cannot be read.
    """
    yield Entry(_HEAD_TAG, 0, "")
    first_box = 0
    for position, image in enumerate(run.images):
        yield from _of_image(run, image, position)
        for place, box in enumerate(image.boxes):
            yield from _numbers_of_box(box, first_box + place)
            for kind in _BOX_PICTURES:
                if kind in box.files:
                    tag = f"{kind}/{image.title}"
                    if len(image.boxes) > _PER_TAG:
                        tag += f" {_ten_around(place)}"
                    yield Entry(tag, place, _content(run.folder / box.files[kind]))
        first_box += len(image.boxes)


def _of_image(run: Run, image: Image, position: int) -> Iterator[Entry]:
    yield Entry("image/failed", position, float(image.failure is not None))
    yield Entry(f"image/{image.title}", position, _words(image, position))
    if image.failure is not None:
        return
    yield Entry("image/detections", position, image.detections)
    yield Entry("image/boxes", position, len(image.boxes))
    if image.highest_score is not None:
        yield Entry("image/highest_score", position, image.highest_score)
    if image.seconds is not None:
        yield Entry("image/seconds", position, image.seconds)
    if image.files and "summary" in image.files:
        yield Entry(f"summary/images {_ten_around(position)}", position, _content(run.folder / image.files["summary"]))


def _numbers_of_box(box: Box, step: int) -> Iterator[Entry]:
    yield Entry("box/score", step, box.detection.score)
    if box.energy_in_box is not None:
        yield Entry("box/energy_in_box", step, box.energy_in_box)
    for level in box.levels:
        yield Entry(f"levels/{level.layer}@{level.level}", step, level.share)


def _words(image: Image, position: int) -> str:
    """Returns which image this is, and what its pictures' steps stand for."""
    parts = [f"image {position}: {image.path}"]
    if image.failure is not None:
        parts.append(f"failed: {image.failure}")
    for place, box in enumerate(image.boxes):
        found, name = box.detection, box.answer.name if box.answer else box.detection.index
        inside = box.reason if box.energy_in_box is None else f"energy in box {box.energy_in_box:.3f}"
        parts.append(f"step {place}: box {name}, {found.class_name} {found.score:.3f}, {inside}")
    return "; ".join(parts)  # VisualDL shows a text as one paragraph


def _ten_around(position: int) -> str:
    first = position - position % _PER_TAG
    return f"{first}-{first + _PER_TAG - 1}"


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise OutputError(
            f"cannot read {file} for the log: {error.strerror}. Run again with --resume, which makes it again"
        ) from error


def _framing() -> Callable[[Entry], bytes]:
    """Returns what makes an entry the bytes that VisualDL reads.

    The records are made here and not by VisualDL's LogWriter, which writes in a thread that goes on when the disk is
    full, and makes PNGs of pictures that are JPEGs, some five times as large.

    Raises:
        PpdetCamError: VisualDL cannot be imported.
    """
    try:
        from visualdl.proto.record_pb2 import Record  # here, as few runs need it
        from visualdl.writer.record_writer import RecordWriter
    except Exception as error:  # an unfit protobuf gives a TypeError
        reason = " ".join(str(error).split())
        raise PpdetCamError(
            f"{FLAG} needs the Python package visualdl, which cannot be imported: {type(error).__name__}: {reason}. "
            f"Install it (pip install visualdl), or leave out {FLAG}"
        ) from error
    milliseconds = round(time.time() * 1000)

    def framed(entry: Entry) -> bytes:
        if entry.tag == _HEAD_TAG:
            value = {"meta_data": Record.MetaData(display_name="")}
        elif isinstance(entry.value, bytes):
            value = {"image": Record.Image(encoded_image_string=entry.value)}
        elif isinstance(entry.value, str):
            value = {"text": Record.Text(encoded_text_string=_printable(entry.value))}
        else:
            value = {"value": float(entry.value)}
        # VisualDL writes "/" as "%" in its addresses, and so cannot tell them apart
        tag = _printable(entry.tag).replace("%", "\N{FULLWIDTH PERCENT SIGN}")
        record = Record(values=[Record.Value(id=entry.step, tag=tag, timestamp=milliseconds, **value)])
        target = io.BytesIO()
        RecordWriter(target).write(record.SerializeToString())
        return target.getvalue()

    return framed


def _printable(text: str) -> str:
    # a file name need not be UTF-8
    return text.encode(errors="backslashreplace").decode()
