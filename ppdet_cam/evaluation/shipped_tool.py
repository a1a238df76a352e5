"""The map that paddledet 2.6.0's own tool draws, `ppdet.utils.cam_utils`, as a baseline, sign and all."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ppdet_cam.structures import FeatureKind, FeatureMap

NAME = "paddledet 2.6.0"


def shipped_level(features: Sequence[FeatureMap]) -> FeatureMap:
    """Returns the feature map that the tool looks at: the layer's last one, or the one before a single column."""
    last = features[-1]
    return features[-2] if last.grid_hw[1] == 1 and len(features) > 1 else last


def shipped_map(
    feature: FeatureMap, *, box_xyxy: tuple[float, float, float, float], original_hw: tuple[int, int]
) -> np.ndarray:
    """Returns the tool's map of a box.

    Grad-CAM with the sign turned: max(-mean_k(w_k A_k), 0), w_k the mean gradient of channel k; stretched from its
    lowest value to its highest, enlarged to the whole photo whatever was padded, and cut off outside the box. RoI
    features are enlarged to the box instead of the proposal. Deviations, both in its favour: the gradient is that of
    the box's own class, where the tool takes the row's highest score, background included; and a flat map is blank,
    where the tool divides by 0.

    Args:
        feature: from `shipped_level`, with its gradients.
        box_xyxy: original pixels.
        original_hw: height and width of the photo.

    Returns:
        float32 [H, W], 0 to 1, original pixels.
    """
    heatmap = np.zeros(original_hw, np.float32)
    height, width = original_hw
    left, right = (int(np.clip(edge, 0, width)) for edge in (box_xyxy[0], box_xyxy[2]))
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (box_xyxy[1], box_xyxy[3]))
    if feature.gradients is None or left >= right or top >= bottom:
        return heatmap
    weights = feature.gradients.mean(axis=(1, 2), keepdims=True)
    grid_map = np.maximum(-(feature.activations * weights).mean(axis=0), 0.0)
    if not np.isfinite(grid_map).all() or np.ptp(grid_map) == 0:
        return heatmap
    stretched = ((grid_map - grid_map.min()) / np.ptp(grid_map)).astype(np.float32)
    if feature.kind is FeatureKind.ROI:
        heatmap[top:bottom, left:right] = cv2.resize(stretched, (right - left, bottom - top))
    else:
        heatmap[top:bottom, left:right] = cv2.resize(stretched, (width, height))[top:bottom, left:right]
    return heatmap
