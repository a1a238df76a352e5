"""`cam_ppdet --model_dir`: an exported model explained, its report, its comparison with the config's run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ppdet_cam.commands.cam_compare import main as compare
from ppdet_cam.commands.cam_ppdet import main
from ppdet_cam.places import PROJECT_ROOT
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
    asked = ["--infer_img", SCENE, "--method", "drise", "--samples", 40, "--top_k", 2, "--save", "overlay,raw"]
    deployed, config, out = tmp_path / "deployed", tmp_path / "config", tmp_path / "compared"
    assert run("--model_dir", exported, *asked, "--report", "--cam_out", deployed) == 0
    page = (deployed / "report.html").read_text(encoding="utf-8")
    assert "not looked at: the output alone" in page and "Exported model" in page
    document = json.loads((deployed / "run.json").read_text(encoding="utf-8"))
    assert document["flags"]["model_dir"] == str(exported) and document["config"]["architecture"] == "SSD"
    of_config = ["-c", PROJECT_ROOT / "configs/demo/ssd.yml", "-o", "use_gpu=false"]
    assert run(*of_config, *asked, "--cam_out", config) == 0
    assert compare([str(config), str(deployed), "--out", str(out)]) == 0
    compared = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    total = compared["total"]
    assert (total["kept"], total["lost"], total["new"]) == (2, 0, 0)
    assert abs(total["score"]["change"]["mean"]) < 1e-4 and total["map_correlation"]["mean"] > 0.99
    assert [one["name"] for one in compared["differences"]] == ["config"] and not compared["settings"]


def test_a_folder_of_images_is_explained_and_gone_on_with(exported: Path, tmp_path: Path) -> None:
    """As with a config: `--infer_dir`, `--resume`, and the question may not change in between."""
    asked = ["--model_dir", exported, "--infer_img", SCENE, PROJECT_ROOT / "demo/drawn/scene_2.jpg"]
    asked += ["--method", "occlusion", "--samples", 3, "--top_k", 1, "--cam_out", tmp_path / "out"]
    assert run(*asked) == 0
    assert run(*asked, "--resume") == 0
    assert run(*asked, "--resume", "--top_k", 2) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "layercam"], "--method layercam looks inside"),
        (["--list_layers"], "--list_layers looks inside"),
        (["-c", "x.yml"], "give one of them"),
        (["-o", "use_gpu=false"], "an exported model has none"),
        (["--slice_infer"], "--slice_infer goes with -c"),
    ],
)
def test_what_does_not_fit_an_exported_model_is_refused(
    exported: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """On one line, with what to do."""
    assert message in refused(capsys, "--model_dir", exported, "--infer_img", SCENE, *words)
