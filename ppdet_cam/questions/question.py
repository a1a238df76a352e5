"""What is asked of which boxes, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field

from ppdet_cam.detectors.layer_names import parse_layers
from ppdet_cam.errors import ConfigError
from ppdet_cam.methods import methods
from ppdet_cam.questions.boxes import AskedBox, Selection
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.questions.targets import DEFAULT_TARGET, targets

DEFAULT_LAYER = "model.backbone"
DEFAULT_METHOD = "stagecam"
DEFAULT_BLACK_BOX_METHOD = "occlusion"  # of a detector of which only the output is known
DEFAULT_THRESHOLD = 0.5
DEFAULT_SEED = 0
DEFAULT_BATCH = 8
ACTIVATIONS = "activations"  # no CAM method: what layers show whatever the boxes
DEFAULT_CHANNELS = 8
AUTO, NONE = "auto", "none"  # of --refine_by: what is found in the model; the map as it is


@dataclass(frozen=True)
class Question:
    """What is asked of which boxes.

    Attributes:
        layers: dotted paths of the layers to look at together, each with "@LEVEL" or without.
        method: name of the CAM method, or "activations" for what the layers show whatever the boxes.
        target: name of the number that is explained.
        selection: which detections.
        boxes: boxes to ask about instead of the detections.
        samples: for perturbation methods, how many masks, or channels at most; None for the method's own number.
        seed: of random masks.
        batch: how many altered images or features run at once.
        refine_by: dotted paths of finer layers whose maps the map is multiplied with, or "auto" alone.
        channels: for "activations", how many of the strongest channels.
        slicing: how the image is looked at slice by slice, None for as a whole.
    """

    layers: tuple[str, ...] = (DEFAULT_LAYER,)
    method: str = DEFAULT_METHOD
    target: str = DEFAULT_TARGET
    selection: Selection = field(default_factory=lambda: Selection(DEFAULT_THRESHOLD))
    boxes: tuple[AskedBox, ...] = ()
    samples: int | None = None
    seed: int = DEFAULT_SEED
    batch: int = DEFAULT_BATCH
    refine_by: tuple[str, ...] = ()
    channels: int = DEFAULT_CHANNELS
    slicing: Slicing | None = None

    def __post_init__(self) -> None:
        if self.is_of_layers:
            self._check_is_of_layers()
        else:
            methods.get(self.method)
        targets.get(self.target.partition(":")[0])
        parse_layers(self.layers)
        if self.samples is not None and self.samples < 1:
            raise ConfigError(f"--samples must be at least 1, not {self.samples}")
        if self.batch < 1:
            raise ConfigError(f"--batch_size must be at least 1, not {self.batch}")
        if self.channels < 0:
            raise ConfigError(f"--channels must be 0 or more, not {self.channels}")
        if self.seed < 0:
            raise ConfigError(f"--seed must be 0 or more, not {self.seed}")
        if self.refine_by:
            self._check_refinement()
        if self.slicing is not None and self.is_of_layers:
            raise ConfigError(
                f"--method {ACTIVATIONS} looks at one forward pass, and --slice_infer makes one per slice; leave one "
                "out, or give the part of the image as an image of its own"
            )

    def _check_is_of_layers(self) -> None:
        boxes = [("--box", self.boxes), ("--box_index", self.selection.box_index), ("--refine_by", self.refine_by)]
        given = [flag for flag, value in boxes if value]
        given += ["--target"] if self.target != DEFAULT_TARGET else []
        if given:
            raise ConfigError(
                f"{given[0]} is about boxes, and --method {ACTIVATIONS} shows layers whatever the boxes; leave one out"
            )

    def _check_refinement(self) -> None:
        needs = methods.get(self.method).needs
        if not needs.is_of_features:
            what = "alters the image" if needs.is_of_images else "looks at the cross-attention"
            raise ConfigError(
                f"--refine_by multiplies maps of layers, and --method {self.method}, which {what}, looks at none; "
                "leave one of them out"
            )
        if self.refines_automatically:
            return
        finer = parse_layers(self.refine_by)
        twice = [path for path in parse_layers(self.layers) if path in finer]
        if AUTO in finer or twice:
            wrong = f"{AUTO} stands alone" if AUTO in finer else f"{twice[0]} is the layer to refine itself"
            raise ConfigError(
                f"--refine_by is {AUTO}, or dotted paths of other layers than the one looked at, not "
                f"{','.join(self.refine_by)!r}: {wrong}"
            )

    @property
    def is_of_layers(self) -> bool:
        """Whether layers are looked at, and no box is explained."""
        return self.method == ACTIVATIONS

    @property
    def refines_automatically(self) -> bool:
        """Whether the finer layers are to be found in the model."""
        return self.refine_by == (AUTO,)
