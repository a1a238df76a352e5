"""Boxes of one class -> groups that are explained alike: k-means of scikit-learn on maps and on what is seen there."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from ppdet_cam.insight.collecting import Boxes
from ppdet_cam.insight.frames import CELLS, cells_in_box

# a class with fewer boxes is not grouped: its groups would be noise
LEAST_BOXES = 20
MOST_GROUPS = 6
LEAST_GROUP = 5
# mean silhouette below which boxes are taken for one group
LEAST_SILHOUETTE = 0.15
# groups are looked for among so many boxes; the others join the nearest one
FITTED_BOXES = 3000
SILHOUETTE_BOXES = 1000
COMPONENTS = 12
SEEN_WEIGHT = 0.25


def group_of(boxes: Boxes, rows: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns each box's group, the largest being 0, and how far it is from the group's middle.

    The number of groups is the one with the highest mean silhouette (Rousseeuw, "Silhouettes", J. Comput. Appl. Math.
    20, 1987) that leaves no group smaller than LEAST_GROUP; one group where it is below LEAST_SILHOUETTE.

    Args:
        boxes: of all classes.
        rows: int [n], those of one class.
        seed: of the clustering.

    Returns:
        int [n] and float [n], by `rows`.
    """
    features = features_of(boxes, rows)
    random = np.random.default_rng(seed)
    fitted = features if len(features) <= FITTED_BOXES else features[random.choice(len(features), FITTED_BOXES, False)]
    best, middles = LEAST_SILHOUETTE, fitted.mean(axis=0, keepdims=True)
    for count in range(2, MOST_GROUPS + 1):
        if len(fitted) < count * LEAST_GROUP:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer distinct boxes than groups
            model = KMeans(count, n_init=4, random_state=seed).fit(fitted)
        sizes = np.bincount(model.labels_, minlength=count)
        if np.min(sizes) < max(LEAST_GROUP, 0.03 * len(fitted)):
            continue
        sample = random.choice(len(fitted), min(len(fitted), SILHOUETTE_BOXES), False)
        if len(set(model.labels_[sample].tolist())) < 2:
            continue
        found = float(silhouette_score(fitted[sample], model.labels_[sample]))
        if found > best:
            best, middles = found, model.cluster_centers_
    distances = np.linalg.norm(features[:, None] - middles[None], axis=2)
    nearest = distances.argmin(axis=1)
    order = np.argsort(-np.bincount(nearest, minlength=len(middles)), kind="stable")
    return np.argsort(order)[nearest], distances[np.arange(len(features)), nearest]


def features_of(boxes: Boxes, rows: np.ndarray) -> np.ndarray:
    """Returns what boxes are compared by: their maps in both frames, and what is seen where heat is beside the box.

    Maps are compared by the roots of their shares (Hellinger's distance); of the image's frame, what the box's frame
    does not hold. The rows are put on at most COMPONENTS principal components.

    Args:
        boxes: of all classes.
        rows: int [n].

    Returns:
        float32 [n, components].
    """
    near = np.sqrt(_coarser(boxes.in_box_frame[rows], 2))
    far = np.sqrt(_coarser(_beyond_frame(boxes, rows), 4))
    outside = boxes.outside[rows]
    pictures = boxes.seen.patches[rows].astype(np.float32).reshape(len(rows), 3, 2, 3, 2, 3).mean(axis=(2, 4))
    seen = pictures.reshape(len(rows), -1) * (SEEN_WEIGHT * outside)[:, None]
    joined = np.concatenate([near, far, seen], axis=1).astype(np.float32)
    count = min(COMPONENTS, *joined.shape)
    if not np.ptp(joined, axis=0).any():  # all alike
        return np.zeros((len(rows), 1), np.float32)
    return PCA(count, svd_solver="full").fit(joined[:: max(1, len(joined) // FITTED_BOXES)]).transform(joined)


def _beyond_frame(boxes: Boxes, rows: np.ndarray) -> np.ndarray:
    """Returns the image's cells, those that the box at twice its sides touches being 0: float32 [n, CELLS, CELLS]."""
    maps = boxes.in_image[rows].astype(np.float32)
    for hw in np.unique(boxes.images_hw[rows], axis=0):
        same = np.flatnonzero((boxes.images_hw[rows] == hw).all(axis=1))
        covered = cells_in_box(boxes.boxes_xyxy[rows[same]], (int(hw[0]), int(hw[1])), margin=0.5)
        maps[same] *= covered <= 0
    return maps


def _coarser(maps: np.ndarray, block: int) -> np.ndarray:
    """Returns the sums of blocks of cells, flat: float32 [n, (CELLS / block) ** 2]."""
    side = CELLS // block
    return maps.astype(np.float32).reshape(len(maps), side, block, side, block).sum(axis=(2, 4)).reshape(len(maps), -1)
