"""Where files lie, the project's own among them: in a clone beside the package, in a wheel inside it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

PACKAGE_NAME = "ppdet_cam"
PROJECT_ROOT = Path(__file__).resolve().parent.parent

_PHOTOGRAPH_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def find_file(path: Path | str, root: Path = PROJECT_ROOT) -> Path:
    """Returns the first place where `path` exists: as given, in the project, in the package.

    `demo/cat.jpg` and `configs/...` are thereby found from any current folder, in a clone as in an installed wheel.
    Absolute paths and paths with ".." are taken as given only.

    Args:
        path: a file or folder; relative paths are relative to the current folder first.
        root: the folder that holds the package.

    Returns:
        The path that exists; `path` itself when none does, so that the caller can say what was looked for.

    Example:
        >>> find_file("ppdet_cam/places.py").name
        'places.py'
    """
    given = Path(path)
    if given.is_absolute() or ".." in given.parts:
        return given
    candidates = (given, root / given, root / PACKAGE_NAME / given)
    # Path.exists would raise on names that are too long and on closed folders.
    return next((candidate for candidate in candidates if os.path.exists(candidate)), given)  # noqa: PTH110


def open_regular(path: Path) -> BinaryIO:
    """Returns an opened file. Pipes and devices are not waited for, as there may be nothing that writes into them.

    Raises:
        OSError: it is one of them, or cannot be read.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a device or pipe, not a file", str(path))
    return path.open("rb")


def read_regular(path: Path) -> bytes:
    """Returns a file's content.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as stream:
        return stream.read()


def demo_photographs(root: Path = PROJECT_ROOT) -> tuple[str, ...]:
    """Returns the names of the photographs in the project's demo/, sorted, none when there is no such folder.

    Args:
        root: the folder that holds the package.
    """
    for folder in (root / "demo", root / PACKAGE_NAME / "demo"):
        if folder.is_dir():
            return tuple(sorted(file.name for file in folder.iterdir() if file.suffix.lower() in _PHOTOGRAPH_SUFFIXES))
    return ()
