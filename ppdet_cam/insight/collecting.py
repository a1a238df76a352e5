"""A run's folder -> what is known of each of its boxes, as arrays: where its heat lies, in frames that boxes share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.insight.frames import box_edges, image_edges, side_edges
from ppdet_cam.insight.grids import ImageGrids, heat_between, read_grids
from ppdet_cam.insight.seen import Seen, seen_of
from ppdet_cam.questions.truth import GroundTruth, match
from ppdet_cam.report.reading import Box, Image, Role, Run
from ppdet_cam.structures import MapStatus

log = logging.getLogger(__name__)

Progress = Callable[[Sequence[Image]], Iterable[Image]]

# how many other boxes of an image are asked how much of a box's heat lies on them
MOST_OTHERS = 40


@dataclass(frozen=True)
class Boxes:
    """Boxes with a map, N of them; every array has N rows.

    Attributes:
        class_names: of the classes, by `class_of`.
        class_of: int32, which class.
        image_of: int32, the image's place in the run.
        box_of: int32, the box's place in its image.
        scores: float32.
        roles: of each, what it is.
        boxes_xyxy: float32 [N, 4], original pixels.
        images_hw: int32 [N, 2], the image's height and width.
        sides: float32 [N, 3, 3], the share of the heat above left of the box, above it, above right, left, in it, ...
        in_box_frame: float16 [N, CELLS, CELLS], the share of all heat in each cell of the box at twice its sides.
        in_image: float16 [N, CELLS, CELLS], the same for the image's cells.
        on_others: float32 [N, classes], the share outside the box that lies on boxes of each other class.
        seen: what is seen where the map is hottest.
    """

    class_names: tuple[str, ...]
    class_of: np.ndarray
    image_of: np.ndarray
    box_of: np.ndarray
    scores: np.ndarray
    roles: tuple[Role, ...]
    boxes_xyxy: np.ndarray
    images_hw: np.ndarray
    sides: np.ndarray
    in_box_frame: np.ndarray
    in_image: np.ndarray
    on_others: np.ndarray
    seen: Seen

    @property
    def outside(self) -> np.ndarray:
        """Share of the heat outside the box: float32 [N]."""
        return 1 - self.sides[:, 1, 1]

    def __len__(self) -> int:
        return len(self.class_of)

    def of_role(self, *roles: Role) -> np.ndarray:
        """Returns which boxes are one of these: bool [N]."""
        return np.array([role in roles for role in self.roles], bool)


@dataclass(frozen=True)
class Collected:
    """What could be read of a run.

    Attributes:
        boxes: those with a map.
        unread: why maps of an image could not be read.
        blank: how many boxes have a map that shows nothing.
        without_photo: of how many images the file was not found, so that nothing is known of what is seen there.
        missed: how many objects of each class were found by no detection, None without ground truth.
    """

    boxes: Boxes
    unread: tuple[str, ...]
    blank: int
    without_photo: int
    missed: Mapping[str, int] | None


@dataclass(frozen=True)
class _OfImage:
    """What one image adds: its boxes' positions, roles, and rows of the arrays."""

    position: int
    boxes: list[int]
    roles: list[Role]
    arrays: Mapping[str, np.ndarray]


def collect(run: Run, truth: GroundTruth | None = None, *, progress: Progress = iter) -> Collected:
    """Returns where the heat of every box of a run lies.

    Args:
        run: with stored maps.
        truth: says which boxes are true, for a run that did not know; None for what the run itself says.
        progress: shows how many of the images are done.

    Raises:
        ConfigError: it stored no such maps; the message says which flags do.
    """
    check_stores_maps(run)
    names = _class_names(run)
    numbers = {name: number for number, name in enumerate(names)}
    parts: list[_OfImage] = []
    unread: list[str] = []
    blank = without_photo = 0
    missed: dict[str, int] | None = None
    for position, image in enumerate(progress(run.images)):
        if image.failure is not None:
            continue
        roles, lost = _roles(image, truth)
        if lost is not None:
            missed = missed or {}
            for name in lost:
                missed[name] = missed.get(name, 0) + 1
        blank += sum(box.status is not MapStatus.OK for box in image.boxes)
        grids = _grids_of(run.folder, image, unread)
        if grids is None:
            continue
        part, has_photo = _of_image(run.folder, image, position, roles, grids, numbers)
        without_photo += not has_photo
        if part is not None:
            parts.append(part)
    for reason in unread:
        log.warning("left out: %s", reason)
    return Collected(_joined(parts, names), tuple(unread), blank, without_photo, missed)


def check_stores_maps(run: Run) -> None:
    """Raises ConfigError unless a run's images have stored maps, as far as the manifest tells."""
    if not any("raw" in (image.files or {}) for image in run.images):
        raise ConfigError(
            f"{run.folder} stored no maps, which cam_insight reads. Run cam_ppdet again with --save overlay,raw, and "
            "--raw_frame grid for the smallest files where the method looks at layers"
        )


def _class_names(run: Run) -> tuple[str, ...]:
    found = (box.detection.class_name for image in run.images for box in image.boxes)
    return tuple(dict.fromkeys([*run.class_names, *found]))


def _roles(image: Image, truth: GroundTruth | None) -> tuple[list[Role], list[str] | None]:
    """Returns what each box is, and the classes of the objects that none found; None where nothing is known of them."""
    roles = [box.role for box in image.boxes]
    if truth is None:
        if image.truth is None:
            return roles, None
        return roles, [box.detection.class_name for box in image.boxes if box.role is Role.MISSED]
    assert image.original_hw is not None
    objects = truth.objects(truth.name_of(Path(image.path)), image.original_hw)
    detections = [box.detection for box in image.boxes if box.answer is None]
    matches = match(detections, objects)
    found = {one.index for one in matches}
    for place, box in enumerate(image.boxes):
        if box.answer is None:
            roles[place] = Role.MATCHED if box.detection.index in found else Role.FALSE_POSITIVE
    known = {one.true_box.annotation_id for one in matches}
    return roles, [one.class_name for one in objects if one.annotation_id not in known]


def _grids_of(folder: Path, image: Image, unread: list[str]) -> ImageGrids | None:
    file = (image.files or {}).get("raw")
    if file is None:
        return None
    try:
        grids = read_grids(folder / file)
    except ConfigError as error:
        unread.append(str(error))
        return None
    if grids.original_hw != image.original_hw:
        unread.append(f"{folder / file} is of an image of another size")
        return None
    return grids


def _of_image(
    folder: Path,
    image: Image,
    position: int,
    roles: Sequence[Role],
    grids: ImageGrids,
    numbers: Mapping[str, int],
) -> tuple[_OfImage | None, bool]:
    rows = {name: row for row, name in enumerate(grids.names)}
    places = [place for place, box in enumerate(image.boxes) if box.status is MapStatus.OK and _file_stem(box) in rows]
    if not places:
        return None, True
    chosen = [rows[_file_stem(image.boxes[place])] for place in places]
    corners = np.array([image.boxes[place].detection.box_xyxy for place in places], np.float64)
    in_image = heat_between(grids, *image_edges(len(chosen), grids.original_hw), chosen)
    totals = in_image.sum(axis=(1, 2))
    is_there = (totals > 0) & (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    kept = np.flatnonzero(is_there)
    if not len(kept):
        return None, True
    places, chosen = [places[row] for row in kept], [chosen[row] for row in kept]
    corners, in_image, totals = corners[kept], in_image[kept], totals[kept][:, None, None]
    classes = np.array([numbers[image.boxes[place].detection.class_name] for place in places], np.int32)
    seen, has_photo = seen_of(folder, image, corners, in_image)
    arrays: dict[str, np.ndarray] = {
        "class_of": classes,
        "scores": np.array([image.boxes[place].detection.score for place in places], np.float32),
        "boxes_xyxy": corners.astype(np.float32),
        "images_hw": np.tile(np.array(grids.original_hw, np.int32), (len(places), 1)),
        "sides": (heat_between(grids, *side_edges(corners, grids.original_hw), chosen) / totals).astype(np.float32),
        "in_box_frame": (heat_between(grids, *box_edges(corners), chosen) / totals).astype(np.float16),
        "in_image": (in_image / totals).astype(np.float16),
        "on_others": _on_others(grids, chosen, corners, classes, len(numbers)) / totals[:, :, 0],
        **seen,
    }
    return _OfImage(position, places, [roles[place] for place in places], arrays), has_photo


def _file_stem(box: Box) -> str:
    return box.answer.name if box.answer else str(box.detection.index)


def _on_others(
    grids: ImageGrids, rows: Sequence[int], corners: np.ndarray, classes: np.ndarray, count: int
) -> np.ndarray:
    """Returns how much heat of each box lies on the boxes of every other class, without what its own box covers.

    Boxes of one other class that overlap count twice what both cover, up to all that lies outside.
    """
    found = np.zeros((len(rows), count), np.float32)
    for other in range(min(len(rows), MOST_OTHERS)):
        asking = [row for row in range(len(rows)) if classes[row] != classes[other] and row != other]
        if not asking:
            continue
        there = np.tile(corners[other], (len(asking), 1))
        own = corners[asking]
        shared = np.concatenate([np.maximum(there[:, :2], own[:, :2]), np.minimum(there[:, 2:], own[:, 2:])], axis=1)
        shared[:, 2:] = np.maximum(shared[:, 2:], shared[:, :2])
        chosen = [rows[row] for row in asking]
        heat = [
            heat_between(grids, places[:, [1, 3]], places[:, [0, 2]], chosen)[:, 0, 0] for places in (there, shared)
        ]
        found[asking, classes[other]] += (heat[0] - heat[1]).astype(np.float32)
    return np.maximum(found, 0)


def _joined(parts: Sequence[_OfImage], names: tuple[str, ...]) -> Boxes:
    if not parts:
        raise ConfigError("no box of the run has a map that shows something, so there is nothing to find in them")
    joined = {key: np.concatenate([part.arrays[key] for part in parts]) for key in parts[0].arrays}
    return Boxes(
        class_names=names,
        class_of=joined["class_of"],
        image_of=np.concatenate([np.full(len(part.boxes), part.position, np.int32) for part in parts]),
        box_of=np.concatenate([np.array(part.boxes, np.int32) for part in parts]),
        scores=joined["scores"],
        roles=tuple(role for part in parts for role in part.roles),
        boxes_xyxy=joined["boxes_xyxy"],
        images_hw=joined["images_hw"],
        sides=joined["sides"],
        in_box_frame=joined["in_box_frame"],
        in_image=joined["in_image"],
        on_others=np.minimum(joined["on_others"], 1),
        seen=Seen(joined["hottest_xy"], joined["patches"], joined["is_seen"]),
    )
