"""A page of HTML as a browser would find it, and what is to be read in it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from support.report_runs import (
    Record,
)

EVIL = "<img src=x onerror=alert(1)>\"'&</script><!--\u2028\u202e.jpg"


class Page(HTMLParser):
    """What a browser would find in a page.

    Attributes:
        elements: (tag, attributes) in order.
        texts: text nodes outside of script and style elements, in order.
        values: the JSON that the script reads.
        scripts: the contents of the scripts that run.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.values: Record = {}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = dict(attrs).get("type") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "application/json":
            self.values = json.loads(data)
        elif self._inside == "script":
            self.scripts.append(data)
        elif not self._inside and data.strip():
            self.texts.append(" ".join(data.split()))


def counts_of(page: Page) -> dict[str, int]:
    texts = page.texts
    return {
        label: int(number.replace(",", ""))
        for number, label in zip(texts, texts[1:])
        if re.fullmatch(r"[0-9,]+", number)
    }
