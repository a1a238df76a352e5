"""Documents and files with a part left out, replaced or garbled."""

from __future__ import annotations

import copy
import json
import os
import random
from pathlib import Path

from fuzzing.world import flipped, spliced

VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 1.5, 10**400, 2**63, float("nan"), float("inf"), -1e30, 1e-30),
    *("", "x", "\0", "é 行", "\ud800", "../../photo.jpg", "/etc/passwd", "<img src=x onerror=alert(1)>", "a" * 3000),
    *([], {}, [1], [[]], [1, 2, 3, 4], {"a": 1}, [None, None]),
)


def spoilt(document: object, draws: random.Random, count: int = 1) -> object:
    """Returns a JSON document with so many of its parts replaced, left out, doubled or renamed."""
    changed = copy.deepcopy(document)
    for _ in range(count):
        owners = list(_owners(changed))
        if not owners:
            return draws.choice(VALUES)
        owner = draws.choice(owners)
        key = draws.choice(list(owner) if isinstance(owner, dict) else range(len(owner)))
        kind = draws.choice(["replace", "replace", "replace", "remove", "other"])
        if kind == "replace":
            owner[key] = copy.deepcopy(draws.choice(VALUES))
        elif kind == "remove":
            del owner[key]
        elif isinstance(owner, dict):
            owner[f"{key}_"] = owner.pop(key)
        else:
            owner.append(copy.deepcopy(owner[key]))
    return changed


def _owners(value: object) -> list[dict | list]:  # type: ignore[type-arg]
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own: list[dict | list] = [value] if value and isinstance(value, (dict, list)) else []  # type: ignore[type-arg]
    return own + [owner for part in below for owner in _owners(part)]


def as_text(document: object) -> bytes:
    """Returns a document as JSON, however odd its values are."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def garbled(content: bytes, draws: random.Random) -> bytes:
    """Returns content that was cut off, changed in places, in another encoding, or replaced by something else."""
    kind = draws.choice(["cut", "cut", "bits", "bits", "spliced", "empty", "noise", "bom", "utf-16", "nul", "doubled"])
    others = {
        "cut": content[: draws.randrange(len(content) + 1)],
        "empty": b"",
        "noise": draws.randbytes(draws.randint(1, 500)),
        "bom": b"\xef\xbb\xbf" + content,
        "nul": content.replace(b" ", b"\0"),
        "doubled": content * 2,
        "utf-16": content.decode("utf-8", "replace").encode("utf-16"),
    }
    if kind in others:
        return others[kind]
    return flipped(content, draws, draws.randint(1, 30)) if kind == "bits" else spliced(content, draws)


def put_in_its_place(path: Path, draws: random.Random) -> str:
    """Puts something else in a file's place, or takes it away, and says what."""
    path.unlink(missing_ok=True)
    kind = draws.choice(["nothing", "a folder", "a FIFO", "a link to itself", "a link to nothing", "a device"])
    if kind == "a folder":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind.startswith("a link"):
        path.symlink_to(path.name if kind == "a link to itself" else "gone")
    elif kind == "a device":
        path.symlink_to(draws.choice(["/dev/null", "/dev/zero"]))
    return kind
