"""The maps of an image's boxes as arrays, in one compressed file: in the image's pixels, or on the feature grids."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.polygons import corners_of
from ppdet_cam.structures import Detection, Explanation, GridMap, GridPlacement, MapStatus

RAW_DTYPES = ("float16", "float32")
RAW_FRAMES = ("image", "grid")

_NOWHERE = GridPlacement((0.0, 0.0), (0.0, 0.0))


@dataclass(frozen=True)
class RawMap:
    """One box's map as it is stored.

    Attributes:
        name: file stem of what is written about the box.
        detection: the box.
        values: [ceil(H / reduction), ceil(W / reduction)], 0 to 1: the map divided by its maximum.
        scale: that maximum; 0 for a map that shows nothing.
    """

    name: str
    detection: Detection
    values: np.ndarray
    scale: float


@dataclass(frozen=True)
class RawGrids:
    """One box's maps on the feature grids as they are stored.

    Attributes:
        name: file stem of what is written about the box.
        detection: the box.
        grids: each level's map divided by the highest value of them all; none for a box without a candidate.
        layers: dotted path of each level's layer.
        levels: its position among the feature maps that the layer gave.
        scale: that highest value; 0 for a map that shows nothing.
    """

    name: str
    detection: Detection
    grids: tuple[GridMap, ...]
    layers: tuple[str, ...]
    levels: tuple[int, ...]
    scale: float


def raw_map(explanation: Explanation, *, dtype: str = "float16", reduction: int = 1) -> RawMap:
    """Returns an explanation's map as it is stored.

    Args:
        explanation: whose heatmap is taken.
        dtype: "float16" or "float32".
        reduction: so many pixels along each side are averaged to one value.
    """
    reduced = block_means(explanation.heatmap, reduction)
    scale = float(reduced.max(initial=0.0))
    return RawMap(explanation.name, explanation.detection, _divided(reduced, scale).astype(dtype), scale)


def _divided(values: np.ndarray, scale: float) -> np.ndarray:
    return values / scale if scale > 0 else np.zeros_like(values)


def block_means(heatmap: np.ndarray, block: int) -> np.ndarray:
    """Returns the mean of every block of block x block pixels; the last ones have the pixels that are left.

    Args:
        heatmap: float32 [H, W].
        block: pixels along each side.

    Example:
        >>> block_means(np.array([[1, 3, 5], [1, 3, 7]], np.float32), 2)
        array([[2., 6.]], dtype=float32)
    """
    if block == 1:
        return heatmap
    sums = heatmap
    for axis in (0, 1):
        starts = np.arange(0, heatmap.shape[axis], block)
        lengths = np.diff(np.append(starts, heatmap.shape[axis])).astype(np.float32)
        sums = np.add.reduceat(sums, starts, axis=axis) / (lengths[:, None] if axis == 0 else lengths)
    return sums


def raw_grids(explanation: Explanation, *, dtype: str = "float16") -> RawGrids:
    """Returns an explanation's maps on the feature grids as they are stored.

    Args:
        explanation: whose levels' grids are taken.
        dtype: "float16" or "float32".
    """
    levels = [level for level in explanation.levels if level.grid]
    grids = [level.grid for level in levels if level.grid]
    is_shown = explanation.status is MapStatus.OK
    scale = max((float(grid.values.max(initial=0.0)) for grid in grids), default=0.0) if is_shown else 0.0
    return RawGrids(
        explanation.name,
        explanation.detection,
        tuple(GridMap(_divided(grid.values, scale).astype(dtype), grid.placement) for grid in grids),
        tuple(level.layer for level in levels),
        tuple(level.level for level in levels),
        scale,
    )


def encode_raw(maps: Sequence[RawMap], *, original_hw: tuple[int, int], dtype: str, reduction: int) -> bytes:
    """Returns the content of an image's `maps.npz` in the image's pixels.

    Args:
        maps: of its boxes, K of them.
        original_hw: height and width of the image.
        dtype: of the maps.
        reduction: that they were made with.

    Returns:
        An archive that `numpy.load` reads, with maps [K, h, w], reduction int32 [], and what `_of_boxes` names.
    """
    height, width = (-(-length // reduction) for length in original_hw)
    stack = _Stack((height, width), dtype, [stored.values for stored in maps])
    arrays = {**_of_boxes(maps, original_hw), "reduction": np.array(reduction, np.int32)}
    return _archive({"maps": stack}, arrays)


def encode_grids(maps: Sequence[RawGrids], *, original_hw: tuple[int, int], dtype: str) -> bytes:
    """Returns the content of an image's `maps.npz` on the feature grids.

    Args:
        maps: of its boxes, K of them, on the same N feature maps; a box without a candidate gets zeros.
        original_hw: height and width of the image.
        dtype: of the maps.

    Returns:
        An archive that `numpy.load` reads, with grid_0 [K, h, w], grid_1, ... as many as there are feature maps; layers
        [N], levels int32 [N], top_left_yx and cell_yx float64 [K, N, 2]; and what `_of_boxes` names.
    """
    first = next((stored for stored in maps if stored.grids), None)
    blank = [GridMap(np.zeros_like(grid.values), _NOWHERE) for grid in first.grids] if first else []
    per_box = [stored.grids or blank for stored in maps]
    stacks = {
        f"grid_{number}": _Stack(grid.values.shape, dtype, [grids[number].values for grids in per_box])
        for number, grid in enumerate(blank)
    }
    places = np.array(
        [[(grid.placement.top_left_yx, grid.placement.cell_yx) for grid in grids] for grids in per_box], np.float64
    ).reshape(len(maps), len(blank), 2, 2)
    arrays = {
        **_of_boxes(maps, original_hw),
        "layers": np.array(first.layers if first else (), np.str_),
        "levels": np.array(first.levels if first else (), np.int32),
        "top_left_yx": places[:, :, 0],
        "cell_yx": places[:, :, 1],
    }
    return _archive(stacks, arrays)


def _of_boxes(maps: Sequence[RawMap | RawGrids], original_hw: tuple[int, int]) -> dict[str, np.ndarray]:
    """Returns scale float32 [K], names [K], index int32 [K], class_id int32 [K], scores float32 [K], boxes_xyxy float32
    [K, 4], original_hw int32 [2], and of rotated boxes polygons_xy float32 [K, 4, 2]."""
    detections = [stored.detection for stored in maps]
    rotated = any(detection.polygon_xy is not None for detection in detections)
    corners = [detection.polygon_xy or corners_of(detection.box_xyxy) for detection in detections]
    return {
        "scale": np.array([stored.scale for stored in maps], np.float32),
        "names": np.array([stored.name for stored in maps], np.str_),
        "index": np.array([detection.index for detection in detections], np.int32),
        "class_id": np.array([detection.class_id for detection in detections], np.int32),
        "scores": np.array([detection.score for detection in detections], np.float32),
        "boxes_xyxy": np.array([detection.box_xyxy for detection in detections], np.float32).reshape(-1, 4),
        "original_hw": np.array(original_hw, np.int32),
        **({"polygons_xy": np.array(corners, np.float32)} if rotated else {}),
    }


@dataclass(frozen=True)
class _Stack:
    """Maps of one size and type, to be written as one array."""

    shape: tuple[int, ...]
    dtype: str
    maps: Sequence[np.ndarray]


def _archive(stacks: Mapping[str, _Stack], arrays: Mapping[str, np.ndarray]) -> bytes:
    target = io.BytesIO()
    # as numpy.savez_compressed writes it, but map by map: a stack of large maps is a copy of them all
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, stack in stacks.items():
            shape = (len(stack.maps), *stack.shape)
            header = {"descr": np.dtype(stack.dtype).str, "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)  # type: ignore[no-untyped-call]
                for values in stack.maps:
                    member.write(np.ascontiguousarray(values).data)
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)  # type: ignore[no-untyped-call]
    return target.getvalue()
