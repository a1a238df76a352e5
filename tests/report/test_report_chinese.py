"""The report in Chinese, in a real browser: by `--lang`, by the browser's language, by the link on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.report_runs import (
    add_pictures,
    blank_record,
    box_record,
    failed_record,
    image_record,
    missed_record,
    write_run,
)

from ppdet_cam.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install playwright")

from support.browser_pages import column, english_words, expect, table  # noqa: E402  (needs playwright)

pytest_plugins = ["support.browser_fixtures"]
pytestmark = pytest.mark.slow

MATCHED = {"matched": True, "annotation_id": 3, "iou": 0.8}
UNMATCHED = {"matched": False, "annotation_id": None, "iou": None}


SAID = [
    {"pattern": "scored too low: {0} for {1} at IoU {2}, below {3}", "values": ["0.210", "dog", "0.64", "0.5"]},
    {"pattern": "; detection {0} lies there", "values": ["2 (cat 0.620)"]},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three images with ground truth, a failed one among them."""
    folder = tmp_path_factory.mktemp("run")
    first = [
        box_record(0, class_name="dog", score=0.91, truth=MATCHED),
        box_record(1, class_name="cat", score=0.62, energy_in_box=0.3, truth=UNMATCHED),
        blank_record(2, class_name="dog", score=0.55, score_before_nms=0.6, truth=MATCHED),
    ]
    second = [
        missed_record(7, energy_in_box=0.2, asked={"words": "in English", "said": SAID}),
        missed_record(0, asked={"name": "box_0", "verdict": "found", "words": "\u5df2\u68c0\u51fa"}),
    ]
    truth = {"boxes": 3, "matched": 2, "missed": 1}
    images = [
        image_record("val/first", first, truth={**truth, "false_positives": [1]}),
        image_record("val/second", second, truth={**truth, "false_positives": []}),
    ]
    failed = failed_record("val/third", "\u635f\u574f")
    write_run(folder, [*(add_pictures(folder, image) for image in images), failed])
    return folder


def test_report_with_lang_zh_is_in_chinese(page: sync_api.Page, folder: Path) -> None:
    """Every text of its pages and of the viewer; the run's own names stay."""
    address = write_report(folder, "zh").as_uri()
    page.goto(address)
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    titles = page.locator("#page-boxes h2").all_inner_texts()
    assert titles == ["1 张图像失败", "漏检与误检", "所询问的框", "全部检测框"]
    assert column(page, "全部检测框", "置信度") == ["0.910", "0.620", "0.550", "0.210", "0.210"]
    assert column(page, "全部检测框", "结果") == ["匹配", "误检", "匹配", "漏检", "询问"]
    assert english_words(page) == set()
    sentence = "置信度过低：dog 的置信度为 0.210（IoU 0.64），低于 0.5；该处有检测结果 2 (cat 0.620)"
    assert sentence in page.locator("#page-boxes").inner_text()
    form = page.get_by_role("search", name="筛选检测框")
    form.get_by_label("结果").select_option("missed")
    expect(form.locator(".matches")).to_have_text("1 / 5 个检测框")
    for place in ("#image=0&box=0", "#image=0&box=2", "#image=1&box=0", "#image=0", "#image=2", "#images"):
        page.goto(address + place)
        expect(page.locator("h1:visible, h2:visible").first).to_be_visible()
        assert english_words(page) == set(), place
        assert place != "#image=1&box=0" or sentence in page.locator(".viewer-side").inner_text()


def test_report_is_in_the_browsers_language(browser: sync_api.Browser, folder: Path) -> None:
    """Unless it was written for one; other languages than Chinese get English."""
    address = write_report(folder).as_uri()
    for locale, lang in (("zh-CN", "zh-CN"), ("zh-TW", "zh-CN"), ("en-GB", "en"), ("de-DE", "en")):
        context = browser.new_context(locale=locale)
        page = context.new_page()
        page.goto(address)
        assert page.evaluate("document.documentElement.lang") == lang
        context.close()
    address = write_report(folder, "en").as_uri()
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(address)
    assert page.evaluate("document.documentElement.lang") == "en"
    context.close()


def test_link_switches_the_language_at_the_same_place(page: sync_api.Page, folder: Path) -> None:
    """What was filtered and sorted stays, and so does the language on other pages of the report."""
    page.goto(write_report(folder, "en").as_uri() + "#class=dog&sort=-score")
    page.get_by_role("link", name="中文").click()
    expect(page.locator("#all-boxes .matches")).to_have_text("4 / 5 个检测框")
    assert column(page, "全部检测框", "置信度") == ["0.910", "0.550", "0.210", "0.210"]
    page.get_by_role("link", name="图像", exact=True).click()
    table(page, "全部图像").get_by_role("link", name="val/first").click()
    expect(table(page, "val/first 的检测框")).to_be_visible()
    page.get_by_role("link", name="English").click()
    expect(table(page, "Boxes of val/first")).to_be_visible()
