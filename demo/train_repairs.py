"""Repairs that let paddledet 2.6.0 train on the paddle of today.

As in `ppdet_cam/detectors/compat.py`: each names the error it cures and the versions it is for, and changes what
ppdet's own modules do, never paddle itself and never a file on disk. Explaining needs none of them.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam.detectors.compat import PaddleSeenByModule, concat_of_scalars  # noqa: E402  (first: loads what paddle needs loaded before it)

import paddle  # isort: skip  # noqa: E402
from ppdet.modeling.assigners import atss_assigner, task_aligned_assigner  # noqa: E402
from ppdet.modeling.losses import ssd_loss  # noqa: E402
from ppdet.modeling.proposal_generator import target  # noqa: E402


def _with_int64_labels(forward: Callable[..., object]) -> Callable[..., object]:
    signature = inspect.signature(forward)

    @functools.wraps(forward)
    def wrapper(*args: object, **kwargs: object) -> object:
        bound = signature.bind(*args, **kwargs)
        bound.arguments["gt_labels"] = bound.arguments["gt_labels"].astype("int64")
        return forward(*bound.args, **bound.kwargs)

    return wrapper


def _repair_label_types() -> None:
    """PP-YOLOE's assigners add an argmax, int64, to numbers of the labels' own type, int32.

    Error: TypeError: (InvalidType) Type promotion only support calculations between floating-point numbers and
    between complex numbers. But got different data type x: int64, y: int32
    Where: `ATSSAssigner.forward` and `TaskAlignedAssigner.forward`, at `assigned_gt_index + batch_ind * ...`.
    Versions: paddledet 2.6.0 with paddlepaddle 3.3.1; 2.6.2 promotes by itself, and the cast changes nothing there.
    """
    for assigner in (atss_assigner.ATSSAssigner, task_aligned_assigner.TaskAlignedAssigner):
        if not hasattr(assigner.forward, "__wrapped__") or assigner.forward.__name__ != "forward_int64":
            repaired = _with_int64_labels(assigner.forward)
            repaired.__name__ = "forward_int64"
            assigner.forward = repaired


def _repair_concat_of_scalars() -> None:
    """Every R-CNN's sampling of proposals.

    Error: ValueError: (InvalidArgument) The axis is expected to be in range of [0, 0), but got 0
    Where: `generate_proposal_target` and `generate_mask_target` hand 0-D tensors to `paddle.concat`.
    Versions: paddledet 2.6.0 with paddlepaddle 2.6.2 and 3.3.1.
    """
    target.paddle = PaddleSeenByModule(concat=concat_of_scalars)


def _stack_of_counts(x: Sequence[paddle.Tensor], axis: int = 0, name: str | None = None) -> paddle.Tensor:
    stacked = paddle.stack(x, axis, name)
    return stacked.ceil().astype("int64") if stacked.dtype == paddle.float32 else stacked


def _repair_count_types() -> None:
    """SSD's and BlazeFace's choice of negatives compares ranks, int64, with numbers of negatives, float32.

    Error: TypeError: (InvalidType) Type promotion only support calculations between floating-point numbers and
    between complex and real numbers. But got different data type x: int64, y: float32
    Where: `SSDLoss._mine_hard_example`, at `idx_rank < num_negs`. A rank is below a number where it is below the next
    whole number.
    Versions: paddledet 2.6.0 with paddlepaddle 3.3.1; 2.6.2 promotes by itself, and the result is the same there.
    """
    ssd_loss.paddle = PaddleSeenByModule(stack=_stack_of_counts)


def apply_training_repairs() -> None:
    """Applies every repair; a second call changes nothing."""
    _repair_label_types()
    _repair_concat_of_scalars()
    _repair_count_types()
