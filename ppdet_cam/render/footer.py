"""The strip below a picture: what is drawn, how it was made, and the colour bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ppdet_cam.render.boxes import asked_class, outline_box, unanswered
from ppdet_cam.render.colours import ASKED, BACKGROUND, BANNER, BAR_BASE, BRIGHT_TEXT, DIM_TEXT, Colour
from ppdet_cam.render.heat import highest_value, overlay, scale_end, shown_share
from ppdet_cam.render.layout import blank, clip_box, margin_width
from ppdet_cam.render.style import DEFAULT_STYLE, RenderStyle
from ppdet_cam.render.text import (
    SEPARATOR,
    drawable,
    paint_text,
    shorten,
    text_mask,
    text_strip,
    text_width,
    title_of,
    wrap,
    wrap_words,
)
from ppdet_cam.structures import Explanation, LevelShare, MapStatus

ASKED_LEGEND = "dashed cyan line: the box asked about"
PROPOSAL_LEGEND = "dashed white line: the proposal that was pooled"

Line = tuple[str, Colour]


def footer(
    explanation: Explanation,
    width: int,
    font_px: int,
    *,
    style: RenderStyle = DEFAULT_STYLE,
    highest: float | None = None,
) -> np.ndarray:
    """Returns the strip below a box's picture: the box, what was asked, method, target, layers, levels, colour bar.

    Args:
        explanation: what is drawn.
        width: of the strip, in pixels.
        font_px: font size.
        style: how it is coloured.
        highest: the raw value of the hottest colour; None for the end of the map's own scale.

    Returns:
        uint8 [height as needed, width, 3].
    """
    max_px = width - 2 * margin_width(font_px)
    details = wrap(method_entries([explanation]), font_px, max_px=max_px)
    if len(explanation.levels) > 1:
        details += wrap(level_shares(explanation), font_px, max_px=max_px)
    lines = [
        (title_line(explanation, font_px, max_px=max_px), BRIGHT_TEXT),
        *answer_lines(explanation, font_px, max_px=max_px),
        *((line, DIM_TEXT) for line in details),
        *notes(_notes(explanation, style, highest), font_px, max_px=max_px),
    ]
    return np.concatenate(
        [text_block(lines, width, font_px), scale_strip(explanation, width, font_px, style=style, highest=highest)]
    )


def title_line(explanation: Explanation, font_px: int, *, max_px: int) -> str:
    """Returns class, score and which box it is; the class is shortened to keep to the width."""
    question = unanswered(explanation)
    which = shorten("".join(SEPARATOR + entry for entry in box_entries(explanation)), font_px, max_px=max_px * 2 // 3)
    left_px = max_px - text_width(which, font_px)
    if question:
        return shorten(asked_class(question), font_px, max_px=left_px) + which
    return title_of(explanation.detection, font_px, max_px=left_px) + which


def box_entries(explanation: Explanation) -> list[str]:
    """Returns the box's index, and the name of the one asked about, each if there is one: "box 7", "asked: box_0"."""
    entries = [f"box {explanation.detection.index}"] if explanation.detection.index >= 0 else []
    return [*entries, f"asked: {drawable(explanation.answer.name)}"] if explanation.answer else entries


def answer_lines(explanation: Explanation, font_px: int, *, max_px: int) -> list[Line]:
    """Returns what became of the box asked about, whole, and what its line looks like; nothing if none was asked."""
    if explanation.answer is None:
        return []
    words = wrap_words(drawable(explanation.answer.words), font_px, max_px=max_px)
    legend = wrap_words(ASKED_LEGEND, font_px, max_px=max_px)
    return [*((line, BRIGHT_TEXT) for line in words), *((line, ASKED) for line in legend)]


def method_entries(explanations: Iterable[Explanation]) -> list[str]:
    """Returns the method, the target unless it is the class score, the layers, and what refined the map, each once."""
    made = list(explanations)
    methods = [explanation.method for explanation in made]
    targets = [f"target {explanation.target}" for explanation in made if explanation.target != "class"]
    layers = [layer for explanation in made for layer in explanation.layers]
    finer = [f"refined by {', '.join(explanation.refined_by)}" for explanation in made if explanation.refined_by]
    return [drawable(entry) for entry in dict.fromkeys([*methods, *targets, *layers, *finer])]


def level_shares(explanation: Explanation) -> list[str]:
    """Returns each level's grid, rows x columns, and its share of the evidence: "levels: 80x80 88 %", "40x40 12 %"."""
    shares = level_names(explanation.levels)
    return [f"levels: {shares[0]}", *shares[1:]] if shares else []


def level_names(levels: Sequence[LevelShare]) -> list[str]:
    """Returns "80x80 88 %" for each level, with the layer before it when there are several layers.

    Where all of these lie inside the first one, each is named from there on: "stages.0 80x80 88 %".
    """
    outer = levels[0].layer if levels else ""
    inside = all(f"{level.layer}.".startswith(f"{outer}.") for level in levels)
    names = [level.layer[len(outer) + 1 :] if inside else level.layer for level in levels]
    return [
        (f"{drawable(name)} " if name else "") + f"{level.grid_hw[0]}x{level.grid_hw[1]} {percent(level.share)}"
        for name, level in zip(names, levels)
    ]


def percent(share: float) -> str:
    """Returns "12 %", and "<1 %" for what is little but not nothing."""
    return "<1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def notes(sentences: Iterable[str], font_px: int, *, max_px: int) -> list[Line]:
    """Returns each sentence in as many lines as it needs."""
    return [(line, DIM_TEXT) for sentence in sentences for line in wrap_words(sentence, font_px, max_px=max_px)]


def mask_note(style: RenderStyle) -> list[str]:
    """Returns what the mask hides, in words; nothing without a mask."""
    if style.mask_factor is None:
        return []
    widened = "" if style.mask_factor == 1 else f" widened {style.mask_factor:g} times"
    return [f"only heat inside the box{widened} is shown"]


def _notes(explanation: Explanation, style: RenderStyle, highest: float | None) -> list[str]:
    found = []
    if explanation.detection.score_before_nms is not None:
        found.append(f"score before NMS, which is explained: {explanation.detection.score_before_nms:.3f}")
    if explanation.note is not None:
        found.append(drawable(explanation.note))
    if explanation.box_xyxy_roi is not None:
        found.append(PROPOSAL_LEGEND)
    height, width = explanation.heatmap.shape
    if clip_box(outline_box(explanation), 1, (height, width)) is None:
        found.append("the box lies outside the image")
    if explanation.status is not MapStatus.OK:
        return found
    found += [f"{note}, {percent(shown_share(explanation, style=style))} of all" for note in mask_note(style)]
    if highest is not None:
        own = highest_value([explanation])
        found.append(f"colours reach to {SCALES[style.normalize]}; this map reaches {own:.2g}")
    return found


SCALES = {
    "box": "a value that was given",
    "image": "the end of scale of the image",
    "run": "the end of scale of the run",
}


def scale_strip(
    explanation: Explanation, width: int, font_px: int, *, style: RenderStyle, highest: float | None
) -> np.ndarray:
    """Returns the colour bar of a map, or a banner that says why there is no map; with room above and below."""
    gap = font_px // 2
    if explanation.status is MapStatus.OK:
        own = highest_value([explanation])
        end = scale_end([explanation], style=style) if highest is None else highest
        bar = bar_strip(*scale_texts(own, end), width, font_px, style=style)
        return np.concatenate([bar, blank((gap, width))])
    words = f"no map: {explanation.status.value}"
    lines = wrap_words(words, font_px, max_px=width - 2 * margin_width(font_px))
    banner = [text_strip(line, width, font_px, colour=BACKGROUND, background=BANNER) for line in lines]
    edge = blank((gap, width), BANNER)
    return np.concatenate([blank((gap, width)), edge, *banner, edge])


def scale_texts(reached: float, highest: float) -> tuple[str, str]:
    """Returns what stands at both ends of a colour bar, whose last colour stands for higher values as well if any."""
    return "evidence per pixel  0", f"{highest:.2g}" if reached <= highest else f">= {highest:.2g}"


def bar_strip(first: str, last: str, width: int, font_px: int, *, style: RenderStyle = DEFAULT_STYLE) -> np.ndarray:
    """Returns the colour bar from no heat to the hottest, as the colours look over gray.

    Args:
        first: what stands for no heat.
        last: what stands for the hottest.
        width: of the strip, in pixels.
        font_px: font size.
        style: colours and opacity.

    Returns:
        uint8 [line height, width, 3].
    """
    margin = margin_width(font_px)
    first_mask, last_mask = text_mask(first, font_px), text_mask(last, font_px)
    strip = blank((first_mask.shape[0], width))
    left, right = margin + first_mask.shape[1] + font_px // 2, width - margin - last_mask.shape[1] - font_px // 2
    paint_text(strip, first_mask, top=0, left=margin, colour=DIM_TEXT)
    paint_text(strip, last_mask, top=0, left=width - margin - last_mask.shape[1], colour=DIM_TEXT)
    bar = np.tile(np.linspace(0, 1, max(0, right - left), dtype=np.float32), (max(4, font_px // 2), 1))
    top = (strip.shape[0] - bar.shape[0]) // 2
    strip[top : top + bar.shape[0], left:right] = overlay(
        blank((bar.shape[0], bar.shape[1]), BAR_BASE), bar, style=style
    )
    return strip


def text_block(lines: Iterable[Line], width: int, font_px: int) -> np.ndarray:
    """Returns lines of text below each other, with room above, uint8 [height as needed, width, 3]."""
    strips = [text_strip(text, width, font_px, colour=colour, background=BACKGROUND) for text, colour in lines]
    return np.concatenate([blank((font_px // 2, width)), *strips])
