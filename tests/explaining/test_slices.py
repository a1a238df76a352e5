"""`--slice_infer`: boxes of slices, and each map where its slice lies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO

from ppdet_cam import Explainer
from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.projection import project
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.structures import Frame

SCENE = ROOT / "demo/drawn/scene_1.jpg"
ALL = Slicing((240, 260), (0.3, 0.3), combine="concat")


@pytest.fixture(scope="module")
def explainer():
    return Explainer.from_config(ROOT / "configs/demo/faster_rcnn.yml", layers="model.backbone")


@pytest.fixture(scope="module")
def scene(explainer):
    return explainer(SCENE).frame


def test_one_slice_over_the_whole_image_changes_nothing(explainer, scene) -> None:
    """The same boxes and the same maps as without slices."""
    plain = explainer(scene)
    sliced = explainer(scene, slicing=Slicing((5000, 5000), combine="concat"))
    assert len(plain) > 5
    assert sliced.detections == plain.detections
    for one, other in zip(plain, sliced):
        assert one.detection == other.detection and one.status is other.status
        np.testing.assert_array_equal(one.heatmap, other.heatmap)


@pytest.mark.parametrize("layers", ["model.backbone", "model.bbox_head.roi_extractor"])
def test_each_map_is_that_of_its_slice(explainer, scene, layers: str) -> None:
    """Box, map, proposal and grids are the slice's, moved to where it lies; beyond it the map is zero."""
    result = explainer(scene, slicing=ALL, layers=layers, method="layercam", draw_threshold=0.8)
    windows = ALL.windows(scene.original_hw)
    assert len(windows) > 2 and len(result) > 3
    found = 0
    for left, top, right, bottom in windows:
        slice_ = Frame(scene.image[top:bottom, left:right].copy())
        for alone in explainer(slice_, layers=layers, method="layercam", draw_threshold=0.8):
            moved = np.array(alone.detection.box_xyxy) + [left, top, left, top]
            (ours,) = [
                one
                for one in result
                if np.allclose(one.detection.box_xyxy, moved, atol=1e-3)
                and one.detection.score == alone.detection.score
            ]
            found += 1
            expected = np.zeros(scene.original_hw, np.float32)
            expected[top:bottom, left:right] = alone.heatmap
            np.testing.assert_array_equal(ours.heatmap, expected)
            if alone.box_xyxy_roi is not None:
                np.testing.assert_allclose(ours.box_xyxy_roi, np.add(alone.box_xyxy_roi, [left, top, left, top]))
            evidence = sum(
                project(level.grid.values, level.grid.placement, original_hw=scene.original_hw) for level in ours.levels
            )
            inside = evidence[top + 30 : bottom - 30, left + 30 : right - 30]
            np.testing.assert_allclose(inside, ours.heatmap[top + 30 : bottom - 30, left + 30 : right - 30], atol=1e-6)
    assert found == len(result)


def test_boxes_are_combined_and_counted_anew(explainer, scene) -> None:
    """An object in two slices is one box; indices are those of the combined boxes, and can be asked for."""
    everything = explainer(scene, slicing=ALL)
    combined = explainer(scene, slicing=Slicing(ALL.size_hw, ALL.overlap_yx))
    assert [detection.index for detection in combined.detections] == list(range(len(combined.detections)))
    assert len(combined) < len(everything)
    index = combined[-1].detection.index
    (one,) = explainer(scene, slicing=Slicing(ALL.size_hw, ALL.overlap_yx), box_index=[index])
    assert one.detection == combined[-1].detection
    np.testing.assert_array_equal(one.heatmap, combined[-1].heatmap)


def test_levels_are_placed_as_well(explainer, scene) -> None:
    """For panels: each level's part lies where the map does, and they sum to it."""
    from dataclasses import replace

    question = replace(explainer.question, slicing=ALL)
    one = next(explainer.stream(scene, question=question, keep_levels=True).explanations)
    np.testing.assert_allclose(sum(one.level_heatmaps), one.heatmap, atol=1e-6)


def test_what_asks_about_one_forward_pass_is_refused(explainer, scene) -> None:
    """Boxes asked about, missed objects, plain layers."""
    with pytest.raises(ConfigError, match="--box looks at one forward pass"):
        explainer(scene, slicing=ALL, boxes=[(1, 2, 30, 40)])
    with pytest.raises(ConfigError, match="--method activations looks at one forward pass"):
        explainer(scene, slicing=ALL, method="activations")
    with pytest.raises(ConfigError, match="missed objects"):
        explainer(scene, slicing=ALL, true_boxes=[object()])


# the command


def run(command, *more: object, image=PHOTO):
    return command.explain("--draw_threshold", "0.1", "--top_k", "2", "--slice_infer", *more, image=image)


def test_command_takes_the_flags_of_ppdet(command) -> None:
    """One number or two; the run's record says how it was cut."""
    done = run(
        command, "--slice_size", "300", "--overlap_ratio", "0.2", "0.1", "--match_metric", "iou", "--save", "raw,panel"
    )
    assert done.code == 0, done.err
    assert command.run_record()["flags"]["slice_infer"] == {
        "size_hw": [300, 300],
        "overlap_yx": [0.2, 0.1],
        "combine": "nms",
        "match_threshold": 0.6,
        "match_metric": "iou",
    }
    record = command.image_record()
    assert len(record["boxes"]) == 2 and record["size"] == {"height": 400, "width": 600}
    assert len(list(command.cam_out.glob("*.panel.jpg"))) == 2


def test_command_refuses_another_slicing_when_it_goes_on(command) -> None:
    """A run over several images is of one slicing."""
    words = (
        "--infer_img",
        PHOTO,
        ROOT / "demo/astronaut.jpg",
        "--draw_threshold",
        "0.1",
        "--top_k",
        "1",
        "--slice_infer",
    )
    given = ("-c", BLAZEFACE, "-o", f"weights={command.weights[BLAZEFACE]}", *words)
    assert command(*given, "--slice_size", "400").code == 0
    lines = [json.loads(line) for line in (command.cam_out / "images.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["ok", "ok"]
    assert "--slice_infer was" in command.refused(command(*given, "--slice_size", "300", "--resume"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--slice_size", "1", "2", "3"), "--slice_size takes one number, or two for height and width, not 3"),
        (("--combine_method", "nmm"), "nmm, which ppdet refuses as well"),
        (("--gt", ROOT / "demo/drawn/annotations.json"), "--gt asks about missed objects in one forward pass"),
        (("--box", "1,2,3,4"), "--box looks at one forward pass"),
        (("--slice_size", "1", "--overlap_ratio", "0"), "has 240000 such slices"),
    ],
)
def test_command_refuses_what_does_not_go_together(command, more, message: str) -> None:
    """By the flags' names."""
    assert message in command.refused(run(command, *more))


def test_command_needs_the_flag_that_cuts(command) -> None:
    """A slice's size alone would do nothing."""
    assert "need --slice_infer as well" in command.refused(command.explain("--slice_size", "300"))
