"""CAM methods measured on a detector and annotated images; the command `cam_eval`. See docs/evaluation.md."""
