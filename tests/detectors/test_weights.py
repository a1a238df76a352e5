from __future__ import annotations

import collections
import copyreg
import io
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.detectors import weights as weights_room
from ppdet_cam.detectors.weights import check_fit, fit_report, load_state_dict, resolve_weights, sha256_of
from ppdet_cam.errors import WeightsError

URL = "https://host.example/models/blazeface.pdparams"
EXTENSION_CODE = 0xEE


def arrays() -> dict[str, np.ndarray]:
    return {
        "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        "half": np.array([0.1, -65504, np.inf], dtype=np.float16),
        "steps": np.array(7, dtype=np.int64),
        "mask": np.array([True, False]),
        "none": np.zeros((0, 3), dtype=np.float32),
        "swapped": np.arange(3, dtype=">f4"),
    }


def saved(folder: Path, content: bytes, name: str = "model.pdparams") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def assert_same(given: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(given) == list(expected)
    for name, array in expected.items():
        assert isinstance(given[name], np.ndarray)
        assert given[name].shape == array.shape
        assert given[name].dtype == array.dtype.newbyteorder("=")
        assert given[name].tobytes() == array.astype(given[name].dtype).tobytes()


# --- files that run code


class Calls:
    """Pickled as a call of any function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduced


class MakesFile:
    """A class that acts when it is made, as NEWOBJ does."""

    def __new__(cls, path: str) -> MakesFile:
        Path(path).touch()
        return super().__new__(cls)


def text(value: str) -> bytes:
    """Returns the opcode BINUNICODE with its text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def evil_pickles(marker: Path) -> dict[str, bytes]:
    """Returns pickles that, read by `pickle.load`, make the file `marker`, each by another trick."""
    command = f"touch {marker}"
    code = f"__import__('os').system({command!r})"
    call = text(command) + b"\x85R."
    good = {"conv.weight": np.zeros(2, dtype=np.float32)}
    return {
        "GLOBAL": b"\x80\x02cos\nsystem\n" + call,
        "GLOBAL in protocol 0": b"cos\nsystem\n(S'" + command.encode() + b"'\ntR.",
        "STACK_GLOBAL": b"\x80\x04" + text("os") + text("system") + b"\x93" + call,
        "STACK_GLOBAL from the memo": b"\x80\x04" + text("system") + b"\x940" + text("os") + b"h\x00\x93" + call,
        "STACK_GLOBAL from a numbered memo": b"\x80\x04"
        + text("os")
        + b"q\x010"
        + b"h\x01"
        + text("system")
        + b"\x93"
        + call,
        "STACK_GLOBAL behind a mark": b"\x80\x04" + text("os") + text("system") + b"(1\x93" + call,
        "STACK_GLOBAL from a copy": b"\x80\x04" + text("os") + text("system") + b"20\x93" + call,
        "STACK_GLOBAL under a changed memo": (
            b"\x80\x04" + text("dtype") + b"q\x000" + text("system") + b"q\x000" + text("os") + b"h\x00\x93" + call
        ),
        "STACK_GLOBAL along attributes": b"\x80\x04" + text("logging") + text("os.system") + b"\x93" + call,
        "INST": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + command.encode() + b"'\no.",
        "NEWOBJ": b"\x80\x02c" + MakesFile.__module__.encode() + b"\nMakesFile\n" + text(str(marker)) + b"\x85\x81.",
        "EXT1": b"\x80\x02\x82" + bytes([EXTENSION_CODE]) + call,
        "EXT2": b"\x80\x02\x83" + struct.pack("<H", EXTENSION_CODE) + call,
        "EXT4": b"\x80\x02\x84" + struct.pack("<i", EXTENSION_CODE) + call,
        "eval": pickle.dumps(Calls(eval, code), protocol=4),
        "eval in protocol 2": pickle.dumps(Calls(eval, code), protocol=2),
        "eval as paddle writes tensors": pickle.dumps(Calls(eval, code, {"data": 1}), protocol=4),
        "exec": pickle.dumps(Calls(exec, code), protocol=4),
        "getattr": b"\x80\x02cbuiltins\ngetattr\ncimportlib\nimport_module\n"
        + text("os")
        + b"\x85R"
        + text("system")
        + b"\x86R"
        + call,
        "pickle in a pickle": pickle.dumps(Calls(pickle.loads, pickle.dumps(Calls(os.system, command))), protocol=4),
        "numpy runs a text": b"\x80\x02cnumpy.testing._private.utils\nrunstring\n" + text(code) + b"}\x86R.",
        "reduce in an array of objects": pickle.dumps(
            {"w": np.array([Calls(os.system, command)], dtype=object)}, protocol=4
        ),
        "deep in a state dict": pickle.dumps({**good, "extra": [({"a": Calls(os.system, command)},)]}, protocol=4),
        "as a key": b"\x80\x02}cos\nsystem\n" + text(command) + b"\x85RK\x01s.",
        "state of an array": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
            b"cos\nsystem\n" + text(command) + b"\x85R0."
        ),
    }


@pytest.fixture
def extension_code() -> Iterator[None]:
    """os.system under an extension code, as a program that uses copyreg would have it."""
    copyreg.add_extension("os", "system", EXTENSION_CODE)
    yield
    copyreg.remove_extension("os", "system", EXTENSION_CODE)


@pytest.mark.parametrize("trick", evil_pickles(Path("marker")))
@pytest.mark.usefixtures("extension_code")
def test_load_state_dict_refuses_code(tmp_path: Path, trick: str) -> None:
    """No trick makes the file's code run, whereas `pickle.load` runs it."""
    marker = tmp_path / "marker"
    content = evil_pickles(marker)[trick]
    with pytest.raises(WeightsError, match="can run (any )?code; it is not read"):
        load_state_dict(saved(tmp_path, content))
    assert not marker.exists()
    with pytest.raises(pickle.UnpicklingError):  # the second wall alone
        weights_room._StateDictUnpickler(io.BytesIO(content), encoding="latin1").load()
    assert not marker.exists()
    pickle.loads(content, encoding="latin1")
    assert marker.exists(), "the trick does not work, so the test shows nothing"


def test_load_state_dict_refuses_a_second_pickle(tmp_path: Path) -> None:
    """What follows the state dict is refused, whatever it is."""
    marker = tmp_path / "marker"
    second = evil_pickles(marker)["GLOBAL"]
    path = saved(tmp_path, pickle.dumps(arrays()) + second)
    with pytest.raises(WeightsError, match=f"goes on for {len(second)} bytes after the end"):
        load_state_dict(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content", [b"Pos.system\n.", b"\x80\x02" + text("os.system") + b"Q."], ids=["PERSID", "BINPERSID"]
)
def test_load_state_dict_refuses_persistent_ids(tmp_path: Path, content: bytes) -> None:
    """Ids that a program would look up are refused."""
    with pytest.raises(WeightsError, match="the pickle opcode (BIN)?PERSID"):
        load_state_dict(saved(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cnumpy\nndarray\n}" + text("shape") + b"K\x01sb.",
        b"\x80\x02cnumpy\ndtype\n}" + text("__setstate__") + b"K\x01sb.",
        b"\x80\x02c_codecs\nencode\nN}" + text("__defaults__") + text("x") + b"s\x86b.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}" + text("_make") + b"cbuiltins\ntuple\nsb.",
        b"\x80\x02ccollections\nOrderedDict\n)R}" + text("items") + b"K\x01sb.",
        b"\x80\x02cnumpy\nndarray\nK\x02\x85R.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85" + text("b") + b"\x87R.",
        b"\x80\x02c_codecs\nencode\n" + text("x") + text("zlib") + b"\x86R.",
    ],
    ids=["class", "dtype", "function", "stand-in", "OrderedDict", "call ndarray", "reconstruct another", "other codec"],
)
def test_load_state_dict_lets_no_file_alter_what_is_allowed(tmp_path: Path, content: bytes) -> None:
    """BUILD on an allowed name, and calls that no state dict makes, fail and leave nothing behind for the next file."""
    with pytest.raises(WeightsError, match="is damaged or no state dict"):
        load_state_dict(saved(tmp_path, content))
    assert_same(load_state_dict(saved(tmp_path, pickle.dumps(arrays(), protocol=2))), arrays())


@pytest.mark.parametrize("opcode", [b"\x81", b"\x92"], ids=["NEWOBJ", "NEWOBJ_EX"])
def test_load_state_dict_refuses_new_objects_of_allowed_classes(tmp_path: Path, opcode: bytes) -> None:
    """NEWOBJ is refused even for numpy.ndarray."""
    content = b"\x80\x04cnumpy\nndarray\nK\x02\x85" + (b"}" if opcode == b"\x92" else b"") + opcode + b"."
    with pytest.raises(WeightsError, match="the pickle opcode NEWOBJ"):
        load_state_dict(saved(tmp_path, content))


def test_load_state_dict_refuses_what_only_looks_like_numbers(tmp_path: Path) -> None:
    """Arrays of objects and structured types, whose crafted states numpy does not survive, and complex numbers."""
    for array in (
        np.array([1, None]),
        np.zeros(2, dtype=[("a", "f4")]),
        np.array(["a"]),
        np.array(["2001-01-01"], "M8"),
        np.zeros(2, np.complex64),  # paddle would drop the imaginary parts
    ):
        with pytest.raises(WeightsError, match=r"only real numbers are read"):
            load_state_dict(saved(tmp_path, pickle.dumps({"w": array}, protocol=4)))
    crafted = pickle.dumps({"w": np.zeros(2, dtype=np.float64)}, protocol=2).replace(b"f8", b"O8")
    with pytest.raises(WeightsError, match=r"type 'O8'; only real numbers are read"):
        load_state_dict(saved(tmp_path, crafted))


def test_load_state_dict_shows_no_control_characters(tmp_path: Path) -> None:
    """A file cannot write to the terminal through the message."""
    with pytest.raises(WeightsError) as raised:
        load_state_dict(saved(tmp_path, b"\x80\x02c\x1b[2Jos\nsystem\n)R."))
    assert str(raised.value).isprintable()


# --- files that are something else


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Not found</html>", "is a web page, so its download failed"),
        (b"\n\n <html></html>", "is a web page"),
        (b'{"error": "no such key"}', "is a JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        (b"PK\x03\x04" + b"\x00" * 40, "is a zip archive, such as PyTorch writes"),
        (b"\x1f\x8b" + b"\x00" * 40, "is a gzip archive"),
        (b"a" * 257 + b"ustar" + b"\x00" * 40, "is a tar archive"),
        (struct.pack("<Q", 40) + b'{"w":{}}', "is a safetensors file"),
        (b"garbage", r"was not written by paddle\.save"),
        (b"\x00" * 100, r"was not written by paddle\.save"),
        (b"\x80", r"is cut off or damaged"),
        (b"\x80\x04.", "is damaged or no state dict"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "is cut off or damaged"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x3f", "is cut off or damaged"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps(np.zeros(2)), "holds one array"),
        (pickle.dumps({}), "holds no arrays"),
        (pickle.dumps({"StructuredToParameterName@@": {}}), "holds no arrays"),
        (pickle.dumps({"w": "text"}), "'w' is a str"),
        (pickle.dumps({"w": None}), "'w' is a NoneType"),
        (pickle.dumps({"w": 1 << 80}), "'w' is a int"),
        (pickle.dumps({3: np.zeros(2)}), "3 is an? "),
        (
            pickle.dumps({"model": {"w": np.zeros(2)}, "epoch": 3}),
            r"is a whole checkpoint \(model, epoch\).*\['model'\]",
        ),
        (pickle.dumps({"w_moment": np.zeros(2), "LR_Scheduler": {"last_lr": 0.1}}), "is the state of an optimizer"),
        (
            pickle.dumps({"UnpackBigParamInfor@@": {"w": {"slices": ["w@@.0"]}}, "a": 1}),
            "large arrays cannot be put together",
        ),
        (pickle.dumps({"UnpackBigParamInfor@@": [1], "a": 1}), "large arrays cannot be put together"),
    ],
)
def test_load_state_dict_says_what_the_file_is(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that is no state dict is named for what it is."""
    with pytest.raises(WeightsError, match=message) as raised:
        load_state_dict(saved(tmp_path, content))
    assert "model.pdparams" in str(raised.value)


def test_load_state_dict_refuses_every_cut_file(tmp_path: Path) -> None:
    """A download that broke off anywhere is a WeightsError."""
    content = pickle.dumps(arrays(), protocol=2)
    for length in range(1, len(content), 7):
        with pytest.raises(WeightsError, match="cut off or damaged"):
            load_state_dict(saved(tmp_path, content[:length]))


def test_load_state_dict_says_that_a_file_cannot_be_read(tmp_path: Path) -> None:
    """A file that went away is a WeightsError."""
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        load_state_dict(tmp_path / "gone.pdparams")


# --- state dicts


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
def test_load_state_dict_reads_every_protocol(tmp_path: Path, protocol: int, kind: type) -> None:
    """Arrays survive in order, shape, dtype and bits; the name table is dropped."""
    content = kind({**arrays(), "StructuredToParameterName@@": {"conv.weight": "conv2d_0.w_0"}})
    assert_same(load_state_dict(saved(tmp_path, pickle.dumps(content, protocol=protocol))), arrays())


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_load_state_dict_reads_both_numpy_spellings(tmp_path: Path, core: bytes) -> None:
    """A file written with numpy 1 or 2 is read with either."""
    content = pickle.dumps(arrays(), protocol=2).replace(b"numpy._core.", b"numpy.core.").replace(b"numpy.core", core)
    assert_same(load_state_dict(saved(tmp_path, content)), arrays())


def test_load_state_dict_reads_what_python_2_wrote(tmp_path: Path) -> None:
    """Python 2's byte texts are taken as latin-1, the array's bytes among them."""
    raw = np.array([1.5, -2.5e-8], dtype=np.float32).tobytes()
    content = (
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08"
        + raw
        + b"tbs."
    )
    assert load_state_dict(saved(tmp_path, content))["w"].tobytes() == raw


def test_load_state_dict_reads_bfloat16_by_value(tmp_path: Path) -> None:
    """uint16 is bfloat16's bits: 0x3F80 is 1, 0xC049 is -3.140625, 0x7F80 is infinite."""
    bits = {
        "w": np.array([[0x3F80, 0xC049], [0x7F80, 0x0001]], dtype=np.uint16),
        "s": np.array(0x4000, dtype=np.uint16),
    }
    loaded = load_state_dict(saved(tmp_path, pickle.dumps(bits)))
    assert_same(
        loaded,
        {"w": np.array([[1, -3.140625], [np.inf, 2.0**-133]], np.float32), "s": np.array(2, np.float32)},
    )


def test_load_state_dict_reads_numbers_as_arrays(tmp_path: Path) -> None:
    """Numbers beside the arrays come as 0-d arrays, so that the fit report names them."""
    loaded = load_state_dict(saved(tmp_path, pickle.dumps({"epoch": 3, "lr": 0.5, "done": True, "s": np.float32(2)})))
    assert {name: (array.shape, array.item()) for name, array in loaded.items()} == {
        "epoch": ((), 3),
        "lr": ((), 0.5),
        "done": ((), True),
        "s": ((), 2.0),
    }


SLICED = {
    "big@@.0": np.arange(4, dtype=np.float32),
    "big@@.1": np.arange(4, 6, dtype=np.float32),
    "small": np.ones(1, dtype=np.float32),
    "StructuredToParameterName@@": {"small": "b_0"},
    "UnpackBigParamInfor@@": {"big": {"OriginShape": (2, 3), "slices": ["big@@.0", "big@@.1"]}},
}


def test_load_state_dict_joins_large_arrays(tmp_path: Path) -> None:
    """The slices that paddle writes for an array above 1 GiB are one array again."""
    loaded = load_state_dict(saved(tmp_path, pickle.dumps(SLICED, protocol=2)))
    assert_same(loaded, {"small": np.ones(1, np.float32), "big": np.arange(6, dtype=np.float32).reshape(2, 3)})


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_load_state_dict_equals_paddle_load(tmp_path: Path, protocol: int, dtype: str) -> None:
    """A model's state dict, as it is and as an average beside a number, has paddle.load's arrays."""
    paddle = pytest.importorskip("paddle")
    model = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))
    state = {name: value.astype(dtype) for name, value in model.state_dict().items()}
    path = tmp_path / "model.pdparams"
    for content in (state, collections.OrderedDict(state), {**state, "scalar": paddle.to_tensor(2.0)}):
        paddle.save(content, str(path), protocol=protocol)
        assert_same(load_state_dict(path), numpy_of(paddle.load(str(path))))
    paddle.save({**state, "epoch": 3}, str(path), protocol=protocol)
    loaded = paddle.load(str(path))
    assert loaded.pop("epoch") == 3
    assert_same(load_state_dict(path), {**numpy_of(loaded), "epoch": np.asarray(3)})


def numpy_of(tensors: dict) -> dict[str, np.ndarray]:
    """Returns paddle's tensors as arrays, bfloat16 by value."""
    return {
        name: (tensor.astype("float32") if "bfloat16" in str(tensor.dtype).lower() else tensor).numpy()
        for name, tensor in tensors.items()
    }


def test_load_state_dict_joins_large_arrays_as_paddle_load(tmp_path: Path) -> None:
    """Slices are joined to paddle.load's arrays, in its order."""
    paddle = pytest.importorskip("paddle")
    path = saved(tmp_path, pickle.dumps(SLICED, protocol=2))
    assert_same(load_state_dict(path), paddle.load(str(path), return_numpy=True))


def test_load_state_dict_explains_other_results_of_paddle_save(tmp_path: Path) -> None:
    """A whole checkpoint and tensors that paddle pickles through eval are refused with what to do."""
    paddle = pytest.importorskip("paddle")
    state = paddle.nn.Linear(2, 3).state_dict()
    path = tmp_path / "model.pdparams"
    for protocol in (2, 3, 4):
        paddle.save({"model": dict(state), "epoch": 3}, str(path), protocol=protocol)
        with pytest.raises(WeightsError, match="is a whole checkpoint"):
            load_state_dict(path)
        paddle.save({"a": {"b": state["weight"].value().get_tensor()}}, str(path), protocol=protocol)
        with pytest.raises(WeightsError, match=r"calls eval .* save \{name: numpy\.array\(tensor\)\}"):
            load_state_dict(path)


def test_load_state_dict_gives_arrays_that_paddle_takes(tmp_path: Path) -> None:
    """The read-only arrays fill a model."""
    paddle = pytest.importorskip("paddle")
    source, target = paddle.nn.Linear(2, 3), paddle.nn.Linear(2, 3)
    path = tmp_path / "model.pdparams"
    paddle.save(source.state_dict(), str(path))
    target.set_state_dict(load_state_dict(path))
    assert np.array_equal(target.weight.numpy(), source.weight.numpy())


# --- names and URLs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / ".cache" / "paddle" / "weights").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


def no_fetch(url: str) -> str:
    raise AssertionError(f"nothing is to be fetched, but {url} was")


def test_resolve_weights_finds_local_files(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path works with and without the suffix, with `~`, and with dots in the name."""
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, b"x")
    dotted = saved(tmp_path, b"x", "v1.2.pdparams")
    at_home = saved(home, b"x", "mine.pdparams")
    assert resolve_weights(str(path), fetch=no_fetch) == path
    assert resolve_weights(str(path.with_suffix("")), fetch=no_fetch) == path
    assert resolve_weights("model", fetch=no_fetch) == Path("model.pdparams")
    assert resolve_weights(str(tmp_path / "v1.2"), fetch=no_fetch) == dotted
    assert resolve_weights("~/mine", fetch=no_fetch) == at_home


def test_resolve_weights_prefers_the_file_over_a_folder_of_its_name(tmp_path: Path) -> None:
    """`output/model` is `output/model.pdparams` when that exists, though a folder `output/model` does too."""
    path = saved(tmp_path, b"x")
    (tmp_path / "model").mkdir()
    assert resolve_weights(str(tmp_path / "model"), fetch=no_fetch) == path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blazefac.pdparams", r"blazefac\.pdparams' do not exist \(did you mean 'blazeface\.pdparams'\?\)"),
        ("blazefac", r"blazefac\.pdparams' do not exist \(did you mean 'blazeface\.pdparams'\?\)"),
        ("lost/model_x.pdparams", "there is no folder .*lost either"),
        ("output/ppyoloe/model_final", "Training with this config would have written them there"),
        ("", "no weights are given|is a directory"),
        (".", r"is a directory; name one \.pdparams file \(it holds blazeface\.pdparams\)"),
        ("empty", "is a directory.*it holds none"),
        ("folder.pdparams", "is a directory"),
        ("model.pdmodel", "is the program of an exported inference model, which has no gradients"),
        ("model.pdiparams", "is the weights of an exported inference model, which has no gradients"),
        ("model.pth", "is a PyTorch file"),
        ("model.pdopt", "is the state of an optimizer"),
        ("model.tar", "is an archive; unpack it first"),
        ("plain", r"has no \.pdparams suffix; rename it"),
        ("s3://bucket/a.pdparams", "only http://, https://, ppdet:// and paths are read"),
        ("a" * 400, "do not exist"),
        ("a\0b", "do not exist"),
    ],
)
def test_resolve_weights_says_why_a_path_is_no_weights_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    """Each path that cannot be used is answered with what it is and what to name instead."""
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, b"x", "blazeface.pdparams")
    saved(tmp_path, b"x", "plain")
    saved(tmp_path, b"x", "model.pdiparams")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.pdparams").mkdir()
    with pytest.raises(WeightsError, match=message):
        resolve_weights(name, fetch=no_fetch)


@pytest.mark.parametrize("url", [URL, "http://host.example/a.pdparams", "ppdet://models/a.pdparams"])
def test_resolve_weights_fetches_urls(tmp_path: Path, url: str) -> None:
    """A URL goes to `fetch` as it is, and its file comes back."""
    path = saved(tmp_path, b"x")
    asked = []
    assert resolve_weights(url, fetch=lambda given: asked.append(given) or str(path)) == path
    assert asked == [url]


def fails(error: BaseException) -> Callable[[str], str]:
    def fetch(url: str) -> str:
        try:
            raise OSError(-3, "Temporary failure in name resolution")
        except OSError as cause:
            if isinstance(error, ConnectionError):
                raise error from cause
            raise error from None

    return fetch


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("HTTPSConnectionPool(...)"), r"OSError: \[Errno -3\] Temporary failure in name resolution"),
        (
            RuntimeError(f"Downloading from {URL} failed with code 404!"),
            f"RuntimeError: Downloading from {URL} failed with",
        ),
        (SystemExit(1), "SystemExit: 1"),
        (TypeError("Unsupport compress file"), "TypeError: Unsupport compress file"),
        (PermissionError(13, "Permission denied"), "PermissionError"),
        (TimeoutError(), r"TimeoutError\. Put"),
    ],
)
@pytest.mark.usefixtures("home")
def test_resolve_weights_says_why_a_download_failed(error: BaseException, reason: str) -> None:
    """Whatever ppdet's downloader raises is one WeightsError with URL, reason and where to put the file."""
    with pytest.raises(WeightsError, match=reason) as raised:
        resolve_weights(URL, fetch=fails(error))
    message = str(raised.value)
    assert f"weights {URL} cannot be downloaded" in message
    assert str(Path(".cache", "paddle", "weights", "blazeface.pdparams")) in message
    assert "-o weights=<file>.pdparams" in message


def test_resolve_weights_takes_the_cached_file_when_the_server_is_away(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The place that the message names works: offline, a file put there is taken, and a warning says so."""
    cached = saved(home / ".cache" / "paddle" / "weights", b"x", "blazeface.pdparams")
    assert resolve_weights(URL, fetch=fails(ConnectionError("away"))) == cached
    assert "cannot be reached" in caplog.text


def test_resolve_weights_takes_no_file_that_the_failed_download_left(home: Path) -> None:
    """A file that `fetch` wrote before it failed (a wrong checksum three times) is not taken."""
    cached = saved(home / ".cache" / "paddle" / "weights", b"old", "blazeface.pdparams")

    def fetch(url: str) -> str:
        cached.write_bytes(b"half of a file")
        raise RuntimeError("Retry limit reached")

    with pytest.raises(WeightsError, match="Retry limit reached"):
        resolve_weights(URL, fetch=fetch)


def test_resolve_weights_leaves_an_interrupt_alone() -> None:
    """Ctrl-C during a download is not a failed download."""
    with pytest.raises(KeyboardInterrupt):
        resolve_weights(URL, fetch=fails(KeyboardInterrupt()))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://host.example/model.pdiparams", "exported inference model"),
        ("https://host.example/model.tar", "is an archive"),
        ("https://host.example/model.pdparams?x=1", r"model\.pdparams must end in \.pdparams"),
        ("https://host.example/", r"must end in \.pdparams"),
        ("https://[host/a.pdparams", "is not a URL"),
    ],
)
def test_resolve_weights_refuses_urls_that_ppdet_would_unpack(url: str, message: str) -> None:
    """A URL whose end is not `.pdparams` is refused before anything is fetched."""
    with pytest.raises(WeightsError, match=message):
        resolve_weights(url, fetch=no_fetch)


@pytest.mark.usefixtures("home")
def test_resolve_weights_shows_no_password() -> None:
    """User, password and query of a URL stay out of the message."""
    url = "https://user:secret@host.example/a.pdparams?token=secret&x=.pdparams"
    with pytest.raises(WeightsError) as raised:
        resolve_weights(url, fetch=fails(RuntimeError(f"Downloading from {url} failed")))
    assert "secret" not in str(raised.value).split("Put the file")[0]
    assert "https://host.example/a.pdparams cannot" in str(raised.value)


def test_resolve_weights_checks_what_was_fetched(tmp_path: Path) -> None:
    """A path from `fetch` that is no file is refused."""
    with pytest.raises(WeightsError, match="is not a file; delete it and try again"):
        resolve_weights(URL, fetch=lambda url: str(tmp_path))


# --- do they fit


def test_fit_report_sorts_names_by_how_they_fit() -> None:
    """Each name is in exactly one of the four groups, in the order it was given."""
    expected = {"a": (2, 3), "b": (1,), "c": (), "d": (4,)}
    given = {"x": np.zeros(1), "d": np.zeros(5), "a": np.zeros((2, 3)), "c": np.zeros(()), "y": np.zeros(1)}
    report = fit_report(expected, given)
    assert report.matched == ("a", "c")
    assert report.missing == ("b",)
    assert report.misshapen == (("d", (4,), (5,)),)
    assert report.surplus == ("x", "y")


def test_check_fit_passes_weights_that_fill_the_model() -> None:
    """Nothing is said when all match; arrays that the model does not use are one line, not an error."""
    assert check_fit(fit_report({"a": (2,)}, {"a": np.zeros(2)}), "w.pdparams") is None
    given = {"a": np.zeros(2), **{f"x{i}": np.zeros(1) for i in range(7)}}
    assert check_fit(fit_report({"a": (2,)}, given), "w.pdparams") == (
        "weights w.pdparams: 7 arrays are not in the model: x0, x1, x2, x3, x4, ..."
    )


def test_check_fit_counts_and_names_what_does_not_fit() -> None:
    """The message holds the counts, the first names of each kind, and the shapes."""
    expected = {"a": (2,), "head.cls.weight": (81, 4), **{f"m{i}": (1,) for i in range(6)}}
    given = {"a": np.zeros(2), "head.cls.weight": np.zeros((3, 4)), "other": np.zeros(1)}
    with pytest.raises(WeightsError) as raised:
        check_fit(fit_report(expected, given), Path("w.pdparams"))
    assert str(raised.value) == (
        "weights w.pdparams do not fit the model: 1 of its 8 arrays match; 6 missing: m0, m1, m2, m3, m4, ...; "
        "1 of another shape: head.cls.weight [3, 4] instead of [81, 4]; 1 not in the model: other. "
        "Use the config that these weights were trained with"
    )


def test_check_fit_hints_at_num_classes_and_backbones() -> None:
    """Shapes alone point to num_classes; names that lack a prefix point to a pretrained backbone."""
    with pytest.raises(WeightsError, match="another num_classes"):
        check_fit(fit_report({"a": (2,)}, {"a": np.zeros(3)}), "w")
    expected = {"backbone.conv1.weight": (1,), "backbone.conv2.weight": (1,), "head.weight": (1,)}
    given = {"conv1.weight": np.zeros(1), "conv2.weight": np.zeros(1), "fc.weight": np.zeros(1)}
    with pytest.raises(WeightsError, match="pretrained backbone, not a trained detector"):
        check_fit(fit_report(expected, given), "w")


def test_sha256_of_hashes_the_whole_file(tmp_path: Path) -> None:
    """The digest is SHA-256's published one for "abc", and right beyond one block."""
    assert sha256_of(saved(tmp_path, b"abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    million = saved(tmp_path, b"a" * 1_000_000)
    assert sha256_of(million) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


@pytest.mark.parametrize("prefix", ["module.", "_layers."])
def test_prefix_of_a_wrapped_model_is_named(prefix: str) -> None:
    """Weights saved from a wrapper for several devices have all names one step deeper."""
    report = fit_report({"a.w": (1,), "b.w": (1,)}, {f"{prefix}{name}": np.zeros(1) for name in ("a.w", "b.w")})
    with pytest.raises(WeightsError, match=f"begin with '{prefix}'.*take the prefix off"):
        check_fit(report, "wrapped.pdparams")
