"""What layers a model has inside: asked by `--list_layers` and `--refine_by auto` only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.capture import ROOT, Output, capturing, feature_maps, resolve_layer
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.workspace import first_line
from ppdet_cam.errors import LayerError
from ppdet_cam.structures import Frame, Quantity

BACKBONE = f"{ROOT}.backbone"


@dataclass(frozen=True)
class FeatureLayer:
    """A layer that can be captured.

    Attributes:
        path: dotted path.
        kind: name of the layer's class.
        shapes: [N, C, h, w] of each feature map that it gives.
        padded_hw: size of the network input that they were seen with.
        per_roi: whether it sees one row per RoI.
        reached: whether gradients of the class scores, or of masks, reach it.
        cells: in how many cells one candidate's gradient does, at the level where it reaches most; 0 where it is zero.
    """

    path: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    padded_hw: tuple[int, int]
    per_roi: bool
    reached: bool
    cells: float


def feature_layers(detector: Detector, frame: Frame, *, cells_of: Callable[[np.ndarray], float]) -> list[FeatureLayer]:
    """Returns every layer that gives feature maps when this image runs, in the model's order.

    Whether gradients reach a layer does not depend on the weights: an untrained head's are zero, but they reach it.

    Args:
        detector: with its weights or without.
        frame: the image.
        cells_of: [C, h, w], a gradient -> in how many cells it is.
    """
    named = {f"{ROOT}.{name}": layer for name, layer in detector.model.named_sublayers()}
    whole_image, per_roi = detector.layers(list(named))
    forward = detector.forward(frame, whole_image)
    extractor = detector.extractor
    sources = extractor.a_source_per_level(forward.watch)
    has_masks = Quantity.MASK in extractor.quantities
    masked = extractor.located(forward.watch, sources[0], 0, wanted=Quantity.MASK) if has_masks else None
    with paddle.enable_grad(), capturing(per_roi) as roi_capture:
        again = extractor.second_stage(forward.watch)
        scores = [extractor.outputs(again, [source]).probabilities.sum() for source in sources]
        if masked is not None:
            mask = extractor.outputs(again, [masked], wanted=Quantity.MASK).mask
            scores.append(mask.sum())  # type: ignore[union-attr]
    captured = {**forward.capture.tensors, **roi_capture.tensors}
    reached = _reached(scores, captured, cells_of)
    return [
        FeatureLayer(
            path,
            type(named[path]).__name__,
            tuple(dict.fromkeys(tuple(tensor.shape) for tensor in captured[path]))
            if path in per_roi
            else tuple(tuple(tensor.shape) for tensor in captured[path]),
            forward.geometry.padded_hw,
            path in per_roi,
            path in reached,
            reached.get(path, 0.0),
        )
        for path in named
        if captured.get(path)
    ]


class _SeenEnough(Exception):
    """The rest of the backbone is not wanted."""


def backbone_grids(
    detector: Detector, input_hw: tuple[int, int], *, last_rows: int
) -> tuple[tuple[str, tuple[int, int]], ...]:
    """Returns path, and height and width, of each feature map within the backbone, in the order they come.

    Args:
        detector: with its weights or without.
        input_hw: size of an empty network input.
        last_rows: a feature map of so many rows is the last one. What an SSD's backbone has behind it may be smaller
            than its kernels, and paddle does not come back from a convolution that gives no cell.

    Raises:
        LayerError: the backbone does not run on it.
    """
    backbone = resolve_layer(detector.model, BACKBONE)
    found: list[tuple[str, tuple[int, int]]] = []
    grids = detector.extractor.grids(1, input_hw)

    def see(path: str) -> Callable[[nn.Layer, Output, Output], None]:
        def note(layer: nn.Layer, _inputs: Output, output: Output) -> None:
            seen = [(int(tensor.shape[2]), int(tensor.shape[3])) for tensor in feature_maps(output, layer, grids)]
            found.extend((path, grid_hw) for grid_hw in seen)
            if any(rows == last_rows for rows, _ in seen):
                raise _SeenEnough

        return note

    with contextlib.ExitStack() as stack:
        stack.enter_context(paddle.no_grad())
        for name, layer in backbone.named_sublayers():
            stack.callback(layer.register_forward_post_hook(see(f"{BACKBONE}.{name}")).remove)
        try:
            run_backbone(detector, paddle.zeros([1, 3, *input_hw]))
        except Exception as error:  # anything: it may be made for other inputs only
            raise LayerError(
                f"the backbone of {detector.name} does not run on an empty input of {input_hw[0]} x {input_hw[1]} "
                f"pixels: {first_line(error)}. Name the layers instead of --refine_by auto"
            ) from error
    return tuple(found)


def run_backbone(detector: Detector, image: paddle.Tensor, *, until: nn.Layer | None = None) -> None:
    """Runs the backbone, for those who watch its layers.

    Args:
        detector: with its weights or without.
        image: [N, 3, H, W].
        until: the last layer that is wanted; what comes behind it does not run.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(_SeenEnough))
        if until is not None:
            stack.callback(until.register_forward_post_hook(_stop).remove)
        resolve_layer(detector.model, BACKBONE)({"image": image})


def _stop(_layer: nn.Layer, _inputs: Output, _output: Output) -> None:
    raise _SeenEnough


def _reached(
    scores: Sequence[paddle.Tensor],
    captured: Mapping[str, Sequence[paddle.Tensor]],
    cells_of: Callable[[np.ndarray], float],
) -> dict[str, float]:
    """Returns the layers from which a path leads to a score -> in how many cells a gradient reaches them, at most."""
    places = [(path, tensor) for path, tensors in captured.items() for tensor in tensors]
    found: dict[str, float] = {}
    for score in scores:
        if not score.stop_gradient:
            tensors = [tensor for _, tensor in places]
            gradients = paddle.grad(score, tensors, retain_graph=True, allow_unused=True)
            for (path, _), gradient in zip(places, gradients):
                if gradient is not None:
                    found[path] = max(found.get(path, 0.0), cells_of(gradient[0].numpy()))
    return found
