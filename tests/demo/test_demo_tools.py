"""Training and evaluating the demo detectors: bad input ends in one line, a cut-off run goes on, weights stay whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import evaluate
import numpy as np
import pytest
import recipes
import scenes
import train
from support.places import ROOT
from support.trees import contents

from ppdet_cam.detectors.building import build_detector
from ppdet_cam.images.reading import read_image
from ppdet_cam.structures import Frame

import paddle  # isort: skip  (after the package, which loads what paddle needs loaded before it)

SHIPPED = [name for name in train.model_names() if (recipes.WEIGHTS / f"{name}.pdparams").is_file()]
MOST_BYTES, MOST_BYTES_TOGETHER = 8 * 2**20, 30 * 2**20
UNWRITABLE = Path("/sys/kernel")  # not even root may make a file there


def refused(capsys: pytest.CaptureFixture[str], main, *arguments: str | Path) -> str:
    """Returns the message of a tool that was refused with exit code 2, one line and nothing on stdout."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


def folders(root: Path) -> list[str | Path]:
    """Returns the arguments that keep a training below one folder."""
    return ["--out", root / "out", "--scenes", root / "scenes", "--work", root / "work"]


# --- training: what cannot be trained


@pytest.mark.parametrize("name", ["yolo", "scenes", "", "../ssd/ssd"])
def test_train_unknown_model_lists_those_there_are(capsys, tmp_path: Path, name: str) -> None:
    """A name without a recipe, the shared base among them, is answered with those that have one."""
    message = refused(capsys, train.main, "--model", name, *folders(tmp_path))
    assert f"no demo model {name!r}" in message
    assert "blazeface, faster_rcnn, mask_rcnn, picodet, ppyolo_tiny, ppyoloe, retinanet, ssd" in message
    assert contents(tmp_path) == {}


def test_train_without_model_says_how_to_name_one(capsys, tmp_path: Path) -> None:
    """Nothing is trained by default."""
    message = refused(capsys, train.main, *folders(tmp_path))
    assert re.search(r"--model NAME\. There are: blazeface, .*, ssd$", message)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("flag", ["--out", "--scenes", "--work"])
def test_train_folder_that_is_a_file_is_refused(capsys, tmp_path: Path, flag: str) -> None:
    """The message has the path and the flag; the file and all else stays as it was."""
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    message = refused(capsys, train.main, "--model", "ppyoloe", *folders(tmp_path), flag, taken)
    assert str(taken) in message and message.endswith(f"Not a directory; name another: {flag}")
    assert contents(tmp_path) == {"taken": b"mine"}


@pytest.mark.skipif(not UNWRITABLE.is_dir(), reason="needs a folder that nobody may write")
@pytest.mark.parametrize("flag", ["--out", "--scenes", "--work"])
def test_train_unwritable_folder_is_refused(capsys, tmp_path: Path, flag: str) -> None:
    """It is noticed before anything is drawn or trained, though the folder itself is not there yet."""
    folder = UNWRITABLE / "ppdet_cam" / "deeper"
    message = refused(capsys, train.main, "--model", "ppyoloe", *folders(tmp_path), flag, folder)
    assert f"folder {folder}" in message and message.endswith(f"name another: {flag}")
    assert contents(tmp_path) == {}


def test_train_without_the_weights_it_starts_from_is_refused(capsys, tmp_path: Path, monkeypatch) -> None:
    """A recipe that starts from another detector says which to train first, before an hour of drawing."""
    monkeypatch.setattr(train, "ROOT", tmp_path)
    message = refused(capsys, train.main, "--model", "ssd", *folders(tmp_path))
    assert str(tmp_path / "demo" / "weights" / "ppyoloe.pdparams") in message
    assert message.endswith("python demo/train.py --model ppyoloe")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("epochs", ["0", "-1"])
def test_train_has_one_epoch_at_least(capsys, tmp_path: Path, epochs: str) -> None:
    """A training of no epochs would leave no weights."""
    message = refused(capsys, train.main, "--model", "ppyoloe", "--epochs", epochs, *folders(tmp_path))
    assert f"--epochs must be at least 1, not {epochs}" in message
    assert contents(tmp_path) == {}


# --- training: checkpoints and what becomes of them


def save_checkpoint(folder: Path, name: str) -> Path:
    """Writes the three files of a checkpoint."""
    for suffix in (".pdparams", ".pdema", ".pdopt"):
        paddle.save({"weight": paddle.ones([64])}, str(folder / f"{name}{suffix}"))
    return folder / name


def cut_off(path: Path) -> None:
    """Leaves the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_last_checkpoint_is_the_highest_epoch(tmp_path: Path) -> None:
    """Epoch 10 comes after epoch 9; the final weights and a stranger's file are no epochs."""
    assert train.last_checkpoint(tmp_path / "missing") is None
    for name in ("9", "10", "model_final", "best"):
        save_checkpoint(tmp_path, name)
    assert train.last_checkpoint(tmp_path) == tmp_path / "10"


@pytest.mark.parametrize("suffix", [".pdparams", ".pdema", ".pdopt"])
def test_last_checkpoint_passes_over_one_that_was_cut_off(tmp_path: Path, suffix: str) -> None:
    """Whichever of its files was being written, the one before is taken."""
    for name in ("0", "1"):
        save_checkpoint(tmp_path, name)
    cut_off(tmp_path / f"1{suffix}")
    assert train.last_checkpoint(tmp_path) == tmp_path / "0"


@pytest.mark.parametrize("suffix", [".pdparams", ".pdopt"])
def test_last_checkpoint_passes_over_one_that_lacks_a_file(tmp_path: Path, suffix: str) -> None:
    """A run that ended between two of the files leaves no checkpoint."""
    (save_checkpoint(tmp_path, "0").with_suffix(suffix)).unlink()
    assert train.last_checkpoint(tmp_path) is None


def test_last_checkpoint_passes_over_empty_files(tmp_path: Path) -> None:
    """A file that was made and not filled is no checkpoint."""
    save_checkpoint(tmp_path, "0").with_suffix(".pdopt").write_bytes(b"")
    assert train.last_checkpoint(tmp_path) is None


def test_export_saves_half_precision_and_keeps_integers(tmp_path: Path) -> None:
    """Floats are halved, integers are not, and no other file is left."""
    state = {"weight": np.array([0.1, -3.0], np.float32), "count": np.array([70000], np.int64)}
    paddle.save(state, str(tmp_path / "0.pdparams"))
    train.export(tmp_path / "0", tmp_path / "out" / "model.pdparams")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.pdparams"]
    saved = paddle.load(str(tmp_path / "out" / "model.pdparams"), return_numpy=True)
    assert {name: value.dtype for name, value in saved.items()} == {"weight": np.float16, "count": np.int64}
    np.testing.assert_array_equal(saved["weight"], state["weight"].astype(np.float16))
    assert saved["count"] == [70000]


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_export_refuses_what_half_precision_cannot_hold(tmp_path: Path, value: float) -> None:
    """Weights are never saved with an infinity in the place of a number."""
    paddle.save({"bn.variance": np.array([value], np.float32)}, str(tmp_path / "0.pdparams"))
    with pytest.raises(train.TrainingError, match="bn.variance has values that half precision cannot hold"):
        train.export(tmp_path / "0", tmp_path / "out" / "model.pdparams")
    assert not (tmp_path / "out").exists()


def test_export_refuses_a_file_that_is_too_large(tmp_path: Path, monkeypatch) -> None:
    """The limit is kept, the weights of before stay, and no part of the new ones is left."""
    monkeypatch.setattr(train, "LARGEST_FILE", 1000)
    target = tmp_path / "model.pdparams"
    target.write_bytes(b"before")
    paddle.save({"weight": np.zeros(1000, np.float32)}, str(tmp_path / "0.pdparams"))
    with pytest.raises(train.TrainingError, match=r"model.pdparams would have \d+ bytes, more than 1000"):
        train.export(tmp_path / "0", target)
    assert target.read_bytes() == b"before"
    assert not list(tmp_path.glob("*.partial"))


def test_train_again_after_the_end_exports_and_trains_nothing(tmp_path: Path, caplog) -> None:
    """Weights that were lost come back from the finished training at once, without scenes."""
    work = tmp_path / "work" / "blazeface"
    work.mkdir(parents=True)
    save_checkpoint(work, "model_final")
    with caplog.at_level("INFO", logger="demo.train"):
        assert train.main(["--model", "blazeface", *map(str, folders(tmp_path))]) == 0
    assert "--restart begins anew" in caplog.text
    assert (tmp_path / "out" / "blazeface.pdparams").is_file()
    assert not (tmp_path / "scenes").exists()


class Training:
    """Trainings of the BlazeFace recipe in processes of their own: few epochs, of one step each, on a few scenes."""

    epochs = 5

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work" / "blazeface"
        self.weights = folder / "out" / "blazeface.pdparams"
        self._command = [sys.executable, str(ROOT / "demo" / "train.py"), "--model", "blazeface"]
        self._command += ["--epochs", str(self.epochs), *map(str, folders(folder))]
        scenes.write_scenes(folder / "scenes", split="train", images=14, seed=3)  # one batch with faces, not two
        scenes.write_scenes(folder / "scenes", split="val", images=1, seed=3)

    def killed_after(self, epoch: int) -> None:
        """Kills a run as soon as it has saved an epoch."""
        with subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
            try:
                until = time.monotonic() + 300
                while not (self.work / f"{epoch}.pdopt").is_file() and time.monotonic() < until:
                    assert running.poll() is None, running.stderr.read()
                    time.sleep(0.01)
            finally:
                running.kill()

    def finished(self) -> str:
        """Returns what a run that comes to its end says on stderr."""
        done = subprocess.run(self._command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def saved_epochs(self) -> list[int]:
        """Returns the epochs that have a checkpoint."""
        return sorted(int(path.stem) for path in self.work.glob("*.pdopt") if path.stem.isdigit())


@pytest.mark.slow
def test_train_goes_on_from_the_last_whole_checkpoint(tmp_path: Path) -> None:
    """A killed run, its newest checkpoint cut off, goes on at the epoch after the one before, and ends as any other."""
    training = Training(tmp_path)
    training.killed_after(epoch=1)
    newest = training.saved_epochs()[-1]
    assert not (training.work / "model_final.pdopt").exists()
    assert not training.weights.exists()
    cut_off(training.work / f"{newest}.pdopt")

    said = training.finished()

    assert f"{newest}.pdopt is not whole" in said
    assert f"going on from epoch {newest} of {training.epochs}" in said
    assert sorted(set(map(int, re.findall(r"Epoch: \[(\d+)\]", said)))) == list(range(newest, training.epochs))
    assert training.saved_epochs() == list(range(training.epochs - 1))
    optimizer = paddle.load(str(training.work / "model_final.pdopt"))
    assert optimizer["last_epoch"] == training.epochs
    assert optimizer["LR_Scheduler"]["last_epoch"] == training.epochs  # steps: those before the kill and those after
    exported = paddle.load(str(training.weights), return_numpy=True)
    trained = paddle.load(str(training.work / "model_final.pdparams"), return_numpy=True)
    assert set(exported) == set(trained)
    for name, value in trained.items():
        np.testing.assert_array_equal(exported[name], value.astype(np.float16))


# --- the weights


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """A drawn scene that no training saw."""
    out = tmp_path_factory.mktemp("scene")
    scenes.write_scenes(out, split="val", images=1, seed=17)
    return read_image(out / "val" / "000001.jpg")


def test_shipped_weights_are_small() -> None:
    """At most 8 MB each and 30 MB together."""
    sizes = [(recipes.WEIGHTS / f"{name}.pdparams").stat().st_size for name in SHIPPED]
    assert all(size <= MOST_BYTES for size in sizes)
    assert sum(sizes) <= MOST_BYTES_TOGETHER


def _cases() -> list:
    return [pytest.param(name, marks=() if name == "ppyoloe" else pytest.mark.slow) for name in SHIPPED]


@pytest.mark.parametrize("name", _cases())
def test_halved_weights_find_what_the_float32_checkpoint_finds(tmp_path: Path, scene: Frame, name: str, caplog) -> None:
    """They load without a missing or surplus array; scores agree to 0.01, boxes to 1% of the image's side."""
    shipped = paddle.load(str(recipes.WEIGHTS / f"{name}.pdparams"), return_numpy=True)
    assert {value.dtype for value in shipped.values()} == {np.dtype(np.float16)}
    random = np.random.default_rng(0)
    # a checkpoint that these could have come from: each number up to one rounding step of half precision away
    checkpoint = {
        key: (value.astype(np.float32) * random.uniform(1 - 2**-11, 1 + 2**-11, value.shape)).astype(np.float32)
        for key, value in shipped.items()
    }
    paddle.save(checkpoint, str(tmp_path / "full.pdparams"))
    train.export(tmp_path / "full", tmp_path / "half.pdparams")
    detector, _ = build_detector(train.config_of(name))

    def found(weights: str) -> np.ndarray:
        detector.load_weights(str(tmp_path / weights))
        rows = detector.predict(scene)
        return rows[rows[:, 1] >= 0.3]

    caplog.clear()
    with caplog.at_level("WARNING"):
        full, half = found("full.pdparams"), found("half.pdparams")
    assert caplog.text == ""
    assert set(detector.model.state_dict()) == set(checkpoint)
    assert len(full) > 0
    assert_same_detections(half, full, tolerance=0.01 * max(scene.original_hw))


def assert_same_detections(rows: np.ndarray, others: np.ndarray, *, tolerance: float) -> None:
    """Asserts that each row, label, score and box, has its match among the others and they theirs.

    Rows whose score is within 0.01 of the threshold 0.3 may be on one side only.
    """
    for one, other in ((rows, others), (others, rows)):
        for row in one[one[:, 1] >= 0.31]:
            same = (other[:, 0] == row[0]) & (np.abs(other[:, 1] - row[1]) <= 0.01)
            assert (same & (np.abs(other[:, 2:] - row[2:]).max(axis=1) <= tolerance)).any(), f"{row} is not in {other}"


# --- evaluating


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two images: a mug and a van on the first, a mug on the second; the class lamp is on neither."""
    boxes = [(1, 1, [10, 10, 40, 50]), (1, 2, [100, 20, 80, 40]), (2, 1, [30, 30, 20, 25])]
    content = {
        "categories": [{"id": 1, "name": "mug"}, {"id": 2, "name": "van"}, {"id": 3, "name": "lamp"}],
        "images": [{"id": number, "file_name": f"{number}.jpg", "width": 320, "height": 320} for number in (1, 2)],
        "annotations": [
            {"id": i, "image_id": image, "category_id": kind, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for i, (image, kind, box) in enumerate(boxes, start=1)
        ],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def detections(truth: Path, *, kinds: dict[int, int], shift: int = 0) -> list[dict[str, object]]:
    """Returns the true boxes as detections of other classes, moved to the right."""
    found = []
    for item in json.loads(truth.read_text(encoding="utf-8"))["annotations"]:
        left, top, width, height = item["bbox"]
        kind = kinds[item["category_id"]]
        box = [left + shift, top, width, height]
        found.append({"image_id": item["image_id"], "category_id": kind, "bbox": box, "score": 0.9})
    return found


def average_precision(truth: Path, found: list[dict[str, object]], images: list[int]) -> dict[str, float]:
    """Returns what `evaluate` makes of it, without the last bits: COCO's own divisions add a spacing of 1."""
    scored = evaluate.average_precision(truth, found, images)
    return {name: round(value, 12) for name, value in scored.items()}


def test_average_precision_of_the_truth_is_one(truth: Path) -> None:
    """What is found as it is has 1.0 for each class; a class that is nowhere has no number."""
    assert average_precision(truth, detections(truth, kinds={1: 1, 2: 2}), [1, 2]) == {"mug": 1.0, "van": 1.0}


def test_average_precision_of_wrong_classes_is_zero(truth: Path) -> None:
    """Right boxes under another's name count for nothing, whether the other class is there or not."""
    assert average_precision(truth, detections(truth, kinds={1: 2, 2: 1}), [1, 2]) == {"mug": 0.0, "van": 0.0}
    assert average_precision(truth, detections(truth, kinds={1: 3, 2: 3}), [1, 2]) == {"mug": 0.0, "van": 0.0}


def test_average_precision_of_nothing_found_is_zero(truth: Path) -> None:
    """A detector that finds nothing is scored, too."""
    assert average_precision(truth, [], [1, 2]) == {"mug": 0.0, "van": 0.0}


def test_average_precision_counts_a_box_from_half_overlap(truth: Path) -> None:
    """The mug, 40 wide, counts when moved by 13, IoU 27/53, and not by 14, IoU 26/54; the van, 80 wide, does always."""
    near, far = (detections(truth, kinds={1: 1, 2: 2}, shift=shift)[:2] for shift in (13, 14))
    assert average_precision(truth, near, [1]) == {"mug": 1.0, "van": 1.0}
    assert average_precision(truth, far, [1]) == {"mug": 0.0, "van": 1.0}


def test_average_precision_of_one_mug_of_two_is_a_half(truth: Path) -> None:
    """Precision is 1 up to recall 0.5, which is 51 of COCO's 101 recall points."""
    found = detections(truth, kinds={1: 1, 2: 2})[:2]
    assert average_precision(truth, found, [1, 2]) == {"mug": pytest.approx(51 / 101), "van": 1.0}


def test_average_precision_looks_at_the_named_images_only(truth: Path) -> None:
    """What is on another image is neither missed nor expected."""
    assert average_precision(truth, detections(truth, kinds={1: 1, 2: 2})[2:], [2]) == {"mug": 1.0}


def test_score_mean_is_that_of_the_classes_there_are() -> None:
    """A model of one class and one of many are both scored on their own classes."""
    assert evaluate.Score("a", {"face": 0.5}, 3).mean == 0.5
    assert evaluate.Score("a", {"face": 0.5, "mug": 1.0}, 3).mean == 0.75
    assert np.isnan(evaluate.Score("a", {}, 3).mean)


def test_evaluate_sees_the_scenes_that_training_draws() -> None:
    """Both tools mean the same validation split, and no training scene is in it."""
    assert (train.SPLIT_SEEDS["val"], train.SPLIT_IMAGES["val"]) == (
        evaluate.SPLIT_SEEDS["val"],
        evaluate.SPLIT_IMAGES["val"],
    )
    drawn = {
        split: {scenes.scene_seed(train.SPLIT_SEEDS[split], split, index) for index in range(count)}
        for split, count in train.SPLIT_IMAGES.items()
    }
    assert {split: len(seeds) for split, seeds in drawn.items()} == train.SPLIT_IMAGES
    assert not drawn["train"] & drawn["val"]


def test_evaluate_unknown_model_lists_those_there_are(capsys, tmp_path: Path) -> None:
    """One wrong name among right ones is enough, and nothing is drawn."""
    message = refused(capsys, evaluate.main, "--model", "ppyoloe", "yolo", "--scenes", tmp_path / "scenes")
    assert "no demo model 'yolo'" in message
    assert "blazeface, faster_rcnn, mask_rcnn, picodet, ppyolo_tiny, ppyoloe, retinanet, ssd" in message
    assert contents(tmp_path) == {}


def test_evaluate_missing_weights_names_the_file_and_the_command(capsys, tmp_path: Path, monkeypatch) -> None:
    """The committed file's place or the given one, and how to make it."""
    monkeypatch.setattr(evaluate, "WEIGHTS", tmp_path)
    message = refused(capsys, evaluate.main, "--model", "ssd", "--scenes", tmp_path / "scenes")
    assert str(tmp_path / "ssd.pdparams") in message
    assert message.endswith("python demo/train.py --model ssd")
    given = ["--model", "ssd", "--weights", tmp_path / "mine.pdparams"]
    message = refused(capsys, evaluate.main, *given, "--scenes", tmp_path / "scenes")
    assert str(tmp_path / "mine.pdparams") in message
    assert contents(tmp_path) == {}


def test_evaluate_without_any_weights_says_how_to_train(capsys, tmp_path: Path, monkeypatch) -> None:
    """No model is named and none has weights."""
    monkeypatch.setattr(evaluate, "WEIGHTS", tmp_path)
    message = refused(capsys, evaluate.main, "--scenes", tmp_path / "scenes")
    assert f"{tmp_path} holds no weights" in message
    assert message.endswith("python demo/train.py --model NAME")


@pytest.mark.parametrize("models", [[], ["--model", "ssd", "ppyoloe"]])
def test_evaluate_weights_belong_to_one_model(capsys, tmp_path: Path, models: list[str]) -> None:
    """A weights file for several models, or for none by name, is refused."""
    message = refused(capsys, evaluate.main, *models, "--weights", tmp_path / "mine.pdparams")
    assert "--weights is the file of one model" in message


@pytest.mark.parametrize("images", ["0", "-3"])
def test_evaluate_looks_at_one_image_at_least(capsys, tmp_path: Path, images: str) -> None:
    """No images would give no number."""
    message = refused(capsys, evaluate.main, "--images", images, "--scenes", tmp_path / "scenes")
    assert f"--images must be at least 1, not {images}" in message


def test_evaluate_scenes_folder_that_is_a_file_is_refused(capsys, tmp_path: Path, monkeypatch) -> None:
    """The message has the path and the flag."""
    monkeypatch.setattr(evaluate, "WEIGHTS", tmp_path)
    taken = tmp_path / "ssd.pdparams"
    taken.write_text("mine", encoding="utf-8")
    message = refused(capsys, evaluate.main, "--model", "ssd", "--scenes", taken)
    assert f"folder {taken} cannot be written" in message and message.endswith("name another: --scenes")
    assert contents(tmp_path) == {"ssd.pdparams": b"mine"}


@pytest.fixture
def two_trained(tmp_path: Path, monkeypatch) -> Path:
    """A data set's folder, where two models have weights."""
    monkeypatch.setattr(evaluate, "WEIGHTS", tmp_path)
    for name in ("blazeface", "ssd"):
        (tmp_path / f"{name}.pdparams").write_bytes(b"")
    scenes.write_scenes(tmp_path / "scenes", split="val", images=1, seed=3)
    return tmp_path / "scenes"


def test_evaluate_without_model_takes_all_with_weights(capsys, two_trained: Path, monkeypatch) -> None:
    """Each that has weights gets a column; those that have none are named with the way to them."""
    known = {"blazeface": {"face": 0.5}, "ssd": {"face": 1.0, "mug": 0.25}}
    monkeypatch.setattr(
        evaluate, "evaluate", lambda model, **given: evaluate.Score(model, known[model], given["images"])
    )
    assert evaluate.main(["--scenes", str(two_trained), "--images", "1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["AP", "at", "IoU", "0.5", "blazeface", "ssd"]
    assert lines[1:4] == [["mean", "0.500", "0.625"], ["face", "0.500", "1.000"], ["mug", "-", "0.250"]]
    assert lines[4] == ["1", "validation", "scenes"]
    without = "no weights: faster_rcnn, mask_rcnn, picodet, ppyolo_tiny, ppyoloe, retinanet; train them: "
    assert " ".join(lines[5]) == f"{without}python demo/train.py --model NAME"


def test_evaluate_broken_weights_do_not_stop_the_others(capsys, two_trained: Path) -> None:
    """Each that cannot be read is named after the rest, and the exit code tells."""
    assert evaluate.main(["--scenes", str(two_trained), "--model", "ssd", "blazeface"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert first.startswith("error: ssd: ") and str(two_trained.parent / "ssd.pdparams") in first
    assert second.startswith("error: blazeface: ")


@pytest.mark.slow
def test_evaluate_scores_the_shipped_weights(capsys, tmp_path: Path) -> None:
    """On a few fresh scenes PP-YOLOE is as good as its card claims, but for the small number."""
    scenes.write_scenes(tmp_path, split="val", images=12, seed=21)
    assert evaluate.main(["--scenes", str(tmp_path), "--model", "ppyoloe"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][0] == "mean" and float(lines[1][1]) > 0.6
    assert lines[-1] == ["12", "validation", "scenes"]
