"""ppdet's own inference of one picture: what an explained detector is compared with, and whose errors are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Union

import numpy as np

from ppdet_cam.detectors.workspace import WITH_DEFAULT_WEIGHTS, isolated_workspace  # isort: skip  (first: it loads what paddle needs, and ppdet)
import paddle
from paddle import nn
from ppdet.core import workspace
from ppdet.core.config.schema import SchemaDict
from ppdet.data.source.dataset import DetDataset, ImageFolder
from ppdet.data.source.sniper_coco import SniperCOCODataSet
from ppdet.modeling.architectures.yolox import YOLOX

from benchmarks.covering.configs import TRACKERS
from ppdet_cam.detectors.settings import Tagged, read_settings

Outputs = Mapping[str, paddle.Tensor]
Inputs = Union[Mapping[str, paddle.Tensor], Sequence[Mapping[str, paddle.Tensor]]]


class PlainDetector:
    """A detector as ppdet's tools build and run it. Its workspace is put back afterwards.

    Trackers are asked for the boxes that they are given on a video's first image, as `tools/infer_mot.py` asks them.
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
            whole = read_settings(config)
            settings = _without_data(whole)
            workspace.merge_config({**settings, "use_gpu": False})
            workspace.merge_config(dict(changes))
            for name, section in workspace.global_config.items():
                if isinstance(section, SchemaDict) and "pretrained" in section.schema:
                    # they would be downloaded, and all weights are replaced
                    section["pretrained"] = "" if name in WITH_DEFAULT_WEIGHTS else None
            self.model: nn.Layer = workspace.create(settings["architecture"])
            self.model.eval()
            detector = getattr(self.model, "detector", None)
            self.detector: nn.Layer = self.model if detector is None else detector
            if isinstance(self.detector, YOLOX):  # as ppdet's Trainer and Tracker do
                for layer in self.model.sublayers():
                    if isinstance(layer, nn.BatchNorm2D):
                        layer._epsilon = 1e-3
            self._inputs = _inputs(whole, picture)

    def __call__(self) -> Outputs:
        """Returns what ppdet's model, or a tracker's detector, gives for the picture."""
        with paddle.no_grad():
            return self.detector(self._inputs)

    def rows(self, read: Callable[[Outputs], np.ndarray]) -> np.ndarray:
        """Returns the boxes of the picture, [K, 6 or 10], label, score and box.

        Args:
            read: takes them out of the model's output.
        """
        if not hasattr(self.model, "plugin_head"):
            return read(self())
        self.model.tracker.out_thresh = -1.0  # CenterTrack makes the boxes beside its detector; all of them here
        self.model.reset_tracking()
        with paddle.no_grad():
            peaks = self.model(self._inputs)
        return np.array([[peak["class"] - 1, peak["score"], *peak["bbox"]] for peak in peaks], np.float32)

    def load(self, state: Mapping[str, np.ndarray | paddle.Tensor]) -> None:
        """Takes other weights, of the whole model or of a tracker's detector.

        Raises:
            ValueError: some of its own are not among them.
        """
        names = {name: name if name in state else name.partition("detector.")[2] for name in self.model.state_dict()}
        fitting = {name: state[other] for name, other in names.items() if other in state}
        prefix = "" if self.detector is self.model else "detector."
        missing = [name for name in self.model.state_dict() if name.startswith(prefix) and name not in fitting]
        if missing:
            raise ValueError(f"ppdet's own model has {len(missing)} more weights, such as {missing[0]}")
        self.model.set_state_dict(fitting)


def _without_data(settings: Mapping[str, object]) -> dict[str, object]:
    """Returns a config without its data sets, of which ppdet's own loader reads files, and without its schedule."""
    schedule = ("LearningRate", "OptimizerBuilder")
    return {name: value for name, value in settings.items() if not name.endswith("Dataset") and name not in schedule}


def _inputs(settings: Mapping[str, object], picture: Path) -> Inputs:
    """Returns the network's inputs as the config's reader makes them of a folder's images, or of a video's."""
    reader = "TestMOTReader" if settings["architecture"] in TRACKERS and "TestMOTReader" in settings else "TestReader"
    dataset = _images(settings.get("TestDataset"))
    dataset.set_images([str(picture)])
    loader = workspace.create(reader)(dataset, 0)
    # as its DataLoader does, which waits for ever where an operation fails
    batch = loader._batch_transforms([dataset[0]])
    if isinstance(batch, list):  # the same image in several sizes
        return [_tensors(one) for one in batch]
    return _tensors(batch)


def _images(dataset: object) -> DetDataset:
    """Returns a data set for images of one's own: ppdet's usual one, or SNIPER's, which cuts them into chips."""
    if isinstance(dataset, Tagged) and dataset.tag == "!SniperCOCODataSet":
        return SniperCOCODataSet(**dataset.value)
    return ImageFolder()


def _tensors(batch: Mapping[str, np.ndarray]) -> dict[str, paddle.Tensor]:
    return {name: paddle.to_tensor(value) for name, value in batch.items()}
