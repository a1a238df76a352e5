"""The similarity of detections, in numbers that can be checked in the head."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.metrics import MetricError, best_similarity, box_iou, similarity

BOX = (0.0, 0.0, 4.0, 2.0)


def test_box_iou_is_the_shared_part_of_the_union() -> None:
    """Same box 1; half of it 0.5; shifted by half 4 / 12; beside it and without area 0."""
    others = np.array([BOX, (0, 0, 2, 2), (2, 0, 6, 2), (4, 0, 8, 2), (1, 1, 1, 1)], dtype=float)
    np.testing.assert_allclose(box_iou(BOX, others), [1.0, 0.5, 1 / 3, 0.0, 0.0])


def test_box_iou_of_two_boxes_without_area_is_zero() -> None:
    """0 / 0 is no overlap."""
    assert box_iou((1.0, 1.0, 1.0, 1.0), np.array([[1.0, 1.0, 1.0, 1.0]])) == [0.0]


def test_similarity_multiplies_overlap_cosine_and_objectness() -> None:
    """IoU 0.5, cosine of (1, 0) with (3, 4) 0.6, objectness 0.9: 0.27; without objectness 0.3."""
    arguments = {"boxes_xyxy": np.array([[0.0, 0.0, 2.0, 2.0]]), "scores": np.array([[3.0, 4.0]])}
    target = np.array([1.0, 0.0])
    np.testing.assert_allclose(similarity(BOX, target, **arguments), [0.3])
    np.testing.assert_allclose(similarity(BOX, target, **arguments, objectness=np.array([0.9])), [0.27])


def test_similarity_is_one_for_the_detection_itself() -> None:
    """Same box, same classes, objectness 1."""
    scores = np.array([0.1, 0.7, 0.05])
    found = similarity(BOX, scores, boxes_xyxy=np.array([BOX]), scores=scores[None], objectness=np.ones(1))
    np.testing.assert_allclose(found, [1.0])


def test_similarity_does_not_see_scores_that_fall_together_but_objectness_does() -> None:
    """A tenth of all class scores keeps the cosine at 1; the score given as objectness tells it."""
    target = np.array([0.8, 0.2])
    faded = {"boxes_xyxy": np.array([BOX]), "scores": target[None] / 10}
    np.testing.assert_allclose(similarity(BOX, target, **faded), [1.0])
    np.testing.assert_allclose(similarity(BOX, target, **faded, objectness=np.array([0.08])), [0.08])


def test_similarity_of_candidates_without_scores_is_zero() -> None:
    """The cosine of a zero vector is 0, not NaN."""
    found = similarity(BOX, np.array([1.0, 0.0]), boxes_xyxy=np.array([BOX]), scores=np.zeros((1, 2)))
    np.testing.assert_array_equal(found, [0.0])


def test_best_similarity_is_the_maximum() -> None:
    """Of the right box with the wrong class, half the box with the right class, and nothing, the second is best."""
    boxes = np.array([BOX, (0.0, 0.0, 2.0, 2.0), (8.0, 0.0, 9.0, 2.0)])
    scores = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert best_similarity(BOX, np.array([1.0, 0.0]), boxes_xyxy=boxes, scores=scores) == pytest.approx(0.5)


def test_best_similarity_without_candidates_is_zero() -> None:
    """A detector that finds nothing on an altered image has lost the box."""
    assert best_similarity(BOX, np.ones(2), boxes_xyxy=np.zeros((0, 4)), scores=np.zeros((0, 2))) == 0.0


def test_similarity_checks_its_arrays() -> None:
    """Arrays that do not fit together, and NaN, are named."""
    with pytest.raises(MetricError, match=r"1 candidate boxes and 3 classes need scores of \[1, 3\]"):
        similarity(BOX, np.ones(3), boxes_xyxy=np.array([BOX]), scores=np.ones((1, 2)))
    with pytest.raises(MetricError, match="must be finite"):
        similarity(BOX, np.ones(1), boxes_xyxy=np.array([BOX]), scores=np.array([[np.nan]]))
