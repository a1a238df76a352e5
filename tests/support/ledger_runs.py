"""Runs over made-up images, without a detector, and what becomes of them when they are killed.

As a script it runs one of `SCENARIOS` in the folder that it is given. A process that has not loaded paddle forks a
hundred times faster than the tests' own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo"), str(ROOT / "tests")]

from ppdet_cam.images.inputs import ImageFile  # noqa: E402
from ppdet_cam.outputs.ledger import Ledger, Place, open_run  # noqa: E402
from ppdet_cam.outputs.manifest import failed_record, files_of  # noqa: E402
from ppdet_cam.outputs.sharding import Rank  # noqa: E402
from support.trees import contents  # noqa: E402  (needs the path above)

DOCUMENT = {"schema_version": 2, "flags": {"method": "gradcam", "cam_out": "x"}, "settings": {"NMS.top": 10}}
NAMES = ("a", "a/b", "c d", "ü 行", "broken", "e")
IMAGES = tuple(ImageFile(f"photos/{name}.jpg", name) for name in NAMES)
ALONE = Rank()

# what a process does to the disk, as Python's audit events name it
DISK_EVENTS = frozenset("open os.rename os.remove os.mkdir os.rmdir os.truncate os.scandir shutil.rmtree".split())


def launched(index: int, count: int, launch: str = "one") -> Rank:
    return Rank(index, count, f"{count} ranks {launch}", is_launched=True)


def record_of(image: ImageFile) -> dict[str, object]:
    """Returns the line of an image with one box and a raw file; "broken" fails."""
    if image.name == "broken":
        return failed_record(image.path, image.name, "not an image")
    box = {"status": "ok", "files": {"overlay": f"{image.name}/0.jpg"}}
    return {
        "path": image.path,
        "name": image.name,
        "status": "ok",
        "detections": 3,
        "highest_score": 0.5 + len(image.name) / 100,
        "boxes": [box],
        "files": {"raw": f"{image.name}/maps.npz"},
    }


def content_of(file: str) -> bytes:
    """Returns a content that differs between files and ends as such a file does."""
    end = b"\xff\xd9" if file.endswith(".jpg") else b"PK\x05\x06" + bytes(18)
    return file.encode() * 50 + end


def do(ledger: Ledger, position: int, images: Sequence[ImageFile] = IMAGES) -> None:
    """Makes the files of an image and enters it."""
    record = record_of(images[position])
    staged = ledger.stage / str(position)
    staged.mkdir()
    for file in files_of(record):
        (staged / Path(file).name).write_bytes(content_of(file))
    ledger.enter(position, record, staged)


def run(cam_out: Path, rank: Rank = ALONE, *, images: Sequence[ImageFile] = IMAGES, **options: bool) -> bool:
    """Does all that is left to a rank, and returns whether the run is finished."""
    with open_run(Place(cam_out, images, rank), DOCUMENT, **options) as ledger:
        for position in ledger.left:
            do(ledger, position, images)
        return ledger.finish(time.perf_counter()) is not None


def forked(action: Callable[[], object]) -> int:
    """Returns how a child process that does this ended: the signal that killed it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status)


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Returns whether a child that does this, and is killed at its so-many-th use of the disk, came that far."""

    def with_a_countdown() -> None:
        left = step

        def count(event: str, _arguments: object) -> None:
            nonlocal left
            if event in DISK_EVENTS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        action()

    return forked(with_a_countdown) == signal.SIGKILL


def without_times(cam_out: Path) -> dict[str, bytes | None]:
    """Returns everything in an output folder but for the times."""
    found = contents(cam_out)
    run_record = json.loads(found["run.json"] or b"")
    del run_record["totals"]["seconds"]
    return {**found, "run.json": json.dumps(run_record).encode()}


def check_whole(cam_out: Path) -> None:
    """Asserts that every file is whole and listed in a line, and that `run.json` comes last."""
    listed = set()
    for part in cam_out.glob("images*.jsonl"):
        for line in part.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                listed.update(files_of(json.loads(line)))
    pictures = {name for name in contents(cam_out) if name.endswith((".jpg", ".npz")) and not name.startswith(".cam")}
    assert pictures <= listed
    for name in pictures:
        assert (cam_out / name).read_bytes() == content_of(name)
    if (cam_out / "run.json").exists():
        assert len((cam_out / "images.jsonl").read_bytes().splitlines()) == len(IMAGES)
        assert pictures == listed
        json.loads((cam_out / "run.json").read_text())


def left_alone(folder: Path) -> dict[str, bytes | None]:
    """Returns what a run leaves that nothing interrupts."""
    assert run(folder / "left alone")
    return without_times(folder / "left alone")


def killed_anywhere(folder: Path) -> None:
    """Kills a run at its first use of the disk, another at its second, ..., and lets each go on."""
    expected, step = left_alone(folder), 0
    while True:
        step += 1
        cam_out = folder / str(step)
        if not killed_at(step, lambda to=cam_out: run(to, resume=True)):
            break
        check_whole(cam_out)
        assert run(cam_out, resume=True)
        assert without_times(cam_out) == expected, f"killed at step {step}"
    assert step > 60


def killed_again_and_again(folder: Path) -> None:
    """Kills one run every few steps until it is finished, with one process or several in turn."""
    expected = left_alone(folder)
    for seed in range(5):
        generator, cam_out = random.Random(seed), folder / str(seed)
        for attempt in range(100):
            count = generator.choice([1, 1, 2, 3])
            ranks = [ALONE] if count == 1 else [launched(index, count, f"{attempt}") for index in range(count)]
            steps = [generator.randint(20, 50 + 3 * attempt) for _ in ranks]  # for little more than an image at first
            killed = [
                killed_at(step, lambda to=cam_out, of=rank: run(to, of, resume=True))
                for step, rank in zip(steps, ranks)
            ]
            check_whole(cam_out)
            if (cam_out / "run.json").exists() and not any(killed):
                break
        assert attempt > 3
        assert without_times(cam_out) == expected, f"seed {seed}"


def at_the_same_time(folder: Path) -> None:
    """Lets four ranks run at once, again and again: whichever is last ends the run."""
    expected = left_alone(folder)
    for attempt in range(10):
        cam_out = folder / str(attempt)
        children = []
        for index in range(4):
            child = os.fork()
            if child == 0:
                try:
                    os._exit(7 if run(cam_out, launched(index, 4)) else 0)
                except BaseException as error:
                    os.write(2, f"{type(error).__name__}: {error}\n".encode())
                    os._exit(1)
            children.append(child)
        codes = {os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children}
        assert codes <= {0, 7} and 7 in codes
        assert without_times(cam_out) == expected


SCENARIOS = {action.__name__: action for action in (killed_anywhere, killed_again_and_again, at_the_same_time)}

if __name__ == "__main__":
    os.fsync = lambda _file: None  # a killed process loses nothing that it has written; syncing takes most of the time
    SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
