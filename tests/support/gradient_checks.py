"""Forward passes of small detectors, and central differences to hold their gradients against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppdet_cam.detectors.capture import replaced_methods
from ppdet_cam.detectors.detector import Detector, ForwardPass
from ppdet_cam.detectors.families.base import Extractor, KeptRow
from ppdet_cam.detectors.families.s2anet import S2ANetExtractor
from ppdet_cam.detectors.families.solov2 import SOLOv2Extractor
from ppdet_cam.detectors.families.sparse_rcnn import SparseExtractor
from ppdet_cam.explaining.gradients import image_features
from ppdet_cam.questions.targets import Target, available_kinds, parse_target
from ppdet_cam.structures import Detection, FeatureMap, Frame, Quantity

THRESHOLD = 0.5
BACKBONE = "model.backbone"

# how far a number of each kind is moved: probabilities by this part of their slope, the others as they are
LOGIT_STEP, PIXEL_STEP = 0.02, 0.05
# where sampling points move from cell to cell the number has a kink: shorter steps meet fewer of them
AMONG_KINKS, PIXELS_AMONG_KINKS = 0.05, 0.6
# convolutions made of a query's own numbers bend early
AMONG_BENDS = 0.1


def part_of_step(extractor: Extractor, quantity: Quantity) -> float:
    """How much of a usual step a number of a head can be moved by."""
    if isinstance(extractor, SparseExtractor):
        return AMONG_BENDS
    if isinstance(extractor, S2ANetExtractor):  # its second stage samples where the first one says
        return PIXELS_AMONG_KINKS
    if any(hasattr(layer, "sampling_offsets") for layer in extractor.model.sublayers()):
        return PIXELS_AMONG_KINKS if quantity is Quantity.BOXES else AMONG_KINKS
    return 1.0


def difference(forward: ForwardPass, above: float, at: float, below: float, step: float, analytic: float) -> float:
    """The central difference; of heads with so many bends that one lies within a step, that of either side may do."""
    central = (above - below) / (2 * step)
    sides = [(above - at) / step, (at - below) / step] if isinstance(forward.extractor, SparseExtractor) else []
    return min([central, *sides], key=lambda found: abs(found - analytic))


def forward_of(
    detector: Detector, photo: Frame, layers: Sequence[str] = (BACKBONE,), *, wanted: Quantity = Quantity.PROBABILITIES
) -> tuple[ForwardPass, list[Detection], dict]:
    """A forward pass, its detections above the threshold, and the RoI layers among `layers`."""
    image_layers, roi_layers = detector.layers(layers)
    forward = detector.forward(photo, image_layers, wanted=wanted)
    chosen = [detection for detection in forward.detections if detection.score >= THRESHOLD]
    assert chosen, "the seeded detector finds nothing"
    return forward, chosen, roi_layers


def target_of(detector: Detector, text: str = "class") -> Target:
    """The target of a text, for this detector."""
    return parse_target(text, detector.class_names, known=detector.extractor.quantities, detector=detector.name)


def targets_of(detector: Detector, kept: KeptRow, other_id: int) -> list[str]:
    """Every target that the detector has, by the text that names it; `other_id` is some other class."""
    other = detector.class_names[other_id]
    texts = {
        "class": ["class"],
        "logit": ["logit"],
        "lead": ["lead"] if len(detector.class_names) > 1 else [],
        "objectness": ["objectness"],
        "iou": ["iou"],
        "centerness": ["centerness"],
        "mask": ["mask"],
        "rpn": ["rpn"],
        "box": ["box"],  # its parts are the four sides
        "rotated": ["rotated:x", "rotated:height", "rotated:angle"],
        "contrast": [f"contrast:{other}"] if other_id != kept.class_id else [],
        "other": [f"other:{other}"],
    }
    kinds = [kind.form.partition("[")[0].partition(":")[0] for kind in available_kinds(detector.extractor.quantities)]
    return [text for kind in kinds for text in texts[kind]]


def features_of(
    forward: ForwardPass, kept: KeptRow, target: Target, layers: Sequence[str] = (BACKBONE,)
) -> list[list[FeatureMap]]:
    """For each part of a target, all feature maps of some whole-image layers with its gradient."""
    return image_features(forward, {path: forward.capture.chosen(path, None) for path in layers}, kept, target)


def slope(score: float) -> float:
    """d score / d logit of a score between 0 and 1: near 0 when it is saturated."""
    return score * (1 - score)


def gradients_of(features: Sequence[FeatureMap]) -> list[np.ndarray]:
    """The gradients, zero where no path leads to the number."""
    return [
        np.zeros_like(feature.activations) if feature.gradients is None else feature.gradients for feature in features
    ]


def directions_along(gradients: Sequence[np.ndarray], keeps: Sequence[float]) -> list[list[np.ndarray]]:
    """The gradient's own direction, with each activation kept or left out at random: one direction per share."""
    size = np.sqrt(sum(float((gradient.astype(np.float64) ** 2).sum()) for gradient in gradients))
    assert size > 0
    random = np.random.default_rng(0)
    return [[gradient * (random.random(gradient.shape) < keep) / size for gradient in gradients] for keep in keeps]


def dot(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """The scalar product, summed in float64."""
    return sum(float((one * other).sum(dtype=np.float64)) for one, other in zip(ones, others))


# --- the class score, through ppdet's own heads


def score_from_backbone(detector, features, forward, kept):
    """The score recomputed through ppdet's own heads, by another way than the extractor's."""
    model = detector.model
    neck = getattr(model, "neck", None)
    necked = neck(features) if neck is not None else features
    if hasattr(model, "detr_head"):
        return query_score(forward, necked, kept)
    if isinstance(forward.extractor, SOLOv2Extractor):
        return solov2_score(model, necked, forward, kept)
    if isinstance(forward.extractor, SparseExtractor):
        head, source = forward.extractor.head, forward.extractor.source(forward.watch, kept.row)
        with forward.extractor.boxes_only(), forward.extractor.on_sources([source]):
            said = head(necked, *forward.watch.inputs[head][0][1:])
        logits = said["pred_logits"] if "pred_logits" in said else said["class_logits"]
        return F.sigmoid(logits)[0, kept.row, kept.class_id]
    if hasattr(model, "bbox_head"):
        if hasattr(model.bbox_head, "bbox_score_list"):
            return cascade_score(model.bbox_head, necked, forward, kept)
        _, rois = forward.watch.inputs[model.bbox_head][0][:2]
        roi = rois[0][kept.row : kept.row + 1].astype(features[0].dtype)
        (_, scores), _ = model.bbox_head(necked, [roi], paddle.to_tensor([1], dtype="int32"), None)
        return scores[0, kept.class_id]
    if hasattr(model, "ttf_head"):
        return F.sigmoid(model.ttf_head(necked)[0]).flatten(2)[0, kept.class_id, kept.row]
    if hasattr(getattr(model, "head", None), "heatmap"):
        return model.head(necked, {})["heatmap"].flatten(2)[0, kept.class_id, kept.row]
    if type(getattr(model, "post_process", None)).__name__ == "JDEBBoxPostProcess":
        return model.post_process.decode(model.yolo_head(necked), model.yolo_head.mask_anchors)[1][0, kept.row, 4]
    if hasattr(model, "yolo_head") and model.post_process is not None:
        sizes = paddle.to_tensor([forward.geometry.original_hw], dtype="int32")
        # through paddle's own operator, whose value is differenced here as it has no gradient
        scores = [
            paddle.vision.ops.yolo_box(output, sizes, anchors, len(detector.class_names), 0.005, 32 // 2**level)[1]
            for level, (output, anchors) in enumerate(zip(model.yolo_head(necked), model.yolo_head.mask_anchors))
        ]
        return paddle.concat(scores, axis=1)[0, kept.row, kept.class_id]
    if hasattr(model, "yolo_head"):
        return model.yolo_head(necked)[0][0, kept.class_id, kept.row]
    if hasattr(model, "s2anet_head"):
        level, position = s2anet_place(forward, kept)
        return F.sigmoid(model.s2anet_head(necked)[1][level][0, position, kept.class_id])
    dense = getattr(model, "head", getattr(model, "fcos_head", None))
    if dense is not None and not hasattr(dense, "retina_cls"):
        return dense_score(detector, dense, necked, kept, forward)
    if dense is not None:
        level, position = anchor_of(forward, kept)
        return F.sigmoid(model.head(necked)[0][level].flatten()[position])
    head = model.ssd_head if hasattr(model, "ssd_head") else model.blaze_head
    # the anchors need an image's size only; the scores come from the features
    (_, logits), _ = head(necked, paddle.zeros([1, 3, *forward.geometry.padded_hw]))
    return F.softmax(paddle.concat(logits, axis=1))[0, kept.row, kept.class_id]


def query_score(forward, necked, kept):
    """A query's score through ppdet's transformer and head, with the queries where they were."""
    model, source = forward.extractor.model, forward.extractor.source(forward.watch, kept.row)
    with forward.extractor.on_sources([source]), forward.extractor.whole_graph():
        _, logits, _ = model.detr_head(
            model.transformer(necked, *forward.watch.inputs[model.transformer][0][1:]), necked
        )
    has_background = not model.post_process.use_focal_loss
    scores = F.softmax(logits) if has_background else F.sigmoid(logits)
    return scores[0, kept.row, kept.class_id]


def solov2_score(model, necked, forward, kept):
    """SOLOv2's score before NMS out of what its two heads give, over the pixels that the mask has as it is."""
    source = forward.extractor.source(forward.watch, kept.row)
    features, (classes, kernels) = model.mask_head(necked), model.solov2_head(necked)
    side = int(kernels[source.level].shape[-1])
    row, column = divmod(source.position, side)
    kernel = kernels[source.level][0, :, row, column]
    probabilities = F.sigmoid((features[0] * kernel.reshape([-1, 1, 1])).sum(axis=0)).flatten()
    own_class = classes[source.level][0, row, column, kept.class_id]
    return own_class * probabilities.gather(paddle.to_tensor(source.mask.pixels)).mean()


def last_step_of(detector: Detector) -> object:
    """The object that chooses the detections: NMS, what finds peaks, or ppdet's post-processing of queries."""
    extractor = detector.extractor
    if hasattr(detector.model, "detr_head"):
        return detector.model.post_process
    if isinstance(extractor, SparseExtractor):
        return getattr(detector.model, extractor.post_process_name)
    if isinstance(extractor, SOLOv2Extractor):
        return detector.model.solov2_head.mask_nms
    return getattr(extractor, "peak_finder", None) or extractor.nms_owner.nms


def cascade_score(head, necked, forward, kept):
    """A cascade's score with the RoIs of every stage as they were: pooling has no gradient in their position."""
    probabilities = []
    for stage, (_, rois, _) in enumerate(forward.watch.inputs[head.roi_extractor]):
        roi = rois[0][kept.row : kept.row + 1].astype(necked[0].dtype)
        pooled = head.roi_extractor(necked, [roi], paddle.to_tensor([1], dtype="int32"))
        logits = head.bbox_score_list[stage](head.head(pooled, stage))
        probabilities.append(F.softmax(logits)[0, kept.class_id])
    return paddle.stack(probabilities).mean()


def dense_score(detector, head, necked, kept, forward):
    """The score in what ppdet's own head and its post-processing hand to NMS."""
    given = []

    class Nms:
        def __call__(self, boxes, scores, *_):
            given.append(scores)
            return scores, None, None

    inputs = [forward.inputs[name] for name in ("im_shape", "scale_factor")]
    row, limits = kept.row, {}
    if hasattr(
        head, "na"
    ):  # YOLOF keeps the best anchors only, which are others for altered features: all of them here
        row, limits = forward.extractor.source(forward.watch, kept.row).position, {"nms_pre": None}
    with replaced_methods(head, nms=Nms(), **limits):
        made = head(necked)
        if detector.architecture in ("PicoDet", "FCOS"):
            head.post_process(made, inputs[1])
        else:
            head.post_process(made, *inputs)
    return given[0][0, kept.class_id, row]


def s2anet_place(forward: ForwardPass, kept: KeptRow) -> tuple[int, int]:
    """Where S2ANet's score really lies: found by comparing values, not by repeating the top-k."""
    grids = forward.watch.outputs[forward.extractor.model.s2anet_head.odm_cls]
    candidates = [
        (float(np.abs(values - kept.score).min()), level, int(np.abs(values - kept.score).argmin()))
        for level, grid in enumerate(grids)
        for values in [1 / (1 + np.exp(-grid.numpy()[0, kept.class_id].ravel()))]
    ]
    _, level, position = min(candidates)
    return level, position


def anchor_of(forward: ForwardPass, kept: KeptRow) -> tuple[int, int]:
    """Where RetinaNet's score really lies: found by comparing values, not by repeating the top-k."""
    logits, _ = forward.watch.outputs[forward.extractor.model.head][-1]
    candidates = [
        (abs(float(values[index]) - kept.score), level, int(index))
        for level, values in enumerate(1 / (1 + np.exp(-tensor.numpy().ravel())) for tensor in logits)
        for index in [np.abs(values - kept.score).argmin()]
    ]
    _, level, position = min(candidates)
    return level, position


def assert_gradients_equal_differences(detector: Detector, photo: Frame) -> None:
    """Compares d score / d features along several directions with central differences through ppdet's own heads.

    The box is the least saturated one, and the step moves its logit by about 0.02.
    """
    forward, chosen, _ = forward_of(detector, photo)
    detection = max(chosen, key=lambda box: slope(box.score))
    kept = forward.kept[detection.index]
    (features,) = features_of(forward, kept, target_of(detector))
    values = [paddle.to_tensor(feature.activations[None]) for feature in features]
    gradients = gradients_of(features)
    for directions in directions_along(gradients, (1.0, 0.5, 0.5)):
        analytic = dot(gradients, directions)
        short = part_of_step(forward.extractor, Quantity.PROBABILITIES)
        step = short * LOGIT_STEP * slope(detection.score) / analytic
        with paddle.no_grad():
            scores = [
                float(
                    score_from_backbone(
                        detector,
                        [
                            value + paddle.to_tensor((sign * step * direction)[None].astype(np.float32))
                            for value, direction in zip(values, directions)
                        ],
                        forward,
                        kept,
                    )
                )
                for sign in (1, 0, -1)
            ]
        assert difference(forward, *scores, step, analytic) == pytest.approx(analytic, rel=0.02)


# --- every target, through a replay of what lies behind the layer


def assert_target_equals_differences(
    detector: Detector, photo: Frame, forward: ForwardPass, kept: KeptRow, text: str
) -> None:
    """Compares d target / d backbone features with central differences of a replay with those features altered."""
    target, extractor = target_of(detector, text), forward.extractor
    wanted = target.quantity
    source = extractor.source_of(forward.watch, kept, wanted=wanted)
    shares = (1.0, 0.5)
    for part, features in zip(target.parts, features_of(forward, kept, target)):
        before = extractor.outputs(forward.watch, [source], wanted=wanted)
        value = float(part(before, 0, kept.class_id))
        logits = dict.fromkeys((Quantity.LOGITS, Quantity.MASK, Quantity.PROPOSAL, Quantity.ROTATED), LOGIT_STEP)
        moved = {Quantity.BOXES: PIXEL_STEP, **logits}.get(wanted, LOGIT_STEP * slope(abs(value)))
        gradients = gradients_of(features)
        lines = directions_along(gradients, shares)
        analytic = [dot(gradients, directions) for directions in lines]
        steps = [part_of_step(extractor, wanted) * moved / derivative for derivative in analytic]
        altered = [
            np.stack(
                [
                    feature.activations + sign * step * directions[position]
                    for step, directions in zip(steps, lines)
                    for sign in (1, 0, -1)
                ]
            )
            for position, feature in enumerate(features)
        ]
        inputs = {name: value.expand([3 * len(shares), *value.shape[1:]]) for name, value in forward.inputs.items()}
        output = [paddle.to_tensor(array.astype(np.float32)) for array in altered]
        watch, _ = detector.replay(inputs, photo, outputs={detector.model.backbone: output}, sources=[source])
        numbers = [
            float(part(extractor.outputs(watch, [source], wanted=wanted, image=image), 0, kept.class_id))
            for image in range(3 * len(shares))
        ]
        differences = [
            difference(forward, *numbers[3 * line : 3 * line + 3], step, analytic[line])
            for line, step in enumerate(steps)
        ]
        assert differences == pytest.approx(analytic, rel=0.02), text
