"""CAM methods: arrays -> map on the grid. numpy only.

A method is one function with what it needs, registered by name. The command line, the docs and the tests take the
names from here.
"""

from __future__ import annotations

from ppdet_cam.methods.activation import eigencam
from ppdet_cam.methods.attention import attention, attention_gradient
from ppdet_cam.methods.base import Levels, Method, Needs, method, methods
from ppdet_cam.methods.channels import strongest_channels
from ppdet_cam.methods.gradient import eigengradcam, gradcam, gradcampp, hirescam, layercam, odam, xgradcam
from ppdet_cam.methods.occlusion import Window, fill_of, margin, occluded, occluded_by, occlusion, shifted, windows_over
from ppdet_cam.methods.perturbation import (
    ablationcam,
    channel_mask,
    detection_similarity,
    drise,
    random_mask,
    random_masks,
    scorecam,
)
from ppdet_cam.methods.stages import LEAST_CELLS, agreement, cells_reached, stagecam

__all__ = [
    "LEAST_CELLS",
    "Levels",
    "Method",
    "Needs",
    "Window",
    "ablationcam",
    "attention",
    "attention_gradient",
    "agreement",
    "cells_reached",
    "channel_mask",
    "detection_similarity",
    "drise",
    "eigencam",
    "eigengradcam",
    "fill_of",
    "gradcam",
    "gradcampp",
    "hirescam",
    "layercam",
    "margin",
    "method",
    "methods",
    "occluded",
    "occluded_by",
    "occlusion",
    "odam",
    "random_mask",
    "random_masks",
    "scorecam",
    "shifted",
    "stagecam",
    "strongest_channels",
    "windows_over",
    "xgradcam",
]
