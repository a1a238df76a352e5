"""What a CAM method is, and the registry that names them all."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Callable, TypeVar

import numpy as np

from ppdet_cam.registry import Registry

# what the arguments are is told by Method.needs
GridFunction = Callable[..., np.ndarray]
Function = TypeVar("Function", bound=GridFunction)


class Needs(enum.Enum):
    """What a method's function is called with; the value is the word for it in tables.

    Attributes:
        ACTIVATIONS: activations [C, h, w].
        GRADIENTS: activations [C, h, w], gradients [C, h, w].
        CHANNEL_SCORES: activations [C, h, w], and for each channel the score of the image masked by it, [C].
        ABLATED_SCORES: activations [C, h, w], the score, and for each channel the score with it set to zero, [C].
        OCCLUSIONS: windows, and by how much the box's class falls when each is occluded, [N].
        MASKS: masks [N, h, w], and how much of the box is left under each, [N]: the detector is a black box.
        ATTENTION: the cross-attention's weights for one object query, [heads, h, w].
        ATTENTION_GRADIENTS: these, and the score's gradient by them, [heads, h, w].
    """

    ACTIVATIONS = "activations"
    GRADIENTS = "gradients"
    CHANNEL_SCORES = "channel scores"
    ABLATED_SCORES = "ablated scores"
    OCCLUSIONS = "occluded images"
    MASKS = "masked images"
    ATTENTION = "cross-attention"
    ATTENTION_GRADIENTS = "cross-attention and gradients"

    @property
    def is_per_channel(self) -> bool:
        """Whether there is a forward pass per channel."""
        return self in (Needs.CHANNEL_SCORES, Needs.ABLATED_SCORES)

    @property
    def is_of_gradients(self) -> bool:
        """Whether the score is differentiated."""
        return self in (Needs.GRADIENTS, Needs.ATTENTION_GRADIENTS)

    @property
    def is_of_attention(self) -> bool:
        """Whether a decoder's cross-attention is looked at, and no other layer."""
        return self in (Needs.ATTENTION, Needs.ATTENTION_GRADIENTS)

    @property
    def is_of_features(self) -> bool:
        """Whether the feature maps of layers are looked at that the user chooses."""
        return not (self.is_of_images or self.is_of_attention)

    @property
    def is_of_images(self) -> bool:
        """Whether images are altered and no feature map is looked at."""
        return self in (Needs.OCCLUSIONS, Needs.MASKS)


class Levels(enum.Enum):
    """Which of a layer's feature maps a method looks at; the value is the word for it in tables.

    Attributes:
        ALL: every one; the levels' maps share one unit, so their evidence is added.
        OWN: the one from which the head made the box.
        STAGES: every one, and those of the stages inside the layer; the maps are put together on the image.
        NONE: no feature map is looked at.
    """

    ALL = "all"
    OWN = "own"
    STAGES = "stages"
    NONE = "none"


@dataclass(frozen=True)
class Method:
    """A CAM method.

    Attributes:
        name: as users type it.
        function: arrays -> float64 [h, w], >= 0; which arrays is told by `needs`.
        needs: what the function is called with.
        levels: which of a layer's feature maps take part.
        reference: authors, title, venue and year, equation.
        cost: what it costs per box, in words.
    """

    name: str
    function: GridFunction
    needs: Needs
    levels: Levels
    reference: str
    cost: str


methods: Registry[Method] = Registry("method")


def method(name: str, *, needs: Needs, levels: Levels, reference: str, cost: str) -> Callable[[Function], Function]:
    """Returns a decorator that enters a function in `methods` and leaves it as it is.

    Args:
        name: as users type it.
        needs: what the function is called with.
        levels: which of a layer's feature maps take part.
        reference: authors, title, venue and year, equation.
        cost: what it costs per box, in words.

    Raises:
        ValueError: the name is taken.
    """

    def enter(function: Function) -> Function:
        methods.register(name)(Method(name, function, needs, levels, reference, cost))
        return function

    return enter
