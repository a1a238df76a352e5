"""A detector whose parameters are made random part by part: what no true explanation survives."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ppdet_cam.detectors.capture import ROOT
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.structures import Frame

_BACKBONE = "backbone"
_BACKBONE_PARTS = 3


@dataclass(frozen=True)
class Part:
    """Layers that are made random together.

    Attributes:
        name: "head", "neck", "backbone 3/3", ...: the model's attribute, and which third of it; 3/3 is the last to run.
        layers: their dotted paths.
    """

    name: str
    layers: tuple[str, ...]


def parts_from_the_top(detector: Detector, frame: Frame) -> list[Part]:
    """Returns all layers with parameters that the boxes come from, from the detector's output to its input.

    Args:
        detector: the detector.
        frame: an image that is run, to see in which order the layers are called.
    """
    called = _layers_as_called(detector, frame)
    owners = list(dict.fromkeys(layer.split(".")[1] for layer in called))
    parts = []
    for owner in reversed(owners):
        of_owner = [layer for layer in called if layer.split(".")[1] == owner]
        count = min(_BACKBONE_PARTS, len(of_owner)) if owner == _BACKBONE else 1
        for number in reversed(range(count)):
            first, last = (round(edge * len(of_owner) / count) for edge in (number, number + 1))
            name = owner if count == 1 else f"{owner} {number + 1}/{count}"
            parts.append(Part(name, tuple(of_owner[first:last])))
    return parts


@contextlib.contextmanager
def cascade(detector: Detector, parts: list[Part], *, seed: int) -> Iterator[Iterator[Part]]:
    """Yields the parts one by one; when a part is given, its parameters and those of all before are random.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3.1: cascading randomisation. Deviation:
    each tensor's values are shuffled instead of drawn anew, so that their size stays what the layers behind are used
    to. On leaving, all parameters are put back.

    Args:
        detector: with its weights loaded.
        parts: from `parts_from_the_top`.
        seed: of the shuffling; a tensor is always shuffled alike.
    """
    state = {f"{ROOT}.{name}": tensor for name, tensor in detector.model.state_dict().items()}
    original: dict[str, np.ndarray] = {}

    def randomised() -> Iterator[Part]:
        for part in parts:
            for name in (name for name in state if name.rpartition(".")[0] in part.layers):
                values = original[name] = state[name].numpy()
                generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
                state[name].set_value(generator.permutation(values.ravel()).reshape(values.shape))
            yield part

    try:
        yield randomised()
    finally:
        for name, values in original.items():
            state[name].set_value(values)


def _layers_as_called(detector: Detector, frame: Frame) -> list[str]:
    """Returns the layers that hold parameters themselves, in the order of their first call."""
    holders = {name.rpartition(".")[0] for name in detector.model.state_dict()}
    layers = {layer: f"{ROOT}.{name}" for name, layer in detector.model.named_sublayers() if name in holders}
    called: dict[str, None] = {}
    with contextlib.ExitStack() as stack:
        for layer in layers:
            hook = layer.register_forward_post_hook(lambda layer, *_: called.setdefault(layers[layer]))
            stack.callback(hook.remove)
        detector.predict(frame)
    return list(called)
