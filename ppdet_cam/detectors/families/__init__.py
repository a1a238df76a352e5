"""One file per architecture family; importing this package registers them all."""

from __future__ import annotations

from ppdet_cam.detectors import compat  # noqa: F401  # isort: skip  (first: it imports ppdet, and repairs it)
from ppdet_cam.detectors.families import (  # noqa: F401  (imported to be registered)
    cascade,
    centertrack,
    detr,
    fcos,
    fcosr,
    gfl,
    jde,
    peaks,
    ppyoloe,
    ppyoloe_ins,
    ppyoloe_r,
    rcnn,
    retinanet,
    s2anet,
    solov2,
    sparse_rcnn,
    ssd,
    tood,
    yolof,
    yolov3,
    yolox,
)
from ppdet_cam.detectors.families.base import Extractor, families, family_name

__all__ = ["Extractor", "families", "family_name"]
