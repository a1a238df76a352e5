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
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam.detectors.building import build_detector  # noqa: E402
from ppdet_cam.detectors.detector import Detector  # noqa: E402  (needs the path above)
from ppdet_cam.images.reading import read_image  # noqa: E402
from ppdet_cam.places import find_file  # noqa: E402
from ppdet_cam.structures import Frame  # noqa: E402

import paddle  # isort: skip  # noqa: E402  (after ppdet_cam, which loads what paddle needs loaded before it)
from paddle import nn  # noqa: E402

# Spread of the class logits over the image: enough for scores to differ, too little to saturate.
SIGMOID_SPREAD, SOFTMAX_SPREAD, BOX_SPREAD = 1.0, 3.0, 0.3
TOP_SCORE_LOGIT = 0.6  # the best box's logit over its rivals: scores about 0.5 to 0.8


def seed_detector(detector: Detector, frame: Frame, *, seed: int = 0, boxes: int = 4) -> None:
    """Fills a detector with seeded weights so that about `boxes` candidates of `frame` score above 0.5.

    The last layers are scaled by what reaches them on this image, so that neither scores nor box offsets saturate,
    as those of freshly initialised detectors do.
    """
    random = np.random.default_rng(seed)
    _fill(detector.model, random)
    if hasattr(detector.model, "yolo_head") and detector.model.post_process is not None:
        _seed_anchor_yolo(detector, frame, boxes=boxes)
        return
    class_layers, box_layers, softmax = _last_layers(detector)
    for layer in [*class_layers, *box_layers]:
        fan_in = int(np.prod(layer.weight.shape)) // _outputs(layer)
        layer.weight.set_value(random.normal(0, fan_in**-0.5, layer.weight.shape).astype(np.float32))
        layer.bias.set_value(np.zeros(layer.bias.shape, np.float32))
    if hasattr(detector.model, "rpn_head"):  # proposals first: the second stage sees what they pick
        rpn = detector.model.rpn_head
        _standardise(detector, frame, [rpn.rpn_rois_delta], spread=BOX_SPREAD)
    _standardise(detector, frame, box_layers, spread=BOX_SPREAD)
    logits = _standardise(detector, frame, class_layers, spread=SOFTMAX_SPREAD if softmax else SIGMOID_SPREAD)
    if softmax:
        _set_background(class_layers, logits, detector, boxes)
        return
    highest = np.sort(np.concatenate([values.ravel() for values in logits]))[::-1]
    for layer in class_layers:
        layer.bias.set_value(layer.bias.numpy() - np.float32(highest[boxes] - 0.01))


def _fill(model: nn.Layer, random: np.random.Generator) -> None:
    """Fills every layer with He-scaled normal weights; normalisation and PP-YOLOE's projection stay as built."""
    for name, layer in model.named_sublayers():
        if isinstance(layer, (nn.Conv2D, nn.Linear)) and not name.endswith("proj_conv"):
            fan_in = int(np.prod(layer.weight.shape)) // _outputs(layer)
            layer.weight.set_value(random.normal(0, (1.5 / fan_in) ** 0.5, layer.weight.shape).astype(np.float32))


def _outputs(layer: nn.Layer) -> int:
    return int(layer.weight.shape[0] if isinstance(layer, nn.Conv2D) else layer.weight.shape[1])


def _last_layers(detector: Detector) -> tuple[list[nn.Layer], list[nn.Layer], bool]:
    """Returns (layers that give class logits, layers that give box offsets, whether scores are a softmax)."""
    model = detector.model
    if hasattr(model, "bbox_head"):
        return [model.bbox_head.bbox_score], [model.bbox_head.bbox_delta], True
    if hasattr(model, "yolo_head"):
        return list(model.yolo_head.pred_cls), list(model.yolo_head.pred_reg), False
    if hasattr(model, "head"):
        return [model.head.retina_cls], [model.head.retina_reg], False
    head = model.ssd_head if hasattr(model, "ssd_head") else model.blaze_head
    return list(head.score_convs), list(head.box_convs), True


def _standardise(detector: Detector, frame: Frame, layers: list[nn.Layer], *, spread: float) -> list[np.ndarray]:
    """Scales each output of `layers` to mean 0, deviation `spread` on this image; returns them, [rows, outputs]."""
    seen: dict[int, list[np.ndarray]] = {index: [] for index in range(len(layers))}
    hooks = [
        layer.register_forward_post_hook(lambda _l, _i, out, index=index: seen[index].append(_rows(out.numpy())))
        for index, layer in enumerate(layers)
    ]
    detector.predict(frame)
    for hook in hooks:
        hook.remove()
    outputs = []
    for index, layer in enumerate(layers):
        rows = np.concatenate(seen[index])
        mean, deviation = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        factor = (spread / deviation).astype(np.float32)
        shape = [-1, 1, 1, 1] if isinstance(layer, nn.Conv2D) else [1, -1]
        layer.weight.set_value(layer.weight.numpy() * factor.reshape(shape))
        layer.bias.set_value((layer.bias.numpy() - mean) * factor)
        outputs.append((rows - mean) * factor)
    return outputs


def _seed_anchor_yolo(detector: Detector, frame: Frame, *, boxes: int) -> None:
    """Does the same where one layer gives box, objectness and classes, and the score is a product."""
    head = detector.model.yolo_head
    layers = list(head.yolo_outputs)
    outputs = _standardise(detector, frame, layers, spread=SIGMOID_SPREAD)
    per_anchor = [values.reshape(-1, 5 + len(detector.class_names)) for values in outputs]
    objectness = np.concatenate([values[:, 4:5] for values in per_anchor])
    classes = np.concatenate([values[:, 5:] for values in per_anchor])

    def score_of_rank(bias: float) -> float:
        products = 1 / (1 + np.exp(-objectness - bias)) / (1 + np.exp(-classes - bias))
        return float(np.sort(products.ravel())[::-1][boxes])

    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if score_of_rank(middle) < 0.499 else (low, middle)
    for layer in layers:
        bias = layer.bias.numpy().reshape(-1, 5 + len(detector.class_names))
        bias[:, 4:] += np.float32(low)
        layer.bias.set_value(bias.reshape(-1))


def _rows(output: np.ndarray) -> np.ndarray:
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
