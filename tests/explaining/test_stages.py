"""`--method stagecam`: from the formula to detectors, and what is said of blind layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from support.families import FAMILIES
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.detectors.building import build_detector
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.detectors.looking import look_offsets, squared_centroids
from ppdet_cam.explaining.evidence import map_on_image
from ppdet_cam.explaining.finer import looks_from, stages_among, stages_of
from ppdet_cam.explaining.projection import project
from ppdet_cam.explaining.stages import GATE_WIDENING, STAGE_SMOOTHING, is_blind, staged
from ppdet_cam.methods import agreement, cells_reached, methods
from ppdet_cam.methods.stages import FLOOR
from ppdet_cam.running.noticing import is_of_blind_layers
from ppdet_cam.structures import FeatureKind, FeatureMap, ImageGeometry, MapStatus

import paddle  # isort: skip  (after ppdet_cam, which loads what paddle needs loaded before it)

STAGECAM = methods.get("stagecam")
GEOMETRY = ImageGeometry(original_hw=(64, 64), padded_hw=(64, 64), scale_yx=(1.0, 1.0))


def feature(layer: str, values: np.ndarray, *, gradient: float = 1.0) -> FeatureMap:
    """A feature map of one channel; its gradient is `gradient` where the values are not zero."""
    activations = np.asarray(values, np.float32)[None]
    return FeatureMap(layer, 0, FeatureKind.IMAGE, activations, gradient * (activations != 0).astype(np.float32))


def impulse(layer: str, cells: int, row: int, column: int, *, around: int = 0) -> FeatureMap:
    """Evidence in one cell, and a tenth of it in the cells around."""
    values = np.zeros((cells, cells))
    values[max(0, row - around) : row + around + 1, max(0, column - around) : column + around + 1] = 0.1
    values[row, column] = 1.0
    return feature(layer, values)


# --- the formula


def test_agreement_is_the_product_of_maps_with_a_floor_less_the_floors() -> None:
    """(1/2 + .1)(1 + .1) - .01 = .65; (1 + .1)(.1) - .01 = .1; where all are zero, zero exactly."""
    agreed = agreement([np.array([[2.0, 4.0, 0.0]]), np.array([[3.0, 0.0, 0.0]])], floor=0.1)
    np.testing.assert_allclose(agreed, [[0.65, 0.10, 0.0]])
    assert agreed[0, 2] == 0.0


def test_agreement_of_one_map_is_the_map_and_without_a_floor_the_product() -> None:
    """Its two ends: nothing to agree with, and agreement of all or nothing."""
    one, other = np.array([[1.0, 2.0]]), np.array([[4.0, 2.0]])
    np.testing.assert_allclose(agreement([one]), [[0.5, 1.0]])
    np.testing.assert_allclose(agreement([one, other], floor=0.0), [[0.5, 0.5]])


def test_agreement_does_not_depend_on_units() -> None:
    """A stage whose gradients are a thousand times as large says the same."""
    one, other = np.array([[1.0, 2.0, 0.0]]), np.array([[4.0, 2.0, 1.0]])
    np.testing.assert_allclose(agreement([one, other]), agreement([one * 1000, other]))


def test_cells_reached_counts_what_shares_a_gradient_evenly() -> None:
    """One cell is 1, four alike are 4; of 3 and 1, (3 + 1)^2 / (9 + 1) = 1.6; a trace everywhere changes little."""
    gradients = np.zeros((2, 10, 10))
    assert cells_reached(gradients) == 0.0
    gradients[:, 4, 4] = 3.0
    assert cells_reached(gradients) == pytest.approx(1.0)
    gradients[:, 4, 5] = -1.0
    assert cells_reached(gradients) == pytest.approx(1.6)
    assert cells_reached(np.ones((1, 2, 2)) * 1e-30) == pytest.approx(4.0)
    trace = np.full((1, 10, 10), 1e-4)
    trace[0, 4, 4] = 1.0
    assert cells_reached(trace) < 1.1
    assert cells_reached(np.full((1, 2, 2), np.nan)) == 0.0


# --- on the image


def test_staged_map_is_the_agreement_of_smoothed_maps() -> None:
    """Each map is smoothed on its grid by its part of the own level's cell, 16 pixels, and put on the image."""
    own, fine = impulse("own", 4, 1, 2, around=1), impulse("fine", 16, 6, 9, around=1)
    found = staged([own], {"fine": [fine]}, STAGECAM, GEOMETRY)

    def smoothed(of: FeatureMap, cells: float) -> np.ndarray:
        deviation = cells * of.grid_hw[0] / 4
        values = ndimage.gaussian_filter(of.activations[0].astype(float), deviation, mode="constant")
        alike = FeatureMap(of.layer, 0, of.kind, values[None], np.ones_like(values)[None])
        return map_on_image([alike], STAGECAM, GEOMETRY)[0].astype(float)

    gate, stage = smoothed(own, GATE_WIDENING), smoothed(fine, STAGE_SMOOTHING)
    expected = (gate / gate.max() + FLOOR) * (stage / stage.max() + FLOOR) - FLOOR**2
    heatmap, _, status = found.on_image
    assert (status, found.taken) == (MapStatus.OK, ("fine",))
    np.testing.assert_allclose(heatmap / heatmap.sum(), expected / expected.sum(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 9), (15, 15), (0, 7)])
def test_planted_impulses_peak_where_they_were_planted(row: int, column: int) -> None:
    """An impulse that all stages see peaks at the finest one's cell, to half a cell, in border cells as well."""
    own = impulse("own", 4, row // 4, column // 4, around=1)
    stages = {
        "s4": [impulse("s4", 16, row, column, around=1)],
        "s8": [impulse("s8", 8, row // 2, column // 2, around=1)],
    }
    heatmap = staged([own], stages, STAGECAM, GEOMETRY).on_image[0]
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert abs(y + 0.5 - (row + 0.5) * 4) <= 3 and abs(x + 0.5 - (column + 0.5) * 4) <= 3


def test_staged_map_keeps_the_evidence_of_the_layer_and_divides_it() -> None:
    """It sums to the layer's own map; the parts sum to it pixel by pixel, the shares to 1."""
    own, fine = impulse("own", 4, 1, 2, around=1), impulse("fine", 16, 6, 9, around=1)
    found = staged([own], {"fine": [fine]}, STAGECAM, GEOMETRY)
    heatmap, shares, _ = found.on_image
    assert heatmap.sum() == pytest.approx(map_on_image([own], STAGECAM, GEOMETRY)[0].sum(), rel=1e-5)
    np.testing.assert_allclose(np.sum(found.parts, axis=0), heatmap, rtol=1e-4, atol=1e-9)
    assert sum(share.share for share in shares) == pytest.approx(1.0)
    assert [share.layer for share in shares] == ["own", "fine"]


def test_blind_layer_leaves_the_map_to_its_stages() -> None:
    """A gradient in one cell says where the head looked: it is no gate, and has no share."""
    own, fine = impulse("own", 4, 0, 0), impulse("fine", 16, 6, 9, around=1)
    assert is_blind([own]) and not is_blind([fine])
    found = staged([own], {"fine": [fine]}, STAGECAM, GEOMETRY)
    y, x = np.unravel_index(found.on_image[0].argmax(), (64, 64))
    assert abs(y - 26) <= 2 and abs(x - 38) <= 2
    assert [share.share for share in found.on_image[1]] == [0.0, 1.0]


def test_blind_stage_takes_no_part_and_without_stages_the_map_is_layercam_s() -> None:
    """A stage that sees one cell, one that is all zero, and none at all: the layer's own map, as it is."""
    own = impulse("own", 4, 1, 2, around=1)
    expected = map_on_image([own], methods.get("layercam"), GEOMETRY)[0]
    for stages in ({}, {"blind": [impulse("blind", 16, 6, 9)]}, {"empty": [feature("empty", np.zeros((16, 16)))]}):
        found = staged([own], stages, STAGECAM, GEOMETRY)
        np.testing.assert_array_equal(found.on_image[0], expected)
        assert found.taken == ()


# --- which stages


def test_stages_are_the_last_whole_layers_on_the_way_down() -> None:
    """At strides 2, 4, 8 and 16, before the next stride begins; what comes back to stride 4 later is no stage."""
    grids = [("b.stem", (64, 64)), ("b.one.conv", (32, 32)), ("b.one", (32, 32)), ("b.two", (16, 16))]
    grids += [("b.three.conv", (8, 8)), ("b.three", (8, 8)), ("b.four", (4, 4)), ("b.up", (32, 32))]
    assert stages_among(grids) == ("b.stem", "b.one", "b.two", "b.three")
    assert stages_among([("b.patches", (8, 8))]) == ("b.patches",)
    assert stages_among([]) == ()


def test_other_layers_have_no_stages_and_say_so(detector_of, photo) -> None:
    """The neck's map is its own, as LayerCAM makes it, and the note says why."""
    detector = detector_of("ppyoloe")
    assert stages_of(detector, "model.neck") == ()
    explain = Explainer(detector, method="stagecam", layers="model.neck", draw_threshold=0.1, top_k=1)
    (one,), (other,) = explain(photo), explain(photo, method="layercam")
    np.testing.assert_array_equal(one.heatmap, other.heatmap)
    assert one.note == "no stages inside model.neck: its own map, as layercam makes it" and other.note is None


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_map_of_its_stages(name, detector_of, photo) -> None:
    """At the default layer: a map that is finite, and shares that sum to 1; or why there is none."""
    for explanation in Explainer(detector_of(name), method="stagecam", draw_threshold=0.1, top_k=2)(photo):
        assert explanation.method == "stagecam" and np.isfinite(explanation.heatmap).all()
        if explanation.status is MapStatus.OK:
            assert sum(level.share for level in explanation.levels) == pytest.approx(1.0, abs=1e-5)


def test_blind_layer_is_called_blind(detector_of, photo) -> None:
    """SSD's head reads the backbone by one cell: LayerCAM says so and names another layer; stagecam looks deeper."""
    explain = Explainer(detector_of("ssd"), method="stagecam", draw_threshold=0.1, top_k=1)
    (plain,), (whole,) = explain(photo, method="layercam"), explain(photo)
    assert is_of_blind_layers(plain)
    assert plain.note is not None and "is blind for this box" in plain.note and "Take model.backbone." in plain.note
    assert not is_of_blind_layers(whole)


def test_stages_of_an_ssd_are_found_without_the_levels_behind() -> None:
    """What lies behind stride 64 in VGG has no cell left of a small input, and paddle would not come back from it."""
    steps = {"steps": [8, 16, 32, 64, 100, 300], "aspect_ratios": [[2.0], *[[2.0, 3.0]] * 3, [2.0], [2.0]]}
    anchors = {**steps, "min_sizes": [30.0, 60.0, 111.0, 162.0, 213.0, 264.0], "max_sizes": [[]] * 6, "min_ratio": 20}
    changes = {
        "SSD": {"backbone": "VGG"},
        "VGG": {"depth": 16, "normalizations": [20.0, -1, -1, -1, -1, -1]},
        "SSDHead": {"anchor_generator": anchors},
    }
    detector, _ = build_detector(ROOT / FAMILIES["ssd"].config, overrides=changes)
    assert [path.rpartition(".")[2] for path in stages_of(detector, "model.backbone")] == [
        "conv_block_0",
        "conv_block_1",
        "conv_block_2",
        "fc7",
    ]


# --- where they look


def looking_at(tap_yx: tuple[int, int]) -> paddle.nn.Layer:
    """A layer of stride 2 whose cells answer to one pixel each: that of its kernel of 3 at `tap_yx`."""
    layer = paddle.nn.Conv2D(3, 3, 3, stride=2, padding=1, bias_attr=False)
    kernel = np.zeros(layer.weight.shape, np.float32)
    kernel[range(3), range(3), tap_yx[0], tap_yx[1]] = 1.0
    layer.weight.set_value(paddle.to_tensor(kernel))
    return layer


class Planted(paddle.nn.Layer):
    """A backbone of strides 2 and 4 that looks where its kernels say."""

    def __init__(self, *taps: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = map(looking_at, taps)
        self.behind = paddle.nn.Linear(1, 1)

    def forward(self, inputs: dict[str, paddle.Tensor]) -> paddle.Tensor:
        """Fails behind what is looked at: nobody may come here."""
        return self.behind(self.second(self.first(inputs["image"])))


def small_detector(weights: Path | None = None) -> Detector:
    detector, _ = build_detector(ROOT / FAMILIES["picodet"].config, overrides=FAMILIES["picodet"].overrides)
    if weights is not None:
        detector.load_weights(str(weights))
    return detector


def test_cells_look_where_their_kernels_are_planted() -> None:
    """Cell i of stride 2 is drawn around 2i + 1; its last pixel's middle is 2i + 1.5, its first one's 2i - 0.5.

    Cell i of stride 4 is drawn around 4i + 2. The last cell of its kernel is 2i + 1, whose last pixel's middle is
    4i + 3.5; the middle cell is 2i, whose first pixel's middle is 4i - 0.5.
    """
    detector = small_detector()
    detector.model.backbone = Planted((2, 0), (2, 1))
    found = dict(look_offsets(detector, ["model.backbone.first", "model.backbone.second"]))
    assert found == {2.0: pytest.approx((0.5, -1.5)), 4.0: pytest.approx((1.5, -2.5))}


def test_cells_that_answer_to_nothing_are_not_moved() -> None:
    """A dead layer has no place."""
    detector = small_detector()
    detector.model.backbone = Planted((1, 1), (1, 1))
    detector.model.backbone.second.weight.set_value(paddle.zeros_like(detector.model.backbone.second.weight))
    found = dict(look_offsets(detector, ["model.backbone.first", "model.backbone.second"]))
    assert found == {2.0: pytest.approx((-0.5, -0.5))}


def test_cells_behind_a_frozen_layer_are_not_moved() -> None:
    """As TTFNet's DarkNet stops gradients behind its frozen stages: nothing tells where those look."""

    class Frozen(Planted):
        def forward(self, inputs: dict[str, paddle.Tensor]) -> paddle.Tensor:
            """Cuts the graph as ppdet's backbones do."""
            first = self.first(inputs["image"])
            first.stop_gradient = True
            return self.behind(self.second(first))

    detector = small_detector()
    detector.model.backbone = Frozen((2, 0), (2, 1))
    assert dict(look_offsets(detector, ["model.backbone.first", "model.backbone.second"])) == {}


def test_looking_is_measured_with_the_weights_of_the_explanation(tmp_path) -> None:
    """Not with those that the model was built with, when the question was checked; and once only."""
    paddle.seed(1)
    paddle.save(small_detector().model.state_dict(), str(tmp_path / "trained.pdparams"))
    paddle.seed(2)
    detector = small_detector()
    before = looks_from(detector)
    detector.load_weights(str(tmp_path / "trained.pdparams"))
    after = looks_from(detector)
    assert after is looks_from(detector)
    assert set(after) == set(before) == {2.0, 4.0, 8.0, 16.0}
    assert all(after[stride] != before[stride] for stride in after)
    assert after == looks_from(small_detector(tmp_path / "trained.pdparams"))


def test_squared_centroids_by_hand() -> None:
    """Of the channels' squares: 1 and 9 on one row, at 0.5 and 1.5; signs do not count."""
    gradients = np.zeros((2, 2, 3, 4))
    gradients[0, 0, 2, 0], gradients[0, 1, 2, 1] = 1.0, -3.0
    np.testing.assert_allclose(squared_centroids(gradients), [[2.5, (0.5 + 9 * 1.5) / 10], [np.nan, np.nan]])


def test_looking_leaves_no_trace_in_the_model(detector_of, photo) -> None:
    """Same detections, no gradient at any parameter, no hook."""
    detector = detector_of("picodet")
    before = detector.predict(photo)
    dict(look_offsets(detector, stages_of(detector, "model.backbone")))
    np.testing.assert_array_equal(detector.predict(photo), before)
    assert all(parameter.grad is None for parameter in detector.model.parameters())
    assert not any(layer._forward_post_hooks for _, layer in detector.model.backbone.named_sublayers())


def test_stages_are_moved_before_they_are_held_against_each_other() -> None:
    """An impulse at pixel 32, seen by cell 8 of stride 4 and cell 2 of stride 16: side by side they would miss."""
    own, stage = impulse("own", 4, 2, 2, around=1), impulse("stage", 16, 8, 8, around=1)
    shifts = {4.0: (-1.5, -1.5), 16.0: (-7.5, -7.5)}
    heatmap = staged([own], {"stage": [stage]}, STAGECAM, GEOMETRY, shifts=shifts).on_image[0]
    assert np.unravel_index(heatmap.argmax(), heatmap.shape) == (32, 32)
    assert heatmap[32, 32] == pytest.approx(heatmap.max())
    np.testing.assert_allclose(heatmap[20:45, 32], heatmap[32, 20:45], rtol=1e-5)
    np.testing.assert_allclose(heatmap[33:38, 32], heatmap[27:32, 32][::-1], rtol=0.05)


def test_map_of_several_grids_is_stored_on_the_layers_finest(detector_of, photo) -> None:
    """Every box has one grid, of the same layer and level; put on the image it is the map, but for its details."""
    explain = Explainer(detector_of("ppyoloe"), method="stagecam", draw_threshold=0.1, top_k=3)
    for explanation in explain(photo):
        (level,) = [level for level in explanation.levels if level.grid]
        assert (level.layer, level.level) == ("model.backbone", 0)
        assert level.grid.values.sum() == pytest.approx(explanation.heatmap.sum(), rel=0.02)
        on_image = project(level.grid.values, level.grid.placement, original_hw=photo.original_hw)
        assert np.corrcoef(on_image.ravel(), explanation.heatmap.ravel())[0, 1] > 0.6
