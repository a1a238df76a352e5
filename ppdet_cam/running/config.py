"""What one run of the command line was asked to do, checked once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.errors import ConfigError
from ppdet_cam.images.inputs import Inputs
from ppdet_cam.languages import check_lang
from ppdet_cam.methods import methods
from ppdet_cam.outputs.pictures import DEFAULT_KINDS, LAYER_KINDS, REPORT_KINDS, VIDEO_KINDS, Output
from ppdet_cam.questions.question import ACTIVATIONS, Question

DEFAULT_WORKERS = 1  # on two cores a second one takes more than it gives: docs/performance.md


@dataclass(frozen=True)
class RunConfig:
    """One run of the command line.

    Attributes:
        config: the ppdet config file, None for an exported model.
        overrides: "key=value" items of `-o`.
        inputs: which images; when neither files nor a list are given, those of `gt`.
        cam_out: the folder to write into.
        question: what is asked of which boxes.
        output: what is written of each image.
        gt: annotations (`questions.annotations`); objects of theirs that no detection found are asked about as well.
        resume: whether to go on with the run over several images that is in `cam_out`.
        overwrite: whether to remove the run that is in `cam_out`.
        report: whether to write a page to look at all pictures with.
        lang: language that the page opens in, of `LANGUAGES`; None for that of the browser.
        vdl_log_dir: a folder for a log of the run that VisualDL shows.
        workers: how many threads draw and write.
        shard: "I/N": only the I-th of N parts of the images.
        strict_images: whether an image with anything amiss fails.
        model_dir: instead of `config`: the folder of an exported model.
        output_only: whether no more is taken of the config's detector than its output, as of an exported model's.
        font: file of a font for letters that Pillow's own lacks; None to look for one.
    """

    config: Path | None
    overrides: tuple[str, ...]
    inputs: Inputs
    cam_out: Path
    question: Question
    output: Output = Output()
    gt: Path | None = None
    resume: bool = False
    overwrite: bool = False
    report: bool = False
    lang: str | None = None
    vdl_log_dir: Path | None = None
    workers: int = DEFAULT_WORKERS
    shard: str | None = None
    strict_images: bool = False
    font: Path | None = None
    model_dir: Path | None = None
    output_only: bool = False

    def __post_init__(self) -> None:
        if (self.config is None) == (self.model_dir is None):
            raise ConfigError(
                "-c names a config to look into, --model_dir an exported model that is explained by its output; give "
                "one of them"
            )
        if self.model_dir is not None and self.overrides:
            raise ConfigError(
                f"-o {self.overrides[0]} changes a config, and an exported model has none: leave it out, or export "
                "the model so"
            )
        if self.inputs.is_empty and self.gt is None:
            raise ConfigError(
                "no image given: --infer_img <file> ..., --infer_dir <folder>, --infer_list <file>, --video_file "
                "<file>, or the images of --gt <annotations>"
            )
        if self.resume and self.overwrite:
            raise ConfigError("--resume goes on with an earlier run, --overwrite removes it; give one of them")
        if self.resume and self.inputs.is_single:
            raise ConfigError("--resume goes on with a run over several images; a single image is explained anew")
        if self.overwrite and self.shard:
            raise ConfigError(
                "--overwrite with --shard would remove the other shards' work; remove the folder, or choose another "
                "--cam_out"
            )
        if self.workers < 0:
            raise ConfigError(f"--workers must be 0 or more, not {self.workers}")
        check_lang(self.lang)
        if self.lang is not None and not self.report:
            raise ConfigError("--lang is the language of the page that --report writes; give --report as well")
        if self.inputs.video is not None:
            self._check_is_of_video()
        if self.question.is_of_layers:
            self._check_is_of_layers()
        elif self.output.raw_frame == "grid" and methods.get(self.question.method).needs.is_of_images:
            raise ConfigError(
                f"--raw_frame grid saves maps on feature grids, and --method {self.question.method}, which alters the "
                "image, has none; use --raw_frame image"
            )
        if self.output.raw_frame == "grid" and self.question.refine_by:
            raise ConfigError(
                "--raw_frame grid saves maps on their feature grids, and a map of --refine_by is of several grids "
                "multiplied; use --raw_frame image"
            )
        kinds = (*self.output.kinds, *(REPORT_KINDS if self.report else ()))
        if self.inputs.video is not None:
            kinds = (*kinds, *VIDEO_KINDS)
        if self.question.is_of_layers:
            kinds = (*LAYER_KINDS, *(kind for kind in kinds if kind == "photo"))
        object.__setattr__(self, "output", dataclasses.replace(self.output, kinds=kinds))

    def _check_is_of_video(self) -> None:
        if self.gt is not None or self.question.is_of_layers:
            what = "--gt" if self.gt is not None else f"--method {ACTIVATIONS}"
            raise ConfigError(
                f"{what} needs images, not --video_file; take the frames out (ffmpeg -i FILE frames/%06d.png) and give "
                "their folder with --infer_dir"
            )

    def _check_is_of_layers(self) -> None:
        unfit = [kind for kind in self.output.kinds if kind not in (*DEFAULT_KINDS, *LAYER_KINDS, "photo")]
        if unfit or self.gt is not None:
            what = "--gt" if self.gt is not None else f"--save {unfit[0]}"
            raise ConfigError(
                f"{what} is about boxes, and --method {ACTIVATIONS} shows layers whatever the boxes: a panel per "
                "level, and the photo with --save photo; leave one out"
            )

    @property
    def inputs_are_annotated(self) -> bool:
        """Whether the images are those that the ground truth names."""
        return self.gt is not None and not self.inputs.images and self.inputs.list_file is None

    def flags(self) -> dict[str, object]:
        """Returns the flags by their command-line names, as `run.json` holds them.

        Those are left out that neither change what is written nor where: how the work was divided and interrupted.
        """
        question, selection, inputs = self.question, self.question.selection, self.inputs
        images = [str(path) for path in inputs.images]
        return {
            "infer_img": images[0] if inputs.is_single else images or None,
            "infer_dir": None if inputs.folder is None else str(inputs.folder),
            "recursive": inputs.recursive,
            "infer_list": None if inputs.list_file is None else str(inputs.list_file),
            "video_file": None if inputs.video is None else str(inputs.video),
            "frame_interval": inputs.frame_interval,
            "cam_out": str(self.cam_out),
            "target_feature_layer_name": list(question.layers),
            "refine_by": list(question.refine_by),
            "channels": question.channels,
            "slice_infer": None if question.slicing is None else dataclasses.asdict(question.slicing),
            "method": question.method,
            "target": question.target,
            "draw_threshold": selection.draw_threshold,
            "top_k": selection.top_k,
            "classes": list(selection.classes),
            "box_index": list(selection.box_index),
            "box": [
                ",".join([*(f"{value:g}" for value in box.numbers), *([box.class_text] if box.class_text else [])])
                for box in question.boxes
            ],
            "gt": None if self.gt is None else str(self.gt),
            "strict_images": self.strict_images,
            "samples": question.samples,
            "seed": question.seed,
            "batch_size": question.batch,
            **self.output.flags(),
            "font": None if self.font is None else str(self.font),
            "report": self.report,
            "lang": self.lang,
            "vdl_log_dir": None if self.vdl_log_dir is None else str(self.vdl_log_dir),
            "opt": list(self.overrides),
            "model_dir": None if self.model_dir is None else str(self.model_dir),
            "output_only": self.output_only or None,
        }
