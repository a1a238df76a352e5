"""The public Python API: a detector's boxes on one image, explained."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from ppdet_cam.detectors.building import build_detector, detector_of_model, weights_of
from ppdet_cam.detectors.deployed.detector import build_deployed
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.families.base import KeptRow
from ppdet_cam.detectors.output_only import OutputOnly
from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.activations import check_layers, forward_for_views, layer_views
from ppdet_cam.explaining.altering import Progress, silent
from ppdet_cam.explaining.black_box import BlackBox, check_black_box, explained
from ppdet_cam.explaining.chain import asked_of, explanations, forward_of, maps_of
from ppdet_cam.explaining.results import ImageResult, pictured
from ppdet_cam.explaining.slices import explained_slices, looked_at
from ppdet_cam.explaining.subjects import subjects_of
from ppdet_cam.images.reading import frame_of
from ppdet_cam.questions.choices import Choices, asked
from ppdet_cam.questions.question import DEFAULT_BLACK_BOX_METHOD, Question
from ppdet_cam.questions.truth import TrueBox
from ppdet_cam.structures import Detection, Explanation, Frame, LayerView

if TYPE_CHECKING:
    from paddle import nn  # noqa: TID251  (a type in the public API)
    from typing_extensions import Unpack


@dataclass(frozen=True)
class ExplanationStream:
    """One image's detections, and its explanations made one at a time as they are asked for.

    Attributes:
        frame: the image.
        detections: every row that the detector gave.
        explanations: yields one per chosen detection, in the detector's order, then one per box asked about.
        views: of the layers, when the question is about them and not about boxes.
    """

    frame: Frame
    detections: tuple[Detection, ...]
    explanations: Iterator[Explanation]
    views: tuple[LayerView, ...] = ()


class Explainer:
    """Explains the boxes of one detector.

    What is asked of which boxes is chosen by the same keywords for an explainer and for one image: those of
    `ppdet_cam.questions.choices.Choices`.

    Example:
        >>> explainer = Explainer.from_config(
        ...     "configs/face_detection/blazeface_1000e.yml", weights="blazeface_1000e.pdparams"
        ... )
        >>> result = explainer("demo/astronaut.jpg")
        >>> result.explanations[0].heatmap.shape  # float32, the image's height and width
        (512, 512)
    """

    def __init__(
        self, detector: Detector | BlackBox, *, progress: Progress = silent, **choices: Unpack[Choices]
    ) -> None:
        """Prepares explanations; each choice can be made otherwise when an image is explained.

        Args:
            detector: the model, with its weights loaded; or a black box, an exported model.
            progress: shows how far a perturbation method is: (values, how many, what they are) -> the same values.
            choices: what is asked of which boxes (`Choices`).

        Raises:
            LayerError: a path names no layer.
            UnknownNameError: no such method, target or class.
            ConfigError: no layer, a number outside its range, or a target that this detector has not.
        """
        self._source, self.progress = detector, progress
        usual = Question() if isinstance(detector, Detector) else Question(method=DEFAULT_BLACK_BOX_METHOD)
        self.question = asked(usual, choices)
        self.check(self.question)

    @classmethod
    def of_question(
        cls, detector: Detector | BlackBox, question: Question, *, progress: Progress = silent
    ) -> Explainer:
        """Returns an explainer that asks a question."""
        explainer = cls.__new__(cls)
        explainer._source, explainer.question, explainer.progress = detector, question, progress
        explainer.check(question)
        return explainer

    @classmethod
    def from_config(
        cls,
        config: str | Path,
        *,
        weights: str | Path | None = None,
        overrides: Sequence[str] | Mapping[str, object] = (),
        output_only: bool = False,
        **choices: Unpack[Choices],
    ) -> Explainer:
        """Returns an explainer for a ppdet config, with its weights loaded.

        Args:
            config: a ppdet YAML file.
            weights: file or URL; by default the config's own `weights`.
            overrides: as ppdet's `-o`: "key=value" strings, or a mapping.
            output_only: whether no more is taken of it than its output, as of an exported model.
            choices: as for the explainer itself.

        Raises:
            ConfigError, WeightsError, LayerError, UnknownNameError, GeometryError: what was wrong is in the message.
        """
        detector, settings = build_detector(config, overrides=overrides)
        explainer = cls(OutputOnly(detector) if output_only else detector, **choices)
        detector.load_weights(weights_of(settings, weights))
        return explainer

    @classmethod
    def from_model(cls, model: nn.Layer, cfg: Mapping[str, object], **choices: Unpack[Choices]) -> Explainer:
        """Returns an explainer for a model that is in memory: `Explainer.from_model(trainer.model, trainer.cfg)`.

        It explains a copy of the model as it is now; the model stays as it is, and training it further changes nothing
        here.

        Args:
            model: of a ppdet Trainer, with the weights to explain.
            cfg: the config that it was built from.
            choices: as for the explainer itself.

        Raises:
            ConfigError, LayerError, UnknownNameError, GeometryError: what was wrong is in the message.
        """
        return cls(detector_of_model(model, cfg), **choices)

    @classmethod
    def from_deployment(cls, folder: str | Path, **choices: Unpack[Choices]) -> Explainer:
        """Returns an explainer for an exported model, of which only the output is known.

        Args:
            folder: that PaddleDetection's tools/export_model.py wrote, or an `.onnx` file beside its deployment file.
            choices: as for the explainer itself; by default the method is `DEFAULT_BLACK_BOX_METHOD`.

        Raises:
            ConfigError, WeightsError, UnknownNameError, GeometryError: what was wrong is in the message.
        """
        return cls(build_deployed(folder), **choices)

    @property
    def detector(self) -> Detector:
        """The detector that is looked into.

        Raises:
            ConfigError: there is none, as only the output is known.
        """
        if not isinstance(self._source, Detector):
            raise ConfigError(f"{self._source.name} shows its output only; there is no detector to look into")
        return self._source

    @property
    def class_names(self) -> Sequence[str]:
        """The names by class id."""
        return self._source.class_names

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers looked at, as they were named."""
        return self.question.layers

    @property
    def method(self) -> str:
        """Name of the CAM method."""
        return self.question.method

    def check(self, question: Question) -> None:
        """Checks a question before any image is read.

        Raises:
            LayerError, UnknownNameError, ConfigError: it fits no image of this detector.
        """
        if not isinstance(self._source, Detector):
            check_black_box(self._source, question)
        elif question.is_of_layers:
            check_layers(self.detector, question)
        else:
            asked_of(self.detector, question)

    def __call__(
        self,
        image: str | Path | np.ndarray | PIL.Image.Image | Frame,
        *,
        true_boxes: Sequence[TrueBox] = (),
        **choices: Unpack[Choices],
    ) -> ImageResult:
        """Returns all explanations of one image, which show themselves in a notebook (`explaining.results`).

        Args:
            image: a file, or a uint8 array [H, W, 3] in RGB (or grayscale [H, W], RGBA [H, W, 4]), a PIL
                image, or a frame.
            true_boxes: objects of the image; those that no detection found are asked about as well.
            choices: as for the explainer itself, for this image only.

        Raises:
            ImageError: not an image.
            LayerError: a layer gives no feature map.
            ConfigError, UnknownNameError: something asked for is not there.
        """
        question = asked(self.question, choices)
        started = time.perf_counter()
        stream = self.stream(image, question=question, true_boxes=true_boxes)
        detected = time.perf_counter()
        found = tuple(pictured(explanation, stream.frame) for explanation in stream.explanations)
        seconds = {"detect": detected - started, "explain": time.perf_counter() - detected}
        return ImageResult(stream.frame, stream.detections, found, seconds, stream.views)

    def stream(
        self,
        image: str | Path | np.ndarray | PIL.Image.Image | Frame,
        *,
        question: Question | None = None,
        true_boxes: Sequence[TrueBox] = (),
        keep_levels: bool = False,
    ) -> ExplanationStream:
        """Returns the detections, and the explanations one at a time: for images with many boxes.

        Args:
            image: as for a call.
            question: what to ask; by default what the explainer was made for.
            true_boxes: as for a call.
            keep_levels: whether each explanation is to hold the maps of its levels as well.
        """
        frame, chosen = frame_of(image), question or self.question
        if not isinstance(self._source, Detector):
            return self._of_black_box(self._source, frame, chosen, true_boxes)
        if chosen.is_of_layers:
            check_layers(self.detector, chosen)
            forward = forward_for_views(self.detector, frame, chosen)
            return ExplanationStream(frame, forward.detections, iter(()), layer_views(forward, chosen))
        asked_question = asked_of(self.detector, chosen)
        if chosen.slicing is not None:
            sliced = looked_at(self.detector, frame, chosen.slicing)
            found = explained_slices(
                self.detector, sliced, asked_question, true_boxes, keep_levels=keep_levels, progress=self.progress
            )
            return ExplanationStream(frame, sliced.boxes.detections, found)
        forward = forward_of(self.detector, frame, asked_question)
        found = explanations(
            self.detector,
            frame,
            forward,
            asked_question,
            subjects_of(self.detector, forward, asked_question.question, true_boxes),
            keep_levels=keep_levels,
            progress=self.progress,
        )
        return ExplanationStream(frame, forward.detections, found)

    def _of_black_box(
        self, box: BlackBox, frame: Frame, question: Question, true_boxes: Sequence[TrueBox]
    ) -> ExplanationStream:
        check_black_box(box, question)
        (found,) = box.detect([frame])
        return ExplanationStream(
            frame, found.detections, explained(box, frame, found, question, true_boxes, progress=self.progress)
        )

    def maps_at(self, frame: Frame, places: Sequence[KeptRow], *, question: Question) -> Iterator[np.ndarray]:
        """Yields the map at each of some places in the head, whatever the detector makes of them now.

        For a model whose parameters were changed: the same place is asked about again, whatever is found there now.

        Args:
            frame: the image.
            places: candidates with their places pinned.
            question: what to ask, with a method that looks at feature maps.

        Returns:
            float32 [H, W] each, as an `Explanation` has it.
        """
        asked_question = asked_of(self.detector, question)
        forward = forward_of(self.detector, frame, asked_question)
        for found in maps_of(self.detector, frame, forward, asked_question, places, progress=self.progress):
            yield found.heatmap
