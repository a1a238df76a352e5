"""What the classes are called: the config's own list where there is one, else the metric's standard names."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

from ppdet.data.source.category import get_categories  # isort: skip

from ppdet_cam.detectors.settings import Tagged
from ppdet_cam.errors import ConfigError
from ppdet_cam.places import find_file, read_regular

log = logging.getLogger(__name__)

# Metrics whose names ppdet never takes from a file.
FIXED = frozenset({"widerface", "oid", "kitti", "bdd100kmot"})
# Lists that PaddleDetection's own configs name, and that only those have who downloaded the data set.
STOCK = frozenset({"dataset/coco/annotations/instances_val2017.json", "dataset/voc/label_list.txt"})
BACKGROUND = "background"
ADVICE = "a label list (one name per line) or a COCO annotation file"


@dataclass(frozen=True)
class ClassList:
    """The names in a file.

    Attributes:
        names: by class id.
        without_boxes: categories of an annotation file that none of its boxes has.
    """

    names: tuple[str, ...]
    without_boxes: tuple[str, ...] = ()


def class_names(settings: Mapping[str, object]) -> list[str]:
    """Returns names by class id, as many as the model has classes.

    A list that is too short names the first classes; one that is too long names none, as nobody can tell which is
    which.

    Args:
        settings: the merged config; `TestDataset.anno_path` names the file, `metric` the standard names.

    Raises:
        ConfigError: the file is there and no list of names, or a setting is none.
    """
    count = settings.get("num_classes", 80)
    if not isinstance(count, int) or count < 1:
        raise ConfigError(f"num_classes must be a whole number of at least 1, not {count!r}")
    metric, path = str(settings.get("metric", "COCO")), _named_file(settings)
    if path is not None and metric.lower() in FIXED:
        if path.as_posix() not in STOCK:
            log.warning(
                "metric %s has its own class names, so TestDataset.anno_path %s is not read. To use it: -o metric=COCO",
                metric,
                path,
            )
    elif path is not None and path.exists():
        return _fitted(read_class_list(path), path, count)
    return _standard(metric, path, count)


def read_class_list(path: Path) -> ClassList:
    """Returns the names in a label list (one per line) or in a COCO annotation file (.json).

    Blank lines, a byte-order mark, and a first line "background" count for nothing.

    Raises:
        ConfigError: it cannot be read, or holds no names; the message names the file.
    """
    what = f"class names cannot be read from {path}"
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{what}: {error.strerror or error}. Check that it is a file that you may read") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what}: it is not UTF-8 text (GBK or another encoding?). Save it as UTF-8") from error
    found = _of_annotations(text, what) if path.suffix.lower() == ".json" else _of_lines(text)
    if not found.names:
        raise ConfigError(f"{what}: there are none in it. Give {ADVICE}")
    return found


def _of_lines(text: str) -> ClassList:
    names = [line.strip() for line in text.splitlines() if line.strip()]
    return ClassList(tuple(names[1:] if names[:1] == [BACKGROUND] else names))


def _of_annotations(text: str, what: str) -> ClassList:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what}: it is no JSON ({error}). Give {ADVICE}") from error
    categories = document.get("categories") if isinstance(document, dict) else None
    if not isinstance(categories, list):
        held = "no list 'categories'" if isinstance(document, dict) else f"{type(document).__name__} at the top"
        raise ConfigError(f"{what}: a COCO annotation file has an object with a list 'categories'; this has {held}")
    for position, category in enumerate(categories):
        if not isinstance(category, dict) or not {"id", "name"} <= set(category):
            raise ConfigError(f"{what}: categories[{position}] needs 'id' and 'name', and is {category!r}")
    annotations = document.get("annotations")
    boxes = [box for box in annotations if isinstance(box, dict)] if isinstance(annotations, list) else []
    used = {str(box.get("category_id")) for box in boxes}
    without = [str(category["name"]) for category in categories if used and str(category["id"]) not in used]
    return ClassList(tuple(str(category["name"]) for category in categories), tuple(without))


def _fitted(found: ClassList, path: Path, count: int) -> list[str]:
    names, given = list(found.names), len(found.names)
    if given < count:
        log.warning(
            "%s names %d classes and the model has %d: the first are called so, the rest 'class %d' and on",
            path,
            given,
            count,
            given,
        )
        return names + _numbered(count)[given:]
    if given > count:
        unused = ", ".join(map(repr, found.without_boxes[:3]))
        likely = f" {unused} without any box is a likely cause." if unused else ""
        log.warning(
            "%s names %d classes and the model has %d: nobody can tell which is which, so they are called 'class 0', "
            "'class 1', ...%s",
            path,
            given,
            count,
            likely,
        )
        return _numbered(count)
    return names


def _standard(metric: str, path: Path | None, count: int) -> list[str]:
    ppdet_log = logging.getLogger("ppdet.data.source.category")
    level = ppdet_log.level
    ppdet_log.setLevel(logging.ERROR)
    try:
        categories, by_id = get_categories(metric)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"class names cannot be read for metric {metric!r}: {error}") from error
    finally:
        ppdet_log.setLevel(level)
    is_fixed = metric.lower() in FIXED
    missing = None if path is None or is_fixed or path.as_posix() in STOCK else path
    if len(categories or ()) != count:
        advice = f"Set TestDataset.anno_path to {ADVICE}"
        advice += f", and metric to COCO: {metric} reads none" if is_fixed else ""
        reason = f"{missing} is not there" if missing else f"the list found has {len(categories or ())}"
        log.warning(
            "no names for the %d classes: %s; they are called 'class 0', 'class 1', ... %s", count, reason, advice
        )
        return _numbered(count)
    if missing:
        log.warning(
            "TestDataset.anno_path %s is not there: the names shown are the standard ones of metric %s. Set it to %s",
            missing,
            metric,
            ADVICE,
        )
    return [str(by_id[categories[index]]) for index in range(count)]


def _named_file(settings: Mapping[str, object]) -> Path | None:
    dataset = settings.get("TestDataset")
    fields = dataset.value if isinstance(dataset, Tagged) else dataset
    fields = fields if isinstance(fields, Mapping) else {}
    annotations = fields.get("anno_path")
    return find_file(Path(str(fields.get("dataset_dir") or ""), str(annotations))) if annotations else None


def _numbered(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]
