"""A progress bar on stderr, when that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def show_progress(items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]:
    """Returns the items one by one, with a bar that says how many of them are done; quiet when not on a terminal.

    Args:
        items: what is gone through.
        total: how many there are.
        what: what they are, in the plural.
    """
    return tqdm(items, total=total, unit=" " + what, leave=False, file=sys.stderr, disable=not sys.stderr.isatty())
