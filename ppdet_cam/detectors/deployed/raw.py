"""What a graph without its NMS gives -> every box before NMS, and what an NMS that is done here keeps of them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet)

import paddle  # isort: skip
from ppdet.modeling.layers import MatrixNMS, MultiClassNMS

from ppdet_cam.detectors.deployed.preprocess import HIGHEST
from ppdet_cam.detectors.families.last_step import KeepRule, check_nms, nms_rule, recording_nms
from ppdet_cam.errors import ConfigError
from ppdet_cam.registry import closest
from ppdet_cam.structures import Candidates, Contest

KINDS = {"MultiClassNMS": MultiClassNMS, "MatrixNMS": MatrixNMS}
# What deploy/python's PicoDetPostProcess takes whatever the deployment file says; the overlap is the file's.
PICODET_SCORE, PICODET_IOU, PICODET_OF_LEVEL, PICODET_OF_CLASS, PICODET_KEPT = 0.4, 0.5, 1000, 200, 100


@dataclass(frozen=True)
class Raw:
    """Every box of one image before NMS.

    Attributes:
        boxes_xyxy: float [L, 4], original pixels.
        scores: float [L, classes].
        limits_wh: of PicoDet's levels, width and height of the image, to which boxes that are kept are clipped; None
            for others, which clip none.
        lengths: how many boxes each of PicoDet's levels has.
        contest: what competes to be kept.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    limits_wh: tuple[float, float] | None = None
    lengths: tuple[int, ...] = ()
    contest: Contest = Contest.OVERLAPS

    @property
    def candidates(self) -> Candidates:
        """The same as of any detector."""
        return Candidates(self.boxes_xyxy.reshape(-1, 1, 4).astype(np.float32), self.scores.astype(np.float32))


class Suppression(Protocol):
    """Chooses among boxes.

    Attributes:
        rule: the numbers by which it does.
        manner: whose manner it has, in a message.
    """

    rule: KeepRule
    manner: str

    def kept(self, raw: Raw) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows as a graph with NMS gives them, float32 [K, 6], and the row in `raw` of each, int [K]."""


class PpdetNms:
    """An NMS of ppdet, the one that the graph would hold."""

    def __init__(self, nms: object) -> None:
        self.nms, self.rule, self.manner = nms, nms_rule(nms), f"by {type(nms).__name__}"
        check_nms(self)

    def kept(self, raw: Raw) -> tuple[np.ndarray, np.ndarray]:
        """Returns what `Suppression` has."""
        boxes, scores = raw.boxes_xyxy[None].astype(np.float32), raw.scores.T[None].astype(np.float32)
        with paddle.no_grad(), recording_nms(self) as record:
            self.nms(paddle.to_tensor(boxes), paddle.to_tensor(scores))  # type: ignore[operator]
        return np.asarray(record.rows, np.float32), np.asarray(record.index)


class PicoDetNms:
    """The NMS in numpy that deploy/python has for a PicoDet whose levels are all that the graph gives."""

    manner = "as deploy/python does it"

    def __init__(self, iou_threshold: float) -> None:
        self.rule = KeepRule(PICODET_SCORE, iou_threshold)

    def kept(self, raw: Raw) -> tuple[np.ndarray, np.ndarray]:
        """Returns what `Suppression` has."""
        best = _best_of_levels(raw)
        classes, rows = [], []
        for class_id in range(raw.scores.shape[1]):
            sure = best[raw.scores[best, class_id] > PICODET_SCORE]
            picked = self._picked(raw, sure[np.argsort(raw.scores[sure, class_id])][-PICODET_OF_CLASS:])
            classes += [class_id] * len(picked)
            rows += picked
        boxes = raw.boxes_xyxy[rows].reshape(-1, 4)
        if raw.limits_wh is not None:
            boxes = np.clip(boxes, 0, np.tile(raw.limits_wh, 2))
        scores = raw.scores[rows, classes].reshape(-1, 1)
        found = np.concatenate([np.array(classes).reshape(-1, 1), scores, boxes], axis=1)
        return found.astype(np.float32), np.array(rows, np.int64)

    def _picked(self, raw: Raw, ascending: np.ndarray) -> list[int]:
        """Returns the rows that are kept of a class, the highest score first."""
        left = ascending
        picked: list[int] = []
        while len(left) and len(picked) < PICODET_KEPT:
            picked.append(int(left[-1]))
            left = left[:-1]
            left = left[_shared(raw.boxes_xyxy[picked[-1]], raw.boxes_xyxy[left]) <= self.rule.iou_threshold]
        return picked


def _shared(box_xyxy: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of a box with each of others, as PicoDet's NMS has it: float [N]."""
    low, high = np.maximum(boxes_xyxy[:, :2], box_xyxy[:2]), np.minimum(boxes_xyxy[:, 2:], box_xyxy[2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    areas = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None).prod(axis=1)
    return np.asarray(both / (areas + np.prod(box_xyxy[2:] - box_xyxy[:2]) - both + 1e-5))


def _best_of_levels(raw: Raw) -> np.ndarray:
    """Returns the rows of each level's boxes with the highest scores, as many as PicoDet's NMS is given."""
    highest, start, rows = raw.scores.max(axis=1, initial=0.0), 0, []
    for length in raw.lengths:
        rows.append(start + np.argsort(highest[start : start + length])[::-1][:PICODET_OF_LEVEL])
        start += length
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)


def suppression_of(named: object, file: Path, *, of_levels: bool) -> Suppression:
    """Returns the NMS of a graph that has none.

    Args:
        named: what the deployment file has under `NMS`, None for nothing: ppdet's own numbers.
        file: the deployment file.
        of_levels: whether the graph gives PicoDet's levels.

    Raises:
        ConfigError: it is no NMS, or has no such numbers.
    """
    if not isinstance(named, (Mapping, type(None))):
        raise ConfigError(f"{file}: NMS must be its numbers by their names, as a config's nms has them, not {named!r}")
    numbers = {str(key): value for key, value in (named or {}).items()}
    kind = str(numbers.pop("name", "MultiClassNMS"))
    if kind not in KINDS:
        raise ConfigError(f"{file}: NMS {kind!r} is not known{closest(kind, list(KINDS))}. Known: {', '.join(KINDS)}")
    try:
        if of_levels:
            return PicoDetNms(_fraction("nms_threshold", numbers.get("nms_threshold", PICODET_IOU)))
        known = inspect.signature(KINDS[kind]).parameters
        for name, value in numbers.items():
            if name in known:
                _check_number(name, value, known[name].default)
        return PpdetNms(KINDS[kind](**numbers))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{file}: {kind} cannot be made of {numbers}: {error}") from error


def _check_number(name: str, value: object, usual: object) -> None:
    """Checks that a number is of the kind that paddle's operator takes.

    Raises:
        ValueError: it is not.
    """
    if isinstance(usual, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, not {value!r}")
    elif isinstance(usual, int):
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= HIGHEST:
            raise ValueError(f"{name} must be a whole number, not {value!r}")
    else:
        _fraction(name, value)


def _fraction(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or not abs(value) < HIGHEST:
        raise ValueError(f"{name} must be a number, not {value!r}")
    return float(value)


def raw_of(
    outputs: Sequence[np.ndarray],
    inputs: Mapping[str, np.ndarray],
    *,
    is_scaled: bool,
    strides: Sequence[int],
    classes: int,
) -> list[Raw] | None:
    """Returns each image's boxes before NMS, None where the outputs are no such thing.

    Three forms are known, as PaddleDetection exports them:

    - boxes [N, L, 4] and scores [N, classes, L]: `exclude_nms` of PP-YOLOE, `export.nms=False` of PicoDet;
    - boxes and scores side by side, [N, L, 4 + classes]: `exclude_post_process` of PP-YOLOE;
    - scores [1, L, classes] of each level, then its distances [1, L, 4 * bins]: `export.post_process=False` of PicoDet.

    Args:
        outputs: of the graph.
        inputs: what it was given, as `Preprocess.inputs` has them.
        is_scaled: whether the graph knows how the image was scaled, so that its boxes are in original pixels.
        strides: of PicoDet's levels.
        classes: how many there are.

    Raises:
        ConfigError: PicoDet's levels have other strides.
    """
    scales = np.tile(inputs["scale_factor"][:, ::-1], 2)  # of x, y, x, y
    if is_by_levels(len(outputs), strides):
        return [_of_levels(outputs, inputs, strides, scales[0])]
    found = _side_by_side(outputs, classes) if len(outputs) == 1 else _boxes_and_scores(outputs)
    if found is None:
        return None
    boxes, scores = found
    if not is_scaled:
        boxes = boxes / scales[:, None]
    return [Raw(of_image, of_classes) for of_image, of_classes in zip(boxes, scores)]


def is_by_levels(outputs: int, strides: Sequence[int]) -> bool:
    """Whether a graph with so many outputs gives PicoDet's levels: two for each."""
    return outputs > 2 and outputs == 2 * len(strides)


def _boxes_and_scores(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns boxes [N, L, 4] and scores [N, L, classes]."""
    for boxes, scores in [(outputs[0], outputs[1]), (outputs[1], outputs[0])] if len(outputs) > 1 else []:
        are_deep = boxes.ndim == scores.ndim == 3 and len(boxes) == len(scores)
        if are_deep and boxes.shape[2] == 4 and boxes.shape[1] == scores.shape[2]:
            return boxes, scores.transpose(0, 2, 1)
    return None


def _side_by_side(outputs: Sequence[np.ndarray], classes: int) -> tuple[np.ndarray, np.ndarray] | None:
    (both,) = outputs
    if both.ndim != 3 or both.shape[2] != 4 + classes:
        return None
    labels, scores = both[..., 0], both[..., 1]  # if it is [N, K, 6] of class, score and box, with its NMS
    is_rows = classes == 2 and not (labels % 1).any() and ((scores >= 0) & (scores <= 1)).all()
    return None if is_rows else (both[..., :4], both[..., 4:])


def _of_levels(
    outputs: Sequence[np.ndarray], inputs: Mapping[str, np.ndarray], strides: Sequence[int], scale: np.ndarray
) -> Raw:
    """Returns PicoDet's boxes: the middle of each cell, and from there the mean of each side's distances.

    Raises:
        ConfigError: the levels have other strides.
    """
    height, width = inputs["image"].shape[2:]
    boxes = []
    for stride, level, distances in zip(strides, outputs, outputs[len(strides) :]):
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        _check_level(stride, rows * columns, level.shape, distances.shape, strides)
        middles_yx = (np.mgrid[:rows, :columns].reshape(2, -1).T + 0.5) * stride
        bins = distances.shape[-1] // 4
        sides = distances.reshape(-1, 4, bins).astype(np.float64)
        sides = np.exp(sides - sides.max(axis=-1, keepdims=True))
        sides = (sides @ np.arange(bins)) / sides.sum(axis=-1) * stride
        boxes.append(np.tile(middles_yx[:, ::-1], 2) + sides * [-1, -1, 1, 1])
    scores = [one.reshape(-1, one.shape[-1]) for one in outputs[: len(strides)]]
    limits = inputs["im_shape"][0] / inputs["scale_factor"][0]
    lengths = tuple(len(one) for one in scores)
    return Raw(np.concatenate(boxes) / scale, np.concatenate(scores), (float(limits[1]), float(limits[0])), lengths)


def _check_level(
    stride: int, cells: int, scores: Sequence[int], distances: Sequence[int], strides: Sequence[int]
) -> None:
    are_of_cells = len(scores) == len(distances) == 3 and scores[1] == distances[1] == cells
    if not are_of_cells or not distances[2] or distances[2] % 4:
        raise ConfigError(
            f"fpn_stride of the deployment file is {list(strides)}: a level of stride {stride} has {cells} cells on "
            f"this image, and the graph gives scores {list(scores)} and distances {list(distances)} there. Give the "
            "strides of its levels, in their order"
        )
