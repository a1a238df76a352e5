"""A config's detector of which no more is taken than its output: it shows what its exported model shows."""

from __future__ import annotations

from collections.abc import Sequence

from ppdet_cam.detectors.deployed.output import found_in
from ppdet_cam.detectors.detector import Detector
from ppdet_cam.structures import Found, Frame


class OutputOnly:
    """A detector, asked as an exported model is: for comparing the two.

    Attributes:
        detector: what runs.
        way_inside: how its inside is looked at, for errors.
        keep_rule: None, as an output shows no candidates.
    """

    way_inside = "leave out --output_only"
    keep_rule = None

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.detector.name}, of which the output alone is looked at,"

    @property
    def class_names(self) -> Sequence[str]:
        """The names by class id."""
        return self.detector.class_names

    def detect(self, frames: Sequence[Frame], *, until_nms: bool = False) -> list[Found]:
        """Returns what ppdet's plain inference finds on each image; it shows no candidates."""
        rows = (self.detector.predict(frame) for frame in frames)
        return [found_in(one, self.class_names, as_numbers=until_nms) for one in rows]
