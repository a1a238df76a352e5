"""The comparison of two runs in Chinese, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.compare_runs import box_at, write_drawn_run
from support.report_runs import failed_record, image_record, missed_record

from ppdet_cam.compare import compare_runs, write_comparison

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install playwright")

from support.browser_pages import column, english_words, expect  # noqa: E402  (needs playwright)

pytest_plugins = ["support.browser_fixtures"]
pytestmark = pytest.mark.slow

MATCHED = {"matched": True, "annotation_id": 3, "iou": 0.8}
UNMATCHED = {"matched": False, "annotation_id": None, "iou": None}


def test_comparison_with_lang_zh_is_in_chinese(page: sync_api.Page, tmp_path: Path) -> None:
    """Every text of the page and of its viewer; the runs' own names stay."""
    truth = {"boxes": 3, "matched": 2, "missed": 1, "false_positives": [2]}
    asked = missed_record(7, asked={"words": "未检出"})
    a = [box_at("left", 0, truth=MATCHED), box_at("right", 1, class_name="cat", truth=MATCHED), asked]
    b = [box_at("left", 0, score=0.7, truth=MATCHED), box_at("top", 1, truth=UNMATCHED), asked]
    images_a = [image_record("val/first", [*a, box_at("top", 2, truth=UNMATCHED)], truth=truth)]
    images_b = [image_record("val/first", [*b, box_at("right", 2, truth=UNMATCHED)], truth=truth)]
    before = write_drawn_run(
        tmp_path / "before", [*images_a, failed_record("val/third", "损坏"), image_record("val/a")]
    )
    after = write_drawn_run(
        tmp_path / "after",
        [*images_b, image_record("val/third"), image_record("val/b")],
        flags={"method": "hirescam", "draw_threshold": 0.5},
        stores_maps=False,
    )
    address = write_comparison(compare_runs(before, after), tmp_path / "out", "zh").as_uri()
    page.goto(address)
    titles = page.locator("#sections h2").all_inner_texts()
    assert {"1 张图像在一次或两次运行中失败", "丢失与新增的检测框", "各类别", "全部检测框"} <= set(titles)
    assert "类别改变" in column(page, "全部检测框", "变化情况")
    names = f"raw Pearson Spearman before after hirescam method out run {' '.join(tmp_path.parts)}"
    assert english_words(page, names) == set()
    for position in range(3):
        page.goto(f"{address}#pair={position}")
        expect(page.get_by_role("dialog")).to_be_visible()
        assert english_words(page, names) == set()
    page.goto(address)
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", name="All boxes")).to_be_visible()
