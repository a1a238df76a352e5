"""Files are whole or not there, and the manifest is JSON that says what happened."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.errors import OutputError, PpdetCamError
from ppdet_cam.languages import Said
from ppdet_cam.outputs.files import (
    check_output_folder,
    is_whole,
    remove_unfinished,
    write_atomically,
    write_new,
    write_parts_atomically,
)
from ppdet_cam.outputs.manifest import (
    IMAGES_FILE,
    box_record,
    box_truth,
    decode_line,
    encode_document,
    encode_line,
    failed_record,
    files_of,
    image_record,
    image_truth,
    listed_files,
)
from ppdet_cam.outputs.raw import block_means, encode_grids, encode_raw, raw_grids, raw_map
from ppdet_cam.questions.truth import Match, TrueBox
from ppdet_cam.render import encode_jpeg, encode_png
from ppdet_cam.structures import (
    Answer,
    Detection,
    Explanation,
    GridMap,
    GridPlacement,
    LevelShare,
    MapStatus,
    Verdict,
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
HW = (48, 64)


def make_replacing_fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "replace", fail)  # pathlib before Python 3.10 keeps its own os.replace


def image_line(*files: str, path: str = "photo.jpg") -> bytes:
    boxes = [box_record(EXPLANATION, {"overlay": file}) for file in files]
    return encode_line(image_record(path, "", original_hw=HW, detections=[DETECTION], boxes=boxes, seconds={}))


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


def test_write_atomically_may_use_another_folder_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not whole yet lies in the workshop, so that a killed process leaves nothing beside the file."""
    workshop = tmp_path / "workshop"
    workshop.mkdir()
    seen: list[list[str]] = []
    replace = Path.replace

    def note(source: Path, target: Path) -> Path:
        seen.append([path.name for path in (tmp_path / "out").iterdir()])
        assert source.parent == workshop
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", note)
    write_atomically(tmp_path / "out" / "run.json", b"new", workshop=workshop)
    assert seen == [[]] and (tmp_path / "out" / "run.json").read_bytes() == b"new"
    assert os.listdir(workshop) == []


def test_remove_unfinished_spares_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process left goes; what is being written stays, and so do files of other names."""
    for name in (".0123456789abcdef.part", "notes.part"):
        (tmp_path / name).write_bytes(b"half a")

    def parts() -> Iterator[bytes]:
        yield b"all "
        remove_unfinished(tmp_path)
        yield b"of it"

    write_parts_atomically(tmp_path / "run.json", parts())
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "notes.part"}
    assert (tmp_path / "run.json").read_bytes() == b"all of it"


def test_write_new_replaces_nothing(tmp_path: Path) -> None:
    """A file that is there stays."""
    write_new(tmp_path / "0.jpg", b"one")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "0.jpg", b"two")
    assert (tmp_path / "0.jpg").read_bytes() == b"one"


def test_threads_write_with_the_right_permissions(tmp_path: Path) -> None:
    """The umask is never changed, not even for a moment, as it belongs to all threads."""
    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: write_atomically(tmp_path / f"{number}.jpg", b"new"), range(200)))
        left = os.umask(0o027)
    finally:
        os.umask(before)
    assert left == 0o027
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


# is_whole


def encoded(suffix: str) -> bytes:
    if suffix == ".npz":
        return encode_raw([], original_hw=(4, 6), dtype="float16", reduction=1)
    picture = np.zeros((40, 60, 3), np.uint8)
    return encode_jpeg(picture) if suffix == ".jpg" else encode_png(picture)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".npz"])
def test_is_whole_tells_a_file_from_a_part_of_it(tmp_path: Path, suffix: str) -> None:
    """A file that lacks its end, or all of it, is not whole."""
    path, content = tmp_path / f"file{suffix}", encoded(suffix)
    assert not is_whole(path)
    path.write_bytes(content)
    assert is_whole(path)
    for length in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert not is_whole(path)
    path.unlink()
    path.mkdir()
    assert not is_whole(path)


# raw maps


def test_block_means_average_what_there_is() -> None:
    """The last blocks have fewer pixels; nothing is padded."""
    values = np.arange(15, dtype=np.float32).reshape(3, 5)
    np.testing.assert_allclose(block_means(values, 2), [[3, 5, 6.5], [10.5, 12.5, 14]])
    np.testing.assert_array_equal(block_means(values, 1), values)
    np.testing.assert_allclose(block_means(values, 9), [[7]])


def test_encode_raw_without_boxes_reads_back() -> None:
    """An image without boxes has a file without maps, of the right shape; the bytes do not depend on the time."""
    content = encode_raw([], original_hw=(5, 7), dtype="float32", reduction=2)
    assert content == encode_raw([], original_hw=(5, 7), dtype="float32", reduction=2)
    with np.load(io.BytesIO(content)) as raw:
        assert raw["maps"].shape == (0, 3, 4) and raw["maps"].dtype == np.float32
        assert raw["boxes_xyxy"].shape == (0, 4) and raw["names"].shape == (0,)


def test_encode_raw_keeps_the_corners_of_rotated_boxes() -> None:
    """An array more, where there are some; a box that was asked about without a candidate may be upright."""
    polygon = ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
    upright = explained(None)
    rotated = dataclasses.replace(upright, detection=dataclasses.replace(upright.detection, polygon_xy=polygon))
    for boxes, corners in (([rotated, upright], 2), ([upright], 0)):
        maps = [raw_map(box) for box in boxes]
        with np.load(io.BytesIO(encode_raw(maps, original_hw=(4, 6), dtype="float16", reduction=1))) as raw:
            assert ("polygons_xy" in raw) is bool(corners)
            if corners:
                assert raw["polygons_xy"].tolist()[0] == [list(corner) for corner in polygon]
                assert raw["polygons_xy"].tolist()[1] == [[0, 0], [2, 0], [2, 2], [0, 2]]


def explained(values: np.ndarray | None, *, status: MapStatus = MapStatus.OK, index: int = 0) -> Explanation:
    """Returns an explanation of a 4 x 6 image with one level of these values, or without a level."""
    grid = None if values is None else GridMap(values, GridPlacement((0.0, 0.0), (2.0, 2.0)))
    levels = () if grid is None else (LevelShare("model.neck", 1, (2, 3), (2.0, 2.0), 1.0, grid),)
    box = Detection(index, 0, "dog", 0.5, (0.0, 0.0, 2.0, 2.0))
    return Explanation(box, "gradcam", ("model.neck",), levels, np.zeros((4, 6), np.float32), status)


def test_encode_grids_stores_levels_and_zeros_for_what_has_none() -> None:
    """Each box's values are divided by their highest; a map that shows nothing has scale 0, whatever its cells hold."""
    values = np.array([[1, 2, 4], [0, 0, 3]], np.float32)
    boxes = [explained(None, status=MapStatus.NO_CANDIDATE, index=-1), explained(values)]
    boxes.append(explained(values, status=MapStatus.OUTSIDE, index=2))
    content = encode_grids([raw_grids(box) for box in boxes], original_hw=(4, 6), dtype="float16")
    with np.load(io.BytesIO(content)) as raw:
        np.testing.assert_array_equal(raw["grid_0"], [0 * values, values / 4, 0 * values])
        assert raw["grid_0"].dtype == np.float16
        assert (raw["scale"].tolist(), raw["index"].tolist()) == ([0, 4, 0], [-1, 0, 2])
        assert (raw["layers"].tolist(), raw["levels"].tolist()) == (["model.neck"], [1])
        assert raw["cell_yx"].tolist() == [[[0, 0]], [[2, 2]], [[2, 2]]]


@pytest.mark.parametrize("boxes", [[], [explained(None, status=MapStatus.NO_CANDIDATE)]])
def test_encode_grids_without_grids_reads_back(boxes: list[Explanation]) -> None:
    """An image without boxes, or without a candidate for any of them."""
    content = encode_grids([raw_grids(box) for box in boxes], original_hw=(4, 6), dtype="float32")
    with np.load(io.BytesIO(content)) as raw:
        assert not [name for name in raw if name.startswith("grid_")]
        assert raw["layers"].shape == (0,) and raw["top_left_yx"].shape == (len(boxes), 0, 2)
        assert raw["names"].shape == (len(boxes),)


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
    files = {"overlay": "a/3.jpg", "heatmap": "a/3.heatmap.png"}
    record = box_record(EXPLANATION, files, energy_in_box=0.5)
    assert json.loads(json.dumps(record, allow_nan=False)) == {
        "index": 3,
        "class_id": 7,
        "class_name": "Fußgänger 行人",
        "score": 0.75,
        "box_xyxy": [1.5, 2.0, 30.25, 40.0],
        "files": files,
        "method": "gradcam",
        "target": "class",
        "layers": ["model.neck"],
        "refined_by": [],
        "levels": [
            {"layer": "model.neck", "level": 0, "grid_hw": [80, 60], "stride_yx": [8.0, 8.0], "share": 0.25},
            {"layer": "model.neck", "level": 1, "grid_hw": [40, 30], "stride_yx": [16.0, 16.0], "share": 0.75},
        ],
        "status": "ok",
        "energy_in_box": 0.5,
    }


def test_box_record_holds_the_corners_of_a_rotated_box() -> None:
    """Of the detection and of what was asked about; an upright box has no such key."""
    polygon = ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
    answer = Answer("box_0", (0.0, 0.0, 2.0, 2.0), "ship", Verdict.FOUND, "found", 0.9, 3, polygon)
    rotated = dataclasses.replace(EXPLANATION.detection, polygon_xy=polygon)
    record = box_record(dataclasses.replace(EXPLANATION, detection=rotated, answer=answer), {})
    corners = [[1.0, 0.0], [2.0, 1.0], [1.0, 2.0], [0.0, 1.0]]
    assert record["polygon_xy"] == record["answer"]["polygon_xy"] == corners
    assert "polygon_xy" not in box_record(EXPLANATION, {})


@pytest.mark.parametrize("status", [status for status in MapStatus if status is not MapStatus.OK])
def test_box_record_of_a_blank_map_says_why(status: MapStatus) -> None:
    """Every status but ok comes with its reason in words."""
    record = box_record(dataclasses.replace(EXPLANATION, status=status), {})
    assert (record["status"], record["reason"]) == (status.name.lower(), status.value)
    assert record["energy_in_box"] is None


def test_box_record_tells_what_refined_the_map() -> None:
    """The layers by their paths, as a list."""
    refined = dataclasses.replace(EXPLANATION, refined_by=("model.backbone.conv1", "model.backbone.res2"))
    assert box_record(refined, {})["refined_by"] == ["model.backbone.conv1", "model.backbone.res2"]


def test_box_record_tells_the_roi() -> None:
    """A box that was explained at its RoI carries the RoI; any other box has no such key."""
    with_roi = dataclasses.replace(EXPLANATION, box_xyxy_roi=(1.0, 2.0, 33.0, 44.0))
    assert box_record(with_roi, {})["roi_xyxy"] == [1.0, 2.0, 33.0, 44.0]
    assert "roi_xyxy" not in box_record(EXPLANATION, {})


def test_box_record_tells_the_answer() -> None:
    """A box that was asked about carries the question and what became of it; a detection has no such key."""
    answer = Answer("gt_17", (1.0, 2.0, 3.0, 4.0), "dog", Verdict.LOW_SCORE, "scored too low", 0.75)
    record = box_record(dataclasses.replace(EXPLANATION, answer=answer), {})
    assert record["answer"] == {
        "name": "gt_17",
        "box_xyxy": [1.0, 2.0, 3.0, 4.0],
        "class_name": "dog",
        "verdict": "low_score",
        "words": "scored too low",
        "iou": 0.75,
        "other_index": None,
    }
    said = (Said("scored too low: {0}", ("0.1",)), Said("; asked in slice {0}", ("0,0,9,9",)))
    in_slice = dataclasses.replace(answer, said=said, share_seen=0.5)
    record = box_record(dataclasses.replace(EXPLANATION, answer=in_slice, slice_xyxy=(0, 0, 9, 9)), {})
    assert record["slice_xyxy"] == [0, 0, 9, 9] and record["answer"]["share_seen"] == 0.5
    assert record["answer"]["said"][1] == {"pattern": "; asked in slice {0}", "values": ["0,0,9,9"]}
    assert not {"answer", "truth"} & set(box_record(EXPLANATION, {}))


def test_truth_tells_what_was_found_missed_and_wrong() -> None:
    """Of three shown detections one found one of two objects."""
    objects = [TrueBox(5, "dog", (0.0, 0.0, 9.0, 9.0)), TrueBox(6, "dog", (50.0, 0.0, 59.0, 9.0))]
    shown = [dataclasses.replace(DETECTION, index=index) for index in (0, 2, 3)]
    matches = [Match(objects[1], 2, 0.75)]
    assert box_truth(2, matches) == {"matched": True, "annotation_id": 6, "iou": 0.75}
    assert box_truth(3, matches) == {"matched": False, "annotation_id": None, "iou": None}
    assert image_truth(shown, objects, matches) == {"boxes": 2, "matched": 1, "missed": 1, "false_positives": [0, 3]}


def test_image_record_counts_and_measures() -> None:
    """An image's line has its size, every detection counted, the best score, and rounded seconds."""
    below = dataclasses.replace(DETECTION, index=4, score=0.125)
    boxes = [box_record(EXPLANATION, {"overlay": "straße/3.jpg"})]
    record = image_record(
        "photos/straße.jpg",
        "straße",
        original_hw=HW,
        detections=[DETECTION, below],
        boxes=boxes,
        seconds={"detect": 0.123456},
    )
    assert record == {
        "path": "photos/straße.jpg",
        "name": "straße",
        "status": "ok",
        "size": {"height": 48, "width": 64},
        "seconds": {"detect": 0.1235},
        "detections": 2,
        "highest_score": 0.75,
        "boxes": boxes,
    }


def test_image_record_of_an_array_without_detections() -> None:
    """An array has no path, and no detection means no best score: both are null."""
    record = json.loads(encode_line(image_record(None, "", original_hw=HW, detections=[], boxes=[], seconds={})))
    assert (record["path"], record["detections"], record["highest_score"], record["boxes"]) == (None, 0, None, [])


def test_image_record_tells_its_files_and_its_truth() -> None:
    """What there is once per image, and what ground truth says, is there only when it was asked for."""
    files, truth = {"raw": "maps.npz"}, {"boxes": 1, "matched": 1, "missed": 0, "false_positives": []}
    more = image_record("a", "", original_hw=HW, detections=[], boxes=[], seconds={}, files=files, truth=truth)
    assert (more["files"], more["truth"]) == (files, truth)
    assert not {"files", "truth"} & set(image_record("a", "", original_hw=HW, detections=[], boxes=[], seconds={}))


def test_failed_record_has_the_reason_and_nothing_else() -> None:
    """An image that could not be explained has no numbers."""
    assert failed_record("a.jpg", "a", "is empty") == {
        "path": "a.jpg",
        "name": "a",
        "status": "failed",
        "reason": "is empty",
    }


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


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{}\n", b"[]\n", b"3\n", b"\xff\n", b'{"status": "ok"}', b"[" * 9999 + b"\n"], ids=ascii
)
def test_decode_line_gives_nothing_for_what_is_no_whole_line(line: bytes) -> None:
    """A line that is cut off, or no record, is None and no error."""
    assert decode_line(line) is None


def test_decode_line_gives_the_record() -> None:
    """A line reads back."""
    assert decode_line(encode_line(failed_record("a", "b", "c"))) == failed_record("a", "b", "c")


# files_of, listed_files


def test_files_of_gives_all_kinds_once() -> None:
    """Files of the image and of its boxes are listed; schema 1's as well."""
    boxes = [
        {"files": {"overlay": "a b/0.jpg", "heatmap": "a b/0.heatmap.png", "crop": "a b/0.crop.jpg"}},
        {"files": {"panel": "a b/gt_17.panel.jpg", "overlay": "a b/0.jpg"}},
        {"file": "7.jpg"},
    ]
    files = {"raw": "a b/maps.npz", "summary": "a b/summary.jpg", "photo": "a b/photo.jpg"}
    assert files_of({"boxes": boxes, "files": files}) == [
        *files.values(),
        "a b/0.jpg",
        "a b/0.heatmap.png",
        "a b/0.crop.jpg",
        "a b/gt_17.panel.jpg",
        "7.jpg",
    ]


@pytest.mark.parametrize(
    "file",
    [
        "/etc/0.jpg",
        "../0.jpg",
        "a/../../0.jpg",
        "notes.txt",
        "0.png",
        "x.jpg",
        "0.jpg.bak",
        "",
        "..",
        3,
        None,
        ["0.jpg"],
    ],
    ids=str,
)
def test_files_of_leaves_out_what_no_run_writes(file: object) -> None:
    """A forged line cannot make a run remove or replace other files."""
    record = {"boxes": [{"files": {"overlay": file}, "file": file}, 3], "files": {"raw": file}}
    assert files_of(record) == []
    assert files_of({"boxes": 3, "files": 3}) == []


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
        b'{"status": "ok", "boxes": [{"files": 3}]}\n',
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
