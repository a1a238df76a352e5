"""One image's explanations -> its files in a folder, and its record. Threads make the files while maps are computed."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from ppdet_cam.explaining.explainer import ExplanationStream
from ppdet_cam.outputs.files import cannot_write, write_new
from ppdet_cam.outputs.manifest import (
    BOX_FILES,
    IMAGE_FILES,
    box_record,
    box_truth,
    image_record,
    image_truth,
    view_record,
)
from ppdet_cam.outputs.pictures import Output, encode_box, encode_view
from ppdet_cam.outputs.raw import RawGrids, RawMap, encode_grids, encode_raw, raw_grids, raw_map
from ppdet_cam.polygons import polygon_coverage
from ppdet_cam.questions.truth import Match, TrueBox, match
from ppdet_cam.render import RenderStyle, draw_summary, drawn_name, encode_jpeg, scale_end
from ppdet_cam.structures import Detection, Explanation, LayerView, MapStatus

_T = TypeVar("_T")

# tasks that are waiting or at work, per thread: each holds a map
_TASKS_PER_WORKER = 2


class Workers:
    """Threads that draw, encode and write. When they are behind, who gives them work waits, so memory stays flat."""

    def __init__(self, count: int) -> None:
        """Starts the threads.

        Args:
            count: how many; with 0, work is done at once by who gives it.
        """
        self._pool = concurrent.futures.ThreadPoolExecutor(count, "draw") if count else None
        self._places = threading.BoundedSemaphore(max(1, count * _TASKS_PER_WORKER))

    def submit(self, task: Callable[[], _T]) -> concurrent.futures.Future[_T]:
        """Returns the future result of a task."""
        if self._pool is None:
            return _done(task)
        self._places.acquire()
        try:
            future = self._pool.submit(task)
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(lambda _: self._places.release())
        return future

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=error is not None)


def _done(task: Callable[[], _T]) -> concurrent.futures.Future[_T]:
    future: concurrent.futures.Future[_T] = concurrent.futures.Future()
    try:
        future.set_result(task())
    except Exception as error:  # kept for who asks for the result, as a thread does
        future.set_exception(error)
    return future


@dataclass(frozen=True)
class Annotated:
    """What is known of an annotated image.

    Attributes:
        true_boxes: its objects.
        draw_threshold: detections with a lower score count for nothing.
        note: what is to be said of the annotation.
    """

    true_boxes: Sequence[TrueBox]
    draw_threshold: float
    note: str | None = None


@dataclass(frozen=True)
class _BoxResult:
    record: dict[str, object]
    written: float


@dataclass(frozen=True)
class Draft:
    """An image whose files are being made.

    Attributes:
        folder: that they are made in.
    """

    folder: Path
    _boxes: Sequence[concurrent.futures.Future[_BoxResult]]
    _rest: Sequence[concurrent.futures.Future[float]]
    _record: Callable[[Sequence[dict[str, object]], float], dict[str, object]]
    _detected: float

    def record(self) -> dict[str, object]:
        """Returns the image's line of `images.jsonl`, as soon as all its files are written.

        Raises:
            PpdetCamError, OSError, ...: why one could not be made.
        """
        boxes = [future.result() for future in self._boxes]
        written = [self._detected, *(box.written for box in boxes), *(future.result() for future in self._rest)]
        return self._record([box.record for box in boxes], max(written))


@dataclass(frozen=True)
class Job:
    """How images' files are made.

    Attributes:
        output: what is written.
        workers: who draws and writes.
        highest: the raw value of the hottest colour of the whole run, when its pictures share one scale.
    """

    output: Output
    workers: Workers
    highest: float | None = None


def draw_image(
    stream: ExplanationStream,
    job: Job,
    *,
    path: str | None,
    name: str,
    folder: Path,
    started: float,
    annotated: Annotated | None = None,
    noticed: Callable[[Explanation], None] = lambda _: None,
) -> Draft:
    """Returns an image whose maps are all computed; its files may still be in the making.

    Args:
        stream: its explanations, which are taken one by one.
        job: how its files are made.
        path: the image, as it was given.
        name: the folder of its files below the output folder, "" for the output folder itself.
        folder: where they are made; it is empty.
        started: `time.perf_counter()` before its detections were computed.
        annotated: of an image with ground truth.
        noticed: is told of each explanation.
    """
    detected = time.perf_counter()
    shown, matches = _matches(stream.detections, annotated)
    explanations, highest = stream.explanations, job.highest
    if job.output.style.normalize != "box" and highest is None:
        highest, explanations = _at_one_scale(explanations, folder, job.output.style)
    drawer = _Drawer(stream, job, name=name, folder=folder, highest=highest, matches=matches if annotated else None)
    passing = drawer.boxes_drawn(explanations, noticed)
    rest = drawer.image_files(passing)
    views = drawer.views_drawn(stream.views)

    def record(boxes: Sequence[dict[str, object]], written: float) -> dict[str, object]:
        return image_record(
            path,
            name,
            original_hw=stream.frame.original_hw,
            detections=stream.detections,
            boxes=boxes,
            seconds={"detect": detected - started, "explain_and_write": written - detected},
            files=drawer.names_of_image_files(),
            truth=image_truth(shown, annotated.true_boxes, matches) if annotated else None,
            views=[view_record(view, files) for view, files in zip(stream.views, views)],
            warnings=[*stream.frame.notes, *([annotated.note] if annotated and annotated.note else [])],
        )

    return Draft(folder, drawer.boxes, [*rest, *drawer.panels], record, detected)


def _matches(detections: Sequence[Detection], annotated: Annotated | None) -> tuple[list[Detection], list[Match]]:
    if annotated is None:
        return [], []
    shown = [detection for detection in detections if detection.score >= annotated.draw_threshold]
    return shown, match(shown, annotated.true_boxes)


class _Drawer:
    """Makes the files of one image."""

    def __init__(
        self,
        stream: ExplanationStream,
        job: Job,
        *,
        name: str,
        folder: Path,
        highest: float | None,
        matches: Sequence[Match] | None,
    ) -> None:
        self._photo, self._original_hw = stream.frame.image, stream.frame.original_hw
        self._job, self._folder, self._highest, self._matches = job, folder, highest, matches
        self._prefix = f"{name}/" if name else ""
        self._raw: dict[int, RawMap] = {}
        self._grids: dict[int, RawGrids] = {}
        self.boxes: list[concurrent.futures.Future[_BoxResult]] = []
        self.panels: list[concurrent.futures.Future[float]] = []

    def boxes_drawn(
        self, explanations: Iterator[Explanation], noticed: Callable[[Explanation], None]
    ) -> Iterator[Explanation]:
        """Yields the explanations, without their levels' maps, after handing each one's files to the workers."""
        for explanation in explanations:
            noticed(explanation)
            for earlier in self.boxes:
                if earlier.done():
                    earlier.result()  # no more maps for an image that cannot be written
            number = len(self.boxes)
            self.boxes.append(self._job.workers.submit(functools.partial(self._box, explanation, number)))
            yield dataclasses.replace(explanation, level_heatmaps=())

    def _box(self, explanation: Explanation, number: int) -> _BoxResult:
        output = self._job.output
        names = {kind: explanation.name + BOX_FILES[kind] for kind in output.box_kinds}
        for kind, name in names.items():
            self._write(name, encode_box(kind, self._photo, explanation, style=output.style, highest=self._highest))
        truth = None
        if self._matches is not None and explanation.answer is None:
            truth = box_truth(explanation.detection.index, self._matches)
        record = box_record(
            explanation,
            {kind: self._prefix + name for kind, name in names.items()},
            energy_in_box=energy_in_box(explanation),
            truth=truth,
            drawn_as=drawn_name(explanation.detection.class_name, explanation.detection.class_id),
        )
        if "raw" in output.kinds and output.raw_frame == "grid":
            self._grids[number] = raw_grids(explanation, dtype=output.raw_dtype)
        elif "raw" in output.kinds:
            self._raw[number] = raw_map(explanation, dtype=output.raw_dtype, reduction=output.raw_reduction)
        return _BoxResult(record, time.perf_counter())

    def image_files(self, explanations: Iterator[Explanation]) -> list[concurrent.futures.Future[float]]:
        """Takes all explanations, and returns the making of the files that there is one of per image."""
        output, encoders = self._job.output, {}
        if "summary" in output.kinds:
            # reads the explanations as they come, and keeps no map
            summary = draw_summary(self._photo, explanations, style=output.style, highest=self._highest)
            encoders["summary"] = lambda: encode_jpeg(summary)
        for _ in explanations:
            pass
        encoders["photo"] = lambda: encode_jpeg(self._photo)
        encoders["raw"] = self._encoded_raw
        return [
            self._job.workers.submit(functools.partial(self._write_image_file, kind, encoders[kind]))
            for kind in output.image_kinds
        ]

    def views_drawn(self, views: Sequence[LayerView]) -> list[dict[str, str]]:
        """Hands the panels of layers' levels to the workers, and returns the files of each: kind -> path."""
        for number, view in enumerate(views):
            self.panels.append(self._job.workers.submit(functools.partial(self._view, view, f"layer_{number}")))
        return [{"panel": f"{self._prefix}layer_{number}{BOX_FILES['panel']}"} for number in range(len(views))]

    def _view(self, view: LayerView, name: str) -> float:
        return self._write(name + BOX_FILES["panel"], encode_view(self._photo, view, style=self._job.output.style))

    def names_of_image_files(self) -> Mapping[str, str]:
        """Returns the paths below the output folder of the files that there is one of per image."""
        return {kind: self._prefix + IMAGE_FILES[kind] for kind in self._job.output.image_kinds}

    def _encoded_raw(self) -> bytes:
        for future in self.boxes:  # their tasks were begun before this one, so it waits for none that waits for it
            future.result()
        output, numbers = self._job.output, range(len(self.boxes))
        if output.raw_frame == "grid":
            grids = [self._grids.pop(number) for number in numbers]
            return encode_grids(grids, original_hw=self._original_hw, dtype=output.raw_dtype)
        maps = [self._raw.pop(number) for number in numbers]
        return encode_raw(maps, original_hw=self._original_hw, dtype=output.raw_dtype, reduction=output.raw_reduction)

    def _write_image_file(self, kind: str, encode: Callable[[], bytes]) -> float:
        return self._write(IMAGE_FILES[kind], encode())

    def _write(self, name: str, content: bytes) -> float:
        try:
            write_new(self._folder / name, content)
        except OSError as error:
            raise cannot_write(self._folder / name, error) from error
        return time.perf_counter()


def energy_in_box(explanation: Explanation) -> float | None:
    """Returns the share of a map's sum that falls in its box, of a rotated box in its polygon.

    A pixel that the edge cuts counts by its part.

    Returns:
        0 to 1; None for a map that shows nothing.
    """
    heatmap, (left, top, right, bottom) = explanation.heatmap, explanation.detection.box_xyxy
    total = float(heatmap.sum(dtype=np.float64))
    if explanation.status is not MapStatus.OK or not total > 0:
        return None
    polygon = explanation.detection.polygon_xy
    if polygon is not None:
        return min(
            1.0, float((polygon_coverage(polygon, map_hw=(heatmap.shape[0], heatmap.shape[1])) * heatmap).sum()) / total
        )
    along_y, along_x = _covered(top, bottom, heatmap.shape[0]), _covered(left, right, heatmap.shape[1])
    rows, columns = np.flatnonzero(along_y), np.flatnonzero(along_x)
    if not rows.size or not columns.size:
        return 0.0
    inside = np.ix_(rows, columns)
    return min(1.0, float(along_y[rows] @ heatmap[inside].astype(np.float64) @ along_x[columns]) / total)


def _covered(start: float, stop: float, pixels: int) -> np.ndarray:
    """Returns how much of each pixel of one axis lies between two places, float64 [pixels], 0 to 1."""
    edges = np.arange(pixels + 1, dtype=np.float64)
    return np.nan_to_num(np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0.0, 1.0))


def _at_one_scale(
    explanations: Iterator[Explanation], folder: Path, style: RenderStyle
) -> tuple[float, Iterator[Explanation]]:
    """Returns the end of scale of all maps of an image, and its explanations; the maps wait on the disk."""
    highest = 0.0
    waiting: list[tuple[Path, Explanation]] = []
    for explanation in explanations:
        highest = max(highest, scale_end([explanation], style=style))
        arrays = np.stack([explanation.heatmap, *explanation.level_heatmaps])
        file = folder / f"{len(waiting)}.npy"
        try:
            np.save(file, arrays)
        except OSError as error:
            raise cannot_write(file, error) from error
        waiting.append(
            (file, dataclasses.replace(explanation, heatmap=np.zeros((0, 0), np.float32), level_heatmaps=()))
        )
    return highest, _brought_back(waiting)


def _brought_back(waiting: Sequence[tuple[Path, Explanation]]) -> Iterator[Explanation]:
    for file, explanation in waiting:
        heatmap, *levels = np.load(file)
        file.unlink()
        yield dataclasses.replace(explanation, heatmap=heatmap, level_heatmaps=tuple(levels))
