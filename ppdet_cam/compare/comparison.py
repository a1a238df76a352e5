"""Two runs' folders -> all that changed between them, as frozen values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.compare.differences import Difference, differences, setting_differences
from ppdet_cam.compare.maps import StoredMaps, map_on_grid, read_maps, shared_reduction
from ppdet_cam.compare.matching import BoxPair, ImageMatch, ImagePair, Kind, match_boxes, match_images
from ppdet_cam.compare.measures import MapsOfPair, MeasuredPair, Summary, change_of, summaries, summary
from ppdet_cam.errors import ConfigError
from ppdet_cam.insight.changes import InsightChanges, changes_of_runs
from ppdet_cam.report.reading import Box, Image, Run, read_run
from ppdet_cam.structures import MapStatus

log = logging.getLogger(__name__)

Progress = Callable[[Sequence[ImagePair]], Iterable[ImagePair]]


@dataclass(frozen=True)
class Comparison:
    """What changed from run A to run B.

    Attributes:
        a: the run before.
        b: the run after.
        images: which images both have.
        pairs: the boxes of the compared images; lost and new ones first, then those that changed most.
        differences: settings beside the weights that the runs do not share.
        settings: values of the two config files that they do not share; empty for one config file.
        total: of all classes.
        classes: of each class, by name.
        asked_once: how many boxes were asked about in one run only, and are in no pair.
        without_maps: of "A" and "B", those that stored no maps.
        unread_maps: why maps of an image could not be read.
        insight: which suspects and groups came and went, where `cam_insight` was run on both.
    """

    a: Run
    b: Run
    images: ImageMatch
    pairs: tuple[MeasuredPair, ...]
    differences: tuple[Difference, ...]
    settings: tuple[Difference, ...]
    total: Summary
    classes: tuple[Summary, ...]
    asked_once: int
    without_maps: tuple[str, ...]
    unread_maps: tuple[str, ...]
    insight: InsightChanges | None = None

    @property
    def has_same_weights(self) -> bool:
        """Whether both runs had the same weights, byte by byte."""
        digest = self.a.weights.get("sha256")
        return digest is not None and digest == self.b.weights.get("sha256")


def compare_runs(folder_a: Path, folder_b: Path, *, progress: Progress = iter) -> Comparison:
    """Returns what changed from one run to another one over the same images.

    Args:
        folder_a: the `--cam_out` of the run before.
        folder_b: of the run after.
        progress: shows how many of the images are done.

    Raises:
        ConfigError: one is no finished run, or they have no image in common.

    Example:
        >>> compare_runs(Path("before"), Path("after")).total.lost  # doctest: +SKIP
        3
    """
    a, b = read_run(folder_a), read_run(folder_b)
    images = match_images(a.images, b.images)
    if not (images.compared or images.failed):
        raise _nothing_in_common(a, b, images)
    reader_a, reader_b = _MapReader(folder_a), _MapReader(folder_b)
    pairs: list[MeasuredPair] = []
    asked_once = 0
    for position, both in enumerate(progress(images.compared)):
        found = match_boxes(both.a.boxes, both.b.boxes)
        asked_once += _left_out(both, found)
        maps = _maps_of(both, reader_a, reader_b)
        pairs += [MeasuredPair(position, pair, change_of(pair, maps and _maps_of_pair(pair, *maps))) for pair in found]
    unread = (*reader_a.unread, *reader_b.unread)
    for reason in unread:
        log.warning("no map correlation: %s", reason)
    return Comparison(
        a=a,
        b=b,
        images=images,
        pairs=tuple(sorted(pairs, key=_prominence)),
        differences=tuple(differences(a, b)),
        settings=tuple(setting_differences(a, b)) if a.config != b.config else (),
        total=summary(pairs),
        classes=tuple(summaries(pairs)),
        asked_once=asked_once,
        without_maps=tuple(name for name, run in (("A", a), ("B", b)) if not _stores_maps(run)),
        unread_maps=unread,
        insight=changes_of_runs(folder_a, folder_b),
    )


def _nothing_in_common(a: Run, b: Run, images: ImageMatch) -> ConfigError:
    if images.unlike:
        both = images.unlike[0]
        sizes = (f"{width}x{height}" for height, width in (image.original_hw or (0, 0) for image in (both.a, both.b)))
        return ConfigError(
            f"{a.folder} and {b.folder} share names of images, but not the images: {both.a.title} is "
            f"{' and '.join(sizes)} pixels. Compare two runs over the same images"
        )
    samples = (run.images[0].path if run.images else "none" for run in (a, b))
    return ConfigError(
        f"{a.folder} and {b.folder} have no image in common; the first ones are {' and '.join(samples)}. "
        "Compare two runs over the same images"
    )


def _left_out(both: ImagePair, found: Sequence[BoxPair]) -> int:
    used = {id(box) for pair in found for box in (pair.a, pair.b)}
    return sum(id(box) not in used for box in (*both.a.boxes, *both.b.boxes))


def _maps_of(both: ImagePair, reader_a: _MapReader, reader_b: _MapReader) -> tuple[StoredMaps, StoredMaps] | None:
    """Returns both runs' maps of an image, None when one of them stored none."""
    if not all("raw" in (image.files or {}) for image in (both.a, both.b)):
        return None
    maps_a, maps_b = reader_a.maps_of(both.a), reader_b.maps_of(both.b)
    return (maps_a, maps_b) if maps_a and maps_b else None


def _maps_of_pair(pair: BoxPair, maps_a: StoredMaps, maps_b: StoredMaps) -> MapsOfPair | None:
    a, b = pair.a, pair.b
    if a is None or b is None or not (a.status is b.status is MapStatus.OK):
        return None
    reduction = shared_reduction(maps_a, maps_b)
    one, other = map_on_grid(maps_a, _file_stem(a), reduction), map_on_grid(maps_b, _file_stem(b), reduction)
    return None if one is None or other is None else MapsOfPair(one, other, reduction)


def _file_stem(box: Box) -> str:
    return box.answer.name if box.answer else str(box.detection.index)


def _stores_maps(run: Run) -> bool:
    return any("raw" in (image.files or {}) for image in run.images)


class _MapReader:
    """Reads a run's maps image by image, and notes which could not be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.unread: list[str] = []

    def maps_of(self, image: Image) -> StoredMaps | None:
        path = self._folder / (image.files or {})["raw"]
        try:
            maps = read_maps(path)
        except ConfigError as error:
            self.unread.append(str(error))
            return None
        if maps.original_hw != image.original_hw:
            self.unread.append(f"{path} is of an image of another size")
            return None
        return maps


def _prominence(measured: MeasuredPair) -> tuple[int, float]:
    """Returns a key that sorts lost and new boxes first, the surest of them before others, then the largest changes.

    Of lost and new boxes, those in whose place the other run has a box come last.
    """
    pair = measured.pair
    if pair.kind in (Kind.LOST, Kind.NEW):
        found = pair.a if pair.kind is Kind.LOST else pair.b
        return (0 if pair.beside is None else 1), -(found.detection.score if found else 0.0)
    return 2, -(measured.change.largest or 0.0)
