"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from ppdet_cam.errors import OutputError
from ppdet_cam.outputs.locks import is_taken, take
from ppdet_cam.places import open_regular

# what a whole file of each kind ends with
_ENDINGS = {".jpg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
_ZIP_END = b"PK\x05\x06"  # 22 bytes before the end of an archive without a comment
_ZIP_END_LENGTH = 22
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")


def check_output_folder(folder: Path, *, flag: str = "--cam_out") -> None:
    """Raises OutputError when `folder` cannot become, or is not, a folder that can be written. Creates nothing.

    Args:
        folder: to be checked.
        flag: that it was given by.
    """
    existing = folder
    # os.path answers False where pathlib raises, below a folder that may not be entered; a dangling link is there
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if existing.is_symlink() and not os.path.exists(existing):
        raise OutputError(f"cannot write into {folder}: {existing} is a link to nothing. Choose another {flag}")
    if not os.path.isdir(existing):
        raise OutputError(f"cannot write into {folder}: {existing} is a file, not a folder. Choose another {flag}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: no permission for {existing}. Choose another {flag}")


def write_atomically(path: Path, content: bytes, *, workshop: Path | None = None) -> None:
    """Writes a file so that `path` holds either its old content or all of the new one; makes its folder.

    Args:
        path: the file.
        content: all of it.
        workshop: a folder on the same disk for what is not whole yet, which stays there when the process is killed; by
            default the file's own.

    Raises:
        OutputError: the disk is full, read-only, or the folder cannot be made.
    """
    write_parts_atomically(path, (content,), workshop=workshop)


def write_parts_atomically(
    path: Path, parts: Iterable[bytes], *, workshop: Path | None = None, flag: str = "--cam_out"
) -> None:
    """Writes a file that need not fit into memory, as `write_atomically` does.

    Args:
        path: the file.
        parts: its content, one piece behind the other.
        workshop: as for `write_atomically`.
        flag: that the folder was given by.

    Raises:
        OutputError: the disk is full, read-only, or the folder cannot be made.
    """
    temporary = (workshop or path.parent) / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.callback(_remove, temporary)
            with temporary.open("xb") as stream:
                take(stream.fileno())  # so that `remove_unfinished` can tell that it is being written
                stream.writelines(parts)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            stack.pop_all()
    except OSError as error:
        raise cannot_write(path, error, flag=flag) from error


def remove_unfinished(folder: Path) -> None:
    """Removes what `write_atomically` left in a folder when it was killed.

    Raises:
        OSError: a file cannot be removed.
    """
    for name in os.listdir(folder):
        if _UNFINISHED.fullmatch(name) and not is_taken(folder / name):
            (folder / name).unlink(missing_ok=True)


def write_new(path: Path, content: bytes) -> None:
    """Writes a file that is not there yet, with the permissions that new files have.

    Args:
        path: the file, in a folder that is there.
        content: all of it.

    Raises:
        OSError: it is there, or it cannot be written.
    """
    with path.open("xb") as stream:
        stream.write(content)


def append_line(file: Path, line: bytes, *, flag: str = "--cam_out") -> None:
    """Adds a line to a file; it is on the disk when this returns.

    Args:
        file: is made if need be.
        line: with its end.
        flag: that the file's folder was given by, for the error.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with file.open("ab") as lines:
            lines.write(line)
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise cannot_write(file, error, flag=flag) from error


def cannot_write(path: Path, error: OSError, *, flag: str = "--cam_out") -> OutputError:
    """Returns the error that says why a file cannot be written, and what to do; to be raised from the given one.

    Args:
        path: the file.
        error: what the disk said.
        flag: that its folder was given by.
    """
    reason = error.strerror or str(error)
    advice = "Free space or choose another" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Choose another"
    return OutputError(f"cannot write {path}: {reason}. {advice} {flag}")


def is_whole(path: Path) -> bool:
    """Returns whether a picture, or an archive of arrays, is there with its end."""
    suffix = path.suffix
    length = _ZIP_END_LENGTH if suffix == ".npz" else len(_ENDINGS.get(suffix, b""))
    try:
        with open_regular(path) as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - length))
            end = stream.read()
    except OSError:
        return False
    return size > length and end.startswith(_ZIP_END if suffix == ".npz" else _ENDINGS.get(suffix, b""))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
