"""Each repair cures its error, and only what it is for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

from ppdet_cam import compat

import paddle  # isort: skip  (after compat, which loads what paddle needs loaded before it)

pytestmark = pytest.mark.smoke


def test_paddle_still_refuses_to_concatenate_scalars():
    """The error that the repair cures is still there in paddle itself, so the repair is still needed."""
    with pytest.raises(ValueError, match=r"axis is expected to be in range of \[0, 0\)"):
        paddle.concat([paddle.to_tensor(1), paddle.to_tensor(2)])


@pytest.mark.parametrize("name", ["ppdet.modeling.proposal_generator.rpn_head", "ppdet.modeling.post_process"])
def test_repaired_modules_concatenate_scalars(name):
    """What the repaired ppdet modules call `paddle.concat` takes 0-D tensors, and all else is paddle's own."""
    seen = compat._module(name).paddle
    assert seen.concat([paddle.to_tensor(1), paddle.to_tensor([2, 3])]).tolist() == [1, 2, 3]
    assert seen.concat([paddle.ones([1, 2]), paddle.ones([1, 2])], axis=1).shape == [1, 4]
    assert seen.zeros is paddle.zeros


def test_download_has_a_timeout(monkeypatch):
    """ppdet's downloader asks with a timeout, and keeps the options that it gives."""
    asked = {}
    monkeypatch.setattr("requests.get", lambda url, **options: asked.update(url=url, **options))
    compat._module("ppdet.utils.download").requests.get("https://example.org/x", stream=True)
    assert asked == {"url": "https://example.org/x", "stream": True, "timeout": compat.DOWNLOAD_TIMEOUT}


def test_import_in_a_fresh_process_is_silent():
    """Importing the package's paddle rooms first thing neither crashes nor prints nor warns."""
    done = subprocess.run(
        [sys.executable, "-c", "import ppdet_cam.detector"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
