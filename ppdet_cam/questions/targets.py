"""Targets: which number of a box is explained. Each reads one number from what the head says of the box.

A target is usable on arrays alone: `HeadOutputs` of numpy arrays give numbers, of paddle tensors numbers with a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

import numpy as np

from ppdet_cam.errors import ConfigError, UnknownNameError
from ppdet_cam.registry import Registry, closest
from ppdet_cam.structures import HeadOutputs, Quantity

DEFAULT_TARGET = "class"
SIDES = ("left", "top", "right", "bottom")
ROTATED = ("x", "y", "width", "height", "angle")

# (outputs, row, class id of the box) -> 0-d
Read = Callable[[HeadOutputs, int, int], np.ndarray]


@dataclass(frozen=True)
class Target:
    """What is explained of a box.

    Attributes:
        name: as it was asked for: "class", "box:left", "contrast:dog", ...
        quantity: what the head must say for it.
        parts: one number each. A target of several parts is explained part by part, and the maps are combined.
    """

    name: str
    quantity: Quantity
    parts: tuple[Read, ...]


@dataclass(frozen=True)
class TargetKind:
    """A family of targets, named by the word before the colon.

    Attributes:
        form: how it is written: "box:left|top|right|bottom".
        meaning: in one line.
        quantity: what the head must say for it.
        make: (the word after the colon or "", class names) -> parts.
    """

    form: str
    meaning: str
    quantity: Quantity
    make: Callable[[str, Sequence[str]], tuple[Read, ...]]


targets: Registry[TargetKind] = Registry("target")


def parse_target(text: str, class_names: Sequence[str], *, known: frozenset[Quantity], detector: str) -> Target:
    """Returns the target that a text such as "box:left" or "contrast:dog" names.

    Args:
        text: as on the command line.
        class_names: the detector's, by class id.
        known: what its head says of a candidate.
        detector: its name, for error messages.

    Raises:
        UnknownNameError: no such target or class.
        ConfigError: the word after the colon is missing or wrong, or this detector's head does not say it.
    """
    kind_name, colon, argument = text.partition(":")
    kind = targets.get(kind_name)
    if colon and not argument:
        raise ConfigError(f"target {text!r} has nothing after its colon; it is written {kind.form}")
    if kind.quantity not in known:
        there = [kind.form for kind in available_kinds(known)]
        raise ConfigError(
            f"target {text!r} needs the head's {kind.quantity.value}, which {detector} has not. "
            f"It has: {', '.join(there)}"
        )
    return Target(text, kind.quantity, kind.make(argument, class_names))


def available_kinds(known: frozenset[Quantity]) -> list[TargetKind]:
    """Returns the kinds that a head with these quantities has."""
    return [kind for kind in map(targets.get, targets.names()) if kind.quantity in known]


def class_id_of(text: str, class_names: Sequence[str]) -> int:
    """Returns the id of a class given by its name or id.

    Raises:
        UnknownNameError: no such class; names the closest ones.
    """
    if text in class_names:
        return list(class_names).index(text)
    if text.isdecimal() and int(text) < len(class_names):
        return int(text)
    alike = [name for name in class_names if name.casefold() == text.casefold()]
    if alike:
        raise UnknownNameError(f"no class {text!r}: upper and lower case count, and the model has {alike[0]!r}")
    listed = ", ".join(class_names[:8]) + (", ..." if len(class_names) > 8 else "")
    raise UnknownNameError(
        f"no class {text!r}{closest(text, list(class_names))}. Give a name ({listed}) or an id from 0 to "
        f"{len(class_names) - 1}"
    )


def _without_argument(kind: str, read: Read) -> Callable[[str, Sequence[str]], tuple[Read, ...]]:
    def make(argument: str, class_names: Sequence[str]) -> tuple[Read, ...]:
        if argument:
            raise ConfigError(f"target {kind!r} takes nothing after a colon, not {argument!r}")
        return (read,)

    return make


def _probability(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    return outputs.probabilities[row, class_id]


def _logit(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    return outputs.logits[row, class_id]


def _objectness(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    assert outputs.objectness is not None  # parse_target has asked the head
    return outputs.objectness[row]


def _quality(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    assert outputs.quality is not None  # parse_target has asked the head
    return outputs.quality[row]


def _centerness(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    assert outputs.centerness is not None  # parse_target has asked the head
    return outputs.centerness[row]


def _mask(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    assert outputs.mask is not None  # asked for, as the quantity is MASK
    return outputs.mask[row]


def _proposal(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
    assert outputs.proposal is not None  # asked for, as the quantity is PROPOSAL
    return outputs.proposal[row]


def _side(position: int) -> Read:
    """Returns how far one side lies outwards, in network input pixels: up to a constant, its distance from any
    point within the box. So the map shows what pushes the side out."""

    def read(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
        assert outputs.boxes_xyxy is not None  # asked for, as the quantity is BOXES
        column = class_id if outputs.boxes_xyxy.shape[1] > 1 else 0
        coordinate = outputs.boxes_xyxy[row, column, position]
        return -coordinate if position < 2 else coordinate

    return read


def _sides(argument: str, class_names: Sequence[str]) -> tuple[Read, ...]:
    if not argument:
        return tuple(_side(position) for position in range(4))
    if argument not in SIDES:
        raise ConfigError(f"a box has no side {argument!r}{closest(argument, list(SIDES))}. Sides: {', '.join(SIDES)}")
    return (_side(SIDES.index(argument)),)


def _rotated(argument: str, class_names: Sequence[str]) -> tuple[Read, ...]:
    if argument not in ROTATED:
        wrong = f"has no {argument!r}{closest(argument, list(ROTATED))}" if argument else "is five numbers"
        raise ConfigError(f"a rotated box {wrong}. Ask for one: rotated:{'|'.join(ROTATED)}")

    def read(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
        assert outputs.rotated is not None  # asked for, as the quantity is ROTATED
        return outputs.rotated[row, ROTATED.index(argument)]

    return (read,)


def _other_class(kind: str, argument: str, class_names: Sequence[str]) -> int:
    if not argument:
        raise ConfigError(f"target {kind!r} needs a class: {kind}:{class_names[0] if class_names else 0}")
    return class_id_of(argument, class_names)


def _lead(argument: str, class_names: Sequence[str]) -> tuple[Read, ...]:
    if argument:
        raise ConfigError(
            f"target 'lead' takes nothing after a colon, not {argument!r}; contrast:{argument} may be meant"
        )
    if len(class_names) < 2:
        raise ConfigError("target 'lead' is over the runner-up, and this detector has one class; 'logit' is its number")

    def read(outputs: HeadOutputs, row: int, class_id: int) -> np.ndarray:
        logits = outputs.logits[row]
        others = (other for other in range(logits.shape[0]) if other != class_id)
        return logits[class_id] - logits[max(others, key=lambda other: float(logits[other]))]

    return (read,)


def _contrast(argument: str, class_names: Sequence[str]) -> tuple[Read, ...]:
    other = _other_class("contrast", argument, class_names)
    return (lambda outputs, row, class_id: outputs.probabilities[row, class_id] - outputs.probabilities[row, other],)


def _other(argument: str, class_names: Sequence[str]) -> tuple[Read, ...]:
    other = _other_class("other", argument, class_names)
    return (lambda outputs, row, class_id: outputs.probabilities[row, other],)


for _name, _kind in {
    "class": TargetKind(
        "class",
        "the box's own class score, as printed",
        Quantity.PROBABILITIES,
        _without_argument("class", _probability),
    ),
    "logit": TargetKind(
        "logit", "that score's logit, which does not saturate", Quantity.LOGITS, _without_argument("logit", _logit)
    ),
    "objectness": TargetKind(
        "objectness",
        "that there is an object at all",
        Quantity.OBJECTNESS,
        _without_argument("objectness", _objectness),
    ),
    "iou": TargetKind(
        "iou", "the IoU that the head predicts for the box", Quantity.QUALITY, _without_argument("iou", _quality)
    ),
    "centerness": TargetKind(
        "centerness",
        "that the candidate lies in its object's middle",
        Quantity.CENTERNESS,
        _without_argument("centerness", _centerness),
    ),
    "box": TargetKind(
        f"box[:{'|'.join(SIDES)}]",
        "how far one side lies outwards; without a side all four, combined",
        Quantity.BOXES,
        _sides,
    ),
    "mask": TargetKind(
        "mask",
        "what its mask is made of: the mean logit of the pixels in it",
        Quantity.MASK,
        _without_argument("mask", _mask),
    ),
    "rpn": TargetKind(
        "rpn",
        "why the first stage proposed it: the objectness logit of its anchor",
        Quantity.PROPOSAL,
        _without_argument("rpn", _proposal),
    ),
    "rotated": TargetKind(
        f"rotated:{'|'.join(ROTATED)}",
        "a rotated box's centre, size or angle, clockwise: what makes that number larger",
        Quantity.ROTATED,
        _rotated,
    ),
    "contrast": TargetKind(
        "contrast:CLASS",
        "why its class and not CLASS: the difference of the two scores",
        Quantity.PROBABILITIES,
        _contrast,
    ),
    "lead": TargetKind(
        "lead",
        "why its class and not the runner-up: the difference of the two logits, which does not saturate",
        Quantity.LOGITS,
        _lead,
    ),
    "other": TargetKind(
        "other:CLASS", "where in this box the evidence for CLASS would be", Quantity.PROBABILITIES, _other
    ),
}.items():
    targets.register(_name)(_kind)
