"""A video's frames are explained like images, and their pictures become a video again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.runs import BLAZEFACE, PHOTO

from ppdet_cam.errors import ConfigError, ImageError
from ppdet_cam.images.video import FrameReader, open_video
from ppdet_cam.outputs import video as written
from ppdet_cam.running import many

FRAMES, FPS = 7, 10.0


def save_video(path: Path, frames: int = FRAMES, side: int = 96) -> Path:
    """Writes a video whose frame n has the brightness 20 n in a corner, and returns its path."""
    photo = cv2.resize(cv2.imread(str(PHOTO)), (side, side))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (side, side))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no mp4")
    for number in range(frames):
        photo[:32, :32] = 20 * number
        writer.write(photo)
    writer.release()
    return path


def brightness(image: np.ndarray) -> float:
    return float(image[4:28, 4:28].mean())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_video(tmp_path / "clip.mp4")


@pytest.fixture
def run(command, clip):
    """Runs over the clip's every third frame."""

    def go(*more: object):
        given = (
            "-c",
            BLAZEFACE,
            "-o",
            f"weights={command.weights[BLAZEFACE]}",
            "--draw_threshold",
            "0.1",
            "--top_k",
            "1",
        )
        return command(*given, "--video_file", clip, "--frame_interval", "3", *more)

    return go


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]


# reading


def test_frames_are_read_in_any_order(clip: Path) -> None:
    """Each frame is the one of its number, whichever was read before."""
    video = open_video(clip)
    assert (video.frames, video.fps) == (FRAMES, FPS)
    images = video.images(2)
    assert [(image.path, image.name) for image in images][1] == (f"{clip}#2", "frame_000002")
    assert len(images) == 4
    with FrameReader(clip) as reader:
        for number in (0, 3, 4, 4, 1, 6):
            frame = reader.read(f"{clip}#{number}")
            assert frame.image.shape == (96, 96, 3) and abs(brightness(frame.image) - 20 * number) < 6
            assert str(frame.path) == f"{clip}#{number}"
        with pytest.raises(ImageError, match="the video ends before this frame"):
            reader.read(f"{clip}#{FRAMES}")


def test_what_is_no_video_is_refused(tmp_path: Path, clip: Path) -> None:
    """A text, an empty file, a video that is cut off, a folder, a pipe, nothing."""
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("text.mp4", "empty.mp4", "cut.mp4"):
        with pytest.raises(ConfigError, match=f"--video_file .*{name} (is no video that OpenCV can read|has no frame)"):
            open_video(tmp_path / name)
    for name in ("pipe.mp4", "."):
        with pytest.raises(ConfigError, match="is no file that can be read"):
            open_video(tmp_path / name)
    with pytest.raises(ConfigError, match="none.mp4 cannot be read: No such file"):
        open_video(tmp_path / "none.mp4")


# runs


def test_run_gives_a_video_of_every_frame(command, run) -> None:
    """Every third frame has its summary; the video has them in order, at the same speed, with even sides."""
    done = run()
    assert done.code == 0, done.err
    assert done.out[0].startswith("3 boxes of 3 frames in cam_out, video.mp4 (")
    names = [record["name"] for record in records(command.cam_out)]
    assert names == ["frame_000000", "frame_000003", "frame_000006"]
    assert [set(record["files"]) for record in records(command.cam_out)] == [{"summary"}] * 3
    inputs = command.run_record()["inputs"]
    assert inputs["video"] == {"frames": FRAMES, "fps": FPS, "interval": 3} and len(inputs["video_sha256"]) == 64
    made = open_video(command.cam_out / "video.mp4")
    assert (made.frames, made.fps) == (3, pytest.approx(FPS / 3, abs=0.01))
    with FrameReader(made.path) as reader:
        for number, name in enumerate(names):
            shown = cv2.imread(str(command.cam_out / name / "summary.jpg"))[..., ::-1]
            frame = reader.read(f"#{number}").image
            assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0
            part = frame[: shown.shape[0], : shown.shape[1]].astype(int)
            assert np.abs(part - shown).mean() < 12


def test_interrupted_run_goes_on(command, run, monkeypatch) -> None:
    """What is done is kept, and the video is written at the end only, whole."""

    class Stopped(KeyboardInterrupt):
        pass

    draw, calls = many.draw_image, []

    def stop_after_one(*given: object, **more: object):
        if len(calls) == 5:
            raise Stopped
        calls.append(1)
        return draw(*given, **more)

    monkeypatch.setattr(many, "draw_image", stop_after_one)
    assert run("--frame_interval", "1").code == 130
    assert not (command.cam_out / "video.mp4").exists()
    monkeypatch.setattr(many, "draw_image", draw)
    assert "holds an unfinished run" in command.refused(run("--frame_interval", "1"))
    monkeypatch.setattr(many, "draw_image", lambda *given, **more: calls.append(1) or draw(*given, **more))
    done = run("--frame_interval", "1", "--resume")
    assert done.code == 0 and open_video(command.cam_out / "video.mp4").frames == FRAMES
    assert 5 + FRAMES > len(calls) >= FRAMES


def test_other_video_of_the_same_name_is_no_continuation(command, run, clip) -> None:
    """As many frames, but others: refused with what differs."""
    assert run().code == 0
    save_video(clip, side=64)
    assert "the content of --video_file is another one" in command.refused(run("--resume"))
    assert run("--overwrite").code == 0


def test_video_of_somebody_else_is_kept(command, run) -> None:
    """A file in the way is neither replaced nor removed; a run's own is, by the next run."""
    command.cam_out.mkdir()
    (command.cam_out / "video.mp4").write_bytes(b"mine")
    assert "video.mp4 is not of an earlier run" in command.refused(run())
    (command.cam_out / "video.mp4").unlink()
    assert run().code == 0
    assert command.explain("--overwrite").code == 0
    assert not (command.cam_out / "video.mp4").exists()


def test_frame_that_fails_is_left_out(command, run, monkeypatch) -> None:
    """As of images, the others are explained, and the exit code tells."""
    read = FrameReader.read

    def fail(self: FrameReader, path: str):
        if path.endswith("#3"):
            raise ImageError(f"{path}: this frame cannot be decoded")
        return read(self, path)

    monkeypatch.setattr(FrameReader, "read", fail)
    done = run("--report")
    assert done.code == 3 and "clip.mp4#3" in done.err[-1]
    assert open_video(command.cam_out / "video.mp4").frames == 2
    assert "frame_000000" in (command.cam_out / "report.html").read_text(encoding="utf-8")


def test_opencv_that_writes_no_video_says_what_else_helps(command, run, monkeypatch) -> None:
    """The pictures are there, and the command that makes a video of them."""
    monkeypatch.setattr(written, "_CODEC", "NONE")
    done = run()
    assert done.code == 2 and "ffmpeg" in done.err[-1]
    assert (command.cam_out / "frame_000000" / "summary.jpg").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--infer_img", PHOTO), "--video_file and --infer_img exclude each other"),
        (("--frame_interval", "0"), "--frame_interval must be at least 1"),
        (("--gt", "x.json"), "--gt needs images, not --video_file"),
        (("--method", "activations"), "--method activations needs images"),
    ],
)
def test_what_does_not_go_with_a_video_is_refused(command, run, more, message: str) -> None:
    """Before anything is read."""
    assert message in command.refused(run(*more))


def test_frame_interval_is_of_a_video(command) -> None:
    """Without one it would do nothing."""
    assert "--frame_interval is of the frames of a --video_file" in command.refused(
        command.explain("--frame_interval", "2")
    )
