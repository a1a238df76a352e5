"""`cam_eval` on a trained demo detector and drawn scenes: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.places import ROOT

from ppdet_cam.commands.cam_eval import main
from ppdet_cam.evaluation.files import EVAL_FILE, MEASUREMENTS_FILE, OWN_FILES, PAGE_FILE, PARTIAL_FILE, TABLE_FILE
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.questions.truth import TrueBox, true_mask

CONFIG = ROOT / "configs" / "demo" / "ssd.yml"
GT = ROOT / "demo" / "drawn" / "annotations.json"
FAST = ("--method", "layercam,eigencam", "--costly_boxes", "0", "--images", "2")


class Command:
    """`cam_eval` in one folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.out, self._capsys = folder / "out", capsys

    def __call__(self, *arguments: str | Path, config: Path = CONFIG, gt: Path = GT) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(["-c", str(config), "--gt", str(gt), "--out", str(self.out), *map(str, arguments)])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def refused(self, *arguments: str | Path, **inputs: Path) -> str:
        """Returns the one line of a refusal."""
        code, out, err = self(*arguments, **inputs)
        (line,) = [line for line in err.splitlines() if "device:" not in line]
        assert (code, out) == (2, "")
        assert line.startswith("cam_eval: error: ")
        return line

    def document(self) -> dict:
        return json.loads((self.out / EVAL_FILE).read_text(encoding="utf-8"))


@pytest.fixture
def command(tmp_path, capsys) -> Command:
    return Command(tmp_path, capsys)


def test_everything_is_measured_and_written(command: Command) -> None:
    """Maps, baselines, curves, agreement and sanity, in JSON, Markdown and on the page."""
    code, out, _ = command(
        *(
            "--method",
            "layercam,occlusion",
            "--metrics",
            "all",
            "--images",
            "1",
            "--costly_boxes",
            "1",
            "--samples",
            "2",
        )
    )
    assert code == 0
    assert {path.name for path in command.out.iterdir()} == set(OWN_FILES) - {PARTIAL_FILE}
    document = command.document()
    labels = {(row["method"], row["layer"]) for row in document["maps"]}
    assert labels == {
        ("layercam", "model.backbone"),
        ("occlusion", ""),
        ("box", ""),
        ("centred_gaussian", ""),
        ("uniform", ""),
        ("paddledet 2.6.0", "model.backbone"),
    }
    own = document["maps"][0]
    assert own["metrics"]["pointing"]["boxes"] == document["found"] > 3
    assert own["metrics"]["insertion_minus_deletion"]["boxes"] == 1
    assert own["metrics"]["energy_in_mask"]["mean"] < own["metrics"]["energy"]["mean"]
    assert own["deletion_curve"][0] == 1.0
    assert len(document["agreement"]) == 1
    assert len(document["sanity"]) == 1  # occlusion looks at the model's output only
    assert document["parts"][-2:] == ["backbone 1/3", "centred_gaussian"]
    table = (command.out / TABLE_FILE).read_text(encoding="utf-8")
    assert "| `occlusion` | - |" in table
    assert "data:image/svg+xml" in (command.out / PAGE_FILE).read_text(encoding="utf-8")
    assert "occlusion" in out


def test_refined_maps_are_rows_of_their_own(command: Command) -> None:
    """Beside the maps as they are."""
    asked = (
        "--method",
        "layercam",
        "--images",
        "1",
        "--costly_boxes",
        "1",
        "--refine_by",
        "none",
        "--refine_by",
        "auto",
    )
    code, out, _ = command(*asked, "--metrics", "pointing,energy")
    assert code == 0
    rows = {row["method"]: row["metrics"] for row in command.document()["maps"]}
    assert rows["layercam refined by auto"]["energy"]["mean"] > rows["layercam"]["energy"]["mean"]
    assert "layercam refined by auto" in out


def test_the_box_itself_scores_what_it_must(command: Command) -> None:
    """The filled box points into the box; a flat map has the energy of chance."""
    command(*FAST, "--metrics", "pointing,energy_over_chance")
    rows = {row["method"]: row["metrics"] for row in command.document()["maps"]}
    assert rows["box"]["pointing"]["mean"] == pytest.approx(1.0)
    assert rows["uniform"]["energy_over_chance"]["mean"] == pytest.approx(1.0)
    assert set(rows["layercam"]) == {"pointing", "energy_over_chance"}


def test_an_interrupted_evaluation_goes_on_to_the_same_end(command: Command) -> None:
    """Killed within the second line: the first image is kept, the second done again, and nothing else differs."""
    command(*FAST)
    whole, lines = command.document(), (command.out / MEASUREMENTS_FILE).read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    (command.out / EVAL_FILE).rename(command.out / PARTIAL_FILE)
    (command.out / TABLE_FILE).unlink()
    (command.out / MEASUREMENTS_FILE).write_bytes(lines[0] + lines[1][:-40])
    code, _, _ = command(*FAST, "--resume")
    assert code == 0
    assert command.document() == whole
    assert (command.out / MEASUREMENTS_FILE).read_bytes().splitlines(keepends=True)[0] == lines[0]


def test_other_settings_cannot_go_on(command: Command) -> None:
    """The difference is shown, and nothing is changed."""
    command(*FAST)
    before = {path.name: path.read_bytes() for path in command.out.iterdir()}
    assert "--costly_boxes was 0, is 1" in command.refused("--resume", *FAST, "--costly_boxes", "1")
    assert "holds an evaluation" in command.refused(*FAST)
    assert {path.name: path.read_bytes() for path in command.out.iterdir()} == before
    assert command(*FAST, "--overwrite", "--draw_threshold", "0.9")[0] == 0


def test_files_of_others_are_not_replaced(command: Command) -> None:
    """A report that no evaluation wrote stays."""
    command.out.mkdir()
    (command.out / PAGE_FILE).write_text("mine")
    assert "is not of an earlier evaluation" in command.refused(*FAST, "--overwrite")
    assert (command.out / PAGE_FILE).read_text() == "mine"


def test_an_image_that_cannot_be_read_is_listed(command: Command, tmp_path: Path) -> None:
    """The others are measured; the exit code tells; --resume tries it again."""
    folder = tmp_path / "scenes"
    shutil.copytree(GT.parent, folder)
    broken = folder / json.loads(GT.read_text())["images"][0]["file_name"]
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    code, out, err = command(*FAST, "--metrics", "energy", gt=folder / GT.name)
    assert code == 3
    assert f"failed: {broken}" in err or f"failed: image file {str(broken)!r}" in err
    assert command.document()["images"] == 1
    assert "layercam" in out
    broken.write_bytes(content)
    assert command(*FAST, "--metrics", "energy", "--resume", gt=folder / GT.name)[0] == 0
    assert command.document()["images"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "gradkam"), "did you mean 'gradcam'"),
        (("--metrics", "energi"), "no metric 'energi' (did you mean 'energy'"),
        (("--target_feature_layer_name", "model.bakbone"), "no layer 'model.bakbone'"),
        (("--metrics", "energy,"), "--metrics 'energy,' has an empty item"),
        (("--target", "box:up"), "a box has no side 'up'"),
        (("--images", "x"), "all flags: cam_eval --help"),
        (("--infer_dir", "nowhere"), "--infer_dir nowhere holds none of the images"),
    ],
)
def test_wrong_flags_are_one_line(command: Command, arguments: tuple[str, ...], message: str) -> None:
    """Nothing is written for what cannot be measured."""
    assert message in command.refused(*arguments)
    assert not command.out.exists()


# --- masks


def annotated(segmentation: object) -> TrueBox:
    return TrueBox(1, "cat", (0, 0, 2, 2), segmentation=segmentation)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1.0, 0.0, 3.0, 0.0, 3.0, 2.0, 1.0, 2.0]],
        {"counts": [2, 2, 0, 2, 2], "size": [2, 4]},
        {"counts": "242", "size": [2, 4]},
    ],
    ids=["polygon", "run lengths", "compressed run lengths"],
)
def test_masks_are_read_in_each_of_cocos_forms(segmentation: object) -> None:
    """Columns 1 and 2 of a 2 x 4 image; run lengths go down the columns."""
    mask = true_mask(annotated(segmentation), original_hw=(2, 4))
    np.testing.assert_array_equal(mask, [[False, True, True, False]] * 2)


def test_an_object_without_segmentation_has_no_mask() -> None:
    """Boxes alone are enough."""
    assert true_mask(annotated(None), original_hw=(2, 4)) is None


@pytest.mark.parametrize("segmentation", [[["a"]], {"counts": 3}, 7, {"counts": [8], "size": [4, 2]}])
def test_a_mask_that_is_none_is_refused(segmentation: object) -> None:
    """The annotation is named."""
    with pytest.raises(ValueError, match="annotation 1 has "):
        true_mask(annotated(segmentation), original_hw=(2, 4))


def test_demo_annotations_have_masks() -> None:
    """The drawn scenes say which pixels an object is."""
    names = json.loads(GT.read_text())["categories"]
    truth = read_ground_truth(GT, [category["name"] for category in names])
    boxes = next(iter(truth.boxes.values()))
    assert all(box.segmentation is not None for box in boxes)


def test_a_config_and_annotations_are_needed(tmp_path: Path, capsys) -> None:
    """Each is asked for by name."""
    for arguments, message in (
        (["--gt", str(GT)], "no config given: -c <file>.yml"),
        (["-c", str(CONFIG)], "the following arguments are required: --gt"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
