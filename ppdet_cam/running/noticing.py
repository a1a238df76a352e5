"""What is said of maps on the way: that one shows nothing, that its layer is blind."""

from __future__ import annotations

import logging

from ppdet_cam.methods import LEAST_CELLS
from ppdet_cam.structures import Explanation, MapStatus

log = logging.getLogger(__name__)


class Noticing:
    """Warns of blank maps, each, and of blind layers, each once."""

    def __init__(self, *, blank: bool = True) -> None:
        """Begins a run.

        Args:
            blank: whether blank maps are told of; a run over many images counts them instead.
        """
        self._blank = blank
        self._told: set[tuple[str, ...]] = set()

    def __call__(self, explanation: Explanation) -> None:
        """Looks at a map."""
        box = explanation.detection
        if explanation.status is not MapStatus.OK:
            if self._blank:
                log.warning(
                    "box %s (%s %.3f): no map: %s",
                    explanation.name,
                    box.class_name,
                    box.score,
                    explanation.status.value,
                )
        elif is_of_blind_layers(explanation) and explanation.layers not in self._told:
            self._told.add(explanation.layers)
            log.warning("box %s (%s %.3f): %s", explanation.name, box.class_name, box.score, explanation.note)


def is_of_blind_layers(explanation: Explanation) -> bool:
    """Whether all of a map comes from feature maps of which a gradient reaches hardly more than one cell."""
    cells = [level.cells for level in explanation.levels if level.share > 0]
    return bool(cells) and all(count is not None and count < LEAST_CELLS for count in cells)
