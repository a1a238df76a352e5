"""`--slice_infer`: boxes of slices, and each map where its slice lies."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO

from ppdet_cam import Explainer
from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining import slices
from ppdet_cam.explaining.projection import project
from ppdet_cam.images.reading import frame_of
from ppdet_cam.questions.choices import asked as asked_question
from ppdet_cam.questions.slicing import Slicing
from ppdet_cam.questions.truth import TrueBox
from ppdet_cam.structures import Frame, Verdict

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
    question = replace(explainer.question, slicing=ALL)
    one = next(explainer.stream(scene, question=question, keep_levels=True).explanations)
    np.testing.assert_allclose(sum(one.level_heatmaps), one.heatmap, atol=1e-6)


def test_plain_layers_are_refused(explainer, scene) -> None:
    """They are looked at in one forward pass, and slicing makes one per slice."""
    with pytest.raises(ConfigError, match="--method activations looks at one forward pass"):
        explainer(scene, slicing=ALL, method="activations")


# boxes that are asked about


@pytest.fixture(scope="module")
def one_stage():
    return Explainer.from_config(ROOT / "configs/demo/ppyoloe.yml")


@pytest.fixture(scope="module")
def tiles():
    """Four drawn scenes in one image."""
    scenes = [frame_of(ROOT / f"demo/drawn/scene_{number}.jpg").image[:330, :400] for number in range(1, 5)]
    return Frame(np.concatenate([np.concatenate(scenes[:2], axis=1), np.concatenate(scenes[2:], axis=1)]))


TILED = Slicing((320, 320))


def test_box_that_is_found_is_explained_as_its_detection(one_stage, tiles) -> None:
    """The same map as the detection's, placed where its slice lies; the slice is told."""
    detections = one_stage(tiles, slicing=TILED)
    assert len({one.slice_xyxy for one in detections}) > 4
    asked = [(*one.detection.box_xyxy, one.detection.class_name) for one in detections]
    answers = {one.answer.name: one for one in one_stage(tiles, slicing=TILED, boxes=asked)}
    assert len(answers) == len(asked) > 10
    for number, found in enumerate(detections):
        one = answers[f"box_{number}"]
        assert one.answer.verdict is Verdict.FOUND and one.answer.other_index == found.detection.index
        assert (one.detection, one.slice_xyxy) == (found.detection, found.slice_xyxy)
        assert f"; in slice {','.join(map(str, found.slice_xyxy))}" in one.answer.words
        np.testing.assert_array_equal(one.heatmap, found.heatmap)


@pytest.mark.parametrize("config", ["ppyoloe", "faster_rcnn"])
def test_box_that_is_missed_is_asked_about_in_its_slice(one_stage, explainer, tiles, config: str) -> None:
    """The verdict, the candidate and the map are those of the slice by itself, moved to where it lies."""
    asker = one_stage if config == "ppyoloe" else explainer
    places = [one.detection for one in asker(tiles, slicing=TILED, draw_threshold=0.4)]
    asked = [(*one.box_xyxy, one.class_name) for one in places] + [(300, 320, 340, 390), (-20, -30, 45, 50, "mug")]
    result = asker(tiles, slicing=TILED, boxes=asked, draw_threshold=0.95)
    assert len(result) == len(asked)
    missed = [one for one in result if one.answer.verdict not in (Verdict.FOUND, Verdict.COMBINED)]
    assert {one.answer.verdict for one in missed} >= {Verdict.LOW_SCORE, Verdict.NO_CANDIDATE}
    for one in missed:
        left, top, right, bottom = one.slice_xyxy
        box = np.array(one.answer.box_xyxy) - [left, top, left, top]
        class_name = (one.answer.class_name,) if one.answer.class_name else ()
        part = Frame(tiles.image[top:bottom, left:right].copy())
        (same,) = asker(part, boxes=[(*box, *class_name)], draw_threshold=0.95)
        assert one.answer.verdict is same.answer.verdict and one.status is same.status
        assert one.answer.iou == pytest.approx(same.answer.iou, abs=1e-6)
        assert one.answer.words.startswith(same.answer.words.partition("; detection")[0])
        assert "; asked in slice " in one.answer.words
        moved = np.array(same.detection.box_xyxy) + [left, top, left, top]
        np.testing.assert_allclose(one.detection.box_xyxy, moved, atol=1e-3)
        expected = np.zeros(tiles.original_hw, np.float32)
        expected[top:bottom, left:right] = same.heatmap
        np.testing.assert_array_equal(one.heatmap, expected)


def test_what_lies_there_is_told_of_the_whole_image(one_stage, tiles) -> None:
    """By the combined boxes and their indices, whichever slice they come from."""
    (van,) = [one.detection for one in one_stage(tiles, slicing=TILED, classes="ambulance", top_k=1)]
    (one,) = one_stage(tiles, slicing=TILED, boxes=[(*van.box_xyxy, "mug")])
    assert one.answer.verdict in (Verdict.LOW_SCORE, Verdict.NO_CANDIDATE)
    assert f"; detection {van.index} (ambulance {van.score:.3f}) lies there" in one.answer.words


def test_box_that_combining_drops_has_a_verdict_of_its_own(one_stage, tiles) -> None:
    """With a threshold of 0 one box of each class is left; the others are explained where they were found."""
    everything = one_stage(tiles, slicing=Slicing((320, 320), combine="concat"), classes="van", draw_threshold=0.8)
    assert len(everything) >= 2
    asked = [(*one.detection.box_xyxy, "van") for one in everything]
    strict = Slicing((320, 320), match_threshold=0.0)
    result = one_stage(tiles, slicing=strict, boxes=asked, draw_threshold=0.8)
    verdicts = {one.answer.name: one.answer.verdict for one in result}
    assert sorted(verdict.name for verdict in verdicts.values()).count("FOUND") >= 1
    dropped = [one for one in result if one.answer.verdict is Verdict.COMBINED]
    assert dropped
    for one in dropped:
        own = everything[int(one.answer.name.removeprefix("box_"))]
        (winner,) = [d for d in one_stage(tiles, slicing=strict).detections if d.index == one.answer.other_index]
        assert winner.class_name == "van" and winner.score >= one.detection.score
        assert f"detection {winner.index} (van {winner.score:.3f}) overlaps it by " in one.answer.words
        assert one.detection == replace(own.detection, index=-1) and one.slice_xyxy == own.slice_xyxy
        np.testing.assert_array_equal(one.heatmap, own.heatmap)


@pytest.mark.parametrize("family", ["ppyoloe_r", "detr", "centernet", "mask"])
def test_boxes_are_asked_about_slice_by_slice_in_every_kind_of_detector(detector_of, photo, family: str) -> None:
    """Polygons, object queries, peaks of a heat map, two stages: found, or asked about in a slice."""
    asker = Explainer(detector_of(family), draw_threshold=0.0, slicing=Slicing((200, 300), (0.3, 0.3)))
    shown = sorted(asker.stream(photo).detections, key=lambda one: -one.score)[:6]
    places = [(*np.ravel(one.outline), one.class_name) for one in shown]
    found = {one.answer.name: one for one in asker(photo, boxes=places)}
    for number, one in enumerate(shown):
        answer = found[f"box_{number}"].answer
        assert answer.verdict is Verdict.FOUND and answer.iou > 0.99
        assert found[f"box_{number}"].detection.score >= one.score - 1e-6
    refused = asker(photo, boxes=places, draw_threshold=1.0)
    assert len(refused) == len(places)
    for one in refused:
        assert one.answer.verdict not in (Verdict.FOUND, Verdict.COMBINED) and "; asked in slice " in one.answer.words
        left, top, right, bottom = one.slice_xyxy
        assert not np.delete(one.heatmap, slice(top, bottom), axis=0).any()
        assert not np.delete(one.heatmap, slice(left, right), axis=1).any()


def test_missed_objects_are_asked_about(one_stage, tiles) -> None:
    """The detections first found what they could; each missed object is asked about in its slice."""
    found = one_stage(tiles, slicing=TILED)
    objects = [TrueBox(10 + n, one.detection.class_name, one.detection.box_xyxy) for n, one in enumerate(found)]
    objects += [TrueBox(5, "mug", (150.0, 250.0, 190.0, 290.0)), TrueBox(6, "van", found[0].detection.box_xyxy)]
    result = one_stage(tiles, slicing=TILED, true_boxes=objects)
    assert [one.detection for one in result if one.answer is None] == [one.detection for one in found]
    asked = {one.answer.name: one.answer for one in result if one.answer}
    assert set(asked) == {"gt_5", "gt_6"}
    assert all("; asked in slice " in answer.words and answer.share_seen > 0 for answer in asked.values())
    assert "and found another object" in asked["gt_6"].words


def test_no_slice_is_kept_while_others_are_explained(one_stage, tiles, monkeypatch) -> None:
    """One forward pass, and the one before it, whatever is asked in how many slices."""
    alive: list[weakref.ref] = []
    most = 0
    forward_of = slices.forward_of

    def noted(*arguments):
        nonlocal most
        gc.collect()
        most = max(most, sum(one() is not None for one in alive))
        forward = forward_of(*arguments)
        alive.append(weakref.ref(forward))
        return forward

    monkeypatch.setattr(slices, "forward_of", noted)
    boxes = [(x, y, x + 30, y + 30) for x in range(20, 760, 120) for y in range(20, 600, 120)]
    question = asked_question(one_stage.question, {"slicing": TILED, "boxes": boxes})
    for _ in one_stage.stream(tiles, question=question).explanations:
        pass
    assert len(alive) > 4 and most <= 1


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


DEMO = ("-c", ROOT / "configs/demo/ppyoloe.yml", "--slice_infer", "--slice_size", "240", "--save", "raw,overlay")


def test_command_answers_about_boxes(command) -> None:
    """The answer is printed and written, with the slice that was asked and what it sees of the box."""
    boxes = ("--box", "0,0,400,300,van", "--box", "20,20,60,60")
    done = command(*DEMO, "--infer_img", SCENE, *boxes)
    assert done.code == 0, done.err
    record = command.image_record()
    answers = {box["answer"]["name"]: box for box in record["boxes"]}
    assert set(answers) == {"box_0", "box_1"} and command.pictures() == {"box_0.jpg", "box_1.jpg"}
    large, small = answers["box_0"], answers["box_1"]
    assert large["answer"]["share_seen"] < 1 == small["answer"]["share_seen"]
    assert "% of it: it is larger than a slice" in large["answer"]["words"]
    left, top, right, bottom = small["slice_xyxy"]
    assert (right - left, bottom - top) == (240, 240) and left <= 20 and top <= 20
    for box in answers.values():
        assert f"{box['answer']['name']}: {box['answer']['words']}" in done.out
        said = box["answer"]["said"]
        assert "".join(one["pattern"].format(*one["values"]) for one in said) == box["answer"]["words"]


def test_command_asks_about_missed_objects_of_a_folder(command) -> None:
    """Every image's objects are found by a detection or have an answer, and each box its slice."""
    annotations = ROOT / "demo/drawn/annotations.json"
    done = command(*DEMO, "--gt", annotations, "--draw_threshold", "0.8", "--report")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in (command.cam_out / "images.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    asked = 0
    for line in lines:
        answers = [box["answer"] for box in line["boxes"] if "answer" in box]
        asked += len(answers)
        assert line["truth"]["missed"] == len(answers)
        assert all("slice_xyxy" in box for box in line["boxes"])
        assert all(answer["name"].startswith("gt_") and "slice " in answer["words"] for answer in answers)
    assert asked > 0 and (command.cam_out / "report.html").is_file()


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
        (("--slice_size", "1", "--overlap_ratio", "0"), "has 240000 such slices"),
    ],
)
def test_command_refuses_what_does_not_go_together(command, more, message: str) -> None:
    """By the flags' names."""
    assert message in command.refused(run(command, *more))


def test_command_needs_the_flag_that_cuts(command) -> None:
    """A slice's size alone would do nothing."""
    assert "need --slice_infer as well" in command.refused(command.explain("--slice_size", "300"))
