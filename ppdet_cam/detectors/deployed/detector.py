"""An exported detector: images -> detections, and nothing else is known of it."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ppdet_cam.detectors.deployed.folder import Deployment, read_deployment
from ppdet_cam.detectors.deployed.output import detections_of, found_in, rows_of
from ppdet_cam.detectors.deployed.queries import LIMIT, OF_QUERIES, QueryLimit, limit_of, queries_of
from ppdet_cam.detectors.deployed.raw import Raw, Suppression, is_by_levels, raw_of, suppression_of
from ppdet_cam.detectors.deployed.running import KNOWN_INPUTS, Runner, runner_of
from ppdet_cam.detectors.families.last_step import KeepRule
from ppdet_cam.errors import ConfigError, ImageError
from ppdet_cam.structures import Contest, Detection, Found, Frame

log = logging.getLogger(__name__)


class DeployedDetector:
    """An exported detector, ready to run.

    Attributes:
        deployment: its folder.
        class_names: names by class id.
        architecture: as its exporter calls it.
        device: where it runs.
        way_inside: how the inside of such a model is looked at, for errors.
    """

    way_inside = "give -c and the config that it was exported from, and its weights"

    def __init__(self, deployment: Deployment, runner: Runner) -> None:
        """Takes an exported detector and what runs it.

        Raises:
            ConfigError: it wants inputs that no detector wants.
        """
        self.deployment, self._runner = deployment, runner
        self.class_names: Sequence[str] = deployment.class_names
        self._has_warned = self._has_said_nms = False
        self._contest = Contest.OVERLAPS
        self.architecture, self.device = deployment.architecture, runner.device
        self._inputs = {name: _meant(name, runner.input_shapes, deployment.program) for name in runner.input_shapes}
        self._is_by_levels = is_by_levels(len(runner.output_names), deployment.strides)

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"the exported {self.architecture} in {self.deployment.folder}"

    @functools.cached_property
    def _suppression(self) -> Suppression:
        """The last step of a graph that has none; what the deployment file says of it is not looked at before."""
        deployment = self.deployment
        if self._contest is not Contest.OVERLAPS:
            return QueryLimit(self._contest, limit_of(deployment.settings, deployment.deployment_file))
        return suppression_of(deployment.settings.get("NMS"), deployment.deployment_file, of_levels=self._is_by_levels)

    @property
    def keep_rule(self) -> KeepRule:
        """The numbers by which boxes are kept, where the graph leaves that to be done here."""
        return self._suppression.rule

    def detect(self, frames: Sequence[Frame], *, until_nms: bool = False) -> list[Found]:
        """Returns what is found on images of one size, as one batch where the graph takes one.

        Args:
            frames: the images.
            until_nms: whether candidates, where the graph shows them, or else numbers will do, and no detections are
                made of them.

        Raises:
            ImageError: the graph cannot run on such images.
            ConfigError: what it gives is no detections.
        """
        if len(frames) > 1 and self.takes_one:
            return [self.detect([frame], until_nms=until_nms)[0] for frame in frames]
        inputs = self.prepared(frames)
        self._check_fits(inputs["image"].shape, frames[0])
        try:
            outputs = self.run(inputs)
        except Exception as error:  # anything: two libraries in C++
            height, width = frames[0].original_hw
            said = (str(error).strip() or type(error).__name__).splitlines()[-1][:300]
            raise ImageError(
                f"{self.name} cannot run {frames[0].path or 'the image'} ({height} x {width} pixels, network input "
                f"{list(inputs['image'].shape)}): {said}. Files of two exports "
                "may be mixed, or the image does not suit the graph"
            ) from error
        raw = self._raw(outputs, inputs)
        if raw is None:
            rows = rows_of(outputs, images=len(frames), said_by=str(self.deployment.program))
            found = [found_in(one, self.class_names, as_numbers=until_nms) for one in rows]
        else:
            self._contest = raw[0].contest
            found = [Found((), one.candidates) if until_nms else self._kept(one) for one in raw]
        self._check_named(found)
        return found

    def _raw(self, outputs: Sequence[np.ndarray], inputs: Mapping[str, np.ndarray]) -> list[Raw] | None:
        classes = len(self.class_names)
        if self.architecture in OF_QUERIES:
            return queries_of(outputs, inputs, classes=classes)
        is_scaled = "scale_factor" in self._inputs.values()
        return raw_of(outputs, inputs, is_scaled=is_scaled, strides=self.deployment.strides, classes=classes)

    def _kept(self, raw: Raw) -> Found:
        """Returns what the last step that the graph lacks keeps of the boxes of an image."""
        if not self._has_said_nms:
            self._has_said_nms = True
            _say_nms(self.deployment, self._suppression)
        rows, kept = self._suppression.kept(raw)
        detections = detections_of(rows, self.class_names)
        if self.keep_rule.iou_threshold is None and raw.contest is Contest.OVERLAPS:  # it printed lowered scores
            own = [float(raw.scores[kept[one.index], one.class_id]) for one in detections]
            detections = tuple(dataclasses.replace(one, score_before_nms=score) for one, score in zip(detections, own))
        return Found(detections, raw.candidates, {one.index: int(kept[one.index]) for one in detections})

    def _check_named(self, found: Sequence[Found]) -> None:
        """Says once when the graph has classes that the deployment file does not name."""
        printed = [one.class_id for image in found for one in image.detections]
        highest = int(max([-1, *printed, *(image.output[:, 0].max(initial=-1) for image in found)]))
        count = len(self.class_names)
        if highest >= count and not self._has_warned:
            self._has_warned = True
            log.warning(
                "%s names %d classes, and the graph finds number %d: the file may be of another export, or its "
                "label_list is not whole",
                self.deployment.deployment_file,
                count,
                highest,
            )

    def prepared(self, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        """Returns what the network is given for images of one size (`preprocess.Preprocess.inputs`)."""
        return self.deployment.preprocess.inputs(frames)

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Returns the graph's outputs for what `prepared` gave."""
        return self._runner.run({name: inputs[meant] for name, meant in self._inputs.items()})

    @property
    def takes_one(self) -> bool:
        """Whether the graph takes no batch.

        R-CNN exported for ONNX; ONNX itself, whose NMS sees one image; PicoDet's levels; a graph that declares so.
        """
        deployment = self.deployment
        is_of_one = self._is_by_levels or self._image_shape[:1] == (1,)
        return is_of_one or deployment.is_onnx or bool(deployment.settings.get("export_onnx"))

    @property
    def _image_shape(self) -> tuple[int, ...]:
        return next(
            (tuple(shape) for name, shape in self._runner.input_shapes.items() if self._inputs[name] == "image"), ()
        )

    def _check_fits(self, given: Sequence[int], frame: Frame) -> None:
        declared = self._image_shape
        for position, (length, wanted) in enumerate(zip(given, declared)):
            if position and wanted > 0 and length != wanted:
                raise ConfigError(
                    f"{self.deployment.program} takes images of {list(declared)}, and "
                    f"{self.deployment.deployment_file} makes {list(given)} of {frame.path or 'the image'}: "
                    "they are of two exports. Give each export a folder of its own"
                )


def _meant(name: str, shapes: Mapping[str, Sequence[int]], program: Path) -> str:
    """Returns which of the known inputs a graph's input is."""
    if name in KNOWN_INPUTS:
        return name
    if len(shapes[name]) == 4 and sum(len(shape) == 4 for shape in shapes.values()) == 1:
        return "image"
    raise ConfigError(
        f"{program} wants the input {name!r}, and a detector's are {', '.join(KNOWN_INPUTS)}: it is no detector"
    )


def _say_nms(deployment: Deployment, suppression: Suppression) -> None:
    """Says that the graph holds no last step, and by which numbers it is done."""
    overlap, limit = suppression.rule.iou_threshold, suppression.rule.limit
    if limit is not None:
        log.info(
            "%s leaves its object queries as they are; the %d highest scores are taken %s. %s in the deployment file "
            "changes that",
            deployment.program,
            limit,
            suppression.manner,
            LIMIT,
        )
        return
    log.info(
        "%s holds no NMS; it is done here %s: a score of %g%s%s",
        deployment.program,
        suppression.manner,
        suppression.rule.score_threshold,
        "" if overlap is None else f" and an overlap of {overlap:g}",
        "" if "NMS" in deployment.settings else ". NMS in the deployment file changes that",
    )


def build_deployed(folder: str | Path) -> DeployedDetector:
    """Returns the exported detector of a folder, ready to run.

    Raises:
        PpdetCamError: any of its kinds; what was wrong is in the message.
    """
    deployment = read_deployment(folder)
    return DeployedDetector(deployment, runner_of(deployment))


def rows_as_array(detections: Sequence[Detection]) -> np.ndarray:
    """Returns detections as the graph gives them: float32 [K, 6]."""
    return np.array([(one.class_id, one.score, *one.box_xyxy) for one in detections], np.float32).reshape(-1, 6)
