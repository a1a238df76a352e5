"""Ground truth in VOC's form: an XML file per image."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ppdet_cam.errors import ConfigError
from ppdet_cam.places import read_regular
from ppdet_cam.polygons import BoxXyxy
from ppdet_cam.questions.truth import GroundTruth, TrueBox

_SUFFIX = ".xml"
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_ADVICE = "it must be VOC's XML: <annotation> with <object>, each with <name> and <bndbox>"


def read(
    files: Sequence[Path], path: Path, root: Path, class_names: Sequence[str]
) -> tuple[GroundTruth, Collection[str]]:
    """Returns the annotations of XML files, each called like its image, and all classes that they have.

    Args:
        files: to read.
        path: that was given.
        root: the folder that the names start at.
        class_names: the detector's.

    Raises:
        ConfigError: a file cannot be read, or is not in VOC's form.
    """
    names = [file.relative_to(root).with_suffix("").as_posix() for file in files]
    return _read(dict(zip(names, files)), path, class_names, by_stem=True)


def read_pairs(
    pairs: Sequence[tuple[str, str]], path: Path, class_names: Sequence[str]
) -> tuple[GroundTruth, Collection[str]]:
    """Returns the annotations of a list, as ppdet's `VOCDataSet` has it, and all classes that they have.

    Args:
        pairs: an image and its XML file each, relative to the list's folder.
        path: of the list.
        class_names: the detector's.

    Raises:
        ConfigError: a file cannot be read, or is not in VOC's form.
    """
    files = {os.path.normpath(image).replace(os.sep, "/"): path.parent / file for image, file in pairs}
    return _read(files, path, class_names, by_stem=False)


def pairs_of(path: Path) -> list[tuple[str, str]] | None:
    """Returns the images and XML files that a list names on its lines, None for a file that is no such list.

    Raises:
        ConfigError: it cannot be read, or a line names no image and no XML file.
    """
    try:
        lines = read_regular(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--gt {path} cannot be read: {reason}") from error
    if not any(line.rstrip().lower().endswith(_SUFFIX) for line in lines):
        return None
    pairs = []
    for number, line in enumerate(lines, start=1):
        image, _, file = line.strip().rpartition(" ")
        if line.strip() and not (image.strip() and file.lower().endswith(_SUFFIX)):
            raise ConfigError(f"--gt {path}: line {number} is not an image and its XML file, but {line[:60]!r}")
        if line.strip():
            pairs.append((image.strip(), file))
    return pairs


def _read(
    files: dict[str, Path], path: Path, class_names: Sequence[str], *, by_stem: bool
) -> tuple[GroundTruth, Collection[str]]:
    boxes, sizes, classes = {}, {}, set()
    for name, file in files.items():
        root = _parsed(file, path)
        found = []
        for number, item in enumerate(root.iter("object"), start=1):
            class_name = (item.findtext("name") or "").strip()
            classes.add(class_name)
            box_xyxy = _corners(item, number, file, path)
            is_counted = (item.findtext("difficult") or "0").strip() in ("0", "")  # as ppdet's VOC metric counts
            if class_name in class_names and is_counted and box_xyxy[0] < box_xyxy[2] and box_xyxy[1] < box_xyxy[3]:
                found.append(TrueBox(number, class_name, box_xyxy))
        boxes[name] = tuple(found)
        height, width = (_whole(root.findtext(f"size/{side}")) for side in ("height", "width"))
        if height and width:
            sizes[name] = height, width
    return GroundTruth(path, boxes, sizes, tuple(files.values()), by_stem), classes


def _parsed(file: Path, path: Path) -> ElementTree.Element:
    try:
        content = read_regular(file)
        if b"<!ENTITY" in content:
            raise ValueError("it declares entities")
        root = ElementTree.fromstring(content)
        if root.tag != "annotation":
            raise ValueError(f"it is <{root.tag}>")
        return root
    except OSError as error:
        raise ConfigError(f"--gt {path}: {file} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, SyntaxError, RecursionError) as error:  # LookupError: an unknown encoding
        raise _unfit(path, file, str(error)) from error


def _corners(item: ElementTree.Element, number: int, file: Path, path: Path) -> BoxXyxy:
    texts = [item.findtext(f"bndbox/{side}") for side in _SIDES]
    try:
        left, top, right, bottom = (float(text or "") for text in texts)
    except ValueError as error:
        raise _unfit(path, file, f"<bndbox> of object {number} has {dict(zip(_SIDES, texts))}") from error
    if not np.isfinite([left, top, right, bottom]).all():
        raise _unfit(path, file, f"<bndbox> of object {number} is not four finite numbers")
    return left, top, right, bottom


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.strip().isdecimal() else 0


def _unfit(path: Path, file: Path, reason: str) -> ConfigError:
    where = "" if file == path else f"{file} "
    return ConfigError(f"--gt {path}: {where}is not an annotation of VOC's form ({reason}); {_ADVICE}")
