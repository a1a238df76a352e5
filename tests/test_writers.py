"""Files are whole or not there, and the manifest is JSON that says what happened."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.errors import OutputError, PpdetCamError
from ppdet_cam.structures import Detection, Explanation, Frame, LevelShare, MapStatus
from ppdet_cam.writers.files import check_output_folder, write_atomically
from ppdet_cam.writers.manifest import (
    IMAGES_FILE,
    box_record,
    encode_document,
    encode_line,
    image_record,
    listed_files,
)

DETECTION = Detection(index=3, class_id=7, class_name="Fußgänger 行人", score=0.75, box_xyxy=(1.5, 2.0, 30.25, 40.0))
EXPLANATION = Explanation(
    detection=DETECTION,
    method="gradcam",
    layers=("model.neck",),
    levels=(
        LevelShare("model.neck", 0, (80, 60), (8.0, 8.0), 0.25),
        LevelShare("model.neck", 1, (40, 30), (16.0, 16.0), 0.75),
    ),
    heatmap=np.ones((48, 64), np.float32),
    status=MapStatus.OK,
)
FRAME = Frame(np.zeros((48, 64, 3), np.uint8), Path("photos/straße.jpg"))


def make_replacing_fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "replace", fail)  # pathlib before Python 3.10 keeps its own os.replace


def image_line(*files: str, path: str = "photo.jpg") -> bytes:
    frame = dataclasses.replace(FRAME, path=Path(path))
    return encode_line(image_record(frame, [DETECTION], [box_record(EXPLANATION, file) for file in files], seconds={}))


# write_atomically


def test_write_atomically_makes_the_folder_and_the_file(tmp_path: Path) -> None:
    """The content is written as it is, into a folder that is made on the way."""
    path = tmp_path / "new" / "deeper" / "0.jpg"
    write_atomically(path, b"\x00\r\n\xff")
    assert path.read_bytes() == b"\x00\r\n\xff"
    assert os.listdir(path.parent) == ["0.jpg"]


def test_write_atomically_replaces_the_old_content(tmp_path: Path) -> None:
    """A longer old content leaves nothing behind."""
    path = tmp_path / "run.json"
    path.write_bytes(b"old and long")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["run.json"]


def test_write_atomically_keeps_the_old_content_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up at the last step leaves the old file and nothing else, and the message says why."""
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    make_replacing_fail(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(OutputError, match=r"run\.json: No space left on device.*--cam_out") as caught:
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.json"]
    assert isinstance(caught.value, PpdetCamError)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()], ids=["Ctrl-C", "out of memory"])
def test_write_atomically_leaves_no_part_when_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """An interruption passes through as itself and leaves no half-written file."""
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    make_replacing_fail(monkeypatch, error)
    with pytest.raises(type(error)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize("below", ["0.jpg", "deeper/0.jpg"])
def test_write_atomically_refuses_a_parent_that_is_a_file(tmp_path: Path, below: str) -> None:
    """A file where a folder should be is told, and stays as it is."""
    (tmp_path / "taken").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"cannot write .*0\.jpg"):
        write_atomically(tmp_path / "taken" / below, b"new")
    assert (tmp_path / "taken").read_bytes() == b"mine"


def test_write_atomically_refuses_a_path_that_is_a_folder(tmp_path: Path) -> None:
    """A folder where the file should be is told, and nothing is left beside it."""
    (tmp_path / "0.jpg").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*0\.jpg"):
        write_atomically(tmp_path / "0.jpg", b"new")
    assert os.listdir(tmp_path) == ["0.jpg"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_write_atomically_honours_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """The file's permissions are those of any file that the user makes, and the umask stays."""
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "0.jpg", b"new")
    finally:
        left = os.umask(before)
    assert left == umask
    assert stat.S_IMODE((tmp_path / "0.jpg").stat().st_mode) == mode


# check_output_folder


@pytest.mark.parametrize("name", [".", "new", "new/deeper/still"])
def test_check_output_folder_takes_a_folder_and_creates_nothing(tmp_path: Path, name: str) -> None:
    """A folder that is there, or can be made below one that is, passes; nothing is made yet."""
    check_output_folder(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_check_output_folder_takes_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is looked for in the working directory."""
    monkeypatch.chdir(tmp_path)
    check_output_folder(Path("out"))
    check_output_folder(Path("out/deeper"))


def test_check_output_folder_takes_a_link_to_a_folder(tmp_path: Path) -> None:
    """A link to a folder is as good as the folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    check_output_folder(tmp_path / "link")
    check_output_folder(tmp_path / "link" / "new")


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_check_output_folder_refuses_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    """A file at the folder's place, or above it, is named."""
    taken = tmp_path / "taken"
    taken.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"taken is a file, not a folder.*--cam_out"):
        check_output_folder(taken / below)


def test_check_output_folder_refuses_a_link_to_nothing(tmp_path: Path) -> None:
    """A link whose target is gone can neither be used nor made, which is told before the work begins."""
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="link"):
        check_output_folder(tmp_path / "link")


def test_check_output_folder_refuses_a_folder_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be written is named, with what to do."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="no permission for .*--cam_out") as caught:
        check_output_folder(tmp_path / "new")
    assert f"no permission for {tmp_path}." in str(caught.value)


def test_check_output_folder_refuses_a_folder_that_may_not_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below another user's closed folder even looking is refused, and that too is told as an output error."""
    closed, look = tmp_path / "closed", os.stat

    def guarded(path: object, *args: object, **options: object) -> os.stat_result:
        if isinstance(path, (str, os.PathLike)) and closed in Path(path).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *args, **options)

    closed.mkdir()
    monkeypatch.setattr(os, "stat", guarded)
    monkeypatch.setattr(Path, "stat", guarded)  # pathlib before Python 3.10 keeps its own os.stat
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    with pytest.raises(OutputError, match="closed"):
        check_output_folder(closed / "out" / "deeper")


# manifest


def test_box_record_holds_all_that_is_known_of_a_box() -> None:
    """One box's entry is plain JSON values under the names of the structures."""
    record = box_record(EXPLANATION, "3.jpg")
    assert json.loads(json.dumps(record, allow_nan=False)) == {
        "index": 3,
        "class_id": 7,
        "class_name": "Fußgänger 行人",
        "score": 0.75,
        "box_xyxy": [1.5, 2.0, 30.25, 40.0],
        "file": "3.jpg",
        "method": "gradcam",
        "layers": ["model.neck"],
        "levels": [
            {"layer": "model.neck", "level": 0, "grid_hw": [80, 60], "stride_yx": [8.0, 8.0], "share": 0.25},
            {"layer": "model.neck", "level": 1, "grid_hw": [40, 30], "stride_yx": [16.0, 16.0], "share": 0.75},
        ],
        "status": "ok",
    }


@pytest.mark.parametrize("status", [status for status in MapStatus if status is not MapStatus.OK])
def test_box_record_of_a_blank_map_says_why(status: MapStatus) -> None:
    """Every status but ok comes with its reason in words."""
    record = box_record(dataclasses.replace(EXPLANATION, status=status), "3.jpg")
    assert (record["status"], record["reason"]) == (status.name.lower(), status.value)


def test_box_record_tells_the_roi() -> None:
    """A box that was explained at its RoI carries the RoI; any other box has no such key."""
    with_roi = dataclasses.replace(EXPLANATION, box_xyxy_roi=(1.0, 2.0, 33.0, 44.0))
    assert box_record(with_roi, "3.jpg")["roi_xyxy"] == [1.0, 2.0, 33.0, 44.0]
    assert "roi_xyxy" not in box_record(EXPLANATION, "3.jpg")


def test_image_record_counts_and_measures() -> None:
    """An image's line has its size, every detection counted, the best score, and rounded seconds."""
    below = dataclasses.replace(DETECTION, index=4, score=0.125)
    boxes = [box_record(EXPLANATION, "3.jpg")]
    record = image_record(FRAME, [DETECTION, below], boxes, seconds={"detect": 0.123456})
    assert record == {
        "path": str(Path("photos/straße.jpg")),
        "status": "ok",
        "size": {"height": 48, "width": 64},
        "seconds": {"detect": 0.1235},
        "detections": 2,
        "highest_score": 0.75,
        "boxes": boxes,
    }


def test_image_record_of_an_array_without_detections() -> None:
    """An array has no path, and no detection means no best score: both are null."""
    record = json.loads(encode_line(image_record(Frame(FRAME.image), [], [], seconds={})))
    assert (record["path"], record["detections"], record["highest_score"], record["boxes"]) == (None, 0, None, [])


def test_encode_line_is_one_line_that_reads_back() -> None:
    """A record with line breaks and other scripts in it is one line of UTF-8 and reads back as it was."""
    record = {"class_name": "Fußgänger 行人 🚶", "path": 'a\nb\r"c\\.jpg', "score": 0.1, "none": None}
    line = encode_line(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert "行人 🚶".encode() in line
    assert json.loads(line.decode("utf-8")) == record


def test_encode_document_is_indented_and_reads_back() -> None:
    """A document has one key per line, ends with a line break, and reads back as it was."""
    record = {"schema_version": 1, "config": {"path": "configs/straße.yml"}}
    document = encode_document(record)
    assert document.startswith(b'{\n  "schema_version": 1,\n')
    assert document.endswith(b"}\n")
    assert json.loads(document.decode("utf-8")) == record


@pytest.mark.parametrize("encode", [encode_line, encode_document])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_encode_refuses_what_json_does_not_have(encode, value: float) -> None:
    """NaN and infinity, which many readers of JSON choke on, are never written."""
    with pytest.raises(ValueError, match="JSON"):
        encode({"boxes": [{"score": value}]})


@pytest.mark.parametrize("encode", [encode_line, encode_document])
def test_encode_takes_a_file_name_that_is_no_utf8(encode) -> None:
    """A file name with a byte that is no UTF-8, which Linux allows, is written as UTF-8 that JSON reads."""
    path = os.fsdecode(b"caf\xe9.jpg")
    assert json.loads(encode({"path": path}).decode("utf-8"))["path"].startswith("caf")


# listed_files


@pytest.mark.parametrize("folder", [".", "gone"])
def test_listed_files_is_empty_without_a_manifest(tmp_path: Path, folder: str) -> None:
    """No manifest, or no folder: nothing is listed."""
    assert listed_files(tmp_path / folder) == set()


def test_listed_files_gives_the_pictures_of_every_line(tmp_path: Path) -> None:
    """The files of all boxes of all images are listed, once each."""
    (tmp_path / IMAGES_FILE).write_bytes(image_line("0.jpg", "3.jpg") + image_line() + image_line("3.jpg", "7.jpg"))
    assert listed_files(tmp_path) == {"0.jpg", "3.jpg", "7.jpg"}


@pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", "\u2029"], ids=ascii)
def test_listed_files_reads_a_line_with_a_line_separator_in_a_name(tmp_path: Path, separator: str) -> None:
    """Only the line break itself ends a record, not what Unicode also calls one."""
    (tmp_path / IMAGES_FILE).write_bytes(image_line("0.jpg", path=f"a{separator}b.jpg") + image_line("1.jpg"))
    assert listed_files(tmp_path) == {"0.jpg", "1.jpg"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"3\n",
        b"null\n",
        b"{}\n",
        b'{"boxes": null}\n',
        b'{"boxes": 3}\n',
        b'{"boxes": [3]}\n',
        b'{"boxes": [{}]}\n',
        image_line("0.jpg")[:-20],
    ],
    ids=ascii,
)
def test_listed_files_is_empty_for_what_is_no_manifest(tmp_path: Path, content: bytes) -> None:
    """A file of that name with anything else in it lists nothing and raises nothing."""
    (tmp_path / IMAGES_FILE).write_bytes(content)
    assert listed_files(tmp_path) == set()


def test_listed_files_is_empty_when_the_manifest_is_a_folder(tmp_path: Path) -> None:
    """A folder of that name lists nothing."""
    (tmp_path / IMAGES_FILE).mkdir()
    assert listed_files(tmp_path) == set()
