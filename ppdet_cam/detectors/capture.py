"""Layers by dotted path, and what they put out while a model runs."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Callable, Union

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.grids import ChannelsFirst, Grids, Layout
from ppdet_cam.errors import LayerError
from ppdet_cam.registry import closest

Output = Union[paddle.Tensor, None, int, float, list["Output"], tuple["Output", ...], dict[str, "Output"]]

ROOT = "model"


def resolve_layer(model: nn.Layer, path: str) -> nn.Layer:
    """Returns the sublayer at a dotted path such as "model.backbone".

    The path is walked through the model's own sublayers; nothing is evaluated.

    Raises:
        LayerError: no such layer; names the closest ones.
    """
    names = path.split(".")
    layer = model if names[0] == ROOT else None
    for name in names[1:]:
        layer = None if layer is None else layer._sub_layers.get(name)
    if layer is None:  # ppdet gives some layers names with a dot in them
        layer = {f"{ROOT}.{name}": sublayer for name, sublayer in model.named_sublayers()}.get(path)
    if layer is None:
        known = [ROOT] + [f"{ROOT}.{name}" for name, _ in model.named_sublayers()]
        raise LayerError(
            f"no layer {path!r} in {type(model).__name__}{closest(path, known)}. "
            "List all that can be captured: --list_layers"
        )
    return layer


def feature_maps(output: Output, layer: nn.Layer | None = None, grids: Grids | None = None) -> list[paddle.Tensor]:
    """Returns every feature map [N, C, h, w] in a layer's output, in order; lists, tuples and dicts are walked.

    Args:
        output: of the layer.
        layer: which it is.
        grids: what sequences stand for; without, they stand for nothing.
    """
    found: list[paddle.Tensor] = []

    def note(tensor: paddle.Tensor) -> paddle.Tensor:
        layout = _layout(layer, tensor, grids)
        found.extend(() if layout is None else layout.split(tensor))
        return tensor

    _map_tensors(output, note)
    return found


def _layout(layer: nn.Layer | None, tensor: paddle.Tensor, grids: Grids | None) -> Layout | None:
    if grids is not None and layer is not None:
        return grids.layout(layer, tensor)
    return ChannelsFirst() if is_feature_map(tensor) else None


def is_feature_map(tensor: paddle.Tensor) -> bool:
    """Whether a tensor is [N, C, h, w] with floating values and at least one cell."""
    return tensor.ndim == 4 and tensor.is_floating_point() and 0 not in tensor.shape


def _map_tensors(output: Output, change: Callable[[paddle.Tensor], paddle.Tensor]) -> Output:
    if isinstance(output, paddle.Tensor):
        return change(output)
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(_map_tensors(part, change) for part in output))  # type: ignore[arg-type]
    if isinstance(output, list):
        return type(output)(_map_tensors(part, change) for part in output)
    if isinstance(output, tuple):
        return tuple(_map_tensors(part, change) for part in output)
    if isinstance(output, dict):
        changed = copy.copy(output)
        changed.update((key, _map_tensors(part, change)) for key, part in output.items())
        return changed
    return output


class Capture:
    """The feature maps that chosen layers gave, each with a graph from it onwards.

    A sequence of tokens is made of its feature maps, and what flows on of them.

    Attributes:
        tensors: path -> feature maps in the order of the layer's calls and outputs.
        others: path -> shapes of everything else that the layer gave, for error messages.
        outputs: path -> what flowed on in the place of the layer's output, per call.
    """

    def __init__(self, grids: Grids | None = None) -> None:
        self.tensors: dict[str, list[paddle.Tensor]] = {}
        self.others: dict[str, list[str]] = {}
        self.outputs: dict[str, list[Output]] = {}
        self._grids = grids
        self._arrays: dict[tuple[str, int], np.ndarray] = {}
        self._made: dict[int, tuple[Layout, list[paddle.Tensor], paddle.Tensor]] = {}

    def take(self, path: str, output: Output, layer: nn.Layer | None = None) -> Output:
        """Notes a layer's output and returns what is to flow on in its place: the same values, differentiable."""
        self.tensors.setdefault(path, [])
        self.others.setdefault(path, [])

        def change(tensor: paddle.Tensor) -> paddle.Tensor:
            layout = _layout(layer, tensor, self._grids)
            if layout is None:
                self.others[path].append(f"{list(tensor.shape)} {str(tensor.dtype).split('.')[-1]}")
                return tensor
            maps = [_differentiable(one) for one in layout.split(tensor)]
            self.tensors[path].extend(maps)
            flowing = layout.join(maps, tensor)
            self._made[id(flowing)] = (layout, maps, tensor)
            return flowing

        flowing = _map_tensors(output, change)
        # a copy: the next layer may take maps out of its list (MaskHybridEncoder of ppdet's develop branch)
        self.outputs.setdefault(path, []).append(_map_tensors(flowing, lambda tensor: tensor))
        return flowing

    def chosen(self, path: str, levels: Sequence[int] | None) -> list[int]:
        """Returns the levels asked for, all of them for None.

        Raises:
            LayerError: the layer did not run, gave no feature map, or has no such level.
        """
        count = len(self.feature_maps(path))
        if levels is None:
            return list(range(count))
        if max(levels) >= count:
            there = f"levels 0 to {count - 1}" if count > 1 else "one level, 0"
            raise LayerError(f"layer {path!r} has no level {max(levels)}; it has {there}. See --list_layers")
        return list(levels)

    def substituted(self, path: str, level: int, altered: paddle.Tensor) -> Output:
        """Returns the layer's output with one feature map put in the place of a captured one.

        Args:
            path: of a layer that ran once.
            level: which of its feature maps.
            altered: [B, C, h, w]; the layer's other tensors are repeated B times.

        Raises:
            LayerError: the layer ran several times.
        """
        if len(self.outputs[path]) != 1:
            raise LayerError(
                f"layer {path!r} runs {len(self.outputs[path])} times per image, so one of its feature maps cannot be "
                "altered alone; choose another layer for this method. List them: --list_layers"
            )
        replaced = self.tensors[path][level]
        batch = int(altered.shape[0])

        def repeated(tensor: paddle.Tensor) -> paddle.Tensor:
            return tensor if tensor.ndim == 0 else tensor.expand([batch, *tensor.shape[1:]])

        def change(tensor: paddle.Tensor) -> paddle.Tensor:
            layout, maps, original = self._made.get(id(tensor), (None, [], tensor))
            if layout is None or not any(one is replaced for one in maps):
                return repeated(tensor)
            return layout.join([altered if one is replaced else repeated(one) for one in maps], repeated(original))

        return _map_tensors(self.outputs[path][0], change)

    def feature_maps(self, path: str) -> list[paddle.Tensor]:
        """Returns the feature maps of one layer.

        Raises:
            LayerError: the layer did not run, or gave no feature map.
        """
        if path not in self.tensors:
            raise LayerError(f"layer {path!r} does not run at inference. List those that do: --list_layers")
        if not self.tensors[path]:
            given = ", ".join(self.others[path]) or "nothing that is a tensor"
            raise LayerError(
                f"the output of layer {path!r} is no feature map: it gives {given}; "
                "a feature map is a floating tensor [N, C, h, w], a sequence [N, L, C] of a grid's cells, or a list of "
                "them. List all: --list_layers"
            )
        return self.tensors[path]

    def array(self, path: str, level: int) -> np.ndarray:
        """Returns the values of one feature map, [N, C, h, w]; copied from the device once."""
        if (path, level) not in self._arrays:
            self._arrays[path, level] = self.feature_maps(path)[level].numpy()
        return self._arrays[path, level]


def _differentiable(tensor: paddle.Tensor) -> paddle.Tensor:
    """Returns the same values, as a leaf of the graph, or on the graph that they have already."""
    # A tensor that already has a graph keeps it: another captured layer lies before this one.
    differentiable = tensor.detach() if tensor.stop_gradient else tensor.clone()
    differentiable.stop_gradient = False
    return differentiable


@contextlib.contextmanager
def capturing(layers: dict[str, nn.Layer], grids: Grids | None = None) -> Iterator[Capture]:
    """Captures the outputs of `layers` (path -> layer) while the context lasts; leaves no hook behind.

    Args:
        layers: path -> layer.
        grids: which grids sequences of tokens stand for; without, only [N, C, h, w] are feature maps.
    """
    capture = Capture(grids)
    with contextlib.ExitStack() as stack:
        for path, layer in layers.items():
            handle = layer.register_forward_post_hook(
                lambda layer, _inputs, output, path=path: capture.take(path, output, layer)
            )
            stack.callback(handle.remove)
        yield capture


class Watch:
    """What chosen layers were given and put out, unchanged.

    Attributes:
        inputs: the layer's positional arguments, a tuple per call.
        outputs: the layer's output per call: a tensor, or the lists and tuples of tensors that this layer gives.
    """

    def __init__(self) -> None:
        self.inputs: dict[nn.Layer, list[paddle.Tensor]] = {}
        self.outputs: dict[nn.Layer, list[paddle.Tensor]] = {}


@contextlib.contextmanager
def watching(layers: Sequence[nn.Layer]) -> Iterator[Watch]:
    """Notes inputs and outputs of `layers` while the context lasts; leaves no hook behind."""
    watch = Watch()

    def note(layer: nn.Layer, inputs: paddle.Tensor, output: paddle.Tensor) -> None:
        watch.inputs.setdefault(layer, []).append(inputs)
        watch.outputs.setdefault(layer, []).append(output)

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_post_hook(note).remove)
        yield watch


@contextlib.contextmanager
def replaced_methods(instance: object, **methods: object) -> Iterator[None]:
    """Gives one object other methods, or other values, while the context lasts, and puts back what it had."""
    own = instance.__dict__
    before = {name: own[name] for name in methods if name in own}
    own.update(methods)
    try:
        yield
    finally:
        for name in methods:
            del own[name]
        own.update(before)


@contextlib.contextmanager
def replaced_forwards(
    model: nn.Layer, fits: Callable[[nn.Layer], bool], forward_of: Callable[[nn.Layer], Callable[..., object]]
) -> Iterator[None]:
    """Gives each layer of a model that fits another forward while the context lasts.

    Args:
        model: whose layers are looked at, itself among them.
        fits: which of them.
        forward_of: a layer -> its forward.
    """
    with contextlib.ExitStack() as stack:
        for layer in model.sublayers(include_self=True):
            if fits(layer):
                stack.enter_context(replaced_methods(layer, forward=forward_of(layer)))
        yield


@contextlib.contextmanager
def without_graph(layers: Sequence[nn.Layer]) -> Iterator[None]:
    """Lets `layers` run without recording a graph while the context lasts."""
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced_methods(layer, forward=paddle.no_grad()(layer.forward)))
        yield
