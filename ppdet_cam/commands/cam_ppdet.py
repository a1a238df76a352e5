"""The command line: flags -> RunConfig -> a run; an error -> one line and exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import TYPE_CHECKING, TypeVar

from ppdet_cam import __version__
from ppdet_cam.commands.flags import NO_MODEL, add_config
from ppdet_cam.commands.foreign import advice_on
from ppdet_cam.commands.lists import level_table, method_table, target_table
from ppdet_cam.commands.progress import ImagesBar, show_progress
from ppdet_cam.commands.run_flags import add_inputs, add_output, add_question, add_slicing
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
from ppdet_cam.detectors.supported import detector_table
from ppdet_cam.errors import ConfigError
from ppdet_cam.images.inputs import Inputs
from ppdet_cam.outputs.manifest import IMAGES_FILE
from ppdet_cam.outputs.pictures import DEFAULT_KINDS, VIDEO_KINDS, Output
from ppdet_cam.outputs.resume import VIDEO_FILE
from ppdet_cam.questions.boxes import Selection, parse_box
from ppdet_cam.questions.question import (
    DEFAULT_BLACK_BOX_METHOD,
    DEFAULT_LAYER,
    DEFAULT_METHOD,
    Question,
)
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.registry import closest
from ppdet_cam.render import STYLE_OPTIONS, RenderStyle
from ppdet_cam.running.config import RunConfig

if TYPE_CHECKING:
    from ppdet_cam.running.batch import Result

PROGRAM = "cam_ppdet"

_Number = TypeVar("_Number", int, float)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all flags."""
    parser = Parser(
        prog=PROGRAM,
        advice=f"all flags: {PROGRAM} --help",
        description="Shows why a PaddleDetection detector drew each of its boxes: one picture per box, with the class "
        "activation map of that box's own score over the image.",
        table=f"detectors, of any config of theirs:\n{indent(detector_table(), '  ')}",
    )
    add_config(parser)
    parser.add_argument(
        "--model_dir",
        type=user_path,
        metavar="FOLDER",
        help="instead of -c: a model exported by PaddleDetection's tools/export_model.py, or an .onnx file beside its "
        "infer_cfg.yml. It is explained by its output alone",
    )
    parser.add_argument(
        "--output_only",
        action="store_true",
        help="with -c: ask as an exported model is asked, by the output alone, to compare the two with cam_compare",
    )
    add_inputs(parser)
    add_question(parser)
    add_slicing(parser)
    add_output(parser)
    parser.add_argument(
        "--list_layers",
        action="store_true",
        help="print every layer that can be captured, with its output shapes and strides, whether the scores' "
        "gradients reach it, and which one is recommended, and stop; needs no weights and no image",
    )
    parser.add_argument(
        "--list_methods", action="store_true", help="print every method, what it needs and costs, and stop"
    )
    parser.add_argument("--list_targets", action="store_true", help="print every target and its meaning, and stop")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0 done, 2 something given was wrong, 3 some images failed, 130 interrupted (143 by SIGTERM).
    """

    def answer() -> int:
        with logging_on_stderr(PROGRAM):
            return _answer(_parse(arguments))

    return exit_code_of(PROGRAM, answer)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the flags.

    Raises:
        ConfigError: an unknown flag, a value that does not fit, or no config.
    """
    options, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        instead = advice_on(unknown[0])
        if instead:
            raise ConfigError(f"{unknown[0]!r} is a flag of PaddleDetection's own tools; here: {instead}")
        flags = [f"--{name}" for name in vars(options)]
        raise ConfigError(f"unknown argument {unknown[0]!r}; all flags: {PROGRAM} --help{closest(unknown[0], flags)}")
    if options.config is None and options.model_dir is None and not (options.list_methods or options.list_targets):
        raise ConfigError(NO_MODEL)
    if options.model_dir is not None and options.list_layers:
        raise ConfigError(
            "--list_layers looks inside, and an exported model shows nothing of it; give -c and the config that it was "
            "exported from"
        )
    return options


def _answer(options: argparse.Namespace) -> int:
    """Does what is asked for, prints what comes of it, and returns the exit code."""
    if options.list_methods:
        print_result(method_table())
    elif options.list_targets:
        print_result(target_table())
    elif options.list_layers:
        print_result(_list_layers(options))
    else:
        return _explain(options)
    return EXIT_DONE


def _question(options: argparse.Namespace) -> Question:
    selection = Selection(
        draw_threshold=options.draw_threshold,
        top_k=options.top_k,
        classes=comma_items(options.classes, "--classes"),
        box_index=tuple(_integer(item, "--box_index") for item in comma_items(options.box_index, "--box_index")),
    )
    shows_output_only = options.output_only or options.model_dir is not None
    return Question(
        layers=tuple(options.target_feature_layer_name or (DEFAULT_LAYER,)),
        method=options.method or (DEFAULT_BLACK_BOX_METHOD if shows_output_only else DEFAULT_METHOD),
        target=options.target,
        selection=selection,
        boxes=tuple(parse_box(text, position) for position, text in enumerate(options.box)),
        samples=options.samples,
        seed=options.seed,
        batch=options.batch_size,
        refine_by=comma_items(options.refine_by, "--refine_by"),
        channels=options.channels,
        slicing=_slicing(options),
    )


def _slicing(options: argparse.Namespace) -> Slicing | None:
    given = {
        "size_hw": _pair(options.slice_size, "--slice_size"),
        "overlap_yx": _pair(options.overlap_ratio, "--overlap_ratio"),
        "combine": options.combine_method,
        "match_threshold": options.match_threshold,
        "match_metric": options.match_metric,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen and not options.slice_infer:
        raise ConfigError("--slice_size, --overlap_ratio, --combine_method and --match_... need --slice_infer as well")
    return Slicing(**chosen) if options.slice_infer else None


def _pair(values: list[_Number] | None, flag: str) -> tuple[_Number, _Number] | None:
    """Returns a number for height and one for width."""
    if values is not None and len(values) > 2:
        raise ConfigError(f"{flag} takes one number, or two for height and width, not {len(values)}")
    return None if values is None else (values[0], values[-1])


def _integer(text: str, flag: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{flag} takes whole numbers from 0, separated by commas, not {text!r}")
    return int(text)


def _run_config(options: argparse.Namespace) -> RunConfig:
    style = RenderStyle.from_flags({option.name: getattr(options, option.name) for option in STYLE_OPTIONS})
    usual = VIDEO_KINDS if options.video_file else DEFAULT_KINDS
    kinds = tuple(kind for text in options.save or usual for kind in comma_items(text, "--save"))
    return RunConfig(
        config=options.config,
        model_dir=options.model_dir,
        output_only=options.output_only,
        overrides=tuple(options.opt),
        inputs=Inputs(
            tuple(options.infer_img),
            options.infer_dir,
            options.recursive,
            options.infer_list,
            options.video_file,
            options.frame_interval,
        ),
        cam_out=options.cam_out,
        question=_question(options),
        output=Output(kinds, style, options.raw_dtype, options.raw_reduction, options.raw_frame),
        gt=options.gt,
        resume=options.resume,
        overwrite=options.overwrite,
        report=options.report,
        lang=options.lang,
        vdl_log_dir=options.vdl_log_dir,
        workers=options.workers,
        shard=options.shard,
        strict_images=options.strict_images,
        font=options.font,
    )


def _explain(options: argparse.Namespace) -> int:
    """Runs, prints what came of it, and returns the exit code."""
    config = _run_config(options)
    with detector_packages(options.ppdet):
        from ppdet_cam.running.batch import (
            run,  # here, as paddle and ppdet take seconds to import and --help needs neither
        )

    result = run(config, progress=show_progress, bar=ImagesBar())
    boxes: list[dict[str, object]] = result.image["boxes"] if result.image else []  # type: ignore[assignment]
    lines = [f"{box['answer']['name']}: {box['answer']['words']}" for box in boxes if "answer" in box]  # type: ignore[index]
    if options.levels and boxes:
        lines.append(level_table(boxes))
    summary = _summary(config, result.totals) if result.image else _summary_of_many(config, result)
    print_result("\n".join([*lines, summary]))
    return _exit_code(result)


def _exit_code(result: Result) -> int:
    """Prints which images failed or have something amiss, and returns the exit code."""
    failed = int(result.totals["failed"])  # type: ignore[call-overload]
    warned = int(result.totals["warned"])  # type: ignore[call-overload]
    for what, images, count in (("warning", result.warnings, warned), ("failed", result.failures, failed)):
        print_images(PROGRAM, what, [(one.path, one.reason) for one in images], count=count, named_in=IMAGES_FILE)
    if result.stopped_by:
        print_error(PROGRAM, "interrupted; go on with --resume")
        return EXIT_SIGNAL + result.stopped_by
    # Paddle's launcher stops all ranks when one gives an error: only the one that ends the run may tell of failures
    is_last = result.document is not None and result.did > 0
    return EXIT_SOME_FAILED if failed and (is_last or not result.rank.is_launched) else EXIT_DONE


def _summary(config: RunConfig, totals: Mapping[str, object]) -> str:
    """Returns the line that says what came of a single image."""
    if totals["explained"] or totals["views"]:
        blank = f", {totals['blank']} without a map" if totals["blank"] else ""
        return f"{_what_is_written(config, totals)} in {config.cam_out}{blank} ({totals['seconds']} s)"
    highest, selection = totals["highest_score"], config.question.selection
    if highest is not None and float(highest) >= selection.draw_threshold:  # type: ignore[arg-type]
        return f"no box is of the classes asked for; {config.cam_out} has the manifest only"
    found = "there is no detection at all" if highest is None else f"the highest score is {highest:.3f}"
    return (
        f"no box reaches --draw_threshold {selection.draw_threshold}: {found}; {config.cam_out} has the manifest only"
    )


def _what_is_written(config: RunConfig, totals: Mapping[str, object]) -> str:
    if config.question.is_of_layers:
        return _counted(totals["views"], "picture") + " of layers"
    explained = int(totals["explained"])  # type: ignore[call-overload]
    if config.inputs.video is not None:
        return _counted(explained, "box", "boxes")
    pictures = explained * len(config.output.box_kinds)
    return _counted(pictures, "picture") if pictures else _counted(explained, "box", "boxes")


def _summary_of_many(config: RunConfig, result: Result) -> str:
    """Returns the line that says what came of a run over several images, or of this process's part of it."""
    totals = result.totals
    who = "" if result.document is not None or result.rank.count == 1 else f"{result.rank}: "
    counts = [
        (totals["blank"], _counted(totals["blank"], "box", "boxes") + " without a map"),
        (totals["failed"], _counted(totals["failed"], "image") + " failed"),
        (result.left, _counted(result.left, "image") + " left"),
    ]
    more = "".join(f", {words}" for count, words in counts if count)
    if config.inputs.video is not None:
        of_frames = f"{_what_is_written(config, totals)} of {_counted(totals['images'], 'frame')}"
        video = f", {VIDEO_FILE}" if result.document is not None else ""
        return f"{who}{of_frames} in {config.cam_out}{video}{more} ({totals['seconds']} s)"
    of_images = f"{_what_is_written(config, totals)} of {_counted(totals['images'], 'image')}"
    return f"{who}{of_images} in {config.cam_out}{more} ({totals['seconds']} s)"


def _counted(count: object, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def _list_layers(options: argparse.Namespace) -> str:
    with detector_packages(options.ppdet):
        from ppdet_cam.commands.layers import layer_table  # here, for the same reason

    return layer_table(options.config, options.opt, image=options.infer_img[0] if options.infer_img else None)


if __name__ == "__main__":
    sys.exit(main())
