#!/usr/bin/env python3
r"""Prints how well the demo detectors find the held-out scenes: mAP at IoU 0.5, and AP by class.

    python demo/evaluate.py                      all models whose weights are there, and which have none
    python demo/evaluate.py --model ppyoloe ssd

The detectors are loaded as the explainer loads them, from `demo/weights/`. The validation scenes, which no training
saw, are drawn if they are not there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

from recipes import (  # noqa: E402
    SPLIT_IMAGES,
    SPLIT_SEEDS,
    WEIGHTS,
    all_names,
    config_file,
    model_names,
    scenes_of,
    shortcuts_of,
    weights_folder,
)
from scenes import parse_shortcut, write_scenes  # noqa: E402

from ppdet_cam.detectors.building import build_detector  # noqa: E402
from ppdet_cam.errors import PpdetCamError  # noqa: E402
from ppdet_cam.images.reading import read_image  # noqa: E402

import numpy as np  # isort: skip  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402

IOU = 0.5


class EvaluationError(Exception):
    """What was asked for cannot be evaluated; the message says why and what to do."""


@dataclass(frozen=True)
class Score:
    """Average precision at IoU 0.5 of one model, by the names of the classes to be found on so many images."""

    model: str
    by_class: Mapping[str, float]
    images: int

    @property
    def mean(self) -> float:
        """Returns the mean over the classes, not a number where there is none."""
        return sum(self.by_class.values()) / len(self.by_class) if self.by_class else float("nan")


def average_precision(
    annotations: Path, found: Sequence[Mapping[str, object]], image_ids: Sequence[int]
) -> dict[str, float]:
    """Returns AP at IoU 0.5 by class name; a class that is on none of the images has none.

    Args:
        annotations: COCO JSON file.
        found: COCO result records.
        image_ids: the images that were looked at.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        present = {truth.anns[number]["category_id"] for number in truth.getAnnIds(imgIds=list(image_ids))}
        names = {category["id"]: category["name"] for category in truth.loadCats(sorted(present))}
        if not found:
            return dict.fromkeys(names.values(), 0.0)
        evaluation = COCOeval(truth, truth.loadRes(list(found)), "bbox")
        evaluation.params.imgIds, evaluation.params.catIds = list(image_ids), list(names)
        evaluation.params.iouThrs = np.array([IOU])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]  # recall x class, any area, up to 100 boxes
    return {names[number]: float(precision[:, row].mean()) for row, number in enumerate(evaluation.params.catIds)}


def evaluate(model: str, *, weights: Path, scenes: Path, images: int) -> Score:
    """Returns the score of a model's weights on the first `images` validation scenes."""
    detector, settings = build_detector(config_file(model))
    detector.load_weights(str(weights))
    annotations = scenes / str(settings["EvalDataset"].value["anno_path"])  # type: ignore[attr-defined]
    content = json.loads(annotations.read_text(encoding="utf-8"))
    numbers = {category["name"]: category["id"] for category in content["categories"]}
    records = content["images"][:images]
    found = []
    for record in records:
        rows = detector.predict(read_image(scenes / "val" / record["file_name"]))
        for label, score, left, top, right, bottom in rows:
            if label < 0:
                continue
            name = detector.class_names[int(label)]
            box = [float(left), float(top), float(right - left), float(bottom - top)]
            found.append({"image_id": record["id"], "category_id": numbers[name], "bbox": box, "score": float(score)})
    return Score(model, average_precision(annotations, found, [record["id"] for record in records]), len(records))


def table(scores: Sequence[Score]) -> str:
    """Returns the scores as a table: a row for each class, a column for each model."""
    classes = list(dict.fromkeys(name for score in scores for name in score.by_class))
    widths = [max(8, len(score.model)) for score in scores]
    lines = [" ".join(["AP at IoU 0.5".ljust(16), *(s.model.rjust(w) for s, w in zip(scores, widths))])]
    lines.append(" ".join(["mean".ljust(16), *(f"{s.mean:.3f}".rjust(w) for s, w in zip(scores, widths))]))
    for name in classes:
        values = [f"{s.by_class[name]:.3f}" if name in s.by_class else "-" for s in scores]
        lines.append(" ".join([name.ljust(16), *(value.rjust(w) for value, w in zip(values, widths))]))
    return "\n".join([*lines, f"{scores[0].images} validation scenes"])


def weights_files(models: Sequence[str] | None, weights: Path | None) -> dict[str, Path]:
    """Returns the weights file of each model to evaluate.

    Args:
        models: their names, None for all that have weights.
        weights: the file of the only one, None for the committed ones.

    Raises:
        EvaluationError: a name or a file is not there.
    """
    known = model_names()
    if weights and len(models or ()) != 1:
        raise EvaluationError("--weights is the file of one model; name that one: --model NAME")
    for name in models or ():
        if name not in all_names():
            raise EvaluationError(f"no demo model {name!r}. There are: {', '.join(known)}")
    files = {name: weights or _shipped(name) for name in models or known}
    if models is None:
        files = {name: path for name, path in files.items() if path.is_file()}
        if not files:
            raise EvaluationError(f"{WEIGHTS} holds no weights; train a model: {_training_command('NAME')}")
    for name, path in files.items():
        if not path.is_file():
            raise EvaluationError(f"weights {path} are not there; train the model: {_training_command(name)}")
    return files


def _shipped(model: str) -> Path:
    return (WEIGHTS if model in model_names() else weights_folder(model)) / f"{model}.pdparams"


def _training_command(model: str) -> str:
    return f"python demo/train.py --model {model}"


def draw_missing_scenes(folder: Path, shortcuts: Sequence[str] = ()) -> None:
    """Draws the validation scenes if they are not there, with shortcuts as `scenes.parse_shortcut` reads them.

    Raises:
        EvaluationError: the folder cannot be written.
    """
    if (folder / "annotations" / "val.json").is_file():
        return
    try:
        planted = [parse_shortcut(text) for text in shortcuts]
        write_scenes(folder, split="val", images=SPLIT_IMAGES["val"], seed=SPLIT_SEEDS["val"], shortcuts=planted)
    except OSError as error:
        raise EvaluationError(f"folder {folder} cannot be written: {error.strerror}; name another: --scenes") from error


def evaluate_all(files: Mapping[str, Path], *, scenes: Path | None, images: int) -> tuple[list[Score], dict[str, str]]:
    """Returns the scores of models, and why the others have none: one that fails does not keep the next from its."""
    scores, failures = [], {}
    for name, path in files.items():
        try:
            scores.append(evaluate(name, weights=path, scenes=scenes or scenes_of(name), images=images))
        except (PpdetCamError, OSError) as error:
            failures[name] = str(error)
    return scores, failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates models; returns the exit code: 0 done, 2 something given was wrong or a model failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", nargs="+", metavar="NAME", help=f"of: {', '.join(model_names())} (default: all with weights)"
    )
    parser.add_argument("--weights", type=Path, help="another weights file, for one model")
    parser.add_argument("--scenes", type=Path, help="folder of the data set, drawn if it is missing")
    parser.add_argument("--images", type=int, default=SPLIT_IMAGES["val"], help="look at the first so many only")
    options = parser.parse_args(arguments)
    try:
        if options.images < 1:
            raise EvaluationError(f"--images must be at least 1, not {options.images}")
        files = weights_files(options.model, options.weights)
        for name in files:
            draw_missing_scenes(options.scenes or scenes_of(name), shortcuts_of(name))
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    scores, failures = evaluate_all(files, scenes=options.scenes, images=options.images)
    if scores:
        print(table(scores))
    if options.model is None:
        without = [name for name in model_names() if name not in files]
        if without:
            print(f"no weights: {', '.join(without)}; train them: {_training_command('NAME')}")
    for name, reason in failures.items():
        print(f"error: {name}: {reason}", file=sys.stderr)
    return 2 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
