"""Altered images run through the detector once, whatever asks for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ppdet_cam.detectors.deployed.output import found_in
from ppdet_cam.detectors.families.last_step import KeepRule
from ppdet_cam.evaluation import altered
from ppdet_cam.evaluation.altered import AlteredImages
from ppdet_cam.explaining.finding import candidates_of
from ppdet_cam.metrics import content_free, curves
from ppdet_cam.structures import Detection, Found, Frame


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


@pytest.mark.parametrize("has_candidates", [True, False])
def test_of_a_black_box_its_output_counts_or_what_it_shows_before_nms(has_candidates):
    """The IoU and the score of the best box of the class, on each image; of another class none."""

    class Bright:
        """Finds a box whose score is the image's brightness, 2 pixels wider than the one sought."""

        name, way_inside, class_names = "it", "look inside", ("cat", "dog")
        keep_rule = KeepRule(0.3, 0.5) if has_candidates else None

        def detect(self, frames, *, until_nms=False):
            rows = [np.array([[0, frame.image.mean() / 250, 0, 0, 10, 10]], np.float32) for frame in frames]
            if not has_candidates:
                return [found_in(one, self.class_names, as_numbers=until_nms) for one in rows]
            return [Found((), candidates_of(one, classes=2)) for one in rows]

    images = np.stack([np.full((12, 12, 3), value, np.uint8) for value in (250, 125, 50)])
    sought = [Detection(0, number, name, 1.0, (0.0, 0.0, 8.0, 10.0)) for number, name in enumerate(("cat", "dog"))]
    altered_images = AlteredImages(Bright(), Frame(images[0]), sought)
    cat, dog = (altered_images.score_fn(one)(images) for one in sought)
    # below the score that NMS takes nothing counts; what an output prints counts however low it is
    np.testing.assert_allclose(cat, [0.8, 0.4, 0.0 if has_candidates else 0.16], atol=1e-6)
    assert not dog.any()
