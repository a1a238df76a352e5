"""Fonts: Pillow's own, and for letters that it lacks one that was named, or that the system has."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from PIL import ImageFont

from ppdet_cam.errors import ConfigError
from ppdet_cam.places import open_regular

_PROBED_PX = 20
_LACKING = "\uffff"  # no character, so what is drawn for it is what is drawn for letters that a font lacks

# How the names of fonts with the letters of whole scripts begin, without spaces, dashes and underscores. The best come
# first: those of Chinese, Japanese and Korean at once, of one of these, then of many scripts that need few letters.
_KNOWN = (
    "notosanscjk sourcehansans notosanssc notosanstc notosansjp notosanskr wqymicrohei wqyzenhei droidsansfallback "
    "pingfang stheiti hiragino applesdgothicneo applegothic msyh simhei simsun deng msjh mingliu meiryo yugoth "
    "msgothic malgun gulim batang ipaexg ipag takaogothic vlgothic nanumgothic baekmuk uming ukai notoserifcjk "
    "arialunicode unifont dejavusans.ttf notosansregular freesans liberationsansregular arial.ttf segoeui"
).split()
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_MAX_FILES = 12  # each stays open


def _folders() -> tuple[Path, ...]:
    home, windows = Path(os.path.expanduser("~")), Path(os.environ.get("WINDIR", "C:/Windows"))
    folders = [
        *(home / ".local/share/fonts", home / ".fonts", Path("/usr/local/share/fonts"), Path("/usr/share/fonts")),
        *(home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")),
        *(home / "AppData/Local/Microsoft/Windows/Fonts", windows / "Fonts"),
    ]
    matplotlib = importlib.util.find_spec("matplotlib")  # it is installed, and brings DejaVu; importing it takes long
    if matplotlib is not None and matplotlib.origin is not None:
        folders.append(Path(matplotlib.origin).parent / "mpl-data/fonts/ttf")
    return tuple(folders)


FOLDERS: Sequence[Path] = _folders()
_chosen: Path | None = None


def choose_font(file: Path | None) -> None:
    """Has letters that Pillow's own font lacks drawn with a font, in this process; with None, one of the system's.

    Args:
        file: of a TrueType or OpenType font.

    Raises:
        ConfigError: it is not there, or no font.
    """
    global _chosen
    if file is not None:
        try:
            open_regular(file).close()  # FreeType would wait for a pipe for ever
            ImageFont.FreeTypeFont(os.fspath(file), _PROBED_PX)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(
                f"--font {file} cannot be used: {reason}; give the file of a TrueType or OpenType font "
                f"({', '.join(_SUFFIXES)})"
            ) from error
    _chosen = file
    for cached in (_system_fonts, _file_with, _face):
        cached.cache_clear()


def chosen_font() -> Path | None:
    """Returns the file that `choose_font` was given, None for the system's."""
    return _chosen


def base_face(font_px: int) -> ImageFont.FreeTypeFont:
    """Returns the font that everything is drawn with that it has letters for."""
    return _face(None, font_px)


@functools.lru_cache(maxsize=8192)
def has_glyph(letter: str) -> bool:
    """Returns whether the base font has a letter."""
    return _has(base_face(_PROBED_PX), letter)


def has_any_glyph(letter: str) -> bool:
    """Returns whether a letter can be drawn, with whichever font."""
    return has_glyph(letter) or _file_with(letter) is not None


def runs(text: str, font_px: int) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """Yields the text in parts, each with the font to draw it with."""
    for file, letters in itertools.groupby(text, lambda letter: None if has_glyph(letter) else _file_with(letter)):
        yield "".join(letters), _face(file, font_px)


@functools.lru_cache(maxsize=64)
def _face(file: Path | None, font_px: int) -> ImageFont.FreeTypeFont:
    if file is not None:
        # `truetype` would look for a file of that name elsewhere as well
        return ImageFont.FreeTypeFont(os.fspath(file), font_px)
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(font_px))  # with a size it is never a bitmap font


@functools.lru_cache(maxsize=8192)
def _file_with(letter: str) -> Path | None:
    """Returns the first font file that has a letter, None when there is none."""
    if not letter.isprintable():
        return None
    chosen = () if _chosen is None else (_chosen,)
    for file in itertools.chain(chosen, _system_fonts()):
        try:
            if _has(_face(file, _PROBED_PX), letter):
                return file
        except (OSError, ValueError):  # no font that FreeType reads, or gone by now
            continue
    return None


def _has(face: ImageFont.FreeTypeFont, letter: str) -> bool:
    return bytes(face.getmask(letter)) != bytes(face.getmask(_LACKING))


@functools.lru_cache(maxsize=1)
def _system_fonts() -> tuple[Path, ...]:
    """Returns the system's fonts that are known to have many letters, the best first."""
    ranked = []
    for folder in FOLDERS:
        for here, _, names in os.walk(folder):
            ranked += [(rank, Path(here, name)) for name in names if (rank := _rank(name)) is not None]
    return tuple(file for _, file in sorted(ranked)[:_MAX_FILES])


def _rank(name: str) -> tuple[int, bool] | None:
    """Returns how far behind a font comes, None for one that is not known; the bold and slanted ones come last."""
    plain = name.lower().translate(str.maketrans("", "", " -_"))
    if not plain.endswith(_SUFFIXES):
        return None
    is_plain = not any(word in plain for word in ("bold", "italic", "oblique", "black", "light", "thin", "mono"))
    return next(((place, not is_plain) for place, known in enumerate(_KNOWN) if plain.startswith(known)), None)
