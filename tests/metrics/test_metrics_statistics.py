"""Intervals that draw images, not boxes."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.metrics import MetricError, bootstrap_interval, paired_difference


def test_bootstrap_interval_draws_whole_images() -> None:
    """Two images with means 0.5 and 1 and two boxes each: drawn anew, the mean is 0.5, 0.75 or 1."""
    interval = bootstrap_interval([0.0, 1.0, 1.0, 1.0], ["a", "a", "b", "b"])
    assert (interval.mean, interval.low, interval.high) == (0.75, 0.5, 1.0)
    assert (interval.boxes, interval.images, interval.confidence) == (4, 2, 0.95)


def test_bootstrap_interval_weighs_boxes_not_images() -> None:
    """An image with three boxes counts three times: (3 x 0 + 1) / 4, not (0 + 1) / 2."""
    interval = bootstrap_interval([0.0, 0.0, 0.0, 1.0], [7, 7, 7, 8])
    assert interval.mean == 0.25
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_bootstrap_interval_is_wider_when_boxes_of_an_image_agree() -> None:
    """A hundred boxes in ten images of ten equal boxes are ten observations, not a hundred."""
    values = np.repeat(np.linspace(0.0, 1.0, 10), 10)
    by_image = bootstrap_interval(values, np.repeat(np.arange(10), 10).tolist())
    by_box = bootstrap_interval(values, list(range(100)))
    assert by_image.high - by_image.low > 2.5 * (by_box.high - by_box.low)


def test_bootstrap_interval_matches_the_normal_interval_for_many_images() -> None:
    """For 400 images with one box each, the ends lie 1.96 standard errors from the mean, within a tenth."""
    values = np.random.default_rng(5).random(400)
    interval = bootstrap_interval(values, list(range(400)), resamples=5000)
    half_width = 1.96 * values.std(ddof=1) / 20
    assert interval.mean - interval.low == pytest.approx(half_width, rel=0.1)
    assert interval.high - interval.mean == pytest.approx(half_width, rel=0.1)


def test_bootstrap_interval_is_repeatable() -> None:
    """A seed fixes the interval; another seed moves it; the boxes' order does not matter."""
    rng = np.random.default_rng(0)
    values, ids = rng.random(60), rng.integers(12, size=60)
    first = bootstrap_interval(values, ids.tolist(), seed=4)
    assert first == bootstrap_interval(values, ids.tolist(), seed=4)
    assert first != bootstrap_interval(values, ids.tolist(), seed=5)
    order = rng.permutation(60)
    shuffled = bootstrap_interval(values[order], ids[order].tolist(), seed=4)
    assert (shuffled.low, shuffled.high) == pytest.approx((first.low, first.high))


def test_bootstrap_interval_narrows_with_less_confidence() -> None:
    """80 % lie within 95 %."""
    values = np.random.default_rng(1).random(50)
    wide, narrow = (bootstrap_interval(values, list(range(50)), confidence=level) for level in (0.95, 0.8))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_bootstrap_interval_of_one_image_is_its_mean() -> None:
    """A single image cannot be drawn otherwise."""
    interval = bootstrap_interval([0.2, 0.4], ["only", "only"])
    assert interval.low == interval.high == pytest.approx(0.3)
    assert interval.images == 1


def test_paired_difference_sees_a_small_gain_that_is_always_there() -> None:
    """Values vary by 1 between images, the gain is 0.05 in each: the two means overlap, the difference excludes 0."""
    rng = np.random.default_rng(2)
    hard = rng.random(30)
    gain = 0.05 + 0.01 * rng.standard_normal(30)
    ids = [f"image_{number}" for number in range(30)]
    better, worse = bootstrap_interval(hard + gain, ids), bootstrap_interval(hard, ids)
    assert better.low < worse.high
    difference = paired_difference(hard + gain, hard, ids)
    assert difference.excludes_zero
    assert difference.mean == pytest.approx(gain.mean())
    assert paired_difference(hard, hard + gain, ids).mean == pytest.approx(-gain.mean())


def test_paired_difference_of_a_method_with_itself_is_zero() -> None:
    """No difference, and 0 is not excluded."""
    difference = paired_difference([0.3, 0.9], [0.3, 0.9], ["a", "b"])
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert not difference.excludes_zero


@pytest.mark.parametrize(
    ("values", "ids", "more", "message"),
    [
        ([], [], {}, "at least one"),
        ([0.1, 0.2], ["a"], {}, "one id per value"),
        ([0.1, np.nan], ["a", "b"], {}, "leave the box out"),
        ([0.1], ["a"], {"confidence": 1.0}, "between 0 and 1"),
        ([0.1], ["a"], {"resamples": 0}, "at least 1"),
    ],
)
def test_bootstrap_interval_checks_its_numbers(
    values: list[float], ids: list[str], more: dict[str, float], message: str
) -> None:
    """No boxes, lengths that differ, NaN and numbers out of range are named."""
    with pytest.raises(MetricError, match=message):
        bootstrap_interval(values, ids, **more)


def test_paired_difference_needs_the_same_boxes() -> None:
    """Two methods measured on different numbers of boxes are no pairs."""
    with pytest.raises(MetricError, match="same boxes"):
        paired_difference([0.1, 0.2], [0.1], ["a", "b"])
