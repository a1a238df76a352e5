"""The public Python API: a detector's boxes on one image, explained."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppdet_cam.config import DEFAULT_LAYER, DEFAULT_METHOD, DEFAULT_THRESHOLD
from ppdet_cam.detector import Detector, ForwardPass
from ppdet_cam.errors import ConfigError
from ppdet_cam.evidence import map_on_image
from ppdet_cam.gradients import image_features, roi_features
from ppdet_cam.images import frame_from_array, read_image
from ppdet_cam.methods import methods
from ppdet_cam.places import find_file
from ppdet_cam.projection import box_on_original
from ppdet_cam.settings import merge, parse_overrides, read_settings
from ppdet_cam.structures import Detection, Explanation, FeatureMap, Frame, ImageResult
from ppdet_cam.workspace import check_overrides


@dataclass(frozen=True)
class ExplanationStream:
    """One image's detections, and its explanations made one at a time as they are asked for.

    Attributes:
        frame: the image.
        detections: every row that the detector gave.
        explanations: yields one per box above the threshold, in the detector's order.
    """

    frame: Frame
    detections: tuple[Detection, ...]
    explanations: Iterator[Explanation]


class Explainer:
    """Explains the boxes of one detector.

    Example:
        >>> explainer = Explainer.from_config(
        ...     "configs/face_detection/blazeface_1000e.yml", weights="blazeface_1000e.pdparams"
        ... )
        >>> result = explainer("demo/astronaut.jpg")
        >>> result.explanations[0].heatmap.shape  # float32, the image's height and width
        (512, 512)
    """

    def __init__(
        self,
        detector: Detector,
        *,
        layers: str | Sequence[str] = (DEFAULT_LAYER,),
        method: str = DEFAULT_METHOD,
        draw_threshold: float = DEFAULT_THRESHOLD,
    ) -> None:
        """Prepares explanations.

        Args:
            detector: the model, with its weights loaded.
            layers: dotted path, or several, of the layers to look at together.
            method: name of the CAM method.
            draw_threshold: boxes with a lower score are not explained.

        Raises:
            LayerError: a path names no layer.
            UnknownNameError: no such method.
            ConfigError: no layer, or a threshold outside 0 to 1.
        """
        layers = (layers,) if isinstance(layers, str) else tuple(layers)
        if not layers or not all(isinstance(path, str) for path in layers):
            raise ConfigError(f"layers must be dotted paths such as '{DEFAULT_LAYER}', not {layers!r}")
        if not 0.0 <= draw_threshold <= 1.0:
            raise ConfigError(f"draw_threshold must lie between 0 and 1, not {draw_threshold}")
        self.detector = detector
        self.layers = layers
        self.method = method
        self.draw_threshold = draw_threshold
        self._method = methods.get(method)
        self._image_layers, self._roi_layers = detector.layers(self.layers)

    @classmethod
    def from_config(
        cls,
        config: str | Path,
        *,
        weights: str | Path | None = None,
        layers: str | Sequence[str] = (DEFAULT_LAYER,),
        overrides: Sequence[str] | Mapping[str, object] = (),
        method: str = DEFAULT_METHOD,
        draw_threshold: float = DEFAULT_THRESHOLD,
    ) -> Explainer:
        """Returns an explainer for a ppdet config, with its weights loaded.

        Args:
            config: a ppdet YAML file.
            weights: file or URL; by default the config's own `weights`.
            layers: dotted path, or several, of the layers to look at together.
            overrides: as ppdet's `-o`: "key=value" strings, or a mapping.
            method: name of the CAM method.
            draw_threshold: boxes with a lower score are not explained.

        Raises:
            ConfigError, WeightsError, LayerError, UnknownNameError, GeometryError: what was wrong is in the message.
        """
        detector, settings = build_detector(config, overrides=overrides)
        explainer = cls(detector, layers=layers, method=method, draw_threshold=draw_threshold)
        detector.load_weights(weights_of(settings, weights))
        return explainer

    def __call__(self, image: str | Path | np.ndarray | Frame) -> ImageResult:
        """Returns all explanations of one image.

        Args:
            image: a file, or a uint8 array [H, W, 3] in RGB (or grayscale [H, W], RGBA [H, W, 4]), or a frame.

        Raises:
            ImageError: not an image.
            LayerError: a layer gives no feature map.
        """
        started = time.perf_counter()
        stream = self.stream(image)
        detected = time.perf_counter()
        explanations = tuple(stream.explanations)
        seconds = {"detect": detected - started, "explain": time.perf_counter() - detected}
        return ImageResult(stream.frame, stream.detections, explanations, seconds)

    def stream(self, image: str | Path | np.ndarray | Frame) -> ExplanationStream:
        """Returns the detections, and the explanations one at a time: for images with many boxes."""
        frame = _frame(image)
        forward = self.detector.forward(frame, self._image_layers)
        for path in self._image_layers:
            forward.capture.feature_maps(path)
        chosen = [detection for detection in forward.detections if detection.score >= self.draw_threshold]
        return ExplanationStream(frame, forward.detections, self._explanations(forward, chosen))

    def _explanations(self, forward: ForwardPass, chosen: Sequence[Detection]) -> Iterator[Explanation]:
        rois: Iterator[list[FeatureMap]] = iter(())
        if self._roi_layers and chosen:
            rois = roi_features(forward, self._roi_layers, chosen)
        for detection in chosen:
            features = image_features(forward, list(self._image_layers), detection) if self._image_layers else []
            yield self._explanation(detection, features + next(rois, []), forward)

    def _explanation(self, detection: Detection, features: Sequence[FeatureMap], forward: ForwardPass) -> Explanation:
        heatmap, levels, status = map_on_image(
            features, self._method, forward.geometry, cell_strides=forward.cell_strides
        )
        rois = [feature.roi_xyxy for feature in features if feature.roi_xyxy is not None]
        return Explanation(
            detection=detection,
            method=self.method,
            layers=self.layers,
            levels=levels,
            heatmap=heatmap,
            status=status,
            box_xyxy_roi=box_on_original(rois[0], forward.geometry) if rois else None,
        )


def _frame(image: str | Path | np.ndarray | Frame) -> Frame:
    if isinstance(image, Frame):
        return image
    return frame_from_array(image) if isinstance(image, np.ndarray) else read_image(Path(image))


def build_detector(
    config: str | Path, *, overrides: Sequence[str] | Mapping[str, object] = ()
) -> tuple[Detector, dict[str, object]]:
    """Returns a config's detector, without its weights, and the merged settings."""
    file_settings = read_settings(find_file(Path(config)))
    changes = dict(overrides) if isinstance(overrides, Mapping) else parse_overrides(overrides)
    check_overrides(changes, file_settings)
    settings = merge(file_settings, changes)
    return Detector(settings), settings


def weights_of(settings: Mapping[str, object], weights: str | Path | None) -> str:
    """Returns the weights asked for, or else the config's own."""
    chosen = weights if weights is not None else settings.get("weights")
    if isinstance(chosen, (str, Path)) and str(chosen):
        return str(chosen) if "://" in str(chosen) else str(find_file(Path(chosen)))
    if chosen:
        raise ConfigError(f"weights must be a file or a URL, not {chosen!r}. Give them: -o weights=<file>.pdparams")
    raise ConfigError(f"config {settings.get('filename')!r} names no weights. Give them: -o weights=<file>.pdparams")
