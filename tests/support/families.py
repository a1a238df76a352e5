"""Small versions of every supported family, for tests: the project's own configs with less depth and size."""

from __future__ import annotations

from dataclasses import dataclass

NORMALIZE = "{NormalizeImage: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], is_scale: True}}"


def _reader(height: int, width: int, *, keep_ratio: bool) -> str:
    resize = f"{{Resize: {{target_size: [{height}, {width}], keep_ratio: {keep_ratio}, interp: 2}}}}"
    return f"TestReader.sample_transforms=[{{Decode: {{}}}}, {resize}, {NORMALIZE}, {{Permute: {{}}}}]"


@dataclass(frozen=True)
class Family:
    """One family's config, made small.

    Attributes:
        name: short name, for test ids.
        config: path below the project's root.
        overrides: what makes it small.
        layers: layers worth capturing.
    """

    name: str
    config: str
    overrides: tuple[str, ...]
    layers: tuple[str, ...]


_RESNET18 = ("ResNet.depth=18", _reader(128, 224, keep_ratio=True))
_RCNN = (*_RESNET18, "RPNHead.test_proposal.post_nms_top_n=60")
_RCNN_LAYERS = ("model.backbone", "model.neck", "model.backbone.res4", "model.bbox_head.roi_extractor")

FAMILIES = {
    family.name: family
    for family in (
        Family(
            "ppyoloe",
            "configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml",
            ("depth_mult=0.33", "width_mult=0.25", "eval_size=[320, 320]", _reader(320, 320, keep_ratio=False)),
            ("model.backbone", "model.neck", "model.backbone.stages.2"),
        ),
        Family("faster", "configs/faster_rcnn/faster_rcnn_r50_vd_fpn_2x_coco.yml", _RCNN, _RCNN_LAYERS),
        Family("mask", "configs/mask_rcnn/mask_rcnn_r50_vd_fpn_2x_coco.yml", _RCNN, _RCNN_LAYERS),
        Family("blazeface", "configs/face_detection/blazeface_1000e.yml", (), ("model.backbone", "model.neck")),
        Family("ssd", "configs/ssd/ssd_mobilenet_v1_300_120e_voc.yml", (), ("model.backbone",)),
        Family(
            "retinanet",
            "configs/retinanet/retinanet_r50_fpn_2x_coco.yml",
            # nms_pre below the first level's number of anchors, so that rows are not anchors
            (*_RESNET18, "RetinaHead.nms_pre=300"),
            ("model.backbone", "model.neck"),
        ),
        Family("yolov3", "configs/demo/ppyolo_tiny.yml", (), ("model.backbone", "model.neck")),
    )
}
