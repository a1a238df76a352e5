"""The command line: flags -> RunConfig -> a run; an error -> one line and exit code 2."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Sequence

from ppdet_cam import __version__
from ppdet_cam.config import RunConfig
from ppdet_cam.errors import ConfigError, PpdetCamError
from ppdet_cam.methods import methods

PROGRAM = "cam_ppdet"


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all flags."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Shows why a PaddleDetection detector drew each of its boxes: one picture per box, with the class "
        "activation map of that box's own score over the image.",
    )
    parser.add_argument("-c", "--config", type=Path, required=True, help="ppdet config file (YAML)")
    parser.add_argument(
        "-o",
        "--opt",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the config, e.g. -o weights=model.pdparams use_gpu=false",
    )
    parser.add_argument("--infer_img", type=Path, help="image to explain")
    parser.add_argument(
        "--cam_out", type=Path, default=Path("cam_out"), help="folder to write into (default: %(default)s)"
    )
    parser.add_argument(
        "--target_feature_layer_name",
        default="model.backbone",
        metavar="PATH",
        help="dotted path of the layer to look at: model.backbone, model.neck, model.bbox_head.roi_extractor, ... "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--method", default="gradcam", choices=methods.names(), help="CAM method (default: %(default)s)"
    )
    parser.add_argument(
        "--draw_threshold",
        type=float,
        default=0.5,
        help="explain boxes with at least this score (default: %(default)s)",
    )
    parser.add_argument(
        "--list_layers",
        action="store_true",
        help="print every layer that can be captured, with its output shapes and strides, and stop; needs no weights",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 2 something given was wrong."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(format=f"{PROGRAM}: %(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("ppdet_cam").setLevel(logging.INFO)
    try:
        print(_list_layers(options) if options.list_layers else _explain(options))
    except PpdetCamError as error:
        print(f"{PROGRAM}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _explain(options: argparse.Namespace) -> str:
    """Runs, and returns the line that says what came of it."""
    if options.infer_img is None:
        raise ConfigError("no image given: --infer_img <file>")
    config = RunConfig(
        config=options.config,
        overrides=tuple(options.opt),
        infer_img=options.infer_img,
        cam_out=options.cam_out,
        layers=(options.target_feature_layer_name,),
        method=options.method,
        draw_threshold=options.draw_threshold,
    )
    from ppdet_cam.batch import run  # here, as paddle and ppdet take seconds to import and --help needs neither

    totals: dict[str, object] = run(config)["totals"]  # type: ignore[assignment]
    if totals["explained"]:
        blank = f", {totals['blank']} of them without a map" if totals["blank"] else ""
        pictures = "1 picture" if totals["explained"] == 1 else f"{totals['explained']} pictures"
        return f"{pictures} in {config.cam_out}{blank} ({totals['seconds']} s)"
    highest = totals["highest_score"]
    found = "there is no detection at all" if highest is None else f"the highest score is {highest:.3f}"
    return f"no box reaches --draw_threshold {config.draw_threshold}: {found}; {config.cam_out} has the manifest only"


def _list_layers(options: argparse.Namespace) -> str:
    from ppdet_cam.layers import layer_table  # here, for the same reason

    return layer_table(options.config, options.opt, image=options.infer_img)
