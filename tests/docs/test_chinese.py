"""The pages in Chinese are in step with the English ones: headings, code, tables, flags, figures, links."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.places import ROOT

PAGES = {
    Path("README.md"): Path("README.zh.md"),
    **{Path("docs", path.name): path.relative_to(ROOT) for path in sorted((ROOT / "docs" / "zh").glob("*.md"))},
}
FIRST_READ = "output layers methods targets boxes report environments".split()

# an image's or a page's address in a link
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
FIGURE = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?:e-?\d+)?(?!\w)")


@dataclass
class Section:
    """What stands under a heading.

    Attributes:
        heading: its text without the leading signs.
        level: how many signs there are.
        prose: its lines without blocks of code and tables.
        code: its blocks of code.
        tables: of each table the rows.
    """

    heading: str
    level: int
    prose: str
    code: list[str]
    tables: list[list[str]]

    @property
    def spans(self) -> Counter[str]:
        """The spans of code in prose, and how often each is there."""
        return Counter(CODE.findall(f"{self.heading}\n{self.prose}"))

    @property
    def figures(self) -> set[str]:
        """The numbers in prose and tables, without those in code and links."""
        text = "\n".join([self.prose, *(row for table in self.tables for row in table)])
        return set(FIGURE.findall(CODE.sub(" ", LINK.sub(" ", text))))


def sections_of(page: Path) -> list[Section]:
    """Returns the sections of a page, which begins with a heading."""
    sections: list[Section] = []
    fence, previous, in_table = False, "", False
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        heading = None if fence else re.match(r"(#+) (.*)", line)
        is_indented = line.startswith("    ") and (not previous.strip() or previous.startswith("    "))
        is_row = not fence and line.startswith("|")
        if heading:
            sections.append(Section(heading[2], len(heading[1]), "", [], []))
        elif fence or line.startswith("```"):
            blocks = sections[-1].code
            if line.startswith("```"):
                fence = not fence
                if fence:
                    blocks.append("")
            blocks[-1] += line + "\n"
        elif is_indented:
            if previous.startswith("    "):
                sections[-1].code[-1] += line + "\n"
            else:
                sections[-1].code.append(line + "\n")
        elif is_row:
            if not in_table:
                sections[-1].tables.append([])
            sections[-1].tables[-1].append(line)
        else:
            sections[-1].prose += line + "\n"
        in_table, previous = is_row, line
    return sections


def pairs_of(page: Path) -> list[tuple[Section, Section]]:
    """Returns the sections of a page in English and in Chinese, in order."""
    english, chinese = sections_of(page), sections_of(PAGES[page])
    assert [section.level for section in english] == [section.level for section in chinese]
    return list(zip(english, chinese))


def anchors_of(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them: words with hyphens for blanks."""
    headings = (re.sub(r"[^\w\- ]", "", section.heading.lower()) for section in sections_of(page))
    return {heading.replace(" ", "-") for heading in headings}


every_page = pytest.mark.parametrize("page", PAGES, ids=str)


def test_pages_that_are_read_first_are_in_chinese() -> None:
    """The README, and those that it sends a first user to; no page in Chinese lacks an English one."""
    assert set(FIRST_READ) <= {page.stem for page in PAGES}
    assert all((ROOT / page).is_file() for pair in PAGES.items() for page in pair)


@every_page
def test_page_links_to_its_other_language(page: Path) -> None:
    """Below the title of both."""
    for name, own, other in (("中文", page, PAGES[page]), ("English", PAGES[page], page)):
        lines = (ROOT / own).read_text(encoding="utf-8").splitlines()
        (target,) = LINK.findall(lines[2])
        assert lines[2] == f"[{name}]({target})"
        assert (ROOT / own).parent.joinpath(target).resolve() == ROOT / other


@every_page
def test_headings_are_the_same(page: Path) -> None:
    """As many, of the same levels in the same order, and in Chinese unless they are a name."""
    for english, chinese in pairs_of(page):
        assert CODE.findall(english.heading) == CODE.findall(chinese.heading)
        is_chinese = re.search("[\u4e00-\u9fff]", chinese.heading)
        assert is_chinese or english.heading == chinese.heading


@every_page
def test_code_is_the_same(page: Path) -> None:
    """Every block to the letter; in prose every name, flag, key and value."""
    for english, chinese in pairs_of(page):
        assert english.code == chinese.code, english.heading
        assert set(english.spans) == set(chinese.spans), english.heading
    flags = [re.findall(r"`(--\w+)", (ROOT / one).read_text(encoding="utf-8")) for one in (page, PAGES[page])]
    assert set(flags[0]) == set(flags[1])


@every_page
def test_tables_are_the_same(page: Path) -> None:
    """As many, with as many rows and columns, and the same code in each row."""
    for english, chinese in pairs_of(page):
        assert len(english.tables) == len(chinese.tables), english.heading
        for one, other in zip(english.tables, chinese.tables):
            assert len(one) == len(other), english.heading
            for row, translated in zip(one, other):
                assert row.count("|") == translated.count("|"), row
                assert Counter(CODE.findall(row)) == Counter(CODE.findall(translated)), row


@every_page
def test_figures_are_the_same(page: Path) -> None:
    """No number of the English page is missing or another one, section by section."""
    for english, chinese in pairs_of(page):
        assert english.figures - chinese.figures == set(), english.heading


def links_of(section: Section, page: Path) -> list[Path | str]:
    """Returns where a section's links lead: files, which must be there with their anchors, and addresses."""
    targets: list[Path | str] = []
    for link in LINK.findall("\n".join([section.prose, *(row for table in section.tables for row in table)])):
        path, _, anchor = link.partition("#")
        if ":" in path:
            targets.append(link)
            continue
        target = (ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT) if path else page
        assert (ROOT / target).exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors_of(target), f"{page}: {link}"
        targets.append(target)
    return targets


@every_page
def test_links_lead_to_the_same_pages(page: Path) -> None:
    """To the page in Chinese where there is one, as often as in English; each target and anchor is there."""
    for english, chinese in pairs_of(page):
        wanted, found = links_of(english, page), links_of(chinese, PAGES[page])
        if english.level == 1:  # the first one leads to the other language
            wanted, found = wanted[1:], found[1:]
        assert Counter(PAGES.get(target, target) for target in wanted) == Counter(found), english.heading
