"""A config's reader: one image, or several as a batch -> the network's inputs, and where the image lies in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

import paddle  # isort: skip

from ppdet_cam.detectors.reader import Placement, geometry_of, placement_by
from ppdet_cam.detectors.workspace import Sample, first_line
from ppdet_cam.errors import ImageError
from ppdet_cam.structures import Frame, ImageGeometry

# What every network is given, and what some are, where an operation of the reader adds it.
ALWAYS = ("image", "im_shape", "scale_factor", "im_id")
# pad_mask: for transformers, 1 where the image lies
WHERE_ADDED = ("img_whwh", "scale_factor_whwh", "ori_shape", "pad_mask")


@dataclass(frozen=True)
class Preprocessing:
    """The operations of `TestReader`.

    Attributes:
        sample_transforms: work on one image.
        batch_transforms: work on a list of them.
    """

    sample_transforms: Sequence[Callable[..., Sample]]
    batch_transforms: Sequence[Callable[..., list[Sample]]]

    def prepare(self, frame: Frame) -> tuple[dict[str, paddle.Tensor], ImageGeometry]:
        """Returns the network inputs of one image and where the image lies in them."""
        height, width = frame.original_hw
        sample: Sample = {
            "im_id": np.array([0]),
            "image": frame.image.copy(),
            "h": height,
            "w": width,
            "im_shape": np.array([height, width], dtype=np.float32),
            "scale_factor": np.array([1.0, 1.0], dtype=np.float32),
        }
        running: object = None
        placed: Placement | None = None
        try:
            for running in self.sample_transforms:
                placed = placement_by(running, sample["image"].shape[:2]) or placed
                sample = running(sample)
            for running in self.batch_transforms:
                (sample,) = running([sample])
        except Exception as error:  # anything: ppdet's operations check little of what they are given
            raise ImageError(
                f"{type(running).__name__} of TestReader fails on {frame.path or 'the image'} ({height} x {width} "
                f"pixels): {first_line(error)}. Check its arguments in the config, and whether they suit the image"
            ) from error
        names = [*ALWAYS, *(name for name in WHERE_ADDED if name in sample)]
        inputs = {name: paddle.to_tensor(np.asarray(sample[name])[None]) for name in names}
        return inputs, geometry_of(frame.original_hw, inputs["image"].shape, np.asarray(sample["scale_factor"]), placed)

    def prepare_batch(self, frames: Sequence[Frame]) -> tuple[dict[str, paddle.Tensor], ImageGeometry]:
        """Returns the network inputs of images of one size as one batch, and where each image lies in them."""
        prepared, geometries = zip(*(self.prepare(frame) for frame in frames))
        return {name: paddle.concat([inputs[name] for inputs in prepared]) for name in prepared[0]}, geometries[0]
