"""A detector of which only the output is known: an exported model, and boxes made up here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import spearmanr

from ppdet_cam import Explainer
from ppdet_cam.errors import ConfigError
from ppdet_cam.places import PROJECT_ROOT
from ppdet_cam.questions.truth import TrueBox
from ppdet_cam.structures import Detection, Frame, MapStatus, Verdict
from tests.support.exporting import export_demo

SCENE = PROJECT_ROOT / "demo/drawn/scene_1.jpg"
BOX = (8.0, 8.0, 24.0, 24.0)


class WhiteSquare:
    """Finds a box where the image is bright, with the brightness of its upper left quarter as its score."""

    name = "the black box"
    class_names = ("square", "other")

    def __init__(self) -> None:
        self.images: list[int] = []

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        self.images.append(len(frames))
        scores = [float(frame.image[8:16, 8:16].mean()) / 256 for frame in frames]
        return [(Detection(0, 0, "square", score, BOX),) if score > 0.01 else () for score in scores]


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
    """The same boxes, and D-RISE's maps of the same masks, though only the output is known."""
    _check_against_config("ssd", tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppyoloe", "faster_rcnn"])
def test_other_exported_detectors_are_explained_as_their_configs_are(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same for a detector with and one without a second stage."""
    _check_against_config(name, tmp_path_factory)


def _check_against_config(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    asked = {"method": "drise", "samples": 60, "top_k": 3}
    weights = PROJECT_ROOT / f"demo/weights/{name}.pdparams"
    config = Explainer.from_config(
        PROJECT_ROOT / f"configs/demo/{name}.yml", weights=weights, overrides=["use_gpu=false"], **asked
    )(SCENE)
    deployed = Explainer.from_deployment(export_demo(name, tmp_path_factory.mktemp("exported")), **asked)(SCENE)
    assert len(deployed.explanations) == 3
    for one, other in zip(config.explanations, deployed.explanations):
        assert one.detection.class_name == other.detection.class_name
        assert one.detection.score == pytest.approx(other.detection.score, abs=1e-4)
        assert one.detection.box_xyxy == pytest.approx(other.detection.box_xyxy, abs=2e-2)
        assert spearmanr(one.heatmap.ravel(), other.heatmap.ravel())[0] > 0.99


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
