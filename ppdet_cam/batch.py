"""A run over images: explain, draw, write; the manifest last."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ppdet_cam import __version__
from ppdet_cam.building import build_detector, weights_of
from ppdet_cam.config import RunConfig
from ppdet_cam.errors import OutputError
from ppdet_cam.explainer import Explainer
from ppdet_cam.images import read_image
from ppdet_cam.perturbation import Progress, silent
from ppdet_cam.places import find_file
from ppdet_cam.render import draw_explanation, encode_jpeg
from ppdet_cam.structures import Explanation, Frame, MapStatus
from ppdet_cam.truth import TrueBox, read_ground_truth
from ppdet_cam.weights import sha256_of
from ppdet_cam.writers.files import check_output_folder, write_atomically
from ppdet_cam.writers.manifest import (
    IMAGES_FILE,
    RUN_FILE,
    SCHEMA_VERSION,
    box_record,
    encode_document,
    encode_line,
    image_record,
    listed_files,
)

log = logging.getLogger(__name__)

_PICTURE = re.compile(r"([0-9]+|box_[0-9]+|gt_[0-9]+)\.jpg")

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddledet", "numpy", "opencv-python", "pillow")


@dataclass(frozen=True)
class Result:
    """What a run wrote.

    Attributes:
        document: the content of `run.json`.
        image: the image's line of `images.jsonl`.
    """

    document: dict[str, object]
    image: dict[str, object]


def run(config: RunConfig, *, progress: Progress = silent) -> Result:
    """Explains the image of one run, writes its pictures and its manifest, and returns what it wrote.

    Pictures are made in a hidden folder beside their places and moved when all are there, so a run that fails leaves
    the folder as it was. Files of an earlier run make room for this one's; other files are never touched.

    Args:
        config: what to do.
        progress: shows how far a perturbation method is.

    Raises:
        PpdetCamError: any of its kinds; then no picture and no `run.json` is left half-written.
    """
    started = time.perf_counter()
    check_output_folder(config.cam_out)
    _check_manifest_is_ours(config.cam_out)
    frame = read_image(config.infer_img)
    detector, settings = build_detector(config.config, overrides=config.overrides)
    explainer = Explainer.of_question(detector, config.question, progress=progress)
    truth = read_ground_truth(config.gt, detector.class_names) if config.gt else None
    true_boxes = truth.of(config.infer_img) if truth else ()
    weights = detector.load_weights(weights_of(settings, None))
    record = _explain_image(explainer, frame, true_boxes, config.cam_out)
    document: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "config": {"path": str(find_file(config.config).resolve()), "architecture": detector.architecture},
        "weights": {"asked": str(settings["weights"]), "path": str(weights), "sha256": sha256_of(weights)},
        "flags": config.flags(),
        "device": detector.device,
        "versions": _versions(),
        "totals": _totals(record, seconds=time.perf_counter() - started),
    }
    write_atomically(config.cam_out / RUN_FILE, encode_document(document))
    return Result(document, record)


def _explain_image(
    explainer: Explainer, frame: Frame, true_boxes: Sequence[TrueBox], cam_out: Path
) -> dict[str, object]:
    """Writes one image's pictures and its line of `images.jsonl` in the place of an earlier run's."""
    started = time.perf_counter()
    stream = explainer.stream(frame, true_boxes=true_boxes)
    detected = time.perf_counter()
    with _staging_folder(cam_out) as staged:
        boxes = []
        for explanation in stream.explanations:
            _warn_if_blank(explanation)
            name = f"{explanation.name}.jpg"
            write_atomically(staged / name, encode_jpeg(draw_explanation(frame.image, explanation)))
            boxes.append(box_record(explanation, name))
        seconds = {"detect": detected - started, "explain_and_write": time.perf_counter() - detected}
        record = image_record(frame, stream.detections, boxes, seconds=seconds)
        write_atomically(staged / IMAGES_FILE, encode_line(record))
        _replace_earlier_run(cam_out, staged, [str(box["file"]) for box in boxes], spared=frame.path)
    return record


def _warn_if_blank(explanation: Explanation) -> None:
    if explanation.status is not MapStatus.OK:
        box = explanation.detection
        log.warning(
            "box %s (%s %.3f): no map: %s", explanation.name, box.class_name, box.score, explanation.status.value
        )


def _check_manifest_is_ours(cam_out: Path) -> None:
    """Raises OutputError when `cam_out` holds a file with a manifest's name that no run wrote."""
    for name, key in ((RUN_FILE, "schema_version"), (IMAGES_FILE, "boxes")):
        path = cam_out / name
        try:
            text = path.read_bytes()
        except OSError:
            continue  # not there; anything else comes up again, with its cause, when it is to be replaced
        try:
            record = json.loads(text if name == RUN_FILE else text.partition(b"\n")[0])
        except ValueError:
            record = None
        if not isinstance(record, dict) or key not in record:
            raise OutputError(f"{path} is not of an earlier run and would be replaced. Choose another --cam_out")


@contextlib.contextmanager
def _staging_folder(cam_out: Path) -> Iterator[Path]:
    """Yields a new hidden folder in `cam_out`, and takes it away at the end; `cam_out` too, if it is still empty."""
    # os.path answers False where pathlib raises: a name too long
    made = [folder for folder in (cam_out, *cam_out.parents) if not os.path.exists(folder)]
    try:
        try:
            cam_out.mkdir(parents=True, exist_ok=True)
            staged = Path(tempfile.mkdtemp(dir=cam_out, prefix=".cam-"))
        except OSError as error:
            raise OutputError(f"cannot write into {cam_out}: {error.strerror}. Choose another --cam_out") from error
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    finally:
        for folder in made:  # the deepest first
            with contextlib.suppress(OSError):  # not empty: the run was successful, or others write there as well
                folder.rmdir()


def _replace_earlier_run(cam_out: Path, staged: Path, pictures: Sequence[str], *, spared: Path | None) -> None:
    """Moves what was staged to its place and removes the earlier run's pictures.

    The order lets a later run tidy up after one that was killed here: each picture in the folder is listed in the
    `images.jsonl` beside it at every moment, and `run.json` is not there.

    Args:
        cam_out: the folder of both runs.
        staged: holds the pictures and `images.jsonl`.
        pictures: names of this run's pictures.
        spared: the image that was explained, which may lie in `cam_out`.

    Raises:
        OutputError: a file that no run wrote has a picture's name, or the files cannot be moved.
    """
    earlier = {name for name in listed_files(cam_out) if _PICTURE.fullmatch(name)}
    earlier -= {name for name in earlier if spared is not None and _is_same_file(cam_out / name, spared)}
    for name in pictures:
        if name not in earlier and (cam_out / name).exists():
            raise OutputError(
                f"{cam_out / name} is not of an earlier run and would be replaced. Move it, or choose another --cam_out"
            )
    try:
        for name in [RUN_FILE, *sorted(earlier.difference(pictures))]:
            (cam_out / name).unlink(missing_ok=True)
        for name in [IMAGES_FILE, *pictures]:
            (staged / name).replace(cam_out / name)
    except OSError as error:
        raise OutputError(
            f"cannot replace the earlier run in {cam_out}: {error.strerror} ({error.filename}). "
            "Choose another --cam_out"
        ) from error


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _totals(record: dict[str, object], *, seconds: float) -> dict[str, object]:
    boxes: list[dict[str, object]] = record["boxes"]  # type: ignore[assignment]
    return {
        "images": 1,
        "failed": 0,
        "detections": record["detections"],
        "explained": len(boxes),
        "blank": sum(box["status"] != MapStatus.OK.name.lower() for box in boxes),
        "highest_score": record["highest_score"],
        "seconds": round(seconds, 3),
    }


def _versions() -> dict[str, str]:
    versions = {"ppdet_cam": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
