"""What was measured, as lines of JSON: a line per image, so that an evaluation that was interrupted can go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from ppdet_cam.evaluation.files import MEASUREMENTS_FILE
from ppdet_cam.evaluation.values import ImageMeasurement, Measured, Place, Sanity
from ppdet_cam.outputs.manifest import decode_line
from ppdet_cam.places import open_regular


def measurement_record(path: str, name: str, measured: ImageMeasurement, *, seconds: float) -> dict[str, object]:
    """Returns the line of an image that was measured.

    Args:
        path: the image, as it was given.
        name: what it is called in the evaluation.
        measured: what came of it.
        seconds: wall time.
    """
    return {
        "path": path,
        "name": name,
        "status": "ok",
        "seconds": round(seconds, 3),
        **dataclasses.asdict(measured),
    }


def measurement_of(record: Mapping[str, object]) -> ImageMeasurement | None:
    """Returns what a line says was measured, None for an image that failed, or a line that is none of ours."""
    if record.get("status") != "ok":
        return None
    try:
        places = tuple(_place(place) for place in record["places"])  # type: ignore[attr-defined]
        return ImageMeasurement(int(record["objects"]), places)  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _place(of: Mapping[str, object]) -> Place:
    fields = {**of, "agreement": tuple(of["agreement"])}  # type: ignore[arg-type]
    fields["maps"] = tuple(_with_tuples(Measured, each) for each in of["maps"])  # type: ignore[attr-defined]
    fields["sanity"] = tuple(_with_tuples(Sanity, each) for each in of["sanity"])  # type: ignore[attr-defined]
    return Place(**fields)  # type: ignore[arg-type]


def _with_tuples(kind: type[Measured] | type[Sanity], of: Mapping[str, object]) -> object:
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in of.items()})  # type: ignore[arg-type]


def read_records(folder: Path) -> dict[str, dict[str, object]]:
    """Returns the lines in a folder by the images' names, the last one of each; one that is cut off is left out.

    Raises:
        OSError: they cannot be read.
    """
    file = folder / MEASUREMENTS_FILE
    found: dict[str, dict[str, object]] = {}
    if file.is_file():
        with open_regular(file) as lines:
            for line in lines:
                record = decode_line(line)
                if record is not None:
                    found[str(record.get("name"))] = record
    return found
