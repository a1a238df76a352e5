"""What was measured of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# the map that knows the box alone, to which each is held in the sanity check
SANITY_BASELINE = "centred_gaussian"


@dataclass(frozen=True)
class Measured:
    """One map of one box, measured.

    Attributes:
        method: name of the method, with its target if that is not the class score, or of a baseline.
        layer: the layers looked at, joined by commas; "" for what looks at none.
        values: metric -> number.
        deletion, insertion: the normalised scores at equal steps of the image's area; empty if not measured.
    """

    method: str
    layer: str
    values: Mapping[str, float]
    deletion: tuple[float, ...] = ()
    insertion: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sanity:
    """How alike a map is to itself when parts of the model are random, and to a map that knows the box alone.

    Attributes:
        method, layer: as `Measured` has them.
        spearman, ssim: after each part, from the output on; last, the trained model's map with SANITY_BASELINE.
    """

    method: str
    layer: str
    spearman: tuple[float, ...]
    ssim: tuple[float, ...]


@dataclass(frozen=True)
class Place:
    """A detection that found an object, and its maps.

    Attributes:
        index: the detection's.
        class_name: its class.
        score: its score.
        evidence: "inside" or "outside" the box, "" where none is known.
        maps: measured.
        agreement: rank correlation of each question's map with each one's after it, row by row; empty if not asked for.
        sanity: of the methods that look at feature maps.
    """

    index: int
    class_name: str
    score: float
    evidence: str
    maps: tuple[Measured, ...]
    agreement: tuple[float, ...] = ()
    sanity: tuple[Sanity, ...] = ()


@dataclass(frozen=True)
class ImageMeasurement:
    """All that was measured of one image.

    Attributes:
        objects: how many it has.
        places: those that were found.
    """

    objects: int
    places: tuple[Place, ...]
