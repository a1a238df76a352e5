"""What was found -> `insight.html`, a page to look through it with, and `insight.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ppdet_cam.insight.finding import Insight
from ppdet_cam.insight.pictures import Sheets
from ppdet_cam.insight.record import insight_record
from ppdet_cam.insight.values import Example, Frame, Kind, Place, Verdict
from ppdet_cam.languages import Said, check_lang
from ppdet_cam.outputs.files import check_output_folder, write_atomically
from ppdet_cam.outputs.manifest import encode_document
from ppdet_cam.report.insights import INSIGHT_FILE, INSIGHT_PAGE, SCHEMA_KEY
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

# so many small pictures are kept in the page, those of the suspects first, then the most typical of each group
MOST_PICTURES = 2000
OF_GROUP = 12

_FILES = PageFiles(
    kind="insight",
    template="insight.html",
    styles=("report.css", "insight.css"),
    scripts=(*SHARED_SCRIPTS[:3], "classes.js", "insight.js"),
    folders=(Path(__file__).resolve().parent / "templates", TEMPLATES),
    is_in_chinese=True,
)


def write_insight(insight: Insight, folder: Path, lang: str | None = None) -> Path:
    """Writes `insight.html` and `insight.json` into a folder, and returns the path of the page.

    Args:
        insight: what is shown.
        folder: is made if need be; an earlier insight in it is replaced.
        lang: "en" or "zh", the language that the page opens in; None for that of the browser.

    Raises:
        ConfigError: no such language.
        OutputError: they cannot be written, or files of these names are there that are none of ours.
    """
    check_lang(lang)
    check_may_write(folder)
    write_atomically(folder / INSIGHT_PAGE, render_insight(insight, lang=lang).encode("utf-8", "replace"))
    write_atomically(folder / INSIGHT_FILE, encode_document(insight_record(insight)))
    return folder / INSIGHT_PAGE


def check_may_write(folder: Path) -> None:
    """Raises OutputError when an insight cannot be written into a folder, as far as it can be told beforehand."""
    check_output_folder(folder)
    check_page_is_ours(folder / INSIGHT_PAGE, "an earlier insight")
    check_record_is_ours(
        folder / INSIGHT_FILE, SCHEMA_KEY, "an earlier insight", advice="Move it away, or choose another --out"
    )


def render_insight(insight: Insight, *, lang: str | None = None) -> str:
    """Returns the page as HTML.

    Args:
        insight: what is shown.
        lang: the language that it opens in, None for that of the browser.
    """
    run = insight.run
    values = {
        "counts": _counts(insight),
        "facts": [("Config", run.config), ("Weights", run.weights.get("asked", "")), ("Run", str(run.folder))],
        "notes": _notes(insight),
    }
    title = f"{Path(run.config).stem} ({run.architecture})"
    return render_page(_FILES, values, title=title, payload=encode_payload(_payload(insight)), lang=lang)


def _counts(insight: Insight) -> list[Count]:
    confirmed = sum(one.verdict is Verdict.CONFIRMED for one in insight.suspects)
    images, boxes = len(insight.run.images), len(insight.boxes)
    return [
        Count("image" if images == 1 else "images", images),
        Count("box explained" if boxes == 1 else "boxes explained", boxes),
        Count("suspect" if len(insight.suspects) == 1 else "suspects", len(insight.suspects), "#suspects"),
        *([Count("confirmed", confirmed, "#suspects", is_bad=True)] if any(s.check for s in insight.suspects) else []),
    ]


def _notes(insight: Insight) -> list[Said]:
    collected, notes = insight.collected, []
    if collected.unread:
        text = "The maps of {0} images could not be read and are left out: {1}"
        notes.append(Said(text, (f"{len(collected.unread):,}", collected.unread[0])))
    if collected.without_photo:
        text = "The photos of {0} images are gone: what is seen there is not known, and there are no pictures of them."
        notes.append(Said(text, (f"{collected.without_photo:,}",)))
    return notes


def _payload(insight: Insight) -> dict[str, object]:
    """Returns what the script reads: the record, with pictures for its examples."""
    record = insight_record(insight)
    budget = _Pictures(insight)
    suspects: list[dict[str, object]] = record["suspects"]  # type: ignore[assignment]
    for values, suspect in zip(suspects, insight.suspects):
        whole = suspect.kind is not Kind.BESIDE
        values["pictures"] = budget.of(suspect.examples, suspect.place, whole=whole)
    classes: list[dict[str, object]] = record["classes"]  # type: ignore[assignment]
    for values, of_class in zip(classes, insight.classes):
        groups: list[dict[str, object]] = values["groups"]  # type: ignore[assignment]
        for group_values, group in zip(groups, of_class.groups):
            whole = _is_far(group.box_frame)
            group_values["pictures"] = budget.of(group.examples[:OF_GROUP], None, whole=whole)
    return record


def _is_far(box_frame: np.ndarray) -> bool:
    """Returns whether most of a group's heat lies beyond twice the box."""
    return float(box_frame.sum()) < 0.5


class _Pictures:
    """Makes pictures as long as the page may hold more."""

    def __init__(self, insight: Insight) -> None:
        self._sheets, self._left = Sheets(insight.run, insight.boxes), MOST_PICTURES

    def of(self, examples: Sequence[Example], place: Place | None, *, whole: bool) -> list[str | None]:
        chosen = examples[: self._left]
        self._left -= len(chosen)
        drawn = place if place is None or place.frame is Frame.BOX or whole else None
        return [self._sheets.picture(example.row, drawn, whole=whole) for example in chosen]
