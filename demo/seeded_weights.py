#!/usr/bin/env python3
r"""Makes weights for a config that were never trained: seeded, and set so that some boxes of one image score high.

    python demo/seeded_weights.py -c configs/ssd/ssd_mobilenet_v1_300_120e_voc.yml --infer_img demo/cat.jpg \
        --out seeded_ssd.pdparams

Such a detector knows nothing of the world: its boxes and maps mean nothing. It stands in where trained weights are
not at hand, to show that the whole chain runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam.detectors.building import build_detector  # noqa: E402
from ppdet_cam.detectors.detector import Detector  # noqa: E402  (needs the path above)
from ppdet_cam.images.reading import read_image  # noqa: E402
from ppdet_cam.places import find_file  # noqa: E402
from ppdet_cam.structures import Contest, Frame, Quantity  # noqa: E402

import paddle  # isort: skip  # noqa: E402  (after ppdet_cam, which loads what paddle needs loaded before it)
from paddle import nn  # noqa: E402

# Spread of the class logits over the image: enough for scores to differ, too little to saturate.
SIGMOID_SPREAD, SOFTMAX_SPREAD, BOX_SPREAD = 1.0, 3.0, 0.3
FEATURE_SPREAD = 1.0  # of what object queries look at
QUERY_SPREAD = 1.0  # of object queries' boxes, which start from nowhere
QUERY_SOFTMAX_SPREAD = 6.0  # their best class is to score 0.5 without the help of a low background
TOP_SCORE_LOGIT = 0.6  # the best box's logit over its rivals: scores about 0.5 to 0.8


def seed_detector(detector: Detector, frame: Frame, *, seed: int = 0, boxes: int = 4) -> None:
    """Fills a detector with seeded weights so that about `boxes` candidates of `frame` score above 0.5.

    The last layers are scaled by what reaches them on this image, so that neither scores nor box offsets saturate,
    as those of freshly initialised detectors do.
    """
    random = np.random.default_rng(seed)
    _fill(detector.model, random)
    if not hasattr(detector.model, "detr_head"):
        _fill_queries_and_masks(detector.model, np.random.default_rng([seed, 5]))
    if hasattr(detector.model, "yolo_head") and detector.model.post_process is not None:
        _seed_anchor_yolo(detector, frame, boxes=boxes)
        return
    if Quantity.ROTATED in detector.extractor.quantities:
        _seed_rotated(detector, frame, random, boxes=boxes)
        return
    factors = _factor_layers(detector)
    class_layers, box_layers, softmax = _last_layers(detector)
    _start_anew(list(dict.fromkeys([*class_layers, *box_layers])), random)
    _let_stages_agree(detector.model)
    if hasattr(detector.model, "detr_head"):
        projections = getattr(detector.model.transformer, "input_proj", None)
        norms = [one for one in projections.sublayers() if isinstance(one, nn.BatchNorm2D)] if projections else []
        if norms:  # as training leaves them: gradients through sampled points grow with the features, layer by layer
            _standardise(detector, frame, norms, spread=FEATURE_SPREAD)
        _standardise(detector, frame, box_layers, spread=QUERY_SPREAD)
        _standardise(detector, frame, class_layers, spread=QUERY_SOFTMAX_SPREAD if softmax else SIGMOID_SPREAD)
        if softmax:  # in a large image the queries are alike: the best class is to stand out, or none would reach 0.5
            inputs, geometry = detector.reader.prepare(frame)
            scores = detector.extractor.candidates(detector.replay(inputs, frame)[1], geometry).scores
            bias = class_layers[0].bias.numpy()
            bias[scores.max(axis=0).argmax()] += QUERY_SOFTMAX_SPREAD
            class_layers[0].bias.set_value(bias)
        changed = [(layer, slice(len(detector.class_names))) for layer in class_layers]
        _lift(detector, frame, changed, boxes=boxes, added_to_logits=not softmax)
        return
    rpn = getattr(detector.model, "rpn_head", None)
    if hasattr(rpn, "rpn_rois_delta"):  # proposals first: the second stage sees what they pick
        _standardise(detector, frame, [rpn.rpn_rois_delta], spread=BOX_SPREAD)
    if factors:
        _standardise(detector, frame, [*class_layers, *factors], spread=SIGMOID_SPREAD)
        _standardise(detector, frame, [layer for layer in box_layers if layer not in factors], spread=BOX_SPREAD)
        if hasattr(detector.model, "fcos_head"):  # a distance below zero counts as zero
            bias = detector.model.fcos_head.fcos_head_reg.bias
            bias.set_value(bias.numpy() + 2.0)
        # where one layer gives box and objectness, the objectness is the last number
        changed = [(layer, slice(None)) for layer in class_layers] + [(layer, slice(-1, None)) for layer in factors]
        _lift(detector, frame, changed, boxes=boxes)
        return
    _standardise(detector, frame, [layer for layer in box_layers if layer not in class_layers], spread=BOX_SPREAD)
    for layer, cells in _distances(detector.model):
        layer.bias.set_value(layer.bias.numpy() + np.float32(cells))
    logits = _standardise(detector, frame, class_layers, spread=SOFTMAX_SPREAD if softmax else SIGMOID_SPREAD)
    if hasattr(getattr(detector.model, "yolo_head", None), "pred_ins"):  # PP-YOLOE-Ins: a mask is a sum of products
        head = detector.model.yolo_head
        _standardise(detector, frame, [*head.pred_ins, head.proto.conv3.bn], spread=SIGMOID_SPREAD)
    if hasattr(detector.model, "solov2_head"):  # a product with how sure the mask's pixels are
        head = detector.model.solov2_head
        _standardise(detector, frame, [head.solo_kernel], spread=BOX_SPREAD)
        _standardise(detector, frame, [head.solo_cate], spread=SOFTMAX_SPREAD)  # or far too many would be candidates
        _lift(detector, frame, [(head.solo_cate, slice(None))], boxes=boxes)
        return
    if hasattr(getattr(detector.model, "bbox_head", None), "bbox_score_list"):  # a mean over several softmaxes
        _lift(detector, frame, [(layer, slice(None, -1)) for layer in class_layers], boxes=boxes)
        return
    if softmax and any(layer.bias is None for layer in class_layers):
        columns = len(detector.class_names) + 1
        _lift(
            detector,
            frame,
            [(layer, np.arange(_outputs(layer)) % columns < columns - 1) for layer in class_layers],
            boxes=boxes,
        )
        return
    if softmax:
        _set_background(class_layers, logits, detector, boxes)
        return
    classes = len(detector.class_names)  # one layer may give logits, and the boxes behind them
    own = slice(0, classes) if box_layers == class_layers else slice(None)
    highest = np.sort(np.concatenate([values[:, own].ravel() for values in logits]))[::-1]
    if detector.extractor.keep_rule.contest is Contest.PEAKS:  # of which there are fewer than cells
        scores = detector.predict(frame)[:, 1]
        highest = np.sort(np.log(scores / np.maximum(1 - scores, 1e-6) + 1e-9))[::-1]
    for layer in class_layers:
        bias = layer.bias.numpy()
        bias[own] -= np.float32(highest[boxes] - 0.01)
        layer.bias.set_value(bias)


def _fill(model: nn.Layer, random: np.random.Generator) -> None:
    """Fills every layer with He-scaled normal weights; normalisation and PP-YOLOE's projection stay as built."""
    has_queries = any(isinstance(layer, nn.Embedding) for layer in model.sublayers()) or hasattr(model, "detr_head")
    # ppdet draws the biases of what works on queries at random
    for name, layer in model.named_sublayers():
        if isinstance(layer, (nn.Conv2D, nn.Linear)) and not name.endswith("proj_conv"):
            fan_in = int(np.prod(layer.weight.shape)) // _outputs(layer)
            layer.weight.set_value(random.normal(0, (1.5 / fan_in) ** 0.5, layer.weight.shape).astype(np.float32))
            if has_queries and layer.bias is not None and not name.endswith("sampling_offsets"):
                layer.bias.set_value(np.zeros(layer.bias.shape, np.float32))
        if isinstance(layer, nn.Embedding):
            layer.weight.set_value(random.normal(0, 1, layer.weight.shape).astype(np.float32))
        joint = getattr(layer, "in_proj_weight", None)  # of ppdet's attention: queries, keys and values
        if joint is not None:
            joint.set_value(random.normal(0, joint.shape[0] ** -0.5, joint.shape).astype(np.float32))


def _fill_queries_and_masks(model: nn.Layer, random: np.random.Generator) -> None:
    """Seeds what queries and masks are made of, and puts learned proposals all over the image: as built all are it."""
    for layer in (layer for layer in model.sublayers() if isinstance(layer, nn.Conv2DTranspose)):
        layer.weight.set_value(random.normal(0, layer.weight.shape[0] ** -0.5, layer.weight.shape).astype(np.float32))
    queries = [layer for _, layer in model.named_sublayers() if isinstance(layer, nn.Embedding)]
    for layer in queries:
        count, numbers = layer.weight.shape
        places = np.concatenate([random.uniform(0.2, 0.8, (count, 2)), random.uniform(0.2, 0.6, (count, 2))], axis=1)
        layer.weight.set_value((places if numbers == 4 else random.normal(0, 1, (count, numbers))).astype(np.float32))


def _start_anew(layers: Sequence[nn.Layer], random: np.random.Generator) -> None:
    for layer in layers:
        fan_in = int(np.prod(layer.weight.shape)) // _outputs(layer)
        # small: `_standardise` scales them by what they give, and the exponential of a large size is infinite
        layer.weight.set_value(random.normal(0, 0.01 * fan_in**-0.5, layer.weight.shape).astype(np.float32))
        if layer.bias is not None:
            layer.bias.set_value(np.zeros(layer.bias.shape, np.float32))


def _let_stages_agree(model: nn.Layer) -> None:
    """Makes a cascade's later stages much like its first: the score is their mean, low where they differ."""
    head = getattr(model, "bbox_head", None)
    if not hasattr(head, "bbox_score_list"):
        return
    for stages in (head.head.head_list, head.bbox_score_list):
        for later in stages[1:]:
            for first, own in zip(stages[0].parameters(), later.parameters()):
                own.set_value(first.numpy() + 0.15 * own.numpy())


def _outputs(layer: nn.Layer) -> int:
    return int(layer.weight.shape[0] if isinstance(layer, nn.Conv2D) else layer.weight.shape[1])


def _last_layers(detector: Detector) -> tuple[list[nn.Layer], list[nn.Layer], bool]:
    """Returns (layers that give class logits, layers that give box offsets, whether scores are a softmax)."""
    model = detector.model
    if hasattr(model, "detr_head"):
        return (*_query_layers(model), not model.post_process.use_focal_loss)
    if hasattr(model, "solov2_head"):
        return [model.solov2_head.solo_cate], [], False
    if hasattr(model, "roi_head"):  # QueryInst
        stages = model.roi_head.bbox_heads
        return [stages[-1].fc_cls], [stage.fc_reg for stage in stages], False
    if hasattr(getattr(model, "head", None), "head_series"):  # Sparse R-CNN
        stages = model.head.head_series
        return [stages[-1].class_logits], [stage.bboxes_delta for stage in stages], False
    if hasattr(model, "bbox_head"):
        head = model.bbox_head
        if hasattr(head, "bbox_score_list"):
            return list(head.bbox_score_list), list(head.bbox_delta_list), True
        return [getattr(head, "cot_bbox_score", head.bbox_score)], [head.bbox_delta], True  # the first one by co-tuning
    if hasattr(model, "yolo_head"):
        return list(model.yolo_head.pred_cls), list(model.yolo_head.pred_reg), False
    if hasattr(model, "ttf_head"):
        return [model.ttf_head.hm_head.head], [model.ttf_head.wh_head.head], False
    if hasattr(model, "fcos_head"):
        return [model.fcos_head.fcos_head_cls], [model.fcos_head.fcos_head_reg], False
    if hasattr(model, "head"):
        return (*_dense_layers(model.head), False)
    head = model.ssd_head if hasattr(model, "ssd_head") else model.blaze_head
    last = [[getattr(layer, "pw_conv", layer) for layer in layers] for layers in (head.score_convs, head.box_convs)]
    return last[0], last[1], True


def _query_layers(model: nn.Layer) -> tuple[list[nn.Layer], list[nn.Layer]]:
    """Returns the layers that give object queries their class logits and boxes, the last decoder layer's first."""
    head, transformer = model.detr_head, model.transformer
    if hasattr(head, "score_head"):
        return [head.score_head], [head.bbox_head.layers[-1]]
    if hasattr(transformer, "dec_score_head"):
        last = getattr(transformer.decoder, "eval_idx", len(transformer.dec_bbox_head) - 1)  # RT-DETR may stop earlier
        boxes = list(transformer.dec_bbox_head)[: last + 1]
        return [transformer.dec_score_head[last]], [one.layers[-1] for one in boxes]
    return [transformer.score_head], [transformer.bbox_head.layers[-1]]


def _dense_layers(head: nn.Layer) -> tuple[list[nn.Layer], list[nn.Layer]]:
    """Returns the layers that give class logits and box offsets, by the names that ppdet has for them."""
    if hasattr(head, "head_cls_list"):  # PicoDet; without layers for the boxes, the classes' give them too
        return list(head.head_cls_list), list(head.head_reg_list) or list(head.head_cls_list)
    if hasattr(head, "heatmap"):  # CenterNet
        return [head.heatmap[2].conv], [head.size[2].conv, head.offset[2].conv]
    if hasattr(head, "conv_cls"):  # YOLOX
        return [layers[-1] for layers in head.conv_cls], [layers[-1] for layers in head.conv_reg]
    pairs = (("retina_cls", "retina_reg"), ("gfl_head_cls", "gfl_head_reg"), ("tood_cls", "tood_reg"))
    classes, boxes = next(
        pair for pair in (*pairs, ("cls_score", "bbox_pred")) if getattr(head, pair[0], None) is not None
    )
    return [getattr(head, classes)], [getattr(head, boxes)]


def _distances(model: nn.Layer) -> list[tuple[nn.Layer, list[float] | float]]:
    """Returns heat map heads' layers that give distances or sizes, and what to add so that boxes have an area."""
    if hasattr(model, "ttf_head"):
        return [(model.ttf_head.wh_head.head, 1.0)]
    found: list[tuple[nn.Layer, list[float] | float]] = []
    if hasattr(getattr(model, "head", None), "heatmap"):
        found.append((model.head.size[2].conv, 4.0))
    if hasattr(model, "plugin_head"):  # CenterTrack: where the sides lie of the cell
        found.append((model.plugin_head.ltrb_amodal[2].conv, [-4.0, -4.0, 4.0, 4.0]))
    return found


def _factor_layers(detector: Detector) -> list[nn.Layer]:
    """Returns the layers of what class probabilities are multiplied with: objectness, centre-ness, alignment."""
    model = detector.model
    if hasattr(model, "fcos_head"):
        return [model.fcos_head.fcos_head_centerness]
    head = getattr(model, "head", None)
    if hasattr(head, "conv_reg"):
        return [layers[-1] for layers in head.conv_reg]
    if hasattr(head, "cls_align"):
        return [layer.bn2 for layer in head.cls_align]
    names = ("cls_prob_conv2", "object_pred")
    return [getattr(head, name) for name in names if hasattr(head, name)]


def _lift(
    detector: Detector,
    frame: Frame,
    changed: Sequence[tuple[nn.Layer, slice | np.ndarray]],
    *,
    boxes: int,
    added_to_logits: bool = False,
) -> None:
    """Raises these parts of layers' biases by one number, until about `boxes` candidates score above 0.5.

    Of a layer without a bias each output's weights, by the number divided among them. Where the number is added to the
    logit of every score and changes nothing else, the detector runs once.
    """
    inputs, geometry = detector.reader.prepare(frame)

    def scores_now() -> np.ndarray:
        return detector.extractor.candidates(detector.replay(inputs, frame)[1], geometry).scores.ravel()

    logits = None
    if added_to_logits:
        shown = scores_now().astype(np.float64)
        logits = np.log(shown) - np.log1p(-shown)
    parameters = [(layer.weight if layer.bias is None else layer.bias, part) for layer, part in changed]
    before = [(parameter, part, parameter.numpy()) for parameter, part in parameters]

    def lift(raised: float) -> None:
        for parameter, part, values in before:
            lifted = values.copy()
            lifted[part] += np.float32(raised * len(values) / values.size)
            parameter.set_value(lifted)

    def best_and_next(raised: float) -> tuple[float, float]:
        """Returns the best score and the first one that is too many."""
        if logits is None:
            lift(raised)
        scores = np.sort(scores_now() if logits is None else 1 / (1 + np.exp(-(logits + raised))))[::-1]
        return float(scores[0]), float(scores[boxes])

    low, high = -48.0, 48.0
    for halvings in range(20):  # to 0.0001, for candidates that are much alike
        middle = (low + high) / 2
        best, following = best_and_next(middle)
        if following >= 0.4999:
            high = middle
            continue
        low = middle
        if halvings > 11 and best > 0.5001:
            break
    lift(low)


def _standardise(detector: Detector, frame: Frame, layers: list[nn.Layer], *, spread: float) -> list[np.ndarray]:
    """Scales each output of `layers` to mean 0, deviation `spread` on this image; returns them, [rows, outputs].

    The mean of a layer without a bias stays where it is.
    """
    seen: dict[int, list[np.ndarray]] = {index: [] for index in range(len(layers))}
    hooks = [
        layer.register_forward_post_hook(lambda one, _i, out, index=index: seen[index].append(_rows(one, out.numpy())))
        for index, layer in enumerate(layers)
    ]
    inputs, _ = detector.reader.prepare(frame)
    detector.replay(inputs, frame)  # not the last step: boxes may be infinite so far
    for hook in hooks:
        hook.remove()
    outputs = []
    for index, layer in enumerate(layers):
        rows = np.concatenate(seen[index])  # of all calls: some heads run one layer on every level
        mean, deviation = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        factor = (spread / deviation).astype(np.float32)
        shape = {nn.Conv2D: [-1, 1, 1, 1], nn.BatchNorm2D: [-1]}.get(type(layer), [1, -1])
        layer.weight.set_value(layer.weight.numpy() * factor.reshape(shape))
        if layer.bias is None:
            mean = np.zeros_like(mean)
        else:
            layer.bias.set_value((layer.bias.numpy() - mean) * factor)
        outputs.append((rows - mean) * factor)
    return outputs


def _seed_anchor_yolo(detector: Detector, frame: Frame, *, boxes: int) -> None:
    """Does the same where one layer gives box, objectness and classes, and the score is a product."""
    head, classes = detector.model.yolo_head, len(detector.class_names)
    layers = list(head.yolo_outputs)
    _standardise(detector, frame, layers, spread=SIGMOID_SPREAD)
    anchors = len(head.anchors[0])
    numbers = np.arange(anchors * (5 + classes)).reshape(anchors, -1) + (anchors if head.iou_aware else 0)
    first = 4 if detector.extractor.quantities & {Quantity.OBJECTNESS} else 5  # JDE's background is not lifted
    _lift(detector, frame, [(layer, numbers[:, first:].ravel()) for layer in layers], boxes=boxes)


def _seed_rotated(detector: Detector, frame: Frame, random: np.random.Generator, *, boxes: int) -> None:
    """Does the same for boxes with an angle: boxes of a few cells' size, turned differently."""
    head = getattr(detector.model, detector.extractor.head_name)
    if hasattr(head, "odm_cls"):  # S2ANet: the second stage looks where the first one says
        places, angles, classes = [head.fam_reg, head.odm_reg], [], [head.odm_cls]
        if head.align_conv_type == "AlignConv":  # ppdet draws it from paddle's own lots
            weight = head.align_conv.align_conv.weight
            weight.set_value(random.normal(0, 0.01, weight.shape).astype(np.float32))
    elif hasattr(head, "pred_xy"):  # FCOSR
        places, angles, classes = [head.pred_xy, head.pred_wh], [head.pred_angle], [head.pred_cls]
    else:
        places, angles, classes = list(head.pred_reg), list(head.pred_angle), list(head.pred_cls)
    _start_anew([*places, *angles, *classes], random)
    for layer in places:
        _standardise(detector, frame, [layer], spread=BOX_SPREAD)
        if angles and layer is not getattr(head, "pred_xy", None):  # width and height come last, in strides
            layer.bias.set_value(layer.bias.numpy() + np.array([0, 0, 3, 1], np.float32)[-layer.bias.shape[0] :])
    _standardise(detector, frame, angles, spread=SOFTMAX_SPREAD)
    _standardise(detector, frame, classes, spread=SIGMOID_SPREAD)
    _lift(detector, frame, [(layer, slice(None)) for layer in classes], boxes=boxes)


def _rows(layer: nn.Layer, output: np.ndarray) -> np.ndarray:
    if isinstance(layer, nn.Linear):
        return output.reshape(-1, output.shape[-1])
    return output.transpose(0, 2, 3, 1).reshape(-1, output.shape[1]) if output.ndim == 4 else output


def _set_background(layers: list[nn.Layer], logits: list[np.ndarray], detector: Detector, boxes: int) -> None:
    """Raises the background's bias until about `boxes` rows have a class above 0.5."""
    classes = len(detector.class_names) + 1
    rows = np.concatenate([values.reshape(-1, classes) for values in logits])
    others = np.sort(rows[:, :-1], axis=1)
    best = others[:, -1]
    # score > 0.5 where the best class outweighs the other classes and the background together
    spare = np.log(np.maximum(np.exp(best) - np.exp(others[:, :-1]).sum(axis=1), 1e-9)) - rows[:, -1]
    raised = np.float32(np.sort(spare)[::-1][boxes])
    for layer in layers:
        bias = layer.bias.numpy().reshape(-1, classes)
        bias[:, -1] += raised
        layer.bias.set_value(bias.reshape(-1))


def main() -> int:
    """Writes seeded weights for one config."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--config", type=Path, required=True)
    parser.add_argument("-o", "--opt", nargs="*", default=[])
    parser.add_argument("--infer_img", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    detector, _ = build_detector(options.config, overrides=options.opt)
    seed_detector(detector, read_image(find_file(options.infer_img)), seed=options.seed)
    paddle.save(detector.model.state_dict(), str(options.out))
    print(f"seeded, untrained weights: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
