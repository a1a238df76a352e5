"""The report in a real browser: what is seen, sorted, filtered, opened and slid, from a file and without a network."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

import pytest
from support.report_runs import (
    Record,
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

from support.browser_pages import (  # noqa: E402  (needs playwright)
    colours,
    column,
    contrast,
    expect,
    expect_pictures,
    luminance,
    overflowing,
    table,
    unnamed,
)

pytest_plugins = ["support.browser_fixtures"]
pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=alert(1)>\"'&"

MATCHED = {"matched": True, "annotation_id": 3, "iou": 0.8}
UNMATCHED = {"matched": False, "annotation_id": None, "iou": None}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report's address, of three images with ground truth, a failed one among them."""
    folder = tmp_path_factory.mktemp("truth")
    first = [
        box_record(0, class_name="dog", score=0.91, energy_in_box=0.9, truth=MATCHED),
        box_record(1, class_name="cat", score=0.62, energy_in_box=0.3, truth=UNMATCHED, box_xyxy=(5, 5, 45, 25)),
        blank_record(2, class_name="dog", score=0.55, truth=MATCHED),
    ]
    second = [
        box_record(0, class_name="cat", score=0.77, energy_in_box=0.05, truth=UNMATCHED),
        missed_record(7, class_name="dog", energy_in_box=0.2),
        missed_record(0, asked={"name": "box_0", "verdict": "found", "words": "detection 0 lies there"}),
    ]
    truth = {"boxes": 3, "matched": 2, "missed": 1}
    images = [
        image_record("val/first", first, truth={**truth, "false_positives": [1]}),
        image_record("val/second", second, truth={**truth, "false_positives": [0]}),
    ]
    failed = failed_record("val/third", "the file ends before the picture does")
    write_run(folder, [*(add_pictures(folder, image) for image in images), failed])
    return write_report(folder).as_uri()


@pytest.fixture(scope="module")
def large_report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report of 10,000 boxes in 1,000 images; their pictures are those of the first image."""
    folder = tmp_path_factory.mktemp("large")
    generator = random.Random(1)
    drawn = add_pictures(folder, image_record("00000", [box_record(0)]))
    images = []
    for number in range(1000):
        boxes = [
            box_record(
                index,
                class_name=generator.choice(["dog", "cat", "person", "car"]),
                score=round(generator.uniform(0.5, 1), 4),
                energy_in_box=round(generator.random(), 4),
                files=drawn["boxes"][0]["files"],
            )
            for index in range(10)
        ]
        images.append(image_record(f"{number:05d}", boxes, files=drawn["files"]))
    write_run(folder, images)
    return write_report(folder).as_uri()


def sort_by(page: sync_api.Page, label: str) -> None:
    table(page, "All boxes").get_by_role("button", name=label, exact=True).click()


def test_report_shows_failures_first_then_what_was_wrong(page: sync_api.Page, report: str) -> None:
    """The sections' order is failures, missed objects and false positives, boxes asked about, all boxes."""
    page.goto(report)
    titles = page.locator("#page-boxes h2").all_inner_texts()
    assert titles == ["1 image failed", "Missed objects and false positives", "Boxes asked about", "All boxes"]
    assert column(page, "Images that failed", "Reason") == ["the file ends before the picture does"]


def test_report_sorts_what_was_wrong_by_the_heat_outside(page: sync_api.Page, report: str) -> None:
    """Missed objects and false positives stand in one list, the most heat outside their box first."""
    page.goto(report)
    caption = "Missed objects and false positives"
    assert column(page, caption, "Heat outside") == ["95 %", "80 %", "70 %"]
    assert column(page, caption, "Result") == ["false positive", "missed", "false positive"]
    assert "the best candidate there scores 0.210" in column(page, caption, "What happened")[1]


def test_report_tells_the_verdict_of_boxes_asked_about(page: sync_api.Page, report: str) -> None:
    """The answer is there in words."""
    page.goto(report)
    assert column(page, "Boxes asked about", "Verdict") == ["found"]
    assert column(page, "Boxes asked about", "What happened") == ["detection 0 lies there"]


def test_table_sorts_by_each_column(page: sync_api.Page, report: str) -> None:
    """The first click on a number sorts from the highest, the second from the lowest; blank maps come last."""
    page.goto(report)
    sort_by(page, "Score")
    head = table(page, "All boxes").locator("th", has_text="Score")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert column(page, "All boxes", "Score") == ["0.910", "0.770", "0.620", "0.550", "0.210", "0.210"]
    sort_by(page, "Score")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert column(page, "All boxes", "Score")[0] == "0.210"
    for _ in range(2):
        sort_by(page, "Heat in box")
        assert column(page, "All boxes", "Heat in box")[-1] == "–"
    expect(head).not_to_have_attribute("aria-sort", re.compile(".*"))
    sort_by(page, "Class")
    assert [text.split()[0] for text in column(page, "All boxes", "Class")] == [
        "cat",
        "cat",
        "dog",
        "dog",
        "dog",
        "dog",
    ]


def test_table_filters_by_class_score_status_result_and_words(page: sync_api.Page, report: str) -> None:
    """Filters narrow the table together, say how many are left, and are cleared at once."""
    page.goto(report)
    form = page.get_by_role("search", name="Filter the boxes")
    matches = form.locator(".matches")
    expect(matches).to_have_text("6 boxes")
    form.get_by_label("Class").select_option("dog")
    expect(matches).to_have_text("4 of 6 boxes")
    form.get_by_label("Score from").fill("0.5")
    expect(matches).to_have_text("2 of 6 boxes")
    form.get_by_label("to", exact=True).fill("0.6")
    assert column(page, "All boxes", "Score") == ["0.550"]
    expect(page.locator("#announcement")).to_have_text("1 of 6 boxes shown")
    form.get_by_role("button", name="Clear").click()
    form.get_by_label("Status").select_option("zero_gradient")
    assert column(page, "All boxes", "Status") == ["zero gradient"]
    form.get_by_role("button", name="Clear").click()
    form.get_by_label("Result").select_option("false positive")
    expect(matches).to_have_text("2 of 6 boxes")
    form.get_by_role("button", name="Clear").click()
    form.get_by_label("Find").fill("SECOND")
    expect(matches).to_have_text("3 of 6 boxes")
    form.get_by_label("Find").fill("nothing like it")
    expect(matches).to_have_text("0 of 6 boxes")
    form.get_by_role("button", name="Clear").click()
    expect(matches).to_have_text("6 boxes")


def test_table_keeps_its_filters_in_the_address(page: sync_api.Page, report: str) -> None:
    """A filtered and sorted table is there again after a reload, and after a look at another page."""
    page.goto(report)
    page.get_by_role("search", name="Filter the boxes").get_by_label("Class").select_option("cat")
    sort_by(page, "Score")
    page.reload()
    expect(page.locator("#all-boxes .matches")).to_have_text("2 of 6 boxes")
    assert column(page, "All boxes", "Score") == ["0.770", "0.620"]
    page.get_by_role("link", name="Images", exact=True).click()
    expect(page.get_by_role("heading", name="Images")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="All boxes")).to_be_visible()
    assert column(page, "All boxes", "Score") == ["0.770", "0.620"]


def test_counts_lead_to_their_boxes(page: sync_api.Page, report: str) -> None:
    """A click on a number of the head shows the boxes that it counts."""
    page.goto(report)
    matches = page.locator("#all-boxes .matches")
    page.get_by_role("link", name="2 false positives").click()
    expect(matches).to_have_text("2 of 6 boxes")
    assert column(page, "All boxes", "Result") == ["false positive", "false positive"]
    page.get_by_role("link", name="1 without a map").click()
    expect(matches).to_have_text("1 of 6 boxes")
    assert column(page, "All boxes", "Status") == ["zero gradient"]


def test_viewer_opens_slides_and_closes_with_the_keyboard(page: sync_api.Page, report: str) -> None:
    """Enter opens, arrows go on, the slider dims the heat, Escape closes, and the focus is where it was."""
    page.goto(report)
    link = table(page, "All boxes").get_by_role("link", name="dog").first
    link.focus()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer).to_be_visible()
    expect(viewer.get_by_role("heading")).to_contain_text("dog 0.910")
    heat = viewer.locator("img.heat")
    expect(heat).to_have_css("opacity", "1")
    expect_pictures(page.locator("dialog .stage img"), 2)
    viewer.get_by_label("Heat").focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    expect(heat).to_have_css("opacity", "0.7")
    expect(viewer.locator("output")).to_have_text("70 %")
    viewer.get_by_role("heading").focus()
    page.keyboard.press("ArrowRight")
    expect(viewer.get_by_role("heading")).to_contain_text("cat 0.620")
    expect(heat).to_have_css("opacity", "0.7")
    expect(viewer).to_contain_text("2 of 6")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(link).to_be_focused()
    assert page.url == report


def test_viewer_says_both_scores_of_a_box_that_nms_lowered(page: sync_api.Page, tmp_path: Path) -> None:
    """The printed score stands in the heading, the candidate's own, which the map is of, among the facts."""
    boxes = [box_record(0, score=0.41, score_before_nms=0.87), box_record(1, class_name="cat", score=0.6)]
    write_run(tmp_path, [add_pictures(tmp_path, image_record("photo", boxes))])
    page.goto(write_report(tmp_path).as_uri())
    table(page, "All boxes").get_by_role("link", name="dog").click()
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("heading")).to_contain_text("dog 0.410")
    fact = viewer.locator("dt", has_text="Score before NMS")
    expect(fact.locator("xpath=following-sibling::dd[1]")).to_have_text("0.870, which is explained")
    page.keyboard.press("Escape")
    table(page, "All boxes").get_by_role("link", name="cat").click()
    expect(viewer.get_by_role("heading")).to_contain_text("cat 0.600")
    expect(fact).to_have_count(0)


def test_viewer_draws_the_outline_where_the_box_is(page: sync_api.Page, report: str) -> None:
    """The outline is given in the image's pixels and lies on the picture at any size; it can be switched off."""
    page.goto(report + "#image=0&box=0")
    photo, line = page.locator("dialog img.photo"), page.locator("dialog .outline .line")
    around, box = photo.bounding_box(), line.bounding_box()
    assert around is not None and box is not None
    scale = around["width"] / 160
    assert around["height"] / 120 == pytest.approx(scale, rel=0.01)
    assert box["x"] - around["x"] == pytest.approx(20 * scale, abs=2.5)
    assert box["y"] - around["y"] == pytest.approx(30 * scale, abs=2.5)
    assert box["width"] == pytest.approx(60 * scale, abs=5)
    page.get_by_label("Outline").uncheck()
    expect(line).to_be_hidden()


def test_rotated_boxes_are_drawn_as_polygons(page: sync_api.Page, tmp_path: Path) -> None:
    """On a box's own page and on its image's, in the image's pixels; what was asked about in dashes."""
    diamond = [[50.0, 30.0], [80.0, 60.0], [50.0, 90.0], [20.0, 60.0]]
    boxes = [box_record(0, polygon_xy=diamond), missed_record(7, asked={"polygon_xy": diamond})]
    truth = {"boxes": 2, "matched": 1, "missed": 1, "false_positives": []}
    write_run(tmp_path, [add_pictures(tmp_path, image_record("a", boxes, truth=truth))])
    address = write_report(tmp_path).as_uri()
    points = "50,30 80,60 50,90 20,60"
    page.goto(address + "#image=0&box=0")
    line = page.locator("dialog .outline.detection polygon.line")
    expect(line).to_have_attribute("points", points)
    photo, drawn = page.locator("dialog img.photo").bounding_box(), line.bounding_box()
    assert photo is not None and drawn is not None
    scale = photo["width"] / 160
    assert drawn["x"] - photo["x"] == pytest.approx(20 * scale, abs=5)  # its line has pointed ends
    assert drawn["height"] == pytest.approx(60 * scale, abs=10)
    expect(page.get_by_role("dialog")).to_contain_text("50.0, 30.0; 80.0, 60.0; 50.0, 90.0; 20.0, 60.0")
    expect(page.get_by_role("dialog")).to_contain_text("42 × 42 px")  # its own sides
    page.goto(address + "#image=0&box=1")
    expect(page.locator("dialog .outline.asked polygon.line")).to_have_attribute("points", points)
    page.goto(address + "#image=0")
    expect(page.locator("#page-image svg a polygon.line").first).to_have_attribute("points", points)


def test_viewer_goes_with_the_browser_back_and_forward(page: sync_api.Page, report: str) -> None:
    """An open box is a place in the browser's history, however many were looked at."""
    page.goto(report)
    table(page, "All boxes").locator("tbody tr").nth(1).locator("td").first.click()
    expect(page).to_have_url(report + "#image=0&box=1")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(report + "#image=1&box=0")
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("heading", name="All boxes")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_viewer_steps_in_the_order_of_the_table(page: sync_api.Page, report: str) -> None:
    """Next is the next row of the table that the box was opened from, sorted and filtered."""
    page.goto(report)
    page.get_by_role("search", name="Filter the boxes").get_by_label("Class").select_option("cat")
    sort_by(page, "Score")
    table(page, "All boxes").locator("tbody tr").first.get_by_role("link", name="cat").click()
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("heading")).to_contain_text("cat 0.770")
    expect(viewer).to_contain_text("1 of 2")
    viewer.get_by_role("button", name="Next box").click()
    expect(viewer.get_by_role("heading")).to_contain_text("cat 0.620")
    expect(viewer.get_by_role("button", name="Next box")).to_be_disabled()


def test_viewer_opens_from_a_link_over_its_image(page: sync_api.Page, report: str) -> None:
    """A link to a box works in a new window; closing leaves the page of its image."""
    page.goto(report + "#image=1&box=1")
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("heading")).to_contain_text("dog 0.210")
    expect(viewer).to_contain_text("scored too low")
    expect(viewer.locator(".outline.asked .line")).to_have_attribute("x", "100")
    viewer.get_by_role("button", name="Close").click()
    expect(viewer).to_be_hidden()
    expect(page.get_by_role("heading", name="val/second")).to_be_visible()
    page.goto(report + "#image=99&box=1")
    expect(page.get_by_role("heading", name="All boxes")).to_be_visible()


def test_viewer_says_why_a_map_is_blank(page: sync_api.Page, report: str) -> None:
    """A box without a map shows the photo, no slider, and the reason."""
    page.goto(report + "#image=0&box=2")
    viewer = page.get_by_role("dialog")
    expect(viewer).to_contain_text("No map: all gradients are zero.")
    expect(viewer.locator("img.photo")).to_be_visible()
    expect(viewer.get_by_label("Heat", exact=True)).to_have_count(0)


def test_viewer_without_a_heatmap_file_shows_the_overlay(page: sync_api.Page, tmp_path: Path) -> None:
    """No slider then, but the flags that bring it."""
    image = add_pictures(tmp_path, image_record("", [box_record(0)]), kinds=["overlay"])
    write_run(tmp_path, [image])
    page.goto(write_report(tmp_path).as_uri() + "#image=0&box=0")
    viewer = page.get_by_role("dialog")
    expect(page.locator("dialog img.whole")).to_have_js_property("naturalWidth", 320)
    expect(viewer).to_contain_text("run with --report --save heatmap")
    expect(viewer.get_by_role("slider")).to_have_count(0)


def test_image_page_outlines_its_boxes(page: sync_api.Page, report: str) -> None:
    """Each image has a page with its photo, a link on each box, and a table of its own."""
    page.goto(report + "#images")
    expect(page.get_by_role("heading", name="Images")).to_be_visible()
    assert column(page, "All images", "Missed") == ["1", "1", "–"]
    table(page, "All images").get_by_role("link", name="val/first").click()
    expect(page.get_by_role("heading", name="val/first")).to_be_focused()
    assert len(column(page, "Boxes of val/first", "Score")) == 3
    outlines = page.locator("#page-image svg a")
    expect(outlines).to_have_count(3)
    outlines.nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("heading")).to_contain_text("cat 0.620")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", name="val/second")).to_be_visible()


def test_report_shows_names_as_text_and_finds_their_files(page: sync_api.Page, tmp_path: Path) -> None:
    """Markup in names is seen, not run; files with odd names are found."""
    name = "a #1?x=2%20 'b' \u884c\u4eba;"
    image = add_pictures(tmp_path, image_record(name, [box_record(0, class_name=EVIL)], path=EVIL))
    write_run(tmp_path, [image, failed_record("b", EVIL), image_record(EVIL)])
    page.goto(write_report(tmp_path).as_uri())
    assert EVIL in column(page, "All boxes", "Class")[0]
    assert column(page, "Images that failed", "Reason") == [EVIL]
    page.get_by_role("link", name=EVIL).first.click()
    expect_pictures(page.locator("dialog .stage img"), 2)
    expect(page.get_by_role("dialog")).to_contain_text(name)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("link", name="Images", exact=True).click()
    expect(page.get_by_role("heading", name="Images")).to_be_visible()
    assert EVIL in column(page, "All images", "Image")


def test_report_alone_shows_tables_and_thumbnails(browser: sync_api.Browser, report: str, tmp_path: Path) -> None:
    """Without the run's folder the thumbnails are still there, and the viewer says what is missing."""
    moved = tmp_path / "moved.html"
    moved.write_bytes(Path(report[len("file://") :]).read_bytes())
    page = browser.new_page()
    page.goto(moved.as_uri())
    picture = page.locator("#all-boxes .thumbnail img").first
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("naturalWidth", 96)
    page.goto(moved.as_uri() + "#image=0&box=0")
    expect(page.get_by_role("dialog")).to_contain_text(re.compile("val/first/.* is not beside this report"))
    page.close()


def test_report_of_nothing_is_a_page(page: sync_api.Page, tmp_path: Path) -> None:
    """A run without images, and an image without boxes, are shown without an error."""
    write_run(tmp_path, [])
    page.goto(write_report(tmp_path).as_uri())
    expect(page.get_by_role("search", name="Filter the boxes").locator(".matches")).to_have_text("0 boxes")
    write_run(tmp_path / "other", [image_record("a"), image_record("b", highest_score=0.3)])
    page.goto(write_report(tmp_path / "other").as_uri() + "#image=0")
    expect(page.locator("#page-image")).to_contain_text("No detection at all.")
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#page-image")).to_contain_text("No box reached the threshold.")


def test_ten_thousand_boxes_stay_usable(page: sync_api.Page, large_report: str) -> None:
    """A page of rows is in the document at a time, few pictures are loaded, and sorting and filtering is quick."""
    started = time.perf_counter()
    page.goto(large_report)
    expect(page.get_by_role("search", name="Filter the boxes").locator(".matches")).to_have_text("10,000 boxes")
    assert time.perf_counter() - started < 10
    assert table(page, "All boxes").locator("tbody tr").count() == 100
    page.wait_for_timeout(300)
    assert 0 < page.locator(".thumbnail img[src]").count() < 40
    milliseconds = page.evaluate(
        """() => {
            const form = document.querySelector("#all-boxes form");
            const timed = (action) => { const start = performance.now(); action(); return performance.now() - start; };
            const type = (name, value) => () => {
                form.elements[name].value = value;
                form.elements[name].dispatchEvent(new Event("input", { bubbles: true }));
            };
            const heads = [...document.querySelectorAll("#all-boxes thead button")];
            const sorts = heads.map((button) => timed(() => button.click()));
            return [...sorts, timed(type("find", "0099")), timed(type("find", "")), timed(type("class", "dog"))];
        }"""
    )
    assert max(milliseconds) < 1000
    expected = sum(1 for box in boxes_of(page) if box["className"] == "dog")
    expect(page.get_by_role("search", name="Filter the boxes").locator(".matches")).to_have_text(
        f"{expected:,} of 10,000 boxes"
    )


def test_pages_of_rows_are_turned_with_the_keyboard(page: sync_api.Page, large_report: str) -> None:
    """Next, previous and the page's number show the other rows, and the focus stays on the button."""
    page.goto(large_report)
    pager = page.get_by_role("navigation", name="Pages of the table: All boxes")
    pager.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    expect(pager).to_contain_text("101 to 200 of 10,000")
    expect(pager.get_by_role("button", name="Next")).to_be_focused()
    assert column(page, "All boxes", "Image")[0] == "00010"
    pager.get_by_label("Page").select_option("100")
    assert column(page, "All boxes", "Image")[-1] == "00999"
    expect(pager.get_by_role("button", name="Next")).to_be_disabled()


def test_boxes_beyond_the_embedded_ones_show_part_of_their_file(page: sync_api.Page, large_report: str) -> None:
    """A linked thumbnail is the overlay's part around the box."""
    page.goto(large_report)
    page.get_by_label("Find").fill("00999")
    picture = page.locator("#all-boxes .clip img").first
    expect(picture).to_have_js_property("naturalWidth", 320)
    width = page.evaluate("parseFloat(document.querySelector('#all-boxes .clip img').style.width)")
    assert width == pytest.approx(
        64 / (96 / 160), rel=1e-3
    )  # the box of 60 and its surroundings are 96 of the photo's 160


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_dark(browser: sync_api.Browser, report: str, scheme: str) -> None:
    """Every colour of text has a contrast of at least 4.5 to what is behind it (WCAG 2.2, 1.4.3)."""
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(report)
    found = colours(page, "page raised sunken hover text quiet link good good-wash bad bad-wash warning warning-wash")
    pairs = [(text, behind) for text in ("text", "quiet", "link") for behind in ("page", "raised", "sunken", "hover")]
    pairs += [(kind, f"{kind}-wash") for kind in ("good", "bad", "warning")]
    pairs += [("text", "bad-wash"), ("quiet", "bad-wash")]
    low = {pair: contrast(found[pair[0]], found[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}
    assert (luminance(found["page"]) > 0.5) is (scheme == "light")
    context.close()


@pytest.mark.parametrize("place", ["", "#images", "#image=0", "#image=0&box=0"])
def test_report_fits_a_narrow_window(browser: sync_api.Browser, report: str, place: str) -> None:
    """At 390 pixels nothing has to be scrolled sideways."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(report + place)
    page.wait_for_timeout(200)
    assert overflowing(page) == []
    page.close()


@pytest.mark.parametrize("place", ["", "#images", "#image=0", "#image=0&box=0"])
def test_report_names_its_controls_and_pictures(page: sync_api.Page, report: str, place: str) -> None:
    """Every field has a label, every picture a text, every head a scope, every button a name."""
    page.goto(report + place)
    assert unnamed(page) == []
    assert page.locator("h1:visible, h2:visible").count() >= 1


def boxes_of(page: sync_api.Page) -> list[Record]:
    values = json.loads(page.locator("#report-values").text_content() or "")
    return [box for image in values["images"] for box in image["boxes"]]


def test_page_shows_layers_and_warnings(page: sync_api.Page, tmp_path: Path) -> None:
    """A run that explained no box shows its panels; an image with something amiss says so in its row and its page."""
    drawn = add_pictures(tmp_path, image_record("a", [box_record(0)]))
    panel = next(iter(drawn["boxes"][0]["files"].values()))
    view = {"layer": "model.neck", "level": 1, "grid_hw": [5, 7], "channels": 256, "files": {"panel": panel}}
    images = [image_record("a", views=[view]), image_record("b", views=[view], warnings=["the file is damaged"])]
    write_run(tmp_path, images)
    page.goto(write_report(tmp_path).as_uri())
    section = page.get_by_role("region", name="What the layers show")
    expect(section if section.count() else page.get_by_text("What the layers show")).to_be_visible()
    page.get_by_role("link", name="b", exact=True).first.click()
    expect(page.get_by_role("img", name="model.neck@1")).to_be_visible()
    expect(page.get_by_text("model.neck@1 · 5×7 cells · 256 channels")).to_be_visible()
    expect(page.get_by_text("Warning: the file is damaged.")).to_be_visible()
    page.goto(page.url.split("#")[0] + "#images")
    expect(page.locator("#page-images").get_by_text("warning", exact=True)).to_be_visible()
