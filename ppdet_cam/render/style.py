"""How pictures are coloured: `--colormap`, `--alpha`, `--mask`, `--scale` and `--normalize`, checked once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2

from ppdet_cam.errors import ConfigError
from ppdet_cam.registry import closest

_PREFIX = "COLORMAP_"
_CYCLIC = ("hsv", "twilight", "twilight_shifted")  # their coldest and hottest look alike

# OpenCV's tables by their names in lower case
COLORMAPS: Mapping[str, int] = MappingProxyType(
    {
        name: getattr(cv2, _PREFIX + name.upper())
        for name in (constant[len(_PREFIX) :].lower() for constant in dir(cv2) if constant.startswith(_PREFIX))
        if name not in _CYCLIC
    }
)
NORMALIZATIONS = ("box", "image", "run")
MASKS = ("none", "box", "box:FACTOR")
SCALES = ("max", "percentile:P")


def parse_alpha(text: str) -> float:
    """Returns the opacity that a value of `--alpha` stands for.

    Raises:
        ConfigError: no number from 0 to 1.
    """
    try:
        alpha = float(text)
    except ValueError as error:
        raise _alpha_error(text) from error
    if not 0.0 <= alpha <= 1.0:
        raise _alpha_error(text)
    return alpha


def parse_mask(text: str) -> float | None:
    """Returns how many times the box is widened, 1 for "box", None for "none".

    Raises:
        ConfigError: neither of them, nor "box:FACTOR" with a factor of 1 or more.

    Example:
        >>> parse_mask("none"), parse_mask("box"), parse_mask("box:1.5")
        (None, 1.0, 1.5)
    """
    if text == "none":
        return None
    if text == "box":
        return 1.0
    factor, number = _number_after("box", text, flag="--mask", supported=MASKS, example="box:1.5")
    if not 1.0 <= factor < math.inf:
        raise ConfigError(f"--mask {text!r}: the factor must be a number of 1 or more, e.g. box:1.5, not {number!r}")
    return factor


def parse_scale(text: str) -> float:
    """Returns the percentile at which colours end, 100 for "max".

    Raises:
        ConfigError: neither "max" nor "percentile:P" with a P above 0 and at most 100.

    Example:
        >>> parse_scale("max"), parse_scale("percentile:99.5")
        (100.0, 99.5)
    """
    if text == "max":
        return 100.0
    percentile, number = _number_after("percentile", text, flag="--scale", supported=SCALES, example="percentile:99.5")
    if not 0.0 < percentile <= 100.0:
        raise ConfigError(
            f"--scale {text!r}: the percentile must be a number above 0 and at most 100, e.g. percentile:99.5, not "
            f"{number!r}"
        )
    return percentile


def _number_after(kind: str, text: str, *, flag: str, supported: Sequence[str], example: str) -> tuple[float, str]:
    """Returns the number of "kind:NUMBER", nan where it is none, and how it was written."""
    head, colon, number = text.partition(":")
    if head != kind or not colon:
        raise ConfigError(
            f"{flag} {text!r} is not supported{closest(text.lower(), list(supported))}. Supported: "
            f"{', '.join(supported)}, e.g. {example}"
        )
    try:
        return float(number), number
    except ValueError:
        return math.nan, number


def _alpha_error(given: object) -> ConfigError:
    return ConfigError(f"--alpha must be a number from 0 (invisible) to 1 (opaque), not {given!r}")


def _check_name(flag: str, given: str, allowed: list[str]) -> None:
    if given not in allowed:
        raise ConfigError(
            f"{flag} {given!r} is not supported{closest(given.lower(), allowed)}. Supported: {', '.join(allowed)}"
        )


@dataclass(frozen=True)
class RenderStyle:
    """How the heat of a map becomes colour.

    Attributes:
        colormap: a name among `COLORMAPS`.
        alpha: opacity of the hottest spot, 0 to 1.
        mask: "none"; "box" shows heat in the box only; "box:1.5" in the box widened 1.5 times about its centre.
        normalize: whose end of scale gets the hottest colour: of each "box", of the "image", of the "run". For the
            last two, the drawing functions are given that value.
        scale: where a map's scale ends: "max", its highest value; "percentile:P", the value that all but 100 - P in a
            hundred of as many pixels as the box has stay below, one pixel at least.

    Raises:
        ConfigError: one of them is not allowed.

    Example:
        >>> RenderStyle(mask="box:1.5").mask_factor
        1.5
    """

    # Plasma was chosen by looking, on dark, green and warm photographs. Its lightness rises evenly with the heat, it is
    # safe for colour-blind eyes, and unlike inferno it starts at violet, not at a black that looks like a shadow.
    colormap: str = "plasma"
    alpha: float = 0.8
    mask: str = "none"
    normalize: str = "box"
    scale: str = "percentile:98"

    def __post_init__(self) -> None:
        _check_name("--colormap", self.colormap, list(COLORMAPS))
        if not 0.0 <= self.alpha <= 1.0:
            raise _alpha_error(self.alpha)
        parse_mask(self.mask)
        parse_scale(self.scale)
        _check_name("--normalize", self.normalize, list(NORMALIZATIONS))

    @classmethod
    def from_flags(cls, values: Mapping[str, str]) -> RenderStyle:
        """Returns the style of command-line values, by the names of `STYLE_OPTIONS`; the others keep their defaults.

        Raises:
            ConfigError: a name or a value is not allowed.

        Example:
            >>> RenderStyle.from_flags({"colormap": "jet", "alpha": "0.5"})
            RenderStyle(colormap='jet', alpha=0.5, mask='none', normalize='box', scale='percentile:98')
        """
        names = [option.name for option in STYLE_OPTIONS]
        for name in values:
            _check_name("style option", name, names)
        return cls(
            colormap=values.get("colormap", cls.colormap),
            alpha=parse_alpha(values["alpha"]) if "alpha" in values else cls.alpha,
            mask=values.get("mask", cls.mask),
            normalize=values.get("normalize", cls.normalize),
            scale=values.get("scale", cls.scale),
        )

    @property
    def mask_factor(self) -> float | None:
        """How many times the box is widened to show the heat in; None to show it everywhere."""
        return parse_mask(self.mask)

    @property
    def percentile(self) -> float:
        """Where a map's scale ends, 100 for its highest value."""
        return parse_scale(self.scale)

    def flags(self) -> dict[str, object]:
        """Returns the values by the names of their flags, as `run.json` holds them."""
        return dataclasses.asdict(self)


DEFAULT_STYLE = RenderStyle()


@dataclass(frozen=True)
class StyleOption:
    """A flag of the command line.

    Attributes:
        name: of the flag without its dashes, and of the attribute of `RenderStyle`.
        default: as text.
        metavar: what stands for the value in the help.
        help: one sentence, for argparse.
    """

    name: str
    default: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        return f"--{self.name}"


# To be parsed by `RenderStyle.from_flags`, not by argparse's `type`, which replaces a ValueError's words by its own.
STYLE_OPTIONS = (
    StyleOption(
        "colormap",
        DEFAULT_STYLE.colormap,
        "NAME",
        f"colours of the heat: {', '.join(COLORMAPS)} (default: %(default)s)",
    ),
    StyleOption(
        "alpha",
        str(DEFAULT_STYLE.alpha),
        "OPACITY",
        "opacity of the hottest spot, 0 to 1 (default: %(default)s)",
    ),
    StyleOption(
        "mask",
        DEFAULT_STYLE.mask,
        "MASK",
        "where heat is shown: none (everywhere), box (in the box only), box:FACTOR (in the box widened about its "
        "centre, e.g. box:1.5) (default: %(default)s)",
    ),
    StyleOption(
        "normalize",
        DEFAULT_STYLE.normalize,
        "SCOPE",
        "whose end of scale gets the hottest colour: of each box, of the image, of the run (default: %(default)s)",
    ),
    StyleOption(
        "scale",
        DEFAULT_STYLE.scale,
        "SCALE",
        "where a map's scale ends: max (its highest value), percentile:P (the value that is exceeded by 100 - P in a "
        "hundred of as many pixels as the box has, and by one at least) (default: %(default)s)",
    ),
)
