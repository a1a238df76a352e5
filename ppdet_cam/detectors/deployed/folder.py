"""What an exported model's folder holds: its files, and what its deployment file says."""
# os.path answers False where pathlib raises: a folder that may not be entered, a name too long or with a NUL in it.
# ruff: noqa: PTH110, PTH112, PTH113, PTH208

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.detectors.deployed.preprocess import HIGHEST, Preprocess, preprocess_of
from ppdet_cam.detectors.settings import read_mapping
from ppdet_cam.errors import ConfigError
from ppdet_cam.registry import closest

DEPLOYMENT_FILES = ("infer_cfg.yml", "inference.yml")
PROGRAM_SUFFIXES, PARAMETERS_SUFFIX, ONNX_SUFFIX = (".pdmodel", ".json"), ".pdiparams", ".onnx"
STEMS = ("model", "inference")
# What PaddleDetection's exporter calls its detectors. A name that holds one of them is one, too: "PPYOLOE".
ARCHITECTURES = (
    *("YOLO", "PPYOLOE", "YOLOX", "YOLOF", "RCNN", "SSD", "Face", "RetinaNet", "FCOS", "TTFNet", "CenterNet"),
    *("S2ANet", "GFL", "PicoDet", "TOOD", "DETR", "EfficientDet", "RTDETR"),
)
OTHERS = {
    "HRNet": "finds keypoints",
    "HigherHRNet": "finds keypoints",
    "METRO_Body": "finds keypoints",
    "JDE": "tracks",
    "FairMOT": "tracks",
    "DeepSORT": "tracks",
    "ByteTrack": "tracks",
    "CenterTrack": "tracks",
    "SOLOv2": "gives masks without boxes",
    "CLRNet": "finds lanes",
    "PPLCNet": "classifies",
    "PPHGNet": "classifies",
    "StrongBaseline": "classifies",
    "STGCN": "classifies",
}


@dataclass(frozen=True)
class Deployment:
    """An exported model.

    Attributes:
        folder: where it lies.
        deployment_file: what says how it is used, `infer_cfg.yml`.
        program: its graph: `.pdmodel`, `.json` or `.onnx`.
        parameters: its weights; those of an `.onnx` file are in it.
        architecture: as the exporter calls it: "YOLO", "RCNN".
        class_names: by class id.
        preprocess: what is done to an image.
        strides: of PicoDet's levels, whose boxes are made outside of the graph where it was exported so.
        settings: all that the deployment file says.
    """

    folder: Path
    deployment_file: Path
    program: Path
    parameters: Path
    architecture: str
    class_names: tuple[str, ...]
    preprocess: Preprocess
    strides: tuple[int, ...]
    settings: Mapping[str, object]

    @property
    def is_onnx(self) -> bool:
        """Whether onnxruntime runs it, and not paddle."""
        return self.program.suffix == ONNX_SUFFIX


def read_deployment(folder: str | Path) -> Deployment:
    """Returns what an exported model's folder holds; nothing of it is run.

    Args:
        folder: the folder, or an `.onnx` file in it.

    Raises:
        ConfigError: a file lacks, two exports are mixed, or the model is no detector.
        GeometryError: an operation moves pixels in an unknown way.
    """
    given = Path(os.path.expanduser(folder))
    place = given.parent if given.suffix == ONNX_SUFFIX else given
    names = _names_in(place)
    program = given.name if place != given else _program(names, place)
    if program not in names:
        raise ConfigError(f"--model_dir {given} does not exist{closest(program, names)}")
    deployment_file = place / _deployment_file(names, place, Path(program).stem)
    settings = read_mapping(deployment_file)
    architecture = _architecture(settings, deployment_file)
    return Deployment(
        folder=place,
        deployment_file=deployment_file,
        program=place / program,
        parameters=place / _parameters(names, place, program),
        architecture=architecture,
        class_names=_class_names(settings, deployment_file),
        preprocess=preprocess_of(settings.get("Preprocess"), deployment_file),
        strides=_strides(settings, deployment_file),
        settings=settings,
    )


def _names_in(folder: Path) -> list[str]:
    if not os.path.isdir(folder):
        kind = "is a file" if os.path.exists(folder) else "does not exist"
        raise ConfigError(
            f"--model_dir {folder} {kind}; give the folder that PaddleDetection's tools/export_model.py wrote, with "
            f"{DEPLOYMENT_FILES[0]} in it, or an {ONNX_SUFFIX} file beside one"
        )
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise ConfigError(f"--model_dir {folder} cannot be read: {error.strerror}") from error


def _program(names: Sequence[str], folder: Path) -> str:
    """Returns the name of the model's graph: paddle's before one of onnx."""
    suffixes = {name: Path(name).suffix for name in names}
    with_parameters = {Path(name).stem for name in names if suffixes[name] == PARAMETERS_SUFFIX}
    programs = [
        name
        for name in names
        if suffixes[name] == ".pdmodel" or (suffixes[name] == ".json" and Path(name).stem in {*STEMS, *with_parameters})
    ]
    stems = list(dict.fromkeys(Path(name).stem for name in programs))
    if len(stems) > 1:
        raise _mixed(folder, programs)
    if programs:
        return programs[-1]  # of one stem in both forms: .pdmodel, which every paddle reads
    of_onnx = [name for name in names if suffixes[name] == ONNX_SUFFIX]
    if len(of_onnx) == 1:
        return of_onnx[0]
    if of_onnx:
        raise ConfigError(f"--model_dir {folder} holds {len(of_onnx)} models: {', '.join(of_onnx)}. Name one of them")
    weights = [name for name in names if suffixes[name] == ".pdparams"]
    advice = (
        f"; {weights[0]} is a training's: give -c and the config, and -o weights={folder / weights[0]}"
        if weights
        else "; give the folder that PaddleDetection's tools/export_model.py wrote"
    )
    wanted = " or ".join(f"{STEMS[0]}{suffix}" for suffix in (*PROGRAM_SUFFIXES, ONNX_SUFFIX))
    raise ConfigError(f"--model_dir {folder} holds no {wanted}{advice}")


def _mixed(folder: Path, files: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"--model_dir {folder} holds files of two exports: {', '.join(files)}. Which belong together cannot be told; "
        "give each export a folder of its own"
    )


def _parameters(names: Sequence[str], folder: Path, program: str) -> str:
    if Path(program).suffix == ONNX_SUFFIX:
        return program
    wanted = Path(program).stem + PARAMETERS_SUFFIX
    others = [name for name in names if name.endswith(PARAMETERS_SUFFIX)]
    if wanted not in names:
        if others:
            raise _mixed(folder, [program, *others])
        raise ConfigError(f"--model_dir {folder} holds {program} and not its weights, {wanted}. Copy them beside it")
    return wanted


def _deployment_file(names: Sequence[str], folder: Path, stem: str) -> str:
    found = [name for name in DEPLOYMENT_FILES if name in names]
    if len(found) > 1:
        raise _mixed(folder, found)
    if not found:
        near = [name for name in names if Path(name).suffix in (".yml", ".yaml")]
        there = f"; it holds {', '.join(near[:5])}" if near else ""
        raise ConfigError(
            f"--model_dir {folder} holds no {' or '.join(DEPLOYMENT_FILES)}, which says what is done to an image and "
            f"what the classes are called{there}. The export wrote one beside the model: copy it there"
        )
    return found[0]


def _architecture(settings: Mapping[str, object], file: Path) -> str:
    architecture = settings.get("arch")
    if isinstance(architecture, str):
        for name, does in OTHERS.items():
            if name in architecture:
                raise ConfigError(
                    f"{file} is of {architecture!r}, which {does}; detectors are explained, by their boxes"
                )
        if any(name in architecture for name in ARCHITECTURES):
            return architecture
    if "architecture" in settings:
        raise ConfigError(f"{file} is a config to train with, not a deployment file: give it with -c, and its weights")
    of_paddlex = settings.get("Global")
    if architecture is None and isinstance(of_paddlex, Mapping) and "model_name" in of_paddlex:
        raise ConfigError(
            f"{file} is of PaddleX's {of_paddlex['model_name']!r}, which is no detector: it has no 'arch'. Detectors "
            "are explained, by their boxes"
        )
    raise ConfigError(
        f"{file} says 'arch: {architecture}', which is no detector known here. Known: {', '.join(ARCHITECTURES)}"
    )


def _class_names(settings: Mapping[str, object], file: Path) -> tuple[str, ...]:
    labels = settings.get("label_list")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, (str, int, float)) for label in labels):
        raise ConfigError(f"{file}: label_list must be a list of the classes' names, not {labels!r}")
    return tuple(str(label) for label in labels)


def _strides(settings: Mapping[str, object], file: Path) -> tuple[int, ...]:
    strides = settings.get("fpn_stride", [8, 16, 32, 64])
    if not isinstance(strides, list) or not all(isinstance(one, int) and 0 < one < HIGHEST for one in strides):
        raise ConfigError(f"{file}: fpn_stride must be a list of whole numbers above 0, not {strides!r}")
    return tuple(strides)
