"""Folders that look like PaddleDetection checkouts, with nothing in them to run."""

from __future__ import annotations

from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "89abcdef0123456789abcdef0123456789abcdef"


def make_checkout(folder: Path, *, is_old: bool = False) -> Path:
    """Returns the folder, which holds what a checkout of PaddleDetection is known by; importing its ppdet fails."""
    architectures = folder / "ppdet" / "modeling" / "architectures"
    architectures.mkdir(parents=True)
    (folder / "ppdet" / "__init__.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    if not is_old:
        (architectures / "ppyoloe.py").touch()
    return folder


def write_git(folder: Path, files: dict[str, str]) -> Path:
    """Returns the folder, with the given text files below its `.git`."""
    for name, text in files.items():
        path = folder / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
