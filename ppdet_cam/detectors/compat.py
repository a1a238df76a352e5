"""Repairs that let ppdet run on the paddle and numpy of today, and the one place that imports both packages.

Each repair names the error it cures and the versions it is for. A repair changes what one ppdet module
sees, never paddle itself and never a file on disk.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import sys
import warnings

# paddle 2.6.2 dies with SIGSEGV in inflateReset2 when it is loaded before zlib, and ppdet after it.
import zlib  # noqa: F401  (imported for its side effect, see above)
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np  # the same
import requests

from ppdet_cam.detectors.checkout import find_ppdet, source_of
from ppdet_cam.detectors.processor import available_cores, needs_mkl_hint
from ppdet_cam.detectors.stand_ins import stand_ins
from ppdet_cam.errors import MissingPackageError
from ppdet_cam.opencv import check_opencv

check_opencv()  # the same

# Paddle takes this to be 1 where nobody says otherwise, and reads it once, when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))
# Paddle's threads are to sleep when they have nothing to do: by default they keep a core busy for another 0.2 s.
os.environ.setdefault("KMP_BLOCKTIME", "0")
# Its matrix products take half the time then; it is read when paddle is loaded.
if needs_mkl_hint():
    os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")


class StderrLater(io.TextIOBase):
    """Stands for stderr during an import: nothing is written meanwhile, and all is afterwards.

    Log handlers that are made in the import keep their stream for good, so it must not end with it.
    """

    def __init__(self) -> None:
        self.is_quiet = True

    def write(self, text: str) -> int:
        return len(text) if self.is_quiet else sys.stderr.write(text)

    def flush(self) -> None:
        if not self.is_quiet:
            sys.stderr.flush()


_stderr = StderrLater()
with warnings.catch_warnings(), contextlib.redirect_stderr(_stderr):  # it writes a warning about more than one thread
    warnings.simplefilter("ignore")  # about a compiler cache, for C++ extensions that nobody builds here
    try:
        import paddle
        from paddle import nn
    except ModuleNotFoundError as error:
        if error.name != "paddle":
            raise
        raise MissingPackageError(
            'paddle is missing. For the CPU: pip install "paddlepaddle>=2.6.2,<3.4"\n'
            "for a GPU: the paddlepaddle-gpu for its CUDA, with the command that paddle's own install page gives"
        ) from error
_stderr.is_quiet = False


def _import_ppdet() -> None:
    """Imports the chosen ppdet without what it prints, warns and logs about parts that are not used here."""
    later = StderrLater()
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(later))  # a checkout warns that it is not installed
        stack.enter_context(stand_ins())
        warnings.simplefilter("ignore")
        if "ppdet" not in sys.modules:
            _load(find_ppdet())
        importlib.import_module("ppdet.engine")
    later.is_quiet = False


def _load(spec: ModuleSpec) -> None:
    """Imports a package from where it was found, wherever Python's own path would find it."""
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] == spec.name]:
            del sys.modules[name]
        raise


class PaddleSeenByModule:
    """paddle, but for the functions that one ppdet module needs otherwise."""

    def __init__(self, **replaced: object) -> None:
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> object:
        return getattr(paddle, name)


# ppdet's modules that count in tensors
COUNTING = (
    "ppdet.modeling.proposal_generator.rpn_head",
    "ppdet.modeling.post_process",
    "ppdet.modeling.heads.cascade_head",
    "ppdet.modeling.heads.tood_head",
    "ppdet.modeling.layers",
    "ppdet.modeling.heads.s2anet_head",
)
TRANSFORMERS = (
    "ppdet.modeling.transformers.deformable_transformer",
    "ppdet.modeling.transformers.dino_transformer",
    "ppdet.modeling.transformers.group_detr_transformer",  # from 2.7.0 on
)


def concat_of_scalars(x: Sequence[paddle.Tensor | int], axis: int = 0, name: str | None = None) -> paddle.Tensor:
    """Returns `paddle.concat` of tensors of which some may be 0-D, or numbers; those count as one element.

    While a model is exported, its tensors are variables of a program, and a list may be one as well.
    """
    if not isinstance(x, (list, tuple)):
        return paddle.concat(x, axis, name)
    tensors = [part if hasattr(part, "ndim") else paddle.to_tensor(part) for part in x]
    return paddle.concat([part.reshape([1]) if part.ndim == 0 else part for part in tensors], axis, name)


def slice_to_scalar(
    input: paddle.Tensor, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int]
) -> paddle.Tensor:
    """Returns `paddle.slice`; of a single element, as a 0-D tensor."""
    part = paddle.slice(input, axes, starts, ends)
    return part.reshape([]) if part.shape == [1] else part


def expand_to_scalars(x: paddle.Tensor, shape: object, name: str | None = None) -> paddle.Tensor:
    """Returns `paddle.expand`; tensors of one element among the lengths are taken as 0-D."""
    if isinstance(shape, (list, tuple)):
        shape = [part.reshape([]) if isinstance(part, paddle.Tensor) else part for part in shape]
    return paddle.expand(x, shape, name)


def of_sizes(make: Callable[..., paddle.Tensor]) -> Callable[..., paddle.Tensor]:
    """Returns a maker of tensors that takes a shape in a tensor as the numbers in it."""

    def made(shape: paddle.Tensor | Sequence[int], *rest: object, **options: object) -> paddle.Tensor:
        sizes = shape.numpy().reshape(-1).tolist() if isinstance(shape, paddle.Tensor) else shape
        return make(sizes, *rest, **options)

    return made


def _repair_scalars() -> None:
    """Every R-CNN, TOOD, SOLOv2 and S2ANet: what paddle and numpy take for a number has changed twice.

    Error: ValueError: (InvalidArgument) The axis is expected to be in range of [0, 0), but got 0
    Where: `RPNHead._gen_proposal`, `BBoxPostProcess.get_pred`, `CascadeHead._get_rois_from_boxes`,
    `TOODHead._reg_grid_sample`, `MaskMatrixNMS` and `S2ANetHead.get_pred` hand 0-D tensors to `paddle.concat`.
    Versions: paddle >= 2.5, where indexing and `paddle.shape(x)[0]` give them; ppdet 2.6.0 to develop.

    Error: TypeError: only 0-dimensional arrays can be converted to Python scalars
    Where: `RPNHead._gen_proposal`, `range(batch_size)` of a `paddle.slice` with one element.
    Error: <built-in function expand> returned a result with an exception set
    Where: `BBoxPostProcess.get_pred`, lengths `bbox_num[i:i + 1]` of `paddle.expand`; ppdet 2.7.0 and develop.
    Error: ValueError: (InvalidArgument) Each value of attribute 'shape' is expected to be no less than 0. But received:
    shape[0] = -1
    Where: `paddle.full` and `paddle.zeros` of `paddle.shape(x)` in `CenterNetPostProcess._topk`, `TTFBox._topk` and
    `MaskMatrixNMS`.
    Versions: numpy >= 2.4.
    """
    for name in COUNTING:
        _module(name).paddle = PaddleSeenByModule(  # type: ignore[attr-defined]
            concat=concat_of_scalars,
            slice=slice_to_scalar,
            expand=expand_to_scalars,
            full=of_sizes(paddle.full),
            zeros=of_sizes(paddle.zeros),
        )


def tensor_as_it_is(data: object, *options: object, **named: object) -> paddle.Tensor:
    """Returns `paddle.to_tensor`; of a tensor, that tensor."""
    is_one = isinstance(data, paddle.Tensor) and not (options or named)
    return data if is_one else paddle.to_tensor(data, *options, **named)


def _divides_by_counts() -> bool:
    """Whether this paddle divides fractions by integers."""
    try:
        paddle.ones([1]) / paddle.ones([1], dtype="int64")
    except TypeError:
        return False
    return True


def _repair_deformable_attention() -> None:
    """Deformable DETR and DINO: tensors of counts where numbers are wanted.

    Error: ValueError: (InvalidArgument) The axis is expected to be in range of [0, 0), but got 0
    Where: `DeformableTransformer.forward`, `DINOTransformer._get_encoder_input` and that of `GroupDINOTransformer` hand
    0-D tensors to `paddle.concat`, and then tensors to `paddle.to_tensor`, which warns.
    Versions: paddle >= 2.5; ppdet 2.6.0, and 2.7.0 for Group DINO.
    Error: ValueError: (InvalidArgument) concat(): argument 'x' (position 0) must be list of Tensors
    Where: the same of `GroupDINOTransformer`, with numbers; ppdet develop.

    Error: TypeError: (InvalidType) Type promotion only support calculations between floating-point numbers and between
    complex and real numbers. But got different data type x: float32, y: int64
    Where: `MSDeformableAttention.forward` divides offsets by the flipped sizes of the levels, which it flips for
    nothing else.
    Versions: paddle >= 3.0; ppdet 2.6.0. In later ones the repaired method gives the same as their own.
    """
    for name in TRANSFORMERS:
        if importlib.util.find_spec(name) is None:
            continue
        _module(name).paddle = PaddleSeenByModule(  # type: ignore[attr-defined]
            concat=concat_of_scalars, to_tensor=tensor_as_it_is
        )
    if _divides_by_counts():
        return
    cls = _module(TRANSFORMERS[0]).MSDeformableAttention
    own = cls.forward

    def forward(
        self: nn.Layer,
        query: paddle.Tensor,
        reference_points: paddle.Tensor,
        value: paddle.Tensor,
        value_spatial_shapes: paddle.Tensor,
        *rest: object,
    ) -> paddle.Tensor:
        shapes = value_spatial_shapes.clone()
        shapes.flip = lambda axis: value_spatial_shapes.flip(axis).astype(query.dtype)
        return own(self, query, reference_points, value, shapes, *rest)

    cls.forward = forward


def cast_to_vector(x: paddle.Tensor, dtype: str) -> paddle.Tensor:
    """Returns `paddle.cast`; of a 0-D tensor, as one element in a vector."""
    return paddle.cast(x.reshape([1]) if x.ndim == 0 else x, dtype)


def _as_float(make: Callable[..., paddle.Tensor]) -> Callable[..., paddle.Tensor]:
    """Returns a maker of tensors that makes floats where int32 is asked for."""
    return lambda *given, dtype, **named: make(*given, dtype="float32" if dtype == "int32" else dtype, **named)


def _repair_solov2() -> None:
    """SOLOv2's choice of masks, and the matrix NMS among them.

    Error: IndexError: (OutOfRange) The starting index 0 of slice is out of bounds in tensor 0-th axis
    Error: ValueError: (InvalidArgument) The axis is expected to be in range of [0, 0), but got 0
    Where: `SOLOv2Head.get_seg_single`, `paddle.cast(im_shape[0], 'int32')[0]` and casts that are concatenated.
    Versions: paddle >= 2.5, where indexing gives 0-D tensors; ppdet 2.6.0.

    Error: TypeError: (InvalidType) Type promotion only support ... x: float32, y: int32
    Where: `SOLOv2Head.get_seg_single`, `sum_masks > strides`.
    Versions: paddle >= 3.0; ppdet 2.6.0 and 2.7.0.

    Also the shapes in tensors of `_repair_scalars`.
    """
    repaired = PaddleSeenByModule(
        cast=cast_to_vector, full=_as_float(of_sizes(paddle.full)), zeros=_as_float(of_sizes(paddle.zeros))
    )
    _module("ppdet.modeling.heads.solov2_head").paddle = repaired  # type: ignore[attr-defined]


def floats_of(data: object, dtype: object = None, *rest: object, **options: object) -> paddle.Tensor:
    """Returns `paddle.to_tensor`, with whole numbers as floats."""
    tensor = paddle.to_tensor(data, dtype, *rest, **options)
    return tensor if dtype is not None or tensor.is_floating_point() else tensor.astype("float32")


def stack_of_floats(x: Sequence[paddle.Tensor], axis: int = 0, name: str | None = None) -> paddle.Tensor:
    """Returns `paddle.stack`, with whole numbers as floats."""
    stacked = paddle.stack(x, axis, name)
    return stacked if stacked.is_floating_point() else stacked.astype("float32")


def decoded_with_angle(own: Callable[..., paddle.Tensor]) -> Callable[..., paddle.Tensor]:
    """Returns a head's way from numbers and anchors, [N, L, 5], to boxes, `own`'s, with the angle's gradient."""

    def decode(self: nn.Layer, preds: paddle.Tensor, anchors: paddle.Tensor, *rest: float) -> paddle.Tensor:
        boxes = own(self, preds, anchors, *rest)
        angle = np.pi * (preds * self.stds + self.means)[..., 4:] + anchors[..., 4:]
        return paddle.concat([boxes[..., :4], boxes[..., 4:].detach() + (angle - angle.detach())], axis=-1)

    return decode


def _repair_rotated_anchors() -> None:
    """S2ANet.

    Error: TypeError: (InvalidType) Type promotion only support calculations between floating-point numbers ... But got
    different data type x: float32, y: int64
    Where: `S2ANetAnchorGenerator.gen_base_anchors`, scales of whole numbers; `forward`, shifts of whole numbers.
    Versions: paddle >= 3.0; ppdet 2.6.0 and 2.7.0.

    Error: AttributeError: 'int' object has no attribute 'numpy'
    Where: `AlignConv.forward`, `x.shape[0].numpy()`, which nothing reads.
    Versions: ppdet develop.

    Error: none, but `AlignConv.get_offset` runs without a graph: a gradient lacks that the score depends on where the
    refined anchor makes the convolution look. Training detaches the offsets by itself.
    Versions: ppdet 2.6.0 to develop.

    Error: none, but `S2ANetHead.bbox_decode` takes angles modulo a half turn, and `%` has a gradient of zero.
    Versions: paddle < 3.0. In later ones the repaired method gives the same as their own.
    """
    head = _module("ppdet.modeling.heads.s2anet_head").S2ANetHead
    head.bbox_decode = decoded_with_angle(head.bbox_decode)
    generator = _module("ppdet.modeling.proposal_generator.anchor_generator")
    generator.paddle = PaddleSeenByModule(to_tensor=floats_of, stack=stack_of_floats)  # type: ignore[attr-defined]
    anchors = generator.S2ANetAnchorGenerator
    own = anchors.forward
    # a stride of 64 bits is multiplied with whole numbers of 32, and paddle warns of that
    anchors.forward = lambda self, featmap_size, stride=16: own(self, featmap_size, int(stride))
    align = _module("ppdet.modeling.layers").AlignConv
    with_graph = align.get_offset.__wrapped__

    def forward(
        self: nn.Layer, x: paddle.Tensor, refine_anchors: paddle.Tensor, featmap_size: object, stride: paddle.Tensor
    ) -> paddle.Tensor:
        offset = with_graph(self, refine_anchors, featmap_size, stride.astype("float32"))
        return nn.functional.relu(self.align_conv(x, offset.detach() if self.training else offset))

    align.forward = forward


def _repair_auxiliary_head() -> None:
    """PP-YOLOE with an auxiliary head, which is for training only.

    Error: ValueError: too many values to unpack (expected 2)
    Where: `PPYOLOEWithAuxHead._forward`; what its head and post-processing give has become three values.
    Versions: ppdet develop. In the others the repaired method gives the same as their own.
    """
    cls = _module("ppdet.modeling.architectures.ppyoloe").PPYOLOEWithAuxHead
    own = cls._forward

    def forward(self: nn.Layer) -> object:
        if self.training:
            return own(self)
        outputs = self.yolo_head(self.neck(self.backbone(self.inputs), self.for_mot))
        scale = self.inputs["scale_factor"]
        if self.post_process is None:
            boxes, counts = self.yolo_head.post_process(outputs, scale)[:2]
        else:
            anchors, shape = self.yolo_head.mask_anchors, self.inputs["im_shape"]
            boxes, counts = self.post_process(outputs, anchors, shape, scale)[:2]
        return {"bbox": boxes, "bbox_num": counts}

    cls._forward = forward


def counted_in_tensors(own: Callable[..., tuple[object, object]]) -> Callable[..., tuple[object, paddle.Tensor]]:
    """Returns a method that gives rows and their number, as `own` does, with the number as a tensor."""

    def decode(self: object, *given: paddle.Tensor) -> tuple[object, paddle.Tensor]:
        rows, count = own(self, *given)
        return rows, count if isinstance(count, paddle.Tensor) else paddle.to_tensor(count, dtype="int32")

    return decode


def _repair_peak_counts() -> None:
    """TTFNet and PAFNet: how many peaks there are is taken of a shape, which is a list.

    Error: ValueError: (InvalidArgument) concat(): argument 'x' (position 0) must be list of Tensors
    Where: `TTFBox.__call__`, of the counts `results.shape[0:1]`.
    Versions: ppdet develop. In the others the repaired method gives the same as their own.
    """
    cls = _module("ppdet.modeling.layers").TTFBox
    cls._decode = counted_in_tensors(cls._decode)


LEAST_EXPONENT = -80.0  # exp(80) is a float32, exp(89) is not


def silu(x: paddle.Tensor) -> paddle.Tensor:
    """Returns x * sigmoid(x), with a gradient of 0 where that is below 1e-32."""
    return nn.functional.silu(x if x.stop_gradient else x.clip(min=LEAST_EXPONENT))


def _repair_silu() -> None:
    """RT-DETR, PP-YOLOE and others whose activation is `silu`: one very negative number blanks every map.

    Error: none; the gradient of `paddle.nn.functional.silu` is NaN for x < -88.7, where exp(-x) is infinite.
    Where: `ppdet.modeling.ops.get_act_fn("silu")`.
    Versions: paddle 2.6.2 to 3.3 on a CPU; ppdet 2.6.0 to develop.
    """
    _module("ppdet.modeling.ops").ACT_SPEC["silu"] = silu


DOWNLOAD_TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two parts of the file


class _RequestsWithTimeout:
    """requests, but `get` gives up on a server that stays silent."""

    def __getattr__(self, name: str) -> object:
        return getattr(requests, name)

    @staticmethod
    def get(url: str, **options: object) -> requests.Response:
        options.setdefault("timeout", DOWNLOAD_TIMEOUT)
        return requests.get(url, **options)  # type: ignore[arg-type]


def _repair_download_without_timeout() -> None:
    """Weights from a URL whose server accepts the connection and says nothing.

    Error: none, `ppdet.utils.download` waits forever, as `requests.get` has no timeout of its own.
    Versions: ppdet 2.6.0 to develop.
    """
    _module("ppdet.utils.download").requests = _RequestsWithTimeout()  # type: ignore[attr-defined]


def _module(name: str) -> ModuleType:
    """Returns a ppdet module by its full name; ppdet's packages shadow some of them as attributes."""
    importlib.import_module(name)
    return sys.modules[name]


def apply_repairs() -> None:
    """Imports ppdet and applies every repair."""
    _import_ppdet()
    _repair_scalars()
    _repair_deformable_attention()
    _repair_solov2()
    _repair_rotated_anchors()
    _repair_auxiliary_head()
    _repair_peak_counts()
    _repair_silu()
    _repair_download_without_timeout()


apply_repairs()
PPDET = source_of(sys.modules["ppdet"].__spec__)
