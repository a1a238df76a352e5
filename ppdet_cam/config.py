"""What one run was asked to do, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.errors import ConfigError
from ppdet_cam.methods import methods

DEFAULT_LAYER = "model.backbone"
DEFAULT_METHOD = "gradcam"
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class RunConfig:
    """One run of the command line.

    Attributes:
        config: the ppdet config file.
        overrides: "key=value" items of `-o`.
        infer_img: the image.
        cam_out: the folder to write into.
        layers: dotted paths of the layers to look at.
        method: name of the CAM method.
        draw_threshold: boxes with a lower score are not explained, 0 to 1.
    """

    config: Path
    overrides: tuple[str, ...]
    infer_img: Path
    cam_out: Path
    layers: tuple[str, ...]
    method: str
    draw_threshold: float

    def __post_init__(self) -> None:
        methods.get(self.method)
        if not 0.0 <= self.draw_threshold <= 1.0:
            raise ConfigError(f"--draw_threshold must lie between 0 and 1, not {self.draw_threshold}")
        if not all(self.layers):
            raise ConfigError(
                "--target_feature_layer_name is empty; give a dotted path such as model.backbone. "
                "List them: --list_layers"
            )

    def flags(self) -> dict[str, object]:
        """Returns the flags by their command-line names, as `run.json` holds them."""
        return {
            "infer_img": str(self.infer_img),
            "cam_out": str(self.cam_out),
            "target_feature_layer_name": list(self.layers),
            "method": self.method,
            "draw_threshold": self.draw_threshold,
            "opt": list(self.overrides),
        }
