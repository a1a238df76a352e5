"""What the head says of one box when the image, or a captured feature map, is altered: for perturbation methods."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import paddle

from ppdet_cam.detectors.capture import Watch, capturing, replaced_methods
from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.families.base import KeptRow, Source
from ppdet_cam.explaining.altering import batches, darkened
from ppdet_cam.questions.targets import Read, Target
from ppdet_cam.structures import Candidates, FeatureKind, FeatureMap, Frame, Quantity


@dataclass(frozen=True)
class Replay:
    """One box of one image, ready to be asked about under alterations.

    Attributes:
        detector: the detector.
        frame: the image.
        forward: its forward pass.
        kept: the box's candidate.
        part: the number that is explained.
        wanted: the quantity that it is read from.
        batch: how many altered versions run at once.
    """

    detector: Detector
    frame: Frame
    forward: ForwardPass
    kept: KeptRow
    part: Read
    wanted: Quantity
    batch: int

    @functools.cached_property
    def source(self) -> Source:
        """The box's place in the head, on the image as it is."""
        return self.forward.extractor.source_of(self.forward.watch, self.kept, wanted=self.wanted)

    def score(self) -> float:
        """Returns the number for the image as it is."""
        return self._number(self.forward.watch, self.source, 0)

    def scores_of_masked_images(self, masks: Iterable[np.ndarray]) -> Iterator[float]:
        """Yields the number for the image times each mask.

        Args:
            masks: float [H, W] each, 0 to 1, original pixels.
        """
        yield from self.scores_of_images(masked(self.frame, mask).image for mask in masks)

    def scores_of_images(self, images: Iterable[np.ndarray]) -> Iterator[float]:
        """Yields the number for other images of the same size.

        Args:
            images: uint8 [H, W, 3] each.
        """
        source = self.source
        for batch in batches(images, self.batch):
            frames = [dataclasses.replace(self.frame, image=image) for image in batch]
            inputs, _ = self.detector.reader.prepare_batch(frames)
            watch, _ = self.detector.replay(inputs, self.frame, sources=[source])
            for image in range(len(frames)):
                yield self._number(watch, source, image)

    def scores_of_altered_features(self, feature: FeatureMap, altered: Iterable[np.ndarray]) -> Iterator[float]:
        """Yields the number when a captured feature map has other values.

        Args:
            feature: the feature map.
            altered: float32 [C, h, w] each.
        """
        of_batch = self._scores_of_rois if feature.kind is FeatureKind.ROI else self._scores_of_images
        for batch in batches(altered, self.batch):
            yield from of_batch(feature, paddle.to_tensor(np.stack(batch).astype(np.float32)))

    def _scores_of_images(self, feature: FeatureMap, altered: paddle.Tensor) -> Iterator[float]:
        source, count = self.source, int(altered.shape[0])
        inputs = {name: value.expand([count, *value.shape[1:]]) for name, value in self.forward.inputs.items()}
        layer = self.detector.layers([feature.layer])[0][feature.layer]
        output = self.forward.capture.substituted(feature.layer, feature.level, altered)
        watch, _ = self.detector.replay(inputs, self.frame, outputs={layer: output}, sources=[source])
        for image in range(count):
            yield self._number(watch, source, image)

    def _scores_of_rois(self, feature: FeatureMap, altered: paddle.Tensor) -> Iterator[float]:
        """The second stage sees a row per RoI: as many copies of the box's own as there are alterations."""
        extractor, watch, count = self.forward.extractor, self.forward.watch, int(altered.shape[0])
        source = self.source  # finding it may run the layer
        layer = self.detector.layers([feature.layer])[1][feature.layer]
        with paddle.no_grad():
            with capturing({feature.layer: layer}) as capture:
                extractor.outputs(extractor.second_stage(watch), [source], wanted=self.wanted)
            output = capture.substituted(feature.layer, feature.level, altered)
            with replaced_methods(layer, forward=lambda *_, **__: output):
                outputs = extractor.outputs(watch, [source] * count, wanted=self.wanted)
        for row in range(count):
            yield float(self.part(outputs, row, self.kept.class_id))

    def _number(self, watch: Watch, source: Source, image: int) -> float:
        with paddle.no_grad():
            outputs = self.forward.extractor.outputs(watch, [source], wanted=self.wanted, image=image)
        return float(self.part(outputs, 0, self.kept.class_id))


def replays(
    detector: Detector, frame: Frame, forward: ForwardPass, kept: KeptRow, target: Target, *, batch: int
) -> list[Replay]:
    """Returns a replay for each part of the target."""
    return [Replay(detector, frame, forward, kept, part, target.quantity, batch) for part in target.parts]


def candidates_of_images(detector: Detector, frame: Frame, images: Sequence[Frame]) -> list[Candidates]:
    """Returns every box before NMS of each of some images that are altered from one image, as one batch.

    Args:
        detector: the detector.
        frame: the image that they are altered from.
        images: of its size.
    """
    inputs, geometry = detector.reader.prepare_batch(images)
    _, record = detector.replay(inputs, frame)
    return [detector.extractor.candidates(record, geometry, image=image) for image in range(len(images))]


def masked(frame: Frame, mask: np.ndarray) -> Frame:
    """Returns the image darkened by a mask of values from 0 to 1."""
    return dataclasses.replace(frame, image=darkened(frame.image, mask))


def ablated(feature: FeatureMap, channels: Iterable[int]) -> Iterator[np.ndarray]:
    """Yields the activations with one of the channels set to zero each."""
    for channel in channels:
        activations = feature.activations.copy()
        activations[channel] = 0.0
        yield activations
