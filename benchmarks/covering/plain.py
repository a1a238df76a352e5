"""ppdet's own inference of one picture: what an explained detector is compared with, and whose errors are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ppdet_cam.detectors.workspace import isolated_workspace  # isort: skip  (first: it loads what paddle needs, and ppdet)
import paddle
from paddle import nn
from ppdet.core import workspace
from ppdet.core.config.schema import SchemaDict
from ppdet.data.source.dataset import ImageFolder
from ppdet.modeling.architectures.yolox import YOLOX

from ppdet_cam.detectors.settings import read_settings

Outputs = Mapping[str, paddle.Tensor]


class PlainDetector:
    """A detector as ppdet's tools build and run it. Its workspace is put back afterwards.

    Trackers are asked for the boxes of one frame, as `tools/infer_mot.py` asks their detectors.
    """

    def __init__(self, config: Path, changes: Mapping[str, object], picture: Path) -> None:
        """Builds it, with ppdet's own seeded initial weights, and reads the picture.

        Args:
            config: a config of the checkout whose ppdet is imported.
            changes: what is set otherwise.
            picture: an image file.
        """
        paddle.seed(0)
        with isolated_workspace():
            settings = _without_data(read_settings(config))
            workspace.merge_config({**settings, "use_gpu": False})
            workspace.merge_config(dict(changes))
            for section in workspace.global_config.values():
                if isinstance(section, SchemaDict) and "pretrained" in section.schema:
                    section["pretrained"] = ""  # it would be downloaded, and all weights are replaced
            self.model: nn.Layer = workspace.create(settings["architecture"])
            self.model.eval()
            detector = getattr(self.model, "detector", None)
            self.detector: nn.Layer = self.model if detector is None else detector
            if isinstance(self.detector, YOLOX):  # as ppdet's Trainer and Tracker do
                for layer in self.model.sublayers():
                    if isinstance(layer, nn.BatchNorm2D):
                        layer._epsilon = 1e-3
            self._inputs = _inputs(settings, picture)

    def __call__(self) -> Outputs:
        """Returns what ppdet gives for the picture."""
        with paddle.no_grad():
            return self.detector(self._inputs)

    def load(self, state: Mapping[str, np.ndarray | paddle.Tensor]) -> None:
        """Takes other weights."""
        self.model.set_state_dict(dict(state))


def _without_data(settings: Mapping[str, object]) -> dict[str, object]:
    """Returns a config without its data sets, of which ppdet's own loader reads files, and without its schedule."""
    schedule = ("LearningRate", "OptimizerBuilder")
    return {name: value for name, value in settings.items() if not name.endswith("Dataset") and name not in schedule}


def _inputs(settings: Mapping[str, object], picture: Path) -> Mapping[str, paddle.Tensor]:
    """Returns the network's inputs as the config's reader makes them of a folder's images, or of a video's."""
    reader = "TestReader" if settings.get("TestReader") else "TestMOTReader"
    dataset = ImageFolder()
    dataset.set_images([str(picture)])
    return next(iter(workspace.create(reader)(dataset, 0)))
