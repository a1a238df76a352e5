"""`cam_ppdet --model_dir`: an exported model explained, its report, its comparison with the config's run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ppdet_cam.commands.cam_compare import main as compare
from ppdet_cam.commands.cam_ppdet import main
from ppdet_cam.images.reading import frame_of
from ppdet_cam.places import PROJECT_ROOT
from tests.running.test_video import save_video
from tests.support.exporting import export_demo

SCENE = PROJECT_ROOT / "demo/drawn/scene_1.jpg"
Run = Callable[..., int]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_demo("ssd", tmp_path_factory.mktemp("exported"))


def run(*words: object) -> int:
    return main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert run(*words) == 2
    return capsys.readouterr().err


def test_an_exported_model_is_explained_and_compared_with_its_config(exported: Path, tmp_path: Path) -> None:
    """Boxes, scores and maps of both runs are the same; the report says that the inside was not looked at."""
    asked = ["--infer_img", SCENE, "--samples", 6, "--top_k", 2, "--save", "overlay,raw"]
    deployed, config, out = tmp_path / "deployed", tmp_path / "config", tmp_path / "compared"
    assert run("--model_dir", exported, *asked, "--report", "--cam_out", deployed) == 0
    page = (deployed / "report.html").read_text(encoding="utf-8")
    assert "not looked at: the output alone" in page and "Exported model" in page
    document = json.loads((deployed / "run.json").read_text(encoding="utf-8"))
    assert document["flags"]["model_dir"] == str(exported) and document["config"]["architecture"] == "SSD"
    of_config = ["-c", PROJECT_ROOT / "configs/demo/ssd.yml", "-o", "use_gpu=false", "--output_only"]
    assert run(*of_config, *asked, "--report", "--cam_out", config) == 0
    assert "not looked at: the output alone" in (config / "report.html").read_text(encoding="utf-8")
    assert compare([str(config), str(deployed), "--out", str(out)]) == 0
    compared = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    total = compared["total"]
    assert (total["kept"], total["lost"], total["new"]) == (2, 0, 0)
    assert abs(total["score"]["change"]["mean"]) < 1e-4 and total["map_correlation"]["mean"] > 0.99
    (difference,) = compared["differences"]
    assert difference["name"] == "config" and difference["a"].endswith("ssd.yml (the output only)")
    assert not compared["settings"]


QUICK = ["--method", "drise", "--samples", 3, "--top_k", 1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three scenes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in (1, 2, 3):
        shutil.copy(PROJECT_ROOT / f"demo/drawn/scene_{number}.jpg", folder)
    return folder


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "images.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_folder_of_images_is_explained_and_gone_on_with(exported: Path, photos: Path, tmp_path: Path) -> None:
    """As with a config: `--infer_dir`, `--resume`, and the question may not change in between."""
    asked = ["--model_dir", exported, "--infer_dir", photos, *QUICK, "--cam_out", tmp_path / "out"]
    assert run(*asked) == 0
    assert [one["name"] for one in lines(tmp_path / "out")] == [f"scene_{number}" for number in (1, 2, 3)]
    assert run(*asked, "--resume") == 0 and len(lines(tmp_path / "out")) == 3
    assert run(*asked, "--resume", "--top_k", 2) == 2


def test_shards_of_a_folder_are_put_together(exported: Path, photos: Path, tmp_path: Path) -> None:
    """Each does its part, and the last one writes the manifest of all."""
    out = tmp_path / "out"
    asked = ["--model_dir", exported, "--infer_dir", photos, *QUICK, "--cam_out", out]
    assert run(*asked, "--shard", "1/2") == 0 and not (out / "run.json").exists()
    assert run(*asked, "--shard", "2/2") == 0 and (out / "run.json").exists()
    assert len(lines(out)) == 3


def test_objects_that_no_detection_found_are_asked_about(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--gt` names the image; a missed object is said to be no box of the output, and no more."""
    annotations = {
        "images": [{"id": 1, "file_name": "scene_1.jpg", "height": 0, "width": 0}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 1, 6, 6]}],
        "categories": [{"id": 1, "name": "face"}],
    }
    height, width = frame_of(SCENE).original_hw
    annotations["images"][0].update(height=height, width=width)  # type: ignore[attr-defined]
    (tmp_path / "gt.json").write_text(json.dumps(annotations), encoding="utf-8")
    asked = ["--model_dir", exported, "--infer_dir", SCENE.parent, "--gt", tmp_path / "gt.json", *QUICK]
    assert run(*asked, "--cam_out", tmp_path / "out") == 0
    (line,) = lines(tmp_path / "out")
    words = [box["answer"]["words"] for box in line["boxes"] if "answer" in box]  # type: ignore[attr-defined,index,operator]
    assert len(words) == 1 and "no box of the output there (what NMS left out is not known)" in words[0]


def test_a_box_is_asked_about(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is printed."""
    asked = ["--model_dir", exported, "--infer_img", SCENE, "--box", "1,1,7,7", *QUICK[:4]]
    assert run(*asked, "--cam_out", tmp_path / "out") == 0
    assert "box_0: no box of the output there" in capsys.readouterr().out


def test_frames_of_a_video_are_explained(exported: Path, tmp_path: Path) -> None:
    """And put together again."""
    video = save_video(tmp_path / "scene.mp4", frames=2)
    asked = ["--model_dir", exported, "--video_file", video, *QUICK, "--cam_out", tmp_path / "out"]
    assert run(*asked) == 0
    assert (tmp_path / "out/video.mp4").stat().st_size > 0 and len(lines(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "layercam"], "--method layercam looks inside"),
        (["--list_layers"], "--list_layers looks inside"),
        (["-c", "x.yml"], "give one of them"),
        (["-o", "use_gpu=false"], "an exported model has none"),
        (["--slice_infer"], "--slice_infer goes with what looks inside: give -c"),
    ],
)
def test_what_does_not_fit_an_exported_model_is_refused(
    exported: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """On one line, with what to do."""
    assert message in refused(capsys, "--model_dir", exported, "--infer_img", SCENE, *words)
