"""What numpy 2.4 and newer refuse: `int` of an array with one element, as ppdet's own programs take it."""

from __future__ import annotations

from types import ModuleType


def int_of_one(value: object) -> int:
    """Returns `int` of a number, or of an array with one element."""
    return int(value.item() if hasattr(value, "item") else value)  # type: ignore[call-overload]


def repair(module: ModuleType) -> None:
    """Makes `int`, as one module sees it, take arrays with one element.

    Error: TypeError: only 0-dimensional arrays can be converted to Python scalars
    Versions: ppdet 2.6.0 with numpy >= 2.4, in `Trainer.predict` and `BBoxCAM.get_bboxes_cams`.
    """
    module.int = int_of_one  # type: ignore[attr-defined]
