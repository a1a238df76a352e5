"""Which of a layer's numbers belong to which place of the image: feature maps, and the sequences that they come as.

A transformer gives tokens `[N, L, C]`, row by row of a grid, with those of several grids one after another, or with a
class token in front; some of its layers give `[N, h, w, C]`. What the grid is follows from the network input: a grid
halves it again and again. A captured sequence is taken apart into feature maps and put together from them again, so
whoever looks at feature maps need not know.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import paddle
from paddle import nn

GridHw = tuple[int, int]

STRIDES = (2, 4, 8, 16, 32, 64, 128)


class Layout(Protocol):
    """How feature maps lie in a tensor."""

    def split(self, tensor: paddle.Tensor) -> list[paddle.Tensor]:
        """Returns the feature maps of a tensor, [N, C, h, w] each."""

    def join(self, maps: Sequence[paddle.Tensor], like: paddle.Tensor) -> paddle.Tensor:
        """Returns the tensor that feature maps make; what is not of them is taken from `like`."""


class ChannelsFirst:
    """[N, C, h, w]."""

    def split(self, tensor: paddle.Tensor) -> list[paddle.Tensor]:
        return [tensor]

    def join(self, maps: Sequence[paddle.Tensor], like: paddle.Tensor) -> paddle.Tensor:
        return maps[0]


class ChannelsLast:
    """[N, h, w, C]."""

    def split(self, tensor: paddle.Tensor) -> list[paddle.Tensor]:
        return [tensor.transpose([0, 3, 1, 2])]

    def join(self, maps: Sequence[paddle.Tensor], like: paddle.Tensor) -> paddle.Tensor:
        return maps[0].transpose([0, 2, 3, 1])


@dataclass(frozen=True)
class Tokens:
    """[N, L, C].

    Attributes:
        before: tokens that are no place, in front of the others.
        grids: height and width of each grid, in the tokens' order.
    """

    before: int
    grids: tuple[GridHw, ...]

    @property
    def length(self) -> int:
        """How many tokens there are."""
        return self.before + sum(height * width for height, width in self.grids)

    def split(self, tensor: paddle.Tensor) -> list[paddle.Tensor]:
        maps, start = [], self.before
        for height, width in self.grids:
            of_grid = tensor[:, start : start + height * width].transpose([0, 2, 1])
            maps.append(of_grid.reshape([tensor.shape[0], tensor.shape[2], height, width]))
            start += height * width
        return maps

    def join(self, maps: Sequence[paddle.Tensor], like: paddle.Tensor) -> paddle.Tensor:
        parts = [one.flatten(2).transpose([0, 2, 1]) for one in maps]
        return paddle.concat(([like[:, : self.before]] if self.before else []) + parts, axis=1)


@dataclass(frozen=True)
class Grids:
    """The grids that a network input may become.

    Attributes:
        images: how many images are in the input.
        input_hw: its height and width, in pixels.
        levels: how many grids a sequence may hold, beside a single one.
        token_layers: the layers whose sequences are places; those of others are object queries, boxes, classes.
        query_layers: the layers that give nothing but object queries, whatever its shape looks like.
    """

    images: int
    input_hw: tuple[int, int]
    levels: int = 1
    token_layers: Collection[nn.Layer] = ()
    query_layers: Collection[nn.Layer] = ()

    def layout(self, layer: nn.Layer, tensor: paddle.Tensor) -> Layout | None:
        """Returns how feature maps lie in a tensor that a layer gave, None where there are none."""
        shape = tuple(tensor.shape)
        if not tensor.is_floating_point() or 0 in shape or shape[:1] != (self.images,) or layer in self.query_layers:
            return None
        if len(shape) == 4:
            return self._of_image(shape) if layer in self.token_layers else ChannelsFirst()
        return self.of_sequence(shape[1]) if len(shape) == 3 and layer in self.token_layers else None

    def _of_image(self, shape: tuple[int, ...]) -> Layout:
        known = {grid for stride in STRIDES for grid in self._rounded(stride)}
        is_last = shape[1:3] in known and shape[2:] not in known
        return ChannelsLast() if is_last else ChannelsFirst()

    def of_sequence(self, length: int) -> Tokens | None:
        """Returns what a sequence of so many places is, None where no grids have so many cells."""
        return next((tokens for tokens in self._sequences() if tokens.length == length), None)

    def _sequences(self) -> Iterator[Tokens]:
        """Yields what a sequence may be, the likelier before the others."""
        single = [(grid,) for stride in STRIDES for grid in self._rounded(stride)]
        yield from (Tokens(0, grids) for grids in single)
        if self.levels > 1:
            for first in STRIDES:
                each = [self._rounded(first * 2**level) for level in range(self.levels)]
                yield from (Tokens(0, grids) for grids in zip(*each))
        yield from (Tokens(1, grids) for grids in single)

    def _rounded(self, stride: int) -> list[GridHw]:
        """Returns the grid of a stride, rounded up, as padded convolutions do, and down."""
        height, width = (length / stride for length in self.input_hw)
        return [(math.ceil(height), math.ceil(width)), (math.floor(height), math.floor(width))]
