"""Weights files that are damaged, dangerous, of another model, or none at all."""

from __future__ import annotations

import io
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from fuzzing.world import MARKER, WEIGHTS, Drawn, explain, flipped, save_photo, spliced
from ppdet_cam.detectors.weights import load_state_dict

Arrays = dict[object, object]


def draw(draws: random.Random, here: Path) -> Drawn:
    """Returns a run over one photograph with spoilt weights."""
    save_photo(here / "photo.jpg")
    kind = draws.choice([_damaged, _other_arrays, _other_values, _other_values, _dangerous, _other_file])
    name = draws.choice(["w.pdparams"] * 20 + ["w", "w.pth", "a b 行.pdparams", "w.tar", "w.PDPARAMS"])
    what = kind(draws, here / name)
    given = draws.choice([name] * 6 + [name.removesuffix(".pdparams"), f"./{name}", str(here / name)])
    return Drawn(explain("photo.jpg", "--save", "overlay,raw", "-o", f"weights={given}"), f"{name}: {what}")


@lru_cache(maxsize=1)
def _arrays() -> Arrays:
    return dict(load_state_dict(WEIGHTS))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _damaged(draws: random.Random, path: Path) -> str:
    content = WEIGHTS.read_bytes()
    damages: dict[str, Callable[[], bytes]] = {
        "cut off": lambda: content[: draws.randrange(len(content))],
        "cut off at its end": lambda: content[: -draws.randint(1, 40)],
        "a bit flipped": lambda: flipped(content, draws, 1),
        "bits flipped": lambda: flipped(content, draws, draws.randint(2, 300)),
        "bits flipped in its head": lambda: flipped(content[:600], draws, draws.randint(1, 4)) + content[600:],
        "parts moved": lambda: spliced(content, draws),
        "more behind its end": lambda: content + draws.randbytes(30),
        "two in one file": lambda: content + content,
        "its middle zero": lambda: content[:1000] + bytes(5000) + content[6000:],
    }
    what = draws.choice(list(damages))
    _write(path, damages[what]())
    return what


def _other_values(draws: random.Random, path: Path) -> str:
    """Writes weights that fit and are nonsense."""
    arrays = {name: np.array(array) for name, array in _arrays().items()}
    value = draws.choice([np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 0, -1])
    part = draws.choice(["", "bias", "variance", "scores", "boxes", "conv1", "double_blaze_3"])
    chosen = [name for name in arrays if part in name] or list(arrays)
    for name in chosen if draws.random() < 0.5 else [draws.choice(chosen)]:
        array = arrays[name]
        some = np.array([draws.random() for _ in range(array.size)]).reshape(array.shape) < draws.choice([2, 0.5, 0.01])
        arrays[name] = np.where(some, value, array).astype(array.dtype)
    _write(path, pickle.dumps(arrays, protocol=4))
    return f"{value} in {part or 'any'}"


def _other_arrays(draws: random.Random, path: Path) -> str:
    arrays = dict(_arrays())
    names = list(arrays)
    for _ in range(draws.choice([1, 1, 2, 5, 200])):
        name = draws.choice(names)
        array = np.array(_arrays()[name])
        arrays[name] = draws.choice(_ARRAY_CHANGES)(draws, array)
    change = draws.random()
    if change < 0.15:
        for name in draws.sample(names, draws.randint(1, len(names))):
            arrays.pop(name)
    elif change < 0.3:
        key = draws.choice(["new", "", "a" * 5000, "é\n\x1b[31m", 3])
        arrays[key] = draws.choice([np.zeros(3), "text", None, 4, [np.zeros(2)]])
    _write(path, pickle.dumps(arrays, protocol=draws.choice([2, 3, 4, 5])))
    return f"{len(arrays)} arrays, changed"


_ARRAY_CHANGES: list[Callable[[random.Random, np.ndarray], object]] = [
    lambda draws, array: array.astype(draws.choice(["float16", "float64", "int64", "bool", "complex64", "uint8"])),
    lambda draws, array: array.reshape(-1),
    lambda draws, array: array[:1],
    lambda draws, array: np.zeros((0,), array.dtype),
    lambda draws, array: np.zeros((2, 0, 3), array.dtype),
    lambda draws, array: array.tolist(),
    lambda draws, array: draws.choice([None, "text", 3, b"bytes", ("name", array), {"a": array}]),
    lambda draws, array: np.asfortranarray(array),
    lambda draws, array: array.astype(">f4"),
]


class _Calls:
    """Asks the unpickler to call something that leaves a file behind."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def _dangerous(draws: random.Random, path: Path) -> str:
    """Writes a pickle that asks for code, for memory or for time."""
    kind = draws.choice(["call", "call", "call by hand", "memory", "nesting", "laughs"])
    if kind == "call":
        call = draws.choice(
            [
                _Calls(os.system, f"touch {MARKER}"),
                _Calls(eval, f"open({MARKER!r}, 'w')"),
                _Calls(exec, f"open({MARKER!r}, 'w')"),
                _Calls(open, MARKER, "w"),
                _Calls(os.mkdir, MARKER),
                _Calls(getattr, int, "real"),
            ]
        )
        arrays = dict(_arrays())
        arrays[draws.choice(["bomb", draws.choice(list(arrays))])] = draws.choice(
            [call, [call], (call, 1), {"x": call}]
        )
        _write(path, pickle.dumps(arrays, protocol=draws.randint(0, 5)))
        return f"calls {call.call[0].__name__}"
    texts = {
        "call by hand": draws.choice(
            [
                b"cos\nsystem\n(S'touch ran'\ntR.",
                b"(S'touch ran'\nios\nsystem\n.",
                b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",
                b"\x80\x02cbuiltins\nopen\nX\x03\x00\x00\x00ranX\x01\x00\x00\x00w\x86R.",
                b"\x80\x02c__builtin__\neval\n(X\x11\x00\x00\x00open('ran','w')  tR.",
                b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\nX\x09\x00\x00\x00touch ran\x85R.",
            ]
        ),
        "memory": draws.choice(
            [
                b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"abc.",
                b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"abc.",
                b"\x80\x02}r\xff\xff\xff\x7fj\xff\xff\xff\x7f.",
                b"\x80\x02" + b"\x8b\xff\xff\xff\x7f" + b"1.",
            ]
        ),
        "nesting": b"\x80\x02" + b"(" * 50_000 + b"t" * 50_000 + b".",
        "laughs": b"\x80\x02]" + b"2e" * 10 + b"".join(b"(" + b"2" * 9 + b"l" for _ in range(30)) + b".",
    }
    _write(path, texts[kind])
    return kind


def _other_file(draws: random.Random, path: Path) -> str:
    archive = io.BytesIO()  # what is written to it is put into the file
    kinds: dict[str, Callable[[], object]] = {
        "a folder": path.mkdir,
        "a FIFO": lambda: os.mkfifo(path),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to a device": lambda: path.symlink_to(draws.choice(["/dev/null", "/dev/zero"])),
        "not there": lambda: None,
        "empty": lambda: _write(path, b""),
        "noise": lambda: _write(path, draws.randbytes(draws.randint(1, 4000))),
        "an image": lambda: save_photo(path.with_suffix(".png")) or path.with_suffix(".png").rename(path),  # type: ignore[func-returns-value]
        "a list": lambda: _write(path, pickle.dumps([np.zeros(3)])),
        "a number": lambda: _write(path, pickle.dumps(3)),
        "an empty mapping": lambda: _write(path, pickle.dumps({}, protocol=draws.randint(0, 5))),
        "a zip archive": lambda: (zipfile.ZipFile(archive, "w").writestr("a", "b"), _write(path, archive.getvalue())),
        "a tar archive": lambda: (tarfile.open(fileobj=archive, mode="w").close(), _write(path, archive.getvalue())),
        "a numpy file": lambda: (np.save(archive, np.zeros(3)), _write(path, archive.getvalue())),
        "no permission": lambda: (_write(path, WEIGHTS.read_bytes()), path.chmod(0)),
        "another model's": lambda: _write(path, WEIGHTS.with_name("ssd.pdparams").read_bytes()),
    }
    what = draws.choice(list(kinds))
    kinds[what]()
    return what
