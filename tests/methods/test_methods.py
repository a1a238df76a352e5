"""CAM methods: maps computed by hand, what holds for every method, the package grad-cam's numbers, and the registry."""

from __future__ import annotations

import doctest
import importlib
import json
import re

import numpy as np
import pytest
from support.places import REFERENCE, ROOT

from ppdet_cam.errors import PpdetCamError, UnknownNameError
from ppdet_cam.methods import (
    Levels,
    Method,
    Needs,
    ablationcam,
    channel_mask,
    detection_similarity,
    drise,
    eigencam,
    eigengradcam,
    gradcam,
    gradcampp,
    hirescam,
    layercam,
    method,
    methods,
    odam,
    random_mask,
    random_masks,
    scorecam,
    xgradcam,
)
from ppdet_cam.registry import Registry

ACTIVATIONS = np.array([[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [-1.0, 2.0]]])
GRADIENTS = np.array([[[1.0, -1.0], [0.0, 2.0]], [[0.5, 1.0], [2.0, -1.0]]])

BY_GRADIENTS = [name for name in methods.names() if methods.get(name).needs is Needs.GRADIENTS]
ON_GRIDS = [name for name in methods.names() if not methods.get(name).needs.is_of_images]


def gradients_with_means(first: float, second: float) -> np.ndarray:
    """Returns gradients of two channels that vary over space around the given means."""
    ripple = np.array([[2.0, -3.0], [0.5, 0.5]])
    return np.stack([first + ripple, second - ripple])


def applied(name: str, activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns a method's map; a method that takes scores gets the gradients' means over space as such."""
    scores = gradients.mean(axis=(1, 2))
    arguments = {
        Needs.ACTIVATIONS: (activations,),
        Needs.GRADIENTS: (activations, gradients),
        Needs.CHANNEL_SCORES: (activations, scores),
        Needs.ABLATED_SCORES: (activations, 0.5, scores),
        Needs.MASKS: (activations, np.abs(scores)),
        Needs.ATTENTION: (activations,),
        Needs.ATTENTION_GRADIENTS: (activations, gradients),
    }
    entry = methods.get(name)
    return entry.function(*arguments[entry.needs])


# by hand


def test_hirescam_multiplies_cell_by_cell() -> None:
    """Each cell's products are added over the channels: 1 + 2, -2, -2 and 8 - 2, and what is negative is cut."""
    np.testing.assert_allclose(hirescam(ACTIVATIONS, GRADIENTS), [[3.0, 0.0], [0.0, 6.0]])


def test_hirescam_equals_gradcam_where_gradients_do_not_vary() -> None:
    """With the same gradient in every cell of a channel, the mean changes nothing."""
    gradients = np.array([2.0, -1.0])[:, None, None] * np.ones((2, 2, 2))
    np.testing.assert_allclose(hirescam(ACTIVATIONS, gradients), gradcam(ACTIVATIONS, gradients))


def test_gradcam_weighs_channels_by_their_mean_gradient() -> None:
    """With weights 2 and 1 the map is 2 A_0 + A_1, wherever in a channel the gradient sits."""
    found = gradcam(ACTIVATIONS, gradients_with_means(2.0, 1.0))
    np.testing.assert_allclose(found, [[6.0, 4.0], [5.0, 10.0]])


def test_gradcam_cuts_negative_sums_after_adding_the_channels() -> None:
    """With weights 1 and -1 the map is A_0 - A_1 where that is positive and 0 elsewhere."""
    found = gradcam(ACTIVATIONS, gradients_with_means(1.0, -1.0))
    np.testing.assert_allclose(found, [[0.0, 2.0], [4.0, 2.0]])


def test_gradcam_is_zero_when_every_sum_is_negative() -> None:
    """With weights -1 and 0 every cell is below zero, so the map is empty."""
    assert (gradcam(ACTIVATIONS, gradients_with_means(-1.0, 0.0)) == 0).all()


def test_gradcam_shows_an_activation_that_raises_the_score() -> None:
    """The one active cell shows when its channel's gradient is positive, and vanishes when it is negative."""
    activations = np.zeros((1, 2, 2))
    activations[0, 1, 0] = 5.0
    gradients = np.full((1, 2, 2), 0.5)
    np.testing.assert_allclose(gradcam(activations, gradients), [[0.0, 0.0], [2.5, 0.0]])
    assert not gradcam(activations, -gradients).any()


def test_gradcam_counts_a_negative_activation_under_a_negative_weight() -> None:
    """Two negatives make evidence: a cell at -3 with weight -2 gives 6."""
    assert gradcam(np.full((1, 1, 1), -3.0), np.full((1, 1, 1), -2.0)) == pytest.approx(6.0)


def test_gradcampp_weighs_positive_gradients_by_their_alphas() -> None:
    """A cell with g > 0 gives g / (2 + g * sum A), the sums being 10 and 5; those with g <= 0 give nothing."""
    first = 1 / (2 + 1 * 10) + 2 / (2 + 2 * 10)
    second = 0.5 / (2 + 0.5 * 5) + 1 / (2 + 1 * 5) + 2 / (2 + 2 * 5)
    expected = [[first + 4 * second, 2 * first], [3 * first - second, 4 * first + 2 * second]]
    np.testing.assert_allclose(gradcampp(ACTIVATIONS, GRADIENTS), expected)


def test_gradcampp_gives_no_weight_where_the_denominator_is_zero() -> None:
    """A channel that sums to -2 under a gradient of 1 has 2 + 1 * -2 = 0 below the line; the other cell has 2 - 1."""
    activations = np.array([[[-3.0, 1.0]]])
    np.testing.assert_allclose(gradcampp(activations, np.array([[[1.0, 0.5]]])), [[0.0, 0.5]])


def test_xgradcam_weighs_gradients_by_activations() -> None:
    """w_0 = (1 - 2 + 0 + 8) / 10 = 0.7 and w_1 = (2 + 0 - 2 - 2) / 5 = -0.4."""
    expected = [[0.0, 1.4], [2.5, 2.0]]  # 0.7 - 1.6 is cut; 1.4 - 0; 2.1 + 0.4; 2.8 - 0.8
    np.testing.assert_allclose(xgradcam(ACTIVATIONS, GRADIENTS), expected)


def test_xgradcam_leaves_out_a_channel_that_sums_to_zero() -> None:
    """3 - 3 = 0 cannot be divided by; the other channel gives 2 * (1 + 1) / 2."""
    activations = np.array([[[3.0, -3.0]], [[1.0, 1.0]]])
    np.testing.assert_allclose(xgradcam(activations, np.full((2, 1, 2), 2.0)), [[2.0, 2.0]])


def test_layercam_multiplies_with_what_is_positive_of_the_gradients() -> None:
    """Each cell's products are added: 1 + 2, 0 + 0, 0 - 2 (cut) and 8 + 0."""
    np.testing.assert_allclose(layercam(ACTIVATIONS, GRADIENTS), [[3.0, 0.0], [0.0, 8.0]])


def test_odam_multiplies_cell_by_cell() -> None:
    """On one level ODAM's map is 1 + 2, -2 + 0, 0 - 2 and 8 - 2, and what is negative is cut."""
    np.testing.assert_allclose(odam(ACTIVATIONS, GRADIENTS), [[3.0, 0.0], [0.0, 6.0]])


def test_eigencam_projects_on_the_first_component() -> None:
    """Cells (6, 8) and (-3, -4) lie on (0.6, 0.8): 10 and -5; the largest is positive, and what is negative is cut."""
    activations = np.array([[[6.0, -3.0]], [[8.0, -4.0]]])
    np.testing.assert_allclose(eigencam(activations), [[10.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(eigencam(-activations), [[10.0, 0.0]], atol=1e-12)


def test_eigencam_does_not_centre() -> None:
    """Cells (3, 0), (4, 0) and (0, 0) lie on (1, 0): without centring they are 3, 4 and 0."""
    activations = np.array([[[3.0, 4.0, 0.0]], [[0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(eigencam(activations), [[3.0, 4.0, 0.0]], atol=1e-12)


def test_eigencam_of_activations_above_zero_cuts_nothing() -> None:
    """The first component of values above zero has one sign, whichever matrix is the smaller one."""
    for shape in ((3, 4, 5), (40, 2, 3)):
        activations = np.random.default_rng(1).random(shape)
        found = eigencam(activations)
        singular_values = np.linalg.svd(activations.reshape(shape[0], -1), compute_uv=False)
        assert found.min() > 0
        assert np.linalg.norm(found) == pytest.approx(singular_values[0])


def test_eigengradcam_takes_the_sign_of_the_evidence() -> None:
    """Products (6, 8) and (-3, -4) are 10 and -5 on (0.6, 0.8); negative gradients turn the map to the other cell."""
    gradients = np.array([[[6.0, -3.0]], [[8.0, -4.0]]])
    np.testing.assert_allclose(eigengradcam(np.ones((2, 1, 2)), gradients), [[10.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(eigengradcam(np.ones((2, 1, 2)), -gradients), [[0.0, 5.0]], atol=1e-12)


def test_eigengradcam_is_hirescam_for_one_channel() -> None:
    """With one channel there is one component: the products themselves."""
    activations, gradients = ACTIVATIONS[:1], GRADIENTS[:1]
    np.testing.assert_allclose(eigengradcam(activations, gradients), hirescam(activations, gradients), atol=1e-12)


def test_scorecam_weighs_channels_by_a_softmax() -> None:
    """Scores log 3 and 0 weigh 3/4 and 1/4: 0.75 + 1, 1.5, 2.25 - 0.25 and 3 + 0.5; a shift of all changes nothing."""
    scores = np.array([np.log(3.0), 0.0])
    for shift in (0.0, -1000.0, 1000.0):
        np.testing.assert_allclose(scorecam(ACTIVATIONS, scores + shift), [[1.75, 1.5], [2.0, 3.5]])


def test_scorecam_leaves_out_constant_channels() -> None:
    """A channel without a mask takes no part, whatever its score; without any other the map is empty."""
    constant = np.full((1, 2, 2), 9.0)
    with_constant = np.concatenate([ACTIVATIONS, constant])
    scores = np.array([0.3, -0.2])
    found = scorecam(with_constant, np.append(scores, 50.0))
    np.testing.assert_allclose(found, scorecam(ACTIVATIONS, scores))
    assert not scorecam(constant, np.ones(1)).any()


def test_ablationcam_weighs_channels_by_the_relative_drop() -> None:
    """Drops of 0.8 - 0.2 and 0.8 - 1.0 are weights 0.75 and -0.25: 0.75 - 1 (cut), 1.5, 2.25 + 0.25 and 3 - 0.5."""
    found = ablationcam(ACTIVATIONS, 0.8, np.array([0.2, 1.0]))
    np.testing.assert_allclose(found, [[0.0, 1.5], [2.5, 2.5]], atol=1e-12)


def test_ablationcam_keeps_its_sign_for_a_negative_score() -> None:
    """A logit that falls from -1 to -3 without a channel speaks for that channel: (-1 + 3) / |-1| = 2."""
    np.testing.assert_allclose(ablationcam(np.ones((1, 1, 1)), -1.0, np.array([-3.0])), [[2.0]])


def test_ablationcam_of_a_score_of_zero_takes_the_drop_itself() -> None:
    """Nothing is divided by zero: 0 - (-2) = 2."""
    np.testing.assert_allclose(ablationcam(np.ones((1, 1, 1)), 0.0, np.array([-2.0])), [[2.0]])


def test_channel_mask_stretches_to_zero_to_one() -> None:
    """From -1 to 3 there are 4: 0, 1 / 4 and 1; a constant channel masks everything."""
    np.testing.assert_array_equal(channel_mask(np.array([[-1.0, 0.0, 3.0]])), np.array([[0.0, 0.25, 1.0]], np.float32))
    assert not channel_mask(np.full((2, 2), 7.0)).any()


# random masks and D-RISE


def test_drise_averages_the_weighted_masks() -> None:
    """0.8 and 0.2 times their masks, over 2; masks one after the other give the same."""
    masks = np.array([[[1.0, 0.5]], [[0.0, 1.0]]])
    expected = [[0.4, 0.3]]  # 0.8 / 2 and (0.4 + 0.2) / 2
    np.testing.assert_allclose(drise(masks, np.array([0.8, 0.2])), expected)
    np.testing.assert_allclose(drise(iter(masks), np.array([0.8, 0.2])), expected)


@pytest.mark.parametrize(("masks", "similarities"), [(2, 1), (1, 2), (0, 0)])
def test_drise_refuses_masks_without_their_similarity(masks: int, similarities: int) -> None:
    """Every mask has one similarity, and there is at least one."""
    with pytest.raises(ValueError, match=f"{masks} masks and {similarities} similarities"):
        drise(np.ones((masks, 1, 1)), np.ones(similarities))


def test_drise_finds_the_pixels_that_a_similarity_depends_on() -> None:
    """When the similarity is how much of one place is kept, that place stands out."""
    masks = np.stack(list(random_masks(600, image_hw=(32, 32), cells_hw=(4, 4), seed=5)))
    found = drise(masks, masks[:, 20, 9])
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    assert abs(row - 20) <= 2
    assert abs(column - 9) <= 2


def test_random_masks_are_the_same_for_a_seed_and_index() -> None:
    """A mask depends on its seed and number alone, not on how many are made or in which order."""
    together = list(random_masks(4, image_hw=(19, 23), cells_hw=(5, 6), seed=3))
    for index in (3, 0):
        alone = random_mask(index, image_hw=(19, 23), cells_hw=(5, 6), seed=3)
        np.testing.assert_array_equal(alone, together[index])
    assert len({mask.tobytes() for mask in together}) == 4
    assert not np.array_equal(together[0], random_mask(0, image_hw=(19, 23), cells_hw=(5, 6), seed=4))


def test_random_masks_keep_the_wanted_share() -> None:
    """Pixels lie between 0 and 1 as float32; over many masks each is kept with about the given probability."""
    masks = np.stack(list(random_masks(800, image_hw=(21, 34), cells_hw=(4, 4), keep=0.3, seed=0)))
    assert masks.dtype == np.float32
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert masks.mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(masks.mean(axis=0), 0.3, atol=0.08)


@pytest.mark.parametrize(("keep", "value"), [(1.0, 1.0), (0.0, 0.0)])
def test_random_masks_keep_all_or_nothing(keep: float, value: float) -> None:
    """Enlarging neither adds nor loses anything, up to the border."""
    mask = random_mask(0, image_hw=(17, 30), keep=keep, seed=0)
    np.testing.assert_allclose(mask, value, atol=1e-6)


def test_random_mask_is_a_shifted_bilinear_enlargement() -> None:
    """Two cells over 4 pixels: cells are ceil(4 / 2) = 2 wide and enlarged to 3 * 2 = 6 pixels, of which 4 are cut out.

    Pixel i's centre lies at (i + 0.5) * 2 / 6 - 0.5 in cells: -1/3, 0, 1/3, 2/3, 1 and 4/3, the ends held.
    """
    whole = np.array([0.0, 0.0, 1 / 3, 2 / 3, 1.0, 1.0])
    seen = set()
    for index in range(40):
        row = random_mask(index, image_hw=(1, 4), cells_hw=(1, 2), seed=0)[0]
        cuts = {
            (rising, offset): (whole if rising else whole[::-1])[offset : offset + 4]
            for rising in (True, False)
            for offset in (0, 1)
        }
        matching = {name for name, cut in cuts.items() if np.allclose(row, cut, atol=1e-6)}
        assert matching or np.ptp(row) == 0
        seen |= matching
    assert len(seen) == 4


def test_detection_similarity_is_overlap_times_cosine_times_objectness() -> None:
    """IoU 2 / 6, cosine (3 * 4 + 4 * 3) / (5 * 5) and objectness 0.5."""
    found = detection_similarity(
        np.array([0.0, 0.0, 2.0, 2.0]),
        np.array([3.0, 4.0]),
        np.array([[0.0, 1.0, 2.0, 3.0]]),
        np.array([[4.0, 3.0]]),
        np.array([0.5]),
    )
    assert found == pytest.approx(2 / 6 * 24 / 25 * 0.5)


def test_detection_similarity_takes_the_best_candidate() -> None:
    """Half an overlap of the same class beats a full one of another; without objectness that factor is 1."""
    box, scores = np.array([0.0, 0.0, 2.0, 2.0]), np.array([1.0, 0.0])
    boxes = np.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0], [5.0, 5.0, 6.0, 6.0]])
    candidates = np.array([[0.0, 1.0], [0.2, 0.0], [1.0, 0.0]])
    assert detection_similarity(box, scores, boxes, candidates) == pytest.approx(0.5)
    assert detection_similarity(box, scores, boxes, candidates, np.array([1.0, 0.1, 1.0])) == pytest.approx(0.05)


def test_detection_similarity_is_zero_when_nothing_is_left() -> None:
    """No candidate, none that overlaps, one without area, and one without any class score all give 0."""
    box, scores = np.array([0.0, 0.0, 2.0, 2.0]), np.array([1.0, 0.0])
    assert detection_similarity(box, scores, np.zeros((0, 4)), np.zeros((0, 2))) == 0.0
    for other, its_scores in (
        ([2.0, 0.0, 4.0, 2.0], [1.0, 0.0]),
        ([1.0, 1.0, 1.0, 1.0], [1.0, 0.0]),
        ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0]),
    ):
        assert detection_similarity(box, scores, np.array([other]), np.array([its_scores])) == 0.0


# every method


@pytest.mark.parametrize("name", [*ON_GRIDS, "drise"])  # occlusion: test_occlusion.py
@pytest.mark.parametrize("shape", [(8, 3, 5), (3, 1, 1), (1, 4, 2)])
def test_methods_give_a_finite_map_of_the_grid_that_is_nowhere_negative(name: str, shape: tuple[int, int, int]) -> None:
    """Every registered method maps float32 arrays to a finite float64 [h, w], >= 0, also of one cell or channel."""
    activations, gradients = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    if methods.get(name).needs in (Needs.MASKS, Needs.ATTENTION, Needs.ATTENTION_GRADIENTS):
        activations = np.abs(activations)
    before = activations.copy(), gradients.copy()
    found = applied(name, activations, gradients)
    assert found.shape == shape[1:]
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert found.min() >= 0
    np.testing.assert_array_equal(activations, before[0])
    np.testing.assert_array_equal(gradients, before[1])


@pytest.mark.parametrize("name", ON_GRIDS)
def test_methods_stay_finite_for_values_whose_product_float32_cannot_hold(name: str) -> None:
    """1e30 times 1e30 is computed in float64."""
    activations = np.arange(24, dtype=np.float32).reshape(2, 3, 4) * np.float32(1e30)
    found = applied(name, activations, np.full((2, 3, 4), 1e30, np.float32))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_methods_give_zeros_for_zero_gradients(name: str) -> None:
    """No gradient, no evidence, and no division by zero."""
    assert not applied(name, np.ones((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)).any()


@pytest.mark.parametrize("name", ON_GRIDS)
def test_methods_give_zeros_for_zero_activations(name: str) -> None:
    """What is not active is no evidence, and nothing is divided by zero."""
    assert not applied(name, np.zeros((2, 2, 2), np.float32), GRADIENTS).any()


@pytest.mark.parametrize("name", [name for name in BY_GRADIENTS if name != "gradcam++"])
def test_methods_grow_with_the_gradients(name: str) -> None:
    """Twice the score is twice the map; Grad-CAM++ alone is not linear in the gradients."""
    once, twice = (applied(name, ACTIVATIONS, factor * GRADIENTS) for factor in (1.0, 2.0))
    np.testing.assert_allclose(twice, 2 * once, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in ON_GRIDS if name != "gradcam++"])
def test_methods_grow_with_the_activations(name: str) -> None:
    """Twice the activations under the same gradients or scores are twice the map."""
    once, twice = (applied(name, factor * ACTIVATIONS, GRADIENTS) for factor in (1.0, 2.0))
    np.testing.assert_allclose(twice, 2 * once, atol=1e-12)


@pytest.mark.parametrize("name", ON_GRIDS)
def test_methods_do_not_depend_on_the_order_of_channels(name: str) -> None:
    """Channels have no order."""
    np.testing.assert_allclose(
        applied(name, ACTIVATIONS[::-1], GRADIENTS[::-1]), applied(name, ACTIVATIONS, GRADIENTS), atol=1e-12
    )


@pytest.mark.parametrize("name", ["gradcam", "xgradcam", "hirescam", "layercam", "odam"])
def test_methods_agree_where_gradients_are_positive_and_do_not_vary(name: str) -> None:
    """With one gradient > 0 per channel, means, weighted means and products cell by cell are the same."""
    gradients = np.array([2.0, 1.0])[:, None, None] * np.ones((2, 2, 2))
    np.testing.assert_allclose(applied(name, ACTIVATIONS, gradients), [[6.0, 4.0], [5.0, 10.0]])


# the package grad-cam

PACKAGE = json.loads((REFERENCE / "grad_cam_package.json").read_text(encoding="utf-8"))
OF_PACKAGE = {
    "GradCAM": gradcam,
    "GradCAMPlusPlus": gradcampp,
    "XGradCAM": xgradcam,
    "HiResCAM": hirescam,
    "LayerCAM": layercam,
}


def package_case(case: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Returns a case's activations, gradients and the package's maps, with negative values cut as the package does."""
    values = PACKAGE["cases"][case]
    maps = {name: np.maximum(np.array(found), 0.0) for name, found in values["maps"].items()}
    return np.array(values["activations"], np.float32), np.array(values["gradients"], np.float32), maps


@pytest.mark.parametrize(
    ("name", "case"),
    [
        (name, case)
        for name in sorted(OF_PACKAGE)
        for case in sorted(PACKAGE["cases"])
        if (name, case) != ("GradCAMPlusPlus", "small")  # the package's constant counts there, see the next test
    ],
)
def test_methods_agree_with_the_package_grad_cam(name: str, case: str) -> None:
    """The same arrays give the package's own map to within 1e-5 of its largest value."""
    activations, gradients, maps = package_case(case)
    found = OF_PACKAGE[name](activations, gradients)
    np.testing.assert_allclose(found, maps[name], rtol=0, atol=1e-5 * maps[name].max())


def test_gradcampp_differs_from_the_package_by_its_constant_alone() -> None:
    """The package adds 1e-6 to 2 g^2 + g^3 sum A, as much as g^2 itself when gradients are about 0.001."""
    activations, gradients, maps = package_case("small")
    found = gradcampp(activations, gradients)
    assert np.abs(found - maps["GradCAMPlusPlus"]).max() > 0.3 * found.max()
    values, slopes = activations.astype(np.float64), gradients.astype(np.float64)
    below = 2 * slopes**2 + slopes**3 * values.sum(axis=(1, 2), keepdims=True) + 1e-6
    weights = (slopes**2 / below * np.maximum(slopes, 0.0)).sum(axis=(1, 2))
    with_constant = np.maximum(np.tensordot(weights, values, axes=1), 0.0)
    np.testing.assert_allclose(with_constant, maps["GradCAMPlusPlus"], rtol=0, atol=1e-5 * with_constant.max())


@pytest.mark.parametrize("case", sorted(PACKAGE["cases"]))
def test_eigencam_differs_from_the_package_by_centring_and_sign_alone(case: str) -> None:
    """With the channels' means taken off first, the package's component is ours, of either sign."""
    activations = package_case(case)[0].astype(np.float64)
    component = np.array(PACKAGE["cases"][case]["maps"]["EigenCAM"])
    expected = component * np.sign(component.flat[np.abs(component).argmax()])
    found = eigencam(activations - activations.mean(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(found, np.maximum(expected, 0.0), rtol=0, atol=1e-5 * found.max())
    assert np.abs(eigencam(activations) - found).max() > 0.01 * found.max()


@pytest.mark.parametrize("case", sorted(PACKAGE["cases"]))
def test_eigengradcam_differs_from_the_package_by_centring_and_sign_alone(case: str) -> None:
    """With the means of the products taken off first, the package's component is ours, of either sign."""
    activations, gradients, _ = package_case(case)
    products = activations.astype(np.float64) * gradients
    centred = products - products.mean(axis=(1, 2), keepdims=True)
    component = np.array(PACKAGE["cases"][case]["maps"]["EigenGradCAM"])
    expected = component * np.sign(np.vdot(component, centred.sum(axis=0)))
    found = eigengradcam(centred, np.ones_like(centred))
    np.testing.assert_allclose(found, np.maximum(expected, 0.0), rtol=0, atol=1e-5 * found.max())


def test_scorecam_agrees_with_the_package_grad_cam() -> None:
    """The same scores of masked images give the package's weights, and so its map."""
    channels, (activations, _, _) = PACKAGE["channels"], package_case("rectified")
    expected = np.tensordot(np.array(channels["score_weights"]), activations, axes=1)
    found = scorecam(activations, np.array(channels["masked_scores"]))
    np.testing.assert_allclose(found, np.maximum(expected, 0.0), rtol=0, atol=1e-5 * found.max())


def test_ablationcam_agrees_with_the_package_grad_cam() -> None:
    """The same scores without each channel give the package's weights, and so its map; the score is positive."""
    channels, (activations, _, _) = PACKAGE["channels"], package_case("rectified")
    expected = np.tensordot(np.array(channels["ablation_weights"]), activations, axes=1)
    found = ablationcam(activations, channels["score"], np.array(channels["ablated_scores"]))
    assert channels["score"] > 0
    np.testing.assert_allclose(found, np.maximum(expected, 0.0), rtol=0, atol=1e-5 * found.max())


# the registry


def test_methods_registry_names_are_the_documented_ones() -> None:
    """docs/methods.md holds a row per method, word for word what the registry says, and a section on each."""
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    header = "| method | needs | levels | cost per box | paper |"
    rows = [
        f"| `{entry.name}` | {entry.needs.value} | {entry.levels.value} | {entry.cost} | {entry.reference} |"
        for entry in map(methods.get, methods.names())
    ]
    table = [line for line in text[text.index(header) :].split("\n\n")[0].splitlines() if "---" not in line]
    assert table == [header, *rows]
    assert re.findall(r"^### `(.+)`$", text, flags=re.MULTILINE) == methods.names()


def test_methods_registry_holds_what_a_method_needs() -> None:
    """An entry carries its own name, its function and what is said about it."""
    entry = methods.get("gradcam")
    assert (entry.name, entry.function) == ("gradcam", gradcam)
    assert (entry.needs, entry.levels) == (Needs.GRADIENTS, Levels.ALL)
    assert methods.get("odam").levels is Levels.OWN
    assert all(methods.get(name).name == name for name in methods.names())


def test_method_enters_a_function_and_leaves_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decorated function is the one that was defined, and a name is taken only once."""
    registry: Registry[Method] = Registry("method")
    monkeypatch.setattr("ppdet_cam.methods.base.methods", registry)

    def function(activations: np.ndarray) -> np.ndarray:
        return activations[0]

    enter = method("first", needs=Needs.ACTIVATIONS, levels=Levels.OWN, reference="none", cost="nothing")
    assert enter(function) is function
    assert registry.get("first") == Method("first", function, Needs.ACTIVATIONS, Levels.OWN, "none", "nothing")
    with pytest.raises(ValueError, match="method 'first' is registered twice"):
        enter(function)


def test_needs_tells_which_methods_run_a_forward_per_channel() -> None:
    """Score-CAM and Ablation-CAM do."""
    per_channel = [name for name in methods.names() if methods.get(name).needs.is_per_channel]
    assert per_channel == ["ablationcam", "scorecam"]


@pytest.mark.parametrize("module", ["activation", "attention", "gradient", "occlusion", "perturbation"])
def test_methods_examples_run(module: str) -> None:
    """The examples in the docstrings give what they say."""
    found = doctest.testmod(importlib.import_module(f"ppdet_cam.methods.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_registry_get_names_the_closest_and_all_known() -> None:
    """An unknown name is refused with what was given, the close name and the whole list."""
    with pytest.raises(
        UnknownNameError, match=r"method 'gradcan' .*did you mean 'gradcam' or .*\. Supported: .* gradcam, "
    ) as caught:
        methods.get("gradcan")
    assert isinstance(caught.value, PpdetCamError)
    assert isinstance(caught.value, LookupError)
    assert str(caught.value).endswith(", ".join(methods.names()))


def test_registry_get_guesses_nothing_when_no_name_is_close() -> None:
    """A name like no other is refused with the list only, in a sentence of its own."""
    kinds: Registry[int] = Registry("kind")
    kinds.register("pear")(1)
    kinds.register("apple")(2)
    with pytest.raises(UnknownNameError) as caught:
        kinds.get("zzz")
    assert "did you mean" not in str(caught.value)
    assert re.fullmatch(r"kind 'zzz' is not supported[.;:] ?Supported: apple, pear", str(caught.value))


def test_registry_register_refuses_a_name_twice() -> None:
    """A second entry under one name is refused, and the first stays."""
    kinds: Registry[int] = Registry("kind")
    kinds.register("pear")(1)
    with pytest.raises(ValueError, match="kind 'pear' is registered twice"):
        kinds.register("pear")(2)
    assert kinds.get("pear") == 1


def test_registry_register_returns_its_argument_and_takes_several_names() -> None:
    """The decorated object stays itself and is found under each of its names, listed in order."""
    kinds: Registry[object] = Registry("kind")
    entry = object()
    assert kinds.register("pear", "apple")(entry) is entry
    assert kinds.get("apple") is kinds.get("pear") is entry
    assert kinds.names() == ["apple", "pear"]
