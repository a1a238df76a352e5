"""An `.onnx` file beside its deployment file: a small graph made here, run by onnxruntime where that is installed."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam import Explainer
from ppdet_cam.detectors.deployed.detector import build_deployed
from ppdet_cam.errors import ConfigError, MissingPackageError, WeightsError
from ppdet_cam.structures import Frame
from tests.detectors.test_deployed import folder_with


def write_graph(path: Path, *, height: int = 64) -> None:
    """Writes a graph that finds one dog in the middle, the more certain the brighter the image."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    numbers = {
        "before": np.array([[1.0]], np.float32),
        "behind": np.array([[8.0, 8.0, 24.0, 24.0]], np.float32),
        "shape": np.array([1, 1], np.int64),
        "one": np.array([1], np.int32),
        "two": np.array([4.0], np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=1),
        helper.make_node("Div", ["mean", "two"], ["small"]),
        helper.make_node("Sigmoid", ["small"], ["sure"]),
        helper.make_node("Reshape", ["sure", "shape"], ["score"]),
        helper.make_node("Concat", ["before", "score", "behind"], ["boxes"], axis=1),
        helper.make_node("Identity", ["one"], ["number"]),
    ]
    graph = helper.make_graph(
        nodes,
        "square",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, height, 96])],
        [
            helper.make_tensor_value_info("boxes", kinds.FLOAT, [1, 6]),
            helper.make_tensor_value_info("number", kinds.INT32, [1]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def test_an_onnx_file_is_run_one_image_at_a_time(tmp_path: Path) -> None:
    """The NMS that paddle2onnx writes sees one image; the folder or the file itself may be given."""
    pytest.importorskip("onnxruntime")
    folder = folder_with(tmp_path / "m")
    write_graph(folder / "model.onnx")
    frames = [Frame(np.full((32, 48, 3), level, np.uint8)) for level in (0, 255)]
    for given in (folder, folder / "model.onnx"):
        (dark,), (bright,) = (found.detections for found in build_deployed(given).detect(frames))
        assert (dark.class_name, dark.box_xyxy) == ("dog", (8.0, 8.0, 24.0, 24.0))
        assert dark.score < 0.5 < bright.score
    (found,) = Explainer.from_deployment(folder, method="drise", samples=5)(frames[1].image).explanations
    assert found.heatmap.shape == (32, 48)


def test_a_graph_for_images_of_another_size_is_of_another_export(tmp_path: Path) -> None:
    """Its deployment file makes images that it does not take."""
    pytest.importorskip("onnxruntime")
    folder = folder_with(tmp_path / "m")
    write_graph(folder / "model.onnx", height=32)
    with pytest.raises(ConfigError, match=r"takes images of \[-1, 3, 32, 96\].*makes \[1, 3, 64, 96\].*two exports"):
        build_deployed(folder).detect([Frame(np.zeros((9, 9, 3), np.uint8))])


def test_a_damaged_onnx_file_is_refused(tmp_path: Path) -> None:
    """What onnxruntime says is passed on."""
    pytest.importorskip("onnxruntime")
    with pytest.raises(WeightsError, match="onnxruntime cannot load"):
        build_deployed(folder_with(tmp_path / "m", "model.onnx"))


def test_without_onnxruntime_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    real = builtins.__import__

    def without(name: str, *arguments: object, **named: object) -> object:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match="pip install onnxruntime"):
        build_deployed(folder_with(tmp_path / "m", "model.onnx"))
