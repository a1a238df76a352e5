"""Repairs that let paddledet 2.6.0 train on the paddle of today.

As in `ppdet_cam/compat.py`: each names the error it cures and the versions it is for, and changes what ppdet's own
modules do, never paddle itself and never a file on disk. Explaining needs none of them.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam import compat  # noqa: E402, F401  (first: loads what paddle needs loaded before it)

import paddle  # isort: skip  # noqa: E402
from ppdet.modeling.assigners import atss_assigner, task_aligned_assigner  # noqa: E402


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


def apply_training_repairs() -> None:
    """Applies every repair; a second call changes nothing."""
    _repair_label_types()
