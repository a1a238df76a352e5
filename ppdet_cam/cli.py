"""The command line: flags -> RunConfig -> a run; an error -> one line and exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ppdet_cam import __version__
from ppdet_cam.boxes import Selection, parse_box
from ppdet_cam.config import (
    DEFAULT_BATCH,
    DEFAULT_LAYER,
    DEFAULT_METHOD,
    DEFAULT_SEED,
    DEFAULT_THRESHOLD,
    Question,
    RunConfig,
)
from ppdet_cam.errors import ConfigError, PpdetCamError
from ppdet_cam.methods import methods
from ppdet_cam.progress import show_progress
from ppdet_cam.registry import closest
from ppdet_cam.tables import level_table, method_table, target_table
from ppdet_cam.targets import DEFAULT_TARGET, targets

PROGRAM = "cam_ppdet"

EXIT_DONE, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 2, 130  # 130: what a shell gives for Ctrl-C


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print over several lines before it leaves the process."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; all flags: {PROGRAM} --help")


def _path(text: str) -> Path:
    # a shell leaves the ~ of --flag=~/file as it is; Path.expanduser would raise for an unknown user
    return Path(os.path.expanduser(text))


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all flags."""
    parser = _Parser(
        prog=PROGRAM,
        allow_abbrev=False,
        description="Shows why a PaddleDetection detector drew each of its boxes: one picture per box, with the class "
        "activation map of that box's own score over the image.",
    )
    parser.add_argument("-c", "--config", type=_path, help="ppdet config file (YAML); required")
    parser.add_argument(
        "-o",
        "--opt",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the config, e.g. -o weights=model.pdparams use_gpu=false",
    )
    parser.add_argument("--infer_img", type=_path, metavar="FILE", help="image to explain; required")
    parser.add_argument(
        "--cam_out",
        type=_path,
        default=Path("cam_out"),
        metavar="FOLDER",
        help="folder to write into (default: %(default)s)",
    )
    _add_question(parser)
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


def _add_question(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what is asked of which boxes."""
    parser.add_argument(
        "--target_feature_layer_name",
        action="append",
        metavar="PATH",
        help="dotted path of the layer to look at: model.backbone, model.neck, model.bbox_head.roi_extractor, ...; "
        "several, separated by commas or by repeating the flag, are put together; model.neck@1 picks a level "
        f"(default: {DEFAULT_LAYER})",
    )
    parser.add_argument(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAME",
        help=f"CAM method: {', '.join(methods.names())} (default: %(default)s); what they need: --list_methods",
    )
    parser.add_argument(
        "--target",
        default=DEFAULT_TARGET,
        metavar="WHAT",
        help=f"what is explained: {', '.join(targets.get(name).form for name in targets.names())} "
        "(default: %(default)s); their meaning: --list_targets",
    )
    parser.add_argument(
        "--draw_threshold",
        type=float,
        default=DEFAULT_THRESHOLD,
        metavar="SCORE",
        help="explain boxes with at least this score (default: %(default)s)",
    )
    parser.add_argument("--top_k", type=int, metavar="N", help="of these, explain the N with the highest scores")
    parser.add_argument("--classes", metavar="LIST", help="explain boxes of these classes only: person,dog or ids")
    parser.add_argument(
        "--box_index", metavar="LIST", help="explain exactly these detections, such as 3,7, whatever their score"
    )
    parser.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="L,T,R,B[,CLASS]",
        help="ask about a box in pixels of the image, found or missed: what became of it, and where the evidence of "
        "its best candidate lies; may be repeated; the detections are then not explained",
    )
    parser.add_argument(
        "--gt",
        type=_path,
        metavar="FILE",
        help="COCO annotations: every object of the image that no detection found is asked about as well",
    )
    parser.add_argument("--levels", action="store_true", help="print each level's share of every box's evidence")
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="perturbation methods: how many masks, or how many channels per level at most (see --list_methods)",
    )
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, metavar="N", help="seed of random masks (default: %(default)s)"
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=DEFAULT_BATCH,
        metavar="N",
        help="perturbation methods: how many altered images run at once (default: %(default)s)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 2 something given was wrong, 130 interrupted."""
    with _log_on_stderr():
        try:
            options = _parse(arguments)
            _print_result(_answer(options))
        except PpdetCamError as error:
            print(f"{PROGRAM}: error: {' '.join(str(error).split())}", file=sys.stderr)
            return EXIT_WRONG_INPUT
        except KeyboardInterrupt:
            print(f"{PROGRAM}: interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
    return EXIT_DONE


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Shows what the package logs, one line each, and nothing of other packages' loggers."""
    logger = logging.getLogger("ppdet_cam")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{PROGRAM}: %(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # importing paddle gives the root logger a handler of its own
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the flags.

    Raises:
        ConfigError: an unknown flag, a value that does not fit, or no config.
    """
    options, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        flags = [f"--{name}" for name in vars(options)]
        raise ConfigError(f"unknown argument {unknown[0]!r}; all flags: {PROGRAM} --help{closest(unknown[0], flags)}")
    if options.config is None and not (options.list_methods or options.list_targets):
        raise ConfigError("no config given: -c <file>.yml, for example -c configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml")
    return options


def _print_result(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # a file name may hold what the terminal's encoding lacks
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        # `--list_layers | head` has read enough; the interpreter's own last flush must not fail as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer(options: argparse.Namespace) -> str:
    if options.list_methods:
        return method_table()
    if options.list_targets:
        return target_table()
    return _list_layers(options) if options.list_layers else _explain(options)


def _question(options: argparse.Namespace) -> Question:
    selection = Selection(
        draw_threshold=options.draw_threshold,
        top_k=options.top_k,
        classes=_items(options.classes, "--classes"),
        box_index=tuple(_integer(item, "--box_index") for item in _items(options.box_index, "--box_index")),
    )
    return Question(
        layers=tuple(options.target_feature_layer_name or (DEFAULT_LAYER,)),
        method=options.method,
        target=options.target,
        selection=selection,
        boxes=tuple(parse_box(text, position) for position, text in enumerate(options.box)),
        samples=options.samples,
        seed=options.seed,
        batch=options.batch_size,
    )


def _items(text: str | None, flag: str) -> tuple[str, ...]:
    """Returns the items of a list separated by commas."""
    if text is None:
        return ()
    items = tuple(item.strip() for item in text.split(","))
    if not all(items):
        raise ConfigError(f"{flag} {text!r} has an empty item; give a list such as 3,7 or person,dog")
    return items


def _integer(text: str, flag: str) -> int:
    if not text.isdigit():
        raise ConfigError(f"{flag} takes whole numbers from 0, separated by commas, not {text!r}")
    return int(text)


def _explain(options: argparse.Namespace) -> str:
    """Runs, and returns what is said of it."""
    if options.infer_img is None:
        raise ConfigError("no image given: --infer_img <file>")
    config = RunConfig(
        config=options.config,
        overrides=tuple(options.opt),
        infer_img=options.infer_img,
        cam_out=options.cam_out,
        question=_question(options),
        gt=options.gt,
    )
    with _detector_packages():
        from ppdet_cam.batch import run  # here, as paddle and ppdet take seconds to import and --help needs neither

    result = run(config, progress=show_progress)
    boxes: list[dict[str, object]] = result.image["boxes"]  # type: ignore[assignment]
    lines = [f"{box['answer']['name']}: {box['answer']['words']}" for box in boxes if "answer" in box]  # type: ignore[index]
    if options.levels and boxes:
        lines.append(level_table(boxes))
    return "\n".join([*lines, _summary(config, result.document["totals"])])  # type: ignore[arg-type]


def _summary(config: RunConfig, totals: Mapping[str, object]) -> str:
    """Returns the line that says what came of a run."""
    if totals["explained"]:
        pictures = "1 picture" if totals["explained"] == 1 else f"{totals['explained']} pictures"
        blank = f", {totals['blank']} without a map" if totals["blank"] else ""
        return f"{pictures} in {config.cam_out}{blank} ({totals['seconds']} s)"
    highest, selection = totals["highest_score"], config.question.selection
    if highest is not None and float(highest) >= selection.draw_threshold:  # type: ignore[arg-type]
        return f"no box is of the classes asked for; {config.cam_out} has the manifest only"
    found = "there is no detection at all" if highest is None else f"the highest score is {highest:.3f}"
    return (
        f"no box reaches --draw_threshold {selection.draw_threshold}: {found}; {config.cam_out} has the manifest only"
    )


def _list_layers(options: argparse.Namespace) -> str:
    with _detector_packages():
        from ppdet_cam.layers import layer_table  # here, for the same reason

    return layer_table(options.config, options.opt, image=options.infer_img)


@contextlib.contextmanager
def _detector_packages() -> Iterator[None]:
    """Says clearly why the packages that the detectors need cannot be imported.

    Raises:
        PpdetCamError: one of them is not installed.
        KeyboardInterrupt: Ctrl-C, which paddle turns into an ImportError while its library loads.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise PpdetCamError(
            f"the Python package {error.name!r} is missing. Install it, or all that is needed: "
            "pip install <this project's folder>"
        ) from error
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
