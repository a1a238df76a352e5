"""Names and what they stand for."""

from __future__ import annotations

import difflib
from typing import Callable, Generic, TypeVar

from ppdet_cam.errors import UnknownNameError

T = TypeVar("T")


def closest(name: str, names: list[str]) -> str:
    """Returns " (did you mean 'x'?)" for the names closest to `name`, or "" when none is close."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


class Registry(Generic[T]):
    """Named entries of one kind, each registered once.

    Example:
        >>> methods = Registry("method")
        >>> @methods.register("double")
        ... def double(x): return 2 * x
        >>> methods.get("double")(2)
        4
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[T], T]:
        """Returns a decorator that enters its argument under each of `names`."""

        def enter(entry: T) -> T:
            for name in names:
                if name in self._entries:
                    raise ValueError(f"{self.kind} {name!r} is registered twice")
                self._entries[name] = entry
            return entry

        return enter

    def get(self, name: str) -> T:
        """Returns the entry called `name`.

        Raises:
            UnknownNameError: no entry has this name; lists those that have.
        """
        if name not in self._entries:
            raise UnknownNameError(
                f"{self.kind} {name!r} is not supported{closest(name, self.names())}. "
                f"Supported: {', '.join(self.names())}"
            )
        return self._entries[name]

    def names(self) -> list[str]:
        """Returns all names, sorted."""
        return sorted(self._entries)
