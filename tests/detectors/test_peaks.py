"""Heat map heads: which cells are detections, and what became of the others."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam import Explainer
from ppdet_cam.questions.heights import higher_neighbour, summit
from ppdet_cam.questions.overlaps import MATCH_IOU, iou
from ppdet_cam.structures import MapStatus, Verdict

HEADS = ("centernet", "ttfnet", "fairmot", "centertrack")


@pytest.fixture(params=HEADS)
def forward(request, detector_of, photo):
    """The detector's forward pass."""
    detector = detector_of(request.param)
    return detector, detector.forward(photo, {})


@pytest.mark.smoke
def test_detections_are_the_heat_maps_highest_peaks(forward):
    """Every detection is a cell without a higher neighbour, and no peak that was left out is higher than one."""
    detector, found = forward
    candidates = found.candidates()
    kept = {(k.class_id, k.row): k.score for k in found.kept.values()}
    assert len(kept) == len(found.detections) > 3
    peaks = {}
    for class_id in range(candidates.scores.shape[1]):
        heights = candidates.scores[:, class_id].reshape(candidates.grid_hw)
        for cell in range(heights.size):
            if higher_neighbour(heights, cell) is None:
                peaks[class_id, cell] = float(heights.flat[cell])
    threshold = detector.extractor.keep_rule.score_threshold
    best = sorted((score for score in peaks.values() if score > threshold), reverse=True)[: len(kept)]
    assert set(kept) <= set(peaks)
    assert sorted(kept.values(), reverse=True) == pytest.approx(best)


@pytest.fixture
def small_boxes(detector_of):
    """A CenterNet whose boxes are about as large as a cell, so that a peak's does not stand for its neighbours'."""
    detector = detector_of("centernet")
    bias = detector.model.head.size[2].conv.bias
    before = bias.numpy()
    bias.set_value(before - np.float32(2.5))
    yield detector
    bias.set_value(before)


def test_cell_beside_a_peak_is_told_from_one_that_was_left_out(small_boxes, photo, monkeypatch):
    """Asked about a cell's box: no maximum, with the detection at its peak; with room for fewer peaks, the top-k."""
    detector = small_boxes
    forward = detector.forward(photo, {})
    candidates = forward.candidates()
    boxes = candidates.boxes_xyxy[:, 0]
    kept = {(k.row, k.class_id): index for index, k in forward.kept.items()}
    threshold = 0.1

    def apart(row, class_id):
        shown = [d.box_xyxy for d in forward.detections if d.score >= threshold and d.class_id == class_id]
        return not shown or iou(boxes[row], np.array(shown)).max() < MATCH_IOU

    def peak_of(row, class_id):
        return summit(candidates.scores[:, class_id].reshape(candidates.grid_hw), int(row))

    def asked(row, class_id):
        explainer = Explainer(detector, draw_threshold=threshold)
        return explainer(photo, boxes=[(*boxes[row], detector.class_names[class_id])])[0]

    cells = zip(*np.nonzero(candidates.scores >= threshold))
    beside = [(int(r), int(c)) for r, c in cells if (r, c) not in kept and (peak_of(r, c), c) in kept and apart(r, c)]
    row, class_id = max(beside, key=lambda cell: candidates.scores[cell])
    explanation = asked(row, class_id)
    assert explanation.answer.verdict is Verdict.NO_PEAK, explanation.answer.words
    assert explanation.answer.other_index == kept[peak_of(row, class_id), class_id]
    assert explanation.status is MapStatus.OK
    last = forward.detections[len([d for d in forward.detections if d.score >= threshold]) - 1]
    monkeypatch.setattr(detector.extractor.peak_finder, "max_per_img", 1)
    left_out = asked(forward.kept[last.index].row, last.class_id)
    assert left_out.answer.verdict is Verdict.LIMITED, left_out.answer.words
    assert left_out.detection.score == pytest.approx(last.score)


def test_cells_that_fill_up_the_top_k_are_no_detections(detector_of, photo, monkeypatch):
    """A small heat map has fewer peaks than are asked for: ppdet fills up with other cells, of score 0."""
    detector = detector_of("fairmot")
    monkeypatch.setattr(detector.model.post_process, "max_per_img", 400)  # of 16 x 32 cells
    rows = detector.predict(photo)
    forward = detector.forward(photo, {})
    filling = rows[:, 1] == 0
    assert filling.any() and len(rows) == detector.model.post_process.max_per_img
    assert (rows[filling, 0] == -1).all() and (rows[~filling, 0] == 0).all()
    assert len(forward.detections) == int((~filling).sum())
