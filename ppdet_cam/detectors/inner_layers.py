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


@dataclass(frozen=True)
class BackboneGrids:
    """What a backbone has inside.

    Attributes:
        layers: path, and height and width of a feature map, in the order they come.
        first_centres: rows of a feature map -> where the first one looks: the centre of its receptive field, without
            what lies around the input, in pixels of the network input. A kernel of 3 with a padding of 1 looks around
            the first of two pixels, at 0.5; patches of two pixels look between them, at 1.0.
    """

    layers: tuple[tuple[str, tuple[int, int]], ...]
    first_centres: Mapping[int, float]


def backbone_grids(detector: Detector, input_hw: tuple[int, int], *, last_rows: int) -> BackboneGrids:
    """Returns the feature maps within the backbone, and where they look.

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
    steps: list[tuple[int, int, float | None]] = []

    grids = detector.extractor.grids(1, input_hw)

    def see(path: str) -> Callable[[nn.Layer, Output, Output], None]:
        def note(layer: nn.Layer, inputs: Output, output: Output) -> None:
            steps.extend(_step(layer, inputs, output))
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
            backbone({"image": paddle.zeros([1, 3, *input_hw])})
        except _SeenEnough:
            pass
        except Exception as error:  # anything: it may be made for other inputs only
            raise LayerError(
                f"the backbone of {detector.name} does not run on an empty input of {input_hw[0]} x {input_hw[1]} "
                f"pixels: {first_line(error)}. Name the layers instead of --refine_by auto"
            ) from error
    return BackboneGrids(tuple(found), first_centres(input_hw[0], steps))


def _step(layer: nn.Layer, inputs: Output, output: Output) -> list[tuple[int, int, float | None]]:
    """Returns the rows that a convolution or pooling is given and gives, and where its first one looks among those."""
    given = inputs[0] if isinstance(inputs, (tuple, list)) and inputs else inputs
    if not (isinstance(given, paddle.Tensor) and isinstance(output, paddle.Tensor) and given.ndim == output.ndim == 4):
        return []
    first = None
    if isinstance(layer, nn.Conv2D):
        first = _first_place(layer._kernel_size, layer._padding)
    elif isinstance(layer, (nn.MaxPool2D, nn.AvgPool2D)):
        first = _first_place(getattr(layer, "ksize", None) or layer.kernel_size, layer.padding)
    return [(int(given.shape[2]), int(output.shape[2]), first)] if first is not None else []


def _first_place(kernel: object, padding: object) -> float | None:
    """Returns the middle of a kernel's first place along one axis, in cells that it is given, the first one at 0."""
    size, around = (one[0] if isinstance(one, (list, tuple)) else one for one in (kernel, padding))
    return (size - 1) / 2 - around if isinstance(size, int) and isinstance(around, int) else None


def first_centres(input_rows: int, steps: Sequence[tuple[int, int, float | None]]) -> dict[int, float]:
    """Returns where the first row of feature maps looks, by how many rows they have.

    Args:
        input_rows: of the network input.
        steps: rows that a layer is given, rows that it gives, and the middle of its kernel's first place among those
            that it is given; in the order they come. Of several between the same rows the mean counts. Where rows
            become fewer and no layer is seen to do so, it is a function: one that takes the image apart at its
            beginning looks evenly, a pooling later around every second row.

    Example:
        >>> first_centres(64, [(64, 32, 0.0), (32, 32, 0.0), (32, 16, 0.5)])
        {64: 0.5, 32: 0.5, 16: 1.5}
    """
    centres = {input_rows: 0.5}
    for given, _, _ in steps:
        if given not in centres and given < input_rows:
            above = min(rows for rows in centres if rows > given)
            evenly = 0.5 * (above / given - 1) if above == input_rows else 0.0
            centres[given] = centres[above] + evenly * input_rows / above
        for rows in [given_to for given_from, given_to, _ in steps if given_from == given and given_to < given]:
            if rows not in centres and given in centres:
                firsts = [first for one, other, first in steps if (one, other) == (given, rows) and first is not None]
                centres[rows] = centres[given] + float(np.mean(firsts)) * input_rows / given
    return centres


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
