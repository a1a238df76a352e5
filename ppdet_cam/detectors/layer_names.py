"""Layers as they are named on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from ppdet_cam.errors import LayerError


def parse_layers(texts: Sequence[str]) -> dict[str, tuple[int, ...] | None]:
    """Returns dotted path -> which of its levels, None for all of them.

    Args:
        texts: paths, each with "@LEVEL" behind it or not, several of them separated by commas or not.

    Raises:
        LayerError: an empty path, or a level that is no number.

    Example:
        >>> parse_layers(["model.backbone@0,model.backbone@2", "model.neck"])
        {'model.backbone': (0, 2), 'model.neck': None}
    """
    chosen: dict[str, tuple[int, ...] | None] = {}
    for text in (part.strip() for item in texts for part in item.split(",")):
        path, at, level = text.partition("@")
        if not path:
            raise LayerError(
                f"{', '.join(texts)!r} names no layer in one place; give dotted paths such as model.backbone, or "
                "model.neck@1 for one of its levels, separated by commas. List them: --list_layers"
            )
        if at and not level.isdecimal():
            raise LayerError(f"{text!r}: a level is a number from 0, as in {path}@0, not {level!r}")
        if not at:
            chosen[path] = None
        elif chosen.get(path, ()) is not None:
            chosen[path] = tuple(sorted({*(chosen.get(path) or ()), int(level)}))
    return chosen
