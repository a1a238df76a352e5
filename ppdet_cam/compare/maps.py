"""The maps that a run stored, `maps.npz` of an image, on a grid that two runs share."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.writers.raw import block_means


@dataclass(frozen=True)
class StoredMaps:
    """The maps of one image's boxes.

    Attributes:
        by_name: what a box is called in the run's files -> float16 or float32 [h, w], 0 to 1, the map divided by its
            maximum.
        reduction: so many pixels of the image along each side are one value of a map.
        original_hw: height and width of the image.
    """

    by_name: Mapping[str, np.ndarray]
    reduction: int
    original_hw: tuple[int, int]


def read_maps(path: Path) -> StoredMaps:
    """Returns the maps of a `maps.npz`.

    Raises:
        ConfigError: it is not there, or not as a run writes it.
    """
    try:
        # opened here, as numpy leaves a file open that is no archive
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            maps, names = archive["maps"], archive["names"]
            height, width = (int(side) for side in archive["original_hw"])
            reduction = int(archive["reduction"])
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is not there any more") from error
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"{path} is not as a run writes it: {error}") from error
    grid_hw = tuple(-(-side // max(reduction, 1)) for side in (height, width))
    if reduction < 1 or maps.ndim != 3 or maps.shape[1:] != grid_hw or len(maps) != len(names):
        raise ConfigError(
            f"{path} is not as a run writes it: it has {list(maps.shape)} values for {len(names)} boxes of an image of "
            f"{height}x{width} pixels"
        )
    if not np.isfinite(maps).all():
        raise ConfigError(f"{path} is not as a run writes it: it holds infinity, or values that are no numbers")
    return StoredMaps({str(name): heatmap for name, heatmap in zip(names, maps)}, reduction, (height, width))


def shared_reduction(a: StoredMaps, b: StoredMaps) -> int:
    """Returns how many pixels along each side one value stands for when both runs' maps are on one grid."""
    return math.lcm(a.reduction, b.reduction)


def map_on_grid(maps: StoredMaps, name: str, reduction: int) -> np.ndarray | None:
    """Returns a box's map, each value the mean of reduction x reduction pixels; None when it was not stored.

    Args:
        maps: of the image.
        name: what the box is called in the run's files.
        reduction: a multiple of the maps' own.

    Returns:
        float32 [ceil(H / reduction), ceil(W / reduction)], >= 0.
    """
    stored = maps.by_name.get(name)
    return None if stored is None else block_means(stored.astype(np.float32), reduction // maps.reduction)
