"""Where object queries look, by hand on a small case, and against ppdet's own attention."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from ppdet.modeling.layers import MultiHeadAttention
from ppdet.modeling.transformers.deformable_transformer import MSDeformableAttention
from support.gradient_checks import target_of

from ppdet_cam import Explainer
from ppdet_cam.detectors.attention import CORE, attending, maps_of_cells
from ppdet_cam.detectors.capture import replaced_methods
from ppdet_cam.detectors.grids import Grids, Tokens
from ppdet_cam.errors import ConfigError, LayerError
from ppdet_cam.explaining.gradients import attention_features
from ppdet_cam.structures import MapStatus

GRIDS = Grids(1, (64, 64))
SHAPES, STARTS = paddle.to_tensor([[2, 2]], dtype="int64"), paddle.to_tensor([0], dtype="int64")


def look_at(points: list[list[float]], weights: list[float]) -> np.ndarray:
    """The weights on a grid of 2 x 2 cells that one query and head gives through points (x, y) from 0 to 1."""
    layer = MSDeformableAttention(embed_dim=2, num_heads=1, num_levels=1, num_points=len(points))
    locations = paddle.to_tensor(points, dtype="float32").reshape([1, 1, 1, 1, -1, 2])
    of_points = paddle.to_tensor(weights, dtype="float32").reshape([1, 1, 1, 1, -1])
    with attending({"path": layer}, GRIDS) as looks:
        getattr(layer, CORE)(paddle.rand([1, 4, 1, 2]), SHAPES, STARTS, locations, of_points)
    (found,) = looks["path"].weights(0)
    return found


@pytest.mark.parametrize(
    ("points", "weights", "expected"),
    [
        ([[0.25, 0.25]], [1.0], [[1.0, 0.0], [0.0, 0.0]]),  # the middle of the first cell
        ([[0.75, 0.25]], [1.0], [[0.0, 1.0], [0.0, 0.0]]),  # x runs to the right
        ([[0.5, 0.25]], [0.8], [[0.4, 0.4], [0.0, 0.0]]),  # between two cells
        ([[0.375, 0.5]], [1.0], [[0.375, 0.125], [0.375, 0.125]]),  # a quarter of a cell to the right, half a cell down
        ([[0.0, 0.25]], [1.0], [[0.5, 0.0], [0.0, 0.0]]),  # half of it outside of the features
        ([[2.0, 2.0]], [1.0], [[0.0, 0.0], [0.0, 0.0]]),
        ([[0.25, 0.25], [0.75, 0.75]], [0.3, 0.7], [[0.3, 0.0], [0.0, 0.7]]),
    ],
    ids=str,
)
def test_sampled_points_put_their_weight_on_the_cells_around_them(points, weights, expected) -> None:
    """Worked out by hand: bilinear parts of each point's weight, nothing for what lies outside."""
    np.testing.assert_allclose(look_at(points, weights)[0], expected, atol=1e-6)


def test_dense_attention_is_the_softmax_of_its_products() -> None:
    """One key is the query: worked out by hand; the output is the same without a look."""
    layer = MultiHeadAttention(2, 1)
    eye = np.eye(2, dtype=np.float32)
    layer.in_proj_weight.set_value(np.concatenate([eye, eye, eye], axis=1))
    query = paddle.to_tensor([[[np.sqrt(2.0) * np.log(3.0), 0.0]]], dtype="float32")
    keys = paddle.to_tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, -1.0]]])
    plain = layer(query, keys, keys)
    with attending({"path": layer}, GRIDS) as looks:
        output = layer(query, keys, keys)
    (found,) = looks["path"].weights(0)
    np.testing.assert_allclose(found[0], np.array([[3.0, 1.0], [1.0, 1.0]]) / 6, atol=1e-6)
    np.testing.assert_array_equal(output.numpy(), plain.numpy())
    assert not layer.need_weights and "forward" not in layer.__dict__


@pytest.fixture(params=["detr", "deformable_detr", "dino"])
def name(request) -> str:
    """Each detector with object queries."""
    return request.param


def looking(detector, photo):
    """A forward pass with every look, and the best box's candidate."""
    forward = detector.forward(photo, {}, attention=detector.extractor.cross_attention)
    best = max(forward.detections, key=lambda detection: detection.score)
    return forward, forward.kept[best.index]


def test_detections_with_a_look_are_plain_inferences(detector_of, photo, name):
    """Noting where queries look changes no bit of what is detected, and leaves nothing behind."""
    detector = detector_of(name)
    before = detector.predict(photo)
    forward, _ = looking(detector, photo)
    assert [[d.class_id, d.score, *d.box_xyxy] for d in forward.detections] == before.tolist()
    np.testing.assert_array_equal(detector.predict(photo), before)
    for layer in detector.extractor.cross_attention.values():
        assert "forward" not in layer.__dict__


def test_weights_give_the_attentions_output(detector_of, photo, name):
    """Values times weights, summed over the cells of all levels, are what ppdet's attention puts out."""
    detector = detector_of(name)
    forward, kept = looking(detector, photo)
    for look in forward.looks.values():
        weights = np.concatenate([one.reshape(len(one), -1) for one in look.weights(kept.row)], axis=1)
        assert (weights >= -1e-6).all() and (weights.sum(axis=1) < 1 + 1e-5).all()
        if name == "detr":
            np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
            continue
        found = np.einsum("hl,lhc->hc", weights, look.values[0].numpy()).ravel()
        np.testing.assert_allclose(found, look.tensor[0, kept.row].numpy(), rtol=1e-4, atol=1e-5)


def test_gradients_of_the_weights_equal_differences(detector_of, photo, name):
    """The score rises as told when one cell gets more weight for one query in one decoder layer."""
    detector = detector_of(name)
    forward, kept = looking(detector, photo)
    target = target_of(detector, "logit")
    (features,) = attention_features(forward, dict.fromkeys(forward.looks), kept, target)
    for path, layer in detector.extractor.cross_attention.items():
        own = [feature for feature in features if feature.layer == path]
        strongest = max(own, key=lambda feature: np.abs(feature.gradients).max())
        head, row, column = np.unravel_index(np.abs(strongest.gradients).argmax(), strongest.gradients.shape)
        cell = row * strongest.grid_hw[1] + column + sum(np.prod(one.grid_hw) for one in own[: strongest.level])
        slope = float(strongest.gradients[head, row, column])
        step, numbers = 1e-3 / abs(slope), []
        for sign in (1, -1):
            with _more_weight(layer, kept.row, int(head), int(cell), sign * step):
                numbers.append(_logit(detector, photo, forward, kept, target))
        assert (numbers[0] - numbers[1]) / (2 * step) == pytest.approx(slope, rel=0.03), path


def _logit(detector, photo, forward, kept, target) -> float:
    source = forward.extractor.source(forward.watch, kept.row)
    watch, _ = detector.replay(forward.inputs, photo, sources=[source])
    with paddle.no_grad():
        return float(target.parts[0](forward.extractor.outputs(watch, [source]), 0, kept.class_id))


def _more_weight(layer, query: int, head: int, cell: int, amount: float):
    """A context in which one query's output has one cell's value so much more often, by hand."""
    if hasattr(layer, CORE):
        core = getattr(layer, CORE)

        def altered(values, *rest):
            output = core(values, *rest).numpy()
            channels = values.shape[3]
            output[0, query, head * channels : (head + 1) * channels] += amount * values[0, cell, head].numpy()
            return paddle.to_tensor(output)

        return replaced_methods(layer, **{CORE: altered})
    own, project = layer.forward, layer.out_proj.forward

    def forward(queries, keys, value, **named):
        channels = layer.head_dim
        taken = layer.compute_qkv(value, 2)[0, head, cell].numpy()

        def projected(joined):
            joined = joined.numpy()
            joined[0, query, head * channels : (head + 1) * channels] += amount * taken
            return project(paddle.to_tensor(joined))

        with replaced_methods(layer.out_proj, forward=projected):
            return own(queries, keys, value=value, **named)

    return replaced_methods(layer, forward=forward)


def test_maps_are_of_the_chosen_decoder_layers(detector_of, photo, name):
    """By default of every decoder layer; a named one, or one of its levels, stands alone."""
    detector = detector_of(name)
    everywhere = Explainer(detector, method="attention", top_k=1, draw_threshold=0.5)(photo)[0]
    assert everywhere.layers == tuple(detector.extractor.cross_attention)
    assert {share.layer for share in everywhere.levels} == set(everywhere.layers)
    assert everywhere.status is MapStatus.OK
    last = "model.transformer.decoder.layers.1"
    alone = Explainer(detector, method="attention", layers=f"{last}@0", top_k=1, draw_threshold=0.5)(photo)[0]
    assert alone.layers == (f"{last}.cross_attn",)
    assert [(share.layer, share.level) for share in alone.levels] == [(f"{last}.cross_attn", 0)]


def test_attention_is_refused_where_there_is_none(detector_of):
    """A detector without object queries names the methods that it has; a layer without attention those that have it."""
    with pytest.raises(ConfigError, match=r"looks at the cross-attention of object queries, and SSD .* has none"):
        Explainer(detector_of("ssd"), method="attention")
    with pytest.raises(LayerError, match="finds no cross-attention in 'model.transformer.encoder'"):
        Explainer(detector_of("detr"), method="attention", layers="model.transformer.encoder")
    with pytest.raises(ConfigError, match="looks at the cross-attention, looks at none"):
        Explainer(detector_of("detr"), method="attention", refine_by="auto")


def test_level_that_is_not_there_is_refused(detector_of, photo):
    """DETR looks at one level."""
    explainer = Explainer(
        detector_of("detr"), method="attention", layers="model.transformer.decoder@1", draw_threshold=0.5
    )
    with pytest.raises(LayerError, match="has no level 1"):
        explainer(photo)


def test_cells_become_maps_level_by_level() -> None:
    """Cells are counted row by row, level after level."""
    first, second = maps_of_cells(np.arange(5.0)[None], Tokens(0, ((2, 2), (1, 1))))
    np.testing.assert_array_equal(first, [[[0.0, 1.0], [2.0, 3.0]]])
    np.testing.assert_array_equal(second, [[[4.0]]])
