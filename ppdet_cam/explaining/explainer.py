"""The public Python API: a detector's boxes on one image, explained."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.detectors.building import build_detector, weights_of
from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.families.base import KeptRow
from ppdet_cam.detectors.layer_names import parse_layers
from ppdet_cam.errors import ConfigError, LayerError
from ppdet_cam.explaining.evidence import OnImage, combined, level_heatmaps, map_on_image, refined
from ppdet_cam.explaining.finer import finer_layers
from ppdet_cam.explaining.gradients import image_features, roi_features
from ppdet_cam.explaining.perturbation import Progress, black_box_maps, occlusion_map, silent, with_channel_scores
from ppdet_cam.explaining.projection import box_on_original
from ppdet_cam.images.reading import frame_from_array, read_image
from ppdet_cam.methods import Method, Needs, methods
from ppdet_cam.questions.boxes import AskedBox, Scene, Selection, asked_box, judge, own_score
from ppdet_cam.questions.targets import DEFAULT_TARGET, Target, parse_target
from ppdet_cam.questions.truth import TrueBox, match, missed
from ppdet_cam.running.config import (
    DEFAULT_BATCH,
    DEFAULT_LAYER,
    DEFAULT_METHOD,
    DEFAULT_SEED,
    DEFAULT_THRESHOLD,
    Question,
)
from ppdet_cam.structures import (
    Answer,
    Detection,
    Explanation,
    FeatureMap,
    Frame,
    ImageResult,
    LevelShare,
    MapStatus,
    Quantity,
)

# Boxes to ask about from Python: (left, top, right, bottom), or with a class name or id behind them.
Box = Sequence["float | str"]


@dataclass(frozen=True)
class ExplanationStream:
    """One image's detections, and its explanations made one at a time as they are asked for.

    Attributes:
        frame: the image.
        detections: every row that the detector gave.
        explanations: yields one per chosen detection, in the detector's order, then one per box asked about.
    """

    frame: Frame
    detections: tuple[Detection, ...]
    explanations: Iterator[Explanation]


@dataclass(frozen=True)
class _Subject:
    """A box to explain; without a candidate there is nothing to explain, and that is said."""

    detection: Detection
    kept: KeptRow | None
    answer: Answer | None = None


@dataclass(frozen=True)
class _Map:
    """What came of one box, without the box."""

    heatmap: np.ndarray
    levels: tuple[LevelShare, ...]
    status: MapStatus
    roi_xyxy: tuple[float, float, float, float] | None = None
    level_heatmaps: tuple[np.ndarray, ...] = ()


class Explainer:
    """Explains the boxes of one detector.

    Example:
        >>> explainer = Explainer.from_config(
        ...     "configs/face_detection/blazeface_1000e.yml", weights="blazeface_1000e.pdparams"
        ... )
        >>> result = explainer("demo/astronaut.jpg")
        >>> result.explanations[0].heatmap.shape  # float32, the image's height and width
        (512, 512)
    """

    def __init__(
        self,
        detector: Detector,
        *,
        layers: str | Sequence[str] = (DEFAULT_LAYER,),
        method: str = DEFAULT_METHOD,
        target: str = DEFAULT_TARGET,
        draw_threshold: float = DEFAULT_THRESHOLD,
        top_k: int | None = None,
        classes: Sequence[str | int] = (),
        samples: int | None = None,
        seed: int = DEFAULT_SEED,
        batch: int = DEFAULT_BATCH,
        refine_by: str | Sequence[str] = (),
        progress: Progress = silent,
    ) -> None:
        """Prepares explanations; each of these can be asked for otherwise when an image is explained.

        Args:
            detector: the model, with its weights loaded.
            layers: dotted path, or several, of the layers to look at together; "@LEVEL" behind one picks a level.
            method: name of the CAM method.
            target: name of the number that is explained: "class", "logit", "box:left", "contrast:dog", ...
            draw_threshold: boxes with a lower score are not explained.
            top_k: only so many boxes with the highest scores.
            classes: only boxes of these classes, by name or id.
            samples: for perturbation methods, how many masks, or channels at most.
            seed: of random masks.
            batch: how many altered images or features run at once.
            refine_by: finer layers, whose maps the map is multiplied with: "auto" for those of the backbone at strides
                2 and 4, or dotted paths.
            progress: shows how far a perturbation method is: (values, how many, what they are) -> the same values.

        Raises:
            LayerError: a path names no layer.
            UnknownNameError: no such method, target or class.
            ConfigError: no layer, a number outside its range, or a target that this detector has not.
        """
        self.detector = detector
        self.progress = progress
        self.question = Question(
            layers=_texts(layers, "layers"),
            method=method,
            target=target,
            selection=Selection(draw_threshold, top_k, _texts(classes, "classes")),
            samples=samples,
            seed=seed,
            batch=batch,
            refine_by=_texts(refine_by, "refine_by"),
        )
        self.check(self.question)

    @classmethod
    def of_question(cls, detector: Detector, question: Question, *, progress: Progress = silent) -> Explainer:
        """Returns an explainer that asks a question."""
        explainer = cls.__new__(cls)
        explainer.detector, explainer.question, explainer.progress = detector, question, progress
        explainer.check(question)
        return explainer

    @classmethod
    def from_config(
        cls,
        config: str | Path,
        *,
        weights: str | Path | None = None,
        layers: str | Sequence[str] = (DEFAULT_LAYER,),
        overrides: Sequence[str] | Mapping[str, object] = (),
        method: str = DEFAULT_METHOD,
        target: str = DEFAULT_TARGET,
        draw_threshold: float = DEFAULT_THRESHOLD,
        refine_by: str | Sequence[str] = (),
    ) -> Explainer:
        """Returns an explainer for a ppdet config, with its weights loaded.

        Args:
            config: a ppdet YAML file.
            weights: file or URL; by default the config's own `weights`.
            layers: dotted path, or several, of the layers to look at together.
            overrides: as ppdet's `-o`: "key=value" strings, or a mapping.
            method: name of the CAM method.
            target: name of the number that is explained.
            draw_threshold: boxes with a lower score are not explained.
            refine_by: finer layers, as for the explainer itself.

        Raises:
            ConfigError, WeightsError, LayerError, UnknownNameError, GeometryError: what was wrong is in the message.
        """
        detector, settings = build_detector(config, overrides=overrides)
        explainer = cls(
            detector, layers=layers, method=method, target=target, draw_threshold=draw_threshold, refine_by=refine_by
        )
        detector.load_weights(weights_of(settings, weights))
        return explainer

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
        self.detector.layers([*parse_layers(question.layers), *self._finer(question)])
        target = self._target(question)
        if methods.get(question.method).needs is Needs.MASKS and target.name != DEFAULT_TARGET:
            raise ConfigError(
                f"--method {question.method} sees the detector as a black box and explains box and class together, "
                f"so --target must be {DEFAULT_TARGET!r}, not {target.name!r}"
            )
        question.selection.class_ids(self.detector.class_names)

    def __call__(
        self,
        image: str | Path | np.ndarray | Frame,
        *,
        layers: str | Sequence[str] | None = None,
        method: str | None = None,
        target: str | None = None,
        draw_threshold: float | None = None,
        top_k: int | None = None,
        classes: Sequence[str | int] | None = None,
        box_index: Sequence[int] = (),
        boxes: Sequence[Box] = (),
        true_boxes: Sequence[TrueBox] = (),
        refine_by: str | Sequence[str] | None = None,
    ) -> ImageResult:
        """Returns all explanations of one image.

        Args:
            image: a file, or a uint8 array [H, W, 3] in RGB (or grayscale [H, W], RGBA [H, W, 4]), or a frame.
            layers, method, target, draw_threshold, top_k, classes: as for the explainer itself, for this image only.
            box_index: exactly these rows of the detector's output.
            boxes: boxes to ask about instead of the detections: (left, top, right, bottom) in pixels of the image, or
                the same with a class name or id behind them.
            true_boxes: objects of the image; those that no detection found are asked about as well.
            refine_by: as for the explainer itself, for this image only.

        Raises:
            ImageError: not an image.
            LayerError: a layer gives no feature map.
            ConfigError, UnknownNameError: something asked for is not there.
        """
        question = self._changed(layers, method, target, draw_threshold, top_k, classes, box_index, boxes, refine_by)
        started = time.perf_counter()
        stream = self.stream(image, question=question, true_boxes=true_boxes)
        detected = time.perf_counter()
        explanations = tuple(stream.explanations)
        seconds = {"detect": detected - started, "explain": time.perf_counter() - detected}
        return ImageResult(stream.frame, stream.detections, explanations, seconds)

    def stream(
        self,
        image: str | Path | np.ndarray | Frame,
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
        question = question or self.question
        self.check(question)
        frame = _frame(image)
        forward, target = self._forward(frame, question)
        subjects = self._subjects(forward, question, true_boxes)
        explanations = self._explanations(frame, forward, question, target, subjects, keep_levels=keep_levels)
        return ExplanationStream(frame, forward.detections, explanations)

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
        forward, target = self._forward(frame, question)
        for found in self._from_features(frame, forward, question, target, places, keep_levels=False):
            yield found.heatmap

    def _forward(self, frame: Frame, question: Question) -> tuple[ForwardPass, Target]:
        """Returns the image's forward pass with the question's layers captured, and its target."""
        wanted = {**parse_layers(question.layers), **self._finer(question)}
        image_layers, _ = self.detector.layers(list(wanted))
        target = self._target(question)
        forward = self.detector.forward(frame, image_layers, boxes=target.quantity is Quantity.BOXES)
        for path in image_layers:
            forward.capture.chosen(path, wanted[path])
        return forward, target

    def _finer(self, question: Question) -> dict[str, tuple[int, ...] | None]:
        """Returns the layers whose maps refine the map: dotted path -> which of its levels, None for all."""
        if not question.refines_automatically:
            return parse_layers(question.refine_by)
        looked_at = parse_layers(question.layers)
        finer = [path for path in self._finest if path not in looked_at]
        if not finer:
            raise LayerError(
                f"--refine_by auto stands for {', '.join(self._finest)}, which is looked at already; leave it out, or "
                "name other layers. List them: --list_layers"
            )
        return parse_layers(finer)

    @functools.cached_property
    def _finest(self) -> tuple[str, ...]:
        return finer_layers(self.detector)

    def _target(self, question: Question) -> Target:
        return parse_target(
            question.target,
            self.detector.class_names,
            known=self.detector.extractor.quantities,
            detector=self.detector.name,
        )

    def _changed(
        self,
        layers: str | Sequence[str] | None,
        method: str | None,
        target: str | None,
        draw_threshold: float | None,
        top_k: int | None,
        classes: Sequence[str | int] | None,
        box_index: Sequence[int],
        boxes: Sequence[Box],
        refine_by: str | Sequence[str] | None,
    ) -> Question:
        before = self.question
        selection = dataclasses.replace(
            before.selection,
            draw_threshold=before.selection.draw_threshold if draw_threshold is None else draw_threshold,
            top_k=before.selection.top_k if top_k is None else top_k,
            classes=before.selection.classes if classes is None else _texts(classes, "classes"),
            box_index=tuple(box_index),
        )
        return dataclasses.replace(
            before,
            layers=before.layers if layers is None else _texts(layers, "layers"),
            method=method or before.method,
            target=target or before.target,
            selection=selection,
            boxes=tuple(_asked(box, position) for position, box in enumerate(boxes)) or before.boxes,
            refine_by=before.refine_by if refine_by is None else _texts(refine_by, "refine_by"),
        )

    def _subjects(self, forward: ForwardPass, question: Question, true_boxes: Sequence[TrueBox]) -> list[_Subject]:
        subjects = []
        if not question.boxes:
            chosen = question.selection.choose(forward.detections, self.detector.class_names)
            subjects = [_Subject(detection, forward.kept[detection.index]) for detection in chosen]
        asked = [(box, frozenset[int]()) for box in question.boxes]
        threshold = question.selection.draw_threshold
        matches = match([d for d in forward.detections if d.score >= threshold], true_boxes)
        claimed = frozenset(found.index for found in matches)
        asked += [(box.asked(), claimed) for box in missed(true_boxes, matches)]
        if asked:
            scene = self._scene(forward, threshold)
            for box, taken in asked:
                judgement = judge(box, scene, claimed=taken)
                detection = judgement.detection
                row = judgement.row
                kept = None if row is None else KeptRow(row, detection.class_id, own_score(detection))
                subjects.append(_Subject(detection, kept, judgement.answer))
        return subjects

    def _scene(self, forward: ForwardPass, draw_threshold: float) -> Scene:
        nms, proposals = self.detector.nms_settings, forward.extractor.proposals(forward.watch)
        return Scene(
            candidates=forward.candidates(),
            detections=forward.detections,
            rows={index: kept.row for index, kept in forward.kept.items()},
            class_names=self.detector.class_names,
            draw_threshold=draw_threshold,
            nms_score_threshold=nms.score_threshold,
            nms_iou=nms.iou_threshold,
            proposals_xyxy=None
            if proposals is None
            else np.array([box_on_original(tuple(box), forward.geometry) for box in proposals]),
        )

    def _explanations(
        self,
        frame: Frame,
        forward: ForwardPass,
        question: Question,
        target: Target,
        subjects: Sequence[_Subject],
        *,
        keep_levels: bool,
    ) -> Iterator[Explanation]:
        method, refined_by = methods.get(question.method), tuple(self._finer(question))
        candidates = [subject.kept for subject in subjects if subject.kept is not None]
        maps: Iterator[_Map] = iter(())
        if candidates and method.needs.is_of_images:
            maps = self._from_images(frame, forward, question, target, candidates)
        elif candidates:
            maps = self._from_features(frame, forward, question, target, candidates, keep_levels=keep_levels)
        for subject in subjects:
            found = _nothing(frame) if subject.kept is None else next(maps)
            yield Explanation(
                detection=subject.detection,
                method=question.method,
                layers=() if method.needs.is_of_images else question.layers,
                levels=found.levels,
                heatmap=found.heatmap,
                status=found.status,
                box_xyxy_roi=found.roi_xyxy,
                target=target.name,
                answer=subject.answer,
                level_heatmaps=found.level_heatmaps,
                refined_by=refined_by,
            )

    def _from_images(
        self,
        frame: Frame,
        forward: ForwardPass,
        question: Question,
        target: Target,
        kept: Sequence[KeptRow],
    ) -> Iterator[_Map]:
        maps: Iterable[np.ndarray]
        if methods.get(question.method).needs is Needs.MASKS:
            maps = black_box_maps(self.detector, frame, forward, question, kept, progress=self.progress)
        else:
            maps = (
                occlusion_map(self.detector, frame, forward, question, target, box, progress=self.progress)
                for box in kept
            )
        for heatmap in maps:
            yield _Map(heatmap, (), MapStatus.OK if heatmap.any() else MapStatus.NEGATIVE)

    def _from_features(
        self,
        frame: Frame,
        forward: ForwardPass,
        question: Question,
        target: Target,
        kept: Sequence[KeptRow],
        *,
        keep_levels: bool,
    ) -> Iterator[_Map]:
        method, finer = methods.get(question.method), self._finer(question)
        wanted = {**parse_layers(question.layers), **finer}
        image_layers, roi_layers = self.detector.layers(list(wanted))
        levels = {path: forward.capture.chosen(path, wanted[path]) for path in image_layers}
        rois: Iterator[list[list[FeatureMap]]] = iter(())
        if roi_layers:
            rois = roi_features(forward, roi_layers, wanted, kept, target)
        for box in kept:
            no_features: list[list[FeatureMap]] = [[] for _ in target.parts]
            per_part = (
                image_features(forward, levels, box, target, gradients=method.needs is Needs.GRADIENTS)
                if levels
                else no_features
            )
            per_part = [image + roi for image, roi in zip(per_part, next(rois, no_features))]
            if method.needs.is_per_channel:
                per_part = with_channel_scores(
                    self.detector, frame, forward, question, target, box, per_part, progress=self.progress
                )
            yield _mapped(per_part, method, forward, finer=tuple(finer), keep_levels=keep_levels)


def _mapped(
    per_part: Sequence[Sequence[FeatureMap]],
    method: Method,
    forward: ForwardPass,
    *,
    finer: Sequence[str],
    keep_levels: bool,
) -> _Map:
    """Returns the map of one box: of each part of its target, refined by the finer layers, then combined."""

    def on_image(features: Sequence[FeatureMap]) -> OnImage:
        return map_on_image(features, method, forward.geometry, cell_strides=forward.cell_strides)

    maps, factors = [], []
    for features in per_part:
        of_part = on_image([feature for feature in features if feature.layer not in finer])
        if finer:
            of_finer = [on_image([feature for feature in features if feature.layer == path]) for path in finer]
            of_part, factor = refined(of_part, of_finer)
            factors.append(factor)
        maps.append(of_part)
    rois = [feature.roi_xyxy for feature in per_part[0] if feature.roi_xyxy is not None]
    levels = level_heatmaps(maps, original_hw=forward.geometry.original_hw, factors=factors) if keep_levels else ()
    return _Map(*combined(maps), box_on_original(rois[-1], forward.geometry) if rois else None, levels)


def _nothing(frame: Frame) -> _Map:
    return _Map(np.zeros(frame.original_hw, np.float32), (), MapStatus.NO_CANDIDATE)


def _texts(values: str | Sequence[str | int], what: str) -> tuple[str, ...]:
    texts = (values,) if isinstance(values, str) else tuple(values)
    allowed = (str, int) if what == "classes" else (str,)
    if not all(isinstance(text, allowed) for text in texts) or (what == "layers" and not texts):
        example = "names or ids" if what == "classes" else f"dotted paths such as '{DEFAULT_LAYER}'"
        raise ConfigError(f"{what} must be {example}, not {values!r}")
    return tuple(str(text) for text in texts)


def _asked(box: Box, position: int) -> AskedBox:
    try:
        left, top, right, bottom, *rest = box
        numbers = [float(value) for value in (left, top, right, bottom)]
        (class_text,) = rest or (None,)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"boxes[{position}] must be left, top, right, bottom: four finite numbers, with a class name or id behind "
            f"them or not, not {box!r}"
        ) from error
    return asked_box(numbers, None if class_text is None else str(class_text), name=f"box_{position}")


def _frame(image: str | Path | np.ndarray | Frame) -> Frame:
    if isinstance(image, Frame):
        return image
    return frame_from_array(image) if isinstance(image, np.ndarray) else read_image(Path(image))
