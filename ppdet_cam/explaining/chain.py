"""From a question to its maps: what `Explainer` does for one image, as functions from values to values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.families.base import KeptRow
from ppdet_cam.detectors.layer_names import parse_layers
from ppdet_cam.errors import ConfigError, LayerError
from ppdet_cam.explaining.altering import Progress
from ppdet_cam.explaining.evidence import combined, level_heatmaps, map_on_image, refined
from ppdet_cam.explaining.finer import finer_layers, looks_from, stages_of
from ppdet_cam.explaining.gradients import attention_features, image_features, roi_features
from ppdet_cam.explaining.perturbation import black_box_maps, occlusion_map, with_channel_scores
from ppdet_cam.explaining.projection import box_on_original
from ppdet_cam.explaining.stages import Staged, is_blind, staged
from ppdet_cam.explaining.subjects import Subject
from ppdet_cam.methods import Levels, Method, Needs, methods
from ppdet_cam.questions.question import DEFAULT_LAYER, Question
from ppdet_cam.questions.targets import DEFAULT_TARGET, Target, parse_target
from ppdet_cam.registry import closest
from ppdet_cam.structures import Explanation, FeatureKind, FeatureMap, Frame, LevelShare, MapStatus, Quantity


@dataclass(frozen=True)
class Asked:
    """A question that was checked against a detector.

    Attributes:
        question: what was asked.
        method, target: those that it names.
        finer: layers whose maps refine the map: dotted path -> which of its levels, None for all.
        image_layers: the same for layers that see the whole image, finer ones among them.
        roi_layers: and for layers that see one row per RoI.
        attention: the same for cross-attention, which takes the layers' place where the method looks at it.
        stages: paths of the stages inside the layers that the method looks at as well, the finest first.
    """

    question: Question
    method: Method
    target: Target
    finer: dict[str, tuple[int, ...] | None]
    image_layers: dict[str, tuple[int, ...] | None]
    roi_layers: tuple[str, ...]
    attention: dict[str, tuple[int, ...] | None]
    stages: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are looked at, as they were named; none for a method that alters the image."""
        if self.method.needs.is_of_images:
            return ()
        return tuple(self.attention) if self.method.needs.is_of_attention else self.question.layers


@dataclass(frozen=True)
class BoxMap:
    """What came of one box, without the box: the fields of `Explanation` by the same names."""

    heatmap: np.ndarray
    levels: tuple[LevelShare, ...]
    status: MapStatus
    roi_xyxy: tuple[float, float, float, float] | None = None
    level_heatmaps: tuple[np.ndarray, ...] = ()
    note: str | None = None


def asked_of(detector: Detector, question: Question) -> Asked:
    """Returns the question, checked before any image is read.

    Raises:
        LayerError, UnknownNameError, ConfigError: it fits no image of this detector.
    """
    method, finer = methods.get(question.method), _finer(detector, question)
    attention = attention_of(detector, question) if method.needs.is_of_attention else {}
    looked_into = _stages(detector, question) if method.levels is Levels.STAGES else ()
    wanted = {} if attention else {**dict.fromkeys(looked_into), **parse_layers(question.layers), **finer}
    image_layers, roi_layers = detector.layers(list(wanted))
    target = parse_target(
        question.target, detector.class_names, known=detector.extractor.quantities, detector=detector.name
    )
    for path, layer in (*detector.layers(list(image_layers))[0].items(), *detector.layers(list(roi_layers))[1].items()):
        if target.quantity is not Quantity.MASK and detector.extractor.makes_masks(layer):
            raise LayerError(
                f"layer {path!r} makes masks only, and target {target.name!r} does not depend on it. "
                "Ask with --target mask, or name another layer: --list_layers"
            )
    if method.needs is Needs.MASKS and target.name != DEFAULT_TARGET:
        raise ConfigError(
            f"--method {question.method} sees the detector as a black box and explains box and class together, "
            f"so --target must be {DEFAULT_TARGET!r}, not {target.name!r}"
        )
    question.selection.class_ids(detector.class_names)
    return Asked(
        question,
        method,
        target,
        finer,
        {path: wanted[path] for path in image_layers},
        tuple(roi_layers),
        attention,
        looked_into,
    )


def forward_of(detector: Detector, frame: Frame, *asked: Asked) -> ForwardPass:
    """Returns the image's forward pass with the layers of all questions captured.

    Args:
        detector: the detector.
        frame: the image.
        asked: questions whose targets are of one quantity.

    Raises:
        LayerError: a layer gives no feature map, or not the level that is asked for.
    """
    image_layers, _ = detector.layers(list(dict.fromkeys(path for one in asked for path in one.image_layers)))
    attention = detector.extractor.cross_attention if any(one.attention for one in asked) else {}
    forward = detector.forward(frame, image_layers, wanted=asked[0].target.quantity, attention=attention)
    for one in asked:
        for path, levels in one.image_layers.items():
            forward.capture.chosen(path, levels)
    return forward


def explanations(
    detector: Detector,
    frame: Frame,
    forward: ForwardPass,
    asked: Asked,
    subjects: Sequence[Subject],
    *,
    keep_levels: bool,
    progress: Progress,
) -> Iterator[Explanation]:
    """Yields the explanation of each subject, in their order."""
    candidates = [subject.kept for subject in subjects if subject.kept is not None]
    maps: Iterator[BoxMap] = iter(())
    if candidates:
        maps = maps_of(detector, frame, forward, asked, candidates, keep_levels=keep_levels, progress=progress)
    for subject in subjects:
        found = _nothing(frame) if subject.kept is None else next(maps)
        yield Explanation(
            detection=subject.detection,
            method=asked.question.method,
            layers=asked.layers,
            levels=found.levels,
            heatmap=found.heatmap,
            status=found.status,
            box_xyxy_roi=found.roi_xyxy,
            target=asked.target.name,
            answer=subject.answer,
            level_heatmaps=found.level_heatmaps,
            refined_by=tuple(asked.finer),
            note=found.note,
        )


def maps_of(
    detector: Detector,
    frame: Frame,
    forward: ForwardPass,
    asked: Asked,
    kept: Sequence[KeptRow],
    *,
    keep_levels: bool = False,
    progress: Progress,
) -> Iterator[BoxMap]:
    """Yields the map of each candidate, whatever the method looks at."""
    if asked.method.needs.is_of_images:
        return maps_from_images(detector, frame, forward, asked, kept, progress=progress)
    of_one = maps_from_features(detector, frame, forward, (asked,), kept, keep_levels=keep_levels, progress=progress)
    return (found for (found,) in of_one)


def maps_from_images(
    detector: Detector,
    frame: Frame,
    forward: ForwardPass,
    asked: Asked,
    kept: Sequence[KeptRow],
    *,
    progress: Progress,
) -> Iterator[BoxMap]:
    """Yields the map of each candidate by a method that alters the image."""
    maps: Iterable[np.ndarray]
    if asked.method.needs is Needs.MASKS:
        maps = black_box_maps(detector, frame, forward, asked.question, kept, progress=progress)
    else:
        maps = (
            occlusion_map(detector, frame, forward, asked.question, asked.target, box, progress=progress)
            for box in kept
        )
    for heatmap in maps:
        yield BoxMap(heatmap, (), MapStatus.OK if heatmap.any() else MapStatus.NEGATIVE)


def maps_from_features(
    detector: Detector,
    frame: Frame,
    forward: ForwardPass,
    asked: Sequence[Asked],
    kept: Sequence[KeptRow],
    *,
    keep_levels: bool = False,
    progress: Progress,
) -> Iterator[list[BoxMap]]:
    """Yields the maps of each candidate by methods that look at feature maps, one for each question.

    Args:
        detector, frame, forward: the image in the detector.
        asked: questions that differ in their method only, and in its stages: features and gradients are computed once
            for all.
        kept: the candidates.
        keep_levels: whether a map is to hold those of its levels.
        progress: of methods that take long.
    """
    first = asked[0]
    levels = {path: forward.capture.chosen(path, wanted) for one in asked for path, wanted in one.image_layers.items()}
    rois: Iterator[list[list[FeatureMap]]] = iter(())
    if first.roi_layers:
        wanted = {**parse_layers(first.question.layers), **first.finer}
        _, roi_layers = detector.layers(first.roi_layers)
        rois = roi_features(forward, roi_layers, wanted, kept, first.target)
    needs_gradients = any(one.method.needs.is_of_gradients for one in asked)
    for box in kept:
        if first.attention:
            looked = attention_features(forward, first.attention, box, first.target, gradients=needs_gradients)
            yield [_mapped(looked, one, detector, forward, keep_levels=keep_levels) for one in asked]
            continue
        no_features: list[list[FeatureMap]] = [[] for _ in first.target.parts]
        found = image_features(forward, levels, box, first.target, gradients=needs_gradients) if levels else no_features
        found = [image + roi for image, roi in zip(found, next(rois, no_features))]
        maps = []
        for one in asked:
            per_part = [[f for f in features if f.layer in (*one.image_layers, *one.roi_layers)] for features in found]
            if needs_gradients and not one.method.needs.is_of_gradients:
                per_part = [[_without_gradients(feature) for feature in features] for features in per_part]
            if one.method.needs.is_per_channel:
                per_part = with_channel_scores(
                    detector, frame, forward, one.question, one.target, box, per_part, progress=progress
                )
            maps.append(_mapped(per_part, one, detector, forward, keep_levels=keep_levels))
        yield maps


def _without_gradients(feature: FeatureMap) -> FeatureMap:
    """Returns what a method is given that asks for none; those of RoIs are there in any case."""
    return feature if feature.kind is FeatureKind.ROI else dataclasses.replace(feature, gradients=None)


def _mapped(
    per_part: Sequence[Sequence[FeatureMap]],
    asked: Asked,
    detector: Detector,
    forward: ForwardPass,
    *,
    keep_levels: bool,
) -> BoxMap:
    """Returns the map of one box: of each part of its target, refined by the finer layers, then combined."""
    geometry, strides, finer = forward.geometry, forward.cell_strides, tuple(asked.finer)
    maps, factors, found, looked_at = [], [], [], []
    for features in per_part:
        own = [feature for feature in features if feature.layer not in (*finer, *asked.stages)]
        looked_at.append(own)
        if asked.method.levels is Levels.STAGES:
            stages = {path: [feature for feature in features if feature.layer == path] for path in asked.stages}
            shifts = looks_from(detector) if asked.stages else {}
            found.append(staged(own, stages, asked.method, geometry, cell_strides=strides, shifts=shifts))
            of_part = found[-1].on_image
        else:
            of_part = map_on_image(own, asked.method, geometry, cell_strides=strides)
        if finer:
            of_finer = [
                map_on_image([f for f in features if f.layer == path], asked.method, geometry, cell_strides=strides)
                for path in finer
            ]
            of_part, factor = refined(of_part, of_finer)
            factors.append(factor)
        maps.append(of_part)
    rois = [feature.roi_xyxy for feature in per_part[0] if feature.roi_xyxy is not None]
    parts = [one.parts for one in found]
    levels = level_heatmaps(maps, original_hw=geometry.original_hw, factors=factors, parts=parts) if keep_levels else ()
    note = _note(asked, detector, looked_at[0], found[0] if found else None)
    return BoxMap(*combined(maps), box_on_original(rois[-1], geometry) if rois else None, levels, note)


def _note(asked: Asked, detector: Detector, own: Sequence[FeatureMap], found: Staged | None) -> str | None:
    """Returns what a reader has to know of a map: that a layer is blind for this box, or why no stage took part."""
    layers = ", ".join(asked.question.layers)
    blind = f"{layers} is blind for this box: its gradient reaches hardly more than one cell"
    if found is not None and found.taken:
        return f"{blind}, so the map is of {', '.join(found.taken)} alone" if is_blind(own) else None
    if is_blind(own):
        instead = _instead(detector, asked.image_layers) if asked.method.needs is Needs.GRADIENTS else None
        return f"{blind}. " + (
            f"Take {instead}, or --method stagecam at {DEFAULT_LAYER}"
            if instead
            else "Take a layer further from the head: --list_layers"
        )
    if found is None or any(feature.kind is FeatureKind.ROI for feature in own):
        return None
    why = "no stage has a map" if asked.stages else f"no stages inside {layers}"
    return f"{why}: its own map, as layercam makes it"


def attention_of(detector: Detector, question: Question) -> dict[str, tuple[int, ...] | None]:
    """Returns the cross-attention that a question looks at: path -> which of its levels, None for all.

    The default layer has none, and stands for all that there is; another one for all inside of it.

    Raises:
        ConfigError: the detector has no object queries.
        LayerError: a layer has no cross-attention inside.
    """
    known = detector.extractor.cross_attention
    if not known:
        others = [name for name in methods.names() if not methods.get(name).needs.is_of_attention]
        raise ConfigError(
            f"--method {question.method} looks at the cross-attention of object queries, and {detector.name} has none. "
            f"Methods for it: {', '.join(others)}"
        )
    if question.layers == (DEFAULT_LAYER,):
        return dict.fromkeys(known)
    found: dict[str, tuple[int, ...] | None] = {}
    for path, levels in parse_layers(question.layers).items():
        inside = [one for one in known if f"{one}.".startswith(f"{path}.")]
        if not inside:
            raise LayerError(
                f"--method {question.method} finds no cross-attention in {path!r}{closest(path, list(known))}. "
                f"It is in: {', '.join(known)}"
            )
        found.update(dict.fromkeys(inside, levels))
    return found


def _nothing(frame: Frame) -> BoxMap:
    return BoxMap(np.zeros(frame.original_hw, np.float32), (), MapStatus.NO_CANDIDATE)


def _stages(detector: Detector, question: Question) -> tuple[str, ...]:
    """Returns the stages inside the layers, but for those that are looked at themselves."""
    named = parse_layers(question.layers)
    stages = dict.fromkeys(stage for path in named for stage in stages_of(detector, path))
    return tuple(stage for stage in stages if stage not in named)


def _instead(detector: Detector, looked_at: Iterable[str]) -> str | None:
    """Returns the stage of the backbone to look at where a layer turns out to be blind: the last but one."""
    stages = [stage for stage in stages_of(detector, DEFAULT_LAYER) if stage not in looked_at] if looked_at else []
    return stages[-2:][0] if stages else None


def _finer(detector: Detector, question: Question) -> dict[str, tuple[int, ...] | None]:
    if not question.refines_automatically:
        return parse_layers(question.refine_by)
    looked_at, finest = parse_layers(question.layers), finer_layers(detector)
    finer = [path for path in finest if path not in looked_at]
    if not finer:
        raise LayerError(
            f"--refine_by auto stands for {', '.join(finest)}, which is looked at already; leave it out, or name other "
            "layers. List them: --list_layers"
        )
    return parse_layers(finer)
