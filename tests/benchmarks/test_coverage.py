"""The coverage benchmark: which configs are detectors, which infer alike, going on, and its tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.places import ROOT

from benchmarks.covering.configs import TRACKERS, Config, family_of, find_configs, grouped, key_of, made_small
from benchmarks.covering.records import Lines, OtherRunError, document, to_run
from benchmarks.covering.table import coverage_of, tables

DETECTOR = """
architecture: YOLOv3
num_classes: 80
eval_size: [640, 640]
weights: output/{name}/model_final
LearningRate: {{base_lr: 0.01}}
YOLOv3: {{backbone: CSPResNet, yolo_head: PPYOLOEHead}}
PPYOLOEHead: {{loss_weight: {{class: 1.0}}, nms: {{name: MultiClassNMS, nms_threshold: 0.7}}}}
TrainReader: {{batch_size: 8}}
TestReader:
  batch_size: {batch}
  sample_transforms: [Decode: {{}}, Resize: {{target_size: [640, 640], keep_ratio: False}}]
"""
TRACKER = """
architecture: ByteTrack
ByteTrack: {detector: YOLOX, tracker: JDETracker}
YOLOX: {head: YOLOXHead}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout's configs: two detectors that infer alike, one that does not, a tracker, keypoints, parts."""
    files = {
        "ppyoloe/one.yml": DETECTOR.format(name="one", batch=1),
        "ppyoloe/two.yml": DETECTOR.format(name="two", batch=4)
        .replace("0.01", "0.1")
        .replace("80", "20")
        .replace("640", "320")
        .replace("0.7", "0.6"),
        "ppyoloe/three.yml": DETECTOR.format(name="three", batch=1).replace("MultiClassNMS", "MatrixNMS"),
        "ppyoloe/_base_/part.yml": DETECTOR.format(name="part", batch=1),
        "mot/tracker.yml": TRACKER,
        "keypoint/pose.yml": "architecture: TopDownHRNet\n",
        "slim/prune.yml": "slim: Pruner\n",
        "datasets/coco.yml": "metric: COCO\n",
    }
    for name, text in files.items():
        path = tmp_path / "configs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_detectors_and_trackers_of_a_checkout_are_found(checkout):
    """Parts, slim configs and data sets are no configs of detectors; other tasks are counted."""
    found = find_configs(checkout)
    families = {config.name: config.family for config in found.detectors}
    assert families == {
        "mot/tracker.yml": "ByteTrack: YOLOX (YOLOXHead)",
        "ppyoloe/one.yml": "YOLOv3 (PPYOLOEHead)",
        "ppyoloe/three.yml": "YOLOv3 (PPYOLOEHead)",
        "ppyoloe/two.yml": "YOLOv3 (PPYOLOEHead)",
    }
    assert [config.name for config in found.detectors if config.is_tracker] == ["mot/tracker.yml"]
    assert found.others == {"keypoints": 1}


def test_trackers_are_those_that_are_explained():
    """The benchmark finds configs without paddle, so it has the names of the trackers itself."""
    from ppdet_cam.detectors.trackers import TRACKERS as EXPLAINED_TRACKERS

    assert TRACKERS == EXPLAINED_TRACKERS


def test_configs_that_infer_alike_are_one_group(checkout):
    """Schedule, weights, batch size, input size, number of classes and NMS's limits do not part them; its kind does."""
    groups = [[config.name for config in group] for group in grouped(find_configs(checkout).detectors).values()]
    assert sorted(groups) == [["mot/tracker.yml"], ["ppyoloe/one.yml", "ppyoloe/two.yml"], ["ppyoloe/three.yml"]]


@pytest.mark.parametrize(
    "change",
    [{"num_classes": 1}, {"depth_mult": 0.33}, {"PPYOLOEHead": {"fpn_strides": [8]}}, {"YOLOv3": {"backbone": "ViT"}}],
)
def test_what_leads_through_other_code_has_another_key(change):
    """One class alone, another depth, other strides, another backbone."""
    settings = {"architecture": "YOLOv3", "num_classes": 80, "YOLOv3": {"backbone": "CSPResNet"}}
    assert key_of(settings) != key_of({**settings, **change})


def test_family_is_told_by_the_transformer_of_the_detr_kin():
    """They have one head; masks and proposals have heads that do not tell."""
    section = {"transformer": "RTDETRTransformer", "detr_head": "DINOHead"}
    assert family_of({"DETR": section}, "DETR") == "DETR (RTDETRTransformer)"
    heads = {"rpn_head": "RPNHead", "bbox_head": "BBoxHead", "mask_head": "MaskHead"}
    assert family_of({"MaskRCNN": heads}, "MaskRCNN") == "MaskRCNN (BBoxHead)"
    assert family_of({}, "SSD") == "SSD"


def test_small_sizes_keep_their_ratio():
    """Every operation's size, and the size that a head counts its anchors for; the rest stays."""
    resize, pad = {"target_size": [800, 1344], "keep_ratio": True}, {"size": 640}
    warp = {"input_h": 544, "input_w": 960, "keep_res": False}
    settings = {
        "eval_size": [640, 640],
        "RPNHead": {"test_proposal": {"post_nms_top_n": 1000, "nms_thresh": 0.7}},
        "TestReader": {"sample_transforms": [{"Decode": {}}, {"Resize": resize}, {"Pad": pad}], "batch_size": 1},
        "TestMOTReader": {"sample_transforms": [{"WarpAffine": warp}]},
    }
    settings["DINOTransformer"] = {"num_queries": 900, "num_levels": 4}
    small = made_small(settings, 128)
    assert small["DINOTransformer"] == {"num_queries": 100}
    assert small["eval_size"] == [128, 128]
    assert small["TestReader"] == {
        "sample_transforms": [{"Decode": {}}, {"Resize": {**resize, "target_size": [128, 224]}}, {"Pad": {"size": 128}}]
    }
    assert small["TestMOTReader"] == {"sample_transforms": [{"WarpAffine": {**warp, "input_h": 128, "input_w": 224}}]}
    assert list(small["RPNHead"]) == ["test_proposal"] and list(small["RPNHead"]["test_proposal"]) == ["post_nms_top_n"]


def config(name: str, family: str, key: str, architecture: str = "YOLOX") -> Config:
    """A config of some family."""
    return Config(name, architecture, family, key)


CONFIGS = (
    config("a/1.yml", "A", "a1"),
    config("a/2.yml", "A", "a2"),
    config("a/3.yml", "A", "a1"),
    config("b/1.yml", "B", "b1"),
    config("t/1.yml", "T", "t1", "JDE"),
)
EXPLAINED = {"status": "explained", "reason": "", "seconds": 1.0}


def refused(reason: str, status: str = "refused") -> dict[str, object]:
    """An outcome that explains nothing."""
    return {"status": status, "reason": reason, "seconds": 1.0}


def test_first_of_each_family_is_run_first():
    """So a run that ends early has seen every family; what has an outcome is not run again."""
    assert list(to_run(CONFIGS, {})) == ["a1", "b1", "t1", "a2"]
    assert [config.name for config in to_run(CONFIGS, {})["a1"]] == ["a/1.yml", "a/3.yml"]
    assert list(to_run(CONFIGS, {"a1": EXPLAINED, "b1": refused("no")})) == ["t1", "a2"]


def test_retry_runs_again_all_that_is_not_explained():
    """Refused, failed, or not run by ppdet: a later version may explain it."""
    found = {"a1": EXPLAINED, "a2": refused("x", "failed"), "b1": refused("no"), "t1": refused("nan", "ppdet")}
    assert list(to_run(CONFIGS, found, retry=True)) == ["b1", "t1", "a2"]


def test_run_goes_on_after_a_line_that_was_cut(tmp_path):
    """A killed run may leave half a line; the next outcome stands on one of its own, the last one of a key counts."""
    lines = Lines(tmp_path / "coverage.jsonl", "v2.6.0")
    assert lines.begin(resume=True) == {}
    lines.add("a1", refused("no"))
    lines.add("b1", EXPLAINED)
    lines.add("a1", EXPLAINED)
    with lines.path.open("a", encoding="utf-8") as stream:
        stream.write('{"key": "a2", "sta')
    found = lines.begin(resume=True)
    assert {key: outcome["status"] for key, outcome in found.items()} == {"a1": "explained", "b1": "explained"}
    lines.add("a2", refused("x"))
    assert list(lines.begin(resume=True)) == ["a1", "b1", "a2"]
    assert lines.begin(resume=False) == {}


def test_lines_of_another_checkout_are_refused(tmp_path):
    """Outcomes of one PaddleDetection say nothing of another."""
    Lines(tmp_path / "coverage.jsonl", "v2.6.0").begin(resume=False)
    with pytest.raises(OtherRunError, match=r"is of the PaddleDetection 'v2.6.0', not of 'develop'.*--out"):
        Lines(tmp_path / "coverage.jsonl", "develop").begin(resume=True)


def test_tables_count_every_config_of_a_group():
    """A group's outcome is each config's; what is left stands with its reason, ppdet's own errors told apart."""
    found = {"a1": EXPLAINED, "b1": refused("b | c"), "t1": refused("ValueError: nan", "ppdet"), "gone": EXPLAINED}
    content = json.loads(json.dumps(document("v2.6.0", CONFIGS, {"keypoints": 3}, found)))
    assert sorted(content["outcomes"]) == ["a1", "b1", "t1"]
    coverage = coverage_of(content)
    assert coverage.runs == 3
    lines = tables([coverage]).splitlines()
    assert "| v2.6.0 | detectors | 4 | 2 | 0 | 1 | 1 |" in lines
    assert "| v2.6.0 | trackers | 1 | 0 | 1 | 0 | 0 |" in lines
    assert "| `A` | 2 / 3 |" in lines and "| `B` | 0 / 1 |" in lines
    assert "| `A` | 1 | `a/2.yml` | not run |" in lines
    assert "| `B` | 1 | `b/1.yml` | b \\| c |" in lines
    assert "| `T` | 1 | `t/1.yml` | ppdet: ValueError: nan |" in lines


def test_tables_stand_side_by_side():
    """Families of any checkout have a line; a checkout without it has a dash."""
    one = coverage_of(document("one", CONFIGS[:1], {}, {"a1": EXPLAINED}))
    other = coverage_of(document("other", CONFIGS[3:4], {}, {"b1": EXPLAINED}))
    text = tables([one, other])
    assert "| `A` | 1 / 1 | - |" in text and "| `B` | - | 1 / 1 |" in text
    assert text.count("Nothing.") == 2


@pytest.mark.slow
def test_config_is_run_from_end_to_end(tmp_path):
    """The project's own folder serves as a checkout's configs: a small detector is explained, with its numbers."""
    from benchmarks.covering.case import run_case

    config = ROOT / "configs/face_detection/blazeface_1000e.yml"
    done = []
    outcome = run_case(config, ROOT / "demo/coffee.jpg", [128], tell=lambda what, side: done.append((what, side)))
    assert outcome["status"] == "explained", outcome["reason"]
    assert outcome["head"] == "BlazeFace (FaceHead)" and outcome["maps"] == {"ok": 3}
    assert outcome["score_difference"] == 0 and outcome["boxes"] >= 3
    assert outcome["difference"] == pytest.approx(outcome["gradient"], rel=0.02)
    assert done == [("ppdet's plain inference", 128), ("the chain", 128)]
