"""Repairs that let paddledet 2.6.0 run on the paddle of today, and the one place that imports both.

Each repair names the error it cures and the versions it is for. A repair changes what one ppdet module
sees, never paddle itself and never a file on disk.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import sys
import warnings

# paddle 2.6.2 dies with SIGSEGV in inflateReset2 when it is loaded before zlib, and ppdet after it.
import zlib  # noqa: F401  (imported for its side effect, see above)
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np  # noqa: F401  (the same)
import requests

from ppdet_cam.detectors.threads import available_cores
from ppdet_cam.errors import PpdetCamError

try:
    import cv2  # noqa: F401  (the same; and a missing libGL is reported here, not from the depth of ppdet)
except ImportError as error:
    raise PpdetCamError(
        f"OpenCV cannot be loaded ({error}). On a slim machine its system libraries are missing: install "
        "libGL and glib (Debian: apt-get install libgl1 libglib2.0-0), or use opencv-python-headless"
    ) from error

# Paddle takes this to be 1 where nobody says otherwise, and reads it once, when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))
# Paddle's threads are to sleep when they have nothing to do: by default they keep a core busy for another 0.2 s.
os.environ.setdefault("KMP_BLOCKTIME", "0")


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
    import paddle
_stderr.is_quiet = False


# What ppdet imports for tracking only, and what that costs a fifth of the time until a detector can be built.
DEFERRED = ("sklearn", "pandas")


class DeferredModule(ModuleType):
    """Stands for a module that is imported when something is first asked of it."""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def deferred_imports(names: Sequence[str]) -> Iterator[None]:
    """Lets modules wait that are imported in the context; whoever imports them afterwards gets them at once.

    One that is imported already, or not installed, is left alone.
    """
    waiting = {}
    for name in names:
        found = None if name in sys.modules else importlib.util.find_spec(name)
        if found is not None:
            waiting[name] = DeferredModule(name)
            waiting[name].__file__ = found.origin
    sys.modules.update(waiting)
    try:
        yield
    finally:
        for name, module in waiting.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _import_ppdet() -> None:
    """Imports ppdet without what it prints, warns and logs about parts that are not used here."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), deferred_imports(DEFERRED):
        warnings.simplefilter("ignore")
        logging.getLogger("matplotlib").setLevel(logging.WARNING)
        importlib.import_module("ppdet.engine")


class PaddleSeenByModule:
    """paddle, but for the functions that one ppdet module needs otherwise."""

    def __init__(self, **replaced: object) -> None:
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> object:
        return getattr(paddle, name)


# ppdet's modules that hand 0-D tensors to `paddle.concat`
CONCATENATING = (
    "ppdet.modeling.proposal_generator.rpn_head",
    "ppdet.modeling.post_process",
    "ppdet.modeling.heads.cascade_head",
    "ppdet.modeling.heads.tood_head",
)


def concat_of_scalars(x: Sequence[paddle.Tensor], axis: int = 0, name: str | None = None) -> paddle.Tensor:
    """Returns `paddle.concat` of tensors of which some may be 0-D; those count as one element."""
    return paddle.concat([part.reshape([1]) if part.ndim == 0 else part for part in x], axis, name)


def _repair_concat_of_scalars() -> None:
    """Every R-CNN and TOOD on paddle >= 2.5, where indexing and `paddle.shape(x)[0]` give 0-D tensors.

    Error: ValueError: (InvalidArgument) The axis is expected to be in range of [0, 0), but got 0
    Where: `RPNHead._gen_proposal`, `BBoxPostProcess.get_pred`, `CascadeHead._get_rois_from_boxes` and
    `TOODHead._reg_grid_sample` hand such tensors to `paddle.concat`.
    Versions: paddledet 2.6.0 with paddlepaddle 2.6.2 and 3.3.1.
    """
    for name in CONCATENATING:
        _module(name).paddle = PaddleSeenByModule(concat=concat_of_scalars)  # type: ignore[attr-defined]


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
    Versions: paddledet 2.6.0.
    """
    _module("ppdet.utils.download").requests = _RequestsWithTimeout()  # type: ignore[attr-defined]


def _module(name: str) -> ModuleType:
    """Returns a ppdet module by its full name; ppdet's packages shadow some of them as attributes."""
    importlib.import_module(name)
    return sys.modules[name]


def apply_repairs() -> None:
    """Imports ppdet and applies every repair; a second call changes nothing."""
    _import_ppdet()
    _repair_concat_of_scalars()
    _repair_download_without_timeout()


apply_repairs()
