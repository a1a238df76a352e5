"""What ppdet builds from a config, as JSON: the facts that decide an inference result.

    python tests/reference/ppdet_summary.py CONFIG.yml ...

The output maps each config path, as given, to

- architecture, metric, num_classes: the config's own values;
- arguments: for the model and every registered ppdet part inside it, the class and the constructor arguments it
  really received (defaults, shared and derived values included): NMS, box decoding, anchors, RPN proposals,
  RoI extractors. Arguments that only training reads are left out;
- state: every state_dict name with its shape, "frozen" if ppdet lets no gradient reach it;
- test_reader: the sample and batch transforms;
- weights: where the config says the weights are;
- extra_keys: section -> keys its class has no argument for and swallows as **kwargs (any other extra key is an error);
- missing_keys: section -> arguments without default that the section does not set (ppdet fills in_channel itself).

Building a model changes ppdet's global config for good, so each config gets a process of its own.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import subprocess
import sys
import zlib  # noqa: F401  (zlib, numpy and cv2 load before paddle: paddle 2.6.2 crashes in ppdet's imports otherwise)
from pathlib import Path
from typing import TypeAlias

import cv2  # noqa: F401
import numpy  # noqa: F401

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"

TRAINING_ONLY_ARGUMENTS = frozenset(
    {
        # target assignment and proposals while training
        "assigner",
        "static_assigner",
        "static_assigner_epoch",
        "bbox_assigner",
        "mask_assigner",
        "rpn_target_assign",
        "anchor_assign",
        "train_proposal",
        # losses
        "loss",
        "loss_class",
        "loss_bbox",
        "loss_weight",
        "loss_rpn_bbox",
        "bbox_loss",
        "loss_cot",
        "loss_func",
        "solov2_loss",
        "reg_loss_weight",
        "cls_loss_weight",
        "use_varifocal_loss",
        "loss_normalize_pos",
        # learning rates, weight decay, initial values
        "conv_learning_rate",
        "lr_mult_list",
        "norm_decay",
        "conv_decay",
        "prior_prob",
    }
)


class ConstructorLog:
    """The constructor arguments of every object of a registered ppdet class, by object."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[object, dict[str, object]]] = {}

    def watch(self, cls: type) -> None:
        """Record the arguments of each object of `cls` made from now on."""
        original = cls.__init__
        signature = inspect.signature(original)

        @functools.wraps(original)
        def recording_init(instance: object, *args: object, **kwargs: object) -> None:
            if type(instance) is cls:  # not a parent's __init__ called by a registered child
                bound = signature.bind(instance, *args, **kwargs)
                bound.apply_defaults()
                self._calls[id(instance)] = (instance, dict(list(bound.arguments.items())[1:]))
            original(instance, *args, **kwargs)

        cls.__init__ = recording_init

    def described(self, value: object) -> Json:
        """`value` as JSON; a recorded object becomes its class and its arguments."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (list, tuple)):
            return [self.described(item) for item in value]
        if isinstance(value, dict):
            return {str(key): self.described(item) for key, item in value.items()}
        if id(value) in self._calls:
            instance, arguments = self._calls[id(value)]
            kept = {name: given for name, given in arguments.items() if name not in TRAINING_ONLY_ARGUMENTS}
            # ppdet hands some parts over as a dict of settings and builds them inside: describe what was built.
            built = {name: getattr(instance, name, None) for name, given in kept.items() if isinstance(given, dict)}
            kept.update({name: part for name, part in built.items() if id(part) in self._calls})
            return {"class": type(value).__name__, **{name: self.described(kept[name]) for name in kept}}
        return getattr(value, "__qualname__", type(value).__name__)


def summary(config_path: Path) -> dict[str, Json]:
    """What ppdet builds from the config file; to be called once per process."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import ppdet_cam.detectors.compat  # noqa: F401  # isort: skip  (first: it imports ppdet, on any paddle and numpy)
    import ppdet.data  # noqa: F401  (registers the readers)
    import ppdet.modeling  # noqa: F401  (registers the models)
    from ppdet.core.workspace import create, get_registered_modules, load_config

    log = ConstructorLog()
    for name, section in get_registered_modules().items():
        log.watch(getattr(section.pymodule, name))

    config = load_config(str(config_path))
    sections = {name: section for name, section in get_registered_modules().items() if len(section)}
    extra_keys = {name: sorted(section.find_extra_keys()) for name, section in sections.items()}
    missing_keys = {name: sorted(section.find_missing_keys()) for name, section in sections.items()}
    for name, section in sections.items():
        if section.strict and extra_keys[name]:
            raise ValueError(f"{config_path}: {name} has no argument {extra_keys[name]}")
    model = create(config.architecture)
    model.eval()
    reader = config.TestMOTReader if hasattr(model, "tracker") else config.TestReader  # as ppdet's own tools choose
    test_reader = {key: reader.get(key, []) for key in ("sample_transforms", "batch_transforms")}
    frozen = {name for name, parameter in model.named_parameters() if parameter.stop_gradient}
    return {
        "architecture": config.architecture,
        "metric": config.metric,
        "num_classes": config.num_classes,
        "weights": config.weights,
        "arguments": log.described(model),
        "test_reader": log.described(test_reader),
        "extra_keys": {name: keys for name, keys in extra_keys.items() if keys},
        "missing_keys": {name: keys for name, keys in missing_keys.items() if keys},
        "state": {
            name: "x".join(map(str, tensor.shape)) + (" frozen" if name in frozen else "")
            for name, tensor in model.state_dict().items()
        },
    }


def formatted(summaries: dict[str, dict[str, Json]]) -> str:
    """The summaries as JSON text with one line per value and per state_dict name, for readable diffs."""

    def block(items: dict[str, str]) -> str:
        return "{\n" + ",\n".join(f"{json.dumps(name)}: {text}" for name, text in items.items()) + "\n}"

    def value_text(name: str, value: Json) -> str:
        if name == "state":
            return block({key: json.dumps(shape) for key, shape in value.items()})
        return json.dumps(value)

    return block(
        {
            path: block({name: value_text(name, value) for name, value in summary_of_path.items()})
            for path, summary_of_path in summaries.items()
        }
    )


def main(config_paths: list[str]) -> None:
    """Print the summaries of the configs as one JSON object; what ppdet prints goes to stderr."""
    summaries = {}
    if len(config_paths) == 1:
        with contextlib.redirect_stdout(sys.stderr):
            summaries[config_paths[0]] = summary(Path(config_paths[0]))
    else:
        for path in config_paths:
            summaries.update(json.loads(subprocess.check_output([sys.executable, __file__, path])))
    print(formatted(summaries))


if __name__ == "__main__":
    main(sys.argv[1:])
