"""How alike two maps are, against hand-ranked numbers and against scikit-image."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.places import REFERENCE

from ppdet_cam.metrics import MetricError, map_ssim, rank_correlations, spearman, structural_similarity

REFERENCE = json.loads((REFERENCE / "ssim_skimage.json").read_text(encoding="utf-8"))
PAIRS = {pair["name"]: pair for pair in REFERENCE["pairs"]}


def test_spearman_compares_ranks() -> None:
    """Ranks 1 2 3 4 and 2 1 4 3 differ by 1 each: 1 - 6 x 4 / (4 x 15) = 0.6."""
    assert spearman(np.array([[0.1, 0.2], [5.0, 90.0]]), np.array([[2.0, 1.0], [4.0, 3.0]])) == pytest.approx(0.6)


def test_spearman_gives_equal_values_their_mean_rank() -> None:
    """Ranks 1.5 1.5 3 and 1 2 3: covariance 1.5 over sqrt(1.5 x 2)."""
    found = spearman(np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 2.0, 3.0]]))
    assert found == pytest.approx(1.5 / np.sqrt(3.0))


def test_spearman_is_minus_one_for_the_opposite_order() -> None:
    """The reverse of any map without ties."""
    values = np.random.default_rng(0).random((5, 7))
    assert spearman(values, -(values**3)) == pytest.approx(-1.0)


def test_spearman_of_constant_maps_is_defined() -> None:
    """Two constant maps are alike, a constant map is like no other; neither warns."""
    flat, blank, other = np.ones((2, 2)), np.zeros((2, 2)), np.arange(4.0).reshape(2, 2)
    assert spearman(flat, blank) == 1.0
    assert spearman(flat, other) == spearman(other, blank) == 0.0


@pytest.mark.parametrize("name", PAIRS)
def test_structural_similarity_agrees_with_scikit_image(name: str) -> None:
    """The stored values were made by scikit-image with the settings of Wang et al."""
    pair = PAIRS[name]
    found = structural_similarity(np.array(pair["first"]), np.array(pair["second"]), data_range=1.0)
    assert found == pytest.approx(pair["ssim"], rel=1e-9)


def test_structural_similarity_of_constant_images_compares_means() -> None:
    """Without variance the second factor is 1: (2 x 0.2 x 0.6 + 0.0001) / (0.04 + 0.36 + 0.0001)."""
    found = structural_similarity(np.full((11, 11), 0.2), np.full((11, 11), 0.6), data_range=1.0)
    assert found == pytest.approx(0.2401 / 0.4001)


def test_map_ssim_does_not_depend_on_scale() -> None:
    """Each map is divided by its maximum; a factor on either changes nothing."""
    rng = np.random.default_rng(2)
    first, second = rng.random((14, 15)), rng.random((14, 15))
    assert map_ssim(first, 1e-9 * second) == pytest.approx(map_ssim(first, second))
    assert map_ssim(first, 40 * first) == pytest.approx(1.0)


def test_map_ssim_of_blank_maps_is_defined() -> None:
    """Two blank maps are alike; a blank map is unlike a map with a peak."""
    blank, peaked = np.zeros((12, 12)), np.zeros((12, 12))
    peaked[4:8, 4:8] = 1.0
    assert map_ssim(blank, blank) == 1.0
    assert 0 <= map_ssim(blank, peaked) < 0.1


def test_comparisons_check_their_maps() -> None:
    """Sizes that differ, a map smaller than the window, NaN and a range of 0 are named."""
    with pytest.raises(MetricError, match="one size"):
        spearman(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(MetricError, match="NaN"):
        spearman(np.ones((2, 2)), np.full((2, 2), np.nan))
    with pytest.raises(MetricError, match="at least 11"):
        map_ssim(np.ones((10, 40)), np.ones((10, 40)))
    with pytest.raises(MetricError, match="data_range"):
        structural_similarity(np.ones((11, 11)), np.ones((11, 11)), data_range=0.0)
    with pytest.raises(MetricError, match="evidence >= 0"):
        map_ssim(-np.ones((11, 11)), np.ones((11, 11)))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    arrays(np.float64, (4, 3, 5), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    st.booleans(),
)
def test_rank_correlations_are_spearmans_of_every_pair(maps: np.ndarray, with_constant: bool) -> None:
    """Ranking each map once gives what comparing them two by two gives, ties and constant maps included."""
    if with_constant:
        maps[0] = 1.0
    found = rank_correlations(list(maps))
    for one in range(4):
        for other in range(4):
            expected = 1.0 if one == other else spearman(maps[one], maps[other])
            assert found[one, other] == pytest.approx(expected, abs=1e-9)
