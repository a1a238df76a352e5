"""A detector: one forward pass over an image, and what it takes for its gradients."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

import paddle  # isort: skip
from paddle import nn

from ppdet_cam.detectors.attention import Look, attending
from ppdet_cam.detectors.capture import (
    Capture,
    Output,
    Watch,
    capturing,
    replaced_methods,
    resolve_layer,
    watching,
    without_graph,
)
from ppdet_cam.detectors.convolutions import windowed_gradients
from ppdet_cam.detectors.depthwise import fast_depthwise
from ppdet_cam.detectors.families import Extractor, family_name
from ppdet_cam.detectors.families.base import KeptRow, Source
from ppdet_cam.detectors.families.last_step import LastStep, ReachedLastStep
from ppdet_cam.detectors.grids import Grids
from ppdet_cam.detectors.loading import load_into
from ppdet_cam.detectors.norms import affine_gradients
from ppdet_cam.detectors.preprocessing import Preprocessing
from ppdet_cam.detectors.workspace import first_line
from ppdet_cam.errors import GeometryError, ImageError, PpdetCamError, WeightsError
from ppdet_cam.polygons import box_around, polygon_of
from ppdet_cam.structures import Candidates, CellStrides, Detection, Frame, ImageGeometry, Quantity


def checked_strides(cell_strides: CellStrides) -> CellStrides:
    """Returns the sizes of cells that a head says.

    Raises:
        GeometryError: one is no size.
    """
    for (height, width), stride_yx in cell_strides.items():
        if not all(0 < stride < math.inf for stride in stride_yx):
            raise GeometryError(
                f"the config's head says that a cell of the {height} x {width} grid is {stride_yx[0]} x {stride_yx[1]} "
                "pixels large; its anchor generator's steps or strides must be numbers above 0"
            )
    return cell_strides


@dataclass(frozen=True)
class ForwardPass:
    """One image through the detector. Holds paddle tensors; goes no further than `gradients`.

    Attributes:
        detections: every row of the detector's output that is a detection.
        kept: index of a detection -> its candidate before NMS.
        geometry: where the image lies in the network input.
        capture: the chosen layers' feature maps.
        watch: what the extractor reads its scores from.
        cell_strides: the size of a cell, for grids of which the head says so.
        extractor: turns a kept candidate into what the head says of it, with a graph.
        record: what the last step was given and kept.
        inputs: the network's inputs.
        looks: where cross-attention looked, by its path; for the layers that were asked for.
    """

    detections: tuple[Detection, ...]
    kept: Mapping[int, KeptRow]
    geometry: ImageGeometry
    capture: Capture
    watch: Watch
    cell_strides: CellStrides
    extractor: Extractor
    record: LastStep
    inputs: Mapping[str, paddle.Tensor]
    looks: Mapping[str, Look]

    def candidates(self) -> Candidates:
        """Returns every box of the image before NMS."""
        return self.extractor.candidates(self.record, self.geometry)


class Detector:
    """A ppdet model built for inference: in eval mode, with all parameters frozen. `building` makes it.

    Attributes:
        architecture: ppdet's name of it.
        model: the paddle model.
        extractor: knows where its scores are.
        class_names: names by class id.
        reader: its preprocessing.
        device: where it runs.
        weights: the file that the parameters came from, None before `load_weights`.
    """

    def __init__(
        self,
        architecture: str,
        model: nn.Layer,
        extractor: Extractor,
        *,
        class_names: Sequence[str],
        reader: Preprocessing,
        device: str,
    ) -> None:
        self.architecture, self.model, self.extractor = architecture, model, extractor
        self.class_names, self.reader, self.device = class_names, reader, device
        self.weights: Path | None = None

    def load_weights(self, weights: str) -> Path:
        """Loads a `.pdparams` file or URL, and returns the file; every parameter of the model must be in it.

        Raises:
            WeightsError: not there, not safe to unpickle, or does not fit.
        """
        self.weights = load_into(self.model, weights)
        return self.weights

    def predict(self, frame: Frame) -> np.ndarray:
        """Returns the boxes that ppdet's plain inference gives: float32 [K, 6], label, score, box; polygons [K, 10]."""
        inputs, _ = self.reader.prepare(frame)
        with paddle.no_grad(), self.extractor.boxes_only():
            return self._run(inputs, frame)

    def layers(self, paths: Sequence[str]) -> tuple[dict[str, nn.Layer], dict[str, nn.Layer]]:
        """Returns (layers that see the whole image, layers that see one row per RoI), each path -> layer.

        Raises:
            LayerError: a path names no layer.
        """
        own = self.extractor.roi_head
        heads = [*([] if own is None else [own]), *self.extractor.mask_layers]
        second_stage = {layer for head in heads for layer in head.sublayers(include_self=True)}
        found = {path: resolve_layer(self.model, path) for path in paths}
        roi = {path: layer for path, layer in found.items() if layer in second_stage}
        return {path: layer for path, layer in found.items() if path not in roi}, roi

    @property
    def name(self) -> str:
        """Architecture and head, as the registry of extractors has them."""
        return family_name(self.architecture, type(getattr(self.model, self.extractor.head_name)).__name__)

    def forward(
        self,
        frame: Frame,
        layers: Mapping[str, nn.Layer],
        *,
        wanted: Quantity | None = Quantity.PROBABILITIES,
        attention: Mapping[str, nn.Layer] | None = None,
    ) -> ForwardPass:
        """Runs one image and keeps what its gradients need.

        Args:
            frame: the image.
            layers: path -> layer to capture.
            wanted: the quantity whose gradients will be asked for; None for none of them, and then without a graph.
            attention: path -> cross-attention to note.
        """
        inputs, geometry = self.reader.prepare(frame)
        with contextlib.ExitStack() as stack:
            stack.enter_context(paddle.no_grad() if wanted is None else paddle.enable_grad())
            record = stack.enter_context(self.extractor.last_step())
            stack.enter_context(self.extractor.boxes_only())
            if self.device == "cpu" and wanted is not None:
                stack.enter_context(windowed_gradients(self.model))
                stack.enter_context(affine_gradients(self.model))
            stack.enter_context(self.extractor.whole_graph())
            explained = self.extractor.explained_layers(wanted) if wanted else ()
            stack.enter_context(without_graph([la for la in self.extractor.graph_free if la not in explained]))
            stack.enter_context(without_graph([] if wanted and wanted.is_of_box else self.extractor.box_branch))
            capture = stack.enter_context(capturing(dict(layers), self._grids(inputs)))
            looks = stack.enter_context(attending(attention or {}, self._grids(inputs)))
            watch = stack.enter_context(watching(self.extractor.watched))
            rows = self._run(inputs, frame)
        kept = self.extractor.kept_rows(record)
        own = [candidate.score if record.lowers_scores else None for candidate in kept]
        detections = tuple(
            self._detection(index, row, score) for index, (row, score) in enumerate(zip(rows, own)) if row[0] >= 0
        )
        return ForwardPass(
            detections=detections,
            kept={detection.index: kept[detection.index] for detection in detections},
            geometry=geometry,
            capture=capture,
            watch=watch,
            cell_strides=checked_strides(self.extractor.cell_strides(watch, geometry.padded_hw)),
            extractor=self.extractor,
            record=record,
            inputs=inputs,
            looks=looks,
        )

    def replay(
        self,
        inputs: Mapping[str, paddle.Tensor],
        frame: Frame,
        *,
        outputs: Mapping[nn.Layer, Output] | None = None,
        sources: Sequence[Source] | None = None,
    ) -> tuple[Watch, LastStep]:
        """Runs altered images, or altered features, up to the last step and without a graph.

        Args:
            inputs: of a batch.
            frame: the image that they are altered from.
            outputs: layer -> what it gives instead of running.
            sources: the only places that will be asked about; None for every candidate.

        Returns:
            What the extractor's layers saw, and what the last step was given.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(paddle.no_grad())
            record = stack.enter_context(self.extractor.last_step(stop=True))
            stack.enter_context(self.extractor.boxes_only())
            if self.device == "cpu":
                stack.enter_context(fast_depthwise(self.model))
            if sources is not None:
                stack.enter_context(self.extractor.on_sources(sources))
            for layer, output in (outputs or {}).items():
                stack.enter_context(replaced_methods(layer, forward=lambda *_, output=output, **__: output))
            watch = stack.enter_context(watching(self.extractor.watched))
            with contextlib.suppress(ReachedLastStep):
                self._run(inputs, frame)
        return watch, record

    def _grids(self, inputs: Mapping[str, paddle.Tensor]) -> Grids:
        images, _, height, width = inputs["image"].shape
        return self.extractor.grids(int(images), (int(height), int(width)))

    def _run(self, inputs: Mapping[str, paddle.Tensor], frame: Frame) -> np.ndarray:
        try:
            rows = self.extractor.output_rows(self.model(self.extractor.completed(inputs)))
        except (ReachedLastStep, PpdetCamError):
            raise
        except Exception as error:  # anything: paddle gives a SystemError or MemoryError for numbers too large
            (height, width), shape = frame.original_hw, list(inputs["image"].shape)
            raise ImageError(
                f"{self.architecture} cannot run {frame.path or 'the image'} ({height} x {width} pixels, network input "
                f"{shape}): {first_line(error)}. Either the image is too small for the network's strides, or parts of "
                "the config do not fit together (eval_size, where it is set, is the size that TestReader resizes to)"
            ) from error
        if not np.isfinite(rows).all():
            raise WeightsError(
                f"{self.architecture} gives boxes with nan or inf for {frame.path or 'the image'}: its weights hold "
                f"such numbers, or far too large ones. Get {self.weights or 'them'} again, or others with -o weights"
            )
        return rows

    def _detection(self, index: int, row: np.ndarray, score_before_nms: float | None) -> Detection:
        label = int(row[0])
        polygon = polygon_of(row[2:]) if len(row) > 6 else None
        left, top, right, bottom = box_around(polygon) if polygon else (float(value) for value in row[2:6])
        name = self.class_names[label] if label < len(self.class_names) else f"class {label}"
        return Detection(index, label, name, float(row[1]), (left, top, right, bottom), score_before_nms, polygon)
