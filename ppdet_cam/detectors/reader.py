"""What a ppdet reader does to pixel positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.errors import ConfigError, GeometryError
from ppdet_cam.structures import ImageGeometry

# Reader operations after which pixel (x, y) of the original still lies at (x * scale_x, y * scale_y).
PLACE_KEEPING = {
    "Decode": "reads the image",
    "Resize": "scales, and says by how much in scale_factor",
    "NormalizeImage": "changes values only",
    "Permute": "changes the axes' order only",
    "PadBatch": "pads right and bottom",
    "PadMaskBatch": "pads right and bottom",
    "Pad": "pads right and bottom (offset_mode -1)",
    "Gt2SparseTarget": "notes sizes only",
}
# Those after which it lies elsewhere, by a scale and an offset that are known.
PLACE_MOVING = {
    "LetterBoxResize": "scales, and pads on all sides",
    "WarpAffine": "scales or pads on all sides, around the image's middle",
}
# A scale and an offset of one operation are not put together with those of another.
SCALING = {"Resize", *PLACE_MOVING}

Operation = Mapping[str, Mapping[str, object]]


def operations(reader: Mapping[str, object], key: str) -> list[Operation]:
    """Returns the operations listed under `key` ("sample_transforms" or "batch_transforms").

    Raises:
        ConfigError: the list is malformed.
        GeometryError: an operation moves pixels in a way that maps cannot be traced back through.
    """
    listed = reader.get(key) or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ConfigError(f"TestReader.{key} must be a list of operations such as '- Resize: {{...}}', not {listed!r}")
    for item in listed:
        for name, arguments in item.items():
            if arguments is not None and not isinstance(arguments, dict):
                raise ConfigError(
                    f"TestReader.{key}: {name} has {arguments!r} where its arguments by name are wanted, "
                    f"such as '- {name}: {{...}}'"
                )
            _check_place_keeping(str(name), arguments or {})
    names = [str(name) for item in listed for name in item]
    scaling = [name for name in names if name in SCALING]
    if len(scaling) > 1 and not PLACE_MOVING.keys().isdisjoint(scaling):
        raise GeometryError(
            f"TestReader uses {' and '.join(scaling)}, and where both together put a pixel is not known here, so maps "
            "could land in the wrong place. Use one of them"
        )
    return [{str(name): dict(arguments or {}) for name, arguments in item.items()} for item in listed]


def _check_place_keeping(name: str, arguments: Mapping[str, object]) -> None:
    known = {**PLACE_KEEPING, **PLACE_MOVING}
    if name not in known or (name == "Pad" and arguments.get("offset_mode", -1) != -1):
        raise GeometryError(
            f"TestReader uses {name}{dict(arguments) or ''}, and where it puts a pixel is not known here, so maps "
            f"could land in the wrong place. Known: {', '.join(f'{op} ({why})' for op, why in known.items())}"
        )


@dataclass(frozen=True)
class Placement:
    """Where an operation puts the image.

    Attributes:
        scale_yx: pixels after it per pixel before it.
        offset_yx: where the image's top left corner lies after it.
    """

    scale_yx: tuple[float, float]
    offset_yx: tuple[float, float]


def placement_by(operation: object, image_hw: tuple[int, int]) -> Placement | None:
    """Returns where an operation puts an image of this size, None for one that tells all in `scale_factor`."""
    name = type(operation).__name__
    if name == "LetterBoxResize":
        return _letter_box(image_hw, operation.target_size)  # type: ignore[attr-defined]
    if name == "WarpAffine":
        return _warp(image_hw, operation)
    return None


def _letter_box(image_hw: tuple[int, int], target_hw: Sequence[int]) -> Placement:
    """The image, scaled to a whole number of pixels, stands in the middle; an odd pixel is to the right or below."""
    ratio = min(target / length for target, length in zip(target_hw, image_hw))
    scaled = [round(length * ratio) for length in image_hw]
    offsets = [round((target - length) / 2 - 0.1) for target, length in zip(target_hw, scaled)]
    return Placement(
        (scaled[0] / image_hw[0], scaled[1] / image_hw[1]),
        (float(offsets[0]), float(offsets[1])),
    )


def _warp(image_hw: tuple[int, int], operation: object) -> Placement:
    """The image's middle, as an index of pixels, comes to the middle of the input; cv2 takes indices for places."""
    if operation.keep_res:  # type: ignore[attr-defined]
        sizes = [(length | operation.pad) + 1 for length in image_hw]  # type: ignore[attr-defined]
        middles, scale = [float(length // 2) for length in image_hw], 1.0
    else:
        sizes = [operation.input_h, operation.input_w]  # type: ignore[attr-defined]
        middles, scale = [length / 2 for length in image_hw], sizes[1] / max(image_hw)
    offsets = [size / 2 - scale * middle + (1 - scale) / 2 for size, middle in zip(sizes, middles)]
    return Placement((scale, scale), (offsets[0], offsets[1]))


def geometry_of(
    original_hw: tuple[int, int], input_shape: Sequence[int], scale_factor: np.ndarray, placed: Placement | None = None
) -> ImageGeometry:
    """Returns where the image lies in the network input.

    Args:
        original_hw: size of the decoded image.
        input_shape: [1, C, H, W] of the network input.
        scale_factor: ppdet's (y, x) factors for this image.
        placed: where an operation has put it that moves it; None where the factors tell all.
    """
    placed = placed or Placement((float(scale_factor[0]), float(scale_factor[1])), (0.0, 0.0))
    return ImageGeometry(
        original_hw=original_hw,
        padded_hw=(int(input_shape[2]), int(input_shape[3])),
        scale_yx=placed.scale_yx,
        offset_yx=placed.offset_yx,
    )
