"""Altered images, run in batches by whatever can run them -> maps of boxes. No detector is known here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import cv2
import numpy as np

from ppdet_cam.methods import (
    Window,
    detection_similarity,
    drise,
    fill_of,
    occluded_by,
    occlusion,
    random_masks,
    shifted,
    windows_over,
)
from ppdet_cam.methods.occlusion import CELLS
from ppdet_cam.questions.question import Question
from ppdet_cam.structures import Candidates, Frame

DEFAULT_MASKS = 1000

Item = TypeVar("Item")


class Progress(Protocol):
    """Shows how far a long loop is: gives its items on, one by one."""

    def __call__(self, items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]: ...


def silent(items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]:
    """Returns the items, showing nothing."""
    return items


@dataclass(frozen=True)
class BoxSought:
    """A box of the image as it is, of which altered images leave more or less.

    Attributes:
        class_id: its class.
        outline: float [4], original pixels; of a rotated box [4, 2].
        class_scores: float [C].
    """

    class_id: int
    outline: np.ndarray
    class_scores: np.ndarray


def batches(values: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields the values in lists of `size`, the last one shorter."""
    batch: list[Item] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def darkened(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns an image times a mask, rounded.

    Args:
        image: uint8 [H, W, 3].
        mask: float [H, W], 0 to 1.
    """
    of_colours = cv2.merge([np.asarray(mask, np.float32)] * 3)
    return np.asarray(cv2.multiply(image, of_colours, dtype=cv2.CV_8U))


def similarity_maps(
    frame: Frame,
    boxes: Sequence[BoxSought],
    candidates_of: Callable[[Sequence[Frame]], Sequence[Candidates]],
    question: Question,
    *,
    progress: Progress = silent,
) -> list[np.ndarray]:
    """Returns D-RISE's map of every box, float32 [H, W]: each mask is drawn and run once, and serves them all.

    The map's minimum is subtracted: what a mask leaves of any box lifts the whole map.

    Args:
        frame: the image.
        boxes: those to explain.
        candidates_of: what is found on each of some masked images, as one batch.
        question: how many masks, their seed, and how many run at once.
        progress: shows how far it is.
    """
    count = question.samples or DEFAULT_MASKS
    masks = random_masks(count, image_hw=frame.original_hw, seed=question.seed)
    totals = [np.zeros(frame.original_hw) for _ in boxes]

    def run() -> Iterator[list[float]]:
        for some in batches(masks, question.batch):
            images = [dataclasses.replace(frame, image=darkened(frame.image, mask)) for mask in some]
            similar = np.array([[_left(box, found) for box in boxes] for found in candidates_of(images)])
            together = np.stack(some)
            for total, of_box in zip(totals, similar.T):
                total += drise(together, of_box) * len(some)
            yield from similar.tolist()

    for _ in progress(run(), total=count, what="masks"):
        pass
    return [((total - np.min(total)) / count).astype(np.float32) for total in totals]


def _left(box: BoxSought, found: Candidates) -> float:
    """Returns how much of a box is left among candidates; the highest class score of each stands for its objectness.

    The cosine of two score vectors does not tell how sure a detector is.
    """
    sure = found.scores.max(axis=1, initial=0.0)
    return detection_similarity(
        box.outline, box.class_scores, found.outlines(box.class_id), found.scores, objectness=sure
    )


def occluded_map(
    frame: Frame,
    box_xyxy: Sequence[float],
    score: Callable[[], float],
    scores_of_images: Callable[[Iterable[np.ndarray]], Iterable[float]],
    question: Question,
    *,
    progress: Progress = silent,
) -> np.ndarray:
    """Returns the occlusion map of a box, float64 [H, W].

    Args:
        frame: the image.
        box_xyxy: the box, original pixels.
        score: the number that falls, on the image as it is.
        scores_of_images: the same on altered images, uint8 [H, W, 3] each.
        question: how many windows there are along the longer side, in `samples`.
        progress: shows how far it is.
    """
    windows = windows_over(box_xyxy, image_hw=frame.original_hw, cells=question.samples or CELLS)
    if not windows:
        return np.zeros(frame.original_hw)
    fill = fill_of(frame.image, box_xyxy, cells=question.samples or CELLS)

    def drops(under: Sequence[Window]) -> np.ndarray:
        images = (occluded_by(frame.image, window, fill) for window in under)
        found = progress(scores_of_images(images), total=len(under), what="occluded images")
        return score() - np.array(list(found))

    tiled = drops(windows)
    usual = np.median(tiled)
    finer = shifted(windows, tiled - usual)
    excess = np.concatenate([tiled, drops(finer)]) - usual
    return occlusion([*windows, *finer], excess, image_hw=frame.original_hw)
