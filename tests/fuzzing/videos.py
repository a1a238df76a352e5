"""Videos that are whole, spoilt, or none at all."""

from __future__ import annotations

import random
from pathlib import Path

from fuzzing.spoiling import garbled, put_in_its_place
from fuzzing.world import CHOICE, CONFIG, Drawn, flipped, save_photo, video

_INTERVALS = ("1", "2", "3", "100", "0", "-1", "x", "1.5")
_MORE = (
    *([], [], [], ["--save", "overlay"], ["--report"], ["--resume"], ["--overwrite"], ["--shard", "1/2"]),
    *(["--normalize", "run"], ["--method", "activations"], ["--infer_img", "photo.jpg"], ["--slice_infer"]),
)


def draw(draws: random.Random, here: Path) -> Drawn:
    """Returns a run over the frames of a video."""
    save_photo(here / "photo.jpg")
    path = here / draws.choice(["clip.mp4", "clip.avi", "clip", "a#3.mp4", "é 行.mp4", "-c.mp4"])
    content, what = video(draws.choice([1, 2, 4])), "whole"
    if draws.random() < 0.7:
        what = draws.choice(["bits", "bits", "garbled", "a picture"])
        spoilt = {
            "bits": lambda: flipped(content, draws, draws.randint(1, 20)),
            "garbled": lambda: garbled(content, draws),
        }
        content = spoilt.get(what, (here / "photo.jpg").read_bytes)()
    path.write_bytes(content)
    if draws.random() < 0.08:
        what = put_in_its_place(path, draws)
    if draws.random() < 0.1:
        (here / "cam_out").mkdir()
        (here / "cam_out" / "video.mp4").write_bytes(b"mine")
        what += ", video.mp4 of the user"
    words = ["-c", str(CONFIG), *CHOICE, f"--video_file={path.name}"]
    if draws.random() < 0.5:
        words += ["--frame_interval", draws.choice(_INTERVALS)]
    return Drawn((*words, *draws.choice(_MORE)), what)
