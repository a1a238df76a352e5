"""A model's graph, run: by paddle.inference, or an `.onnx` file by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ppdet_cam.detectors import compat  # noqa: F401  (first: loads what paddle needs loaded before it)

import paddle.inference  # isort: skip

from ppdet_cam.detectors.building import available_accelerators
from ppdet_cam.detectors.deployed.folder import Deployment
from ppdet_cam.detectors.deployed.graph import check_weights, read_graph
from ppdet_cam.detectors.device import choose_device
from ppdet_cam.detectors.processor import available_cores
from ppdet_cam.detectors.workspace import first_line
from ppdet_cam.errors import MissingPackageError, WeightsError

if TYPE_CHECKING:
    import onnxruntime

KNOWN_INPUTS = ("image", "im_shape", "scale_factor")
_FIRST_GPU_MEGABYTES = 200


class Runner(Protocol):
    """Runs a graph.

    Attributes:
        device: where.
        input_shapes: name -> its declared lengths, -1 for any; () where they are not known.
        output_names: in the graph's order.
    """

    device: str
    input_shapes: Mapping[str, Sequence[int]]
    output_names: Sequence[str]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Returns the outputs for the inputs, both as the graph names and orders them."""


def runner_of(deployment: Deployment) -> Runner:
    """Returns what runs an exported model, ready to run.

    Raises:
        WeightsError: the graph cannot be loaded, or its weights are those of another.
        MissingPackageError: onnxruntime is not installed.
    """
    return OnnxRunner(deployment) if deployment.is_onnx else PaddleRunner(deployment)


class PaddleRunner:
    """paddle.inference, as PaddleDetection's deploy/python sets it up."""

    def __init__(self, deployment: Deployment) -> None:
        device, _ = choose_device({}, [kind for kind in available_accelerators() if kind == "gpu"])
        if deployment.program.suffix == ".json" and int(paddle.__version__.partition(".")[0] or 0) in (1, 2):
            raise WeightsError(
                f"{deployment.program} is a graph of paddle 3, and this is paddle {paddle.__version__}, which cannot "
                "read it. Install paddle 3, or export the model with paddle 2"
            )
        graph = read_graph(deployment.program)
        check_weights(deployment.parameters, graph, deployment.program)
        config = paddle.inference.Config(str(deployment.program), str(deployment.parameters))
        if device == "gpu":
            config.enable_use_gpu(_FIRST_GPU_MEGABYTES, 0)
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(available_cores())
            if hasattr(config, "disable_mkldnn"):  # which paddle 3 switches on, and deploy/python never does
                config.disable_mkldnn()
        config.disable_glog_info()
        if deployment.program.suffix == ".pdmodel":
            config.enable_memory_optim()  # of a .json's graph paddle 3 says "Not find ... memory_optimize_pass"
        config.switch_use_feed_fetch_ops(False)
        try:
            self._predictor = paddle.inference.create_predictor(config)
        except Exception as error:  # anything: paddle gives a RuntimeError, SystemError or MemoryError
            raise WeightsError(
                f"paddle cannot load {deployment.program} with {deployment.parameters.name}: {_reason(error)}. Files "
                "of two exports may be mixed, or one is damaged or of a newer paddle: export the model again"
            ) from error
        self.device = device
        self.input_shapes: Mapping[str, Sequence[int]] = {
            name: graph.inputs.get(name, ()) for name in self._predictor.get_input_names()
        }
        self.output_names: Sequence[str] = self._predictor.get_output_names()

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Returns the outputs, as `Runner` has it."""
        for name in self.input_shapes:
            self._predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(inputs[name]))
        self._predictor.run()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in self.output_names]


class OnnxRunner:
    """onnxruntime, on the GPU where it finds one."""

    def __init__(self, deployment: Deployment) -> None:
        self._session = _onnx_session(deployment)
        self.device = "gpu" if self._session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self.input_shapes: Mapping[str, Sequence[int]] = {
            one.name: tuple(length if isinstance(length, int) else -1 for length in one.shape)
            for one in self._session.get_inputs()
        }
        self.output_names: Sequence[str] = [one.name for one in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Returns the outputs, as `Runner` has it."""
        given = {name: inputs[name] for name in self.input_shapes}
        return [np.asarray(output) for output in self._session.run(None, given)]


def _onnx_session(deployment: Deployment) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime  # here: an extra that few need
    except ImportError as error:
        raise MissingPackageError(
            f"{deployment.program} needs onnxruntime, which is not installed:\n    pip install onnxruntime\n"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = available_cores(), 3
    known = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
    try:
        return onnxruntime.InferenceSession(str(deployment.program), options, providers=providers)
    except Exception as error:  # anything: its errors have no common base
        raise WeightsError(
            f"onnxruntime cannot load {deployment.program}: {_reason(error)}. Is it whole, and made by paddle2onnx?"
        ) from error


def _reason(error: Exception) -> str:
    """Returns what a C++ library says, without its stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "Error:" in line or "(" in line[:1]]
    return (said[0] if said else first_line(error))[:300]
