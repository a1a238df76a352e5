"""Which ppdet is used: one that is installed, or a checkout that somebody named; never one that nobody named."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from support.checkouts import COMMIT, OTHER, make_checkout, write_git
from support.places import ROOT

from ppdet_cam.detectors import compat
from ppdet_cam.detectors.checkout import ENVIRONMENT, PpdetSource, check, choose, revision_of
from ppdet_cam.errors import ConfigError

pytestmark = pytest.mark.smoke

COMMAND = (sys.executable, str(ROOT / "tools" / "cam_ppdet.py"))
LIST_LAYERS = ("-c", str(ROOT / "configs/demo/blazeface.yml"), "--list_layers")
FIND = "from ppdet_cam.detectors.checkout import find_ppdet, source_of; print(source_of(find_ppdet()))"


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs a command in a folder, with no checkout named but by the given variables."""
    variables = {name: value for name, value in os.environ.items() if name not in (ENVIRONMENT, "PYTHONPATH")}
    return subprocess.run(
        command, cwd=cwd, env={**variables, **environment}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like a checkout, and says so when its ppdet is imported."""
    return make_checkout(tmp_path / "PaddleDetection")


@pytest.mark.parametrize("how", ["-m", "-c", "script"])
def test_current_folder_is_not_imported_from(checkout, how):
    """Run from within a checkout, the installed ppdet is found, and the log says how to use the checkout."""
    program = (
        "import logging; logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        f"{FIND}\nimport sys; print('ppdet' in sys.modules)"
    )
    (checkout / "mine.py").write_text(program, encoding="utf-8")
    arguments = {"-m": ("-m", "mine"), "-c": ("-c", program), "script": ("mine.py",)}[how]
    # ppdet_cam has to come from somewhere; in a user's environment it is installed
    path = os.pathsep.join([str(ROOT), *_ppdet_path()])
    done = run(sys.executable, *arguments, cwd=checkout, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    found, is_imported = done.stdout.splitlines()
    assert (found, is_imported) == (str(compat.PPDET), "False")
    assert "the current folder is a PaddleDetection checkout that is not used" in done.stderr
    assert "--ppdet ." in done.stderr


def _ppdet_path() -> list[str]:
    """Where the ppdet of this run lies, if it is a checkout: the tests are run with checkouts as well."""
    return [] if compat.PPDET.version else [str(compat.PPDET.folder)]


@pytest.mark.parametrize("way", ["flag", "environment", "PYTHONPATH"])
def test_named_folder_is_imported_from(checkout, way):
    """A checkout is used when the flag, the variable or PYTHONPATH names it, also by a relative path."""
    flag = ("--ppdet", "PaddleDetection") if way == "flag" else ()
    environment = {"environment": {ENVIRONMENT: "PaddleDetection"}, "PYTHONPATH": {"PYTHONPATH": "PaddleDetection"}}
    done = run(*COMMAND, *LIST_LAYERS, *flag, cwd=checkout.parent, **environment.get(way, {}))
    assert "RuntimeError: imported" in done.stderr


def test_folder_on_pythonpath_is_named_even_if_it_is_the_current_one(checkout):
    """PYTHONPATH=. says that the current folder is meant."""
    done = run(sys.executable, "-c", FIND, cwd=checkout, PYTHONPATH=os.pathsep.join([str(ROOT), "."]))
    assert done.stdout.strip() == str(checkout), done.stderr


def test_wrong_folder_is_refused_before_anything_is_imported(tmp_path, checkout):
    """No folder, one that is no PaddleDetection, and one that is too old: what, and what to do."""
    with pytest.raises(ConfigError, match="there is no such folder. Give that of a PaddleDetection checkout"):
        check(tmp_path / "missing")
    with pytest.raises(ConfigError, match="there is no such folder. Give that of a PaddleDetection checkout"):
        check(tmp_path / ("x" * 300))
    with pytest.raises(ConfigError, match=r"is no PaddleDetection: .* did you mean .*PaddleDetection\?"):
        check(checkout / "ppdet")
    with pytest.raises(ConfigError, match=r"is no PaddleDetection: .* did you mean .*PaddleDetection\?"):
        check(tmp_path)
    with pytest.raises(ConfigError, match=r"is older than 2\.6\.0: .* 2\.7\.0 and the develop branch"):
        check(make_checkout(tmp_path / "old", is_old=True))
    check(checkout)


@pytest.mark.parametrize("command", ["cam_ppdet", "cam_eval"])
def test_command_refuses_a_wrong_folder_on_one_line(tmp_path, command):
    """Both commands that need ppdet have the flag, and end with 2 and one line."""
    arguments = ["-c", str(ROOT / "configs/demo/ssd.yml"), "--ppdet", str(tmp_path)]
    arguments += ["--gt", str(ROOT / "demo/drawn/annotations.json")] if command == "cam_eval" else ["--list_layers"]
    program = f"import sys; from ppdet_cam.commands.{command} import main; sys.exit(main(sys.argv[1:]))"
    done = run(sys.executable, "-c", program, *arguments, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{command}: error: --ppdet (or PPDET_CAM_PPDET) {tmp_path} is no PaddleDetection")


def test_another_ppdet_in_the_same_process_is_refused(checkout):
    """ppdet can be imported once in a process; choosing another one says so."""
    with pytest.raises(ConfigError, match="this process has imported another ppdet already"):
        choose(checkout)


def test_old_distribution_is_refused(tmp_path):
    """An installed paddledet that is too old is named with its version."""
    make_checkout(tmp_path, is_old=True)
    information = tmp_path / "paddledet-2.5.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: paddledet\nVersion: 2.5.0\n", encoding="utf-8")
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = run(*COMMAND, *LIST_LAYERS, cwd=tmp_path.parent, PYTHONPATH=path)
    assert done.returncode == 2
    assert f"error: paddledet 2.5.0 in {tmp_path} is older than 2.6.0" in done.stderr


@pytest.mark.parametrize(
    ("hidden", "first", "second"),
    [
        ("paddle", "paddle is missing. For the CPU: pip install", "for a GPU: the paddlepaddle-gpu"),
        ("ppdet", "ppdet is missing. Install it: pip install --no-deps paddledet==2.6.0", "--ppdet FOLDER"),
        ("cv2", "OpenCV is missing. On a server: pip install opencv-python-headless", "pip install opencv-python"),
    ],
)
def test_missing_package_is_told_with_how_to_get_it(checkout, hidden, first, second):
    """Two lines say how to get what is missing; a checkout in the current folder is pointed at, and not imported."""
    program = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {hidden!r}: raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "from ppdet_cam.commands.cam_ppdet import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    if hidden == "ppdet":
        program = program.replace("raise ModuleNotFoundError(f'No module named {name!r}', name=name)", "return None")
        program = program.replace(
            "from ppdet_cam.commands",
            "from ppdet_cam.detectors import checkout\ncheckout._on_path = lambda: None\nfrom ppdet_cam.commands",
            1,
        )
    done = run(sys.executable, "-c", program, *LIST_LAYERS, cwd=checkout, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and f"error: {first}" in lines[0], done.stderr
    assert second in lines[1] and (hidden != "ppdet" or "The current folder is one: --ppdet ." in lines[1])


def test_help_needs_neither_paddle_nor_ppdet():
    """Flags, methods and targets are printed where neither is installed."""
    program = (
        "import sys\n"
        "for name in ('paddle', 'ppdet'): sys.modules[name] = None\n"
        "from ppdet_cam.commands.{command} import main\n"
        "try: sys.exit(main([{flag!r}]))\n"
        "except ModuleNotFoundError as error: sys.exit(str(error))\n"
    )
    for command, flag in (("cam_ppdet", "--help"), ("cam_ppdet", "--list_methods"), ("cam_eval", "--help")):
        done = run(sys.executable, "-c", program.format(command=command, flag=flag), cwd=ROOT)
        assert done.returncode == 0 and done.stdout, done.stderr


def test_source_in_words():
    """An installed ppdet is its version; a checkout its folder, with tag and commit where they are known."""
    folder = Path("/code/PaddleDetection")
    assert str(PpdetSource(folder, "2.6.0")) == "2.6.0"
    assert str(PpdetSource(folder)) == "/code/PaddleDetection"
    assert str(PpdetSource(folder, None, None, COMMIT)) == f"/code/PaddleDetection (commit {COMMIT})"
    assert str(PpdetSource(folder, None, "v2.7.0", COMMIT)) == f"/code/PaddleDetection (tag v2.7.0, commit {COMMIT})"


# --- git's files


def test_revision_of_a_detached_head_with_an_annotated_packed_tag(tmp_path):
    """`git clone --branch v2.7.0` leaves a hash in HEAD; what an annotated tag is for stands below it."""
    packed = f"# pack-refs with: peeled\n{OTHER} refs/tags/v2.6.0\n{OTHER} refs/tags/v2.7.0\n^{COMMIT}\n"
    write_git(tmp_path, {"HEAD": f"{COMMIT}\n", "packed-refs": packed})
    assert revision_of(tmp_path) == ("v2.7.0", COMMIT)


def test_revision_of_a_branch_with_loose_references(tmp_path):
    """A branch's commit is in its own file; so is a tag, whose object may name the commit."""
    write_git(tmp_path, {"HEAD": "ref: refs/heads/develop\n", "refs/heads/develop": COMMIT, "refs/tags/mine": OTHER})
    assert revision_of(tmp_path) == (None, COMMIT)
    stored = tmp_path / ".git" / "objects" / OTHER[:2] / OTHER[2:]
    stored.parent.mkdir(parents=True)
    stored.write_bytes(zlib.compress(f"tag 150\0object {COMMIT}\ntype commit\n".encode("ascii")))
    assert revision_of(tmp_path) == ("mine", COMMIT)


def test_revision_of_a_worktree(tmp_path):
    """A worktree's `.git` is a file that leads to its HEAD, which leads to what the worktrees share."""
    main = write_git(tmp_path / "main", {"packed-refs": f"{COMMIT} refs/heads/develop\n"})
    write_git(main, {"worktrees/other/HEAD": "ref: refs/heads/develop\n", "worktrees/other/commondir": "../..\n"})
    other = tmp_path / "other"
    other.mkdir()
    (other / ".git").write_text(f"gitdir: {main}/.git/worktrees/other\n", encoding="utf-8")
    assert revision_of(other) == (None, COMMIT)


@pytest.mark.parametrize("files", [{}, {"HEAD": ""}, {"HEAD": "ref: refs/heads/gone\n"}, {"HEAD": "nonsense\n"}])
def test_revision_that_cannot_be_read_is_not_known(tmp_path, files):
    """A folder without git, or with something else, has neither tag nor commit."""
    assert revision_of(write_git(tmp_path, files)) == (None, None)
