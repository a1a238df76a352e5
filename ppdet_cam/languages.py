"""The languages that pages are written in, and what is said in each of them."""

from __future__ import annotations

from dataclasses import dataclass

from ppdet_cam.errors import ConfigError

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Said:
    """A text with values in it, which a page says in its language.

    Attributes:
        pattern: the text in English, with {0}, {1}, ... for the values.
        values: what stands there.
    """

    pattern: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.pattern.format(*self.values)


def check_lang(lang: str | None) -> None:
    """Raises ConfigError unless pages are written in a language; None stands for that of the browser."""
    if lang is not None and lang not in LANGUAGES:
        raise ConfigError(f"--lang must be {' or '.join(LANGUAGES)}, not {lang!r}; without it, the browser's language")
