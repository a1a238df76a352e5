"""A run over many images: read ahead, explain, draw behind, and enter one image after the other into the ledger."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import functools
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ppdet_cam.errors import ConfigError, LayerError, OutputError, PpdetCamError
from ppdet_cam.images.inputs import ImageFile, list_images
from ppdet_cam.images.reading import read_image
from ppdet_cam.images.video import FrameReader, open_video
from ppdet_cam.outputs.files import cannot_write, check_output_folder
from ppdet_cam.outputs.ledger import Ledger, Place, check_may_open, open_run
from ppdet_cam.outputs.manifest import failed_record
from ppdet_cam.outputs.merging import Tally
from ppdet_cam.outputs.sharding import Rank
from ppdet_cam.places import find_file
from ppdet_cam.render import scale_end
from ppdet_cam.running.config import RunConfig
from ppdet_cam.running.drawing import Draft, Job, Workers, draw_image
from ppdet_cam.running.noticing import Noticing
from ppdet_cam.running.session import Session, open_session
from ppdet_cam.running.stopping import Stop, stopping_on_signals
from ppdet_cam.structures import Frame

_READ_AHEAD = 2
_DRAWN_BEHIND = 2
_PEAKS_FILE = "peaks.jsonl"

# what is wrong with one image's name or place; anything else that a disk says holds for the other images as well
_ONE_IMAGE_ONLY = frozenset(
    {None, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EPERM}
)


class Bar(Protocol):
    """Shows how far a run is."""

    def begin(self, total: int, done: int, what: str) -> None:
        """Begins to show how many of so many images are done, and what is done with them."""

    def advance(self, boxes: int, *, failed: bool) -> None:
        """Tells that one more image is done."""

    def end(self) -> None:
        """Ends showing it."""


class NoBar:
    """Shows nothing."""

    def begin(self, total: int, done: int, what: str) -> None: ...

    def advance(self, boxes: int, *, failed: bool) -> None: ...

    def end(self) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What came of a process's part in a run.

    Attributes:
        document: the content of `run.json`, None when it is not written yet: images are left to other processes, or to
            a run that goes on.
        tally: counts the whole run's images, or, without `run.json`, this process's.
        share: how many images are this process's.
        did: how many of them it did itself.
        signal: the signal that stopped it, 0 for none.
    """

    document: dict[str, object] | None
    tally: Tally
    share: int
    did: int
    signal: int = 0


def explain_many(config: RunConfig, rank: Rank, bar: Bar) -> Outcome:
    """Explains all images of a run, or a rank's part of them.

    Raises:
        PpdetCamError: it could not begin, or the disk is full or cannot be written.
    """
    started = time.perf_counter()
    if config.output.style.normalize == "run" and rank.count > 1:
        raise ConfigError(
            "--normalize run gives all pictures one scale, which ranks and shards do not know of each other; "
            "use one process, or --normalize image"
        )
    check_output_folder(config.cam_out)
    check_may_open(config.cam_out, rank, None, resume=config.resume, overwrite=config.overwrite)
    video = None if config.inputs.video is None else open_video(config.inputs.video)
    images = None
    if video is not None:
        images = video.images(config.inputs.frame_interval)
    elif not config.inputs_are_annotated:
        images = list_images(config.inputs, cam_out=config.cam_out)
    session = open_session(config, images, video=video)
    place = Place(config.cam_out, session.images, rank)
    opened = open_run(
        place,
        session.document,
        resume=config.resume,
        overwrite=config.overwrite,
        retry_failed=config.output.style.normalize != "run",  # another image could change the scale of all
    )
    with opened as ledger:
        return _Run(config, session, place, ledger, bar).outcome(started)


class _Run:
    """One process's part of a run."""

    def __init__(self, config: RunConfig, session: Session, place: Place, ledger: Ledger, bar: Bar) -> None:
        self._config, self._session, self._place, self._ledger, self._bar = config, session, place, ledger, bar
        self._refused: dict[int, str] = {}
        self._noticing = Noticing(blank=False)

    def outcome(self, started: float) -> Outcome:
        ledger = self._ledger
        left, share = len(ledger.left), len(ledger.left) + ledger.done.images
        try:
            with stopping_on_signals() as stop:
                if left:
                    self._explain(self._scale(stop), stop)
        except OutputError as error:
            done = f"{ledger.done.images} of {share} images are done"
            raise OutputError(f"{error}. {done}; go on with --resume") from error
        did = left - (share - ledger.done.images)
        finished = None if ledger.done.images < share else ledger.finish(started)
        if finished is None:
            return Outcome(None, ledger.done, share, did, stop.signal)
        document, tally = finished
        return Outcome(dict(document), tally, share, did)

    # --- maps and pictures

    def _explain(self, highest: float | None, stop: Stop) -> None:
        if stop.signal:
            return
        ledger, waiting = self._ledger, deque[tuple[int, "Draft | str"]]()
        self._bar.begin(len(ledger.left) + ledger.done.images, ledger.done.images, "images")
        with contextlib.ExitStack() as stack:
            stack.callback(self._bar.end)
            workers = stack.enter_context(Workers(self._config.workers))
            frames = stack.enter_context(contextlib.closing(self._read_ahead(ledger.left)))
            job = Job(self._config.output, workers, highest)
            try:
                for position, frame in frames:
                    waiting.append((position, self._begun(position, frame, job)))
                    if len(waiting) > _DRAWN_BEHIND:
                        self._enter(*waiting.popleft())
                    if stop.signal:
                        break
            except OutputError:
                with contextlib.suppress(OutputError):  # what is already written may find its place
                    self._enter_all(waiting)
                raise
            self._enter_all(waiting)

    def _enter_all(self, waiting: deque[tuple[int, Draft | str]]) -> None:
        while waiting:
            self._enter(*waiting.popleft())

    def _begun(self, position: int, frame: concurrent.futures.Future[Frame], job: Job) -> Draft | str:
        """Returns an image whose maps are computed, or why they could not be."""
        if position in self._refused:
            return self._refused[position]
        image = self._place.images[position]
        folder = self._ledger.stage / str(position)
        try:
            folder.mkdir()
        except OSError as error:
            raise cannot_write(folder, error) from error
        try:
            started = time.perf_counter()
            read, truth = frame.result(), self._session.truth
            annotated = truth.of(image, read.original_hw) if truth else None
            stream = self._session.explainer.stream(
                read,
                true_boxes=annotated.true_boxes if annotated else (),
                keep_levels="panel" in job.output.kinds,
            )
            return draw_image(
                stream,
                job,
                path=image.path,
                name=image.name,
                folder=folder,
                started=started,
                annotated=annotated,
                noticed=self._noticing,
            )
        except Exception as error:  # whatever it is, the other images are to be explained
            return self._reason(error)

    def _enter(self, position: int, begun: Draft | str) -> None:
        """Enters an image when its files are written."""
        image, folder = self._place.images[position], self._ledger.stage / str(position)
        record = None
        if isinstance(begun, Draft):
            try:
                record = begun.record()
                self._ledger.enter(position, record, folder)
            except Exception as error:  # as above
                record, begun = None, self._reason(error)
        if record is None:
            self._ledger.enter(position, failed_record(image.path, image.name, str(begun)), folder)
        shutil.rmtree(folder, ignore_errors=True)
        boxes: list[object] = record["boxes"] if record else []  # type: ignore[assignment]
        self._bar.advance(len(boxes), failed=record is None)

    def _reason(self, error: Exception) -> str:
        """Returns why an image failed; raises the error when it is not this image's fault."""
        if isinstance(error, OutputError) and getattr(error.__cause__, "errno", None) not in _ONE_IMAGE_ONLY:
            raise error
        succeeded = self._ledger.done.images - self._ledger.done.failed
        if isinstance(error, LayerError) and not succeeded:
            raise error
        text = " ".join(str(error).split())
        return text if isinstance(error, PpdetCamError) and text else f"{type(error).__name__}: {text}"

    # --- one scale for the whole run

    def _scale(self, stop: Stop) -> float | None:
        """Returns the end of scale of all maps of the run, when its pictures are to share one scale.

        Each map is computed for this, and once more to be drawn: keeping all would fill the disk.
        """
        if self._config.output.style.normalize != "run":
            return None
        images, known = self._place.images, self._peaks()
        unknown = [position for position, image in enumerate(images) if image.name not in known]
        self._bar.begin(len(images), len(known), "images measured")
        with contextlib.ExitStack() as stack:
            stack.callback(self._bar.end)
            frames = stack.enter_context(contextlib.closing(self._read_ahead(unknown)))
            for position, frame in frames:
                measured = known[images[position].name] = self._measured(position, frame)
                self._note_peak(images[position].name, measured)
                self._bar.advance(0, failed=isinstance(measured, str))
                if stop.signal:
                    break
        results = {position: known.get(image.name, 0.0) for position, image in enumerate(images)}
        self._refused = {position: reason for position, reason in results.items() if isinstance(reason, str)}
        return max((peak for peak in results.values() if isinstance(peak, float)), default=0.0)

    def _measured(self, position: int, frame: concurrent.futures.Future[Frame]) -> float | str:
        """Returns the end of scale of an image's maps, or why they could not be computed."""
        truth = self._session.truth
        try:
            read = frame.result()
            true_boxes = truth.of(self._place.images[position], read.original_hw).true_boxes if truth else ()
            stream = self._session.explainer.stream(read, true_boxes=true_boxes)
            return scale_end(stream.explanations, style=self._config.output.style)
        except Exception as error:  # as above
            return self._reason(error)

    def _note_peak(self, name: str, measured: float | str) -> None:
        file = self._place.workshop / _PEAKS_FILE
        try:
            with file.open("a", encoding="ascii") as lines:
                lines.write(json.dumps([name, measured]) + "\n")
        except OSError as error:
            raise cannot_write(file, error) from error

    def _peaks(self) -> dict[str, float | str]:
        """Returns what an interrupted run measured; a line that is cut off is left out."""
        known: dict[str, float | str] = {}
        try:
            text = (self._place.workshop / _PEAKS_FILE).read_text(encoding="ascii")
        except OSError:
            return known
        for line in text.split("\n")[:-1]:
            with contextlib.suppress(ValueError):
                name, measured = json.loads(line)
                known[name] = measured
        return known

    def _read_ahead(
        self, positions: Sequence[int]
    ) -> Generator[tuple[int, concurrent.futures.Future[Frame]], None, None]:
        with contextlib.ExitStack() as stack:
            read: Callable[[str], Frame] = functools.partial(read_image, strict=self._config.strict_images)
            if self._config.inputs.video is not None:
                read = stack.enter_context(FrameReader(find_file(self._config.inputs.video))).read
            yield from _read_ahead(self._place.images, positions, read)


def _read_ahead(
    images: Sequence[ImageFile], positions: Sequence[int], read: Callable[[str], Frame]
) -> Generator[tuple[int, concurrent.futures.Future[Frame]], None, None]:
    """Yields the images, the next of which are being read by a thread."""
    with concurrent.futures.ThreadPoolExecutor(1, "read") as reader:
        coming: deque[tuple[int, concurrent.futures.Future[Frame]]] = deque()
        try:
            for position in positions:
                coming.append((position, reader.submit(read, images[position].path)))
                if len(coming) > _READ_AHEAD:
                    yield coming.popleft()
            while coming:
                yield coming.popleft()
        finally:
            for _, frame in coming:
                frame.cancel()
