"""A model that is in memory, of a ppdet Trainer say, is explained as it is and left as it is."""

from __future__ import annotations

import json
import subprocess
import sys

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


_TRAINING_SCRIPT = """
import json, sys
from pathlib import Path

root, folder = map(Path, sys.argv[1:])
sys.path[:0] = [str(root), str(root / "demo")]
import ppdet_cam
from train_repairs import apply_training_repairs
import paddle
from ppdet.core import workspace
from ppdet.engine import Trainer

apply_training_repairs()
paddle.set_device("cpu")
paddle.seed(0)
cfg = workspace.load_config(str(root / "configs/demo/blazeface.yml"))
for dataset in (cfg["TrainDataset"], cfg["EvalDataset"]):
    dataset.dataset_dir = str(folder / "scenes")
cfg["epoch"], cfg["save_dir"], cfg["filename"] = 1, str(folder), "blazeface"
trainer = Trainer(cfg, mode="train")
before = {name: value.numpy().copy() for name, value in trainer.model.state_dict().items()}


def asked(explainer):
    result = explainer(str(root / "demo/drawn/scene_1.jpg"))
    return [[one.detection.score, *one.detection.box_xyxy, float(one.heatmap.sum())] for one in result]


def in_memory():
    return ppdet_cam.Explainer.from_model(trainer.model, trainer.cfg, draw_threshold=0.0, top_k=3)


trainer.train(validate=False)
after = {name: value.numpy().copy() for name, value in trainer.model.state_dict().items()}
explainer = in_memory()
trained = asked(explainer)
paddle.save(trainer.model.state_dict(), str(folder / "now.pdparams"))
from_file = ppdet_cam.Explainer.from_config(
    root / "configs/demo/blazeface.yml", weights=folder / "now.pdparams", draw_threshold=0.0, top_k=3
)
of_file = asked(from_file)
trainer.start_epoch, trainer.cfg["epoch"] = 1, 2
trainer.train(validate=False)
print(json.dumps({
    "moved": sum(bool(abs(after[name] - before[name]).max() > 0) for name in before),
    "trained": trained, "of_file": of_file, "later": asked(explainer), "trained_on": asked(in_memory()),
}))
"""


@pytest.mark.slow
def test_trainer_explains_what_it_just_trained_and_trains_on(tmp_path):
    """After real training steps the trainer's model gives what its saved weights give, and learns on."""
    scenes = ROOT / "demo" / "scenes.py"
    for split, images in (("train", "14"), ("val", "1")):
        command = [sys.executable, str(scenes), "--out", str(tmp_path / "scenes"), "--split", split, "--images", images]
        subprocess.run([*command, "--seed", "3"], check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", _TRAINING_SCRIPT, str(ROOT), str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["moved"] > 50
    assert len(found["trained"]) == 3
    assert found["trained"] == found["of_file"] == found["later"]
    assert found["trained_on"] != found["trained"]
