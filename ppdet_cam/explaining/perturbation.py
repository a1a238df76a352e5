"""Perturbation methods on one detector: alter, run, and hand the numbers to the method's formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.families.base import KeptRow
from ppdet_cam.explaining.altering import BoxSought, Progress, occluded_map, silent, similarity_maps
from ppdet_cam.explaining.evidence import placement_of
from ppdet_cam.explaining.projection import project
from ppdet_cam.explaining.replay import Replay, ablated, candidates_of_images, replays
from ppdet_cam.methods import Levels, Needs, channel_mask, margin, methods
from ppdet_cam.questions.question import Question
from ppdet_cam.questions.targets import DEFAULT_TARGET, Target, parse_target
from ppdet_cam.structures import Candidates, FeatureMap, Frame, HeadOutputs


def black_box_maps(
    detector: Detector,
    frame: Frame,
    forward: ForwardPass,
    question: Question,
    kept: Sequence[KeptRow],
    *,
    progress: Progress = silent,
) -> list[np.ndarray]:
    """Returns D-RISE's map of every box, float32 [H, W]: the same masked images serve them all.

    A masked image's candidates are those that its NMS would be given. Where D-RISE takes a detector's objectness, the
    candidate's highest class score stands: the cosine of two score vectors does not tell how sure a head is. The map's
    minimum is subtracted: what a mask leaves of any box lifts the whole map.
    """
    threshold = detector.extractor.keep_rule.score_threshold
    seen = forward.candidates()

    def candidates_of(images: Sequence[Frame]) -> list[Candidates]:
        found = candidates_of_images(detector, frame, images)
        confident = [one.scores.max(axis=1) >= threshold for one in found]
        return [one.only(rows) for one, rows in zip(found, confident)]

    boxes = [BoxSought(one.class_id, seen.outlines(one.class_id)[one.row], seen.scores[one.row]) for one in kept]
    return similarity_maps(frame, boxes, candidates_of, question, progress=progress)


def occlusion_map(
    detector: Detector,
    frame: Frame,
    forward: ForwardPass,
    question: Question,
    target: Target,
    kept: KeptRow,
    *,
    progress: Progress = silent,
) -> np.ndarray:
    """Returns the occlusion map of a box, float32 [H, W].

    What falls is the lead of the box's class over the best other class at the same candidate; with another target than
    "class", that target's number. `samples` is how many windows there are along the longer side.
    """
    box_xyxy = forward.candidates().boxes_of(kept.class_id)[kept.row].tolist()
    if target.name == DEFAULT_TARGET:
        target = Target(target.name, target.quantity, (_lead,))

    maps = []
    for replay in replays(detector, frame, forward, kept, target, batch=question.batch):
        maps.append(occluded_map(frame, box_xyxy, replay.score, replay.scores_of_images, question, progress=progress))
    shown = [heatmap / heatmap.max() if len(maps) > 1 else heatmap for heatmap in maps if heatmap.any()]
    heatmap = np.maximum.reduce(shown) if shown else np.zeros(frame.original_hw)  # type: ignore  # numpy 2.5's stubs
    return np.asarray(heatmap, np.float32)


def _lead(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    return np.asarray(margin(np.asarray(outputs.probabilities[row]), class_id))


def with_channel_scores(
    detector: Detector,
    frame: Frame,
    forward: ForwardPass,
    question: Question,
    target: Target,
    kept: KeptRow,
    per_part: Sequence[Sequence[FeatureMap]],
    *,
    progress: Progress = silent,
) -> list[list[FeatureMap]]:
    """Returns the feature maps with what the number becomes when each channel is taken out, or is all that is seen.

    Score-CAM's weights are a softmax of logits, so the target "class" stands for the class logit there.

    With `samples`, only so many channels per level are looked at, those with the most activation; the others are left
    out of the map.
    """
    method = methods.get(question.method)
    if method.needs is Needs.CHANNEL_SCORES and target.name == DEFAULT_TARGET:
        target = parse_target(
            "logit", detector.class_names, known=detector.extractor.quantities, detector=detector.name
        )
    result = []
    for features, replay in zip(per_part, replays(detector, frame, forward, kept, target, batch=question.batch)):
        score = replay.score()
        scored = []
        for feature in features:
            if method.levels is Levels.OWN and not feature.is_own_level:
                scored.append(feature)
                continue
            channels = _channels(feature, question.samples)
            values: Iterable[float] = _channel_scores(method.needs, replay, feature, channels, forward)
            values = progress(values, total=len(channels), what=f"channels of {feature.layer}@{feature.level}")
            scored.append(
                dataclasses.replace(
                    feature,
                    activations=feature.activations[channels],
                    gradients=None,
                    channel_scores=np.array(list(values)),
                    score=score,
                )
            )
        result.append(scored)
    return result


def _channels(feature: FeatureMap, limit: int | None) -> np.ndarray:
    """Returns which channels to look at, in their order."""
    amount = np.abs(feature.activations).sum(axis=(1, 2))
    return np.sort(np.argsort(-amount, kind="stable")[: limit or len(amount)])


def _channel_scores(
    needs: Needs, replay: Replay, feature: FeatureMap, channels: np.ndarray, forward: ForwardPass
) -> Iterator[float]:
    if needs is Needs.ABLATED_SCORES:
        yield from replay.scores_of_altered_features(feature, ablated(feature, channels))
    else:
        yield from replay.scores_of_masked_images(_channel_masks(feature, channels, forward))


def _channel_masks(feature: FeatureMap, channels: np.ndarray, forward: ForwardPass) -> Iterator[np.ndarray]:
    """Yields each channel, laid over the image as its map would be, between 0 and 1; for a RoI, 0 outside of it.

    The channel is stretched before it is laid as well: where no cell lies the image has 0, and a channel with negative
    values would be below that elsewhere.
    """
    placement = placement_of(feature, forward.geometry, cell_strides=forward.cell_strides)
    for channel in channels:
        stretched = channel_mask(feature.activations[channel])
        yield channel_mask(project(stretched, placement, original_hw=forward.geometry.original_hw))
