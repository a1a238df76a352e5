"""What `cam_eval` puts together from measurements: means, verdicts, agreement; checked by hand, without a detector."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ppdet_cam.errors import ConfigError, PpdetCamError
from ppdet_cam.evaluation.config import AGREEMENT, SANITY, EvalConfig, label_of, measurable, usual_methods
from ppdet_cam.evaluation.files import MEASUREMENTS_FILE
from ppdet_cam.evaluation.page import render_evaluation
from ppdet_cam.evaluation.records import measurement_of, measurement_record, read_records
from ppdet_cam.evaluation.shipped_tool import NAME as SHIPPED_TOOL
from ppdet_cam.evaluation.shipped_tool import shipped_level, shipped_map
from ppdet_cam.evaluation.summary import Label, Summary, summarise
from ppdet_cam.evaluation.tables import agreement_layers, agreement_matrix, markdown, overview, summary_record
from ppdet_cam.evaluation.values import ImageMeasurement, Measured, Place, Sanity
from ppdet_cam.methods import methods
from ppdet_cam.outputs.manifest import encode_line
from ppdet_cam.outputs.merging import Failure
from ppdet_cam.questions.question import Question
from ppdet_cam.structures import FeatureKind, FeatureMap

CONFIG = Path("model.yml")
LAYER = "model.backbone"


def feature(activations: list, gradients: list, kind: FeatureKind = FeatureKind.IMAGE) -> FeatureMap:
    return FeatureMap(LAYER, 0, kind, np.array(activations, np.float32), np.array(gradients, np.float32))


def place(
    index: int, *, own: float, box: float, gaussian: float = 0.5, evidence: str = "", agreement: tuple = ()
) -> Place:
    """Returns a box whose method and baselines have these values in insertion."""
    maps = (
        Measured("layercam", LAYER, {"insertion": own, "evidence_hit": own}, (1.0, own), (0.0, 1.0)),
        Measured("box", "", {"insertion": box, "evidence_hit": box}),
        Measured("centred_gaussian", "", {"insertion": gaussian, "evidence_hit": gaussian}),
    )
    sanity = (Sanity("layercam", LAYER, (0.5, 0.1, 0.3), (0.4, 0.2, 0.6)),)
    return Place(index, "cat", 0.9, evidence, maps, agreement, sanity)


@pytest.fixture
def summary() -> Summary:
    """Three images, four boxes."""
    measured = {
        "a": ImageMeasurement(3, (place(0, own=0.9, box=0.5, evidence="inside"), place(1, own=0.7, box=0.5))),
        "b": ImageMeasurement(1, (place(0, own=0.8, box=0.5, evidence="outside"),)),
        "c": ImageMeasurement(2, (place(0, own=0.8, box=0.5, gaussian=1.0, evidence="inside"),)),
    }
    return summarise(measured, parts=["head", "backbone"])


# --- the tool that paddledet ships


def test_shipped_map_turns_the_sign_as_the_tool_does() -> None:
    """Two channels of 1 x 2 cells, mean gradients 1 and -2: -mean(w A) = -([2, 4] - 2 * [3, 1]) / 2 = [2, -1]."""
    found = shipped_map(
        feature([[[2, 4]], [[3, 1]]], [[[1, 1]], [[-2, -2]]]), box_xyxy=(0, 0, 2, 1), original_hw=(1, 2)
    )
    np.testing.assert_allclose(found, [[1.0, 0.0]])


def test_shipped_map_is_cut_off_outside_the_box() -> None:
    """The tool blanks everything but whole pixels of the box."""
    found = shipped_map(feature([[[1, 0]]], [[[-1, -1]]]), box_xyxy=(1.7, 0.0, 3.2, 9.0), original_hw=(2, 4))
    assert found[:, 0].tolist() == [0, 0]
    assert found[:, 3].tolist() == [0, 0]
    assert (found[:, 1] > 0).all()


def test_shipped_map_of_a_roi_fills_the_box() -> None:
    """RoI features are enlarged to the box, not to the photo."""
    found = shipped_map(feature([[[1, 0]]], [[[-1, -1]]], FeatureKind.ROI), box_xyxy=(2, 0, 4, 1), original_hw=(2, 6))
    np.testing.assert_allclose(found, [[0, 0, 1, 0, 0, 0], [0] * 6])


@pytest.mark.parametrize(
    "gradients", [[[[0.0, 0.0]]], [[[1.0, 1.0]]], [[[np.nan, 1.0]]]], ids=["zero", "wrong sign", "nan"]
)
def test_shipped_map_without_contrast_is_blank(gradients: list) -> None:
    """Where the tool divides by zero the map is blank."""
    found = shipped_map(feature([[[1, 2]]], gradients), box_xyxy=(0, 0, 2, 1), original_hw=(1, 2))
    assert not found.any()


def test_shipped_level_is_the_last_that_is_wider_than_a_column() -> None:
    """As the tool chooses: the last scale, or the one before a single column."""
    wide, narrow = feature([[[1, 2]]], [[[1, 2]]]), feature([[[1], [2]]], [[[1], [2]]])
    assert shipped_level([narrow, wide]) is wide
    assert shipped_level([wide, narrow]) is wide
    assert shipped_level([narrow]) is narrow


# --- summary


def test_means_are_over_boxes_and_evidence_is_split(summary: Summary) -> None:
    """(0.9 + 0.7 + 0.8 + 0.8) / 4 = 0.8; inside (0.9 + 0.8) / 2; outside 0.8."""
    own = summary.rows[0].values
    assert summary.rows[0].label == Label("layercam", LAYER)
    assert own["insertion"].mean == pytest.approx(0.8)
    assert own["evidence_hit inside"].mean == pytest.approx(0.85)
    assert own["evidence_hit outside"].mean == pytest.approx(0.8)
    assert (own["insertion"].boxes, own["insertion"].images) == (4, 3)
    assert (summary.images, summary.objects, summary.found) == (3, 6, 4)


def test_a_method_that_is_not_shown_to_be_better_is_said_to_be_so(summary: Summary) -> None:
    """Better than the box in every image; than the Gaussian in all but one, so chance is not excluded."""
    verdict = summary.rows[0].no_better
    assert verdict == {"box": (), "centred_gaussian": ("evidence_hit", "insertion")}
    assert "no better than `centred_gaussian`" in markdown(summary)


def test_less_is_better_in_deletion() -> None:
    """A method with more deletion than the box is no better; one with less is."""

    def verdict(own: float) -> tuple[str, ...]:
        maps = (Measured("layercam", LAYER, {"deletion": own}), Measured("box", "", {"deletion": 0.5}))
        measured = {name: ImageMeasurement(1, (Place(0, "cat", 0.9, "", maps),)) for name in ("a", "b", "c")}
        return summarise(measured).rows[0].no_better["box"]

    assert verdict(0.6) == ("deletion",)
    assert verdict(0.4) == ()


def test_baselines_are_judged_by_nobody(summary: Summary) -> None:
    """Only methods are held against the baselines."""
    assert [row.no_better is None for row in summary.rows] == [False, True, True]
    assert Label(SHIPPED_TOOL, LAYER).is_baseline


def test_mean_curves_are_over_the_boxes_that_have_them(summary: Summary) -> None:
    """Deletion ends at 0.8 on average; baselines have no curve here."""
    assert summary.rows[0].deletion == pytest.approx((1.0, 0.8))
    assert summary.rows[1].deletion == ()


def test_agreement_is_read_from_the_upper_triangle() -> None:
    """Three methods: 01, 02, 12; averaged over two boxes."""
    places = tuple(place(index, own=0.5, box=0.5, agreement=(0.2 * index, 0.4, -0.6)) for index in (0, 1))
    asked = [Label("a", LAYER), Label("b", LAYER), Label("occlusion", "")]
    found = summarise({"x": ImageMeasurement(2, places)}, asked=asked)
    labels, matrix = agreement_matrix(found, LAYER)
    assert labels == ["a", "b", "occlusion"]
    np.testing.assert_allclose(matrix, [[1, 0.1, 0.4], [0.1, 1, -0.6], [0.4, -0.6, 1]], atol=1e-12)
    assert agreement_layers(found) == [LAYER]


def test_sanity_is_averaged_part_by_part(summary: Summary) -> None:
    """In the order in which the parts were made random; then a map that knows the box alone."""
    (row,) = summary.sanity
    assert [interval.mean for interval in row.spearman] == pytest.approx([0.5, 0.1, 0.3])
    assert [interval.mean for interval in row.ssim] == pytest.approx([0.4, 0.2, 0.6])
    assert "| method | layer | head | backbone | centred_gaussian |" in markdown(summary)


def test_nothing_found_is_no_error() -> None:
    """No object was found in any image."""
    nothing = summarise({"a": ImageMeasurement(2, ())})
    assert "0 of their 2 objects found" in markdown(nothing)
    assert overview(nothing).startswith("method")
    assert "<html" in render_evaluation(nothing, {}, [])
    json.dumps(summary_record(nothing), allow_nan=False)


def test_page_escapes_what_it_is_given(summary: Summary) -> None:
    """A path or a reason is text, never markup."""
    page = render_evaluation(summary, {"flags": {"gt": "<b>x"}}, [Failure("<script>alert(1)</script>", "a & b")])
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "&lt;b&gt;x" in page


# --- lines of JSON


def test_measurements_come_back_from_their_lines(tmp_path: Path) -> None:
    """What is read is what was written; a line that is cut off is left out."""
    measured = ImageMeasurement(3, (place(0, own=0.9, box=0.5, evidence="inside", agreement=(0.1, 0.2)),))
    line = encode_line(measurement_record("a.jpg", "a", measured, seconds=1.0))
    (tmp_path / MEASUREMENTS_FILE).write_bytes(line + line[:-20])
    (record,) = read_records(tmp_path).values()
    assert measurement_of(record) == measured


@pytest.mark.parametrize(
    "record", [{"status": "failed"}, {"status": "ok"}, {"status": "ok", "places": 3, "objects": 1}]
)
def test_a_line_that_measures_nothing_gives_nothing(record: dict) -> None:
    """Failed images, and lines that someone else wrote."""
    assert measurement_of(record) is None


# --- what is asked for


def test_every_question_pairs_a_method_with_a_layer() -> None:
    """A method that looks at no layer is asked once, however many layers there are."""
    config = EvalConfig(CONFIG, (), Path("gt.json"), methods=("layercam", "occlusion"), layers=("a", "b,c"))
    assert [(asked.method, asked.layers) for asked in config.questions()] == [
        ("layercam", ("a",)),
        ("occlusion", ("a",)),
        ("layercam", ("b", "c")),
    ]


def test_refinements_are_compared_and_named() -> None:
    """Each is a map of its own; what looks at no layer is asked once, as it is."""
    config = EvalConfig(
        CONFIG,
        (),
        Path("gt.json"),
        methods=("layercam", "occlusion"),
        refinements=((), ("auto",), ("a.stem", "a.res2")),
    )
    assert [label_of(asked) for asked in config.questions()] == [
        ("layercam", "model.backbone"),
        ("occlusion", ""),
        ("layercam refined by auto", "model.backbone"),
        ("layercam refined by a.stem,a.res2", "model.backbone"),
    ]
    assert config.flags()["refine_by"] == ["none", "auto", "a.stem,a.res2"]
    only = EvalConfig(CONFIG, (), Path("gt.json"), methods=("occlusion",), refinements=(("auto",),))
    assert [label_of(asked) for asked in only.questions()] == [("occlusion", "")]
    assert [asked.refine_by for asked in only.questions()] == [()]


def test_targets_are_compared_and_named() -> None:
    """D-RISE explains box and class together, so it is asked once."""
    asked = EvalConfig(
        CONFIG,
        (),
        Path("gt.json"),
        methods=("layercam", "occlusion", "drise"),
        targets=("class", "lead"),
        layers=("a", "b"),
    ).questions()
    assert [label_of(one) for one in asked] == [
        ("layercam", "a"),
        ("occlusion", ""),
        ("drise", ""),
        ("layercam lead", "a"),
        ("occlusion lead", ""),
        ("layercam", "b"),
        ("layercam lead", "b"),
    ]


def test_defaults_measure_all_but_sanity_with_the_methods_of_one_backward_pass() -> None:
    """The checks that take longest are asked for by name."""
    config = EvalConfig(CONFIG, (), Path("gt.json"))
    assert set(config.metrics) == set(measurable()) - {SANITY}
    assert config.methods == usual_methods()
    assert Question().method in config.methods
    assert "spearman" not in measurable()


def test_all_names_everything() -> None:
    """`all` stands for every method that every detector has, and for every metric."""
    config = EvalConfig(CONFIG, (), Path("gt.json"), methods=("all",), metrics=("all",))
    assert set(config.methods) == set(methods.names()) - {"attention", "attention_gradient"}
    assert config.metrics == measurable()
    assert AGREEMENT not in config.map_metrics


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("poynting",)}, r"no metric 'poynting' \(did you mean 'pointing'"),
        ({"methods": ("laycam",)}, "did you mean 'layercam'"),
        ({"images": 0}, "--images must be at least 1, not 0"),
        ({"costly_boxes": -1}, "--costly_boxes must be at least 0, not -1"),
        ({"resume": True, "overwrite": True}, "give one of them"),
        ({"targets": ("klass",)}, "did you mean 'class'"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict, message: str) -> None:
    """Before anything is built."""
    with pytest.raises(PpdetCamError, match=message):
        EvalConfig(CONFIG, (), Path("gt.json"), **changes)


def test_flags_say_what_is_measured_and_not_where() -> None:
    """The output folder may differ when an evaluation goes on; what is measured may not."""
    config = EvalConfig(CONFIG, (), Path("gt.json"))
    assert config.flags() == dataclasses.replace(config, out=Path("elsewhere"), batch=3).flags()
    assert config.flags() != dataclasses.replace(config, costly_boxes=1).flags()
    json.dumps(config.flags(), allow_nan=False)


def test_config_errors_are_the_projects_own() -> None:
    """So that the command prints them on one line."""
    with pytest.raises(ConfigError):
        EvalConfig(CONFIG, (), Path("gt.json"), metrics=("nothing",))
