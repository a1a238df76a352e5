"""A run -> `report.html`: one file with its own styles, script, values and thumbnails."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ppdet_cam import __version__
from ppdet_cam.errors import OutputError
from ppdet_cam.report.reading import Box, Image, Role, Run, read_run
from ppdet_cam.report.thumbnails import MAX_EMBEDDED, Thumbnail, embedded_thumbnail, linked_thumbnail
from ppdet_cam.structures import MapStatus
from ppdet_cam.writers.files import write_atomically

REPORT_FILE = "report.html"

_GENERATOR = '<meta name="generator" content="ppdet_cam'
_TEMPLATES = Path(__file__).resolve().parent / "templates"
_SCRIPTS = ("values.js", "table.js", "viewer.js", "pages.js")


def write_report(run_folder: Path) -> Path:
    """Writes `report.html` into the folder of a finished run and returns its path.

    Args:
        run_folder: the run's `--cam_out`; an earlier report in it is replaced.

    Raises:
        ConfigError: it is no finished run, or its manifest is broken.
        OutputError: the report cannot be written, or a file of that name is there that is no report.

    Example:
        >>> write_report(Path("cam_out"))  # doctest: +SKIP
        PosixPath('cam_out/report.html')
    """
    path = run_folder / REPORT_FILE
    run = read_run(run_folder)
    _check_report_is_ours(path)
    html = render_report(run, thumbnails_of(run))
    write_atomically(path, html.encode("utf-8", "replace"))
    return path


def thumbnails_of(run: Run, max_embedded: int = MAX_EMBEDDED) -> dict[tuple[int, int], Thumbnail]:
    """Returns the small pictures of the run's boxes, by the image's and the box's position.

    Args:
        run: the run.
        max_embedded: so many are made and kept in the page, those of missed objects and false positives first; the
            others are parts of the run's files.
    """
    places = [(image, box) for image in range(len(run.images)) for box in range(len(run.images[image].boxes))]
    found = (Role.MISSED, Role.FALSE_POSITIVE)
    places.sort(key=lambda place: run.images[place[0]].boxes[place[1]].role not in found)  # a stable sort
    thumbnails = {}
    for order, place in enumerate(places):
        image = run.images[place[0]]
        box = image.boxes[place[1]]
        embedded = order < max_embedded
        thumbnail = embedded_thumbnail(run.folder, image, box) if embedded else linked_thumbnail(image, box)
        if thumbnail is not None:
            thumbnails[place] = thumbnail
    return thumbnails


def render_report(run: Run, thumbnails: Mapping[tuple[int, int], Thumbnail]) -> str:
    """Returns the page as HTML.

    Args:
        run: what is shown.
        thumbnails: small pictures by the image's and the box's position; those of other boxes are left out.
    """
    script = "".join(_template_text(name) for name in _SCRIPTS)
    style = _template_text("report.css")
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=_title(run),
            version=__version__,
            script=Markup(script),
            style=Markup(style),
            content_security_policy=_content_security_policy(script, style),
            payload=Markup(encode_payload(_payload(run, thumbnails))),
            counts=_counts(run),
            facts=_facts(run),
            details=_details(run),
        )
    )


def encode_payload(payload: Mapping[str, object]) -> str:
    """Returns values as JSON that can stand inside a script element whatever texts it holds."""
    text = json.dumps(payload, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def file_url(file: str) -> str:
    """Returns a path below the run's folder as a URL relative to the report."""
    # a leading "./" keeps what stands before a colon from being read as a scheme
    return "./" + quote(file, safe="/", errors="surrogateescape")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template_text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _content_security_policy(script: str, style: str) -> str:
    """Returns a policy under which nothing runs but this script, and nothing is fetched but files beside the page."""
    script_hash, style_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _check_report_is_ours(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            beginning = stream.read(4096).decode("utf-8", "replace")
    except OSError:
        return  # not there; anything else comes up again, with its cause, when it is to be replaced
    if _GENERATOR not in beginning:
        raise OutputError(f"{path} is not a report of an earlier run and would be replaced. Move it away")


# --- the head of the page ---


def _title(run: Run) -> str:
    return f"{Path(run.config).stem} ({run.architecture})"


@dataclass(frozen=True)
class _Count:
    """A number in the head of the page.

    Attributes:
        label: what is counted.
        number: how many there are.
        address: where in the page they are listed, "" for nowhere.
        is_bad: whether a number above zero is bad news.
    """

    label: str
    number: int
    address: str = ""
    is_bad: bool = False


def _counts(run: Run) -> list[_Count]:
    boxes = [box for image in run.images for box in image.boxes]
    truths = [image.truth for image in run.images if image.truth is not None]
    counts = [
        _Count("images", len(run.images), "#images") if len(run.images) != 1 else _Count("image", 1),
        _Count("failed", sum(image.failure is not None for image in run.images), is_bad=True),
        _Count("detections", sum(image.detections for image in run.images)),
        _Count("box explained" if len(boxes) == 1 else "boxes explained", len(boxes)),
        _Count("without a map", sum(box.status is not MapStatus.OK for box in boxes), "#status=blank"),
    ]
    if truths:
        counts += [
            _Count("objects in ground truth", sum(truth.boxes for truth in truths)),
            _Count("found", sum(truth.matched for truth in truths)),
            _Count("missed", sum(truth.missed for truth in truths), "#result=missed", is_bad=True),
            _Count(
                "false positives",
                sum(len(truth.false_positives) for truth in truths),
                "#result=false+positive",
                is_bad=True,
            ),
        ]
    return counts


def _facts(run: Run) -> list[tuple[str, str]]:
    boxes = [box for image in run.images for box in image.boxes]
    scores = [image.highest_score for image in run.images if image.highest_score is not None]
    facts = [
        ("Config", run.config),
        ("Weights", run.weights.get("asked", "")),
        ("Layers", _distinct(layer for box in boxes for layer in box.layers)),
        ("Method", _distinct(box.method for box in boxes)),
        ("Highest score", f"{max(scores):.3f}" if scores else ""),
    ]
    return [(label, value) for label, value in facts if value]


def _details(run: Run) -> list[tuple[str, Mapping[str, str]]]:
    """Returns the tables that are folded up below the facts: a caption, and name -> value."""
    ran = {
        "architecture": run.architecture,
        "device": run.device,
        **{f"weights: {k}": v for k, v in run.weights.items()},
    }
    if run.seconds is not None:
        ran["seconds"] = f"{run.seconds:.1f}"
    return [("Run", ran), ("Flags", run.flags), ("Versions", run.versions)]


def _distinct(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


# --- what the script reads ---


def _payload(run: Run, thumbnails: Mapping[tuple[int, int], Thumbnail]) -> dict[str, object]:
    layers = list(dict.fromkeys(level.layer for image in run.images for box in image.boxes for level in box.levels))
    return {
        "layers": layers,
        "images": [
            _image_values(
                image, [_box_values(box, layers, thumbnails.get((i, j))) for j, box in enumerate(image.boxes)]
            )
            for i, image in enumerate(run.images)
        ],
    }


def _image_values(image: Image, boxes: Sequence[Mapping[str, object]]) -> dict[str, object]:
    truth = image.truth
    return {
        "path": image.path,
        "title": image.title,
        "failure": image.failure,
        "hw": image.original_hw,
        "seconds": _rounded(image.seconds, 3),
        "detections": image.detections,
        "highestScore": _rounded(image.highest_score, 6),
        "truth": truth
        and {
            "boxes": truth.boxes,
            "matched": truth.matched,
            "missed": truth.missed,
            "falsePositives": len(truth.false_positives),
        },
        "files": _urls(image.files or {}),
        "boxes": boxes,
    }


def _box_values(box: Box, layers: Sequence[str], thumbnail: Thumbnail | None) -> dict[str, object]:
    values: dict[str, object] = {
        "index": box.detection.index,
        "className": box.detection.class_name,
        "score": _rounded(box.detection.score, 6),
        "box": _corners(box.detection.box_xyxy),
        "method": box.method,
        "target": box.target,
        "layers": box.layers,
        "levels": [
            [layers.index(level.layer), level.level, *level.grid_hw, *level.stride_yx, _rounded(level.share, 5)]
            for level in box.levels
        ],
        "status": box.status.name.lower(),
        "reason": box.reason,
        "energy": _rounded(box.energy_in_box, 5),
        "role": box.role.value,
        "files": _urls(box.files),
    }
    if box.roi_xyxy is not None:
        values["roi"] = _corners(box.roi_xyxy)
    if box.answer is not None:
        values["answer"] = {
            "name": box.answer.name,
            "box": _corners(box.answer.box_xyxy),
            "className": box.answer.class_name,
            "verdict": box.answer.verdict.value,
            "words": box.answer.words,
            "iou": _rounded(box.answer.iou, 4),
            "otherIndex": box.answer.other_index,
        }
    if box.truth is not None:
        values["truth"] = {"annotation": box.truth.annotation_id, "iou": _rounded(box.truth.iou, 4)}
    if thumbnail is not None:
        values["thumbnail"] = (
            {"data": thumbnail.data_url}
            if thumbnail.file is None
            else {"url": file_url(thumbnail.file), "window": thumbnail.window}
        )
    return values


def _urls(files: Mapping[str, str]) -> dict[str, str]:
    return {kind: file_url(file) for kind, file in files.items()}


def _corners(box_xyxy: Sequence[float]) -> list[float]:
    return [round(corner, 2) for corner in box_xyxy]


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
