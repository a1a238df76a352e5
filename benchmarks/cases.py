"""What the speed benchmark runs: detectors, their weights, an image each, and the layers to look at."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

BACKBONE, ROI = "model.backbone", "model.bbox_head.roi_extractor"
PHOTO, SCENE = ROOT / "demo" / "astronaut.jpg", ROOT / "demo" / "drawn" / "scene_1.jpg"
SEEDED_BOXES = 150  # candidates above a score of 0.5; NMS leaves a part of them
DEMO = "demo_"


@dataclass(frozen=True)
class Case:
    """A detector at work.

    Attributes:
        name: short name.
        config: ppdet's YAML file.
        image: what it looks at.
        layers: each is a comparison of its own.
        goals: how many times faster per box than paddledet's tool, by layer.
        command_goal: whole command over plain inference, at most.
        heavy: whether paddledet's tool takes more than some seconds per box.
    """

    name: str
    config: Path
    image: Path
    layers: tuple[str, ...]
    goals: tuple[float, ...]
    command_goal: float
    heavy: bool = False

    def weights(self, folder: Path) -> Path:
        """Returns the demo detector's weights, or where seeded ones belong."""
        if self.name.startswith(DEMO):
            return ROOT / "demo" / "weights" / f"{self.name[len(DEMO) :]}.pdparams"
        return folder / f"{self.name}.pdparams"


def _full(name: str, config: str, goals: tuple[float, ...], command_goal: float, *, heavy: bool = False) -> Case:
    return Case(name, ROOT / "configs" / config, PHOTO, (BACKBONE, ROI)[: len(goals)], goals, command_goal, heavy)


def _demo(name: str, goals: tuple[float, ...], command_goal: float) -> Case:
    layers = (BACKBONE, ROI)[: len(goals)]
    return Case(f"{DEMO}{name}", ROOT / "configs" / "demo" / f"{name}.yml", SCENE, layers, goals, command_goal)


CASES = {
    case.name: case
    for case in (
        _full("blazeface", "face_detection/blazeface_1000e.yml", (40,), 1.15),
        _full("ssd", "ssd/ssd_mobilenet_v1_300_120e_voc.yml", (40,), 1.15),
        _full("ppyoloe", "ppyoloe/ppyoloe_crn_l_300e_coco.yml", (10,), 3.0, heavy=True),
        _full("retinanet", "retinanet/retinanet_r50_fpn_2x_coco.yml", (10,), 1.5, heavy=True),
        _full("faster_rcnn", "faster_rcnn/faster_rcnn_r50_vd_fpn_2x_coco.yml", (10, 1000), 1.5, heavy=True),
        _full("mask_rcnn", "mask_rcnn/mask_rcnn_r50_vd_fpn_2x_coco.yml", (10, 1000), 1.5, heavy=True),
        _demo("blazeface", (40,), 1.15),
        _demo("ssd", (40,), 1.15),
        _demo("ppyoloe", (10,), 3.0),
        _demo("retinanet", (10,), 1.5),
        _demo("faster_rcnn", (10, 1000), 1.5),
        _demo("mask_rcnn", (10, 1000), 1.5),
    )
}


def prepare_weights(name: str, folder: str) -> None:
    """Writes seeded weights for a case that needs them and has none yet."""
    from seeded_weights import seed_detector

    from ppdet_cam.detectors.building import build_detector
    from ppdet_cam.images.reading import read_image

    import paddle  # isort: skip  (after ppdet_cam, which loads what paddle needs loaded before it)

    case = CASES[name]
    path = case.weights(Path(folder))
    if path.exists():
        return
    detector, _ = build_detector(case.config)
    seed_detector(detector, read_image(case.image), boxes=SEEDED_BOXES)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished_{path.name}")
    paddle.save(detector.model.state_dict(), str(unfinished))
    unfinished.replace(path)
