"""What is found in maps whose heat was laid where the test says: places, groups, suspects, changes, bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures
from support.insight_runs import FALSE, TRUE, Drawn, Spot, heat_of, scattered, write_grid_run
from support.made_up_maps import explanation
from support.report_runs import HW, box_record, image_record, write_run

from ppdet_cam.commands.cam_compare import main as compare_main
from ppdet_cam.commands.cam_insight import main
from ppdet_cam.errors import ConfigError
from ppdet_cam.explaining.projection import project
from ppdet_cam.insight import changes_of, find_insight, insight_record
from ppdet_cam.insight.collecting import collect
from ppdet_cam.insight.frames import CELLS, box_edges
from ppdet_cam.insight.grids import heat_between, read_grids
from ppdet_cam.insight.suspects import window_sums
from ppdet_cam.insight.values import Frame, Kind
from ppdet_cam.outputs.raw import encode_raw, raw_map
from ppdet_cam.report.reading import Role, read_run
from ppdet_cam.structures import GridPlacement

TAG = Spot(-0.25, 0.8, 0.3)  # to the left of the box, low
CORNER = Spot(0.92, 0.9, 0.35, of_image=True)


def images_of(*boxes: list[Drawn]) -> list[list[Drawn]]:
    """Returns an image for each box: they do not see each other."""
    return [[one] for of_class in boxes for one in of_class]


@pytest.fixture(scope="module")
def cheating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose dogs rest on something beside them in two of three boxes, whose cats on a corner; mugs are honest."""
    return write_grid_run(
        tmp_path_factory.mktemp("cheating"),
        images_of(
            scattered("dog", 45, seed=1, spots=[(TAG,), (TAG,), ()], truth=TRUE),
            scattered("cat", 40, seed=2, spots=[(CORNER,)], truth=TRUE),
            scattered("mug", 60, seed=3, truth=TRUE),
            scattered("face", 5, seed=4, truth=FALSE),
        ),
        class_names=["dog", "cat", "mug", "face"],
    )


@pytest.fixture(scope="module")
def found(cheating: Path):
    return find_insight(cheating)


# --- where heat lies


def test_heat_between_edges_is_what_the_map_on_the_image_has_there(tmp_path: Path) -> None:
    """The shares of a raster are those of the map in pixels, summed: nothing is lost between."""
    drawn = Drawn("dog", (40.0, 30.0, 80.0, 70.0), (TAG,))
    grids = read_grids(write_grid_run(tmp_path, [[drawn]]) / "0000" / "maps.npz")
    y, x = np.array([[0.0, 30.0, 70.0, 120.0]]), np.array([[0.0, 40.0, 80.0, 160.0]])
    heat = heat_of(drawn)
    pixels = project(heat, GridPlacement((0.0, 0.0), (5.0, 5.0)), original_hw=HW)
    sums = [[pixels[30:70, 40:80].sum(), pixels[30:70, :40].sum()]]
    measured = heat_between(grids, y, x, [0])[0] * heat.max()
    assert measured[1, 1] == pytest.approx(sums[0][0], rel=2e-3)
    assert measured[1, 0] == pytest.approx(sums[0][1], rel=2e-3)


def test_box_frame_holds_the_box_in_its_middle_half() -> None:
    """Twice the sides about the same middle."""
    y, x = box_edges(np.array([[10.0, 20.0, 30.0, 60.0]]))
    assert (x[0, 0], x[0, CELLS // 4], x[0, -1]) == (0.0, 10.0, 40.0)
    assert (y[0, 0], y[0, CELLS // 4], y[0, -1]) == (0.0, 20.0, 80.0)


def test_window_sums_are_sums() -> None:
    """By hand: each window of 2 x 2."""
    maps = np.zeros((1, CELLS, CELLS))
    maps[0, 3, 4] = 2.0
    sums = window_sums(maps, 2)[0]
    assert sums.shape == (CELLS - 1, CELLS - 1)
    assert {(int(y), int(x)) for y, x in np.argwhere(sums)} == {(2, 3), (2, 4), (3, 3), (3, 4)}
    assert set(sums[sums > 0]) == {2.0}


def test_heat_on_boxes_of_other_classes_is_told(tmp_path: Path) -> None:
    """Half of the dog's heat lies on the cat beside it; of the cat's, none on the dog."""
    dog = Drawn("dog", (20.0, 40.0, 60.0, 80.0), (Spot(2.0, 0.5, 0.5),))
    cat = Drawn("cat", (85.0, 45.0, 115.0, 75.0))
    boxes = collect(read_run(write_grid_run(tmp_path, [[dog, cat]], class_names=["dog", "cat"]))).boxes
    assert boxes.on_others[0, 1] == pytest.approx(0.5, abs=0.05) and boxes.on_others[1, 0] < 0.02
    assert boxes.outside[0] == pytest.approx(0.5, abs=0.05)
    assert boxes.sides[0].sum() == pytest.approx(1, abs=1e-3)
    assert boxes.sides[0][1, 2] == pytest.approx(0.5, abs=0.05)


# --- suspects and groups


def test_suspects_are_the_planted_ones_in_their_places(found) -> None:
    """To within half a box and half a window; the honest classes raise none."""
    by_class = {suspect.class_name: suspect for suspect in found.suspects}
    assert set(by_class) == {"dog", "cat"} and len(found.suspects) == 2
    dog, cat = by_class["dog"], by_class["cat"]
    assert (dog.kind, dog.place.frame) == (Kind.BESIDE, Frame.BOX)
    assert _middle(dog.place) == pytest.approx((TAG.x, TAG.y), abs=0.25)
    assert (cat.kind, cat.place.frame) == (Kind.FIXED, Frame.IMAGE)
    assert _middle(cat.place) == pytest.approx((CORNER.x, CORNER.y), abs=0.1)
    assert len(dog.rows) == 30 and dog.of_boxes == 45
    assert str(dog.sentence).startswith(
        "30 of 45 'dog' boxes rest on a place beside the object, to the left of it, low:"
    )
    assert "the lower right corner" in str(cat.sentence)


def _middle(place) -> tuple[float, float]:
    left, top, right, bottom = place.xyxy
    return (left + right) / 2, (top + bottom) / 2


def test_same_small_thing_here_and_there_is_a_suspect(tmp_path: Path) -> None:
    """What is seen where the heat lies beside the box looks alike, wherever that is."""
    random, images = np.random.default_rng(0), []
    for one in scattered("dog", 40, seed=1):
        x, y = random.choice([0.08, 0.9]), random.uniform(0.1, 0.9)
        images.append([dataclasses.replace(one, spots=(Spot(float(x), float(y), 0.4, of_image=True),))])
    images += images_of(scattered("cat", 40, seed=2, spots=[(Spot(1.6, 0.5, 0.3),), (Spot(-0.7, 0.2, 0.3),)]))
    folder = write_grid_run(tmp_path, images, class_names=["dog", "cat"])
    for position, (one,) in enumerate(images):
        photo = random.integers(0, 255, (12, 16, 3)).astype(np.uint8).repeat(10, axis=0).repeat(10, axis=1)
        if one.class_name == "dog":
            x, y = int(one.spots[0].x * HW[1]), int(one.spots[0].y * HW[0])
            photo[max(0, y - 12) : y + 12, max(0, x - 12) : x + 12] = (230, 20, 200)
        Pictures.fromarray(photo).save(folder / f"{position:04d}" / "photo.png")
    lines = [json.loads(line) for line in (folder / "images.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line["files"]["photo"] = f"{line['name']}/photo.png"
    (folder / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    things = [one for one in find_insight(folder).suspects if one.kind is Kind.THING]
    assert [one.class_name for one in things] == ["dog"] and len(things[0].rows) >= 20
    assert things[0].place is None and "one small thing beside the object" in str(things[0].sentence)


def test_groups_part_boxes_that_are_explained_otherwise(found) -> None:
    """The dogs with something beside them, and those without; the largest first, each with its numbers."""
    dogs = next(one for one in found.classes if one.class_name == "dog")
    assert [len(group.rows) for group in dogs.groups] == [30, 15]
    with_tag, without = dogs.groups
    assert with_tag.heat_outside == pytest.approx(without.heat_outside + 0.3, abs=0.06)
    assert (with_tag.counts.true, with_tag.counts.false) == (30, 0)
    assert len(with_tag.examples) == 24 and {example.row for example in with_tag.examples} <= set(with_tag.rows)
    honest = next(one for one in found.classes if one.class_name == "mug")
    assert honest.heat_outside < 0.15


def test_class_with_too_few_boxes_says_so(found) -> None:
    """Instead of grouping noise."""
    faces = next(one for one in found.classes if one.class_name == "face")
    assert faces.groups == () and str(faces.note) == "Too few boxes to group or to suspect: 5, and 20 are needed."


def test_same_run_gives_the_same_insight(cheating: Path, found) -> None:
    """Bit for bit, so that two insights can be compared."""
    assert insight_record(find_insight(cheating)) == insight_record(found)


def test_what_false_positives_have_in_common_is_said(tmp_path: Path) -> None:
    """All of them rest on the tag, which few true ones do."""
    folder = write_grid_run(
        tmp_path,
        images_of(
            scattered("dog", 40, seed=1, spots=[(TAG,), (), (), ()], truth=TRUE),
            scattered("dog", 12, seed=5, spots=[(TAG,)], truth=FALSE),
            scattered("mug", 40, seed=3, truth=TRUE),
        ),
        class_names=["dog", "mug"],
    )
    lines = [json.loads(line) for line in (folder / "images.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        wrong = [box["index"] for box in line["boxes"] if not box["truth"]["matched"]]
        line["truth"] = {"boxes": 1, "matched": 1 - len(wrong), "missed": 0, "false_positives": wrong}
    (folder / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    dogs = next(one for one in find_insight(folder).classes if one.class_name == "dog")
    assert (dogs.counts.true, dogs.counts.false) == (40, 12)
    said = [str(one) for one in dogs.findings]
    assert any(text.startswith("12 of 12 false positives, but 10 of 40 true ones, ") for text in said), said


def test_ground_truth_may_be_given_afterwards(tmp_path: Path) -> None:
    """A run without it: boxes on an object are true, the others false, objects without a box missed."""
    images = images_of(scattered("dog", 20, seed=1), scattered("cat", 20, seed=2))
    folder = write_grid_run(tmp_path / "run", images)
    annotations, records = [], []
    for number, (one,) in enumerate(images):
        records.append({"id": number, "file_name": f"{number:04d}.jpg", "height": HW[0], "width": HW[1]})
        left, top, right, bottom = one.box_xyxy
        place = [left, top, right - left, bottom - top] if number % 2 == 0 else [0, 0, 10, 10]
        annotations.append({"id": number, "image_id": number, "category_id": 1 if number < 20 else 2, "bbox": place})
    names = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    gt = tmp_path / "gt.json"
    gt.write_text(json.dumps({"images": records, "annotations": annotations, "categories": names}), encoding="utf-8")
    found = find_insight(folder, gt=gt)
    assert found.has_truth and [one.counts.false for one in found.classes] == [10, 10]
    assert [one.objects_missed for one in found.classes] == [10, 10]
    assert sum(role is Role.MATCHED for role in found.boxes.roles) == 20


# --- after retraining


def test_changes_say_which_suspects_and_groups_went(cheating: Path, found, tmp_path: Path) -> None:
    """The dogs' tag counts no more, the cats' corner stays; nothing is new."""
    after = write_grid_run(
        tmp_path,
        images_of(
            scattered("dog", 45, seed=1, truth=TRUE),
            scattered("cat", 40, seed=2, spots=[(CORNER,)], truth=TRUE),
            scattered("mug", 60, seed=3, truth=TRUE),
        ),
        class_names=["dog", "cat", "mug", "face"],
    )
    changes = changes_of(insight_record(found), insight_record(find_insight(after)))
    assert [(one.became.value, (one.a or one.b)["class_name"]) for one in changes.suspects] == [
        ("gone", "dog"),
        ("stayed", "cat"),
    ]
    assert changes.suspects[0].words.startswith("counts no more: 30 of 45 'dog' boxes rest on")
    assert [one.became.value for one in changes.groups if one.class_name == "dog"].count("gone") == 1


# --- the command


def test_cam_insight_writes_page_and_json_and_prints_suspects(cheating: Path, tmp_path: Path, capsys) -> None:
    """The page needs nothing but itself; the JSON has its schema; without --check the way to it is said."""
    assert main([str(cheating), "--out", str(tmp_path / "out"), "--lang", "zh"]) == 0
    out = capsys.readouterr().out
    assert "1. " in out and "'dog' boxes rest on a place beside the object" in out and "--check N" in out
    assert "too few boxes" in out
    document = json.loads((tmp_path / "out" / "insight.json").read_text(encoding="utf-8"))
    assert document["insight_schema_version"] == 1 and len(document["suspects"]) == 2
    page = (tmp_path / "out" / "insight.html").read_text(encoding="utf-8")
    assert 'data-lang="zh"' in page and "http" not in page.split("<script")[0].replace("http-equiv", "")
    assert main([str(cheating), "--out", str(tmp_path / "out"), "--against", str(tmp_path / "out")]) == 0
    assert "as before: 30 of 45" in capsys.readouterr().out


def test_cam_compare_says_what_came_and_went(cheating: Path, tmp_path: Path, capsys) -> None:
    """Where cam_insight was run on both runs: in the terminal, in the JSON, on the page."""
    after = write_grid_run(tmp_path / "after", images_of(scattered("dog", 45, seed=1), scattered("cat", 40, seed=2)))
    before = write_grid_run(
        tmp_path / "before", images_of(scattered("dog", 45, seed=1, spots=[(TAG,)]), scattered("cat", 40, seed=2))
    )
    assert main([str(before)]) == 0 and main([str(after)]) == 0
    capsys.readouterr()
    assert compare_main([str(before), str(after), "--out", str(tmp_path / "compared")]) == 0
    assert "counts no more: " in capsys.readouterr().out
    document = json.loads((tmp_path / "compared" / "compare.json").read_text(encoding="utf-8"))
    assert [one["became"] for one in document["insight"]["suspects"]] == ["gone"]
    assert "insightSection" in (tmp_path / "compared" / "compare.html").read_text(encoding="utf-8")


def test_run_without_maps_says_which_flags_make_them(tmp_path: Path, capsys) -> None:
    """There is nothing to read."""
    write_run(tmp_path / "none", [image_record("a", [box_record()])])
    assert main([str(tmp_path / "none")]) == 2
    assert "stored no maps" in (text := capsys.readouterr().err) and "--save overlay,raw" in text


@pytest.mark.parametrize("reduction", [1, 3])
def test_maps_in_pixels_are_read_as_those_on_grids_are(tmp_path: Path, reduction: int) -> None:
    """What methods that alter the image have: the heat lies where it lay on the grid."""
    drawn = Drawn("dog", (40.0, 30.0, 80.0, 70.0), (TAG,))
    of_grid = read_grids(write_grid_run(tmp_path, [[drawn]]) / "0000" / "maps.npz")
    pixels = project(heat_of(drawn), GridPlacement((0.0, 0.0), (5.0, 5.0)), original_hw=HW)
    stored = raw_map(explanation(pixels), reduction=reduction)
    content = encode_raw([stored], original_hw=HW, dtype="float16", reduction=reduction)
    (tmp_path / "maps.npz").write_bytes(content)
    of_pixels = read_grids(tmp_path / "maps.npz")
    assert of_pixels.original_hw == HW and len(of_pixels.levels) == 1
    y, x = box_edges(np.array([[40.0, 30.0, 80.0, 70.0]]))
    shares = [heat_between(grids, y, x, [0])[0] for grids in (of_grid, of_pixels)]
    grid, pixel = (heat / heat.sum() for heat in shares)
    assert np.abs(grid - pixel).max() < 0.02 * grid.max() * reduction


def test_image_without_boxes_has_no_maps_and_is_no_fault(tmp_path: Path) -> None:
    """A run writes one for it too."""
    (tmp_path / "maps.npz").write_bytes(encode_raw([], original_hw=HW, dtype="float16", reduction=1))
    assert read_grids(tmp_path / "maps.npz").names == ()


def test_large_maps_in_pixels_are_averaged(tmp_path: Path) -> None:
    """No frame needs every pixel of a photograph; heat stays where it is."""
    heat = np.zeros((900, 1400), np.float32)
    heat[300:600, 700:1000] = 1.0
    content = encode_raw([raw_map(explanation(heat))], original_hw=(900, 1400), dtype="float16", reduction=1)
    (tmp_path / "maps.npz").write_bytes(content)
    grids = read_grids(tmp_path / "maps.npz")
    assert max(grids.levels[0].shape[1:]) <= 256
    y, x = np.array([[0.0, 300.0, 600.0, 900.0]]), np.array([[0.0, 700.0, 1000.0, 1400.0]])
    found = heat_between(grids, y, x, [0])[0]
    assert found[1, 1] / found.sum() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    "changed", [{"maps": np.zeros((1, 2, 2))}, {"maps": np.zeros(3)}, {"reduction": np.array(0)}, {"names": ["0", "1"]}]
)
def test_maps_in_pixels_that_are_not_as_a_run_writes_them_are_refused(tmp_path: Path, changed: dict) -> None:
    """Of another size than the image, or of other boxes."""
    content = encode_raw([raw_map(explanation(np.ones(HW, np.float32)))], original_hw=HW, dtype="float16", reduction=1)
    (tmp_path / "maps.npz").write_bytes(content)
    with np.load(tmp_path / "maps.npz") as archive:
        arrays = {**archive, **changed}
    np.savez(tmp_path / "maps.npz", **arrays)
    with pytest.raises(ConfigError, match=r"maps\.npz is not as a run writes it"):
        read_grids(tmp_path / "maps.npz")


def test_broken_maps_are_left_out_aloud(tmp_path: Path, capsys) -> None:
    """Cut off, gone, not finite, or of another image: each is named, the rest is used."""
    folder = write_grid_run(tmp_path, images_of(scattered("dog", 30, seed=1), scattered("cat", 30, seed=2)))
    file = folder / "0003" / "maps.npz"
    file.write_bytes(file.read_bytes()[:200])
    (folder / "0005" / "maps.npz").unlink()
    with np.load(folder / "0007" / "maps.npz") as archive:
        arrays = dict(archive)
    arrays["grid_0"][:] = np.nan
    np.savez(folder / "0007" / "maps.npz", **arrays)
    (folder / "0009" / "maps.npz").write_bytes(b"")
    assert main([str(folder)]) == 0
    captured = capsys.readouterr()
    for name in ("0003", "0005", "0007", "0009"):
        assert any("left out" in line and name in line for line in captured.err.splitlines()), name
    document = json.loads((folder / "insight.json").read_text(encoding="utf-8"))
    assert len(document["left_out"]["maps_unread"]) == 4 and document["run"]["boxes"] == 56


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--check", "0"], "--check must be at least 1, not 0"),
        (["-o", "weights=x"], "give --check N as well"),
        (["--fill", "rainbow"], "rainbow"),
        (["--lang", "fr"], "--lang must be en or zh"),
        (["--gt", "nowhere.json"], "nowhere.json"),
        (["--against", "nowhere"], "cam_insight writes it"),
    ],
)
def test_cam_insight_wrong_flags_end_in_one_line(cheating: Path, capsys, arguments: list[str], words: str) -> None:
    """Exit code 2, nothing on stdout."""
    assert main([str(cheating), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and words in captured.err


def test_cam_insight_replaces_its_own_files_only(cheating: Path, tmp_path: Path, capsys) -> None:
    """A stranger's file of the name stays as it is."""
    (tmp_path / "insight.json").write_text("{}", encoding="utf-8")
    assert main([str(cheating), "--out", str(tmp_path)]) == 2
    assert "is not an earlier insight" in capsys.readouterr().err
    assert (tmp_path / "insight.json").read_text(encoding="utf-8") == "{}"


def test_run_where_no_map_shows_anything_is_refused(tmp_path: Path) -> None:
    """There is nothing to find."""
    folder = write_grid_run(tmp_path, [[Drawn("dog", (20.0, 20.0, 20.0, 60.0))]])
    with pytest.raises(ConfigError, match="no box of the run has a map that shows something"):
        find_insight(folder)
