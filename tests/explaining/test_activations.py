"""`--method activations`: what layers show of an image, whatever the boxes, without a backward pass."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO

from ppdet_cam import Explainer
from ppdet_cam.detectors.capture import capturing
from ppdet_cam.errors import ConfigError, LayerError
from ppdet_cam.explaining.projection import project
from ppdet_cam.methods import strongest_channels
from ppdet_cam.questions.question import ACTIVATIONS, Question
from ppdet_cam.render import draw_view
from ppdet_cam.render.views import sampled
from ppdet_cam.report import write_report
from ppdet_cam.report.reading import read_run
from ppdet_cam.structures import GridPlacement, LayerView


def test_views_hold_what_the_layers_give(detector, photo, monkeypatch) -> None:
    """Mean, maximum and the strongest channels of every level, as plain inference has them; no gradient is taken."""
    monkeypatch.setattr(paddle, "grad", None)
    stream = Explainer(detector, method=ACTIVATIONS, channels=3).stream(photo)
    assert list(stream.explanations) == []
    layers, _ = detector.layers(["model.backbone"])
    with capturing(layers) as capture:
        plain = detector.predict(photo)
    assert len(stream.detections) == len([row for row in plain if row[0] >= 0])
    values = [tensor.numpy()[0] for tensor in capture.tensors["model.backbone"]]
    assert [view.level for view in stream.views] == list(range(len(values)))
    for view, activations in zip(stream.views, values):
        assert (view.layer, view.channel_count) == ("model.backbone", len(activations))
        assert view.grid_hw == activations.shape[1:]
        np.testing.assert_allclose(view.mean, activations.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(view.maximum, activations.max(axis=0), atol=1e-5)
        assert len(view.strongest) == min(3, len(activations))
        for channel, grid in view.strongest:
            np.testing.assert_allclose(grid, activations[channel], atol=1e-5)
    assert [name for name, _ in stream.views[0].grids()][:3] == [
        "mean",
        "maximum",
        f"channel {stream.views[0].strongest[0][0]}",
    ]


def test_strongest_channels_have_the_highest_mean_absolute_activation() -> None:
    """Negative activations count as well; ties stay in order; not more channels than there are."""
    activations = np.array([[[1.0, 1.0]], [[-3.0, 0.0]], [[0.0, 0.0]], [[3.0, 0.0]]])
    assert strongest_channels(activations, 2).tolist() == [1, 3]
    assert strongest_channels(activations, 9).tolist() == [1, 3, 0, 2]
    assert strongest_channels(activations, 0).tolist() == []


def test_explainer_gives_views_and_levels_of_choice(detector_of, photo) -> None:
    """From Python: an image's result has them, for the layers and levels that are named."""
    explainer = Explainer(detector_of("blazeface"))
    result = explainer(photo, method=ACTIVATIONS, layers=["model.backbone@0", "model.neck"], channels=0)
    assert len(result) == 0 and result.detections
    assert [(view.layer, view.level) for view in result.views] == [
        ("model.backbone", 0),
        *(("model.neck", level) for level in range(len(result.views) - 1)),
    ]
    assert not result.views[0].strongest
    assert explainer(photo).views == ()


@pytest.mark.parametrize("choice", [{"target": "logit"}, {"refine_by": "auto"}, {"boxes": [(1, 2, 3, 4)]}])
def test_what_is_about_boxes_is_refused(choice, detector_of) -> None:
    """A question about layers has no box, target or refinement."""
    with pytest.raises(ConfigError, match="is about boxes, and --method activations shows layers"):
        Explainer(detector_of("blazeface"), method=ACTIVATIONS, **choice)


def test_layers_of_rois_are_refused(detector_of, photo) -> None:
    """A layer that sees one RoI at a time shows no image; a layer or level that is not there is named."""
    with pytest.raises(LayerError, match="sees one RoI at a time"):
        Explainer(detector_of("faster"), method=ACTIVATIONS, layers="model.bbox_head.roi_extractor")
    with pytest.raises(LayerError, match="did you mean"):
        Explainer(detector_of("blazeface"), method=ACTIVATIONS, layers="model.bakbone")
    with pytest.raises(LayerError, match="has no level 9"):
        Explainer(detector_of("blazeface"), method=ACTIVATIONS, layers="model.backbone@9")(photo)
    with pytest.raises(ConfigError, match="--channels must be 0 or more"):
        Question(method=ACTIVATIONS, channels=-1)


# pictures


def test_sampled_is_linear_between_centres_and_constant_beyond() -> None:
    """A ramp stays a ramp; at the borders it ends; a padded image shows its own part only."""
    ramp = np.arange(4.0)[None].repeat(3, axis=0)
    seen = sampled(ramp, GridPlacement((0.0, 0.0), (2.0, 2.0)), original_hw=(6, 8), picture_hw=(6, 8))
    np.testing.assert_allclose(seen[0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    assert (seen == seen[0]).all()
    cut = sampled(ramp, GridPlacement((0.0, 0.0), (2.0, 2.0)), original_hw=(6, 4), picture_hw=(6, 4))
    np.testing.assert_array_equal(cut, seen[:, :4])


def test_sampled_agrees_with_the_projection_of_maps() -> None:
    """Inside, it is the map that `project` makes, per area; a finer grid is averaged."""
    grid = np.random.default_rng(0).random((6, 7))
    placement = GridPlacement((-3.0, 2.0), (10.0, 10.0))
    spread = project(grid, placement, original_hw=(60, 80)) * 100
    seen = sampled(grid, placement, original_hw=(60, 80), picture_hw=(60, 80))
    np.testing.assert_allclose(seen[5:50, 10:60], spread[5:50, 10:60], atol=0.02)
    fine = np.random.default_rng(1).random((64, 64))
    small = sampled(fine, GridPlacement((0.0, 0.0), (1.0, 1.0)), original_hw=(64, 64), picture_hw=(4, 4))
    np.testing.assert_allclose(small, fine.reshape(4, 16, 4, 16).mean(axis=(1, 3)), atol=0.02)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.full((2, 3), -7.0)])
def test_flat_and_broken_layers_can_be_drawn(values: np.ndarray) -> None:
    """Nothing to tell apart leaves the photograph; the caption says the value."""
    view = LayerView("model.neck", 1, (16, 16), GridPlacement((0, 0), (16, 16)), 1, values, values, ((0, values),))
    picture = draw_view(np.full((32, 48, 3), 90, np.uint8), view)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


# runs


def words(command, *more: object) -> tuple[object, ...]:
    return ("-c", BLAZEFACE, "-o", f"weights={command.weights[BLAZEFACE]}", "--method", "activations", *more)


def test_run_over_one_image(command) -> None:
    """A panel per level, listed with its channels; the report shows them; another run takes their place."""
    run = command(*words(command, "--infer_img", PHOTO, "--channels", "2", "--report"))
    assert run.code == 0, run.err
    views = command.image_record()["views"]
    assert run.out[0].startswith(f"{len(views)} picture")
    assert " of layers in cam_out (" in run.out[0]
    assert [view["files"] for view in views] == [{"panel": f"layer_{n}.panel.jpg"} for n in range(len(views))]
    assert all(len(view["strongest"]) == 2 and view["channels"] > 2 for view in views)
    assert cv2.imread(str(command.cam_out / "layer_0.panel.jpg")) is not None
    assert command.run_record()["totals"]["views"] == len(views)
    (image,) = read_run(command.cam_out).images
    assert [view.files["panel"] for view in image.views] == [view["files"]["panel"] for view in views]
    assert "layer_0.panel.jpg" in (command.cam_out / "report.html").read_text(encoding="utf-8")
    assert command.explain("--draw_threshold", "0.1").code == 0
    assert not list(command.cam_out.glob("layer_*"))


def test_run_over_a_folder_goes_on(command) -> None:
    """Several images have a folder each; with --resume nothing is made twice, and what is gone is made again."""
    folder = command.folder / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(cv2.imread(str(PHOTO)), (96, 96)))
    given = words(command, "--infer_dir", folder, "--channels", "1", "--target_feature_layer_name", "model.backbone@0")
    assert command(*given).code == 0
    (command.cam_out / "b" / "layer_0.panel.jpg").unlink()
    run = command(*given, "--resume")
    assert run.code == 0 and run.out[0].startswith("2 pictures of layers of 2 images in cam_out")
    records = [json.loads(line) for line in (command.cam_out / "images.jsonl").read_text().splitlines()]
    for record in records:
        (view,) = record["views"]
        assert (command.cam_out / view["files"]["panel"]).is_file()
    assert write_report(command.cam_out).is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--save", "raw"), "--save raw is about boxes"),
        (("--gt", ROOT / "demo/drawn/annotations.json"), "--gt is about boxes"),
        (("--box", "1,2,3,4"), "--box is about boxes"),
        (("--channels", "-2"), "--channels must be 0 or more"),
    ],
)
def test_run_refuses_what_is_about_boxes(command, more, message: str) -> None:
    """Nothing is left out in silence."""
    assert message in command.refused(command(*words(command, "--infer_img", PHOTO, *more)))


def test_run_may_save_the_photo(command) -> None:
    """Beside the panels there is one other kind of file."""
    assert command(*words(command, "--infer_img", PHOTO, "--save", "photo")).code == 0
    assert Path(command.cam_out / "photo.jpg").is_file() and Path(command.cam_out / "layer_0.panel.jpg").is_file()
