"""Letters that Pillow's own font lacks are drawn with a named font, or with one of the system."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.errors import ConfigError
from ppdet_cam.render import choose_font, drawn_name, fonts, is_drawable
from ppdet_cam.render.text import drawable, text_mask, text_width

pytest.importorskip("fontTools")
from support.fonts import save_font  # noqa: E402
from support.runs import BLAZEFACE, PHOTO  # noqa: E402

WALKER = "\u884c\u4eba"


def test_named_font_draws_what_the_base_font_lacks(tmp_path: Path) -> None:
    """With --font the name is drawn as it is: its letters in that font, all others as before."""
    assert (drawn_name(WALKER, 5), is_drawable(WALKER)) == ("class_5", False)
    before = text_mask("0.93", 20)
    choose_font(save_font(tmp_path / "squares.ttf", WALKER))
    assert (drawn_name(WALKER, 5), is_drawable(WALKER), is_drawable("a?b")) == (WALKER, True, True)
    mask = text_mask(f"{WALKER} 0.93", 20)
    assert mask.shape == (before.shape[0], text_width(f"{WALKER} 0.93", 20) + 1)
    assert np.array_equal(mask[:, -before.shape[1] :], before)
    square = mask[:, 1:19]
    assert (square[5:20] > 200).mean() > 0.95 and not square[21:].any(), "0.8 em above the baseline, none below"
    assert np.array_equal(mask[:, :20], mask[:, 20:40])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Caf\u00e9 \u884c", "Cafe \u884c"),
        ("\uff21 \u304c \uac00", "A \u304c \uac00"),  # full width; composed letters that NFKD would take apart
        ("\u304b\u3099", "\u304c"),
        ("\u4eba", "?"),
    ],
)
def test_drawable_keeps_letters_that_a_font_has_whole(text: str, expected: str, tmp_path: Path) -> None:
    """Accents are dropped as before; kana and hangul are not taken apart."""
    choose_font(save_font(tmp_path / "squares.ttf", "\u884c\u304c\uac00"))
    assert drawable(text) == expected


def test_system_fonts_are_found_and_the_best_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fonts with a letter the one that is known to be best is taken, its regular face before the bold one."""
    for name in ("deep/er/NotoSansCJK-Bold.ttf", "NotoSansCJK-Regular.ttf", "wqy-zenhei.ttf", "Fancy.ttf"):
        save_font(tmp_path / "fonts" / name, WALKER)
    (tmp_path / "fonts" / "DejaVuSans.ttf").write_bytes(b"no font")
    save_font(tmp_path / "fonts" / "unifont.otf", "\ud55c")
    monkeypatch.setattr(fonts, "FOLDERS", (tmp_path / "gone", tmp_path / "fonts"))
    choose_font(None)
    assert drawn_name(WALKER, 5) == WALKER
    found = [path.name for path in fonts._system_fonts()]
    assert found[:3] == ["NotoSansCJK-Regular.ttf", "NotoSansCJK-Bold.ttf", "wqy-zenhei.ttf"]
    assert "Fancy.ttf" not in found
    assert drawable("\ud55c \U0001f600 \x07") == "\ud55c ? ?"


def test_system_has_folders_to_look_into() -> None:
    """matplotlib's fonts, which are always there, are among them."""
    assert any((folder / "DejaVuSans.ttf").is_file() for folder in fonts._folders())


@pytest.mark.parametrize("content", [None, b"", b"no font", "folder"])
def test_what_is_no_font_is_refused(content: object, tmp_path: Path) -> None:
    """A file that is missing, or no font, is named with what would be one."""
    file = tmp_path / "x.ttf"
    if content == "folder":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--font .*x\.ttf cannot be used: .*TrueType or OpenType"):
        choose_font(file)


def test_font_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Nothing may ever write into it."""
    os.mkfifo(tmp_path / "font.ttf")
    with pytest.raises(ConfigError, match="it is a device or pipe, not a file; give the file of a TrueType"):
        choose_font(tmp_path / "font.ttf")


def test_cam_ppdet_draws_names_with_the_font(command, tmp_path: Path) -> None:
    """Without a font: a line, and the record says what is drawn; with one, neither."""
    (tmp_path / "labels.txt").write_text(WALKER, encoding="utf-8")
    own = tmp_path / "own.yml"
    dataset = f"TestDataset: !ImageFolder\n    anno_path: {tmp_path / 'labels.txt'}\n"
    own.write_text(f"_BASE_: ['{BLAZEFACE}']\nmetric: COCO\n{dataset}")
    asked = ("--draw_threshold", "0.1", "--top_k", "1", "-o", f"weights={command.weights[BLAZEFACE]}")
    words = ("-c", own, "--infer_img", PHOTO, *asked)
    run = command(*words)
    assert run.code == 0
    (line,) = run.err
    assert f"{WALKER} as class_0: no font" in line and "--font FILE" in line
    (box,) = command.image_record()["boxes"]
    assert (box["class_name"], box["drawn_as"]) == (WALKER, "class_0")
    font = save_font(tmp_path / "squares.ttf", WALKER)
    run = command(*words, "--font", font)
    assert (run.code, run.err) == (0, [])
    (box,) = command.image_record()["boxes"]
    assert "drawn_as" not in box
