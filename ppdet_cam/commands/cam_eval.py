"""The command `cam_eval`: methods, a detector and annotated images -> which maps say most truly why a box is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ppdet_cam import __version__
from ppdet_cam.commands.flags import NO_CONFIG, add_config, add_refinement, add_sampling, add_strictness
from ppdet_cam.commands.progress import ImagesBar
from ppdet_cam.commands.terminal import (
    EXIT_DONE,
    EXIT_SIGNAL,
    EXIT_SOME_FAILED,
    Parser,
    comma_items,
    detector_packages,
    exit_code_of,
    logging_on_stderr,
    print_error,
    print_images,
    print_result,
    user_path,
)
from ppdet_cam.errors import ConfigError
from ppdet_cam.evaluation.config import ALL, DEFAULT_COSTLY_BOXES, SANITY, EvalConfig, measurable, usual_methods
from ppdet_cam.evaluation.files import MEASUREMENTS_FILE, PAGE_FILE
from ppdet_cam.evaluation.tables import overview
from ppdet_cam.methods import methods
from ppdet_cam.questions.annotations import FORMS
from ppdet_cam.questions.question import DEFAULT_LAYER, DEFAULT_THRESHOLD, NONE
from ppdet_cam.questions.targets import DEFAULT_TARGET

PROGRAM = "cam_eval"


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all arguments."""
    parser = Parser(
        prog=PROGRAM,
        advice=f"all flags: {PROGRAM} --help",
        description="Measures how true the maps of CAM methods are, on a detector and annotated images: where they "
        "lie, whether the box's score depends on what they show, whether they depend on what the model learned. "
        "Writes eval.md, eval.json, measurements.jsonl and report.html.",
    )
    add_config(parser)
    parser.add_argument(
        "--gt",
        type=user_path,
        required=True,
        metavar="PATH",
        help=f"annotations of the images ({FORMS}); a COCO annotation's 'evidence', as 'bbox', is the place that makes "
        "its class",
    )
    parser.add_argument(
        "--infer_dir", type=user_path, metavar="FOLDER", help="folder where the annotations' file_name starts"
    )
    add_strictness(parser)
    parser.add_argument(
        "--out",
        type=user_path,
        default=Path("cam_eval"),
        metavar="FOLDER",
        help="folder to write into (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        action="append",
        metavar="LIST",
        help=f"CAM methods, separated by commas, or {ALL}: {', '.join(methods.names())} (default: those of at most one "
        f"backward pass: {', '.join(usual_methods())})",
    )
    parser.add_argument(
        "--target_feature_layer_name",
        action="append",
        metavar="PATH",
        help="dotted path of a layer; repeat the flag to compare layers, join them by commas to look at them together "
        f"(default: {DEFAULT_LAYER})",
    )
    add_refinement(parser, several=True)
    parser.add_argument(
        "--metrics",
        action="append",
        metavar="LIST",
        help=f"what to measure, separated by commas, or {ALL}: {', '.join(measurable())} (default: all but {SANITY})",
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="WHAT",
        help=f"what is explained, as for cam_ppdet; repeat the flag to compare (default: {DEFAULT_TARGET})",
    )
    parser.add_argument(
        "--draw_threshold",
        type=float,
        default=DEFAULT_THRESHOLD,
        metavar="SCORE",
        help="detections with at least this score take part (default: %(default)s)",
    )
    parser.add_argument("--images", type=int, metavar="N", help="measure the first N images only")
    parser.add_argument(
        "--costly_boxes",
        type=int,
        default=DEFAULT_COSTLY_BOXES,
        metavar="N",
        help="measure deletion, insertion and sanity, which take many forward passes, for N boxes of each image "
        "(default: %(default)s)",
    )
    add_sampling(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the evaluation that is in --out")
    parser.add_argument("--overwrite", action="store_true", help="remove the evaluation that is in --out")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0 done, 2 something given was wrong, 3 some images failed, 130 interrupted (143 by SIGTERM).
    """

    def evaluate_logging() -> int:
        with logging_on_stderr(PROGRAM):
            return _evaluate(build_parser().parse_args(arguments))

    return exit_code_of(PROGRAM, evaluate_logging)


def _eval_config(options: argparse.Namespace) -> EvalConfig:
    if options.config is None:
        raise ConfigError(NO_CONFIG)
    return EvalConfig(
        config=options.config,
        overrides=tuple(options.opt),
        gt=options.gt,
        folder=options.infer_dir,
        out=options.out,
        methods=_all_items(options.method, "--method"),
        layers=tuple(options.target_feature_layer_name or (DEFAULT_LAYER,)),
        metrics=_all_items(options.metrics, "--metrics"),
        targets=tuple(options.target or (DEFAULT_TARGET,)),
        draw_threshold=options.draw_threshold,
        images=options.images,
        costly_boxes=options.costly_boxes,
        samples=options.samples,
        seed=options.seed,
        batch=options.batch_size,
        resume=options.resume,
        strict_images=options.strict_images,
        overwrite=options.overwrite,
        refinements=tuple(
            () if text == NONE else comma_items(text, "--refine_by") for text in options.refine_by or (NONE,)
        ),
    )


def _all_items(texts: Sequence[str] | None, flag: str) -> tuple[str, ...]:
    return tuple(item for text in texts or () for item in comma_items(text, flag))


def _evaluate(options: argparse.Namespace) -> int:
    """Evaluates, prints what came of it, and returns the exit code."""
    config = _eval_config(options)
    with detector_packages(options.ppdet):
        from ppdet_cam.evaluation.running import evaluate  # here, as paddle and ppdet take seconds to import

    outcome = evaluate(config, ImagesBar())
    failed = [(failure.path, failure.reason) for failure in outcome.failures]
    if outcome.summary is not None:
        print_result(f"{overview(outcome.summary)}\n{config.out / PAGE_FILE}")
    print_images(PROGRAM, "failed", failed, count=len(failed), named_in=MEASUREMENTS_FILE)
    if outcome.summary is None:
        print_error(PROGRAM, f"interrupted with {outcome.left} images left; go on with --resume")
        return EXIT_SIGNAL + outcome.stopped_by
    return EXIT_SOME_FAILED if failed else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
