"""Why a PaddleDetection detector drew each of its boxes: a class activation map per predicted box."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["Explainer", "__version__"]


def __getattr__(name: str) -> object:
    # Explainer brings paddle and ppdet, which take seconds to import; `--help` and the numpy rooms do without.
    if name == "Explainer":
        from ppdet_cam.explaining.explainer import Explainer

        return Explainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
