"""Flags that people bring from PaddleDetection's own tools, and what to use here instead."""

from __future__ import annotations

INSTEAD = {
    "--output_dir": "--cam_out FOLDER is where the pictures go",
    "--use_gpu": "the device is chosen automatically; -o use_gpu=false forces the CPU",
    "--device": "the device is chosen automatically; -o use_gpu=false forces the CPU",
    "--use_xpu": "the device is chosen automatically; -o use_gpu=false forces the CPU",
    "--image_file": "--infer_img FILE",
    "--image_dir": "--infer_dir FOLDER",
    "--threshold": "--draw_threshold SCORE",
    "--weights": "-o weights=FILE_OR_URL",
    "--model": "-c CONFIG and -o weights=FILE_OR_URL",
    "--slim_config": "pruned, quantised and distilled models are not explained; give the config of the model as it was "
    "trained, or of the student",
    "--visualize": "pictures are always drawn; --save says which",
    "--save_results": "images.jsonl in --cam_out has every box",
    "--save_txt": "images.jsonl in --cam_out has every box",
    "--do_eval": "cam_eval measures maps; PaddleDetection's tools/eval.py measures detections",
    "--use_vdl": "--vdl_log_dir FOLDER alone is enough",
    "--rtn_im_file": "images.jsonl in --cam_out names each image's file",
    "--img_path": "--infer_img FILE",
}


def advice_on(argument: str) -> str | None:
    """Returns what to use instead of a flag of PaddleDetection's tools, None for any other text.

    Example:
        >>> advice_on("--image_dir=photos")
        '--infer_dir FOLDER'
    """
    return INSTEAD.get(argument.partition("=")[0])
