"""A run over images: explain, draw, write; the manifest last."""

from __future__ import annotations

import contextlib
import logging
import platform
import time
from importlib import metadata
from pathlib import Path

from ppdet_cam import __version__
from ppdet_cam.config import RunConfig
from ppdet_cam.errors import OutputError
from ppdet_cam.explainer import Explainer, build_detector, weights_of
from ppdet_cam.images import read_image
from ppdet_cam.places import find_file
from ppdet_cam.render import draw_explanation, encode_jpeg
from ppdet_cam.structures import Frame, MapStatus
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

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddledet", "numpy", "opencv-python", "pillow")


def run(config: RunConfig) -> dict[str, object]:
    """Explains the image of one run, writes its pictures and its manifest, and returns the content of `run.json`.

    Raises:
        PpdetCamError: any of its kinds; then no picture and no `run.json` is left half-written.
    """
    started = time.perf_counter()
    check_output_folder(config.cam_out)
    frame = read_image(find_file(config.infer_img))
    detector, settings = build_detector(config.config, overrides=config.overrides)
    explainer = Explainer(detector, layers=config.layers, method=config.method, draw_threshold=config.draw_threshold)
    weights = detector.load_weights(weights_of(settings, None))
    record = _explain_image(explainer, frame, config.cam_out)
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
    return document


def _explain_image(explainer: Explainer, frame: Frame, cam_out: Path) -> dict[str, object]:
    """Writes one image's pictures and `images.jsonl`, and takes away what an earlier run left in their place."""
    started = time.perf_counter()
    stream = explainer.stream(frame)
    detected = time.perf_counter()
    earlier = listed_files(cam_out)
    _forget(cam_out / RUN_FILE)
    boxes = []
    for explanation in stream.explanations:
        detection = explanation.detection
        name = f"{detection.index}.jpg"
        if explanation.status is not MapStatus.OK:
            log.warning(
                "box %d (%s %.3f): no map: %s",
                detection.index,
                detection.class_name,
                detection.score,
                explanation.status.value,
            )
        write_atomically(cam_out / name, encode_jpeg(draw_explanation(frame.image, explanation)))
        boxes.append(box_record(explanation, name))
    seconds = {"detect": detected - started, "explain_and_write": time.perf_counter() - detected}
    record = image_record(frame, stream.detections, boxes, seconds=seconds)
    write_atomically(cam_out / IMAGES_FILE, encode_line(record))
    for name in earlier - {str(box["file"]) for box in boxes}:
        if Path(name).name == name:
            _forget(cam_out / name)
    return record


def _forget(path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot replace {path} of an earlier run: {error.strerror}. Choose another --cam_out"
        ) from error


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
