"""OpenCV, which is the user's own: several packages bring it, and only one of them may be there."""

from __future__ import annotations

from ppdet_cam.errors import MissingPackageError, PpdetCamError


def check_opencv() -> None:
    """Imports OpenCV.

    Raises:
        MissingPackageError: it is not installed.
        PpdetCamError: it cannot be loaded.
    """
    try:
        import cv2  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "OpenCV is missing. On a server: pip install opencv-python-headless\n"
            "where windows are to be shown as well: pip install opencv-python. Only one of the two: they share a folder"
        ) from error
    except ImportError as error:
        raise PpdetCamError(
            f"OpenCV cannot be loaded ({error}). On a slim machine its system libraries are missing: install "
            "libGL and glib (Debian: apt-get install libgl1 libglib2.0-0), or use opencv-python-headless"
        ) from error
