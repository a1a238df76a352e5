"""Feature maps of one box become one map, each level's share, and a reason when there is nothing to show."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ppdet_cam.explaining.evidence import combined, map_on_image
from ppdet_cam.explaining.projection import GridPlacement, project
from ppdet_cam.methods import Method, methods
from ppdet_cam.structures import FeatureKind, FeatureMap, ImageGeometry, LevelShare, MapStatus

GRADCAM = methods.get("gradcam")
PLAIN = ImageGeometry(original_hw=(8, 8), padded_hw=(8, 8), scale_yx=(1.0, 1.0))
TWICE = ImageGeometry(original_hw=(40, 60), padded_hw=(80, 120), scale_yx=(2.0, 2.0))


def constant_feature(
    cells: int, activation: float, gradient: float | None, *, level: int = 0, layer: str = "model.neck"
) -> FeatureMap:
    """Returns a one-channel feature map of cells x cells; each cell's evidence is activation * gradient."""
    shape = (1, cells, cells)
    gradients = None if gradient is None else np.full(shape, gradient, np.float32)
    return FeatureMap(layer, level, FeatureKind.IMAGE, np.full(shape, activation, np.float32), gradients)


def roi_feature(roi_xyxy: tuple[float, float, float, float], activations: np.ndarray) -> FeatureMap:
    """Returns a one-channel feature map of a RoI, with gradient 1 everywhere."""
    values = activations[None].astype(np.float32)
    return FeatureMap("model.bbox_head.head", 0, FeatureKind.ROI, values, np.ones_like(values), roi_xyxy)


FINE = constant_feature(4, 1.0, 1.0)  # 16 cells of evidence 1
COARSE = constant_feature(2, 2.0, 6.0, level=1)  # 4 cells of evidence 12


def assert_blank(
    features: list[FeatureMap], status: MapStatus, geometry: ImageGeometry = PLAIN, method: Method = GRADCAM
) -> None:
    heatmap, shares, found = map_on_image(features, method, geometry)
    assert found is status
    assert heatmap.shape == geometry.original_hw
    assert heatmap.dtype == np.float32
    assert (heatmap == 0).all()
    assert [share.share for share in shares] == [0.0] * len(features)


def test_map_on_image_shares_follow_the_sums_over_the_cells() -> None:
    """Sums of 16 and 48 are shares of 1/4 and 3/4, told with grid and stride."""
    _, shares, status = map_on_image([FINE, COARSE], GRADCAM, PLAIN)
    assert status is MapStatus.OK
    assert shares == (
        LevelShare("model.neck", 0, (4, 4), (2.0, 2.0), 0.25),
        LevelShare("model.neck", 1, (2, 2), (4.0, 4.0), 0.75),
    )


def test_map_on_image_adds_the_levels_densities() -> None:
    """16 / 64 and 48 / 64 per pixel add up to 1 between the outer cell centres of both grids."""
    heatmap, _, _ = map_on_image([FINE, COARSE], GRADCAM, PLAIN)
    assert heatmap.dtype == np.float32
    np.testing.assert_allclose(heatmap[2:6, 2:6], 1.0, rtol=1e-6)


def test_map_on_image_is_the_sum_of_the_levels_own_maps() -> None:
    """The map of both levels is what each level alone gives, added up."""
    random = np.random.default_rng(0)
    fine = random.random((1, 4, 4)).astype(np.float32)
    coarse = random.random((1, 2, 2)).astype(np.float32)
    features = [
        FeatureMap("model.neck", level, FeatureKind.IMAGE, values, np.full_like(values, level + 1.0))
        for level, values in enumerate((fine, coarse))
    ]
    together, _, _ = map_on_image(features, GRADCAM, PLAIN)
    expected = project(fine[0], GridPlacement((0.0, 0.0), (2.0, 2.0)), original_hw=(8, 8))
    expected = expected + project(2.0 * coarse[0], GridPlacement((0.0, 0.0), (4.0, 4.0)), original_hw=(8, 8))
    np.testing.assert_allclose(together, expected, rtol=1e-6)
    for feature in features:
        alone, _, _ = map_on_image([feature], GRADCAM, PLAIN)
        expected = expected - alone
    np.testing.assert_allclose(expected, 0.0, atol=1e-6)


@pytest.mark.parametrize("silent", [None, 0.0, -1.0], ids=["no path", "zero gradient", "negative evidence"])
def test_map_on_image_leaves_all_to_the_level_with_evidence(silent: float | None) -> None:
    """A level that has no gradient, or nothing positive, counts 0 while the other carries all."""
    features = [constant_feature(4, 1.0, silent), COARSE]
    heatmap, shares, status = map_on_image(features, GRADCAM, PLAIN)
    alone, _, _ = map_on_image([COARSE], GRADCAM, PLAIN)
    assert status is MapStatus.OK
    assert [share.share for share in shares] == [0.0, 1.0]
    np.testing.assert_array_equal(heatmap, alone)


def test_map_on_image_takes_layers_of_different_names() -> None:
    """Features of two layers are added and told apart like levels of one."""
    features = [FINE, constant_feature(2, 1.0, 4.0, layer="model.backbone")]
    _, shares, _ = map_on_image(features, GRADCAM, PLAIN)
    assert [(share.layer, share.share) for share in shares] == [("model.neck", 0.5), ("model.backbone", 0.5)]


def test_map_on_image_uses_the_given_method() -> None:
    """What the method returns is what is spread over the image."""
    first_channel = dataclasses.replace(GRADCAM, function=lambda activations, gradients: activations[0])
    _, shares, _ = map_on_image([FINE, COARSE], first_channel, PLAIN)
    assert [share.share for share in shares] == pytest.approx([16 / 24, 8 / 24])


@pytest.mark.parametrize(
    "features", [[], [constant_feature(4, 1.0, None)], [constant_feature(4, 1.0, None), constant_feature(2, 1.0, None)]]
)
def test_map_on_image_without_any_gradient_has_no_path(features: list[FeatureMap]) -> None:
    """No gradient at any level: the score does not depend on these layers."""
    assert_blank(features, MapStatus.NO_PATH)


def test_map_on_image_tells_zero_gradients() -> None:
    """Gradients that are there and all zero are a reason of their own, also beside a level without any."""
    assert_blank([constant_feature(4, 1.0, 0.0), constant_feature(2, 1.0, 0.0)], MapStatus.ZERO_GRADIENT)
    assert_blank([constant_feature(4, 1.0, 0.0), constant_feature(2, 1.0, None)], MapStatus.ZERO_GRADIENT)


def test_map_on_image_tells_evidence_that_is_nowhere_positive() -> None:
    """Weighted activations below zero everywhere leave nothing after the ReLU."""
    assert_blank([constant_feature(4, 1.0, -1.0), constant_feature(2, -2.0, 3.0)], MapStatus.NEGATIVE)
    assert_blank([constant_feature(4, 0.0, 1.0)], MapStatus.NEGATIVE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_map_on_image_tells_gradients_that_are_not_finite(value: float) -> None:
    """One NaN or infinity among the gradients of any level empties the map rather than spoil it."""
    for activation in (1.0, 0.0, -1.0):
        spoiled = constant_feature(4, activation, 1.0)
        spoiled.gradients[0, 1, 2] = value
        assert_blank([spoiled, COARSE], MapStatus.NOT_FINITE)
        assert_blank([COARSE, spoiled], MapStatus.NOT_FINITE)


def test_map_on_image_tells_gradients_with_both_infinities() -> None:
    """Infinities that cancel in the mean are told as a status, not as a warning."""
    spoiled = constant_feature(4, 1.0, 1.0)
    spoiled.gradients[0, 1, 2], spoiled.gradients[0, 2, 1] = np.inf, -np.inf
    assert_blank([spoiled], MapStatus.NOT_FINITE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_map_on_image_tells_activations_that_are_not_finite(value: float) -> None:
    """One NaN or infinity of either sign among the activations empties the map."""
    spoiled = constant_feature(4, 1.0, 1.0)
    spoiled.activations[0, 1, 2] = value
    assert_blank([spoiled], MapStatus.NOT_FINITE)


def test_map_on_image_tells_evidence_that_is_too_large() -> None:
    """Finite numbers whose product is beyond float32 empty the map as well, on one level and as a sum of two."""
    assert_blank([constant_feature(4, 3e38, 3e38)], MapStatus.NOT_FINITE)
    assert_blank([COARSE, constant_feature(4, 3e38, 1e30)], MapStatus.NOT_FINITE)
    large = roi_feature((0.0, 0.0, 8.0, 8.0), np.full((8, 8), 3e38))
    assert map_on_image([large], GRADCAM, PLAIN)[2] is MapStatus.OK
    assert_blank([large, large], MapStatus.NOT_FINITE)


@pytest.mark.parametrize("roi_xyxy", [(200.0, 10.0, 260.0, 50.0), (-90.0, 0.0, -40.0, 40.0), (0.0, 100.0, 60.0, 140.0)])
def test_map_on_image_tells_evidence_outside_the_image(roi_xyxy: tuple[float, float, float, float]) -> None:
    """A RoI beyond any side of the image leaves the map empty for that reason."""
    assert_blank([roi_feature(roi_xyxy, np.ones((4, 4)))], MapStatus.OUTSIDE, TWICE)


def test_map_on_image_survives_a_roi_without_area() -> None:
    """A RoI of zero size gives an empty map with a reason, and no NaN."""
    heatmap, _, status = map_on_image([roi_feature((40.0, 20.0, 40.0, 20.0), np.ones((4, 4)))], GRADCAM, TWICE)
    assert status is not MapStatus.OK
    assert (heatmap == 0).all()


def test_map_on_image_puts_a_roi_in_its_place() -> None:
    """The RoI (40, 20, 80, 60) of the input is (20, 10, 40, 30) of the original: bins of 5, and nothing beyond them."""
    activations = np.zeros((4, 4))
    activations[1, 2] = 3.0
    heatmap, shares, status = map_on_image([roi_feature((40.0, 20.0, 80.0, 60.0), activations)], GRADCAM, TWICE)
    assert status is MapStatus.OK
    assert shares == (LevelShare("model.bbox_head.head", 0, (4, 4), (10.0, 10.0), 1.0),)
    # bin (1, 2) is centred at y = 10 + 1.5 * 5, x = 20 + 2.5 * 5, and reaches 5 pixels to each side
    assert np.unravel_index(int(heatmap.argmax()), heatmap.shape) == (17, 32)
    rows, columns = np.nonzero(heatmap)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 22, 27, 37)
    assert heatmap.sum(dtype=np.float64) == pytest.approx(3.0, rel=1e-6)


def test_map_on_image_leaves_pixels_away_from_the_roi_empty() -> None:
    """A full RoI reaches half a bin beyond its own border and no further."""
    heatmap, _, _ = map_on_image([roi_feature((40.0, 20.0, 80.0, 60.0), np.ones((4, 4)))], GRADCAM, TWICE)
    inside = np.zeros(TWICE.original_hw, dtype=bool)
    inside[7:33, 17:43] = True
    assert not heatmap[~inside].any()
    np.testing.assert_allclose(heatmap[13:27, 23:37], 1 / 25, rtol=1e-6)


def test_map_on_image_adds_a_roi_to_a_whole_image_level() -> None:
    """An image level and a RoI share one map: 36 + 12 of evidence are 3/4 and 1/4."""
    image = FeatureMap("model.neck", 0, FeatureKind.IMAGE, np.ones((1, 4, 6)), np.full((1, 4, 6), 1.5))
    roi = roi_feature((40.0, 20.0, 80.0, 60.0), np.full((2, 2), 3.0))
    heatmap, shares, _ = map_on_image([image, roi], GRADCAM, TWICE)
    assert [share.share for share in shares] == [0.75, 0.25]
    assert [share.stride_yx for share in shares] == [(20.0, 20.0), (20.0, 20.0)]
    # 1.5 per cell of 10 x 10 pixels; in the middle of the RoI 3 per bin of 10 x 10 on top of it
    assert heatmap[36, 10] < heatmap[20, 10] == pytest.approx(0.015)
    assert heatmap[20, 30] == pytest.approx(0.045)


@pytest.mark.parametrize(("cell_strides", "stride"), [({}, 16.0), ({(19, 19): (300 / 19, 300 / 19)}, 300 / 19)])
def test_map_on_image_takes_the_heads_own_cell_size(cell_strides: dict, stride: float) -> None:
    """At 300 pixels 19 cells have stride 16, or 300 / 19 when the head spreads them evenly."""
    geometry = ImageGeometry(original_hw=(300, 300), padded_hw=(300, 300), scale_yx=(1.0, 1.0))
    activations = np.zeros((1, 19, 19), np.float32)
    activations[0, 18, 18] = 1.0
    feature = FeatureMap("model.backbone", 0, FeatureKind.IMAGE, activations, np.ones_like(activations))
    heatmap, (share,), _ = map_on_image([feature], GRADCAM, geometry, cell_strides=cell_strides)
    assert share.stride_yx == pytest.approx((stride, stride))
    row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    assert (row + 0.5, column + 0.5) == pytest.approx((18.5 * stride, 18.5 * stride), abs=0.5 + 1e-6)


def test_map_on_image_does_not_stretch_a_roi() -> None:
    """The cells of a RoI follow the RoI whatever the head says of a grid of that size."""
    feature = roi_feature((40.0, 20.0, 80.0, 60.0), np.ones((4, 4)))
    plain, _, _ = map_on_image([feature], GRADCAM, TWICE)
    stretched, (share,), _ = map_on_image([feature], GRADCAM, TWICE, cell_strides={(4, 4): (99.0, 99.0)})
    assert share.stride_yx == (10.0, 10.0)
    np.testing.assert_array_equal(plain, stretched)


@pytest.mark.parametrize("position", [0, 1])
def test_map_on_image_of_an_own_level_method_leaves_the_other_levels_out(position: int) -> None:
    """ODAM gives all evidence to the box's own level; the shares of the others are 0, and they are still told."""
    features = [dataclasses.replace(feature, is_own_level=False) for feature in (FINE, COARSE)]
    own = features[position] = dataclasses.replace(features[position], is_own_level=True)
    heatmap, shares, status = map_on_image(features, methods.get("odam"), PLAIN)
    assert status is MapStatus.OK
    assert [share.share for share in shares] == [float(position == 0), float(position == 1)]
    np.testing.assert_array_equal(heatmap, map_on_image([own], methods.get("hirescam"), PLAIN)[0])
    assert [share.share for share in map_on_image(features, GRADCAM, PLAIN)[1]] == [0.25, 0.75]


def test_map_on_image_of_an_own_level_method_without_its_level_has_no_path() -> None:
    """When the box's own level was not captured, or has no gradient, the others do not stand in for it."""
    other = dataclasses.replace(FINE, is_own_level=False)
    assert_blank([other], MapStatus.NO_PATH, method=methods.get("odam"))
    assert_blank([other, constant_feature(2, 1.0, None)], MapStatus.NO_PATH, method=methods.get("odam"))


def test_map_on_image_of_an_own_level_method_looks_at_no_other_level() -> None:
    """A NaN on a level that takes no part spoils nothing."""
    spoiled = dataclasses.replace(constant_feature(4, np.nan, 1.0), is_own_level=False)
    _, shares, status = map_on_image([spoiled, COARSE], methods.get("odam"), PLAIN)
    assert status is MapStatus.OK
    assert [share.share for share in shares] == [0.0, 1.0]


@pytest.mark.parametrize("gradient", [None, 0.0, np.nan])
def test_map_on_image_of_activations_needs_no_gradients(gradient: float | None) -> None:
    """Eigen-CAM has a map without a path, with zero gradients, and with ones that are not finite."""
    _, shares, status = map_on_image([constant_feature(4, 1.0, gradient)], methods.get("eigencam"), PLAIN)
    assert status is MapStatus.OK
    assert [share.share for share in shares] == [1.0]


def test_map_on_image_of_activations_that_are_zero_is_negative() -> None:
    """Nothing is active, so nothing is positive; that is no matter of gradients."""
    assert_blank([constant_feature(4, 0.0, None)], MapStatus.NEGATIVE, method=methods.get("eigencam"))


def channels_feature(channel_scores: list[float] | None, score: float | None = None) -> FeatureMap:
    """Returns a feature map of two channels of 1 x 2 cells, (2, 0) and (0, 4), with scores and without gradients."""
    activations = np.array([[[2.0, 0.0]], [[0.0, 4.0]]], np.float32)
    scores = None if channel_scores is None else np.array(channel_scores)
    return FeatureMap("model.neck", 0, FeatureKind.IMAGE, activations, None, channel_scores=scores, score=score)


@pytest.mark.parametrize(
    ("name", "feature", "expected"),
    [
        ("scorecam", channels_feature([np.log(3.0), 0.0]), [[1.5, 1.0]]),  # 3/4 of 2, 1/4 of 4
        ("ablationcam", channels_feature([0.4, 0.6], score=0.8), [[1.0, 1.0]]),  # 0.4 / 0.8 of 2, 0.2 / 0.8 of 4
    ],
)
def test_map_on_image_of_channel_scores(name: str, feature: FeatureMap, expected: list[list[float]]) -> None:
    """Methods that weigh channels by scores get them from the feature map, and ask for no gradients."""
    geometry = ImageGeometry(original_hw=(4, 8), padded_hw=(4, 8), scale_yx=(1.0, 1.0))
    heatmap, _, status = map_on_image([feature], methods.get(name), geometry)
    assert status is MapStatus.OK
    grid = GridPlacement((0.0, 0.0), (4.0, 4.0))
    np.testing.assert_allclose(heatmap, project(np.array(expected), grid, original_hw=(4, 8)), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("scorecam", channels_feature(None)),
        ("ablationcam", channels_feature([0.4, 0.6])),
        ("ablationcam", channels_feature(None, score=0.8)),
    ],
)
def test_map_on_image_without_the_scores_that_a_method_needs_has_no_path(name: str, feature: FeatureMap) -> None:
    """A level for which no scores were taken counts 0."""
    assert_blank([feature], MapStatus.NO_PATH, method=methods.get(name))


def test_map_on_image_tells_scores_that_are_not_finite() -> None:
    """A NaN among the scores empties the map."""
    assert_blank([channels_feature([0.4, np.nan])], MapStatus.NOT_FINITE, method=methods.get("scorecam"))
    assert_blank([channels_feature([0.4, 0.2], np.inf)], MapStatus.NOT_FINITE, method=methods.get("ablationcam"))


def test_map_on_image_tells_scores_that_no_channel_lowers() -> None:
    """When the score does not fall without any channel, nothing speaks for the box."""
    assert_blank([channels_feature([0.8, 0.9], 0.8)], MapStatus.NEGATIVE, method=methods.get("ablationcam"))


def test_map_on_image_refuses_a_black_box_method() -> None:
    """D-RISE's map comes from masked images; there is no feature map to make it of."""
    with pytest.raises(ValueError, match="method 'drise' makes its map from masked images"):
        map_on_image([FINE], methods.get("drise"), PLAIN)


# --- each level's own grid


def test_map_on_image_gives_each_levels_grid() -> None:
    """Evidence per cell and where the cells lie; put there, the levels add up to the map."""
    heatmap, levels, _ = map_on_image([FINE, COARSE], GRADCAM, PLAIN)
    grids = [level.grid for level in levels if level.grid]
    assert [grid.values.tolist() for grid in grids] == [[[1.0] * 4] * 4, [[12.0] * 2] * 2]
    assert [grid.placement.cell_yx for grid in grids] == [(2.0, 2.0), (4.0, 4.0)]
    total = sum(project(grid.values, grid.placement, original_hw=(8, 8)) for grid in grids)
    np.testing.assert_array_equal(total, heatmap)


def test_combined_puts_grids_together_as_it_does_maps() -> None:
    """Each part's cells divided by the highest value of the part's map, then the highest; blank parts have no say."""
    blank = map_on_image([constant_feature(4, 1.0, -1.0)], GRADCAM, PLAIN)
    parts = [
        map_on_image([roi_feature((0.0, 0.0, 8.0, 8.0), np.diag(values))], GRADCAM, PLAIN)
        for values in ([4, 1], [1, 2])
    ]
    _, (level,), status = combined([*parts, blank])
    peaks = [heatmap.max() for heatmap, _, _ in parts]
    assert status is MapStatus.OK and level.grid is not None
    np.testing.assert_allclose(level.grid.values, np.diag([4 / peaks[0], 2 / peaks[1]]), rtol=1e-6)
