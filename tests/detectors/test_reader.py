"""Only reader operations that keep pixels in place, up to a scale, are let through."""

from __future__ import annotations

import numpy as np
import pytest

from ppdet_cam.detectors.preprocessing import Preprocessing
from ppdet_cam.detectors.reader import PLACE_KEEPING, PLACE_MOVING, geometry_of, operations
from ppdet_cam.errors import ConfigError, GeometryError, PpdetCamError
from ppdet_cam.structures import Frame, ImageGeometry

KNOWN = [
    {"Decode": {}},
    {"Resize": {"target_size": [800, 1333], "keep_ratio": True, "interp": 2}},
    {"NormalizeImage": {"is_scale": True, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
    {"Pad": {"size": [640, 640], "fill_value": [0, 0, 0]}},
    {"Permute": {}},
]


def test_operations_keeps_order_and_arguments() -> None:
    """Known operations come back in order with their arguments, and the reader's own dicts stay apart."""
    reader = {"sample_transforms": KNOWN, "batch_transforms": [{"PadBatch": {"pad_to_stride": 32}}]}
    found = operations(reader, "sample_transforms")
    assert found == KNOWN
    assert found[1]["Resize"] is not KNOWN[1]["Resize"]
    assert operations(reader, "batch_transforms") == [{"PadBatch": {"pad_to_stride": 32}}]


def test_operations_takes_an_operation_without_arguments() -> None:
    """`- Permute:` in YAML is an operation whose arguments are None."""
    assert operations({"sample_transforms": [{"Permute": None}]}, "sample_transforms") == [{"Permute": {}}]


@pytest.mark.parametrize("reader", [{}, {"batch_transforms": None}, {"batch_transforms": []}])
def test_operations_of_an_absent_list_is_empty(reader: dict) -> None:
    """A reader without the list has no operations."""
    assert operations(reader, "batch_transforms") == []


def test_operations_refuses_an_operation_that_it_does_not_know() -> None:
    """An unknown operation is refused by name and arguments, with all known ones."""
    reader = {"sample_transforms": [{"Decode": {}}, {"RandomFlip": {"prob": 0.25}}]}
    with pytest.raises(GeometryError, match=r"RandomFlip\{'prob': 0.25\}") as caught:
        operations(reader, "sample_transforms")
    assert isinstance(caught.value, PpdetCamError)
    assert isinstance(caught.value, ValueError)
    for name in (*PLACE_KEEPING, *PLACE_MOVING):
        assert f"{name} (" in str(caught.value)


@pytest.mark.parametrize("offset_mode", [0, 1, 2])
def test_operations_refuses_a_padding_that_moves_the_image(offset_mode: int) -> None:
    """Pad moves the image unless its offset_mode is -1."""
    reader = {"sample_transforms": [{"Pad": {"size": [640, 640], "offset_mode": offset_mode}}]}
    with pytest.raises(GeometryError, match=f"Pad.*'offset_mode': {offset_mode}"):
        operations(reader, "sample_transforms")


@pytest.mark.parametrize("arguments", [None, {}, {"size_divisor": 32}, {"offset_mode": -1}], ids=str)
def test_operations_takes_a_padding_right_and_bottom(arguments: dict) -> None:
    """Pad with offset_mode -1, which is its default, keeps the image at the top left."""
    assert operations({"sample_transforms": [{"Pad": arguments}]}, "sample_transforms") == [{"Pad": arguments or {}}]


@pytest.mark.parametrize(
    "listed", ["Resize", 3, {"Resize": {}}, ["Decode"], [{"Decode": {}}, None], [["Decode"]]], ids=str
)
def test_operations_refuses_what_is_no_list_of_operations(listed: object) -> None:
    """A value or an item of another form is refused, with the key and the value."""
    with pytest.raises(ConfigError, match=r"TestReader\.sample_transforms must be a list of operations") as caught:
        operations({"sample_transforms": listed}, "sample_transforms")
    assert repr(listed) in str(caught.value)


@pytest.mark.parametrize(
    "item", [{"Resize": 640}, {"Resize": [640, 640]}, {"Pad": 640}, {"Permute": "yes"}, {"RandomFlip": 3}], ids=str
)
def test_operations_refuses_arguments_that_are_no_mapping(item: dict) -> None:
    """`- Resize: 640` is a mistake in the config, told as one."""
    with pytest.raises(PpdetCamError, match=next(iter(item))):
        operations({"sample_transforms": [item]}, "sample_transforms")


def test_geometry_of_reads_height_before_width() -> None:
    """Shape [1, C, H, W] and factors (y, x) become plain numbers, y first, with the image at the top left."""
    found = geometry_of((480, 640), [1, 3, 608, 800], np.array([1.25, 1.5], dtype=np.float32))
    assert found == ImageGeometry(
        original_hw=(480, 640), padded_hw=(608, 800), scale_yx=(1.25, 1.5), offset_yx=(0.0, 0.0)
    )
    assert [type(value) for value in (*found.padded_hw, *found.scale_yx)] == [int, int, float, float]


@pytest.mark.parametrize("other", ["Resize", "LetterBoxResize"])
def test_operations_refuses_two_that_scale(other: str) -> None:
    """Where a letter box and another scaling put the image is not known."""
    listed = [{other: {"target_size": [8, 8]}}, {"WarpAffine": {}}]
    with pytest.raises(GeometryError, match=f"TestReader uses {other} and WarpAffine, and where both together"):
        operations({"sample_transforms": listed}, "sample_transforms")


MOVING = {
    "letter box": ("LetterBoxResize", {"target_size": [64, 128]}),
    "letter box, with a rest": ("LetterBoxResize", {"target_size": [97, 131]}),
    "letter box, larger": ("LetterBoxResize", {"target_size": [384, 320]}),
    "warped, its own size": ("WarpAffine", {"keep_res": True}),
    "warped": ("WarpAffine", {"keep_res": False, "input_h": 128, "input_w": 160}),
    "warped, larger": ("WarpAffine", {"keep_res": False, "input_h": 300, "input_w": 352}),
}


@pytest.mark.parametrize("hw", [(120, 180), (121, 175), (150, 90)], ids=str)
@pytest.mark.parametrize("case", MOVING)
def test_geometry_says_where_pixels_come_to(case: str, hw: tuple[int, int]) -> None:
    """In an image whose values tell their own place, each place of the network input holds what the geometry says."""
    from ppdet.data.transform import operators
    from ppdet.data.transform.mot_operators import LetterBoxResize

    name, arguments = MOVING[case]
    operation = (LetterBoxResize if name == "LetterBoxResize" else getattr(operators, name))(**arguments)
    rows, columns = np.mgrid[: hw[0], : hw[1]].astype(np.uint8)
    frame = Frame(np.stack([rows, columns, np.full(hw, 200, np.uint8)], axis=-1))
    inputs, geometry = Preprocessing([operation, operators.Permute()], []).prepare(frame)
    seen = inputs["image"].numpy()[0].astype(np.float64)
    if name == "WarpAffine":  # it turns the channels around
        seen = seen[::-1]
    height, width = geometry.padded_hw
    assert seen.shape[1:] == (height, width)
    (scale_y, scale_x), (offset_y, offset_x) = geometry.scale_yx, geometry.offset_yx
    found = 0
    for y in range(0, height, 5):
        for x in range(0, width, 5):
            original = ((y + 0.5 - offset_y) / scale_y - 0.5, (x + 0.5 - offset_x) / scale_x - 0.5)
            inside = all(3 / scale_y < place < length - 3 / scale_y for place, length in zip(original, hw))
            if inside and seen[2, y, x] == 200:
                np.testing.assert_allclose(seen[:2, y, x], original, atol=0.75)  # a rounded average of a few pixels
                found += 1
    assert found > 50


@pytest.mark.parametrize("stride", [float("nan"), 0.0, float("inf"), -8.0])
def test_sizes_of_cells_that_are_none_are_refused(stride: float) -> None:
    """A head's steps come from the config as they are; a map could not be placed with them."""
    from ppdet_cam.detectors.detector import checked_strides

    assert checked_strides({(2, 3): (8.0, 16.0)}) == {(2, 3): (8.0, 16.0)}
    with pytest.raises(GeometryError, match="a cell of the 2 x 3 grid is .* steps or strides must be numbers above 0"):
        checked_strides({(4, 4): (8.0, 8.0), (2, 3): (8.0, stride)})
