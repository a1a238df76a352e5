"""Configs with parts left out, replaced, misspelt or garbled, and overrides of the same kind."""

from __future__ import annotations

import copy
import os
import random
from functools import cache
from pathlib import Path

import yaml

from fuzzing.world import CHOICE, MARKER, ROOT, Drawn, flipped, save_photo, spliced
from ppdet_cam.detectors.settings import Tagged, read_settings
from ppdet_cam.detectors.workspace import TRAINING_SECTIONS

MODELS = ("blazeface",) * 8 + ("ssd", "ppyoloe", "ppyolo_tiny", "retinanet", "faster_rcnn", "mask_rcnn")

# as YAML writes them
VALUES = (
    "null true false 0 1 -1 2 3 7 20 3000 1000000000000 9223372036854775808 -2147483648 0.0 -0.5 1.0e-30 1.0e+30 "
    ".nan .inf '' abc 'None' '0' ../x [] {} [0] [[]] [null] BlazeNet "
    "MatrixNMS 2001-01-01 0x1F 1_000 yes ~ '\\u0000' !Unknown !Unknown{} !!binary"
).split(" ")
LISTS = ("[1, 2, 3]", "[3, x]", "{a: 1}", "{name: MultiClassNMS}", "{name: MatrixNMS}", "[[24, 24], [24, 48, 2]]")
DANGEROUS = (
    f"!!python/object/apply:os.system ['touch {MARKER}']",
    f"!!python/object/new:os.system ['touch {MARKER}']",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
    f"!<tag:yaml.org,2002:python/object/apply:os.mkdir> [{MARKER}]",
    "&a [*a]",
    "&a {b: *a}",
    "*nowhere",
    "!!int x",
    "!!timestamp 2001-99-99",
)
OPERATIONS = (
    *("RandomFlip", "Pad", "PadBatch", "Resize", "Normalize", "NormalizeImage", "Permute", "Decode", "WarpAffine"),
    *("LetterBoxResize", "BatchRandomResize", "Poly2Mask", "RandomCrop", "Nope", "ResizeRotatedImage", "AutoAugment"),
)
ARGUMENTS = (
    "{}",
    "null",
    "{target_size: [64, 64], keep_ratio: true, interp: 2}",
    "{target_size: [0, 0], keep_ratio: false}",
    "{target_size: 32, interp: 99}",
    "{size: [700, 700], offset_mode: -1}",
    "{size_divisor: 32}",
    "{pad_to_stride: 32}",
    "{pad_to_stride: 0}",
    "{mean: [0, 0, 0], std: [0, 0, 0], is_scale: true}",
    "{nope: 1}",
    "[1, 2]",
    "text",
)


class _Dumper(yaml.SafeDumper):
    """Writes tagged values as they were read."""


def _represent(dumper: _Dumper, tagged: Tagged) -> yaml.Node:
    if isinstance(tagged.value, dict):
        return dumper.represent_mapping(tagged.tag, tagged.value)
    if isinstance(tagged.value, list):
        return dumper.represent_sequence(tagged.tag, tagged.value)
    return dumper.represent_scalar(tagged.tag, str(tagged.value))


_Dumper.add_representer(Tagged, _represent)


@cache
def _settings(model: str) -> dict[str, object]:
    """Returns a demo config without the sections that only training reads."""
    settings = read_settings(ROOT / "configs" / "demo" / f"{model}.yml")
    unread = (*TRAINING_SECTIONS, "TrainReader", "EvalReader", "TrainDataset", "EvalDataset", "filename")
    return {key: value for key, value in settings.items() if key not in unread}


def draw(draws: random.Random, here: Path) -> Drawn:
    """Returns a run over one photograph with a spoilt config, or with spoilt overrides."""
    save_photo(here / "photo.jpg")
    model = draws.choice(MODELS)
    way = draws.choice([_changed_values] * 5 + [_changed_reader, _changed_text, _changed_bases, _overrides, _overrides])
    arguments, what = way(draws, here, model)
    return Drawn((*arguments, "--infer_img", "photo.jpg", *CHOICE), f"{model}: {what}")


def yaml_value(draws: random.Random) -> str:
    """Returns a value as YAML writes it, odd or dangerous."""
    return draws.choice(DANGEROUS if draws.random() < 0.12 else VALUES if draws.random() < 0.8 else LISTS)


def _places(settings: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Returns the paths of everything in nested mappings and lists."""
    value = settings.value if isinstance(settings, Tagged) else settings
    children = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [found for key, child in children for found in ((*path, key), *_places(child, (*path, key)))]


def _inside(settings: object, path: tuple[object, ...]) -> object:
    for key in path:
        settings = settings.value if isinstance(settings, Tagged) else settings
        settings = settings[key]  # type: ignore[index]
    return settings.value if isinstance(settings, Tagged) else settings


def _written(here: Path, settings: dict[str, object], values: dict[str, str]) -> tuple[str, ...]:
    """Writes a config in which `values` stand for their keys, and returns the flag that names it."""
    text = yaml.dump(settings, Dumper=_Dumper, sort_keys=False)
    for name, value in values.items():
        text = text.replace(name, value)
    (here / "mine.yml").write_text(text, encoding="utf-8")
    return ("-c", "mine.yml")


def _changed_values(draws: random.Random, here: Path, model: str) -> tuple[tuple[str, ...], str]:
    settings, values, done = copy.deepcopy(_settings(model)), {}, []
    for number in range(draws.choice([1, 1, 1, 2, 3, 5])):
        path = draws.choice(_places(settings))
        owner, key = _inside(settings, path[:-1]), path[-1]
        change = draws.choice(["drop", "replace", "replace", "replace", "rename", "wrap"])
        shown = ".".join(map(str, path))
        if change == "drop":
            del owner[key]  # type: ignore[attr-defined]
        elif change == "replace":
            name = f"@@{number}@@"
            owner[key], values[f"'{name}'"] = name, yaml_value(draws)  # type: ignore[index]
            shown += f"={values[repr(name)]}"
        elif change == "rename" and isinstance(owner, dict):
            owner[draws.choice([f"{key}x", "", "é", str(key).lower()])] = owner.pop(key)
        else:
            owner[key] = [owner[key]]  # type: ignore[index]
        done.append(f"{change} {shown}")
    return _written(here, settings, values), "; ".join(done)


def _changed_reader(draws: random.Random, here: Path, model: str) -> tuple[tuple[str, ...], str]:
    drawn = [f"{{{draws.choice(OPERATIONS)}: {draws.choice(ARGUMENTS)}}}" for _ in range(draws.randint(0, 4))]
    key = draws.choice(["sample_transforms", "sample_transforms", "batch_transforms"])
    text = f"[{', '.join([*draws.choice([[], ['{Decode: {}}']]), *drawn, *draws.choice([[], ['{Permute: {}}']])])}]"
    return ("-c", f"configs/demo/{model}.yml", "-o", f"TestReader.{key}={text}"), f"{key} {text}"


def _changed_text(draws: random.Random, here: Path, model: str) -> tuple[tuple[str, ...], str]:
    content, what = garbled_yaml(yaml.dump(_settings(model), Dumper=_Dumper, sort_keys=False).encode(), draws)
    (here / "mine.yml").write_bytes(content)
    return ("-c", "mine.yml"), f"text {what}"


def garbled_yaml(content: bytes, draws: random.Random) -> tuple[bytes, str]:
    """Returns YAML that was damaged or that would take endless time or memory, and in words how."""
    changes = {
        "cut off": lambda: content[: draws.randrange(len(content))],
        "bits flipped": lambda: flipped(content, draws, draws.randint(1, 8)),
        "parts moved": lambda: spliced(content, draws),
        "UTF-16": lambda: content.decode().encode("utf-16"),
        "tabs": lambda: content.replace(b"  ", b"\t"),
        "noise": lambda: draws.randbytes(500),
        "twice": lambda: content + content,
        "two documents": lambda: content + b"---\n" + content,
        "deep": lambda: content + b"x: " + b"[" * 5000,
        "laughs": lambda: content + _laughs(),
    }
    what = draws.choice(list(changes))
    return changes[what](), what


def _laughs() -> bytes:
    """Returns a few lines that stand for 9 ** 11 values."""
    lines = ["l0: &l0 [x]", *(f"l{depth}: &l{depth} [{', '.join([f'*l{depth - 1}'] * 9)}]" for depth in range(1, 12))]
    return "\n".join(lines).encode()


def _changed_bases(draws: random.Random, here: Path, model: str) -> tuple[tuple[str, ...], str]:
    base = str(ROOT / "configs" / "demo" / f"{model}.yml")
    plain = "[mine.yml] [other.yml] [gone.yml] mine.yml 3 null [[]] [''] [.] [/dev/null] [fifo.yml]".split()
    whole = [f"[{base}]", f"[{base}, {base}]", f"{{a: {base}}}", f"[{base}, gone.yml]"]
    bases = draws.choice([*plain, *whole, "['a\\0b.yml']", f"[{'x' * 300}.yml]"])
    (here / "mine.yml").write_text(f"_BASE_: {bases}\nuse_gpu: false\n", encoding="utf-8")
    (here / "other.yml").write_text("_BASE_: [mine.yml]\n", encoding="utf-8")
    os.mkfifo(here / "fifo.yml")
    config = draws.choice(["mine.yml", "mine.yml", "mine.yml", "fifo.yml", ".", "gone.yml", "photo.jpg"])
    return ("-c", config), f"{config} with _BASE_: {bases[:60]}"


def _overrides(draws: random.Random, here: Path, model: str) -> tuple[tuple[str, ...], str]:
    places = [path for path in _places(_settings(model)) if all(isinstance(key, str) for key in path)]
    items = []
    for _ in range(draws.randint(1, 4)):
        key = ".".join(map(str, draws.choice(places)))
        key = draws.choice([key, key, key, key, key + ".x", key[:-1], "." + key, key.replace(".", ".."), "", "é"])
        garbled = [key, f"{key}=", f"={key}", f"{key}=[1", f"{key}=a: b: c"]
        items.append(draws.choice([f"{key}={yaml_value(draws)}"] * 6 + garbled))
    return ("-c", f"configs/demo/{model}.yml", "-o", *items), f"-o {items}"
