"""The wheel: what is in it, what it asks for, and that it runs from where pip puts it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.places import ROOT

pytestmark = pytest.mark.slow

# what a user's environment has in builds that pip cannot tell apart
USERS_OWN = ("paddle", "opencv", "paddledet")


def run(*command: str, cwd: Path, **environment: str) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env={**variables, **environment}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip() -> tuple[str, ...]:
    """Returns the installer of this environment: uv makes environments without pip."""
    if importlib.util.find_spec("pip"):
        return (sys.executable, "-m", "pip")
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("there is neither pip nor uv")
    return uv, "pip"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the files that git has, built without a network."""
    pytest.importorskip("build")
    pytest.importorskip("wheel")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/images/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source), cwd=out)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_the_package_configs_and_demo(wheel):
    """Every module of the package is in it, with templates, configs and the demo; no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "ppdet_cam").rglob("*.py")}
    assert modules <= set(names)
    for name in ("report/templates/report.html", "configs/demo/ppyoloe.yml", "demo/drawn/scene_1.jpg", "py.typed"):
        assert f"ppdet_cam/{name}" in names
    assert not [name for name in names if "test" in Path(name).parts[0]]


def test_wheel_asks_for_nothing_that_the_user_chooses(wheel):
    """Installing brings no paddle, no ppdet and no OpenCV, and no bound above numpy; the extra `cpu` brings them."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    asked = re.findall(r"^Requires-Dist: (.*)$", archive.read(name).decode("utf-8"), re.MULTILINE)
    always = [line for line in asked if "extra ==" not in line]
    assert not [line for line in always if line.startswith(USERS_OWN)]
    assert [line for line in always if line.startswith("numpy")] == ["numpy>=1.22"]
    cpu = [line for line in asked if re.search(r"extra == .cpu", line)]
    assert sorted(line.split(">")[0].split("<")[0] for line in cpu) == ["opencv-python-headless", "paddlepaddle"]
    assert "Requires-Python: >=3.9" in archive.read(name).decode("utf-8")


def test_wheel_runs_from_where_it_is_installed(wheel, tmp_path):
    """Installed without its dependencies, the command helps, lists, and finds the configs that came with it."""
    target = tmp_path / "site"
    run(*pip(), "install", "--no-deps", "--quiet", "--target", str(target), str(wheel), cwd=tmp_path)
    program = "import sys; from ppdet_cam.commands.cam_ppdet import main; sys.exit(main(sys.argv[1:]))"
    path = {"PYTHONPATH": str(target)}
    assert "--ppdet FOLDER" in run(sys.executable, "-c", program, "--help", cwd=tmp_path, **path)
    assert "layercam" in run(sys.executable, "-c", program, "--list_methods", cwd=tmp_path, **path)
    config = ("-c", "configs/demo/blazeface.yml", "--list_layers")
    assert "model.backbone" in run(sys.executable, "-c", program, *config, cwd=tmp_path, **path)
    where = run(sys.executable, "-c", "import ppdet_cam; print(ppdet_cam.__file__)", cwd=tmp_path, **path)
    assert where.startswith(str(target))
