"""The output folder of a run over many images while the run is at work in it.

Whenever the process is killed, what is there is whole: an image's files are made in a hidden folder, its line is
written, then its files are moved to their places. An image is finished when its line and all files of that line are
there. So every file in its place is listed in a line, and a later run can tell its own files from others.

    run.partial.json     what the run is, from its first moment until `run.json` is there
    images.jsonl         a line per finished image; images.<rank>.jsonl with several ranks
    .cam/                images that are being made, and a lock
"""

from __future__ import annotations

import contextlib
import enum
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ppdet_cam.errors import OutputError
from ppdet_cam.images.inputs import ImageFile
from ppdet_cam.outputs.files import cannot_write, remove_unfinished, write_atomically
from ppdet_cam.outputs.locks import is_taken, take
from ppdet_cam.outputs.manifest import RUN_FILE, encode_document, encode_line, files_of
from ppdet_cam.outputs.merging import Tally, merge_parts
from ppdet_cam.outputs.resume import (
    PARTIAL_FILE,
    check_same_settings,
    find_earlier_run,
    is_finished,
    part_file,
    part_files,
    read_lines,
    remove_files,
    remove_run,
)
from ppdet_cam.outputs.sharding import Rank

WORKSHOP = ".cam"
_LOCK = "lock"

Document = Mapping[str, object]


class _Plan(enum.Enum):
    """What is to be done with the run that is in the output folder."""

    START = "there is none"
    JOIN = "it was begun by a process that was started together with this one"
    CONTINUE = "go on with it"
    REPLACE = "remove it"


@dataclass(frozen=True)
class Place:
    """Where a run writes, and as which of its processes.

    Attributes:
        cam_out: the output folder.
        images: all of the run, in order.
        rank: which of them are this process's.
    """

    cam_out: Path
    images: Sequence[ImageFile]
    rank: Rank

    @property
    def workshop(self) -> Path:
        return self.cam_out / WORKSHOP


class Ledger:
    """What of a process's share is left to do, and where its finished images are entered.

    Attributes:
        left: positions of the images that are to be done.
        done: counts what the share's finished images' lines say.
        stage: a folder for files that are not finished.
    """

    def __init__(self, place: Place, document: Document, *, retry_failed: bool) -> None:
        self._place, self._document = place, dict(document)
        self._part: io.FileIO | None = None
        self._files_left: dict[int, set[str]] = {}
        self.done = Tally()
        self.left = self._compare(retry_failed=retry_failed)
        self.stage: Path = place.workshop

    def _compare(self, *, retry_failed: bool) -> list[int]:
        """Returns which images of the share have no line whose files are all there."""
        place = self._place
        position_of = {image.name: position for position, image in enumerate(place.images) if place.rank.owns(position)}
        done = set()
        for line in read_lines(place.cam_out):
            position = position_of.get(str(line.record.get("name")))
            if position is None or position in done:
                continue
            is_final = line.record.get("status") == "failed" and not retry_failed
            if is_final or is_finished(place.cam_out, line.record):
                done.add(position)
                self.done.add(line.record)
            else:
                self._files_left.setdefault(position, set()).update(files_of(line.record))
        return [position for position in position_of.values() if position not in done]

    def begin(self) -> None:
        """Takes possession of the process's part of the lines, if there is something to do.

        Raises:
            OutputError: another process is at work on the same part, or the folder cannot be written.
        """
        cam_out, rank = self._place.cam_out, self._place.rank
        with _locked(self._place), _as_output_error(cam_out):
            if os.path.exists(cam_out / RUN_FILE) and not self.left:
                return
            self._place.workshop.mkdir(exist_ok=True)  # another process may just have ended the run
            if not os.path.exists(cam_out / PARTIAL_FILE):
                _write_partial(self._place, self._document)
            (cam_out / RUN_FILE).unlink(missing_ok=True)
            self._part = io.FileIO(cam_out / part_file(rank), "r+" if _exists(cam_out, rank) else "x+")
            if not take(self._part):
                raise _at_work(cam_out, f" as {rank}" if rank.count > 1 else "")
            _cut_unfinished_line(self._part)
            self.stage = Path(tempfile.mkdtemp(dir=self._place.workshop, prefix=f"{rank.index}-"))

    def enter(self, position: int, record: dict[str, object], staged: Path) -> None:
        """Writes an image's line and moves its files to their places.

        Args:
            position: of the image.
            record: its line.
            staged: the folder that holds the files that the line lists, by their last name.

        Raises:
            OutputError: a file that no run wrote is in the way, or the disk is full or cannot be written.
        """
        cam_out, files = self._place.cam_out, files_of(record)
        own = self._files_left.get(position, set())
        for file in files:
            _check_free(cam_out, file, own)
        with _as_output_error(cam_out):
            for folder in {(cam_out / file).parent for file in files}:
                folder.mkdir(parents=True, exist_ok=True)
            _append(self._open_part(), encode_line(record))
            for file in files:
                (staged / PurePosixPath(file).name).replace(cam_out / file)
            remove_files(cam_out, sorted(own.difference(files)))
        self.done.add(record)

    def _open_part(self) -> io.FileIO:
        if self._part is None:
            raise ValueError("the run is closed")
        return self._part

    def finish(self, started: float) -> tuple[Document, Tally] | None:
        """Puts the run's lines together and writes `run.json`, when this is the last of its processes.

        Args:
            started: `time.perf_counter()` when the process began.

        Returns:
            The content of `run.json` and what the lines say; None when other processes are at work, or have to be
            started again.
        """
        place = self._place
        with _locked(place), _as_output_error(place.cam_out):
            self.close()
            earlier = find_earlier_run(place.cam_out)
            if earlier is not None and earlier.is_finished:
                return earlier.document, self.done
            if any(map(is_taken, part_files(place.cam_out))):
                return None
            tally = merge_parts(place.cam_out, place.images, workshop=place.workshop)
            if tally is None:
                return None
            document = {**self._document, "totals": tally.totals(seconds=time.perf_counter() - started)}
            write_atomically(place.cam_out / RUN_FILE, encode_document(document), workshop=place.workshop)
            (place.cam_out / PARTIAL_FILE).unlink(missing_ok=True)
        return document, tally

    def close(self) -> None:
        """Lets go of the process's part, so that another process may go on with it."""
        if self._part is not None:
            self._part.close()
            self._part = None
            shutil.rmtree(self.stage, ignore_errors=True)


@contextlib.contextmanager
def open_run(
    place: Place, document: Document, *, resume: bool = False, overwrite: bool = False, retry_failed: bool = True
) -> Iterator[Ledger]:
    """Yields the ledger of a run that is new, or goes on.

    Args:
        place: where it writes.
        document: what `run.json` will hold, without totals.
        resume: whether to go on with the run that is in the folder, if there is one.
        overwrite: whether to remove it instead.
        retry_failed: whether images that failed are done again when the run goes on.

    Raises:
        OutputError: a run is there and neither was asked for, or it has other settings, or another process is at work
            there, or the folder cannot be written.
    """
    check_may_open(place.cam_out, place.rank, document, resume=resume, overwrite=overwrite)
    made = _missing_folders(place.cam_out)
    with _locked(place), _as_output_error(place.cam_out):
        plan = _plan(place.cam_out, place.rank, document, resume=resume, overwrite=overwrite)
        if plan is not _Plan.JOIN and any(map(is_taken, part_files(place.cam_out))):
            raise _at_work(place.cam_out)
        if plan is _Plan.REPLACE:
            remove_run(place.cam_out)
        if plan is not _Plan.JOIN:
            _clear_workshop(place, keep_files=plan is _Plan.CONTINUE)
            remove_unfinished(place.cam_out)  # a report
        if os.path.exists(place.cam_out / RUN_FILE):
            (place.cam_out / PARTIAL_FILE).unlink(missing_ok=True)  # of a run that was killed at its very end
        elif plan is not _Plan.JOIN:
            _write_partial(place, document)
    with _as_output_error(place.cam_out):
        ledger = Ledger(place, document, retry_failed=retry_failed)
    try:
        ledger.begin()
        yield ledger
    except BaseException:
        ledger.close()
        _leave_no_empty_run(place)
        _remove_empty(made)
        raise
    finally:
        ledger.close()


def _leave_no_empty_run(place: Place) -> None:
    """Removes a run that failed before its first image, so that the next one finds nothing in its way."""
    with contextlib.suppress(OSError), _locked(place):
        if not any(map(is_taken, part_files(place.cam_out))) and next(read_lines(place.cam_out), None) is None:
            remove_run(place.cam_out)


def check_may_open(cam_out: Path, rank: Rank, document: Document | None, *, resume: bool, overwrite: bool) -> None:
    """Raises the OutputError that `open_run` would, as far as it can be told without making anything.

    Args:
        cam_out: the output folder.
        rank: this process's.
        document: as for `open_run`; None to leave the settings unchecked.
        resume, overwrite: as for `open_run`.
    """
    _plan(cam_out, rank, document, resume=resume, overwrite=overwrite)


def _plan(cam_out: Path, rank: Rank, document: Document | None, *, resume: bool, overwrite: bool) -> _Plan:
    earlier = find_earlier_run(cam_out)
    if earlier is None:
        return _Plan.START
    is_sibling = rank.launch != "" and earlier.document.get("launch") == rank.launch and not earlier.is_finished
    may_join = is_sibling and (resume or not _exists(cam_out, rank))
    if not (resume or overwrite or may_join):
        kind = "a run" if earlier.is_finished else "an unfinished run"
        raise OutputError(
            f"{cam_out} holds {kind}. --resume goes on with it, --overwrite replaces it; or choose another --cam_out"
        )
    if (resume or may_join) and document is not None:
        check_same_settings(cam_out, earlier.document, document)
    return _Plan.JOIN if may_join else _Plan.CONTINUE if resume else _Plan.REPLACE


def _exists(cam_out: Path, rank: Rank) -> bool:
    return os.path.exists(cam_out / part_file(rank))


def _write_partial(place: Place, document: Document) -> None:
    partial = {**document, "ranks": place.rank.count, "launch": place.rank.launch}
    write_atomically(place.cam_out / PARTIAL_FILE, encode_document(partial), workshop=place.workshop)


def _clear_workshop(place: Place, *, keep_files: bool) -> None:
    """Removes what killed processes left: images in the making, and what holds for the whole run unless it goes on."""
    for entry in place.workshop.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != _LOCK and not keep_files:
            entry.unlink()


def _check_free(cam_out: Path, file: str, own: set[str]) -> None:
    """Raises OutputError when a file that no run wrote has this name, or the name cannot be a file's."""
    try:
        (cam_out / file).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise cannot_write(cam_out / file, error) from error
    if file not in own:
        raise OutputError(
            f"{cam_out / file} is not of an earlier run and would be replaced. Move it, or choose another --cam_out"
        )


def _append(part: io.FileIO, line: bytes) -> None:
    """Writes a line behind all others, wholly or not at all as long as the process lives."""
    start = part.seek(0, os.SEEK_END)
    try:
        written = 0
        while written < len(line):
            written += part.write(line[written:])
        os.fsync(part.fileno())
    except BaseException:
        part.truncate(start)
        raise


def _cut_unfinished_line(part: io.FileIO) -> None:
    """Removes what a killed process wrote behind the last whole line."""
    end = part.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        part.seek(start)
        found = part.read(end - start).rfind(b"\n")
        if found >= 0:
            part.truncate(start + found + 1)
            return
        end = start
    part.truncate(0)


# --- what the run's processes share


@contextlib.contextmanager
def _locked(place: Place) -> Iterator[None]:
    """Keeps the run's other processes waiting; leaves no trace in a folder where no run is at work."""
    made = _missing_folders(place.cam_out)
    try:
        with _as_output_error(place.cam_out):
            place.workshop.mkdir(parents=True, exist_ok=True)
            lock = io.FileIO(place.workshop / "lock", "a")
        with lock:
            take(lock, wait=True)
            try:
                yield
            finally:
                if not os.path.exists(place.cam_out / PARTIAL_FILE):
                    shutil.rmtree(place.workshop, ignore_errors=True)
    finally:
        _remove_empty(made)


def _missing_folders(folder: Path) -> list[Path]:
    """Returns which of a folder and those that it lies in are not there, the deepest first."""
    # os.path answers False where pathlib raises: a name too long
    return [missing for missing in (folder, *folder.parents) if not os.path.exists(missing)]


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty: the run has begun
            folder.rmdir()


def _at_work(cam_out: Path, how: str = "") -> OutputError:
    return OutputError(f"another process is at work in {cam_out}{how}. Wait for it, or choose another --cam_out")


@contextlib.contextmanager
def _as_output_error(cam_out: Path) -> Iterator[None]:
    """Turns what the disk says into an OutputError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(Path(error.filename) if isinstance(error.filename, str) else cam_out, error) from error
