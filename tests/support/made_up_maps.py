"""Made-up photographs and maps, and what was drawn over them."""

from __future__ import annotations

import numpy as np

from ppdet_cam.structures import Answer, Detection, Explanation, LevelShare, MapStatus

HEIGHT, WIDTH = 300, 400
BOX = (150.0, 100.0, 250.0, 200.0)


def photograph(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Returns noise in the middle grays, so that no drawn colour can be taken for the photograph."""
    return np.random.default_rng(0).integers(60, 180, (height, width, 3), dtype=np.uint8)


def hot_square(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    heatmap = np.zeros((height, width), np.float32)
    heatmap[140:160, 190:210] = 3e-6
    return heatmap


def explanation(
    heatmap: np.ndarray,
    *,
    box_xyxy: tuple[float, float, float, float] = BOX,
    class_name: str = "face",
    status: MapStatus = MapStatus.OK,
    levels: tuple[LevelShare, ...] = (),
    layers: tuple[str, ...] = ("model.backbone",),
    box_xyxy_roi: tuple[float, float, float, float] | None = None,
    class_id: int = 7,
    index: int = 3,
    target: str = "class",
    answer: Answer | None = None,
    refined_by: tuple[str, ...] = (),
) -> Explanation:
    detection = Detection(index, class_id, class_name, 0.9376, box_xyxy)
    return Explanation(
        detection, "gradcam", layers, levels, heatmap, status, box_xyxy_roi, target, answer, refined_by=refined_by
    )


def level(layer: str, side: int, share: float) -> LevelShare:
    return LevelShare(layer, 0, (side, side), (8.0, 8.0), share)


def changed_pixels(picture: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Returns bool [H, W]: where the picture differs from the photograph that it starts with."""
    return (picture[: photo.shape[0], : photo.shape[1]] != photo).any(axis=2)
