"""A comparison -> `compare.html`, a page to look through it with, and `compare.json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ppdet_cam.compare.comparison import Comparison
from ppdet_cam.compare.differences import Touches
from ppdet_cam.compare.matching import ImagePair, Kind
from ppdet_cam.compare.measures import MeasuredPair
from ppdet_cam.compare.pictures import Thumbnails, link_to, thumbnails_of
from ppdet_cam.compare.record import SCHEMA_KEY, comparison_record, summary_record
from ppdet_cam.insight.changes import changes_record
from ppdet_cam.languages import Said, check_lang
from ppdet_cam.outputs.files import check_output_folder, write_atomically
from ppdet_cam.outputs.manifest import encode_document
from ppdet_cam.questions.overlaps import MATCH_IOU
from ppdet_cam.report.html import REPORT_FILE, box_values, rounded, thumbnail_values, urls
from ppdet_cam.report.page import (
    SHARED_SCRIPTS,
    TEMPLATES,
    Count,
    PageFiles,
    check_page_is_ours,
    check_record_is_ours,
    encode_payload,
    render_page,
)
from ppdet_cam.report.reading import Box, ImageTruth, Run

COMPARE_FILE = "compare.html"
COMPARE_RECORD = "compare.json"

_FILES = PageFiles(
    kind="comparison",
    template="compare.html",
    styles=("report.css", "compare.css"),
    scripts=(*SHARED_SCRIPTS, "pairs.js", "pair_tables.js", "pair_viewer.js", "classes.js", "compare.js"),
    folders=(Path(__file__).resolve().parent / "templates", TEMPLATES),
    is_in_chinese=True,
)
_SHOWN_SETTINGS = 40

Link = Callable[[str], str]


def write_comparison(comparison: Comparison, folder: Path, lang: str | None = None) -> Path:
    """Writes `compare.html` and `compare.json` into a folder, and returns the path of the page.

    Args:
        comparison: what is shown.
        folder: is made if need be; an earlier comparison in it is replaced.
        lang: "en" or "zh", the language that the page opens in; None for that of the browser.

    Raises:
        ConfigError: no such language.
        OutputError: they cannot be written, or files of these names are there that are no comparison.

    Example:
        >>> write_comparison(compare_runs(Path("before"), Path("after")), Path("cam_compare"))  # doctest: +SKIP
        PosixPath('cam_compare/compare.html')
    """
    check_lang(lang)
    check_may_write(folder)
    html = render_comparison(comparison, thumbnails_of(comparison), folder=folder, lang=lang)
    write_atomically(folder / COMPARE_FILE, html.encode("utf-8", "replace"))
    write_atomically(folder / COMPARE_RECORD, encode_document(comparison_record(comparison)))
    return folder / COMPARE_FILE


def check_may_write(folder: Path) -> None:
    """Raises OutputError when a comparison cannot be written into a folder, as far as it can be told beforehand."""
    check_output_folder(folder)
    check_page_is_ours(folder / COMPARE_FILE, "an earlier comparison")
    check_record_is_ours(folder / COMPARE_RECORD, SCHEMA_KEY, "an earlier comparison")


def render_comparison(
    comparison: Comparison, thumbnails: Sequence[Thumbnails], *, folder: Path, lang: str | None = None
) -> str:
    """Returns the page as HTML.

    Args:
        comparison: what is shown.
        thumbnails: of each pair, of run A and of run B.
        folder: where the page will be, for its links.
        lang: the language that it opens in, None for that of the browser.
    """
    links = (
        link_to(comparison.a.folder, page_folder=folder),
        link_to(comparison.b.folder, page_folder=folder),
    )
    names = run_names(comparison.a, comparison.b)
    values = {
        "names": names,
        "heading": Said("What changed from {0} to {1}", names),
        "counts": _counts(comparison),
        "facts": _facts(comparison),
        "reports": _reports(comparison, links),
        "differences": comparison.differences,
        "differences_caption": _differences_caption(comparison),
        "same_weights": comparison.has_same_weights,
        "notes": _notes(comparison),
        "details": _details(comparison),
        "settings": comparison.settings[:_SHOWN_SETTINGS],
        "settings_caption": _settings_caption(len(comparison.settings) - _SHOWN_SETTINGS),
    }
    title = " → ".join(names)
    payload = encode_payload(_payload(comparison, thumbnails, links))
    return render_page(_FILES, values, title=title, payload=payload, lang=lang)


def run_names(a: Run, b: Run) -> tuple[str, str]:
    """Returns what two runs are called: the ends of their folders' paths, as much of them as tells them apart.

    Example:
        A run in `before/cam_out` and one in `after/cam_out` are called just that; `before` and `after` by their names.
    """
    parts_a, parts_b = (Path(os.path.abspath(run.folder)).parts for run in (a, b))
    length = 1
    while parts_a[-length:] == parts_b[-length:] and length < min(len(parts_a), len(parts_b)):
        length += 1
    return "/".join(parts_a[-length:]), "/".join(parts_b[-length:])


# --- the head of the page ---


def _counts(comparison: Comparison) -> list[Count]:
    images, total = comparison.images, comparison.total
    compared = len(images.compared)
    return [
        Count("image compared" if compared == 1 else "images compared", compared),
        Count("lost", total.lost, "#kind=lost"),
        Count("new", total.new, "#kind=new"),
        Count("of another class", total.to_other, "#kind=other+class"),
        Count("kept", total.kept, "#kind=kept"),
        *([Count("failed", len(images.failed), is_bad=True)] if images.failed else []),
        *([Count("only in A", len(images.only_a))] if images.only_a else []),
        *([Count("only in B", len(images.only_b))] if images.only_b else []),
    ]


def _facts(comparison: Comparison) -> list[tuple[str, str | Said, str | Said]]:
    """Returns rows of the table of the two runs: a name, A's value, B's value."""
    a, b = comparison.a, comparison.b
    rows: list[tuple[str, str | Said, str | Said]] = [
        ("Folder", str(a.folder), str(b.folder)),
        ("Weights", _weights(a), _weights(b)),
        ("Config", a.config, b.config),
        ("Method", _distinct(a, lambda box: box.method), _distinct(b, lambda box: box.method)),
        (
            "Layers",
            _distinct(a, lambda box: box.seen_at),
            _distinct(b, lambda box: box.seen_at),
        ),
        ("Images", f"{len(a.images):,}", f"{len(b.images):,}"),
        ("Boxes", f"{_box_count(a):,}", f"{_box_count(b):,}"),
    ]
    return [*rows, *_truth_facts(comparison.images.compared)]


def _truth_facts(compared: Sequence[ImagePair]) -> list[tuple[str, str | Said, str | Said]]:
    """Returns what ground truth says of the compared images, if both runs had it."""
    truths_a = [pair.a.truth for pair in compared if pair.a.truth]
    truths_b = [pair.b.truth for pair in compared if pair.b.truth]
    if not (truths_a and truths_b):
        return []
    return [
        ("Objects found", _objects_found(truths_a), _objects_found(truths_b)),
        ("False positives", _false_positives(truths_a), _false_positives(truths_b)),
    ]


def _objects_found(truths: Sequence[ImageTruth]) -> Said:
    found, there = sum(truth.matched for truth in truths), sum(truth.boxes for truth in truths)
    return Said("{0} of {1}", (f"{found:,}", f"{there:,}"))


def _false_positives(truths: Sequence[ImageTruth]) -> str:
    return f"{sum(len(truth.false_positives) for truth in truths):,}"


def _weights(run: Run) -> str:
    digest = run.weights.get("sha256", "")
    return f"{run.weights.get('asked', '')} ({digest[:8]})" if digest else run.weights.get("asked", "")


def _distinct(run: Run, text_of: Callable[[Box], str]) -> str:
    return "; ".join(dict.fromkeys(text_of(box) for image in run.images for box in image.boxes)) or "–"


def _box_count(run: Run) -> int:
    return sum(len(image.boxes) for image in run.images)


def _reports(comparison: Comparison, links: tuple[Link, Link]) -> list[tuple[Said, str]]:
    """Returns the runs' own reports that there are: what it is, its URL."""
    runs = (("A", comparison.a, links[0]), ("B", comparison.b, links[1]))
    return [
        (Said("Report of {0}", (name,)), link(REPORT_FILE))
        for name, run, link in runs
        if os.path.isfile(run.folder / REPORT_FILE)
    ]


def _differences_caption(comparison: Comparison) -> str:
    if all(difference.touches is Touches.COLOURS for difference in comparison.differences):
        return "Settings that differ: the pictures' colours cannot be compared"
    return "Settings that differ: not all that changed comes from the weights"


def _settings_caption(left_out: int) -> Said:
    if left_out <= 0:
        return Said("Settings of the config that differ")
    return Said("Settings of the config that differ, and {0} more in compare.json", (str(left_out),))


def _notes(comparison: Comparison) -> list[Said]:
    """Returns sentences on what could not be compared, and what to do about it."""
    images, notes = comparison.images, []
    if comparison.without_maps:
        text = (
            "Map correlations are left out: they need the maps as numbers, which {0} did not store. Run cam_ppdet "
            "with --save raw beside the other kinds, such as --save overlay,heatmap,photo,raw, and compare again."
        )
        notes.append(Said(text, (" and ".join(comparison.without_maps),)))
    if comparison.unread_maps:
        number = len(comparison.unread_maps)
        one = "The stored maps of {0} image could not be read: {1}"
        text = one if number == 1 else "The stored maps of {0} images could not be read: {1}"
        notes.append(Said(text, (f"{number:,}", comparison.unread_maps[0])))
    if images.unlike:
        names = ", ".join(pair.a.title for pair in images.unlike[:5])
        text = "Images of one name but two sizes: {0}. They are not compared: {1}"
        notes.append(Said(text, (f"{len(images.unlike):,}", names)))
    if comparison.asked_once:
        text = "Boxes asked about, or objects missed, in one run only: {0}. They are not compared."
        notes.append(Said(text, (f"{comparison.asked_once:,}",)))
    return notes


def _details(comparison: Comparison) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Returns the tables that are folded up: a caption, and rows of a name, A's value and B's value."""
    a, b = comparison.a, comparison.b
    ran_a, ran_b = ({"device": run.device, "architecture": run.architecture} for run in (a, b))
    tables = [("Run", ran_a, ran_b), ("Weights", a.weights, b.weights), ("Flags", a.flags, b.flags)]
    return [
        (caption, _side_by_side(one, other)) for caption, one, other in [*tables, ("Versions", a.versions, b.versions)]
    ]


def _side_by_side(a: Mapping[str, str], b: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(key, a.get(key, "–"), b.get(key, "–")) for key in dict.fromkeys([*a, *b])]


# --- what the script reads ---


def _payload(comparison: Comparison, thumbnails: Sequence[Thumbnails], links: tuple[Link, Link]) -> dict[str, object]:
    images = comparison.images
    return {
        "matchIou": MATCH_IOU,
        **({} if comparison.insight is None else {"insight": changes_record(comparison.insight)}),
        "images": [_image_values(pair, links) for pair in images.compared],
        "failed": [{"title": pair.a.title, "a": pair.a.failure, "b": pair.b.failure} for pair in images.failed],
        "onlyA": [image.title for image in images.only_a],
        "onlyB": [image.title for image in images.only_b],
        "total": summary_record(comparison.total),
        "classes": [summary_record(summary) for summary in comparison.classes],
        "pairs": [_pair_values(measured, pictures, links) for measured, pictures in zip(comparison.pairs, thumbnails)],
    }


def _image_values(pair: ImagePair, links: tuple[Link, Link]) -> dict[str, object]:
    return {
        "path": pair.a.path,
        "title": pair.a.title,
        "hw": pair.a.original_hw,
        "a": urls(pair.a.files or {}, links[0]),
        "b": urls(pair.b.files or {}, links[1]),
    }


def _pair_values(measured: MeasuredPair, thumbnails: Thumbnails, links: tuple[Link, Link]) -> dict[str, object]:
    pair, change = measured.pair, measured.change
    return {
        "image": measured.image,
        "kind": pair.kind.value,
        "classes": measured.class_names,
        "a": box_values(pair.a, links[0]) if pair.a else None,
        "b": box_values(pair.b, links[1]) if pair.b else None,
        "pictures": [thumbnail and thumbnail_values(thumbnail, link) for thumbnail, link in zip(thumbnails, links)],
        "iou": rounded(pair.iou, 4),
        "beside": pair.beside and pair.beside.detection.index,
        "scoreChange": rounded(change.score, 6),
        "energyChange": rounded(change.energy_in_box, 5),
        "mapCorrelation": rounded(change.map_correlation, 4),
        "rankCorrelation": rounded(change.rank_correlation, 4),
        # a box that is gone, or was not there, changed as much as one can
        "change": 1.0 if pair.kind in (Kind.LOST, Kind.NEW) else rounded(change.largest, 5),
    }
