"""A video's frames as the images of a run."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from ppdet_cam.errors import ConfigError, ImageError
from ppdet_cam.images.inputs import ImageFile
from ppdet_cam.places import find_file
from ppdet_cam.structures import Frame

log = logging.getLogger(__name__)

_USUAL_FPS = 25.0
_QUIET = ("OPENCV_FFMPEG_LOGLEVEL", "-8")  # of what FFmpeg prints about a broken file; it is said here what is wrong


@dataclass(frozen=True)
class VideoFile:
    """A video.

    Attributes:
        path: where it lies.
        frames: how many there are.
        fps: of them per second, as far as the file says so.
    """

    path: Path
    frames: int
    fps: float

    def images(self, interval: int) -> list[ImageFile]:
        """Returns every `interval`-th frame as an image of a run."""
        digits = max(6, len(str(self.frames)))
        return [
            ImageFile(f"{self.path}#{number}", f"frame_{number:0{digits}d}")
            for number in range(0, self.frames, interval)
        ]


def open_video(path: Path) -> VideoFile:
    """Returns what a video holds. Its frames are counted by going through them: what files say of that is often wrong.

    Raises:
        ConfigError: not there, or no video that OpenCV can read.
    """
    found = find_file(path)
    _check_readable(found)
    with _captured(found) as capture:
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        frames = 0
        while capture.grab():
            frames += 1
    if not frames:
        raise ConfigError(f"--video_file {found} has no frame that can be read; is it whole?")
    return VideoFile(found, frames, fps if math.isfinite(fps) and 0 < fps <= 1000 else _USUAL_FPS)


class FrameReader:
    """Reads frames of a video by the paths that `VideoFile.images` gives them; fastest when they come in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = contextlib.ExitStack()
        self._capture: cv2.VideoCapture | None = None
        self._next = 0

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, path: str) -> Frame:
        """Returns a frame.

        Raises:
            ImageError: it cannot be decoded.
        """
        number = int(path.rpartition("#")[2])
        if self._capture is None or number < self._next:
            self._stack.close()
            self._capture, self._next = self._stack.enter_context(_captured(self._path)), 0
        while self._next <= number:
            if not self._capture.grab():
                raise ImageError(f"{path}: the video ends before this frame, which it had; was it changed?")
            self._next += 1
        is_whole, bgr = self._capture.retrieve()
        if not is_whole or bgr is None:
            raise ImageError(f"{path}: this frame cannot be decoded; the video is damaged there")
        return Frame(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)), Path(path))


def _check_readable(path: Path) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--video_file {path} cannot be read: {reason}; give a video file") from error
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.R_OK):
        raise ConfigError(f"--video_file {path} is no file that can be read; give a video file, not a folder or stream")


@contextlib.contextmanager
def _captured(path: Path) -> Iterator[cv2.VideoCapture]:
    os.environ.setdefault(*_QUIET)
    with contextlib.suppress(AttributeError):  # OpenCV 4.5 has no such function, and prints nothing
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise ConfigError(
                f"--video_file {path} is no video that OpenCV can read; convert it first, as with ffmpeg -i "
                f"{path.name} video.mp4, or take its frames out and give their folder with --infer_dir"
            )
        yield capture
    finally:
        capture.release()
