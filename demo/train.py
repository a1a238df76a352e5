#!/usr/bin/env python3
r"""Trains a demo detector with PaddleDetection's own Trainer on the drawn scenes, and saves its weights halved.

    python demo/train.py --model ppyoloe

The recipe is `configs/demo/<model>.yml`. The scenes are drawn first if they are not there. An interrupted run goes on
from its last whole checkpoint when it is started again; `--restart` begins anew.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # The MKL that paddle brings takes its slowest path on other makers' processors; this makes it take AVX2: a training
    # step takes 0.7 of the time there, and no other time elsewhere. It is read when paddle is loaded.
    os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")

import numpy as np  # noqa: E402
from recipes import (  # noqa: E402
    SPLIT_IMAGES,
    SPLIT_SEEDS,
    all_names,
    config_file,
    model_names,
    scenes_of,
    shortcuts_of,
    weights_folder,
)
from scenes import parse_shortcut, write_scenes  # noqa: E402
from train_repairs import apply_training_repairs  # noqa: E402

from ppdet_cam.detectors.settings import read_settings  # noqa: E402

import paddle  # isort: skip  # noqa: E402
from ppdet.core import workspace  # noqa: E402
from ppdet.engine import Trainer  # noqa: E402

log = logging.getLogger("demo.train")

TRAINING_SEED = 0
LARGEST_FILE = 8 * 2**20


class TrainingError(Exception):
    """What was asked for cannot be trained; the message says why and what to do."""


def config_of(model: str) -> Path:
    """Returns the recipe of a model.

    Raises:
        TrainingError: there is none.
    """
    if model not in all_names():
        raise TrainingError(f"no demo model {model!r}. There are: {', '.join(model_names())}")
    return config_file(model)


def check_writable(folder: Path, *, flag: str) -> None:
    """Raises TrainingError when no file can be written into a folder; it need not be there, and nothing is left.

    Args:
        folder: the folder, or where it is to be made.
        flag: the option that names another one.
    """
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise TrainingError(f"folder {folder} cannot be written: {error.strerror}; name another: {flag}") from error


def draw_missing_scenes(folder: Path, shortcuts: Sequence[str] = ()) -> None:
    """Draws the splits that are not there; a split is whole when its annotation file is.

    Args:
        folder: of the data set.
        shortcuts: that are planted, as `scenes.parse_shortcut` reads them.

    Raises:
        TrainingError: the folder cannot be written.
    """
    for split, seed in SPLIT_SEEDS.items():
        if (folder / "annotations" / f"{split}.json").is_file():
            continue
        check_writable(folder, flag="--scenes")
        log.info("drawing %d scenes of the %s split", SPLIT_IMAGES[split], split)
        planted = [parse_shortcut(text) for text in shortcuts]
        write_scenes(folder, split=split, images=SPLIT_IMAGES[split], seed=seed, shortcuts=planted)


def is_whole(checkpoint: Path) -> bool:
    """Returns whether a checkpoint, named without suffix, can be read: one that was cut off cannot.

    It is three files, the running weights' only where there are averaged ones, and the optimizer's written last.
    """
    parts = [checkpoint.with_suffix(suffix) for suffix in (".pdparams", ".pdema", ".pdopt")]
    if not (parts[0].is_file() and parts[2].is_file()):
        return False
    for path in filter(Path.is_file, parts):
        try:
            paddle.load(str(path))
        except Exception as error:  # whatever a cut-off pickle raises
            log.warning("%s is not whole (%s); its checkpoint is passed over", path, type(error).__name__)
            return False
    return True


def last_checkpoint(folder: Path) -> Path | None:
    """Returns the newest whole checkpoint of an unfinished training, without its suffix, or None."""
    epochs = sorted((int(path.stem) for path in folder.glob("*.pdopt") if path.stem.isdigit()), reverse=True)
    return next((folder / str(epoch) for epoch in epochs if is_whole(folder / str(epoch))), None)


def start_weights(config: Path) -> Path | None:
    """Returns the weights of the demo detector that a recipe starts from, None when it starts from scratch.

    Raises:
        TrainingError: they are not there yet.
    """
    named = read_settings(config).get("start_weights")
    if not named:
        return None
    weights = ROOT / str(named)
    if not weights.is_file():
        raise TrainingError(
            f"{config.stem} starts from {weights}, which is not there; train that first: "
            f"python demo/train.py --model {weights.stem}"
        )
    return weights


def start_from(model: paddle.nn.Layer, weights: Path) -> int:
    """Fills a model with what fits of another demo detector: its backbone, and what else has name and shape in common.

    Returns:
        How many arrays were taken.

    Raises:
        TrainingError: its backbone is another one.
    """
    given = paddle.load(str(weights), return_numpy=True)
    taken = 0
    for name, value in model.state_dict().items():
        if name in given and list(given[name].shape) == list(value.shape):
            value.set_value(np.asarray(given[name], np.float32))
            taken += 1
        elif name.startswith("backbone."):
            raise TrainingError(f"the backbone of {weights} has no {name} of shape {list(value.shape)}")
    return taken


def halved(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a state dict in half precision; integers stay as they are.

    Raises:
        TrainingError: a value is too large for it, or not finite.
    """
    result = {}
    for name, value in state.items():
        array = np.asarray(value)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):  # it is looked for below
                array = array.astype(np.float16)
            if not np.isfinite(array).all():
                raise TrainingError(f"{name} has values that half precision cannot hold")
        result[name] = array
    return result


def export(checkpoint: Path, target: Path) -> None:
    """Saves a checkpoint's (averaged) weights in half precision.

    Raises:
        TrainingError: they do not fit into half precision, or into the largest file.
    """
    weights = halved(paddle.load(str(checkpoint.with_suffix(".pdparams")), return_numpy=True))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    paddle.save(weights, str(partial))
    size = partial.stat().st_size
    if size > LARGEST_FILE:
        partial.unlink()
        raise TrainingError(f"{target} would have {size} bytes, more than {LARGEST_FILE}; make the model smaller")
    partial.replace(target)
    log.info("%s, %.2f MB", target, target.stat().st_size / 2**20)


def train(model: str, *, out: Path, scenes: Path, work: Path, restart: bool, epochs: int | None = None) -> Path:
    """Trains a model and returns its weights file.

    Args:
        model: its name.
        out: folder of the weights.
        scenes: folder of the data set.
        work: folder of the checkpoints of all models.
        restart: forget earlier checkpoints.
        epochs: end after so many; None for as many as the recipe says.

    Raises:
        TrainingError: something that was given does not do.
    """
    config = config_of(model)
    if epochs is not None and epochs < 1:
        raise TrainingError(f"--epochs must be at least 1, not {epochs}")
    check_writable(out, flag="--out")
    check_writable(work / model, flag="--work")
    target, final = out / f"{model}.pdparams", work / model / "model_final"
    if not restart and is_whole(final):
        log.info("%s is trained already (%s); --restart begins anew", model, final)
    else:
        checkpoint = None if restart else last_checkpoint(work / model)
        start = None if checkpoint else start_weights(config)
        draw_missing_scenes(scenes, shortcuts_of(model))
        if restart:
            shutil.rmtree(work / model, ignore_errors=True)
        _run(config, checkpoint=checkpoint, start=start, scenes=scenes, work=work / model, epochs=epochs)
        if not is_whole(final):
            raise TrainingError(f"{checkpoint} has all the epochs asked for, or more; --restart begins anew")
    export(final, target)
    return target


def _show_progress() -> None:
    """Lets ppdet's loggers speak: importing them through `ppdet_cam.detectors.compat` keeps them quiet."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for name in ("ppdet.engine", "ppdet.utils.checkpoint"):
        logging.getLogger(name).handlers = [handler]


def _run(
    config: Path, *, checkpoint: Path | None, start: Path | None, scenes: Path, work: Path, epochs: int | None
) -> None:
    apply_training_repairs()
    _show_progress()
    settings = workspace.load_config(str(config))
    for dataset in (settings["TrainDataset"], settings["EvalDataset"]):
        dataset.dataset_dir = str(scenes)
    settings["epoch"] = epochs or settings["epoch"]
    settings["save_dir"] = str(work)
    settings["filename"] = ""  # which is put behind it up to PaddleDetection 2.7, and not on develop
    paddle.set_device("cpu")
    paddle.seed(TRAINING_SEED)
    np.random.seed(TRAINING_SEED)  # noqa: NPY002  (ppdet's transforms draw from it)
    trainer = Trainer(settings, mode="train")
    if checkpoint:
        trainer.resume_weights(str(checkpoint))
        np.random.seed(TRAINING_SEED + trainer.start_epoch)  # noqa: NPY002
        log.info("going on from epoch %d of %d", trainer.start_epoch, settings["epoch"])
    elif start:
        log.info("%d arrays taken from %s", start_from(trainer.model, start), start)
    trainer.train(validate=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains one model; returns the exit code: 0 done, 2 something given was wrong, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="NAME", help=f"one of: {', '.join(model_names())}")
    parser.add_argument("--out", type=Path, help="folder of the weights (default: demo/weights)")
    parser.add_argument("--scenes", type=Path, help="folder of the data set, drawn if it is missing")
    parser.add_argument("--work", type=Path, default=ROOT / "demo_out" / "train", help="folder of the checkpoints")
    parser.add_argument("--epochs", type=int, help="end after so many, to try something out (default: the recipe's)")
    parser.add_argument("--restart", action="store_true", help="forget the checkpoints of an earlier run")
    options = parser.parse_args(arguments)
    try:
        if options.model is None:
            raise TrainingError(f"no model given; name one: --model NAME. There are: {', '.join(model_names())}")
        train(
            options.model,
            out=options.out or weights_folder(options.model),
            scenes=options.scenes or scenes_of(options.model),
            work=options.work,
            restart=options.restart,
            epochs=options.epochs,
        )
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
