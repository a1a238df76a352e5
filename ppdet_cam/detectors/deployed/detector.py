"""An exported detector: images -> detections, and nothing else is known of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ppdet_cam.detectors.deployed.folder import Deployment, read_deployment
from ppdet_cam.detectors.deployed.output import detections_of, rows_of
from ppdet_cam.detectors.deployed.running import KNOWN_INPUTS, Runner, runner_of
from ppdet_cam.errors import ConfigError, ImageError
from ppdet_cam.structures import Detection, Frame

log = logging.getLogger(__name__)


class DeployedDetector:
    """An exported detector, ready to run.

    Attributes:
        deployment: its folder.
        class_names: names by class id.
        architecture: as its exporter calls it.
        device: where it runs.
    """

    def __init__(self, deployment: Deployment, runner: Runner) -> None:
        """Takes an exported detector and what runs it.

        Raises:
            ConfigError: it wants inputs that no detector wants.
        """
        self.deployment, self._runner = deployment, runner
        self.class_names: Sequence[str] = deployment.class_names
        self._has_warned = False
        self.architecture, self.device = deployment.architecture, runner.device
        self._inputs = {name: _meant(name, runner.input_shapes, deployment.program) for name in runner.input_shapes}

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"the exported {self.architecture} in {self.deployment.folder}"

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        """Returns the detections of images of one size, as one batch where the graph takes one.

        Raises:
            ImageError: the graph cannot run on such images.
            ConfigError: what it gives is no detections.
        """
        if len(frames) > 1 and self.takes_one:
            return [self.detect([frame])[0] for frame in frames]
        inputs = self.prepared(frames)
        self._check_fits(inputs["image"].shape, frames[0])
        try:
            outputs = self.run(inputs)
        except Exception as error:  # anything: two libraries in C++
            height, width = frames[0].original_hw
            raise ImageError(
                f"{self.name} cannot run {frames[0].path or 'the image'} ({height} x {width} pixels, network input "
                f"{list(inputs['image'].shape)}): {str(error).strip().splitlines()[-1][:300]}. Files of two exports "
                "may be mixed, or the image does not suit the graph"
            ) from error
        rows = rows_of(outputs, images=len(frames), said_by=str(self.deployment.program))
        found = [detections_of(one, self.class_names) for one in rows]
        self._check_named(found)
        return found

    def _check_named(self, found: Sequence[Sequence[Detection]]) -> None:
        """Says once when the graph has classes that the deployment file does not name."""
        highest, count = max((one.class_id for image in found for one in image), default=-1), len(self.class_names)
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
        """Whether the graph takes no batch: R-CNN exported for ONNX, and ONNX itself, whose NMS sees one image."""
        return bool(self.deployment.settings.get("export_onnx")) or self.deployment.is_onnx

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
