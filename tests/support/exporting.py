"""The demo detectors as ppdet's own exporter writes them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet)

import paddle  # isort: skip
import ppdet.engine.trainer
import ppdet.modeling.ops
from ppdet.core.workspace import load_config
from ppdet.engine import Trainer
from ppdet.modeling.proposal_generator.rpn_head import RPNHead

from ppdet_cam.detectors.workspace import isolated_workspace
from ppdet_cam.places import PROJECT_ROOT


def export_demo(name: str, folder: Path, *, for_paddlex: bool = False, **overrides: object) -> Path:
    """Returns the folder into which ppdet's Trainer exported a demo detector with its trained weights."""
    weights = PROJECT_ROOT / f"demo/weights/{name}.pdparams"
    # of a batch of any size, its R-CNN makes no graph on these paddles; of one image it does, as for ONNX
    overrides = {"export_onnx": "rcnn" in name, **overrides}
    return export(PROJECT_ROOT / f"configs/demo/{name}.yml", weights, folder, for_paddlex=for_paddlex, **overrides)


def export(config_file: Path, weights: Path, folder: Path, *, for_paddlex: bool = False, **overrides: object) -> Path:
    """Returns the folder into which ppdet's Trainer exported a detector.

    Args:
        config_file: of the detector.
        weights: that it was trained to.
        folder: to export into.
        for_paddlex: whether in PaddleX's form, which only a newer PaddleDetection has.
        overrides: settings of the config.
    """
    with isolated_workspace():
        config = load_config(str(config_file))
        config.update({"use_gpu": False, **overrides})
        annotations = getattr(config["TestDataset"], "anno_path", None)
        if annotations:
            config["TestDataset"].anno_path = str(PROJECT_ROOT / annotations)
        trainer = Trainer(config, mode="test")
        trainer.load_weights(str(weights))
        with exporting():
            trainer.export(str(folder), **({"for_fd": True} if for_paddlex else {}))
    return folder if for_paddlex else folder / config_file.stem


@contextmanager
def exporting() -> Iterator[None]:
    """Lets ppdet 2.6.0 export on today's paddle.

    - `to_static` has to make one graph of all, or the exporter finds no program: "Can't call main_program".
    - The number of an image's proposals is 0-D, and is indexed: "index out of range".
    - ppdet's operators build programs of paddle 2's kind only: "should be one of [str, bytes, Variable]".
    """
    whole = functools.partial(paddle.jit.to_static, full_graph=True)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # paddle's, about how its graphs are made
        if _is_new_kind():
            either = paddle.framework.in_dynamic_or_pir_mode
            stack.enter_context(mock.patch.object(ppdet.modeling.ops, "in_dynamic_mode", either))
            stack.enter_context(mock.patch.object(ppdet.modeling.ops, "C_ops", _Operators()))
            stack.enter_context(mock.patch.object(ppdet.engine.trainer, "_prune_input_spec", _used_inputs))
        stack.enter_context(mock.patch.object(RPNHead, "forward", _counting_in_a_list))
        stack.enter_context(mock.patch.object(paddle.jit, "to_static", whole))
        yield


_FORWARD = RPNHead.forward


def _counting_in_a_list(self: RPNHead, feats: object, inputs: object) -> object:
    rois, number, rest = _FORWARD(self, feats, inputs)
    return rois, number.reshape([1]), rest


# the order in which paddle's operators take what ppdet names
_ORDER = {
    "multiclass_nms3": "score_threshold nms_top_k keep_top_k nms_threshold normalized nms_eta background_label",
    "prior_box": "min_sizes max_sizes aspect_ratios variances flip clip step_w step_h offset "
    "min_max_aspect_ratios_order",
    "generate_proposals_v2": "pre_nms_topN post_nms_topN nms_thresh min_size eta pixel_offset",
    "distribute_fpn_proposals": "min_level max_level refer_level refer_scale pixel_offset",
}


class _Operators:
    """paddle's operators as ppdet calls them, with the names of attributes among the values."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        order = _ORDER[name].split()

        def call(*given: object) -> object:
            first = next(position for position, one in enumerate(given) if isinstance(one, str))
            named = dict(zip(given[first::2], given[first + 1 :: 2]))
            inputs = given[: first - 2] if name == "distribute_fpn_proposals" else given[:first]
            operator = getattr(paddle._C_ops, name.replace("_v2", ""))
            return operator(*inputs, *(named.get(one, []) for one in order))

        return call


def _is_new_kind() -> bool:
    uses = getattr(paddle.framework, "use_pir_api", None)
    return bool(uses and uses())


def _used_inputs(spec: list[dict[str, object]], program: object, targets: object) -> list[dict[str, object]]:
    data = [op for op in program.global_block().ops if op.name() == "pd_op.data"]  # type: ignore[attr-defined]
    used = {op.attrs()["name"] for op in data if not op.result(0).use_empty()}
    return [{name: one for name, one in spec[0].items() if name in used}]
