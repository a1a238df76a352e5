"""Evidence that does not lie on the objects: beside them, on a fixed place of the image, or on one small thing.

A place is held against two others: its mirror images about the box (or the image's middle) in the same maps, and the
same place in the maps of the other classes' boxes that are most alike in size (and, in the image's frame, in place).
What a coarse grid smears over a small box's edges, a shadow below every object or a detector's habit of looking at the
image's border is alike in these, and cancels out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ppdet_cam.insight.collecting import Boxes
from ppdet_cam.insight.frames import BOX_CELLS, CELLS, cells_in_box
from ppdet_cam.insight.values import Frame, Kind, Place

# half a box, and about a fifth of the image, along each side
WINDOW = {Frame.BOX: 4, Frame.IMAGE: 3}
# at least so much of a window of the box's frame lies outside the box
OUTSIDE_SHARE = 0.75
# a box rests on a place that holds this share of its heat, and so many times what the mirrored places hold on average
RESTS_HEAT, RESTS_TIMES = 0.05, 2.0
# a suspect is raised from so many boxes on, being this share of their class
LEAST_BOXES, LEAST_SHARE = 5, 0.08
# beyond what is usual, and so many times its standard error
LEAST_STRENGTH, LEAST_ERRORS = 0.01, 4.0
# boxes of other classes that a place is compared with
MOST_COMPARED = 4000
ALIKE = 25
# one small thing: patches closer to each other than this quantile of those of other classes
THING_QUANTILE = 0.02
THING_SPREAD = 0.12
THING_HEAT = 0.16


@dataclass(frozen=True)
class Found:
    """A place before it is put into words.

    Attributes:
        kind: why it is suspect.
        place: where, None for a thing that lies here and there.
        rows: of the class, the boxes that rest on it, the clearest first.
        heat: share of their heat there.
        usual_heat: the same for the other classes.
        strength: share of all the class's heat there beyond what is usual.
    """

    kind: Kind
    place: Place | None
    rows: np.ndarray
    heat: float
    usual_heat: float
    strength: float


def suspects_of(boxes: Boxes, rows: np.ndarray, groups: Sequence[np.ndarray], others: np.ndarray) -> list[Found]:
    """Returns the suspect places of one class, the strongest first.

    Args:
        boxes: of all classes.
        rows: int [n], the detections of the class.
        groups: int [m] each, those of its groups; a place that only one of them rests on is found there.
        others: int [k], detections of the other classes.
    """
    some = others if len(others) <= MOST_COMPARED else others[:: -(-len(others) // MOST_COMPARED)]
    parts = [rows, *(group for group in groups if len(groups) > 1 and len(group) >= LEAST_BOXES)]
    places = {int(row): position for position, row in enumerate(rows)}
    candidates: list[Found] = []
    for frame, heats_of in ((Frame.BOX, _box_heats), (Frame.IMAGE, _image_heats)):
        heats, usual = heats_of(boxes, rows), heats_of(boxes, some)
        excess = heats.beyond - _expected(usual.beyond, _likeness(boxes, some, frame), _likeness(boxes, rows, frame))
        for part in parts:
            chosen = np.array([places[int(row)] for row in part if int(row) in places], int)
            one = _strongest(heats, usual, excess, chosen, rows, frame)
            if one is not None:
                candidates.append(_centred(boxes, one))
    found: list[Found] = []
    for one in sorted(candidates, key=lambda one: -one.strength):
        if not any(_is_same(one, other) for other in found):
            found.append(one)
    thing = _thing(boxes, rows, some)
    taken = set(np.concatenate([one.rows for one in found]).tolist()) if found else set()
    if thing is not None and len(set(thing.rows.tolist()) - taken) >= max(LEAST_BOXES, LEAST_SHARE * len(rows)):
        found.append(thing)
    return sorted(found, key=lambda one: -one.strength)


@dataclass(frozen=True)
class _Heats:
    """The heat of N boxes in every window of a frame.

    Attributes:
        there: float [N, h, w], in the window with this upper left cell; NaN where the box cannot be asked.
        mirrored: float [N, h, w], the mean of its mirror images; NaN likewise.
        may: bool [h, w], which windows come into question.
    """

    there: np.ndarray
    mirrored: np.ndarray
    may: np.ndarray

    @property
    def beyond(self) -> np.ndarray:
        return self.there - self.mirrored


def window_sums(maps: np.ndarray, side: int) -> np.ndarray:
    """Returns the sums of all windows of side x side cells: float64 [N, CELLS - side + 1, CELLS - side + 1].

    Args:
        maps: float [N, CELLS, CELLS].
        side: cells along each side.
    """
    padded = np.pad(maps.astype(np.float64), ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    return padded[:, side:, side:] - padded[:, :-side, side:] - padded[:, side:, :-side] + padded[:, :-side, :-side]


def _box_heats(boxes: Boxes, rows: np.ndarray) -> _Heats:
    side = WINDOW[Frame.BOX]
    maps = boxes.in_box_frame[rows].astype(np.float32)
    maps[:, BOX_CELLS, BOX_CELLS] = 0
    there = window_sums(maps, side)
    inside = np.zeros((1, CELLS, CELLS))
    inside[:, BOX_CELLS, BOX_CELLS] = 1
    may = window_sums(inside, side)[0] <= (1 - OUTSIDE_SHARE) * side**2
    return _Heats(there, _mirrored(there), may)


def _image_heats(boxes: Boxes, rows: np.ndarray) -> _Heats:
    """Windows that the box itself, half as wide again on each side, reaches into tell nothing: there is always heat."""
    side = WINDOW[Frame.IMAGE]
    maps = boxes.in_image[rows].astype(np.float32)
    there = window_sums(maps, side)
    for hw in np.unique(boxes.images_hw[rows], axis=0):
        same = np.flatnonzero((boxes.images_hw[rows] == hw).all(axis=1))
        covered = cells_in_box(boxes.boxes_xyxy[rows[same]], (int(hw[0]), int(hw[1])), margin=0.5)
        there[same] = np.where(window_sums(covered, side) > 0, np.nan, there[same])
    return _Heats(there, _mirrored(there), np.ones(there.shape[1:], bool))


def _mirrored(there: np.ndarray) -> np.ndarray:
    """Returns the mean over each window's other mirror images, those that can be asked."""
    images = np.stack([there[:, :, ::-1], there[:, ::-1], there[:, ::-1, ::-1]])
    shape = there.shape[1:]
    y, x = np.mgrid[: shape[0], : shape[1]]
    is_other = np.stack(
        [x != shape[1] - 1 - x, y != shape[0] - 1 - y, (x != shape[1] - 1 - x) | (y != shape[0] - 1 - y)]
    )
    asked = np.isfinite(images) & is_other[:, None]
    sums = np.where(asked, images, 0).sum(axis=0)
    count = asked.sum(axis=0)
    return np.divide(sums, count, out=np.full(there.shape, np.nan), where=count > 0)


def _likeness(boxes: Boxes, rows: np.ndarray, frame: Frame) -> np.ndarray:
    """Returns what boxes are alike in, float64 [n, 2 or 4]: sizes, in the image's frame places as well."""
    sides = boxes.images_hw[rows][:, ::-1].astype(np.float64)
    corners = boxes.boxes_xyxy[rows].astype(np.float64) / np.tile(sides, 2)
    sizes = np.log(np.maximum(corners[:, 2:] - corners[:, :2], 1e-3))
    middles = (corners[:, :2] + corners[:, 2:]) / 2
    return sizes if frame is Frame.BOX else np.concatenate([0.3 * sizes, middles], axis=1)


def _expected(values: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Returns, for each box that is asked about, the mean of the ALIKE boxes most like it, those that can be asked.

    Args:
        values: float [k, h, w], of the boxes that are known; NaN where they cannot be asked.
        known: float [k, d], what they are like.
        asked: float [n, d], what the others are like.

    Returns:
        float32 [n, h, w], 0 where nothing is known.
    """
    result = np.zeros((len(asked), *values.shape[1:]), np.float32)
    if not len(known):
        return result
    nearest = NearestNeighbors(n_neighbors=min(ALIKE, len(known))).fit(known).kneighbors(asked, return_distance=False)
    is_known = np.isfinite(values)
    filled = np.where(is_known, values, 0).astype(np.float32)
    for first in range(0, len(asked), 1000):
        some = nearest[first : first + 1000]
        count = is_known[some].sum(axis=1)
        result[first : first + 1000] = filled[some].sum(axis=1) / np.maximum(count, 1)
    return result


def _strongest(
    heats: _Heats, usual: _Heats, excess: np.ndarray, part: np.ndarray, rows: np.ndarray, frame: Frame
) -> Found | None:
    """Returns the window in which a part of a class has the most heat beyond what is usual."""
    beyond, errors = _mean_and_error(excess[part])
    beyond = np.where(heats.may & np.isfinite(beyond), beyond, -np.inf)
    best = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
    y, x = int(best[0]), int(best[1])
    value = float(beyond[y, x])
    if not value > LEAST_ERRORS * float(errors[y, x]):
        return None
    there, mirrored = heats.there[:, y, x], heats.mirrored[:, y, x]
    with np.errstate(invalid="ignore"):
        rests = (there >= RESTS_HEAT) & (there >= RESTS_TIMES * mirrored)
    chosen = np.flatnonzero(rests)
    chosen = chosen[np.argsort(-there[chosen], kind="stable")]
    strength = value * len(part) / len(rows)
    if len(chosen) < max(LEAST_BOXES, LEAST_SHARE * len(rows)) or strength < LEAST_STRENGTH:
        return None
    finite = usual.there[:, y, x][np.isfinite(usual.there[:, y, x])]
    return Found(
        Kind.BESIDE if frame is Frame.BOX else Kind.FIXED,
        Place(frame, _corners(y, x, frame)),
        rows[chosen],
        float(there[chosen].mean()),
        float(finite.mean()) if len(finite) else 0.0,
        strength,
    )


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and its standard error over the boxes that can be asked, NaN for fewer than LEAST_BOXES."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0)
    enough = count >= LEAST_BOXES
    safe = np.maximum(count, 1)
    mean = filled.sum(axis=0) / safe
    spread = np.sqrt(np.maximum((filled**2).sum(axis=0) / safe - mean**2, 0))
    return np.where(enough, mean, np.nan), np.where(enough, spread / np.sqrt(safe), np.nan)


def _centred(boxes: Boxes, found: Found) -> Found:
    """Returns the place about the middle of the heat that its boxes have there beyond its mirror images."""
    assert found.place is not None
    frame, side = found.place.frame, WINDOW[found.place.frame]
    maps = (boxes.in_box_frame if frame is Frame.BOX else boxes.in_image)[found.rows].mean(axis=0, dtype=np.float64)
    beyond = np.maximum(maps - (maps[:, ::-1] + maps[::-1] + maps[::-1, ::-1]) / 3, 0)
    if frame is Frame.BOX:
        beyond[BOX_CELLS, BOX_CELLS] = 0
    edges = _edges(frame)
    left, top, right, bottom = (int(np.argmin(np.abs(edges - value))) for value in found.place.xyxy)
    rows, columns = (slice(max(0, low - 2), min(CELLS, high + 2)) for low, high in ((top, bottom), (left, right)))
    heat = beyond[rows, columns]
    if not heat.sum() > 0:
        return found
    middles = (edges[1:] + edges[:-1]) / 2
    x = float((heat.sum(axis=0) * middles[columns]).sum() / heat.sum())
    y = float((heat.sum(axis=1) * middles[rows]).sum() / heat.sum())
    half = side * float(edges[1] - edges[0]) / 2
    if frame is Frame.IMAGE:
        x, y = (min(max(value, half), 1 - half) for value in (x, y))
    return dataclasses.replace(found, place=Place(frame, (x - half, y - half, x + half, y + half)))


def _edges(frame: Frame) -> np.ndarray:
    return np.linspace(0, 1, CELLS + 1) if frame is Frame.IMAGE else np.linspace(-0.5, 1.5, CELLS + 1)


def _corners(y: int, x: int, frame: Frame) -> tuple[float, float, float, float]:
    edges, side = _edges(frame), WINDOW[frame]
    return float(edges[x]), float(edges[y]), float(edges[x + side]), float(edges[y + side])


def _is_same(one: Found, other: Found) -> bool:
    """Returns whether two places are one: of one frame, and closer than a window's side."""
    if one.place is None or other.place is None or one.place.frame is not other.place.frame:
        return False
    width = one.place.xyxy[2] - one.place.xyxy[0]
    return all(abs(a - b) < width for a, b in zip(one.place.xyxy, other.place.xyxy))


def _thing(boxes: Boxes, rows: np.ndarray, others: np.ndarray) -> Found | None:
    """Returns the boxes whose hottest place outside looks the same, wherever it lies; None where there are few."""
    asked = rows[boxes.seen.is_seen[rows] & (boxes.outside[rows] >= THING_HEAT)]
    compared = others[boxes.seen.is_seen[others]][:500]
    if len(asked) < LEAST_BOXES or len(compared) < LEAST_BOXES:
        return None
    asked = asked[:2000]
    patches, usual = _flat(boxes, asked), _flat(boxes, compared)
    between = _distances(usual, usual)[np.triu_indices(len(usual), 1)]
    limit = float(np.quantile(between, THING_QUANTILE))
    near = _distances(patches, patches) <= limit
    core = int(np.argmax(near.sum(axis=1)))
    alike = np.flatnonzero(near[core])
    by_chance = float((_distances(patches[core : core + 1], usual) <= limit).mean())
    if len(alike) < max(LEAST_BOXES, LEAST_SHARE * len(rows)) or len(alike) / len(asked) < 4 * by_chance + 0.05:
        return None
    spread = float(boxes.seen.hottest_xy[asked[alike]].std(axis=0).max())
    heat = float(boxes.outside[asked[alike]].mean())
    usual_heat = float(boxes.outside[others].mean())
    strength = max(0.0, heat - usual_heat) * len(alike) / len(rows)
    if spread < THING_SPREAD or strength < LEAST_STRENGTH:
        return None
    return Found(Kind.THING, None, asked[alike], heat, usual_heat, strength)


def _flat(boxes: Boxes, rows: np.ndarray) -> np.ndarray:
    patches = boxes.seen.patches[rows].astype(np.float32)
    return patches[:, 1:-1, 1:-1].reshape(len(rows), -1)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
    return np.sqrt(np.maximum(squares, 0))
