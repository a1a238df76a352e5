"""Signals that ask a run to stop: it ends the image that it is at, and leaves the rest for `--resume`."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether to stop.

    Attributes:
        signal: the number of the signal that asked for it, 0 for none.
    """

    signal: int = 0


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """Yields what SIGINT and SIGTERM set; a second SIGINT raises KeyboardInterrupt at once.

    Paddle's launcher, and clusters, send SIGTERM, several times. Outside of the main thread nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if stop.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not stop.signal:
            stop.signal = number
            log.info("stopping after the current image")

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: paddle's own, which Python cannot put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
