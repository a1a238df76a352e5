"""What one evaluation was asked to do, checked once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.errors import ConfigError
from ppdet_cam.methods import Needs, methods
from ppdet_cam.metrics import metrics
from ppdet_cam.questions.boxes import Selection
from ppdet_cam.questions.question import DEFAULT_BATCH, DEFAULT_LAYER, DEFAULT_SEED, DEFAULT_THRESHOLD, NONE, Question
from ppdet_cam.questions.targets import DEFAULT_TARGET
from ppdet_cam.registry import closest

AGREEMENT, SANITY = "agreement", "sanity"
ALL = "all"
DEFAULT_COSTLY_BOXES = 2


def measurable() -> tuple[str, ...]:
    """Returns what `--metrics` can name: the metrics of one map, and the checks that compare maps."""
    of_one_map = [name for name in metrics.names() if metrics.get(name).needs != "compared_heatmap"]
    return (*of_one_map, AGREEMENT, SANITY)


def usual_methods() -> tuple[str, ...]:
    """Returns the methods that need no more than one backward pass per box."""
    cheap = (Needs.GRADIENTS, Needs.ACTIVATIONS)
    return tuple(name for name in methods.names() if methods.get(name).needs in cheap)


def every_method() -> tuple[str, ...]:
    """Returns the methods that every detector has: those of attention are named where there is some."""
    return tuple(name for name in methods.names() if not methods.get(name).needs.is_of_attention)


def label_of(question: Question) -> tuple[str, str]:
    """Returns what a question's maps are called: the method, with its target and refinement, and the layers."""
    target = "" if question.target == DEFAULT_TARGET else f" {question.target}"
    finer = f" refined by {','.join(question.refine_by)}" if question.refine_by else ""
    layers = ",".join(question.layers) if methods.get(question.method).needs.is_of_features else ""
    return f"{question.method}{target}{finer}", layers


@dataclass(frozen=True)
class EvalConfig:
    """One evaluation.

    Attributes:
        config: the ppdet config file.
        overrides: "key=value" items of `-o`.
        gt: annotations of the images (`questions.annotations`).
        folder: where the annotations' file names start, None to look for them.
        out: the folder to write into.
        methods: to compare; empty for the usual ones.
        layers: each is looked at by itself; layers joined by commas are looked at together.
        metrics: what to measure; empty for everything but sanity.
        refinements: by which finer layers maps are refined, each as `Question.refine_by`; () is the map as it is.
        targets: names of numbers that are explained.
        draw_threshold: detections with a lower score take no part.
        images: how many of the images, from the first on; None for all.
        costly_boxes: of how many boxes of an image deletion, insertion and sanity are measured.
        samples, seed, batch: as `Question` has them.
        resume: whether to go on with the evaluation that is in `out`.
        overwrite: whether to remove it.
        strict_images: whether an image with anything amiss fails.
    """

    config: Path
    overrides: tuple[str, ...]
    gt: Path
    folder: Path | None = None
    out: Path = Path("cam_eval")
    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = (DEFAULT_LAYER,)
    metrics: tuple[str, ...] = ()
    targets: tuple[str, ...] = (DEFAULT_TARGET,)
    draw_threshold: float = DEFAULT_THRESHOLD
    images: int | None = None
    costly_boxes: int = DEFAULT_COSTLY_BOXES
    samples: int | None = None
    seed: int = DEFAULT_SEED
    batch: int = DEFAULT_BATCH
    resume: bool = False
    overwrite: bool = False
    refinements: tuple[tuple[str, ...], ...] = ((),)
    strict_images: bool = False

    def __post_init__(self) -> None:
        known = measurable()
        wanted = [name for name in known if name != SANITY] if self.metrics in ((), (ALL,)) else self.metrics
        if self.metrics == (ALL,):
            wanted = known
        for name in wanted:
            if name not in known:
                raise ConfigError(
                    f"no metric {name!r}{closest(name, [*known, ALL])}. There are: {', '.join(known)}; {ALL} for all"
                )
        chosen = every_method() if self.methods == (ALL,) else self.methods or usual_methods()
        object.__setattr__(self, "metrics", tuple(dict.fromkeys(wanted)))
        object.__setattr__(self, "methods", tuple(dict.fromkeys(chosen)))
        for flag, value, least in (("--images", self.images, 1), ("--costly_boxes", self.costly_boxes, 0)):
            if value is not None and value < least:
                raise ConfigError(f"{flag} must be at least {least}, not {value}")
        if self.resume and self.overwrite:
            raise ConfigError("--resume goes on with an earlier evaluation, --overwrite removes it; give one of them")
        self.questions()

    def questions(self) -> tuple[Question, ...]:
        """Returns a question for each method, layer, target and refinement.

        A method that looks at none of the layers is asked once for each target, D-RISE, which knows no target, once.
        """
        return tuple(
            self._question(name, layer, target, finer)
            for layer, target, finer in itertools.product(
                dict.fromkeys(self.layers), dict.fromkeys(self.targets), dict.fromkeys(self.refinements)
            )
            for name in self.methods
            if (layer, finer) == (self.layers[0], self.refinements[0]) or methods.get(name).needs.is_of_features
            if target == self.targets[0] or methods.get(name).needs is not Needs.MASKS
        )

    def _question(self, method: str, layer: str, target: str, finer: tuple[str, ...]) -> Question:
        needs = methods.get(method).needs
        return Question(
            layers=(DEFAULT_LAYER,) if needs.is_of_attention else tuple(layer.split(",")),
            method=method,
            target=target,
            selection=Selection(self.draw_threshold),
            samples=self.samples,
            seed=self.seed,
            batch=self.batch,
            refine_by=finer if needs.is_of_features else (),
        )

    @property
    def map_metrics(self) -> tuple[str, ...]:
        """Those of the metrics that are numbers of one map."""
        return tuple(name for name in self.metrics if name not in (AGREEMENT, SANITY))

    def flags(self) -> dict[str, object]:
        """Returns the flags that say what is measured, by their command-line names."""
        left_out = ("config", "overrides", "out", "resume", "overwrite", "batch", "refinements")
        named = {
            "folder": "infer_dir",
            "methods": "method",
            "layers": "target_feature_layer_name",
            "targets": "target",
        }
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        flags = {named.get(name, name): _plain(value) for name, value in values.items() if name not in left_out}
        return {**flags, "refine_by": [",".join(finer) or NONE for finer in self.refinements]}


def _plain(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return str(value) if isinstance(value, Path) else value
