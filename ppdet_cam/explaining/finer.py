"""Which layers of a backbone see finer than what it puts out: for `--method stagecam` and `--refine_by auto`."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from pathlib import Path

from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.inner_layers import BACKBONE, backbone_grids
from ppdet_cam.detectors.looking import look_offsets
from ppdet_cam.errors import LayerError
from ppdet_cam.explaining.projection import nominal_stride

FINE_STRIDES = (2.0, 4.0)
COARSE_STRIDE = 8.0
STAGE_STRIDES = (2.0, 4.0, 8.0, 16.0)
INPUT_PX = 128  # strides do not depend on it
LAST_STRIDE = 64  # nothing that is looked for lies behind a layer so coarse

_Grids = Sequence[tuple[str, tuple[int, int]]]
_Offsets = dict[float, tuple[float, float]]
_found: weakref.WeakKeyDictionary[Detector, _Grids] = weakref.WeakKeyDictionary()
_looking: weakref.WeakKeyDictionary[Detector, tuple[Path | None, _Offsets]] = weakref.WeakKeyDictionary()  # by weights


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
    return finer_of(_grids_of(detector), detector.name)


def stages_of(detector: Detector, path: str) -> tuple[str, ...]:
    """Returns the last whole layers inside a layer at strides 2, 4, 8 and 16, those of them that are there.

    The last before the first layer of the next stride: a network that comes back to fine grids, as an hourglass does,
    has its stages on the way down.

    Args:
        detector: with its weights or without.
        path: of the layer; only the backbone has stages.

    Returns:
        Dotted paths, the finest first; none for other layers, and for a backbone that does not run on an empty input.

    Example:
        >>> stages_of(detector, "model.backbone")  # of a CSPResNet  # doctest: +SKIP
        ('model.backbone.stem', 'model.backbone.stages.0', 'model.backbone.stages.1', 'model.backbone.stages.2')
    """
    if path != BACKBONE:
        return ()
    try:
        return stages_among(_grids_of(detector))
    except LayerError:
        return ()


def looks_from(detector: Detector) -> dict[float, tuple[float, float]]:
    """Returns how far the stages' grids lie from where they look, by their stride; measured once per detector.

    Maps of several strides have to be moved before they are held against each other: at stride 16 cells may look a
    whole cell to the left and above.

    Args:
        detector: with its weights.

    Returns:
        Stride -> the shift down and to the right, in pixels of the network input (`looking.look_offsets`). Of a
        backbone that has no stages, or does not run on an empty input, nothing is known.
    """
    if detector not in _looking or _looking[detector][0] != detector.weights:
        stages = stages_of(detector, BACKBONE)
        _looking[detector] = detector.weights, dict(look_offsets(detector, stages)) if stages else {}
    return _looking[detector][1]


def stages_among(grids: _Grids) -> tuple[str, ...]:
    """Returns the stages among the layers of a backbone, given as for `finer_of`."""
    seen = [(path, nominal_stride(INPUT_PX, rows)) for path, (rows, _) in grids]
    stages = []
    for stride in STAGE_STRIDES:
        first_beyond = next((place for place, (_, found) in enumerate(seen) if found == 2 * stride), len(seen))
        paths = [path for path, found in seen[:first_beyond] if found == stride]
        stages += [_last_whole(paths)] if paths else []
    return tuple(stages)


def _grids_of(detector: Detector) -> _Grids:
    if detector not in _found:
        _found[detector] = backbone_grids(detector, (INPUT_PX, INPUT_PX), last_rows=INPUT_PX // LAST_STRIDE)
    return _found[detector]


def finer_of(grids: _Grids, name: str) -> tuple[str, ...]:
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
