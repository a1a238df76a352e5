"""Small versions of every supported family, for tests: the project's own configs with less depth and size."""

from __future__ import annotations

from dataclasses import dataclass

from ppdet.modeling import heads

from ppdet_cam.detectors.compat import PPDET

NORMALIZE = "{NormalizeImage: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], is_scale: True}}"


def reader(height: int, width: int, *, keep_ratio: bool) -> str:
    resize = f"{{Resize: {{target_size: [{height}, {width}], keep_ratio: {keep_ratio}, interp: 2}}}}"
    return f"TestReader.sample_transforms=[{{Decode: {{}}}}, {resize}, {NORMALIZE}, {{Permute: {{}}}}]"


def _of_tracker(resize: str) -> str:
    return f"TestMOTReader.sample_transforms=[{{Decode: {{}}}}, {{{resize}}}, {NORMALIZE}, {{Permute: {{}}}}]"


# a size to which the photograph of 400 x 600 pixels comes without a rest
_TRACKERS_LETTER_BOX = _of_tracker("LetterBoxResize: {target_size: [64, 128]}")
_LETTER_BOX = _TRACKERS_LETTER_BOX.replace("TestMOTReader", "TestReader")


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


_RESNET18 = ("ResNet.depth=18", reader(128, 224, keep_ratio=True))
_SMALL = ("ResNet.depth=18", reader(64, 96, keep_ratio=True))
_SMALL_FPN = (*_SMALL, "FPN.out_channel=32")
_RCNN = (*_RESNET18, "RPNHead.test_proposal.post_nms_top_n=60")
_RCNN_LAYERS = ("model.backbone", "model.neck", "model.backbone.res4", "model.bbox_head.roi_extractor")

_SMALL_TRANSFORMER = ("hidden_dim=32",)
_TRANSFORMER_LAYERS = ("model.backbone", "model.transformer.encoder")


def _transformer(name: str, *, num_queries: int) -> tuple[str, ...]:
    small = {"nhead": 4, "num_encoder_layers": 1, "num_decoder_layers": 2, "dim_feedforward": 64}
    return tuple(f"{name}.{key}={value}" for key, value in {**small, "num_queries": num_queries}.items())


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "ppyoloe",
            "configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml",
            ("depth_mult=0.33", "width_mult=0.25", "eval_size=[320, 320]", reader(320, 320, keep_ratio=False)),
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
        Family(
            "picodet",
            "configs/picodet/picodet_xs_320_coco_lcnet.yml",
            ("eval_size=[128, 128]", reader(128, 128, keep_ratio=False)),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "picodet_v1",
            "configs/picodet/picodet_xs_320_coco_lcnet.yml",
            (
                "eval_size=[128, 128]",
                reader(128, 128, keep_ratio=False),
                "PicoDet.head=PicoHead",
                "PicoHead={conv_feat: {name: PicoFeat, feat_in: 96, feat_out: 96, num_fpn_stride: 4, num_convs: 2, "
                "share_cls_reg: True}, fpn_stride: [8, 16, 32, 64], reg_max: 7, "
                "loss_class: {name: VarifocalLoss, use_sigmoid: True}, assigner: {name: SimOTAAssigner}, "
                "nms: {name: MultiClassNMS, score_threshold: 0.025, nms_threshold: 0.6}}",
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "gfl",
            "configs/gfl/gfl_r50_fpn_1x_coco.yml",
            (
                *_SMALL_FPN,
                "GFLHead.feat_in_chan=32",
                "GFLHead.conv_feat={name: FCOSFeat, feat_in: 32, feat_out: 32, num_convs: 1, norm_type: bn}",
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "yolox",
            "configs/yolox/yolox_nano_300e_coco.yml",
            (
                "TestReader.sample_transforms=[{Decode: {}}, {Resize: {target_size: [128, 128], keep_ratio: True, "
                "interp: 1}}, {Pad: {size: [128, 128], fill_value: [114., 114., 114.]}}, {Permute: {}}]",
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "fcos",
            "configs/fcos/fcos_r50_fpn_1x_coco.yml",
            (
                *_SMALL_FPN,
                "FCOSHead.fcos_feat={name: FCOSFeat, feat_in: 32, feat_out: 256, num_convs: 1, norm_type: bn}",
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "tood",
            "configs/tood/tood_r50_fpn_1x_coco.yml",
            (*_SMALL_FPN, "TOODHead.stacked_convs=2", "TOODHead.norm_groups=8"),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "yolof",
            "configs/yolof/yolof_r50_c5_1x_coco.yml",
            (
                "ResNet.depth=18",
                reader(96, 160, keep_ratio=True),
                "DilatedEncoder.in_channels=[512]",
                "YOLOFHead.nms_pre=60",
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "cascade",
            "configs/cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco.yml",
            (*_RCNN, "CascadeTwoFCHead.out_channel=64"),
            _RCNN_LAYERS,
        ),
        Family(
            "solov2",
            "configs/solov2/solov2_r50_fpn_1x_coco.yml",
            (
                *_SMALL_FPN,
                "SOLOv2Head.in_channels=32",
                "SOLOv2Head.seg_feat_channels=32",
                "SOLOv2Head.stacked_convs=1",
                "SOLOv2Head.kernel_out_channels=32",
                "SOLOv2Head.num_grids=[12, 10, 8, 6, 4]",
                "SOLOv2MaskHead={in_channels: 32, mid_channels: 32, out_channels: 32}",
            ),
            ("model.backbone", "model.neck", "model.mask_head"),
        ),
        Family(
            "sparse",
            "configs/sparse_rcnn/sparse_rcnn_r50_fpn_3x_pro100_coco.yml",
            (
                *_SMALL_FPN,
                "SparseRCNNHead.head_hidden_dim=32",
                "SparseRCNNHead.head_dim_feedforward=64",
                "SparseRCNNHead.nhead=4",
                "SparseRCNNHead.head_dim_dynamic=8",
                "SparseRCNNHead.head_num_heads=3",
                "SparseRCNNHead.num_proposals=20",
                "SparsePostProcess.num_proposals=20",
            ),
            ("model.backbone", "model.neck", "model.head.box_pooler"),
        ),
        Family(
            "queryinst",
            "configs/queryinst/queryinst_r50_fpn_1x_pro100_coco.yml",
            (
                *_SMALL_FPN,
                "proposal_embedding_dim=32",
                "EmbeddingRPNHead.num_proposals=20",
                "SparseRoIHead.num_stages=3",
                "DIIHead={feedforward_channels: 64, dynamic_feature_channels: 8, num_attn_heads: 4}",
                "DynamicMaskHead={dynamic_feature_channels: 8, num_convs: 1, conv_channels: 16}",
                "SparsePostProcess.num_proposals=20",
            ),
            ("model.backbone", "model.neck", "model.roi_head.bbox_roi_extractor"),
        ),
        Family(
            "ppyolo",
            "configs/ppyolo/ppyolov2_r50vd_dcn_365e_coco.yml",
            ("ResNet.depth=18", "ResNet.dcn_v2_stages=[-1]", reader(96, 96, keep_ratio=False)),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "centernet",
            "configs/centernet/centernet_r50_140e_coco.yml",
            ("ResNet.depth=18", "ResNet.dcn_v2_stages=[-1]", "CenterNetHead.head_planes=32", _LETTER_BOX),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "ttfnet",
            "configs/ttfnet/ttfnet_darknet53_1x_coco.yml",
            (
                "TTFNet.backbone=ResNet",
                "ResNet={depth: 18, variant: d, return_idx: [0, 1, 2, 3], freeze_at: -1}",
                "TTFFPN.planes=[32, 24, 16]",
                "TTFHead={hm_head_planes: 24, wh_head_planes: 16}",
                reader(64, 96, keep_ratio=False),
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "fairmot",
            "configs/mot/fairmot/fairmot_dla34_30e_576x320.yml",
            (
                "CenterNetDLAFPN.dcn_v2=false",
                "CenterNetHead.head_planes=32",
                "CenterNetPostProcess.max_per_img=20",
                _TRACKERS_LETTER_BOX,
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "centertrack",
            "configs/mot/centertrack/centertrack_dla34_70e_mot17.yml",
            (
                "CenterNetDLAFPN.dcn_v2=false",
                "CenterNetHead.head_planes=32",
                "CenterNetPostProcess.max_per_img=20",
                "CenterTrackHead.head_planes=32",
                _of_tracker("WarpAffine: {keep_res: false, input_h: 96, input_w: 128}"),
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "jde",
            "configs/mot/jde/jde_darknet53_30e_576x320.yml",
            (
                "YOLOv3.backbone=MobileNet",
                "MobileNet={scale: 0.25, with_extra_blocks: False, extra_block_filters: [], feature_maps: [4, 6, 13]}",
                _TRACKERS_LETTER_BOX,
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "ppyoloe_r",
            "configs/rotate/ppyoloe_r/ppyoloe_r_crn_s_3x_dota.yml",
            ("width_mult=0.25", reader(96, 128, keep_ratio=True)),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "fcosr",
            "configs/rotate/fcosr/fcosr_x50_3x_dota.yml",
            (
                *_SMALL_FPN,
                "ResNet.groups=1",
                "ResNet.base_width=64",
                "FCOSRHead.feat_channels=32",
                "FCOSRHead.stacked_convs=2",
            ),
            ("model.backbone", "model.neck"),
        ),
        Family(
            "s2anet",
            "configs/rotate/s2anet/s2anet_alignconv_2x_dota.yml",
            # nms_pre below the first level's number of anchors, so that rows are not anchors
            (*_SMALL_FPN, "S2ANetHead.feat_in=32", "S2ANetHead.feat_out=32", "S2ANetHead.nms_pre=60"),
            ("model.backbone", "model.neck"),
        ),
        Family("yolov3", "configs/demo/ppyolo_tiny.yml", (), ("model.backbone", "model.neck")),
        Family(
            "detr",
            "configs/detr/detr_r50_1x_coco.yml",
            (*_SMALL, *_SMALL_TRANSFORMER, *_transformer("DETRTransformer", num_queries=20)),
            _TRANSFORMER_LAYERS,
        ),
        Family(
            "deformable_detr",
            "configs/deformable_detr/deformable_detr_r50_1x_coco.yml",
            (*_SMALL, *_SMALL_TRANSFORMER, *_transformer("DeformableTransformer", num_queries=30)),
            _TRANSFORMER_LAYERS,
        ),
        Family(
            "dino",
            "configs/dino/dino_r50_4scale_1x_coco.yml",
            (
                *_SMALL,
                *_SMALL_TRANSFORMER,
                *_transformer("DINOTransformer", num_queries=30),
                "DETRBBoxPostProcess.num_top_queries=20",
                "DETRPostProcess.num_top_queries=20",  # its name since 2.7.0
            ),
            _TRANSFORMER_LAYERS,
        ),
    )
}

# Heads that paddledet 2.6.0 has not: their families are tested with a checkout that has them, and its own configs.
NEWER = {
    "PPYOLOEInsHead": Family(
        "ppyoloe_ins",
        str(PPDET.folder / "configs/ppyoloe_seg/ppyoloe_seg_s_80e_coco.yml"),
        ("width_mult=0.25", "eval_size=[128, 128]", reader(128, 128, keep_ratio=False)),
        ("model.backbone", "model.neck"),
    ),
}
MISSING = frozenset(head for head in NEWER if not hasattr(heads, head))
FAMILIES |= {family.name: family for head, family in NEWER.items() if head not in MISSING}
