"""All that the report says is there in English and in Chinese."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.report_pages import Page
from support.report_runs import blank_record, box_record, failed_record, image_record, missed_record, write_run

from ppdet_cam import compare, insight
from ppdet_cam.commands.cam_report import main
from ppdet_cam.compare.differences import Touches
from ppdet_cam.compare.matching import Kind
from ppdet_cam.questions import boxes, sliced
from ppdet_cam.report import html, write_report
from ppdet_cam.report.page import SHARED_SCRIPTS, TEMPLATES, chinese_words
from ppdet_cam.report.reading import Role
from ppdet_cam.structures import MapStatus, Verdict

CHINESE = chinese_words()
FOLDERS = (TEMPLATES, Path(compare.__file__).parent / "templates", Path(insight.__file__).parent / "templates")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for folder in FOLDERS for path in sorted(folder.glob("*.js"))}
PLACES = re.compile(r"\{\d\}")

ANSWERS = (Path(boxes.__file__), Path(sliced.__file__))  # which say what became of a box

UNMATCHED = {"matched": False, "annotation_id": None, "iou": None}


def spoken(script: str) -> set[str]:
    """Returns the texts that a script says: the first argument of `say`, and what is given to `plural`."""
    said = re.findall(r'\bsay\(\s*"((?:[^"\\]|\\.)*)"', script)
    return {*said, *re.findall(r'"(\{0\} [a-z][^"{]*)"', script)}


def test_every_text_is_in_both_languages() -> None:
    """English text -> Chinese text, with the same places for values."""
    for english, chinese in CHINESE.items():
        assert english.strip() and chinese.strip() and english != chinese
        assert sorted(PLACES.findall(english)) == sorted(PLACES.findall(chinese)), english
        assert re.search("[\u4e00-\u9fff]", chinese) or not re.search("[a-z]{3}", english), english


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "words.js"])
def test_what_scripts_say_is_in_the_table(name: str) -> None:
    """A text in `say`, or one that `plural` counts."""
    script = re.sub("//.*", "", SCRIPTS[name])
    assert spoken(script) - set(CHINESE) == set()
    assert '"words.js"' not in script


def test_scripts_say_nothing_else() -> None:
    """No text of a table, a field or an element that is shown as it stands in the script."""
    place = r'(?:\b(?:label|hint|caption|placeholder|title|alt)|"aria-label"): |sectionOf\(\s*|Field\("\w+", '
    for name, script in SCRIPTS.items():
        bare = re.findall(rf'(?:{place})(?:"([^"]+)"|`([^`]+)`)', script)
        texts = [re.sub(r"\$\{[^}]*\}|Esc", "", text or template) for text, template in bare]
        assert [text for text in texts if re.search("[A-Za-z]{2}", text) and text != "IoU"] == [], name


def test_what_the_page_itself_says_is_in_the_table(tmp_path: Path) -> None:
    """Every element that is marked as text of the page, for runs with one of a thing and with several."""
    panel = {"layer": "model.neck", "level": 0, "grid_hw": [8, 8], "channels": 4, "files": {"panel": "a.jpg"}}
    truth = {"boxes": 2, "matched": 0, "missed": 1, "false_positives": [0]}
    several = [
        image_record(
            "a", [box_record(truth=UNMATCHED), blank_record(1), missed_record(1)], truth=truth, warnings=["x"]
        ),
        image_record("b", views=[panel, panel]),
        failed_record("c"),
    ]
    marked = set()
    for position, images in enumerate([[], [image_record("", [box_record()], views=[panel])], several]):
        write_run(tmp_path / str(position), images)
        page = write_report(tmp_path / str(position)).read_text(encoding="utf-8")
        marked |= set(re.findall(r" data-say>([^<]+)<", page))
        marked |= set(re.findall(r' aria-label="([^"]+)"[^>]* data-say>', page))
    assert {"images", "image", "false positives", "pictures of layers", "Config", "Pages"} <= marked
    assert marked - set(CHINESE) == set()


def test_what_a_manifest_says_is_in_the_table() -> None:
    """Verdicts, roles, and why there is no map."""
    told = [*Verdict, *Role, *Kind, *Touches, *(status for status in MapStatus if status is not MapStatus.OK)]
    assert {member.value for member in told} - set(CHINESE) == set()
    for status in MapStatus:
        assert re.search(rf'\b{status.name.lower()}: say\("', SCRIPTS["elements.js"]), status


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_what_became_of_a_box_is_in_the_table(path: Path) -> None:
    """Each clause of an answer: what has a place for a value, and what is said as it stands."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    said = [node.args[0] for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "Said"]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    clauses = [text for text in texts if PLACES.search(text)]
    clauses += [node.value for node in said if isinstance(node, ast.Constant)]
    assert len(clauses) > 6
    assert set(clauses) - set(CHINESE) == set()


def test_table_has_no_text_that_nobody_says() -> None:
    """Each is in a script, in the template, in the Python that counts, or in the manifest's words."""
    pages = [path for folder in FOLDERS for path in folder.glob("*.html")]
    pages += [Path(html.__file__), Path(compare.html.__file__), *ANSWERS]
    pages += [
        Path(insight.__file__).with_name(f"{name}.py") for name in ("html", "sentences", "finding", "values", "changes")
    ]
    text = "\n".join([*SCRIPTS.values(), *(path.read_text(encoding="utf-8") for path in pages)])
    text = re.sub(r'"\n\s+"', "", text)  # a text that Python puts together of two
    told = {member.value for kind in (Verdict, Role, MapStatus, Kind, Touches) for member in kind}
    assert [key for key in CHINESE if f'"{key}"' not in text and f">{key}<" not in text and key not in told] == []


def test_lang_says_which_language_the_page_opens_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written into the page; without it the browser decides."""
    write_run(tmp_path, [image_record("", [box_record()])])
    for arguments, lang in ((["--lang", "zh"], "zh"), (["--lang", "en"], "en"), ([], None)):
        assert main([str(tmp_path), *arguments]) == 0
        page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
        assert page.elements[0][1].get("data-lang") == lang
    capsys.readouterr()
    assert main([str(tmp_path), "--lang", "fr"]) == 2
    assert "--lang must be en or zh, not 'fr'" in capsys.readouterr().err


def test_language_comes_before_all_that_is_said() -> None:
    """`say` is there when the other scripts are read."""
    assert SHARED_SCRIPTS[0] == "words.js"
