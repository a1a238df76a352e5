"""`--refine_by`: a map multiplied with those of finer layers, from the formula to trained detectors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from support.families import FAMILIES
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.errors import ConfigError, LayerError
from ppdet_cam.explaining.evidence import OnImage, level_heatmaps, map_on_image, refined
from ppdet_cam.explaining.finer import INPUT_PX, finer_layers, finer_of
from ppdet_cam.explaining.projection import nominal_stride
from ppdet_cam.methods import methods
from ppdet_cam.metrics import MeasuredMap, measure
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.question import AUTO, Question
from ppdet_cam.questions.truth import match
from ppdet_cam.structures import FeatureKind, FeatureMap, ImageGeometry, LevelShare, MapStatus

SCENES = sorted((ROOT / "demo/drawn").glob("*.jpg"))
TRUTH = ROOT / "demo/drawn/annotations.json"
FINE = ("model.backbone.stem", "model.backbone.stages.0")
ROI = "model.bbox_head.roi_extractor"


def on_image(values: Sequence[Sequence[float]], status: MapStatus = MapStatus.OK) -> OnImage:
    """A map whose evidence is in one level."""
    heatmap = np.array(values, np.float32)
    share = float(status is MapStatus.OK)
    return heatmap, (LevelShare("model.backbone", 0, (1, 2), (1.0, 1.0), share),), status


# --- the formula


def test_refined_is_the_product_with_maps_between_0_and_1() -> None:
    """8 * (1 / 4) * (3 / 3) = 2 and 4 * (4 / 4) * (1 / 3) = 4 / 3; shares stay what they were."""
    coarse = on_image([[8.0, 4.0, 1.0]])
    (heatmap, shares, status), factor = refined(coarse, [on_image([[1.0, 4.0, 0.0]]), on_image([[3.0, 1.0, 3.0]])])
    np.testing.assert_allclose(heatmap, [[2.0, 4.0 / 3.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(factor, [[0.25, 1.0 / 3.0, 0.0]], rtol=1e-6)
    assert heatmap.dtype == np.float32
    assert (shares, status) == (coarse[1], MapStatus.OK)


def test_refined_does_not_depend_on_the_finer_maps_scale() -> None:
    """A layer whose gradients are a thousand times as large says the same."""
    coarse, fine = on_image([[8.0, 4.0]]), on_image([[1.0, 4.0]])
    louder = on_image(fine[0] * 1000.0)
    np.testing.assert_allclose(refined(coarse, [fine])[0][0], refined(coarse, [louder])[0][0], rtol=1e-6)


@pytest.mark.parametrize(
    ("coarse", "fine", "status"),
    [
        (on_image([[0.0, 0.0]], MapStatus.NEGATIVE), on_image([[1.0, 1.0]]), MapStatus.NEGATIVE),
        (on_image([[1.0, 1.0]]), on_image([[0.0, 0.0]], MapStatus.ZERO_GRADIENT), MapStatus.ZERO_GRADIENT),
        (
            on_image([[0.0, 0.0]], MapStatus.NEGATIVE),
            on_image([[0.0, 0.0]], MapStatus.NO_PATH),
            MapStatus.NEGATIVE,
        ),
        (on_image([[1.0, 0.0]]), on_image([[0.0, 1.0]]), MapStatus.DISJOINT),
    ],
)
def test_refined_says_why_there_is_nothing(coarse: OnImage, fine: OnImage, status: MapStatus) -> None:
    """The first map that has nothing to show gives the reason; maps that meet nowhere are one of their own."""
    (heatmap, shares, found), _ = refined(coarse, [fine])
    assert found is status
    assert not heatmap.any()
    assert [share.share for share in shares] == [0.0]


def test_levels_of_a_refined_map_sum_to_it() -> None:
    """Each level is multiplied with the same factor."""
    random = np.random.default_rng(5)
    geometry = ImageGeometry(original_hw=(8, 8), padded_hw=(8, 8), scale_yx=(1.0, 1.0))

    def feature(layer: str, level: int, cells: int) -> FeatureMap:
        values = random.random((2, cells, cells)).astype(np.float32)
        return FeatureMap(layer, level, FeatureKind.IMAGE, values, np.ones_like(values))

    layercam = methods.get("layercam")
    coarse = map_on_image([feature("deep", 0, 4), feature("deep", 1, 2)], layercam, geometry)
    result, factor = refined(coarse, [map_on_image([feature("fine", 0, 8)], layercam, geometry)])
    levels = level_heatmaps([result], original_hw=(8, 8), factors=[factor])
    assert len(levels) == 2
    np.testing.assert_allclose(sum(levels), result[0], rtol=1e-5)
    assert not np.allclose(levels[0], level_heatmaps([coarse], original_hw=(8, 8))[0])


# --- which layers `auto` stands for


def finer(*layers: tuple[str, int]) -> tuple[str, ...]:
    """Returns the finer layers of a backbone with these layers and their strides."""
    grids = [(f"model.backbone.{name}", (INPUT_PX // stride, INPUT_PX // stride)) for name, stride in layers]
    return finer_of(grids, "Some (Head)")


def test_auto_takes_whole_stages_and_not_what_is_in_them() -> None:
    """Of each stride the least deep layer, the last of those; a first convolution of the next stage is deeper."""
    layers = finer(
        ("stem.conv", 2), ("stem", 2), ("stages.0.conv", 4), ("stages.0.attention", 128), ("stages.0", 4),
        ("stages.1.blocks.0.conv", 4), ("stages.1.down", 8), ("stages.1", 8),
    )  # fmt: skip
    assert layers == ("model.backbone.stem", "model.backbone.stages.0")


def test_auto_takes_the_last_of_layers_side_by_side() -> None:
    """Backbones without stages have their blocks side by side."""
    layers = finer(("conv1", 2), ("block_1", 2), ("block_2", 4), ("block_3", 4), ("block_4", 8))
    assert layers == ("model.backbone.block_1", "model.backbone.block_3")


def test_auto_ignores_fine_maps_that_come_after_coarse_ones() -> None:
    """A decoder that enlarges again is no early layer."""
    assert finer(("conv", 2), ("stage", 8), ("up", 4)) == ("model.backbone.conv",)


def test_auto_says_when_there_is_no_fine_layer() -> None:
    """A backbone may begin with patches of 16 pixels."""
    with pytest.raises(LayerError, match=r"no layer of stride 2 or 4 in the backbone of Some \(Head\); name a layer"):
        finer(("patches", 16), ("blocks", 16))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_auto_finds_strides_2_and_4_in_every_family(name: str, detector_of, photo) -> None:
    """The layers that it names run on a real image, and lie at these strides there."""
    detector = detector_of(name)
    layers = finer_layers(detector)
    image_layers, _ = detector.layers(list(layers))
    forward = detector.forward(photo, image_layers)
    rows = [forward.capture.feature_maps(path)[-1].shape[2] for path in layers]
    assert [nominal_stride(forward.geometry.padded_hw[0], row) for row in rows] == [2.0, 4.0]


# --- the explainer


@pytest.fixture(scope="module")
def explainer():
    """A trained detector with two stages, and maps of exactly the layer's output."""
    return Explainer.from_config(ROOT / "configs/demo/faster_rcnn.yml", method="layercam")


def alone(explainer: Explainer, layer: str, **changes: object) -> np.ndarray:
    """The first box's map at one layer."""
    return explainer(SCENES[0], layers=layer, **changes)[0].heatmap.astype(np.float64)


@pytest.mark.parametrize("layer", ["model.backbone", "model.backbone@0", ROI])
def test_refined_map_is_the_product_of_the_layers_own(explainer, layer) -> None:
    """At a whole layer, at one level, and of the box's RoI."""
    first = explainer(SCENES[0], layers=layer, refine_by=AUTO)[0]
    expected = alone(explainer, layer)
    for path in FINE:
        expected = expected * alone(explainer, path) / alone(explainer, path).max()
    np.testing.assert_allclose(first.heatmap, expected, rtol=1e-3, atol=1e-5 * expected.max())
    assert first.refined_by == FINE
    assert first.layers == (layer,)
    assert {level.layer for level in first.levels} == {layer.partition("@")[0]}
    assert sum(level.share for level in first.levels) == pytest.approx(1.0)


def test_layers_may_be_named(explainer) -> None:
    """One layer, another method, another target."""
    changes = {"method": "hirescam", "target": "lead"}
    first = explainer(SCENES[0], refine_by=FINE[0], **changes)[0]
    expected = alone(explainer, "model.backbone", **changes) * alone(explainer, FINE[0], **changes)
    np.testing.assert_allclose(first.heatmap / first.heatmap.max(), expected / expected.max(), atol=1e-4)
    assert first.refined_by == (FINE[0],)


def test_target_of_several_parts_is_refined_part_by_part(explainer) -> None:
    """The levels still sum to the map."""
    question = dataclasses.replace(explainer.question, target="box", refine_by=(AUTO,))
    first = next(explainer.stream(SCENES[0], question=question, keep_levels=True).explanations)
    np.testing.assert_allclose(sum(first.level_heatmaps), first.heatmap, atol=1e-4 * first.heatmap.max())
    assert first.heatmap.max() == pytest.approx(1.0)


def test_auto_leaves_out_the_layer_looked_at(explainer) -> None:
    """At the stem, the stage behind it refines."""
    assert explainer(SCENES[0], layers=FINE[0], refine_by=AUTO)[0].refined_by == (FINE[1],)
    with pytest.raises(LayerError, match="--refine_by auto stands for .* which is looked at already"):
        explainer(SCENES[0], layers=list(FINE), refine_by=AUTO)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"refine_by": (AUTO,), "method": "occlusion"}, "--method occlusion, which alters the image, looks at none"),
        ({"refine_by": (AUTO, FINE[0])}, "auto stands alone"),
        ({"refine_by": ("model.neck",), "layers": ("model.neck@1",)}, "model.neck is the layer to refine itself"),
    ],
)
def test_what_cannot_refine_is_refused(changes: dict, message: str) -> None:
    """Before anything is built."""
    with pytest.raises(ConfigError, match=message):
        Question(**changes)


def test_unknown_layer_is_refused(explainer) -> None:
    """As everywhere, with what comes close."""
    with pytest.raises(LayerError, match="did you mean 'model.backbone.stem'"):
        explainer(SCENES[0], refine_by="model.backbone.stam")
    with pytest.raises(ConfigError, match="refine_by must be dotted paths"):
        explainer(SCENES[0], refine_by=[4])


# --- what it is for


@pytest.mark.parametrize("model", ["faster_rcnn", "ppyoloe", "ssd"])
def test_refined_maps_show_the_reason_where_it_is_known(model: str) -> None:
    """On the drawn scenes, far more of the map lies on the mark that alone makes an object its class."""
    explainer = Explainer.from_config(ROOT / f"configs/demo/{model}.yml", method="layercam")
    truth = read_ground_truth(TRUTH, explainer.detector.class_names)
    found: dict[str, list[float]] = {"plain": [], "refined": []}
    for path, (kind, refine_by) in itertools.product(SCENES, (("plain", ()), ("refined", AUTO))):
        of_index = {explanation.detection.index: explanation for explanation in explainer(path, refine_by=refine_by)}
        for one in match(
            [explanation.detection for explanation in of_index.values()], truth.boxes[truth.name_of(path)]
        ):
            evidence_xyxy = one.true_box.evidence_xyxy
            if evidence_xyxy is not None:
                explanation = of_index[one.index]
                of = MeasuredMap(explanation.heatmap, explanation.detection.box_xyxy, evidence_xyxy=evidence_xyxy)
                found[kind].append(measure(of, ["evidence_energy"])["evidence_energy"])
    assert len(found["refined"]) >= 8
    assert np.mean(found["refined"]) > 2 * np.mean(found["plain"])
    assert np.mean(found["refined"]) > 0.3
