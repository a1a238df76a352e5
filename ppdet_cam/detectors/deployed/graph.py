"""What a graph's file declares, and whether the file of weights holds it.

Read before paddle reads them, which ends the process over some that are damaged.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError

from ppdet_cam.detectors import compat  # noqa: F401  (first: loads what paddle needs loaded before it)

import paddle  # isort: skip
from paddle.base.proto.framework_pb2 import VarType

from ppdet_cam.errors import WeightsError
from ppdet_cam.places import open_regular, read_regular

Lengths = tuple[int, ...]
Declared = tuple[dict[str, Lengths], dict[str, Lengths]]  # inputs, weights

ADVICE = "Copy the files again, or export the model again"
_UNNAMED = "@"  # what paddle calls a variable that is not there begins with it
_PARAMETER = "p"
# of a weight in the file: versions, which are 0, how many levels of sequences it has, and how long its description is
_VERSION, _COUNT, _LENGTH = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<i")
_LONGEST_DESCRIPTION = 1000
_BYTES = {
    1: ("BOOL", "UINT8", "INT8", "FP8_E4M3FN", "FP8_E5M2"),
    2: ("INT16", "UINT16", "FP16", "BF16"),
    4: ("INT32", "UINT32", "FP32"),
    8: ("INT64", "UINT64", "SIZE_T", "FP64", "COMPLEX64"),
    16: ("COMPLEX128",),
}
_BYTES_OF = {name: count for count, names in _BYTES.items() for name in names}


@dataclass(frozen=True)
class Graph:
    """What a graph declares.

    Attributes:
        inputs: name -> lengths, -1 for any.
        weights: name -> lengths, in the order of the file that holds them.
    """

    inputs: Mapping[str, Lengths]
    weights: Mapping[str, Lengths]


def read_graph(program: Path) -> Graph:
    """Returns what a graph declares.

    Args:
        program: `.pdmodel` of paddle 2, or `.json` of paddle 3.

    Raises:
        WeightsError: the file is no graph.
    """
    kind, read = ("graph of paddle 3", _of_json) if program.suffix == ".json" else ("graph", _of_program)
    try:
        inputs, weights = read(read_regular(program))
        in_order = sorted(weights.items(), key=lambda item: item[0].encode())
    except OSError as error:
        raise WeightsError(f"{program} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise WeightsError(f"{program} is no {kind}, or damaged: export the model again") from error
    return Graph(inputs, dict(in_order))


def _of_program(content: bytes) -> Declared:
    """Returns the inputs and weights that a graph of paddle 2 declares.

    Raises:
        ValueError: it is none, has no operators, or they use what it does not declare.
    """
    program = paddle.base.core.ProgramDesc(content)
    blocks = [program.block(number) for number in range(program.num_blocks())]
    if not blocks or not blocks[0].op_size():
        raise ValueError("it has no operators")
    declared = {variable.name() for block in blocks for variable in block.all_vars()}
    for block in blocks:
        for number in range(block.op_size()):
            operator = block.op(number)
            for name in (*operator.input_arg_names(), *operator.output_arg_names()):
                if name not in declared and not name.startswith(_UNNAMED):
                    raise ValueError(f"{operator.type()} uses {name}, which is not declared")
    kinds = paddle.base.core.VarDesc.VarType
    held = (kinds.FEED_MINIBATCH, kinds.FETCH_LIST, kinds.RAW)
    first = blocks[0].all_vars()
    weights = {one.name(): tuple(one.shape()) for one in first if one.persistable() and one.type() not in held}
    fed = {
        name
        for number in range(blocks[0].op_size())
        if blocks[0].op(number).type() == "feed"
        for name in blocks[0].op(number).output_arg_names()
    }
    return {one.name(): tuple(one.shape()) for one in first if one.name() in fed}, weights


def _of_json(content: bytes) -> Declared:
    """Returns the inputs and weights that a graph of paddle 3 declares, by its operators "data" and "p".

    Raises:
        ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError: it is none, or lacks parts.
    """
    inputs: dict[str, Lengths] = {}
    weights: dict[str, Lengths] = {}
    for operator in _operators(json.loads(content)["program"]["regions"]):
        kind, arguments, more, outputs = (operator[key] for key in ("#", "A", "OA", "O"))
        if kind == _PARAMETER:
            weights[arguments[-1]] = _lengths(outputs["TT"]["D"][1])
            continue
        said = _said([*arguments, *more], outputs, operator["I"])
        if kind.endswith(".data"):
            inputs[str(said["name"])] = _lengths(said["shape"])
    return inputs, weights


def _operators(regions: Sequence[Mapping[str, list]]) -> Iterator[dict]:
    """Yields every operator, also of the bodies of loops and branches."""
    for region in regions:
        for block in region["blocks"]:
            for operator in block["ops"]:
                yield operator
                yield from _operators(operator.get("regions", ()))


def _said(arguments: Sequence[dict], outputs: Sequence[dict], taken: Sequence[dict]) -> dict:
    """Returns an operator's arguments by their names.

    Raises:
        LookupError, TypeError: a part is not there, which paddle takes for granted.
    """
    if not all(one["TT"]["#"] for one in outputs):
        raise LookupError("an output is of no type")
    if not all(isinstance(one["%"], int) for one in (*outputs, *taken)):
        raise TypeError("a value has no number")
    if not all(one["AT"]["#"] for one in arguments):
        raise LookupError("an argument is of no type")
    return {one["N"]: one["AT"]["D"] for one in arguments}


def _lengths(values: Sequence[object]) -> Lengths:
    return tuple(int(value) for value in values)  # type: ignore[call-overload]


# --- the file of weights


def check_weights(file: Path, graph: Graph, program: Path) -> None:
    """Checks that a file holds the weights that a graph declares; the numbers themselves are not read.

    Raises:
        WeightsError: it is cut short or damaged, or of another graph.
    """
    try:
        with open_regular(file) as stream:
            stored = list(_stored(stream))
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise WeightsError(f"{file} holds no weights of an exported model, or is damaged: {error}. {ADVICE}") from error
    if graph.weights and not stored:
        raise WeightsError(f"{file} is empty, and {program} has {len(graph.weights)} weights. {ADVICE}")
    if len(stored) != len(graph.weights):
        raise _other_export(f"{file} holds {len(stored)} weights, and {program} has {len(graph.weights)}")
    for found, (name, wanted) in zip(stored, graph.weights.items()):
        if math.prod(found) != math.prod(wanted) and min(wanted, default=0) >= 0:
            raise _other_export(f"{file} holds {list(found)} for {name}, and in {program} it is {list(wanted)}")


def _other_export(what: str) -> WeightsError:
    return WeightsError(f"{what}: files of two exports may be mixed. Give each export a folder of its own")


def _stored(stream: BinaryIO) -> Iterator[Lengths]:
    """Yields the lengths of each weight: paddle/phi/core/framework/dense_tensor_serialize.cc.

    Raises:
        ValueError: the file is damaged.
    """
    end = os.fstat(stream.fileno()).st_size
    number = 0
    while stream.tell() < end:
        number += 1
        what = f"weight {number} of the file"
        _read(stream, _VERSION, what, must_be=0)
        for _ in range(_read(stream, _COUNT, what, at_most=8)):
            stream.seek(_read(stream, _COUNT, what, at_most=end), os.SEEK_CUR)
        _read(stream, _VERSION, what, must_be=0)
        text = stream.read(_read(stream, _LENGTH, what, at_most=_LONGEST_DESCRIPTION))
        try:
            described = VarType.TensorDesc.FromString(text)
        except DecodeError as error:
            raise ValueError(f"what {what} is cannot be read") from error
        kind, lengths = VarType.Type.Name(described.data_type), tuple(described.dims)
        if kind not in _BYTES_OF or min(lengths, default=0) < 0:
            raise ValueError(f"{what} is of {kind} {list(lengths)}")
        if (behind := stream.tell() + math.prod(lengths) * _BYTES_OF[kind]) > end:
            raise ValueError(f"it ends {behind - end} bytes too early, in weight {number}")
        stream.seek(behind)
        yield lengths


def _read(stream: BinaryIO, form: struct.Struct, what: str, *, must_be: int = -1, at_most: int = 0) -> int:
    """Returns the next number.

    Raises:
        ValueError: it is not there, or not as it must be.
    """
    content = stream.read(form.size)
    if len(content) < form.size:
        raise ValueError(f"it ends in {what}")
    number: int = form.unpack(content)[0]
    if number != must_be if must_be >= 0 else not 0 <= number <= at_most:
        raise ValueError(f"{what} does not begin as one does")
    return number
