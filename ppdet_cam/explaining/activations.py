"""A plain look at layers: what their channels show of an image, whatever the boxes. No gradient is taken."""

from __future__ import annotations

from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.layer_names import parse_layers
from ppdet_cam.errors import LayerError
from ppdet_cam.explaining.evidence import placement_of, stride_of
from ppdet_cam.methods import strongest_channels
from ppdet_cam.questions.question import ACTIVATIONS, Question
from ppdet_cam.structures import FeatureKind, FeatureMap, Frame, LayerView


def check_layers(detector: Detector, question: Question) -> None:
    """Checks that all layers of a question see the whole image.

    Raises:
        LayerError: a path names no layer, or one that sees one RoI at a time.
    """
    _, roi_layers = detector.layers(list(parse_layers(question.layers)))
    if roi_layers:
        raise LayerError(
            f"layer {next(iter(roi_layers))!r} sees one RoI at a time, and --method {ACTIVATIONS} looks at layers of "
            "the whole image; choose model.backbone or model.neck, or another method. List them: --list_layers"
        )


def forward_for_views(detector: Detector, frame: Frame, question: Question) -> ForwardPass:
    """Returns the image's forward pass with the question's layers captured, without a graph."""
    image_layers, _ = detector.layers(list(parse_layers(question.layers)))
    return detector.forward(frame, image_layers, wanted=None)


def layer_views(forward: ForwardPass, question: Question) -> tuple[LayerView, ...]:
    """Returns what each level of the layers shows: the mean over its channels, their maximum, the strongest of them.

    Raises:
        LayerError: a layer gives no feature map, or not the level that is asked for.
    """
    chosen = parse_layers(question.layers).items()
    levels = [(path, level) for path, wanted in chosen for level in forward.capture.chosen(path, wanted)]
    return tuple(_view(forward, path, level, question.channels) for path, level in levels)


def _view(forward: ForwardPass, path: str, level: int, count: int) -> LayerView:
    values = forward.capture.array(path, level)[0]
    feature = FeatureMap(path, level, FeatureKind.IMAGE, values, None)
    strongest = strongest_channels(values, count)
    return LayerView(
        layer=path,
        level=level,
        stride_yx=stride_of(feature, forward.geometry, cell_strides=forward.cell_strides),
        placement=placement_of(feature, forward.geometry, cell_strides=forward.cell_strides),
        channel_count=len(values),
        mean=values.mean(axis=0),
        maximum=values.max(axis=0),
        strongest=tuple((int(channel), values[channel].copy()) for channel in strongest),
    )
