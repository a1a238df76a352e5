"""Exported models: what their folders say, what is wrong with them, and that they find what deploy/python finds."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ppdet.engine import Trainer

from ppdet_cam import Explainer
from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.deployed.detector import DeployedDetector, build_deployed, rows_as_array
from ppdet_cam.detectors.deployed.folder import read_deployment
from ppdet_cam.detectors.deployed.output import detections_of, rows_of
from ppdet_cam.detectors.deployed.preprocess import preprocess_of
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.errors import ConfigError, GeometryError, ImageError, WeightsError
from ppdet_cam.images.reading import frame_of
from ppdet_cam.places import PROJECT_ROOT
from ppdet_cam.structures import Found, Frame
from tests.support.exporting import export_demo

SCENE = PROJECT_ROOT / "demo/drawn/scene_1.jpg"
INFER_CFG = """
mode: paddle
draw_threshold: 0.5
arch: YOLO
min_subgraph_size: 3
Preprocess:
- {type: Resize, interp: 2, keep_ratio: false, target_size: [64, 96]}
- {type: NormalizeImage, is_scale: true, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
- {type: Permute}
label_list: [cat, dog]
"""


def folder_with(folder: Path, *names: str, text: str = INFER_CFG) -> Path:
    """Returns a folder that holds empty files of these names, and a deployment file."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    if text:
        (folder / "infer_cfg.yml").write_text(text, encoding="utf-8")
    return folder


def config_detector(name: str) -> Detector:
    detector, _ = build_detector(PROJECT_ROOT / f"configs/demo/{name}.yml", overrides=["use_gpu=false"])
    detector.load_weights(str(PROJECT_ROOT / f"demo/weights/{name}.pdparams"))
    return detector


def assert_same_rows(found: Found, plain: np.ndarray) -> None:
    """Holds what an exported model finds against plain inference, where scores are not near the limit to be kept."""
    rows = rows_as_array(found.detections)
    rows, plain = rows[rows[:, 1] > 0.1], plain[plain[:, 1] > 0.1]
    assert len(plain) > 5 and np.allclose(rows, plain, atol=2e-3)


@pytest.fixture(scope="session")
def exported_ssd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_demo("ssd", tmp_path_factory.mktemp("exported"))


def test_a_folder_says_what_is_in_it(tmp_path: Path) -> None:
    """Architecture, names and preprocessing are the deployment file's."""
    found = read_deployment(folder_with(tmp_path / "m", "model.pdmodel", "model.pdiparams"))
    assert (found.architecture, found.class_names) == ("YOLO", ("cat", "dog"))
    assert (found.program.name, found.parameters.name) == ("model.pdmodel", "model.pdiparams")
    assert found.preprocess.names == ("Resize", "NormalizeImage", "Permute")


@pytest.mark.parametrize(
    ("names", "text", "words"),
    [
        ((), INFER_CFG, "holds no model.pdmodel or model.json or model.onnx"),
        (("best.pdparams",), INFER_CFG, "best.pdparams is a training's: give -c"),
        (("model.pdmodel",), INFER_CFG, "not its weights, model.pdiparams"),
        (("model.pdmodel", "inference.pdiparams"), INFER_CFG, "files of two exports: model.pdmodel, inference.pdip"),
        (("model.json", "model.pdiparams", "inference.json", "inference.pdiparams"), INFER_CFG, "two exports"),
        (("model.json", "model.pdiparams", "inference.yml"), INFER_CFG, "two exports: infer_cfg.yml, inference.yml"),
        (("model.json", "model.pdiparams"), "", "holds no infer_cfg.yml or inference.yml"),
        (("a.onnx", "b.onnx"), INFER_CFG, "holds 2 models: a.onnx, b.onnx. Name one of them"),
        (("model.json", "model.pdiparams"), "arch: HRNet\n", "'HRNet', which finds keypoints"),
        (("model.json", "model.pdiparams"), "arch: Perceptron\n", "'arch: Perceptron', which is no detector known"),
        (("model.json", "model.pdiparams"), "architecture: SSD\n", "is a config to train with"),
        (
            ("inference.json", "inference.pdiparams"),
            "Global: {model_name: PP-LCNet_x1_0}\nPreProcess: {transform_ops: []}\nPostProcess: {}\n",
            "of PaddleX's 'PP-LCNet_x1_0', which is no detector: it has no 'arch'",
        ),
        (("model.json", "model.pdiparams"), "arch: SSD\nlabel_list: 3\n", "label_list must be a list"),
        (("model.json", "model.pdiparams"), "arch: !!python/object/apply:os.system [ls]\n", "python"),
        (("model.json", "model.pdiparams"), "arch: SSD\nlabel_list: [a]\nPreprocess: 1\n", "Preprocess must be a list"),
    ],
)
def test_a_folder_that_is_no_export_is_refused(tmp_path: Path, names: tuple[str, ...], text: str, words: str) -> None:
    """What lacks or is mixed is named, and what to do."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_deployment(folder_with(tmp_path / "m", *names, text=text))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """So is a file where a folder should be."""
    with pytest.raises(ConfigError, match="does not exist; give the folder that"):
        read_deployment(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file; give the folder"):
        read_deployment(tmp_path / "file")


def test_an_unknown_operation_is_refused() -> None:
    """Nobody could tell where it puts a pixel."""
    with pytest.raises(GeometryError, match=r"Preprocess uses Fisheye.*Known: Resize"):
        preprocess_of([{"type": "Fisheye"}], Path("infer_cfg.yml"))
    with pytest.raises(ConfigError, match="target_size must be a whole number, or two .*, not 'wide'"):
        preprocess_of([{"type": "Resize", "target_size": "wide"}], Path("infer_cfg.yml"))
    with pytest.raises(ConfigError, match="size must be a whole number, or two .*, and is not there"):
        preprocess_of([{"type": "Pad"}], Path("infer_cfg.yml"))


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({"type": "NormalizeImage", "mean": [1, [1], 1]}, "mean and std must be three numbers each"),
        ({"type": "NormalizeImage", "mean": "abc"}, "mean and std must be three numbers each"),
        ({"type": "NormalizeImage", "std": [1e-300, 1, 1]}, "mean and std must be three numbers each, no std of 0"),
        ({"type": "NormalizeImage", "std": [float("nan"), 1, 1]}, "mean and std must be three numbers each"),
        ({"type": "PadStride", "stride": "x"}, "stride must be a whole number of at least -1, not 'x'"),
        ({"type": "Pad", "size": 9, "fill_value": [None, 1, 1]}, "fill_value must be three numbers, not"),
        ({"type": "WarpAffine", "pad": 0.5}, r"pad must be a whole number of at least 0, not 0\.5"),
        ({"type": "WarpAffine", "input_w": 0}, "input_w must be a whole number of at least 1, not 0"),
        ({"type": "Resize", "target_size": 10**12}, "target_size must be above 0 and below 2147483648, not 10000"),
    ],
)
def test_an_operation_with_arguments_that_are_none_is_refused(operation: dict[str, object], words: str) -> None:
    """When the deployment file is read, without a warning of numpy's."""
    with pytest.raises(ConfigError, match=f"cannot be made of .*: {words}"):
        preprocess_of([operation], Path("infer_cfg.yml"))


def test_an_operation_that_does_not_suit_the_image_names_both() -> None:
    """Also when the memory is not enough."""
    listed: list[dict[str, object]] = [{"type": "Pad", "size": [2**30, 2**30]}]
    with pytest.raises(
        ImageError, match=r"Pad of the deployment file fails on the image \(8 x 8 pixels\): .*Check its arg"
    ):
        preprocess_of(listed, Path("f")).inputs([Frame(np.zeros((8, 8, 3), np.uint8))])


def test_preprocessing_of_bytes_by_a_table_is_that_of_numbers() -> None:
    """An image of bytes is normalised by a table of 256 values: the same numbers as one by one."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    listed = [{"type": "NormalizeImage", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}]
    made = preprocess_of(listed, Path("f")).inputs([Frame(image)])["image"][0]
    alone = (image.astype(np.float32) * np.float32(1 / 255) - [0.485, 0.456, 0.406]).astype(np.float32)
    assert np.allclose(made, alone / [0.229, 0.224, 0.225], atol=1e-6)


def test_output_that_is_no_detection_is_refused() -> None:
    """A classifier's or a segmenter's output, or raw boxes without NMS."""
    for outputs in ([np.zeros((1, 1000), np.float32)], [np.zeros((1, 4, 100)), np.zeros((1, 80, 100))], []):
        with pytest.raises(ConfigError, match="a detector with its NMS gives boxes"):
            rows_of(outputs, images=1, said_by="model.json")


def test_rows_are_divided_among_the_images() -> None:
    """By the numbers beside them; padding of class -1 is no detection."""
    boxes = np.array([[1, 0.9, 0, 0, 2, 2], [0, 0.8, 1, 1, 3, 3], [-1, 0, 0, 0, 0, 0]], np.float32)
    first, second = rows_of([boxes, np.array([1, 2], np.int32)], images=2, said_by="m")
    assert len(first) == 1 and len(second) == 2
    (found,) = detections_of(second, ["cat", "dog"])
    assert (found.class_name, found.box_xyxy) == ("cat", (1.0, 1.0, 3.0, 3.0))


def test_an_exported_detector_finds_what_its_config_finds(exported_ssd: Path) -> None:
    """The same rows, one image or several at a time."""
    frame, detector, deployed = frame_of(SCENE), config_detector("ssd"), build_deployed(exported_ssd)
    plain = detector.predict(frame)
    one, *others = deployed.detect([frame]) + deployed.detect([frame, frame])
    assert np.allclose(rows_as_array(one.detections), plain, atol=1e-3) and len(plain) > 20
    assert all(np.allclose(rows_as_array(other.detections), plain, atol=1e-3) for other in others)
    assert list(deployed.class_names) == list(detector.class_names)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppyoloe", "faster_rcnn"])
def test_other_exported_detectors_find_what_their_configs_find(name: str, tmp_path: Path) -> None:
    """A detector whose reader keeps the ratio and pads among them."""
    frame, deployed = frame_of(SCENE), build_deployed(export_demo(name, tmp_path))
    assert_same_rows(deployed.detect([frame, frame])[1], config_detector(name).predict(frame))


@pytest.mark.smoke
def test_what_is_exported_for_paddlex_is_explained(tmp_path: Path) -> None:
    """`inference.yml` and `inference.json`, as PaddleDetection's newer exporter writes them when PaddleX asks it to."""
    if "for_fd" not in inspect.signature(Trainer.export).parameters:
        pytest.skip("this ppdet does not export for PaddleX; a checkout of PaddleDetection's develop branch does")
    folder = export_demo("ppyoloe", tmp_path / "m", for_paddlex=True, pdx_model_name="PP-YOLOE_plus-S")
    deployed = build_deployed(folder)
    assert deployed.deployment.deployment_file.name == "inference.yml"
    assert deployed.deployment.settings["Global"] == {"model_name": "PP-YOLOE_plus-S"}
    assert_same_rows(deployed.detect([frame_of(SCENE)])[0], config_detector("ppyoloe").predict(frame_of(SCENE)))
    (first,) = Explainer(deployed, samples=3, top_k=1)(SCENE).explanations
    assert first.heatmap.any()


@pytest.mark.slow
def test_detections_are_those_of_deploy_python(exported_ssd: Path, tmp_path: Path) -> None:
    """PaddleDetection's own script, run on the same folder, gives the same boxes."""
    checkout = Path(os.environ.get("PPDET_CAM_CHECKOUTS", "")) / "v2.6.0"
    if not os.environ.get("PPDET_CAM_CHECKOUTS") or not checkout.is_dir():
        pytest.skip("PPDET_CAM_CHECKOUTS names no folder with a checkout v2.6.0 of PaddleDetection")
    folder = tmp_path / "folder"
    shutil.copytree(exported_ssd, folder)
    code = (
        "import sys, json, zlib, numpy, cv2; sys.path.insert(0, sys.argv[1])\n"
        "import paddle.inference as i\n"
        "if sys.argv[5] == '.json': i.Config.enable_memory_optim = lambda *a: None\n"
        "made = i.Config\n"
        "def config(p, w):\n"
        "    c = made(p.replace('.pdmodel', '.json') if __import__('os').path.getsize(p) == 0 else p, w)\n"
        "    c.disable_mkldnn() if hasattr(c, 'disable_mkldnn') else None\n"
        "    return c\n"
        "config.Precision = made.Precision\n"
        "i.Config = config\n"
        "import infer\n"
        "d = infer.Detector(sys.argv[2]); r = d.predict_image([sys.argv[3]], visual=False)\n"
        "json.dump(r['boxes'].tolist(), open(sys.argv[4], 'w'))\n"
    )
    kind = read_deployment(exported_ssd).program.suffix
    if kind == ".json":  # which this script looks for, and knows no other
        (folder / "model.pdmodel").write_bytes(b"")
    out = tmp_path / "rows.json"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(checkout / "deploy/python"), str(folder), str(SCENE), str(out), kind],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    theirs = np.array(json.loads(out.read_text()))
    own = rows_as_array(build_deployed(exported_ssd).detect([frame_of(SCENE)])[0].detections)
    assert np.allclose(own, theirs, atol=1e-4)


class Graph:
    """Stands for a graph that finds one box of a class."""

    device, output_names, input_shapes = "cpu", ("boxes", "number"), {"image": ()}

    def __init__(self, class_id: int) -> None:
        self._rows = np.array([[class_id, 0.9, 1, 2, 3, 4]], np.float32)

    def run(self, inputs: object) -> list[np.ndarray]:
        return [self._rows, np.array([1], np.int32)]


def test_classes_that_the_deployment_file_does_not_name_are_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be of another export."""
    deployment = read_deployment(folder_with(tmp_path / "m", "model.pdmodel", "model.pdiparams"))
    frame = Frame(np.zeros((8, 8, 3), np.uint8))
    for class_id, warnings in ((1, 0), (5, 1)):
        caplog.clear()
        detector = DeployedDetector(deployment, Graph(class_id))
        ((found,),) = (image.detections for image in detector.detect([frame]))
        detector.detect([frame])
        assert found.class_name == ("dog" if class_id == 1 else "class 5")
        assert sum("may be of another export" in record.message for record in caplog.records) == warnings


def test_a_graph_of_paddle_3_is_refused_by_paddle_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would end the process."""
    monkeypatch.setattr("paddle.__version__", "2.6.2")
    with pytest.raises(WeightsError, match=r"graph of paddle 3, and this is paddle 2\.6\.2.*Install paddle 3"):
        build_deployed(folder_with(tmp_path / "m", "model.json", "model.pdiparams"))
