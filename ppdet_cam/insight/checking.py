"""Proof by intervention: a suspect's place is taken out of the images, and the boxes' scores are measured again."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.detectors.building import build_detector, weights_of
from ppdet_cam.detectors.deployed.detector import DeployedDetector, build_deployed
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.errors import ConfigError, PpdetCamError
from ppdet_cam.evaluation.altered import AlteredImages
from ppdet_cam.images.reading import read_image
from ppdet_cam.insight.finding import Insight
from ppdet_cam.insight.places import elsewhere, mask_of, pixels_of
from ppdet_cam.insight.seen import PATCH_SHARE
from ppdet_cam.insight.values import Check, Quad, Suspect, Verdict
from ppdet_cam.metrics import bootstrap_interval, content_free
from ppdet_cam.outputs.files import append_line, write_atomically
from ppdet_cam.outputs.manifest import encode_line
from ppdet_cam.places import find_file, read_regular
from ppdet_cam.running.many import Bar, NoBar
from ppdet_cam.running.stopping import stopping_on_signals
from ppdet_cam.structures import Detection

log = logging.getLogger(__name__)

CHECKS_FILE = "insight_checks.jsonl"
DEFAULT_FILL = "blur"
# What a class rests on costs it a quarter of its score, and a tenth at the interval's lower end. An object's own edge
# and shadow, which its box cuts off, cost honest detectors up to 0.19; what is planted costs 0.6 and more.
LEAST_DIFFERENCE, LEAST_LOW = 0.25, 0.1


@dataclass(frozen=True)
class CheckPlan:
    """How suspects are checked.

    Attributes:
        boxes: so many of each suspect.
        config: the detector's config, None for the run's own.
        overrides: of it, as ppdet's `-o`; the run's own come first.
        fill: what a place becomes, a name in `metrics.fills`.
        seed: of the places elsewhere.
    """

    boxes: int
    config: Path | None = None
    overrides: tuple[str, ...] = ()
    fill: str = DEFAULT_FILL
    seed: int = 0


@dataclass(frozen=True)
class Checked:
    """What came of it.

    Attributes:
        insight: with a check for each suspect; as it was where it was stopped.
        unread: why boxes of an image could not be asked.
        left: how many boxes are not done.
        stopped_by: the signal that stopped it, 0 for none.
    """

    insight: Insight
    unread: tuple[str, ...]
    left: int = 0
    stopped_by: int = 0


@dataclass(frozen=True)
class _Task:
    """One box of one suspect."""

    suspect: int
    row: int
    key: str


def check_suspects(insight: Insight, plan: CheckPlan, out: Path, bar: Bar | None = None) -> Checked:
    """Returns the insight with each suspect checked on some of its boxes, the confirmed suspects first.

    What is measured is noted in `insight_checks.jsonl` of a folder, a line per box; a check of the same detector and
    plan goes on with it.

    Args:
        insight: with suspects.
        plan: how.
        out: the folder.
        bar: shows how far it is.

    Raises:
        PpdetCamError: the detector cannot be built, or the file not be written.
    """
    if plan.boxes < 1:
        raise ConfigError(f"--check must be at least 1, not {plan.boxes}")
    detector = _detector(insight, plan)
    header = _header(insight, plan, detector)
    tasks = _tasks(insight, plan.boxes)
    known = _known(out / CHECKS_FILE, header)
    left = [task for task in tasks if task.key not in known]
    if not known:
        write_atomically(out / CHECKS_FILE, encode_line(header))
    unread: list[str] = []
    bar = bar or NoBar()
    with stopping_on_signals() as stop:
        bar.begin(len(tasks), len(tasks) - len(left), "boxes checked")
        while left and not stop.signal:
            task = left.pop(0)
            try:
                measured = _measured(insight, detector, task, plan)
            except PpdetCamError as error:
                unread.append(" ".join(str(error).split()))
                measured = None
            known[task.key] = measured
            append_line(out / CHECKS_FILE, encode_line({"key": task.key, "measured": measured}), flag="--out")
            bar.advance(1, failed=measured is None)
        bar.end()
    if left:
        return Checked(insight, tuple(unread), len(left), stop.signal)
    checked = [
        dataclasses.replace(suspect, check=_verdict(insight, [task for task in tasks if task.suspect == number], known))
        for number, suspect in enumerate(insight.suspects)
    ]
    checked.sort(key=lambda one: (one.verdict is not Verdict.CONFIRMED, -one.strength))
    return Checked(dataclasses.replace(insight, suspects=tuple(checked)), tuple(unread))


def _detector(insight: Insight, plan: CheckPlan) -> Detector | DeployedDetector:
    """Returns what the run explained, an exported model as well, or what the plan names."""
    run = insight.run
    if run.model_dir is not None and plan.config is None:
        if plan.overrides:
            raise ConfigError(f"{run.folder} is of an exported model, which -o cannot change; give -c and its config")
        return build_deployed(run.model_dir)
    own = json.loads(run.flags.get("opt", "[]")) if plan.config is None else []
    overrides = [*(str(one) for one in own), *plan.overrides]
    detector, settings = build_detector(plan.config or Path(run.config), overrides=overrides)
    asked = any(one.startswith("weights=") for one in plan.overrides)
    detector.load_weights(weights_of(settings, None if asked else run.weights.get("path")))
    if detector.class_names and tuple(detector.class_names) != run.class_names and run.class_names:
        raise ConfigError(
            f"the detector has other classes than the run in {run.folder}; name that run's config with -c"
        )
    return detector


def _header(insight: Insight, plan: CheckPlan, detector: Detector | DeployedDetector) -> dict[str, object]:
    weights = detector.weights if isinstance(detector, Detector) else detector.deployment.parameters
    return {
        "kind": "insight checks",
        "weights": str(weights),
        "config": str(plan.config or insight.run.config),
        "overrides": list(plan.overrides),
        "fill": plan.fill,
        "seed": plan.seed,
    }


def _tasks(insight: Insight, count: int) -> list[_Task]:
    """Returns the boxes to ask, of each suspect evenly from the clearest to the faintest, image by image."""
    tasks = []
    for number, suspect in enumerate(insight.suspects):
        chosen = suspect.rows[np.unique(np.linspace(0, len(suspect.rows) - 1, count).round().astype(int))]
        tasks += [_Task(number, int(row), _key(insight, suspect, int(row))) for row in chosen]
    return sorted(tasks, key=lambda task: (int(insight.boxes.image_of[task.row]), task.suspect))


def _key(insight: Insight, suspect: Suspect, row: int) -> str:
    place = "" if suspect.place is None else ",".join(f"{side:.3f}" for side in suspect.place.xyxy)
    image = insight.run.images[int(insight.boxes.image_of[row])]
    return (
        f"{suspect.class_name}|{suspect.kind.name}|{place}|{image.name or image.path}|{int(insight.boxes.box_of[row])}"
    )


def _measured(
    insight: Insight, detector: Detector | DeployedDetector, task: _Task, plan: CheckPlan
) -> list[float] | None:
    """Returns the score on the image as it is, with the place taken out, and the mean with others taken out.

    None where the image has no room for another place.
    """
    boxes, suspect = insight.boxes, insight.suspects[task.suspect]
    image = insight.run.images[int(boxes.image_of[task.row])]
    detection: Detection = image.boxes[int(boxes.box_of[task.row])].detection
    if not 0 <= detection.class_id < len(detector.class_names):
        raise ConfigError(
            f"{image.path}: the run has class id {detection.class_id}, and the detector's {len(detector.class_names)} "
            "classes count from 0"
        )
    frame = read_image(find_file(image.path))
    hw = frame.original_hw
    rect = (
        _around(boxes.seen.hottest_xy[task.row], hw)
        if suspect.place is None
        else pixels_of(suspect.place, detection.box_xyxy, hw)
    )
    there = mask_of(rect, detection.box_xyxy, hw)
    others = elsewhere(rect, suspect.place, detection.box_xyxy, hw, seed=plan.seed + task.row)
    if not there.any() or not others:
        return None
    empty = content_free(frame.image, plan.fill)
    altered = np.stack([frame.image, *(np.where(mask[..., None], empty, frame.image) for mask in (there, *others))])
    scores = AlteredImages(detector, frame, [detection]).score_fn(detection)(altered)
    return [round(float(value), 5) for value in (scores[0], scores[1], scores[2:].mean())]


def _around(xy: np.ndarray, original_hw: tuple[int, int]) -> Quad:
    height, width = original_hw
    half = PATCH_SHARE * min(original_hw) * 0.75
    x, y = float(xy[0]) * width, float(xy[1]) * height
    return x - half, y - half, x + half, y + half


def _verdict(insight: Insight, tasks: Sequence[_Task], known: Mapping[str, list[float] | None]) -> Check | None:
    rows = [(task, values) for task in tasks for values in [known.get(task.key)] if values]
    if not rows:
        return None
    numbers = np.array([values for _, values in rows])
    images = [int(insight.boxes.image_of[task.row]) for task, _ in rows]
    there, beside = numbers[:, 0] - numbers[:, 1], numbers[:, 0] - numbers[:, 2]
    difference = bootstrap_interval(there - beside, images)
    holds = difference.mean >= LEAST_DIFFERENCE and difference.low >= LEAST_LOW
    return Check(
        boxes=len(rows),
        drop_there=float(there.mean()),
        drop_elsewhere=float(beside.mean()),
        difference=difference,
        verdict=Verdict.CONFIRMED if holds else Verdict.NOT_CONFIRMED,
    )


def _known(file: Path, header: Mapping[str, object]) -> dict[str, list[float] | None]:
    """Returns what a check of the same detector and plan measured before; a line that was cut off is left out."""
    try:
        lines = read_regular(file).decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    if not records or records[0] != json.loads(encode_line(header)):
        return {}
    return {str(one["key"]): one["measured"] for one in records[1:] if _is_measured(one)}


def _is_measured(record: object) -> bool:
    """Whether a line has a box's key and its three scores, or that there are none."""
    if not isinstance(record, dict) or not {"key", "measured"} <= set(record):
        return False
    scores = record["measured"]
    if scores is None:
        return True
    numbers = isinstance(scores, list) and len(scores) == 3 and all(type(score) in (int, float) for score in scores)
    return numbers and all(0 <= score <= 1 for score in scores)
