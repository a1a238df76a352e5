"""The page of cam_insight, and the report's page Classes, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.insight_runs import Spot, scattered, write_grid_run

from ppdet_cam.commands.cam_insight import main
from ppdet_cam.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install playwright")

pytest_plugins = ["support.browser_fixtures"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one suspect, its insight and its report."""
    images = [[one] for one in scattered("dog", 30, seed=1, spots=[(Spot(-0.25, 0.8, 0.3),)])]
    images += [[one] for one in scattered("cat", 30, seed=2)]
    folder = write_grid_run(tmp_path_factory.mktemp("browser"), images, class_names=["dog", "cat"])
    write_report(folder)
    assert main([str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "boxes rest on a place beside the object"), ("zh", "依赖物体旁的一处")]
)
def test_page_shows_suspects_and_classes_open(browser, run: Path, lang: str, words: str) -> None:
    """In both languages, without an error; a class's groups are made when it is opened."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{(run / 'insight.html').as_uri()}?lang={lang}")
    assert words in page.inner_text(".suspect .sentence")
    assert page.locator(".group").count() == 0
    page.locator("details.class-page > summary").first.click()
    page.wait_for_selector(".group")
    assert page.locator(".maps canvas").count() >= 3 and errors == []
    page.close()


def test_report_has_a_page_of_classes(browser, run: Path) -> None:
    """Its table and the suspect's sentence, with a link to the page of cam_insight."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{(run / 'report.html').as_uri()}?lang=en#classes")
    page.wait_for_selector("#classes-table table")
    assert "dog" in page.inner_text("#classes-table") and "rest on a place beside" in page.inner_text("#classes-table")
    assert page.get_attribute("#classes-table a[href='insight.html']", "href") == "insight.html" and errors == []
    page.close()
