"""The detectors that are explained, by the names that people know: for help and docs, where paddle need not be there.

What is explained is what the families register (`families/`); a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppdet_cam.tables import aligned

TITLES = ("detector", "architecture (head) in ppdet")


@dataclass(frozen=True)
class Supported:
    """A detector.

    Attributes:
        name: as papers and people call it.
        families: architecture and head, as the registry of families names them.
        config: of the project's own, below `configs/`; "" where PaddleDetection's is used.
    """

    name: str
    families: tuple[str, ...]
    config: str = ""


SUPPORTED = (
    Supported("Faster R-CNN", ("FasterRCNN (BBoxHead)",), "faster_rcnn/faster_rcnn_r50_vd_fpn_2x_coco.yml"),
    Supported("Mask R-CNN", ("MaskRCNN (BBoxHead)",), "mask_rcnn/mask_rcnn_r50_vd_fpn_2x_coco.yml"),
    Supported(
        "Cascade R-CNN, Cascade Mask R-CNN",
        ("CascadeRCNN (CascadeHead)",),
        "cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco.yml",
    ),
    Supported(
        "PP-YOLOE, PP-YOLOE+",
        (
            "YOLOv3 (PPYOLOEHead)",
            "PPYOLOE (PPYOLOEHead)",
            "PPYOLOEWithAuxHead (PPYOLOEHead)",
            "YOLOv3 (PPYOLOEContrastHead)",
            "PPYOLOE (PPYOLOEContrastHead)",
        ),
        "ppyoloe/ppyoloe_crn_l_300e_coco.yml",
    ),
    Supported("YOLOv3, PP-YOLO, PP-YOLOv2", ("YOLOv3 (YOLOv3Head)",), "ppyolo/ppyolov2_r50vd_dcn_365e_coco.yml"),
    Supported("YOLOX", ("YOLOX (YOLOXHead)",), "yolox/yolox_nano_300e_coco.yml"),
    Supported("YOLOF", ("YOLOF (YOLOFHead)",), "yolof/yolof_r50_c5_1x_coco.yml"),
    Supported("PicoDet", ("PicoDet (PicoHead)", "PicoDet (PicoHeadV2)"), "picodet/picodet_xs_320_coco_lcnet.yml"),
    Supported("GFL, LD-GFL", ("GFL (GFLHead)", "GFL (LDGFLHead)"), "gfl/gfl_r50_fpn_1x_coco.yml"),
    Supported("FCOS", ("FCOS (FCOSHead)",), "fcos/fcos_r50_fpn_1x_coco.yml"),
    Supported("TOOD", ("TOOD (TOODHead)",), "tood/tood_r50_fpn_1x_coco.yml"),
    Supported("RetinaNet", ("RetinaNet (RetinaHead)",), "retinanet/retinanet_r50_fpn_2x_coco.yml"),
    Supported("SSD", ("SSD (SSDHead)",), "ssd/ssd_mobilenet_v1_300_120e_voc.yml"),
    Supported("BlazeFace", ("BlazeFace (FaceHead)",), "face_detection/blazeface_1000e.yml"),
    Supported("PP-YOLOE-Ins", ("YOLOv3 (PPYOLOEInsHead)", "PPYOLOE (PPYOLOEInsHead)")),
    Supported("PP-YOLOE-R (rotated boxes)", ("YOLOv3 (PPYOLOERHead)",), "rotate/ppyoloe_r/ppyoloe_r_crn_s_3x_dota.yml"),
    Supported("FCOSR (rotated boxes)", ("YOLOv3 (FCOSRHead)",), "rotate/fcosr/fcosr_x50_3x_dota.yml"),
    Supported("S2ANet (rotated boxes)", ("S2ANet (S2ANetHead)",), "rotate/s2anet/s2anet_alignconv_2x_dota.yml"),
    Supported("ARSL-FCOS", ("ARSL_FCOS (FCOSHead_ARSL)",)),
    Supported("CenterNet, FairMOT", ("CenterNet (CenterNetHead)",), "centernet/centernet_r50_140e_coco.yml"),
    Supported("TTFNet, PAFNet", ("TTFNet (TTFHead)",), "ttfnet/ttfnet_darknet53_1x_coco.yml"),
    Supported("CenterTrack", ("CenterTrack (CenterNetHead)",), "mot/centertrack/centertrack_dla34_70e_mot17.yml"),
    Supported("JDE", ("YOLOv3 (JDEBBoxPostProcess)",), "mot/jde/jde_darknet53_30e_576x320.yml"),
    Supported("DETR", ("DETR (DETRHead)",), "detr/detr_r50_1x_coco.yml"),
    Supported("Deformable DETR", ("DETR (DeformableDETRHead)",), "deformable_detr/deformable_detr_r50_1x_coco.yml"),
    Supported("DINO, Group DINO, QR, RT-DETR, RT-DETRv2", ("DETR (DINOHead)",), "dino/dino_r50_4scale_1x_coco.yml"),
    Supported("Mask RT-DETR", ("DETR (MaskDINOHead)",)),
    Supported("Sparse R-CNN", ("SparseRCNN (SparseRCNNHead)",), "sparse_rcnn/sparse_rcnn_r50_fpn_3x_pro100_coco.yml"),
    Supported("QueryInst", ("QueryInst (SparseRoIHead)",), "queryinst/queryinst_r50_fpn_1x_pro100_coco.yml"),
    Supported("SOLOv2", ("SOLOv2 (SOLOv2Head)",), "solov2/solov2_r50_fpn_1x_coco.yml"),
)


def detector_table() -> str:
    """Returns a line per detector for the terminal."""
    return aligned([TITLES, *((entry.name, _compact(entry.families)) for entry in SUPPORTED)])


def detector_rows() -> list[tuple[str, str, str]]:
    """Returns name, families and the project's config of each, for a table in Markdown."""
    return [(entry.name, _compact(entry.families), entry.config) for entry in SUPPORTED]


def _compact(families: tuple[str, ...]) -> str:
    """Returns families with the architectures of one head together.

    Example:
        >>> _compact(("A (Head)", "B (Head)", "B (Other)"))
        'A, B (Head); B (Other)'
    """
    by_head: dict[str, list[str]] = {}
    for family in families:
        architecture, _, head = family.partition(" ")
        by_head.setdefault(head, []).append(architecture)
    return "; ".join(f"{', '.join(architectures)} {head}" for head, architectures in by_head.items())
