"""The drawn scenes: the same seed gives the same bytes, and the known evidence is the only cue."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scenes

SEEDS = range(40)


@pytest.fixture(scope="module")
def painted() -> list[tuple[scenes.ScenePlan, np.ndarray, list[scenes.Visible]]]:
    """Forty scenes, their pictures and what is seen of each object."""
    plans = [scenes.plan_scene(seed) for seed in SEEDS]
    return [(plan, *scenes.paint_scene(plan)) for plan in plans]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of eight training scenes."""
    out = tmp_path_factory.mktemp("scenes")
    scenes.write_scenes(out, split="train", images=8, seed=3)
    return out


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_write_scenes_same_seed_gives_same_bytes(split: Path, tmp_path: Path) -> None:
    """Pictures and annotations are the same to the byte."""
    scenes.draw_sprite.cache_clear()
    scenes.write_scenes(tmp_path, split="train", images=8, seed=3)
    assert _files(tmp_path) == _files(split)


def test_write_scenes_other_seed_or_split_gives_other_pictures(split: Path, tmp_path: Path) -> None:
    """No picture is shared between seeds, nor between the splits of one seed."""
    scenes.write_scenes(tmp_path / "seed", split="train", images=3, seed=4)
    scenes.write_scenes(tmp_path / "split", split="val", images=3, seed=3)
    known = set(_files(split / "train").values())
    others = [*_files(tmp_path / "seed" / "train").values(), *_files(tmp_path / "split" / "val").values()]
    assert len(known | set(others)) == 8 + 3 + 3


def test_write_scenes_annotations_are_coco(split: Path) -> None:
    """Eight categories, unique ids, and every annotation has what a COCO reader wants."""
    content = json.loads((split / "annotations" / "train.json").read_text())
    assert [category["name"] for category in content["categories"]] == list(scenes.CATEGORIES)
    ids = [annotation["id"] for annotation in content["annotations"]]
    assert len(set(ids)) == len(ids) > 0
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    for annotation in content["annotations"]:
        left, top, width, height = annotation["bbox"]
        across, along = sizes[annotation["image_id"]]
        assert 0 <= left < left + width <= across
        assert 0 <= top < top + height <= along
        assert 0 < annotation["area"] <= width * height
        assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in annotation["segmentation"])
        assert annotation["iscrowd"] == 0


def test_write_scenes_faces_view_holds_the_faces_only(split: Path) -> None:
    """The same images, and no annotation but the faces."""
    whole = json.loads((split / "annotations" / "train.json").read_text())
    faces = json.loads((split / "annotations" / "train_faces.json").read_text())
    assert faces["images"] == whole["images"]
    assert [category["name"] for category in faces["categories"]] == ["face"]
    assert faces["annotations"] == [found for found in whole["annotations"] if found["category_id"] == 1]


def test_evidence_lies_inside_the_box_or_outside_as_it_says(painted) -> None:
    """A seal or a cross lies in its object's box; a cable does not enter the lamp's, and touches it."""
    kinds = Counter()
    for _, picture, seen in painted:
        for annotation, item in zip(scenes.annotate(1, 1, seen), seen):
            marked = item.plan.category != scenes.KINDS[item.plan.kind].plain
            assert ("evidence" in annotation) == marked
            if not marked:
                continue
            left, top, width, height = annotation["bbox"]
            x, y, across, along = annotation["evidence"]
            assert 0 <= x < x + across <= picture.shape[1]
            assert 0 <= y < y + along <= picture.shape[0]
            if annotation["evidence_outside"]:
                assert x + across <= left or x >= left + width
                assert min(abs(x + across - left), abs(left + width - x)) <= 1
            else:
                assert left <= x and x + across <= left + width and top <= y and y + along <= top + height
            kinds[item.plan.category] += 1
    assert set(kinds) == {"sealed_parcel", "ambulance", "wired_lamp"}


@pytest.mark.parametrize("kind", ["parcel", "van", "lamp"])
def test_pair_members_differ_in_the_evidence_only(kind: str) -> None:
    """With the mark left out, the same picture comes but for the mark's place (and the blur's reach)."""
    compared = 0
    for seed in range(60):
        plan = scenes.plan_scene(seed)
        index = next((i for i, item in enumerate(plan.objects) if item.kind == kind and item.has_mark), None)
        if index is None:
            continue
        objects = list(plan.objects)
        objects[index] = dataclasses.replace(objects[index], has_mark=False)
        marked, seen = scenes.paint_scene(plan)
        plain, _ = scenes.paint_scene(dataclasses.replace(plan, objects=tuple(objects)))
        x, y, width, height = seen[index].evidence
        reach = 4
        outside = np.ones(marked.shape[:2], bool)
        outside[max(0, y - reach) : y + height + reach, max(0, x - reach) : x + width + reach] = False
        np.testing.assert_array_equal(marked[outside], plain[outside])
        inside = marked[y : y + height, x : x + width].astype(int) - plain[y : y + height, x : x + width]
        assert np.abs(inside).max() > 60
        compared += 1
        if compared == 5:
            break
    assert compared == 5


def test_marks_are_never_covered_and_never_tiny(painted) -> None:
    """Every mark takes at least 3% of the longer side of the image, and all of it is seen."""
    for plan, _, seen in painted:
        for item in seen:
            if item.evidence is None:
                continue
            x, y, width, height = item.evidence
            assert min(width, height) / max(plan.width, plan.height) > 0.03
            for other in seen:
                if other is not item:
                    assert not other.mask[y : y + height, x : x + width].any()


def test_scenes_are_of_many_sizes(painted) -> None:
    """Images of 320 to 640 pixels, wide and high; 1 to 12 objects of 16 to 250 pixels."""
    shapes = {picture.shape[:2] for _, picture, _ in painted}
    assert all(320 <= side <= 640 for shape in shapes for side in shape)
    assert {np.sign(width - height) for height, width in shapes} >= {-1, 1}
    assert all(1 <= len(seen) <= 12 for _, _, seen in painted)
    sides = [item.plan.side for _, _, seen in painted for item in seen]
    assert 16 <= min(sides) < 40 and 150 < max(sides) <= 250


def test_classes_are_balanced() -> None:
    """No class is more than three times as frequent as another."""
    counts = Counter(item.category for seed in range(100) for item in scenes.plan_scene(seed).objects)
    assert set(counts) == set(scenes.CATEGORIES)
    assert max(counts.values()) < 3 * min(counts.values())
