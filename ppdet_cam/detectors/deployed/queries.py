"""What a DETR's graph without its post-processing gives -> its object queries, and what is kept of them. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import special

from ppdet_cam.detectors.deployed.raw import Raw
from ppdet_cam.detectors.families.last_step import KeepRule
from ppdet_cam.errors import ConfigError
from ppdet_cam.structures import Contest

OF_QUERIES = ("DETR", "RTDETR")  # what deployment files call the architecture of all of them, DINO too
LIMIT = "num_top_queries"
# What the configs of RT-DETR and DINO have; DETR has 100 queries, and keeps them all.
USUAL_LIMIT = 300


class QueryLimit:
    """What ppdet's DETRPostProcess does: so many of the highest scores, whatever overlaps."""

    manner = "as DETRPostProcess does it"

    def __init__(self, contest: Contest, limit: int) -> None:
        self.rule = KeepRule(0.0, None, contest, limit)

    def kept(self, raw: Raw) -> tuple[np.ndarray, np.ndarray]:
        """Returns what `Suppression` has."""
        scores = raw.scores
        if self.rule.contest is Contest.QUERIES:  # each has its best class
            queries, classes = np.arange(len(scores)), scores.argmax(axis=1)
        else:
            queries, classes = (one.ravel() for one in np.indices(scores.shape))
        best = np.argsort(-scores[queries, classes], kind="stable")[: self.rule.limit]
        queries, classes = queries[best], classes[best]
        rows = np.column_stack([classes, scores[queries, classes], raw.boxes_xyxy[queries]])
        return rows.astype(np.float32), queries


def limit_of(settings: Mapping[str, object], file: Path) -> int:
    """Returns how many are kept: what the deployment file says, else what most configs do.

    Raises:
        ConfigError: it is no number above 0.
    """
    limit = settings.get(LIMIT, USUAL_LIMIT)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ConfigError(f"{file}: {LIMIT} must be a whole number above 0, not {limit!r}")
    return limit


def queries_of(outputs: Sequence[np.ndarray], inputs: Mapping[str, np.ndarray], *, classes: int) -> list[Raw] | None:
    """Returns each image's object queries, None where the outputs are no such thing.

    PaddleDetection exports them with `exclude_post_process`: boxes [N, queries, 4], centre and size as parts of the
    image's, and the classes' logits [N, queries, classes], of which each is a probability by itself; with a number
    more they are that together, and the last one stands for no object.

    Args:
        outputs: of the graph.
        inputs: what it was given, as `Preprocess.inputs` has them.
        classes: how many there are.
    """
    if len(outputs) < 2:
        return None
    boxes, logits = outputs[:2]
    if not (boxes.ndim == logits.ndim == 3 and boxes.shape[:2] == logits.shape[:2] and boxes.shape[2] == 4):
        return None
    if logits.shape[2] not in (classes, classes + 1):
        return None
    logits = logits.astype(np.float64)
    if logits.shape[2] == classes:
        contest, scores = Contest.PAIRS, special.expit(logits)
    else:
        contest, scores = Contest.QUERIES, special.softmax(logits, axis=2)[..., :-1]
    centres, halves = boxes[..., :2], boxes[..., 2:] / 2
    original_hw = np.floor(inputs["im_shape"] / inputs["scale_factor"] + 0.5)
    corners = np.concatenate([centres - halves, centres + halves], axis=2) * np.tile(original_hw[:, None, ::-1], 2)
    return [Raw(of_image, found, contest=contest) for of_image, found in zip(corners, scores)]
