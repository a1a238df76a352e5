"""What maps score that no detector was asked for."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from support.places import ROOT

from ppdet_cam.metrics import (
    baselines,
    box_coverage,
    box_share,
    centred_gaussian,
    energy,
    evidence_energy,
    filled_box,
    pointing,
    uniform,
)

DRAWN = ROOT / "demo" / "drawn" / "annotations.json"
BOX = (2.5, 1.0, 8.5, 9.0)


@pytest.mark.parametrize("name", baselines.names())
def test_baselines_sum_to_one(name: str) -> None:
    """Each is a density over the image, also when the box reaches out of it."""
    for box_xyxy in (BOX, (-3.0, -2.0, 4.2, 30.0)):
        heatmap = baselines.get(name)(box_xyxy, map_hw=(12, 10))
        assert heatmap.shape == (12, 10)
        assert heatmap.min() >= 0
        assert heatmap.sum() == pytest.approx(1.0)


def test_uniform_is_chance() -> None:
    """Its energy and its peak in any box are the box's share of the image."""
    heatmap = uniform(BOX, map_hw=(12, 10))
    assert energy(heatmap, BOX) == pytest.approx(box_share(BOX, map_hw=(12, 10)))
    assert pointing(heatmap, BOX) == pytest.approx(48 / 120)


def test_filled_box_is_the_coverage() -> None:
    """All energy and the peak lie in the box, evenly."""
    heatmap = filled_box(BOX, map_hw=(12, 10))
    np.testing.assert_allclose(heatmap, box_coverage(BOX, map_hw=(12, 10)) / 48)
    assert pointing(heatmap, BOX) == 1.0


def test_centred_gaussian_has_a_quarter_of_the_side_as_deviation() -> None:
    """Of a box 4 wide, the two inner pixels lie within one deviation: erf(1 / sqrt 2) / erf(2 / sqrt 2)."""
    heatmap = centred_gaussian((3.0, 0.0, 7.0, 1.0), map_hw=(1, 10))
    within_one, within_two = math.erf(1 / math.sqrt(2)), math.erf(2 / math.sqrt(2))
    np.testing.assert_allclose(heatmap[0, 4:6], 0.5 * within_one / within_two)
    np.testing.assert_allclose(heatmap[0, [3, 6]], 0.5 * (within_two - within_one) / within_two)
    assert not heatmap[0, :3].any()
    assert not heatmap[0, 7:].any()


def test_centred_gaussian_is_symmetric_in_its_box() -> None:
    """Mirrored in a box that is centred on the image, it is the same; its highest pixels are in the middle."""
    heatmap = centred_gaussian((1.0, 2.0, 9.0, 10.0), map_hw=(12, 10))
    np.testing.assert_allclose(heatmap, heatmap[::-1, ::-1])
    assert heatmap[5, 4] == heatmap.max()


@pytest.mark.parametrize("name", ["box", "centred_gaussian"])
@pytest.mark.parametrize("box_xyxy", [(3.0, 3.0, 3.0, 5.0), (20.0, 0.0, 24.0, 4.0)], ids=["no area", "outside"])
def test_baselines_of_a_box_without_area_are_blank(name: str, box_xyxy: tuple[float, float, float, float]) -> None:
    """There is nothing to fill, and no NaN."""
    assert not baselines.get(name)(box_xyxy, map_hw=(12, 10)).any()


def test_filled_box_scores_the_evidences_share_on_drawn_scenes() -> None:
    """On evidence in the box the filled box scores the evidence's share of the box; on evidence beside it nothing."""
    drawn = json.loads(DRAWN.read_text(encoding="utf-8"))
    sizes = {image["id"]: (image["height"], image["width"]) for image in drawn["images"]}
    known = [annotation for annotation in drawn["annotations"] if "evidence" in annotation]
    assert {annotation["evidence_outside"] for annotation in known} == {True, False}
    for annotation in known:
        x, y, width, height = annotation["bbox"]
        left, top, across, down = annotation["evidence"]
        heatmap = filled_box((x, y, x + width, y + height), map_hw=sizes[annotation["image_id"]])
        share = 0.0 if annotation["evidence_outside"] else across * down / (width * height)
        assert evidence_energy(heatmap, (left, top, left + across, top + down)) == pytest.approx(share)
