"""What the list flags print: methods, targets, the levels of boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ppdet_cam.methods import Levels, Needs, methods
from ppdet_cam.questions.question import ACTIVATIONS
from ppdet_cam.questions.targets import targets
from ppdet_cam.tables import aligned


def method_table() -> str:
    """Returns a line per method: what it needs, which levels it looks at, what it costs per box, its paper."""
    rows = [("method", "needs", "levels", "cost", "paper")]
    for method in map(methods.get, methods.names()):
        rows.append((method.name, method.needs.value, method.levels.value, method.cost, method.reference))
    rows.append((ACTIVATIONS, Needs.ACTIVATIONS.value, Levels.ALL.value, "none", "no CAM: layers whatever the boxes"))
    return aligned(rows)


def target_table() -> str:
    """Returns a line per target: how it is written, what it means, and which part of the head it needs."""
    kinds = [targets.get(name) for name in targets.names()]
    return aligned([("target", "needs", "meaning"), *((k.form, k.quantity.value, k.meaning) for k in kinds)])


def level_table(boxes: Sequence[Mapping[str, object]]) -> str:
    """Returns a line per box and level: its share of the evidence.

    Args:
        boxes: entries of `images.jsonl`.
    """
    rows = [("box", "class", "score", "layer", "level", "grid", "share")]
    for box in boxes:
        levels: list[Mapping[str, object]] = box["levels"]  # type: ignore[assignment]
        for level in levels:
            grid_hw: list[int] = level["grid_hw"]  # type: ignore[assignment]
            name = box["answer"]["name"] if "answer" in box else str(box["index"])  # type: ignore[index]
            score, share = f"{box['score']:.3f}", f"{level['share']:.1%}"
            layer, grid = str(level["layer"]), f"{grid_hw[0]}x{grid_hw[1]}"
            rows.append((name, str(box["class_name"]), score, layer, str(level["level"]), grid, share))
    return aligned(rows)
