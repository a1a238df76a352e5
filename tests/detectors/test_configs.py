"""The project's configs build what PaddleDetection 2.6.0's configs of the same names build.

The expected table was made once, in the root of PaddleDetection at tag v2.6.0, with ppdet 2.6.0 and paddle 3.3.1:
`python .../tests/reference/ppdet_summary.py configs/... > ppdet_2_6_0.json`, with the configs in its keys.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest
from support.places import REFERENCE, ROOT

EXPECTED = json.loads((REFERENCE / "ppdet_2_6_0.json").read_text())

OFFICIAL_WEIGHTS = {
    "configs/face_detection/blazeface_1000e.yml": "https://paddledet.bj.bcebos.com/models/blazeface_1000e.pdparams",
    "configs/faster_rcnn/faster_rcnn_r50_vd_fpn_2x_coco.yml": "https://paddledet.bj.bcebos.com/models/faster_rcnn_r50_vd_fpn_2x_coco.pdparams",
    "configs/mask_rcnn/mask_rcnn_r50_vd_fpn_2x_coco.yml": "https://paddledet.bj.bcebos.com/models/mask_rcnn_r50_vd_fpn_2x_coco.pdparams",
    "configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml": "https://paddledet.bj.bcebos.com/models/ppyoloe_crn_l_300e_coco.pdparams",
    "configs/picodet/picodet_xs_320_coco_lcnet.yml": "https://paddledet.bj.bcebos.com/models/picodet_xs_320_coco_lcnet.pdparams",
    "configs/yolox/yolox_nano_300e_coco.yml": "https://paddledet.bj.bcebos.com/models/yolox_nano_300e_coco.pdparams",
    "configs/gfl/gfl_r50_fpn_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/gfl_r50_fpn_1x_coco.pdparams",
    "configs/fcos/fcos_r50_fpn_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/fcos_r50_fpn_1x_coco.pdparams",
    "configs/tood/tood_r50_fpn_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/tood_r50_fpn_1x_coco.pdparams",
    "configs/yolof/yolof_r50_c5_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/yolof_r50_c5_1x_coco.pdparams",
    "configs/detr/detr_r50_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/detr_r50_1x_coco.pdparams",
    "configs/deformable_detr/deformable_detr_r50_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/deformable_detr_r50_1x_coco.pdparams",
    "configs/dino/dino_r50_4scale_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/dino_r50_4scale_1x_coco.pdparams",
    "configs/cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/cascade_rcnn_r50_fpn_1x_coco.pdparams",
    "configs/ppyolo/ppyolov2_r50vd_dcn_365e_coco.yml": "https://paddledet.bj.bcebos.com/models/ppyolov2_r50vd_dcn_365e_coco.pdparams",
    "configs/centernet/centernet_r50_140e_coco.yml": "https://bj.bcebos.com/v1/paddledet/models/centernet_r50_140e_coco.pdparams",
    "configs/ttfnet/ttfnet_darknet53_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/ttfnet_darknet53_1x_coco.pdparams",
    "configs/mot/fairmot/fairmot_dla34_30e_576x320.yml": "https://paddledet.bj.bcebos.com/models/mot/fairmot_dla34_30e_576x320.pdparams",
    "configs/mot/jde/jde_darknet53_30e_576x320.yml": "https://paddledet.bj.bcebos.com/models/mot/jde_darknet53_30e_576x320.pdparams",
    "configs/mot/centertrack/centertrack_dla34_70e_mot17.yml": "https://paddledet.bj.bcebos.com/models/mot/centertrack_dla34_70e_mot17.pdparams",
    "configs/sparse_rcnn/sparse_rcnn_r50_fpn_3x_pro100_coco.yml": "https://paddledet.bj.bcebos.com/models/sparse_rcnn_r50_fpn_3x_pro100_coco.pdparams",
    "configs/queryinst/queryinst_r50_fpn_1x_pro100_coco.yml": "https://bj.bcebos.com/v1/paddledet/models/queryinst_r50_fpn_1x_pro100_coco.pdparams",
    "configs/solov2/solov2_r50_fpn_1x_coco.yml": "https://paddledet.bj.bcebos.com/models/solov2_r50_fpn_1x_coco.pdparams",
    "configs/rotate/ppyoloe_r/ppyoloe_r_crn_s_3x_dota.yml": "https://paddledet.bj.bcebos.com/models/ppyoloe_r_crn_s_3x_dota.pdparams",
    "configs/rotate/fcosr/fcosr_x50_3x_dota.yml": "https://paddledet.bj.bcebos.com/models/fcosr_x50_3x_dota.pdparams",
    "configs/rotate/s2anet/s2anet_alignconv_2x_dota.yml": "https://paddledet.bj.bcebos.com/models/s2anet_alignconv_2x_dota.pdparams",
    "configs/retinanet/retinanet_r50_fpn_2x_coco.yml": "https://bj.bcebos.com/v1/paddledet/models/retinanet_r50_fpn_2x_coco.pdparams",
    "configs/ssd/ssd_mobilenet_v1_300_120e_voc.yml": "https://paddledet.bj.bcebos.com/models/ssd_mobilenet_v1_300_120e_voc.pdparams",
}

each_config = pytest.mark.parametrize("config_path", sorted(EXPECTED))


@functools.cache
def finished_summary_process(config_path: str) -> subprocess.CompletedProcess[str]:
    """The process that summarised a config of the project, run once for all tests."""
    command = [sys.executable, str(REFERENCE / "ppdet_summary.py"), config_path]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def summary_of(config_path: str) -> dict[str, object]:
    """What ppdet builds from a config of the project."""
    process = finished_summary_process(config_path)
    if process.returncode != 0:
        pytest.fail(f"ppdet cannot build {config_path}:\n{process.stderr}", pytrace=False)
    return json.loads(process.stdout)[config_path]


def differences(found: object, expected: object, where: str = "") -> list[str]:
    """One line for each place where two JSON values differ: missing, extra or changed."""
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        return [] if found == expected else [f"{where}: {found!r}, ppdet has {expected!r}"]
    lines = [f"{where}/{name}: missing, ppdet has {expected[name]!r}" for name in expected if name not in found]
    lines += [f"{where}/{name}: extra, {found[name]!r}" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        lines += differences(found[name], expected[name], f"{where}/{name}")
    return sorted(lines)


def test_configs_are_the_ones_in_the_reference_table() -> None:
    """Each shipped config of a ppdet model is compared with ppdet's, and each compared config is shipped."""
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").glob("[!_]*/**/*.yml")}
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs/demo").glob("**/*.yml")}
    assert shipped - ours == set(EXPECTED)


@each_config
def test_config_has_ppdets_parameters(config_path: str) -> None:
    """The model has ppdet's parameter names, shapes and frozen layers, so that official weights fit."""
    lines = differences(summary_of(config_path)["state"], EXPECTED[config_path]["state"])
    assert not lines, "\n".join(lines)


@each_config
@pytest.mark.parametrize("fact", ["architecture", "metric", "num_classes", "arguments", "test_reader"])
def test_config_has_ppdets_inference_settings(config_path: str, fact: str) -> None:
    """The image reader and every part of the model get the settings that ppdet's own config gives them."""
    lines = differences(summary_of(config_path)[fact], EXPECTED[config_path][fact], fact)
    assert not lines, "\n".join(lines)


@each_config
def test_config_keys_pass_ppdets_schema(config_path: str) -> None:
    """No section has a key its class does not know, or lacks one that ppdet's config sets."""
    summary = summary_of(config_path)
    assert summary["extra_keys"] == {"TestDataset": ["name"]}  # TestDataset takes any key and needs `name`
    assert summary["missing_keys"] == EXPECTED[config_path]["missing_keys"]


@each_config
def test_config_names_its_official_weights(config_path: str) -> None:
    """`weights` is the address PaddleDetection's model zoo lists for the config."""
    assert summary_of(config_path)["weights"] == OFFICIAL_WEIGHTS[config_path]


def test_differences_names_missing_extra_and_changed_places() -> None:
    """The comparison finds a missing, an extra and a changed value, and says where each is."""
    found = {"conv": {"weight": "2x3", "scale": "1"}}
    expected = {"conv": {"weight": "2x4", "bias": "2"}}
    assert differences(found, expected) == [
        "/conv/bias: missing, ppdet has '2'",
        "/conv/scale: extra, '1'",
        "/conv/weight: '2x3', ppdet has '2x4'",
    ]
