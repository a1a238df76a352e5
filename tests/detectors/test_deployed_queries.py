"""DETRs exported without their post-processing: their queries' boxes and scores, and which of them are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet)

import paddle  # isort: skip
from ppdet.modeling import post_process

from ppdet_cam import Explainer
from ppdet_cam.detectors.deployed.detector import DeployedDetector, rows_as_array
from ppdet_cam.detectors.deployed.folder import read_deployment
from ppdet_cam.detectors.deployed.queries import QueryLimit, limit_of, queries_of
from ppdet_cam.errors import ConfigError
from ppdet_cam.structures import Contest, Frame, Verdict

INPUTS = {
    "image": np.zeros((2, 3, 32, 64), np.float32),
    "im_shape": np.array([[32, 64], [32, 64]], np.float32),
    "scale_factor": np.array([[2.0, 4.0], [0.3, 0.7]], np.float32),
}
# since 2.7.0 it has the second name
POST = getattr(post_process, "DETRBBoxPostProcess", None) or post_process.DETRPostProcess


def test_boxes_are_parts_of_the_original_image() -> None:
    """The middle half of an image of 16 x 16 pixels; logits of 0 are a probability of a half."""
    found = queries_of([np.full((2, 1, 4), 0.5), np.zeros((2, 1, 3))], INPUTS, classes=3)
    assert found is not None
    assert found[0].boxes_xyxy.tolist() == [[4.0, 4.0, 12.0, 12.0]]
    assert found[0].scores.tolist() == [[0.5, 0.5, 0.5]] and found[0].contest is Contest.PAIRS
    with_none = queries_of([np.full((2, 1, 4), 0.5), np.zeros((2, 1, 4))], INPUTS, classes=3)
    assert with_none is not None
    assert with_none[0].scores.tolist() == [[0.25, 0.25, 0.25]] and with_none[0].contest is Contest.QUERIES


@pytest.mark.parametrize("is_focal", [True, False])
@pytest.mark.parametrize("limit", [7, 60])
def test_what_is_kept_is_what_ppdets_own_post_processing_keeps(limit: int, is_focal: bool) -> None:
    """Rows, their order and number, of two images of different scale."""
    draws = np.random.default_rng(0)
    boxes = draws.uniform(0.1, 0.9, (2, 20, 4)).astype(np.float32)
    logits = draws.normal(0, 2, (2, 20, 5 if is_focal else 6)).astype(np.float32)
    found = queries_of([boxes, logits], INPUTS, classes=5)
    assert found is not None
    shapes = [paddle.to_tensor(INPUTS[name]) for name in ("im_shape", "scale_factor")]
    post = POST(num_classes=5, num_top_queries=limit, use_focal_loss=is_focal)
    head_out = (paddle.to_tensor(boxes), paddle.to_tensor(logits), None)
    theirs, counts = post(head_out, *shapes, *([] if POST.__name__ == "DETRBBoxPostProcess" else [None]))[:2]
    rule = QueryLimit(found[0].contest, limit)
    ours = [rule.kept(one) for one in found]
    assert [len(rows) for rows, _ in ours] == counts.numpy().reshape(-1).tolist()
    assert np.allclose(_ordered(np.concatenate([rows for rows, _ in ours])), _ordered(theirs.numpy()), atol=1e-4)
    for one, (rows, kept) in zip(found, ours):
        assert np.allclose(one.boxes_xyxy[kept], rows[:, 2:])


def _ordered(rows: np.ndarray) -> np.ndarray:
    """Each query's best class has no order of its own while there are fewer than the limit."""
    return np.array(sorted(rows.round(3).tolist()))


@pytest.mark.parametrize(
    "outputs",
    [
        (np.zeros((2, 5, 4)), np.zeros((2, 5, 9))),
        (np.zeros((2, 5, 4)), np.zeros((2, 4, 3))),
        (np.zeros((2, 5, 6)), np.zeros(2, np.int32)),
        (np.zeros((2, 5, 4)),),
    ],
)
def test_other_outputs_are_no_queries(outputs: tuple[np.ndarray, ...]) -> None:
    """They are something else, or refused."""
    assert queries_of(outputs, INPUTS, classes=3) is None


@pytest.mark.parametrize("limit", [0, -3, "many", True, 2.5])
def test_a_limit_that_is_none_is_refused(limit: object) -> None:
    """With its name and the file."""
    with pytest.raises(ConfigError, match=r"f\.yml: num_top_queries must be a whole number above 0"):
        limit_of({"num_top_queries": limit}, Path("f.yml"))
    assert (limit_of({}, Path("f.yml")), limit_of({"num_top_queries": 9}, Path("f.yml"))) == (300, 9)


class _Shuffling:
    """A graph of two queries, whose order changes with every image, as where queries are picked from the image.

    The left one sees the brightness of the left half, the right one is sure whatever there is.
    """

    device, output_names = "cpu", ("boxes", "logits")
    input_shapes = {"image": (-1, 3, 32, 32)}

    def __init__(self) -> None:
        self.runs = 0

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        boxes, logits = [], []
        for image in inputs["image"]:
            self.runs += 1
            bright = 4 * float(image[:, 8:24, 4:12].mean()) - 2
            order = [0, 1] if self.runs % 2 else [1, 0]
            boxes.append(np.array([[0.25, 0.5, 0.25, 0.5], [0.75, 0.5, 0.25, 0.5]])[order])
            logits.append(np.array([[bright, -4], [3, -4]])[order])
        return [np.array(boxes, np.float32), np.array(logits, np.float32)]


def _shuffling(folder: Path, words: str = "") -> DeployedDetector:
    for name in ("model.pdmodel", "model.pdiparams"):
        (folder / name).write_bytes(b"")
    (folder / "infer_cfg.yml").write_text(
        "arch: DETR\nmode: paddle\ndraw_threshold: 0.5\nlabel_list: [left, other]\nPreprocess:\n"
        "- {type: Resize, target_size: [32, 32], keep_ratio: false, interp: 2}\n"
        "- {type: NormalizeImage, is_scale: true, mean: [0, 0, 0], std: [1, 1, 1]}\n- {type: Permute}\n" + words,
        encoding="utf-8",
    )
    return DeployedDetector(read_deployment(folder), _Shuffling())


@pytest.mark.parametrize("method", ["drise", "occlusion"])
def test_a_box_is_found_again_whichever_query_has_it(method: str, tmp_path: Path) -> None:
    """The left box's map lies on the left half, though its query is another one on every other image."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:24, 4:12] = image[8:24, 20:28] = 250
    result = Explainer(_shuffling(tmp_path))(image, method=method, samples=1000 if method == "drise" else 6)
    left = next(one for one in result.explanations if one.detection.box_xyxy[0] < 16)
    here, there = left.heatmap[8:24, 4:12].mean(), left.heatmap[8:24, 20:28].mean()
    assert here > (1.3 if method == "drise" else 10) * there


def test_the_limit_leaves_out_what_scores_lower(tmp_path: Path) -> None:
    """And the verdict on such a box says so."""
    image = np.full((32, 32, 3), 250, np.uint8)
    result = Explainer(_shuffling(tmp_path, "num_top_queries: 1\n"))(
        image, boxes=[(4, 8, 12, 24)], method="drise", samples=2
    )
    assert rows_as_array(result.detections)[:, 2].tolist() == [20.0]
    (found,) = result.explanations
    assert found.answer is not None and found.answer.verdict is Verdict.LIMITED
    assert "num_top_queries" in found.answer.words


def test_batches_are_told_apart(tmp_path: Path) -> None:
    """Each image's queries are its own."""
    dark, bright = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 250, np.uint8)
    first, second = _shuffling(tmp_path).detect([Frame(dark), Frame(bright)])
    scores = [max(one.score for one in found.detections if one.box_xyxy[0] < 16) for found in (first, second)]
    assert np.allclose(scores, [1 / (1 + np.exp(2)), 1 / (1 + np.exp(2 - 4 * 250 / 255))], atol=1e-3)
