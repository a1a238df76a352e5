"""Altered images run through the detector once, whatever asks for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ppdet_cam.evaluation import altered
from ppdet_cam.evaluation.altered import AlteredImages
from ppdet_cam.metrics import content_free, curves


@pytest.fixture
def runs(monkeypatch):
    """How many images each call of the detector had."""
    counts = []
    own = altered.candidates_of_images

    def counted(detector, frame, images):
        counts.append(len(images))
        return own(detector, frame, images)

    monkeypatch.setattr(altered, "candidates_of_images", counted)
    return counts


def test_maps_that_order_the_pixels_alike_cost_nothing_more(detector_of, photo, runs):
    """Curves of a map and of its square are equal and share every image; another box's curves share their ends."""
    detector = detector_of("ssd")
    first, second = detector.forward(photo, {}).detections[:2]
    images = AlteredImages(detector, photo, [first, second])
    heatmap = np.random.default_rng(0).random(photo.original_hw)

    def both(one, values):
        return curves(photo.image, values, score_fn=images.score_fn(one), steps=3, batch_size=8)

    own = both(first, heatmap)
    assert sum(runs) == 7  # of 2 x 4 images, the photograph is in both
    alike = both(first, heatmap**2)
    other = both(second, heatmap)
    assert sum(runs) == 7
    both(second, heatmap.max() - heatmap)
    assert sum(runs) == 7 + 4  # only what lies between the ends is new
    np.testing.assert_array_equal(own.deletion.scores, alike.deletion.scores)
    assert (own.deletion.scores != other.deletion.scores).any()


def test_scores_are_those_of_each_image_alone(detector_of, photo):
    """Neither what ran before nor the order of the images counts."""
    detector = detector_of("ssd")
    (one, *_) = detector.forward(photo, {}).detections
    dark = np.stack([photo.image // 2, photo.image, photo.image // 3])
    together = AlteredImages(detector, photo, [one]).score_fn(one)(dark)
    alone = AlteredImages(detector, photo, [one]).score_fn(one)
    np.testing.assert_allclose(together, [alone(image[None])[0] for image in dark], rtol=0, atol=1e-6)
    assert together[1] > 0 and len(set(together)) == 3


def test_fill_may_be_the_image_itself(photo):
    """A fill that is made once gives the curves that its name gives."""
    heatmap = np.random.default_rng(0).random(photo.original_hw)

    def brightness(images):
        return images.mean(axis=(1, 2, 3))

    named = curves(photo.image, heatmap, score_fn=brightness, steps=4)
    made = curves(
        photo.image,
        heatmap,
        score_fn=brightness,
        steps=4,
        fill=content_free(photo.image, "mean"),
        start=content_free(photo.image, "blur"),
    )
    assert dataclasses.astuple(named.deletion)[2] == dataclasses.astuple(made.deletion)[2]
    np.testing.assert_array_equal(named.insertion.scores, made.insertion.scores)
