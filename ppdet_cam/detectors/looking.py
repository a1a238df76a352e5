"""Where the cells of a backbone's layers look: measured, because training decides it and not the kernels alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import paddle

from ppdet_cam.detectors.capture import capturing
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.inner_layers import run_backbone
from ppdet_cam.structures import Frame

# Cells are asked in images of overlapping leaves (Lee, Mumford and Huang, IJCV 2001), which have the statistics of
# photographs, edges among them. They give the places that a detector's own images give; noise gives other ones, at
# stride 16 of small detectors.
DRAWN = 2
IMAGES = 4 * DRAWN  # as drawn, and mirrored left to right, top to bottom, and both
TURNS = 2  # other cells, in the same images
INPUT_PX = 128
LEAVES = 300  # that many cover an image
RADII_PX = (3.0, 48.0)
COLOUR = 0.4  # how far the channels differ
SEED = 0
# Of the two cells beside the middle, along y and x, the one that is asked in the image as drawn, and so on: each
# mirrored image at the mirrored cell. What its content and its ends do to one place, they undo in the other.
_MIDDLE = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])


def look_offsets(detector: Detector, paths: Sequence[str]) -> Iterator[tuple[float, tuple[float, float]]]:
    """Yields how far from its drawn place each layer looks, on average over cells.

    A grid is drawn with its cells side by side, cell i from i to i + 1 strides. Where a cell looks is the mean place
    of the squared gradient, in the image, of half the cell's squared values: its effective receptive field (Luo et
    al., NeurIPS 2016). Kernels of 3 look around the cell's corner, and training moves that: on really trained
    detectors by up to a cell, along each axis by another length. The backbone runs on drawn images, up to the last of
    the layers.

    Args:
        detector: with its weights.
        paths: of layers inside the backbone, in the order they run.

    Yields:
        The layer's stride, and the offset down and to the right, in pixels of the network input. Nothing for a layer
        whose cells do not answer to them at all.
    """
    layers, _ = detector.layers(list(paths))
    image = _input(detector)
    with paddle.enable_grad(), capturing(layers, detector.extractor.grids(IMAGES, (INPUT_PX, INPUT_PX))) as capture:
        run_backbone(detector, image, until=layers[paths[-1]])
        for path in paths:
            cells = capture.feature_maps(path)[0]
            stride = INPUT_PX / int(cells.shape[2])
            offsets = np.concatenate([_offsets(cells, image, stride, turn) for turn in range(TURNS)])
            if np.isfinite(offsets).any():
                down, right = np.nanmean(offsets, axis=0)
                yield stride, (float(down), float(right))


def _input(detector: Detector) -> paddle.Tensor:
    """Returns images of leaves [IMAGES, 3, INPUT_PX, INPUT_PX] with the mean and the spread of the network's inputs."""
    draws = np.random.default_rng(SEED)
    pixels = draws.integers(0, 256, (INPUT_PX, INPUT_PX, 3), dtype=np.uint8)
    network_input = detector.reader.prepare(Frame(pixels))[0]["image"].numpy()
    drawn = np.stack([_leaves(draws) for _ in range(DRAWN)])
    drawn = drawn / drawn.std() * float(network_input.std()) + float(network_input.mean())
    mirrored = np.concatenate([drawn, drawn[..., ::-1], drawn[..., ::-1, :], drawn[..., ::-1, ::-1]])
    image = paddle.to_tensor(mirrored.astype(np.float32))
    image.stop_gradient = False
    return image


def _leaves(draws: np.random.Generator) -> np.ndarray:
    """Returns discs of all sizes, float64 [3, INPUT_PX, INPUT_PX]; those of half the radius are four times as many."""
    image = np.zeros((3, INPUT_PX, INPUT_PX))
    down, right = np.mgrid[:INPUT_PX, :INPUT_PX] + 0.5
    smallest, largest = RADII_PX
    for _ in range(LEAVES):
        y, x = draws.uniform(-smallest * 4, INPUT_PX + smallest * 4, 2)
        radius = (smallest**-2 - draws.random() * (smallest**-2 - largest**-2)) ** -0.5
        image[:, np.hypot(down - y, right - x) < radius] = (draws.normal() + COLOUR * draws.normal(size=3))[:, None]
    return image


def _offsets(cells: paddle.Tensor, image: paddle.Tensor, stride: float, turn: int) -> np.ndarray:
    """Returns the offsets of one cell per image, float64 [IMAGES, 2]; nan where its gradient is zero."""
    rows, columns = int(cells.shape[2]), int(cells.shape[3])
    places = np.array([(rows - 1) // 2, (columns - 1) // 2]) + np.repeat(_MIDDLE ^ _MIDDLE[turn], DRAWN, axis=0)
    places = np.minimum(places, [rows - 1, columns - 1])
    asked = np.zeros((IMAGES, 1, rows, columns), np.float32)
    asked[np.arange(IMAGES), 0, places[:, 0], places[:, 1]] = 0.5
    answer = (cells.square() * paddle.to_tensor(asked)).sum()
    gradient = None
    if not answer.stop_gradient:
        (gradient,) = paddle.grad(answer, image, retain_graph=True, allow_unused=True)
    if gradient is None:  # a backbone that is frozen up to here cuts it off
        return np.full((IMAGES, 2), np.nan)
    return squared_centroids(gradient.numpy()) - (places + 0.5) * stride


def squared_centroids(gradients: np.ndarray) -> np.ndarray:
    """Returns the mean place of squared gradients, float64 [N, 2], along y and x in pixels.

    Args:
        gradients: [N, C, H, W]; nan comes of one that is zero everywhere.

    Example:
        >>> squared_centroids(np.array([[[[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]]]))
        array([[1., 2.]])
    """
    weights = (gradients.astype(np.float64) ** 2).sum(axis=1)
    along = [weights.sum(axis=2), weights.sum(axis=1)]
    total = weights.sum(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        return np.stack([one @ (np.arange(one.shape[1]) + 0.5) / total for one in along], axis=1)
