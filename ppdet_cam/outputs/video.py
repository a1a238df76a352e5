"""The pictures of a video's frames -> a video again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ppdet_cam.errors import OutputError
from ppdet_cam.outputs.files import write_parts_atomically
from ppdet_cam.outputs.resume import VIDEO_FILE, find_earlier_run, read_lines

_CODEC = "mp4v"
_PIECE = 1 << 20


def check_may_write_video(cam_out: Path) -> None:
    """Raises OutputError when a file is in the video's way that no run wrote."""
    if not (cam_out / VIDEO_FILE).exists():
        return
    earlier = find_earlier_run(cam_out)
    flags = earlier.document.get("flags") if earlier else None
    if not (isinstance(flags, dict) and flags.get("video_file")):
        raise OutputError(
            f"{cam_out / VIDEO_FILE} is not of an earlier run and would be replaced. Move it, or choose another "
            "--cam_out"
        )


def write_video(cam_out: Path, fps: float) -> Path | None:
    """Writes the summaries of a finished run's images, in their order, as `video.mp4`; None when there are none.

    Args:
        cam_out: the run's folder.
        fps: frames per second.

    Raises:
        OutputError: it cannot be written, or this OpenCV writes no such videos.
    """
    pictures = list(_summaries(cam_out))
    if not pictures:
        return None
    sizes = np.array([_size_of(picture) for picture in pictures])
    width, height = (int(side + side % 2) for side in sizes.max(axis=0))  # the codec has no odd sides
    with tempfile.TemporaryDirectory(prefix="cam-video-") as folder:
        made = Path(folder) / VIDEO_FILE
        writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*_CODEC), fps, (width, height))
        if not writer.isOpened():
            raise OutputError(
                f"this OpenCV writes no {VIDEO_FILE}; the pictures of all frames are in {cam_out}: make one of them as "
                "with ffmpeg -pattern_type glob -i 'frame_*/summary.jpg' video.mp4"
            )
        try:
            for picture in pictures:
                frame = cv2.imread(str(picture))
                assert frame is not None  # its size was read above
                writer.write(_padded(frame, (height, width)))
        finally:
            writer.release()
        write_parts_atomically(cam_out / VIDEO_FILE, _pieces(made))
    return cam_out / VIDEO_FILE


def _summaries(cam_out: Path) -> Iterator[Path]:
    for line in read_lines(cam_out):
        files = line.record.get("files")
        if isinstance(files, dict) and files.get("summary"):
            yield cam_out / str(files["summary"])


def _size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def _padded(picture: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Returns the picture with its last row and column repeated below and on the right: footers differ in height."""
    below, right = hw[0] - picture.shape[0], hw[1] - picture.shape[1]
    return np.pad(picture, ((0, below), (0, right), (0, 0)), mode="edge")


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
