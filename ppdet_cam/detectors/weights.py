"""Weights: from a name or URL to a file, from the file to arrays, from the arrays to "these fit".

A `.pdparams` file is a pickle, and a pickle can run any code. Two walls stand before that. `_refuse_code` walks
the whole pickle without executing it and refuses every global and opcode that a state dict does not need. Then
`_StateDictUnpickler` reads it with stand-ins for the few allowed globals, so that the file drives none of numpy's
own `__setstate__` methods either (a crafted dtype state can make numpy take bytes for object pointers).

`fetch` in `resolve_weights` is PaddleDetection's `ppdet.utils.download.get_weights_path`; the detector passes it in,
as ppdet is not imported here:

    path = resolve_weights(config["weights"], fetch=get_weights_path)
    arrays = load_state_dict(path)
    warning = check_fit(fit_report({name: tuple(p.shape) for name, p in model.state_dict().items()}, arrays), path)
"""
# os.path answers False where pathlib raises: a folder that may not be entered, a name too long or with a NUL in it.
# ruff: noqa: PTH111, PTH112, PTH113

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from ppdet_cam.errors import WeightsError
from ppdet_cam.registry import closest

logger = logging.getLogger(__name__)

WEIGHTS_SUFFIX = ".pdparams"
URL_PREFIXES = ("http://", "https://", "ppdet://")
SHOWN = 5  # names of each kind in a message

_OTHER_SUFFIXES = {
    ".pdmodel": "the program of an exported inference model, which has no gradients; name the weights it was made of",
    ".pdiparams": "the weights of an exported inference model, which has no gradients; name those it was made of",
    ".pdopt": "the state of an optimizer; the weights lie beside it under the same name",
    ".pdema": "what training needs to go on; the averaged weights lie beside it under the same name",
    ".pth": "a PyTorch file; convert it to a Paddle state dict first",
    ".pt": "a PyTorch file; convert it to a Paddle state dict first",
    ".onnx": "an ONNX model; name the Paddle weights it was made from",
    ".safetensors": "a safetensors file; save its arrays with paddle.save first",
    ".tar": "an archive; unpack it first",
    ".gz": "an archive; unpack it first",
    ".tgz": "an archive; unpack it first",
    ".zip": "an archive; unpack it first",
}


# --- from a name to a file


def resolve_weights(weights: str, *, fetch: Callable[[str], str]) -> Path:
    """Returns the local file that `weights` names, downloaded when it is a URL.

    Args:
        weights: an http://, https:// or ppdet:// URL, or a path with or without `.pdparams` (`~` is expanded).
        fetch: takes the URL, returns the path of the downloaded file. When it fails and PaddleDetection's cache
            already holds the file untouched, that file is taken: PaddleDetection asks the server for a checksum each
            time, so without this a cached file is of no use offline.

    Raises:
        WeightsError: the download failed, no such file exists, or it is not a `.pdparams` file.
    """
    if weights.startswith(URL_PREFIXES):
        return _download(weights, fetch)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", weights):
        raise WeightsError(f"weights {weights!r}: only {', '.join(URL_PREFIXES)} and paths are read; download the file")
    return _local_file(weights)


def _download(url: str, fetch: Callable[[str], str]) -> Path:
    shown = _without_secrets(url)
    if not url.endswith(WEIGHTS_SUFFIX):  # with anything behind it, ppdet takes the file for an archive
        kind = _OTHER_SUFFIXES.get(Path(shown).suffix)
        raise WeightsError(
            f"weights URL {shown} is {kind}" if kind else f"weights URL {shown} must end in {WEIGHTS_SUFFIX}"
        )
    cached = Path(os.path.expanduser("~/.cache/paddle/weights")) / url.rpartition("/")[2]
    before = _identity(cached)
    try:
        path = Path(fetch(url))
    except (Exception, SystemExit) as error:  # any: ppdet's downloader raises requests', OS, runtime and type errors
        reason = _first_cause(error, secret=url, shown=shown)
        if before is not None and _identity(cached) == before:
            logger.warning("%s cannot be reached (%s); taking %s as it was downloaded before", shown, reason, cached)
            return cached
        raise WeightsError(
            f"weights {shown} cannot be downloaded: {reason}. Put the file, got by other means, "
            f"at {cached}, or name it: -o weights=<file>{WEIGHTS_SUFFIX}"
        ) from error
    if not path.is_file():
        raise WeightsError(f"weights {shown} were downloaded, but {path} is not a file; delete it and try again")
    return path


def _without_secrets(url: str) -> str:
    """Returns the URL without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise WeightsError(f"weights {url!r} is not a URL: {error}") from error
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _first_cause(error: BaseException, *, secret: str = "", shown: str = "") -> str:
    """Returns the innermost error in a few words; requests wraps "name not known" in three layers."""
    inner: BaseException | None = error
    while inner is not None:
        error, inner = inner, inner.__cause__ or (None if inner.__suppress_context__ else inner.__context__)
    text = _printable(str(error).replace(secret, shown) if secret else str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _local_file(weights: str) -> Path:
    if not weights:
        raise WeightsError(f"no weights are given; name a file or a URL: -o weights=<file>{WEIGHTS_SUFFIX}")
    path = Path(os.path.expanduser(weights))
    full = path if path.suffix == WEIGHTS_SUFFIX else path.with_name(path.name + WEIGHTS_SUFFIX) if path.name else path
    if os.path.isfile(full):
        return full
    if os.path.isdir(path):
        held = _weights_names(path)
        listing = f"it holds {_few(held)}" if held else "it holds none"
        raise WeightsError(f"weights {weights!r} is a directory; name one {WEIGHTS_SUFFIX} file ({listing})")
    if path.suffix in _OTHER_SUFFIXES:
        raise WeightsError(f"weights {weights!r} is {_OTHER_SUFFIXES[path.suffix]}. Wanted: a {WEIGHTS_SUFFIX} file")
    if os.path.isfile(path):
        raise WeightsError(f"weights {weights!r} has no {WEIGHTS_SUFFIX} suffix; rename it if paddle.save wrote it")
    raise WeightsError(f"weights {str(full)!r} do not exist{_where_else(full)}")


def _where_else(path: Path) -> str:
    if path.stem in ("model_final", "best_model") or path.parts[:1] == ("output",):
        return (
            ". Training with this config would have written them there; "
            f"name trained ones: -o weights=<URL or file>{WEIGHTS_SUFFIX}"
        )
    if not os.path.isdir(path.parent):
        return f"; there is no folder {path.parent} either"
    return closest(path.name, _weights_names(path.parent))


def _weights_names(folder: Path) -> list[str]:
    try:
        return sorted(child.name for child in folder.glob(f"*{WEIGHTS_SUFFIX}") if child.is_file())
    except OSError:
        return []  # only a hint: a folder that cannot be listed gives none


# --- from a file to arrays


def load_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a `.pdparams` file by name, without running anything that the file asks for.

    Reads what `paddle.save` of 2.x and 3.x writes for a state dict, from numpy 1 and 2: arrays, arrays with their
    tensor's name, numbers (as 0-d arrays), arrays above 1 GiB in slices (protocols 2 and 3). bfloat16, which
    paddle writes as uint16 and reads back from any uint16, comes as the float32 of the same value.

    Args:
        path: the file.

    Returns:
        Arrays in the file's order and (but for bfloat16) dtype, most of them read-only views of the bytes read.

    Raises:
        WeightsError: the file could run code, is damaged, is something else, or holds more than a state dict.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {error.strerror}") from error
    _refuse_other_files(raw, path)
    _refuse_code(raw, path)
    try:
        loaded = _StateDictUnpickler(io.BytesIO(raw), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything (Python's documentation of UnpicklingError)
        raise WeightsError(
            f"weights file {path} is damaged or no state dict: {_first_cause(error)}; get it again"
        ) from error
    return _as_arrays(loaded, path)


_FILE_HEADS = (
    (0, b"<", "a web page, so its download failed; get it again"),
    (0, b"{", "a JSON text, so its download failed; get it again"),
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"),
    (0, b"PK\x03\x04", "a zip archive, such as PyTorch writes; convert it to a Paddle state dict first"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (8, b"{", "a safetensors file; save its arrays with paddle.save first"),
)


def _refuse_other_files(raw: bytes, path: Path) -> None:
    if not raw:
        raise WeightsError(f"weights file {path} is empty; get it again")
    if re.match(rb"\x80[\x02-\x05]", raw):
        return  # a pickle of the protocols that paddle writes, and 5
    text = raw[:512].lstrip()  # a web page may start with blank lines
    for position, head, kind in _FILE_HEADS:
        if (text if position == 0 else raw).startswith(head, position):
            raise WeightsError(f"weights file {path} is {kind}")


_CODE_OPCODES = frozenset(
    ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")
    + ("NEXT_BUFFER", "READONLY_BUFFER")  # they take objects from outside the file
)
_TEXT_OPCODES = frozenset(("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"))
_GET_OPCODES = frozenset(("GET", "BINGET", "LONG_BINGET"))
_PUT_OPCODES = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_STACKLESS_OPCODES = frozenset(("PROTO", "FRAME"))


def _refuse_code(raw: bytes, path: Path) -> None:
    """Raises WeightsError unless every opcode and global of the pickle is one that a state dict needs."""
    memo: dict[int, str | None] = {}
    pushed: tuple[str | None, str | None] = (None, None)  # the two top values, where both are known texts
    end = 0
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(raw)):
            end = (position or 0) + 1
            name = opcode.name
            if name in _CODE_OPCODES:
                raise WeightsError(_code_found(path, f"the pickle opcode {name} ({argument})"))
            if name == "GLOBAL":
                _check_global(str(argument), path)
            elif name == "STACK_GLOBAL":
                _check_global(None if None in pushed else " ".join(map(str, pushed)), path)
            if name in _TEXT_OPCODES:
                pushed = (pushed[1], str(argument))
            elif name in _GET_OPCODES:
                pushed = (pushed[1], memo.get(int(str(argument))))
            elif name in _PUT_OPCODES:
                index = len(memo) if name == "MEMOIZE" else int(str(argument))
                if not 0 <= index <= count:  # Python would fill its memo with gigabytes of nothing up to there
                    raise ValueError(f"memo index {index}")
                memo[index] = pushed[1]
            elif name not in _STACKLESS_OPCODES:
                pushed = (None, None)
    except WeightsError:
        raise
    except Exception as error:  # pickletools, too, raises more than ValueError on damaged files
        kind = "is cut off or damaged; get it again" if raw[0] == 0x80 else "was not written by paddle.save"
        raise WeightsError(f"weights file {path} {kind} ({_first_cause(error)})") from error
    if end != len(raw):
        raise WeightsError(
            f"weights file {path} goes on for {len(raw) - end} bytes after the end of its state dict, which "
            "paddle.save never writes; it may hide code. Get it again from a source you trust"
        )


def _check_global(dotted: str | None, path: Path) -> None:
    """Raises WeightsError unless "module name" may be named by a state dict; None is a name built at run time."""
    if dotted is None:
        raise WeightsError(_code_found(path, "a name put together at run time"))
    module, _, name = dotted.partition(" ")
    if (module, name) in _ALLOWED_GLOBALS:
        return
    if (module, name) in (("builtins", "eval"), ("__builtin__", "eval")):
        raise WeightsError(
            f"weights file {path} calls eval when it is read, so it can run any code; it is not read. paddle.save "
            "writes this for nested tensors of a static graph; if you trust the file, load it with paddle.load and "
            "save {name: numpy.array(tensor)} as a new .pdparams file"
        )
    raise WeightsError(_code_found(path, f"{module}.{name}"))


def _code_found(path: Path, what: str) -> str:
    return (
        f"weights file {path} asks for {_printable(what)}, which no state dict needs and which can run code; it is not "
        f"read. Wanted: paddle.save(model.state_dict(), <file>{WEIGHTS_SUFFIX})"
    )


class _ArrayDraft:
    """What a pickled array becomes; `array` is there once its state has been read."""

    __slots__ = ("array",)
    array: np.ndarray

    def __setstate__(self, state: Sequence[object]) -> None:
        _version, shape, dtype, is_fortran, raw = state
        self.array = _array(raw, dtype, shape, order="F" if is_fortran else "C")


class _DtypeDraft:
    """What a pickled dtype becomes: a kind and a width, and the byte order once its state has been read."""

    __slots__ = ("byte_order", "code")

    def __init__(self, code: object, *_flags: object) -> None:
        match = re.fullmatch(r"([<>=|]?)(b1|[iuf][0-9]{1,2})", code) if isinstance(code, str) else None
        if not match:
            raise pickle.UnpicklingError(f"an array of type {code!r}; only real numbers are read")
        self.byte_order, self.code = match[1], match[2]

    def __setstate__(self, state: Sequence[object]) -> None:
        _version, byte_order, *structure = state
        if byte_order not in ("<", ">", "=", "|") or any(part is not None for part in structure[:3]):
            raise pickle.UnpicklingError("an array of a structured type; only real numbers are read")
        self.byte_order = str(byte_order)

    def dtype(self) -> np.dtype:
        return np.dtype(self.byte_order + self.code)


def _array(raw: object, dtype: object, shape: object, *, order: str) -> np.ndarray:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 wrote bytes as str
    if not isinstance(raw, (bytes, bytearray)) or not isinstance(dtype, _DtypeDraft) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("an array whose state is not (shape, dtype, bytes)")
    element = dtype.dtype()
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise pickle.UnpicklingError(f"an array of shape {shape}")
    if math.prod(shape) * element.itemsize != len(raw):
        raise pickle.UnpicklingError(f"an array of shape {shape} and type {element} with {len(raw)} bytes")
    flat = np.frombuffer(raw, dtype=element) if raw else np.empty(0, dtype=element)
    return flat.astype(element.newbyteorder("="), copy=False).reshape(shape, order="F" if order == "F" else "C")


class _StandIn:
    """A callable that a pickle may name; BUILD cannot alter it, so one file cannot prepare the ground for the next."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state for a function")


def _draft_array(kind: object, *_shape_and_code: object) -> _ArrayDraft:
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("an array of a class other than numpy.ndarray")
    return _ArrayDraft()


def _draft_from(raw: object, dtype: object, shape: object, order: object) -> _ArrayDraft:
    draft = _ArrayDraft()
    draft.array = _array(raw, dtype, shape, order=str(order))
    return draft


def _draft_scalar(dtype: object, raw: object) -> _ArrayDraft:
    return _draft_from(raw, dtype, (), "C")


def _encode_latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_call(*_arguments: object) -> object:
    raise pickle.UnpicklingError("a call of numpy.ndarray")


def _empty_bytes() -> bytes:
    return b""


_NDARRAY = _StandIn(_no_call)
_DTYPE = _StandIn(_DtypeDraft)
_TUPLE = _StandIn(tuple)
_BYTES = _StandIn(_empty_bytes)
_ALLOWED_GLOBALS: dict[tuple[str, str], _StandIn] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
    ("_codecs", "encode"): _StandIn(_encode_latin1),  # how protocol 2 writes bytes
    ("collections", "OrderedDict"): _StandIn(dict),
    ("builtins", "bytes"): _BYTES,
    ("builtins", "tuple"): _TUPLE,  # paddle.save's (tensor name, array) in what it takes for no state dict
    ("__builtin__", "bytes"): _BYTES,  # Python 2's name, which protocol 2 keeps
    ("__builtin__", "tuple"): _TUPLE,
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    _ALLOWED_GLOBALS[f"{_core}.multiarray", "_reconstruct"] = _StandIn(_draft_array)
    _ALLOWED_GLOBALS[f"{_core}.multiarray", "scalar"] = _StandIn(_draft_scalar)
    _ALLOWED_GLOBALS[f"{_core}.numeric", "_frombuffer"] = _StandIn(_draft_from)  # protocol 5


class _StateDictUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _StandIn:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"the global {module}.{name}")
        return _ALLOWED_GLOBALS[module, name]


_NAME_TABLE = "StructuredToParameterName@@"  # the tensors' own names, by parameter
_SLICES = "UnpackBigParamInfor@@"  # spelled so by paddle: {name: {"OriginShape": shape, "slices": [name, ...]}}


def _as_arrays(loaded: object, path: Path) -> dict[str, np.ndarray]:
    if not isinstance(loaded, dict):
        kind = "one array" if isinstance(loaded, (_ArrayDraft, tuple)) else f"a {type(loaded).__name__}"
        raise WeightsError(f"weights file {path} holds {kind}; a state dict maps parameter names to arrays")
    entries = {name: value for name, value in loaded.items() if name not in (_NAME_TABLE, _SLICES)}
    nested = [name for name, value in entries.items() if isinstance(value, dict)]
    if "LR_Scheduler" in nested:
        raise WeightsError(f"weights file {path} is {_OTHER_SUFFIXES['.pdopt']}")
    if nested:
        raise WeightsError(
            f"weights file {path} is a whole checkpoint ({_few([str(name) for name in entries])}), not a state dict: "
            f"{nested[0]!r} holds a dict. Save the model's part alone: paddle.save(paddle.load({path.name!r})"
            f"[{nested[0]!r}], <file>{WEIGHTS_SUFFIX})"
        )
    arrays = {name: _entry_array(name, value, path) for name, value in entries.items()}
    if not arrays:
        raise WeightsError(f"weights file {path} holds no arrays; get the file that training wrote")
    return _joined(arrays, loaded.get(_SLICES, {}), path)


def _entry_array(name: object, value: object, path: Path) -> np.ndarray:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]  # (the tensor's own name, array)
    if isinstance(value, _ArrayDraft) and hasattr(value, "array") and isinstance(name, str):
        return _float32_of(value.array) if value.array.dtype == np.uint16 else value.array
    if isinstance(value, (bool, int, float)) and isinstance(name, str):
        number = np.asarray(value)
        if number.dtype.kind != "O":  # an int of more than 64 bits
            return number
    kind = "an array without content" if isinstance(value, _ArrayDraft) else f"a {type(value).__name__}"
    raise WeightsError(f"weights file {path}: {name!r} is {kind}; a state dict maps parameter names to arrays")


def _float32_of(bfloat16_bits: np.ndarray) -> np.ndarray:
    return np.asarray(bfloat16_bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _joined(arrays: dict[str, np.ndarray], slices: object, path: Path) -> dict[str, np.ndarray]:
    """Returns `arrays` with the slices of each large array put together again, as paddle.load does."""
    joined = dict(arrays)
    try:
        for name, record in dict(slices).items():  # type: ignore[call-overload]  # anything may stand in the file
            parts = [joined.pop(part) for part in record["slices"]]
            joined[name] = np.concatenate(parts).reshape(record["OriginShape"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"weights file {path}: its large arrays cannot be put together ({_first_cause(error)}); get it again"
        ) from error
    return joined


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


# --- from arrays to "these fit"


# What wrappers for several devices put before the names of a model's arrays.
WRAPPERS = ("module.", "_layers.", "model.")


@dataclass(frozen=True)
class FitReport:
    """How given arrays compare with a model's parameters and buffers.

    Attributes:
        matched: names with the same shape on both sides.
        missing: names that the model has and the weights lack.
        misshapen: (name, the model's shape, the weights' shape) where the two differ.
        surplus: names that only the weights have.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    surplus: tuple[str, ...]


def fit_report(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, np.ndarray]) -> FitReport:
    """Returns which of the model's arrays the weights fill; names must be equal, nothing is guessed.

    Args:
        expected: the shape of each of the model's parameters and buffers.
        given: the weights.

    Example:
        >>> fit_report({"a": (2,), "b": (1,)}, {"a": np.zeros(3), "c": np.zeros(1)})
        FitReport(matched=(), missing=('b',), misshapen=(('a', (2,), (3,)),), surplus=('c',))
    """
    shared = [(name, tuple(shape), tuple(given[name].shape)) for name, shape in expected.items() if name in given]
    return FitReport(
        matched=tuple(name for name, wanted, got in shared if wanted == got),
        missing=tuple(name for name in expected if name not in given),
        misshapen=tuple(entry for entry in shared if entry[1] != entry[2]),
        surplus=tuple(name for name in given if name not in expected),
    )


def check_fit(report: FitReport, weights: Path | str) -> str | None:
    """Returns one line about arrays that the model does not use, None when there are none.

    Args:
        report: of `fit_report`.
        weights: where the arrays came from, for the message.

    Raises:
        WeightsError: an array of the model is missing or has another shape.
    """
    wanted = len(report.matched) + len(report.missing) + len(report.misshapen)
    if report.missing or report.misshapen:
        parts = [f"weights {weights} do not fit the model: {len(report.matched)} of its {wanted} arrays match"]
        if report.missing:
            parts.append(f"{len(report.missing)} missing: {_few(report.missing)}")
        if report.misshapen:
            shapes = [f"{name} {list(got)} instead of {list(want)}" for name, want, got in report.misshapen]
            parts.append(f"{len(shapes)} of another shape: {_few(shapes)}")
        if report.surplus:
            parts.append(f"{len(report.surplus)} not in the model: {_few(report.surplus)}")
        raise WeightsError(f"{'; '.join(parts)}. {_misfit_hint(report)}")
    if report.surplus:
        return f"weights {weights}: {len(report.surplus)} arrays are not in the model: {_few(report.surplus)}"
    return None


def _misfit_hint(report: FitReport) -> str:
    for prefix in WRAPPERS:
        inner = {name[len(prefix) :] for name in report.surplus if name.startswith(prefix)}
        if len(inner) == len(report.surplus) and inner & set(report.missing):
            return (
                f"Their names begin with {prefix!r}, as those of a wrapped model do: save the state of the model "
                "inside it, or take the prefix off the names and save again (paddle.load, paddle.save)"
            )
    tails = {name.split(".", start)[-1] for name in report.missing for start in range(1, name.count(".") + 1)}
    if report.surplus and sum(name in tails for name in report.surplus) * 2 > len(report.surplus):
        return "They look like a pretrained backbone, not a trained detector; name the weights that training wrote"
    if report.misshapen and not report.missing:
        return (
            "Were they trained with another num_classes? Use the config they were trained with, or -o num_classes=<N>"
        )
    return "Use the config that these weights were trained with"


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(_printable, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _printable(text: str) -> str:
    """Returns the first 160 characters on one line, without control characters: a file may hold any."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split())[:160])
