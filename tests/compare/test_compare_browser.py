"""The comparison in a real browser: both runs side by side, sorted, filtered, stepped through; no network."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from support.compare_runs import add_maps, box_at, two_runs, write_drawn_run
from support.report_runs import (
    Record,
    add_pictures,
    blank_record,
    box_record,
    failed_record,
    image_record,
    missed_record,
)
from support.report_runs import write_run as write_manifest

from ppdet_cam.compare import compare_runs, write_comparison

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
FOUND_7 = {"matched": True, "annotation_id": 7, "iou": 0.8}
UNMATCHED = {"matched": False, "annotation_id": None, "iou": None}
PLACE_7 = (100.0, 40.0, 150.0, 100.0)


def address(folder_a: Path, folder_b: Path, out: Path) -> str:
    return write_comparison(compare_runs(folder_a, folder_b), out).as_uri()


def truth(missed: int, *, false_positives: tuple[int, ...] = ()) -> Record:
    return {"boxes": 3, "matched": 3 - missed, "missed": missed, "false_positives": list(false_positives)}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a comparison with a box of each kind, a failed image and images of one run only."""
    folder = tmp_path_factory.mktemp("runs")
    asked = {"name": "box_0", "words": "the best candidate there scores 0.210"}
    first_a = [
        box_at("left", 0, score=0.91, energy_in_box=0.9, truth=MATCHED),
        box_at("right", 1, score=0.62, energy_in_box=0.6, truth=MATCHED, class_name="cat"),
        box_at("top", 2, score=0.55, energy_in_box=0.4, truth=UNMATCHED),
    ]
    first_b = [
        box_at("left", 0, score=0.71, energy_in_box=0.3, shift=4, truth=MATCHED),
        box_at("right", 1, score=0.66, energy_in_box=0.7, truth=MATCHED, class_name="wolf"),
    ]
    second_a = [missed_record(7), box_at("left", 0, score=0.8, truth=MATCHED), missed_record(0, asked=asked)]
    second_b = [
        box_record(0, score=0.77, energy_in_box=0.85, box_xyxy=PLACE_7, truth=FOUND_7),
        {**blank_record(1, score=0.82, truth=MATCHED), "box_xyxy": box_at("left")["box_xyxy"]},
        missed_record(0, asked={**asked, "words": "the best candidate there scores 0.410"}, score=0.41),
    ]
    a = [
        image_record("val/first", first_a, truth=truth(0, false_positives=(2,))),
        image_record("val/second", second_a, truth=truth(1)),
        failed_record("val/third", "the file ends before the picture does"),
        image_record("val/old"),
    ]
    b = [
        image_record("val/first", first_b, truth=truth(0)),
        image_record("val/second", second_b, truth=truth(0)),
        image_record("val/third"),
        image_record("val/fresh"),
    ]
    flags = {"method": "hirescam", "draw_threshold": 0.5, "save": ["overlay"]}
    weights = {"asked": "retrained.pdparams", "path": "retrained.pdparams", "sha256": "ab" * 32}
    before = write_drawn_run(folder / "before", a)
    after = write_drawn_run(folder / "after", b, flags=flags, weights=weights)
    return address(before, after, folder / "out")


@pytest.fixture(scope="module")
def large_comparison(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a comparison of 5,000 boxes in 500 images; their pictures are those of the first image."""
    folder = tmp_path_factory.mktemp("large")
    generator = random.Random(1)
    runs = []
    for name in ("before", "after"):
        drawn = add_pictures(folder / name, image_record("00000", [box_record(0)]))
        images = []
        for number in range(500):
            boxes = [
                box_record(
                    index,
                    class_name=("dog", "cat", "person", "car")[(number + index) % 4],
                    score=round(generator.uniform(0.5, 1), 4),
                    energy_in_box=round(generator.random(), 4),
                    box_xyxy=(14 * index, 30, 14 * index + 12, 90),
                    files=drawn["boxes"][0]["files"],
                )
                for index in range(10)
                if generator.random() > 0.05
            ]
            images.append(image_record(f"{number:05d}", boxes, files=drawn["files"]))
        runs.append(write_manifest(folder / name, images))
    return address(*runs, folder / "out")


def headings(page: sync_api.Page) -> list[str]:
    return page.locator("#sections h2").all_inner_texts()


def all_boxes(page: sync_api.Page) -> sync_api.Locator:
    return page.get_by_role("search", name="Filter the boxes")


def sort_by(page: sync_api.Page, label: str) -> None:
    table(page, "All boxes").get_by_role("button", name=label, exact=True).click()


def test_comparison_shows_lost_and_new_boxes_before_the_others(page: sync_api.Page, comparison: str) -> None:
    """What is wrong first, then the whole, then what came and went, then classes and all boxes."""
    page.goto(comparison)
    assert headings(page) == [
        "1 image failed in one run or both",
        "On the whole: 2 boxes kept",
        "Lost and new boxes",
        "Boxes of another class",
        "Classes",
        "All boxes",
        "Images of one run only",
    ]
    assert column(page, "Images that failed", "In A") == ["the file ends before the picture does"]
    assert column(page, "Lost and new boxes", "What became of it") == ["new", "lost"]
    assert column(page, "Boxes of another class", "Class") == ["cat → wolf A: box 1, B: box 1"]
    assert column(page, "Images of one run only", "Run") == ["A", "B"]
    kinds = column(page, "All boxes", "What became of it")
    assert kinds == ["new", "lost", "kept", "asked", "other class", "kept"]


def test_comparison_says_what_differs_besides_the_weights(page: sync_api.Page, comparison: str) -> None:
    """The other method stands in the head, with both values."""
    page.goto(comparison)
    expect(page.locator(".differences")).to_contain_text(re.compile("not all that changed comes from the weights"))
    expect(page.locator(".differences tbody tr")).to_have_text(re.compile(r"--method\s*gradcam\s*hirescam\s*the maps"))


def test_comparison_shows_changes_with_both_values(page: sync_api.Page, comparison: str) -> None:
    """B less A, and below it from where to where; nothing where there is no partner or no map."""
    page.goto(comparison)
    row = table(page, "All boxes").locator("tbody tr", has_text="A: box 0, B: box 0")
    expect(row).to_contain_text(re.compile(r"−0\.200\s*0\.910\s*→\s*0\.710"))
    expect(row).to_contain_text(re.compile(r"−60 pts\s*90 %\s*→\s*30 %"))
    blank = table(page, "All boxes").locator("tbody tr", has_text="A: box 0, B: box 1")
    expect(blank).to_contain_text(re.compile(r"\+0\.020\s*0\.800\s*→\s*0\.820"))
    expect(blank).to_contain_text(re.compile(r"80 %\s*→\s*–"))
    scores = column(page, "Lost and new boxes", "Score")
    assert [text.replace(" ", "") for text in scores] == ["0.210→0.770", "0.550→–"]


def test_comparison_tells_what_ground_truth_says(page: sync_api.Page, comparison: str) -> None:
    """A missed object that B found, and a false positive that is gone."""
    page.goto(comparison)
    assert column(page, "Lost and new boxes", "Ground truth") == ["missed → matched", "false positive"]
    kinds = table(page, "Lost and new boxes").locator("td:not(.class) > .badge")
    assert [badge.get_attribute("class") for badge in kinds.all()] == ["badge good", "badge good"]
    runs = page.locator("table.runs")
    expect(runs.locator("tr", has_text="Objects found")).to_have_text(re.compile(r"5 of 6\s*6 of 6"))
    expect(runs.locator("tr", has_text="False positives")).to_have_text(re.compile(r"1\s*0"))


def test_classes_show_counts_and_means(page: sync_api.Page, comparison: str) -> None:
    """Dogs: kept twice, one lost, one new; the mean change of the score is over the two that were kept."""
    page.goto(comparison)
    assert column(page, "Classes", "Class") == ["cat", "dog", "wolf"]
    found = {label: column(page, "Classes", label)[1] for label in ("Boxes in A", "Boxes in B", "Kept", "Lost", "New")}
    assert found == {"Boxes in A": "3", "Boxes in B": "3", "Kept": "2", "Lost": "1", "New": "1"}
    # -0.2 in one image and +0.02 in another
    assert column(page, "Classes", "Score") == ["–", "−0.090 −0.200 to +0.020", "–"]
    assert column(page, "Classes", "Heat in box")[1] == "−60 pts one image"
    table(page, "Classes").get_by_role("link", name="wolf").click()
    expect(all_boxes(page).locator(".matches")).to_have_text("1 of 6 boxes")


def test_table_of_all_boxes_starts_with_the_largest_change(page: sync_api.Page, comparison: str) -> None:
    """Each column sorts; numbers that are not there come last."""
    page.goto(comparison)
    head = table(page, "All boxes").locator("th", has_text="Change")
    expect(head).to_have_attribute("aria-sort", "descending")
    sort_by(page, "Score")
    scores = [text.split()[0] for text in column(page, "All boxes", "Score")]
    assert scores == ["+0.560", "+0.200", "+0.040", "+0.020", "−0.200", "–"]
    expect(head).not_to_have_attribute("aria-sort", re.compile(".*"))
    sort_by(page, "Map corr.")
    numbers = [float(text) for text in column(page, "All boxes", "Map corr.") if text != "–"]
    assert len(numbers) == 4 and numbers == sorted(numbers)


def test_table_filters_by_kind_class_truth_and_numbers(page: sync_api.Page, comparison: str) -> None:
    """Filters work together and stand in the address."""
    page.goto(comparison)
    form = all_boxes(page)
    matches = form.locator(".matches")
    expect(matches).to_have_text("6 boxes")
    form.get_by_label("What became of it").select_option("kept")
    expect(matches).to_have_text("2 of 6 boxes")
    form.get_by_label("Change from").fill("0.5")
    expect(matches).to_have_text("1 of 6 boxes")
    page.reload()
    expect(matches).to_have_text("1 of 6 boxes")
    form.get_by_role("button", name="Clear").click()
    form.locator("[name=class]").select_option("cat")
    expect(matches).to_have_text("1 of 6 boxes")
    form.get_by_role("button", name="Clear").click()
    form.get_by_label("Ground truth").select_option("missed → matched")
    assert column(page, "All boxes", "What became of it") == ["new"]
    form.get_by_role("button", name="Clear").click()
    form.get_by_label("Map corr. to").fill("0.9")
    assert 0 < len(column(page, "All boxes", "Map corr.")) < 6
    form.get_by_role("button", name="Clear").click()
    form.get_by_label("Find").fill("scores 0.410")
    assert column(page, "All boxes", "What became of it") == ["asked"]


def test_counts_lead_to_their_boxes(page: sync_api.Page, comparison: str) -> None:
    """A click on a number of the head shows the boxes that it counts."""
    page.goto(comparison)
    page.get_by_role("link", name="1 of another class").click()
    expect(all_boxes(page).locator(".matches")).to_have_text("1 of 6 boxes")
    assert column(page, "All boxes", "What became of it") == ["other class"]


def test_rows_show_both_runs_pictures(page: sync_api.Page, comparison: str) -> None:
    """Two thumbnails a row, named by their run; a run without a detection shows its photo there."""
    page.goto(comparison)
    pictures = table(page, "Lost and new boxes").locator("tbody tr").nth(1).locator("img")
    pictures.first.scroll_into_view_if_needed()
    expect(pictures).to_have_count(2)
    # the overlay is drawn twice as large as the photo, of which 64 pixels are shown
    expect(pictures.first).to_have_js_property("naturalWidth", 96)
    expect(pictures.last).to_have_js_property("naturalWidth", 64)
    assert [picture.get_attribute("alt") for picture in pictures.all()] == ["A: dog", "B: no detection"]


def test_viewer_shows_both_runs_side_by_side(page: sync_api.Page, comparison: str) -> None:
    """Photo and heat of A on the left, of B on the right, at one size; one slider dims both."""
    page.goto(comparison)
    table(page, "All boxes").get_by_role("link", name="dog").nth(2).click()
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("heading")).to_contain_text("dog, kept")
    expect_pictures(viewer.locator(".stage img"), 4)
    left, right = (viewer.locator(".half").nth(side) for side in (0, 1))
    expect(left).to_contain_text("A dog 0.910")
    expect(right).to_contain_text("B dog 0.710")
    one, other = (half.locator(".stage").bounding_box() for half in (left, right))
    assert one is not None and other is not None
    assert (one["y"], one["width"]) == pytest.approx((other["y"], other["width"]), abs=1)
    assert one["x"] + one["width"] <= other["x"]
    viewer.get_by_label("Heat", exact=True).fill("30")
    for half in (left, right):
        expect(half.locator("img.heat")).to_have_css("opacity", "0.3")
    viewer.get_by_label("Outlines").uncheck()
    for half in (left, right):
        expect(half.locator(".outline .line").first).to_be_hidden()


def test_viewer_outlines_the_other_runs_box_as_well(page: sync_api.Page, comparison: str) -> None:
    """Each picture has its own box in white and the other run's in dashes: 10 and 14 pixels from the left."""
    page.goto(comparison)
    table(page, "All boxes").get_by_role("link", name="dog").nth(2).click()
    left, right = (page.locator("dialog .half").nth(side) for side in (0, 1))
    for half, own, other in ((left, "10", "14"), (right, "14", "10")):
        expect(half.locator(".outline.detection .line")).to_have_attribute("x", own)
        expect(half.locator(".outline.other .line")).to_have_attribute("x", other)


def test_viewer_of_a_lost_box_shows_where_it_was(page: sync_api.Page, comparison: str) -> None:
    """B's photo without heat, with A's outline; a missed object shows its best candidate."""
    page.goto(comparison + "#kind=lost")
    table(page, "All boxes").get_by_role("link", name="dog").click()
    viewer = page.get_by_role("dialog")
    right = viewer.locator(".half").nth(1)
    expect(right).to_contain_text("B no detection")
    expect_pictures(right.locator("img"), 1)
    expect(right.locator(".outline.other .line")).to_have_attribute("x", "60")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(page).to_have_url(comparison + "#kind=lost")  # the browser goes back after the viewer is gone
    page.goto(comparison + "#pair=0")
    left = viewer.locator(".half").first
    expect(left).to_contain_text("no detection; the best candidate: dog 0.210")
    expect(left.locator("img.heat")).to_be_visible()
    expect(viewer.locator(".viewer-side")).to_contain_text("the best candidate there scores 0.210")


def test_viewer_works_with_the_keyboard(page: sync_api.Page, comparison: str) -> None:
    """Enter opens, arrows step in the table's order, Escape closes, and the focus is where it was."""
    page.goto(comparison + "#kind=kept")
    link = table(page, "All boxes").get_by_role("link", name="dog").first
    link.focus()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer).to_contain_text("1 of 2")
    page.keyboard.press("ArrowRight")
    expect(viewer).to_contain_text("2 of 2")
    expect(viewer).to_contain_text("no map: all gradients are zero")
    expect(viewer.get_by_role("button", name="Next box")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(link).to_be_focused()
    assert page.url == comparison + "#kind=kept"
    page.go_forward()
    expect(viewer).to_be_visible()


def test_viewer_opens_from_a_link(page: sync_api.Page, comparison: str) -> None:
    """In a new window; closing leaves the whole table. A number beyond the last box opens nothing."""
    page.goto(comparison + "#pair=2")
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("heading")).to_contain_text("dog, kept")
    viewer.get_by_role("button", name="Close").click()
    expect(viewer).to_be_hidden()
    expect(all_boxes(page).locator(".matches")).to_have_text("6 boxes")
    page.goto(comparison + "#pair=99")
    expect(viewer).to_be_hidden()


def test_sections_are_reached_from_the_head(page: sync_api.Page, comparison: str) -> None:
    """A click or Enter on a section's name goes there, and keeps what is filtered."""
    page.goto(comparison + "#class=dog")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Classes").click()
    expect(page.get_by_role("heading", name="Classes")).to_be_focused()
    expect(page.get_by_role("heading", name="Classes")).to_be_in_viewport()
    assert page.url == comparison + "#class=dog"


def test_comparison_without_maps_names_the_flag(page: sync_api.Page, tmp_path: Path) -> None:
    """No columns of correlations then, but how to have them."""
    page.goto(address(*two_runs(tmp_path, [box_record()], [box_record()]), tmp_path / "out"))
    expect(page.locator(".note").first).to_contain_text("--save raw")
    expect(table(page, "All boxes").locator("th", has_text="corr.")).to_have_count(0)
    table(page, "All boxes").get_by_role("link", name="dog").click()
    expect(page.get_by_role("dialog")).to_contain_text("There is no picture")


def test_comparison_of_overlays_alone_shows_them_whole(page: sync_api.Page, tmp_path: Path) -> None:
    """Without photo and map as files of their own there is no slider."""
    folders = [tmp_path / name for name in ("before", "after")]
    for folder in folders:
        write_manifest(folder, [add_pictures(folder, image_record("a", [box_record()]), kinds=["overlay"])])
    page.goto(address(*folders, tmp_path / "out") + "#pair=0")
    pictures = page.locator("dialog img.whole")
    expect(pictures).to_have_count(2)
    for picture in pictures.all():
        expect(picture).to_have_js_property("naturalWidth", 320)
    expect(page.get_by_role("slider")).to_have_count(0)


def test_comparison_says_which_pictures_are_gone(browser: sync_api.Browser, comparison: str, tmp_path: Path) -> None:
    """Away from the runs the thumbnails are still there, and the viewer names the file."""
    moved = tmp_path / "moved.html"
    moved.write_bytes(Path(comparison[len("file://") :]).read_bytes())
    page = browser.new_page()
    page.goto(moved.as_uri())
    picture = page.locator("#all-boxes .thumbnail img").first
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("naturalWidth", 96)
    page.goto(moved.as_uri() + "#pair=2")
    expect(page.get_by_role("dialog")).to_contain_text(re.compile("before/val/first/.* is not beside this report"))
    page.close()


def test_comparison_shows_names_as_text_and_finds_their_files(page: sync_api.Page, tmp_path: Path) -> None:
    """Markup in names is seen, not run; folders and files with odd names are found."""
    name = "a #1?x=2%20 'b' \u884c\u4eba;"
    folders = [tmp_path / f"{part} 100% #" for part in ("before", "after")]
    for folder in folders:
        image = add_pictures(folder, image_record(name, [box_record(0, class_name=EVIL)], path=EVIL))
        write_manifest(folder, [add_maps(folder, image), failed_record("b", EVIL)])
    page.goto(address(*folders, tmp_path / "out"))
    assert EVIL in column(page, "All boxes", "Class")[0]
    assert column(page, "Images that failed", "In A") == [EVIL]
    table(page, "All boxes").get_by_role("link", name=EVIL).click()
    expect_pictures(page.locator("dialog .stage img"), 4)


def test_comparison_of_nothing_is_a_page(page: sync_api.Page, tmp_path: Path) -> None:
    """Images without a box, and one wide image, are shown without an error."""
    page.goto(address(*two_runs(tmp_path, [], []), tmp_path / "out"))
    expect(all_boxes(page).locator(".matches")).to_have_text("0 boxes")
    expect(page.locator("#sections")).to_contain_text("None: each box of one run has its partner in the other one.")


def test_wide_images_stand_one_above_the_other(page: sync_api.Page, tmp_path: Path) -> None:
    """Two panoramas side by side would be two stripes."""
    folders = [tmp_path / name for name in ("before", "after")]
    for folder in folders:
        image = image_record("a", [box_record()], size={"height": 100, "width": 400})
        write_manifest(folder, [add_pictures(folder, image)])
    page.goto(address(*folders, tmp_path / "out") + "#pair=0")
    one, other = (page.locator("dialog .stage").nth(side).bounding_box() for side in (0, 1))
    assert one is not None and other is not None
    assert one["x"] == other["x"] and one["y"] + one["height"] <= other["y"]
    expect(page.get_by_role("dialog").get_by_role("slider")).to_be_in_viewport()


def test_thousands_of_boxes_stay_usable(page: sync_api.Page, large_comparison: str) -> None:
    """A page of rows is in the document at a time; sorting and filtering is quick."""
    started = time.perf_counter()
    page.goto(large_comparison)
    expect(all_boxes(page).locator(".matches")).to_have_text(re.compile(r"4,9\d\d boxes"))
    assert time.perf_counter() - started < 10
    assert table(page, "All boxes").locator("tbody tr").count() == 100
    page.wait_for_timeout(300)
    assert 0 < page.locator(".thumbnail img[src]").count() < 80
    milliseconds = page.evaluate(
        """() => {
            const timed = (action) => { const start = performance.now(); action(); return performance.now() - start; };
            const heads = [...document.querySelectorAll("#all-boxes thead button")];
            return heads.map((button) => timed(() => button.click()));
        }"""
    )
    assert max(milliseconds) < 1000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_dark(browser: sync_api.Browser, comparison: str, scheme: str) -> None:
    """Texts have a contrast of at least 4.5 to what is behind them, bars of 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(comparison)
    found = colours(page, "page sunken text quiet warning warning-wash up down")
    pairs = {("text", "warning-wash"): 4.5, ("warning", "warning-wash"): 4.5, ("quiet", "page"): 4.5}
    pairs |= {("up", "page"): 3.0, ("down", "page"): 3.0, ("up", "sunken"): 3.0, ("down", "sunken"): 3.0}
    low = {pair: contrast(found[pair[0]], found[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in low.items() if ratio < pairs[pair]} == {}
    assert (luminance(found["page"]) > 0.5) is (scheme == "light")
    context.close()


@pytest.mark.parametrize("place", ["", "#class=dog", "#pair=0", "#pair=2"])
def test_comparison_fits_a_narrow_window(browser: sync_api.Browser, comparison: str, place: str) -> None:
    """At 390 pixels nothing has to be scrolled sideways."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(comparison + place)
    page.wait_for_timeout(200)
    assert overflowing(page) == []
    page.close()


@pytest.mark.parametrize("place", ["", "#pair=0", "#pair=2"])
def test_comparison_names_its_controls_and_pictures(page: sync_api.Page, comparison: str, place: str) -> None:
    """Every field has a label, every picture a text, every head a scope, every button a name."""
    page.goto(comparison + place)
    assert unnamed(page) == []
