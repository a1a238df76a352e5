"""The maps of an image's boxes as arrays, in one compressed file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.structures import Detection, Explanation

RAW_DTYPES = ("float16", "float32")


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


def raw_map(explanation: Explanation, *, dtype: str = "float16", reduction: int = 1) -> RawMap:
    """Returns an explanation's map as it is stored.

    Args:
        explanation: whose heatmap is taken.
        dtype: "float16" or "float32".
        reduction: so many pixels along each side are averaged to one value.
    """
    reduced = block_means(explanation.heatmap, reduction)
    scale = float(reduced.max(initial=0.0))
    values = reduced / scale if scale > 0 else np.zeros_like(reduced)
    return RawMap(explanation.name, explanation.detection, values.astype(dtype), scale)


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


def encode_raw(maps: Sequence[RawMap], *, original_hw: tuple[int, int], dtype: str, reduction: int) -> bytes:
    """Returns the content of an image's `maps.npz`.

    Args:
        maps: of its boxes, K of them.
        original_hw: height and width of the image.
        dtype: of the maps.
        reduction: that they were made with.

    Returns:
        An archive that `numpy.load` reads, with maps [K, h, w], scale float32 [K], names [K], index int32 [K], class_id
        int32 [K], scores float32 [K], boxes_xyxy float32 [K, 4], original_hw int32 [2] and reduction int32 [].
    """
    detections = [stored.detection for stored in maps]
    arrays = {
        "scale": np.array([stored.scale for stored in maps], np.float32),
        "names": np.array([stored.name for stored in maps], np.str_),
        "index": np.array([detection.index for detection in detections], np.int32),
        "class_id": np.array([detection.class_id for detection in detections], np.int32),
        "scores": np.array([detection.score for detection in detections], np.float32),
        "boxes_xyxy": np.array([detection.box_xyxy for detection in detections], np.float32).reshape(-1, 4),
        "original_hw": np.array(original_hw, np.int32),
        "reduction": np.array(reduction, np.int32),
    }
    height, width = (-(-length // reduction) for length in original_hw)
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (len(maps), height, width)}
    target = io.BytesIO()
    # as numpy.savez_compressed writes it, but map by map: a stack of large maps is a copy of them all
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("maps.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)  # type: ignore[no-untyped-call]
            for stored in maps:
                member.write(np.ascontiguousarray(stored.values).data)
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)  # type: ignore[no-untyped-call]
    return target.getvalue()
