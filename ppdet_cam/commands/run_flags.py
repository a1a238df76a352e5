"""The flags of a run of `cam_ppdet`: which images, what is asked of which boxes, what is written."""

from __future__ import annotations

import argparse
from pathlib import Path

from ppdet_cam.commands.flags import add_lang, add_refinement, add_sampling, add_strictness
from ppdet_cam.commands.terminal import user_path
from ppdet_cam.methods import methods
from ppdet_cam.outputs.pictures import DEFAULT_KINDS, KINDS
from ppdet_cam.outputs.raw import RAW_DTYPES, RAW_FRAMES
from ppdet_cam.questions.annotations import FORMS
from ppdet_cam.questions.question import (
    ACTIVATIONS,
    DEFAULT_BLACK_BOX_METHOD,
    DEFAULT_CHANNELS,
    DEFAULT_LAYER,
    DEFAULT_METHOD,
    DEFAULT_THRESHOLD,
)
from ppdet_cam.questions.slicing import (
    COMBINE_METHODS,
    DEFAULT_MATCH,
    DEFAULT_OVERLAP,
    DEFAULT_SIZE,
    MATCH_METRICS,
)
from ppdet_cam.questions.targets import DEFAULT_TARGET, targets
from ppdet_cam.render import STYLE_OPTIONS
from ppdet_cam.running.config import DEFAULT_WORKERS


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say which images are explained."""
    parser.add_argument(
        "--infer_img",
        type=user_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="image to explain, or several",
    )
    parser.add_argument("--infer_dir", type=user_path, metavar="FOLDER", help="explain all images in this folder")
    parser.add_argument(
        "--recursive", action="store_true", help="with --infer_dir: the images in the folder's folders as well"
    )
    parser.add_argument(
        "--infer_list",
        type=user_path,
        metavar="FILE",
        help="explain the images that this file names, a path per line, relative to --infer_dir if that is given",
    )
    parser.add_argument(
        "--video_file",
        type=user_path,
        metavar="FILE",
        help="explain the frames of a video; their pictures with all boxes become video.mp4 in --cam_out",
    )
    parser.add_argument(
        "--frame_interval",
        type=int,
        default=1,
        metavar="N",
        help="of --video_file, explain every N-th frame (default: %(default)s)",
    )
    add_strictness(parser)
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="explain the I-th of N parts of the images only, into a folder that all parts share; "
        "paddle.distributed.launch does it by itself",
    )


def add_slicing(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say how an image is looked at slice by slice, by the names of ppdet's own tools."""
    parser.add_argument(
        "--slice_infer",
        action="store_true",
        help="look at slices of the image, for small objects; their boxes are combined, and each map is placed in the "
        "whole image",
    )
    parser.add_argument(
        "--slice_size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help=f"height and width of a slice, or one number for both (default: {DEFAULT_SIZE})",
    )
    parser.add_argument(
        "--overlap_ratio",
        type=float,
        nargs="+",
        metavar="RATIO",
        help=f"how much slices overlap along height and width, or one number for both (default: {DEFAULT_OVERLAP})",
    )
    parser.add_argument(
        "--combine_method",
        metavar="NAME",
        help=f"what becomes of boxes of several slices: {' or '.join(COMBINE_METHODS)} (default: {COMBINE_METHODS[0]})",
    )
    parser.add_argument(
        "--match_threshold",
        type=float,
        metavar="OVERLAP",
        help=f"nms drops the lower of two boxes that overlap so much (default: {DEFAULT_MATCH})",
    )
    parser.add_argument(
        "--match_metric",
        metavar="NAME",
        help=f"what overlap is: ios, the intersection by the smaller box, or iou (default: {MATCH_METRICS[0]})",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what is written, where and how."""
    parser.add_argument(
        "--cam_out",
        type=user_path,
        default=Path("cam_out"),
        metavar="FOLDER",
        help="folder to write into (default: %(default)s)",
    )
    parser.add_argument(
        "--save",
        action="append",
        metavar="KINDS",
        help="what is written, several separated by commas: "
        f"{'; '.join(f'{kind}: {meaning}' for kind, meaning in KINDS.items())} (default: {','.join(DEFAULT_KINDS)})",
    )
    for option in STYLE_OPTIONS:
        parser.add_argument(option.flag, default=option.default, metavar=option.metavar, help=option.help)
    parser.add_argument(
        "--font",
        type=user_path,
        metavar="FILE",
        help="TrueType or OpenType font for letters that the pictures' own lacks, as of Chinese, Japanese and "
        "Korean class names (default: one that the system has)",
    )
    parser.add_argument(
        "--raw_dtype",
        default=RAW_DTYPES[0],
        metavar="TYPE",
        help=f"numbers of --save raw: {' or '.join(RAW_DTYPES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--raw_reduction",
        type=int,
        default=1,
        metavar="N",
        help="--save raw: N x N pixels are averaged to one value (default: %(default)s)",
    )
    parser.add_argument(
        "--raw_frame",
        default=RAW_FRAMES[0],
        metavar="FRAME",
        help="--save raw: image for maps in the image's pixels, grid for those of each level on its own feature grid, "
        "which are small and exact (default: %(default)s)",
    )
    parser.add_argument("--report", action="store_true", help="write report.html as well, a page to look at them all")
    add_lang(parser)
    parser.add_argument(
        "--vdl_log_dir",
        type=user_path,
        metavar="FOLDER",
        help="log pictures and numbers into this folder as well, for visualdl --logdir FOLDER",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run over several images that is in --cam_out, and try again what failed",
    )
    parser.add_argument("--overwrite", action="store_true", help="remove the run that is in --cam_out")
    parser.add_argument(
        "--workers",
        type=int,
        default=DEFAULT_WORKERS,
        metavar="N",
        help="threads that draw and write while the next maps are computed (default: %(default)s)",
    )


def add_question(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what is asked of which boxes."""
    parser.add_argument(
        "--target_feature_layer_name",
        action="append",
        metavar="PATH",
        help="dotted path of the layer to look at: model.backbone, model.neck, model.bbox_head.roi_extractor, ...; "
        "several, separated by commas or by repeating the flag, are put together; model.neck@1 picks a level "
        f"(default: {DEFAULT_LAYER})",
    )
    add_refinement(parser, several=False)
    parser.add_argument(
        "--method",
        metavar="NAME",
        help=f"CAM method: {', '.join(methods.names())} (default: {DEFAULT_METHOD}, and with "
        f"--model_dir or --output_only {DEFAULT_BLACK_BOX_METHOD}); what they need: --list_methods. Or "
        f"{ACTIVATIONS}: what the layers show whatever the boxes, a picture per level",
    )
    parser.add_argument(
        "--channels",
        type=int,
        default=DEFAULT_CHANNELS,
        metavar="N",
        help=f"with --method {ACTIVATIONS}: how many of the strongest channels (default: %(default)s)",
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
        type=user_path,
        metavar="PATH",
        help=f"annotations ({FORMS}): every object of an image that no detection found is asked about as well; without "
        "--infer_img and --infer_list, its images are explained",
    )
    parser.add_argument("--levels", action="store_true", help="print each level's share of every box's evidence")
    add_sampling(parser)
