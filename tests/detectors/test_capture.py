"""Layers are found by path, their outputs captured with a graph, and the model left as it was."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

from ppdet_cam.detectors import compat  # noqa: F401  (first: loads what paddle needs loaded before it)

import paddle  # isort: skip
from paddle import nn

from ppdet_cam.detectors.capture import (
    Capture,
    capturing,
    feature_maps,
    is_feature_map,
    replaced_methods,
    resolve_layer,
    watching,
    without_graph,
)
from ppdet_cam.errors import LayerError, PpdetCamError

Levels = namedtuple("Levels", ["fine", "coarse"])


class Double(nn.Layer):
    """Gives twice its input; runs through `self.forward` like any layer."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * 2.0


class Same(nn.Layer):
    """Gives its input, the same tensor."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x


class Failing(nn.Layer):
    """Raises when it runs."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        raise RuntimeError("the layer failed")


class Giving(nn.Layer):
    """Gives a fixed output, whatever comes in."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: paddle.Tensor) -> object:
        return self.output


class Small(nn.Layer):
    """backbone -> neck[0] -> neck[1] -> sum of squares, with a layer aside that does not run."""

    def __init__(self, *, last: nn.Layer | None = None) -> None:
        super().__init__()
        self.backbone = nn.Conv2D(3, 2, 1)
        self.neck = nn.LayerList([Double(), Double() if last is None else last])
        self.aside = nn.Conv2D(3, 2, 1)
        self.scale = 3
        self.eval()
        for parameter in self.parameters():
            parameter.stop_gradient = True

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        for layer in (self.backbone, *self.neck):
            x = layer(x)
        return (x * x).sum()


def image() -> paddle.Tensor:
    return paddle.to_tensor(np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2) / 8 - 0.5)


def grid(value: float = 1.0, *, side: int = 2) -> paddle.Tensor:
    return paddle.full([1, 2, side, side], value)


def hooks_of(model: nn.Layer) -> int:
    return sum(
        len(layer._forward_post_hooks) + len(layer._forward_pre_hooks) for layer in model.sublayers(include_self=True)
    )


def own_forwards(model: nn.Layer) -> list[nn.Layer]:
    return [layer for layer in model.sublayers(include_self=True) if "forward" in layer.__dict__]


# resolve_layer


def test_resolve_layer_walks_the_sublayers() -> None:
    """Names, list indices and the root itself lead to the model's own layers."""
    model = Small()
    assert resolve_layer(model, "model") is model
    assert resolve_layer(model, "model.backbone") is model.backbone
    assert resolve_layer(model, "model.neck") is model.neck
    assert resolve_layer(model, "model.neck.1") is model.neck[1]


def test_resolve_layer_walks_nested_lists_and_sequentials() -> None:
    """A list within a list is walked index by index."""
    model = nn.Layer()
    model.stages = nn.LayerList([nn.LayerList([Double()]), nn.LayerList([Same(), nn.Sequential(Same(), Double())])])
    assert resolve_layer(model, "model.stages.1.0") is model.stages[1][0]
    assert resolve_layer(model, "model.stages.1.1.1") is model.stages[1][1][1]


def test_resolve_layer_finds_every_name_that_paddle_lists() -> None:
    """Each of the model's named sublayers is found under that name."""
    model = Small()
    for name, layer in model.named_sublayers():
        assert resolve_layer(model, f"model.{name}") is layer


def test_resolve_layer_names_the_closest_layer() -> None:
    """A misspelt path is refused with the model's type, the close name and where to look."""
    expected = r"no layer 'model\.nek' in Small \(did you mean .*'model\.neck'.*--list_layers"
    with pytest.raises(LayerError, match=expected) as caught:
        resolve_layer(Small(), "model.nek")
    assert isinstance(caught.value, PpdetCamError)
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    "path",
    [
        "model.scale",
        "model.forward",
        "model.training",
        "model.backbone.weight",
        "model.neck.2",
        "model.neck.-1",
        "model.neck[0]",
        "backbone",
        "Model.backbone",
        "model.",
        "model..backbone",
        " model.backbone",
        ".",
        "",
    ],
)
def test_resolve_layer_refuses_what_is_no_layer(path: str) -> None:
    """Values, methods, parameters, indices beyond the end and unfinished paths name no layer."""
    with pytest.raises(LayerError, match="no layer .*--list_layers"):
        resolve_layer(Small(), path)


@pytest.mark.parametrize(
    "path",
    [
        "model.__class__",
        "model.__dict__",
        "model._sub_layers",
        "model._sub_layers.backbone",
        "model.sublayers()",
        "model.backbone;import os",
        "model.backbone.__init__.__globals__",
        "model['backbone']",
        "__import__('os').getcwd()",
    ],
)
def test_resolve_layer_evaluates_nothing(path: str) -> None:
    """Python in a path is a name that no layer has."""
    with pytest.raises(LayerError, match="no layer "):
        resolve_layer(Small(), path)


def test_resolve_layer_refuses_a_place_that_is_left_empty() -> None:
    """A sublayer that was set to None is no layer."""
    model = Small()
    model.aside = None
    with pytest.raises(LayerError, match=r"no layer 'model\.aside'"):
        resolve_layer(model, "model.aside")


# what counts as a feature map


@pytest.mark.parametrize(
    ("tensor", "counts"),
    [
        (lambda: paddle.zeros([1, 2, 3, 4]), True),
        (lambda: paddle.zeros([5, 2, 1, 1], "float64"), True),
        (lambda: paddle.zeros([1, 2, 3]), False),
        (lambda: paddle.zeros([1, 2, 3, 4, 5]), False),
        (lambda: paddle.zeros([1, 2, 3, 4], "int64"), False),
        (lambda: paddle.zeros([1, 2, 3, 4], "bool"), False),
        (lambda: paddle.zeros([0, 2, 3, 4]), False),
    ],
)
def test_is_feature_map_takes_floating_tensors_of_four_axes(tensor, counts: bool) -> None:
    """A feature map is floating, has four axes, and has at least one cell."""
    assert is_feature_map(tensor()) is counts


def test_feature_maps_walks_nested_outputs_in_order() -> None:
    """Lists, tuples and dicts are walked in order; what is no feature map is left out."""
    first, second, third = grid(1.0), grid(2.0), grid(3.0)
    found = feature_maps([first, (paddle.zeros([2, 2]), {"a": second, "b": None}), 3, [[third]]])
    assert [id(tensor) for tensor in found] == [id(first), id(second), id(third)]


# capturing


def test_capturing_keeps_values_bit_identical() -> None:
    """The model's result, and what is captured, are the very numbers of a run without capture."""
    model = Small()
    with paddle.no_grad():
        plain, backbone = model(image()).numpy(), model.backbone(image()).numpy()
    with capturing({"model.backbone": model.backbone, "model.neck.0": model.neck[0]}) as capture:
        captured = model(image()).numpy()
    np.testing.assert_array_equal(captured, plain)
    np.testing.assert_array_equal(capture.array("model.backbone", 0), backbone)
    np.testing.assert_array_equal(capture.array("model.neck.0", 0), backbone * 2.0)


def test_capturing_lets_gradients_reach_the_captured_tensor() -> None:
    """Of sum((4 a)^2) the gradient at the backbone's output a is 32 a, with all parameters frozen."""
    model = Small()
    with capturing({"model.backbone": model.backbone}) as capture:
        score = model(image())
    (activations,) = capture.feature_maps("model.backbone")
    (gradient,) = paddle.grad(score, [activations])
    np.testing.assert_allclose(gradient.numpy(), 32 * activations.numpy(), rtol=1e-6)


def test_capturing_leaves_no_gradient_behind() -> None:
    """After `paddle.grad` neither the captured tensor nor any parameter holds a gradient."""
    model = Small()
    with capturing({"model.backbone": model.backbone}) as capture:
        score = model(image())
    paddle.grad(score, capture.feature_maps("model.backbone"))
    assert capture.feature_maps("model.backbone")[0].grad is None
    assert all(parameter.grad is None and parameter.stop_gradient for parameter in model.parameters())


def test_capturing_two_layers_on_one_path_gives_both_their_gradients() -> None:
    """With a captured before b = 2 a, the score sum((2 b)^2) has gradient 8 b at b and 32 a at a."""
    model = Small()
    with capturing({"model.backbone": model.backbone, "model.neck.0": model.neck[0]}) as capture:
        score = model(image())
    (before,), (after,) = capture.feature_maps("model.backbone"), capture.feature_maps("model.neck.0")
    at_before, at_after = paddle.grad(score, [before, after])
    np.testing.assert_allclose(at_after.numpy(), 8 * after.numpy(), rtol=1e-6)
    np.testing.assert_allclose(at_before.numpy(), 32 * before.numpy(), rtol=1e-6)


def test_capturing_a_layer_that_hands_on_a_captured_tensor() -> None:
    """An identity layer after a captured one has its own feature map, and both get the gradient."""
    model = Small(last=Same())
    with capturing({"model.neck.0": model.neck[0], "model.neck.1": model.neck[1]}) as capture:
        score = model(image())
    (given,), (same,) = capture.feature_maps("model.neck.0"), capture.feature_maps("model.neck.1")
    assert given is not same
    np.testing.assert_array_equal(given.numpy(), same.numpy())
    for gradient in paddle.grad(score, [given, same]):
        np.testing.assert_allclose(gradient.numpy(), 2 * given.numpy(), rtol=1e-6)


def test_capturing_one_layer_under_two_paths_gives_both_their_gradients() -> None:
    """A layer that the model holds under two names is captured under each."""
    model = Small()
    with capturing({"model.backbone": model.backbone, "model.alias": model.backbone}) as capture:
        score = model(image())
    first, second = capture.feature_maps("model.backbone") + capture.feature_maps("model.alias")
    for gradient in paddle.grad(score, [first, second]):
        np.testing.assert_allclose(gradient.numpy(), 32 * first.numpy(), rtol=1e-6)


def test_capturing_under_no_grad_still_gives_the_values() -> None:
    """Without a graph there is no path to the score, but the feature map is there."""
    model = Small()
    with paddle.no_grad(), capturing({"model.backbone": model.backbone}) as capture:
        score = model(image())
    assert score.stop_gradient
    assert capture.array("model.backbone", 0).shape == (1, 2, 2, 2)


def test_capturing_a_layer_that_runs_twice_gives_two_feature_maps() -> None:
    """A layer shared by two levels gives a feature map per call, in order, each with its own gradient."""
    shared = Double()
    with capturing({"model.shared": shared}) as capture:
        score = 3.0 * shared(grid(1.0, side=4)).sum() + 5.0 * shared(grid(2.0)).sum()
    fine, coarse = capture.feature_maps("model.shared")
    assert [fine.shape, coarse.shape] == [[1, 2, 4, 4], [1, 2, 2, 2]]
    np.testing.assert_array_equal(capture.array("model.shared", 1), np.full((1, 2, 2, 2), 4.0))
    at_fine, at_coarse = paddle.grad(score, [fine, coarse])
    assert (at_fine.numpy() == 3.0).all()
    assert (at_coarse.numpy() == 5.0).all()


@pytest.mark.parametrize(
    "output",
    [
        lambda: [grid(1.0), grid(2.0, side=3)],
        lambda: (grid(1.0), grid(2.0, side=3)),
        lambda: Levels(grid(1.0), grid(2.0, side=3)),
        lambda: {"fine": grid(1.0), "coarse": grid(2.0, side=3)},
        lambda: OrderedDict(fine=grid(1.0), coarse=grid(2.0, side=3)),
        lambda: [{"levels": (Levels(grid(1.0), None), 7)}, [grid(2.0, side=3)]],
    ],
    ids=["list", "tuple", "namedtuple", "dict", "OrderedDict", "nested"],
)
def test_capturing_keeps_the_form_of_an_output(output) -> None:
    """Containers keep their types, lengths, keys and other values; each feature map in them is captured."""

    def form(value: object) -> object:
        if isinstance(value, paddle.Tensor):
            return value.shape
        if isinstance(value, dict):
            return type(value), {key: form(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value), [form(part) for part in value]
        return value

    layer = Giving(output())
    with capturing({"model": layer}) as capture:
        given = layer(grid())
    assert form(given) == form(layer.output)
    assert [tensor.shape for tensor in capture.feature_maps("model")] == [[1, 2, 2, 2], [1, 2, 3, 3]]
    assert [id(tensor) for tensor in feature_maps(given)] == [id(tensor) for tensor in capture.feature_maps("model")]
    assert all(not tensor.stop_gradient for tensor in feature_maps(given))
    assert all(tensor.stop_gradient for tensor in feature_maps(layer.output))


def test_capturing_leaves_other_tensors_untouched() -> None:
    """Tensors that are no feature map flow on as the same objects, beside one that is captured."""
    flat, counts = paddle.zeros([2, 3]), paddle.zeros([1, 2, 3, 4], "int64")
    layer = Giving([flat, grid(), counts, None, 3])
    with capturing({"model": layer}) as capture:
        given = layer(grid())
    assert given[0] is flat
    assert given[2] is counts
    assert given[3:] == [None, 3]
    assert flat.stop_gradient
    assert len(capture.feature_maps("model")) == 1


def test_capture_feature_maps_tells_what_a_layer_gave_instead() -> None:
    """A layer without a feature map is refused with the shapes and types that it gave."""
    layer = Giving([paddle.zeros([2, 3]), paddle.zeros([1, 2, 3, 4], "int64")])
    with capturing({"model.head": layer}) as capture:
        layer(grid())
    expected = r"layer 'model\.head' is no feature map: it gives \[2, 3\] float32, \[1, 2, 3, 4\] int64;.*--list_layers"
    with pytest.raises(LayerError, match=expected):
        capture.feature_maps("model.head")


@pytest.mark.parametrize("output", [None, 3, [], {}])
def test_capture_feature_maps_tells_that_a_layer_gave_no_tensor(output: object) -> None:
    """A layer that gives no tensor at all is refused in other words."""
    layer = Giving(output)
    with capturing({"model.head": layer}) as capture:
        assert layer(grid()) == output
    with pytest.raises(LayerError, match="it gives nothing that is a tensor"):
        capture.feature_maps("model.head")


def test_capture_feature_maps_tells_that_a_layer_did_not_run() -> None:
    """A layer that inference does not use is refused as such."""
    model = Small()
    with capturing({"model.aside": model.aside}) as capture:
        model(image())
    with pytest.raises(LayerError, match=r"layer 'model\.aside' does not run at inference"):
        capture.feature_maps("model.aside")


def test_capture_array_is_read_once() -> None:
    """The second reading of a feature map gives the same array."""
    model = Small()
    with capturing({"model.backbone": model.backbone}) as capture:
        model(image())
    assert capture.array("model.backbone", 0) is capture.array("model.backbone", 0)


def test_capturing_removes_hooks() -> None:
    """After the context the model has no hook, and another run is not captured."""
    model = Small()
    with capturing({"model.backbone": model.backbone, "model.neck.1": model.neck[1]}) as capture:
        assert hooks_of(model) == 2
        model(image())
    assert hooks_of(model) == 0
    assert model(image()).stop_gradient
    assert len(capture.feature_maps("model.backbone")) == 1


def test_capturing_removes_hooks_when_forward_raises() -> None:
    """An error inside the model passes through and leaves no hook."""
    model = Small(last=Failing())
    with (
        pytest.raises(RuntimeError, match="the layer failed"),
        capturing({"model.backbone": model.backbone, "model.neck.1": model.neck[1]}),
    ):
        model(image())
    assert hooks_of(model) == 0


def test_capturing_leaves_the_hooks_of_others() -> None:
    """A hook that was there before still runs during and after the capture."""
    model, seen = Small(), []
    handle = model.backbone.register_forward_post_hook(lambda layer, inputs, output: seen.append(output.shape))
    with capturing({"model.backbone": model.backbone}):
        model(image())
    model(image())
    handle.remove()
    assert seen == [[1, 2, 2, 2]] * 2


def test_capture_take_starts_a_graph_only_where_there_is_none() -> None:
    """A tensor without a graph becomes a leaf; one with a graph keeps its way back."""
    capture = Capture()
    leaf = capture.take("model.a", grid(3.0))
    after = capture.take("model.b", leaf * 2.0)
    (gradient,) = paddle.grad((after * after).sum(), [leaf])
    assert leaf.is_leaf
    assert not after.is_leaf
    assert (gradient.numpy() == 24.0).all()


# chosen levels, and outputs with one of them altered


class Pyramid(nn.Layer):
    """Gives a pyramid of two levels beside other tensors, as a tuple of a list and a dict."""

    def forward(self, x: paddle.Tensor) -> tuple:
        scale = paddle.to_tensor(3.0)
        return [x * 2.0, x[:, :, :1]], {"count": paddle.to_tensor([7], dtype="int32"), "scale": scale, "name": 5}


def captured_pyramid() -> Capture:
    layer = Pyramid()
    with capturing({"model.neck": layer}) as capture:
        layer(image())
    return capture


def test_chosen_levels_are_all_or_those_asked_for() -> None:
    """None stands for every level; others are given back as they are."""
    capture = captured_pyramid()
    assert capture.chosen("model.neck", None) == [0, 1]
    assert capture.chosen("model.neck", (1,)) == [1]
    assert capture.chosen("model.neck", (0, 1)) == [0, 1]


def test_chosen_level_that_is_not_there_is_refused() -> None:
    """The message says how many there are."""
    with pytest.raises(LayerError, match=r"'model\.neck' has no level 2; it has levels 0 to 1\. See --list_layers"):
        captured_pyramid().chosen("model.neck", (0, 2))
    model = Small()
    with capturing({"model.backbone": model.backbone}) as capture:
        model(image())
    with pytest.raises(LayerError, match="has no level 1; it has one level, 0"):
        capture.chosen("model.backbone", (1,))


def test_substituted_output_is_whole_where_the_next_layer_took_from_the_list() -> None:
    """ppdet's encoder of Mask RT-DETR pops a level out of the list that the backbone gave."""
    layer = Giving([paddle.ones([1, 2, 4, 4]), paddle.ones([1, 2, 2, 2])])
    with capturing({"model.backbone": layer}) as capture:
        layer(paddle.zeros([1])).pop(0)
    output = capture.substituted("model.backbone", 1, paddle.zeros([3, 2, 2, 2]))
    assert [tensor.shape for tensor in output] == [[3, 2, 4, 4], [3, 2, 2, 2]]


def test_substituted_puts_a_batch_in_the_place_of_one_level() -> None:
    """The altered level has the batch's values; every other tensor is repeated, and the output keeps its form."""
    capture = captured_pyramid()
    altered = paddle.stack([paddle.full([3, 1, 2], value) for value in (8.0, 9.0)])
    levels, others = capture.substituted("model.neck", 1, altered)
    assert type(levels) is list and levels[1] is altered
    assert levels[0].shape == [2, 3, 2, 2]
    for position in range(2):
        np.testing.assert_array_equal(levels[0][position].numpy(), image()[0].numpy() * 2.0)
    assert others["count"].tolist() == [7, 7]
    assert (float(others["scale"]), others["scale"].ndim, others["name"]) == (3.0, 0, 5)
    assert capture.array("model.neck", 1).shape == (1, 3, 1, 2), "the capture itself is not changed"


def test_substituted_is_refused_where_a_layer_ran_several_times() -> None:
    """One of its feature maps cannot be altered alone; the message says how often it ran."""
    layer = Double()
    with capturing({"model.neck": layer}) as capture:
        layer(layer(image()))
    with pytest.raises(LayerError, match="layer 'model.neck' runs 2 times per image.*choose another layer"):
        capture.substituted("model.neck", 0, image())


# watching


def test_watching_notes_inputs_and_outputs_unchanged() -> None:
    """Each call's arguments and output are noted as the very objects, per layer and in order."""
    layer, other = Double(), Double()
    first, second = grid(1.0), grid(2.0, side=3)
    with watching([layer, other]) as watch:
        given = [layer(first), layer(second)]
    assert [id(inputs[0]) for inputs in watch.inputs[layer]] == [id(first), id(second)]
    assert [id(output) for output in watch.outputs[layer]] == [id(output) for output in given]
    assert other not in watch.outputs


def test_watching_sees_what_capturing_put_in_place() -> None:
    """A layer watched and captured hands on one tensor, and the watched output leads back to it."""
    model = Small()
    with capturing({"model.backbone": model.backbone}) as capture, watching([model.backbone, model.neck[0]]) as watch:
        model(image())
    (captured,) = capture.feature_maps("model.backbone")
    assert watch.outputs[model.backbone][0] is captured
    assert watch.inputs[model.neck[0]][0][0] is captured
    (gradient,) = paddle.grad(watch.outputs[model.neck[0]][0].sum(), [captured])
    assert (gradient.numpy() == 2.0).all()


def test_watching_removes_hooks() -> None:
    """No hook stays, whether the context ends or an error ends it."""
    model = Small(last=Failing())
    with watching(list(model.neck)):
        assert hooks_of(model) == 2
    assert hooks_of(model) == 0
    with pytest.raises(RuntimeError, match="the layer failed"), watching(list(model.neck)):
        model(image())
    assert hooks_of(model) == 0


# replaced_methods


class Greeter:
    """An object with a method, to be replaced."""

    def greet(self) -> str:
        return "class"


def test_replaced_methods_lasts_as_long_as_the_context() -> None:
    """The object has the other method inside, and its class's own again after; other objects never change."""
    greeter, other = Greeter(), Greeter()
    with replaced_methods(greeter, greet=lambda: "replaced"):
        assert greeter.greet() == "replaced"
        assert other.greet() == "class"
    assert greeter.greet() == "class"
    assert "greet" not in greeter.__dict__


def test_replaced_methods_puts_back_what_the_object_had_of_its_own() -> None:
    """An object's own attribute comes back, and a name that it had not is gone."""
    greeter = Greeter()
    own = greeter.greet = lambda: "own"
    with replaced_methods(greeter, greet=lambda: "replaced", wave=lambda: "new"):
        assert (greeter.greet(), greeter.wave()) == ("replaced", "new")
    assert greeter.__dict__ == {"greet": own}


def test_replaced_methods_restores_after_an_error() -> None:
    """An error inside passes through, and the object is as before."""
    greeter = Greeter()
    with pytest.raises(RuntimeError, match="inside"), replaced_methods(greeter, greet=lambda: "replaced"):
        raise RuntimeError("inside")
    assert greeter.greet() == "class"


def test_replaced_methods_nests() -> None:
    """Two replacements of one method are undone one after the other."""
    greeter = Greeter()
    with replaced_methods(greeter, greet=lambda: "outer"):
        with replaced_methods(greeter, greet=lambda: "inner"):
            assert greeter.greet() == "inner"
        assert greeter.greet() == "outer"
    assert greeter.greet() == "class"


# without_graph


def differentiable() -> paddle.Tensor:
    tensor = grid(3.0)
    tensor.stop_gradient = False
    return tensor


def test_without_graph_records_no_graph_in_its_layers_only() -> None:
    """A layer in the context gives the same values without a graph; one beside it keeps its graph."""
    layer, other = Double(), Double()
    with paddle.enable_grad(), without_graph([layer]):
        given, beside = layer(differentiable()), other(differentiable())
    assert given.stop_gradient
    assert not beside.stop_gradient
    np.testing.assert_array_equal(given.numpy(), beside.numpy())


def test_without_graph_restores_forward() -> None:
    """After the context, ended well or by an error, the layers record a graph again."""
    model = Small(last=Failing())
    layers = list(model.neck)
    with without_graph(layers):
        assert own_forwards(model) == layers
    assert own_forwards(model) == []
    with pytest.raises(RuntimeError, match="the layer failed"), without_graph(layers):
        model(image())
    assert own_forwards(model) == []
    assert not model.neck[0](differentiable()).stop_gradient


def test_without_graph_puts_back_an_instances_own_forward() -> None:
    """A layer whose forward was replaced on the instance runs that one inside, and has it back after."""
    layer = Double()
    own = layer.forward = lambda x: x * 5.0
    with without_graph([layer]):
        given = layer(differentiable())
    assert given.stop_gradient
    assert (given.numpy() == 15.0).all()
    assert layer.__dict__["forward"] is own
    assert not layer(differentiable()).stop_gradient


def test_without_graph_takes_a_layer_twice() -> None:
    """A layer named twice is restored all the same."""
    layer = Double()
    with without_graph([layer, layer]):
        assert layer(differentiable()).stop_gradient
    assert own_forwards(layer) == []


def test_without_graph_leaves_a_captured_layer_inside_without_a_path() -> None:
    """A layer captured inside a graph-free one has its feature map, and no path to the score."""
    model = Small()
    with capturing({"model.backbone": model.backbone}) as capture, without_graph([model]):
        score = model(image())
    assert score.stop_gradient
    assert len(capture.feature_maps("model.backbone")) == 1
