"""The log for VisualDL, read back by VisualDL's own reader."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import pytest
from support.places import ROOT
from support.report_runs import (
    add_pictures,
    blank_record,
    box_record,
    failed_record,
    image_record,
    missed_record,
    write_run,
)
from support.runs import BLAZEFACE, PHOTO
from support.trees import contents

from ppdet_cam.errors import ConfigError, OutputError, PpdetCamError
from ppdet_cam.outputs import files
from ppdet_cam.report.vdl import check_vdl_log, log_file, write_vdl_log

LogReader = pytest.importorskip("visualdl", reason="paddledet brings it").LogReader

Values = dict[str, list[tuple[int, object]]]


def read_log(log_dir: Path) -> dict[str, Values]:
    """Returns component -> tag -> (step, value) of the only log in a folder."""
    (path,) = log_dir.iterdir()
    reader = LogReader(file_path=str(path))
    value_of = {
        "scalar": lambda item: round(item.value, 4),
        "text": lambda item: item.text.encoded_text_string,
        "image": lambda item: item.image.encoded_image_string,
        "meta_data": lambda item: item.meta_data.display_name,
    }
    return {
        kind: {tag: [(item.id, value_of[kind](item)) for item in reader.get_data(kind, tag)] for tag in tags}
        for kind, tags in reader.get_tags().items()
    }


def log_of(tmp_path: Path, images: list, **more: object) -> dict[str, Values]:
    """Returns the log of a run that is made up."""
    write_vdl_log(write_run(tmp_path / "run", images, **more), tmp_path / "log")
    return read_log(tmp_path / "log")


def test_log_has_the_numbers_of_images_and_boxes(tmp_path: Path) -> None:
    """An image's step is its place in the run, a box's its place among all boxes; what is not known is left out."""
    boxes = [box_record(3), blank_record(4)]
    log = log_of(tmp_path, [image_record("a", boxes), failed_record("b"), image_record("c", [missed_record(17)])])
    assert log["scalar"] == {
        "image/failed": [(0, 0.0), (1, 1.0), (2, 0.0)],
        "image/detections": [(0, 6.0), (2, 4.0)],
        "image/boxes": [(0, 2.0), (2, 1.0)],
        "image/highest_score": [(0, 0.9)],
        "image/seconds": [(0, 0.75), (2, 0.75)],
        "box/score": [(0, 0.9), (1, 0.9), (2, 0.21)],
        "box/energy_in_box": [(0, 0.8), (2, 0.35)],
        "levels/model.neck@0": [(0, 0.2), (1, 0.0), (2, 0.2)],
        "levels/model.neck@1": [(0, 0.7), (1, 0.0), (2, 0.7)],
        "levels/model.neck@2": [(0, 0.1), (1, 0.0), (2, 0.1)],
    }


def test_log_says_in_words_what_the_steps_are(tmp_path: Path) -> None:
    """Which image it is, and which box is on the picture of each step."""
    boxes = [box_record(3), blank_record(4), missed_record(17)]
    log = log_of(tmp_path, [image_record("a", boxes), failed_record("b", "not an image")])
    assert log["text"] == {
        "image/a": [
            (
                0,
                "image 0: photos/a.jpg; "
                "step 0: box 3, dog 0.900, energy in box 0.800; "
                "step 1: box 4, dog 0.900, all gradients are zero; "
                "step 2: box gt_17, dog 0.210, energy in box 0.350",
            )
        ],
        "image/b": [(1, "image 1: photos/b.jpg; failed: not an image")],
    }


def test_log_has_the_pictures_as_they_were_saved(tmp_path: Path) -> None:
    """Byte for byte; heatmap and photo, which are no pictures of their own, stay out."""
    image = image_record("a/b", [box_record(3), box_record(5)], files={"summary": "a/b/summary.jpg"})
    image = add_pictures(tmp_path / "run", image, kinds=("overlay", "crop", "heatmap", "photo"))
    (tmp_path / "run" / "a/b/summary.jpg").write_bytes(b"a summary")
    pictures = {name: content for name, content in contents(tmp_path / "run").items() if content}
    assert log_of(tmp_path, [image])["image"] == {
        "overlay/a/b": [(0, pictures["a/b/3.jpg"]), (1, pictures["a/b/5.jpg"])],
        "crop/a/b": [(0, pictures["a/b/3.crop.jpg"]), (1, pictures["a/b/5.crop.jpg"])],
        "summary/images 0-9": [(0, b"a summary")],
    }


def test_log_shows_all_pictures_of_an_image_with_many_boxes(tmp_path: Path) -> None:
    """VisualDL shows ten pictures of a tag, so there are ten in each."""
    image = add_pictures(tmp_path / "run", image_record("a", [box_record(n) for n in range(23)]), kinds=("overlay",))
    tags = log_of(tmp_path, [image])["image"]
    assert {tag: [step for step, _ in steps] for tag, steps in tags.items()} == {
        "overlay/a 0-9": list(range(10)),
        "overlay/a 10-19": list(range(10, 20)),
        "overlay/a 20-29": [20, 21, 22],
    }


def test_log_takes_names_of_all_sorts(tmp_path: Path) -> None:
    """A percent sign, which VisualDL has for "/", and bytes that are no text."""
    names = ["50 % off", "Straße 行", "\udcff"]
    log = log_of(tmp_path, [image_record(name) for name in names])
    assert list(log["text"]) == ["image/50 \N{FULLWIDTH PERCENT SIGN} off", "image/Straße 行", "image/\\udcff"]


def test_log_of_one_image_is_called_by_its_file(tmp_path: Path) -> None:
    """A single image has no folder of its own."""
    assert list(log_of(tmp_path, [image_record("", path="photos/street.jpg")])["text"]) == ["image/street.jpg"]


def test_log_of_a_run_replaces_its_earlier_one(tmp_path: Path) -> None:
    """Nothing is in it twice."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / ".0123456789abcdef.part").write_bytes(b"of a process that was killed")
    for images in ([image_record("a", [box_record()])], [image_record("a", [box_record(), box_record(2)])]):
        log = log_of(tmp_path, images)
    assert [step for step, _ in log["scalar"]["box/score"]] == [0, 1]
    assert [step for step, _ in log["scalar"]["image/boxes"]] == [0]


def test_log_of_a_run_that_did_not_finish_is_refused(tmp_path: Path) -> None:
    """As for the report."""
    (write_run(tmp_path / "run", []) / "run.json").unlink()
    with pytest.raises(ConfigError, match="the run did not finish"):
        write_vdl_log(tmp_path / "run", tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_log_of_a_run_whose_picture_is_gone_says_what_to_do(tmp_path: Path) -> None:
    """It is named; nothing is left half-written."""
    image = add_pictures(tmp_path / "run", image_record("a", [box_record()]), kinds=("overlay",))
    (tmp_path / "run" / "a" / "0.jpg").unlink()
    with pytest.raises(OutputError, match=r"cannot read .*a/0.jpg for the log: No such file.*--resume"):
        log_of(tmp_path, [image])
    assert list((tmp_path / "log").iterdir()) == []


def test_log_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VisualDL's own writer would print a warning and go on."""

    def full(_stream: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device. Free space or choose another --vdl_log_dir"):
        log_of(tmp_path, [])
    assert list((tmp_path / "log").iterdir()) == []


@pytest.mark.parametrize("below", ["", "below"])
def test_log_folder_may_not_be_a_file(tmp_path: Path, below: str) -> None:
    """Found before anything is explained."""
    (tmp_path / "log").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder. Choose another --vdl_log_dir"):
        check_vdl_log(tmp_path / "log" / below, tmp_path / "run")


def test_log_folder_with_an_impossible_name_is_refused(tmp_path: Path) -> None:
    """Found before anything is explained."""
    with pytest.raises(OutputError, match="File name too long. Choose another --vdl_log_dir"):
        check_vdl_log(tmp_path / ("x" * 300), tmp_path / "run")


def test_log_folder_with_another_log_is_refused(tmp_path: Path) -> None:
    """VisualDL shows one log of a folder, so one of them would be hidden; the run's own is replaced."""
    (tmp_path / "log").mkdir()
    log_file(tmp_path / "log", tmp_path / "run").write_text("")
    check_vdl_log(tmp_path / "log", tmp_path / "run")
    (tmp_path / "log" / "vdlrecords.1587375595.log").write_text("")
    with pytest.raises(OutputError, match=r"holds another log, vdlrecords.1587375595.log, .*--vdl_log_dir, such as "):
        check_vdl_log(tmp_path / "log", tmp_path / "run")


def test_log_without_visualdl_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before anything is explained."""
    monkeypatch.setitem(sys.modules, "visualdl.proto.record_pb2", None)
    with pytest.raises(PpdetCamError, match=r"--vdl_log_dir needs the Python package visualdl.*pip install visualdl"):
        check_vdl_log(tmp_path / "log", tmp_path / "run")


# --- the command


SOME = ("--draw_threshold", "0.2", "--top_k", "2")


@pytest.fixture
def explain(command):
    """Runs the small detector on images, with a log."""

    def run(*arguments: str | Path):
        weights = f"weights={command.weights[BLAZEFACE]}"
        return command("-c", BLAZEFACE, "-o", weights, *SOME, "--vdl_log_dir", command.folder / "log", *arguments)

    return run


def test_vdl_log_dir_of_one_image(explain, command) -> None:
    """The log has what the line of the image says, and its pictures."""
    assert explain("--infer_img", PHOTO, "--save", "overlay,summary").code == 0
    log, record = read_log(command.folder / "log"), command.image_record()
    assert log["scalar"]["box/score"] == [(n, round(box["score"], 4)) for n, box in enumerate(record["boxes"])]
    first = command.cam_out / record["boxes"][0]["files"]["overlay"]
    assert log["image"]["overlay/coffee.jpg"][0] == (0, first.read_bytes())
    assert log["image"]["summary/images 0-9"] == [(0, (command.cam_out / "summary.jpg").read_bytes())]
    assert command.run_record()["flags"]["vdl_log_dir"] == str(command.folder / "log")


def test_vdl_log_dir_of_a_run_that_goes_on(explain, command) -> None:
    """A resumed run logs every image once, whether it was asked for a log at first or not."""
    photos = [ROOT / "demo" / "drawn" / name for name in ("scene_1.jpg", "scene_2.jpg")]
    broken = command.folder / "broken.jpg"
    broken.write_bytes(b"no image")
    images = ("--infer_img", *photos, broken)
    assert explain(*images).code == 3
    assert [value for _, value in read_log(command.folder / "log")["scalar"]["image/failed"]] == [0, 0, 1]
    broken.write_bytes(photos[0].read_bytes())
    assert explain(*images, "--resume").code == 0
    log = read_log(command.folder / "log")
    assert log["scalar"]["image/failed"] == [(0, 0), (1, 0), (2, 0)]
    records = [json.loads(line) for line in (command.cam_out / "images.jsonl").read_text().splitlines()]
    assert len(log["scalar"]["box/score"]) == sum(len(record["boxes"]) for record in records) > 0
    (command.folder / "log").rename(command.folder / "earlier")
    assert explain(*images, "--resume").code == 0
    assert read_log(command.folder / "log") == log


def test_vdl_log_dir_that_cannot_be_written_is_refused_at_once(explain, command) -> None:
    """Before the detector is built."""
    (command.folder / "log").write_text("")
    message = command.refused(explain("--infer_img", PHOTO))
    assert message.endswith("is a file, not a folder. Choose another --vdl_log_dir")
    assert not command.cam_out.exists()


def test_vdl_log_dir_of_ranks(explain, command, monkeypatch) -> None:
    """Whichever rank ends the run logs all images."""
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    images = ("--infer_img", PHOTO, ROOT / "demo" / "cat.jpg", "--save", "raw")
    for rank in ("1", "0"):
        monkeypatch.setenv("PADDLE_TRAINER_ID", rank)
        assert not (command.folder / "log").exists()
        assert explain(*images).code == 0
    assert [step for step, _ in read_log(command.folder / "log")["scalar"]["image/boxes"]] == [0, 1]
