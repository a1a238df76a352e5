"""The command line does what it says: pictures, manifest, exit codes, and what it prints."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.families import FAMILIES
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO, SSD
from support.trees import contents

import ppdet_cam
from ppdet_cam import Explainer
from ppdet_cam.commands import terminal
from ppdet_cam.detectors.compat import PPDET
from ppdet_cam.detectors.inner_layers import feature_layers
from ppdet_cam.methods import cells_reached
from ppdet_cam.outputs.manifest import SCHEMA_VERSION
from ppdet_cam.outputs.pictures import Output
from ppdet_cam.questions.question import DEFAULT_METHOD
from ppdet_cam.running import batch
from ppdet_cam.structures import MapStatus

SCRIPT = ROOT / "tools" / "cam_ppdet.py"
NO_PATH_LAYER = "model.blaze_head.boxes0"  # box offsets: no class score depends on them
CPU_FALLBACK = "cam_ppdet: device: cpu (the config asks for gpu, but this paddle has none)"


@pytest.fixture
def on_cpu(monkeypatch):
    """A paddle without accelerator, whatever this machine has."""
    monkeypatch.setattr("ppdet_cam.detectors.building.available_accelerators", list)


def in_process_of_its_own(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, *map(str, arguments)]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


# --- what a run writes


@pytest.mark.smoke
@pytest.mark.parametrize("config", [BLAZEFACE, SSD], ids=["blazeface", "ssd"])
def test_run_writes_a_picture_per_box_above_the_threshold(command, config, detector_of, photo):
    """The boxes of the manifest are the detector's own rows above 0.5, each with a picture named by its index."""
    run = command.explain(config=config)
    assert run.code == 0
    assert run.err == []
    detector = detector_of("blazeface" if config == BLAZEFACE else "ssd")
    rows = detector.predict(photo)
    expected = [index for index, row in enumerate(rows) if row[1] >= 0.5]
    record = command.image_record()
    assert [box["index"] for box in record["boxes"]] == expected
    for box in record["boxes"]:
        row = rows[box["index"]]
        assert (box["class_id"], box["score"]) == (int(row[0]), float(row[1]))
        assert box["class_name"] == detector.class_names[box["class_id"]]
        assert box["box_xyxy"] == [float(value) for value in row[2:]]
        picture = cv2.imread(str(command.cam_out / box["files"]["overlay"]))
        assert picture.shape[0] >= 400 and picture.shape[1] >= 600
    assert command.pictures() == {f"{index}.jpg" for index in expected}
    (line,) = run.out
    assert line.startswith(f"{len(expected)} pictures in cam_out (")


def test_blind_layer_is_warned_of(command):
    """SSD's head reads the backbone by convolutions of one cell; one line says so, and what to take instead."""
    run = command.explain("--method", "layercam", config=SSD)
    assert run.code == 0
    (line,) = run.err
    assert "blind" in line and line.endswith("Take model.backbone.conv4_1, or --method stagecam at model.backbone")


def test_images_jsonl_describes_the_image_and_each_box(command):
    """The line of `images.jsonl` has all documented fields, with the values of this run."""
    command.explain("--target_feature_layer_name", "model.neck")
    record = command.image_record()
    assert Path(record["path"]) == PHOTO
    assert record["status"] == "ok"
    assert record["size"] == {"height": 400, "width": 600}
    assert set(record["seconds"]) == {"detect", "explain_and_write"}
    assert all(seconds >= 0 for seconds in record["seconds"].values())
    assert record["detections"] > len(record["boxes"]) > 0
    assert record["highest_score"] == max(box["score"] for box in record["boxes"])
    for box in record["boxes"]:
        assert box["files"] == {"overlay": f"{box['index']}.jpg"}
        assert (box["method"], box["layers"], box["status"]) == (DEFAULT_METHOD, ["model.neck"], "ok")
        assert box["target"] == "class"
        assert "answer" not in box
        assert "reason" not in box
        assert [(level["layer"], level["level"]) for level in box["levels"]] == [("model.neck", 0), ("model.neck", 1)]
        assert [level["grid_hw"] for level in box["levels"]] == [[50, 75], [25, 38]]
        assert [level["stride_yx"] for level in box["levels"]] == [[8, 8], [16, 16]]
        assert sum(level["share"] for level in box["levels"]) == pytest.approx(1)


def test_run_json_says_what_was_run(command, on_cpu):
    """`run.json` holds schema version, config, weights with their SHA-256, flags, versions and totals."""
    weights = command.weights[BLAZEFACE]
    command.explain("use_gpu=false", "--draw_threshold", "0.4")
    record = command.run_record()
    assert record["schema_version"] == SCHEMA_VERSION
    assert record["config"] == {"path": str(BLAZEFACE), "architecture": "BlazeFace"}
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert record["weights"] == {"asked": str(weights), "path": str(weights), "sha256": digest}
    assert record["flags"] == {
        "infer_img": str(PHOTO),
        "infer_dir": None,
        "recursive": False,
        "infer_list": None,
        "video_file": None,
        "frame_interval": 1,
        "cam_out": "cam_out",
        "target_feature_layer_name": ["model.backbone"],
        "refine_by": [],
        "channels": 8,
        "slice_infer": None,
        "method": DEFAULT_METHOD,
        "target": "class",
        "draw_threshold": 0.4,
        "top_k": None,
        "classes": [],
        "box_index": [],
        "box": [],
        "gt": None,
        "strict_images": False,
        "samples": None,
        "seed": 0,
        "batch_size": 8,
        **Output().flags(),
        "font": None,
        "report": False,
        "lang": None,
        "vdl_log_dir": None,
        "opt": [f"weights={weights}", "use_gpu=false"],
        "model_dir": None,
        "output_only": None,
    }
    assert record["device"] == "cpu"
    assert record["versions"]["ppdet_cam"] == ppdet_cam.__version__
    assert {"python", "ppdet", "numpy"} <= set(record["versions"])
    assert record["versions"]["ppdet"] == str(PPDET)
    assert any(name.startswith("opencv-") for name in record["versions"])
    image = command.image_record()
    totals = record["totals"]
    assert totals.pop("seconds") > 0
    assert totals == {
        "images": 1,
        "failed": 0,
        "warned": 0,
        "detections": image["detections"],
        "explained": len(image["boxes"]),
        "blank": 0,
        "views": 0,
        "highest_score": image["highest_score"],
    }


def test_run_json_is_written_when_everything_else_is_there(command, monkeypatch):
    """At the moment when `run.json` comes to its place, all pictures and `images.jsonl` are in theirs."""
    move = Path.replace
    seen = []

    def note(path: Path, target: Path) -> Path:
        if path.name == "run.json":
            seen.append(sorted(name for name in contents(command.cam_out) if not name.startswith(".cam-")))
        return move(path, target)

    monkeypatch.setattr(Path, "replace", note)
    command.explain()
    everything = sorted(contents(command.cam_out))
    assert seen == [[name for name in everything if name != "run.json"]]
    assert everything == sorted([*command.pictures(), "images.jsonl", "run.json"])


def test_run_that_dies_before_run_json_is_tidied_up_by_the_next(command, monkeypatch):
    """A run without `run.json` is visibly unfinished, and a later run replaces its pictures like any other's."""
    move = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if path.name == "run.json":
            raise OSError(5, "Input/output error", str(path))
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        assert "cannot replace the earlier run in cam_out: Input/output error" in command.refused(command.explain())
    unfinished = command.pictures()
    assert unfinished and not (command.cam_out / "run.json").exists()
    assert command.explain("--draw_threshold", "0.7").code == 0
    assert command.pictures() < unfinished
    assert command.run_record()["totals"]["explained"] == len(command.pictures())


def test_what_a_killed_run_left_is_removed_by_the_next(command, monkeypatch):
    """Its hidden folder, with half a picture in it, goes; that of a process that is at work, and others, stay."""
    with monkeypatch.context() as patch:
        patch.setattr(batch.shutil, "rmtree", lambda *_arguments, **_options: None)  # a killed process removes nothing
        command.explain("--draw_threshold", "0.7")
    (left,) = command.cam_out.glob(".cam-*")
    (left / "0.jpg").write_bytes(b"half a picture")
    at_work, other = command.cam_out / ".cam-0123abcd", command.cam_out / ".cam-era"
    at_work.mkdir()
    other.mkdir()
    with batch._taken(at_work):
        assert command.explain("--draw_threshold", "0.7").code == 0
    assert set(command.cam_out.glob(".cam-*")) == {at_work, other}
    assert command.explain("--draw_threshold", "0.7").code == 0
    assert set(command.cam_out.glob(".cam-*")) == {other}


def test_second_run_replaces_the_first_and_nothing_else(command):
    """Pictures of an earlier run go; files that no run wrote stay as they are, even with a picture's name."""
    command.explain()
    first = command.pictures()
    foreign = {"notes.txt": b"mine", "77.jpg": b"mine too", "old/0.jpg": b"and this"}
    for name, content in foreign.items():
        (command.cam_out / name).parent.mkdir(exist_ok=True)
        (command.cam_out / name).write_bytes(content)
    command.explain("--draw_threshold", "0.7")
    second = {box["files"]["overlay"] for box in command.image_record()["boxes"]}
    assert second and second < first
    assert command.pictures() == second | {"77.jpg"}
    command.explain("--draw_threshold", "0.99")
    assert command.pictures() == {"77.jpg"}
    kept = contents(command.cam_out)
    assert set(kept) == {*foreign, "old", "images.jsonl", "run.json"}
    assert {name: kept[name] for name in foreign} == foreign


def test_a_run_of_another_image_is_not_replaced_unasked(command):
    """It is refused, whatever was there stays, and --overwrite replaces it."""
    command.explain("--draw_threshold", "0.7")
    before = contents(command.cam_out)
    other = ROOT / "demo" / "cat.jpg"
    message = command.refused(command.explain("--draw_threshold", "0.7", image=other))
    assert f"holds a run over another image, {PHOTO}" in message and "--overwrite" in message
    assert contents(command.cam_out) == before
    assert command.explain("--draw_threshold", "0.7", "--overwrite", image=other).code == 0
    assert command.image_record()["path"] == str(other)
    assert command.pictures() == {box["files"]["overlay"] for box in command.image_record()["boxes"]}


def test_image_may_lie_in_the_output_folder(command):
    """The photograph itself is no picture of an earlier run, and stays."""
    command.cam_out.mkdir()
    photo = command.cam_out / "photo.jpg"
    photo.write_bytes(PHOTO.read_bytes())
    assert command.explain(image=photo).code == 0
    assert photo.read_bytes() == PHOTO.read_bytes()
    assert len(command.pictures()) > 1


# --- boxes without a picture, pictures without a map


def test_no_box_above_the_threshold_is_no_error(command):
    """Exit code 0, one line with the highest score, a `run.json` that says so, no picture."""
    run = command.explain("--draw_threshold", "1")
    assert (run.code, run.err) == (0, [])
    totals = command.run_record()["totals"]
    assert totals["explained"] == 0 and totals["detections"] > 0
    assert 0.5 < totals["highest_score"] < 1
    (line,) = run.out
    assert line.startswith("no box reaches --draw_threshold 1.0: the highest score is ")
    assert f"{totals['highest_score']:.3f}" in line and "cam_out" in line
    assert sorted(contents(command.cam_out)) == ["images.jsonl", "run.json"]
    assert command.image_record()["boxes"] == []


def test_no_detection_at_all_is_no_error(command):
    """An empty output is told from one whose scores are low."""
    run = command.explain("BBoxPostProcess.nms.score_threshold=0.999")
    assert run.code == 0
    assert run.out == [
        "no box reaches --draw_threshold 0.5: there is no detection at all; cam_out has the manifest only"
    ]
    assert command.run_record()["totals"]["highest_score"] is None


def test_blank_maps_are_named_with_their_cause(command):
    """A map that shows nothing has a picture, a status, a reason, and one warning line."""
    run = command.explain("--target_feature_layer_name", NO_PATH_LAYER)
    boxes = command.image_record()["boxes"]
    assert run.code == 0
    assert run.err == [
        f"cam_ppdet: box {box['index']} (face {box['score']:.3f}): no map: no path from this layer to the score"
        for box in boxes
    ]
    assert len(boxes) == command.run_record()["totals"]["blank"] == len(run.err) > 0
    for box in boxes:
        assert (box["status"], box["reason"]) == ("no_path", "no path from this layer to the score")
        assert all(level["share"] == 0 for level in box["levels"])
        picture = cv2.imread(str(command.cam_out / box["files"]["overlay"])).astype(int)
        photo = picture[100:300, 100:500]
        assert np.abs(photo - cv2.imread(str(PHOTO))[100:300, 100:500]).mean() < 5, "nothing is coloured"
    assert f", {len(boxes)} without a map (" in run.out[0]


# --- flags


def test_draw_threshold_is_inclusive(command):
    """A box whose score is exactly the threshold is explained; one above it is not needed."""
    command.explain()
    scores = sorted((box["score"] for box in command.image_record()["boxes"]), reverse=True)
    command.explain("--draw_threshold", repr(scores[0]))
    assert [box["score"] for box in command.image_record()["boxes"]] == scores[:1]


@pytest.mark.parametrize("repeated", [True, False], ids=["-o twice", "-o once"])
def test_opt_takes_several_values_and_may_be_repeated(command, repeated, on_cpu):
    """Every `key=value` counts, wherever it stands."""
    words = ["-c", BLAZEFACE, "-o", f"weights={command.weights[BLAZEFACE]}"]
    words += ["--infer_img", PHOTO, "-o"] if repeated else []
    words += ["BBoxPostProcess.nms.keep_top_k=1", "use_gpu=false"]
    run = command(*words, *([] if repeated else ["--infer_img", PHOTO]))
    assert run.code == 0
    assert run.devices == ["cam_ppdet: device: cpu (the config switches gpu off)"]
    assert command.image_record()["detections"] == 1


def test_config_that_asks_for_gpu_runs_on_cpu_with_one_line(command, on_cpu):
    """`use_gpu: true`, PaddleDetection's default, is no error where there is no accelerator."""
    run = command.explain()
    assert (run.code, run.devices, run.err) == (0, [CPU_FALLBACK], [])


def test_log_lines_come_once_in_every_run(command, on_cpu):
    """Neither a second run in the process nor other handlers double the lines; the logger is left as it was."""
    import logging

    logger = logging.getLogger("ppdet_cam")
    before = (logger.level, logger.propagate, list(logger.handlers))
    for _ in range(2):
        assert command("-c", BLAZEFACE, "--list_layers").devices == [CPU_FALLBACK]
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_home_folder_is_found_in_every_path(command, monkeypatch):
    """`~` works also where the shell leaves it as it is, as in `--infer_img=~/photo.jpg`."""
    monkeypatch.setenv("HOME", str(command.folder))
    (command.folder / "photo.jpg").write_bytes(PHOTO.read_bytes())
    (command.folder / "seeded.pdparams").write_bytes(command.weights[BLAZEFACE].read_bytes())
    (command.folder / "mine.yml").write_bytes(BLAZEFACE.read_bytes())
    run = command(
        "--config=~/mine.yml", "--infer_img=~/photo.jpg", "--cam_out=~/out", "-o", "weights=~/seeded.pdparams"
    )
    assert run.code == 0, run.err
    assert json.loads((command.folder / "out" / "run.json").read_text())["config"]["path"] == str(
        command.folder / "mine.yml"
    )


def test_output_folder_may_be_new_and_deep(command):
    """Folders on the way are made; names may hold spaces and any letters."""
    folder = command.folder / "neu er" / "ordner 行"
    assert command.explain("--cam_out", folder).code == 0
    assert (folder / "run.json").is_file()


def test_missing_package_is_named(command, monkeypatch):
    """Without paddle or ppdet one line says what to install."""
    monkeypatch.setitem(sys.modules, "ppdet_cam.running.batch", None)
    message = command.refused(command.explain())
    assert "ppdet_cam.running.batch" in message and "pip install" in message


def test_ctrl_c_gives_one_line_and_130(command, monkeypatch):
    """An interrupted run leaves nothing, prints no traceback, and has the exit code that shells expect."""

    def interrupt(*_: object, **__: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("ppdet_cam.running.drawing.encode_box", interrupt)
    run = command.explain()
    assert (run.code, run.out, run.err) == (130, [], ["cam_ppdet: interrupted"])
    assert contents(command.folder) == {}


def test_ctrl_c_while_paddle_loads_is_an_interrupt(command, monkeypatch):
    """paddle's library answers Ctrl-C with an ImportError, which is not shown as one."""

    class Interrupted:
        def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
            if name == "ppdet_cam.running.batch":
                raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.delitem(sys.modules, "ppdet_cam.running.batch")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    run = command.explain()
    assert (run.code, run.err) == (130, ["cam_ppdet: interrupted"])


# --- configs


FULL_CONFIG = """\
_BASE_: ['parts/runtime.yml', 'parts/wider.yml', 'parts/schedule.yml', 'parts/model.yml', 'parts/reader.yml']
weights: output/my_faces/model_final
multi_scale_eval: false
snapshot_epoch: 5
"""
FULL_CONFIG_PARTS = {
    "runtime.yml": """\
use_gpu: true
use_xpu: false
log_iter: 20
save_dir: output
print_flops: false
export: {post_process: true, nms: true, benchmark: false, fuse_conv_bn: false}
""",
    "wider.yml": """\
metric: WiderFace
num_classes: 1
TrainDataset:
  !WIDERFaceValDataset
    dataset_dir: dataset/wider_face
    anno_path: train.txt
    data_fields: ['image', 'gt_bbox', 'gt_class']
EvalDataset: !WIDERFaceValDataset {dataset_dir: dataset/wider_face, image_dir: val/images}
TestDataset:
  !ImageFolder
    use_default_label: true
""",
    "schedule.yml": """\
epoch: 1000
LearningRate:
  base_lr: 0.001
  schedulers:
    - !PiecewiseDecay
      gamma: 0.1
      milestones: [333, 800]
    - !WarmUpOfAnotherRelease {start_factor: 0.3, steps: 500}
OptimizerBuilder:
  optimizer: {momentum: 0.0, type: RMSProp}
  regularizer: {factor: 0.0005, type: L2}
""",
    "model.yml": """\
architecture: BlazeFace
BlazeFace: {backbone: BlazeNet, neck: BlazeNeck, blaze_head: FaceHead, post_process: BBoxPostProcess}
BlazeNet:
  blaze_filters: [[24, 24], [24, 24], [24, 48, 2], [48, 48], [48, 48]]
  double_blaze_filters: [[48, 24, 96, 2], [96, 24, 96], [96, 24, 96], [96, 24, 96, 2], [96, 24, 96], [96, 24, 96]]
  act: relu
BlazeNeck: {neck_type: None, in_channel: [96, 96]}
FaceHead:
  in_channels: [96, 96]
  anchor_generator: AnchorGeneratorSSD
  loss: SSDLoss
SSDLoss: {overlap_threshold: 0.35}
AnchorGeneratorSSD:
  steps: [8., 16.]
  aspect_ratios: [[1.], [1.]]
  min_sizes: [[16., 24.], [32., 48., 64., 80., 96., 128.]]
  max_sizes: [[], []]
  offset: 0.5
  flip: false
  min_max_aspect_ratios_order: false
BBoxPostProcess:
  decode: {name: SSDBox}
  nms: {name: MultiClassNMS, keep_top_k: 750, score_threshold: 0.01, nms_threshold: 0.3, nms_top_k: 5000, nms_eta: 1.0}
""",
    "reader.yml": """\
worker_num: 2
TrainReader:
  inputs_def: {num_max_boxes: 90}
  sample_transforms:
    - Decode: {}
    - OperationOfAnotherRelease: {batch_sampler: [[1, 50, 1.0], [1, 50, 0.3]]}
    - Resize: {target_size: [640, 640], keep_ratio: false, interp: 1}
  batch_transforms:
    - Permute: {}
  batch_size: 8
  shuffle: true
EvalReader:
  sample_transforms: [{Decode: {}}, {AlsoUnknown: {}}]
TestReader:
  sample_transforms:
    - Decode: {}
    - NormalizeImage: {mean: [123, 117, 104], std: [127.502231, 127.502231, 127.502231], is_scale: false}
    - Permute: {}
  batch_size: 1
""",
}


@pytest.fixture
def own_config(tmp_path):
    """A full training config in PaddleDetection's manner, in a folder of the user's own."""
    folder = tmp_path / "my own" / "configs"
    (folder / "parts").mkdir(parents=True)
    for name, text in FULL_CONFIG_PARTS.items():
        (folder / "parts" / name).write_text(text, encoding="utf-8")
    (folder / "my_faces.yml").write_text(FULL_CONFIG, encoding="utf-8")
    return folder / "my_faces.yml"


def test_own_training_config_works_from_anywhere(command, own_config):
    """Training sections, even of another ppdet release, do not matter; the boxes are those of the shipped config."""
    run = command("-c", own_config, "--infer_img", PHOTO, "-o", f"weights={command.weights[BLAZEFACE]}")
    assert (run.code, run.err) == (0, [])
    own = command.image_record()["boxes"]
    command.explain()
    assert own == command.image_record()["boxes"]


def test_weights_that_training_would_write_are_asked_for(command, own_config):
    """A training config's default `weights:` names a file that is not there yet; the message says so."""
    message = command.refused(command("-c", own_config, "--infer_img", PHOTO))
    assert "output/my_faces/model_final.pdparams" in message and "-o weights=" in message


def test_config_may_name_its_weights(command, own_config):
    """`weights:` of the config is used when `-o` does not give any."""
    file = command.weights[BLAZEFACE]
    own_config.write_text(FULL_CONFIG.replace("output/my_faces/model_final", str(file)), encoding="utf-8")
    assert command("-c", own_config, "--infer_img", PHOTO).code == 0
    assert command.run_record()["weights"]["path"] == str(file)


def test_default_weights_of_a_shipped_config_are_downloaded(command, monkeypatch):
    """Without `-o`, the config's own URL is what ppdet's downloader is asked for."""
    asked = []

    def download(url: str) -> str:
        asked.append(url)
        return str(command.weights[BLAZEFACE])

    monkeypatch.setattr("ppdet_cam.detectors.loading.get_weights_path", download)
    assert command("-c", BLAZEFACE, "--infer_img", PHOTO).code == 0
    assert asked == ["https://paddledet.bj.bcebos.com/models/blazeface_1000e.pdparams"]
    assert command.run_record()["weights"]["asked"] == asked[0]


def test_project_files_are_found_from_any_folder(command):
    """`configs/...` and `demo/...` need no clone as the current folder."""
    weights = command.weights[BLAZEFACE]
    config = "configs/face_detection/blazeface_1000e.yml"
    assert command("-c", config, "--infer_img", "demo/coffee.jpg", "-o", f"weights={weights}").code == 0
    assert command.run_record()["config"]["path"] == str(BLAZEFACE)


# --- --list_layers


RECOMMENDED = "recommended: "
REFINEMENT = "--refine_by auto: "
STAGES = "--method stagecam at "


def table(lines: list[str]) -> dict[str, list[str]]:
    """Returns path -> the columns type, shapes, stride, gradients, cells."""
    rows = [line for line in lines if not line.startswith((RECOMMENDED, REFINEMENT, STAGES))]
    starts = [rows[0].index(title) for title in ("layer", "type", "output", "stride", "gradients", "cells")]
    cells = [[line[a:b].strip() for a, b in itertools.zip_longest(starts, starts[1:])] for line in rows[1:]]
    return {row[0]: row[1:] for row in cells}


def recommended(lines: list[str]) -> list[str]:
    """Returns the paths that are recommended; each line says why, and they stand last but for the refinement."""
    lines = [line for line in lines if not line.startswith(STAGES)]
    advice = [line[len(RECOMMENDED) :] for line in lines if line.startswith(RECOMMENDED)]
    assert lines[-1].startswith(REFINEMENT)
    assert lines[len(lines) - len(advice) - 1 : -1] == [RECOMMENDED + line for line in advice]
    assert all(line.endswith(")") and " (" in line for line in advice)
    return [line.split(" ")[0] for line in advice]


def test_list_layers_needs_no_weights_and_no_image(command, monkeypatch):
    """It prints path, type, shapes, strides and reach of every layer with a feature map, and writes nothing."""
    monkeypatch.setattr("ppdet_cam.detectors.loading.get_weights_path", lambda url: pytest.fail(f"downloads {url}"))
    run = command("-c", SSD, "--list_layers")
    assert (run.code, run.err) == (0, [])
    layers = table(run.out)
    assert layers["model.backbone"] == [
        "MobileNet",
        "512x19x19 1024x10x10 512x5x5 256x3x3 256x2x2 128x1x1",
        "16 32 64 128 256 300",
        "yes",
        "1 (blind)",
    ]
    assert layers["model.backbone.conv1._conv"][:4] == ["Conv2D", "32x150x150", "2", "yes"]
    assert int(layers["model.backbone.conv1._conv"][4]) > 100  # it is not the head that decides there
    assert layers["model.ssd_head.boxes0"][3:] == ["no", "-"]
    assert recommended(run.out) == ["model.backbone"]
    assert run.out[-1] == f"{REFINEMENT}model.backbone.conv2_1, model.backbone.conv3_1"
    assert "model" not in layers and "model.ssd_head" not in layers
    assert contents(command.folder) == {}


def test_list_layers_uses_the_image_that_is_given(command):
    """For a reader that keeps the size, the shapes are those of this image."""
    layers = table(command("-c", BLAZEFACE, "--list_layers", "--infer_img", PHOTO).out)
    assert layers["model.backbone"] == ["BlazeNet", "96x50x75 96x25x38", "8 16", "yes", "9"]


def test_list_layers_tells_roi_features_from_image_features(command):
    """An R-CNN's second stage has no stride: its cells lie on each RoI."""
    family = FAMILIES["faster"]
    run = command("-c", ROOT / family.config, "--list_layers", "-o", *family.overrides)
    layers = table(run.out)
    assert layers["model.bbox_head.roi_extractor"] == ["RoIAlign", "256x7x7", "per RoI", "yes", "-"]
    assert layers["model.backbone"][2] == "4 8 16 32"
    assert layers["model.neck"][2] == "4 8 16 32 64"
    assert layers["model.rpn_head.rpn_feat"][3:] == ["no", "-"]
    assert recommended(run.out) == ["model.backbone", "model.neck", "model.bbox_head.roi_extractor"]


@pytest.mark.parametrize(("name", "step"), [("ssd", 10), ("faster", 34)])
def test_listed_layers_can_be_captured(name, step, detector_of, photo):
    """Whatever layer is listed, its maps are finite, and empty only with a stated cause."""
    detector = detector_of(name)
    listed = [layer.path for layer in feature_layers(detector, photo, cells_of=cells_reached)]
    for path in [*listed[::step], listed[-1]]:
        explanation = next(Explainer(detector, layers=[path]).stream(photo).explanations)
        assert np.isfinite(explanation.heatmap).all(), path
        assert (explanation.status is MapStatus.OK) == bool(explanation.heatmap.any()), path


# --- processes


@pytest.mark.smoke
def test_script_runs_from_another_folder_and_prints_two_lines(command, on_cpu):
    """A whole process: the result alone on stdout, the device alone on stderr, whatever paddle and ppdet log."""
    weights = os.path.relpath(command.weights[BLAZEFACE], command.folder)
    words = ["-c", "configs/face_detection/blazeface_1000e.yml", "--infer_img", "demo/coffee.jpg"]
    done = in_process_of_its_own(SCRIPT, *words, "--cam_out", "out", "-o", f"weights={weights}", folder=command.folder)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert " pictures in out (" in line
    (line,) = done.stderr.splitlines()
    assert line.startswith("cam_ppdet: device: ")
    assert json.loads((command.folder / "out" / "run.json").read_text())["totals"]["explained"] > 0


def test_script_exits_with_2_and_one_line(tmp_path):
    """A wrong input in a whole process: nothing on stdout, and beside the device line one line on stderr."""
    words = ["-c", BLAZEFACE, "--infer_img", PHOTO, "-o", "weights=nowhere.pdparams"]
    entry = "import sys; from ppdet_cam.commands.cam_ppdet import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", entry, *map(str, words)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    device, error = done.stderr.splitlines()
    assert device.startswith("cam_ppdet: device: ")
    assert error.startswith("cam_ppdet: error: weights 'nowhere.pdparams' do not exist")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_need_neither_paddle_nor_ppdet(flag, tmp_path):
    """Both answer at once: what takes seconds to import is not imported."""
    code = (
        "import runpy, sys\n"
        "try: runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
        "finally: print([name for name in ('paddle', 'ppdet') if name in sys.modules])\n"
    )
    done = in_process_of_its_own("-c", code, SCRIPT, flag, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
    if flag == "--version":
        assert done.stdout.splitlines()[0] == f"cam_ppdet {ppdet_cam.__version__}"
    else:
        for name in ("--config", "--opt", "--infer_img", "--cam_out", "--target_feature_layer_name", "--method"):
            assert name in done.stdout
        assert "gradcam" in done.stdout and "--draw_threshold" in done.stdout and "--list_layers" in done.stdout


@pytest.mark.parametrize("command", ["cam_ppdet", "cam_eval", "cam_compare", "cam_report", "cam_insight"])
def test_commands_run_as_modules(command, tmp_path):
    """`python -m` does what the script does, where no script is installed."""
    done = in_process_of_its_own("-m", f"ppdet_cam.commands.{command}", "--version", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{command} {ppdet_cam.__version__}\n", "")


def test_reader_that_stops_early_is_no_error(capsys, monkeypatch):
    """`cam_ppdet --list_layers | head` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        terminal.print_result("a line")
    assert capsys.readouterr().err == ""


def test_result_is_printed_in_any_encoding(monkeypatch, tmp_path):
    """A folder name that the terminal's encoding lacks is escaped."""
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        terminal.print_result("2 pictures in straße")
    assert (tmp_path / "out").read_bytes() == b"2 pictures in stra\\xdfe\n"


def test_warnings_of_other_packages_are_not_shown():
    """What ppdet and numpy warn of is not for users; what this package warns of still fails its tests."""

    def warn_as(module: str) -> int:
        warnings.warn_explicit("old", UserWarning, "file.py", 1, module=module)
        return 0

    assert terminal.exit_code_of("cam_ppdet", lambda: warn_as("ppdet.data.transform.operators")) == 0
    with pytest.raises(UserWarning, match="old"):
        terminal.exit_code_of("cam_ppdet", lambda: warn_as("ppdet_cam.detectors.reader"))
