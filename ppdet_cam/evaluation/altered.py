"""What is left of an image's boxes on altered versions of it, each version run once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ppdet_cam.detectors.detector import Detector
from ppdet_cam.explaining.altering import batches
from ppdet_cam.explaining.black_box import BlackBox
from ppdet_cam.explaining.finding import candidates_of
from ppdet_cam.explaining.replay import candidates_of_images
from ppdet_cam.metrics import best_similarity
from ppdet_cam.questions.question import DEFAULT_BATCH
from ppdet_cam.structures import Candidates, Detection, Frame


class AlteredImages:
    """D-RISE's similarity of every altered image to some detections of the image.

    Curves of one image share their ends, and maps that order the pixels alike share every image between; the detector
    runs once on each. What is kept of an image is a number per detection.
    """

    def __init__(self, detector: Detector | BlackBox, frame: Frame, detections: Sequence[Detection]) -> None:
        self._detector, self._frame, self._detections = detector, frame, tuple(detections)
        self._known: dict[bytes, tuple[float, ...]] = {}

    def score_fn(self, detection: Detection) -> Callable[[np.ndarray], np.ndarray]:
        """Returns uint8 [N, H, W, 3] -> float64 [N], how much of one of the detections is left on each image."""
        position = self._detections.index(detection)

        def score(images: np.ndarray) -> np.ndarray:
            digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
            new = {digest: Frame(image) for digest, image in zip(digests, images) if digest not in self._known}
            if new:
                found = self._found(list(new.values()))
                for digest, (candidates, least) in zip(new, found):
                    self._known[digest] = tuple(_left(candidates, one, least=least) for one in self._detections)
            return np.array([self._known[digest][position] for digest in digests])

        return score

    def _found(self, frames: list[Frame]) -> Iterator[tuple[Candidates, float]]:
        """Yields what is known on each of some images, and the least score that counts: what the last step takes.

        Of a black box that shows no candidates, its output.
        """
        if isinstance(self._detector, Detector):
            rule = self._detector.extractor.keep_rule
            for one in candidates_of_images(self._detector, self._frame, frames):
                yield one, rule.score_threshold
            return
        box = self._detector
        for found in (found for some in batches(frames, DEFAULT_BATCH) for found in box.detect(some, until_nms=True)):
            if found.candidates is None:
                yield candidates_of(found.output, classes=len(box.class_names)), 0.0
            else:
                yield found.candidates, box.keep_rule.score_threshold if box.keep_rule else 0.0


def _left(candidates: Candidates, detection: Detection, *, least: float) -> float:
    """Returns the similarity to a detection; the highest class score of each candidate stands for its objectness."""
    scores = np.arange(candidates.scores.shape[1]) == detection.class_id
    sure = candidates.scores[:, detection.class_id]
    seen = sure >= least
    return best_similarity(
        detection.outline,
        scores.astype(np.float64),
        boxes_xyxy=candidates.outlines(detection.class_id)[seen],
        scores=candidates.scores[seen],
        objectness=sure[seen],
    )
