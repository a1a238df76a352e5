"""Flags that several commands have."""

from __future__ import annotations

import argparse

from ppdet_cam.commands.terminal import user_path
from ppdet_cam.detectors.checkout import ENVIRONMENT, FLAG
from ppdet_cam.languages import LANGUAGES
from ppdet_cam.questions.question import AUTO, DEFAULT_BATCH, DEFAULT_SEED, NONE

NO_CONFIG = "no config given: -c <file>.yml, for example -c configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml"
NO_MODEL = f"{NO_CONFIG}; or --model_dir <folder> for an exported model"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say which detector is looked at."""
    parser.add_argument("-c", "--config", type=user_path, help="ppdet config file (YAML); required")
    parser.add_argument(
        "-o",
        "--opt",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the config, e.g. -o weights=model.pdparams use_gpu=false",
    )
    parser.add_argument(
        FLAG,
        type=user_path,
        metavar="FOLDER",
        help="take ppdet from this PaddleDetection checkout instead of the installed one; the same as "
        f"{ENVIRONMENT}=FOLDER in the environment",
    )


def add_strictness(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that refuses images with anything amiss."""
    parser.add_argument(
        "--strict_images",
        action="store_true",
        help="refuse damaged images also when they have all their pixels, such as a JPEG without its end marker",
    )


def add_lang(parser: argparse.ArgumentParser, page: str = "report.html") -> None:
    """Adds the flag that says which language a page opens in."""
    parser.add_argument(
        "--lang",
        metavar="LANG",
        help=f"language in which {page} opens, {' or '.join(LANGUAGES)} (default: the browser's); the page has a "
        "link to the other one",
    )


def add_refinement(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """Adds the flag that says by which finer layers a map is refined; several times for a command that compares."""
    often = f"; repeat the flag to compare, {NONE} for the map as it is (default: {NONE})" if several else ""
    parser.add_argument(
        "--refine_by",
        action="append" if several else "store",
        metavar="LAYERS",
        help="multiply the map with those of finer layers, which shows where in the object the evidence is: "
        f"{AUTO} for the backbone's layers at strides 2 and 4, or dotted paths separated by commas{often}",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of methods that alter the image again and again."""
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="perturbation methods: how many masks, windows along the longer side, or channels per level at most (see "
        "cam_ppdet --list_methods)",
    )
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, metavar="N", help="seed of whatever is random (default: %(default)s)"
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=DEFAULT_BATCH,
        metavar="N",
        help="perturbation methods: how many altered images run at once (default: %(default)s)",
    )
