"""Ground truth in YOLO's form: a text file per image, a line per object, in parts of the image's width and height."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import yaml

from ppdet_cam.errors import ConfigError
from ppdet_cam.places import read_regular
from ppdet_cam.questions.truth import GroundTruth, TrueBox

log = logging.getLogger(__name__)

CLASS_FILES = ("classes.txt", "obj.names")
_DATA_FILES = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
_NAMES_ABOVE = 3  # labels/train/ and what is above: so far up the names of the classes are looked for

_ROUNDING = 0.01  # tools round, and let boxes reach over the edge by so much
_ADVICE = (
    "a line must be: class id, centre x, centre y, width, height, all but the first from 0 to 1; or class id and the "
    "points of a polygon"
)


def read(
    files: Sequence[Path], path: Path, root: Path, class_names: Sequence[str]
) -> tuple[GroundTruth, Collection[str]]:
    """Returns the annotations of label files, each called like its image, and all classes that they have.

    The names of the classes are those of a `classes.txt` or `data.yaml` in the folder or close above; without, the ids
    are taken for the detector's.

    Args:
        files: to read.
        path: that was given.
        root: the folder that the names start at.
        class_names: the detector's, by class id.

    Raises:
        ConfigError: a file cannot be read, or is not in YOLO's form.
    """
    names, named_by = _class_names(root) or (list(class_names), None)
    if named_by is None:
        log.warning(
            "--gt %s: class ids are taken for the detector's own (0 is %s), as no classes.txt or data.yaml is there",
            path,
            class_names[0],
        )
    boxes, used = {}, set()
    for file in files:
        found = []
        for number, line in enumerate(_lines(file, path), start=1):
            if not line.strip():
                continue
            try:
                class_id, box = _object(line, number)
                class_name = names[class_id]
            except IndexError as error:
                where = named_by or "the detector"
                raise _unfit(path, file, number, f"class id {class_id}; {where} has {len(names)} classes") from error
            except ValueError as error:
                raise _unfit(path, file, number, f"{error}: {line.strip()[:60]!r}") from error
            used.add(class_name)
            if class_name in class_names and box.box_xyxy[0] < box.box_xyxy[2] and box.box_xyxy[1] < box.box_xyxy[3]:
                found.append(TrueBox(number, class_name, box.box_xyxy, segmentation=box.segmentation))
        boxes[file.relative_to(root).with_suffix("").as_posix()] = tuple(found)
    return GroundTruth(path, boxes, {}, tuple(files), by_stem=True, is_relative=True), used


def _object(line: str, number: int) -> tuple[int, TrueBox]:
    """Returns the class id and the object, still without its class's name."""
    first, *rest = line.split()
    if not first.isdecimal():
        raise ValueError("the class id is no whole number")
    values = [float(text) for text in rest]
    if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in values):
        raise ValueError("a number is not from 0 to 1")
    if len(values) == 4:
        x, y, width, height = values
        return int(first), TrueBox(number, "", (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers behind the class id")
    across, down = values[0::2], values[1::2]
    return int(first), TrueBox(number, "", (min(across), min(down), max(across), max(down)), segmentation=[values])


def _lines(file: Path, path: Path) -> list[str]:
    try:
        return read_regular(file).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--gt {path}: {file} cannot be read: {reason}") from error


def _class_names(root: Path) -> tuple[list[str], Path] | None:
    """Returns the names by class id, and the file that has them; None where there is no such file."""
    above = [root, *root.absolute().parents][:_NAMES_ABOVE]
    for folder in above:
        for name in (*CLASS_FILES, *_DATA_FILES):
            file = folder / name
            if file.is_file():
                found = _listed(file) if name in CLASS_FILES else _from_yaml(file)
                if found:
                    return found, file
    return None


def _listed(file: Path) -> list[str]:
    return [line.strip() for line in _lines(file, file) if line.strip()]


def _from_yaml(file: Path) -> list[str]:
    """Returns the names of a data set's YAML file, a list or a mapping of ids; none when it has none."""
    try:
        document = yaml.safe_load("\n".join(_lines(file, file)))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}, which should name YOLO's classes, is not YAML: {reason}") from error
    names = document.get("names") if isinstance(document, Mapping) else None
    if isinstance(names, Mapping):
        names = [names.get(number) for number in range(len(names))]
    return [str(name) for name in names] if isinstance(names, list) else []


def _unfit(path: Path, file: Path, number: int, reason: str) -> ConfigError:
    where = "" if file == path else f"{file}, "
    return ConfigError(f"--gt {path}: {where}line {number} is not a label of YOLO's form ({reason}); {_ADVICE}")
