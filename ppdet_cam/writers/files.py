"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ppdet_cam.errors import OutputError


def check_output_folder(folder: Path) -> None:
    """Raises OutputError when `folder` cannot become, or is not, a folder that can be written. Creates nothing."""
    existing = folder
    # os.path answers False where pathlib raises, below a folder that may not be entered; a dangling link is there
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if existing.is_symlink() and not os.path.exists(existing):
        raise OutputError(f"cannot write into {folder}: {existing} is a link to nothing. Choose another --cam_out")
    if not os.path.isdir(existing):
        raise OutputError(f"cannot write into {folder}: {existing} is a file, not a folder. Choose another --cam_out")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: no permission for {existing}. Choose another --cam_out")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that `path` holds either its old content or all of the new one; makes its folder.

    Raises:
        OutputError: the disk is full, read-only, or the folder cannot be made.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}. Free space or choose another --cam_out") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
