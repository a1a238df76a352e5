"""Numbers that a head says of boxes, differentiated with respect to captured feature maps through `paddle.grad`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.capture import capturing
from ppdet_cam.detectors.detector import ForwardPass
from ppdet_cam.detectors.families.base import KeptRow, Source, check_scores
from ppdet_cam.errors import LayerError
from ppdet_cam.questions.targets import Target
from ppdet_cam.structures import FeatureKind, FeatureMap, HeadOutputs


def image_features(
    forward: ForwardPass, layers: Mapping[str, Sequence[int]], kept: KeptRow, target: Target, *, gradients: bool = True
) -> list[list[FeatureMap]]:
    """Returns, for each part of the target, the whole-image feature maps with its gradient: one backward per part.

    Args:
        forward: the image's forward pass, with the layers captured.
        layers: dotted path -> which of its levels.
        kept: the box's candidate.
        target: what to differentiate.
        gradients: whether they are needed at all; without, the score is only checked.

    Raises:
        LayerError: a layer did not run or gave no feature map.
        ScoreMismatchError: the score with a graph is not the printed one.
    """
    places = [(path, level) for path, levels in layers.items() for level in levels]
    tensors = [forward.capture.feature_maps(path)[level] for path, level in places]
    source = forward.extractor.source_of(forward.watch, kept, wanted=target.quantity)
    numbers = _numbers(forward, kept, source, target)
    own = own_levels(
        {path: [tuple(tensor.shape[2:]) for tensor in forward.capture.feature_maps(path)] for path in layers},
        forward.extractor.grid_hw(forward.watch, source),
    )
    return [
        [
            FeatureMap(
                path,
                level,
                FeatureKind.IMAGE,
                forward.capture.array(path, level)[0],
                None if gradient is None else gradient[0],
                is_own_level=own[path] == level,
            )
            for (path, level), gradient in zip(
                places, _gradients(number, tensors) if gradients else [None for _ in tensors]
            )
        ]
        for number in numbers
    ]


def roi_features(
    forward: ForwardPass,
    layers: Mapping[str, nn.Layer],
    levels: Mapping[str, Sequence[int] | None],
    kept: Sequence[KeptRow],
    target: Target,
) -> Iterator[list[list[FeatureMap]]]:
    """Yields, box by box, for each part of the target, the feature maps of the box's own RoI.

    One backward per part for all boxes together; where RoIs see one another, one for each box.

    Args:
        forward: the image's forward pass.
        layers: path -> layer of the second stage.
        levels: path -> which of its levels, None for all.
        kept: the boxes' candidates.
        target: what to differentiate.

    Raises:
        LayerError: a layer did not run or gave no feature map.
        ScoreMismatchError: a score with a graph is not the printed one.
    """
    extractor = forward.extractor
    sources = [extractor.source_of(forward.watch, box, wanted=target.quantity) for box in kept]
    with paddle.enable_grad(), capturing(dict(layers)) as capture:
        outputs = extractor.outputs(extractor.second_stage(forward.watch), sources, wanted=target.quantity)
    _check_printed(outputs, kept)
    places = [(path, level) for path in layers for level in capture.chosen(path, levels[path])]
    tensors = [capture.feature_maps(path)[level] for path, level in places]

    def gradients_of(boxes: Sequence[int]) -> list[list[np.ndarray | None]]:
        with paddle.enable_grad():
            numbers = [sum(part(outputs, box, kept[box].class_id) for box in boxes) for part in target.parts]
        return [_gradients(number, tensors) for number in numbers]

    together = gradients_of(range(len(kept))) if extractor.rows_are_apart else None
    for box, source in enumerate(sources):
        rows = [extractor.roi_row(source, layers[path], box) for path, _ in places]
        seen = [extractor.roi_seen(source, layers[path], level) for path, level in places]
        yield [
            [
                FeatureMap(
                    path,
                    level,
                    FeatureKind.ROI,
                    capture.array(path, level)[row],
                    None if gradient is None else gradient[row],
                    roi_xyxy=roi,
                    pooled_xyxy=None if roi is None else extractor.pooled_xyxy(roi, layers[path]),
                )
                for (path, level), gradient, row, roi in zip(places, of_part, rows, seen)
            ]
            for of_part in together or gradients_of([box])
        ]


def attention_features(
    forward: ForwardPass,
    layers: Mapping[str, Sequence[int] | None],
    kept: KeptRow,
    target: Target,
    *,
    gradients: bool = True,
) -> list[list[FeatureMap]]:
    """Returns, for each part of the target, where the box's query looked, with its gradient: one backward per part.

    Args:
        forward: the image's forward pass, with the looks of every cross-attention.
        layers: dotted path of a cross-attention -> which of its levels, None for all.
        kept: the box's candidate.
        target: what to differentiate.
        gradients: whether they are needed at all; without, the score is only checked.

    Raises:
        LayerError: a level is not there.
        ScoreMismatchError: the score with a graph is not the printed one.
    """
    source = forward.extractor.source_of(forward.watch, kept)
    numbers, query = _numbers(forward, kept, source, target), source.position
    looks = [forward.looks[path] for path in layers]
    weights = [look.weights(query) for look in looks]
    for (path, levels), of_layer in zip(layers.items(), weights):
        if levels and max(levels) >= len(of_layer):
            raise LayerError(f"{path!r} has no level {max(levels)}; it has levels 0 to {len(of_layer) - 1}")
    result = []
    everywhere = [tensor for look in forward.looks.values() for tensor in look.beside]
    for number in numbers:
        by_tensors: list[np.ndarray | None] = [None for _ in looks]
        if gradients:
            by_tensors = _gradients(number, [*(look.tensor for look in looks), *everywhere])[: len(looks)]
        result.append(
            [
                FeatureMap(path, level, FeatureKind.IMAGE, of_layer[level], None if found is None else found[level])
                for (path, levels), look, of_layer, by_tensor in zip(layers.items(), looks, weights, by_tensors)
                for found in [None if by_tensor is None else look.gradients(by_tensor, query)]
                for level in (range(len(of_layer)) if levels is None else levels)
            ]
        )
    return result


def _numbers(forward: ForwardPass, kept: KeptRow, source: Source, target: Target) -> list[paddle.Tensor]:
    """Returns the target's parts of a candidate, with their graph, after a look at its score."""
    with paddle.enable_grad():
        outputs = forward.extractor.outputs(forward.watch, [source], wanted=target.quantity)
        numbers = [part(outputs, 0, kept.class_id) for part in target.parts]
    _check_printed(outputs, [kept])
    return numbers


def own_levels(grids: Mapping[str, Sequence[tuple[int, int]]], own_hw: tuple[int, int]) -> dict[str, int]:
    """Returns, for each layer, which of its grids is closest in area to the one that the head read the box from.

    Args:
        grids: path -> height and width of each of its feature maps.
        own_hw: of the head's grid.

    Example:
        >>> own_levels({"model.neck": [(20, 20), (40, 40), (80, 80)]}, (40, 41))
        {'model.neck': 1}
    """
    own_area = own_hw[0] * own_hw[1]
    return {
        path: int(np.argmin([abs(np.log(height * width / own_area)) for height, width in sizes]))
        for path, sizes in grids.items()
    }


def _check_printed(outputs: HeadOutputs, kept: Sequence[KeptRow]) -> None:
    found = outputs.probabilities.numpy()  # type: ignore[attr-defined]
    printed = [(row, box) for row, box in enumerate(kept) if box.pinned is None]
    check_scores([found[row, box.class_id] for row, box in printed], [box.score for _, box in printed])


def _gradients(number: paddle.Tensor, tensors: Sequence[paddle.Tensor]) -> list[np.ndarray | None]:
    """Returns d number / d tensor for each, None where no path leads to the number. The graph is kept."""
    if number.stop_gradient or not tensors:
        return [None for _ in tensors]
    try:
        found = paddle.grad(number, list(tensors), retain_graph=True, allow_unused=True)
    except Exception as error:
        if "KeyboardInterrupt" in str(error):  # Ctrl-C within a node of ours, which paddle hands on as its own error
            raise KeyboardInterrupt from error
        raise
    return [None if gradient is None else gradient.numpy() for gradient in found]
