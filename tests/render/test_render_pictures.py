"""The heat alone, close-ups, panels and summaries show the same map in the same colours; questions are answered."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.drawn_text import holds_text
from support.made_up_maps import BOX, HEIGHT, WIDTH, changed_pixels, explanation, hot_square, level, photograph

from ppdet_cam.errors import ImageError
from ppdet_cam.render import (
    RenderStyle,
    class_colour,
    draw_crop,
    draw_explanation,
    draw_heatmap,
    draw_panel,
    draw_summary,
    encode_jpeg,
)
from ppdet_cam.render.boxes import paint_label, place_plate
from ppdet_cam.render.colours import ASKED, BACKGROUND, BANNER, DIM_TEXT
from ppdet_cam.render.footer import footer
from ppdet_cam.render.heat import normalise, overlay
from ppdet_cam.render.panel import arrange, column_count, tile_size
from ppdet_cam.render.pictures import crop_region
from ppdet_cam.render.summary import numbered_label
from ppdet_cam.structures import Answer, Detection, Explanation, MapStatus, Verdict

LEVELS = (level("model.neck", 80, 0.75), level("model.neck", 40, 0.25))
ASKED_BOX = (40.0, 50.0, 120.0, 160.0)


def asked(
    status: MapStatus = MapStatus.OK,
    *,
    words: str = "its best candidate scored 0.312, below 0.5",
    class_name: str | None = "cat",
    verdict: Verdict = Verdict.LOW_SCORE,
) -> Explanation:
    answer = Answer("gt_17", ASKED_BOX, class_name, verdict, words, 0.62)
    heatmap = hot_square() if status is MapStatus.OK else np.zeros((HEIGHT, WIDTH), np.float32)
    return explanation(heatmap, status=status, index=-1, class_id=2, answer=answer)


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=2)


def place_of(part: np.ndarray, picture: np.ndarray) -> tuple[int, int] | None:
    """Returns top and left of the very same pixels in a picture, None when they are not there."""
    found = cv2.matchTemplate(picture, part, cv2.TM_SQDIFF)
    top, left = np.unravel_index(found.argmin(), found.shape)
    is_same = np.array_equal(picture[top : top + part.shape[0], left : left + part.shape[1]], part)
    return (int(top), int(left)) if is_same else None


# --- the heat alone ---


def test_draw_heatmap_has_the_original_size_and_no_box_or_text() -> None:
    """Small images are not enlarged, and nothing but heat is visible."""
    heatmap = np.zeros((5, 8), np.float32)
    heatmap[2, 3] = 1
    picture = draw_heatmap(explanation(heatmap, box_xyxy=(1.0, 1.0, 6.0, 4.0)))
    assert picture.dtype == np.uint8 and picture.shape == (5, 8, 4)
    assert np.argwhere(picture[..., 3]).tolist() == [[2, 3]]


@pytest.mark.parametrize("style", [RenderStyle(), RenderStyle("jet", 0.4, "box:1.2")])
def test_draw_heatmap_laid_over_the_photograph_is_the_overlay(style: RenderStyle) -> None:
    """A viewer that lays the file over the photograph shows what the overlay shows."""
    heatmap = cv2.GaussianBlur(hot_square(), (0, 0), 25)
    photo, drawn = photograph(), explanation(heatmap)
    layer = draw_heatmap(drawn, style=style).astype(np.float32)
    alpha = layer[..., 3:] / 255
    inside = np.s_[100:200, 150:250]
    composed = photo * (1 - alpha) + layer[..., :3] * alpha
    overlaid = draw_explanation(photo, drawn, style=style)[:HEIGHT].astype(np.float32)
    assert np.abs(composed[inside] - overlaid[inside]).max() < 2


def test_draw_heatmap_of_a_blank_map_is_transparent() -> None:
    """A map that is not OK shows nothing even if its array holds values."""
    assert not draw_heatmap(explanation(hot_square(), status=MapStatus.NEGATIVE))[..., 3].any()


# --- the close-up ---


@pytest.mark.parametrize(
    ("box_xyxy", "expected"),
    [
        (BOX, (125, 75, 275, 225)),  # 1.5 times about the centre
        ((0.0, 0.0, 100.0, 100.0), (0, 0, 125, 125)),  # clipped
        ((200.0, 100.0, 210.0, 200.0), (167, 75, 243, 225)),  # half as wide as high at least: 75 of 150 about 205
        ((200.0, 150.0, 202.0, 152.0), (189, 139, 213, 163)),  # 24 pixels at least
        ((900.0, 900.0, 950.0, 950.0), (0, 0, 400, 300)),
        ((np.nan, 0.0, 1.0, 1.0), (0, 0, 400, 300)),
        ((0.0, 0.0, np.inf, 1.0), (0, 0, 400, 300)),
    ],
)
def test_crop_region_is_the_box_with_context(
    box_xyxy: tuple[float, float, float, float], expected: tuple[int, int, int, int]
) -> None:
    """Clipped to the image, neither thin nor tiny, and the whole image when the box is not on it."""
    assert crop_region(explanation(hot_square(), box_xyxy=box_xyxy)) == expected


def test_draw_crop_enlarges_small_boxes_only() -> None:
    """A box of 20 pixels fills a picture, one of 800 is not scaled."""
    small = draw_crop(photograph(), explanation(hot_square(), box_xyxy=(190.0, 140.0, 210.0, 160.0)))
    assert small.shape[1] == 480
    photo = photograph(1200, 1400)
    large = draw_crop(photo, explanation(np.zeros((1200, 1400), np.float32), box_xyxy=(200.0, 200.0, 1000.0, 1000.0)))
    assert large.shape[1] == 1200
    top = int(np.flatnonzero((large[:, 20] == photo[:1, 20]).all(axis=1))[0])
    np.testing.assert_array_equal(large[top : top + 150], photo[:150, :1200])


def test_draw_crop_keeps_the_colours_of_the_whole_map() -> None:
    """A weak spot in the box stays weak beside a hot one outside; the same with the mask."""
    heatmap = np.zeros((1200, 1400), np.float32)
    heatmap[500:700, 500:700], heatmap[1190:, 1390:] = 1, 4
    photo = photograph(1200, 1400)
    drawn = explanation(heatmap, box_xyxy=(200.0, 200.0, 1000.0, 1000.0))
    whole = overlay(photo, normalise(heatmap), style=RenderStyle())[500:700, 500:700]
    for style in (RenderStyle(scale="max"), RenderStyle(mask="box", scale="max")):
        crop = draw_crop(photo, drawn, style=style)
        assert place_of(whole, crop) is not None


def test_draw_crop_has_its_label_above_the_photograph() -> None:
    """Class and score stand on the class's colour, and cover nothing."""
    picture = draw_crop(photograph(), explanation(hot_square(), class_id=13))
    assert where(picture[:18], class_colour(13))[:, -5:].all()
    assert holds_text(picture[:25], "face 0.938", ground=class_colour(13), ink=(255, 255, 255))


def test_draw_crop_says_which_box_and_how_it_was_made() -> None:
    """Below the photograph: the box's index, the method, and the layer."""
    drawn = explanation(hot_square())
    words = " \u00b7 ".join((f"box {drawn.detection.index}", drawn.method, *drawn.layers))
    assert holds_text(draw_crop(photograph(), drawn), words, ink=DIM_TEXT)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 60), (2000, 30), (30, 2000), (1, 3000), (3000, 1)])
def test_every_picture_takes_extreme_images(height: int, width: int) -> None:
    """Threads and single pixels give pictures that can be encoded, wide enough for their text."""
    photo, heatmap = photograph(height, width), np.ones((height, width), np.float32)
    drawn = explanation(heatmap, box_xyxy=(0.0, 0.0, float(width), float(height)), levels=LEVELS)
    for picture in (
        draw_crop(photo, drawn),
        draw_panel(photo, drawn, [heatmap * 0.75, heatmap * 0.25]),
        draw_summary(photo, [drawn]),
    ):
        assert picture.dtype == np.uint8 and picture.shape[2] == 3
        assert picture.shape[1] >= 320
        assert max(picture.shape) < 6000
        assert encode_jpeg(picture)


# --- the panel ---


def test_draw_panel_shows_photograph_map_and_levels_on_one_scale() -> None:
    """Each tile is the photograph with its own heat, coloured by the whole map's scale."""
    photo = photograph()
    parts = [np.zeros_like(hot_square()), np.zeros_like(hot_square())]
    parts[0][140:160, 190:200], parts[1][140:160, 200:210] = 3e-6, 1e-6
    drawn = explanation(sum(parts), levels=LEVELS)
    picture = draw_panel(photo, drawn, parts, style=RenderStyle(scale="max"))
    expected = [np.zeros_like(parts[0]), *(normalise(part, highest=3e-6) for part in (sum(parts), *parts))]
    places = []
    for heat in expected:
        tile = overlay(photo, heat, style=RenderStyle())[110:190, 160:240]
        places.append(place_of(tile, picture))
    assert None not in places
    assert places == sorted(places) and len(set(places)) == 4  # in reading order


def test_draw_panel_names_each_level_with_its_share() -> None:
    """The captions are what the footer lists."""
    drawn = explanation(hot_square(), levels=LEVELS)
    picture = draw_panel(photograph(), drawn, [hot_square() * 0.75, hot_square() * 0.25])
    for caption in ("photo", "map of all levels", "level 80x80 75 %", "level 40x40 25 %"):
        assert holds_text(picture, caption, 16)


def test_draw_panel_of_one_level_does_not_repeat_the_map() -> None:
    """Photograph and map are enough; the caption says the level."""
    drawn = explanation(hot_square(), levels=LEVELS[:1])
    picture = draw_panel(photograph(), drawn, [hot_square()])
    assert holds_text(picture, "map: 80x80 75 %", 16)
    assert not holds_text(picture, "level 80x80 75 %", 16)


def test_draw_panel_of_a_blank_map_is_the_photograph_and_the_reason() -> None:
    """There is no map to show, and none is needed."""
    drawn = explanation(hot_square(), status=MapStatus.NO_PATH, levels=LEVELS)
    picture = draw_panel(photograph(), drawn, [])
    assert picture.shape[1] < 2 * WIDTH
    assert where(picture, BANNER).any()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(HEIGHT, WIDTH)], "1 heatmaps were given for 2 levels"),
        ([], "0 heatmaps were given for 2 levels"),
        ([(HEIGHT, WIDTH), (2, 3)], r"shape \[2, 3\] does not fit .* shape \[300, 400\]"),
    ],
)
def test_draw_panel_refuses_levels_that_do_not_fit(shapes: list[tuple[int, int]], message: str) -> None:
    """A level without its map, or with another image's, is an error."""
    drawn = explanation(hot_square(), levels=LEVELS)
    with pytest.raises(ImageError, match=message):
        draw_panel(photograph(), drawn, [np.zeros(shape, np.float32) for shape in shapes])


@pytest.mark.parametrize(
    ("original_hw", "expected"),
    [
        ((300, 400), ((300, 400), 1)),
        ((3000, 4000), ((480, 640), 1)),
        ((40, 60), ((40, 60), 5)),
        ((1, 1), ((1, 1), 320)),
    ],
)
def test_tile_size_is_neither_huge_nor_tiny(
    original_hw: tuple[int, int], expected: tuple[tuple[int, int], int]
) -> None:
    """Large photographs shrink to 640 pixels, small ones grow by a whole factor to 320 at most."""
    assert tile_size(original_hw) == expected


@pytest.mark.parametrize(
    ("tiles", "cell_hw", "columns"), [(1, (300, 400), 1), (5, (300, 400), 3), (4, (600, 400), 4), (5, (50, 640), 1)]
)
def test_column_count_wraps_into_the_shape_of_a_screen(tiles: int, cell_hw: tuple[int, int], columns: int) -> None:
    """Portraits stand side by side, panoramas below each other, and many tiles fill rows."""
    assert column_count(tiles, cell_hw) == columns


def test_arrange_keeps_every_tile_and_long_captions_whole() -> None:
    """No tile covers another or a caption, and a long caption takes another line."""
    tiles = [np.full((100, 120, 3), shade, np.uint8) for shade in (101, 102, 103, 104, 105)]
    short = arrange(tiles, ["a"] * 5, font_px=13)
    long = arrange(tiles, ["a caption of quite some length"] * 5, font_px=13)
    for sheet in (short, long):
        assert [int(where(sheet, (shade,) * 3).sum()) for shade in range(101, 106)] == [12000] * 5
        assert where(sheet[:, 0:1], BACKGROUND).all()
    assert long.shape[0] > short.shape[0]
    assert holds_text(long, "length")


# --- the summary ---


def boxes_in_a_row(count: int, *, step: float = 12.0) -> list[Explanation]:
    """Returns boxes whose labels would cover each other if each lay above its box."""
    drawn = []
    for index in range(count):
        left = 40.0 + step * index
        heatmap = np.zeros((HEIGHT, WIDTH), np.float32)
        heatmap[120:130, int(left) : int(left) + 10] = index + 1
        detection = Detection(index, index, "thing", 0.9 - 0.01 * index, (left, 110.0, left + 10, 140.0))
        drawn.append(replace(explanation(heatmap), detection=detection))
    return drawn


def test_draw_summary_takes_the_hottest_of_all_maps() -> None:
    """Each map by its own maximum: weak and strong boxes are equally hot, as is the pixel that both share."""
    photo = photograph()
    weak, strong = (np.zeros((HEIGHT, WIDTH), np.float32) for _ in range(2))
    weak[120:130, 160:180], strong[120:130, 170:190], strong[140:150, 160:180] = 1, 8, 4
    picture = draw_summary(photo, [explanation(weak), explanation(strong, index=4)], style=RenderStyle(scale="max"))
    heat = np.zeros((HEIGHT, WIDTH), np.float32)
    heat[120:130, 160:190], heat[140:150, 160:180] = 1, 0.5
    inside = np.s_[115:160, 155:245]
    np.testing.assert_array_equal(picture[inside], overlay(photo, heat, style=RenderStyle())[inside])


def test_draw_summary_draws_each_box_in_its_class_colour() -> None:
    """Boxes can be told apart, and what is below them can still be seen."""
    photo, drawn = photograph(), boxes_in_a_row(5, step=60.0)
    picture = draw_summary(photo, drawn)
    for box in drawn:
        left = int(box.detection.box_xyxy[0])
        assert where(picture, class_colour(box.detection.class_id))[110:140, left - 1].all()
    assert not changed_pixels(picture, photo)[250:].any()


def test_draw_summary_puts_each_label_beside_its_own_box() -> None:
    """Where there is room, each plate lies on its box, whatever the order of the scores."""
    drawn = boxes_in_a_row(3, step=120.0)
    for order in (drawn, drawn[::-1]):
        picture = draw_summary(photograph(), order)
        for box in drawn:
            left = int(box.detection.box_xyxy[0])
            assert where(picture, class_colour(box.detection.class_id))[92:106, left - 1].all()


@pytest.mark.parametrize("count", [5, 20])
def test_draw_summary_keeps_labels_clear_of_each_other(count: int) -> None:
    """Every label is whole, although all of them want the same place."""
    drawn = boxes_in_a_row(count)
    picture = draw_summary(photograph(), drawn)
    for box in drawn:
        canvas = np.zeros((50, 200, 3), np.uint8)
        text, colour = f"{box.detection.index} thing {box.detection.score:.3f}", class_colour(box.detection.class_id)
        left, top, right, bottom = paint_label(canvas, text, (0, 20, 50, 50), font_px=13, colour=colour)
        assert place_of(canvas[top:bottom, left:right], picture) is not None


def test_place_plate_avoids_what_is_taken() -> None:
    """Beside the box while there is room, then as near as possible, and over the least when there is none."""
    box, canvas_hw, plate_hw = (50, 50, 80, 80), (200, 200), (10, 60)
    assert place_plate(plate_hw, box, canvas_hw) == (50, 40)
    assert place_plate(plate_hw, box, canvas_hw, taken=[(0, 30, 200, 45)]) == (50, 80)
    left, top = place_plate(plate_hw, box, canvas_hw, taken=[(0, 0, 200, 150)])
    assert top >= 150
    everything = [(0, 0, 200, 195), (0, 0, 200, 200)]
    assert place_plate(plate_hw, box, canvas_hw, taken=everything)[1] == 190


def test_draw_summary_reads_its_explanations_once() -> None:
    """They may come from a generator, one map in memory at a time."""
    drawn = boxes_in_a_row(3)
    np.testing.assert_array_equal(draw_summary(photograph(), (box for box in drawn)), draw_summary(photograph(), drawn))


def test_draw_summary_without_boxes_is_the_photograph() -> None:
    """An image without detections has a summary, too."""
    photo = photograph()
    picture = draw_summary(photo, [])
    assert not changed_pixels(picture, photo).any()
    assert holds_text(picture[HEIGHT:], "no boxes")


def test_draw_summary_names_the_boxes_without_a_map() -> None:
    """A box that stays cold is no mistake of the picture."""
    blank = explanation(np.zeros((HEIGHT, WIDTH), np.float32), status=MapStatus.NEGATIVE, index=6)
    picture = draw_summary(photograph(), [explanation(hot_square()), blank, asked(MapStatus.NO_CANDIDATE)])
    assert holds_text(picture[HEIGHT:], "without a map: 6, gt_17")
    assert holds_text(picture[HEIGHT:], "3 boxes")


def test_draw_summary_refuses_the_map_of_another_image() -> None:
    """One wrong map among many is found."""
    with pytest.raises(ImageError, match=r"shape \[2, 3\] does not fit"):
        draw_summary(photograph(), [explanation(hot_square()), explanation(np.zeros((2, 3), np.float32))])


def test_numbered_label_keeps_number_and_score() -> None:
    """A long class name gives way; a question goes by its name."""
    long = explanation(hot_square(), class_name="extraordinarily long " * 9)
    assert numbered_label(long, 13, max_px=150).startswith("3 extra")
    assert numbered_label(long, 13, max_px=150).endswith("\u2026 0.938")
    assert numbered_label(asked(), 13, max_px=150) == "gt_17 face 0.938"
    assert numbered_label(asked(MapStatus.NO_CANDIDATE), 13, max_px=150) == "gt_17 cat"


# --- boxes that were asked about ---


def test_draw_explanation_shows_the_box_asked_about_dashed_and_the_candidate_solid() -> None:
    """The two boxes differ in colour and kind of line."""
    picture = draw_explanation(photograph(), asked())
    edge = picture[52:158, 40]
    assert {tuple(pixel) for pixel in edge.tolist()} == {ASKED, (0, 0, 0)}
    assert where(picture, class_colour(2))[100:200, 149].all()
    assert holds_text(picture[HEIGHT:], "dashed cyan line: the box asked about")


def test_draw_explanation_without_a_candidate_shows_the_box_asked_about_only() -> None:
    """There is no other box, no score and no map, and the footer says why."""
    photo = photograph()
    picture = draw_explanation(photo, asked(MapStatus.NO_CANDIDATE, verdict=Verdict.NO_CANDIDATE))
    changed = changed_pixels(picture, photo)
    changed[28:162, 38:122] = False
    assert not changed.any()
    assert where(picture[:HEIGHT], ASKED).any()
    assert not where(picture, class_colour(2)).any()
    assert where(picture[HEIGHT:], BANNER).any()
    assert holds_text(picture[HEIGHT:], "cat \u00b7 asked: gt_17")
    any_class = asked(MapStatus.NO_CANDIDATE, class_name=None)
    assert holds_text(footer(any_class, WIDTH, 13), "any class \u00b7 asked: gt_17")


@pytest.mark.parametrize("width", [320, 700])
def test_footer_says_the_whole_answer(width: int) -> None:
    """Every word is there, in as many lines as it takes, on narrow pictures as well."""
    words = [f"word{number}" for number in range(40)]
    strip = footer(asked(words=" ".join(words)), width, 13)
    assert all(holds_text(strip, word) for word in words)
    assert strip.shape[1] == width
    for edge in (strip[:, :6], strip[:, -5:]):
        assert where(edge, BACKGROUND).all()


def test_footer_says_the_target() -> None:
    """What is explained is said when it is not the class score."""
    drawn = explanation(hot_square(), target="contrast:dog")
    assert holds_text(footer(drawn, WIDTH, 13), "gradcam \u00b7 target contrast:dog \u00b7 model.backbone")


def test_draw_crop_shows_both_boxes() -> None:
    """The close-up reaches around the box asked about as well as the candidate's."""
    assert crop_region(asked()) == (0, 12, 303, 238)
    assert crop_region(asked(MapStatus.NO_CANDIDATE)) == (20, 22, 140, 188)
    assert where(draw_crop(photograph(), asked()), ASKED).any()
