"""Files are read, and what is in a file's place is not waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ppdet_cam.detectors.class_names import read_class_list
from ppdet_cam.errors import ConfigError, OutputError
from ppdet_cam.outputs.resume import find_earlier_run
from ppdet_cam.places import read_regular
from ppdet_cam.questions.annotations import read_ground_truth
from ppdet_cam.report.page import check_page_is_ours
from ppdet_cam.report.reading import read_run


@pytest.fixture
def pipe(tmp_path: Path):
    """Returns a function that makes a pipe that nothing writes into."""

    def make(name: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / name)
        return tmp_path / name

    return make


def test_read_regular_reads_files_and_links_to_them(tmp_path: Path) -> None:
    """What is there, as it is; what is not there is the system's error."""
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b") == b"x"
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "c")
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)


def test_pipes_and_devices_are_not_waited_for(pipe) -> None:
    """/dev/zero would fill the memory."""
    for path in (pipe("x"), Path("/dev/zero")):
        with pytest.raises(OSError, match="it is a device or pipe, not a file"):
            read_regular(path)


def test_no_reader_waits_for_a_pipe(pipe, tmp_path: Path) -> None:
    """Class lists, annotations of an image, the manifest of a run."""
    with pytest.raises(ConfigError, match="names.txt: it is a device or pipe"):
        read_class_list(pipe("names.txt"))
    for name in ("voc/x.xml", "yolo/x.txt"):
        with pytest.raises(ConfigError, match="cannot be read: it is a device or pipe"):
            read_ground_truth(pipe(name).parent, ["dog"])
    with pytest.raises(ConfigError, match=r"run\.json: it is a device or pipe"):
        read_run(pipe("run/run.json").parent)


def test_pipes_are_of_nobody_s_run_and_stay(pipe) -> None:
    """In the place of a manifest or a page they are not replaced."""
    with pytest.raises(OutputError, match=r"run\.json is not of an earlier run"):
        find_earlier_run(pipe("out/run.json").parent)
    with pytest.raises(OutputError, match="is not a report"):
        check_page_is_ours(pipe("report.html"), "a report")
