#!/usr/bin/env python3
"""paddledet 2.6.0's own CAM tool, `ppdet.utils.cam_utils.BBoxCAM`, timed without its drawing.

Added so that it runs: the repairs of `ppdet_cam.detectors.compat`, and `retain_grads()` on the features that it reads
`.grad` of.
As a program it is that tool's whole command: CONFIG WEIGHTS IMAGE LAYER THRESHOLD OUT.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam.detectors import compat  # noqa: E402, F401

import paddle  # isort: skip  # noqa: E402
import ppdet.utils.cam_utils as cam_utils  # noqa: E402
from one_element import repair  # noqa: E402
from ppdet.core.workspace import load_config, merge_config  # noqa: E402
from ppdet.engine import trainer  # noqa: E402

repair(cam_utils)
repair(trainer)


class OldTool(cam_utils.BBoxCAM):
    """BBoxCAM on one image.

    Attributes:
        forward_seconds: of the last run's forward pass.
        box_seconds: of the last run, per box: backward, copies, the map on the image, clearing gradients.
    """

    def __init__(self, config: Path, weights: Path, image: Path, layer: str, out: Path) -> None:
        settings = load_config(str(config))
        merge_config({"use_gpu": False, "weights": str(weights), "infer_img": str(image)})
        settings["target_feature_layer_name"] = layer
        flags = SimpleNamespace(
            cam_out=str(out), infer_dir=None, infer_img=str(image), output_dir=str(out), save_results=False
        )
        super().__init__(flags, settings)
        self.forward_seconds, self.box_seconds = 0.0, 0.0

    def set_hook(self, cfg: object) -> None:
        """Hooks the layer as the tool does, and keeps the gradients that paddle drops since 2.4."""
        super().set_hook(cfg)
        layer = self.trainer.model
        for name in self.target_layer_name.split(".")[1:]:
            layer = getattr(layer, name)
        layer.register_forward_post_hook(lambda _layer, _inputs, output: _retain_gradients(output))

    def run(self, draw_threshold: float) -> int:
        """Explains the boxes with at least this score; returns how many."""
        self.FLAGS.draw_threshold = draw_threshold
        watch = _Stopwatch()
        with _instrumented(self, watch):
            self.get_bboxes_cams()
        self.forward_seconds, self.box_seconds = watch.forward, watch.seconds / max(watch.boxes, 1)
        return watch.boxes


def _retain_gradients(output: object) -> None:
    for tensor in output if isinstance(output, (list, tuple)) else [output]:
        if not tensor.stop_gradient:
            tensor.retain_grads()


class _Stopwatch:
    """Adds up the time per box; stands still while the tool draws and saves."""

    def __init__(self) -> None:
        self.seconds = self.forward = 0.0
        self.boxes = 0
        self._since: float | None = None

    def resume(self) -> None:
        self._since = time.perf_counter()

    def pause(self) -> None:
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
        self._since = None


@contextmanager
def _instrumented(tool: OldTool, watch: _Stopwatch) -> Iterator[None]:
    """Runs the watch from the end of the forward pass, except from a box's map on to the clearing of its gradients."""
    get_bboxes, grad_cam, resize_cam = tool.get_bboxes, cam_utils.grad_cam, cam_utils.resize_cam
    clear_gradient = paddle.Tensor.clear_gradient

    def timed_forward() -> object:
        started = time.perf_counter()
        result = get_bboxes()
        watch.forward = time.perf_counter() - started
        watch.resume()
        return result

    def timed_map(*arguments: object) -> object:
        found = grad_cam(*arguments)
        watch.boxes += 1
        watch.pause()
        return found

    def timed_resize(*arguments: object) -> object:
        watch.resume()
        found = resize_cam(*arguments)
        watch.pause()
        return found

    def timed_clear(tensor: object, *arguments: object) -> object:
        if watch._since is None:
            watch.resume()
        return clear_gradient(tensor, *arguments)

    tool.get_bboxes, cam_utils.grad_cam, cam_utils.resize_cam = timed_forward, timed_map, timed_resize
    paddle.Tensor.clear_gradient = timed_clear
    try:
        yield
        watch.pause()
    finally:
        del tool.get_bboxes
        cam_utils.grad_cam, cam_utils.resize_cam = grad_cam, resize_cam
        paddle.Tensor.clear_gradient = clear_gradient


if __name__ == "__main__":
    config, weights, image, layer, threshold, out = sys.argv[1:]
    OldTool(Path(config), Path(weights), Path(image), layer, Path(out)).run(float(threshold))
