"""Each repair cures its error, and only what it is for."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from support.places import ROOT

from ppdet_cam.detectors import compat
from ppdet_cam.detectors.processor import available_cores, needs_mkl_hint

import paddle  # isort: skip  (after compat, which loads what paddle needs loaded before it)

pytestmark = pytest.mark.smoke


def test_paddle_still_refuses_to_concatenate_scalars():
    """The error that the repair cures is still there in paddle itself, so the repair is still needed."""
    with pytest.raises(ValueError, match=r"axis is expected to be in range of \[0, 0\)"):
        paddle.concat([paddle.to_tensor(1), paddle.to_tensor(2)])


@pytest.mark.parametrize("name", compat.COUNTING)
def test_repaired_modules_concatenate_scalars(name):
    """What the repaired ppdet modules call `paddle.concat` takes 0-D tensors, and all else is paddle's own."""
    seen = compat._module(name).paddle
    assert seen.concat([paddle.to_tensor(1), paddle.to_tensor([2, 3])]).tolist() == [1, 2, 3]
    assert seen.concat([paddle.ones([1, 2]), paddle.ones([1, 2])], axis=1).shape == [1, 4]
    assert seen.ones is paddle.ones


def test_silu_has_a_gradient_wherever_it_has_a_value():
    """Paddle's own is NaN where exp(-x) is infinite, so the repair is still needed; else both are the same."""

    def values_and_gradients(function):
        x = paddle.to_tensor([-200.0, -89.0, -70.0, -1.0, 0.0, 5.0], stop_gradient=False)
        y = function(x)
        return y.numpy(), paddle.grad(y.sum(), [x])[0].numpy()

    values, gradients = values_and_gradients(paddle.nn.functional.silu)
    repaired = compat._module("ppdet.modeling.ops").get_act_fn("silu")
    ours, our_gradients = values_and_gradients(repaired)
    assert np.isnan(gradients[:2]).all() and np.isfinite(our_gradients).all()
    np.testing.assert_allclose(ours, values, atol=1e-32)
    np.testing.assert_array_equal(our_gradients[2:], gradients[2:])
    np.testing.assert_array_equal(our_gradients[:2], 0)


def test_download_has_a_timeout(monkeypatch):
    """ppdet's downloader asks with a timeout, and keeps the options that it gives."""
    asked = {}
    monkeypatch.setattr("requests.get", lambda url, **options: asked.update(url=url, **options))
    compat._module("ppdet.utils.download").requests.get("https://example.org/x", stream=True)
    assert asked == {"url": "https://example.org/x", "stream": True, "timeout": compat.DOWNLOAD_TIMEOUT}


def run_fresh(program: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a program in a process of its own, in which nobody says how many threads there are to be."""
    variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**variables, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("environment", [{}, {"OMP_NUM_THREADS": "3"}])
def test_import_in_a_fresh_process_is_silent(environment):
    """Importing the package's paddle rooms first thing neither crashes nor prints nor warns."""
    done = run_fresh("import ppdet_cam.detectors.detector", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("environment", "threads"), [({}, available_cores()), ({"OMP_NUM_THREADS": "3"}, 3)])
def test_paddle_gets_the_cores_unless_told_otherwise(environment, threads):
    """Paddle alone would take one thread; a number that the user gives stays."""
    done = run_fresh("import os, ppdet_cam.detectors.compat; print(os.environ['OMP_NUM_THREADS'])", **environment)
    assert done.stdout == f"{threads}\n"


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000\n", None), ("50000 100000\n", 1), ("900000000 100000\n", None), ("", None)]
)
def test_cores_are_no_more_than_a_containers_share(tmp_path, text, cores):
    """A limit below the cores counts, rounded up; no limit, or none that can be read, leaves the cores."""
    limit = tmp_path / "cpu.max"
    limit.write_text(text, encoding="ascii")
    every = available_cores(tmp_path / "missing")
    assert available_cores(limit) == (cores or every)


AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2 avx avx2\n\nvendor_id\t: AuthenticAMD\n"


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        (AMD, True),
        (AMD.replace(" avx2", ""), False),
        (AMD.replace("AuthenticAMD", "GenuineIntel"), False),
        ("processor: 0\nFeatures: fp asimd\n", False),
        ("", False),
        (None, False),
    ],
)
def test_mkl_needs_a_hint_on_amds_processors_with_avx2(tmp_path, text, needed):
    """Other makers', older ones and other systems are left to MKL."""
    cpuinfo = tmp_path / "cpuinfo"
    if text is not None:
        cpuinfo.write_text(text, encoding="utf-8")
    assert needs_mkl_hint(cpuinfo) is needed


def test_mkl_hint_that_the_user_gives_stays():
    """An own setting is not touched."""
    program = "import os, ppdet_cam.detectors.compat; print(os.environ.get('MKL_DEBUG_CPU_TYPE'))"
    assert run_fresh(program, MKL_DEBUG_CPU_TYPE="4").stdout == "4\n"
    assert run_fresh(program).stdout == ("5\n" if needs_mkl_hint() else "None\n")


@pytest.mark.parametrize(
    ("part", "scalar"), [(paddle.to_tensor([3, 4]), None), (paddle.to_tensor([3]), 3), (paddle.to_tensor([[3]]), None)]
)
def test_slice_of_one_element_is_a_number(part, scalar):
    """What the repaired RPN takes from a shape can be counted up to with any numpy; all else is as it was."""
    found = compat.slice_to_scalar(part, [0], [0], [2])
    assert found.numpy().tolist() == (part.numpy().tolist() if scalar is None else scalar)
    if scalar is not None:
        assert len(range(found)) == scalar


def test_expand_takes_lengths_of_one_element():
    """What the repaired post-processing expands by may be a slice of a tensor, a 0-D tensor, or a number."""
    counts = paddle.to_tensor([2, 5], dtype="int32")
    for length in (counts[0:1], counts[0], 2):
        assert compat.expand_to_scalars(paddle.ones([1, 4]), [length, 4]).shape == [2, 4]
    assert compat.expand_to_scalars(paddle.ones([1, 4]), paddle.to_tensor([2, 4])).shape == [2, 4]


@pytest.mark.parametrize("surplus", [(), ("an index",)])
def test_auxiliary_head_is_left_out_of_inference(surplus):
    """PP-YOLOE with an auxiliary head gives boxes and counts, of a post-processing with two values or three."""
    cls = compat._module("ppdet.modeling.architectures.ppyoloe").PPYOLOEWithAuxHead
    head = mock.MagicMock(**{"post_process.return_value": ("boxes", "counts", *surplus)})
    for post_process in (None, mock.MagicMock(return_value=("boxes", "counts", *surplus))):
        model = mock.MagicMock(training=False, yolo_head=head, post_process=post_process)
        assert cls._forward(model) == {"bbox": "boxes", "bbox_num": "counts"}
        model.aux_head.assert_not_called()


@pytest.mark.parametrize("count", [[3], paddle.to_tensor([3], dtype="int32")], ids=["list", "tensor"])
def test_peaks_are_counted_in_tensors(count):
    """TTFNet's boxes of one image come with their number as a tensor, whatever ppdet takes it from."""
    rows, found = compat.counted_in_tensors(lambda self, *given: ("rows", count))(None, "heat map")
    assert (rows, found.tolist(), found.dtype) == ("rows", [3], paddle.int32)


def test_logging_that_paddle_set_up_reaches_stderr():
    """Paddle's import gives the root logger a handler; what it writes afterwards is not lost."""
    code = "import ppdet_cam.detectors.compat, logging; logging.getLogger('mine').warning('heard')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "heard" in done.stderr
    assert "OMP_NUM_THREADS" not in done.stderr


@pytest.mark.parametrize("shape", [[3], [2, 3], paddle.to_tensor([3]), paddle.to_tensor([2, 3], dtype="int32")])
def test_makers_take_a_shape_in_a_tensor_as_its_numbers(shape):
    """Lists stay what they are; values and types are those of paddle's own maker."""
    wanted = shape.tolist() if isinstance(shape, paddle.Tensor) else shape
    filled = compat.of_sizes(paddle.full)(shape, 7, dtype="int64")
    assert (filled.shape, filled.dtype, filled.flatten()[0].item()) == (wanted, paddle.int64, 7)
    zeros = compat.of_sizes(paddle.zeros)(shape=shape, dtype="float32")
    assert (zeros.shape, zeros.dtype, zeros.sum().item()) == (wanted, paddle.float32, 0.0)
