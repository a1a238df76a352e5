"""Flags that say how a map is coloured are checked once, and the colours and the colour bar keep to them."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support.drawn_text import holds_text
from support.made_up_maps import HEIGHT, WIDTH, explanation, hot_square, photograph

from ppdet_cam.errors import ConfigError
from ppdet_cam.render import (
    STYLE_OPTIONS,
    RenderStyle,
    class_colour,
    draw_crop,
    draw_explanation,
    draw_heatmap,
    draw_panel,
    draw_summary,
    highest_value,
    normalise,
    scale_end,
)
from ppdet_cam.render.boxes import paint_label
from ppdet_cam.render.colours import (
    ASKED,
    BANNER,
    BAR_BASE,
    contrast,
    contrasting,
)
from ppdet_cam.render.footer import bar_strip, footer, scale_texts
from ppdet_cam.render.heat import blend, colorize, heat_of, opacity, shown_share
from ppdet_cam.render.style import COLORMAPS, parse_alpha, parse_mask
from ppdet_cam.structures import MapStatus

HOTTEST = np.ones((1, 1), np.float32)


# --- the flags ---


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"colormap": "plasm"},
            r"--colormap 'plasm' is not supported \(did you mean 'plasma'.*\. Supported: .*jet",
        ),
        ({"colormap": "JET"}, r"--colormap 'JET' .*did you mean 'jet'"),
        ({"colormap": "hsv"}, r"--colormap 'hsv' is not supported"),
        ({"alpha": 1.5}, r"--alpha must be a number from 0 .* to 1 .*, not 1\.5"),
        ({"alpha": -0.1}, r"--alpha .* not -0\.1"),
        ({"alpha": float("nan")}, r"--alpha .* not nan"),
        ({"mask": "bx"}, r"--mask 'bx' is not supported \(did you mean 'box'.*Supported: none, box, box:FACTOR"),
        ({"mask": ""}, r"--mask '' is not supported"),
        ({"mask": "none:2"}, r"--mask 'none:2' is not supported"),
        ({"mask": "box:"}, r"--mask 'box:': the factor must be a number of 1 or more, e\.g\. box:1\.5, not ''"),
        ({"mask": "box:wide"}, r"not 'wide'"),
        ({"mask": "box:0.5"}, r"1 or more.*not '0\.5'"),
        ({"mask": "box:inf"}, r"not 'inf'"),
        ({"mask": "box:nan"}, r"not 'nan'"),
        ({"normalize": "images"}, r"--normalize 'images' .*did you mean 'image'.*Supported: box, image, run"),
    ],
)
def test_render_style_refuses_what_is_not_allowed(given: dict[str, object], message: str) -> None:
    """The error names the flag, what was given, what is allowed and what was probably meant."""
    with pytest.raises(ConfigError, match=message):
        RenderStyle(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["half", "", "2", "-1", "nan", "inf"])
def test_parse_alpha_refuses_what_is_no_opacity(text: str) -> None:
    """Words and numbers outside 0 to 1 alike, as they were written."""
    with pytest.raises(ConfigError, match=rf"--alpha must be a number from 0.*not '{text}'"):
        parse_alpha(text)


def test_parse_mask_gives_the_factor() -> None:
    """A box is a box widened once."""
    assert [parse_mask(text) for text in ("none", "box", "box:1", "box:2.25")] == [None, 1.0, 1.0, 2.25]


def test_render_style_has_every_colormap_of_the_documented_names() -> None:
    """OpenCV's and matplotlib's usual names are there, in lower case."""
    assert {"jet", "turbo", "hot", "inferno", "viridis", "plasma", "magma", "cividis"} <= set(COLORMAPS)
    assert all(name == name.lower() for name in COLORMAPS)
    ramp = np.linspace(0, 1, 9, dtype=np.float32)[None]
    looks = {colorize(ramp, colormap=name).tobytes() for name in COLORMAPS}
    assert len(looks) == len(COLORMAPS)


def test_style_options_make_the_flags_of_an_argument_parser() -> None:
    """Parsing no flag gives the default style; each flag changes its own attribute; the help can be printed."""
    parser = argparse.ArgumentParser()
    for option in STYLE_OPTIONS:
        parser.add_argument(option.flag, default=option.default, metavar=option.metavar, help=option.help)

    def style(*arguments: str) -> RenderStyle:
        return RenderStyle.from_flags(vars(parser.parse_args(arguments)))

    assert style() == RenderStyle() == RenderStyle.from_flags({})
    given = style("--colormap", "jet", "--alpha", "0.5", "--mask", "box:2", "--normalize", "run", "--scale", "max")
    assert given == RenderStyle("jet", 0.5, "box:2", "run", "max")
    assert given.flags() == {"colormap": "jet", "alpha": 0.5, "mask": "box:2", "normalize": "run", "scale": "max"}
    assert "magma" in parser.format_help()


def test_from_flags_refuses_a_name_that_is_no_option() -> None:
    """A misspelt name is an error, not a default."""
    with pytest.raises(ConfigError, match=r"'colourmap' is not supported \(did you mean 'colormap'"):
        RenderStyle.from_flags({"colourmap": "jet"})


# --- the scale ---


def test_normalise_to_a_given_maximum_saturates_above_it() -> None:
    """Half of the maximum is 0.5 whatever the map's own maximum, and nothing exceeds 1."""
    heatmap = np.array([[0, 1, 2, 4, -1, np.nan]], np.float32)
    np.testing.assert_array_equal(normalise(heatmap, highest=2.0), [[0, 0.5, 1, 1, 0, 0]])
    np.testing.assert_array_equal(normalise(heatmap, highest=8.0), [[0, 0.125, 0.25, 0.5, 0, 0]])
    np.testing.assert_array_equal(normalise(heatmap, highest=0.0), np.zeros((1, 6)))


def test_highest_value_looks_at_maps_that_show_something() -> None:
    """Blank maps and values that are not finite do not raise it; without any map it is 0."""
    low, high = explanation(np.full((2, 2), 3.0, np.float32)), explanation(np.array([[np.inf, 5.0]], np.float32))
    hidden = explanation(np.full((2, 2), 9.0, np.float32), status=MapStatus.NEGATIVE)
    assert highest_value([low, high, hidden]) == 5.0
    assert highest_value([hidden]) == highest_value([]) == 0.0


def test_draw_explanation_by_a_common_maximum_tells_strong_from_weak() -> None:
    """Two maps of the same shape look the same by their own maxima, and different by a common one."""
    weak, strong = (explanation(hot_square() * factor) for factor in (1, 4))
    photo, highest = photograph(), highest_value([weak, strong])

    def inside(drawn: object, **scale: float) -> np.ndarray:
        return draw_explanation(photo, drawn, **scale)[140:160, 190:210]  # type: ignore[arg-type]

    np.testing.assert_array_equal(inside(weak), inside(strong))
    np.testing.assert_array_equal(inside(strong, highest=highest), inside(strong))
    assert (inside(weak, highest=highest) != inside(strong, highest=highest)).any()


@pytest.mark.parametrize("normalize", ["image", "run"])
def test_every_picture_of_compared_maps_needs_the_highest_value(normalize: str) -> None:
    """A forgotten maximum is an error, not a picture by the map's own maximum."""
    style, drawn, photo = RenderStyle(normalize=normalize), explanation(hot_square()), photograph()
    for draw in (
        lambda: draw_explanation(photo, drawn, style=style),
        lambda: draw_heatmap(drawn, style=style),
        lambda: draw_crop(photo, drawn, style=style),
        lambda: draw_panel(photo, drawn, [], style=style),
        lambda: draw_summary(photo, [drawn], style=style),
    ):
        with pytest.raises(ConfigError, match=f"normalize '{normalize}' needs highest=.*scale_end"):
            draw()


@pytest.mark.parametrize("highest", [-1.0, float("nan"), float("inf")])
def test_draw_explanation_refuses_a_maximum_that_is_no_number(highest: float) -> None:
    """A maximum that would make every map cold is a mistake."""
    with pytest.raises(ConfigError, match="highest must be a finite number of 0 or more"):
        draw_explanation(photograph(), explanation(hot_square()), highest=highest)


# --- the mask ---


def test_heat_of_a_masked_map_is_the_same_inside_and_none_outside() -> None:
    """The mask hides; it does not rescale, even when the hottest spot is hidden."""
    heatmap = np.zeros((10, 10), np.float32)
    heatmap[5, 5], heatmap[5, 7], heatmap[0, 0] = 1, 2, 4
    drawn = explanation(heatmap, box_xyxy=(4.0, 4.0, 6.0, 6.0))
    heats = {
        mask: heat_of(drawn, style=RenderStyle(mask=mask, scale="max")) for mask in ("none", "box", "box:2", "box:50")
    }
    assert {name: np.flatnonzero(heat).tolist() for name, heat in heats.items()} == {
        "none": [0, 55, 57],
        "box": [55],
        "box:2": [55],  # from 3 to 7: pixel 7 begins where the mask ends
        "box:50": [0, 55, 57],
    }
    assert [float(heat[5, 5]) for heat in heats.values()] == [0.25] * 4
    assert heat_of(drawn, style=RenderStyle(mask="box:2.1", scale="max"))[5, 7] == 0.5
    assert shown_share(drawn, style=RenderStyle(mask="box")) == 1 / 7


@pytest.mark.parametrize("box_xyxy", [(20.0, 20.0, 30.0, 30.0), (np.nan, 0.0, 1.0, 1.0)])
def test_heat_of_a_box_outside_the_image_is_hidden_by_its_mask(box_xyxy: tuple[float, float, float, float]) -> None:
    """There is nothing inside of such a box."""
    drawn = explanation(np.ones((10, 10), np.float32), box_xyxy=box_xyxy)
    assert not heat_of(drawn, style=RenderStyle(mask="box")).any()


def test_draw_explanation_with_a_mask_says_what_it_hides() -> None:
    """The footer tells that heat is hidden, and how much of it is shown."""
    strip = footer(explanation(hot_square()), 700, 13, style=RenderStyle(mask="box:1.5"))
    assert holds_text(strip, "only heat inside the box widened 1.5 times is shown, 100 % of all")
    assert not holds_text(footer(explanation(hot_square()), WIDTH, 13), "only heat inside the box")


# --- opacity and the colour bar ---


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_draw_heatmap_is_as_opaque_as_asked(alpha: float) -> None:
    """Alpha is the opacity of the hottest; no heat is never visible."""
    picture = draw_heatmap(explanation(hot_square()), style=RenderStyle(alpha=alpha))
    assert picture[150, 200, 3] == round(255 * alpha)
    assert picture[0, 0, 3] == 0


@pytest.mark.parametrize(
    "style", [RenderStyle(), RenderStyle("jet", 0.4), RenderStyle("hot", 0.0), RenderStyle("bone", 1.0)]
)
def test_bar_strip_ends_in_the_colours_of_the_picture(style: RenderStyle) -> None:
    """From plain gray, no heat, to the hottest colour over gray, in the very colours and opacity of the map."""
    strip = bar_strip("0", "1", 320, 13, style=style)
    row = strip[strip.shape[0] // 2]
    gray = np.full((1, 1, 3), BAR_BASE, np.uint8)
    hottest = blend(gray, colorize(HOTTEST, colormap=style.colormap), opacity(HOTTEST, alpha=style.alpha))[0, 0]
    is_bar = np.arange(320)[20:-20]
    assert (row[is_bar] == BAR_BASE).all(axis=1).any()
    assert (row[is_bar] == hottest).all(axis=1).any()


def test_scale_texts_say_that_values_above_the_maximum_look_alike() -> None:
    """The bar's end is the maximum used, and is marked when the map exceeds it."""
    assert scale_texts(3e-6, 3e-6) == ("evidence per pixel  0", "3e-06")
    assert scale_texts(1e-6, 3e-6) == ("evidence per pixel  0", "3e-06")
    assert scale_texts(4e-6, 3e-6) == ("evidence per pixel  0", ">= 3e-06")


def test_footer_shows_the_maximum_that_was_used() -> None:
    """The map's own maximum without another; else the one given, and beside it what the map reaches."""
    drawn = explanation(hot_square())
    own = footer(drawn, WIDTH, 13)
    of_run = footer(drawn, 700, 13, style=RenderStyle(normalize="run"), highest=7e-6)
    exceeded = footer(drawn, WIDTH, 13, highest=1e-6)
    assert holds_text(own, "3e-06")
    assert holds_text(of_run, "7e-06")
    assert holds_text(of_run, "colours reach to the end of scale of the run; this map reaches 3e-06")
    assert holds_text(exceeded, ">= 1e-06")


def test_summary_shows_the_maximum_that_was_used() -> None:
    """Each box's own maximum is no number for all; a common one is, and is marked when a map exceeds it."""
    photo, boxes = photograph(), [explanation(hot_square()), explanation(2 * hot_square())]
    assert holds_text(draw_summary(photo, boxes)[HEIGHT:], "each box's end of scale")
    assert holds_text(draw_summary(photo, boxes, highest=6e-6)[HEIGHT:], "6e-06")
    assert holds_text(draw_summary(photo, boxes, highest=5e-6)[HEIGHT:], ">= 5e-06")


# --- where a scale ends ---


def test_one_outlier_pixel_does_not_darken_a_map() -> None:
    """A pixel a thousand times as high as all others leaves the rest as hot as it was; the raw map stays as it is."""
    calm, wild = hot_square(), hot_square()
    wild[0, 0] = 1000 * calm.max()
    heats = [heat_of(explanation(heatmap)) for heatmap in (calm, wild)]
    assert heats[1][0, 0] == 1.0
    heats[1][0, 0] = heats[0][0, 0]
    np.testing.assert_array_equal(*heats)
    assert heat_of(explanation(wild), style=RenderStyle(scale="max"))[calm > 0].max() < 0.002
    assert highest_value([explanation(wild)]) == wild.max()


def test_scale_ends_where_a_share_of_the_box_s_pixels_is_above() -> None:
    """Of a box of 10 x 10 pixels, 5 may be above the end at percentile 95, one at 99.9, none at the maximum."""
    heatmap = np.arange(400, dtype=np.float32).reshape(20, 20)
    drawn = explanation(heatmap, box_xyxy=(0.0, 0.0, 10.0, 10.0))
    ends = {scale: scale_end([drawn], style=RenderStyle(scale=scale)) for scale in ("percentile:95", "percentile:99.9")}
    assert ends == {"percentile:95": 394.0, "percentile:99.9": 398.0}
    assert scale_end([drawn], style=RenderStyle(scale="max")) == 399.0


def test_scale_of_a_map_of_few_pixels_ends_at_its_highest() -> None:
    """Where no pixel is left below the end but empty ones, nothing is clipped."""
    heatmap = np.zeros((20, 20), np.float32)
    heatmap[3, 3] = 7.0
    assert scale_end([explanation(heatmap, box_xyxy=(0.0, 0.0, 20.0, 20.0))]) == 7.0


@pytest.mark.parametrize("scale", ["maximum", "percentile", "percentile:0", "percentile:101", "percentile:x", ""])
def test_scale_that_is_none_is_refused(scale: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(ConfigError, match=r"--scale .*percentile"):
        RenderStyle(scale=scale)


# --- the colours of classes ---


def ppdet_colormap() -> ModuleType:
    """Returns ppdet's module alone; importing it as a part of ppdet would take paddle with it."""
    folder = importlib.util.find_spec("ppdet").submodule_search_locations[0]  # type: ignore[union-attr, index]
    spec = importlib.util.spec_from_file_location("colormap", Path(folder) / "utils" / "colormap.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def test_class_colour_gives_the_colours_of_ppdet() -> None:
    """They are the 40 colours that ppdet's draw_bbox chooses from, in its order, and start anew after the last."""
    expected = [tuple(colour) for colour in ppdet_colormap().colormap(rgb=True)[:40].tolist()]
    assert [class_colour(class_id) for class_id in range(80)] == expected * 2
    assert len(set(expected)) == 40


@pytest.mark.parametrize("colour", [*map(class_colour, range(40)), ASKED, BANNER])
def test_contrasting_letters_are_readable_on_every_plate(colour: tuple[int, int, int]) -> None:
    """WCAG asks for a contrast of 4.5; white letters alone would not reach it."""
    assert contrast(contrasting(colour), colour) >= 4.5
    canvas = np.full((60, 120, 3), colour, np.uint8)
    paint_label(canvas, "face 0.938", (10, 30, 50, 50), font_px=13, colour=colour)
    assert (canvas == contrasting(colour)).all(axis=2).sum() > 20


def test_contrast_of_black_and_white_is_the_largest() -> None:
    """21 by WCAG's definition, whichever comes first; a colour has none with itself."""
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    assert contrast((9, 99, 199), (9, 99, 199)) == 1


@pytest.mark.parametrize("class_id", [2, 13])
def test_draw_explanation_draws_box_and_label_in_the_colour_of_the_class(class_id: int) -> None:
    """The line next to the box and the plate have it, whatever the heat's colours."""
    picture = draw_explanation(photograph(), explanation(hot_square(), class_id=class_id))
    is_coloured = (picture == class_colour(class_id)).all(axis=2)
    assert is_coloured[100:200, 148:150].all() and is_coloured[100:200, 250:252].all()
    assert is_coloured[80:97, 147:215].mean() > 0.5
