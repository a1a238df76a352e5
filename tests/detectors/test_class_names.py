"""Classes are called what their list says, and a list that does not fit is never guessed at."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ppdet_cam.detectors.class_names import class_names, read_class_list
from ppdet_cam.detectors.settings import Tagged
from ppdet_cam.errors import ConfigError

pytestmark = pytest.mark.smoke


def settings_with(path: Path, count: int, metric: str = "COCO") -> dict[str, object]:
    return {"metric": metric, "num_classes": count, "TestDataset": {"name": "ImageFolder", "anno_path": str(path)}}


def written(folder: Path, content: str | bytes | object, name: str = "labels.txt") -> Path:
    path = folder / name
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_class_names_follow_the_metric_when_no_list_is_there():
    """Without an annotation file the metric's standard names are used where their number fits."""
    assert class_names({"metric": "VOC", "num_classes": 20})[:2] == ["aeroplane", "bicycle"]
    assert class_names({"metric": "COCO", "num_classes": 80})[79] == "toothbrush"
    assert class_names({"metric": "WiderFace", "num_classes": 1}) == ["face"]


def test_class_names_come_from_the_configs_own_list(tmp_path, capsys):
    """A label list or a COCO file of the config's own wins; nothing is printed while it is read."""
    labels = tmp_path / "labels.txt"
    labels.write_text("bolt\nnut\n", encoding="utf-8")
    dataset = Tagged("!ImageFolder", {"dataset_dir": str(tmp_path), "anno_path": "labels.txt"})
    assert class_names({"metric": "COCO", "num_classes": 2, "TestDataset": dataset}) == ["bolt", "nut"]
    categories = [{"id": 7, "name": "left"}, {"id": 9, "name": "right"}]
    coco = tmp_path / "coco.json"
    coco.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}), encoding="utf-8")
    capsys.readouterr()
    settings = {"metric": "COCO", "num_classes": 2, "TestDataset": {"name": "ImageFolder", "anno_path": str(coco)}}
    assert class_names(settings) == ["left", "right"]
    assert capsys.readouterr().out == ""


def test_class_names_are_numbers_where_no_list_fits(caplog):
    """Names of other classes are never guessed: with a number of classes that no list has, they are numbered."""
    assert class_names({"metric": "COCO", "num_classes": 3}) == ["class 0", "class 1", "class 2"]
    assert "TestDataset.anno_path" in caplog.text


@pytest.mark.parametrize("count", ["abc", 0, 2.5, None])
def test_class_count_must_be_a_number(count):
    """A number of classes that is none is refused by its value."""
    with pytest.raises(ConfigError, match="num_classes must be a whole number"):
        class_names({"metric": "COCO", "num_classes": count})


@pytest.mark.parametrize(
    "text", ["\nbolt\nnut\n", "bolt\nnut\n\n \n", "background\nbolt\nnut", "\ufeffbolt\r\nnut\r\n"]
)
def test_blank_lines_background_and_byte_order_mark_are_no_names(tmp_path, caplog, text):
    """What an editor leaves in a list does not shift the names."""
    assert class_names(settings_with(written(tmp_path, text), 2)) == ["bolt", "nut"]
    assert caplog.text == ""


@pytest.mark.parametrize("metric", ["COCO", "VOC"])
def test_short_list_names_the_first_classes(tmp_path, caplog, metric):
    """A class counted for the background has no name of its own; one warning says file and both counts."""
    path = written(tmp_path, "bolt\nnut\n")
    assert class_names(settings_with(path, 3, metric)) == ["bolt", "nut", "class 2"]
    (record,) = caplog.records
    assert f"{path} names 2 classes and the model has 3" in record.getMessage()


def test_long_list_names_nothing_and_says_the_likely_cause(tmp_path, caplog):
    """A root category without boxes is what labelling tools add."""
    categories = [{"id": 0, "name": "things"}, {"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
    annotations = [{"category_id": 1}, {"category_id": 2}]
    path = written(tmp_path, {"categories": categories, "annotations": annotations}, "train.json")
    assert class_names(settings_with(path, 2)) == ["class 0", "class 1"]
    (record,) = caplog.records
    assert "names 3 classes and the model has 2" in record.getMessage()
    assert "'things' without any box is a likely cause" in record.getMessage()


@pytest.mark.parametrize(("metric", "count", "first"), [("COCO", 80, "person"), ("VOC", 20, "aeroplane")])
def test_missing_list_is_said_when_the_standard_names_fit(tmp_path, caplog, metric, count, first):
    """Names of other things are shown with one line that says whose they are."""
    path = tmp_path / "smoke.json"
    assert class_names(settings_with(path, count, metric))[0] == first
    (record,) = caplog.records
    assert f"{path} is not there: the names shown are the standard ones of metric {metric}" in record.getMessage()


def test_the_data_set_of_the_released_weights_need_not_be_there(caplog):
    """The configs of released weights name COCO's own list, whose names are the standard ones."""
    dataset = {"dataset_dir": "dataset/coco", "anno_path": "annotations/instances_val2017.json"}
    assert class_names({"metric": "COCO", "num_classes": 80, "TestDataset": dataset})[0] == "person"
    assert caplog.text == ""


def test_widerface_says_that_it_reads_no_list(tmp_path, caplog):
    """Its advice names what helps."""
    path = written(tmp_path, "mask\n")
    assert class_names(settings_with(path, 1, "WiderFace")) == ["face"]
    assert "metric WiderFace has its own class names" in caplog.text and "-o metric=COCO" in caplog.text
    assert class_names({"metric": "WiderFace", "num_classes": 2}) == ["class 0", "class 1"]
    assert "and metric to COCO: WiderFace reads none" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.txt", "", "there are none in it"),
        ("labels.txt", "\n \n", "there are none in it"),
        ("labels.txt", "人\n".encode("gbk"), "not UTF-8 text .*Save it as UTF-8"),
        ("a.json", "[1, 2]", "this has list at the top"),
        ("a.json", "null", "this has NoneType at the top"),
        ("a.json", '"text"', "this has str at the top"),
        ("a.json", "{}", "no list 'categories'"),
        ("a.json", '{"categories": []}', "there are none in it"),
        ("a.json", '{"categories": [{"name": "bolt"}]}', r"categories\[0\] needs 'id' and 'name'"),
        ("a.json", '{"categories": [7]}', r"categories\[0\] needs 'id' and 'name', and is 7"),
        ("a.json", "{", "it is no JSON"),
        ("a.json", "[" * 100_000, "it is no JSON"),
    ],
)
def test_file_that_is_no_list_is_refused_by_its_name(tmp_path, name, content, message):
    """The error says which file, and what is wrong with it."""
    with pytest.raises(ConfigError, match=f"{name}.*{message}"):
        read_class_list(written(tmp_path, content, name))


def test_list_that_is_a_folder_is_refused(tmp_path):
    """It exists, and is no file."""
    with pytest.raises(ConfigError, match="Check that it is a file that you may read"):
        class_names(settings_with(tmp_path, 2))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_list_without_permission_is_refused(tmp_path):
    """No traceback for what only the owner may read."""
    path = written(tmp_path, "bolt\n")
    path.chmod(0)
    with pytest.raises(ConfigError, match="labels.txt: Permission denied"):
        read_class_list(path)
