"""What is left of an image's boxes on altered versions of it, each version run once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from ppdet_cam.detectors.detector import Detector
from ppdet_cam.explaining.replay import candidates_of_images
from ppdet_cam.metrics import best_similarity
from ppdet_cam.structures import Candidates, Detection, Frame


class AlteredImages:
    """D-RISE's similarity of every altered image to some detections of the image.

    Curves of one image share their ends, and maps that order the pixels alike share every image between; the detector
    runs once on each. What is kept of an image is a number per detection.
    """

    def __init__(self, detector: Detector, frame: Frame, detections: Sequence[Detection]) -> None:
        self._detector, self._frame, self._detections = detector, frame, tuple(detections)
        self._known: dict[bytes, tuple[float, ...]] = {}

    def score_fn(self, detection: Detection) -> Callable[[np.ndarray], np.ndarray]:
        """Returns uint8 [N, H, W, 3] -> float64 [N], how much of one of the detections is left on each image."""
        position = self._detections.index(detection)

        def score(images: np.ndarray) -> np.ndarray:
            digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
            new = {digest: Frame(image) for digest, image in zip(digests, images) if digest not in self._known}
            if new:
                found = candidates_of_images(self._detector, self._frame, list(new.values()))
                for digest, candidates in zip(new, found):
                    self._known[digest] = tuple(self._left(candidates, one) for one in self._detections)
            return np.array([self._known[digest][position] for digest in digests])

        return score

    def _left(self, candidates: Candidates, detection: Detection) -> float:
        """Returns the similarity; the candidates are those that the last step would be given.

        The highest class score of each stands for its objectness.
        """
        scores = np.zeros(len(self._detector.class_names), np.float64)
        scores[detection.class_id] = 1.0
        sure = candidates.scores[:, detection.class_id]
        seen = sure >= self._detector.extractor.keep_rule.score_threshold
        return best_similarity(
            detection.outline,
            scores[: candidates.scores.shape[1]],
            boxes_xyxy=candidates.outlines(detection.class_id)[seen],
            scores=candidates.scores[seen],
            objectness=sure[seen],
        )
