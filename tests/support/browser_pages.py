"""What is on a page in a browser, for the tests of pages: tables, colours, what is too wide, what has no name."""

from __future__ import annotations

import re

from playwright import sync_api

expect = sync_api.expect
expect.set_options(timeout=15_000)  # a machine with other work to do is slow


def table(page: sync_api.Page, caption: str) -> sync_api.Locator:
    return page.locator("table.rows", has=page.locator("caption", has_text=re.compile(f"^{re.escape(caption)}$")))


def column(page: sync_api.Page, caption: str, label: str) -> list[str]:
    """Returns the texts of a table's column as one sees them."""
    heads = [text.strip() for text in table(page, caption).locator("thead th").all_inner_texts()]
    cells = table(page, caption).locator(f"tbody tr > :nth-child({heads.index(label) + 1})")
    return [" ".join(text.split()) for text in cells.all_inner_texts()]


def expect_pictures(pictures: sync_api.Locator, number: int) -> None:
    """Fails unless so many pictures are there and loaded."""
    expect(pictures).to_have_count(number)
    for picture in pictures.all():
        expect(picture).to_have_js_property("naturalWidth", 160)


def overflowing(page: sync_api.Page) -> list[int]:
    """Returns by how many pixels parts of the page are wider than there is room."""
    return page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll(".scroller, dialog, .viewer-body")]
            .filter((node) => node.offsetParent !== null || node === document.documentElement)
            .map((node) => node.scrollWidth - node.clientWidth).filter((pixels) => pixels > 0)"""
    )


def unnamed(page: sync_api.Page) -> list[str]:
    """Returns fields without a label, pictures without a text, heads without a scope, buttons without a name."""
    return page.evaluate(
        """() => [
            ...[...document.querySelectorAll("input, select")].filter((node) => !node.labels.length && !node.ariaLabel),
            ...[...document.querySelectorAll("img")].filter((node) => !node.hasAttribute("alt")),
            ...[...document.querySelectorAll("th")].filter((node) => !node.scope),
            ...[...document.querySelectorAll("button, a")].filter((node) => !node.ariaLabel && !node.innerHTML.trim()),
        ].map((node) => node.outerHTML)"""
    )


def colours(page: sync_api.Page, names: str) -> dict[str, str]:
    """Returns the page's colours by their names."""
    return {
        name: page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")
        for name in names.split()
    }


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


# what a run calls things, and what has no other name in Chinese
NAMES = """dog cat model neck gradcam IoU NMS px configs ppyoloe crn coco yml pdparams YOLOv jpg val first second third
    ppdet cam English photo photos heatmap panel clean crop summary Esc overlay report save box gt of weights"""


def english_words(page: sync_api.Page, names: str = "") -> set[str]:
    """Returns words of Latin letters that are seen or read aloud on the page, without names of the run."""
    texts = page.evaluate(
        """() => {
            const shown = [...document.querySelectorAll("body *:not(script):not(style):not(noscript)")]
                .filter((node) => !node.closest("details, noscript"));
            const texts = shown.flatMap((node) => [...node.childNodes])
                .filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.textContent);
            const named = shown.flatMap((node) => ["aria-label", "title", "alt", "placeholder"]
                .map((name) => node.getAttribute(name) || ""));
            return [...texts, ...named].join("\\n");
        }"""
    )
    return {
        word
        for word in re.findall(r"[A-Za-z]{2,}", texts)
        if word not in {*NAMES.split(), *re.findall("[A-Za-z]+", names)}
    }
