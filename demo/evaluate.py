#!/usr/bin/env python3
r"""Prints how well the demo detectors find the held-out scenes: mAP at IoU 0.5, and AP by class.

    python demo/evaluate.py                      all models whose weights are there
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

from scenes import write_scenes  # noqa: E402

from ppdet_cam.errors import PpdetCamError  # noqa: E402
from ppdet_cam.explainer import build_detector  # noqa: E402
from ppdet_cam.images import read_image  # noqa: E402

import numpy as np  # isort: skip  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402

CONFIGS = ROOT / "configs" / "demo"
WEIGHTS = ROOT / "demo" / "weights"
SCENES = ROOT / "demo_out" / "scenes"
VAL_IMAGES, VAL_SEED = 250, 2
IOU = 0.5


@dataclass(frozen=True)
class Score:
    """Average precision at IoU 0.5 of one model, by class name, on so many images."""

    model: str
    by_class: Mapping[str, float]
    images: int

    @property
    def mean(self) -> float:
        """Returns the mean over the classes."""
        return float(np.mean(list(self.by_class.values())))


def average_precision(
    annotations: Path, found: Sequence[Mapping[str, object]], image_ids: Sequence[int]
) -> dict[str, float]:
    """Returns AP at IoU 0.5 by class name.

    Args:
        annotations: COCO JSON file.
        found: COCO result records.
        image_ids: the images that were looked at.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        names = {category["id"]: category["name"] for category in truth.loadCats(truth.getCatIds())}
        if not found:
            return dict.fromkeys(names.values(), 0.0)
        evaluation = COCOeval(truth, truth.loadRes(list(found)), "bbox")
        evaluation.params.imgIds = list(image_ids)
        evaluation.params.iouThrs = np.array([IOU])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]  # recall x class, any area, up to 100 boxes
    return {names[number]: float(precision[:, row].mean()) for row, number in enumerate(evaluation.params.catIds)}


def evaluate(model: str, *, weights: Path, scenes: Path, images: int) -> Score:
    """Returns the score of a model's weights on the first `images` validation scenes."""
    detector, settings = build_detector(CONFIGS / f"{model}.yml")
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


def main() -> int:
    """Evaluates models."""
    known = sorted(path.stem for path in CONFIGS.glob("*.yml") if "\narchitecture:" in path.read_text("utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", nargs="+", metavar="NAME", help=f"of: {', '.join(known)} (default: all with weights)"
    )
    parser.add_argument("--weights", type=Path, help="another weights file, for one model")
    parser.add_argument("--scenes", type=Path, default=SCENES, help="folder of the data set, drawn if it is missing")
    parser.add_argument("--images", type=int, default=VAL_IMAGES, help="look at the first so many only")
    options = parser.parse_args()
    models = options.model or [name for name in known if (WEIGHTS / f"{name}.pdparams").is_file()]
    unknown = [name for name in models if name not in known]
    if unknown:
        print(f"error: no demo model {unknown[0]!r}. There are: {', '.join(known)}", file=sys.stderr)
        return 2
    if not models or (options.weights and len(models) != 1):
        print(f"error: name one model with --weights; {WEIGHTS} holds none by itself", file=sys.stderr)
        return 2
    try:
        if not (options.scenes / "annotations" / "val.json").is_file():
            write_scenes(options.scenes, split="val", images=VAL_IMAGES, seed=VAL_SEED)
        scores = [
            evaluate(
                name,
                weights=options.weights or WEIGHTS / f"{name}.pdparams",
                scenes=options.scenes,
                images=options.images,
            )
            for name in models
        ]
    except (PpdetCamError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
