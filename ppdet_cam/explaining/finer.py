"""Which layers of a backbone see finer than what it puts out: those that `--refine_by auto` stands for."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence

from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.inner_layers import backbone_grids
from ppdet_cam.errors import LayerError
from ppdet_cam.explaining.projection import nominal_stride

FINE_STRIDES = (2.0, 4.0)
COARSE_STRIDE = 8.0
INPUT_PX = 128  # strides do not depend on it

_found: weakref.WeakKeyDictionary[Detector, tuple[str, ...]] = weakref.WeakKeyDictionary()


def finer_layers(detector: Detector) -> tuple[str, ...]:
    """Returns the last whole layer of the backbone at stride 2, and the one at stride 4; one if only one is there.

    A whole layer lies the least deep in the model: a stage, and not a convolution in it. The backbone runs once, on a
    small empty input, the first time.

    Args:
        detector: with its weights or without.

    Raises:
        LayerError: the backbone has no layer of these strides.

    Example:
        >>> finer_layers(detector)  # of a CSPResNet  # doctest: +SKIP
        ('model.backbone.stem', 'model.backbone.stages.0')
    """
    if detector not in _found:
        _found[detector] = finer_of(backbone_grids(detector, (INPUT_PX, INPUT_PX)), detector.name)
    return _found[detector]


def finer_of(grids: Sequence[tuple[str, tuple[int, int]]], name: str) -> tuple[str, ...]:
    """Returns the finer layers among those of a backbone.

    Args:
        grids: path, and height and width of a feature map, in the order they come, for a network input of INPUT_PX.
        name: of the detector, for the error.

    Raises:
        LayerError: none has one of these strides.
    """
    seen = [(path, nominal_stride(INPUT_PX, rows)) for path, (rows, _) in grids]
    before = list(itertools.takewhile(lambda layer: layer[1] != COARSE_STRIDE, seen))
    of_stride = ([path for path, stride in before if stride == wanted] for wanted in FINE_STRIDES)
    layers = tuple(_last_whole(paths) for paths in of_stride if paths)
    if not layers:
        raise LayerError(
            f"--refine_by auto finds no layer of stride 2 or 4 in the backbone of {name}; name a layer, or "
            "leave --refine_by out. List them: --list_layers"
        )
    return layers


def _last_whole(paths: list[str]) -> str:
    return min(reversed(paths), key=lambda path: path.count("."))
