"""Where object queries look: the weights with which cross-attention takes each cell of the image's features.

Every cross-attention's output is linear in its values, one value per cell and head. The weight of a cell is the number
that its value is multiplied with. Dense attention has it as a softmax over all cells. Deformable attention (Zhu et al.,
ICLR 2021) samples few points between cells instead; a point's weight then falls on the cells around it as the sampling
interpolates, so the weight of a cell is the derivative of the output by its value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import paddle
from paddle import nn

from ppdet_cam.detectors.capture import replaced_methods
from ppdet_cam.detectors.grids import Grids, Tokens

CORE = "ms_deformable_attn_core"  # of ppdet's deformable attention: an attribute that is called


class Look(Protocol):
    """What one cross-attention did, with its graph.

    Attributes:
        tensor: what to differentiate a number by.
        beside: what else to differentiate by at the same time: paddle 3.3.1 dies with SIGSEGV in the gradient of
            grid_sample where that of the points is wanted and that of the values is not.
    """

    @property
    def tensor(self) -> paddle.Tensor: ...

    @property
    def beside(self) -> Sequence[paddle.Tensor]: ...

    def weights(self, query: int) -> list[np.ndarray]:
        """Returns the weight of every cell for a query: float32 [heads, h, w] per level."""

    def gradients(self, by_tensor: np.ndarray, query: int) -> list[np.ndarray]:
        """Returns d number / d weight of every cell for a query: float32 [heads, h, w] per level.

        Args:
            by_tensor: the number's gradient by `tensor`.
            query: which query.
        """


@dataclass(frozen=True)
class DenseLook:
    """Attention to all cells of one image.

    Attributes:
        tensor: [1, heads, queries, cells], the weights.
        cells: where they lie.
    """

    tensor: paddle.Tensor
    cells: Tokens

    @property
    def beside(self) -> Sequence[paddle.Tensor]:
        return ()

    def weights(self, query: int) -> list[np.ndarray]:
        return self._maps(self.tensor[0, :, query].numpy())

    def gradients(self, by_tensor: np.ndarray, query: int) -> list[np.ndarray]:
        return self._maps(by_tensor[0, :, query])

    def _maps(self, values: np.ndarray) -> list[np.ndarray]:
        return maps_of_cells(values, self.cells)


@dataclass(frozen=True)
class SampledLook:
    """Attention to sampled points of one image.

    Attributes:
        tensor: [1, queries, heads x channels], what the attention gave before its last projection.
        values: [1, cells, heads, channels].
        sample: gives the same from other values, for one query.
        cells: where they lie.
    """

    tensor: paddle.Tensor
    values: paddle.Tensor
    sample: Callable[[paddle.Tensor, int], paddle.Tensor]
    cells: Tokens

    @property
    def beside(self) -> Sequence[paddle.Tensor]:
        return (self.values,)

    def weights(self, query: int) -> list[np.ndarray]:
        """Returns the weights, from ppdet's own sampling: all channels of a head have the same, so one is asked."""
        values = self.values.detach()
        values.stop_gradient = False
        heads = int(values.shape[2])
        with paddle.enable_grad():
            first = self.sample(values, query).reshape([heads, -1])[:, 0].sum()
        (found,) = paddle.grad(first, [values])
        return maps_of_cells(found[0, :, :, 0].numpy().T, self.cells)

    def gradients(self, by_tensor: np.ndarray, query: int) -> list[np.ndarray]:
        values = self.values[0].numpy()
        of_heads = by_tensor[0, query].reshape(values.shape[1], values.shape[2])
        return maps_of_cells(np.einsum("lhc,hc->hl", values, of_heads), self.cells)


def maps_of_cells(values: np.ndarray, cells: Tokens) -> list[np.ndarray]:
    """Returns values of cells as a map per level: [heads, h, w] of [heads, cells].

    Example:
        >>> [one.shape for one in maps_of_cells(np.zeros((8, 5)), Tokens(0, ((2, 2), (1, 1))))]
        [(8, 2, 2), (8, 1, 1)]
    """
    ends = np.cumsum([height * width for height, width in cells.grids])[:-1]
    return [
        part.reshape(len(values), height, width)
        for part, (height, width) in zip(np.split(values, ends, axis=1), cells.grids)
    ]


@contextlib.contextmanager
def attending(layers: Mapping[str, nn.Layer], grids: Grids) -> Iterator[dict[str, Look]]:
    """Notes where each of some cross-attentions looks while the context lasts; what they give stays the same.

    Args:
        layers: path -> ppdet's dense or deformable attention, which runs once.
        grids: of the network input.
    """
    looks: dict[str, Look] = {}
    with contextlib.ExitStack() as stack:
        for path, layer in layers.items():
            if hasattr(layer, CORE):
                noting = _sampling(getattr(layer, CORE), path, looks)
                stack.enter_context(replaced_methods(layer, **{CORE: noting}))
            else:
                stack.enter_context(replaced_methods(layer, forward=_weighing(layer, path, looks, grids)))
        yield looks


def _weighing(layer: nn.Layer, path: str, looks: dict[str, Look], grids: Grids) -> Callable[..., paddle.Tensor]:
    """Returns a dense attention's forward that notes its weights."""
    own = layer.forward

    def forward(query: paddle.Tensor, key: paddle.Tensor, *rest: object, **named: object) -> paddle.Tensor:
        with replaced_methods(layer, need_weights=True):
            output, weights = own(_with_graph(query), key, *rest, **named)
        cells = grids.of_sequence(int(key.shape[1]))
        if cells is not None:
            looks[path] = DenseLook(weights, cells)
        return output

    return forward


def _sampling(core: Callable[..., paddle.Tensor], path: str, looks: dict[str, Look]) -> Callable[..., paddle.Tensor]:
    """Returns a deformable attention's core that notes what it samples.

    Its arguments are the values, the levels' sizes, where they start in RT-DETR's first version and its elders, the
    sampled points [1, queries, heads, ...] and their weights.
    """

    def noting(values: paddle.Tensor, shapes: paddle.Tensor, *rest: paddle.Tensor) -> paddle.Tensor:
        values = _with_graph(values)
        output = _with_graph(core(values, shapes, *rest))
        *starts, points, weights = rest

        def sample(others: paddle.Tensor, query: int) -> paddle.Tensor:
            own = slice(query, query + 1)
            return core(others, shapes, *starts, points[:, own].detach(), weights[:, own].detach())

        looks[path] = SampledLook(output, values, sample, Tokens(0, grids_of(shapes)))
        return output

    return noting


def grids_of(shapes: paddle.Tensor | Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Returns height and width of each level, as deformable attention is given them."""
    rows = shapes.tolist() if isinstance(shapes, paddle.Tensor) else shapes
    return tuple((int(height), int(width)) for height, width in rows)


def _with_graph(tensor: paddle.Tensor) -> paddle.Tensor:
    """Returns the tensor; as a leaf of the graph where it has none, as everything before it is frozen."""
    if not tensor.stop_gradient or not paddle.is_grad_enabled():
        return tensor
    leaf = tensor.detach()
    leaf.stop_gradient = False
    return leaf
