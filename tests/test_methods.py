"""Maps on 2 x 2 grids, computed by hand, and the registry that names the methods."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ppdet_cam.errors import PpdetCamError, UnknownNameError
from ppdet_cam.methods import gradcam, hirescam, methods
from ppdet_cam.registry import Registry

ACTIVATIONS = np.array([[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [-1.0, 2.0]]])


def gradients_with_means(first: float, second: float) -> np.ndarray:
    """Returns gradients of two channels that vary over space around the given means."""
    ripple = np.array([[2.0, -3.0], [0.5, 0.5]])
    return np.stack([first + ripple, second - ripple])


def test_hirescam_multiplies_cell_by_cell() -> None:
    """Each cell's products are added over the channels: 1 + 2, -2, -2 and 8 - 2, and what is negative is cut."""
    gradients = np.array([[[1.0, -1.0], [0.0, 2.0]], [[0.5, 1.0], [2.0, -1.0]]])
    np.testing.assert_allclose(hirescam(ACTIVATIONS, gradients), [[3.0, 0.0], [0.0, 6.0]])


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


def test_gradcam_of_float32_is_finite_and_leaves_its_inputs_alone() -> None:
    """Values whose product float32 cannot hold give a finite map, and the inputs stay as they were."""
    activations = np.full((2, 3, 4), 1e30, dtype=np.float32)
    gradients = np.full((2, 3, 4), 1e30, dtype=np.float32)
    found = gradcam(activations, gradients)
    assert found.shape == (3, 4)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, 2e60, rtol=1e-6)
    assert activations.dtype == gradients.dtype == np.float32
    assert (activations == np.float32(1e30)).all()


@pytest.mark.parametrize("name", methods.names())
def test_methods_give_a_finite_map_of_the_grid_that_is_nowhere_negative(name: str) -> None:
    """Every registered method maps float32 [C, h, w] twice to a finite [h, w], >= 0."""
    activations, gradients = np.random.default_rng(0).standard_normal((2, 8, 3, 5)).astype(np.float32)
    found = methods.get(name)(activations, gradients)
    assert found.shape == (3, 5)
    assert np.isfinite(found).all()
    assert found.min() >= 0


@pytest.mark.parametrize("name", methods.names())
def test_methods_give_zeros_for_zero_gradients(name: str) -> None:
    """No gradient, no evidence, and no division by zero."""
    assert not methods.get(name)(np.ones((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)).any()


def test_methods_registry_has_gradcam() -> None:
    """The default method is found by its name."""
    assert methods.get("gradcam") is gradcam


def test_registry_get_names_the_closest_and_all_known() -> None:
    """An unknown name is refused with what was given, the close name and the whole list."""
    with pytest.raises(UnknownNameError, match=r"method 'gradcan' .*did you mean 'gradcam'\?.* gradcam") as caught:
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
