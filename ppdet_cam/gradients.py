"""Scores of boxes with respect to captured feature maps, through `paddle.grad`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.capture import capturing
from ppdet_cam.detector import ForwardPass
from ppdet_cam.extractors.base import check_scores
from ppdet_cam.structures import Detection, FeatureKind, FeatureMap


def image_features(forward: ForwardPass, layers: Sequence[str], detection: Detection) -> list[FeatureMap]:
    """Returns the whole-image feature maps with the gradient of one box's score: one backward.

    Args:
        forward: the image's forward pass, with `layers` captured.
        layers: dotted paths.
        detection: the box.

    Raises:
        LayerError: a layer did not run or gave no feature map.
        ScoreMismatchError: the score with a graph is not the printed one.
    """
    places = [(path, level) for path in layers for level in range(len(forward.capture.feature_maps(path)))]
    tensors = [forward.capture.feature_maps(path)[level] for path, level in places]
    with paddle.enable_grad():
        score = forward.extractor.score(forward.watch, forward.kept[detection.index])
    check_scores([float(score)], [detection.score])
    return [
        FeatureMap(
            path,
            level,
            FeatureKind.IMAGE,
            forward.capture.array(path, level)[0],
            None if gradient is None else gradient[0],
        )
        for (path, level), gradient in zip(places, _gradients(score, tensors))
    ]


def roi_features(
    forward: ForwardPass, layers: Mapping[str, nn.Layer], detections: Sequence[Detection]
) -> Iterator[list[FeatureMap]]:
    """Yields, box by box, the feature maps of the box's own RoI: one backward for all boxes.

    Args:
        forward: the image's forward pass.
        layers: path -> layer of the second stage.
        detections: the boxes.

    Raises:
        LayerError: a layer did not run or gave no feature map.
        ScoreMismatchError: a score with a graph is not the printed one.
    """
    kept = [forward.kept[detection.index] for detection in detections]
    with paddle.enable_grad(), capturing(dict(layers)) as capture:
        scores = forward.extractor.roi_scores(forward.watch, kept)
    check_scores(scores.numpy(), [detection.score for detection in detections])
    rois = forward.extractor.roi_boxes(forward.watch, kept)
    places = [(path, level) for path in layers for level in range(len(capture.feature_maps(path)))]
    tensors = [capture.feature_maps(path)[level] for path, level in places]
    gradients = _gradients(scores.sum(), tensors)
    for row in range(len(detections)):
        left, top, right, bottom = (float(value) for value in rois[row])
        yield [
            FeatureMap(
                path,
                level,
                FeatureKind.ROI,
                capture.array(path, level)[row],
                None if gradient is None else gradient[row],
                roi_xyxy=(left, top, right, bottom),
            )
            for (path, level), gradient in zip(places, gradients)
        ]


def _gradients(score: paddle.Tensor, tensors: Sequence[paddle.Tensor]) -> list[np.ndarray | None]:
    """Returns d score / d tensor for each, None where no path leads to the score. The graph is kept."""
    if score.stop_gradient or not tensors:
        return [None for _ in tensors]
    found = paddle.grad(score, list(tensors), retain_graph=True, allow_unused=True)
    return [None if gradient is None else gradient.numpy() for gradient in found]
