"""Layers as they are named: paths, levels, commas and repeats."""

from __future__ import annotations

import pytest

from ppdet_cam.detectors.layer_names import parse_layers
from ppdet_cam.errors import LayerError, PpdetCamError


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["model.backbone"], {"model.backbone": None}),
        (["model.neck@1"], {"model.neck": (1,)}),
        (["model.backbone,model.neck"], {"model.backbone": None, "model.neck": None}),
        (["model.backbone", "model.neck"], {"model.backbone": None, "model.neck": None}),
        ([" model.backbone , model.neck@0 "], {"model.backbone": None, "model.neck": (0,)}),
        (["a@2,a@0", "a@1"], {"a": (0, 1, 2)}),
        (["a@1", "a@1"], {"a": (1,)}),
        (["a@1", "a"], {"a": None}),
        (["a", "a@1"], {"a": None}),
        (["a@1,a,a@2"], {"a": None}),
        (["a@10"], {"a": (10,)}),
        ([], {}),
    ],
)
def test_parse_layers_gives_paths_and_levels(texts: list[str], expected: dict) -> None:
    """Commas and repeats say the same; levels of one layer are put together, and the whole layer holds them all."""
    assert parse_layers(texts) == expected


def test_parse_layers_keeps_the_order() -> None:
    """Layers stand in the order in which they were first named."""
    assert list(parse_layers(["b", "a@1,c", "a@0"])) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["model.neck@"], "'model.neck@': a level is a number from 0, as in model.neck@0, not ''"),
        (["model.neck@one"], "'model.neck@one': a level is a number from 0, as in model.neck@0, not 'one'"),
        (["model.neck@-1"], "not '-1'"),
        (["model.neck@1@2"], "not '1@2'"),
        (["model.neck@1.0"], "not '1.0'"),
        ([""], "'' names no layer in one place"),
        (["@1"], "'@1' names no layer in one place"),
        (["model.neck,"], "'model.neck,' names no layer in one place; give dotted paths such as model.backbone"),
        (["a,,b"], "names no layer in one place"),
        (["a", " "], "'a,  ' names no layer in one place"),
    ],
)
def test_parse_layers_refuses_what_names_no_layer(texts: list[str], message: str) -> None:
    """An empty path and a level that is no number are refused with what was given."""
    with pytest.raises(LayerError) as caught:
        parse_layers(texts)
    assert message in str(caught.value)
    assert isinstance(caught.value, PpdetCamError)
