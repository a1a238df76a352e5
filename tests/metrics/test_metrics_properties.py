"""What holds for every map and box, tried on many that are drawn to break it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ppdet_cam.metrics import (
    MeasuredMap,
    baselines,
    best_similarity,
    bootstrap_interval,
    box_coverage,
    box_iou,
    box_share,
    compactness,
    curves,
    energy,
    energy_area,
    energy_in_mask,
    energy_over_chance,
    map_ssim,
    measure,
    object_discrimination,
    paired_difference,
    pointing,
    pointing_in_mask,
    pointing_over_chance,
    similarity,
    spearman,
)

# The same cases each time, and nothing kept on disk.
steady = settings(max_examples=60, deadline=None, derandomize=True, database=None)

# Multiples of 1/1024 and a power of two as factor keep ties and sums exact.
levels = st.integers(0, 1024).map(lambda level: level / 1024)
sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))
heatmaps = sizes.flatmap(lambda size: arrays.arrays(np.float64, size, elements=levels))
edges = st.floats(-4.0, 12.0, allow_nan=False, width=32)
boxes = st.tuples(edges, edges, edges, edges).map(
    lambda drawn: (min(drawn[0], drawn[2]), min(drawn[1], drawn[3]), max(drawn[0], drawn[2]), max(drawn[1], drawn[3]))
)


@steady
@given(boxes, sizes)
def test_box_coverage_sums_to_the_area_within_the_image(
    box_xyxy: tuple[float, float, float, float], map_hw: tuple[int, int]
) -> None:
    """However the edges cut pixels, the parts add up to the clipped box."""
    coverage = box_coverage(box_xyxy, map_hw=map_hw)
    left, top, right, bottom = box_xyxy
    width = max(0.0, min(right, map_hw[1]) - max(left, 0.0))
    height = max(0.0, min(bottom, map_hw[0]) - max(top, 0.0))
    assert coverage.sum() == pytest.approx(width * height)
    assert coverage.min() >= 0
    assert coverage.max() <= 1


@steady
@given(heatmaps, boxes)
def test_shares_are_between_zero_and_one(heatmap: np.ndarray, box_xyxy: tuple[float, float, float, float]) -> None:
    """Pointing and energy are shares; over chance, they stay finite and within 1 / share."""
    share = box_share(box_xyxy, map_hw=heatmap.shape)
    for metric in (pointing, energy):
        assert 0 <= metric(heatmap, box_xyxy) <= 1
    lifted = energy_over_chance(heatmap, box_xyxy)
    assert np.isfinite(lifted)
    assert 0 <= lifted * share <= 1 + 1e-9


@steady
@given(heatmaps, st.floats(0.5, 6.5), st.booleans())
def test_energy_of_two_halves_is_one(heatmap: np.ndarray, cut: float, upright: bool) -> None:
    """Cut in two anywhere, also within pixels, no energy is lost or counted twice."""
    first, second = ((-1, -1, cut, 9), (cut, -1, 9, 9)) if upright else ((-1, -1, 9, cut), (-1, cut, 9, 9))
    both = energy(heatmap, first) + energy(heatmap, second)
    assert both == pytest.approx(1.0 if heatmap.any() else 0.0)


@steady
@given(heatmaps, boxes, boxes, st.sampled_from([2.0**-40, 0.25, 2.0**30]))
def test_metrics_do_not_depend_on_the_maps_scale(
    heatmap: np.ndarray,
    box_xyxy: tuple[float, float, float, float],
    other_xyxy: tuple[float, float, float, float],
    factor: float,
) -> None:
    """A map times a positive number is the same map."""
    large_xyxy = (box_xyxy[0], box_xyxy[1], box_xyxy[2] + 1, box_xyxy[3] + 1)

    def numbers(values: np.ndarray) -> list[float]:
        return [
            pointing(values, box_xyxy),
            energy(values, box_xyxy),
            compactness(values, large_xyxy),
            energy_area(values, share=0.5),
            object_discrimination(values, box_xyxy, other_boxes_xyxy=[other_xyxy]),
            spearman(values, np.arange(values.size, dtype=float).reshape(values.shape)),
        ]

    np.testing.assert_allclose(numbers(factor * heatmap), numbers(heatmap), rtol=1e-9, atol=1e-12)


@steady
@given(heatmaps, boxes)
def test_pointing_and_energy_do_not_depend_on_flips(
    heatmap: np.ndarray, box_xyxy: tuple[float, float, float, float]
) -> None:
    """Mirroring map and box together changes nothing, ties included."""
    left, top, right, bottom = box_xyxy
    width = heatmap.shape[1]
    mirrored_xyxy = (width - right, top, width - left, bottom)
    for metric in (pointing, energy):
        assert metric(heatmap[:, ::-1], mirrored_xyxy) == pytest.approx(metric(heatmap, box_xyxy), abs=1e-6)


@steady
@given(heatmaps, st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_energy_area_is_at_most_the_share_and_grows_with_it(heatmap: np.ndarray, one: float, other: float) -> None:
    """The highest pixels hold at least their part; more energy needs more area."""
    low, high = sorted((one, other))
    assert 0 < energy_area(heatmap, share=low) <= low + 1e-12
    assert energy_area(heatmap, share=low) <= energy_area(heatmap, share=high) + 1e-12


@steady
@given(heatmaps, boxes, st.lists(boxes, max_size=3))
def test_object_discrimination_is_a_share(
    heatmap: np.ndarray,
    box_xyxy: tuple[float, float, float, float],
    others: list[tuple[float, float, float, float]],
) -> None:
    """Energy on others is part of the energy on objects; another object more never lowers it."""
    found = object_discrimination(heatmap, box_xyxy, other_boxes_xyxy=others)
    assert 0 <= found <= 1
    assert found <= object_discrimination(heatmap, box_xyxy, other_boxes_xyxy=[*others, (0, 0, 2, 2)]) + 1e-12


@steady
@given(heatmaps, st.randoms(use_true_random=False))
def test_rank_correlation_is_symmetric_and_bounded(heatmap: np.ndarray, random) -> None:
    """-1 to 1, the same both ways, 1 with itself."""
    other = np.array([random.random() for _ in range(heatmap.size)]).reshape(heatmap.shape)
    assert -1 <= spearman(heatmap, other) <= 1
    assert spearman(heatmap, other) == pytest.approx(spearman(other, heatmap))
    assert spearman(heatmap, heatmap) == pytest.approx(1.0)


@steady
@given(*[arrays.arrays(np.float64, (11, 12), elements=levels)] * 2)
def test_map_ssim_is_symmetric_and_bounded(first: np.ndarray, second: np.ndarray) -> None:
    """-1 to 1, the same both ways, 1 with itself."""
    assert -1 <= map_ssim(first, second) <= 1
    assert map_ssim(first, second) == pytest.approx(map_ssim(second, first))
    assert map_ssim(first, first) == pytest.approx(1.0)


@steady
@given(boxes, boxes, *[arrays.arrays(np.float64, 3, elements=levels)] * 2, levels)
def test_similarity_is_symmetric_and_bounded(
    one: tuple[float, float, float, float],
    other: tuple[float, float, float, float],
    first: np.ndarray,
    second: np.ndarray,
    objectness: float,
) -> None:
    """0 to the objectness, the same when the two detections change places."""
    factor = np.array([objectness])
    forth = similarity(one, first, boxes_xyxy=np.array([other]), scores=second[None], objectness=factor)
    back = similarity(other, second, boxes_xyxy=np.array([one]), scores=first[None], objectness=factor)
    assert 0 <= forth[0] <= objectness + 1e-12
    np.testing.assert_allclose(forth, back)


@steady
@given(
    arrays.arrays(np.float64, (5, 6), elements=levels),
    arrays.arrays(np.bool_, (5, 6)).filter(np.any),
    st.integers(1, 40),
    st.integers(1, 9),
)
def test_curves_of_a_score_that_counts_evidence(
    heatmap: np.ndarray, evidence: np.ndarray, steps: int, batch_size: int
) -> None:
    """Deletion starts at 1 and only falls, insertion only rises to 1, their sum is 1, no map beats the best."""
    photo = np.full((5, 6, 3), 255, dtype=np.uint8)

    def score(images: np.ndarray) -> np.ndarray:
        return (images[..., 0][:, evidence] == 255).mean(axis=1)

    def both_of(values: np.ndarray):
        return curves(photo, values, score_fn=score, fill="black", start="black", steps=steps, batch_size=batch_size)

    found, best = both_of(heatmap), both_of(evidence.astype(float))
    assert found.deletion.normalised[0] == found.insertion.normalised[-1] == 1.0
    assert (np.diff(found.deletion.normalised) <= 0).all()
    assert (np.diff(found.insertion.normalised) >= 0).all()
    np.testing.assert_allclose(found.deletion.normalised + found.insertion.normalised, 1.0)
    assert best.deletion.auc <= found.deletion.auc + 1e-12
    assert best.insertion_minus_deletion >= found.insertion_minus_deletion - 1e-12


# float32 as maps are, from the smallest number to the largest
any_heatmaps = sizes.flatmap(
    lambda size: arrays.arrays(
        np.float32, size, elements=st.one_of(st.just(0.0), st.floats(0.0, float(np.finfo(np.float32).max), width=32))
    )
)


@steady
@given(any_heatmaps, boxes, boxes)
def test_every_metric_of_any_map_is_finite(
    heatmap: np.ndarray, box_xyxy: tuple[float, float, float, float], other_xyxy: tuple[float, float, float, float]
) -> None:
    """No map that the package can make gives NaN or infinity: a blank one, one pixel, the largest values."""
    assume(box_xyxy[0] < box_xyxy[2] or box_xyxy[1] < box_xyxy[3])
    mask = box_coverage(other_xyxy, map_hw=heatmap.shape) > 0
    of = MeasuredMap(heatmap, box_xyxy, mask, other_xyxy, (other_xyxy,))
    measured = measure(of)
    assert set(measured) >= {"pointing", "energy_in_mask", "evidence_hit", "object_discrimination", "compactness"}
    assert np.isfinite(list(measured.values())).all(), measured


@steady
@given(heatmaps, boxes)
def test_mask_of_a_box_scores_as_the_box(heatmap: np.ndarray, box_xyxy: tuple[float, float, float, float]) -> None:
    """A mask that holds each pixel's part in the box is the box."""
    mask = box_coverage(box_xyxy, map_hw=heatmap.shape)
    assert pointing_in_mask(heatmap, mask) == pytest.approx(pointing(heatmap, box_xyxy))
    assert energy_in_mask(heatmap, mask) == pytest.approx(energy(heatmap, box_xyxy))


@steady
@given(sizes, boxes)
def test_flat_map_scores_chance(map_hw: tuple[int, int], box_xyxy: tuple[float, float, float, float]) -> None:
    """What is the same everywhere scores the box's share, which is 1 over chance, and is spread as widely as can be."""
    flat = np.full(map_hw, 0.25)
    share = box_share(box_xyxy, map_hw=map_hw)
    assert pointing(flat, box_xyxy) == pytest.approx(share)
    assert energy(flat, box_xyxy) == pytest.approx(share)
    assume(share > 1e-6)
    assert pointing_over_chance(flat, box_xyxy) == pytest.approx(1.0)
    assert energy_over_chance(flat, box_xyxy) == pytest.approx(1.0)
    assert energy_area(flat, share=0.5) == pytest.approx(0.5)


@steady
@given(heatmaps, boxes)
def test_larger_box_holds_no_less(heatmap: np.ndarray, box_xyxy: tuple[float, float, float, float]) -> None:
    """Widening a box never lowers what lies in it, and the whole image holds all."""
    left, top, right, bottom = box_xyxy
    wider = (left - 1.5, top - 0.5, right + 2.0, bottom + 1.0)
    for metric in (pointing, energy):
        assert metric(heatmap, wider) >= metric(heatmap, box_xyxy) - 1e-9
        whole = metric(heatmap, (-5.0, -5.0, 20.0, 20.0))
        assert whole == pytest.approx(1.0 if heatmap.any() else 0.0)


@steady
@given(heatmaps, st.tuples(st.integers(1, 6), st.integers(1, 6)), st.sampled_from([2, 3]))
def test_compactness_does_not_depend_on_where_the_box_lies_or_on_units(
    heatmap: np.ndarray, box_wh: tuple[int, int], factor: int
) -> None:
    """Only the box's width and height count; a box so many times as large gives so many times less."""
    width, height = box_wh
    found = compactness(heatmap, (0, 0, width, height))
    assert compactness(heatmap, (3.5, -2.0, 3.5 + width, height - 2.0)) == pytest.approx(found)
    assert compactness(heatmap, (0, 0, factor * width, factor * height)) == pytest.approx(found / factor)


@steady
@given(sizes, boxes)
def test_baselines_are_densities_within_the_box(
    map_hw: tuple[int, int], box_xyxy: tuple[float, float, float, float]
) -> None:
    """Each sums to 1; all but the uniform one lie in the box, or are blank where the image has no part of it."""
    has_part = box_coverage(box_xyxy, map_hw=map_hw).sum() > 1e-9
    for name in baselines.names():
        density = baselines.get(name)(box_xyxy, map_hw=map_hw)
        assert density.min() >= 0
        if name == "uniform":
            assert density.sum() == pytest.approx(1.0)
        elif has_part:
            assert density.sum() == pytest.approx(1.0)
            assert not density[box_coverage(box_xyxy, map_hw=map_hw) == 0].any()


@steady
@given(boxes, boxes, st.floats(-5.0, 5.0), st.sampled_from([0.5, 2.0, 8.0]))
def test_iou_is_symmetric_and_keeps_under_moving_and_scaling(
    one: tuple[float, float, float, float],
    other: tuple[float, float, float, float],
    shift: float,
    factor: float,
) -> None:
    """0 to 1, the same both ways, 1 with itself, and no matter where or how large both are."""

    def iou(first: tuple[float, ...], second: tuple[float, ...]) -> float:
        return float(box_iou(np.array(first, np.float64), np.array([second], np.float64))[0])

    found = iou(one, other)
    assert 0 <= found <= 1
    assert iou(other, one) == pytest.approx(found, abs=1e-9)
    assume(min(one[2] - one[0], one[3] - one[1], other[2] - other[0], other[3] - other[1]) > 1e-3)
    assert iou(one, one) == pytest.approx(1.0)
    moved = [tuple(factor * edge + shift for edge in box) for box in (one, other)]
    assert iou(*moved) == pytest.approx(found, abs=1e-6)


@steady
@given(boxes, arrays.arrays(np.float64, 3, elements=levels), st.lists(boxes, min_size=1, max_size=4), st.data())
def test_one_candidate_more_never_lowers_the_best_similarity(
    box_xyxy: tuple[float, float, float, float],
    scores: np.ndarray,
    candidates: list[tuple[float, float, float, float]],
    data: st.DataObject,
) -> None:
    """It is the highest over the candidates, whatever their order."""
    of_candidates = data.draw(arrays.arrays(np.float64, (len(candidates), 3), elements=levels))
    edges = np.array(candidates)
    every = best_similarity(box_xyxy, scores, boxes_xyxy=edges, scores=of_candidates)
    assert 0 <= every <= 1
    fewer = best_similarity(box_xyxy, scores, boxes_xyxy=edges[1:], scores=of_candidates[1:])
    assert fewer <= every + 1e-12
    assert best_similarity(box_xyxy, scores, boxes_xyxy=edges[::-1], scores=of_candidates[::-1]) == every


@steady
@given(st.lists(st.tuples(levels, levels, st.integers(0, 3)), min_size=1, max_size=12), st.sampled_from([0.5, 4.0]))
def test_interval_holds_its_mean_and_grows_with_the_values(
    drawn: list[tuple[float, float, int]], factor: float
) -> None:
    """Both ends lie among the images' means; values moved and scaled move and scale the interval."""
    first, second, images = map(list, zip(*drawn))
    found = bootstrap_interval(first, images, resamples=50)
    assert min(first) - 1e-9 <= found.low <= found.high <= max(first) + 1e-9
    other = bootstrap_interval([factor * value + 1 for value in first], images, resamples=50)
    assert (other.mean, other.low, other.high) == pytest.approx(
        (factor * found.mean + 1, factor * found.low + 1, factor * found.high + 1)
    )
    one_way, back = (paired_difference(*pair, images, resamples=50) for pair in ((first, second), (second, first)))
    assert (one_way.mean, one_way.low, one_way.high) == pytest.approx((-back.mean, -back.high, -back.low))
