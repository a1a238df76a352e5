"""What a deployment file has done to an image before the network sees it, as PaddleDetection's deploy/python does it.

After each operation the image lies in a known place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ppdet_cam.detectors.workspace import first_line
from ppdet_cam.errors import ConfigError, GeometryError, ImageError
from ppdet_cam.registry import closest
from ppdet_cam.structures import Frame

# Image in the making, uint8 or float32 [H, W, 3], what the network is told of it, and whether it is scaled.
Step = Callable[["Prepared"], "Prepared"]

HIGHEST = 2**31  # of a deployment file's numbers: OpenCV counts pixels and paddle takes numbers below it
_LOWEST = 1e-12  # of what is divided by, so that values stay finite


@dataclass(frozen=True)
class Prepared:
    """An image on its way into the network.

    Attributes:
        image: [H, W, 3] RGB, or [3, H, W] after `Permute`.
        im_shape: its height and width after it was scaled, without what was added around it.
        scale_yx: pixels of it per pixel of the original.
    """

    image: np.ndarray
    im_shape: tuple[float, float]
    scale_yx: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Preprocess:
    """The operations on one image, in their order.

    Attributes:
        names: what they are called.
        steps: what they do.
    """

    names: tuple[str, ...]
    steps: tuple[Step, ...] = field(compare=False)

    def inputs(self, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        """Returns what the network is given for images of one size, as one batch.

        Returns:
            `image` float32 [N, 3, h, w], `im_shape` and `scale_factor` float32 [N, 2], along y and x.

        Raises:
            ImageError: an operation does not suit the image.
        """
        prepared = [self._prepared(frame) for frame in frames]
        return {
            "image": np.stack([np.asarray(one.image, np.float32) for one in prepared]),
            "im_shape": np.array([one.im_shape for one in prepared], np.float32),
            "scale_factor": np.array([one.scale_yx for one in prepared], np.float32),
        }

    def _prepared(self, frame: Frame) -> Prepared:
        height, width = frame.original_hw
        prepared = Prepared(frame.image, (float(height), float(width)))
        for name, step in zip(self.names, self.steps):
            try:
                prepared = step(prepared)
            except (cv2.error, ValueError, IndexError, TypeError, ArithmeticError, MemoryError) as error:
                raise ImageError(
                    f"{name} of the deployment file fails on {frame.path or 'the image'} ({height} x {width} pixels): "
                    f"{first_line(error)}. Check its arguments, and whether they suit the image"
                ) from error
        return prepared


def preprocess_of(listed: object, file: Path) -> Preprocess:
    """Returns the operations that a deployment file lists.

    Args:
        listed: its `Preprocess`.
        file: its name.

    Raises:
        ConfigError: the list is malformed.
        GeometryError: an operation is not known, so that nobody could tell where it puts a pixel.
    """
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) and "type" in item for item in listed):
        raise ConfigError(f"{file}: Preprocess must be a list of operations with a 'type' each, not {listed!r}")
    names, steps = [], []
    for item in listed:
        name = str(item["type"])
        if name not in OPERATIONS:
            raise GeometryError(
                f"{file}: Preprocess uses {name}, and where it puts a pixel is not known here, so maps could land in "
                f"the wrong place{closest(name, list(OPERATIONS))}. Known: {', '.join(OPERATIONS)}"
            )
        arguments = {str(key): value for key, value in item.items() if key != "type"}
        try:
            steps.append(OPERATIONS[name](**arguments))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{file}: {name} cannot be made of {arguments}: {error}") from error
        names.append(name)
    return Preprocess(tuple(names), tuple(steps))


def _pair(value: object, what: str) -> tuple[int, int]:
    values = [value, value] if isinstance(value, int) else value
    if not isinstance(values, (list, tuple)) or len(values) < 2 or not all(isinstance(one, int) for one in values):
        given = ", and is not there" if value is None else f", not {value!r}"
        raise ValueError(f"{what} must be a whole number, or two for height and width{given}")
    height, width = values[0], values[1]
    if not (0 < height < HIGHEST and 0 < width < HIGHEST):
        raise ValueError(f"{what} must be above 0 and below {HIGHEST}, not {value!r}")
    return height, width


def _are_three(values: object) -> bool:
    """Whether they are a number for each channel."""
    if not isinstance(values, (list, tuple)) or len(values) != 3:
        return False
    return all(isinstance(one, (int, float)) and abs(one) < HIGHEST for one in values)


def _check_whole(least: int, **lengths: object) -> None:
    for name, value in lengths.items():
        if not isinstance(value, int) or not least <= value < HIGHEST:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _resize(target_size: object = None, keep_ratio: bool = True, interp: int = cv2.INTER_LINEAR, **_: object) -> Step:
    target_hw = _pair(target_size, "target_size")

    def step(prepared: Prepared) -> Prepared:
        height, width = prepared.image.shape[:2]
        scale_yx = target_hw[0] / height, target_hw[1] / width
        if keep_ratio:
            scale = min(target_hw) / min(height, width)
            if np.round(scale * max(height, width)) > max(target_hw):
                scale = max(target_hw) / max(height, width)
            scale_yx = scale, scale
        image = cv2.resize(prepared.image, None, None, fx=scale_yx[1], fy=scale_yx[0], interpolation=interp)
        return Prepared(image, (float(image.shape[0]), float(image.shape[1])), scale_yx)

    return step


def _normalize(
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    is_scale: bool = True,
    norm_type: str = "mean_std",
    **_: object,
) -> Step:
    if not _are_three(mean) or not _are_three(std) or any(abs(one) < _LOWEST for one in std):
        raise ValueError(f"mean and std must be three numbers each, no std of 0, not {mean!r} and {std!r}")

    def normalized(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float32)
        if is_scale:
            values *= 1.0 / 255.0
        if norm_type == "mean_std":
            values -= np.asarray(mean)
            values /= np.asarray(std)
        return values

    of_byte = np.ascontiguousarray(normalized(np.repeat(np.arange(256)[:, None], 3, axis=1)))[None]

    def step(prepared: Prepared) -> Prepared:
        whole = prepared.image.dtype == np.uint8  # then each value is one of 256
        image = cv2.LUT(prepared.image, of_byte) if whole else normalized(prepared.image)
        return Prepared(image, prepared.im_shape, prepared.scale_yx)

    return step


def _permute(**_: object) -> Step:
    def step(prepared: Prepared) -> Prepared:
        planes = np.empty((3, *prepared.image.shape[:2]), prepared.image.dtype)
        for channel in range(3):  # some twenty times as fast as a copy of the transposed array
            cv2.extractChannel(prepared.image, channel, planes[channel])
        return Prepared(planes, prepared.im_shape, prepared.scale_yx)

    return step


def _pad_stride(stride: int = 0, **_: object) -> Step:
    _check_whole(-1, stride=stride)

    def step(prepared: Prepared) -> Prepared:
        if stride <= 0:
            return prepared
        height, width = prepared.image.shape[1:]
        rows, columns = (math.ceil(length / stride) * stride - length for length in (height, width))
        image = np.pad(np.asarray(prepared.image, np.float32), ((0, 0), (0, rows), (0, columns)))
        return Prepared(image, prepared.im_shape, prepared.scale_yx)

    return step


def _pad(size: object = None, fill_value: Sequence[float] = (114.0, 114.0, 114.0), **_: object) -> Step:
    size_hw = _pair(size, "size")
    if not _are_three(fill_value):
        raise ValueError(f"fill_value must be three numbers, not {fill_value!r}")

    def step(prepared: Prepared) -> Prepared:
        height, width = prepared.image.shape[:2]
        canvas = np.empty((*size_hw, 3), np.float32)
        canvas[:] = fill_value
        canvas[:height, :width] = prepared.image
        return Prepared(canvas, prepared.im_shape, prepared.scale_yx)

    return step


def _letter_box(target_size: object = None, **_: object) -> Step:
    target_hw = _pair(target_size, "target_size")

    def step(prepared: Prepared) -> Prepared:
        height, width = prepared.image.shape[:2]
        ratio = min(target_hw[0] / height, target_hw[1] / width)
        rows, columns = round(height * ratio), round(width * ratio)
        gaps = (target_hw[0] - rows) / 2, (target_hw[1] - columns) / 2
        (top, bottom), (left, right) = ((round(gap - 0.1), round(gap + 0.1)) for gap in gaps)
        image = cv2.resize(prepared.image, (columns, rows), interpolation=cv2.INTER_AREA)
        image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(127.5, 127.5, 127.5))
        return Prepared(image, (float(rows), float(columns)), (ratio, ratio))

    return step


def _warp(keep_res: bool = False, pad: int = 31, input_h: int = 512, input_w: int = 512, **_: object) -> Step:
    _check_whole(0, pad=pad)
    _check_whole(1, input_h=input_h, input_w=input_w)

    def step(prepared: Prepared) -> Prepared:
        height, width = prepared.image.shape[:2]
        if keep_res:
            size_wh, scale = ((width | pad) + 1, (height | pad) + 1), 1.0
            middle = float(width // 2), float(height // 2)
        else:
            size_wh, middle, scale = (input_w, input_h), (width / 2, height / 2), input_w / max(height, width)
        matrix = np.array(
            [[scale, 0.0, size_wh[0] * 0.5 - scale * middle[0]], [0.0, scale, size_wh[1] * 0.5 - scale * middle[1]]]
        )
        bgr = cv2.cvtColor(prepared.image, cv2.COLOR_RGB2BGR)
        return Prepared(
            cv2.warpAffine(bgr, matrix, size_wh, flags=cv2.INTER_LINEAR), prepared.im_shape, prepared.scale_yx
        )

    return step


OPERATIONS: dict[str, Callable[..., Step]] = {
    "Resize": _resize,
    "NormalizeImage": _normalize,
    "Permute": _permute,
    "PadStride": _pad_stride,
    "Pad": _pad,
    "LetterBoxResize": _letter_box,
    "WarpAffine": _warp,
}
