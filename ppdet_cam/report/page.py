"""A page that needs nothing but itself: template, styles, script and values in one HTML file, closed to all else."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ppdet_cam import __version__
from ppdet_cam.errors import OutputError
from ppdet_cam.places import open_regular, read_regular

TEMPLATES = Path(__file__).resolve().parent / "templates"

# what every page's script begins with: its language, elements, tables, the viewer
SHARED_SCRIPTS = ("words.js", "elements.js", "sorted_table.js", "filters.js", "stage.js", "dialog.js")

_GENERATOR = '<meta name="generator" content="ppdet_cam'


@dataclass(frozen=True)
class PageFiles:
    """The files that a page is made of; each is looked up in the folders, the first one that has it wins.

    Attributes:
        kind: what the page is called: "report".
        template: Jinja2 template that extends `page.html`.
        styles: CSS files, in order.
        scripts: JavaScript files, in order; they share one scope.
        folders: where they lie.
        is_in_chinese: whether all that it says is in `words.json`, so that it can be read in Chinese as well.
    """

    kind: str
    template: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]
    folders: tuple[Path, ...] = (TEMPLATES,)
    is_in_chinese: bool = False


@dataclass(frozen=True)
class Count:
    """A number in the head of a page.

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


def render_page(
    files: PageFiles, values: Mapping[str, object], *, title: str, payload: str, lang: str | None = None
) -> str:
    """Returns a page as HTML.

    Args:
        files: what it is made of.
        values: what its template shows; escaped.
        title: of the page.
        payload: what its script reads, from `encode_payload`.
        lang: the language that it opens in, of `LANGUAGES`; None for that of the browser.
    """
    chinese = chinese_words() if files.is_in_chinese else {}
    environment = Environment(
        loader=FileSystemLoader(files.folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script, style = (_joined(files.folders, names) for names in (files.scripts, files.styles))
    return environment.get_template(files.template).render(
        {
            **values,
            "title": title,
            "kind": files.kind,
            "version": __version__,
            "lang": lang,
            "chinese": chinese,
            "words": Markup(encode_payload(chinese)),
            "script": Markup(script),
            "style": Markup(style),
            "content_security_policy": _content_security_policy(script, style),
            "payload": Markup(payload),
        }
    )


def chinese_words() -> dict[str, str]:
    """Returns the pages' English texts -> the same in Chinese; {0}, {1}, ... stand for values in both."""
    table: dict[str, str] = json.loads((TEMPLATES / "words.json").read_text(encoding="utf-8"))
    return table


def encode_payload(payload: Mapping[str, object]) -> str:
    """Returns values as JSON that can stand inside a script element whatever texts it holds."""
    text = json.dumps(payload, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def file_url(file: str) -> str:
    """Returns a path relative to the page's folder as a URL relative to the page."""
    # a leading "./" keeps what stands before a colon from being read as a scheme
    return "./" + quote(file, safe="/", errors="surrogateescape")


def check_page_is_ours(path: Path, what: str) -> None:
    """Raises OutputError when a file is in the place of a page that no program of this package wrote.

    Args:
        path: where the page will be written.
        what: what it is, for the message: "a report of an earlier run".
    """
    try:
        with open_regular(path) as stream:
            beginning = stream.read(4096).decode("utf-8", "replace")
    except OSError as error:
        if error.errno != errno.EINVAL:  # a device or pipe
            return  # not there; anything else comes up again, with its cause, when it is to be replaced
        beginning = ""
    if _GENERATOR not in beginning:
        raise OutputError(f"{path} is not {what} and would be replaced. Move it away")


def check_record_is_ours(path: Path, key: str, what: str, *, advice: str = "Move it away") -> None:
    """Raises OutputError when a file is in the place of a page's JSON that no program of this package wrote.

    Args:
        path: where it will be written.
        key: of its schema's version, which only ours has.
        what: what it is, for the message: "an earlier comparison".
        advice: what to do instead.
    """
    try:
        document = json.loads(read_regular(path))
    except OSError as error:
        if error.errno != errno.EINVAL:  # a device or pipe
            return  # as for the page
        document = None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or key not in document:
        raise OutputError(f"{path} is not {what} and would be replaced. {advice}")


def _joined(folders: Sequence[Path], names: Sequence[str]) -> str:
    found = (next(folder / name for folder in folders if (folder / name).is_file()) for name in names)
    return "".join(path.read_text(encoding="utf-8") for path in found)


def _content_security_policy(script: str, style: str) -> str:
    """Returns a policy under which nothing runs but this script, and nothing is fetched but files beside the page."""
    script_hash, style_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
