"""Colours: of classes, of what stands on them, and of the frame around pictures."""

from __future__ import annotations

from itertools import product

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
BACKGROUND: Colour = (24, 26, 31)
BRIGHT_TEXT: Colour = (240, 240, 242)
DIM_TEXT: Colour = (168, 172, 180)
BANNER: Colour = (250, 204, 80)
BAR_BASE: Colour = (128, 128, 128)
ASKED: Colour = (64, 240, 255)

# The colours of ppdet's boxes: the first 40 of ppdet.utils.colormap.colormap(rgb=True), which come from Detectron.
# Nine single ones, six of the full hues, then grids of thirds of red and green at rising blue.
_THIRDS = (0, 84, 170, 255)
_CLASS_COLOURS: tuple[Colour, ...] = (
    *((0, 113, 188), (216, 82, 24), (236, 176, 31), (125, 46, 141), (118, 171, 47), (76, 189, 237), (161, 19, 46)),
    *((76, 76, 76), (153, 153, 153)),
    *((255, 0, 0), (255, 127, 0), (190, 190, 0), (0, 255, 0), (0, 0, 255), (170, 0, 255)),
    *((red, green, 0) for red, green in product(_THIRDS[1:], repeat=2)),
    *((red, green, 127) for red, green in product(_THIRDS, repeat=2) if red or green),
    (0, 84, 255),
)


def class_colour(class_id: int) -> Colour:
    """Returns the colour of a class, RGB, from the 40 that ppdet.utils.visualizer.draw_bbox draws boxes in.

    One deviation: ppdet draws lots for each class anew in every image; here class i has colour i, modulo 40, so that
    a class looks the same in all pictures.

    Example:
        >>> class_colour(0), class_colour(40)
        ((0, 113, 188), (0, 113, 188))
    """
    return _CLASS_COLOURS[class_id % len(_CLASS_COLOURS)]


def contrasting(background: Colour) -> Colour:
    """Returns black or white, whichever stands out more against a colour."""
    return max((BLACK, WHITE), key=lambda colour: contrast(colour, background))


def contrast(one: Colour, other: Colour) -> float:
    """Returns the contrast ratio of two colours, 1 to 21, as WCAG 2.1 defines it (4.5 and above is readable)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    """Returns the relative luminance of an sRGB colour, 0 to 1 (WCAG 2.1)."""
    red, green, blue = (
        value / 255 / 12.92 if value / 255 <= 0.04045 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
