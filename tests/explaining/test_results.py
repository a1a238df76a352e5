"""What the API gives shows itself: in a notebook, in a window, as a file."""

from __future__ import annotations

import dataclasses
import sys
import types

import cv2
import numpy as np
import pytest
from PIL import Image

from ppdet_cam import Explainer
from ppdet_cam.errors import ConfigError, OutputError
from ppdet_cam.explaining.results import PicturedExplanation, pictured
from ppdet_cam.render import RenderStyle, draw_explanation, draw_summary


@pytest.fixture(scope="module")
def result(detector_of, photo):
    return Explainer(detector_of("blazeface"), draw_threshold=0.1, top_k=2)(photo)


def test_pictures_are_those_of_the_render_room(result, photo) -> None:
    """One box's overlay, and all boxes on one picture, in the style of choice."""
    jet = RenderStyle(colormap="jet")
    np.testing.assert_array_equal(result[1].picture(jet), draw_explanation(photo.image, result[1], style=jet))
    np.testing.assert_array_equal(result.picture(), draw_summary(photo.image, list(result)))


def test_save_writes_the_picture(result, tmp_path) -> None:
    """PNG without loss, JPEG nearly; the path comes back; another suffix or place is refused."""
    path = result[0].save(tmp_path / "box.png")
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], result[0].picture())
    assert cv2.imread(str(result.save(str(tmp_path / "all.JPG")))).shape == result.picture().shape
    with pytest.raises(ConfigError, match=r"saved as 'box\.gif'; its name must end in \.jpg, \.jpeg, \.png"):
        result[0].save(tmp_path / "box.gif")
    with pytest.raises(OutputError, match="cannot write .*gone.*No such file"):
        result[0].save(tmp_path / "gone" / "box.png")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.JPG", "box.png"]


def test_html_needs_nothing_beside_it_and_is_escaped(result) -> None:
    """A picture inside, no larger than a notebook shows; names cannot be markup."""
    html = result._repr_html_()
    assert html.startswith("<figure") and 'src="data:image/jpeg;base64,' in html and "http" not in html
    evil = dataclasses.replace(result[0].detection, class_name='<script>"x"')
    html = dataclasses.replace(result[0], detection=evil)._repr_html_()
    assert "&lt;script&gt;&quot;x&quot;" in html and "<script" not in html


def test_large_pictures_are_made_smaller_for_a_notebook(detector_of) -> None:
    """The saved picture keeps its size."""
    wide = np.full((40, 3000, 3), 90, np.uint8)
    one = Explainer(detector_of("blazeface"), boxes=[(1, 1, 20, 20)])(wide)[0]
    html = one._repr_html_()
    data = html.partition("base64,")[2].partition('"')[0]
    import base64

    shown = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1)
    assert shown.shape[1] == 1200 and one.picture().shape[1] >= 3000


def test_show_displays_in_a_notebook_and_opens_a_window_elsewhere(result, monkeypatch) -> None:
    """IPython is asked only where it runs already."""
    opened, displayed = [], []
    monkeypatch.setattr(Image.Image, "show", lambda image: opened.append(image.size))
    monkeypatch.setitem(sys.modules, "IPython", None)
    result[0].show()
    height, width, _ = result[0].picture().shape
    assert opened == [(width, height)]
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    display.display, display.HTML = displayed.append, str
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    ipython.get_ipython = lambda: types.SimpleNamespace()  # a terminal
    result.show()
    assert len(opened) == 2 and not displayed
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    result.show()
    assert displayed == [result._repr_html_()] and len(opened) == 2


def test_texts_are_short(result) -> None:
    """repr says what it is, not a million numbers."""
    assert repr(result[0]).startswith("<PicturedExplanation 0: face 0.") and len(repr(result[0])) < 200
    assert "2 explained: 0 face" in repr(result)


def test_result_of_layers_shows_their_panels(detector_of, photo) -> None:
    """With the method "activations" there is no box to show."""
    result = Explainer(detector_of("blazeface"), method="activations", channels=1)(photo)
    assert result.picture().shape[0] > 100 and "data:image/jpeg" in result._repr_html_()
    assert "levels" in repr(result)


def test_scale_over_several_maps_is_refused(result) -> None:
    """One picture knows no other maps."""
    with pytest.raises(ConfigError, match="normalize='image' compares maps"):
        result[0].picture(RenderStyle(normalize="image"))


def test_explanation_without_its_image_cannot_be_made(result) -> None:
    """The image is no option; made with it, it is the same explanation."""
    again = pictured(result[0], result.frame)
    assert again.detection == result[0].detection and again.heatmap is result[0].heatmap
    with pytest.raises(TypeError, match="give frame="):
        PicturedExplanation(result[0].detection, "x", (), (), result[0].heatmap, result[0].status)
