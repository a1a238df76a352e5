"""Whole processes over many images: killed, launched as ranks, and with little memory."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from support.many_images import without_times
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "tools" / "cam_ppdet.py"
SOME = 30
# two ranks on two cores, and the same sums in the same order however many processes there are
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def make_photos(folder: Path, count: int) -> Path:
    """Makes small photographs of a few sizes, in three folders; every tenth is none."""
    with Image.open(PHOTO) as photo:
        whole = photo.convert("RGB")
    generator = random.Random(count)
    for number in range(count):
        path = folder / f"part {number % 3}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 10 == 9:
            path.write_bytes(b"no image")
            continue
        left, top, side = generator.randrange(400), generator.randrange(250), generator.choice([64, 80, 96, 120])
        whole.crop((left, top, left + side, top + side)).save(path, quality=92)
    return folder


class Runner:
    """`cam_ppdet` in processes of its own, on one folder of photographs."""

    def __init__(self, photos: Path, weights: Path) -> None:
        words = [SCRIPT, "-c", BLAZEFACE, "-o", f"weights={weights}", "--infer_dir", photos, "--recursive"]
        words += ["--draw_threshold", "0.2", "--top_k", "3", "--save", "overlay,raw,summary,heatmap"]
        self.words = [str(word) for word in words]

    def start(self, cam_out: Path, *options: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
        """Starts a process, or the launcher's."""
        return subprocess.Popen(
            [sys.executable, *launcher, *self.words, "--cam_out", str(cam_out), *options],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def run(self, cam_out: Path, *options: str, launcher: tuple[str, ...] = ()) -> int:
        """Runs a process to its end and returns its exit code."""
        return self.start(cam_out, *options, launcher=launcher).wait(timeout=600)


@pytest.fixture(scope="module")
def runner(tmp_path_factory, seeded_weights):
    """The small detector on some photographs."""
    return Runner(make_photos(tmp_path_factory.mktemp("photos"), SOME), seeded_weights[BLAZEFACE])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, runner):
    """What a single process leaves that nothing interrupts."""
    cam_out = tmp_path_factory.mktemp("uninterrupted") / "out"
    assert runner.run(cam_out) == 3
    return without_times(cam_out)


def lines_in(cam_out: Path) -> int:
    return sum(part.read_bytes().count(b"\n") for part in cam_out.glob("images*.jsonl"))


def wait_for(lines: int, cam_out: Path, process: subprocess.Popen) -> bool:
    """Waits until a run has so many lines; returns whether it is still at work then."""
    while lines_in(cam_out) < lines and process.poll() is None:
        time.sleep(0.002)
    return process.poll() is None


def test_process_killed_again_and_again_ends_the_same(tmp_path, runner, uninterrupted):
    """SIGKILL at moments of chance; in the end there is no difference to a run that was left alone."""
    generator, cam_out = random.Random(0), tmp_path / "out"
    kills = 0
    for lines in (1, 8, 15, 22):
        process = runner.start(cam_out, "--resume")
        if wait_for(lines, cam_out, process):
            time.sleep(generator.uniform(0, 0.1))
            process.kill()
            kills += 1
        process.wait(timeout=60)
        assert (cam_out / "run.json").exists() == (lines_in(cam_out) == SOME and process.returncode == 3)
    assert kills >= 3
    assert runner.run(cam_out, "--resume") == 3
    assert without_times(cam_out) == uninterrupted


def test_ctrl_c_stops_the_process_cleanly(tmp_path, runner, uninterrupted):
    """A signal from outside, as a terminal sends it."""
    cam_out = tmp_path / "out"
    process = runner.start(cam_out)
    assert wait_for(3, cam_out, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert 3 <= lines_in(cam_out) < SOME
    assert runner.run(cam_out, "--resume") == 3
    assert without_times(cam_out) == uninterrupted


def launcher(ranks: int, logs: Path) -> tuple[str, ...]:
    words = ("-m", "paddle.distributed.launch", "--nproc_per_node", str(ranks), "--log_dir", str(logs))
    return (*words, "--devices", ",".join(map(str, range(ranks)))) if "CUDA_VISIBLE_DEVICES" in os.environ else words


def test_launched_ranks_give_what_one_process_gives(tmp_path, runner, uninterrupted):
    """Paddle's own launcher with two ranks: one result, as if one process had made it."""
    cam_out = tmp_path / "out"
    assert runner.run(cam_out, launcher=launcher(2, tmp_path / "logs")) == 3
    assert without_times(cam_out) == uninterrupted
    logs = [(tmp_path / "logs" / f"workerlog.{rank}").read_text() for rank in range(2)]
    assert sum(f"of {SOME} images in" in log for log in logs) == 1


@pytest.mark.parametrize("ranks", [1, 3])
def test_launched_rank_that_dies_is_made_up_for(tmp_path, runner, uninterrupted, ranks):
    """The other rank's work stays, and any number of ranks ends the run."""
    cam_out = tmp_path / "out"
    process = runner.start(cam_out, launcher=launcher(2, tmp_path / "logs"))
    assert wait_for(6, cam_out, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    assert process.wait(timeout=120) != 0
    finished = lines_in(cam_out)
    assert finished >= 6 and not (cam_out / "run.json").exists()
    options = {} if ranks == 1 else {"launcher": launcher(ranks, tmp_path / "more_logs")}
    assert runner.run(cam_out, "--resume", **options) == 3
    assert without_times(cam_out) == uninterrupted


def peak_megabytes(runner: Runner, cam_out: Path) -> float:
    """Returns the most memory that a run needed."""
    process = runner.start(cam_out)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status) if hasattr(os, "waitstatus_to_exitcode") else status >> 8
    assert process.returncode == 3
    return usage.ru_maxrss / 1024


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, seeded_weights):
    """500 images need as much as 20, but for what a list of their names takes."""
    peaks = {}
    for count in (20, 500):
        runner = Runner(make_photos(tmp_path / f"photos {count}", count), seeded_weights[BLAZEFACE])
        peaks[count] = peak_megabytes(runner, tmp_path / f"out {count}")
    assert peaks[500] < peaks[20] + 40, peaks
