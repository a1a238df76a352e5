"""Runs over many images: what they write, what a bad image does to them, how they stop and go on."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.many_images import ALL_KINDS, CHOICE, SIDE, THRESHOLD, Many, without_times
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO
from support.trees import contents

from ppdet_cam import Explainer
from ppdet_cam.commands.progress import ImagesBar
from ppdet_cam.explaining.projection import project
from ppdet_cam.images.reading import read_image
from ppdet_cam.outputs.manifest import files_of
from ppdet_cam.outputs.raw import encode_grids, raw_grids
from ppdet_cam.render import RenderStyle, draw_explanation, encode_jpeg, scale_end
from ppdet_cam.running import drawing, many
from ppdet_cam.running.drawing import energy_in_box
from ppdet_cam.structures import GridPlacement


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Five parts of a photograph, in folders, with names of all sorts."""
    folder = tmp_path_factory.mktemp("photos")
    names = ["a.jpg", 'b/it\'s a "b" & $(c).jpg', "b/Straße 行.png", "c/d/a.jpg", "c/e.jpg"]
    with Image.open(PHOTO) as photo:
        for number, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            left, top = 40 + 110 * number, 30 + 60 * number
            photo.crop((left, top, left + SIDE, top + SIDE)).convert("RGB").save(folder / name, quality=95)
    return folder


NAMES = ["a", "b/Straße 行", 'b/it\'s a "b" & $(c)', "c/d/a", "c/e"]


@pytest.fixture
def run(command, photos):
    """Runs over many images."""
    return Many(command, photos)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, photos, seeded_weights):
    """What a run over the photographs leaves that nothing interrupts."""
    from ppdet_cam.commands.cam_ppdet import main

    cam_out = tmp_path_factory.mktemp("uninterrupted") / "out"
    words = ["-c", BLAZEFACE, "-o", f"weights={seeded_weights[BLAZEFACE]}", "--infer_dir", photos, "--recursive"]
    assert main([str(word) for word in (*words, *CHOICE, "--cam_out", cam_out)]) == 0
    return without_times(cam_out)


# --- what is written


def test_folder_s_pictures_keep_their_relative_paths(run):
    """Each image has a folder named like itself; its line lists its files; totals count them all."""
    done = run()
    assert done.code == 0, done.err
    records = run.records()
    assert [record["name"] for record in records] == NAMES
    assert [Path(record["path"]).with_suffix("") for record in records] == [run.photos / name for name in NAMES]
    for record in records:
        assert record["status"] == "ok" and record["size"] == {"height": SIDE, "width": SIDE}
        assert record["detections"] > len(record["boxes"]) == 2
        for box in record["boxes"]:
            assert box["files"] == {"overlay": f"{record['name']}/{box['index']}.jpg"}
            assert 0 <= box["energy_in_box"] <= 1
    pictures = {file for record in records for file in files_of(record)}
    assert {name for name, content in contents(run.cam_out).items() if content is not None} == {
        *pictures,
        "images.jsonl",
        "run.json",
    }
    document = run.command.run_record()
    assert document["schema_version"] == 2 and document["class_names"] == ["face"]
    assert (document["totals"]["images"], document["totals"]["explained"], document["totals"]["failed"]) == (5, 10, 0)
    (line,) = done.out
    assert line.startswith("10 pictures of 5 images in cam_out (")


def test_image_of_a_folder_gives_what_it_gives_alone(run):
    """The company of other images changes neither a box nor a pixel."""
    run("--cam_out", "many")
    for name in ("a.jpg", "c/e.jpg"):
        run.on("--infer_img", run.photos / name, "--overwrite", *CHOICE)
        alone = run.command.image_record()
        (among,) = [record for record in run.records(run.folder / "many") if record["path"] == alone["path"]]
        for box, other in zip(alone["boxes"], among["boxes"]):
            assert {**box, "files": {}} == {**other, "files": {}}
            picture = (run.cam_out / box["files"]["overlay"]).read_bytes()
            assert picture == (run.folder / "many" / other["files"]["overlay"]).read_bytes()


def test_several_images_and_a_list_give_what_their_folder_gives(run, monkeypatch):
    """Files on the command line, in a list, and in a folder are the same images."""
    monkeypatch.chdir(run.photos)
    names = ["c/e.jpg", "a.jpg"]
    listing = run.folder / "list.txt"
    listing.write_text("\n".join(names))
    results = []
    for arguments in (
        ["--infer_img", *names],
        ["--infer_img", names[0], "--infer_img", names[1]],
        ["--infer_list", listing],
    ):
        assert run.on(*arguments, *CHOICE, "--cam_out", run.cam_out, "--overwrite").code == 0
        assert [record["path"] for record in run.records()] == names
        assert [record["name"] for record in run.records()] == ["c/e", "a"]
        results.append({name: content for name, content in run.result().items() if name != "run.json"})
    assert results[0] == results[1] == results[2]


def test_every_kind_of_file_is_written(run):
    """Per box overlay, clean, heatmap, crop and panel; per image maps, summary and photo: whole, of the right size."""
    assert run("--save", ALL_KINDS, "--target_feature_layer_name", "model.neck").code == 0
    for record in run.records():
        name = record["name"]
        assert record["files"] == {
            "raw": f"{name}/maps.npz",
            "summary": f"{name}/summary.jpg",
            "photo": f"{name}/photo.jpg",
        }
        photo = cv2.imread(str(run.cam_out / name / "photo.jpg")).astype(int)
        assert np.abs(photo - cv2.imread(record["path"])).mean() < 3
        assert cv2.imread(str(run.cam_out / name / "summary.jpg")) is not None
        for box in record["boxes"]:
            stem = f"{name}/{box['index']}"
            assert box["files"] == {
                "overlay": f"{stem}.jpg",
                "clean": f"{stem}.clean.png",
                "heatmap": f"{stem}.heatmap.png",
                "crop": f"{stem}.crop.jpg",
                "panel": f"{stem}.panel.jpg",
            }
            assert cv2.imread(str(run.cam_out / f"{stem}.heatmap.png"), cv2.IMREAD_UNCHANGED).shape == (SIDE, SIDE, 4)
            assert cv2.imread(str(run.cam_out / f"{stem}.clean.png")).shape == photo.shape
            for kind in ("overlay", "crop", "panel"):
                assert cv2.imread(str(run.cam_out / box["files"][kind])) is not None


def test_summary_keeps_no_level_s_map(run, monkeypatch):
    """With panels asked for as well, the maps of all levels of all boxes would be kept until the image is done."""
    real, seen = drawing.draw_summary, []

    def note(photo: np.ndarray, explanations: object, **options: object) -> np.ndarray:
        return real(photo, (seen.append(given) or given for given in explanations), **options)

    monkeypatch.setattr(drawing, "draw_summary", note)
    assert run("--save", "panel,summary").code == 0
    assert len(seen) == 10 and all(given.level_heatmaps == () for given in seen)


def test_photo_is_upright(run, small_rotated):
    """The photo that is saved for the report is turned as EXIF says, like the maps."""
    assert run.on("--infer_img", small_rotated, *CHOICE, "--save", "photo,heatmap,raw").code == 0
    height, width = run.command.image_record()["size"].values()
    assert (height, width) == (SIDE, SIDE // 2)
    assert cv2.imread(str(run.cam_out / "photo.jpg"), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION).shape == (
        height,
        width,
        3,
    )
    with np.load(run.cam_out / "maps.npz") as raw:
        assert raw["maps"].shape[1:] == (height, width)


@pytest.fixture
def small_rotated(run):
    """A photograph that EXIF turns by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    with Image.open(PHOTO) as photo:
        photo.crop((0, 0, SIDE, SIDE // 2)).save(run.folder / "turned.jpg", exif=exif)
    return run.folder / "turned.jpg"


@pytest.mark.parametrize(("dtype", "reduction"), [("float16", 1), ("float32", 1), ("float16", 7)])
def test_raw_maps_are_the_explanations(run, detector_of, dtype, reduction):
    """Maps, boxes and scores read back as the Python API gives them, to the precision that was asked for."""
    run("--save", "raw", "--raw_dtype", dtype, "--raw_reduction", str(reduction))
    (line,) = [line for line in run.records() if line["name"] == "c/e"]
    assert [box["files"] for box in line["boxes"]] == [{}, {}]
    explainer = Explainer(detector_of("blazeface"), draw_threshold=THRESHOLD, top_k=2)
    expected = explainer(run.photos / "c/e.jpg")
    with np.load(run.cam_out / line["files"]["raw"]) as raw:
        assert raw["maps"].dtype == dtype and raw["reduction"] == reduction
        assert raw["original_hw"].tolist() == [SIDE, SIDE]
        assert raw["names"].tolist() == [explanation.name for explanation in expected]
        assert raw["index"].tolist() == [explanation.detection.index for explanation in expected]
        for position, explanation in enumerate(expected):
            np.testing.assert_allclose(raw["scores"][position], explanation.detection.score)
            np.testing.assert_allclose(raw["boxes_xyxy"][position], explanation.detection.box_xyxy, rtol=1e-6)
            stored = raw["maps"][position].astype(np.float64) * raw["scale"][position]
            full = explanation.heatmap.astype(np.float64)
            if reduction == 1:
                np.testing.assert_allclose(stored, full, atol=full.max() * (1e-3 if dtype == "float16" else 1e-6))
            else:
                assert stored.shape == (14, 14)
                np.testing.assert_allclose(stored[0, 0], full[:7, :7].mean(), atol=full.max() * 1e-3)
                np.testing.assert_allclose(stored[13, 13], full[91:, 91:].mean(), atol=full.max() * 1e-3)


@pytest.mark.parametrize(("dtype", "error"), [("float16", 1e-3), ("float32", 1e-6)])
def test_raw_maps_on_the_grid_make_the_explanations(run, detector_of, dtype, error):
    """Each level's cells are stored as they are; put where the file says, they add up to the map on the image."""
    run("--save", "raw", "--raw_frame", "grid", "--raw_dtype", dtype, "--method", "layercam")
    assert run.command.run_record()["flags"]["raw_frame"] == "grid"
    (line,) = [line for line in run.records() if line["name"] == "c/e"]
    explainer = Explainer(detector_of("blazeface"), draw_threshold=THRESHOLD, top_k=2, method="layercam")
    expected = explainer(run.photos / "c/e.jpg")
    with np.load(run.cam_out / line["files"]["raw"]) as raw:
        assert "maps" not in raw and "reduction" not in raw
        assert raw["names"].tolist() == [explanation.name for explanation in expected]
        assert raw["original_hw"].tolist() == [SIDE, SIDE]
        assert (raw["layers"].tolist(), raw["levels"].tolist()) == (["model.backbone"] * 2, [0, 1])
        for position, explanation in enumerate(expected):
            heatmap, stored = np.zeros((SIDE, SIDE)), []
            for number, level in enumerate(explanation.levels):
                cells = raw[f"grid_{number}"][position]
                assert (cells.dtype, cells.shape) == (dtype, level.grid_hw)
                stored.append(cells.astype(np.float64) * raw["scale"][position])
                place = GridPlacement(*(tuple(raw[key][position, number]) for key in ("top_left_yx", "cell_yx")))
                heatmap += project(stored[-1], place, original_hw=(SIDE, SIDE))
            np.testing.assert_allclose(heatmap, explanation.heatmap, atol=explanation.heatmap.max() * error)
            total = sum(cells.sum() for cells in stored)
            shares = [cells.sum() / total for cells in stored]
            np.testing.assert_allclose(shares, [level.share for level in explanation.levels], atol=error)


def test_raw_maps_on_the_grid_of_a_roi(detector_of, photo):
    """A RoI's cells lie on its proposal, which is another one for each box."""
    explainer = Explainer(detector_of("faster"), layers="model.bbox_head.roi_extractor", draw_threshold=0.0, top_k=2)
    explanations = list(explainer(photo))
    content = encode_grids(
        [raw_grids(of_box) for of_box in explanations], original_hw=photo.original_hw, dtype="float16"
    )
    with np.load(io.BytesIO(content)) as raw:
        for position, explanation in enumerate(explanations):
            left, top, right, bottom = explanation.box_xyxy_roi
            height, width = raw["grid_0"].shape[1:]
            np.testing.assert_allclose(raw["top_left_yx"][position, 0], (top, left))
            np.testing.assert_allclose(raw["cell_yx"][position, 0], ((bottom - top) / height, (right - left) / width))


def test_one_scale_for_an_image_or_the_run(run, detector_of):
    """The hottest colour stands for the end of scale of the image, or of all images, in every kind of picture."""
    explainer = Explainer(detector_of("blazeface"), draw_threshold=THRESHOLD, top_k=2)
    results = {name: explainer(read_image(path)) for name in NAMES for path in run.photos.glob(f"{glob_of(name)}.*")}
    peaks = {name: scale_end(result) for name, result in results.items()}
    for scope, peak_of in (("image", peaks.get), ("run", lambda _: max(peaks.values()))):
        assert run("--normalize", scope, "--save", ALL_KINDS, "--overwrite").code == 0
        for name, result in results.items():
            for explanation in result:
                style = RenderStyle(normalize=scope)
                picture = draw_explanation(result.frame.image, explanation, style=style, highest=peak_of(name))
                assert (run.cam_out / name / f"{explanation.name}.jpg").read_bytes() == encode_jpeg(picture)


def glob_of(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def test_style_of_the_command_line_is_drawn(run, detector_of):
    """--colormap, --alpha and --mask reach the pictures; run.json has them."""
    assert run("--colormap", "jet", "--alpha", "0.3", "--mask", "box:1.5", "--scale", "max").code == 0
    explainer = Explainer(detector_of("blazeface"), draw_threshold=THRESHOLD, top_k=2)
    result = explainer(run.photos / "a.jpg")
    style = RenderStyle("jet", 0.3, "box:1.5", scale="max")
    picture = encode_jpeg(draw_explanation(result.frame.image, result[0], style=style))
    assert (run.cam_out / "a" / f"{result[0].name}.jpg").read_bytes() == picture
    flags = run.command.run_record()["flags"]
    assert [flags[name] for name in ("colormap", "alpha", "mask", "normalize", "scale")] == [
        "jet",
        0.3,
        "box:1.5",
        "box",
        "max",
    ]


@pytest.mark.parametrize("workers", ["0", "5"])
def test_number_of_workers_changes_nothing(run, uninterrupted, workers):
    """Drawn at once or by many threads, the result is the same, byte for byte."""
    run("--workers", workers)
    assert run.result() == uninterrupted


def test_report_has_what_it_needs(run):
    """--report saves photos and heatmaps as well, and writes the page at the end."""
    assert run("--report").code == 0
    assert run.command.run_record()["flags"]["save"] == ["overlay", "heatmap", "photo"]
    assert '"c/d/a"' in (run.cam_out / "report.html").read_text(encoding="utf-8")
    assert run("--overwrite").code == 0
    assert not (run.cam_out / "report.html").exists()


def test_report_of_one_image(run):
    """A single image has a report as well, and the next one takes it away."""
    assert run.on("--infer_img", run.photos / "a.jpg", "--report").code == 0
    assert {"photo.jpg", "report.html"} <= set(contents(run.cam_out))
    assert run.on("--infer_img", run.photos / "a.jpg").code == 0
    assert not {"photo.jpg", "report.html"} & set(contents(run.cam_out))


# --- ground truth


@pytest.fixture
def annotations(run, detector_of):
    """Annotations of two images: a found object and a missed one, and none."""
    detector = detector_of("blazeface")
    found = Explainer(detector, draw_threshold=THRESHOLD)(run.photos / "a.jpg")[0].detection
    left, top, right, bottom = found.box_xyxy
    document = {
        "categories": [{"id": 1, "name": "face"}],
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "c/e.jpg"}],
        "annotations": [
            {"id": 17, "image_id": 1, "category_id": 1, "bbox": [left, top, right - left, bottom - top]},
            {"id": 18, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 90]},
        ],
    }
    path = run.folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


def test_annotated_images_are_explained_with_their_truth(run, annotations):
    """Lines say what was found, what was missed, and which detections found nothing."""
    done = run.on("--gt", annotations, "--infer_dir", run.photos, "--draw_threshold", str(THRESHOLD))
    assert done.code == 0, done.err
    first, second = run.records()
    assert (first["name"], second["name"]) == ("a", "c/e")
    shown = [box for box in first["boxes"] if "answer" not in box]
    (missed,) = [box for box in first["boxes"] if "answer" in box]
    assert missed["answer"]["name"] == "gt_18" and "truth" not in missed
    assert shown[0]["truth"] == {"matched": True, "annotation_id": 17, "iou": pytest.approx(1)}
    assert {"matched": False, "annotation_id": None, "iou": None} in [box["truth"] for box in shown[1:]]
    wrong = [box["index"] for box in shown if not box["truth"]["matched"]]
    assert first["truth"] == {"boxes": 2, "matched": 1, "missed": 1, "false_positives": wrong}
    everything = [box["index"] for box in second["boxes"]]
    assert second["truth"] == {"boxes": 0, "matched": 0, "missed": 0, "false_positives": everything}


def test_image_without_annotations_fails_alone(run, annotations):
    """In a list with ground truth, an image that is not in it is named, and the others are explained."""
    images = [run.photos / "a.jpg", run.photos / "c/d/a.jpg", run.photos / "c/e.jpg"]
    done = run.on("--gt", annotations, "--infer_img", *images, *CHOICE)
    assert done.code == 0  # c/d/a.jpg ends like a.jpg
    done = run.on("--gt", annotations, "--infer_img", images[0], run.photos / "b/Straße 行.png", *CHOICE, "--overwrite")
    assert done.code == 3
    assert "has no image 'Straße 行.png'" in done.err[0]


# --- bad images


def test_bad_image_among_good_ones_does_not_stop_the_run(run, photos):
    """Unreadable, empty, missing, a pipe: each is recorded with its reason, the others are explained, the code is 3."""
    folder = run.folder / "photos"
    folder.mkdir()
    good = photos / "a.jpg"
    for name in ("1.jpg", "6 good.jpg"):
        (folder / name).write_bytes(good.read_bytes())
    (folder / "2.jpg").write_bytes(b"hello, I am text")
    (folder / "3.jpg").write_bytes(b"")
    (folder / "4.jpg").symlink_to("nowhere.jpg")
    (folder / "5.jpg").write_bytes(good.read_bytes()[:-200])
    os.mkfifo(folder / "7.jpg")
    done = run(folder=folder)
    assert done.code == 3
    records = {Path(record["path"]).name: record for record in run.records()}
    assert [name for name, record in records.items() if record["status"] == "ok"] == ["1.jpg", "6 good.jpg"]
    expected = {
        "2.jpg": "is not an image",
        "3.jpg": "is empty",
        "4.jpg": "no image file",
        "5.jpg": "truncated or damaged",
        "7.jpg": "is a device or pipe",
    }
    for (name, words), line in zip(expected.items(), done.err):
        assert set(records[name]) == {"path", "name", "status", "reason"}
        assert words in records[name]["reason"]
        assert line == f"cam_ppdet: failed: {records[name]['reason']}"
    totals = run.command.run_record()["totals"]
    assert (totals["images"], totals["failed"]) == (7, 5)
    assert ", 5 images failed (" in done.out[0]
    assert done.out[0].startswith("4 pictures of 7 images in cam_out")


def test_any_error_is_one_image_s(run, monkeypatch):
    """What nobody thought of fails one image, too, with the error's name."""
    explained = Explainer.stream

    def fail_at_one(explainer: Explainer, frame: object, **options: object) -> object:
        if "Straße" in str(frame.path):
            raise RuntimeError("(PreconditionNotMet) somewhere\n  deep inside")
        return explained(explainer, frame, **options)

    monkeypatch.setattr(Explainer, "stream", fail_at_one)
    assert run().code == 3
    (failed,) = [record for record in run.records() if record["status"] == "failed"]
    assert failed["reason"] == "RuntimeError: (PreconditionNotMet) somewhere deep inside"


def test_picture_that_cannot_be_drawn_fails_its_image_alone(run, monkeypatch):
    """An error in a thread is recorded like any other, and nothing of the image is left."""
    real, drawn = drawing.encode_box, []

    def fail_at_the_second(*arguments: object, **options: object) -> bytes:
        drawn.append(arguments)
        if len(drawn) == 2:
            raise MemoryError("a picture too large")
        return real(*arguments, **options)

    monkeypatch.setattr(drawing, "encode_box", fail_at_the_second)
    run("--workers", "3")
    (failed,) = [record for record in run.records() if record["status"] == "failed"]
    assert failed["reason"] == "MemoryError: a picture too large"
    assert not (run.cam_out / failed["name"]).exists()


def test_names_of_all_sorts_are_explained(run):
    """Files that differ in the suffix only, names that are no UTF-8 or hold line breaks: each has its own folder."""
    folder = run.folder / "photos"
    folder.mkdir()
    content = (run.photos / "a.jpg").read_bytes()
    names = ["a.jpg", "a.jpeg", "run.json.jpg", "two\nlines\u2028.jpg", "..jpg", os.fsdecode(b"caf\xe9.jpg")]
    for name in names:
        (folder / name).write_bytes(content)
    assert run(folder=folder).code == 0
    records = {Path(record["path"]).name: record["name"] for record in run.records()}
    assert records == {
        "a.jpg": "a_jpg",
        "a.jpeg": "a_jpeg",
        "run.json.jpg": "run_json",
        "two\nlines\u2028.jpg": "two\nlines\u2028",
        "..jpg": "._jpg",
        names[-1]: os.fsdecode(b"caf\xe9"),
    }
    for record in run.records():
        assert all((run.cam_out / file).is_file() for file in files_of(record))
    before = contents(run.cam_out)
    assert run("--resume", folder=folder).code == 0
    assert contents(run.cam_out) == before


def test_folder_in_the_way_fails_its_image_alone(run):
    """A file of the user's where a folder should be stays, and so does one where a picture should be."""
    run.cam_out.mkdir()
    (run.cam_out / "a").write_bytes(b"mine")
    (run.cam_out / "c").mkdir()
    (run.cam_out / "c" / "e").mkdir()
    (run.cam_out / "c" / "e" / "0.jpg").write_bytes(b"mine too")
    assert run().code == 3
    failed = {record["name"]: record["reason"] for record in run.records() if record["status"] == "failed"}
    assert set(failed) == {"a", "c/e"}
    assert "File exists" in failed["a"] or "Not a directory" in failed["a"]
    assert "c/e/0.jpg is not of an earlier run and would be replaced" in failed["c/e"]
    assert (run.cam_out / "a").read_bytes() == b"mine"
    assert (run.cam_out / "c" / "e" / "0.jpg").read_bytes() == b"mine too"


def test_all_images_may_fail(run):
    """The manifest is written all the same."""
    (run.folder / "photos").mkdir()
    (run.folder / "photos" / "a.jpg").touch()
    assert run(folder=run.folder / "photos").code == 3
    totals = run.command.run_record()["totals"]
    assert (totals["images"], totals["failed"], totals["highest_score"]) == (1, 1, None)


def test_many_failures_are_not_all_printed(run):
    """Twenty are; the manifest has them all."""
    folder = run.folder / "photos"
    folder.mkdir()
    for number in range(25):
        (folder / f"{number:02}.jpg").touch()
    done = run(folder=folder)
    assert len(done.err) == 21 and done.err[-1] == "cam_ppdet: failed: 5 more; images.jsonl names them"
    assert len(run.records()) == 25


def test_output_path_that_is_too_long_fails_its_image_alone(run):
    """The image can be read from where it lies, but its folder cannot be made."""
    folder, cam_out = run.folder / "photos", run.folder / "/".join(["o" * 250] * 8)
    deep = folder / "/".join(["d" * 250] * 9)
    deep.mkdir(parents=True)
    for place in (folder, deep):
        (place / "a.jpg").write_bytes((run.photos / "a.jpg").read_bytes())
    done = run("--cam_out", cam_out, folder=folder)
    assert done.code == 3
    short, long = sorted(run.records(cam_out), key=lambda record: len(record["name"]))
    assert short["status"] == "ok" and (cam_out / "a" / f"{short['boxes'][0]['index']}.jpg").exists()
    assert long["status"] == "failed" and "File name too long" in long["reason"]


def test_layer_without_a_feature_map_stops_at_once(run):
    """What holds for every image is no image's failure; nothing is left."""
    before = contents(run.folder)
    message = run.command.refused(run("--target_feature_layer_name", "model.blaze_head"))
    assert "no feature map" in message
    assert contents(run.folder) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save", "overlay,heat"], "--save 'heat' is not supported (did you mean 'heatmap'"),
        (["--save", "overlay,"], "--save 'overlay,' has an empty item"),
        (["--raw_dtype", "float64"], "--raw_dtype must be float16 or float32, not 'float64'"),
        (["--raw_frame", "pixels"], "--raw_frame must be image or grid, not 'pixels'"),
        (["--raw_frame", "grid", "--raw_reduction", "4"], "--raw_reduction averages pixels, and --raw_frame grid"),
        (["--raw_frame", "grid", "--method", "drise"], "--raw_frame grid saves maps on feature grids, and --m"),
        (["--raw_reduction", "0"], "--raw_reduction must be at least 1, not 0"),
        (["--colormap", "plasm"], "--colormap 'plasm' is not supported (did you mean 'plasma'"),
        (["--alpha", "2"], "--alpha must be a number from 0"),
        (["--workers", "-1"], "--workers must be 0 or more"),
        (["--shard", "3/2"], "--shard '3/2' is not I/N"),
        (["--shard", "1/2", "--overwrite"], "--overwrite with --shard"),
        (["--shard", "1/2", "--normalize", "run"], "--normalize run gives all pictures one scale"),
        (["--resume", "--overwrite"], "--resume goes on with an earlier run, --overwrite removes it"),
        (["--infer_list", "l.txt"], "--recursive looks into the folders of --infer_dir"),
    ],
)
def test_flags_that_cannot_be_are_refused(run, arguments, message):
    """One line, exit code 2, nothing written."""
    before = contents(run.folder)
    assert run.command.refused(run(*arguments)).startswith(message)
    assert contents(run.folder) == before


def test_empty_folder_is_refused(run):
    """A run over nothing is a mistake, and the message says what was looked for."""
    (run.folder / "photos" / "deeper").mkdir(parents=True)
    message = run.command.refused(run.on("--infer_dir", run.folder / "photos"))
    assert "holds no image (.bmp, " in message and "--recursive" in message
    assert not run.cam_out.exists()


def test_single_image_is_not_resumed(run):
    """It has nothing to go on with."""
    message = run.command.refused(run.on("--infer_img", run.photos / "a.jpg", "--resume"))
    assert message.startswith("--resume goes on with a run over several images")


def test_only_a_run_of_one_image_is_replaced_by_itself(run):
    """A run over many images is never removed without being asked to, neither by one image nor by many."""
    one = ("--infer_img", run.photos / "a.jpg")
    assert run.on(*one).code == 0
    assert run.on(*one).code == 0
    assert "holds a run" in run.command.refused(run())
    assert run("--overwrite").code == 0
    before = contents(run.cam_out)
    assert "--overwrite replaces it" in run.command.refused(run.on(*one))
    assert contents(run.cam_out) == before
    assert run.on(*one, "--overwrite").code == 0
    assert not {"a", "b", "c"} & set(contents(run.cam_out))


# --- stopping and going on


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], None]) -> None:
    """Does something when the maps of the so-many-th image are about to be computed."""
    explained, seen = Explainer.stream, []

    def note(explainer: Explainer, frame: object, **options: object) -> object:
        seen.append(frame)
        if len(seen) == number:
            action()
        return explained(explainer, frame, **options)

    monkeypatch.setattr(Explainer, "stream", note)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_after_the_current_image(run, uninterrupted, monkeypatch, number, code):
    """The image at work is finished; the rest is left to --resume, which ends as if nothing had happened."""
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        stop_at(patch, 3, lambda: signal.raise_signal(number))
        done = run()
    assert done.code == code
    assert done.err == [
        "cam_ppdet: stopping after the current image",
        "cam_ppdet: interrupted; go on with --resume",
    ]
    assert done.out[0].startswith("6 pictures of 3 images in cam_out, 2 images left (")
    assert [record["name"] for record in run.records()] == NAMES[:3]
    assert not (run.cam_out / "run.json").exists()
    assert signal.getsignal(number) in (handler, signal.SIG_DFL)
    assert run("--resume").code == 0
    assert run.result() == uninterrupted


def test_second_ctrl_c_stops_at_once(run, uninterrupted, monkeypatch):
    """The image at work is given up, and nothing of it is left."""

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        stop_at(patch, 5, twice)
        done = run()
    assert (done.code, done.out, done.err[-1]) == (130, [], "cam_ppdet: interrupted")
    finished = run.records()
    assert 0 < len(finished) < 5
    pictures = {name for name in contents(run.cam_out) if name.endswith(".jpg")}
    assert pictures == {file for record in finished for file in files_of(record)}
    assert run("--resume").code == 0
    assert run.result() == uninterrupted


@pytest.mark.parametrize(("number", "reason"), [(28, "No space left on device"), (30, "Read-only file system")])
def test_full_or_read_only_disk_stops_the_run_which_goes_on_later(run, uninterrupted, monkeypatch, number, reason):
    """One line says what is wrong and how far the run came; when there is room, --resume ends it."""
    real, written = drawing.write_new, []

    def full_at_the_seventh(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) >= 7:
            raise OSError(number, reason, str(path))
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(drawing, "write_new", full_at_the_seventh)
        message = run.command.refused(run("--workers", "0"))
    assert reason in message and "3 of 5 images are done; go on with --resume" in message
    assert [record["name"] for record in run.records()] == NAMES[:3]
    assert run("--resume").code == 0
    assert run.result() == uninterrupted


def test_resume_of_nothing_starts(run, uninterrupted):
    """A job that is always started with --resume need not know whether it is the first time."""
    assert run("--resume").code == 0
    assert run.result() == uninterrupted


def test_resume_of_a_finished_run_tries_again_what_failed(run, photos):
    """An image that can be read now is explained; nothing else is touched."""
    folder = run.folder / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes((photos / "a.jpg").read_bytes())
    content = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(b"")
    assert run(folder=folder).code == 3
    assert run("--resume", folder=folder).code == 3
    picture = run.cam_out / files_of(run.records()[1])[0]
    before = picture.stat().st_mtime_ns
    (folder / "a.jpg").write_bytes(content)
    assert run("--resume", folder=folder).code == 0
    assert [record["status"] for record in run.records()] == ["ok", "ok"]
    assert picture.stat().st_mtime_ns == before
    assert run.command.run_record()["totals"]["failed"] == 0


def test_other_settings_are_not_mixed(run):
    """The first run's settings are told apart from this one's, one by one, also inside of the config."""
    run()
    before = contents(run.cam_out)
    message = run.command.refused(run("--resume", "--method", "hirescam"))
    assert "--method was " in message and ", is 'hirescam'" in message
    (run.folder / "b.txt").write_text("a.jpg")
    message = run.command.refused(
        run.on("--infer_dir", run.photos, *CHOICE, "--resume", "-o", "BBoxPostProcess.nms.keep_top_k=9")
    )
    for words in ("--recursive was True, is False", "keep_top_k was 750, is 9", "the images were 5, are 1"):
        assert words in message
    assert contents(run.cam_out) == before


def test_resumed_measuring_measures_no_image_twice(run, monkeypatch):
    """One scale for the whole run takes two passes; a run that is stopped in the first one goes on there."""
    with monkeypatch.context() as patch:
        stop_at(patch, 3, lambda: signal.raise_signal(signal.SIGINT))
        assert run("--normalize", "run").code == 130
    measured = many.scale_end
    seen = []
    monkeypatch.setattr(many, "scale_end", lambda given, **style: seen.append(given) or measured(given, **style))
    assert run("--normalize", "run", "--resume").code == 0
    assert len(seen) == 2
    resumed = run.result()
    assert run("--normalize", "run", "--overwrite").code == 0
    assert run.result() == resumed


# --- several processes


def test_ranks_give_what_one_process_gives(run, uninterrupted, monkeypatch):
    """Each rank's line says what it did; the last one tells of the whole run."""
    lines = []
    for index in (1, 0):
        monkeypatch.setenv("PADDLE_TRAINER_ID", str(index))
        monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
        done = run()
        assert done.code == 0
        lines += done.out
    assert lines[0].startswith("rank 1 of 2: 4 pictures of 2 images in cam_out (")
    assert lines[1].startswith("10 pictures of 5 images in cam_out (")
    assert run.result() == uninterrupted


def test_rank_with_failures_does_not_stop_the_others(run, photos, monkeypatch):
    """Paddle's launcher ends all ranks when one exits with an error, so only the last rank may."""
    folder = run.folder / "photos"
    folder.mkdir()
    (folder / "a.jpg").touch()
    (folder / "b.jpg").write_bytes((photos / "a.jpg").read_bytes())
    codes = []
    for index in (0, 1):
        monkeypatch.setenv("PADDLE_TRAINER_ID", str(index))
        monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
        codes.append(run(folder=folder).code)
    assert codes == [0, 3]


def test_shards_give_what_one_process_gives(run, uninterrupted):
    """Without a launcher each shard is started by hand, when and where one likes."""
    for shard in ("3/3", "1/3", "2/3"):
        assert run("--shard", shard).code == 0
    assert run.result() == uninterrupted


def test_single_image_needs_one_rank(run, monkeypatch):
    """The other ranks have nothing to do, and say so."""
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert run.on("--infer_img", run.photos / "a.jpg").code == 0
    assert not run.cam_out.exists()


# --- the bar


class Terminal(io.StringIO):
    """What looks like a terminal."""

    def isatty(self) -> bool:
        return True


def test_bar_shows_speed_and_failures(monkeypatch):
    """On a terminal it counts images, boxes and failures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = ImagesBar()
    bar.begin(10, 4, "images")
    bar.advance(3, failed=False)
    bar.advance(0, failed=True)
    bar._bar.refresh()
    bar.end()
    shown = terminal.getvalue()
    assert "6/10 images |" in shown and " images/s, " in shown and " boxes/s, 1 failed" in shown


def test_bar_is_quiet_elsewhere(monkeypatch):
    """A log file gets no bar."""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    bar = ImagesBar()
    bar.begin(10, 0, "images")
    bar.advance(1, failed=False)
    bar.end()
    assert file.getvalue() == ""


# --- parts


def test_energy_in_box_is_the_metric(detector_of):
    """The manifest's number is the energy-based pointing game, without its copies of large maps."""
    from dataclasses import replace

    from ppdet_cam.metrics import energy

    (explanation, *_) = Explainer(detector_of("blazeface"), draw_threshold=THRESHOLD)(ROOT / "demo/coffee.jpg")
    for box in (explanation.detection.box_xyxy, (10.3, 20.7, 300.2, 310.9), (-50, -50, 9e3, 9e3), (700, 10, 800, 20)):
        asked = replace(explanation, detection=replace(explanation.detection, box_xyxy=box))
        assert energy_in_box(asked) == pytest.approx(energy(explanation.heatmap, box), abs=1e-6)
    upside_down = replace(explanation, detection=replace(explanation.detection, box_xyxy=(50, 50, 20, 20)))
    assert energy_in_box(upside_down) == 0
    assert energy_in_box(replace(explanation, heatmap=np.zeros_like(explanation.heatmap))) is None


@pytest.mark.parametrize("target", ["class", "box"])
@pytest.mark.parametrize("family_name", ["blazeface", "faster"])
def test_levels_add_up_to_the_map(detector_of, photo, family_name, target):
    """What the levels of a panel show is the map, level by level, in the order of the shares."""
    layers = ["model.neck"] if family_name == "blazeface" else ["model.neck", "model.bbox_head.roi_extractor"]
    explainer = Explainer(detector_of(family_name), layers=layers, target=target, draw_threshold=0.0, top_k=2)
    plain = explainer.stream(photo).explanations
    for explanation, without in zip(explainer.stream(photo, keep_levels=True).explanations, plain):
        np.testing.assert_array_equal(explanation.heatmap, without.heatmap)
        assert without.level_heatmaps == ()
        if explanation.status.value != "ok":
            continue
        assert len(explanation.level_heatmaps) == len(explanation.levels)
        np.testing.assert_allclose(
            sum(explanation.level_heatmaps), explanation.heatmap, atol=explanation.heatmap.max() * 1e-5
        )
