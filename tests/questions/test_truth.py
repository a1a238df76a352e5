"""Ground truth is read from COCO files, found for an image, and matched with the detections."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ppdet_cam.errors import ConfigError, PpdetCamError
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.boxes import AskedBox
from ppdet_cam.questions.truth import GroundTruth, Match, TrueBox, match, missed
from ppdet_cam.structures import Detection

NAMES = ("cat", "dog")


def annotation(number: int, image: int, category: int, bbox: list[float], **more: object) -> dict:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **more}


def document(*annotations: dict) -> dict:
    return {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "val/b.jpg"}],
        "categories": [{"id": 5, "name": "dog"}, {"id": 9, "name": "cat"}, {"id": 2, "name": "zebra"}],
        "annotations": list(annotations),
    }


@pytest.fixture
def written(tmp_path):
    """Writes a document, or any text, to a file."""

    def write(content: object) -> Path:
        path = tmp_path / "truth.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


# reading


@pytest.mark.parametrize(
    ("hw", "said"),
    [
        ((480, 640), None),
        ((240, 320), "says 640 x 480 pixels, the file has 320 x 240; the annotated boxes"),
        ((640, 480), "says 640 x 480 pixels, the file has 480 x 640, turned by its EXIF orientation or not"),
    ],
)
def test_size_note_is_of_images_that_are_not_as_large_as_annotated(written, hw, said) -> None:
    """A size that differs is told with both; the same size, none, or one that is no size is not."""
    content = document()
    content["images"][0].update(width=640, height=480)
    content["images"][1].update(width="wide", height=0)
    truth = read_ground_truth(written(content), NAMES)
    note = truth.size_note("a.jpg", hw)
    assert (note is None) if said is None else (said in note and str(truth.path) in note)
    assert truth.size_note("val/b.jpg", hw) is None


def test_read_ground_truth_gives_corners_by_image(written) -> None:
    """COCO's left, top, width, height become corners; ids of images and categories become names."""
    truth = read_ground_truth(
        written(document(annotation(1, 3, 5, [10, 20, 30, 40.5]), annotation(2, 3, 9, [0, 0, 1, 1]))), NAMES
    )
    assert truth.boxes == {
        "a.jpg": (),
        "val/b.jpg": (
            TrueBox(1, "dog", (10.0, 20.0, 40.0, 60.5)),
            TrueBox(2, "cat", (0.0, 0.0, 1.0, 1.0)),
        ),
    }


def test_read_ground_truth_leaves_out_what_cannot_be_asked_about(written) -> None:
    """Crowds, boxes without area and classes that the detector lacks are no question."""
    truth = read_ground_truth(
        written(
            document(
                annotation(1, 7, 5, [0, 0, 9, 9], iscrowd=1),
                annotation(2, 7, 5, [0, 0, 0, 9]),
                annotation(3, 7, 5, [0, 0, 9, -1]),
                annotation(4, 7, 2, [0, 0, 9, 9]),
                annotation(5, 7, 5, [0, 0, 9, 9], iscrowd=0),
            )
        ),
        NAMES,
    )
    assert [box.annotation_id for box in truth.boxes["a.jpg"]] == [5]


def test_read_ground_truth_reads_where_the_evidence_lies(written) -> None:
    """The project's own scenes say which place alone makes an object its class."""
    truth = read_ground_truth(
        written(
            document(
                annotation(1, 7, 5, [0, 0, 9, 9], evidence=[1, 2, 3, 4]),
                annotation(2, 7, 5, [0, 0, 9, 9], evidence=[20, 2, 3, 4], evidence_outside=True),
                annotation(3, 7, 5, [0, 0, 9, 9], evidence=None),
            )
        ),
        NAMES,
    )
    inside, outside, nothing = truth.boxes["a.jpg"]
    assert (inside.evidence_xyxy, inside.evidence_is_outside) == ((1.0, 2.0, 4.0, 6.0), False)
    assert (outside.evidence_xyxy, outside.evidence_is_outside) == ((20.0, 2.0, 23.0, 6.0), True)
    assert (nothing.evidence_xyxy, nothing.evidence_is_outside) == (None, False)


def test_read_ground_truth_reads_the_shipped_scenes() -> None:
    """Every object of the drawn scenes is read with its class."""
    from support.places import ROOT

    names = (ROOT / "configs/demo/scenes_classes.txt").read_text(encoding="utf-8").split()
    truth = read_ground_truth(ROOT / "demo/drawn/annotations.json", names)
    assert sorted(truth.boxes) == [f"scene_{number}.jpg" for number in range(1, 7)]
    assert all(truth.boxes.values())
    assert {box.class_name for boxes in truth.boxes.values() for box in boxes} <= set(names)


WITHOUT_BBOX = document({"id": 1, "image_id": 7, "category_id": 5})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a COCO annotation file (JSONDecodeError: "),
        ("<xml/>", "is not a COCO annotation file (JSONDecodeError: "),
        ([1, 2], "is not a COCO annotation file (TypeError: "),
        ({"images": [], "annotations": []}, "(KeyError: 'categories'); it must be JSON with 'images', 'annotations'"),
        ({"categories": [], "annotations": []}, "(KeyError: 'images')"),
        ({"categories": [], "images": []}, "(KeyError: 'annotations')"),
        (WITHOUT_BBOX, "(KeyError: 'bbox')"),
        (document(annotation(1, 7, 5, [1, 2, 3])), "(ValueError: not enough values to unpack"),
        (document(annotation(1, 7, 5, ["x", 2, 3, 4])), "(ValueError: could not convert string to float: 'x')"),
        (document(annotation(1, 99, 5, [1, 2, 3, 4])), "(KeyError: 99)"),
        (document(annotation(1, 7, 99, [1, 2, 3, 4])), "(KeyError: 99)"),
        (document({"image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]}), "(KeyError: 'id')"),
        (document(annotation(1, 7, 5, [1, 2, 10**400, 4])), "(OverflowError: "),
        (document(annotation(1, 7, 5, [1, 2, float("inf"), 4])), "(ValueError: bbox [1, 2, inf, 4]"),
    ],
)
def test_read_ground_truth_refuses_what_is_not_coco(written, content: object, message: str) -> None:
    """The file and what is missing stand in the message."""
    path = written(content)
    with pytest.raises(ConfigError) as caught:
        read_ground_truth(path, NAMES)
    assert str(caught.value).startswith(f"--gt {path} is")
    assert message in str(caught.value)
    assert isinstance(caught.value, PpdetCamError)


def test_read_ground_truth_refuses_what_cannot_be_read(tmp_path) -> None:
    """A file that is not there, and a folder."""
    with pytest.raises(ConfigError, match=r"--gt .*none\.json cannot be read: No such file or directory"):
        read_ground_truth(tmp_path / "none.json", NAMES)
    with pytest.raises(ConfigError, match="holds no annotations; give COCO's JSON, a folder of VOC's"):
        read_ground_truth(tmp_path, NAMES)


def test_read_ground_truth_refuses_what_never_ends(tmp_path) -> None:
    """A pipe would be waited for; lists within lists would go beyond Python's stack."""
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ConfigError, match="is a device or pipe"):
        read_ground_truth(tmp_path / "pipe.json", NAMES)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is not a COCO annotation file .RecursionError"):
        read_ground_truth(tmp_path / "deep.json", NAMES)


def test_read_ground_truth_refuses_other_classes(written) -> None:
    """A file of other classes is most likely the wrong one; both lists are shown."""
    with pytest.raises(ConfigError) as caught:
        read_ground_truth(written(document()), ("car", "bus"))
    assert str(caught.value).endswith(
        "has none of the detector's classes: it has cat, dog, zebra; the detector has car, bus"
    )


def test_read_ground_truth_that_is_not_utf8_is_refused(tmp_path) -> None:
    """Bytes that are no UTF-8 are no JSON."""
    path = tmp_path / "truth.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not a COCO annotation file"):
        read_ground_truth(path, NAMES)


# the image's objects


def objects_of(truth: GroundTruth, image: Path) -> tuple[TrueBox, ...]:
    return truth.objects(truth.name_of(image), (10, 10))


def truth_of(*names: str) -> GroundTruth:
    return GroundTruth(Path("t.json"), {name: (TrueBox(n, "dog", (0, 0, 1, 1)),) for n, name in enumerate(names)})


@pytest.mark.parametrize(
    ("names", "image", "expected"),
    [
        (("a.jpg", "b.jpg"), "/data/b.jpg", 1),
        (("val/a.jpg", "train/a.jpg"), "/data/train/a.jpg", 1),
        (("val/a.jpg",), "/elsewhere/a.jpg", 0),
        (("ba.jpg", "a.jpg"), "/data/a.jpg", 1),
        (("x/val/a.jpg", "a.png"), "/x/val/a.jpg", 0),
    ],
)
def test_image_is_found_by_the_end_of_its_path(names: tuple, image: str, expected: int) -> None:
    """The annotated name is the end of the path, part by part; failing that, the file's name alone must do."""
    (box,) = objects_of(truth_of(*names), Path(image))
    assert box.annotation_id == expected


def test_image_is_found_in_the_current_folder(tmp_path, monkeypatch) -> None:
    """A relative path is followed to its folder."""
    folder = tmp_path / "train"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (box,) = objects_of(truth_of("val/a.jpg", "train/a.jpg"), Path("a.jpg"))
    assert box.annotation_id == 1


@pytest.mark.parametrize(
    ("names", "image", "message"),
    [
        (("a.jpg", "b.jpg"), "/data/photo", "--gt t.json has no image 'photo'; it has 2 images"),
        (("val/scene_1.jpg",), "/data/scene_1.jpeg", "no image 'scene_1.jpeg' (did you mean 'scene_1.jpg'?); it has 1"),
        (("val/a.jpg", "train/a.jpg"), "/x/a.jpg", "--gt t.json has 2 images named like 'a.jpg'; it has 2 images"),
        (("a.jpg", "val/a.jpg"), "/x/val/a.jpg", "2 images named like 'a.jpg'"),
        ((), "/x/a.jpg", "no image 'a.jpg'; it has 0 images"),
    ],
)
def test_image_that_is_not_there_or_several_is_refused(names: tuple, image: str, message: str) -> None:
    """No image of that name, with the close ones; or several, of which none is meant more than another."""
    with pytest.raises(ConfigError) as caught:
        objects_of(truth_of(*names), Path(image))
    assert message in str(caught.value)


# matching


def dog(index: int, score: float, *box: float, name: str = "dog") -> Detection:
    return Detection(index, 1, name, score, tuple(box))


def test_match_lets_the_highest_score_choose_first() -> None:
    """Both dogs overlap the first object most; the surer one takes it, though it comes second, the other the next."""
    one, two = TrueBox(1, "dog", (0, 0, 10, 10)), TrueBox(2, "dog", (0, 3, 10, 13))
    unsure, sure = dog(0, 0.6, 0, 0, 10, 10), dog(1, 0.9, 0, 1, 10, 11)
    assert match([unsure, sure], [one, two]) == [
        Match(one, 1, pytest.approx(90 / 110)),
        Match(two, 0, pytest.approx(70 / 130)),
    ]
    assert missed([one, two], match([unsure, sure], [one, two])) == []


def test_match_needs_class_and_overlap() -> None:
    """Another class finds nothing; 0.5 is enough, less is not."""
    box = TrueBox(1, "dog", (0, 0, 10, 10))
    assert match([dog(0, 0.9, 0, 0, 10, 10, name="cat")], [box]) == []
    assert match([dog(0, 0.9, 0, 0, 10, 5)], [box]) == [Match(box, 0, 0.5)]
    assert match([dog(0, 0.9, 0, 0, 10, 4.9)], [box]) == []
    assert missed([box], []) == [box]


def test_match_finds_an_object_once() -> None:
    """Two detections of one object: the surer one found it, the other found nothing."""
    box, other = TrueBox(1, "dog", (0, 0, 10, 10)), TrueBox(2, "dog", (50, 50, 60, 60))
    matches = match([dog(0, 0.6, 0, 0, 10, 10), dog(1, 0.7, 0, 0, 10, 9)], [box, other])
    assert matches == [Match(box, 1, pytest.approx(0.9))]
    assert missed([box, other], matches) == [other]


def test_match_keeps_two_annotations_of_one_box_apart() -> None:
    """The same box annotated twice is two objects."""
    twice = [TrueBox(number, "dog", (0, 0, 10, 10)) for number in (1, 2)]
    matches = match([dog(0, 0.9, 0, 0, 10, 10)], twice)
    assert [box.annotation_id for box in missed(twice, matches)] == [2]


def test_match_of_nothing_is_nothing() -> None:
    """Without detections everything is missed; without objects nothing is."""
    box = TrueBox(1, "dog", (0, 0, 10, 10))
    assert match([], [box]) == [] and match([dog(0, 0.9, 0, 0, 1, 1)], []) == []


def test_true_box_is_asked_about_by_its_id() -> None:
    """The files about it carry COCO's id of the annotation."""
    assert TrueBox(17, "dog", (0, 0, 1, 1)).asked() == AskedBox("gt_17", (0, 0, 1, 1), "dog")


def test_backslashes_in_file_names_are_folders(tmp_path: Path) -> None:
    """Annotations made on Windows are found here."""
    document = {
        "images": [{"id": 1, "file_name": "val\\a.jpg"}],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    (found,) = objects_of(read_ground_truth(path, ["face"]), tmp_path / "val" / "a.jpg")
    assert found.annotation_id == 5


def test_classes_that_differ_in_case_are_refused_with_the_reason(tmp_path: Path) -> None:
    """ "Face" is not "face", and the message says that this is why."""
    document = {"images": [], "categories": [{"id": 1, "name": "Face"}], "annotations": []}
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigError, match="some differ in upper and lower case only"):
        read_ground_truth(path, ["face"])
