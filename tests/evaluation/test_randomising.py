"""Parts of a detector are made random from the output on, and put back to the bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ppdet_cam.detectors.families.base import KeptRow
from ppdet_cam.evaluation.randomising import Part, cascade, parts_from_the_top
from ppdet_cam.explaining.explainer import Explainer
from ppdet_cam.images.reading import blank_frame
from ppdet_cam.questions.question import Question


def state_of(detector) -> dict[str, np.ndarray]:
    return {f"model.{name}": tensor.numpy() for name, tensor in detector.model.state_dict().items()}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name.rpartition(".")[0] for name in before if not np.array_equal(before[name], after[name])}


def test_parts_go_from_the_head_to_the_first_layers(family, detector) -> None:
    """The head comes first and the backbone's first third last; no layer is in two parts; masks without boxes are none.

    SOLOv2's score is made of its mask.
    """
    parts = parts_from_the_top(detector, blank_frame())
    names = [part.name for part in parts]
    assert names[-3:] == ["backbone 3/3", "backbone 2/3", "backbone 1/3"]
    # the layers that give DINO its scores belong to its transformer
    assert names[0] == "transformer" if family.name == "dino" else "head" in names[0]
    assert ("mask_head" in names) == (family.name == "solov2")
    layers = [layer for part in parts for layer in part.layers]
    assert len(layers) == len(set(layers))


def test_every_part_adds_to_what_is_random(detector_of) -> None:
    """After the first part only its layers differ, after the last one nearly all; then everything is as before."""
    detector = detector_of("blazeface")
    parts, before = parts_from_the_top(detector, blank_frame()), state_of(detector)
    found = []
    with cascade(detector, parts, seed=0) as coming:
        for _ in coming:
            found.append(changed(before, state_of(detector)))
    assert found[0] and found[0] <= set(parts[0].layers)
    for earlier, later in zip(found, found[1:]):
        assert earlier < later
    assert changed(before, state_of(detector)) == set()


def test_values_are_shuffled_and_not_drawn(detector_of) -> None:
    """Each tensor keeps its values in another order; the same seed gives the same order."""
    detector = detector_of("blazeface")
    parts, before = parts_from_the_top(detector, blank_frame()), state_of(detector)

    def after(seed: int) -> dict[str, np.ndarray]:
        with cascade(detector, parts, seed=seed) as coming:
            for _ in coming:
                pass
            return state_of(detector)

    first, again, other = after(1), after(1), after(2)
    for name, values in before.items():
        np.testing.assert_array_equal(np.sort(values, axis=None), np.sort(first[name], axis=None))
        np.testing.assert_array_equal(first[name], again[name])
    assert changed(first, other)


def test_parameters_come_back_when_something_fails(detector_of) -> None:
    """Also when the loop is left by an error."""
    detector = detector_of("blazeface")
    before = state_of(detector)
    parts = parts_from_the_top(detector, blank_frame())
    with pytest.raises(RuntimeError, match="stop"), cascade(detector, parts, seed=0) as coming:
        next(coming)
        raise RuntimeError("stop")
    assert changed(before, state_of(detector)) == set()


def test_a_pinned_place_gives_the_detections_own_map(family, detector, photo) -> None:
    """With no parameter changed, asking at the place is asking about the detection, RoI layers included."""
    explainer = Explainer(detector, layers=family.layers[0], method="hirescam", draw_threshold=0.0, top_k=2)
    for layer in (family.layers[0], family.layers[-1]):
        question = dataclasses.replace(explainer.question, layers=(layer,))
        own = [explanation.heatmap for explanation in explainer.stream(photo, question=question).explanations]
        found = list(explainer.maps_at(photo, pinned(explainer, photo, question), question=question))
        for heatmap, at_place in zip(own, found, strict=True):
            np.testing.assert_allclose(at_place, heatmap, rtol=1e-5, atol=1e-7 * heatmap.max())


def test_a_random_model_gives_another_map(detector_of, photo) -> None:
    """The place stays, what is seen there does not."""
    explainer = Explainer(detector_of("ppyoloe"), method="hirescam", draw_threshold=0.0, top_k=2)
    places = pinned(explainer, photo, explainer.question)
    before = list(explainer.maps_at(photo, places, question=explainer.question))
    parts = parts_from_the_top(explainer.detector, photo)
    with cascade(explainer.detector, parts, seed=0) as coming:
        for _ in coming:
            pass
        after = list(explainer.maps_at(photo, places, question=explainer.question))
    for own, random in zip(before, after):
        assert np.abs(own / own.max() - random / random.max()).max() > 0.02


def pinned(explainer: Explainer, photo, question: Question) -> list[KeptRow]:
    """Returns the places of the detections that a question is about."""
    forward = explainer.detector.forward(photo, {})
    chosen = question.selection.choose(forward.detections, explainer.detector.class_names)
    kept = [forward.kept[detection.index] for detection in chosen]
    return [dataclasses.replace(one, pinned=forward.extractor.source(forward.watch, one.row)) for one in kept]


def test_a_part_is_a_value() -> None:
    """It can be compared and kept."""
    assert Part("head", ("model.head",)) == Part("head", ("model.head",))
