"""What was measured, put together: means over boxes with intervals over images, and what is better than what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppdet_cam.evaluation.shipped_tool import NAME as SHIPPED_TOOL
from ppdet_cam.evaluation.values import SANITY_BASELINE, ImageMeasurement, Place
from ppdet_cam.metrics import Better, Interval, baselines, bootstrap_interval, metrics, paired_difference

# Maps that know the box and nothing of the model. They score 1 on what only asks for the box, so a method is held
# against them where the model, or known evidence, has the last word.
BOX_BASELINES = ("box", SANITY_BASELINE)
TELLING = ("evidence_hit", "evidence_energy", "deletion", "insertion", "insertion_minus_deletion")
EVIDENCE_METRICS = ("evidence_hit", "evidence_energy")


@dataclass(frozen=True)
class Label:
    """What a kind of map is called: the method or baseline, and the layers it looked at, "" for none."""

    method: str
    layer: str

    @property
    def is_baseline(self) -> bool:
        """Whether no method of this package made it."""
        return self.method in (*baselines.names(), SHIPPED_TOOL)


@dataclass(frozen=True)
class Row:
    """One kind of map over all boxes.

    Attributes:
        label: which.
        values: metric -> mean with its interval; evidence metrics also as "evidence_hit inside" and "... outside".
        over: baseline that knows the box -> telling metric -> mean difference from it on the same boxes; None for the
            baselines themselves.
        deletion, insertion: the mean curves, empty if not measured.
    """

    label: Label
    values: Mapping[str, Interval]
    over: Mapping[str, Mapping[str, Interval]] | None
    deletion: tuple[float, ...] = ()
    insertion: tuple[float, ...] = ()

    @property
    def no_better(self) -> Mapping[str, tuple[str, ...]] | None:
        """Baseline -> the telling metrics in which the maps are not shown to be better than it; None as `over`."""
        if self.over is None:
            return None
        return {
            baseline: tuple(name for name, difference in differences.items() if not _is_better(name, difference))
            for baseline, differences in self.over.items()
        }


@dataclass(frozen=True)
class SanityRow:
    """How alike one kind of map is to itself when parts of the model are random.

    Attributes:
        label: which.
        spearman, ssim: after each part, from the output on, and last with SANITY_BASELINE.
    """

    label: Label
    spearman: tuple[Interval, ...]
    ssim: tuple[Interval, ...]


@dataclass(frozen=True)
class Summary:
    """A whole evaluation.

    Attributes:
        rows: a row per kind of map, methods first.
        agreement: (a label, another one) -> mean rank correlation of their maps.
        sanity: a row per kind of map that was checked.
        parts: the model's parts in the order in which they were made random, and SANITY_BASELINE.
        images, objects, found: how many were looked at.
    """

    rows: tuple[Row, ...]
    agreement: Mapping[tuple[Label, Label], Interval]
    sanity: tuple[SanityRow, ...]
    parts: tuple[str, ...]
    images: int
    objects: int
    found: int


def summarise(
    measured: Mapping[str, ImageMeasurement], *, asked: Sequence[Label] = (), parts: Sequence[str] = ()
) -> Summary:
    """Returns an evaluation of images.

    Args:
        measured: an image's name -> what was measured of it.
        asked: the questions' labels in the order in which `Place.agreement` counts them.
        parts: the model's parts that were made random, if any were.
    """
    boxes = [(image, place) for image, of_image in measured.items() for place in of_image.places]
    return Summary(
        rows=_rows(boxes),
        agreement=_agreement(boxes, asked),
        sanity=_sanity(boxes),
        parts=(*parts, SANITY_BASELINE) if parts else (),
        images=len(measured),
        objects=sum(of_image.objects for of_image in measured.values()),
        found=len(boxes),
    )


_Boxes = Sequence[tuple[str, Place]]
# box -> number, for one kind of map and one metric; a box is its image and its position
_Values = dict[tuple[str, int], float]


def _rows(boxes: _Boxes) -> tuple[Row, ...]:
    values: dict[Label, dict[str, _Values]] = {}
    curves: dict[Label, list[tuple[tuple[float, ...], tuple[float, ...]]]] = {}
    for position, (image, place) in enumerate(boxes):
        for of_map in place.maps:
            label = Label(of_map.method, of_map.layer)
            own = values.setdefault(label, {})
            for name, value in of_map.values.items():
                own.setdefault(name, {})[image, position] = value
                if name in EVIDENCE_METRICS and place.evidence:
                    own.setdefault(f"{name} {place.evidence}", {})[image, position] = value
            if of_map.deletion:
                curves.setdefault(label, []).append((of_map.deletion, of_map.insertion))
    return tuple(
        Row(
            label,
            {name: _interval(of_metric) for name, of_metric in own.items()},
            None if label.is_baseline else _over(own, values),
            *_mean_curves(curves.get(label, [])),
        )
        for label, own in values.items()
    )


def _over(own: Mapping[str, _Values], values: Mapping[Label, Mapping[str, _Values]]) -> dict[str, dict[str, Interval]]:
    """Returns, for each baseline that knows the box and each telling metric, the paired difference from it."""
    found = {}
    for baseline in BOX_BASELINES:
        theirs = values.get(Label(baseline, ""), {})
        shared = [name for name in TELLING if name in own and name in theirs]
        found[baseline] = {name: _difference(own[name], theirs[name]) for name in shared}
    return found


def _difference(own: _Values, theirs: _Values) -> Interval:
    boxes = [box for box in own if box in theirs]
    return paired_difference([own[box] for box in boxes], [theirs[box] for box in boxes], [image for image, _ in boxes])


def _is_better(name: str, difference: Interval) -> bool:
    return difference.low > 0 if metrics.get(name).better is Better.HIGHER else difference.high < 0


def _mean_curves(curves: Sequence[tuple[tuple[float, ...], tuple[float, ...]]]) -> tuple[tuple[float, ...], ...]:
    if not curves:
        return (), ()
    longest = max(len(deletion) for deletion, _ in curves)
    full = [pair for pair in curves if len(pair[0]) == longest]  # a tiny image has fewer steps
    return tuple(tuple(float(value) for value in np.mean([pair[which] for pair in full], axis=0)) for which in (0, 1))


def _agreement(boxes: _Boxes, asked: Sequence[Label]) -> dict[tuple[Label, Label], Interval]:
    pairs = [(asked[row], asked[column]) for row, column in zip(*np.triu_indices(len(asked), 1))]  # type: ignore  # numpy 2.5's stubs
    compared = [(image, place.agreement) for image, place in boxes if place.agreement]
    if not compared:
        return {}
    images = [image for image, _ in compared]
    columns = np.array([agreement for _, agreement in compared]).T
    return {pair: bootstrap_interval(column, images) for pair, column in zip(pairs, columns)}


def _sanity(boxes: _Boxes) -> tuple[SanityRow, ...]:
    found: dict[Label, list[tuple[str, tuple[float, ...], tuple[float, ...]]]] = {}
    for image, place in boxes:
        for one in place.sanity:
            found.setdefault(Label(one.method, one.layer), []).append((image, one.spearman, one.ssim))

    def per_part(of_label: Sequence[tuple[str, tuple[float, ...], tuple[float, ...]]], which: int) -> list[Interval]:
        images = [str(box[0]) for box in of_label]
        return [bootstrap_interval(column, images) for column in np.array([box[which] for box in of_label]).T]

    return tuple(
        SanityRow(label, tuple(per_part(of_label, 1)), tuple(per_part(of_label, 2)))
        for label, of_label in found.items()
    )


def _interval(values: _Values) -> Interval:
    return bootstrap_interval(list(values.values()), [image for image, _ in values])
