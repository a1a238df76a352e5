"""A detector made ready for a run's question, and what the run's manifest says of it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ppdet_cam import __version__
from ppdet_cam.detectors.compat import PPDET
from ppdet_cam.detectors.settings import Tagged
from ppdet_cam.detectors.weights import sha256_of
from ppdet_cam.explaining.altering import Progress, silent
from ppdet_cam.explaining.explainer import Explainer
from ppdet_cam.images.inputs import ImageFile, annotated_images, digest_lines
from ppdet_cam.images.video import VideoFile
from ppdet_cam.outputs.manifest import SCHEMA_VERSION
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.truth import GroundTruth
from ppdet_cam.render import drawn_name, is_drawable
from ppdet_cam.running.config import RunConfig
from ppdet_cam.running.drawing import Annotated
from ppdet_cam.running.model import ModelFacts, model_of

# ppdet is not among them: what is installed need not be what ran
PACKAGES = (
    "paddlepaddle",
    "paddlepaddle-gpu",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "pillow",
)

_NOT_COMPARED = ("weights", "filename")  # where the weights and the config lie


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """A detector with its weights, and what is known before the first image.

    Attributes:
        explainer: asks the run's question.
        truth: the annotated images, None without.
        images: all of the run.
        document: the content of `run.json` but for the totals.
    """

    explainer: Explainer
    truth: AnnotatedImages | None
    images: Sequence[ImageFile]
    document: Mapping[str, object]


class AnnotatedImages:
    """Ground truth in which an image is found at once, however many there are."""

    def __init__(self, truth: GroundTruth, *, draw_threshold: float) -> None:
        self.truth = truth
        self._draw_threshold = draw_threshold
        self._names: dict[str, list[str]] = {}
        for name in truth.boxes:
            self._names.setdefault(name.rpartition("/")[2], []).append(name)

    def of(self, image: ImageFile, original_hw: tuple[int, int]) -> Annotated:
        """Returns what is known of an image.

        Args:
            image: which one.
            original_hw: its height and width.

        Raises:
            ConfigError: the ground truth has no such image, or several.
        """
        name, truth = self._name(image), self.truth
        return Annotated(truth.objects(name, original_hw), self._draw_threshold, truth.size_note(name, original_hw))

    def _name(self, image: ImageFile) -> str:
        if image.annotated is not None:
            return image.annotated
        path = Path(image.path)
        ends = [path.resolve(), path]
        named_so = [name for end in ends for name in self._names.get(end.stem if self.truth.by_stem else end.name, ())]
        return self.truth.name_of(path, list(dict.fromkeys(named_so)) or None)


def open_session(
    config: RunConfig,
    images: Sequence[ImageFile] | None,
    *,
    video: VideoFile | None = None,
    progress: Progress = silent,
) -> Session:
    """Returns the detector of a run, ready to explain.

    Args:
        config: what to do.
        images: of the run; None for those of the ground truth.
        video: that the images are frames of.
        progress: shows how far a perturbation method is.

    Raises:
        PpdetCamError: any of its kinds.
    """
    model = model_of(config)
    class_names = model.detector.class_names
    explainer = Explainer.of_question(model.detector, config.question, progress=progress)
    truth = read_ground_truth(config.gt, class_names) if config.gt else None
    if images is None and truth is not None:
        images = annotated_images(truth, config.inputs.folder)
    images = images or []
    _warn_of_undrawable_names(class_names)
    document = run_document(model.loaded(), flags=config.flags(), images=images, truth=truth)
    if video is not None:
        facts = {"frames": video.frames, "fps": video.fps, "interval": config.inputs.frame_interval}
        inputs: dict[str, object] = document["inputs"]  # type: ignore[assignment]
        document["inputs"] = {**inputs, "video": facts, "video_sha256": sha256_of(video.path)}
    threshold = config.question.selection.draw_threshold
    annotated = AnnotatedImages(truth, draw_threshold=threshold) if truth else None
    return Session(explainer, annotated, images, document)


def _warn_of_undrawable_names(class_names: Sequence[str]) -> None:
    """Says once which names the pictures cannot show, and what helps."""
    lacking = [(name, class_id) for class_id, name in enumerate(class_names) if not is_drawable(name)]
    if lacking:
        log.warning(
            "pictures show the class %s as %s%s: no font here has its letters; --font FILE names one that has them",
            lacking[0][0],
            drawn_name(*lacking[0]),
            f", and {len(lacking) - 1} more likewise" if lacking[1:] else "",
        )


def run_document(
    model: ModelFacts, *, flags: Mapping[str, object], images: Sequence[ImageFile], truth: GroundTruth | None
) -> dict[str, object]:
    """Returns what a manifest says of a run before its first image.

    Args:
        model: what the detector is.
        flags: of the command line, by their names.
        images: of the run.
        truth: the ground truth.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "config": {"path": str(model.file.resolve()), "architecture": model.architecture},
        "weights": {"asked": model.asked, "path": str(model.weights), "sha256": sha256_of(model.weights)},
        "flags": dict(flags),
        "device": model.device,
        "versions": _versions(),
        "class_names": list(model.class_names),
        "inputs": _inputs(images, truth),
        "settings": flat_settings({key: value for key, value in model.settings.items() if key not in _NOT_COMPARED}),
    }


def _inputs(images: Sequence[ImageFile], truth: GroundTruth | None) -> dict[str, object]:
    digest = hashlib.sha256()
    for line in digest_lines(images):
        digest.update(line)
    found: dict[str, object] = {"images": len(images), "images_sha256": digest.hexdigest()}
    return found if truth is None else {**found, "gt_sha256": _sha256_of_all(truth.files)}


def _sha256_of_all(files: Sequence[Path]) -> str:
    """Returns a file's SHA-256, or that of the files' sums."""
    sums = [sha256_of(file) for file in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def flat_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Returns settings with a dotted key for each value, and values that JSON has.

    Example:
        >>> flat_settings({"use_gpu": False, "NMS": {"top": 10}})
        {'use_gpu': False, 'NMS.top': 10}
    """
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat.update({f"{key}.{below}": of_below for below, of_below in flat_settings(value).items()})
        else:
            flat[str(key)] = _plain(value)
    return flat


def _plain(value: object) -> object:
    if isinstance(value, Tagged):
        return {value.tag: _plain(value.value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(below) for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(below) for below in value]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _versions() -> dict[str, str]:
    versions = {"ppdet_cam": __version__, "python": platform.python_version(), "ppdet": str(PPDET)}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
