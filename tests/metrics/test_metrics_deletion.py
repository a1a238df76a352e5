"""Deletion and insertion with score functions that look at known pixels."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.errors import UnknownNameError
from ppdet_cam.metrics import MetricError, curves, deletion_curve, fills, insertion_curve

# 1 x 4 pixels; only the brightness of the last two counts, 3 to 1.
IMAGE = np.zeros((1, 4, 3), dtype=np.uint8)
IMAGE[0, :, :] = np.array([50, 90, 200, 100])[:, None]


def weighed_pixels(images: np.ndarray) -> np.ndarray:
    """Returns 0.6 for pixel 2 as in the photo plus 0.2 for pixel 3."""
    same = (images == IMAGE).all(axis=-1)[:, 0]
    return 0.6 * same[:, 2] + 0.2 * same[:, 3]


def evidence_score(photo: np.ndarray, evidence: np.ndarray):
    """Returns a score function: the share of the evidence's pixels that show the photo."""

    def score(images: np.ndarray) -> np.ndarray:
        return (images == photo).all(axis=-1)[:, evidence].mean(axis=1)

    return score


def textured_photo(side: int) -> np.ndarray:
    """Returns a photo in which no pixel has the colour of any fill."""
    return np.random.default_rng(3).integers(140, 256, size=(side, side, 3), dtype=np.uint8)


def test_deletion_curve_removes_the_highest_pixels_first() -> None:
    """Order 2, 3, 0, 1: 0.8 falls to 0.2, then to 0; over 0.8 and by the trapezoid rule (0.625 + 0.125) / 4."""
    curve = deletion_curve(IMAGE, np.array([[2.0, 1.0, 9.0, 5.0]]), score_fn=weighed_pixels, fill="black", steps=4)
    np.testing.assert_allclose(curve.shares, [0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(curve.scores, [0.8, 0.2, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(curve.normalised, [1.0, 0.25, 0.0, 0.0, 0.0])
    assert curve.full_score == pytest.approx(0.8)
    assert curve.auc == pytest.approx((0.625 + 0.125) / 4)


def test_insertion_curve_shows_the_highest_pixels_first() -> None:
    """The same order from black: 0 rises to 0.6, then to 0.8."""
    curve = insertion_curve(IMAGE, np.array([[2.0, 1.0, 9.0, 5.0]]), score_fn=weighed_pixels, start="black", steps=4)
    np.testing.assert_allclose(curve.normalised, [0.0, 0.75, 1.0, 1.0, 1.0])
    assert curve.auc == pytest.approx((0.375 + 0.875 + 1 + 1) / 4)


def test_curves_hold_both_and_their_difference() -> None:
    """Insertion 3.25 / 4 less deletion 0.75 / 4."""
    both = curves(
        IMAGE, np.array([[2.0, 1.0, 9.0, 5.0]]), score_fn=weighed_pixels, fill="black", start="black", steps=4
    )
    assert both.insertion_minus_deletion == pytest.approx((3.25 - 0.75) / 4)


def test_deletion_curve_breaks_ties_in_reading_order() -> None:
    """A flat map deletes pixel 0, 1, 2, 3: the score falls in the last two steps."""
    curve = deletion_curve(IMAGE, np.ones((1, 4)), score_fn=weighed_pixels, fill="black", steps=4)
    np.testing.assert_allclose(curve.scores, [0.8, 0.8, 0.8, 0.2, 0.0])


def test_deletion_curve_steps_by_area() -> None:
    """Three steps over 4 pixels end after 1.33, 2.67 and 4 pixels: 1, 3 and 4."""
    curve = deletion_curve(IMAGE, np.ones((1, 4)), score_fn=weighed_pixels, fill="black", steps=3)
    np.testing.assert_allclose(curve.shares, [0.0, 0.25, 0.75, 1.0])
    # mean heights 1, 0.625, 0.125 over widths 1, 2, 1
    np.testing.assert_allclose(curve.normalised, [1.0, 1.0, 0.25, 0.0])
    assert curve.auc == pytest.approx((1 + 2 * 0.625 + 0.125) / 4)


def test_deletion_curve_has_no_steps_finer_than_a_pixel() -> None:
    """A hundred steps over 4 pixels are 4 steps, and each state is scored once."""
    curve = deletion_curve(IMAGE, np.ones((1, 4)), score_fn=weighed_pixels, fill="black", steps=100)
    np.testing.assert_allclose(curve.shares, [0.0, 0.25, 0.5, 0.75, 1.0])


def test_deletion_curve_may_end_early() -> None:
    """Until half of the image: the area is the mean height up to there."""
    heatmap = np.array([[2.0, 1.0, 9.0, 5.0]])
    deleted = deletion_curve(IMAGE, heatmap, score_fn=weighed_pixels, fill="black", steps=2, until=0.5)
    np.testing.assert_allclose(deleted.shares, [0.0, 0.25, 0.5])
    assert deleted.auc == pytest.approx((0.625 + 0.125) / 2)
    shown = insertion_curve(IMAGE, heatmap, score_fn=weighed_pixels, start="black", steps=1, until=0.25)
    np.testing.assert_allclose(shown.normalised, [0.0, 0.75])


def test_curves_do_not_depend_on_the_batch_size() -> None:
    """One image per call, three, or all at once give the same numbers, and calls are never larger."""
    photo = textured_photo(12)
    score = evidence_score(photo, np.arange(144).reshape(12, 12) % 5 == 0)
    heatmap = np.random.default_rng(0).random((12, 12))
    asked = []

    def counted(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        return score(images)

    by_size = {size: deletion_curve(photo, heatmap, score_fn=counted, steps=10, batch_size=size) for size in (1, 3, 50)}
    assert asked == [1] * 11 + [3, 3, 3, 2] + [11]
    np.testing.assert_array_equal(by_size[1].scores, by_size[50].scores)
    np.testing.assert_array_equal(by_size[3].scores, by_size[50].scores)


def test_curves_leave_the_photo_alone() -> None:
    """The image and the map are inputs; no step writes into them."""
    photo, heatmap = textured_photo(8), np.random.default_rng(1).random((8, 8))
    kept_photo, kept_heatmap = photo.copy(), heatmap.copy()
    curves(photo, heatmap, score_fn=lambda images: np.ones(len(images)), steps=4)
    np.testing.assert_array_equal(photo, kept_photo)
    np.testing.assert_array_equal(heatmap, kept_heatmap)


@pytest.mark.parametrize("fill", fills.names())
def test_curves_start_and_end_where_they_should_with_every_fill(fill: str) -> None:
    """Deletion goes from 1 to the fill's score, insertion from the fill's score to 1."""
    photo = textured_photo(16)
    evidence = np.zeros((16, 16), dtype=bool)
    evidence[3:7, 5:9] = True
    both = curves(
        photo, evidence.astype(float), score_fn=evidence_score(photo, evidence), fill=fill, start=fill, steps=16
    )
    assert both.deletion.normalised[0] == both.insertion.normalised[-1] == 1.0
    assert both.deletion.normalised[-1] == both.insertion.normalised[0]


def test_a_perfect_map_beats_random_ones_and_its_opposite() -> None:
    """A map of the evidence falls and rises at once; random maps lie near 0, the reversed map below them."""
    photo = textured_photo(16)
    evidence = np.zeros((16, 16), dtype=bool)
    evidence[3:7, 5:9] = True  # 16 of 256 pixels

    def difference(heatmap: np.ndarray) -> float:
        score = evidence_score(photo, evidence)
        return curves(photo, heatmap, score_fn=score, fill="black", start="black", steps=16).insertion_minus_deletion

    random_maps = [difference(np.random.default_rng(seed).random((16, 16))) for seed in range(10)]
    # all evidence goes in the first of 16 steps: deletion 1 / 32, insertion 1 - 1 / 32
    assert difference(evidence.astype(float)) == pytest.approx(1 - 2 / 32)
    assert difference((~evidence).astype(float)) == pytest.approx(2 / 32 - 1)
    assert max(map(abs, random_maps)) < 0.3


def test_fills_are_what_they_are_called() -> None:
    """The mean colour is rounded per channel; gray is 128; blur keeps a plain image and smears an edge."""
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0, 0] = (4, 2, 255)
    assert (fills.get("mean")(image) == (1, 0, 64)).all()  # 1, 0.5 (to even), 63.75
    assert (fills.get("gray")(image) == 128).all()
    assert not fills.get("black")(image).any()
    plain = np.full((40, 60, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(fills.get("blur")(plain), plain)
    edge = plain.copy()
    edge[:, 30:] = 177
    smeared = fills.get("blur")(edge)
    assert (np.diff(smeared[20, :, 0].astype(int)) >= 0).all()
    assert 110 < smeared[20, 29, 0] < 127 < smeared[20, 30, 0] < 145
    assert smeared.dtype == np.uint8


def test_fills_keep_the_image_they_are_given() -> None:
    """A fill is a new image that can be written to."""
    photo = textured_photo(6)
    for name in fills.names():
        filled = fills.get(name)(photo)
        assert filled.shape == photo.shape
        filled[:] = 0
    assert photo.any()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"until": 0.0}, "until=0.0"),
        ({"until": 1.5}, "until=1.5"),
        ({"until": 0.1}, "less than half a pixel"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"heatmap": np.ones((2, 2))}, "must be one size"),
        ({"image": IMAGE.astype(float)}, "uint8"),
        ({"score_fn": lambda images: np.zeros(len(images))}, "must find the box there"),
        ({"score_fn": lambda images: np.full(len(images), np.nan)}, "one finite score"),
        ({"score_fn": lambda images: np.ones((len(images), 2))}, "one finite score"),
    ],
)
def test_curves_name_what_does_not_fit(changed: dict[str, object], message: str) -> None:
    """Ranges, sizes and what the score function gives are checked; a box that is not there has no curve."""
    arguments = {"image": IMAGE, "heatmap": np.ones((1, 4)), "score_fn": weighed_pixels, **changed}
    for curve in (deletion_curve, insertion_curve):
        with pytest.raises(MetricError, match=message):
            curve(**arguments)


def test_curves_name_a_fill_that_is_not_there() -> None:
    """Fills are looked up by name, with the close ones offered."""
    with pytest.raises(UnknownNameError, match="did you mean 'blur'"):
        deletion_curve(IMAGE, np.ones((1, 4)), score_fn=weighed_pixels, fill="blurr")
