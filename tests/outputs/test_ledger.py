"""Whenever a run is killed, whatever is in its place is whole, and a later run ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support import ledger_runs
from support.ledger_runs import (
    ALONE,
    DOCUMENT,
    IMAGES,
    NAMES,
    SCENARIOS,
    do,
    launched,
    left_alone,
    record_of,
    run,
    without_times,
)
from support.trees import contents

from ppdet_cam.errors import OutputError
from ppdet_cam.outputs import files
from ppdet_cam.outputs.ledger import Place, open_run
from ppdet_cam.outputs.sharding import parse_shard


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """What a run leaves that nothing interrupts."""
    return left_alone(tmp_path_factory.mktemp("uninterrupted"))


def test_finished_run_has_its_files_and_nothing_else(tmp_path, uninterrupted):
    """Lines are in the images' order, totals count them, and no trace of the work is left."""
    names = [name for name in uninterrupted if not name.endswith((".jpg", ".npz"))]
    assert sorted(names) == ["a", "a/b", "c d", "e", "images.jsonl", "run.json", "ü 行"]
    lines = (uninterrupted["images.jsonl"] or b"").decode().splitlines()
    assert [json.loads(line)["name"] for line in lines] == list(NAMES)
    record = json.loads(uninterrupted["run.json"] or b"")
    assert record["totals"] == {
        "images": 6,
        "failed": 1,
        "warned": 0,
        "detections": 15,
        "explained": 5,
        "blank": 0,
        "views": 0,
        "highest_score": 0.53,
    }
    assert {key: record[key] for key in DOCUMENT} == DOCUMENT


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_run_ends_like_one_left_alone(tmp_path, scenario):
    """Killed at any use of the disk, again and again, or by many ranks at once: nothing is half there or lost."""
    words = [sys.executable, ledger_runs.__file__, scenario, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_line_that_was_cut_off_is_done_again(tmp_path, uninterrupted):
    """What stands behind the last line break was being written when the process was killed; no file was moved yet."""
    cam_out = tmp_path / "out"
    with open_run(Place(cam_out, IMAGES, ALONE), DOCUMENT) as ledger:
        do(ledger, 0)
    with (cam_out / "images.jsonl").open("ab") as part:
        part.write(json.dumps(record_of(IMAGES[1])).encode()[:-30])
    assert run(cam_out, resume=True)
    assert without_times(cam_out) == uninterrupted


@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_finished_image_is_done_again_when_a_file_is_not_whole(tmp_path, uninterrupted, damage):
    """A line alone is not believed: its files are looked at."""
    cam_out = tmp_path / "out"
    run(cam_out)
    picture = cam_out / "a/b/0.jpg"
    if damage == "gone":
        picture.unlink()
    else:
        picture.write_bytes(picture.read_bytes()[: 10 if damage == "cut" else 0])
    with open_run(Place(cam_out, IMAGES, ALONE), DOCUMENT, resume=True) as ledger:
        assert [NAMES[position] for position in ledger.left] == ["a/b", "broken"]
        for position in ledger.left:
            do(ledger, position)
        assert not (cam_out / "run.json").exists()
        ledger.finish(0)
    assert without_times(cam_out) == uninterrupted


def test_finished_images_are_not_done_again(tmp_path):
    """Only what is left, and what failed, is given out."""
    with open_run(Place(tmp_path, IMAGES, ALONE), DOCUMENT) as ledger:
        for position in (0, 4, 2):
            do(ledger, position)
        assert (ledger.done.images, ledger.done.failed) == (3, 1)
    for retry_failed, left in ((True, [1, 3, 4, 5]), (False, [1, 3, 5])):
        with open_run(Place(tmp_path, IMAGES, ALONE), DOCUMENT, resume=True, retry_failed=retry_failed) as ledger:
            assert ledger.left == left


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    """With nothing to do, not even the times change."""
    run(tmp_path, images=IMAGES[:4])
    before = contents(tmp_path)
    assert run(tmp_path, images=IMAGES[:4], resume=True)
    assert contents(tmp_path) == before


def test_report_that_was_being_written_is_removed(tmp_path, monkeypatch):
    """A process that is killed over its report leaves a hidden part of it, which the next one takes away."""
    run(tmp_path, images=IMAGES[:4])
    before = contents(tmp_path)

    def killed():
        yield b"<html>"
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(files, "_remove", lambda _path: None)  # a killed process tidies nothing up
        files.write_parts_atomically(tmp_path / "report.html", killed())
    assert len(contents(tmp_path)) == len(before) + 1
    assert run(tmp_path, images=IMAGES[:4], resume=True)
    assert contents(tmp_path) == before


def test_run_in_the_folder_is_refused(tmp_path):
    """A run that is there, finished or not, is neither mixed with a new one nor removed."""
    run(tmp_path / "finished")
    with open_run(Place(tmp_path / "unfinished", IMAGES, ALONE), DOCUMENT) as ledger:
        do(ledger, 0)
    for name, words in (("finished", "holds a run"), ("unfinished", "holds an unfinished run")):
        before = contents(tmp_path)
        with pytest.raises(OutputError, match=f"{name} {words}.*--resume.*--overwrite"):
            run(tmp_path / name)
        assert contents(tmp_path) == before


def test_overwriting_removes_the_run_and_nothing_else(tmp_path):
    """Files that no run wrote stay, even with a picture's name; a report that the run wrote goes with it."""
    document = {**DOCUMENT, "flags": {"report": True}}
    with open_run(Place(tmp_path, IMAGES, ALONE), document) as ledger:
        for position in range(6):
            do(ledger, position)
        ledger.finish(0)
    foreign = {"notes.txt": b"mine", "a/7.jpg": b"mine too", "c d/deep/0.jpg": b"and this"}
    for name, content in foreign.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "report.html").write_bytes(b"<html>")
    assert run(tmp_path, images=IMAGES[5:], overwrite=True)
    left = {name: content for name, content in contents(tmp_path).items() if content is not None}
    assert set(left) == {*foreign, "e/0.jpg", "e/maps.npz", "images.jsonl", "run.json"}
    assert {name: left[name] for name in foreign} == foreign


def test_other_settings_are_refused_with_the_difference(tmp_path):
    """Flags, the config's content, weights and images have to be the first run's; where it writes does not matter."""
    before = {**DOCUMENT, "weights": {"sha256": "aaaa", "path": "w"}, "inputs": {"images": 6, "images_sha256": "x"}}
    place = Place(tmp_path, IMAGES, ALONE)
    with open_run(place, before) as ledger:
        do(ledger, 0)
    flags = {"method": "hirescam", "cam_out": "y", "report": True, "top_k": 3}
    changes = (
        ({"flags": flags}, "--method was 'gradcam', is 'hirescam'; --top_k was None, is 3. Give"),
        ({"settings": {"NMS.top": 20}}, "the config's NMS.top was 10, is 20"),
        ({"weights": {"sha256": "bbbb", "path": "w"}}, "the weights were w .*aaaa.*, are w .*bbbb"),
        ({"inputs": {"images": 7, "images_sha256": "y"}}, "the images were 6, are 7"),
        ({"inputs": {"images": 6, "images_sha256": "y"}}, "the images have other names"),
        ({"inputs": {"images": 6, "images_sha256": "x", "gt_sha256": "z"}}, "the content of --gt"),
    )
    kept = contents(tmp_path)
    for change, message in changes:
        with pytest.raises(OutputError, match=message), open_run(place, {**before, **change}, resume=True):
            pass
        assert contents(tmp_path) == kept
    moved = {**before, "flags": {"method": "gradcam", "cam_out": "y"}, "weights": {"sha256": "aaaa", "path": "v"}}
    with open_run(place, moved, resume=True) as ledger:
        assert ledger.left == [1, 2, 3, 4, 5]


def test_file_that_no_run_wrote_is_not_replaced(tmp_path):
    """The image is refused, and nothing of it is written."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/0.jpg").write_bytes(b"mine")
    with open_run(Place(tmp_path, IMAGES, ALONE), DOCUMENT) as ledger:
        with pytest.raises(OutputError, match=r"a/0\.jpg is not of an earlier run"):
            do(ledger, 0)
        do(ledger, 1)
    assert (tmp_path / "a/0.jpg").read_bytes() == b"mine"
    assert not (tmp_path / "a/maps.npz").exists()
    assert len((tmp_path / "images.jsonl").read_bytes().splitlines()) == 1


def test_run_that_fails_before_its_first_image_leaves_nothing(tmp_path):
    """A run that could do nothing is in no one's way."""
    (tmp_path / "mine").mkdir()
    for cam_out in (tmp_path / "new" / "deep", tmp_path / "mine"):
        with pytest.raises(RuntimeError, match="first image"), open_run(Place(cam_out, IMAGES, ALONE), DOCUMENT):
            raise RuntimeError("before the first image")
    assert contents(tmp_path) == {"mine": None}


# --- several processes


def test_ranks_give_what_one_process_gives(tmp_path, uninterrupted):
    """Each rank does its part; the last one puts the lines together."""
    assert not run(tmp_path, launched(1, 3))
    assert sorted(path.name for path in tmp_path.glob("*.json*")) == ["images.1.jsonl", "run.partial.json"]
    assert not run(tmp_path, launched(0, 3))
    assert run(tmp_path, launched(2, 3))
    assert without_times(tmp_path) == uninterrupted


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rank_that_died_is_made_up_for_by_any_number_of_ranks(tmp_path, uninterrupted, count):
    """The others' work stays; the rest is done by as many ranks as there are now."""
    assert not run(tmp_path, launched(0, 3))
    with open_run(Place(tmp_path, IMAGES, launched(1, 3)), DOCUMENT) as ledger:
        do(ledger, 1)
    for index in range(count):
        finished = run(tmp_path, ALONE if count == 1 else launched(index, count, "two"), resume=True)
    assert finished
    assert without_times(tmp_path) == uninterrupted


def test_rank_is_not_taken_for_one_of_an_earlier_start(tmp_path):
    """Started again without `--resume`, ranks do not go on by themselves; with other settings never."""
    run(tmp_path, launched(0, 2))
    for rank in (launched(0, 2), launched(0, 2, "two"), launched(1, 2, "two"), launched(1, 3), ALONE):
        with pytest.raises(OutputError, match="holds an unfinished run"):
            run(tmp_path, rank)
    other = {**DOCUMENT, "flags": {"method": "hirescam"}}
    with pytest.raises(OutputError, match="--method was"), open_run(Place(tmp_path, IMAGES, launched(1, 2)), other):
        pass
    assert run(tmp_path, launched(1, 2))


def test_shards_join_whenever_they_are_started(tmp_path, uninterrupted):
    """Without a launcher, each shard's first start joins, and its second needs `--resume`."""
    assert not run(tmp_path, parse_shard("2/2"))
    with pytest.raises(OutputError, match="holds an unfinished run"):
        run(tmp_path, parse_shard("2/2"))
    assert not run(tmp_path, parse_shard("2/2"), resume=True)
    assert run(tmp_path, parse_shard("1/2"))
    assert without_times(tmp_path) == uninterrupted


def test_two_processes_do_not_do_the_same(tmp_path):
    """While a process is at work, no other one may go on with its part, or remove it."""
    with open_run(Place(tmp_path, IMAGES, ALONE), DOCUMENT) as ledger:
        do(ledger, 0)
        for option in ("resume", "overwrite"):
            with pytest.raises(OutputError, match="another process is at work"):
                run(tmp_path, **{option: True})
        with pytest.raises(OutputError, match="another process is at work"):
            run(tmp_path, launched(1, 2), resume=True)
        do(ledger, 1)
        for position in range(2, 6):
            do(ledger, position)
        assert ledger.finish(0)


def test_run_is_not_ended_while_a_failed_image_is_tried_again(tmp_path):
    """A rank that has nothing to do leaves the end to the one that is at work."""
    run(tmp_path)
    with open_run(Place(tmp_path, IMAGES, launched(0, 2)), DOCUMENT, resume=True) as busy:
        assert [NAMES[position] for position in busy.left] == ["broken"]
        assert not run(tmp_path, launched(1, 2), resume=True)
        do(busy, 4)
        assert busy.finish(0)
    assert sorted(path.name for path in tmp_path.glob("*.json*")) == ["images.jsonl", "run.json"]


# --- disks


def test_full_disk_stops_with_a_clear_error_and_goes_on_later(tmp_path, uninterrupted, monkeypatch):
    """A line that did not fit is taken back, so that the next one starts where a line starts."""
    with open_run(Place(tmp_path, IMAGES, ALONE), DOCUMENT) as ledger:
        do(ledger, 0)
        before = (tmp_path / "images.jsonl").read_bytes()
        with monkeypatch.context() as patch:

            def full(_file: int) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="No space left on device. Free space"):
                do(ledger, 1)
    assert (tmp_path / "images.jsonl").read_bytes() == before
    assert run(tmp_path, resume=True)
    assert without_times(tmp_path) == uninterrupted


def test_foreign_manifest_is_not_replaced(tmp_path):
    """A file of the user's that has a manifest's name stays."""
    for name in ("run.json", "run.partial.json", "images.jsonl", "images.3.jsonl"):
        cam_out = tmp_path / name[:-5]
        cam_out.mkdir()
        (cam_out / name).write_bytes(b'{"name": "my experiment"}\n')
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="not of an earlier run"):
                run(cam_out, **options)
        assert contents(cam_out) == {name: b'{"name": "my experiment"}\n'}
