"""What the package grad-cam makes of given activations and gradients, as JSON.

    python tests/reference/grad_cam_package.py > tests/reference/grad_cam_package.json

Needs torch and grad-cam, which the project itself does not; their versions are in the output. Three seeded cases:

- rectified: activations >= 0 as behind a ReLU, gradients of about 1;
- signed: activations and gradients of either sign;
- small: as rectified, with gradients of about 0.001, the size that class probabilities give.

Each holds activations and gradients, [5, 6, 7], and `maps`: every method's own map before the package cuts and
stretches it. `channels` holds, for the rectified case, the scores that a small model gives under Score-CAM's and
Ablation-CAM's alterations and the weights that the package makes of them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys

import numpy as np
import pytorch_grad_cam
import torch

SHAPE = (5, 6, 7)
IMAGE_HW = (18, 21)
ON_ARRAYS = ("GradCAM", "GradCAMPlusPlus", "XGradCAM", "HiResCAM", "LayerCAM", "EigenCAM", "EigenGradCAM")


class Given(torch.nn.Module):
    """A layer that gives the same activations whatever it sees."""

    def __init__(self, activations: np.ndarray) -> None:
        super().__init__()
        self.activations = torch.nn.Parameter(torch.from_numpy(activations)[None])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.activations.expand(len(image), -1, -1, -1).clone()


class Head(torch.nn.Module):
    """A seeded score of feature maps, or of an image."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(inputs, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return 5.0 * self.linear(values.flatten(1))


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns (activations, gradients) by name, with few enough digits to be read back exactly."""
    random = np.random.default_rng(2024)
    signed, gradients = random.standard_normal((2, *SHAPE)).round(3)
    rectified = np.maximum(signed, 0.0)
    away_from_zero = (np.sign(gradients) * (0.5 + np.abs(gradients))).round(3)
    found = {
        "rectified": (rectified, away_from_zero),
        "signed": (signed, away_from_zero),
        "small": (rectified, (gradients * 1e-3).round(6)),
    }
    return {name: (one.astype(np.float32), other.astype(np.float32)) for name, (one, other) in found.items()}


def own_map(name: str, activations: np.ndarray, gradients: np.ndarray) -> list[list[float]]:
    """Returns a class's map of arrays, neither cut nor stretched."""
    model = torch.nn.Sequential(Given(activations), Head(activations.size))
    with getattr(pytorch_grad_cam, name)(model=model, target_layers=[model[0]]) as cam:
        found = cam.get_cam_image(None, model[0], None, activations[None], gradients[None], False)
    return np.asarray(found)[0].tolist()


def channel_scores(activations: np.ndarray) -> dict[str, object]:
    """Returns the scores that Score-CAM and Ablation-CAM see, and the weights that they make of them."""
    torch.manual_seed(2)
    seen: list[float] = []

    def target(output: torch.Tensor) -> torch.Tensor:
        seen.append(float(output))
        return output.reshape(())

    image = torch.rand(1, 3, *IMAGE_HW)
    of_image = torch.nn.Sequential(Head(image.numel()))
    with pytorch_grad_cam.ScoreCAM(model=of_image, target_layers=[of_image[0]]) as cam:
        score_weights = cam.get_cam_weights(image, of_image[0], [target], activations[None], None)[0]
    masked, seen[:] = list(seen), []
    of_features = torch.nn.Sequential(Given(activations), Head(activations.size))
    with pytorch_grad_cam.AblationCAM(model=of_features, target_layers=[of_features[0]]) as cam:
        ablation_weights = cam.get_cam_weights(image, of_features[0], [target], activations[None], None)[0]
    return {
        "masked_scores": masked,
        "score_weights": score_weights.tolist(),
        "score": seen[0],
        "ablated_scores": seen[1:],
        "ablation_weights": ablation_weights.tolist(),
    }


def summary() -> dict[str, object]:
    """Returns everything that the JSON holds."""
    found = {
        name: {
            "activations": activations.astype(float).round(6).tolist(),
            "gradients": gradients.astype(float).round(6).tolist(),
            "maps": {method: own_map(method, activations, gradients) for method in ON_ARRAYS},
        }
        for name, (activations, gradients) in cases().items()
    }
    versions = {package: importlib.metadata.version(package) for package in ("grad-cam", "torch", "numpy")}
    return {"versions": versions, "cases": found, "channels": channel_scores(cases()["rectified"][0])}


if __name__ == "__main__":
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # the package's progress bars
        text = json.dumps(summary())
    sys.stdout.write(text + "\n")
