"""A graph and its weights are looked at before paddle is given them: it ends the process over some damaged files."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.detectors.deployed.detector import build_deployed
from ppdet_cam.detectors.deployed.graph import Graph, check_weights, read_graph
from ppdet_cam.errors import WeightsError

import paddle  # isort: skip
from paddle.base.proto.framework_pb2 import VarType

from tests.support.exporting import export_demo

INPUT = {
    "#": "1.data",
    "A": [
        {"N": "name", "AT": {"#": "0.a_str", "D": "image"}},
        {"N": "shape", "AT": {"#": "1.a_intarray", "D": [1, 3, 32, 96]}},
    ],
    "OA": [],
    "I": [],
    "O": [{"%": 1, "TT": {"#": "0.t_dtensor", "D": []}}],
}


def weight(name: str, *lengths: int) -> dict[str, object]:
    """Returns the operator that declares a weight."""
    kind = {"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, list(lengths), "NCHW", [], 0]}
    return {"#": "p", "A": [0, 1, 1, name], "O": {"%": 2, "TT": kind}, "OA": [1, 0, 1]}


def graph_file(file: Path, *operators: object) -> Path:
    """Returns a graph of paddle 3 with these operators."""
    program = {"program": {"regions": [{"blocks": [{"ops": operators}]}]}}
    file.write_text(json.dumps(program), encoding="utf-8")
    return file


def stored(*lengths: int) -> bytes:
    """Returns a weight as paddle writes it."""
    described = VarType.TensorDesc(data_type=VarType.FP32, dims=lengths).SerializeToString()
    head = struct.pack("<IQIi", 0, 0, 0, len(described))
    return head + described + np.zeros(lengths, np.float32).tobytes()


@pytest.fixture(scope="session")
def exported_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_demo("blazeface", tmp_path_factory.mktemp("exported"))


def test_what_a_json_graph_declares_is_looked_up(tmp_path: Path) -> None:
    """Inputs, and weights in the order of their names, which is that of their file; also inside a branch."""
    branch = {**INPUT, "#": "1.if", "A": [], "regions": [{"blocks": [{"ops": [weight("a", 3)]}]}]}
    found = read_graph(graph_file(tmp_path / "model.json", weight("b", 2, 4), INPUT, branch))
    assert found.inputs == {"image": (1, 3, 32, 96)}
    assert list(found.weights.items()) == [("a", (3,)), ("b", (2, 4))]


NO_OPERATORS = (3, "x", {}, weight("\ud800", 1))


@pytest.mark.parametrize("text", ["garbage", "", "[]", '{"program": 3}', "[" * 100_000, *NO_OPERATORS], ids=range(9))
def test_a_json_file_that_is_no_graph_is_refused(tmp_path: Path, text: object) -> None:
    """Whatever it is instead."""
    file = graph_file(tmp_path / "model.json", text)
    if isinstance(text, str):
        file.write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"model\.json is no graph of paddle 3, or damaged: export"):
        read_graph(file)


@pytest.mark.parametrize("part", ["A", "OA", "I", "O", "#"])
def test_an_operator_that_lacks_a_part_is_noticed(tmp_path: Path, part: str) -> None:
    """paddle takes it for granted, and ends the process."""
    with pytest.raises(WeightsError, match="is no graph of paddle 3, or damaged"):
        read_graph(graph_file(tmp_path / "m.json", {key: value for key, value in INPUT.items() if key != part}))
    argument = {"N": "name", "AT_": {"#": "0.a_str", "D": "image"}}
    with pytest.raises(WeightsError, match="is no graph of paddle 3, or damaged"):
        read_graph(graph_file(tmp_path / "m.json", {**INPUT, "A": [argument]}))


def test_a_graph_of_paddle_2_that_uses_what_it_does_not_declare_is_refused(tmp_path: Path) -> None:
    """And one that is no graph, or empty; paddle would end the process."""
    file = tmp_path / "model.pdmodel"
    program = paddle.base.core.ProgramDesc()
    block = program.block(0)
    for name in (b"x", b"y"):
        block.var(name)
    operator = block.append_op()
    operator.set_type("relu")
    operator.set_input("X", ["x"])
    operator.set_output("Out", ["y"])
    file.write_bytes(program.serialize_to_string())
    assert read_graph(file) == Graph({}, {})
    operator.set_input("X", ["z"])
    for content in (program.serialize_to_string(), b"garbage garbage", b""):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=r"model\.pdmodel is no graph, or damaged: export the model again"):
            read_graph(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, and model.json has 2 weights. Copy the files again"),
        (
            b"PK\x03\x04" * 20,
            "no weights of an exported model, or is damaged: weight 1 of the file does not",
        ),
        (stored(2, 3) + stored(4)[:-1], "is damaged: it ends 1 bytes too early, in weight 2"),
        (stored(2, 3) + stored(4)[:7], "is damaged: it ends in weight 2 of the file"),
        (stored(2, 3).replace(b"\x08\x05", b"\xff\xff") + stored(4), "what weight 1 of the file is cannot be read"),
        (stored(2, 3), "holds 1 weights, and model.json has 2: files of two exports may be mixed"),
        (stored(2, 3) + stored(5), "holds [5] for b, and in model.json it is [4]: files of two exports may be mixed"),
    ],
    ids=range(7),
)
def test_weights_that_are_damaged_or_of_another_graph_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """What is wrong, where, and what to do."""
    graph, file = Graph({}, {"a": (2, 3), "b": (4,)}), tmp_path / "model.pdiparams"
    file.write_bytes(stored(2, 3) + stored(4))
    check_weights(file, graph, Path("model.json"))
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(message)):
        check_weights(file, graph, Path("model.json"))


@pytest.mark.parametrize("name", ["model.json", "model.pdiparams"])
@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_refused(
    exported_face: Path, tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    """A pipe is not waited for, and a device not read for ever."""
    shutil.copytree(exported_face, tmp_path / "m")
    if not (tmp_path / "m" / name).exists():
        pytest.skip("this paddle exports another form of graph")
    (tmp_path / "m" / name).unlink()
    put(tmp_path / "m" / name)
    with pytest.raises(WeightsError, match=rf"{re.escape(name)} cannot be read: "):
        build_deployed(tmp_path / "m")


def test_weights_that_were_cut_short_are_refused(exported_face: Path, tmp_path: Path) -> None:
    """By a full disk or a download that broke off; whole ones are taken."""
    build_deployed(exported_face)
    shutil.copytree(exported_face, tmp_path / "m")
    file = tmp_path / "m/model.pdiparams"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"model\.pdiparams holds no weights .* too early, in weight \d+\. Copy"):
        build_deployed(tmp_path / "m")
