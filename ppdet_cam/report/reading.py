"""A run's folder -> what the run wrote, as frozen values. Reads the manifest only, no picture."""

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar, overload

from ppdet_cam.errors import ConfigError
from ppdet_cam.languages import Said
from ppdet_cam.outputs.manifest import IMAGES_FILE, RUN_FILE
from ppdet_cam.outputs.resume import PARTIAL_FILE, part_files
from ppdet_cam.places import read_regular
from ppdet_cam.polygons import PolygonXy
from ppdet_cam.structures import Answer, Detection, LevelShare, MapStatus, Verdict

READ_SCHEMA = 2

_T = TypeVar("_T")
_D = TypeVar("_D")


class Role(enum.Enum):
    """What a box is to the one who reads the report."""

    DETECTION = "detection"
    MATCHED = "matched"
    FALSE_POSITIVE = "false positive"
    NOT_COUNTED = "not counted"
    MISSED = "missed"
    ASKED = "asked"


@dataclass(frozen=True)
class BoxTruth:
    """What ground truth says of a detection.

    Attributes:
        matched: whether an object was found by it.
        annotation_id: that object's id.
        iou: of the two.
    """

    matched: bool
    annotation_id: int | str | None
    iou: float | None


@dataclass(frozen=True)
class ImageTruth:
    """What ground truth says of an image.

    Attributes:
        boxes: how many objects it has.
        matched: how many of them were found.
        missed: how many were not.
        false_positives: indices of the detections that found none.
    """

    boxes: int
    matched: int
    missed: int
    false_positives: tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """One explained box.

    Attributes:
        detection: the box; index -1 for a candidate that was no detection.
        files: kind of picture -> its path below the run's folder.
        method: name of the CAM method.
        target: the number that was explained.
        layers: dotted paths of the layers looked at.
        refined_by: dotted paths of the layers whose maps the map was multiplied with.
        levels: the evidence's share per level.
        status: OK, or why there is no map.
        reason: the status in words.
        energy_in_box: part of the map's sum that lies in the box, 0 to 1; None without a map.
        roi_xyxy: the proposal that was pooled, original pixels.
        answer: for a box that was asked about, what became of it.
        truth: for a detection of a run with ground truth.
        role: what the box is to the reader.
    """

    detection: Detection
    files: Mapping[str, str]
    method: str
    target: str
    layers: tuple[str, ...]
    refined_by: tuple[str, ...]
    levels: tuple[LevelShare, ...]
    status: MapStatus
    reason: str
    energy_in_box: float | None
    roi_xyxy: tuple[float, float, float, float] | None
    answer: Answer | None
    truth: BoxTruth | None
    role: Role

    @property
    def seen_at(self) -> str:
        """The layers, with those that refined the map, in words."""
        finer = f", refined by {', '.join(self.refined_by)}" if self.refined_by else ""
        return ", ".join(self.layers) + finer

    @property
    def heat_outside(self) -> float | None:
        """Part of the map's sum that lies outside the box, 0 to 1; None without a map."""
        return None if self.energy_in_box is None else 1 - self.energy_in_box


@dataclass(frozen=True)
class View:
    """What one level of a layer shows, whatever the boxes.

    Attributes:
        layer: dotted path of the layer.
        level: position among its feature maps.
        grid_hw: cells along y and x.
        channels: how many it has.
        files: kind of picture -> its path below the run's folder.
    """

    layer: str
    level: int
    grid_hw: tuple[int, int]
    channels: int
    files: Mapping[str, str]


@dataclass(frozen=True)
class Image:
    """One image of the run.

    Attributes:
        path: the file as it was given.
        name: folder of its files below the run's folder; "" when there is one image only.
        failure: why it could not be explained, None when it was; a failed image has nothing of what follows.
        original_hw: height and width in pixels.
        seconds: wall time of all steps.
        detections: how many rows the detector gave.
        highest_score: the best of their scores.
        boxes: the explained boxes.
        truth: for a run with ground truth.
        files: kind of file -> its path below the run's folder.
        warnings: what is amiss with it, though it could be explained.
        views: of layers, for a run that explained no boxes.
    """

    path: str
    name: str
    failure: str | None = None
    original_hw: tuple[int, int] | None = None
    seconds: float | None = None
    detections: int = 0
    highest_score: float | None = None
    boxes: tuple[Box, ...] = ()
    truth: ImageTruth | None = None
    files: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()
    views: tuple[View, ...] = ()

    @property
    def title(self) -> str:
        """What it is called: its place in the run, or the file's name when it is the only image."""
        return self.name or PurePosixPath(self.path.replace("\\", "/")).name or self.path


@dataclass(frozen=True)
class Run:
    """All that a run wrote about itself.

    Attributes:
        folder: where it lies.
        config: path of the ppdet config.
        architecture: ppdet's name of it.
        weights: what was asked for, the file, its SHA-256.
        flags: flag -> value, as JSON.
        device: what it ran on.
        versions: package -> version.
        class_names: that the detector tells apart.
        settings: of the config that matter to a result, dotted key -> value, as JSON.
        seconds: wall time.
        images: in the run's order.
    """

    folder: Path
    config: str
    architecture: str
    weights: Mapping[str, str]
    flags: Mapping[str, str]
    device: str
    versions: Mapping[str, str]
    class_names: tuple[str, ...]
    settings: Mapping[str, str]
    seconds: float | None
    images: tuple[Image, ...]

    @property
    def model_dir(self) -> str | None:
        """The folder of the exported model that was explained by its output; None for a config."""
        given = self.flags.get("model_dir", "null")
        return None if given in ("null", "") else given

    @property
    def is_of_output_only(self) -> bool:
        """Whether nothing but the detector's output was looked at."""
        return self.model_dir is not None or self.flags.get("output_only") == "true"


def read_run(folder: Path) -> Run:
    """Returns what the run in this folder wrote about itself.

    Args:
        folder: the run's `--cam_out`.

    Raises:
        ConfigError: it is no finished run, of another schema, or its manifest is broken; the message names the line.

    Example:
        >>> read_run(Path("cam_out")).images[0].boxes[0].detection.class_name  # doctest: +SKIP
        'dog'
    """
    if not os.path.isdir(folder):  # pathlib raises for a name too long
        raise ConfigError(f"{folder} is not a folder; give the --cam_out of a run")
    run_file, images_file = folder / RUN_FILE, folder / IMAGES_FILE
    if not os.path.exists(run_file) and (os.path.exists(folder / PARTIAL_FILE) or part_files(folder)):
        raise ConfigError(
            f"{folder} has no {RUN_FILE}: the run did not finish. Run it again with --resume, which keeps what is done"
        )
    document = _parsed(_text_of(run_file), f"{run_file}")
    _check_schema(document, run_file)
    # not splitlines: a name may hold one of the other characters that it splits at
    lines = _text_of(images_file).split("\n")
    images = tuple(
        _checked(_image, _parsed(line, f"{images_file}, line {number}"), f"{images_file}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )
    return _checked(lambda value: _run(value, folder, images), document, f"{run_file}")


def _text_of(path: Path) -> str:
    try:
        return read_regular(path).decode("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"no {path.name} in {path.parent}: it is not the folder of a run. Give its --cam_out"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read {path}: {reason}. Run cam_ppdet again") from error


def _parsed(text: str, place: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place} is not JSON: {error}. Run cam_ppdet again") from error


def _check_schema(document: object, path: Path) -> None:
    schema = document.get("schema_version") if isinstance(document, dict) else None
    if schema is None:
        raise ConfigError(f"{path} is not of a run: it has no schema_version. Give the --cam_out of a run")
    if schema != READ_SCHEMA:
        raise ConfigError(
            f"{path} has schema_version {schema!r}; this version reads {READ_SCHEMA}. "
            "Run cam_ppdet again, or use the version that wrote it"
        )


def _checked(convert: Callable[[object], _T], value: object, place: str) -> _T:
    try:
        return convert(value)
    except _UnfitError as error:
        raise ConfigError(f"{place}: {error}. Run cam_ppdet again") from error


# --- records ---


def _run(value: object, folder: Path, images: tuple[Image, ...]) -> Run:
    record = _object(value)
    config = _take(record, "config", _object)
    return Run(
        folder=folder,
        config=_take(config, "path", _text),
        architecture=_take(config, "architecture", _text),
        weights=_take(record, "weights", _shown),
        flags=_take(record, "flags", _shown),
        device=_take(record, "device", _text),
        versions=_take(record, "versions", _shown),
        class_names=_take(record, "class_names", _tuple(_text), ()),
        settings=_take(record, "settings", _shown, {}),
        seconds=_take(_take(record, "totals", _object), "seconds", _optional(_number), None),
        images=images,
    )


def _image(value: object) -> Image:
    record = _object(value)
    path, name = _take(record, "path", _text), _take(record, "name", _text)
    status = _take(record, "status", _one_of("ok", "failed"))
    if status == "failed":
        return Image(path=path, name=name, failure=_take(record, "reason", _text))
    size = _take(record, "size", _object)
    truth = _take(record, "truth", _optional(_image_truth), None)
    false_positives = truth.false_positives if truth else ()
    return Image(
        path=path,
        name=name,
        original_hw=(_take(size, "height", _whole), _take(size, "width", _whole)),
        seconds=sum(_take(record, "seconds", _table(_number), {}).values()),
        detections=_take(record, "detections", _whole),
        highest_score=_take(record, "highest_score", _optional(_number)),
        boxes=_take(record, "boxes", _tuple(lambda box: _box(box, false_positives))),
        truth=truth,
        files=_take(record, "files", _table(_file), {}),
        warnings=_take(record, "warnings", _tuple(_text), ()),
        views=_take(record, "views", _tuple(_view), ()),
    )


def _box(value: object, false_positives: tuple[int, ...]) -> Box:
    record = _object(value)
    detection = Detection(
        index=_take(record, "index", _whole),
        class_id=_take(record, "class_id", _whole),
        class_name=_take(record, "class_name", _text),
        score=_take(record, "score", _number),
        box_xyxy=_take(record, "box_xyxy", _corners),
        score_before_nms=_take(record, "score_before_nms", _optional(_number), None),
        polygon_xy=_take(record, "polygon_xy", _optional(_polygon), None),
    )
    status = _take(record, "status", _member(MapStatus))
    answer = _take(record, "answer", _optional(_answer), None)
    truth = _take(record, "truth", _optional(_box_truth), None)
    return Box(
        detection=detection,
        files=_take(record, "files", _table(_file), {}),
        method=_take(record, "method", _text),
        target=_take(record, "target", _text, "class"),
        layers=_take(record, "layers", _tuple(_text)),
        refined_by=_take(record, "refined_by", _tuple(_text), ()),
        levels=_take(record, "levels", _tuple(_level)),
        status=status,
        reason=_take(record, "reason", _text, "" if status is MapStatus.OK else status.value),
        energy_in_box=_take(record, "energy_in_box", _optional(_number), None),
        roi_xyxy=_take(record, "roi_xyxy", _optional(_corners), None),
        answer=answer,
        truth=truth,
        role=_role(detection, answer, truth, false_positives),
    )


def _role(
    detection: Detection, answer: Answer | None, truth: BoxTruth | None, false_positives: tuple[int, ...]
) -> Role:
    if answer is not None:
        # with --gt, a run asks by itself about each object that it missed, by the annotation's id
        return Role.MISSED if answer.name.startswith("gt_") else Role.ASKED
    if truth is None:
        return Role.DETECTION
    if truth.matched:
        return Role.MATCHED
    return Role.FALSE_POSITIVE if detection.index in false_positives else Role.NOT_COUNTED


def _level(value: object) -> LevelShare:
    record = _object(value)
    return LevelShare(
        layer=_take(record, "layer", _text),
        level=_take(record, "level", _whole),
        grid_hw=_take(record, "grid_hw", _pair(_whole)),
        stride_yx=_take(record, "stride_yx", _pair(_number)),
        share=_take(record, "share", _number),
    )


def _view(value: object) -> View:
    record = _object(value)
    return View(
        layer=_take(record, "layer", _text),
        level=_take(record, "level", _whole),
        grid_hw=_take(record, "grid_hw", _pair(_whole)),
        channels=_take(record, "channels", _whole),
        files=_take(record, "files", _table(_file)),
    )


def _answer(value: object) -> Answer:
    record = _object(value)
    return Answer(
        name=_take(record, "name", _text),
        box_xyxy=_take(record, "box_xyxy", _corners),
        class_name=_take(record, "class_name", _optional(_text), None),
        verdict=_take(record, "verdict", _member(Verdict)),
        words=_take(record, "words", _text),
        iou=_take(record, "iou", _number),
        other_index=_take(record, "other_index", _optional(_whole), None),
        polygon_xy=_take(record, "polygon_xy", _optional(_polygon), None),
        said=_take(record, "said", _tuple(_said), ()),
        share_seen=_take(record, "share_seen", _optional(_number), None),
    )


def _said(value: object) -> Said:
    record = _object(value)
    return Said(_take(record, "pattern", _text), _take(record, "values", _tuple(_text)))


def _box_truth(value: object) -> BoxTruth:
    record = _object(value)
    return BoxTruth(
        matched=_take(record, "matched", _boolean),
        annotation_id=_take(record, "annotation_id", _optional(_name), None),
        iou=_take(record, "iou", _optional(_number), None),
    )


def _image_truth(value: object) -> ImageTruth:
    record = _object(value)
    return ImageTruth(
        boxes=_take(record, "boxes", _whole),
        matched=_take(record, "matched", _whole),
        missed=_take(record, "missed", _whole),
        false_positives=_take(record, "false_positives", _tuple(_whole)),
    )


# --- values: each function returns what it was given, typed, or raises _UnfitError with where and what is wrong ---


class _UnfitError(ValueError):
    """A value of the manifest that is not what the schema says."""


class _Required:
    """The default of a key that has none."""


_REQUIRED = _Required()


@overload
def _take(record: Mapping[str, object], key: str, convert: Callable[[object], _T]) -> _T: ...
@overload
def _take(record: Mapping[str, object], key: str, convert: Callable[[object], _T], default: _D) -> _T | _D: ...
def _take(
    record: Mapping[str, object], key: str, convert: Callable[[object], _T], default: _D | _Required = _REQUIRED
) -> _T | _D:
    if key not in record:
        if isinstance(default, _Required):
            raise _UnfitError(f"{key!r} is missing")
        return default
    try:
        return convert(record[key])
    except _UnfitError as error:
        raise _UnfitError(f"{key!r}: {error}") from error


def _unfit(value: object, wanted: str) -> _UnfitError:
    given = json.dumps(value, ensure_ascii=False)
    return _UnfitError(f"{given if len(given) <= 60 else given[:60] + '...'} is not {wanted}")


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _unfit(value, "an object")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _unfit(value, "a text")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _unfit(value, "true or false")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unfit(value, "a whole number")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _unfit(value, "a number")
    if not abs(value) <= sys.float_info.max:  # also for NaN
        raise _unfit(value, "a finite number")
    return float(value)


def _name(value: object) -> int | str:
    if isinstance(value, str):
        return value
    return _whole(value)


def _file(value: object) -> str:
    text = _text(value)
    path = PurePosixPath(text)
    # a report that is passed on must not lead its reader's browser out of the run's folder
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in text:
        raise _unfit(value, "a path below the run's folder")
    return text


def _optional(convert: Callable[[object], _T]) -> Callable[[object], _T | None]:
    return lambda value: None if value is None else convert(value)


def _tuple(convert: Callable[[object], _T]) -> Callable[[object], tuple[_T, ...]]:
    def converted(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list):
            raise _unfit(value, "a list")
        return tuple(_element(convert, item, position) for position, item in enumerate(value))

    return converted


def _element(convert: Callable[[object], _T], value: object, position: int) -> _T:
    try:
        return convert(value)
    except _UnfitError as error:
        raise _UnfitError(f"[{position}]: {error}") from error


def _table(convert: Callable[[object], _T]) -> Callable[[object], dict[str, _T]]:
    def converted(value: object) -> dict[str, _T]:
        record = _object(value)
        return {key: _take(record, key, convert) for key in record}

    return converted


def _pair(convert: Callable[[object], _T]) -> Callable[[object], tuple[_T, _T]]:
    def converted(value: object) -> tuple[_T, _T]:
        values = _tuple(convert)(value)
        if len(values) != 2:
            raise _unfit(value, "a pair")
        return values[0], values[1]

    return converted


def _corners(value: object) -> tuple[float, float, float, float]:
    values = _tuple(_number)(value)
    if len(values) != 4:
        raise _unfit(value, "four numbers")
    return values[0], values[1], values[2], values[3]


def _polygon(value: object) -> PolygonXy:
    corners = _tuple(_pair(_number))(value)
    if len(corners) != 4:
        raise _unfit(value, "four corners")
    return corners


def _one_of(*allowed: str) -> Callable[[object], str]:
    def converted(value: object) -> str:
        if value not in allowed:
            raise _unfit(value, f"one of {', '.join(allowed)}")
        return _text(value)

    return converted


_E = TypeVar("_E", bound=enum.Enum)


def _member(members: type[_E]) -> Callable[[object], _E]:
    names = {member.name.lower(): member for member in members}
    return lambda value: names[_one_of(*names)(value)]


def _shown(value: object) -> dict[str, str]:
    """Returns an object's values as one reads them: texts as they are, all else as JSON."""
    record = _object(value)
    return {
        key: item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for key, item in record.items()
    }
