"""What holds for every CAM method that makes a map of arrays, tried on arrays that are drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ppdet_cam.explaining.evidence import map_on_image
from ppdet_cam.methods import Needs, gradcam, hirescam, layercam, methods, odam
from ppdet_cam.structures import FeatureKind, FeatureMap, ImageGeometry, MapStatus

steady = settings(max_examples=30, deadline=None, derandomize=True, database=None)

FLOAT32, SMALLEST = float(np.finfo(np.float32).max), float(np.float32(1e-45))

# Multiples of 1/64 up to 4 keep sums of products exact in float64.
exact = st.integers(-256, 256).map(lambda number: number / 64)
usual = st.floats(-100.0, 100.0, width=32)
anything = st.one_of(
    st.floats(-FLOAT32, FLOAT32, width=32), st.sampled_from([0.0, -0.0, SMALLEST, -SMALLEST, FLOAT32, -FLOAT32])
)


@st.composite
def pairs(draw: st.DrawFn, elements: st.SearchStrategy[float]) -> tuple[np.ndarray, np.ndarray]:
    """Activations and gradients [C, h, w], float32."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)))
    one, other = (draw(arrays.arrays(np.float32, shape, elements=elements)) for _ in range(2))
    return one, other


def map_of(name: str, activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Returns a method's map; what it needs beside the activations is made of the gradients."""
    method, channels = methods.get(name), gradients.mean(axis=(1, 2), dtype=np.float64)
    given_to: dict[Needs, Callable[[], np.ndarray]] = {
        Needs.ACTIVATIONS: lambda: method.function(activations),
        Needs.GRADIENTS: lambda: method.function(activations, gradients),
        Needs.CHANNEL_SCORES: lambda: method.function(activations, channels),
        Needs.ABLATED_SCORES: lambda: method.function(activations, 1.0, 1.0 - channels),
    }
    return given_to[method.needs]()


# those that look at feature maps
NAMES = [name for name in methods.names() if methods.get(name).needs.is_of_features]
OF_GRADIENTS = [name for name in NAMES if methods.get(name).needs is Needs.GRADIENTS]
# a channel's weight in them is a quotient that a sum near zero can make as large as it likes
QUOTIENTS = ("gradcam++", "xgradcam")
STABLE = [name for name in NAMES if name not in QUOTIENTS]

each_method = pytest.mark.parametrize("name", NAMES)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Asserts that two maps are the same but for rounding."""
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * max(1.0, float(np.abs(expected).max())))


@each_method
@steady
@given(pairs(anything))
def test_map_is_finite_and_not_negative_for_any_numbers(name: str, given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """From the smallest float32 to the largest, there is no NaN, no infinity, no evidence below zero."""
    activations, gradients = given_arrays
    with np.errstate(all="raise", under="ignore"):
        heatmap = map_of(name, activations, gradients)
    assert heatmap.shape == activations.shape[1:]
    assert heatmap.dtype == np.float64
    assert np.isfinite(heatmap).all()
    assert heatmap.min() >= 0


@each_method
@steady
@given(pairs(anything))
def test_method_leaves_its_arrays_as_they_were(name: str, given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """The arrays are shared with other methods and levels."""
    copies = [values.copy() for values in given_arrays]
    map_of(name, *given_arrays)
    for values, copy in zip(given_arrays, copies):
        np.testing.assert_array_equal(values, copy)


@pytest.mark.parametrize("name", OF_GRADIENTS)
@steady
@given(pairs(usual))
def test_zero_gradients_give_a_zero_map(name: str, given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Where nothing reaches the score, nothing is shown."""
    activations, gradients = given_arrays
    assert not map_of(name, activations, np.zeros_like(gradients)).any()


@each_method
@steady
@given(pairs(usual))
def test_zero_activations_give_a_zero_map(name: str, given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """A feature map that holds nothing has no evidence, whatever its gradients."""
    activations, gradients = given_arrays
    assert not map_of(name, np.zeros_like(activations), gradients).any()


@pytest.mark.parametrize("name", [name for name in OF_GRADIENTS if name != "gradcam++"])
@steady
@given(pairs(exact), st.sampled_from([2.0**-20, 0.5, 2.0, 2.0**20]))
def test_map_grows_with_the_gradients(name: str, given_arrays: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    """A score times a positive number has the same map times that number: logits and levels share one unit."""
    activations, gradients = given_arrays
    close(map_of(name, activations, gradients * np.float32(factor)) / factor, map_of(name, activations, gradients))


@pytest.mark.parametrize("name", [name for name in STABLE if name != "scorecam"])
@steady
@given(pairs(exact), st.sampled_from([2.0**-20, 0.5, 2.0, 2.0**20]))
def test_map_grows_with_the_activations(name: str, given_arrays: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    """Activations times a positive number have the same map times that number, the gradients being what they are."""
    activations, gradients = given_arrays
    close(map_of(name, activations * np.float32(factor), gradients) / factor, map_of(name, activations, gradients))


@each_method
@steady
@given(pairs(exact), st.randoms(use_true_random=False))
def test_order_of_the_channels_does_not_matter(name: str, given_arrays: tuple[np.ndarray, np.ndarray], random) -> None:
    """Channels have no place: numbered anew, they give the same map."""
    activations, gradients = given_arrays
    order = list(range(len(activations)))
    random.shuffle(order)
    expected = map_of(name, activations, gradients)
    if name.startswith("eigen") and has_no_single_component(name, activations, gradients):
        return
    close(map_of(name, activations[order], gradients[order]), expected)


@each_method
@pytest.mark.parametrize("axis", [1, 2])
@steady
@given(pairs(exact))
def test_mirrored_arrays_give_the_mirrored_map(
    name: str, axis: int, given_arrays: tuple[np.ndarray, np.ndarray]
) -> None:
    """No method knows left from right or top from bottom."""
    activations, gradients = given_arrays
    if name.startswith("eigen") and has_no_single_component(name, activations, gradients):
        return
    mirrored = map_of(name, np.flip(activations, axis), np.flip(gradients, axis))
    close(mirrored, np.flip(map_of(name, activations, gradients), axis - 1))


def has_no_single_component(name: str, activations: np.ndarray, gradients: np.ndarray) -> bool:
    """Returns whether the principal component, or its sign, is left open by the numbers."""
    values = activations.astype(np.float64) * (gradients if name == "eigengradcam" else 1.0)
    cells = values.reshape(len(values), -1)
    singular = np.append(np.linalg.svd(cells, compute_uv=False), 0.0)
    component = np.linalg.svd(cells.T, full_matrices=False)[0][:, 0]
    sums = component @ cells.T.sum(axis=1)
    tied = np.sort(np.abs(component))[::-1]
    is_open = len(tied) > 1 and abs(tied[0] - tied[1]) < 1e-3 if name == "eigencam" else abs(sums) < 1e-3
    return bool(singular[0] - singular[1] < 1e-3 * max(singular[0], 1.0) or is_open)


@steady
@given(pairs(exact))
def test_hirescam_is_the_sum_of_gradients_times_activations(given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Cell by cell, cut at zero; on the box's own level ODAM is the same."""
    activations, gradients = (values.astype(np.float64) for values in given_arrays)
    expected = np.maximum((gradients * activations).sum(axis=0), 0.0)
    np.testing.assert_array_equal(hirescam(*given_arrays), expected)
    np.testing.assert_array_equal(odam(*given_arrays), expected)


@steady
@given(pairs(exact))
def test_layercam_shows_at_least_what_hirescam_shows(given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """For activations >= 0 LayerCAM leaves out what speaks against the box, so nowhere is it below HiResCAM."""
    activations, gradients = np.abs(given_arrays[0]), given_arrays[1]
    assert (layercam(activations, gradients) >= hirescam(activations, gradients)).all()
    np.testing.assert_array_equal(layercam(activations, np.abs(gradients)), hirescam(activations, np.abs(gradients)))


@steady
@given(pairs(exact))
def test_gradcam_is_hirescam_of_the_mean_gradients(given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Where a channel's gradients are the same in all cells, Grad-CAM and HiResCAM are one."""
    activations, gradients = (values.astype(np.float64) for values in given_arrays)
    even = np.broadcast_to(gradients.mean(axis=(1, 2), keepdims=True), gradients.shape)
    close(hirescam(activations, even), gradcam(activations, gradients))


@pytest.mark.parametrize("name", OF_GRADIENTS)
@steady
@given(pairs(exact), st.integers(1, 3))
def test_channels_that_nothing_reaches_change_nothing(
    name: str, given_arrays: tuple[np.ndarray, np.ndarray], count: int
) -> None:
    """Channels with zero gradients may hold anything."""
    activations, gradients = given_arrays
    if name == "eigengradcam" and has_no_single_component(name, activations, gradients):
        return
    more = np.full((count, *activations.shape[1:]), 3.5, np.float32)
    found = map_of(name, np.concatenate([activations, more]), np.concatenate([gradients, np.zeros_like(more)]))
    close(found, map_of(name, activations, gradients))


@pytest.mark.parametrize("name", OF_GRADIENTS)
@steady
@given(pairs(anything), pairs(usual))
def test_map_on_the_image_is_finite_or_blank_with_its_reason(
    name: str, first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> None:
    """Two levels of any numbers give evidence with shares that sum to 1, or a status that says why there is none."""
    features = [FeatureMap("layer", level, FeatureKind.IMAGE, *of) for level, of in enumerate((first, second))]
    geometry = ImageGeometry((6, 7), (8, 8), (1.0, 1.0))
    heatmap, shares, status = map_on_image(features, methods.get(name), geometry)
    assert np.isfinite(heatmap).all()
    assert heatmap.min() >= 0
    assert heatmap.any() == (status is MapStatus.OK)
    assert sum(share.share for share in shares) == pytest.approx(1.0 if status is MapStatus.OK else 0.0)
