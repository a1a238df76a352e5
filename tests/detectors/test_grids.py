"""What sequences of tokens stand for, and that nothing is lost between them and feature maps."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_cam.detectors.capture import capturing
from ppdet_cam.detectors.grids import ChannelsFirst, ChannelsLast, Grids, Tokens

LAYER, QUERIES = nn.Identity(), nn.Identity()


def grids(input_hw: tuple[int, int], *, levels: int = 1) -> Grids:
    return Grids(1, input_hw, levels, frozenset({LAYER}), frozenset({QUERIES}))


@pytest.mark.parametrize(
    ("input_hw", "levels", "length", "expected"),
    [
        ((64, 96), 1, 24, Tokens(0, ((4, 6),))),
        ((64, 96), 1, 25, Tokens(1, ((4, 6),))),  # with a class token
        ((800, 1333), 1, 25 * 42, Tokens(0, ((25, 42),))),  # rounded up
        ((100, 100), 1, 36, Tokens(0, ((6, 6),))),  # rounded down, as patches are
        ((64, 96), 4, 96 + 24 + 6 + 2, Tokens(0, ((8, 12), (4, 6), (2, 3), (1, 2)))),
        ((64, 96), 1, 96 + 24 + 6 + 2, None),  # several grids only where they are known to come together
        ((64, 96), 1, 100, None),
    ],
    ids=str,
)
def test_sequence_is_of_the_grids_that_its_length_tells(input_hw, levels, length, expected) -> None:
    """The network input's halvings give the grids that a sequence may be of."""
    assert grids(input_hw, levels=levels).of_sequence(length) == expected


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (LAYER, (1, 24, 5), Tokens(0, ((4, 6),))),
        (LAYER, (1, 4, 6, 5), ChannelsLast),
        (LAYER, (1, 5, 4, 6), ChannelsFirst),
        (LAYER, (1, 4, 6, 4), ChannelsLast),
        (LAYER, (1, 4, 4, 6), ChannelsFirst),
        (LAYER, (6, 4, 4, 6), None),  # windows, or decoder layers: not an image each
        (nn.Identity(), (1, 24, 5), None),  # not known to be places
        (nn.Identity(), (1, 5, 4, 6), ChannelsFirst),
        (QUERIES, (1, 5, 4, 6), None),
    ],
    ids=str,
)
def test_layout_of_a_layers_output(layer, shape, expected) -> None:
    """Axes are told apart by the sizes that a grid of this input can have."""
    found = grids((64, 96)).layout(layer, paddle.zeros(shape))
    assert found == expected if isinstance(expected, Tokens) else type(found) is (expected or type(None))


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (ChannelsFirst(), (2, 3, 4, 6)),
        (ChannelsLast(), (2, 4, 6, 3)),
        (Tokens(0, ((4, 6),)), (2, 24, 3)),
        (Tokens(1, ((4, 6),)), (2, 25, 3)),
        (Tokens(0, ((4, 6), (2, 3))), (2, 30, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_joining_what_was_split_gives_the_same_bits(layout, shape) -> None:
    """Taking a tensor apart and putting it together changes nothing, and the maps' rows run along x."""
    tensor = paddle.rand(shape)
    maps = layout.split(tensor)
    np.testing.assert_array_equal(layout.join(maps, tensor).numpy(), tensor.numpy())
    assert all(one.shape[:2] == [2, 3] for one in maps)
    if isinstance(layout, Tokens):
        np.testing.assert_array_equal(maps[0][0, :, 1, 2].numpy(), tensor[0, layout.before + 6 + 2].numpy())


class TwoLevels(nn.Layer):
    """Gives a sequence of two grids behind one another; what follows weighs one token."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 3)

    def forward(self, tokens: paddle.Tensor) -> paddle.Tensor:
        return self.encoder(tokens)[0, 24 + 4].sum()  # row 1, column 1 of the second grid, of 2 x 3 cells


def test_gradient_of_a_token_lies_in_its_cell() -> None:
    """A number that is read from one token has its gradient in that token's cell of that token's level."""
    model, tokens = TwoLevels(), paddle.rand([1, 30, 3])
    known = Grids(1, (64, 96), 2, frozenset(model.sublayers()))
    with capturing({"model.encoder": model.encoder}, known) as capture:
        number = model(tokens)
    first, second = capture.feature_maps("model.encoder")
    of_first, of_second = (one.numpy() for one in paddle.grad(number, [first, second]))
    assert [first.shape, second.shape] == [[1, 3, 4, 6], [1, 3, 2, 3]]
    assert not of_first.any()
    expected = np.zeros((1, 3, 2, 3), np.float32)
    expected[:, :, 1, 1] = 1.0
    np.testing.assert_array_equal(of_second, expected)


def test_altered_level_goes_back_among_the_tokens() -> None:
    """One level put in another's place gives a sequence whose other tokens are the captured ones."""
    model, tokens = TwoLevels(), paddle.rand([1, 30, 3])
    known = Grids(1, (64, 96), 2, frozenset(model.sublayers()))
    with capturing({"model.encoder": model.encoder}, known) as capture:
        model(tokens)
    altered = paddle.rand([5, 3, 2, 3])
    output = capture.substituted("model.encoder", 1, altered).numpy()
    np.testing.assert_array_equal(output[3, :24], model.encoder(tokens).numpy()[0, :24])
    np.testing.assert_array_equal(output[3, 24:], altered.numpy()[3].reshape(3, 6).T)
