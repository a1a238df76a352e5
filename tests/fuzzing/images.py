"""Images that are broken, unusual, or none at all."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fuzzing.world import CHOICE, CONFIG, SCENE, Drawn, explain, flipped, save_photo, spliced

FORMATS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "BMP": ".bmp",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "JPEG2000": ".jp2",
    "PPM": ".ppm",
}
SUFFIXES = (*FORMATS.values(), ".JPG", ".jpeg", ".gif", ".txt", ".npz", "")
MODES = ("L", "LA", "P", "PA", "1", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F", "HSV", "LAB")
SIZES = ((1, 1), (1, 40), (40, 1), (2, 2), (3, 700), (6000, 2), (1, 5000), (17, 13), (640, 9))
NAMES = (
    "photo",
    "a b",
    "é 行",
    "-c",
    "100%",
    "a'b\"c",
    "new\nline",
    "run.json",
    "0",
    ".hidden",
    "x" * 200,
    "\udce9",
    "$(id)",
)


def draw(draws: random.Random, here: Path) -> Drawn:
    """Returns a run over images some of which are spoilt: one alone, or several of a folder, a list or by name."""
    folder = here / "photos"
    folder.mkdir()
    several = draws.random() < 0.35
    made = []
    for number in range(draws.randint(2, 4) if several else 1):
        name = draws.choice(NAMES) if draws.random() < 0.2 else f"{number}"
        made.append(_spoil(draws, folder, name) if draws.random() < 0.85 or not several else _good(folder, name))
    what = "; ".join(f"{path.name[:30]!r}: {what}" for path, what in made)
    paths = [f"photos/{path.name}" for path, _ in made]
    if not several:
        return Drawn(
            explain("./" + paths[0], "--save", draws.choice(["overlay", "overlay,raw,panel", "crop,summary,photo"])),
            what,
        )
    base = ("-c", str(CONFIG), *CHOICE)
    if draws.random() < 0.5:
        return Drawn((*base, "--infer_dir", "photos", "--recursive"), f"folder with {what}")
    (here / "list.txt").write_bytes("\n".join(paths).encode("utf-8", "surrogateescape"))
    return Drawn((*base, "--infer_list", "list.txt", "--report"), f"list with {what}")


def _good(folder: Path, name: str) -> tuple[Path, str]:
    path = folder / f"{name}.png"
    save_photo(path)
    return path, "whole"


def _spoil(draws: random.Random, folder: Path, name: str) -> tuple[Path, str]:
    """Makes one image file, or what is in its place, and says what is unusual about it."""
    special = draws.random() < 0.12
    if special:
        path = folder / f"{name}{draws.choice(SUFFIXES)}"
        return path, _in_its_place(draws, path)
    content, suffix, what = draws.choice([_unusual, _unusual, _damaged, _damaged, _damaged, _lying_header])(draws)
    if draws.random() < 0.15:
        suffix = draws.choice(SUFFIXES)
        what += f", named {suffix!r}"
    path = folder / f"{name}{suffix}"
    path.write_bytes(content)
    if draws.random() < 0.03:
        path.chmod(0)
        what += ", no permission"
    return path, what


def _in_its_place(draws: random.Random, path: Path) -> str:
    kinds: dict[str, Callable[[], object]] = {
        "a folder": path.mkdir,
        "a FIFO": lambda: os.mkfifo(path),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to nothing": lambda: path.symlink_to("gone"),
        "a link to a device": lambda: path.symlink_to(draws.choice(["/dev/null", "/dev/zero", "/proc/self/stat"])),
        "a socket": lambda: _make_socket(path),
        "not there": lambda: None,
    }
    what = draws.choice(list(kinds))
    kinds[what]()
    return what


def _make_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path may have 107 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name[:100])
    finally:
        os.chdir(before)


def _encoded(draws: random.Random, image: Image.Image) -> tuple[bytes, str, str]:
    """Returns an image in a format that has its mode, its suffix, and the format's name."""
    for name in draws.sample(list(FORMATS), len(FORMATS)):
        target = io.BytesIO()
        try:
            with warnings.catch_warnings():  # about the EXIF data
                warnings.simplefilter("ignore")
                image.save(target, format=name, **({"exif": _exif(draws)} if draws.random() < 0.3 else {}))
        except (OSError, ValueError, TypeError, KeyError, SyntaxError, struct.error):  # Pillow's, of broken EXIF data
            continue
        return target.getvalue(), FORMATS[name], name
    return b"", ".jpg", "nothing"


def _exif(draws: random.Random) -> bytes:
    if draws.random() < 0.3:
        return b"Exif\0\0" + draws.randbytes(draws.randint(0, 60))
    exif = Image.Exif()
    exif[0x0112] = draws.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
    whole = exif.tobytes()
    return whole if draws.random() < 0.7 else flipped(whole, draws, 3)


def _photo(size: tuple[int, int] = (96, 72)) -> Image.Image:
    with Image.open(SCENE) as scene:
        return scene.convert("RGB").resize(size)


def _unusual(draws: random.Random) -> tuple[bytes, str, str]:
    """Returns a whole image of an unusual mode, size or kind."""
    kind = draws.choice(["mode", "size", "exif", "16 bit", "animated", "many bits"])
    if kind == "mode":
        mode = draws.choice(MODES)
        gray = mode in ("LA", "PA", "I;16", "I", "F")
        image = _photo().convert("L").convert(mode) if gray else _photo().convert("RGB").convert(mode)
        content, suffix, name = _encoded(draws, image)
        return content, suffix, f"{name} of mode {mode}"
    if kind == "size":
        size = draws.choice(SIZES)
        content, suffix, name = _encoded(draws, _photo(size))
        return content, suffix, f"{name} of {size[0]} x {size[1]}"
    if kind == "animated":
        frames = [_photo((40, 30)), _photo((40, 30)).rotate(90)]
        name, suffix = draws.choice([("GIF", ".gif"), ("WEBP", ".webp"), ("PNG", ".png"), ("TIFF", ".tiff")])
        target = io.BytesIO()
        frames[0].save(target, format=name, save_all=True, append_images=frames[1:])
        return target.getvalue(), suffix, f"animated {name}"
    if kind == "exif":
        content, suffix, name = _encoded(draws, _photo())
        return content, suffix, f"{name}, perhaps with EXIF"
    depth = np.uint16 if kind == "16 bit" else draws.choice([np.float32, np.int16, np.float64])
    suffix = draws.choice([".png", ".tif"] if depth is np.uint16 else [".tif"])
    pixels = np.asarray(_photo().convert("L")).astype(depth) * 100
    return cv2.imencode(suffix, pixels)[1].tobytes(), suffix, f"{np.dtype(depth)} {suffix}"


def _damaged(draws: random.Random) -> tuple[bytes, str, str]:
    """Returns an image that was cut off, changed in places, or replaced by something else."""
    content, suffix, name = _encoded(draws, _photo())
    damages: dict[str, Callable[[], bytes]] = {
        "cut off": lambda: content[: draws.randrange(len(content))],
        "cut off at its end": lambda: content[: -draws.randint(1, 40)],
        "a bit flipped": lambda: flipped(content, draws, 1),
        "bits flipped": lambda: flipped(content, draws, draws.randint(2, 60)),
        "bits flipped in its head": lambda: flipped(content[:64], draws, 3) + content[64:],
        "parts moved": lambda: spliced(content, draws),
        "zeros at its end": lambda: content[: len(content) // 2] + bytes(len(content) // 2),
        "more behind its end": lambda: content + draws.randbytes(100),
        "empty": lambda: b"",
        "noise": lambda: draws.randbytes(draws.randint(1, 3000)),
        "its head only": lambda: content[: draws.randint(1, 32)],
    }
    what = draws.choice(list(damages))
    return damages[what](), suffix, f"{name}, {what}"


def _lying_header(draws: random.Random) -> tuple[bytes, str, str]:
    """Returns a small image whose header declares another size."""
    width, height = (draws.choice([0, 1, 95, 97, 1000, 13_000, 65_535, 2**31 - 1]) for _ in range(2))
    name = draws.choice(["PNG", "JPEG", "BMP", "PPM"])
    target = io.BytesIO()
    _photo().save(target, format=name)
    content = bytearray(target.getvalue())
    if name == "PNG":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif name == "BMP":
        content[18:26] = struct.pack("<ii", width, draws.choice([height, -height]))
    elif name == "PPM":
        content = bytearray(f"P6\n{width} {height}\n255\n".encode() + content[content.index(b"255\n") + 4 :])
    else:
        frame = content.index(b"\xff\xc0")
        content[frame + 5 : frame + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    return bytes(content), FORMATS[name], f"{name} that says it is {width} x {height}"
