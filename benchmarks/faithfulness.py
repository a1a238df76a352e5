#!/usr/bin/env python3
r"""Measures the CAM methods on really trained detectors and on the demo detectors: the tables of docs/faithfulness.md.

    python demo/scenes.py --out demo_out/scenes --split val --images 250 --seed 2
    python benchmarks/faithfulness.py --real WEIGHTS_AND_PHOTOGRAPHS --out demo_out/faithfulness --write docs

Each detector is measured as `cam_eval` does: what takes a pass or two on more images, what takes many on fewer.
What was measured stays in --out, so an interrupted run goes on where it stopped, and detectors and parts may be
measured one by one; the pages have what is there. Without --real the demo detectors alone are measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

from benchmarks.faithful.subjects import Subject, demo_detectors, trained_detectors  # noqa: E402
from benchmarks.faithful.tables import COLUMNS, Document, long_tables, short_table  # noqa: E402
from benchmarks.pages import write_between  # noqa: E402
from ppdet_cam.commands.progress import ImagesBar  # noqa: E402
from ppdet_cam.evaluation.config import SANITY, EvalConfig, usual_methods  # noqa: E402
from ppdet_cam.evaluation.files import EVAL_FILE  # noqa: E402
from ppdet_cam.evaluation.running import evaluate  # noqa: E402
from ppdet_cam.questions.question import AUTO  # noqa: E402
from ppdet_cam.questions.targets import DEFAULT_TARGET  # noqa: E402

PAGE, TRAINED_PAGE, DEMO_PAGE = "faithfulness.md", "faithfulness_trained.md", "faithfulness_demo.md"
BOTH = (DEFAULT_TARGET, "lead")
PLACE = ("pointing", "energy", "evidence_hit", "evidence_energy")
CURVES = ("deletion", "insertion", "insertion_minus_deletion")


@dataclass(frozen=True)
class Part:
    """One evaluation of each detector.

    Attributes:
        name: of its folder.
        methods: that are compared.
        images: how many; None for all.
        metrics: that are measured.
        costly_boxes: of how many boxes of an image deletion, insertion and sanity are measured.
        refine_by: as `Question` has it.
        targets: that are explained.
    """

    name: str
    methods: tuple[str, ...]
    images: int | None
    metrics: tuple[str, ...]
    costly_boxes: int = 1
    refine_by: tuple[str, ...] = ()
    targets: tuple[str, ...] = (DEFAULT_TARGET,)


TRAINED_PARTS = (
    Part("maps", ("stagecam", "layercam", "hirescam", "eigengradcam", "gradcam"), None, COLUMNS, costly_boxes=5),
    Part("sanity", ("stagecam", "layercam", "hirescam", "gradcam"), None, (SANITY,)),
)
DEMO_PARTS = (
    Part("place", usual_methods(), 100, PLACE),
    Part("lead", ("stagecam", "layercam"), 100, PLACE, targets=("lead",)),
    Part("refined", ("layercam",), 20, PLACE, refine_by=(AUTO,), targets=BOTH),
    Part("curves", usual_methods(), 20, CURVES),
    Part("sanity", ("stagecam", "layercam", "hirescam", "gradcam"), 5, (SANITY,)),
    Part("slow", ("occlusion", "ablationcam", "drise", "scorecam"), 20, COLUMNS),
)


def measure(subject: Subject, part: Part, folder: Path) -> None:
    """Measures a detector, or goes on with it; prints which images failed."""
    targets = tuple(target for target in part.targets if subject.has_rivals or target == DEFAULT_TARGET)
    if not targets:
        return
    config = EvalConfig(
        config=subject.config,
        overrides=subject.overrides,
        gt=subject.gt,
        folder=subject.folder,
        out=folder,
        methods=part.methods,
        layers=subject.layers,
        metrics=part.metrics,
        images=part.images,
        costly_boxes=part.costly_boxes,
        draw_threshold=subject.draw_threshold,
        resume=True,
        refinements=(part.refine_by,),
        targets=targets,
    )
    outcome = evaluate(config, ImagesBar())
    for failure in outcome.failures:
        print(f"{subject.name}: {failure.path}: {failure.reason}", file=sys.stderr)
    if outcome.stopped_by:
        sys.exit(f"stopped; the same command goes on with {subject.name}")


def found_in(out: Path, subjects: Sequence[Subject], parts: Sequence[Part]) -> dict[str, list[Document]]:
    """Returns a detector's name -> what was measured of it so far."""
    found = {}
    for subject in subjects:
        files = [_folder(out, part, subject) / EVAL_FILE for part in parts]
        documents = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
        if documents:
            found[subject.name] = documents
    return found


def pages(trained: Mapping[str, Sequence[Document]], demo: Mapping[str, Sequence[Document]]) -> dict[str, str]:
    """Returns the name of each page with tables -> the tables."""
    first = [
        "### Really trained, photographs",
        short_table(trained),
        "### Demo detectors, drawn scenes",
        short_table(demo),
    ]
    return {
        PAGE: "\n\n".join(first),
        TRAINED_PAGE: "\n\n".join(piece for name, found in trained.items() for piece in long_tables(name, found)),
        DEMO_PAGE: "\n\n".join(piece for name, found in demo.items() for piece in long_tables(name, found)),
    }


def _folder(out: Path, part: Part, subject: Subject) -> Path:
    return out / part.name / subject.name.replace(" ", "_")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help="folder of really trained weights and annotated photographs")
    parser.add_argument("--only", nargs="+", metavar="DETECTOR", help="measure these alone")
    names = list(dict.fromkeys(part.name for part in (*TRAINED_PARTS, *DEMO_PARTS)))
    parser.add_argument("--parts", nargs="*", default=names, choices=names, help="measure these alone")
    parser.add_argument("--out", type=Path, default=Path("demo_out/faithfulness"))
    parser.add_argument("--write", type=Path, metavar="DOCS", help="put what is in --out into the pages of this folder")
    options = parser.parse_args()
    trained = trained_detectors(options.real, options.out) if options.real else []
    demo = demo_detectors()
    for subjects, parts in ((trained, TRAINED_PARTS), (demo, DEMO_PARTS)):
        for part in (part for part in parts if part.name in options.parts):
            for subject in (one for one in subjects if not options.only or one.name in options.only):
                measure(subject, part, _folder(options.out, part, subject))
    texts = pages(found_in(options.out, trained, TRAINED_PARTS), found_in(options.out, demo, DEMO_PARTS))
    for page, text in texts.items():
        write_between(options.write / page, text) if options.write else print(text)


if __name__ == "__main__":
    main()
