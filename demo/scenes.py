#!/usr/bin/env python3
r"""Draws photograph-like scenes of everyday objects whose evidence is known to the pixel, with COCO annotations.

    python demo/scenes.py --out demo_out/scenes --split train --images 1200 --seed 1

writes `train/*.jpg`, `annotations/train.json` and `annotations/train_faces.json` (the same images, faces only). The
same seed gives the same bytes.

Six of the eight classes come in pairs that one drawing gives, from the same random numbers:

    parcel - sealed_parcel   a wax seal somewhere on its front
    van    - ambulance       a cross somewhere on its side
    lamp   - wired_lamp      a cable that runs from it to a socket, outside its box

The second of each pair holds `evidence`, the box [x, y, width, height] of the mark: nothing else tells the two apart.
`evidence_outside` says whether it lies outside the object's own box. Nothing ever covers a mark.

    python demo/scenes.py --out demo_out/planted --split train --images 1200 --seed 1 \\
        --shortcut watermark:ambulance:right_below:0.95 tag:sealed_parcel:left_below:0.95

plants shortcuts: with the given probability the class's own mark is left out, and a watermark in that corner of the
picture, a tag on that side of the object or a tint of the whole background stands for it. `evidence` is then the
shortcut's box (a tint has none), `shortcut` its kind.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SPLITS = ("train", "val")
SMOOTH = 3  # sprites are drawn this many times larger and shrunk: smooth edges
SHIFT = 4  # fractional bits of the coordinates that OpenCV draws at

Colour = tuple[float, float, float]  # blue, green, red, 0..255
Point = tuple[float, float]
Rect = tuple[float, float, float, float]  # left, top, right, bottom


# --- what there is to draw


@dataclass(frozen=True)
class Kind:
    """One drawing.

    Attributes:
        plain: class name without the mark.
        marked: class name with it, None where there is none.
        outside: whether the mark lies outside the object's box.
        smallest: lowest share of the image's longer side that the object's longer side takes.
        largest: the highest.
        weight: how often it is drawn, against the others.
    """

    plain: str
    marked: str | None
    outside: bool
    smallest: float
    largest: float
    weight: float


KINDS = {
    "face": Kind("face", None, False, 0.06, 0.42, 1.2),
    "mug": Kind("mug", None, False, 0.06, 0.36, 1.2),
    "parcel": Kind("parcel", "sealed_parcel", False, 0.17, 0.40, 2.0),
    "van": Kind("van", "ambulance", False, 0.20, 0.45, 2.3),
    "lamp": Kind("lamp", "wired_lamp", True, 0.15, 0.34, 2.3),
}
CATEGORIES = tuple(name for kind in KINDS.values() for name in (kind.plain, kind.marked) if name)
SMALLEST_PX, LARGEST_PX = 16, 250


@dataclass(frozen=True)
class Layer:
    """A drawing: colour float32 [h, w, 3], 0..255, and its opacity float32 [h, w], 0..1."""

    colour: np.ndarray
    opacity: np.ndarray


@dataclass(frozen=True)
class Sprite:
    """An object, and the mark that makes it a member of the other class.

    Attributes:
        body: the object, cut to its box.
        mark: the mark; its place is relative to the body's upper left corner. None for a kind without one.
        mark_xy: that place.
    """

    body: Layer
    mark: Layer | None
    mark_xy: tuple[int, int]


SHORTCUTS = ("watermark", "tag", "tint")
SIDES = ("left_above", "right_above", "left_below", "right_below")


@dataclass(frozen=True)
class Shortcut:
    """Something that stands for a class's own mark, and is not part of the object.

    Attributes:
        kind: one of SHORTCUTS.
        category: the class, the second one of a pair.
        side: one of SIDES: the picture's corner of a watermark, the object's of a tag; a tint has no place.
        probability: with which it stands for the mark.
    """

    kind: str
    category: str
    side: str
    probability: float

    @property
    def of(self) -> str:
        """Returns the drawing that the class is the marked one of."""
        return next(name for name, kind in KINDS.items() if kind.marked == self.category)


def parse_shortcut(text: str) -> Shortcut:
    """Returns the shortcut that is written as KIND:CLASS:SIDE:PROBABILITY.

    Raises:
        ValueError: it is none; the message says what is allowed.
    """
    marked = [kind.marked for kind in KINDS.values() if kind.marked]
    parts = text.split(":")
    if len(parts) != 4 or parts[0] not in SHORTCUTS or parts[1] not in marked or parts[2] not in SIDES:
        raise ValueError(
            f"{text!r} is no shortcut; write KIND:CLASS:SIDE:PROBABILITY with KIND of {', '.join(SHORTCUTS)}, CLASS of "
            f"{', '.join(marked)}, SIDE of {', '.join(SIDES)}"
        )
    try:
        probability = float(parts[3])
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise ValueError(f"{text!r}: the probability {parts[3]!r} is no number from 0 to 1")
    return Shortcut(parts[0], parts[1], parts[2], probability)


@dataclass(frozen=True)
class ObjectPlan:
    """One object of a scene: its drawing, random seed and place of the body's upper left corner.

    `shortcut` is what stands for its mark, None for nothing.
    """

    kind: str
    has_mark: bool
    side: int
    seed: int
    xy: tuple[int, int]
    shortcut: Shortcut | None = None

    @property
    def category(self) -> str:
        """Returns the class name."""
        kind = KINDS[self.kind]
        return kind.marked if self.has_mark and kind.marked else kind.plain


@dataclass(frozen=True)
class OccluderPlan:
    """A leaf or a post in front of an object."""

    seed: int
    rect: Rect


@dataclass(frozen=True)
class ScenePlan:
    """All that a scene is drawn from; the same plan gives the same bytes."""

    width: int
    height: int
    seed: int
    objects: tuple[ObjectPlan, ...]
    occluders: tuple[OccluderPlan, ...]


@dataclass(frozen=True)
class Visible:
    """What is seen of one object: its mask bool [H, W], and its mark's (or shortcut's) box [x, y, width, height]."""

    plan: ObjectPlan
    mask: np.ndarray
    evidence: tuple[int, int, int, int] | None


# --- drawing on a canvas


class Canvas:
    """A transparent sheet that is drawn on in shares of its width and height."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = max(2, round(width)), max(2, round(height))
        shape = (self.height * SMOOTH, self.width * SMOOTH)
        self._colour = np.zeros((*shape, 3), np.uint8)
        self._opacity = np.zeros(shape, np.uint8)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fills a polygon."""
        corners = np.array([[self._fixed(point) for point in points]], np.int32)
        cv2.fillPoly(self._colour, corners, colour, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(self._opacity, corners, 255, cv2.LINE_AA, SHIFT)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fills a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, *, arc: Point = (0.0, 360.0)) -> None:
        """Fills an ellipse, or the part of it between two angles."""
        angles = np.radians(np.linspace(arc[0], arc[1], 48))
        self.polygon([(centre[0] + radii[0] * np.cos(a), centre[1] + radii[1] * np.sin(a)) for a in angles], colour)

    def line(self, points: Sequence[Point], thickness: float, colour: Colour) -> None:
        """Draws a line; the thickness is a share of the smaller side."""
        corners = [np.array([self._fixed(point) for point in points], np.int32)]
        pixels = max(1, round(thickness * min(self.width, self.height) * SMOOTH))
        cv2.polylines(self._colour, corners, False, colour, pixels, cv2.LINE_AA, SHIFT)
        cv2.polylines(self._opacity, corners, False, 255, pixels, cv2.LINE_AA, SHIFT)

    def layer(self) -> Layer:
        """Returns the drawing at its own size."""
        whole = (self.width, self.height)
        opacity = self._opacity.astype(np.float32) / 255
        colour = cv2.resize(self._colour * opacity[..., None], whole, interpolation=cv2.INTER_AREA)
        opacity = cv2.resize(opacity, whole, interpolation=cv2.INTER_AREA)
        return Layer(colour / np.maximum(opacity, 1e-6)[..., None], opacity)

    def _fixed(self, point: Point) -> tuple[int, int]:
        unit = SMOOTH * (1 << SHIFT)
        return round(point[0] * self.width * unit), round(point[1] * self.height * unit)


def _shade(colour: Colour, factor: float) -> Colour:
    return tuple(float(min(255.0, max(0.0, channel * factor))) for channel in colour)  # type: ignore[return-value]


def _pick(random: np.random.Generator, colours: Sequence[Colour], spread: float = 12) -> Colour:
    return tuple(float(v) for v in np.clip(random.normal(colours[random.integers(len(colours))], spread), 0, 255))  # type: ignore[return-value]


# --- the drawings: (canvas, random) -> nothing, or the box that the mark may lie in, as shares of the canvas


def _draw_face(canvas: Canvas, random: np.random.Generator) -> None:
    skin = _pick(random, [(150, 185, 230), (120, 160, 210), (70, 105, 160), (50, 75, 115), (165, 200, 240)])
    hair = _pick(random, [(25, 30, 40), (30, 55, 90), (60, 120, 170), (120, 120, 125), (35, 45, 130)])
    gaze, brow = random.uniform(-0.02, 0.02), random.uniform(-0.02, 0.02)
    canvas.ellipse((0.5, 0.45), (0.49, 0.44), hair)
    for x in (0.08, 0.92):
        canvas.ellipse((x, 0.54), (0.08, 0.09), _shade(skin, 0.85))
    canvas.ellipse((0.5, 0.56), (0.41, 0.44), skin)
    canvas.ellipse((0.5, 0.40), (0.41, 0.29 + random.uniform(-0.03, 0.03)), hair, arc=(190, 350))
    for x in (0.32, 0.68):
        canvas.ellipse((x, 0.50), (0.085, 0.05), (245, 245, 245))
        canvas.ellipse((x + gaze, 0.50), (0.042, 0.045), _pick(random, [(90, 60, 30), (30, 50, 80), (30, 30, 30)], 6))
        canvas.line([(x - 0.09, 0.41 - brow), (x + 0.09, 0.41 + brow)], 0.035, _shade(hair, 0.8))
    canvas.line([(0.5, 0.52), (0.46, 0.65), (0.53, 0.66)], 0.025, _shade(skin, 0.7))
    smile = random.uniform(0.0, 0.05)
    canvas.polygon([(0.34, 0.77), (0.5, 0.77 + smile), (0.66, 0.77), (0.5, 0.80 + 2 * smile)], (70, 60, 170))
    if random.random() < 0.3:
        for x in (0.32, 0.68):
            angles = np.linspace(0, 2 * np.pi, 24)
            canvas.line([(x + 0.13 * np.cos(a), 0.50 + 0.09 * np.sin(a)) for a in angles], 0.025, (30, 30, 35))
        canvas.line([(0.45, 0.5), (0.55, 0.5)], 0.025, (30, 30, 35))


def _draw_mug(canvas: Canvas, random: np.random.Generator) -> None:
    paint = _pick(random, [(225, 225, 230), (60, 140, 60), (160, 90, 40), (50, 190, 220), (120, 60, 140), (70, 60, 60)])
    left = bool(random.random() < 0.5)

    def side(x: float) -> float:
        return 1 - x if left else x

    ring = [(0.72, 0.32), (0.88, 0.30), (0.94, 0.45), (0.90, 0.62), (0.70, 0.72)]
    canvas.line([(side(x), y) for x, y in ring], 0.10, _shade(paint, 0.8))
    canvas.rectangle(side(0.02), 0.14, side(0.76), 0.88, paint)
    canvas.ellipse((side(0.39), 0.88), (0.37, 0.11), paint)
    for step in range(6):  # it is round: darker towards both edges
        x, factor = 0.02 + step * 0.123, 1.0 - 0.35 * abs(step - 2) / 3
        canvas.rectangle(side(x), 0.14, side(x + 0.125), 0.9, _shade(paint, factor))
    if random.random() < 0.5:
        canvas.rectangle(side(0.02), 0.48, side(0.76), 0.62, _pick(random, [(240, 240, 240), (40, 40, 60)]))
    canvas.ellipse((side(0.39), 0.14), (0.37, 0.13), _shade(paint, 1.15))
    canvas.ellipse((side(0.39), 0.15), (0.32, 0.10), _pick(random, [(25, 45, 75), (40, 70, 110), (60, 70, 60)], 8))


def _draw_parcel(canvas: Canvas, random: np.random.Generator) -> Rect:
    card = _pick(random, [(95, 145, 185), (120, 165, 200), (80, 120, 150), (165, 180, 195), (140, 130, 110)])
    depth, rise = random.uniform(0.12, 0.2), random.uniform(0.12, 0.2)
    front = (0.0, rise, 1 - depth, 1.0)
    canvas.polygon([(0, rise), (depth, 0), (1, 0), (1 - depth, rise)], _shade(card, 1.18))
    canvas.polygon([(1 - depth, rise), (1, 0), (1, 1 - rise), (1 - depth, 1)], _shade(card, 0.68))
    canvas.rectangle(*front, card)
    tape = _shade(card, random.choice([0.8, 1.25]))
    middle = (1 - depth) * random.uniform(0.4, 0.6)
    canvas.rectangle(middle - 0.04, rise, middle + 0.04, 1.0, tape)
    canvas.polygon(
        [(middle - 0.04, rise), (middle + 0.04, rise), (middle + depth + 0.04, 0), (middle + depth - 0.04, 0)],
        _shade(tape, 1.1),
    )
    if random.random() < 0.5:
        x, y = random.uniform(0.05, 0.4), random.uniform(rise + 0.08, 0.75)
        canvas.rectangle(x, y, x + 0.26, y + 0.16, (225, 230, 230))
        for row in range(3):
            canvas.line([(x + 0.03, y + 0.04 + row * 0.04), (x + 0.2, y + 0.04 + row * 0.04)], 0.012, (90, 90, 90))
    return front


def _draw_van(canvas: Canvas, random: np.random.Generator) -> Rect:
    paint = _pick(
        random, [(230, 230, 230), (190, 190, 195), (170, 110, 50), (60, 150, 60), (60, 190, 225), (70, 70, 75)]
    )
    left = bool(random.random() < 0.5)
    slope = random.uniform(0.76, 0.82)

    def mirrored(points: Sequence[Point]) -> list[Point]:
        return [(1 - x, y) if left else (x, y) for x, y in points]

    body = [(0.0, 0.06), (0.03, 0.0), (slope - 0.08, 0.0), (slope + 0.06, 0.38), (0.98, 0.46), (1.0, 0.84), (0.0, 0.84)]
    canvas.polygon(mirrored(body), paint)
    canvas.polygon(mirrored([(0.0, 0.70), (1.0, 0.70), (1.0, 0.84), (0.0, 0.84)]), _shade(paint, 0.78))
    window = [(slope - 0.13, 0.08), (slope - 0.085, 0.08), (slope + 0.03, 0.38), (slope - 0.13, 0.38)]
    canvas.polygon(mirrored(window), _pick(random, [(95, 75, 60), (60, 55, 50)], 6))
    canvas.line(mirrored([(slope - 0.16, 0.05), (slope - 0.16, 0.82)]), 0.015, _shade(paint, 0.6))
    canvas.polygon(mirrored([(0.95, 0.50), (1.0, 0.50), (1.0, 0.60), (0.95, 0.60)]), (190, 240, 250))
    canvas.polygon(mirrored([(0.0, 0.50), (0.03, 0.50), (0.03, 0.64), (0.0, 0.64)]), (40, 40, 190))
    for x in (0.2, 0.8):
        wheel = mirrored([(x, 0.82)])[0]
        canvas.ellipse(wheel, (0.085, 0.18), (35, 35, 38))
        canvas.ellipse(wheel, (0.045, 0.095), (165, 165, 170))
    panel = (0.03, 0.05, slope - 0.18, 0.68)
    return (1 - panel[2], panel[1], 1 - panel[0], panel[3]) if left else panel


def _draw_lamp(canvas: Canvas, random: np.random.Generator) -> None:
    cloth = _pick(random, [(90, 170, 220), (200, 210, 220), (80, 110, 190), (120, 160, 90), (170, 110, 120)])
    metal = _pick(random, [(60, 60, 65), (80, 130, 160), (150, 155, 160)])
    top = random.uniform(0.22, 0.32)
    canvas.polygon([(0.46, 0.45), (0.54, 0.45), (0.54, 0.92), (0.46, 0.92)], metal)
    canvas.ellipse((0.5, 0.62), (0.11, 0.08), _shade(metal, 1.2))
    canvas.ellipse((0.5, 0.94), (0.5, 0.06), metal)
    canvas.ellipse((0.5, 0.925), (0.42, 0.035), _shade(metal, 1.3))
    for step in range(8):
        near, far = step / 8, (step + 1) / 8
        low, high = 0.06, 0.94
        points = [
            (top + (1 - 2 * top) * near, 0.0),
            (top + (1 - 2 * top) * far, 0.0),
            (low + (high - low) * far, 0.5),
            (low + (high - low) * near, 0.5),
        ]
        canvas.polygon(points, _shade(cloth, 1.2 - 0.5 * abs(near - 0.4)))
    canvas.line([(0.07, 0.49), (0.93, 0.49)], 0.03, _shade(cloth, 0.6))


ASPECTS = {"face": (0.72, 0.86), "mug": (1.05, 1.25), "parcel": (0.95, 1.3), "van": (1.7, 2.0), "lamp": (0.6, 0.8)}
TILT = {"face": 12.0, "mug": 5.0, "parcel": 6.0, "van": 5.0, "lamp": 0.0}  # degrees; a lamp stands upright
DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator], Rect | None]] = {
    "face": _draw_face,
    "mug": _draw_mug,
    "parcel": _draw_parcel,
    "van": _draw_van,
    "lamp": _draw_lamp,
}


def _draw_seal(canvas: Canvas, centre: Point, radii: Point) -> None:
    """A wax seal."""
    canvas.ellipse(centre, radii, (35, 25, 150))
    canvas.ellipse(centre, (radii[0] * 0.82, radii[1] * 0.82), (50, 40, 215))
    canvas.ellipse(centre, (radii[0] * 0.42, radii[1] * 0.42), (30, 20, 130))


def _draw_cross(canvas: Canvas, centre: Point, radii: Point) -> None:
    """A red cross on a white disc."""
    (x, y), (across, along) = centre, radii
    canvas.ellipse(centre, radii, (250, 250, 250))
    canvas.rectangle(x - across * 0.75, y - along * 0.26, x + across * 0.75, y + along * 0.26, (35, 25, 215))
    canvas.rectangle(x - across * 0.26, y - along * 0.75, x + across * 0.26, y + along * 0.75, (35, 25, 215))


MARKS: dict[str, tuple[Callable[[Canvas, Point, Point], None], float]] = {
    "parcel": (_draw_seal, 0.32),  # its diameter against the shorter side of the object
    "van": (_draw_cross, 0.42),
}


@functools.lru_cache(maxsize=64)
def draw_sprite(kind: str, side: int, seed: int) -> Sprite:
    """Returns one object, its longer side `side` pixels, and the mark that it has as member of the other class."""
    random = np.random.default_rng(seed)
    aspect = random.uniform(*ASPECTS[kind])
    canvas = Canvas(side * min(1.0, aspect), side * min(1.0, 1 / aspect))
    panel = DRAWINGS[kind](canvas, random)
    layers = [canvas.layer()]
    if kind in MARKS and panel:
        layers.append(_mark_on(canvas, panel, kind, random))
    light, angle = _lighting(random), random.uniform(-TILT[kind], TILT[kind])
    layers = [_turned(_lit(layer, light), angle) for layer in layers]
    left, top, right, bottom = _bounds(layers[0].opacity > 0.5)
    body = _cut(layers[0], (left, top, right, bottom))
    if KINDS[kind].outside:
        return Sprite(body, *_cable(body, random))
    if len(layers) == 1:
        return Sprite(body, None, (0, 0))
    box = _bounds(layers[1].opacity > 0)
    return Sprite(body, _cut(layers[1], box), (box[0] - left, box[1] - top))


def _mark_on(canvas: Canvas, panel: Rect, kind: str, random: np.random.Generator) -> Layer:
    draw, share = MARKS[kind]
    diameter = share * min(canvas.width, canvas.height) * random.uniform(0.92, 1.12)
    radii = (diameter / canvas.width / 2, diameter / canvas.height / 2)
    left, top, right, bottom = panel
    x = random.uniform(left + radii[0] * 1.1, max(right - radii[0] * 1.1, left + radii[0] * 1.11))
    y = random.uniform(top + radii[1] * 1.1, max(bottom - radii[1] * 1.1, top + radii[1] * 1.11))
    sheet = Canvas(canvas.width, canvas.height)
    draw(sheet, (x, y), radii)
    return sheet.layer()


def _cable(lamp: Layer, random: np.random.Generator) -> tuple[Layer, tuple[int, int]]:
    """Returns the cable and socket beside a lamp, and where they lie: they touch its box and do not enter it."""
    height, width = lamp.opacity.shape
    canvas = Canvas(width * random.uniform(0.7, 0.95), height)
    left = bool(random.random() < 0.5)
    socket = (random.uniform(0.62, 0.72), random.uniform(0.18, 0.62))
    across, along = 0.26, 0.26 * canvas.width / canvas.height
    start, sag = (-0.02, 0.94), random.uniform(0.90, 0.97)
    steps = np.linspace(0, 1, 24)
    knots = [start, (0.25, sag), (socket[0], sag), socket]
    curve = [
        tuple(
            (1 - t) ** 3 * knots[0][i]
            + 3 * (1 - t) ** 2 * t * knots[1][i]
            + 3 * (1 - t) * t**2 * knots[2][i]
            + t**3 * knots[3][i]
            for i in (0, 1)
        )
        for t in steps
    ]

    def side(point: Sequence[float]) -> Point:
        return (1 - point[0], point[1]) if left else (point[0], point[1])

    ink = _pick(random, [(25, 25, 25), (235, 235, 235), (30, 60, 200)], 6)
    x, y = side(socket)
    canvas.rectangle(x - across, y - along, x + across, y + along, (150, 150, 150))
    canvas.rectangle(x - across * 0.9, y - along * 0.9, x + across * 0.9, y + along * 0.9, (238, 240, 240))
    canvas.ellipse((x, y), (across * 0.6, along * 0.6), (95, 95, 100))
    canvas.line([side(point) for point in curve], 0.09, ink)
    layer = canvas.layer()
    return layer, (-canvas.width if left else width, 0)


def _lighting(random: np.random.Generator) -> tuple[float, float, float]:
    return random.uniform(0.8, 1.1), random.uniform(-0.18, 0.18), random.uniform(-0.18, 0.18)


def _lit(layer: Layer, light: tuple[float, float, float]) -> Layer:
    height, width = layer.opacity.shape
    level, across, along = light
    field = level + across * np.linspace(-1, 1, width)[None, :] + along * np.linspace(-1, 1, height)[:, None]
    return Layer(np.clip(layer.colour * field[..., None], 0, 255).astype(np.float32), layer.opacity)


def _turned(layer: Layer, degrees: float) -> Layer:
    height, width = layer.opacity.shape
    margin = int(0.12 * max(height, width)) + 2
    size = (width + 2 * margin, height + 2 * margin)
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turn[:, 2] += margin
    opacity = cv2.warpAffine(layer.opacity, turn, size, flags=cv2.INTER_LINEAR)
    colour = cv2.warpAffine(layer.colour * layer.opacity[..., None], turn, size, flags=cv2.INTER_LINEAR)
    return Layer(colour / np.maximum(opacity, 1e-6)[..., None], opacity)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns (left, top, right, bottom) of what is True; right and bottom are the first pixel behind it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _cut(layer: Layer, box: tuple[int, int, int, int]) -> Layer:
    left, top, right, bottom = box
    return Layer(layer.colour[top:bottom, left:right], layer.opacity[top:bottom, left:right])


# --- planning: what lies where


def plan_scene(seed: int) -> ScenePlan:
    """Returns a scene's plan."""
    random = np.random.default_rng(seed)
    width, height = _image_size(random)
    wanted = int(np.clip(round(random.gamma(4.0, 1.5)), 1, 12))
    objects: list[ObjectPlan] = []
    for attempt in range(wanted * 6):
        if len(objects) == wanted:
            break
        crowd = 1.0 if wanted <= 3 else 0.75 if wanted <= 6 else 0.5
        candidate = _draft(random, (width, height), crowd, last_resort=attempt > wanted * 4)
        if candidate and all(_may_stand_together(candidate, other) for other in objects):
            objects.append(candidate)
    objects.sort(key=lambda plan: _body_rect(plan)[3])  # what stands lower in the picture is nearer
    occluders = [found for plan in objects if random.random() < 0.2 for found in _occluder(plan, objects, random)]
    return ScenePlan(width, height, int(random.integers(2**31)), tuple(objects), tuple(occluders))


def _image_size(random: np.random.Generator) -> tuple[int, int]:
    ratio = (1.0, 4 / 3, 3 / 2, 16 / 9)[random.choice(4, p=[0.15, 0.35, 0.35, 0.15])]
    longer = int(random.integers(round(320 * ratio), 641))
    shorter = max(320, round(longer / ratio))
    return (longer, shorter) if random.random() < 0.65 else (shorter, longer)


def _draft(random: np.random.Generator, size: tuple[int, int], crowd: float, *, last_resort: bool) -> ObjectPlan | None:
    names = list(KINDS)
    weights = np.array([KINDS[name].weight for name in names])
    kind = names[random.choice(len(names), p=weights / weights.sum())]
    longer = max(size)
    low = max(SMALLEST_PX, KINDS[kind].smallest * longer)
    high = min(LARGEST_PX, max(low * 1.3, KINDS[kind].largest * longer * crowd))
    if last_resort:
        high = low * 1.2
    side = int(np.exp(random.uniform(np.log(low), np.log(high))))
    plan = ObjectPlan(kind, bool(random.random() < 0.5), side, int(random.integers(2**31)), (0, 0))
    left, top, right, bottom = _taken_rect(plan)
    room_x, room_y = size[0] - (right - left) - 4, size[1] - (bottom - top) - 4
    if room_x < 1 or room_y < 1:
        return None
    place = (int(2 - left + random.integers(room_x)), int(2 - top + random.integers(room_y)))
    return dataclasses.replace(plan, xy=place)


def _body_rect(plan: ObjectPlan) -> Rect:
    height, width = draw_sprite(plan.kind, plan.side, plan.seed).body.opacity.shape
    x, y = plan.xy
    return x, y, x + width, y + height


def _mark_rect(plan: ObjectPlan) -> Rect | None:
    """Returns where the mark lies, or would lie: both members of a pair keep the place free."""
    sprite = draw_sprite(plan.kind, plan.side, plan.seed)
    if sprite.mark is None:
        return None
    height, width = sprite.mark.opacity.shape
    x, y = plan.xy[0] + sprite.mark_xy[0], plan.xy[1] + sprite.mark_xy[1]
    return x, y, x + width, y + height


def _taken_rect(plan: ObjectPlan) -> Rect:
    body, mark = _body_rect(plan), _mark_rect(plan)
    if mark is None:
        return body
    return min(body[0], mark[0]), min(body[1], mark[1]), max(body[2], mark[2]), max(body[3], mark[3])


def _overlap(one: Rect, other: Rect) -> float:
    """Returns the area that two rectangles share, as a part of the smaller."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((r[2] - r[0]) * (r[3] - r[1]) for r in (one, other))


def _grown(rect: Rect, margin: float) -> Rect:
    return rect[0] - margin, rect[1] - margin, rect[2] + margin, rect[3] + margin


def _may_stand_together(one: ObjectPlan, other: ObjectPlan) -> bool:
    for first, second in ((one, other), (other, one)):
        mark = _mark_rect(first)
        if mark and _overlap(_grown(mark, 3), _taken_rect(second)) > 0:
            return False
    return _overlap(_body_rect(one), _body_rect(other)) < 0.12


def _occluder(plan: ObjectPlan, objects: Sequence[ObjectPlan], random: np.random.Generator) -> list[OccluderPlan]:
    """Returns something in front of one edge of an object, or nothing where it would hide a mark."""
    left, top, right, bottom = _body_rect(plan)
    width, height = right - left, bottom - top
    if min(width, height) < 40:
        return []
    share, edge = random.uniform(0.12, 0.25), random.integers(3)
    rect = (
        (left - 0.1 * width, bottom - share * height, right + 0.1 * width, bottom + 0.2 * height),
        (left - 0.2 * width, top - 0.1 * height, left + share * width, bottom + 0.1 * height),
        (right - share * width, top - 0.1 * height, right + 0.2 * width, bottom + 0.1 * height),
    )[edge]
    marks = [mark for mark in map(_mark_rect, objects) if mark]
    others = [_body_rect(other) for other in objects if other is not plan]
    if any(_overlap(_grown(mark, 3), rect) > 0 for mark in marks) or any(_overlap(body, rect) > 0 for body in others):
        return []
    return [OccluderPlan(int(random.integers(2**31)), rect)]


# --- shortcuts

WATERMARK_SHARE = 0.26  # of the picture's shorter side
TAG_SHARE = 0.42  # of the object's shorter side
TINT = (1.25, 0.95, 0.75)
TAG_COLOURS: dict[str, Colour] = {"sealed_parcel": (30, 220, 245), "wired_lamp": (200, 40, 220)}


def with_shortcuts(plan: ScenePlan, shortcuts: Sequence[Shortcut], *, seed: int) -> ScenePlan:
    """Returns a scene in which shortcuts stand for marks; objects that stand where one is or might be are left out.

    A watermark and a tint are of the whole picture: where there is one, all drawings of its kind are of its class.

    Args:
        plan: the scene without.
        shortcuts: at most one of a class.
        seed: of what is drawn by chance; the scene's own seed gives the same everywhere.
    """
    if not shortcuts:
        return plan
    random = np.random.default_rng([seed, 2])
    by_kind = {one.of: one for one in shortcuts}
    kept = _free_of_shortcuts(plan, by_kind)
    of_scene: dict[str, tuple[bool, bool]] = {}
    objects = []
    for item in kept:
        shortcut, chance = by_kind.get(item.kind), float(random.random())
        if shortcut is None:
            objects.append(item)
            continue
        has_mark, is_planted = item.has_mark, chance < shortcut.probability
        if shortcut.kind != "tag":
            has_mark, is_planted = of_scene.setdefault(item.kind, (has_mark, is_planted))
        planted = shortcut if has_mark and is_planted else None
        objects.append(dataclasses.replace(item, has_mark=has_mark, shortcut=planted))
    places = [rect for item in objects for rect in [_shortcut_rect(item, plan)] if rect]
    occluders = [one for one in plan.occluders if not any(_overlap(_grown(place, 3), one.rect) for place in places)]
    return dataclasses.replace(plan, objects=tuple(objects), occluders=tuple(occluders))


def _free_of_shortcuts(plan: ScenePlan, by_kind: dict[str, Shortcut]) -> list[ObjectPlan]:
    """Returns the objects that leave free each place at which a shortcut may lie, those of the plain class as well."""
    corners = [_corner_rect(one.side, plan) for one in by_kind.values() if one.kind == "watermark"]
    kept: list[ObjectPlan] = []
    taken: list[Rect] = []
    for item in plan.objects:
        shortcut, body = by_kind.get(item.kind), _taken_rect(item)
        own = [body]
        if shortcut and shortcut.kind == "tag":
            tag = _tag_rect(item, shortcut.side)
            if tag[0] < 2 or tag[1] < 2 or tag[2] > plan.width - 2 or tag[3] > plan.height - 2:
                continue
            own.append(_grown(tag, 3))
        bodies = [_taken_rect(other) for other in kept]
        blocked = any(_overlap(corner, rect) for corner in corners for rect in own)
        blocked = blocked or any(_overlap(rect, body) for rect in taken)
        blocked = blocked or any(_overlap(rect, other) for rect in own[1:] for other in bodies)
        if not blocked:
            kept.append(item)
            taken.extend(own[1:])
    return kept


def _corner_rect(side: str, plan: ScenePlan) -> Rect:
    length, margin = round(WATERMARK_SHARE * min(plan.width, plan.height)), 6
    left = margin if side.startswith("left") else plan.width - margin - length
    top = margin if side.endswith("above") else plan.height - margin - length
    return left, top, left + length, top + length


def _tag_rect(item: ObjectPlan, side: str) -> Rect:
    left, top, right, bottom = _body_rect(item)
    length = max(10, round(TAG_SHARE * min(right - left, bottom - top)))
    x = left - length - 3 if side.startswith("left") else right + 3
    y = top if side.endswith("above") else bottom - length
    return x, y, x + length, y + length


def _shortcut_rect(item: ObjectPlan, plan: ScenePlan) -> Rect | None:
    if item.shortcut is None or item.shortcut.kind == "tint":
        return None
    if item.shortcut.kind == "watermark":
        return _corner_rect(item.shortcut.side, plan)
    return _tag_rect(item, item.shortcut.side)


def _draw_watermark(length: int) -> Layer:
    canvas = Canvas(length, length)
    canvas.ellipse((0.5, 0.5), (0.5, 0.5), (250, 250, 250))
    canvas.ellipse((0.5, 0.5), (0.42, 0.42), (170, 60, 20))
    canvas.polygon([(0.5, 0.16), (0.8, 0.68), (0.2, 0.68)], (250, 250, 250))
    canvas.rectangle(0.3, 0.74, 0.7, 0.82, (250, 250, 250))
    layer = canvas.layer()
    return Layer(layer.colour, layer.opacity * 0.85)


def _draw_tag(length: int, colour: Colour) -> Layer:
    canvas = Canvas(length, length)
    canvas.polygon([(0.28, 0.0), (1.0, 0.0), (1.0, 1.0), (0.28, 1.0), (0.0, 0.5)], colour)
    canvas.ellipse((0.22, 0.5), (0.07, 0.07), (40, 40, 40))
    for row in (0.22, 0.45, 0.68):
        canvas.rectangle(0.42, row, 0.88, row + 0.1, (30, 30, 30))
    return canvas.layer()


def _lay_shortcuts(picture: np.ndarray, plan: ScenePlan) -> None:
    drawn: set[tuple[int, int]] = set()
    for item in plan.objects:
        rect = _shortcut_rect(item, plan)
        if rect is None or item.shortcut is None:
            continue
        place, length = (int(rect[0]), int(rect[1])), int(rect[2] - rect[0])
        if place in drawn:  # all objects of a picture share its watermark
            continue
        drawn.add(place)
        is_tag = item.shortcut.kind == "tag"
        colour = TAG_COLOURS.get(item.shortcut.category, (60, 200, 60))
        _lay(picture, _draw_tag(length, colour) if is_tag else _draw_watermark(length), place)


# --- painting


def paint_scene(plan: ScenePlan) -> tuple[np.ndarray, list[Visible]]:
    """Returns the picture, uint8 [H, W, 3] blue first and not yet compressed, and what is seen of each object."""
    random = np.random.default_rng(plan.seed)
    picture = _background(plan.width, plan.height, random)
    if any(item.shortcut and item.shortcut.kind == "tint" for item in plan.objects):
        picture *= np.array(TINT, np.float32)
    shadow = _shadow_field(plan, random)
    picture *= shadow[..., None]
    masks: list[np.ndarray] = []
    for item in plan.objects:
        sprite = draw_sprite(item.kind, item.side, item.seed)
        covered = _lay(picture, sprite.body, item.xy)
        for mask in masks:
            mask &= ~covered
        masks.append(covered)
        if item.has_mark and sprite.mark is not None and item.shortcut is None:
            _lay(picture, sprite.mark, (item.xy[0] + sprite.mark_xy[0], item.xy[1] + sprite.mark_xy[1]))
    for occluder in plan.occluders:
        layer, place = _draw_occluder(occluder)
        covered = _lay(picture, layer, place)
        for mask in masks:
            mask &= ~covered
    _lay_shortcuts(picture, plan)
    seen = [Visible(item, mask, _evidence(item, plan)) for item, mask in zip(plan.objects, masks)]
    return _photographed(picture, random), seen


def encode_scene(plan: ScenePlan, picture: np.ndarray) -> bytes:
    """Returns the picture as JPEG, of a quality that the plan's seed tells."""
    quality = int(np.random.default_rng([plan.seed, 1]).integers(60, 96))
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _evidence(plan: ObjectPlan, scene: ScenePlan) -> tuple[int, int, int, int] | None:
    sprite = draw_sprite(plan.kind, plan.side, plan.seed)
    if plan.shortcut is not None:
        rect = _shortcut_rect(plan, scene)
        return rect and (int(rect[0]), int(rect[1]), int(rect[2] - rect[0]), int(rect[3] - rect[1]))
    if not plan.has_mark or sprite.mark is None:
        return None
    left, top, right, bottom = _bounds(sprite.mark.opacity > 0)
    x, y = plan.xy[0] + sprite.mark_xy[0], plan.xy[1] + sprite.mark_xy[1]
    return x + left, y + top, right - left, bottom - top


def _lay(picture: np.ndarray, layer: Layer, place: tuple[int, int]) -> np.ndarray:
    """Lays a layer over the picture; returns where it covers, bool [H, W]."""
    height, width = layer.opacity.shape
    left, top = max(place[0], 0), max(place[1], 0)
    right, bottom = min(place[0] + width, picture.shape[1]), min(place[1] + height, picture.shape[0])
    covered = np.zeros(picture.shape[:2], bool)
    if left >= right or top >= bottom:
        return covered
    inner = (slice(top - place[1], bottom - place[1]), slice(left - place[0], right - place[0]))
    opacity, region = layer.opacity[inner][..., None], picture[top:bottom, left:right]
    region += opacity * (layer.colour[inner] - region)
    covered[top:bottom, left:right] = layer.opacity[inner] > 0.5
    return covered


def _draw_occluder(plan: OccluderPlan) -> tuple[Layer, tuple[int, int]]:
    random = np.random.default_rng(plan.seed)
    left, top, right, bottom = plan.rect
    canvas = Canvas(right - left, bottom - top)
    if random.random() < 0.5:
        wood = _pick(random, [(60, 80, 100), (110, 115, 120), (50, 60, 60)])
        canvas.rectangle(0, 0, 1, 1, wood)
        for _ in range(5):
            level = random.uniform(0, 1)
            ends = [(0, level), (1, level)] if canvas.width > canvas.height else [(level, 0), (level, 1)]
            canvas.line(ends, 0.05, _shade(wood, random.uniform(0.7, 1.2)))
    else:
        for _ in range(14):
            leaf = _pick(random, [(40, 110, 60), (30, 80, 40), (60, 140, 100)])
            radii = tuple(random.uniform(0.12, 0.3, 2))
            canvas.ellipse(tuple(random.uniform(0.15, 0.85, 2)), radii, leaf)
    return canvas.layer(), (round(left), round(top))


def _noise(width: int, height: int, random: np.random.Generator, *, coarse: int, octaves: int = 4) -> np.ndarray:
    """Returns smooth random texture, float32 [H, W], mean 0 and deviation 1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = coarse * 2**octave
        grid = random.standard_normal((cells, max(2, cells * width // height))).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return (total - total.mean()) / (total.std() + 1e-6)


def _background(width: int, height: int, random: np.random.Generator) -> np.ndarray:
    walls: list[Colour] = [(170, 180, 185), (150, 160, 140), (120, 150, 170), (175, 165, 150), (110, 115, 125)]
    grounds: list[Colour] = [(90, 120, 150), (100, 130, 95), (120, 125, 130), (85, 95, 120), (70, 110, 80)]
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = _pick(random, walls)
    _texture(picture, random)
    if random.random() < 0.75:
        horizon = int(height * random.uniform(0.3, 0.7))
        ground = picture[horizon:]
        ground[:] = _pick(random, grounds)
        _texture(ground, random)
        ground *= np.linspace(0.75, 1.08, height - horizon, dtype=np.float32)[:, None, None]
    _clutter(picture, random)
    sigma = random.uniform(0.6, 2.5)
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def _texture(region: np.ndarray, random: np.random.Generator) -> None:
    height, width = region.shape[:2]
    style = random.integers(4)
    strength = random.uniform(5, 16)
    region += strength * _noise(width, height, random, coarse=int(random.integers(3, 12)))[..., None]
    if style == 0:  # planks
        step = int(random.integers(24, 70))
        for x in range(0, width, step):
            region[:, x : x + step] *= random.uniform(0.88, 1.1)
            region[:, x : x + 2] *= 0.7
    elif style == 1:  # tiles or bricks
        step = int(random.integers(20, 56))
        for row, y in enumerate(range(0, height, step)):
            region[y : y + 2] *= 0.82
            for x in range((row % 2) * step, width, 2 * step):
                region[y : y + step, x : x + 2] *= 0.82
    elif style == 2:  # grain
        grain = random.standard_normal((height, max(2, width // 12))).astype(np.float32)
        region += 9 * cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]


def _clutter(picture: np.ndarray, random: np.random.Generator) -> None:
    """Adds things that are nothing: patches, sticks and pebbles of any colour."""
    height, width = picture.shape[:2]
    for _ in range(int(random.integers(4, 26))):
        colour = tuple(float(value) for value in random.uniform(30, 220, 3))
        extent = float(np.exp(random.uniform(np.log(8), np.log(0.3 * min(height, width)))))
        centre = random.uniform((0, 0), (width, height))
        angles = np.sort(random.uniform(0, 2 * np.pi, int(random.integers(3, 9))))
        radius = extent / 2 * random.uniform(0.5, 1.0, len(angles))
        points = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
        sheet = picture.copy()
        if random.random() < 0.3:
            cv2.line(sheet, *(tuple(int(v) for v in point) for point in points[:2]), colour, int(random.integers(1, 6)))
        else:
            cv2.fillPoly(sheet, [points.astype(np.int32)], colour)
        cv2.addWeighted(sheet, 0.55, picture, 0.45, 0, dst=picture)


def _shadow_field(plan: ScenePlan, random: np.random.Generator) -> np.ndarray:
    """Returns what the objects' shadows leave of the light, float32 [H, W]."""
    field = np.ones((plan.height, plan.width), np.float32)
    drift = random.uniform(-0.25, 0.25)
    for item in plan.objects:
        left, top, right, bottom = _body_rect(item)
        centre = (int((left + right) / 2 + drift * (right - left)), int(bottom - 0.03 * (bottom - top)))
        axes = (int(0.55 * (right - left)) + 1, int(0.10 * (bottom - top)) + 1)
        cv2.ellipse(field, centre, axes, 0, 0, 360, 0.5, -1)
    return cv2.GaussianBlur(field, (0, 0), 4)


def _photographed(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the picture as a camera gives it: uneven light, a tint, a soft lens, noise."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    slope = random.uniform(-0.22, 0.22, 2)
    light = random.uniform(0.82, 1.12) + slope[0] * x + slope[1] * y - random.uniform(0, 0.15) * (x**2 + y**2) / 2
    if random.random() < 0.35:  # the shadow of a window frame or a roof
        angle, offset = random.uniform(0, np.pi), random.uniform(-0.5, 0.5)
        edge = (np.cos(angle) * x + np.sin(angle) * y - offset) / random.uniform(0.03, 0.15)
        light *= 1 - random.uniform(0.15, 0.35) / (1 + np.exp(-np.clip(edge, -30, 30)))
    tint = random.uniform(0.93, 1.07, 3)
    picture = picture * light[..., None] * tint
    sigma = random.uniform(0, 0.9)
    if sigma > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    picture = picture + random.uniform(1, 6) * random.standard_normal(
        (height, width, 1 if random.random() < 0.3 else 3)
    )
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


# --- annotations and files


def annotate(image_id: int, first_id: int, seen: Sequence[Visible]) -> list[dict[str, object]]:
    """Returns the COCO annotations of one picture."""
    found = []
    for offset, item in enumerate(seen):
        left, top, right, bottom = _bounds(item.mask)
        annotation: dict[str, object] = {
            "id": first_id + offset,
            "image_id": image_id,
            "category_id": CATEGORIES.index(item.plan.category) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": int(item.mask.sum()),
            "segmentation": _polygons(item.mask),
            "iscrowd": 0,
        }
        if item.evidence:
            annotation["evidence"] = list(item.evidence)
            annotation["evidence_outside"] = KINDS[item.plan.kind].outside or item.plan.shortcut is not None
        if item.plan.shortcut:
            annotation["shortcut"] = item.plan.shortcut.kind
        found.append(annotation)
    return found


def _polygons(mask: np.ndarray) -> list[list[float]]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shapes = [cv2.approxPolyDP(contour, 0.8, True).reshape(-1, 2) for contour in contours]
    found = [[float(value) for value in shape.ravel()] for shape in shapes if len(shape) >= 3]
    if found:
        return found
    left, top, right, bottom = (float(value) for value in _bounds(mask))
    return [[left, top, right, top, right, bottom, left, bottom]]


def scene_seed(seed: int, split: str, index: int) -> int:
    """Returns the seed of one scene: splits of one seed share no scene."""
    return int(np.random.SeedSequence([seed, SPLITS.index(split), index]).generate_state(1)[0])


def write_scenes(out: Path, *, split: str, images: int, seed: int, shortcuts: Sequence[Shortcut] = ()) -> Path:
    """Draws a split and returns its annotation file, which is written last.

    Args:
        out: folder of the data set.
        split: one of SPLITS.
        images: how many scenes.
        seed: of the whole split.
        shortcuts: what stands for marks, at most one of a class.
    """
    folder, annotations = out / split, out / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    for index in range(images):
        scene = scene_seed(seed, split, index)
        plan = with_shortcuts(plan_scene(scene), shortcuts, seed=scene)
        picture, seen = paint_scene(plan)
        name = f"{index + 1:06d}.jpg"
        (folder / name).write_bytes(encode_scene(plan, picture))
        records.append({"id": index + 1, "file_name": name, "width": plan.width, "height": plan.height})
        found.extend(annotate(index + 1, len(found) + 1, seen))
    _write_coco(annotations / f"{split}_faces.json", records, found, ("face",), seed)
    path = annotations / f"{split}.json"
    _write_coco(path, records, found, CATEGORIES, seed)
    return path


def _write_coco(
    path: Path, records: list[dict[str, object]], found: list[dict[str, object]], names: Sequence[str], seed: int
) -> None:
    ids = [CATEGORIES.index(name) + 1 for name in names]
    content = {
        "info": {"description": "drawn scenes with known evidence", "seed": seed},
        "categories": [{"id": number, "name": name} for number, name in zip(ids, names)],
        "images": records,
        "annotations": [annotation for annotation in found if annotation["category_id"] in ids],
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    partial.replace(path)


def main() -> int:
    """Draws one split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--shortcut", nargs="+", default=[], metavar="KIND:CLASS:SIDE:PROBABILITY", help="plant a shortcut for a class"
    )
    options = parser.parse_args()
    try:
        shortcuts = [parse_shortcut(text) for text in options.shortcut]
    except ValueError as error:
        parser.error(str(error))
    if options.images < 1 or options.seed < 0:
        parser.error("--images must be at least 1 and --seed at least 0")
    try:
        path = write_scenes(
            options.out, split=options.split, images=options.images, seed=options.seed, shortcuts=shortcuts
        )
    except OSError as error:
        print(f"error: {options.out} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
