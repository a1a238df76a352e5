"""An evaluation: measure one image after the other, note each at once, and put all together at the end."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.errors import LayerError, OutputError, PpdetCamError
from ppdet_cam.evaluation.config import AGREEMENT, SANITY, EvalConfig, label_of
from ppdet_cam.evaluation.files import EVAL_FILE, MEASUREMENTS_FILE, OWN_FILES, PAGE_FILE, PARTIAL_FILE, TABLE_FILE
from ppdet_cam.evaluation.measuring import Plan, measured_image
from ppdet_cam.evaluation.page import render_evaluation
from ppdet_cam.evaluation.randomising import parts_from_the_top
from ppdet_cam.evaluation.records import measurement_of, measurement_record, read_records
from ppdet_cam.evaluation.summary import Label, Summary, summarise
from ppdet_cam.evaluation.tables import markdown, summary_record
from ppdet_cam.explaining.explainer import Explainer
from ppdet_cam.images.inputs import ImageFile, annotated_images
from ppdet_cam.images.reading import blank_frame, read_image
from ppdet_cam.outputs.files import append_line, check_output_folder, write_atomically
from ppdet_cam.outputs.manifest import encode_document, encode_line, failed_record
from ppdet_cam.outputs.merging import Failure
from ppdet_cam.outputs.resume import check_same_settings
from ppdet_cam.places import read_regular
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.truth import GroundTruth
from ppdet_cam.running.many import Bar, NoBar
from ppdet_cam.running.model import with_weights
from ppdet_cam.running.session import run_document
from ppdet_cam.running.stopping import stopping_on_signals

log = logging.getLogger(__name__)

_KIND = "evaluation"


@dataclass(frozen=True)
class Outcome:
    """What came of an evaluation.

    Attributes:
        summary: of all images that were measured; None when it was stopped.
        failures: the images that could not be measured.
        left: how many images are not done.
        stopped_by: the signal that stopped it, 0 for none.
    """

    summary: Summary | None
    failures: Sequence[Failure]
    left: int = 0
    stopped_by: int = 0


def evaluate(config: EvalConfig, bar: Bar | None = None) -> Outcome:
    """Measures methods on a detector and annotated images, and writes what came of it into a folder.

    `measurements.jsonl` gets a line per image as soon as it is measured; at the end `eval.md`, `report.html` and, last,
    `eval.json` are written.

    Args:
        config: what to do.
        bar: shows how far it is.

    Raises:
        PpdetCamError: any of its kinds; what was measured stays, and `resume` goes on with it.

    Example:
        >>> evaluate(EvalConfig(Path("model.yml"), (), gt=Path("val.json"), methods=("layercam",)))  # doctest: +SKIP
    """
    check_output_folder(config.out)
    earlier = _earlier_document(config)
    detector, settings = build_detector(config.config, overrides=config.overrides)
    truth = read_ground_truth(config.gt, detector.class_names)
    images = annotated_images(truth, config.folder)[: config.images]
    explainer = Explainer.of_question(detector, config.questions()[0])
    for question in config.questions():
        explainer.check(question)
    facts = with_weights(detector, settings, config.config)
    document = {"kind": _KIND, **run_document(facts, flags=config.flags(), images=images, truth=truth)}
    try:
        if earlier is not None:
            check_same_settings(config.out, earlier, document)
        return _Evaluation(config, detector, truth, images, document).outcome(bar or NoBar())
    except OutputError as error:
        # what writes names the flag of the command that it is mostly called by
        raise OutputError(str(error).replace("--cam_out", "--out")) from error


class _Evaluation:
    """One evaluation at work."""

    def __init__(
        self,
        config: EvalConfig,
        detector: Detector,
        truth: GroundTruth,
        images: Sequence[ImageFile],
        document: Mapping[str, object],
    ) -> None:
        self._config, self._detector, self._truth = config, detector, truth
        self._images, self._document = images, document
        self._plan = _plan(config, detector)

    def outcome(self, bar: Bar) -> Outcome:
        folder = self._config.out
        if not self._config.resume:
            _remove_own(folder)
        write_atomically(folder / PARTIAL_FILE, encode_document(self._document))
        (folder / EVAL_FILE).unlink(missing_ok=True)
        _cut_off_partial_line(folder / MEASUREMENTS_FILE)
        records = read_records(folder)
        names = {image.name for image in self._images}
        done = {name for name, record in records.items() if name in names and record["status"] == "ok"}
        left = [image for image in self._images if image.name not in done]
        with stopping_on_signals() as stop, contextlib.closing(self._measured(left)) as coming:
            bar.begin(len(self._images), len(done), "images")
            while left and not stop.signal:
                record = next(coming)
                append_line(folder / MEASUREMENTS_FILE, encode_line(record))
                places = record.get("places")
                bar.advance(len(places) if isinstance(places, list) else 0, failed=record["status"] != "ok")
                left = left[1:]
            bar.end()
        if left:
            return Outcome(None, (), len(left), stop.signal)
        return self._finish(read_records(folder))

    def _measured(self, images: Sequence[ImageFile]) -> Generator[dict[str, object], None, None]:
        for image in images:
            started = time.perf_counter()
            try:
                frame, name = read_image(image.path, strict=self._config.strict_images), str(image.annotated)
                for note in (*frame.notes, self._truth.size_note(name, frame.original_hw)):
                    if note:
                        log.warning("%s: %s", image.path, note)
                measured = measured_image(
                    self._detector, frame, self._truth.objects(name, frame.original_hw), self._plan
                )
                yield measurement_record(image.path, image.name, measured, seconds=time.perf_counter() - started)
            except LayerError:  # no other image has such a layer either
                raise
            except PpdetCamError as error:
                yield failed_record(image.path, image.name, " ".join(str(error).split()))

    def _finish(self, records: Mapping[str, Mapping[str, object]]) -> Outcome:
        own = [records[image.name] for image in self._images]
        measured = {str(record["name"]): measurement_of(record) for record in own}
        asked = [Label(*label_of(question)) for question in self._plan.questions]
        summary = summarise(
            {name: of_image for name, of_image in measured.items() if of_image is not None},
            asked=asked if self._plan.agreement else (),
            parts=[part.name for part in self._plan.sanity],
        )
        folder = self._config.out
        failures = [Failure(str(of["path"]), str(of.get("reason"))) for of in own if of["status"] != "ok"]
        write_atomically(folder / TABLE_FILE, markdown(summary).encode())
        write_atomically(folder / PAGE_FILE, render_evaluation(summary, self._document, failures).encode())
        document = {**self._document, "failed": len(failures), **summary_record(summary)}
        write_atomically(folder / EVAL_FILE, encode_document(document))
        (folder / PARTIAL_FILE).unlink(missing_ok=True)
        return Outcome(summary, failures)


def _plan(config: EvalConfig, detector: Detector) -> Plan:
    checked = parts_from_the_top(detector, blank_frame()) if SANITY in config.metrics else []
    return Plan(
        config.questions(),
        config.map_metrics,
        costly_boxes=config.costly_boxes,
        agreement=AGREEMENT in config.metrics,
        sanity=tuple(checked),
        seed=config.seed,
    )


def _earlier_document(config: EvalConfig) -> dict[str, object] | None:
    """Returns what the evaluation in the folder says of itself, None when there is none.

    Raises:
        OutputError: it is in the way, or files of these names are there that are no evaluation's.
    """
    there = [config.out / name for name in OWN_FILES if (config.out / name).exists()]
    if not there:
        return None
    for name in (EVAL_FILE, PARTIAL_FILE):
        document = _document(config.out / name)
        if document is not None:
            break
    else:
        raise OutputError(f"{there[0]} is not of an earlier evaluation and would be replaced. Choose another --out")
    if not (config.resume or config.overwrite):
        raise OutputError(
            f"{config.out} holds an evaluation. --resume goes on with it, --overwrite replaces it; or choose another "
            "--out"
        )
    return document if config.resume else None


def _document(path: Path) -> dict[str, object] | None:
    try:
        document = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document.get("kind") == _KIND else None


def _remove_own(folder: Path) -> None:
    for name in OWN_FILES:
        (folder / name).unlink(missing_ok=True)


def _cut_off_partial_line(file: Path) -> None:
    """Removes what a process that was killed wrote of its last line."""
    if file.is_file():
        with file.open("rb+") as lines:
            lines.truncate(lines.read().rfind(b"\n") + 1)
