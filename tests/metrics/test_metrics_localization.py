"""Where a map lies, on maps small enough to add up by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ppdet_cam.errors import PpdetCamError
from ppdet_cam.metrics import (
    MetricError,
    box_coverage,
    box_share,
    compactness,
    energy,
    energy_area,
    energy_in_mask,
    energy_over_chance,
    evidence_energy,
    evidence_hit,
    object_discrimination,
    pointing,
    pointing_in_mask,
    pointing_over_chance,
)

# Sum 10, peak 4 at row 1, column 1.
HEATMAP = np.array([[1.0, 2.0], [3.0, 4.0]])
BLANK = np.zeros((4, 4))
FLAT = np.full((4, 4), 0.25)
QUARTER = (1.0, 1.0, 3.0, 3.0)  # 4 of 16 pixels


def test_box_coverage_weighs_border_pixels_by_area() -> None:
    """From 0.25 to 1.5 a box has 0.75 of pixel 0 and 0.5 of pixel 1; a corner pixel has the product."""
    found = box_coverage((0.25, 0.0, 1.5, 1.5), map_hw=(2, 3))
    np.testing.assert_allclose(found, [[0.75, 0.5, 0.0], [0.375, 0.25, 0.0]])


def test_box_coverage_counts_a_box_within_one_pixel() -> None:
    """A box from 1.2 to 1.7 lies in pixel 1 with half its width."""
    np.testing.assert_allclose(box_coverage((1.2, 0.0, 1.7, 1.0), map_hw=(1, 3)), [[0.0, 0.5, 0.0]])


def test_box_coverage_leaves_out_what_is_outside_the_image() -> None:
    """A box that reaches over all borders covers every pixel once; one beside the image covers none."""
    assert (box_coverage((-5.0, -5.0, 9.0, 9.0), map_hw=(2, 3)) == 1).all()
    assert (box_coverage((3.0, 0.0, 9.0, 2.0), map_hw=(2, 3)) == 0).all()
    assert (box_coverage((-4.0, 0.0, -1.0, 2.0), map_hw=(2, 3)) == 0).all()


def test_box_share_is_the_part_of_the_image() -> None:
    """2.5 x 2 pixels of 4 x 5 are a quarter."""
    assert box_share((0.5, 1.0, 3.0, 3.0), map_hw=(4, 5)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("box_xyxy", "message"),
    [((3.0, 0.0, 2.0, 1.0), "ends before it begins"), ((0.0, math.nan, 1.0, 1.0), "not four finite numbers")],
)
def test_box_coverage_refuses_what_is_no_box(box_xyxy: tuple[float, float, float, float], message: str) -> None:
    """Swapped edges, as from [x, y, width, height], and NaN are named."""
    with pytest.raises(MetricError, match=message):
        box_coverage(box_xyxy, map_hw=(2, 2))


def test_pointing_asks_where_the_peak_lies() -> None:
    """The peak is pixel (1, 1): in the lower right box, not in the upper row."""
    assert pointing(HEATMAP, (1.0, 1.0, 2.0, 2.0)) == 1.0
    assert pointing(HEATMAP, (0.0, 0.0, 2.0, 1.0)) == 0.0


def test_pointing_counts_a_cut_peak_by_its_part() -> None:
    """A box that ends at x = 1.25 has a quarter of the peak pixel."""
    assert pointing(HEATMAP, (0.0, 1.0, 1.25, 2.0)) == pytest.approx(0.25)


def test_pointing_averages_over_equal_peaks() -> None:
    """Of three equal peaks, two lie in the left column."""
    assert pointing(np.array([[5.0, 5.0], [5.0, 1.0]]), (0.0, 0.0, 1.0, 2.0)) == pytest.approx(2 / 3)


def test_pointing_of_a_flat_map_is_chance() -> None:
    """With every pixel a peak, the hit is the box's share, and over chance it is 1."""
    assert pointing(FLAT, QUARTER) == pytest.approx(4 / 16)
    assert pointing_over_chance(FLAT, QUARTER) == pytest.approx(1.0)


def test_energy_adds_up_the_box() -> None:
    """The lower row has 3 + 4 of 10; half of the right column has 0.5 x (2 + 4)."""
    assert energy(HEATMAP, (0.0, 1.0, 2.0, 2.0)) == pytest.approx(0.7)
    assert energy(HEATMAP, (1.5, 0.0, 2.0, 2.0)) == pytest.approx(0.3)


def test_energy_over_chance_divides_by_the_boxs_share() -> None:
    """The lower right pixel is a quarter of the image: 0.4 / 0.25."""
    assert energy_over_chance(HEATMAP, (1.0, 1.0, 2.0, 2.0)) == pytest.approx(1.6)
    assert pointing_over_chance(HEATMAP, (1.0, 1.0, 2.0, 2.0)) == pytest.approx(4.0)
    assert energy_over_chance(FLAT, QUARTER) == pytest.approx(1.0)


def test_masks_stand_in_for_boxes() -> None:
    """On the diagonal lie the peak and 1 + 4 of 10; a mask may hold parts of pixels."""
    diagonal = np.eye(2, dtype=bool)
    assert pointing_in_mask(HEATMAP, diagonal) == 1.0
    assert pointing_in_mask(HEATMAP, ~diagonal) == 0.0
    assert energy_in_mask(HEATMAP, diagonal) == pytest.approx(0.5)
    assert energy_in_mask(HEATMAP, np.array([[0.0, 0.0], [0.5, 0.25]])) == pytest.approx((1.5 + 1.0) / 10)


def test_masks_are_checked() -> None:
    """A mask of another size, or with class ids, is refused."""
    with pytest.raises(MetricError, match="one size"):
        energy_in_mask(HEATMAP, np.ones((2, 3)))
    with pytest.raises(MetricError, match="0 to 1"):
        pointing_in_mask(HEATMAP, np.array([[0, 7], [0, 0]]))


def test_evidence_may_lie_outside_the_box() -> None:
    """A map on the mark beside the object scores on the evidence and not in the object's box."""
    heatmap = np.array([[0.0, 0.0, 1.0, 3.0]])
    object_xyxy, evidence_xyxy = (0.0, 0.0, 2.0, 1.0), (3.0, 0.0, 4.0, 1.0)
    assert evidence_hit(heatmap, evidence_xyxy) == 1.0
    assert evidence_energy(heatmap, evidence_xyxy) == pytest.approx(0.75)
    assert energy(heatmap, object_xyxy) == 0.0


def test_compactness_is_the_distance_from_the_peak_in_half_diagonals() -> None:
    """Weights 3, 1, 2 at distances 0, 3, 4: (9 + 32) / 6 over (6^2 + 8^2) / 4 = 25."""
    heatmap = np.zeros((4, 5))
    heatmap[0, 0], heatmap[3, 0], heatmap[0, 4] = 3.0, 1.0, 2.0
    assert compactness(heatmap, (10.0, 20.0, 16.0, 28.0)) == pytest.approx(math.sqrt(41 / 6 / 25))


def test_compactness_of_one_pixel_is_zero() -> None:
    """All energy at the peak has no distance from it."""
    heatmap = np.zeros((3, 3))
    heatmap[2, 1] = 0.1
    assert compactness(heatmap, (0.0, 0.0, 2.0, 2.0)) == 0.0


def test_compactness_takes_the_first_of_equal_peaks() -> None:
    """Two equal pixels side by side: the second lies 1 from the first; (0 + 1) / 2 over (2^2) / 4."""
    assert compactness(np.array([[0.0, 2.0, 2.0]]), (0.0, 0.0, 2.0, 0.0)) == pytest.approx(math.sqrt(1 / 2))


def test_compactness_refuses_a_point() -> None:
    """A box without width and height has no diagonal to measure in."""
    with pytest.raises(MetricError, match="is a point"):
        compactness(HEATMAP, (1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("share", "pixels"),
    # descending 4, 3, 2, 1 of 10: 0.4 is the first; 0.5 needs 1 of the next 3; 0.8 needs 1 of the third's 2
    [(0.2, 0.5), (0.4, 1.0), (0.5, 1 + 1 / 3), (0.7, 2.0), (0.8, 2.5), (1.0, 4.0)],
)
def test_energy_area_takes_the_highest_pixels_first(share: float, pixels: float) -> None:
    """The pixels needed, the last one in part, over the image's four."""
    assert energy_area(HEATMAP, share=share) == pytest.approx(pixels / 4)


def test_energy_area_of_a_flat_map_is_the_share() -> None:
    """Even energy needs as much area as energy; a blank map counts as flat."""
    for share in (0.05, 0.5, 0.8, 1.0):
        assert energy_area(FLAT, share=share) == pytest.approx(share)
        assert energy_area(BLANK, share=share) == share


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, math.nan])
def test_energy_area_refuses_other_shares(share: float) -> None:
    """No energy and more than all of it are no shares."""
    with pytest.raises(MetricError, match="above 0 and at most 1"):
        energy_area(HEATMAP, share=share)


def test_object_discrimination_divides_energy_on_others_by_energy_on_objects() -> None:
    """Own 6, others 1 + 1, background 4: 2 / 8."""
    heatmap = np.array([[6.0, 1.0, 4.0, 1.0]])
    others = [(1.0, 0.0, 2.0, 1.0), (3.0, 0.0, 4.0, 1.0)]
    assert object_discrimination(heatmap, (0.0, 0.0, 1.0, 1.0), other_boxes_xyxy=others) == pytest.approx(0.25)


def test_object_discrimination_counts_overlaps_once_and_as_the_others() -> None:
    """The shared pixel (3) is the other's; two equal boxes count once: 3 / (5 + 3)."""
    heatmap = np.array([[5.0, 3.0, 2.0]])
    others = [(1.0, 0.0, 2.0, 1.0)] * 2
    assert object_discrimination(heatmap, (0.0, 0.0, 2.0, 1.0), other_boxes_xyxy=others) == pytest.approx(3 / 8)


def test_object_discrimination_weighs_border_pixels() -> None:
    """The other box has half of pixel 1: 0.5 x 4 over 2 + 0.5 x 4."""
    heatmap = np.array([[2.0, 4.0]])
    found = object_discrimination(heatmap, (0.0, 0.0, 1.0, 1.0), other_boxes_xyxy=[(1.0, 0.0, 1.5, 1.0)])
    assert found == pytest.approx(2 / 4)


def test_object_discrimination_of_edge_cases() -> None:
    """No other object: 0. No energy on any object: 0, as in the authors' code. A blank map: the worst, 1."""
    own, other = (0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 2.0, 1.0)
    assert object_discrimination(HEATMAP, own, other_boxes_xyxy=[]) == 0.0
    assert object_discrimination(np.array([[0.0, 0.0, 1.0]]), own, other_boxes_xyxy=[other]) == 0.0
    assert object_discrimination(np.zeros((1, 3)), own, other_boxes_xyxy=[other]) == 1.0


def test_blank_maps_are_misses() -> None:
    """A map with nothing on it scores 0 where more is better and as a flat map in spread; nothing is NaN."""
    for metric in (pointing, pointing_over_chance, energy, energy_over_chance, evidence_hit, evidence_energy):
        assert metric(BLANK, QUARTER) == 0.0
    assert pointing_in_mask(BLANK, np.ones((4, 4))) == energy_in_mask(BLANK, np.ones((4, 4))) == 0.0
    assert compactness(BLANK, QUARTER) == compactness(FLAT, QUARTER)


@pytest.mark.parametrize("box_xyxy", [(2.0, 1.0, 2.0, 3.0), (9.0, 9.0, 12.0, 12.0)], ids=["no area", "outside"])
def test_boxes_without_area_in_the_image_score_zero(box_xyxy: tuple[float, float, float, float]) -> None:
    """Nothing can lie in such a box, and over chance it stays 0 instead of 0 / 0."""
    for metric in (pointing, pointing_over_chance, energy, energy_over_chance):
        assert metric(FLAT, box_xyxy) == 0.0


@pytest.mark.parametrize(
    ("heatmap", "message"),
    [
        (np.array([[1.0, -0.5]]), "goes down to -0.5"),
        (np.array([[1.0, np.nan]]), "NaN or infinity"),
        (np.ones((2, 2, 1)), r"not \[2, 2, 1\]"),
        (np.ones((0, 3)), r"not \[0, 3\]"),
    ],
)
def test_maps_are_checked(heatmap: np.ndarray, message: str) -> None:
    """Negative or missing values and other shapes are refused by every metric, as one of the package's errors."""
    for metric in (pointing, energy, compactness):
        with pytest.raises(MetricError, match=message):
            metric(heatmap, (0.0, 0.0, 1.0, 1.0))
    assert issubclass(MetricError, PpdetCamError)


def test_metrics_take_the_maps_of_explanations() -> None:
    """float32 maps of tiny evidence per pixel are added in double precision."""
    heatmap = np.full((300, 400), 1e-12, dtype=np.float32)
    assert energy(heatmap, (0.0, 0.0, 100.0, 300.0)) == pytest.approx(0.25, rel=1e-9)
    assert energy_area(heatmap, share=0.8) == pytest.approx(0.8, rel=1e-9)
