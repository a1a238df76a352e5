"""A checkout's configs: which name a detector, what is made small of them, which of them infer alike."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.detectors.settings import Tagged, merge, read_settings
from ppdet_cam.errors import ConfigError

# Architectures of PaddleDetection that give no boxes of objects.
OTHER_TASKS: Mapping[str, str] = {
    "CLRNet": "lanes",
    "HigherHRNet": "keypoints",
    "METRO_Body": "body meshes",
    "PETR": "keypoints",
    "TinyPose3DHRHeatmapNet": "keypoints",
    "TinyPose3DHRNet": "keypoints",
    "TopDownHRNet": "keypoints",
    "VitPose_TopDown": "keypoints",
}
TRACKERS = ("ByteTrack", "CenterTrack", "DeepSORT", "FairMOT", "JDE")
READERS = ("TestReader", "TestMOTReader")
# Sides of the network input that are tried, the smallest first.
SIDES = (128, 256, 320, 512, 640)
SSD_SIDE = 320
PROPOSALS, QUERIES = 40, 100  # of a RPN, of the DETR kin: an input so small has few places for the usual hundreds

_SIZES = ("target_size", "size", "origin_target_size")
# What only training reads: of a section, and of the config itself.
_TRAINING_KEY = re.compile(
    r"loss.*|.*_loss|.*assigner.*|train_.*|l1_epoch|freeze_at|freeze_norm|pretrained|rpn_target_assign|lr_mult_list"
    r"|norm_decay|drop_path_rate|drop_block|keep_prob|block_size|use_checkpoint"
)
_TRAINING_SETTING = re.compile(
    r".*(ema|epoch|semi|SSOD|ssod|distill_|slim|pretrain|weights|black_list|warmup|train|save|snapshot|log_iter|worker"
    r"|fused_allreduce|master_grad|init_loss|print_|use_gpu|use_xpu|use_mlu|use_npu|map_type|filename|export"
    r"|find_unused|batch_size|dataset_dir|pruner|LearningRate|Optimizer|IouType|Loss|Assigner|Pruner).*"
    r"|(eval|image|input)_(height|width|h|w)|hm_size.*|image_size|multi_scale_eval|optimize_rate|max_iter"
)
# Numbers of a data set, which lead through the same code whatever they are, and what comes after the boxes.
_DATA_SET_KEY = re.compile(
    r"num_classes|cot_classes|anchors|mean|std|interp|fill_value|score_threshold|nms_threshold|nms_top_k|keep_top_k"
    r"|post_threshold|conf_thresh"
)
_NOT_READ = re.compile(f"{_TRAINING_KEY.pattern}|{_DATA_SET_KEY.pattern}")
_LEFT_OUT = re.compile(f"{_TRAINING_SETTING.pattern}|.*Tracker")


@dataclass(frozen=True)
class Config:
    """One config of a checkout.

    Attributes:
        name: its path below the checkout's `configs`.
        architecture: that it names.
        family: architecture and head.
        key: the same for all configs of which inference reads the same.
    """

    name: str
    architecture: str
    family: str
    key: str

    @property
    def is_tracker(self) -> bool:
        """Whether it finds objects on one frame after the other."""
        return self.architecture in TRACKERS

    @property
    def sides(self) -> Sequence[int]:
        """The sides of the network input that are tried: an SSD's last levels have no cell below its own size."""
        return [side for side in SIDES if side >= SSD_SIDE] if self.architecture == "SSD" else SIDES


@dataclass(frozen=True)
class Found:
    """What a checkout's configs are.

    Attributes:
        detectors: those that name a detector, or a tracker, which holds one.
        others: how many name another task, by task.
    """

    detectors: tuple[Config, ...]
    others: Mapping[str, int]


def find_configs(folder: Path) -> Found:
    """Returns a checkout's configs. Parts (in folders `_base_`) and slim configs, which alter others, are none."""
    detectors, others = [], dict.fromkeys(sorted(set(OTHER_TASKS.values())), 0)
    root = folder / "configs"
    for path, settings in _named(root):
        architecture = str(settings["architecture"])
        if architecture in OTHER_TASKS:
            others[OTHER_TASKS[architecture]] += 1
            continue
        name = path.relative_to(root).as_posix()
        detectors.append(Config(name, architecture, family_of(settings, architecture), key_of(settings)))
    return Found(tuple(detectors), {task: count for task, count in others.items() if count})


def _named(root: Path) -> Iterator[tuple[Path, dict[str, object]]]:
    for path in sorted(root.rglob("*.yml")):
        if "_base_" in path.parts:
            continue
        try:
            settings = read_settings(path)
        except ConfigError:  # a slim config
            continue
        if isinstance(settings.get("architecture"), str):
            yield path, settings


def family_of(settings: Mapping[str, object], architecture: str) -> str:
    """Returns architecture and head, by the names that the config has for them.

    Example:
        >>> family_of({"YOLOv3": {"yolo_head": "PPYOLOEHead"}}, "YOLOv3")
        'YOLOv3 (PPYOLOEHead)'
        >>> family_of({"ByteTrack": {"detector": "YOLOX"}}, "ByteTrack")
        'ByteTrack: YOLOX'
    """
    section = settings.get(architecture)
    section = section if isinstance(section, Mapping) else {}
    detector = section.get("detector")
    if isinstance(detector, str) and architecture in TRACKERS:
        return f"{architecture}: {family_of(settings, detector)}"
    # all of the DETR kin have one head, and differ in the transformer
    heads = [section[key] for key in section if key in ("transformer",)] or [
        value for key, value in section.items() if re.fullmatch(r"(?!rpn_|mask_).*head", key) and isinstance(value, str)
    ]
    return f"{architecture} ({heads[0]})" if heads else architecture


# --- small


def made_small(settings: Mapping[str, object], side: int) -> dict[str, object]:
    """Returns what to set so that the readers give network inputs of about this side, and few proposals or queries.

    A size keeps its ratio of height and width, to 32 pixels; the longer side grows with the ratio.
    """
    changes: dict[str, object] = {}
    for name in READERS:
        reader = settings.get(name)
        if isinstance(reader, Mapping) and isinstance(reader.get("sample_transforms"), list):
            transforms = [_small_operation(item, side) for item in reader["sample_transforms"]]
            changes[name] = {"sample_transforms": transforms}
    size = settings.get("eval_size")
    if isinstance(size, list):
        changes["eval_size"] = _small_size(size, side)
    rpn = settings.get("RPNHead")
    if isinstance(rpn, Mapping) and isinstance(rpn.get("test_proposal"), Mapping):
        changes["RPNHead"] = {"test_proposal": {"post_nms_top_n": PROPOSALS}}
    for name, section in settings.items():
        count = section.get("num_queries") if isinstance(section, Mapping) else None
        if isinstance(count, int) and count > QUERIES:
            changes[name] = {"num_queries": QUERIES}
    return changes


def _small_operation(item: object, side: int) -> object:
    if not isinstance(item, Mapping):
        return item
    changed = {}
    for operation, arguments in item.items():
        if isinstance(arguments, Mapping):
            arguments = {key: _small_size(value, side) if key in _SIZES else value for key, value in arguments.items()}
            if {"input_h", "input_w"} <= set(arguments):
                height, width = _small_size([arguments["input_h"], arguments["input_w"]], side)
                arguments = {**arguments, "input_h": height, "input_w": width}
        changed[operation] = arguments
    return changed


def _small_size(size: object, side: int) -> object:
    if isinstance(size, int):
        return side
    if isinstance(size, list) and len(size) == 2 and all(isinstance(number, int) and number > 0 for number in size):
        return [max(side, round(side * number / min(size) / 32) * 32) for number in size]
    return size


# --- alike


def key_of(settings: Mapping[str, object]) -> str:
    """Returns a hash of what inference reads of a config with its readers' sizes made small.

    Schedules, losses and the names of weights are left out, and so are the readers but for their operations, and the
    numbers of a data set: classes (but whether there are several), anchors, NMS's limits, means.
    """
    read: dict[str, object] = {}
    for name, value in merge(settings, made_small(settings, SIDES[0])).items():
        if name in READERS and isinstance(value, Mapping):
            read[name] = _read([value.get(part) for part in ("sample_transforms", "batch_transforms")])
        elif name == "metric":  # trackers give boxes or tracks by it; of others it chooses the names of classes
            if settings.get("architecture") in TRACKERS:
                read[name] = value
        elif name == "num_classes":
            read[name] = value == 1
        elif not name.endswith(("Dataset", "Reader")) and not _LEFT_OUT.fullmatch(name):
            read[name] = _read(value)
    text = json.dumps(read, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _read(value: object) -> object:
    if isinstance(value, Tagged):
        return [value.tag, _read(value.value)]
    if isinstance(value, Mapping):
        kept = {str(key): part for key, part in value.items() if not _NOT_READ.fullmatch(str(key))}
        return {key: _read(part) for key, part in kept.items()}
    if isinstance(value, list):
        return [_read(part) for part in value]
    return value


def grouped(configs: Sequence[Config]) -> dict[str, list[Config]]:
    """Returns the configs of each key, in the order in which the keys come first."""
    groups: dict[str, list[Config]] = {}
    for config in configs:
        groups.setdefault(config.key, []).append(config)
    return groups
