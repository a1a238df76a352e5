"""Where a case happens: a folder with its inputs, and what is in it before and after."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = ROOT / "configs" / "demo" / "blazeface.yml"
WEIGHTS = ROOT / "demo" / "weights" / "blazeface.pdparams"
SCENE = ROOT / "demo" / "drawn" / "scene_1.jpg"
MARKER = "ran"  # a file that malicious inputs make
HOME = "home"
LISTINGS = ("-h", "--help", "--version", "--list_layers", "--list_methods", "--list_targets")  # print, and stop
# matplotlib, paddle and visualdl make them when they are imported
CACHES = tuple(f"{HOME}/{name}" for name in (".cache", ".config", ".visualdl"))

# low enough for boxes on every photograph, and few of them
CHOICE = ("--draw_threshold", "0.05", "--top_k", "2")

Snapshot = dict[str, str]


@dataclass(frozen=True)
class Drawn:
    """What a kind of case draws: the command line, in words what is wrong with its inputs, and the command."""

    arguments: tuple[str, ...]
    what: str
    program: str = "cam_ppdet"


Draw = Callable[[random.Random, Path], Drawn]


def explain(image: str, *more: str) -> tuple[str, ...]:
    """Returns the command line that explains an image with the small detector."""
    return ("-c", str(CONFIG), "--infer_img", image, *CHOICE, *more)


def save_photo(path: Path, *, size: tuple[int, int] = (160, 120)) -> None:
    """Writes a small photograph; the suffix says in which format."""
    with Image.open(SCENE) as scene:
        scene.convert("RGB").resize(size).save(path)


def snapshot(folder: Path) -> Snapshot:
    """Returns everything below a folder: relative path -> what it is, with a digest of its content."""
    found = {str(path.relative_to(folder)): _kind(path) for path in _walk(folder)}
    return {name: kind for name, kind in found.items() if not name.startswith(CACHES)}


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            yield Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))


def _kind(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return f"link to {os.readlink(path)}" if stat.S_ISLNK(mode) else f"type {stat.S_IFMT(mode):o}"


def is_folder(kind: str) -> bool:
    """Returns whether an entry of a snapshot is a folder."""
    return kind == f"type {stat.S_IFDIR:o}"


def flipped(content: bytes, draws: random.Random, count: int) -> bytes:
    """Returns content with so many bits changed."""
    changed = bytearray(content)
    for _ in range(count if content else 0):
        changed[draws.randrange(len(changed))] ^= 1 << draws.randrange(8)
    return bytes(changed)


def spliced(content: bytes, draws: random.Random) -> bytes:
    """Returns content with a part left out, put in again elsewhere, or replaced by noise."""
    start = draws.randrange(max(1, len(content)))
    part = content[start : start + draws.randint(1, 200)]
    rest = content[:start] + content[start + len(part) :]
    place = draws.randrange(max(1, len(rest)))
    return rest[:place] + draws.choice([b"", part * 2, draws.randbytes(len(part)), bytes(len(part))]) + rest[place:]


@cache
def video(frames: int) -> bytes:
    """Returns a small video."""
    photo = cv2.resize(cv2.imread(str(SCENE)), (96, 72))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 12.5, (96, 72))
        for number in range(frames):
            writer.write(np.roll(photo, 5 * number, axis=1))
        writer.release()
        return path.read_bytes()


@cache
def font() -> bytes:
    """Returns a font that is always there."""
    matplotlib = importlib.util.find_spec("matplotlib")
    assert matplotlib is not None and matplotlib.origin is not None
    return (Path(matplotlib.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf").read_bytes()
