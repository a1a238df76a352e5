"""One config: ppdet's plain inference, then the whole chain on the same weights and picture."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from seeded_weights import seed_detector

from benchmarks.covering.configs import SIDES, made_small
from benchmarks.covering.differences import slope_of
from benchmarks.covering.plain import PlainDetector
from benchmarks.covering.running import PLAIN
from ppdet_cam import Explainer
from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.settings import read_settings
from ppdet_cam.detectors.trackers import detector_settings
from ppdet_cam.errors import PpdetCamError
from ppdet_cam.images.reading import read_image
from ppdet_cam.structures import Explanation, Frame, MapStatus

EXPLAINED, REFUSED, FAILED, PPDET = "explained", "refused", "failed", "ppdet"
CHAIN = "the chain"
TOP_BOXES, LOWEST_SCORE = 3, 0.01
SLOPES = 4  # boxes to try: where queries are sampled or picked, a score has steps close by
SAME_SCORE = 1e-6


@dataclass
class Outcome:
    """What came of a config.

    Attributes:
        status: explained; refused by ppdet_cam, with a reason; failed in another way; ppdet: cannot run it itself.
        reason: in one line, for all but the explained ones.
        side: of the network input, the smallest at which ppdet runs it.
        head: architecture and class of the head, as the registry of families has them.
        boxes: how many detections there are.
        maps: how many maps of the top boxes show something or, by cause, nothing.
        score_difference: the largest one to ppdet's plain inference, over all detections.
        gradient, difference: the slope of the best box's score, see `Slope`.
        seconds: it took.
    """

    status: str = FAILED
    reason: str = ""
    side: int | None = None
    head: str = ""
    boxes: int = 0
    maps: dict[str, int] = field(default_factory=dict)
    score_difference: float | None = None
    gradient: float | None = None
    difference: float | None = None
    seconds: float = 0.0


class CaseError(Exception):
    """What ppdet_cam gives is not what it must give."""


def run_case(
    config: Path, picture: Path, sides: Sequence[int] = SIDES, *, tell: Callable[[str, int], None] = lambda *_: None
) -> dict[str, object]:
    """Returns the outcome of one config, as a mapping.

    Args:
        config: of the checkout whose ppdet is imported.
        picture: an image file.
        sides: of the network input, which are tried.
        tell: is called with what is done next, PLAIN or CHAIN, and the side: paddle's own code may end the process.
    """
    started = time.perf_counter()
    outcome = Outcome()
    settings = read_settings(config)

    def plain_at(side: int) -> PlainDetector | None:
        tell(PLAIN, side)
        try:
            plain = PlainDetector(config, made_small(settings, side), picture)
            plain()
        except Exception as error:  # anything that ppdet raises
            outcome.reason = f"{type(error).__name__}: {_line(error)}"
            return None
        return plain

    try:
        detector_settings(settings, changed={})
    except PpdetCamError as error:  # a tracker without a detector: ppdet runs nothing on a picture there
        return asdict(Outcome(REFUSED, _line(error)))
    plain, outcome.side = _at_smallest(plain_at, sides)
    if plain is None:
        outcome.status = PPDET
    else:
        tell(CHAIN, outcome.side)
        try:
            _explain(config, made_small(settings, outcome.side), picture, plain, outcome)
            outcome.status, outcome.reason = EXPLAINED, ""
        except PpdetCamError as error:
            outcome.status, outcome.reason = REFUSED, _line(error)
        except Exception as error:  # anything: this program's duty is to tell of it
            outcome.status, outcome.reason = FAILED, f"{type(error).__name__}: {_line(error)}"
    outcome.seconds = round(time.perf_counter() - started, 1)
    return asdict(outcome)


def _at_smallest(
    plain_at: Callable[[int], PlainDetector | None], sides: Sequence[int]
) -> tuple[PlainDetector | None, int]:
    """Returns ppdet's detector at the smallest side at which it runs, and that side; None where no side does."""
    plain = plain_at(sides[0])
    if plain is not None or len(sides) == 1:
        return plain, sides[0]
    at_largest = plain_at(sides[-1])  # the next one: what does not run there, runs nowhere
    if at_largest is None:
        return None, sides[-1]
    for side in sides[1:-1]:
        plain = plain_at(side)
        if plain is not None:
            return plain, side
    return at_largest, sides[-1]


def _explain(
    config: Path, changes: Mapping[str, object], picture: Path, plain: PlainDetector, outcome: Outcome
) -> None:
    detector, _ = build_detector(config, overrides=changes)
    outcome.head = detector.name
    frame = read_image(picture)
    seed_detector(detector, frame)
    plain.load(detector.model.state_dict())
    explainer = Explainer(detector, draw_threshold=LOWEST_SCORE, top_k=TOP_BOXES)
    result = explainer(frame)
    outcome.boxes = len(result.detections)
    outcome.maps = dict(collections.Counter(explanation.status.value for explanation in result))
    if not result.explanations:
        raise CaseError(f"no box scores {LOWEST_SCORE} or more")
    outcome.score_difference = _difference(detector, plain, result.detections)
    for explanation in result:
        _check_map(explanation, frame)
    for detection in sorted(result.detections, key=lambda found: abs(found.score - 0.5))[:SLOPES]:
        slope = slope_of(detector, frame, detection)
        if slope is None:
            return
        outcome.gradient, outcome.difference = slope.gradient, slope.difference
        if slope.agrees:
            return
    raise CaseError(f"a gradient of {slope.gradient:.4g} is {slope.difference:.4g} by finite differences")


def _difference(detector: Detector, plain: PlainDetector, detections: Sequence) -> float:
    """Returns the largest difference of a score; raises CaseError where the boxes are not the same."""
    rows = plain.rows(detector.extractor.output_rows)
    rows = rows[rows[:, 0] >= 0]
    if len(rows) != len(detections):
        raise CaseError(f"{len(detections)} boxes, and {len(rows)} by ppdet's plain inference")
    labels, scores = np.array([box.class_id for box in detections]), np.array([box.score for box in detections])
    difference = float(np.abs(rows[:, 1] - scores).max(initial=0.0))
    if (rows[:, 0] != labels).any() or difference > SAME_SCORE:
        raise CaseError(f"labels or scores are not those of ppdet's plain inference: scores by {difference:.2g}")
    return difference


def _check_map(explanation: Explanation, frame: Frame) -> None:
    heatmap = explanation.heatmap
    if heatmap.shape != frame.original_hw or not np.isfinite(heatmap).all() or (heatmap < 0).any():
        raise CaseError("a map has another shape than the image, or is not finite, or negative")
    if heatmap.any() != (explanation.status is MapStatus.OK):
        raise CaseError(f"a map that is {'no' if heatmap.any() else ''} blank says {explanation.status.value!r}")


def _line(error: Exception) -> str:
    """Returns an error in one line; paddle's own begin with where in its source they were raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line or "error" in line]
    return (told or lines or [type(error).__name__])[0][:300]
