"""The languages that pages are written in."""

from __future__ import annotations

from ppdet_cam.errors import ConfigError

LANGUAGES = ("en", "zh")


def check_lang(lang: str | None) -> None:
    """Raises ConfigError unless pages are written in a language; None stands for that of the browser."""
    if lang is not None and lang not in LANGUAGES:
        raise ConfigError(f"--lang must be {' or '.join(LANGUAGES)}, not {lang!r}; without it, the browser's language")
