"""A comparison says what became of each box of one run in another, in numbers that can be checked by hand."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures
from support.compare_runs import add_maps, box_at, two_runs, write_drawn_run
from support.places import ROOT
from support.report_pages import EVIL, Page, counts_of
from support.report_runs import (
    HW,
    Record,
    add_pictures,
    blank_record,
    box_record,
    failed_record,
    image_record,
    missed_record,
    write_run,
)

from ppdet_cam.commands.cam_compare import main
from ppdet_cam.compare import compare_runs, write_comparison
from ppdet_cam.compare.differences import (
    FLAGS_THAT_TOUCH,
    FLAGS_THAT_TOUCH_NOTHING,
    Touches,
    differences,
    setting_differences,
)
from ppdet_cam.compare.html import run_names
from ppdet_cam.compare.maps import map_on_grid, read_maps, shared_reduction
from ppdet_cam.compare.matching import BoxPair, ImageMatch, Kind, match_boxes, match_images
from ppdet_cam.compare.measures import Change, MapsOfPair, change_of, map_correlation, rank_correlation
from ppdet_cam.compare.pictures import link_to, thumbnails_of
from ppdet_cam.errors import ConfigError, OutputError
from ppdet_cam.explaining.projection import project
from ppdet_cam.images.inputs import Inputs
from ppdet_cam.metrics import bootstrap_interval
from ppdet_cam.outputs.raw import encode_grids, raw_grids
from ppdet_cam.questions.question import Question
from ppdet_cam.report.reading import Box, Image, Role, Run, read_run
from ppdet_cam.running.config import RunConfig
from ppdet_cam.structures import Detection, Explanation, GridMap, GridPlacement, LevelShare, MapStatus

MATCHED = {"matched": True, "annotation_id": 7, "iou": 0.8}
WEIGHTS_B = {"asked": "retrained.pdparams", "path": "retrained.pdparams", "sha256": "ab" * 32}


def read_boxes(folder: Path, records: list[Record]) -> tuple[Box, ...]:
    return read_run(write_run(folder, [image_record("a", records)])).images[0].boxes


def pairs_of(folder: Path, records_a: list[Record], records_b: list[Record]) -> list[BoxPair]:
    return match_boxes(read_boxes(folder / "a", records_a), read_boxes(folder / "b", records_b))


def indices(pairs: list[BoxPair]) -> list[tuple[str, int | None, int | None]]:
    return [(p.kind.value, p.a and p.a.detection.index, p.b and p.b.detection.index) for p in pairs]


def run_of(folder: Path, **more: object) -> Run:
    return read_run(write_run(folder, [], **more))


# images


def matched_names(found: ImageMatch) -> list[tuple[str, str]]:
    return [(pair.a.name, pair.b.name) for pair in found.compared]


def explained(path: str, name: str, hw: tuple[int, int] = HW) -> Image:
    return Image(path=path, name=name, original_hw=hw)


def test_images_of_one_file_belong_together_whatever_they_are_called() -> None:
    """The file comes before the name, links and dots in paths are followed."""
    a = [explained("photos/x.jpg", "x"), explained("photos/y.jpg", "y")]
    b = [explained("other/../photos/y.jpg", "x"), explained(os.path.abspath("photos/x.jpg"), "deep/x")]
    assert matched_names(match_images(a, b)) == [("x", "deep/x"), ("y", "x")]


def test_images_behind_a_link_are_the_same(tmp_path: Path) -> None:
    """A folder that is a link to another one holds the same images."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.jpg").touch()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    a, b = explained(f"{tmp_path}/photos/x.jpg", "1"), explained(f"{tmp_path}/link/x.jpg", "2")
    assert matched_names(match_images([a], [b])) == [("1", "2")]


def test_images_of_another_folder_are_found_by_their_name() -> None:
    """The same pictures on another machine have the same places in their run."""
    a, b = explained("/home/me/photos/val/x.jpg", "val/x"), explained("/data/val/x.png", "val/x")
    assert matched_names(match_images([a], [b])) == [("val/x", "val/x")]


def test_single_images_are_the_same_only_with_the_same_file_name() -> None:
    """A run over one image gives it no name; two of them are not of one image for that."""
    street, square = explained("/a/street.jpg", ""), explained("/b/square.jpg", "")
    found = match_images([street], [square])
    assert (found.compared, found.only_a, found.only_b) == ((), (street,), (square,))
    assert matched_names(match_images([street], [explained("/b/street.jpg", "")])) == [("", "")]
    assert matched_names(match_images([street], [explained("/b/street.jpg", "street")])) == [("", "street")]


def test_images_are_sorted_into_compared_failed_unlike_and_alone() -> None:
    """Each image of either run is in exactly one place, in run A's order."""
    failed = Image(path="f.jpg", name="f", failure="not an image")
    a = [explained("z.jpg", "z"), explained("f.jpg", "f"), explained("u.jpg", "u"), explained("a.jpg", "a")]
    b = [explained("a.jpg", "a"), failed, explained("u.jpg", "u", (5, 5)), explained("n.jpg", "n")]
    found = match_images(a, b)
    assert matched_names(found) == [("a", "a")]
    assert [pair.b.failure for pair in found.failed] == ["not an image"]
    assert [pair.a.name for pair in found.unlike] == ["u"]
    assert [image.name for image in (*found.only_a, *found.only_b)] == ["z", "n"]


# boxes


def test_boxes_of_one_class_in_one_place_are_kept(tmp_path: Path) -> None:
    """IoU 40/60, whatever the scores and the order."""
    a = [box_at("left", 0), box_at("right", 1, class_name="cat")]
    b = [box_at("right", 0, class_name="cat"), box_at("left", 1, shift=10, score=0.5)]
    pairs = pairs_of(tmp_path, a, b)
    assert indices(pairs) == [("kept", 0, 1), ("kept", 1, 0)]
    assert [pair.iou for pair in pairs] == pytest.approx([40 / 60, 1.0])


@pytest.mark.parametrize(("right", "kinds"), [(60.0, ["kept"]), (60.1, ["lost", "new"])])
def test_boxes_match_from_an_iou_of_one_half(tmp_path: Path, right: float, kinds: list[str]) -> None:
    """30 of 60 pixels are enough, 30 of 60.1 are not."""
    a, b = box_record(box_xyxy=(0, 0, 30, 10)), box_record(box_xyxy=(0, 0, right, 10))
    assert [pair.kind.value for pair in pairs_of(tmp_path, [a], [b])] == kinds


def test_rotated_boxes_match_by_their_polygons(tmp_path: Path) -> None:
    """Two strips across each other lie in one upright box and are not the same; two upright ones there would be."""
    down = [[10, 0], [40, 30], [30, 40], [0, 10]]
    up = [[40 - x, y] for x, y in down]
    one, other, upright = (
        box_record(box_xyxy=(0, 0, 40, 40), **more) for more in ({"polygon_xy": down}, {"polygon_xy": up}, {})
    )
    for number, (a, b, kinds) in enumerate(
        [
            (one, one, ["kept"]),
            (one, other, ["lost", "new"]),
            (one, upright, ["lost", "new"]),  # the strip is 600 of its 1600
            (upright, upright, ["kept"]),
        ]
    ):
        assert [pair.kind.value for pair in pairs_of(tmp_path / str(number), [a], [b])] == kinds


def test_boxes_match_the_highest_iou_first_and_once(tmp_path: Path) -> None:
    """B's box goes to the A box that it fits best, also when another one is listed first; that one is lost."""
    a = [box_record(0, box_xyxy=(0, 0, 30, 10)), box_record(1, box_xyxy=(4, 0, 34, 10))]
    b = [box_record(0, box_xyxy=(5, 0, 35, 10))]
    assert indices(pairs_of(tmp_path, a, b)) == [("lost", 0, None), ("kept", 1, 0)]


def test_boxes_with_equal_iou_go_by_their_scores(tmp_path: Path) -> None:
    """Two boxes on the same place, as a detector prints when it keeps one row twice: the surest ones are pairs."""
    a = [box_at("left", 0, score=0.6), box_at("left", 1, score=0.9)]
    b = [box_at("left", 0, score=0.8)]
    assert indices(pairs_of(tmp_path, a, b)) == [("lost", 0, None), ("kept", 1, 0)]


def test_boxes_that_changed_class_are_pairs_of_what_is_left(tmp_path: Path) -> None:
    """A box of the same class comes first even with a lower IoU; only the rest is looked through for other classes."""
    a = [box_at("left", 0), box_at("left", 1, class_name="cat", shift=1)]
    b = [box_at("left", 0, class_name="cat", shift=5), box_at("left", 1, class_name="wolf", shift=1)]
    pairs = pairs_of(tmp_path, a, b)
    assert indices(pairs) == [("other class", 0, 1), ("kept", 1, 0)]
    assert [pair.beside for pair in pairs] == [None, None]


def test_boxes_without_a_partner_are_lost_or_new(tmp_path: Path) -> None:
    """Nothing is there in the other run."""
    pairs = pairs_of(tmp_path, [box_at("left", 3)], [box_at("right", 4)])
    assert indices(pairs) == [("lost", 3, None), ("new", None, 4)]
    assert [(pair.iou, pair.beside) for pair in pairs] == [(None, None), (None, None)]


def test_second_box_on_an_object_is_new_beside_the_first(tmp_path: Path) -> None:
    """Where B draws two boxes for one of A, the worse one is new, and the box of A that is taken is named."""
    a = [box_at("left", 5), box_at("right", 6)]
    b = [box_at("left", 0, shift=10), box_at("left", 1), box_at("right", 2)]
    new, *kept = pairs_of(tmp_path, a, b)
    assert indices([new, *kept]) == [("new", None, 0), ("kept", 5, 1), ("kept", 6, 2)]
    assert new.beside is not None and new.beside.detection.index == 5


def test_boxes_match_by_the_name_of_their_class(tmp_path: Path) -> None:
    """Class lists of two data sets number the same classes differently."""
    a, b = box_at("left", class_id=3), box_at("left", class_id=11)
    assert indices(pairs_of(tmp_path, [a], [b])) == [("kept", 0, 0)]


def test_boxes_asked_about_are_pairs_whatever_was_found(tmp_path: Path) -> None:
    """The same question in both runs, with candidates anywhere; another question is no pair."""
    found = {"name": "box_0", "verdict": "found", "words": "detection 4", "iou": 0.9}
    a = missed_record(0, asked={"name": "box_0"}, box_xyxy=(0, 0, 10, 10))
    b = missed_record(0, asked=found, box_xyxy=(100, 40, 150, 100))
    (pair,) = pairs_of(tmp_path, [a], [b])
    assert (pair.kind, pair.iou) == (Kind.ASKED, 0.0)
    other = missed_record(0, asked={"name": "box_0", "box_xyxy": [0, 0, 5, 5]})
    assert pairs_of(tmp_path, [a], [other]) == []


def test_new_box_that_finds_a_missed_object_has_its_candidate_for_partner(tmp_path: Path) -> None:
    """With ground truth, A's best candidate for object 7 stands beside the detection of B that found object 7."""
    missed, found = missed_record(7), box_record(5, truth=MATCHED, box_xyxy=(100, 40, 150, 100))
    (new,) = pairs_of(tmp_path / "new", [missed], [found])
    assert new.kind is Kind.NEW and new.a is not None and new.a.answer is not None
    assert new.a.answer.name == "gt_7"
    (lost,) = pairs_of(tmp_path / "lost", [found], [missed])
    assert lost.kind is Kind.LOST and lost.b is not None and lost.b.detection.score == 0.21


corners = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 12)] * 2).map(
    lambda place: (place[0], place[1], place[0] + place[2], place[1] + place[3])
)
boxes = st.lists(
    st.tuples(st.sampled_from(["dog", "cat"]), corners, st.floats(0, 1)), max_size=6, unique_by=lambda box: box[2]
)


Drawn = list[tuple[str, tuple[int, int, int, int], float]]


def as_boxes(drawn: Drawn) -> list[Box]:
    return [
        Box(
            Detection(index, 0, name, score, tuple(map(float, box_xyxy))),  # type: ignore[arg-type]
            {},
            "gradcam",
            "class",
            (),
            (),
            (),
            MapStatus.OK,
            "",
            None,
            None,
            None,
            None,
            Role.DETECTION,
        )
        for index, (name, box_xyxy, score) in enumerate(drawn)
    ]


@settings(max_examples=200, deadline=None)
@given(boxes, boxes)
def test_every_box_is_in_one_pair(drawn_a: Drawn, drawn_b: Drawn) -> None:
    """No box is dropped or used twice, partners overlap enough, and classes are as the kind says."""
    a, b = as_boxes(drawn_a), as_boxes(drawn_b)
    pairs = match_boxes(a, b)
    assert sorted(id(pair.a) for pair in pairs if pair.a) == sorted(map(id, a))
    assert sorted(id(pair.b) for pair in pairs if pair.b) == sorted(map(id, b))
    for pair in pairs:
        if pair.a and pair.b:
            assert pair.iou is not None and pair.iou >= 0.5
            assert (pair.a.detection.class_name == pair.b.detection.class_name) is (pair.kind is Kind.KEPT)


@settings(max_examples=100, deadline=None)
@given(boxes)
def test_a_run_beside_itself_is_kept(drawn: Drawn) -> None:
    """Each box is the partner of itself or of one in the very same place."""
    pairs = match_boxes(as_boxes(drawn), as_boxes(drawn))
    assert {pair.kind for pair in pairs} <= {Kind.KEPT}
    assert all(pair.iou == pytest.approx(1.0) for pair in pairs)


# settings


def test_differences_of_two_like_runs_are_none(tmp_path: Path) -> None:
    """Other weights, folders, kinds of files and batch sizes are no difference in what was asked."""
    flags = {"method": "gradcam", "cam_out": "a", "save": ["overlay"], "batch_size": 4, "opt": ["weights=a"]}
    a = run_of(tmp_path / "a", flags=flags)
    flags = {"method": "gradcam", "cam_out": "b", "save": ["raw"], "batch_size": 8, "opt": ["weights=b"]}
    assert differences(a, run_of(tmp_path / "b", flags=flags, weights=WEIGHTS_B)) == []


def test_differences_name_the_setting_both_values_and_what_it_touches(tmp_path: Path) -> None:
    """What makes maps unlike comes before what makes boxes unlike, and before colours."""
    a = run_of(
        tmp_path / "a",
        flags={"colormap": "jet", "draw_threshold": 0.5, "method": "gradcam", "target_feature_layer_name": ["m.neck"]},
    )
    b = run_of(
        tmp_path / "b",
        config={"path": "b.yml", "architecture": "YOLOv3"},
        flags={
            "colormap": "plasma",
            "draw_threshold": 0.3,
            "method": "hirescam",
            "target_feature_layer_name": ["m.neck", "m.backbone"],
            "classes": ["dog"],
            "fancy": True,
        },
    )
    assert [(d.name, d.a, d.b, d.touches) for d in differences(a, b)] == [
        ("config", "configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml", "b.yml", Touches.MODEL),
        ("--method", "gradcam", "hirescam", Touches.MAPS),
        ("--target_feature_layer_name", "m.neck", "m.neck, m.backbone", Touches.MAPS),
        ("--classes", "–", "dog", Touches.BOXES),
        ("--draw_threshold", "0.5", "0.3", Touches.BOXES),
        ("--colormap", "jet", "plasma", Touches.COLOURS),
        ("--fancy", "–", "true", Touches.UNKNOWN),
    ]


def test_differences_name_the_classes_of_one_run_only(tmp_path: Path) -> None:
    """The order of the classes is no difference: boxes are matched by name."""
    a = run_of(tmp_path / "a", class_names=["dog", "cat"])
    assert differences(a, run_of(tmp_path / "b", class_names=["cat", "dog"])) == []
    (found,) = differences(a, run_of(tmp_path / "c", class_names=["dog", "cow", *map(str, range(9))]))
    assert (found.a, found.b) == ("cat", "cow, 0, 1, 2, 3, 4, 5, 6 and 2 more")


def test_setting_differences_are_those_of_the_config(tmp_path: Path) -> None:
    """By dotted key, a missing one as a dash."""
    a = run_of(tmp_path / "a", settings={"nms.keep_top_k": 100, "same": [1], "norm_type": "bn"})
    b = run_of(tmp_path / "b", settings={"nms.keep_top_k": 300, "same": [1]})
    assert [(d.name, d.a, d.b) for d in setting_differences(a, b)] == [
        ("nms.keep_top_k", "100", "300"),
        ("norm_type", "bn", "–"),
    ]


def test_settings_of_one_config_are_shown_with_the_flags(tmp_path: Path) -> None:
    """What `-o` changed is a difference like a flag; what two config files differ in is kept apart."""
    changed = {"settings": {"nms.keep_top_k": 300}}
    one = compare_runs(*two_runs(tmp_path / "1", [], [], **changed))
    assert [found.name for found in one.differences] == ["nms.keep_top_k"]
    assert one.settings == ()
    config = {"path": "other.yml", "architecture": "YOLOv3"}
    two = compare_runs(*two_runs(tmp_path / "2", [], [], config=config, **changed))
    assert ([found.name for found in two.differences], [found.name for found in two.settings]) == (
        ["config"],
        ["nms.keep_top_k"],
    )


def test_every_flag_that_a_run_writes_down_is_known() -> None:
    """A new flag has to be said to touch something, or nothing; the page of the documentation names it."""
    run = RunConfig(Path("c.yml"), (), Inputs(images=(Path("a.jpg"),)), Path("out"), Question())
    assert set(run.flags()) == FLAGS_THAT_TOUCH_NOTHING | set(FLAGS_THAT_TOUCH)
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    for flag, touches in FLAGS_THAT_TOUCH.items():
        assert f"`--{flag}`" in rows[touches.value]


# stored maps


def test_read_maps_returns_what_a_run_stored(tmp_path: Path) -> None:
    """By the name of the box in the run's files, divided by its maximum, at the run's reduction."""
    heat = np.zeros(HW, np.float32)
    heat[:2, :2] = 8.0
    image = image_record("a", [box_record(3), missed_record(7)])
    add_maps(tmp_path, image, {"3": heat, "gt_7": heat}, reduction=4)
    maps = read_maps(tmp_path / "a" / "maps.npz")
    assert (sorted(maps.by_name), maps.reduction, maps.original_hw) == (["3", "gt_7"], 4, HW)
    assert maps.by_name["3"].shape == (30, 40)
    assert maps.by_name["3"][0, 0] == 1.0


def test_maps_of_different_reductions_meet_on_one_grid(tmp_path: Path) -> None:
    """Blocks of 2 and of 3 pixels are both averaged to blocks of 6, also at the ragged end."""
    heat = np.arange(HW[0] * HW[1], dtype=np.float32).reshape(HW)
    image = image_record("a", [box_record(0)])
    maps = []
    for reduction in (2, 3):
        add_maps(tmp_path / str(reduction), image, {"0": heat}, reduction=reduction)
        maps.append(read_maps(tmp_path / str(reduction) / "a" / "maps.npz"))
    assert shared_reduction(*maps) == 6
    one, other = (map_on_grid(stored, "0", 6) for stored in maps)
    assert one is not None and other is not None
    assert one.shape == other.shape == (20, 27)
    assert one / one.max() == pytest.approx(other / other.max(), abs=2e-3)
    assert map_on_grid(maps[0], "1", 6) is None


def grids_of(values: np.ndarray, hw: tuple[int, int] = HW) -> tuple[bytes, np.ndarray]:
    """Returns the file of a box whose one level has these values, and its map on the image."""
    place = GridPlacement((0.0, 0.0), (hw[0] / values.shape[0], hw[1] / values.shape[1]))
    level = LevelShare("model.neck", 0, (values.shape[0], values.shape[1]), place.cell_yx, 1.0, GridMap(values, place))
    heatmap = project(values, place, original_hw=hw)
    box = Detection(0, 0, "dog", 0.5, (0.0, 0.0, 9.0, 9.0))
    explanation = Explanation(box, "gradcam", ("model.neck",), (level,), heatmap, MapStatus.OK)
    return encode_grids([raw_grids(explanation)], original_hw=hw, dtype="float16"), heatmap


def test_maps_on_the_feature_grid_meet_those_in_pixels(tmp_path: Path) -> None:
    """They are put on the image; a run of either kind is compared with one of the other."""
    content, heatmap = grids_of(np.random.default_rng(0).random((6, 8)))
    (tmp_path / "grid.npz").write_bytes(content)
    add_maps(tmp_path, image_record("", [box_record(0)]), {"0": heatmap}, reduction=4)
    on_grid, in_pixels = read_maps(tmp_path / "grid.npz"), read_maps(tmp_path / "maps.npz")
    assert (list(on_grid.by_name), len(on_grid.by_name), on_grid.original_hw) == (["0"], 1, HW)
    assert shared_reduction(on_grid, in_pixels) == 4
    one, other = (map_on_grid(maps, "0", 4) for maps in (on_grid, in_pixels))
    assert one is not None and other is not None
    assert map_correlation(one, other) == pytest.approx(1, abs=1e-5)
    assert map_on_grid(on_grid, "1", 1) is None
    assert read_maps(tmp_path / "grid.npz").by_name["0"].max() == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"grid_0": np.zeros((2, 6, 8))},
        {"grid_0": np.full((1, 6, 8), np.nan)},
        {"grid_0": np.zeros((1, 6))},
        {"cell_yx": np.zeros((1, 2))},
        {"top_left_yx": np.full((1, 1, 2), np.inf)},
        {"layers": np.array(["a", "b"])},
    ],
)
def test_read_maps_refuses_grids_that_do_not_fit(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    """Another number of boxes or levels, or no numbers."""
    content, _ = grids_of(np.ones((6, 8)))
    (tmp_path / "maps.npz").write_bytes(content)
    arrays = {**np.load(tmp_path / "maps.npz"), **changed}
    np.savez(tmp_path / "maps.npz", **arrays)
    with pytest.raises(ConfigError, match="is not as a run writes it"):
        read_maps(tmp_path / "maps.npz")


def test_read_maps_says_what_is_no_array(tmp_path: Path) -> None:
    """On some headers numpy raises errors of Python's own tokenizer."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3L" + b" " * 68 + b"\n"
    with zipfile.ZipFile(tmp_path / "maps.npz", "w") as archive:
        archive.writestr("maps.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ConfigError, match="maps.npz is not as a run writes it"):
        read_maps(tmp_path / "maps.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_read_maps_says_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    """The file is named."""
    (tmp_path / "maps.npz").write_bytes(content)
    with pytest.raises(ConfigError, match="maps.npz is not as a run writes it"):
        read_maps(tmp_path / "maps.npz")


@pytest.mark.parametrize(
    "changed",
    [
        {"maps": np.zeros((1, 5, 5), np.float16)},
        {"names": np.array(["0", "1"])},
        {"reduction": np.array(0)},
        {"original_hw": np.array([120])},
        {"maps": np.array([{}], object)},
        {"maps": np.full((1, *HW), np.inf, np.float16)},
    ],
)
def test_read_maps_refuses_arrays_that_do_not_fit(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    """Another size, another number of names, pickled objects, which could run code, or infinity."""
    add_maps(tmp_path, image_record("", [box_record(0)]))
    arrays = {**np.load(tmp_path / "maps.npz"), **changed}
    np.savez(tmp_path / "maps.npz", **arrays)
    with pytest.raises(ConfigError, match="is not as a run writes it"):
        read_maps(tmp_path / "maps.npz")
    with pytest.raises(ConfigError, match="is not there any more"):
        read_maps(tmp_path / "gone.npz")


# numbers of a pair


def test_map_correlation_is_pearsons_over_the_image() -> None:
    """By hand: (2, -1, -1) and (-1, -1, 2) thirds give -3 / 6; a factor changes nothing."""
    a, b = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 5.0]])
    assert map_correlation(a, b) == pytest.approx(-0.5)
    assert map_correlation(a, 7 * a) == pytest.approx(1.0)
    # means 2 and 2; deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 * 2)
    assert map_correlation(np.array([[1, 2, 3]]), np.array([[1, 3, 2]])) == pytest.approx(0.5)


def test_map_correlation_cares_for_heat_not_for_empty_space() -> None:
    """Ten times the empty image around the same two maps moves the number by little."""
    heat = np.array([[4.0, 1.0, 0.0, 2.0]])
    wide_a, wide_b = (np.pad(values, ((0, 0), (0, 36))) for values in (heat, heat[:, ::-1]))
    wider_a, wider_b = (np.pad(values, ((0, 0), (0, 396))) for values in (heat, heat[:, ::-1]))
    assert map_correlation(wide_a, wide_b) == pytest.approx(map_correlation(wider_a, wider_b), abs=0.06)


def test_map_correlation_of_constant_maps() -> None:
    """As spearman: two of them are alike, one is like nothing."""
    flat, sloped = np.ones((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])
    assert map_correlation(flat, 3 * flat) == 1.0
    assert map_correlation(flat, sloped) == map_correlation(sloped, flat) == 0.0


def test_rank_correlation_looks_at_the_boxes_alone() -> None:
    """Columns 1 to 3 hold both boxes; what lies beside them changes nothing; ranks do not see how strong."""
    a = np.array([[9.0, 1.0, 2.0, 3.0, 0.0]])
    b = np.array([[0.0, 1.0, 10.0, 99.0, 50.0]])
    places = [(1.0, 0.0, 3.0, 1.0), (2.0, 0.0, 4.0, 1.0)]
    assert rank_correlation(a, b, boxes_xyxy=places) == pytest.approx(1.0)
    assert rank_correlation(a, a[:, ::-1], boxes_xyxy=places) == pytest.approx(-1.0)


def test_rank_correlation_takes_values_that_an_edge_cuts() -> None:
    """From 1.5 to 2.5 lie columns 1 and 2; with blocks of two pixels, from 3 to 5 the same ones."""
    a, b = np.array([[9.0, 1.0, 2.0, 9.0]]), np.array([[9.0, 2.0, 1.0, 9.0]])
    assert rank_correlation(a, b, boxes_xyxy=[(1.5, 0.2, 2.5, 0.4)]) == pytest.approx(-1.0)
    assert rank_correlation(a, b, boxes_xyxy=[(3, 0, 5, 2)], reduction=2) == pytest.approx(-1.0)


def test_rank_correlation_outside_of_the_image_is_not_told() -> None:
    """A box that lies beyond the edge has no values; one that reaches over it has those on the image."""
    heat = np.array([[1.0, 2.0]])
    assert rank_correlation(heat, heat, boxes_xyxy=[(-9, -9, -3, -3)]) is None
    assert rank_correlation(heat, heat, boxes_xyxy=[(5, 0, 9, 1)]) is None
    assert rank_correlation(heat, heat, boxes_xyxy=[(-9, -9, 99, 99)]) == pytest.approx(1.0)


def test_change_of_a_pair_is_b_less_a(tmp_path: Path) -> None:
    """Scores 0.9 to 0.7, heat 0.8 to 0.5, and the two correlations."""
    a = box_record(0, score=0.9, energy_in_box=0.8, box_xyxy=(1, 0, 4, 1))
    b = box_record(0, score=0.7, energy_in_box=0.5, box_xyxy=(1, 0, 4, 1))
    (pair,) = pairs_of(tmp_path, [a], [b])
    maps = MapsOfPair(np.array([[0.0, 1.0, 2.0, 3.0]]), np.array([[0.0, 3.0, 2.0, 1.0]]), reduction=1)
    change = change_of(pair, maps)
    assert (change.score, change.energy_in_box) == pytest.approx((-0.2, -0.3))
    # deviations (-3, -1, 1, 3) and (-3, 3, 1, -1) halves: (9 - 3 + 1 - 3) / 20
    assert change.map_correlation == pytest.approx(0.2)
    assert change.rank_correlation == pytest.approx(-1.0)
    assert change.largest == pytest.approx(0.8)


def test_change_leaves_out_what_cannot_be_told(tmp_path: Path) -> None:
    """No partner, no map in one run, no candidate for a box asked about."""
    lost, new = pairs_of(tmp_path / "1", [box_at("left")], [box_at("right")])
    assert change_of(lost, None) == change_of(new, None) == Change(None, None, None, None)
    (blank,) = pairs_of(tmp_path / "2", [box_record(score=0.5)], [blank_record(score=0.75)])
    assert change_of(blank, None) == Change(0.25, None, None, None)
    asked = {"name": "box_0", "verdict": "no_candidate"}
    nothing = missed_record(0, asked=asked, status="no_candidate", energy_in_box=None, score=0.0)
    (alone,) = pairs_of(tmp_path / "3", [missed_record(0, asked={"name": "box_0"})], [nothing])
    assert change_of(alone, None) == Change(None, None, None, None)
    assert change_of(alone, None).largest is None


@pytest.mark.parametrize(
    ("change", "largest"),
    [
        (Change(-0.3, 0.1, 0.9, -1.0), 0.3),
        (Change(0.1, -0.4, 0.9, 0.0), 0.4),
        (Change(0.1, 0.1, 0.25, 1.0), 0.75),
        (Change(0.1, None, -0.5, None), 1.0),
        (Change(0.1, None, None, None), 0.1),
    ],
)
def test_largest_change_is_of_score_heat_or_map(change: Change, largest: float) -> None:
    """Opposite maps have changed wholly, not twice; ranks have no say."""
    assert change.largest == pytest.approx(largest)


# two runs


def test_compare_runs_counts_and_averages_by_class(tmp_path: Path) -> None:
    """Two images, by hand: two dogs kept, one lost, one became a cat, a cat new."""
    a = [
        image_record("1", [box_at("left", 0, score=0.9), box_at("right", 1, score=0.8), box_at("top", 2)]),
        image_record("2", [box_at("left", 0, score=0.6, energy_in_box=0.6)]),
    ]
    b = [
        image_record("1", [box_at("left", 0, score=0.8, energy_in_box=0.5), box_at("right", 1, class_name="cat")]),
        image_record("2", [box_at("left", 0, score=0.9, energy_in_box=0.7), box_at("top", 1, class_name="cat")]),
    ]
    found = compare_runs(write_run(tmp_path / "a", a), write_run(tmp_path / "b", b))
    cat, dog = found.classes
    counts = ("boxes_a", "boxes_b", "kept", "lost", "new", "to_other", "from_other")
    assert [getattr(dog, name) for name in counts] == [4, 2, 2, 1, 0, 1, 0]
    assert [getattr(cat, name) for name in counts] == [0, 2, 0, 0, 1, 0, 1]
    assert [getattr(found.total, name) for name in counts] == [4, 4, 2, 1, 1, 1, 1]
    assert dog.score is not None and cat.score is None
    # kept: 0.9 to 0.8 and 0.6 to 0.9
    assert (dog.score.a, dog.score.b, dog.score.change.mean) == pytest.approx((0.75, 0.85, 0.1))
    assert dog.score.change == bootstrap_interval([0.8 - 0.9, 0.9 - 0.6], [0, 1])
    assert (dog.score.change.low, dog.score.change.high) == pytest.approx((-0.1, 0.3))
    # heat: 0.8 to 0.5 and 0.6 to 0.7
    assert dog.energy_in_box is not None and dog.energy_in_box.change.mean == pytest.approx(-0.1)
    assert found.total.score == dog.score


def test_compare_runs_averages_maps_over_those_that_have_one(tmp_path: Path) -> None:
    """A blank map in one run takes the box out of the heat's mean, not out of the score's."""
    a = [box_at("left", 0, energy_in_box=0.5), box_at("right", 1, energy_in_box=0.9)]
    b = [box_at("left", 0, energy_in_box=0.7), {**blank_record(1), "box_xyxy": a[1]["box_xyxy"]}]
    total = compare_runs(*two_runs(tmp_path, a, b)).total
    assert total.score is not None and total.score.change.boxes == 2
    assert total.energy_in_box is not None and total.energy_in_box.change.boxes == 1
    assert (total.energy_in_box.a, total.energy_in_box.b) == pytest.approx((0.5, 0.7))


def test_compare_runs_takes_maps_from_their_files(tmp_path: Path) -> None:
    """The same map twice correlates fully, through float16 and another reduction; a mirrored one does not."""
    image = image_record("a", [box_at("left", 0), box_at("right", 1)])
    heat = np.zeros(HW, np.float32)
    heat[40:60, 20:40], heat[60:80, 20:40] = 3.0, 1.0
    upside_down = np.zeros(HW, np.float32)
    upside_down[40:60, 20:40], upside_down[60:80, 20:40] = 1.0, 3.0
    a, b = tmp_path / "a", tmp_path / "b"
    write_run(a, [add_maps(a, image, {"0": heat, "1": heat})])
    write_run(b, [add_maps(b, image, {"0": 5 * heat, "1": upside_down}, reduction=2)])
    found = compare_runs(a, b)
    changes = {pair.pair.a.detection.index: pair.change for pair in found.pairs if pair.pair.a}
    assert (changes[0].map_correlation, changes[0].rank_correlation) == pytest.approx((1.0, 1.0))
    assert changes[1].map_correlation is not None and changes[1].map_correlation < 0.65
    assert (found.without_maps, found.unread_maps) == ((), ())
    assert found.total.map_correlation is not None and found.total.map_correlation.boxes == 2


def test_compare_runs_without_stored_maps_says_so(tmp_path: Path) -> None:
    """Correlations are left out, the rest is there."""
    image = image_record("a", [box_at("left")])
    a, b = tmp_path / "a", tmp_path / "b"
    write_run(a, [add_maps(a, image)])
    write_run(b, [image])
    found = compare_runs(a, b)
    assert (found.without_maps, found.total.map_correlation) == (("B",), None)
    assert found.pairs[0].change.score == 0.0


def test_compare_runs_goes_on_without_maps_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken file, one that is gone, and one of another image cost their correlations only."""
    images = [image_record(name, [box_at("left")]) for name in ("broken", "gone", "resized", "whole")]
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        write_run(folder, [add_maps(folder, image) for image in images])
    (b / "broken" / "maps.npz").write_bytes(b"x")
    (b / "gone" / "maps.npz").unlink()
    add_maps(b, {**images[2], "size": {"height": 60, "width": 80}})
    found = compare_runs(a, b)
    assert [bool(pair.change.map_correlation) for pair in sorted(found.pairs, key=lambda p: p.image)] == [
        False,
        False,
        False,
        True,
    ]
    assert len(found.unread_maps) == 3
    assert "broken/maps.npz is not as a run writes it" in caplog.text


def test_compare_runs_has_no_correlation_with_a_blank_map(tmp_path: Path) -> None:
    """A map that shows nothing was not changed into another one."""
    a, b = tmp_path / "a", tmp_path / "b"
    write_run(a, [add_maps(a, image_record("a", [box_record()]))])
    write_run(b, [add_maps(b, image_record("a", [blank_record()]))])
    assert compare_runs(a, b).pairs[0].change.map_correlation is None


def test_compare_runs_puts_lost_and_new_boxes_first(tmp_path: Path) -> None:
    """Lost and new ones by their score, then the others by the largest change."""
    a = [box_at("left", 0, score=0.6), box_at("right", 1, energy_in_box=0.9, score=0.5)]
    b = [box_at("top", 0, score=0.7), box_at("right", 1, energy_in_box=0.2, score=0.6)]
    images_a = [image_record("1", [box_at("left", 0, score=0.9)]), image_record("2", a)]
    images_b = [image_record("1", [box_at("left", 0, score=0.8)]), image_record("2", b)]
    found = compare_runs(write_run(tmp_path / "a", images_a), write_run(tmp_path / "b", images_b))
    assert [(pair.pair.kind.value, pair.image) for pair in found.pairs] == [
        ("new", 1),
        ("lost", 1),
        ("kept", 1),
        ("kept", 0),
    ]


def test_compare_runs_puts_second_boxes_behind_those_that_are_gone(tmp_path: Path) -> None:
    """A surer box comes later when the other run has a box in its place."""
    a = [box_at("left", 0, score=0.9), box_at("right", 1, score=0.5)]
    b = [box_at("left", 0, shift=8, score=0.99), box_at("left", 1, score=0.9)]
    found = compare_runs(*two_runs(tmp_path, a, b))
    assert [pair.pair.kind.value for pair in found.pairs] == ["lost", "new", "kept"]


def test_compare_runs_leaves_failed_and_missing_images_out_of_the_counts(tmp_path: Path) -> None:
    """Boxes of an image that one run could not explain are not lost."""
    a = [image_record("1", [box_at("left")]), image_record("2", [box_at("left")]), image_record("3", [box_at("left")])]
    b = [image_record("1", [box_at("left")]), failed_record("2"), image_record("4", [box_at("left")])]
    found = compare_runs(write_run(tmp_path / "a", a), write_run(tmp_path / "b", b))
    assert (found.total.boxes_a, found.total.lost, found.total.new) == (1, 0, 0)
    assert len(found.images.failed) == 1
    assert [image.name for image in (*found.images.only_a, *found.images.only_b)] == ["3", "4"]


def test_compare_runs_counts_questions_of_one_run(tmp_path: Path) -> None:
    """A box asked about in one run only is in no pair, and is counted; candidates of missed objects as well."""
    a = [box_at("left"), missed_record(0, asked={"name": "box_0"})]
    found = compare_runs(*two_runs(tmp_path, a, [box_at("left")]))
    assert (found.asked_once, found.total.kept, found.total.boxes_a) == (1, 1, 1)


def test_compare_runs_refuses_a_run_that_did_not_finish(tmp_path: Path) -> None:
    """The advice is how to finish it."""
    a, b = two_runs(tmp_path, [], [])
    (b / "run.json").unlink()
    with pytest.raises(ConfigError, match="after has no run.json: the run did not finish. Run it again with --resume"):
        compare_runs(a, b)
    (b / "images.jsonl").unlink()
    (b / "images.0.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="did not finish"):
        compare_runs(a, b)


def test_compare_runs_refuses_runs_with_nothing_in_common(tmp_path: Path) -> None:
    """Other images, or other images of the same name, are told apart."""
    a = write_run(tmp_path / "a", [image_record("x")])
    b = write_run(tmp_path / "b", [image_record("y")])
    with pytest.raises(ConfigError, match="no image in common; the first ones are photos/x.jpg and photos/y.jpg"):
        compare_runs(a, b)
    c = write_run(tmp_path / "c", [image_record("x", size={"height": 10, "width": 20})])
    with pytest.raises(ConfigError, match="share names of images, but not the images: x is 160x120 and 20x10 pixels"):
        compare_runs(a, c)
    with pytest.raises(ConfigError, match="no image in common"):
        compare_runs(a, write_run(tmp_path / "none", []))


def test_compare_runs_knows_the_same_weights(tmp_path: Path) -> None:
    """By their content."""
    assert compare_runs(*two_runs(tmp_path / "1", [], [])).has_same_weights
    assert not compare_runs(*two_runs(tmp_path / "2", [], [], weights=WEIGHTS_B)).has_same_weights


# the page


def page_of(a: Path, b: Path, out: Path) -> Page:
    return Page(write_comparison(compare_runs(a, b), out).read_text(encoding="utf-8"))


def drawn_runs(folder: Path) -> tuple[Path, Path]:
    a = write_drawn_run(folder / "before", [image_record("street", [box_at("left", 0), box_at("right", 1)])])
    b = write_drawn_run(folder / "after", [image_record("street", [box_at("left", 0, shift=4)])], weights=WEIGHTS_B)
    return a, b


def test_write_comparison_writes_a_page_and_its_numbers(tmp_path: Path) -> None:
    """Two files, whole, and nothing else."""
    out = tmp_path / "deep" / "out"
    path = write_comparison(compare_runs(*drawn_runs(tmp_path)), out)
    assert path == out / "compare.html"
    assert sorted(file.name for file in out.iterdir()) == ["compare.html", "compare.json"]
    record = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert (record["compare_schema_version"], record["images"]["compared"], record["match_iou"]) == (1, 1, 0.5)
    lost, kept = record["pairs"]
    assert (lost["kind"], lost["a"]["index"], lost["b"], lost["score_change"]) == ("lost", 1, None, None)
    assert (kept["kind"], kept["image"], kept["iou"]) == ("kept", "street", pytest.approx(46 / 54))
    assert record["total"]["score"]["change"]["mean"] == 0
    assert record["total"]["map_correlation"]["boxes"] == 1
    assert record["runs"]["b"]["weights"]["asked"] == "retrained.pdparams"


def test_page_links_both_runs_from_where_it_is(tmp_path: Path) -> None:
    """Relative and percent-encoded, so the three folders can be moved together; each link leads to its file."""
    a, b = drawn_runs(tmp_path / "100% #1")
    out = tmp_path / "100% #1" / "out"
    values = page_of(a, b, out).values
    kept = next(pair for pair in values["pairs"] if pair["kind"] == "kept")
    assert kept["a"]["files"]["overlay"] == "./../before/street/0.jpg"
    links = [*kept["a"]["files"].values(), *kept["b"]["files"].values()]
    links += [*values["images"][0]["a"].values(), *values["images"][0]["b"].values()]
    assert all((out / unquote(link)).is_file() for link in links)
    elsewhere = page_of(a, b, tmp_path / "elsewhere")
    assert elsewhere.values["images"][0]["a"]["photo"] == "./../100%25%20%231/before/street/photo.jpg"


def test_link_to_a_run_whose_folder_holds_the_page(tmp_path: Path) -> None:
    """In the run's own folder, above it, and below it."""
    assert link_to(tmp_path, page_folder=tmp_path)("a/0.jpg") == "./a/0.jpg"
    assert link_to(tmp_path / "run", page_folder=tmp_path)("a/0.jpg") == "./run/a/0.jpg"
    assert link_to(tmp_path, page_folder=tmp_path / "out")("caf\udce9.jpg") == "./../caf%E9.jpg"


def test_page_is_closed_to_all_but_its_own_script(tmp_path: Path) -> None:
    """The same policy as a report's; no picture, style or script from elsewhere."""
    page = page_of(*drawn_runs(tmp_path), tmp_path / "out")
    policy = next(str(values["content"]) for _, values in page.elements if "http-equiv" in values)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert len(page.scripts) == 1
    assert not {"link", "iframe", "object", "base", "img"} & {tag for tag, _ in page.elements}
    assert not [name for _, values in page.elements for name in values if name.startswith("on") or name == "style"]


def test_page_escapes_every_name(tmp_path: Path) -> None:
    """Markup in classes, images, reasons, flags, layers and paths stays text."""

    def evil_run(folder: Path, end: str) -> Path:
        box = box_record(0, class_name=EVIL + end, method=EVIL + end, layers=[EVIL + end])
        asked = missed_record(0, asked={"name": "box_0", "words": EVIL})
        return write_run(
            folder,
            [image_record(EVIL, [box, asked], path=EVIL), failed_record("f", EVIL), image_record(f"{EVIL}{end}")],
            config={"path": EVIL + end, "architecture": EVIL + end},
            flags={EVIL: EVIL + end},
            weights={"asked": EVIL, "sha256": EVIL + end},
            class_names=[EVIL + end],
            settings={EVIL: EVIL + end},
        )

    plain = page_of(*two_runs(tmp_path / "plain", [box_record()], [box_record(class_name="cat")]), tmp_path / "1")
    page = page_of(evil_run(tmp_path / "a", "1"), evil_run(tmp_path / "b", "2"), tmp_path / "2")
    # a plain comparison has no table of differences, which is one more of the elements that it has
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    assert page.values["pairs"][0]["classes"] == [EVIL + "1", EVIL + "2"]
    assert " ".join((EVIL + "2").split()) in page.texts


def test_page_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    """A stray byte in a file's name is written as it can be."""
    image = image_record("caf\udce9", [box_record(files={"overlay": "caf\udce9/0.jpg"})], path="caf\udce9.jpg")
    a, b = (write_run(tmp_path / name, [image]) for name in "ab")
    page = page_of(a, b, tmp_path / "out")
    assert page.values["pairs"][0]["a"]["files"] == {"overlay": "./../a/caf%E9/0.jpg"}
    record = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert record["pairs"][0]["image"] == "caf\udce9"


def test_page_counts_what_became_of_the_boxes(tmp_path: Path) -> None:
    """The head's numbers are those of the comparison."""
    a = [image_record("1", [box_at("left", 0), box_at("right", 1)]), image_record("2"), image_record("3")]
    b = [image_record("1", [box_at("left", 0, class_name="cat"), box_at("top", 1)]), failed_record("2")]
    page = page_of(write_run(tmp_path / "a", a), write_run(tmp_path / "b", b), tmp_path / "out")
    numbers = {
        "image compared": 1,
        "lost": 1,
        "new": 1,
        "of another class": 1,
        "kept": 0,
        "failed": 1,
        "only in A": 1,
    }
    found = counts_of(page)
    assert {label: found.get(label) for label in numbers} == numbers
    assert "only in B" not in found


def test_page_shows_differences_and_what_to_do_without_maps(tmp_path: Path) -> None:
    """Another method is named with both values; the flag that stores maps is named."""
    a, b = two_runs(tmp_path, [box_record()], [box_record()], flags={"method": "hirescam"}, weights=WEIGHTS_B)
    texts = page_of(a, b, tmp_path / "out").texts
    assert "Settings that differ: not all that changed comes from the weights" in texts
    assert texts[texts.index("--method") + 1 : texts.index("--method") + 4] == ["gradcam", "hirescam", "the maps"]
    assert any("which A and B did not store. Run cam_ppdet with --save raw" in text for text in texts)
    assert "Both runs had the same weights, byte by byte." not in texts


def test_page_tells_when_colours_alone_or_nothing_differs(tmp_path: Path) -> None:
    """Other colours make pictures unlike, not numbers; the same weights are worth a word."""
    flags = {"method": "gradcam", "draw_threshold": 0.5, "save": ["overlay", "heatmap"], "colormap": "jet"}
    a, b = two_runs(tmp_path, [], [], flags=flags)
    texts = page_of(a, b, tmp_path / "out").texts
    assert "Settings that differ: the pictures' colours cannot be compared" in texts
    assert "Both runs had the same weights, byte by byte." in texts


def test_page_links_the_reports_that_there_are(tmp_path: Path) -> None:
    """Each run's own page is a click away, if it was written."""
    a, b = two_runs(tmp_path, [], [])
    (b / "report.html").touch()
    links = [values.get("href") for tag, values in page_of(a, b, tmp_path / "out").elements if tag == "a"]
    assert "./../after/report.html" in links and "./../before/report.html" not in links


def test_page_is_the_same_each_time(tmp_path: Path) -> None:
    """Two runs, one page: nothing of the moment is in it."""
    a, b = drawn_runs(tmp_path)
    first, second = (write_comparison(compare_runs(a, b), tmp_path / "out").read_bytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("folder_a", "folder_b", "names"),
    [
        ("runs/before", "runs/after", ("before", "after")),
        ("before/cam_out", "after/cam_out", ("before/cam_out", "after/cam_out")),
        ("same", "same", None),
    ],
)
def test_runs_are_called_by_what_tells_their_folders_apart(
    tmp_path: Path, folder_a: str, folder_b: str, names: tuple[str, str] | None
) -> None:
    """The last folder, and as many above it as are needed; a run beside itself has one name."""
    a, b = (run_of(tmp_path / folder) for folder in (folder_a, folder_b))
    found = run_names(a, b)
    assert found == names if names else found[0] == found[1]


def test_thumbnails_of_a_pair_show_the_same_part(tmp_path: Path) -> None:
    """Both are cut around both boxes: 50 and 54 pixels wide, 60 high, with 0.3 of 60 on each side."""
    image_a, image_b = image_record("a", [box_at("left")]), image_record("a", [box_at("left", shift=4)])
    a, b = tmp_path / "a", tmp_path / "b"
    write_run(a, [add_pictures(a, image_a, kinds=["photo"])])
    write_run(b, [add_pictures(b, image_b, kinds=["photo"])])
    ((one, other),) = thumbnails_of(compare_runs(a, b), max_embedded=0)
    assert one is not None and other is not None
    assert one.window == other.window == pytest.approx((0, 12 / 160, 96 / 160, 96 / 160))
    ((one, other),) = thumbnails_of(compare_runs(a, b))
    assert one is not None and other is not None and one.data_url and other.data_url


def test_thumbnail_of_a_lost_box_is_the_other_photo_there(tmp_path: Path) -> None:
    """Where run B has no box, its photo is shown at the place of A's, without heat."""
    a, b = tmp_path / "a", tmp_path / "b"
    write_run(a, [add_pictures(a, image_record("a", [box_at("left")]))])
    write_run(b, [add_pictures(b, image_record("a"))])
    ((one, other),) = thumbnails_of(compare_runs(a, b), max_embedded=0)
    assert one is not None and one.file == "a/0.jpg"
    assert other is not None and other.file == "a/photo.jpg"
    Pictures.open(b / "a" / "photo.jpg").verify()
    write_run(b, [image_record("a")])
    ((one, other),) = thumbnails_of(compare_runs(a, b))
    assert one is not None and other is None


def test_write_comparison_replaces_its_own_files_only(tmp_path: Path) -> None:
    """A second comparison takes the first one's place; a stranger's files stay."""
    comparison = compare_runs(*two_runs(tmp_path, [], []))
    out = tmp_path / "out"
    assert write_comparison(comparison, out) == write_comparison(comparison, out)
    (out / "compare.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match="compare.json is not an earlier comparison and would be replaced"):
        write_comparison(comparison, out)
    (out / "compare.json").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="compare.json is not an earlier comparison"):
        write_comparison(comparison, out)
    (out / "compare.html").write_text("<p>mine</p>", encoding="utf-8")
    with pytest.raises(OutputError, match="compare.html is not an earlier comparison and would be replaced"):
        write_comparison(comparison, out)


# the command


def test_cam_compare_prints_a_line_per_class_and_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Classes, all of them, the images, and a path that can be opened."""
    a, b = drawn_runs(tmp_path)
    assert main([str(a), str(b), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split()[:8] == ["class", "A", "B", "kept", "lost", "new", "to", "other"]
    assert re.match(r"dog +2 +1 +1 +1 +0 +0 +\+0.000 +\+0.000 +[0-9.]+ +[0-9.]+$", lines[1])
    assert lines[2].startswith("all ")
    assert lines[-2:] == ["images: 1 compared", str(tmp_path / "out" / "compare.html")]
    assert printed.err == ""


def test_cam_compare_writes_beside_where_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --out, into cam_compare; differences and missing maps are printed."""
    two_runs(tmp_path, [box_record()], [box_record()], flags={"method": "hirescam"})
    monkeypatch.chdir(tmp_path)
    assert main(["before", "after"]) == 0
    printed = capsys.readouterr().out
    assert "differs: --method: A gradcam, B hirescam (the maps)" in printed
    assert "\nA and B have the same weights\n" in printed
    assert "no map correlations: A and B stored no maps (--save raw)" in printed
    assert printed.endswith(f"cam_compare{os.sep}compare.html\n")
    assert (tmp_path / "cam_compare" / "compare.json").is_file()


def test_cam_compare_prints_the_busiest_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of many classes those with the most boxes, and where the others are."""
    records = [box_at("left", index, class_name=f"c{index:02d}") for index in range(25)]
    a, b = two_runs(tmp_path, [*records, box_at("right", 25, class_name="c24")], [])
    assert main([str(a), str(b), "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("c") and "class" not in line.split()[0]]
    assert len(shown) == 20 and "c24" in shown and "c20" not in shown
    assert "(5 more classes with fewer boxes: compare.html)" in lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: RUN_A, RUN_B; usage: cam_compare RUN_A RUN_B"),
        (["before"], "required: RUN_B"),
        (["before", "after", "--fast"], "unrecognized arguments: --fast"),
        (["before", "nothing"], "nothing is not a folder; give the --cam_out of a run"),
        (["before", "after", "--out", "file/below"], "file is a file, not a folder. Choose another --out"),
        (["before", "empty"], "no image in common"),
    ],
)
def test_cam_compare_says_in_one_line_what_is_wrong(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, nothing on stdout, nothing written."""
    two_runs(tmp_path, [box_record()], [box_record()])
    write_run(tmp_path / "empty", [])
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"cam_compare: error: [^\n]+\n", printed.err)
    assert words in printed.err
    assert not (tmp_path / "cam_compare").exists()


def test_cam_compare_is_interrupted_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while maps are compared: exit code 130, and no traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    a, b = two_runs(tmp_path, [], [])
    monkeypatch.setattr("ppdet_cam.commands.cam_compare.compare_runs", interrupted)
    assert main([str(a), str(b), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "cam_compare: interrupted\n"
