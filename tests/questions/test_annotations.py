"""`--gt` in VOC's and YOLO's forms says the same as in COCO's."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support.annotations import CLASS_NAMES, SCENES, save_voc, save_yolo, scenes_truth

from ppdet_cam.errors import ConfigError
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.truth import GroundTruth

NAMES = ("cat", "dog")
OBJECT = "<object><name>dog</name>{}<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>4</ymax></bndbox></object>"


def objects(truth: GroundTruth) -> dict[str, list[tuple[str, list[float]]]]:
    """Returns every scene's objects, in pixels."""
    sizes = scenes_truth().sizes
    return {
        stem: [
            (box.class_name, pytest.approx(box.box_xyxy, abs=1e-6))
            for box in truth.objects(truth.name_of(Path(f"/x/{stem}.jpg")), sizes[f"{stem}.jpg"])
        ]
        for stem in (Path(name).stem for name in sizes)
    }


def plain(truth: GroundTruth) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    return {Path(name).stem: [(box.class_name, box.box_xyxy) for box in found] for name, found in truth.boxes.items()}


def voc_list(folder: Path) -> Path:
    """Returns ppdet's list of images and XML files."""
    save_voc(folder / "Annotations")
    lines = [f"{name} Annotations/{Path(name).stem}.xml" for name in scenes_truth().boxes]
    (folder / "trainval.txt").write_text("\n".join(lines))
    return folder / "trainval.txt"


@pytest.mark.parametrize(
    "save", [lambda here: save_voc(here / "Annotations"), voc_list, lambda here: save_yolo(here / "labels" / "val")]
)
def test_each_form_says_the_same(save, tmp_path: Path) -> None:
    """Classes and boxes of every scene, found by the image's name, and numbers from 1."""
    truth = read_ground_truth(save(tmp_path), CLASS_NAMES)
    assert plain(scenes_truth()) == objects(truth)
    numbers = [box.annotation_id for box in truth.boxes[truth.name_of(SCENES / "scene_1.jpg")]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert truth.sizes == {} or set(truth.sizes.values()) == set(scenes_truth().sizes.values())


def test_annotation_of_one_image_is_read_alone(tmp_path: Path) -> None:
    """A single XML or label file is of the image of its name."""
    for folder, suffix in ((save_voc(tmp_path / "a"), "xml"), (save_yolo(tmp_path / "b"), "txt")):
        truth = read_ground_truth(folder / f"scene_2.{suffix}", CLASS_NAMES)
        assert list(truth.boxes) == ["scene_2"]
        with pytest.raises(ConfigError, match=r"has no image 'scene_1\.jpg' .did you mean 'scene_2'"):
            truth.name_of(SCENES / "scene_1.jpg")


def written(folder: Path, name: str, text: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


# VOC


def test_voc_leaves_out_what_cannot_be_asked_about(tmp_path: Path) -> None:
    """Difficult objects, other classes, boxes without an area; a part's box is none of the object's."""
    part = "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>"
    kept = [OBJECT.format(part, 3), OBJECT.format("<difficult>0</difficult>", 5)]
    left_out = [OBJECT.format("<difficult>1</difficult>", 3), OBJECT.format("", 1), OBJECT.replace("dog", "cow")]
    text = "<annotation>" + "".join([kept[0], *left_out, kept[1]]).format("", 3) + "</annotation>"
    truth = read_ground_truth(written(tmp_path / "a", "x.xml", text), NAMES)
    assert [(box.annotation_id, box.box_xyxy) for box in truth.boxes["x"]] == [(1, (1, 2, 3, 4)), (5, (1, 2, 5, 4))]
    assert truth.sizes == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "x.xml is not an annotation of VOC's form (no element found"),
        ("<annotation>", "is not an annotation of VOC's form (no element found"),
        ("<html/>", "(it is <html>); it must be VOC's XML"),
        (b"\xff\xfe<", "is not an annotation of VOC's form"),
        (
            '<?xml version="1.0" encoding="no-such"?><annotation/>',
            "is not an annotation of VOC's form (unknown encoding",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "(it declares entities)"),
        ("<annotation><object><name>dog</name></object></annotation>", "<bndbox> of object 1 has {'xmin': None"),
        (f"<annotation>{OBJECT.format('', 'x')}</annotation>", "'xmax': 'x'"),
        (f"<annotation>{OBJECT.format('', 'nan')}</annotation>", "is not four finite numbers"),
        (f"<annotation>{OBJECT.format('', 3).replace('dog', 'cow')}</annotation>", "none of the detector's classes"),
    ],
)
def test_voc_that_does_not_fit_is_refused(content, message: str, tmp_path: Path) -> None:
    """The file and what is wrong with it stand in the message."""
    with pytest.raises(ConfigError) as caught:
        read_ground_truth(written(tmp_path / "a", "x.xml", content), NAMES)
    assert message in str(caught.value) and str(caught.value).startswith(f"--gt {tmp_path / 'a'}")


def test_voc_list_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    """Both the list and the file are named."""
    folder = written(tmp_path / "a", "list.txt", "x.jpg gone.xml\n")
    with pytest.raises(ConfigError, match=r"--gt .*list\.txt: .*gone\.xml cannot be read: No such file"):
        read_ground_truth(folder / "list.txt", NAMES)


def test_voc_list_with_another_line_is_refused(tmp_path: Path) -> None:
    """The line is named; a path of an image may hold a space."""
    folder = written(tmp_path / "a", "list.txt", "a b.jpg x.xml\n\nb.jpg\n")
    with pytest.raises(ConfigError, match=r"list\.txt: line 3 is not an image and its XML file, but 'b\.jpg'"):
        read_ground_truth(folder / "list.txt", NAMES)
    written(tmp_path / "a", "list.txt", "a b.jpg x.xml\n\n")
    written(tmp_path / "a", "x.xml", f"<annotation>{OBJECT.format('', 3)}</annotation>")
    assert list(read_ground_truth(folder / "list.txt", NAMES).boxes) == ["a b.jpg"]


# YOLO


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "dog\ncat\n"),
        ("data.yaml", "train: x\nnames: [dog, cat]\n"),
        ("dataset.yaml", "names:\n  0: dog\n  1: cat\n"),
    ],
)
@pytest.mark.parametrize("above", ["labels/val", "labels", "."])
def test_yolo_has_its_own_class_names(name: str, text: str, above: str, tmp_path: Path, caplog) -> None:
    """Their order need not be the detector's; they are looked for in the folder and close above."""
    (tmp_path / "labels").mkdir()
    labels = written(tmp_path / "labels" / "val", "x.txt", "0 0.5 0.5 0.2 0.4\n\n1 0.1 0.1 0.2 0.2")
    written(tmp_path / above, name, text)
    truth = read_ground_truth(labels, NAMES)
    assert [(box.annotation_id, box.class_name) for box in truth.boxes["x"]] == [(1, "dog"), (3, "cat")]
    assert truth.objects("x", (50, 100))[0].box_xyxy == pytest.approx((40, 15, 60, 35))
    assert not caplog.records


def test_yolo_without_class_names_has_the_detectors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That is said, as it is the one thing that cannot be checked."""
    labels = written(tmp_path / "a" if (tmp_path / "a").mkdir() else tmp_path / "a", "x.txt", "1 0.5 0.5 0.2 0.4")
    with caplog.at_level(logging.WARNING):
        truth = read_ground_truth(labels, NAMES)
    assert truth.boxes["x"][0].class_name == "dog"
    assert "class ids are taken for the detector's own (0 is cat)" in caplog.text


def test_yolo_polygons_are_boxes_with_a_mask(tmp_path: Path) -> None:
    """The box goes around the points, which become a polygon in pixels."""
    truth = read_ground_truth(written(tmp_path / "a", "x.txt", "1 0.1 0.2 0.5 0.2 0.3 0.8"), NAMES)
    (box,) = truth.objects("x", (10, 100))
    assert box.box_xyxy == pytest.approx((10, 2, 50, 8))
    assert box.segmentation == [pytest.approx([10, 2, 50, 2, 30, 8])]


def test_yolo_image_without_objects_has_none(tmp_path: Path) -> None:
    """An empty label file is of an image with nothing in it."""
    assert read_ground_truth(written(tmp_path / "a", "x.txt", ""), NAMES).boxes == {"x": ()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dog 0.5 0.5 0.2 0.2", "line 1 is not a label of YOLO's form (the class id is no whole number: 'dog 0.5"),
        ("0 0.5 0.5 0.2 0.2\n0 50 50 20 20", "line 2 is not a label of YOLO's form (a number is not from 0 to 1"),
        ("0 0.5 0.5 0.2", "(3 numbers behind the class id"),
        ("0 0.5 0.5 0.2 0.2 0.9", "(5 numbers behind the class id"),
        ("0 0.5 0.5 nan 0.2", "(a number is not from 0 to 1"),
        ("0 0.5 0.5 x 0.2", "could not convert string to float"),
        ("7 0.5 0.5 0.2 0.2", "(class id 7; the detector has 2 classes)"),
        (b"\xff\xfe\x00", "x.txt cannot be read: it is not UTF-8"),
    ],
)
def test_yolo_that_does_not_fit_is_refused(content, message: str, tmp_path: Path) -> None:
    """File, line and what is wrong stand in the message."""
    with pytest.raises(ConfigError) as caught:
        read_ground_truth(written(tmp_path / "a", "x.txt", content), NAMES)
    assert message in str(caught.value) and str(caught.value).startswith(f"--gt {tmp_path / 'a'}: ")


def test_yolo_names_that_are_no_yaml_are_refused(tmp_path: Path) -> None:
    """A broken data.yaml is named, rather than the detector's names taken."""
    folder = written(tmp_path / "a", "x.txt", "0 0.5 0.5 0.2 0.2")
    written(folder, "data.yaml", "names: [a, b")
    with pytest.raises(ConfigError, match=r"data\.yaml, which should name YOLO's classes, is not YAML"):
        read_ground_truth(folder, NAMES)
