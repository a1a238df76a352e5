"""Which model a run is of: a config with its weights, or an exported one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.detectors.building import build_detector, weights_of
from ppdet_cam.detectors.deployed.detector import DeployedDetector, build_deployed
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.output_only import OutputOnly
from ppdet_cam.places import find_file
from ppdet_cam.running.config import RunConfig


@dataclass(frozen=True)
class ModelFacts:
    """What a manifest says of a model.

    Attributes:
        file: the config, or the deployment file.
        architecture: as that calls it.
        asked: the weights, as they were asked for.
        weights: the file that they came from.
        device: where it runs.
        class_names: by class id.
        settings: of the file.
    """

    file: Path
    architecture: str
    asked: str
    weights: Path
    device: str
    class_names: Sequence[str]
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Model:
    """A model that is built, so that a question can be checked before its weights are there.

    Attributes:
        detector: what is explained.
        loaded: loads the weights, where that is not done, and returns what is to be said of it.
    """

    detector: Detector | OutputOnly | DeployedDetector
    loaded: Callable[[], ModelFacts]


def model_of(config: RunConfig) -> Model:
    """Returns the model of a run.

    Raises:
        PpdetCamError: any of its kinds.
    """
    if config.model_dir is not None:
        return _exported(config.model_dir)
    assert config.config is not None  # one of them is given
    return _of_config(config.config, config.overrides, output_only=config.output_only)


def _of_config(file: Path, overrides: Sequence[str], *, output_only: bool) -> Model:
    detector, settings = build_detector(file, overrides=overrides)
    shown = OutputOnly(detector) if output_only else detector
    return Model(shown, lambda: with_weights(detector, settings, file))


def with_weights(detector: Detector, settings: Mapping[str, object], file: Path) -> ModelFacts:
    """Loads the weights that a config names, and returns what is to be said of the model.

    Args:
        detector: of the config.
        settings: that it was built from.
        file: that they were read from.

    Raises:
        WeightsError, ConfigError: the weights are not there or do not fit.
    """
    weights = detector.load_weights(weights_of(settings, None))
    return ModelFacts(
        find_file(file),
        detector.architecture,
        str(settings["weights"]),
        weights,
        detector.device,
        detector.class_names,
        settings,
    )


def _exported(folder: Path) -> Model:
    detector = build_deployed(folder)
    deployment = detector.deployment
    facts = ModelFacts(
        deployment.deployment_file,
        detector.architecture,
        str(deployment.parameters),
        deployment.parameters,
        detector.device,
        detector.class_names,
        deployment.settings,
    )
    return Model(detector, lambda: facts)
