"""What can be chosen of a question from Python: the same words wherever one is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypedDict, Union

from ppdet_cam.errors import ConfigError
from ppdet_cam.questions.boxes import AskedBox, asked_box
from ppdet_cam.questions.question import DEFAULT_LAYER, Question
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.registry import closest

# Boxes to ask about from Python: (left, top, right, bottom), or x and y of a polygon's four corners; a class name or id
# behind them or not.
Box = Sequence[Union[float, str]]


class Choices(TypedDict, total=False):
    """What is asked of which boxes; what is left out stays as it was.

    Attributes:
        layers: dotted path, or several, of the layers to look at together; "@LEVEL" behind one picks a level.
        method: name of the CAM method, or "activations" for what the layers show whatever the boxes.
        target: name of the number that is explained: "class", "logit", "box:left", "contrast:dog", ...
        draw_threshold: boxes with a lower score are not explained.
        top_k: only so many boxes with the highest scores.
        classes: only boxes of these classes, by name or id.
        box_index: exactly these rows of the detector's output.
        boxes: boxes to ask about instead of the detections: (left, top, right, bottom) in pixels of the image, or a
            polygon's (x, y, x, y, x, y, x, y), with a class name or id behind them or not.
        samples: for perturbation methods, how many masks, or channels at most.
        seed: of random masks.
        batch: how many altered images or features run at once.
        refine_by: finer layers, whose maps the map is multiplied with: "auto" for those of the backbone at strides 2
            and 4, or dotted paths.
        slicing: how the image is looked at slice by slice (`questions.slicing.Slicing`), None for as a whole.
        channels: with the method "activations", how many of the strongest channels.
    """

    layers: str | Sequence[str]
    method: str
    target: str
    draw_threshold: float
    top_k: int | None
    classes: Sequence[str | int]
    box_index: Sequence[int]
    boxes: Sequence[Box]
    samples: int | None
    seed: int
    batch: int
    refine_by: str | Sequence[str]
    channels: int
    slicing: Slicing | None


OF_SELECTION = ("draw_threshold", "top_k", "classes", "box_index")


def asked(question: Question, choices: Choices) -> Question:
    """Returns the question with some of it chosen anew.

    Raises:
        TypeError: there is no such choice.
        ConfigError, UnknownNameError: a value that is not allowed.

    Example:
        >>> asked(Question(), {"method": "hirescam", "layers": "model.neck"}).layers
        ('model.neck',)
    """
    known = Choices.__annotations__
    for name in choices:
        if name not in known:
            raise TypeError(
                f"there is no {name!r} to choose{closest(name, list(known))}. There are: {', '.join(known)}"
            )
    values: dict[str, object] = {name: _checked(name, value) for name, value in choices.items()}
    selection = {name: values.pop(name) for name in OF_SELECTION if name in values}
    changed = dataclasses.replace(question.selection, **selection)  # type: ignore[arg-type]
    return dataclasses.replace(question, selection=changed, **values)  # type: ignore[arg-type]


def _checked(name: str, value: object) -> object:
    if name in ("layers", "classes", "refine_by"):
        return _texts(value, name)  # type: ignore[arg-type]
    if name not in ("boxes", "box_index"):
        return value
    given: Sequence[Box] = tuple(value)  # type: ignore[arg-type]
    return given if name == "box_index" else tuple(_asked_box(box, position) for position, box in enumerate(given))


def _texts(values: str | Sequence[str | int], what: str) -> tuple[str, ...]:
    texts = (values,) if isinstance(values, str) else tuple(values)
    allowed = (str, int) if what == "classes" else (str,)
    if not all(isinstance(text, allowed) for text in texts) or (what == "layers" and not texts):
        example = "names or ids" if what == "classes" else f"dotted paths such as '{DEFAULT_LAYER}'"
        raise ConfigError(f"{what} must be {example}, not {values!r}")
    return tuple(str(text) for text in texts)


def _asked_box(box: Box, position: int) -> AskedBox:
    try:
        given = list(box)
        count = 8 if len(given) >= 8 else 4
        numbers, rest = [float(value) for value in given[:count]], given[count:]
        (class_text,) = rest or (None,)
        if len(numbers) < count:
            raise ValueError("too few numbers")
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"boxes[{position}] must be left, top, right, bottom: four finite numbers, or eight for a polygon's "
            f"corners, with a class name or id behind them or not, not {box!r}"
        ) from error
    return asked_box(numbers, None if class_text is None else str(class_text), name=f"box_{position}")
