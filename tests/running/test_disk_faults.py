"""Whichever use of the disk fails, and how: nothing is half there, and the run goes on as if nothing had happened."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import cv2
import pytest
from PIL import Image
from support.disk_faults import failing
from support.many_images import Many, without_times
from support.places import ROOT
from support.runs import Command
from support.trees import contents

from ppdet_cam.outputs.manifest import files_of

pytestmark = pytest.mark.slow

NUMBERS = [errno.ENOSPC, errno.EIO, errno.EROFS]
MOST_STEPS = 400
WORK = {"run.partial.json", ".cam", ".cam/lock"}  # may still be there when the disk fails at the very end


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two small photographs."""
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(ROOT / "demo" / "coffee.jpg") as photo:
        for number in range(2):
            photo.crop((100 * number, 60, 100 * number + 96, 156)).convert("RGB").save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def run(command, photos):
    """Runs over both photographs."""
    return Many(command, photos)


def check_whole(cam_out: Path) -> None:
    """Asserts that every picture in its place is listed in a line, and can be read."""
    pictures = {name for name in contents(cam_out) if name.endswith(".jpg") and not name.startswith(".cam")}
    lines = Many.records(None, cam_out) if (cam_out / "images.jsonl").exists() else []  # type: ignore[arg-type]
    assert pictures <= {file for record in lines for file in files_of(record)}
    for name in pictures:
        assert cv2.imread(str(cam_out / name)) is not None


def test_run_goes_on_after_any_failure_of_the_disk(run):
    """A run over a folder, once per use of the disk: it stops with a line, or manages, and --resume ends the same."""
    options = ("--workers", "0", "--save", "overlay,raw,summary")
    assert run(*options).code == 0
    expected = without_times(run.cam_out)
    shutil.rmtree(run.cam_out)
    stopped = 0
    for step in range(1, MOST_STEPS):
        with failing(run.cam_out.resolve(), step=step, number=NUMBERS[step % len(NUMBERS)]) as fault:
            done = run(*options)
        if not fault.what:
            break
        assert done.code in (0, 2, 3), fault.what
        if done.code == 2:
            stopped += 1
            message = run.command.refused(done)
            assert "--cam_out" in message, (fault.what, message)
        if (run.cam_out / "run.json").exists():
            assert set(without_times(run.cam_out)) - WORK == set(expected), fault.what
        check_whole(run.cam_out) if run.cam_out.exists() else None
        assert run(*options, "--resume").code == 0, fault.what
        assert without_times(run.cam_out) == expected, fault.what
        shutil.rmtree(run.cam_out)
    assert step < MOST_STEPS - 1
    assert stopped > 15
    print(f"{step - 1} uses of the disk failed one by one; {stopped} of them stopped the run")


@pytest.mark.parametrize("earlier", [False, True], ids=["new folder", "earlier run"])
def test_single_image_is_all_or_nothing_when_the_disk_fails(command: Command, photos, earlier):
    """A run over one image, once per use of the disk: it is finished, or its folder is as it was.

    When a file cannot be moved to its place, there is no `run.json`, and the next run tidies up.
    """

    def explain() -> object:
        return command.explain("--workers", "0", "--draw_threshold", "0.2", "--overwrite", image=photos / "0.jpg")

    if earlier:
        assert command.explain("--draw_threshold", "0.3", image=photos / "1.jpg").code == 0
    before, step = contents(command.folder), 0
    for step in range(1, MOST_STEPS):
        with failing(command.cam_out.resolve(), step=step, number=NUMBERS[step % len(NUMBERS)]) as fault:
            done = explain()
        if not fault.what:
            break
        assert done.code in (0, 2), fault.what
        if done.code == 2:
            assert "--cam_out" in command.refused(done), fault.what
            if not fault.what.startswith(("os.rename", "os.remove")):  # all is made, and moves to its place
                assert contents(command.folder) == before, fault.what
        check_whole(command.cam_out) if command.cam_out.exists() else None
        if (command.cam_out / "run.json").exists() and done.code == 2:
            assert contents(command.folder) == before, fault.what
        assert explain().code == 0, fault.what
        shutil.rmtree(command.cam_out, ignore_errors=True)
        for name, content in before.items():
            target = command.folder / name
            target.mkdir(exist_ok=True) if content is None else target.write_bytes(content)
    assert 5 < step < MOST_STEPS - 1
