"""A model that is in memory, of a ppdet Trainer say, is explained as it is and left as it is."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from ppdet.core import workspace as ppdet_workspace
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.detectors.workspace import isolated_workspace
from ppdet_cam.errors import ConfigError

pytestmark = pytest.mark.smoke

CONFIG = ROOT / "configs/face_detection/blazeface_1000e.yml"
PHOTO = ROOT / "demo/coffee.jpg"


@pytest.fixture(scope="module")
def in_memory(seeded_weights):
    """A model in training mode and its config, both as ppdet's own tools make them."""
    with isolated_workspace():
        cfg = ppdet_workspace.load_config(str(CONFIG)).copy()
        model = ppdet_workspace.create(cfg.architecture)
        cfg["TestDataset"] = ppdet_workspace.create("TestDataset")()  # as ppdet's Trainer does
    model.set_state_dict(paddle.load(str(seeded_weights[CONFIG])))
    model.train()
    return model, cfg


def test_model_in_memory_gives_what_its_weights_file_gives(in_memory, seeded_weights):
    """Detections and maps equal those of the config and the same weights from a file."""
    from_memory = Explainer.from_model(*in_memory, draw_threshold=0.4)
    from_file = Explainer.from_config(CONFIG, weights=seeded_weights[CONFIG], draw_threshold=0.4)
    ours, theirs = from_memory(PHOTO), from_file(PHOTO)
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs):
        assert one.detection == other.detection
        np.testing.assert_array_equal(one.heatmap, other.heatmap)


@pytest.mark.filterwarnings("ignore:The program will return to single-card operation")
def test_model_in_memory_stays_as_it_is(in_memory):
    """Training mode, gradients of parameters and weights are as before; training on does not change the explainer."""
    model, cfg = in_memory
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    frozen = [parameter.stop_gradient for parameter in model.parameters()]
    explainer = Explainer.from_model(paddle.DataParallel(model), cfg)
    first = explainer(PHOTO)
    assert model.training and all(layer.training for layer in model.sublayers())
    assert [parameter.stop_gradient for parameter in model.parameters()] == frozen and not all(frozen)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    weight = model.parameters()[0]
    kept = weight.numpy().copy()
    weight.set_value(kept * 0)
    second = explainer(PHOTO)
    weight.set_value(kept)
    assert [found.detection for found in first] == [found.detection for found in second]


def test_config_of_another_model_is_refused(in_memory):
    """The architecture that the config names has to be the model's."""
    model, cfg = in_memory
    with pytest.raises(ConfigError, match="the config is for 'SSD', and the model is a BlazeFace"):
        Explainer.from_model(model, {**cfg, "architecture": "SSD"})
