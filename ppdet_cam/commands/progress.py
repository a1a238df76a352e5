"""Progress bars on stderr, when that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import NoReturn, TypeVar

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


class ImagesBar:
    """A bar that says how many images are done, how fast, and how many failed; quiet when not on a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None
        self._boxes = self._images = self._failed = 0
        self._started = 0.0

    def begin(self, total: int, done: int, what: str) -> None:
        """Begins to show how many of so many images are done, and what is done with them."""
        self._boxes = self._images = self._failed = 0
        self._started = time.perf_counter()
        self._bar = tqdm(
            total=total,
            initial=done,
            leave=False,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            bar_format=f"{{n_fmt}}/{{total_fmt}} {what} |{{bar}}| {{elapsed}}<{{remaining}}{{postfix}}",
        )

    def advance(self, boxes: int, *, failed: bool) -> None:
        """Tells that one more image is done."""
        if self._bar is None:
            return
        self._images, self._boxes, self._failed = self._images + 1, self._boxes + boxes, self._failed + failed
        seconds = max(time.perf_counter() - self._started, 1e-9)
        speed = f"{self._images / seconds:.2f} images/s, {self._boxes / seconds:.2f} boxes/s"
        self._bar.set_postfix_str(f"{speed}, {self._failed} failed", refresh=False)
        self._bar.update()

    def end(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
