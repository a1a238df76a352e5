"""What is written of an image: which kinds of files, and how each is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.outputs.manifest import BOX_FILES, IMAGE_FILES
from ppdet_cam.outputs.raw import RAW_DTYPES, RAW_FRAMES
from ppdet_cam.registry import closest
from ppdet_cam.render import (
    RenderStyle,
    draw_clean,
    draw_crop,
    draw_explanation,
    draw_heatmap,
    draw_panel,
    draw_view,
    encode_jpeg,
    encode_png,
)
from ppdet_cam.structures import Explanation, LayerView

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "overlay": "a picture per box: the photo, the map over it, box, label and footer",
        "clean": "a picture per box without box, label and footer: the photo and the map over it, for papers",
        "heatmap": "the colours of each box's map alone, to be laid over the photo",
        "crop": "a close-up of each box",
        "panel": "photo, map and each level's part side by side",
        "raw": "the maps of all boxes of an image as numbers",
        "summary": "all boxes of an image on one picture",
        "photo": "the photo as it was explained",
    }
)
DEFAULT_KINDS = ("overlay",)
REPORT_KINDS = ("heatmap", "photo")
VIDEO_KINDS = ("summary",)  # a video is made of them
LAYER_KINDS = ("panel",)  # of a layer's level, where no box is explained


@dataclass(frozen=True)
class Output:
    """What is written of each image.

    Attributes:
        kinds: names among `KINDS`, in their order.
        style: how maps are coloured.
        raw_dtype: "float16" or "float32".
        raw_reduction: so many pixels along each side are averaged to one value of a raw map.
        raw_frame: "image" for raw maps in the image's pixels, "grid" for those on the feature grids.

    Raises:
        ConfigError: one of them is not allowed.
    """

    kinds: tuple[str, ...] = DEFAULT_KINDS
    style: RenderStyle = RenderStyle()
    raw_dtype: str = RAW_DTYPES[0]
    raw_reduction: int = 1
    raw_frame: str = RAW_FRAMES[0]

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                hint = closest(kind, list(KINDS))
                raise ConfigError(f"--save {kind!r} is not supported{hint}. Supported: {', '.join(KINDS)}")
        if self.raw_dtype not in RAW_DTYPES:
            raise ConfigError(f"--raw_dtype must be {' or '.join(RAW_DTYPES)}, not {self.raw_dtype!r}")
        if self.raw_reduction < 1:
            raise ConfigError(f"--raw_reduction must be at least 1, not {self.raw_reduction}")
        if self.raw_frame not in RAW_FRAMES:
            raise ConfigError(f"--raw_frame must be {' or '.join(RAW_FRAMES)}, not {self.raw_frame!r}")
        if self.raw_frame == "grid" and self.raw_reduction > 1:
            raise ConfigError("--raw_reduction averages pixels, and --raw_frame grid has none; give one of them")
        object.__setattr__(self, "kinds", tuple(kind for kind in KINDS if kind in self.kinds))

    @property
    def box_kinds(self) -> tuple[str, ...]:
        """The kinds of which there is a file per box."""
        return tuple(kind for kind in self.kinds if kind in BOX_FILES)

    @property
    def image_kinds(self) -> tuple[str, ...]:
        """The kinds of which there is a file per image."""
        return tuple(kind for kind in self.kinds if kind in IMAGE_FILES)

    def flags(self) -> dict[str, object]:
        """Returns the values by the names of their flags, as `run.json` holds them."""
        return {
            "save": list(self.kinds),
            "raw_dtype": self.raw_dtype,
            "raw_reduction": self.raw_reduction,
            "raw_frame": self.raw_frame,
            **self.style.flags(),
        }


def encode_box(
    kind: str, photo: np.ndarray, explanation: Explanation, *, style: RenderStyle, highest: float | None
) -> bytes:
    """Returns a box's file of a kind.

    Args:
        kind: a name among `BOX_FILES`.
        photo: uint8 [H, W, 3], RGB.
        explanation: of the box; for a panel with its levels' maps.
        style: how it is coloured.
        highest: the raw value of the hottest colour, None for the end of the map's own scale.
    """
    return _ENCODERS[kind](photo, explanation, style, highest)


def encode_view(photo: np.ndarray, view: LayerView, *, style: RenderStyle) -> bytes:
    """Returns the panel of a layer's level.

    Args:
        photo: uint8 [H, W, 3], RGB.
        view: what the level shows.
        style: how it is coloured.
    """
    return encode_jpeg(draw_view(photo, view, style=style))


def _overlay(photo: np.ndarray, explanation: Explanation, style: RenderStyle, highest: float | None) -> bytes:
    return encode_jpeg(draw_explanation(photo, explanation, style=style, highest=highest))


def _clean(photo: np.ndarray, explanation: Explanation, style: RenderStyle, highest: float | None) -> bytes:
    return encode_png(draw_clean(photo, explanation, style=style, highest=highest))


def _heatmap(photo: np.ndarray, explanation: Explanation, style: RenderStyle, highest: float | None) -> bytes:
    return encode_png(draw_heatmap(explanation, style=style, highest=highest))


def _crop(photo: np.ndarray, explanation: Explanation, style: RenderStyle, highest: float | None) -> bytes:
    return encode_jpeg(draw_crop(photo, explanation, style=style, highest=highest))


def _panel(photo: np.ndarray, explanation: Explanation, style: RenderStyle, highest: float | None) -> bytes:
    levels: Sequence[np.ndarray] = explanation.level_heatmaps
    return encode_jpeg(draw_panel(photo, explanation, levels, style=style, highest=highest))


_ENCODERS: Mapping[str, Callable[[np.ndarray, Explanation, RenderStyle, float | None], bytes]] = {
    "overlay": _overlay,
    "clean": _clean,
    "heatmap": _heatmap,
    "crop": _crop,
    "panel": _panel,
}
