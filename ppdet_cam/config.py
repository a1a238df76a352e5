"""What is asked of a box, and what one run was asked to do; each checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ppdet_cam.boxes import AskedBox, Selection
from ppdet_cam.errors import ConfigError
from ppdet_cam.layer_names import parse_layers
from ppdet_cam.methods import methods
from ppdet_cam.targets import DEFAULT_TARGET, targets

DEFAULT_LAYER = "model.backbone"
DEFAULT_METHOD = "hirescam"
DEFAULT_THRESHOLD = 0.5
DEFAULT_SEED = 0
DEFAULT_BATCH = 8


@dataclass(frozen=True)
class Question:
    """What is asked of which boxes.

    Attributes:
        layers: dotted paths of the layers to look at together, each with "@LEVEL" or without.
        method: name of the CAM method.
        target: name of the number that is explained.
        selection: which detections.
        boxes: boxes to ask about instead of the detections.
        samples: for perturbation methods, how many masks, or channels at most; None for the method's own number.
        seed: of random masks.
        batch: how many altered images or features run at once.
    """

    layers: tuple[str, ...] = (DEFAULT_LAYER,)
    method: str = DEFAULT_METHOD
    target: str = DEFAULT_TARGET
    selection: Selection = field(default_factory=lambda: Selection(DEFAULT_THRESHOLD))
    boxes: tuple[AskedBox, ...] = ()
    samples: int | None = None
    seed: int = DEFAULT_SEED
    batch: int = DEFAULT_BATCH

    def __post_init__(self) -> None:
        methods.get(self.method)
        targets.get(self.target.partition(":")[0])
        parse_layers(self.layers)
        if self.samples is not None and self.samples < 1:
            raise ConfigError(f"--samples must be at least 1, not {self.samples}")
        if self.batch < 1:
            raise ConfigError(f"--batch_size must be at least 1, not {self.batch}")
        if self.seed < 0:
            raise ConfigError(f"--seed must be 0 or more, not {self.seed}")


@dataclass(frozen=True)
class RunConfig:
    """One run of the command line.

    Attributes:
        config: the ppdet config file.
        overrides: "key=value" items of `-o`.
        infer_img: the image.
        cam_out: the folder to write into.
        question: what is asked of which boxes.
        gt: COCO annotations; objects of theirs that no detection found are asked about as well.
    """

    config: Path
    overrides: tuple[str, ...]
    infer_img: Path
    cam_out: Path
    question: Question
    gt: Path | None = None

    def flags(self) -> dict[str, object]:
        """Returns the flags by their command-line names, as `run.json` holds them."""
        question, selection = self.question, self.question.selection
        return {
            "infer_img": str(self.infer_img),
            "cam_out": str(self.cam_out),
            "target_feature_layer_name": list(question.layers),
            "method": question.method,
            "target": question.target,
            "draw_threshold": selection.draw_threshold,
            "top_k": selection.top_k,
            "classes": list(selection.classes),
            "box_index": list(selection.box_index),
            "box": [
                ",".join([*(f"{value:g}" for value in box.box_xyxy), *([box.class_text] if box.class_text else [])])
                for box in question.boxes
            ],
            "gt": None if self.gt is None else str(self.gt),
            "samples": question.samples,
            "seed": question.seed,
            "batch_size": question.batch,
            "opt": list(self.overrides),
        }
