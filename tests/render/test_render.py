"""Pictures show the map where there is evidence, the photograph where there is none, and always a readable label."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from support.made_up_maps import HEIGHT, WIDTH, changed_pixels, explanation, hot_square, level, photograph

from ppdet_cam.errors import ImageError
from ppdet_cam.render import class_colour, draw_explanation, encode_jpeg, encode_png, normalise
from ppdet_cam.render.boxes import paint_box, paint_dashes, paint_label
from ppdet_cam.render.colours import BACKGROUND, BANNER, BAR_BASE, contrast
from ppdet_cam.render.footer import footer, level_shares, method_entries
from ppdet_cam.render.heat import blend, colorize, opacity
from ppdet_cam.render.layout import MAX_ENLARGED_SIDE, clip_box, enlargement, font_height
from ppdet_cam.render.text import drawable, name_of, shorten, text_mask, text_width, title_of, wrap, wrap_words
from ppdet_cam.structures import MapStatus

# --- the map ---


def test_normalise_divides_by_the_maximum() -> None:
    """The hottest pixel is 1, zero stays zero, the rest keep their ratio."""
    heat = normalise(np.array([[0, 1e-6], [2e-6, 4e-6]], np.float32))
    assert heat.dtype == np.float32
    np.testing.assert_allclose(heat, [[0, 0.25], [0.5, 1]])


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (5.0, 1.0), (1e-45, 1.0), (3e38, 1.0), (-2.0, 0.0)])
def test_normalise_of_a_flat_map_is_finite(value: float, expected: float) -> None:
    """A constant map is hot everywhere or nowhere, never NaN."""
    np.testing.assert_array_equal(normalise(np.full((2, 3), value, np.float32)), np.full((2, 3), expected))


def test_normalise_takes_non_finite_values_as_no_heat() -> None:
    """NaN and infinity do not spread."""
    heat = normalise(np.array([[np.nan, np.inf], [-np.inf, 2.0]], np.float32))
    np.testing.assert_array_equal(heat, [[0, 0], [0, 1]])


def test_colorize_grows_lighter_with_heat() -> None:
    """The colours are ordered by lightness, so that they can be read without colour vision."""
    ramp = np.linspace(0, 1, 32, dtype=np.float32)[None]
    lightness = cv2.cvtColor(colorize(ramp), cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) > 0).all()


def test_opacity_rises_from_none() -> None:
    """No heat hides nothing of the photograph, and the hottest spot still lets it through."""
    weights = opacity(np.linspace(0, 1, 32, dtype=np.float32)[None])[0]
    assert weights[0] == 0
    assert weights[-1] < 1
    assert (np.diff(weights) > 0).all()


def test_blend_mixes_by_weight() -> None:
    """Weight 0 is the photograph, 1 the colour, 0.25 a quarter of the way."""
    photo = np.full((1, 3, 3), 100, np.uint8)
    colour = np.full((1, 3, 3), 200, np.uint8)
    blended = blend(photo, colour, np.array([[0, 0.25, 1]], np.float32))
    np.testing.assert_array_equal(blended[0, :, 0], [100, 125, 200])


def test_blend_is_the_same_over_many_strips() -> None:
    """Working in strips leaves no seam."""
    photo, colour = photograph(700, 3), photograph(700, 3)[::-1]
    weight = np.linspace(0, 1, 2100, dtype=np.float32).reshape(700, 3)
    weight[300:600] = 0
    expected = np.rint(photo + weight[..., None] * (colour.astype(np.float32) - photo)).astype(np.uint8)
    np.testing.assert_array_equal(blend(photo, colour, weight), expected)


# --- the whole picture ---


def test_draw_explanation_colours_only_where_it_is_hot() -> None:
    """Hot pixels change; without heat, away from box and label, the photograph is untouched."""
    photo, heatmap = photograph(), hot_square()
    picture = draw_explanation(photo, explanation(heatmap))
    changed = changed_pixels(picture, photo)
    assert changed[heatmap > 0].all()
    inside_box = np.zeros_like(changed)
    inside_box[100:200, 150:250] = True
    assert not changed[inside_box & (heatmap == 0)].any()
    changed[70:210, 140:260] = False
    assert not changed.any()


def test_draw_explanation_shows_the_photograph_first_and_the_footer_below() -> None:
    """The picture is as wide as the photograph and only grows at its foot."""
    photo = photograph()
    picture = draw_explanation(photo, explanation(hot_square()))
    assert picture.dtype == np.uint8
    assert picture.shape[1] == WIDTH
    assert HEIGHT < picture.shape[0] < HEIGHT + 150
    assert not (picture[HEIGHT:] == picture[HEIGHT, 0]).all()


def test_draw_explanation_leaves_its_arguments_alone() -> None:
    """Neither the image nor the heatmap is drawn on, and the picture shares no memory with them."""
    photo, heatmap = photograph(), hot_square()
    photo_before, heatmap_before = photo.copy(), heatmap.copy()
    photo.flags.writeable = heatmap.flags.writeable = False
    for status in (MapStatus.OK, MapStatus.NEGATIVE):
        picture = draw_explanation(photo, explanation(heatmap, status=status))
        assert not np.shares_memory(picture, photo)
    np.testing.assert_array_equal(photo, photo_before)
    np.testing.assert_array_equal(heatmap, heatmap_before)


@pytest.mark.parametrize("status", [status for status in MapStatus if status is not MapStatus.OK])
def test_draw_explanation_of_a_blank_map_leaves_the_photograph_uncoloured(status: MapStatus) -> None:
    """A map that is not OK shows no colour even if its array holds values, and a banner says why."""
    photo = photograph()
    picture = draw_explanation(photo, explanation(hot_square(), status=status))
    changed = changed_pixels(picture, photo)
    assert not changed[100:200, 150:250].any()
    changed[70:210, 140:260] = False
    assert not changed.any()
    assert (picture[HEIGHT:] == BANNER).all(axis=2).any()


def test_draw_explanation_of_an_ok_map_has_a_colour_bar_and_no_banner() -> None:
    """The bar's colours, up to the hottest, stand in the footer."""
    picture = draw_explanation(photograph(), explanation(hot_square()))
    assert not (picture[HEIGHT:] == BANNER).all(axis=2).any()
    hottest = np.ones((1, 1), np.float32)
    gray = np.full((1, 1, 3), BAR_BASE, np.uint8)
    expected = blend(gray, colorize(hottest), opacity(hottest))
    assert (picture[HEIGHT:] == expected).all(axis=2).any()


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf])
def test_draw_explanation_of_a_flat_map(value: float) -> None:
    """Constant and non-finite maps draw without a warning (warnings are errors in these tests)."""
    photo = photograph()
    picture = draw_explanation(photo, explanation(np.full((HEIGHT, WIDTH), value, np.float32)))
    assert changed_pixels(picture, photo)[250:].any() == (value == 1.0)


def test_draw_explanation_shows_the_proposal_dashed() -> None:
    """RoI features draw their proposal as dark and light dashes, and the footer grows by a line for it."""
    photo = photograph()
    proposal = (20.0, 30.0, 380.0, 280.0)
    plain = draw_explanation(photo, explanation(hot_square()))
    dashed = draw_explanation(photo, explanation(hot_square(), box_xyxy_roi=proposal))
    bottom_edge = dashed[279, 20:380]
    assert {tuple(pixel) for pixel in bottom_edge} == {(0, 0, 0), (255, 255, 255)}
    np.testing.assert_array_equal(dashed[278, 30:370], photo[278, 30:370])
    assert dashed.shape[0] > plain.shape[0]


@pytest.mark.parametrize(
    ("image", "heatmap", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), np.zeros((4, 5), np.float32), r"shape \[4, 5, 3\] and dtype float32"),
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.float32), r"shape \[4, 5\].*allowed"),
        (np.zeros((0, 5, 3), np.uint8), np.zeros((0, 5), np.float32), r"shape \[0, 5, 3\]"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.float32), r"shape \[5, 4\] does not fit .*\[4, 5, 3\]"),
    ],
)
def test_draw_explanation_refuses_what_does_not_fit(image: np.ndarray, heatmap: np.ndarray, message: str) -> None:
    """A mix-up of images is an error, not a stretched map."""
    with pytest.raises(ImageError, match=message):
        draw_explanation(image, explanation(heatmap))


# --- sizes ---


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(1, 1, 320), (12, 16, 20), (300, 400, 1), (200, 319, 2), (404, 640, 1), (3, 600, 6), (1500, 2000, 1)],
)
def test_draw_explanation_enlarges_small_images_by_a_whole_factor(height: int, width: int, factor: int) -> None:
    """Small photographs keep their pixels as squares, at a width of 320 or more."""
    assert enlargement((height, width)) == factor
    photo = photograph(height, width)
    blank = explanation(np.zeros((height, width), np.float32), box_xyxy=(-9.0, -9.0, -8.0, -8.0))
    picture = draw_explanation(photo, blank)
    assert picture.shape[1] == max(320, width * factor)
    squares = np.kron(photo, np.ones((factor, factor, 1), np.uint8))
    right_half = slice(width * factor // 2, width * factor)  # the label is on the left
    np.testing.assert_array_equal(picture[: height * factor, right_half], squares[:, right_half])


@pytest.mark.parametrize(("height", "width"), [(1, 6000), (6000, 1), (3, 200), (600, 2), (1, 40)])
def test_draw_explanation_fills_up_extreme_shapes(height: int, width: int) -> None:
    """Threads of pixels get room for the label without growing beyond reason."""
    picture = draw_explanation(photograph(height, width), explanation(np.ones((height, width), np.float32)))
    assert picture.shape[1] >= 320
    assert max(picture.shape[:2]) <= max(height, width, MAX_ENLARGED_SIDE) + 200


def test_draw_explanation_scales_lines_and_text_with_huge_images() -> None:
    """A picture of 6000 pixels is not labelled in 13 pixel letters."""
    small, huge = font_height((400, 600)), font_height((4000, 6000))
    assert small == 13
    assert huge > 100
    photo = np.full((4000, 6000, 3), 100, np.uint8)
    blank = explanation(np.zeros((4000, 6000), np.float32), box_xyxy=(3000.0, 2000.0, 4000.0, 3000.0))
    row = draw_explanation(photo, blank)[2500, 2900:3000]
    coloured, white = (row == class_colour(7)).all(axis=1).sum(), (row == 255).all(axis=1).sum()
    assert coloured > 10
    assert white == (coloured + 1) // 2


# --- the box ---


@pytest.mark.parametrize(
    ("box_xyxy", "expected"),
    [
        ((1.0, 2.0, 5.0, 6.0), (1, 2, 5, 6)),
        ((1.2, 2.7, 5.1, 6.9), (1, 2, 6, 7)),
        ((-5.0, -5.0, 99.0, 99.0), (0, 0, 10, 8)),
        ((3.0, 3.0, 3.0, 3.0), (3, 3, 4, 4)),
        ((10.0, 8.0, 12.0, 9.0), (9, 7, 10, 8)),
        ((-9.0, 2.0, -1.0, 6.0), None),
        ((11.0, 2.0, 15.0, 6.0), None),
        ((1.0, 9.0, 5.0, 12.0), None),
        ((np.nan, 2.0, 5.0, 6.0), None),
        ((1.0, 2.0, np.inf, 6.0), None),
    ],
)
def test_clip_box_gives_the_pixels_touched(
    box_xyxy: tuple[float, float, float, float], expected: tuple[int, int, int, int] | None
) -> None:
    """On an image 10 wide and 8 high: whole pixels, at least one, none when the box lies outside."""
    assert clip_box(box_xyxy, 1, (8, 10)) == expected


def test_clip_box_follows_the_enlargement() -> None:
    """Half a pixel is ten pixels when the image is drawn 20 times as large."""
    assert clip_box((0.5, 1.0, 2.0, 99.0), 20, (8, 10)) == (10, 20, 40, 160)


def test_paint_box_is_coloured_inside_and_edged_outside() -> None:
    """A dark colour has a white edge and a light one a black edge; the inside of the box stays free."""
    for colour, edge in (((0, 0, 255), 255), ((255, 255, 0), 0)):
        canvas = np.full((40, 40, 3), 100, np.uint8)
        paint_box(canvas, (10, 10, 30, 30), line_px=2, colour=colour, limit_hw=(40, 40))
        row = canvas[20].tolist()
        assert row[6:11] == [[100] * 3, [edge] * 3, list(colour), list(colour), [100] * 3]
        assert row[29:34] == [[100] * 3, list(colour), list(colour), [edge] * 3, [100] * 3]
        assert (canvas[10:30, 10:30] == 100).all()
        assert (canvas[:7] == 100).all() and (canvas[:, 33:] == 100).all()


@pytest.mark.parametrize("background", range(40))
def test_paint_box_is_visible_on_every_class_colour(background: int) -> None:
    """Of the two lines one stands out, also where the photograph has the very colour of the class."""
    for class_id in range(40):
        canvas = np.full((5, 5, 3), class_colour(background), np.uint8)
        paint_box(canvas, (2, 2, 3, 3), line_px=1, colour=class_colour(class_id), limit_hw=(5, 5))
        lines = [tuple(canvas[2, 0].tolist()), tuple(canvas[2, 1].tolist())]
        assert max(contrast(line, class_colour(background)) for line in lines) > 2


def test_paint_box_moves_its_lines_inside_at_the_border() -> None:
    """A box that fills the image is still visible on all four sides."""
    canvas = np.full((40, 50, 3), 100, np.uint8)
    paint_box(canvas, (0, 0, 50, 40), line_px=1, colour=(10, 20, 30), limit_hw=(40, 50))
    assert canvas[20, :2, 0].tolist() == [255, 10]
    assert canvas[20, -2:, 0].tolist() == [10, 255]
    assert canvas[:2, 25, 0].tolist() == [255, 10]
    assert canvas[-2:, 25, 0].tolist() == [10, 255]


@pytest.mark.parametrize("box_ltrb", [(0, 0, 1, 1), (39, 0, 40, 1), (20, 20, 21, 21), (0, 39, 40, 40)])
def test_lines_take_boxes_of_one_pixel(box_ltrb: tuple[int, int, int, int]) -> None:
    """The smallest boxes leave a mark and no error."""
    for paint in (
        lambda canvas: paint_dashes(canvas, box_ltrb, line_px=3),
        lambda canvas: paint_box(canvas, box_ltrb, line_px=3, colour=(9, 9, 9), limit_hw=(40, 40)),
    ):
        canvas = np.full((40, 40, 3), 100, np.uint8)
        paint(canvas)
        assert (canvas != 100).any()


# --- the label ---


@pytest.mark.parametrize(
    "box_xyxy",
    [
        (-5.0, 150.0, 40.0, 230.0),
        (200.0, -4.0, 260.0, 20.0),
        (395.0, 150.0, 405.0, 230.0),
        (200.0, 295.0, 260.0, 310.0),
        (0.0, 0.0, 2.0, 2.0),
        (398.0, 0.0, 400.0, 2.0),
        (0.0, 298.0, 2.0, 300.0),
        (398.0, 298.0, 400.0, 300.0),
        (-50.0, -50.0, 500.0, 500.0),
        (900.0, 900.0, 950.0, 950.0),
        (np.nan, 0.0, 1.0, 1.0),
    ],
)
@pytest.mark.parametrize("class_name", ["face", "a class name that is very much too long for a label " * 3])
def test_draw_explanation_keeps_the_label_inside(box_xyxy: tuple[float, float, float, float], class_name: str) -> None:
    """Wherever the box lies, the whole plate with the whole title is in the picture, beside the box if possible."""
    photo = photograph()
    drawn = explanation(np.zeros((HEIGHT, WIDTH), np.float32), box_xyxy=box_xyxy, class_name=class_name)
    picture = draw_explanation(photo, drawn)[:HEIGHT]
    title = title_of(drawn.detection, 13, max_px=WIDTH * 6 // 10 - 8)
    letters = text_mask(title, 13) == 255
    is_white = (picture == 255).all(axis=2).astype(np.float32)
    found = cv2.matchTemplate(is_white, letters.astype(np.float32), cv2.TM_SQDIFF)
    assert found.min() < 0.5


def test_paint_label_prefers_the_place_above_the_box() -> None:
    """Above; below without room above; in the box when it fills the picture."""
    rows = []
    for box_ltrb in ((50, 100, 90, 150), (50, 3, 90, 50), (0, 0, 400, 200)):
        canvas = np.full((200, 400, 3), 100, np.uint8)
        plate = paint_label(canvas, "face 0.938", box_ltrb, font_px=13, colour=(0, 0, 255))
        painted = np.argwhere((canvas != 100).any(axis=2))
        assert (*painted.min(axis=0)[::-1], *(painted.max(axis=0) + 1)[::-1]) == plate
        rows.append(plate[1::2])
    assert rows[0][1] == 100
    assert rows[1][0] == 50
    assert rows[2][0] == 0


# --- text ---


def test_title_of_shortens_the_class_and_keeps_the_score() -> None:
    """A long class name gives way to the score."""
    detection = explanation(hot_square(), class_name="extraordinarily long " * 9).detection
    title = title_of(detection, 13, max_px=150)
    assert title.startswith("extraord")
    assert title.endswith("\u2026 0.938")
    assert text_width(title, 13) <= 150


@pytest.mark.parametrize("max_px", [0, 5, 12, 13, 40, 100, 1000])
def test_shorten_keeps_to_the_width(max_px: int) -> None:
    """What is cut ends in an ellipsis and fits; what fits is not cut."""
    text = "model.backbone.stage 4"
    short = shorten(text, 13, max_px=max_px)
    if max_px == 1000:
        assert short == text
    else:
        assert short.endswith("\u2026")
        assert text.startswith(short[:-1])
        assert text_width(short, 13) <= max(max_px, text_width("\u2026", 13))


def test_wrap_breaks_between_entries_into_three_lines_at_most() -> None:
    """Entries are not torn apart, and none is lost without an ellipsis."""
    entries = [f"entry {number}" for number in range(40)]
    lines = wrap(entries, 13, max_px=300)
    assert len(lines) == 3
    assert lines[0].startswith("entry 0 \u00b7 entry 1")
    assert not lines[0].endswith("\u00b7")
    assert lines[2].endswith("\u2026")
    assert all(text_width(line, 13) <= 300 for line in lines)
    assert wrap(["one", "two"], 13, max_px=300) == ["one \u00b7 two"]
    assert wrap([], 13, max_px=300) == []


def test_wrap_words_keeps_every_word() -> None:
    """However long the text, nothing is cut off; words wider than a line are broken."""
    text = "suppressed by " + "a_very_long_class_name_without_a_space" * 4 + " with an IoU of 0.71 " * 9
    lines = wrap_words(text, 13, max_px=300)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(text_width(line, 13) <= 300 for line in lines)
    assert len(lines) > 5
    assert wrap_words("one two", 13, max_px=300) == ["one two"]
    assert wrap_words("", 13, max_px=300) == []
    assert wrap_words("ab", 13, max_px=0) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("traffic light", "traffic light"),
        ("Café ñandú", "Cafe nandu"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("cat \u732b", "cat ?"),
        ("IoU \u2265 0.5 \u2013 1.5\u00d7", "IoU >= 0.5 - 1.5x"),
        ("\x00\ud800\u202e\U0001f600", "????"),
        ("", ""),
    ],
)
def test_drawable_replaces_what_the_font_lacks(given: str, expected: str) -> None:
    """Every class name can be drawn, in one line."""
    assert drawable(given) == expected


@pytest.mark.parametrize("class_name", ["\u732b", "", "\u043a\u043e\u0448\u043a\u0430", "??"])
def test_name_of_gives_the_number_when_no_letter_can_be_drawn(class_name: str) -> None:
    """A name in another script is told by its class number, not by question marks."""
    drawn = explanation(hot_square(), class_name=class_name)
    assert name_of(drawn.detection) == "class_7"
    draw_explanation(photograph(), drawn)


# --- the footer ---


def test_level_shares_tells_several_layers_apart() -> None:
    """One layer needs no name before each level; two layers do, the stages inside one in short."""
    one = explanation(hot_square(), levels=(level("model.neck", 80, 0.996), level("model.neck", 40, 0.004)))
    assert level_shares(one) == ["levels: 80x80 100 %", "40x40 <1 %"]
    two = explanation(hot_square(), levels=(level("model.neck", 80, 0.25), level("model.backbone", 40, 0.75)))
    assert level_shares(two) == ["levels: model.neck 80x80 25 %", "model.backbone 40x40 75 %"]
    stages = (level("model.neck", 40, 0.5), level("model.neck.fpn.0", 80, 0.25), level("model.neck.stem", 80, 0.25))
    named = ["levels: 40x40 50 %", "fpn.0 80x80 25 %", "stem 80x80 25 %"]
    assert level_shares(explanation(hot_square(), levels=stages)) == named
    assert level_shares(explanation(hot_square())) == []


def test_footer_lists_levels_only_when_there_are_several() -> None:
    """One level is the whole evidence and needs no line."""
    none, one, three = (
        footer(explanation(hot_square(), levels=(level("model.neck", 80, 0.3),) * count), WIDTH, 13)
        for count in (0, 1, 3)
    )
    assert none.shape == one.shape
    assert three.shape[0] > one.shape[0]


def test_method_entries_names_the_target_only_when_it_is_not_the_class() -> None:
    """The class score is what everyone expects; anything else is said between method and layers."""
    assert method_entries([explanation(hot_square())]) == ["gradcam", "model.backbone"]
    other = explanation(hot_square(), target="box:left")
    assert method_entries([other]) == ["gradcam", "target box:left", "model.backbone"]
    both = method_entries([other, explanation(hot_square(), layers=("model.neck",))])
    assert both == ["gradcam", "target box:left", "model.backbone", "model.neck"]
    refined = method_entries([explanation(hot_square(), refined_by=("a.stem", "a.res2"))])
    assert refined == ["gradcam", "model.backbone", "refined by a.stem, a.res2"]


@pytest.mark.parametrize("width", [320, 640, 3000])
@pytest.mark.parametrize("status", [MapStatus.OK, MapStatus.NEGATIVE])
def test_footer_has_a_margin_on_both_sides(width: int, status: MapStatus) -> None:
    """However long the names, no letter touches the left or right edge."""
    crowded = explanation(
        hot_square(),
        class_name="long class name " * 20,
        layers=tuple(f"model.backbone.stage{number}.block" for number in range(30)),
        levels=tuple(level("model.backbone", 80, 0.1) for _ in range(30)),
        status=status,
    )
    strip = footer(crowded, width, 13)
    assert strip.shape[1] == width
    for edge in (strip[:, :6], strip[:, -5:]):
        assert {tuple(pixel) for pixel in edge.reshape(-1, 3)} <= {BACKGROUND, BANNER}


# --- files ---


def test_encode_jpeg_keeps_the_picture() -> None:
    """The bytes are a JPEG of the same size and, closely, the same RGB."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30] = (200, 30, 60)
    encoded = encode_jpeg(picture)
    assert encoded.startswith(b"\xff\xd8") and encoded.endswith(b"\xff\xd9")
    decoded = cv2.cvtColor(cv2.imdecode(np.frombuffer(encoded, np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert np.abs(decoded[:, :24].astype(int) - (200, 30, 60)).max() <= 3


def test_encode_jpeg_refuses_sides_that_jpeg_cannot_hold() -> None:
    """The limit is the very one of the encoder, and is named."""
    assert encode_jpeg(np.zeros((1, 65500, 3), np.uint8))
    with pytest.raises(ImageError, match="65501 x 1 pixels cannot be a JPEG.*65500"):
        encode_jpeg(np.zeros((1, 65501, 3), np.uint8))


@pytest.mark.parametrize("channels", [3, 4])
def test_encode_png_keeps_every_pixel(channels: int) -> None:
    """The bytes are a PNG that decodes to the same RGB or RGBA."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, channels), dtype=np.uint8)
    encoded = encode_png(picture)
    assert encoded.startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded))), picture)
