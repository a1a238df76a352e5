"""A run -> `report.html`: one file with its own styles, script, values and thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ppdet_cam.languages import check_lang
from ppdet_cam.outputs.files import write_atomically
from ppdet_cam.polygons import PolygonXy
from ppdet_cam.report.insights import insight_values
from ppdet_cam.report.page import (
    SHARED_SCRIPTS,
    Count,
    PageFiles,
    check_page_is_ours,
    encode_payload,
    file_url,
    render_page,
)
from ppdet_cam.report.reading import Box, Image, Role, Run, read_run
from ppdet_cam.report.thumbnails import MAX_EMBEDDED, Thumbnail, embedded_thumbnail, linked_thumbnail
from ppdet_cam.structures import MapStatus

REPORT_FILE = "report.html"

OUTPUT_ONLY = "not looked at: the output alone"

_FILES = PageFiles(
    kind="report",
    template="report.html",
    styles=("report.css",),
    scripts=(*SHARED_SCRIPTS, "values.js", "table.js", "viewer.js", "classes.js", "pages.js"),
    is_in_chinese=True,
)


def write_report(run_folder: Path, lang: str | None = None) -> Path:
    """Writes `report.html` into the folder of a finished run and returns its path.

    Args:
        run_folder: the run's `--cam_out`; an earlier report in it is replaced.
        lang: "en" or "zh", the language that it opens in; None for that of the browser.

    Raises:
        ConfigError: it is no finished run, or its manifest is broken; no such language.
        OutputError: the report cannot be written, or a file of that name is there that is no report.

    Example:
        >>> write_report(Path("cam_out"))  # doctest: +SKIP
        PosixPath('cam_out/report.html')
    """
    check_lang(lang)
    path = run_folder / REPORT_FILE
    run = read_run(run_folder)
    check_may_replace_report(run_folder)
    html = render_report(run, thumbnails_of(run), lang=lang)
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


def check_may_replace_report(run_folder: Path) -> None:
    """Raises OutputError when a file is in the place of a run's report that is none of ours."""
    check_page_is_ours(run_folder / REPORT_FILE, "a report of an earlier run")


def render_report(run: Run, thumbnails: Mapping[tuple[int, int], Thumbnail], *, lang: str | None = None) -> str:
    """Returns the page as HTML.

    Args:
        run: what is shown.
        thumbnails: small pictures by the image's and the box's position; those of other boxes are left out.
        lang: the language that it opens in, None for that of the browser.
    """
    values = {"counts": _counts(run), "facts": _facts(run), "details": _details(run)}
    return render_page(_FILES, values, title=_title(run), payload=encode_payload(_payload(run, thumbnails)), lang=lang)


# --- the head of the page ---


def _title(run: Run) -> str:
    return f"{Path(run.model_dir or run.config).stem} ({run.architecture})"


def _counts(run: Run) -> list[Count]:
    boxes = [box for image in run.images for box in image.boxes]
    truths = [image.truth for image in run.images if image.truth is not None]
    counts = [
        Count("images", len(run.images), "#images") if len(run.images) != 1 else Count("image", 1),
        Count("failed", sum(image.failure is not None for image in run.images), is_bad=True),
        Count("detections", sum(image.detections for image in run.images)),
        Count("box explained" if len(boxes) == 1 else "boxes explained", len(boxes)),
        Count("without a map", sum(box.status is not MapStatus.OK for box in boxes), "#status=blank"),
    ]
    views = sum(len(image.views) for image in run.images)
    if views:
        counts.append(Count("picture of layers" if views == 1 else "pictures of layers", views))
    warned = sum(bool(image.warnings) for image in run.images)
    if warned:
        counts.append(Count("with a warning", warned, is_bad=True))
    if truths:
        counts += [
            Count("objects in ground truth", sum(truth.boxes for truth in truths)),
            Count("found", sum(truth.matched for truth in truths)),
            Count("missed", sum(truth.missed for truth in truths), "#result=missed", is_bad=True),
            Count(
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
        ("Config" if run.model_dir is None else "Exported model", run.model_dir or run.config),
        ("Weights", run.weights.get("asked", "")),
        ("Layers", _distinct(box.seen_at for box in boxes)),
        ("Method", _distinct(box.method for box in boxes)),
        ("Inside", OUTPUT_ONLY if run.is_of_output_only else ""),
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
    insight = insight_values(run.folder)
    return {
        "layers": layers,
        **({} if insight is None else {"insight": insight}),
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
        "warnings": image.warnings,
        "hw": image.original_hw,
        "seconds": rounded(image.seconds, 3),
        "detections": image.detections,
        "highestScore": rounded(image.highest_score, 6),
        "truth": truth
        and {
            "boxes": truth.boxes,
            "matched": truth.matched,
            "missed": truth.missed,
            "falsePositives": len(truth.false_positives),
        },
        "files": urls(image.files or {}, file_url),
        "views": [
            {
                "title": f"{view.layer}@{view.level}",
                "grid": f"{view.grid_hw[0]}\u00d7{view.grid_hw[1]}",
                "channels": view.channels,
                "files": urls(view.files, file_url),
            }
            for view in image.views
        ],
        "boxes": boxes,
    }


def _box_values(box: Box, layers: Sequence[str], thumbnail: Thumbnail | None) -> dict[str, object]:
    values: dict[str, object] = {
        **box_values(box, file_url),
        "seenAt": box.seen_at,
        "levels": [
            [layers.index(level.layer), level.level, *level.grid_hw, *level.stride_yx, rounded(level.share, 5)]
            for level in box.levels
        ],
    }
    if thumbnail is not None:
        values["thumbnail"] = thumbnail_values(thumbnail, file_url)
    return values


# --- what the scripts of other pages read as well; `link` is a path below the run's folder -> its URL ---


def box_values(box: Box, link: Callable[[str], str]) -> dict[str, object]:
    """Returns what a script reads of a box, without its layers."""
    values: dict[str, object] = {
        "index": box.detection.index,
        "className": box.detection.class_name,
        "score": rounded(box.detection.score, 6),
        "box": _corners(box.detection.box_xyxy),
        "method": box.method,
        "target": box.target,
        "status": box.status.name.lower(),
        "reason": box.reason,
        "energy": rounded(box.energy_in_box, 5),
        "role": box.role.value,
        "files": urls(box.files, link),
    }
    if box.detection.polygon_xy is not None:
        values["polygon"] = _points(box.detection.polygon_xy)
    if box.detection.score_before_nms is not None:
        values["scoreBeforeNms"] = rounded(box.detection.score_before_nms, 6)
    if box.roi_xyxy is not None:
        values["roi"] = _corners(box.roi_xyxy)
    if box.answer is not None:
        values["answer"] = {
            "name": box.answer.name,
            "box": _corners(box.answer.box_xyxy),
            "polygon": box.answer.polygon_xy and _points(box.answer.polygon_xy),
            "className": box.answer.class_name,
            "verdict": box.answer.verdict.value,
            "said": [[clause.pattern, *clause.values] for clause in box.answer.said] or [["{0}", box.answer.words]],
            "iou": rounded(box.answer.iou, 4),
            "otherIndex": box.answer.other_index,
        }
    if box.truth is not None:
        values["truth"] = {"annotation": box.truth.annotation_id, "iou": rounded(box.truth.iou, 4)}
    return values


def thumbnail_values(thumbnail: Thumbnail, link: Callable[[str], str]) -> dict[str, object]:
    """Returns what a script reads of a small picture."""
    if thumbnail.file is None:
        return {"data": thumbnail.data_url}
    return {"url": link(thumbnail.file), "window": thumbnail.window}


def urls(files: Mapping[str, str], link: Callable[[str], str]) -> dict[str, str]:
    """Returns kind -> URL of a box's or an image's files."""
    return {kind: link(file) for kind, file in files.items()}


def rounded(number: float | None, digits: int) -> float | None:
    """Returns the number with so many digits after the point, None for None."""
    return None if number is None else round(number, digits)


def _corners(box_xyxy: Sequence[float]) -> list[float]:
    return [round(corner, 2) for corner in box_xyxy]


def _points(polygon_xy: PolygonXy) -> list[list[float]]:
    return [_corners(corner) for corner in polygon_xy]
