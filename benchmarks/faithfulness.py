#!/usr/bin/env python3
r"""Measures all CAM methods on the demo detectors and drawn scenes: the tables of docs/faithfulness.md.

    python demo/scenes.py --out demo_out/scenes --split val --images 250 --seed 2
    python benchmarks/faithfulness.py --out demo_out/faithfulness --write docs/faithfulness.md

Each detector is measured as `cam_eval` does: the methods of few passes on more images, the others on fewer.
What was measured stays in --out, so an interrupted run goes on where it stopped, and models may be measured one by one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

from pages import write_between  # noqa: E402
from recipes import CONFIGS, SCENES, WEIGHTS  # noqa: E402

from ppdet_cam.commands.progress import ImagesBar  # noqa: E402
from ppdet_cam.evaluation.config import ALL, EvalConfig, usual_methods  # noqa: E402
from ppdet_cam.evaluation.files import EVAL_FILE  # noqa: E402
from ppdet_cam.evaluation.running import evaluate  # noqa: E402
from ppdet_cam.evaluation.tables import markdown_table  # noqa: E402
from ppdet_cam.questions.question import AUTO  # noqa: E402
from ppdet_cam.questions.targets import DEFAULT_TARGET  # noqa: E402

BACKBONE, NECK, ROI = "model.backbone", "model.neck", "model.bbox_head.roi_extractor"
# SSD has no neck, and this BlazeFace's hands the backbone's maps on as they are
LAYERS: Mapping[str, tuple[str, ...]] = {
    "blazeface": (BACKBONE,),
    "faster_rcnn": (BACKBONE, NECK, ROI),
    "mask_rcnn": (BACKBONE, NECK, ROI),
    "ppyolo_tiny": (BACKBONE, NECK),
    "ppyoloe": (BACKBONE, NECK),
    "retinanet": (BACKBONE, NECK),
    "ssd": (BACKBONE,),
}
ONE_CLASS = ("blazeface",)  # without a runner-up, so without the target "lead"
COLUMNS = ("pointing", "energy", "evidence_hit", "evidence_energy", "deletion", "insertion", "insertion_minus_deletion")
Row = Mapping[str, dict]


@dataclass(frozen=True)
class Part:
    """One evaluation of each detector. Those of as many images share a table.

    Attributes:
        name: of its folder.
        methods: that are compared.
        images: how many.
        metrics: that are measured.
        refine_by: as `Question` has it.
        targets: that are explained.
    """

    name: str
    methods: tuple[str, ...]
    images: int
    metrics: tuple[str, ...]
    refine_by: tuple[str, ...] = ()
    targets: tuple[str, ...] = (DEFAULT_TARGET,)


REFINED = ("eigengradcam", "hirescam", "layercam")
PARTS = (
    Part("usual", (*usual_methods(), "occlusion"), 5, (ALL,)),
    Part("refined", REFINED, 5, COLUMNS, refine_by=(AUTO,), targets=(DEFAULT_TARGET, "lead")),
    Part("perturbing", ("ablationcam", "drise", "scorecam"), 1, COLUMNS),
)


def measure(model: str, part: Part, folder: Path) -> None:
    """Measures a demo detector, or goes on with it; prints which images failed."""
    config = EvalConfig(
        config=CONFIGS / f"{model}.yml",
        overrides=(f"weights={WEIGHTS / f'{model}.pdparams'}",),
        gt=SCENES / "annotations" / "val.json",
        folder=SCENES / "val",
        out=folder,
        methods=part.methods,
        layers=LAYERS[model],
        metrics=part.metrics,
        images=part.images,
        costly_boxes=1,
        resume=True,
        refinements=(part.refine_by,),
        targets=(DEFAULT_TARGET,) if model in ONE_CLASS else part.targets,
    )
    for failure in evaluate(config, ImagesBar()).failures:
        print(f"{model}: {failure.path}: {failure.reason}", file=sys.stderr)


def tables(out: Path, models: Sequence[str]) -> str:
    """Returns all that was measured so far as Markdown."""
    return "\n\n".join(
        piece
        for images in sorted({part.images for part in PARTS}, reverse=True)
        for piece in _on_scenes(out, [part for part in PARTS if part.images == images], models)
    )


def _on_scenes(out: Path, parts: Sequence[Part], models: Sequence[str]) -> Iterator[str]:
    """Yields the tables of what was measured on the same scenes."""
    yield f"## On {parts[0].images} {'scene' if parts[0].images == 1 else 'scenes'}"
    for model in models:
        files = [out / part.name / model / EVAL_FILE for part in parts]
        documents = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
        if documents:
            yield f"### `{model}` (boxes: {documents[0]['found']}, scenes: {documents[0]['images']})"
            yield _table([row for document in documents for row in document["maps"]])
        for document in documents:
            if document["sanity"]:
                yield _sanity(document)


def _table(found: Sequence[Row]) -> str:
    """Returns a line per method and layer, then one per baseline: every evaluation of the same scenes has these."""
    baselines = {(row["method"], row["layer"]): row for row in found if not _is_method(row)}
    lines = [*filter(_is_method, found), *baselines.values()]
    best = {name: _best(lines, name) for name in COLUMNS}
    rows = []
    for row in lines:
        cells = [_cell(row["metrics"].get(name), best[name], row) for name in COLUMNS]
        rows.append([f"`{row['method']}`", f"`{row['layer']}`" if row["layer"] else "-", *cells])
    return markdown_table(["method", "layer", *COLUMNS], rows)


def _best(found: Sequence[Row], name: str) -> str | None:
    means = [_printed(row["metrics"][name]) for row in found if name in row["metrics"] and _is_method(row)]
    return (min if name == "deletion" else max)(means, key=float, default=None)


def _is_method(row: Row) -> bool:
    return row["no_better_than"] is not None


def _cell(interval: Mapping[str, float] | None, best: str | None, row: Row) -> str:
    if interval is None:
        return "-"
    text = _printed(interval)
    return f"**{text}**" if _is_method(row) and text == best else text


def _printed(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:.3f}"


def _sanity(document: Mapping[str, list]) -> str:
    rows = [
        [f"`{row['method']}`", f"`{row['layer']}`", *(f"{one['mean']:.2f} / {two['mean']:.2f}" for one, two in pairs)]
        for row in document["sanity"]
        for pairs in [list(zip(row["spearman"], row["ssim"]))]
    ]
    caption = "Sanity: rank correlation / structural similarity with the own map, the model made random from the top:"
    return f"{caption}\n\n{markdown_table(['method', 'layer', *document['parts']], rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--parts", nargs="+", default=[part.name for part in PARTS], choices=[p.name for p in PARTS])
    parser.add_argument("--out", type=Path, default=Path("demo_out/faithfulness"))
    parser.add_argument("--write", type=Path, help="put the tables of all that is in --out into this page")
    options = parser.parse_args()
    for part in (part for part in PARTS if part.name in options.parts):
        for model in options.models:
            measure(model, part, options.out / part.name / model)
    text = tables(options.out, list(LAYERS))
    if options.write:
        write_between(options.write, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
