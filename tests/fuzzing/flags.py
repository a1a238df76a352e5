"""Flags in any combination, with good and bad values. The parser says which flags there are."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from pathlib import Path

from fuzzing.world import CHOICE, CONFIG, LISTINGS, Drawn, explain, font, save_photo, video
from ppdet_cam.commands.cam_ppdet import build_parser
from ppdet_cam.errors import PpdetCamError
from ppdet_cam.languages import LANGUAGES
from ppdet_cam.methods import Needs, methods
from ppdet_cam.outputs.pictures import KINDS
from ppdet_cam.outputs.raw import RAW_DTYPES
from ppdet_cam.questions.question import ACTIVATIONS
from ppdet_cam.questions.slicing import DEFAULT_OVERLAP, DEFAULT_SIZE, Slicing
from ppdet_cam.questions.targets import targets
from ppdet_cam.render.style import COLORMAPS, MASKS, NORMALIZATIONS

FILES = ("photo.jpg", "folder/a.png", "folder", "list.txt", "gt.json", "bad.jpg", "mine.yml", "fifo", "loop")

# values that make sense; a flag that is not here gets those of its type
GOOD: dict[str, tuple[str, ...]] = {
    "config": (str(CONFIG), "configs/demo/blazeface.yml"),
    "infer_img": ("photo.jpg", "folder/a.png", "folder/b.jpg"),
    "infer_dir": ("folder",),
    "infer_list": ("list.txt",),
    "video_file": ("clip.mp4",),
    "frame_interval": ("1", "2"),
    "slice_size": ("64", "100", "90"),
    "overlap_ratio": ("0", "0.2", "0.5"),
    "combine_method": ("nms", "concat", "nmm"),
    "match_metric": ("ios", "iou"),
    "match_threshold": ("0.6", "0", "1"),
    "font": ("font.ttf", "photo.jpg"),
    "channels": ("0", "2"),
    "gt": ("gt.json",),
    "cam_out": ("cam_out", "new/deep", "single", "mine", "folder", "many"),
    "shard": ("1/1", "1/2", "2/2", "3/7"),
    "method": (*methods.names(), ACTIVATIONS),
    "target": (*targets.names(), "box:left", "contrast:face", "other:face", "class:0"),
    "refine_by": ("auto", "model.backbone.blaze_0,model.backbone.blaze_2", "model.neck", "auto,auto", "no.layer"),
    "target_feature_layer_name": (
        "model.backbone",
        "model.backbone@0",
        "model.neck@1,model.backbone",
        "model.blaze_head",
    ),
    "draw_threshold": ("0.05", "0.3", "0", "1"),
    "top_k": ("1", "2"),
    "classes": ("face", "0", "face,0"),
    "box_index": ("0", "0,1"),
    "box": ("10,10,60,60", "10,10,60,60,face", "-5,-5,500,500", "0,0,1,1", "500,500,600,600"),
    "samples": ("1", "3"),
    "seed": ("0", "5"),
    "batch_size": ("1", "4"),
    "save": (*KINDS, ",".join(KINDS), "overlay,raw"),
    "colormap": tuple(COLORMAPS)[:4],
    "alpha": ("0", "0.5", "1"),
    "mask": (*MASKS[:2], "box:1.5"),
    "normalize": NORMALIZATIONS,
    "scale": ("max", "percentile:99.5", "percentile:100", "percentile:0", "percentile:"),
    "raw_dtype": RAW_DTYPES,
    "raw_reduction": ("1", "2", "7", "1000"),
    "workers": ("0", "1", "3"),
    "lang": LANGUAGES,
    "opt": ("use_gpu=false", "BBoxPostProcess.nms.keep_top_k=2", "weights=demo/weights/blazeface.pdparams"),
}
NUMBERS = (*"-1 0 1 2 1.5 x ٣ 0x10 nan inf -inf 1e9 1e400 99999999999999999999 1_0".split(), "", " 3")
PATHS = (
    *". .. /dev/null /proc/self/mem ~no_such_user/x gone.jpg photo.jpg/below ./photo.jpg folder/ ~".split(),
    *FILES,
)
PATHS += ("", " ", "x" * 300, "\udce9.jpg", "a\nb")
TEXTS = (*", a,,b é %s {} - -- -x nan 0 -1 None ' a:b:c : 1,2,3,4 1,2,3,nan 4,3,2,1 0/0 1/0 2/1 box:0 box:nan".split(),)
TEXTS += (*"class: box: model. model.backbone@9 @".split(), "", " ", "\n", "x" * 3000, "\x1b[31m")

# these stop before anything is done, or name the inputs a second time
RARE = "help version list_layers list_methods list_targets config".split()
RARE += "infer_img infer_dir infer_list recursive video_file".split()

FOLDER = ("-c", str(CONFIG), "--infer_dir", "folder", *CHOICE)
EARLIER = {
    "single": explain("photo.jpg"),
    "many": (*FOLDER, "--recursive"),
    "unfinished": (*FOLDER, "--shard", "1/2"),
    "kept": ("-c", str(CONFIG), *CHOICE, "--gt", "gt.json", "--save", "overlay,raw,panel,summary", "--report"),
}
_OF_SLICES = ("--slice_", "--overlap_", "--combine_", "--match_")
_MOST_SLICES = 60  # of a photograph: each is a forward pass


def furnish(here: Path) -> None:
    """Makes the files that flags may name."""
    (here / "folder" / "sub").mkdir(parents=True)
    (here / "mine").mkdir()
    (here / "mine" / "0.jpg").write_bytes(b"of the user")
    for name in ("photo.jpg", "folder/a.png", "folder/b.jpg", "folder/sub/c.jpg"):
        save_photo(here / name)
    (here / "bad.jpg").write_bytes(b"no image")
    (here / "folder" / "bad.jpg").write_bytes((here / "photo.jpg").read_bytes()[:900])
    (here / "list.txt").write_text("photo.jpg\nfolder/a.png\nbad.jpg\n", encoding="utf-8")
    (here / "clip.mp4").write_bytes(video(2))
    (here / "font.ttf").write_bytes(font())
    (here / "mine.yml").write_text("use_gpu: false\n", encoding="utf-8")
    furnish_annotations(here)
    os.mkfifo(here / "fifo")
    (here / "loop").symlink_to("loop")


def furnish_annotations(here: Path) -> None:
    """Writes ground truth of `photo.jpg`."""
    (here / "gt.json").write_text(json.dumps(_annotations()), encoding="utf-8")


def _annotations() -> dict[str, list[dict[str, object]]]:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 40], "area": 2000, "iscrowd": 0}
    image = {"id": 1, "file_name": "photo.jpg", "width": 160, "height": 120}
    return {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "face"}]}


def _spoilt_annotations(draws: random.Random) -> str:
    """Returns ground truth with one value replaced."""
    document = _annotations()
    section = draws.choice(list(document))
    owner = draws.choice([document, document[section][0]])
    key = section if owner is document else draws.choice(list(document[section][0]))
    values = [None, "", "x", -1, 0, 10**400, float("nan"), float("inf"), [], {}, [1], [[]], {"a": 1}, "../../photo.jpg"]
    owner[key] = draws.choice([*values, [0, 0, float("inf"), 5], [0, 0, 10**400, 5], [-1e30, 0, 2e30, 5]])  # type: ignore[index]
    return draws.choice([json.dumps(document)] * 8 + ["[" * 100_000, "", "[]", "null", "{}", "\0"])


def draw(draws: random.Random, here: Path, earlier: Path) -> Drawn:
    """Returns a command line of flags in any combination.

    Args:
        draws: what comes by chance.
        here: the current folder of the command.
        earlier: holds what earlier runs left, by the names of `EARLIER`.
    """
    furnish(here)
    if draws.random() < 0.5:
        (here / "gt.json").write_text(_spoilt_annotations(draws), encoding="utf-8")
    for name in EARLIER:
        shutil.copytree(earlier / name, here / name)
    if draws.random() < 0.15:
        name = draws.choice(list(EARLIER))
        groups = [[*EARLIER[name], "--cam_out", name], [draws.choice(["--resume", "--overwrite", "--levels"])]]
        count = draws.choice([0, 0, 1, 2])
    elif draws.random() < 0.15:
        groups = [*_usual(draws), ["--slice_infer"], ["--slice_size", draws.choice(GOOD["slice_size"])]]
        groups.append(draws.choice([["--gt", "gt.json"], ["--box", draws.choice(GOOD["box"])]]))
        count = draws.choice([0, 0, 0, 1, 2])
    else:
        groups = _usual(draws)
        count = draws.choice([1, 2, 3, 5, 8])
    actions = [action for action in build_parser()._actions if action.option_strings]
    usual = [action for action in actions if action.dest not in RARE]
    for _ in range(count):
        groups.append(_group(draws, draws.choice(actions if draws.random() < 0.1 else usual)))
    draws.shuffle(groups)
    words = [word for group in groups for word in group]
    if any(word in methods.names() and methods.get(word).needs is Needs.MASKS for word in words):
        words += ["--samples", draws.choice(["2", "5"])]  # of thousands
    if any(word.startswith(_OF_SLICES) for word in words) and draws.random() < 0.9:
        words.append("--slice_infer")
    if "--slice_infer" in words and _is_endless(words):
        words += ["--slice_size", "64", "--overlap_ratio", "0.2"]
    return Drawn(tuple(words), "flags")


def _is_endless(words: list[str]) -> bool:
    """Returns whether a photograph would be cut into very many slices."""
    try:
        options, _ = build_parser().parse_known_args([word for word in words if word not in LISTINGS])
        size, overlap = options.slice_size or [DEFAULT_SIZE], options.overlap_ratio or [DEFAULT_OVERLAP]
        slicing = Slicing((size[0], size[-1]), (overlap[0], overlap[-1]))
        return len(slicing.windows((120, 160))) > _MOST_SLICES
    except PpdetCamError:
        return False


def _usual(draws: random.Random) -> list[list[str]]:
    """Returns what most command lines have: a config, images, few boxes."""
    images = draws.choice(["photo.jpg", "photo.jpg bad.jpg", "photo.jpg folder/a.png"])
    inputs = draws.choice([f"--infer_img {images}", "--infer_dir folder", "--infer_list list.txt", "--gt gt.json"])
    groups = [["-c", str(CONFIG)], inputs.split(), list(CHOICE)]
    return [group for group in groups if draws.random() < 0.98]


def _group(draws: random.Random, action: argparse.Action) -> list[str]:
    """Returns a flag with values."""
    flag = draws.choice(action.option_strings)
    if draws.random() < 0.01:
        flag = flag[:-1] if len(flag) > 3 else flag + "x"
    if action.nargs == 0:
        return [flag] if draws.random() < 0.95 else [f"{flag}=1"]
    if draws.random() < 0.01:
        return [flag]
    several = isinstance(action.nargs, str)
    values = [_value(draws, action) for _ in range(draws.choice([1, 1, 2, 3]) if several else 1)]
    if not several and flag.startswith("--") and draws.random() < 0.3:
        return [f"{flag}={values[0]}"]
    return [flag, *values]


def _value(draws: random.Random, action: argparse.Action) -> str:
    if action.dest in GOOD and draws.random() < 0.85:
        return draws.choice(GOOD[action.dest])
    if action.choices and draws.random() < 0.75:
        return str(draws.choice(list(action.choices)))
    numbers, paths = action.type in (int, float), "FILE" in str(action.metavar) or "FOLDER" in str(action.metavar)
    pool = NUMBERS if numbers else PATHS if paths or action.dest == "config" else TEXTS
    return draws.choice(pool if draws.random() < 0.9 else NUMBERS + PATHS + TEXTS)
