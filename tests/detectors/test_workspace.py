"""ppdet's global config is used and left as it was."""

from __future__ import annotations

import re
import sys

import pytest
from paddle import nn
from ppdet.core import workspace as ppdet_workspace
from ppdet.engine import Trainer
from support.families import FAMILIES
from support.places import ROOT

from ppdet_cam.detectors.settings import merge, parse_overrides, read_settings
from ppdet_cam.detectors.workspace import build_model, isolated_workspace
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


def test_norms_are_those_of_ppdets_trainer(tmp_path):
    """A YOLOX's epsilon is in no config: the Trainer sets it after building, and so it is here; others keep theirs."""
    for name, epsilon in (("yolox", 1e-3), ("blazeface", 1e-5)):
        settings = settings_of(name)
        with isolated_workspace():
            cfg = ppdet_workspace.load_config(str(ROOT / FAMILIES[name].config))
            ppdet_workspace.merge_config({"use_gpu": False, "save_dir": str(tmp_path)})  # develop's Trainer writes
            trained = Trainer(cfg, mode="test").model
        ours = build_model(str(settings["architecture"]), settings)
        found, wanted = (
            [layer._epsilon for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D)]
            for model in (ours, trained)
        )
        assert found == wanted and set(found) == {epsilon}


@pytest.mark.parametrize(
    "named", [{}, {"pretrained": "https://example.org/backbone.pdparams"}], ids=["default", "named"]
)
@pytest.mark.parametrize("backbone", ["ConvNeXt", "SwinTransformer", "VisionTransformer"])
def test_backbone_gets_no_weights_of_its_own(monkeypatch, backbone, named):
    """ppdet would download them, and all are replaced: nothing is asked for, however the class takes the name."""
    home = sys.modules[ppdet_workspace.get_registered_modules()[backbone].pymodule.__name__]
    monkeypatch.setattr(home, "get_weights_path", lambda url: pytest.fail(f"downloads {url}"), raising=False)
    monkeypatch.setattr("ppdet.utils.download.get_path", lambda url, *_, **__: pytest.fail(f"downloads {url}"))
    small = {"depth": 1, "embed_dim": 24, "num_heads": 3, "out_indices": [0]} if backbone == "VisionTransformer" else {}
    assert isinstance(build_model(backbone, {backbone: {**small, **named}}), nn.Layer)


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


def test_key_that_this_ppdet_lacks_is_named():
    """A config of a newer PaddleDetection fails with the key, where it stands, and which ppdet does not have it."""
    file_settings = read_settings(ROOT / "configs/demo/ppyoloe.yml")
    newer = merge(file_settings, {"PPYOLOEHead": {"nms": {"name": "MultiClassNMS", "made_up_key": True}}})
    said = r"sets 'made_up_key' \(PPYOLOEHead\.nms\.made_up_key\), which ppdet .* does not have; a newer .* --ppdet"
    with pytest.raises(ConfigError, match=said):
        build_model("YOLOv3", newer)
