"""What a ppdet reader does to pixel positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    "Pad": "pads right and bottom (offset_mode -1)",
    "Gt2SparseTarget": "notes sizes only",
}

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
    return [{str(name): dict(arguments or {}) for name, arguments in item.items()} for item in listed]


def _check_place_keeping(name: str, arguments: Mapping[str, object]) -> None:
    if name not in PLACE_KEEPING or (name == "Pad" and arguments.get("offset_mode", -1) != -1):
        raise GeometryError(
            f"TestReader uses {name}{dict(arguments) or ''}, and where it puts a pixel is not known here, so maps "
            f"could land in the wrong place. Known: {', '.join(f'{op} ({why})' for op, why in PLACE_KEEPING.items())}"
        )


def geometry_of(original_hw: tuple[int, int], input_shape: Sequence[int], scale_factor: np.ndarray) -> ImageGeometry:
    """Returns where the image lies in the network input.

    Args:
        original_hw: size of the decoded image.
        input_shape: [1, C, H, W] of the network input.
        scale_factor: ppdet's (y, x) factors for this image.
    """
    return ImageGeometry(
        original_hw=original_hw,
        padded_hw=(int(input_shape[2]), int(input_shape[3])),
        scale_yx=(float(scale_factor[0]), float(scale_factor[1])),
    )
