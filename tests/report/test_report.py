"""The report is one page that shows what the run wrote, whatever the names are."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image as Pictures
from support.report_pages import EVIL, Page, counts_of
from support.report_runs import (
    HW,
    Record,
    add_pictures,
    blank_record,
    box_record,
    failed_record,
    image_record,
    missed_record,
    write_run,
)

from ppdet_cam.commands.cam_report import main
from ppdet_cam.errors import ConfigError, OutputError
from ppdet_cam.report import write_report
from ppdet_cam.report.html import encode_payload, file_url, render_report, thumbnails_of
from ppdet_cam.report.reading import Role, read_run
from ppdet_cam.report.thumbnails import MAX_SIDE, embedded_thumbnail, linked_thumbnail
from ppdet_cam.structures import MapStatus, Verdict


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def pixels_of(data_url: str) -> np.ndarray:
    encoded = base64.b64decode(data_url.partition(",")[2])
    return np.asarray(Pictures.open(io.BytesIO(encoded)))


def with_truth(boxes: list[Record], **more: object) -> Record:
    wrong = [box["index"] for box in boxes if "truth" in box and not box["truth"]["matched"]]
    truth = {"boxes": 4, "matched": 2, "missed": 2, "false_positives": wrong}
    return image_record("a", boxes, truth=truth, **more)


MATCHED = {"matched": True, "annotation_id": 3, "iou": 0.8}
UNMATCHED = {"matched": False, "annotation_id": None, "iou": None}


# reading


def test_read_run_returns_what_was_written(tmp_path: Path) -> None:
    """Every field of the contract arrives, typed."""
    box = box_record(4, score=0.75, files={"overlay": "a/4.jpg"}, roi_xyxy=[1, 2, 3, 4], truth=MATCHED)
    image = with_truth([box, missed_record(7)], files={"raw": "a/maps.npz"})
    run = read_run(write_run(tmp_path, [image, failed_record("b", "not an image")]))
    first, second = run.images
    assert (run.architecture, run.device, run.seconds) == ("YOLOv3", "cpu", 12.5)
    assert run.flags["save"] == '["overlay", "heatmap"]'
    assert (first.title, first.original_hw, first.seconds, first.files) == ("a", HW, 0.75, {"raw": "a/maps.npz"})
    assert first.truth is not None and (first.truth.missed, first.truth.false_positives) == (2, ())
    assert first.boxes[0].detection.box_xyxy == (20.0, 30.0, 80.0, 90.0)
    assert first.boxes[0].levels[1].share == 0.7
    assert first.boxes[0].heat_outside == pytest.approx(0.2)
    assert first.boxes[0].roi_xyxy == (1, 2, 3, 4)
    assert first.boxes[0].truth is not None and first.boxes[0].truth.annotation_id == 3
    assert first.boxes[1].answer is not None and first.boxes[1].answer.verdict is Verdict.LOW_SCORE
    assert (second.failure, second.boxes) == ("not an image", ())


DIAMOND = [[50.0, 30.0], [80.0, 60.0], [50.0, 90.0], [20.0, 60.0]]


def test_rotated_boxes_arrive_on_the_page(tmp_path: Path) -> None:
    """Corners are read as they were written, also of a question, and the script gets them beside the upright box."""
    asked = missed_record(7, asked={"polygon_xy": DIAMOND})
    write_run(tmp_path, [image_record("a", [box_record(0, polygon_xy=DIAMOND), box_record(1), asked])])
    rotated, upright, question = read_run(tmp_path).images[0].boxes
    corners = tuple(map(tuple, DIAMOND))
    assert (rotated.detection.polygon_xy, upright.detection.polygon_xy) == (corners, None)
    assert question.answer is not None and question.answer.polygon_xy == corners
    (image,) = page_of(tmp_path).values["images"]
    assert [box.get("polygon") for box in image["boxes"]] == [DIAMOND, None, None]
    assert image["boxes"][2]["answer"]["polygon"] == DIAMOND
    assert image["boxes"][0]["box"] == [20.0, 30.0, 80.0, 90.0]


@pytest.mark.parametrize("corners", [DIAMOND[:3], [[1, 2, 3]] * 4, [1, 2, 3, 4], "diamond"])
def test_corners_that_are_none_are_refused(tmp_path: Path, corners: object) -> None:
    """The message names the key."""
    write_run(tmp_path, [image_record("a", [box_record(0, polygon_xy=corners)])])
    with pytest.raises(ConfigError, match="'polygon_xy'"):
        read_run(tmp_path)


def test_read_run_takes_lines_without_the_optional_keys(tmp_path: Path) -> None:
    """A plain run has no truth, answers, heatmaps or shares in the box."""
    box = box_record()
    for key in ("files", "energy_in_box", "target"):
        del box[key]
    read = read_run(write_run(tmp_path, [image_record("", [box])])).images[0]
    assert (read.title, read.truth, read.files) == ("street.jpg", None, {})
    assert (read.boxes[0].energy_in_box, read.boxes[0].target, read.boxes[0].role) == (None, "class", Role.DETECTION)


def test_read_run_says_what_each_box_is(tmp_path: Path) -> None:
    """Objects asked about by the run are missed ones; a detection on a crowd is neither right nor wrong."""
    boxes = [
        box_record(0, truth=MATCHED),
        box_record(1, truth=UNMATCHED),
        box_record(2, truth=UNMATCHED),
        missed_record(9),
        missed_record(0, asked={"name": "box_0"}),
    ]
    image = {**with_truth(boxes), "truth": {"boxes": 2, "matched": 1, "missed": 1, "false_positives": [1]}}
    roles = [box.role for box in read_run(write_run(tmp_path, [image])).images[0].boxes]
    assert roles == [Role.MATCHED, Role.FALSE_POSITIVE, Role.NOT_COUNTED, Role.MISSED, Role.ASKED]


def test_read_run_splits_lines_at_line_feeds_only(tmp_path: Path) -> None:
    """A name may hold the other characters that Unicode calls line ends."""
    run = read_run(write_run(tmp_path, [image_record("a\u2028b\x85c"), image_record("d")]))
    assert [image.title for image in run.images] == ["a\u2028b\x85c", "d"]


def test_read_run_refuses_what_is_no_folder(tmp_path: Path) -> None:
    """A path to nothing is named, however long it is."""
    with pytest.raises(ConfigError, match="nothing is not a folder; give the --cam_out of a run"):
        read_run(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="is not a folder"):
        read_run(tmp_path / ("x" * 5000))


def test_read_run_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    """No manifest, another program's run.json, and a run that was stopped are told apart."""
    with pytest.raises(ConfigError, match="no run.json in .*: it is not the folder of a run"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="run.json is not of a run: it has no schema_version"):
        read_run(tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "images.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no run.json: the run did not finish. Run it again"):
        read_run(tmp_path)


@pytest.mark.parametrize("schema", [1, 3, "2", None])
def test_read_run_refuses_another_schema(tmp_path: Path, schema: object) -> None:
    """A manifest of another version is not guessed at."""
    with pytest.raises(ConfigError, match="schema_version"):
        read_run(write_run(tmp_path, [], schema_version=schema))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "images.jsonl, line 2 is not JSON"),
        ("[" * 100_000, "images.jsonl, line 2 is not JSON"),
        ("[]", r"line 2: \[\] is not an object"),
        ('{"path": "x"}', "line 2: 'name' is missing"),
        (json.dumps({**image_record("x"), "status": "fine"}), "line 2: 'status': \"fine\" is not one of ok, failed"),
        (
            json.dumps(image_record("x", [box_record(score="x")], highest_score=1)),
            r"'boxes': \[0\]: 'score': \"x\" is not",
        ),
        (
            json.dumps(image_record("x", [box_record(score=float("nan"))], highest_score=1)),
            "NaN is not a finite number",
        ),
        (json.dumps(image_record("x", [box_record(box_xyxy=(1, 2, 3))])), "'box_xyxy': .* is not four numbers"),
        (json.dumps(image_record("x", [box_record(status="odd")])), '"odd" is not one of ok, no_path'),
        (json.dumps(image_record("x", files={"photo": "../photo.jpg"})), "is not a path below the run's folder"),
        (json.dumps(image_record("x", files={"photo": "/photo.jpg"})), "is not a path below the run's folder"),
        (json.dumps(image_record("x", files={"photo": "//host/photo.jpg"})), "is not a path below the run's folder"),
    ],
)
def test_read_run_names_the_broken_line(tmp_path: Path, line: str, words: str) -> None:
    """The message says which line, which key, and what stands there."""
    folder = write_run(tmp_path, [image_record("a")])
    with (folder / "images.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(ConfigError, match=words):
        read_run(folder)


# the page


def test_write_report_embeds_everything_but_large_pictures(tmp_path: Path) -> None:
    """The page has its own style, script, values and thumbnails, and refers to nothing outside the run's folder."""
    image = add_pictures(tmp_path, image_record("a", [box_record(0)]))
    page = page_of(write_run(tmp_path, [image]))
    assert not {"link", "iframe", "object", "base", "img"} & {tag for tag, _ in page.elements}
    assert not [values for _, values in page.elements if "src" in values]
    box = page.values["images"][0]["boxes"][0]
    assert box["files"] == {"overlay": "./a/0.jpg", "heatmap": "./a/0.heatmap.png"}
    assert page.values["images"][0]["files"] == {"photo": "./a/photo.jpg"}
    assert box["thumbnail"]["data"].startswith("data:image/jpeg;base64,")


def test_write_report_lets_only_its_own_script_run(tmp_path: Path) -> None:
    """The page's policy names the script by its hash and forbids the network."""
    page = page_of(write_run(tmp_path, [image_record("a", [box_record()])]))
    policy = next(str(values["content"]) for _, values in page.elements if "http-equiv" in values)
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert len(page.scripts) == 1
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not [name for _, values in page.elements for name in values if name.startswith("on") or name == "style"]


def test_write_report_escapes_every_name(tmp_path: Path) -> None:
    """Markup in names, reasons, words, flags and paths stays text."""
    box = box_record(0, class_name=EVIL, method=EVIL, layers=[EVIL], files={"overlay": EVIL})
    images = [
        image_record(EVIL, [box, missed_record(1, asked={"words": EVIL, "class_name": EVIL})], path=EVIL),
        failed_record(EVIL, EVIL),
    ]
    plain = page_of(write_run(tmp_path / "plain", [image_record("a", [box_record(0)])]))
    page = page_of(
        write_run(
            tmp_path / "evil",
            images,
            config={"path": EVIL, "architecture": EVIL},
            flags={EVIL: EVIL},
            versions={EVIL: EVIL},
            weights={"asked": EVIL, "path": EVIL, "sha256": EVIL},
        )
    )
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    assert page.values["images"][0]["boxes"][0]["className"] == EVIL
    assert page.values["images"][1]["failure"] == EVIL
    assert " ".join(EVIL.split()) in page.texts


def test_encode_payload_cannot_leave_its_script_element() -> None:
    """No character that HTML or an old JavaScript takes for an end is left, and the values are the same."""
    payload = {"name": "</script><!--<script>]]>&\u2028\u2029\ud800"}
    text = encode_payload(payload)
    assert not set("<>&\u2028\u2029") & set(text)
    assert text.isascii()
    assert json.loads(text) == payload


@pytest.mark.parametrize(
    ("file", "url"),
    [
        ("a/0.jpg", "./a/0.jpg"),
        ("a b#c?d%e/0.jpg", "./a%20b%23c%3Fd%25e/0.jpg"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ('it\'s "q"&<x>.jpg', "./it%27s%20%22q%22%26%3Cx%3E.jpg"),
        ("straße/行人.jpg", "./stra%C3%9Fe/%E8%A1%8C%E4%BA%BA.jpg"),
        ("back\\slash.jpg", "./back%5Cslash.jpg"),
        ("caf\udce9.jpg", "./caf%E9.jpg"),
    ],
)
def test_file_url_is_relative_and_encoded(file: str, url: str) -> None:
    """A URL leads to the file beside the page, whatever its name holds; names that are not UTF-8 too."""
    assert file_url(file) == url
    assert unquote(url, errors="surrogateescape") == "./" + file


def test_write_report_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    """A file name with a stray byte is shown with a replacement and linked by its bytes."""
    image = image_record("caf\udce9", [box_record(files={"overlay": "caf\udce9/0.jpg"})], path="caf\udce9.jpg")
    page = page_of(write_run(tmp_path, [image], config={"path": "caf\udce9.yml", "architecture": "SSD"}))
    assert page.values["images"][0]["boxes"][0]["files"] == {"overlay": "./caf%E9/0.jpg"}
    assert "caf?.yml" in page.texts


def test_write_report_counts_failures_blank_maps_and_truth(tmp_path: Path) -> None:
    """The head's numbers are those of the tables."""
    boxes = [box_record(0, truth=MATCHED), blank_record(1, truth=UNMATCHED), missed_record(5)]
    page = page_of(write_run(tmp_path, [with_truth(boxes), failed_record("b")]))
    assert counts_of(page) == {
        "images": 2,
        "failed": 1,
        "detections": 6,
        "boxes explained": 3,
        "without a map": 1,
        "objects in ground truth": 4,
        "found": 2,
        "missed": 2,
        "false positives": 1,
    }


def test_write_report_of_an_empty_run(tmp_path: Path) -> None:
    """No image, and an image without a box, are reports as well."""
    assert page_of(write_run(tmp_path / "none", [])).values == {"layers": [], "images": []}
    page = page_of(write_run(tmp_path / "one", [image_record("a")]))
    assert page.values["images"][0]["boxes"] == []
    assert counts_of(page)["boxes explained"] == 0


def test_write_report_of_a_blank_map_says_why(tmp_path: Path) -> None:
    """A map without heat has no share in the box, and its reason."""
    page = page_of(write_run(tmp_path, [image_record("a", [blank_record(0, "no_path")])]))
    box = page.values["images"][0]["boxes"][0]
    assert (box["status"], box["energy"], box["reason"]) == ("no_path", None, MapStatus.NO_PATH.value)


def test_write_report_replaces_its_own_report_only(tmp_path: Path) -> None:
    """A second report takes the first one's place; a stranger's page stays."""
    write_run(tmp_path, [])
    assert write_report(tmp_path) == write_report(tmp_path) == tmp_path / "report.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.jsonl", "report.html", "run.json"]
    (tmp_path / "report.html").write_text("<p>mine</p>", encoding="utf-8")
    with pytest.raises(OutputError, match="is not a report of an earlier run and would be replaced. Move it away"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "<p>mine</p>"


# thumbnails


def red_square(width: int, height: int, left: int, top: int, side: int) -> Pictures.Image:
    picture = Pictures.new("RGB", (width, height), (0, 0, 255))
    picture.paste((255, 0, 0), (left, top, left + side, top + side))
    return picture


@pytest.mark.parametrize(
    ("kind", "factor"),
    [("overlay", 2), ("photo", 1)],  # a photo of 160 pixels is drawn twice as large, to be 320 wide
)
def test_thumbnail_shows_the_box_and_what_is_around_it(tmp_path: Path, kind: str, factor: int) -> None:
    """Embedded or linked, the box is in the middle with a margin, also in an enlarged overlay with a footer."""
    box = {**box_record(0, box_xyxy=(40, 20, 100, 80)), "files": {"overlay": "p.png"} if kind == "overlay" else {}}
    folder = write_run(tmp_path, [image_record("a", [box], files={"photo": "p.png"} if kind == "photo" else {})])
    footer = 50 if kind == "overlay" else 0
    picture = red_square(160 * factor, 120 * factor + footer, 40 * factor, 20 * factor, 60 * factor)
    picture.save(folder / "p.png")
    image = read_run(folder).images[0]
    embedded, linked = embedded_thumbnail(folder, image, image.boxes[0]), linked_thumbnail(image, image.boxes[0])
    assert embedded is not None and embedded.data_url is not None
    pixels = pixels_of(embedded.data_url)
    assert pixels.shape == (MAX_SIDE, MAX_SIDE, 3)
    assert pixels[48, 48, 0] > 200 and pixels[48, 48, 2] < 60
    assert pixels[48, 5, 2] > 200 and pixels[5, 48, 2] > 200 and pixels[48, 90, 2] > 200
    assert linked is not None and linked.file == "p.png"
    # the box of 60 with 0.3 of it on each side is 96 of the picture's 160 pixels, from 22 and 2
    assert linked.window == pytest.approx((22 / 160, 2 / 160, 96 / 160, 96 / 160))


def test_thumbnail_lays_heat_over_the_photo_when_there_is_no_overlay(tmp_path: Path) -> None:
    """With the photo and the map as files of their own, the thumbnail shows both."""
    box = {**box_record(0, box_xyxy=(40, 20, 100, 80)), "files": {"heatmap": "h.png"}}
    folder = write_run(tmp_path, [image_record("a", [box], files={"photo": "p.png"})])
    Pictures.new("RGB", (160, 120), (0, 0, 255)).save(folder / "p.png")
    heat = Pictures.new("RGBA", (160, 120), (255, 0, 0, 0))
    heat.paste((255, 0, 0, 255), (60, 40, 80, 60))
    heat.save(folder / "h.png")
    image = read_run(folder).images[0]
    thumbnail = embedded_thumbnail(folder, image, image.boxes[0])
    assert thumbnail is not None and thumbnail.data_url is not None
    pixels = pixels_of(thumbnail.data_url)
    assert pixels[48, 48, 0] > 200 and pixels[10, 10, 2] > 200


def test_thumbnail_is_left_out_when_its_picture_is_gone(tmp_path: Path) -> None:
    """A run whose pictures were deleted or broken still has a report."""
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    boxes = [{**box_record(index), "files": {"overlay": name}} for index, name in enumerate(["gone.jpg", "broken.jpg"])]
    page = page_of(write_run(tmp_path, [image_record("a", boxes)]))
    assert [box.get("thumbnail") for box in page.values["images"][0]["boxes"]] == [None, None]


@pytest.mark.parametrize("box_xyxy", [(-50, -50, -20, -10), (500, 500, 700, 900), (30, 30, 30, 30), (-9, -9, 999, 999)])
def test_thumbnail_of_a_box_beyond_the_image(tmp_path: Path, box_xyxy: tuple[int, int, int, int]) -> None:
    """Boxes outside, empty ones and huge ones give a part of the picture."""
    image = add_pictures(tmp_path, image_record("a", [box_record(0, box_xyxy=box_xyxy)]), kinds=["overlay"])
    run = read_run(write_run(tmp_path, [image]))
    thumbnail = thumbnails_of(run)[0, 0]
    assert thumbnail.data_url is not None and min(pixels_of(thumbnail.data_url).shape[:2]) >= 36


def test_thumbnails_of_embeds_what_was_wrong_first(tmp_path: Path) -> None:
    """Beyond the limit, files are shown; missed objects and false positives are inside the page."""
    boxes = [box_record(0, truth=MATCHED), box_record(1, truth=UNMATCHED), missed_record(5)]
    image = add_pictures(tmp_path, with_truth(boxes), kinds=["overlay"])
    run = read_run(write_run(tmp_path, [image]))
    thumbnails = thumbnails_of(run, max_embedded=2)
    assert [thumbnails[0, box].data_url is not None for box in range(3)] == [False, True, True]
    assert thumbnails[0, 0].file == "a/0.jpg"
    assert "./a/0.jpg" in render_report(run, thumbnails)


# the command


def test_cam_report_prints_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed can be opened."""
    write_run(tmp_path, [image_record("a", [box_record()])])
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{tmp_path / 'report.html'}\n", "")
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("arguments", [[], ["--open", "x"], ["a", "b"], ["nothing"]])
def test_cam_report_says_in_one_line_what_is_wrong(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"cam_report: error: [^\n]+\n", printed.err)
