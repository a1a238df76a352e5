"""The flags that say what is asked of which boxes: what they choose, what they print, and how they are refused."""

from __future__ import annotations

import json

import pytest
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO, SSD
from support.trees import contents

from ppdet_cam.methods import methods
from ppdet_cam.questions.overlaps import iou
from ppdet_cam.questions.targets import targets


def explained(command, *arguments, config=SSD):
    """Runs and returns the boxes of the image's record; asserts that it went well: at most, a map is empty or blind."""
    run = command.explain(*arguments, config=config)
    assert run.code == 0
    assert all("): no map: " in line or " is blind for this box: " in line for line in run.err), run.err
    return command.image_record()["boxes"]


def refused(command, *arguments, config=BLAZEFACE):
    """Runs and returns the message; asserts that nothing was written."""
    message = command.refused(command.explain(*arguments, config=config))
    assert contents(command.folder) == {}
    return message


def layers_of(boxes):
    """The layers and levels of a record's boxes, which are the same for all."""
    (found,) = {tuple((level["layer"], level["level"]) for level in box["levels"]) for box in boxes}
    return found


def file_of(box):
    """The picture that was written about a box."""
    return box["files"]["overlay"]


# --- layers


@pytest.mark.parametrize(
    "words",
    [
        ("--target_feature_layer_name", "model.backbone,model.neck"),
        ("--target_feature_layer_name", "model.backbone", "--target_feature_layer_name", "model.neck"),
    ],
    ids=["comma", "repeated"],
)
def test_layers_are_put_together(command, words):
    """Separated by commas or by repeating the flag, two layers give every box their four levels."""
    boxes = explained(command, "--method", "layercam", *words, config=BLAZEFACE)
    pair = ("model.backbone", "model.neck")
    assert layers_of(boxes) == tuple((layer, level) for layer in pair for level in (0, 1))
    for box in boxes:
        assert sum(level["share"] for level in box["levels"]) == pytest.approx(1)
    assert command.run_record()["flags"]["target_feature_layer_name"] == list(words[1::2])


def test_one_level_can_be_looked_at(command):
    """`@1` leaves the second level alone in the record, with the whole of the evidence or none."""
    boxes = explained(command, "--method", "layercam", "--target_feature_layer_name", "model.backbone@1")
    assert layers_of(boxes) == (("model.backbone", 1),)
    assert {round(box["levels"][0]["share"], 6) for box in boxes} <= {0.0, 1.0}
    assert boxes[0]["layers"] == ["model.backbone@1"]


@pytest.mark.parametrize(
    ("layer", "config", "message"),
    [
        ("model.neck@2", BLAZEFACE, "layer 'model.neck' has no level 2; it has levels 0 to 1. See --list_layers"),
        ("model.neck@0,model.neck@7", BLAZEFACE, "has no level 7; it has levels 0 to 1"),
        ("model.backbone.conv1@1", SSD, "layer 'model.backbone.conv1' has no level 1; it has one level, 0"),
        ("model.neck@one", BLAZEFACE, "'model.neck@one': a level is a number from 0, as in model.neck@0, not 'one'"),
        ("model.neck,", BLAZEFACE, "'model.neck,' names no layer in one place"),
        ("model.nek", BLAZEFACE, "no layer 'model.nek' in BlazeFace (did you mean 'model.neck'"),
        ("model.blaze_head", BLAZEFACE, "the output of layer 'model.blaze_head' is no feature map"),
    ],
)
def test_layer_that_is_not_there_is_refused(command, layer, config, message):
    """What was asked for, and what there is."""
    assert message in refused(command, "--target_feature_layer_name", layer, config=config)


def test_levels_are_printed(command):
    """`--levels` prints a line per box and level, whose shares are the record's."""
    run = command.explain("--levels", "--target_feature_layer_name", "model.neck")
    assert (run.code, run.err) == (0, [])
    head, *rows, summary = run.out
    assert head.split() == ["box", "class", "score", "layer", "level", "grid", "share"]
    expected = [
        [
            str(box["index"]),
            "face",
            f"{box['score']:.3f}",
            "model.neck",
            str(level["level"]),
            "x".join(map(str, level["grid_hw"])),
            f"{level['share']:.1%}",
        ]
        for box in command.image_record()["boxes"]
        for level in box["levels"]
    ]
    assert [row.split() for row in rows] == expected
    assert " pictures in cam_out" in summary


# --- lists


def test_list_methods_names_every_method(command):
    """A line per method with what it needs and its paper, then the one that is no CAM; no config is needed."""
    run = command("--list_methods")
    assert (run.code, run.err, run.devices) == (0, [], [])
    head, *rows = run.out
    assert head.split() == ["method", "needs", "levels", "cost", "paper"]
    assert [row.split()[0] for row in rows] == [*methods.names(), "activations"]
    for row, method in zip(rows, map(methods.get, methods.names())):
        assert method.needs.value in row and method.cost in row and row.endswith(method.reference)


def test_list_targets_names_every_target(command):
    """A line per target with what it means; no config is needed."""
    run = command("--list_targets")
    assert (run.code, run.err, run.devices) == (0, [], [])
    head, *rows = run.out
    assert head.split() == ["target", "needs", "meaning"]
    for row, kind in zip(rows, map(targets.get, targets.names())):
        assert row.startswith(kind.form) and kind.quantity.value in row and row.endswith(kind.meaning)
    assert len(rows) == len(targets.names())


def test_list_targets_imports_neither_paddle_nor_ppdet(command, monkeypatch):
    """The lists answer at once."""
    for name in ("ppdet_cam.running.batch", "ppdet_cam.commands.layers"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert command("--list_targets").code == command("--list_methods").code == 0


# --- methods and targets


def test_method_and_target_stand_in_the_record(command):
    """What was asked for is written down with every box."""
    boxes = explained(command, "--method", "odam", "--target", "box:left")
    assert {(box["method"], box["target"]) for box in boxes} == {("odam", "box:left")}


def test_perturbation_flags_are_taken(command):
    """Samples, seed and batch size reach the method; the same seed gives the same pictures."""
    words = ("--method", "drise", "--samples", "3", "--batch_size", "2", "--top_k", "1", "--seed", "5")
    (box,) = explained(command, *words)
    picture = (command.cam_out / file_of(box)).read_bytes()
    assert (box["layers"], box["levels"]) == ([], [])
    explained(command, *words)
    assert (command.cam_out / file_of(box)).read_bytes() == picture
    flags = command.run_record()["flags"]
    assert (flags["samples"], flags["seed"], flags["batch_size"]) == (3, 5, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "clas"), "target 'clas' is not supported (did you mean 'class'"),
        (("--target", "box:lefd"), "a box has no side 'lefd' (did you mean 'left'?)"),
        (("--target", "contrast"), "target 'contrast' needs a class: contrast:face"),
        (("--target", "other:dog"), "no class 'dog'. Give a name (face) or an id from 0 to 0"),
        (("--target", "objectness"), "which BlazeFace (FaceHead) has not. It has: box[:left|top|right|bottom], class,"),
        (("--method", "drise", "--target", "logit"), "--target must be 'class', not 'logit'"),
        (("--method", "gradcamm"), "method 'gradcamm' is not supported (did you mean 'gradcam'"),
        (("--samples", "0"), "--samples must be at least 1, not 0"),
        (("--samples", "few"), "argument --samples: invalid int value: 'few'"),
        (("--batch_size", "0"), "--batch_size must be at least 1, not 0"),
        (("--seed", "-1"), "--seed must be 0 or more, not -1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_question_that_fits_no_image_is_refused(command, words, message):
    """Exit code 2, one line, nothing written."""
    assert message in refused(command, *words)


# --- a choice among the detections


def test_top_k_takes_the_best(command):
    """Of the boxes above the threshold, the N with the highest scores, in the detector's order."""
    everything = explained(command, "--draw_threshold", "0.3")
    best = sorted(sorted(everything, key=lambda box: -box["score"])[:3], key=lambda box: box["index"])
    chosen = explained(command, "--draw_threshold", "0.3", "--top_k", "3")
    assert [box["index"] for box in chosen] == [box["index"] for box in best]
    assert command.pictures() == {file_of(box) for box in chosen}


def test_classes_are_given_by_name_or_id(command):
    """Only boxes of these classes are explained."""
    everything = explained(command, "--draw_threshold", "0.3")
    first = everything[0]
    others = {box["class_id"] for box in everything} - {first["class_id"]}
    assert others
    second = min(others)
    chosen = explained(command, "--draw_threshold", "0.3", "--classes", f"{first['class_name']}, {second}")
    wanted = {first["class_id"], second}
    assert [box["index"] for box in chosen] == [box["index"] for box in everything if box["class_id"] in wanted]


def test_classes_without_a_box_are_no_error(command):
    """The boxes that are there are of other classes, which is said."""
    everything = explained(command, "--draw_threshold", "0.5")
    there = {box["class_id"] for box in everything}
    missing = next(class_id for class_id in range(20) if class_id not in there)
    run = command.explain("--classes", str(missing), config=SSD)
    assert run.code == 0
    assert run.out == ["no box is of the classes asked for; cam_out has the manifest only"]


def test_box_index_takes_rows_whatever_their_score(command):
    """Rows of the detector's output, also below the threshold, each once and in its order."""
    everything = explained(command, "--draw_threshold", "0.3")
    first, below = everything[0], [box for box in everything if box["score"] < 0.5][-1]
    chosen = explained(command, "--box_index", f"{below['index']},{first['index']},{below['index']}")
    assert [(box["index"], box["score"]) for box in chosen] == [(box["index"], box["score"]) for box in (first, below)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--classes", "faec"), "no class 'faec' (did you mean 'face'?). Give a name (face) or an id from 0 to 0"),
        (("--classes", "face,1"), "no class '1'"),
        (("--classes", "face,,"), "--classes 'face,,' has an empty item; give a list such as 3,7 or person,dog"),
        (("--classes", ""), "--classes '' has an empty item"),
        (("--box_index", "one"), "--box_index takes whole numbers from 0, separated by commas, not 'one'"),
        (("--box_index=-1",), "--box_index takes whole numbers from 0, separated by commas, not '-1'"),
        (("--box_index", "3,"), "--box_index '3,' has an empty item"),
        (("--top_k", "0"), "--top_k must be at least 1, not 0"),
        (("--draw_threshold", "1.5"), "--draw_threshold must lie between 0 and 1, not 1.5"),
        (("--box_index", "99999"), "the image has no detection with index 99999; it has indices 0 to "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_choice_that_chooses_nothing_is_refused(command, words, message):
    """What was given and what there is; nothing is written."""
    assert message in refused(command, *words)


# --- boxes that are asked about


def detections_of(detector_of, photo, name="blazeface"):
    """The detector's own rows: label, score and box."""
    return detector_of(name).predict(photo)


def written(box_xyxy, *rest):
    """A box as it is typed."""
    return ",".join([*(f"{value:.2f}" for value in box_xyxy), *rest])


def test_box_that_was_found_names_its_detection(command, detector_of, photo):
    """One line says which detection found it; its picture is `box_0.jpg`, and no detection has one."""
    row = detections_of(detector_of, photo)[0]
    text = written(row[2:], "face")
    run = command.explain(f"--box={text}")
    assert (run.code, run.err) == (0, [])
    answer, summary = run.out
    assert answer == f"box_0: found by detection 0 (face {row[1]:.3f}), IoU 1.00"
    assert summary.startswith("1 picture in cam_out (")
    assert command.pictures() == {"box_0.jpg"}
    (box,) = command.image_record()["boxes"]
    assert (file_of(box), box["index"], box["score"]) == ("box_0.jpg", 0, float(row[1]))
    assert (box["answer"]["verdict"], box["answer"]["other_index"], box["answer"]["class_name"]) == ("found", 0, "face")
    assert box["answer"]["words"] == answer[len("box_0: ") :]
    assert len(command.run_record()["flags"]["box"]) == 1


def test_box_that_was_missed_says_why(command, detector_of, photo):
    """A weak candidate's box says its score; an empty place has a picture without a map, and one warning."""
    rows = detections_of(detector_of, photo)
    shown = rows[rows[:, 1] >= 0.5]
    weak = next(row for row in rows if row[1] < 0.5 and iou(row[2:], shown[:, 2:]).max() < 0.3)
    run = command.explain(f"--box={written(weak[2:])}", "--box", "1,1,2,2,0")
    assert run.code == 0
    first, second, summary = run.out
    assert first.startswith("box_0: scored too low: ") and first.endswith("below 0.5")
    assert second.startswith("box_1: no candidate there: the best IoU is 0.0")
    assert summary.startswith("2 pictures in cam_out, 1 without a map (")
    assert run.err == ["cam_ppdet: box box_1 (face 0.000): no map: the detector has no candidate at this place"]
    assert command.pictures() == {"box_0.jpg", "box_1.jpg"}
    missed, nothing = command.image_record()["boxes"]
    assert missed["answer"]["verdict"] == "low_score" and missed["index"] == -1 and missed["status"] == "ok"
    assert nothing["answer"]["verdict"] == nothing["status"] == "no_candidate"
    assert nothing["answer"]["class_name"] == "face" and missed["answer"]["class_name"] is None


def test_levels_name_the_box_that_was_asked_about(command, detector_of, photo):
    """In the table of shares a box that was asked about goes by its name."""
    text = written(detections_of(detector_of, photo)[0][2:])
    run = command.explain(f"--box={text}", "--levels", "--target_feature_layer_name", "model.neck")
    assert [line.split()[0] for line in run.out[1:-1]] == ["box", "box_0", "box_0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--box", "1,2,3"), "--box '1,2,3' is not left,top,right,bottom or left,top,right,bottom,CLASS in pixels of"),
        (("--box", "a,b,c,d"), "--box 'a,b,c,d' is not left,top,right,bottom"),
        (("--box", "10,10,5,20"), "box 10,10,5,20 has no area: it must have left < right and top < bottom"),
        (("--box", "0,0,nan,9"), "a box is left, top, right, bottom: four finite numbers"),
        (("--box", "1,1,9,9,faec"), "no class 'faec' (did you mean 'face'?)"),
        (("--box", "1,1,9,9", "--box", "x"), "--box 'x' is not"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_box_that_is_none_is_refused(command, words, message):
    """What was given and how a box is written; nothing is written."""
    assert message in refused(command, *words)


# --- ground truth


@pytest.fixture
def ground_truth(tmp_path_factory, detector_of, photo):
    """COCO annotations of the photograph: a found face, an empty place, a class that the detector lacks."""
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    left, top, right, bottom = (float(value) for value in detections_of(detector_of, photo)[0][2:])
    boxes = {11: (1, [left, top, right - left, bottom - top]), 12: (1, [2, 2, 3, 3]), 13: (2, [50, 50, 90, 90])}
    document = {
        "images": [{"id": 1, "file_name": PHOTO.name}],
        "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "spoon"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": category, "bbox": bbox}
            for number, (category, bbox) in boxes.items()
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_missed_objects_are_asked_about(command, ground_truth):
    """After the detections, a line and a picture for each object that none of them found."""
    run = command.explain("--gt", ground_truth)
    assert run.code == 0
    line, summary = run.out
    assert line.startswith("gt_12: no candidate there: the best IoU is ")
    boxes = command.image_record()["boxes"]
    detections, missed = boxes[:-1], boxes[-1]
    assert detections and all("answer" not in box for box in detections)
    assert (missed["answer"]["name"], missed["answer"]["verdict"]) == ("gt_12", "no_candidate")
    assert command.pictures() == {*(file_of(box) for box in detections), "gt_12.jpg"}
    assert file_of(missed) == "gt_12.jpg"
    assert summary.startswith(f"{len(boxes)} pictures in cam_out, 1 without a map (")
    assert command.run_record()["flags"]["gt"] == str(ground_truth)


def test_object_whose_detection_is_not_shown_is_missed(command, ground_truth):
    """Above every score nothing is found, so both faces are asked about."""
    run = command.explain("--gt", ground_truth, "--draw_threshold", "0.95")
    assert [line.split(":")[0] for line in run.out[:-1]] == ["gt_11", "gt_12"]
    assert run.out[0].startswith("gt_11: scored too low: ") and run.out[0].endswith("below 0.95")


def test_ground_truth_that_does_not_fit_is_refused(command, ground_truth, tmp_path):
    """No such file, not COCO, another data set's classes, another image."""
    assert "cannot be read: No such file" in refused(command, "--gt", ROOT / "none.json")
    assert "is not a COCO annotation file" in refused(command, "--gt", ROOT / "setup.py")
    classes = json.loads(ground_truth.read_text())
    other = ground_truth.with_name("other.json")
    other.write_text(json.dumps({**classes, "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "spoon"}]}))
    message = refused(command, "--gt", other)
    assert "has none of the detector's classes: it has cup, spoon; the detector has face" in message
    other.write_text(json.dumps({**classes, "images": [{"id": 1, "file_name": "tea.jpg"}]}))
    assert "has no image 'coffee.jpg'" in refused(command, "--gt", other)


# --- layers of two stages


@pytest.mark.slow
def test_levels_of_both_kinds_of_layers_stand_in_one_table(command):
    """A trained Mask R-CNN, a level of its neck and its RoI features: both have a share of each box."""
    scene = ROOT / "demo/drawn/scene_2.jpg"
    run = command(
        *("-c", ROOT / "configs/demo/mask_rcnn.yml", "--infer_img", scene, "--top_k", "1", "--levels"),
        *("--target_feature_layer_name", "model.neck@0,model.bbox_head.roi_extractor"),
    )
    assert run.code == 0
    places = [line.split()[3:5] for line in run.out[1:-1]]
    assert places == [["model.neck", "0"], ["model.bbox_head.roi_extractor", "0"]]
