"""ppdet's global config is used and left as it was."""

from __future__ import annotations

import json
import re

import pytest
from ppdet.core import workspace as ppdet_workspace
from support.families import FAMILIES
from support.places import ROOT

from ppdet_cam.detectors.settings import Tagged, merge, parse_overrides, read_settings
from ppdet_cam.detectors.workspace import build_model, class_names, isolated_workspace
from ppdet_cam.errors import ConfigError

pytestmark = pytest.mark.smoke


def state_of_global_config() -> dict[str, str]:
    """Every section's values and defaults as text, without the addresses of objects."""
    texts = {
        name: f"{dict(section)} { ({key: vars(entry) for key, entry in section.schema.items()}) }"
        for name, section in ppdet_workspace.get_registered_modules().items()
    }
    return {name: re.sub(" at 0x[0-9a-f]+", "", text) for name, text in texts.items()}


def settings_of(name: str) -> dict[str, object]:
    family = FAMILIES[name]
    return merge(read_settings(ROOT / family.config), parse_overrides(family.overrides))


@pytest.mark.parametrize("name", ["faster", "ppyoloe", "blazeface"])
def test_building_a_model_leaves_no_setting_behind(name):
    """After a model is built, the global config holds the values and defaults that it held before."""
    with isolated_workspace():
        pass  # the first use replaces shared defaults by copies
    before, keys = state_of_global_config(), set(ppdet_workspace.global_config)
    settings = settings_of(name)
    build_model(str(settings["architecture"]), settings)
    assert state_of_global_config() == before
    assert set(ppdet_workspace.global_config) == keys


def test_a_failed_build_leaves_no_setting_behind():
    """An error while building puts the global config back as well."""
    before = state_of_global_config()
    with pytest.raises(ConfigError, match="ppdet cannot build SSD"):
        build_model("SSD", {**settings_of("ssd"), "SSDHead": {"nonsense": 1}})
    assert state_of_global_config() == before


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


def test_key_that_this_ppdet_lacks_is_named():
    """A config of a newer PaddleDetection fails with the key, where it stands, and which ppdet does not have it."""
    file_settings = read_settings(ROOT / "configs/demo/ppyoloe.yml")
    newer = merge(file_settings, {"PPYOLOEHead": {"nms": {"name": "MultiClassNMS", "made_up_key": True}}})
    said = r"sets 'made_up_key' \(PPYOLOEHead\.nms\.made_up_key\), which ppdet .* does not have; a newer .* --ppdet"
    with pytest.raises(ConfigError, match=said):
        build_model("YOLOv3", newer)
