"""A detector of which only the output is known: an exported model, and boxes made up here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from ppdet_cam import Explainer
from ppdet_cam.detectors.deployed.output import found_in
from ppdet_cam.errors import ConfigError
from ppdet_cam.places import PROJECT_ROOT
from ppdet_cam.questions.truth import TrueBox
from ppdet_cam.structures import Found, Frame, MapStatus, Verdict
from tests.support.exporting import export_demo

SCENE = PROJECT_ROOT / "demo/drawn/scene_1.jpg"
BOX = (8.0, 8.0, 24.0, 24.0)


class WhiteSquare:
    """Finds a box where the image is bright, with the brightness of its upper left quarter as its score."""

    name, way_inside, keep_rule = "the black box", "give -c and the config", None
    class_names: Sequence[str] = ("square", "other")
    least = 0.01  # boxes with a lower score are not printed

    def __init__(self) -> None:
        self.images: list[int] = []

    def detect(self, frames: Sequence[Frame], *, until_nms: bool = False) -> list[Found]:
        self.images.append(len(frames))
        scores = [float(frame.image[8:16, 8:16].mean()) / 256 for frame in frames]
        rows = [
            np.array([(0, score, *BOX)] if score > self.least else [], np.float32).reshape(-1, 6) for score in scores
        ]
        return [found_in(one, self.class_names, as_numbers=until_nms) for one in rows]


def white_square() -> np.ndarray:
    image = np.zeros((40, 40, 3), np.uint8)
    image[8:24, 8:24] = 250
    return image


@pytest.mark.parametrize("method", ["drise", "occlusion"])
def test_the_map_lies_where_the_black_box_looks(method: str) -> None:
    """The score depends on the upper left quarter of the box alone, so the map's mean there is the highest."""
    (found,) = Explainer(WhiteSquare(), method=method, samples=400 if method == "drise" else None)(
        white_square()
    ).explanations
    inside, beside = found.heatmap[8:16, 8:16].mean(), found.heatmap[16:24, 16:24].mean()
    assert found.status is MapStatus.OK and found.heatmap.dtype == np.float32 and found.layers == ()
    assert inside > 1.5 * beside
    assert inside > found.heatmap[28:, 28:].mean()


def test_a_class_without_a_name_may_vanish() -> None:
    """The deployment file names too few: where a window hides the box, no box of the output has so high a class."""

    class OfTooMany(WhiteSquare):
        class_names, least = (), 0.9

    (found,) = Explainer(OfTooMany(), method="occlusion")(white_square()).explanations
    assert found.detection.class_name == "class 0" and found.status is MapStatus.OK


def test_masks_run_once_for_all_boxes_and_in_batches() -> None:
    """How many images run does not depend on the number of boxes."""
    box = WhiteSquare()
    Explainer(box, method="drise", samples=20, batch=8)(white_square())
    assert box.images == [1, 8, 8, 4]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (
            {"method": "layercam"},
            r"layercam looks inside, .*give -c and the config.*--method drise or occlusion",
        ),
        ({"method": "activations"}, "--method activations looks inside"),
        ({"layers": "model.neck"}, "layer 'model.neck' lies inside"),
        ({"target": "logit"}, "--target logit is a number inside the head"),
    ],
)
def test_what_needs_the_inside_is_refused(choices: dict[str, str], words: str) -> None:
    """With the reason and the way."""
    with pytest.raises(ConfigError, match=words):
        Explainer(WhiteSquare(), **choices)


def test_a_black_box_has_no_detector_to_look_into() -> None:
    """The attribute says so."""
    with pytest.raises(ConfigError, match="there is no detector to look into"):
        _ = Explainer(WhiteSquare()).detector


def test_boxes_asked_about_and_missed_objects_are_judged_as_far_as_the_output_tells() -> None:
    """Found, or not in the output; what NMS left out is not known, and that is said."""
    ask = Explainer(WhiteSquare(), method="drise", samples=4)
    found, nowhere = ask(white_square(), boxes=[(9, 9, 24, 24), (30, 30, 38, 38)]).explanations
    assert found.answer is not None and found.answer.verdict is Verdict.FOUND and found.heatmap.any()
    assert nowhere.answer is not None and nowhere.answer.verdict is Verdict.NO_CANDIDATE
    assert "what NMS left out is not known" in nowhere.answer.words
    assert nowhere.status is MapStatus.NO_CANDIDATE and not nowhere.heatmap.any()


def test_an_exported_detector_is_explained_as_its_config_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same boxes and maps: of both methods where the config is asked by its output, of D-RISE in any case."""
    _check_against_config("ssd", tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppyoloe", "faster_rcnn"])
def test_other_exported_detectors_are_explained_as_their_configs_are(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same for a detector with and one without a second stage."""
    _check_against_config(name, tmp_path_factory)


def _of_config(name: str, **choices: object) -> Explainer:
    weights = PROJECT_ROOT / f"demo/weights/{name}.pdparams"
    return Explainer.from_config(
        PROJECT_ROOT / f"configs/demo/{name}.yml", weights=weights, overrides=["use_gpu=false"], **choices
    )


def _check_against_config(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    deployed = Explainer.from_deployment(export_demo(name, tmp_path_factory.mktemp("exported")))
    inside, outside = _of_config(name), _of_config(name, output_only=True)
    for config, method, samples, top_k in (
        (inside, "drise", 40, 3),
        (outside, "drise", 20, 3),
        (outside, "occlusion", 6, 2),
    ):
        _check_same(config, deployed, method=method, samples=samples, top_k=top_k)


def _check_same(config: Explainer, deployed: Explainer, *, least: float = 0.99, **asked: object) -> None:
    ones, others = config(SCENE, **asked).explanations, deployed(SCENE, **asked).explanations
    assert len(ones) == len(others) == asked["top_k"]
    for one, other in zip(ones, others):
        assert one.detection.class_name == other.detection.class_name
        assert one.detection.score == pytest.approx(other.detection.score, abs=1e-4)
        assert one.detection.box_xyxy == pytest.approx(other.detection.box_xyxy, abs=2e-2)
        assert spearmanr(one.heatmap.ravel(), other.heatmap.ravel())[0] > least


NMS = "NMS: {name: MultiClassNMS, score_threshold: 0.01, nms_threshold: 0.6, nms_top_k: 400, keep_top_k: 100}\n"


@pytest.mark.parametrize("left_out", ["exclude_nms", "exclude_post_process"])
def test_an_export_without_nms_is_explained_as_its_config_is(left_out: str, tmp_path: Path) -> None:
    """The candidates are there, so both methods follow the box's own one, and give the maps of the config."""
    folder = export_demo("ppyoloe", tmp_path, **{left_out: True})
    file = folder / "infer_cfg.yml"
    file.write_text(file.read_text(encoding="utf-8") + NMS, encoding="utf-8")
    config, deployed = _of_config("ppyoloe"), Explainer.from_deployment(folder)
    _check_same(config, deployed, method="drise", samples=10, top_k=3, least=0.9999)
    _check_same(config, deployed, method="occlusion", samples=4, top_k=1, least=0.9999)


def test_of_an_export_without_nms_it_is_known_what_nms_left_out(tmp_path: Path) -> None:
    """A box that overlaps a detection and lost to it gets the config's verdict, in the same words."""
    deployed = Explainer.from_deployment(export_demo("ppyoloe", tmp_path, exclude_nms=True), method="drise", samples=2)
    config = _of_config("ppyoloe", method="drise", samples=2)
    best = max(deployed(SCENE).detections, key=lambda one: one.score)
    left, top, right, bottom = best.box_xyxy
    boxes = [(left, top, right, bottom), (left, top, left + 0.55 * (right - left), bottom), (0, 0, 3, 3)]
    for one, other in zip(deployed(SCENE, boxes=boxes).explanations, config(SCENE, boxes=boxes).explanations):
        assert one.answer is not None and other.answer is not None
        assert one.answer.verdict is other.answer.verdict
        assert "what NMS left out is not known" not in one.answer.words


def test_a_box_of_the_output_that_scores_too_low_is_explained() -> None:
    """It is there to be looked at, below the threshold."""
    ask = Explainer(WhiteSquare(), method="drise", samples=20, draw_threshold=0.99)
    (found,) = ask(white_square(), boxes=[BOX]).explanations
    assert found.answer is not None and found.answer.verdict is Verdict.LOW_SCORE
    assert found.status is MapStatus.OK and found.heatmap.any()


def test_missed_objects_are_asked_about() -> None:
    """As with a detector that is looked into: the found one is explained as a detection, the other as an answer."""
    true_boxes = [TrueBox(1, "square", BOX), TrueBox(2, "square", (26.0, 26.0, 38.0, 38.0))]
    found, missing = Explainer(WhiteSquare(), method="drise", samples=4)(
        white_square(), true_boxes=true_boxes
    ).explanations
    assert found.answer is None and missing.answer is not None
    assert missing.answer.verdict is Verdict.NO_CANDIDATE and missing.name.startswith("gt_")
