"""A setting that nothing reads is refused, whatever its depth."""

from __future__ import annotations

import pytest
from support.places import ROOT

from ppdet_cam.detectors.override_names import check_overrides
from ppdet_cam.detectors.settings import parse_overrides, read_settings
from ppdet_cam.errors import ConfigError

pytestmark = pytest.mark.smoke

SETTINGS = read_settings(ROOT / "configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("layres=3", "-o sets 'layres', which nothing reads"),
        ("CSPResNet.layres=3", r"CSPResNet has no 'layres' \(did you mean 'layers'"),
        ("TestReader.foo=3", "TestReader has no 'foo'; it has .*sample_transforms"),
        (
            "TestDataset.ImageFolder.anno_path=a.txt",
            "TestDataset has no 'ImageFolder'.*; it has anno_path, dataset_dir",
        ),
        (
            "PPYOLOEHead.nms.score_treshold=0.1",
            r"nms has no 'score_treshold' \(did you mean 'score_threshold'",
        ),
    ],
)
def test_name_that_nothing_reads_is_refused(item: str, message: str) -> None:
    """The error names the section and what it has."""
    with pytest.raises(ConfigError, match=message):
        check_overrides(parse_overrides([item]), SETTINGS)


@pytest.mark.parametrize(
    "item",
    [
        "weights=a.pdparams",
        "depth_mult=0.33",
        "CSPResNet.use_alpha=True",
        "TestDataset.anno_path=a.txt",
        "TestReader.batch_size=1",
        "TestReader.inputs_def.image_shape=[1, 3, 640, 640]",
        "PPYOLOEHead.nms.score_threshold=0.1",
        "TrainDataset.image_dir=a",
        "LearningRate.base_lr=0.1",
        "snapshot_epoch=3",
    ],
)
def test_name_that_something_reads_is_taken(item: str) -> None:
    """ppdet's own names, also of training, and the file's."""
    check_overrides(parse_overrides([item]), SETTINGS)
