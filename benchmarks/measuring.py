"""The speed benchmark's measurements, each for one case: values in, plain records out.

paddle and ppdet_cam are imported inside the functions, which run in processes of their own: importing them here would
set the number of threads of all commands that are measured.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import numpy as np
from cases import BACKBONE, CASES, ROI, ROOT, Case

if TYPE_CHECKING:
    from ppdet_cam import Explainer
    from ppdet_cam.questions.boxes import Selection
    from ppdet_cam.questions.question import Question
    from ppdet_cam.structures import Frame

Record = dict[str, object]
METHOD = "layercam"  # its cost is what every gradient method's is: that of one backward pass from the layer on
DEFAULT_METHOD = "stagecam"  # goes on from there, into the layer
FOLDER_WORKERS = (0, 1, 2)
NOTHING_DRAWN = ("--save", "raw", "--raw_frame", "grid", "--workers", "0")  # the least that can be written of maps
COMMAND_BOXES = 10
COMMAND_THRESHOLD = 0.1
LIGHT_BOXES = 4  # that both tools explain per repeat; a heavy case gets one
SIZE_REPEATS = 2
GEMM = 1024
CONVOLUTION = (192, 40)  # channels, and cells on each side


def alone(task: Callable[..., object], *arguments: object) -> object:
    """Returns what a function of a module gives in a fresh process: ppdet's global config outlives a detector."""
    pool = multiprocessing.get_context("spawn").Pool(1)
    try:
        return pool.apply(task, arguments)
    finally:
        pool.close()
        pool.join()


def machine() -> Record:
    """Returns how many multiply-adds per second matrix products reach here, and what ran."""
    from ppdet_cam.detectors.compat import paddle
    from ppdet_cam.detectors.processor import available_cores

    one = np.random.default_rng(0).random((GEMM, GEMM), np.float32)
    tensor = paddle.to_tensor(one)
    rates = {}
    for name, product in (("numpy", lambda: one @ one), ("paddle", lambda: paddle.matmul(tensor, tensor))):
        best = min(_seconds(product) for _ in range(20))
        rates[f"{name}: 10^9 multiply-adds per second in a product of {GEMM} x {GEMM} matrices"] = round(
            GEMM**3 / best / 1e9, 1
        )
    return {
        "cores": available_cores(),
        "threads (OMP_NUM_THREADS)": os.environ["OMP_NUM_THREADS"],
        "Python, paddle, numpy": f"{platform.python_version()}, {paddle.__version__}, {np.__version__}",
        **rates,
        **_convolution_milliseconds(),
    }


def _convolution_milliseconds() -> Record:
    """Returns how long the gradient of one convolution takes paddle, and the windowed one with and without zeros."""
    from ppdet_cam.detectors.compat import paddle
    from ppdet_cam.detectors.convolutions import windowed_gradients

    channels, cells = CONVOLUTION
    layer = paddle.nn.Conv2D(channels, channels, 3, padding=1)
    for parameter in layer.parameters():
        parameter.stop_gradient = True
    found: Record = {}
    for who, context, filled in (
        ("paddle's own", contextlib.nullcontext(), slice(None)),
        ("windowed, nothing zero", windowed_gradients(layer), slice(None)),
        ("windowed, one cell", windowed_gradients(layer), slice(20, 21)),
    ):
        image = paddle.randn([1, channels, cells, cells])
        image.stop_gradient = False
        with context:
            output = layer(image)
        given = np.zeros(output.shape, np.float32)
        given[:, :, filled, filled] = 1
        gradient = partial(paddle.grad, output, image, paddle.to_tensor(given), retain_graph=True)
        key = f"gradient of a 3 x 3 convolution, {channels} channels, {cells} x {cells} cells: {who}, ms"
        found[key] = round(1e3 * min(_seconds(gradient) for _ in range(20)), 2)
    return found


def boxes(name: str, weights_folder: str, repeats: int) -> list[Record]:
    """Returns, per layer, both tools' seconds on the same boxes, taking turns."""
    from old_tool import OldTool

    from ppdet_cam import Explainer
    from ppdet_cam.images.reading import read_image

    case, records = CASES[name], []
    weights, frame = case.weights(Path(weights_folder)), read_image(case.image)
    chosen = 1 if case.heavy else LIGHT_BOXES
    for layer, goal in zip(case.layers, case.goals):
        # one backward serves all RoIs: its cost per box is that of the usual number of boxes
        ours_boxes = COMMAND_BOXES if layer == ROI else chosen
        explainer = Explainer.from_config(case.config, weights=weights, layers=layer, method=METHOD)
        question = dataclasses.replace(explainer.question, selection=_best(explainer, ours_boxes))
        quiet = io.StringIO()
        with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            old = OldTool(case.config, weights, case.image, layer, Path(out) / "old")
            scores = sorted((d.score for d in explainer.stream(frame).detections), reverse=True)
            record: Record = {key: [] for key in ("old", "ours", "old_forward", "forward", "plain_forward")}
            counted = _Counted()
            for turn in range(repeats):
                compared = old.run(scores[chosen - 1])
                record["old"].append(old.box_seconds)
                record["old_forward"].append(old.forward_seconds)
                record["plain_forward"].append(_seconds(partial(explainer.detector.predict, frame)))
                if turn == 0:
                    with counted.counting():  # and warm
                        _explained(explainer, frame, question)
                forward, explain, ours_done = _explained(explainer, frame, question)
                record["forward"].append(forward)
                record["ours"].append(explain / ours_done)
        linear = _linear_multiply_adds(explainer)
        records.append(
            {
                "case": name,
                "layer": layer,
                "goal": goal,
                "boxes": f"{compared} and {ours_done}",
                **record,
                "multiply_adds": counted.windowed / ours_done + linear,
                "all_multiply_adds": counted.dense / ours_done + linear,
            }
        )
    return records


def commands(name: str, weights_folder: str, repeats: int) -> list[Record]:
    """Returns, per layer, seconds and peak memory of whole commands from a cold start, taking turns."""
    case, records = CASES[name], []
    weights = str(case.weights(Path(weights_folder)))
    for layer, _ in zip(case.layers, case.goals):
        with tempfile.TemporaryDirectory() as out:
            record: Record = {"case": name, "layer": layer, "goal": case.command_goal}
            record.update(_beside_plain(case, weights, out, repeats, partial(_ours, case, weights, layer)))
            pictures = _folder(out, repeats - 1)
            record["boxes"] = len(list(pictures.glob("*.jpg")))
            threshold = _highest_score(pictures)
            old = [sys.executable, "benchmarks/old_tool.py", str(case.config), weights, str(case.image), layer]
            _, record["old_mb"] = _run([*old, str(threshold), str(Path(out) / "old")])
        records.append(record)
    return records


def refined(name: str, weights_folder: str, repeats: int) -> Record:
    """Returns seconds per box of maps as they are and of refined ones, taking turns; and whole commands with refined
    ones beside plain inference."""
    return _variant(name, weights_folder, repeats, {"refine_by": ("auto",)}, ("--refine_by", "auto"))


def staged(name: str, weights_folder: str, repeats: int) -> Record:
    """Returns the same of the default method, which differentiates the stages inside the layer as well."""
    return _variant(name, weights_folder, repeats, {"method": DEFAULT_METHOD}, ("--method", DEFAULT_METHOD))


def _variant(
    name: str, weights_folder: str, repeats: int, change: Mapping[str, object], flags: Sequence[str]
) -> Record:
    case = CASES[name]
    weights = str(case.weights(Path(weights_folder)))
    found = {"case": name, **alone(_variant_boxes, name, weights_folder, repeats, change)}
    with tempfile.TemporaryDirectory() as out:
        return {
            **found,
            **_beside_plain(case, weights, out, repeats, partial(_ours, case, weights, BACKBONE, more=flags)),
        }


def folder(name: str, weights_folder: str, images: Sequence[Path], repeats: int) -> Record:
    """Returns seconds of whole commands over a folder: ppdet's own inference, ours with so many drawing threads, and
    ours with nothing drawn; taking turns."""
    case, found = CASES[name], {}
    weights = str(case.weights(Path(weights_folder)))
    with tempfile.TemporaryDirectory() as out:
        photos = Path(out) / "photos"
        photos.mkdir()
        for image in images:
            (photos / image.name).symlink_to(image.absolute())
        program = [sys.executable, "tools/cam_ppdet.py", "-c", str(case.config), "--infer_dir", str(photos)]
        asked = ["--draw_threshold", str(COMMAND_THRESHOLD), "--overwrite", "-o", f"weights={weights}"]
        programs = {"plain": _plain(case, weights, str(Path(out) / "plain"), images=photos)}
        for workers in FOLDER_WORKERS:
            programs[f"workers {workers}"] = [*program, "--cam_out", f"{out}/cam", "--workers", str(workers), *asked]
        programs["computing alone"] = [*program, "--cam_out", f"{out}/raw", *NOTHING_DRAWN, *asked]
        for _ in range(repeats):
            for who, one in programs.items():
                taken, peak = _run(one)
                found.setdefault(who, []).append(taken)
                found[f"{who}, MB"] = max(peak, found.get(f"{who}, MB", 0.0))
        lines = (Path(out) / "cam" / "images.jsonl").read_text(encoding="utf-8").splitlines()
    return {"case": name, "images": len(lines), "boxes": sum(len(json.loads(line)["boxes"]) for line in lines), **found}


def _beside_plain(case: Case, weights: str, out: str, repeats: int, ours: Callable[[str], list[str]]) -> Record:
    """Returns seconds and peak memory of plain inference and of our command, taking turns.

    Args:
        ours: the folder that it writes into -> the command; each turn has its own, `_folder`.
    """
    found: dict[str, list[float]] = {"plain": [], "ours": []}
    memory: dict[str, list[float]] = {"plain": [], "ours": []}
    for turn in range(repeats):
        programs = {
            "plain": _plain(case, weights, str(Path(out) / "plain")),
            "ours": ours(str(_folder(out, turn))),
        }
        for who, program in programs.items():
            taken, peak = _run(program)
            found[who].append(taken)
            memory[who].append(peak)
    return {**found, **{f"{who}_mb": max(peaks) for who, peaks in memory.items()}}


def _folder(out: str, turn: int) -> Path:
    return Path(out) / f"ours_{turn}"


def _variant_boxes(name: str, weights_folder: str, repeats: int, change: Mapping[str, object]) -> Record:
    from ppdet_cam import Explainer
    from ppdet_cam.images.reading import read_image

    case = CASES[name]
    frame = read_image(case.image)
    explainer = Explainer.from_config(
        case.config, weights=case.weights(Path(weights_folder)), layers=BACKBONE, method=METHOD
    )
    best = dataclasses.replace(explainer.question, selection=_best(explainer, COMMAND_BOXES))
    questions = {"as_they_are": best, "changed": dataclasses.replace(best, **change)}
    found: dict[str, list[float]] = {key: [] for key in questions}
    for _ in range(repeats):
        for key, question in questions.items():
            _, explain, done = _explained(explainer, frame, question)
            found[key].append(explain / done)
    return {**found, "boxes": done}


def by_count(name: str, weights_folder: str, counts: Sequence[int]) -> list[Record]:
    """Returns, per layer, seconds by number of boxes; fewer where the image has not so many."""
    from ppdet_cam import Explainer
    from ppdet_cam.images.reading import read_image

    case, records = CASES[name], []
    frame = read_image(case.image)
    for layer in case.layers:
        explainer = Explainer.from_config(
            case.config, weights=case.weights(Path(weights_folder)), layers=layer, method=METHOD
        )
        for count in counts:
            question = dataclasses.replace(explainer.question, selection=_best(explainer, count))
            forward, explain, done = _explained(explainer, frame, question)
            records.append({"case": name, "layer": layer, "boxes": done, "forward": [forward], "explain": [explain]})
            if done < count:
                break
    return records


def at_pixels(name: str, weights_folder: str, pixels: int) -> Record:
    """Returns seconds of one box with an input of this many pixels on each side."""
    from ppdet_cam import Explainer
    from ppdet_cam.detectors.building import build_detector
    from ppdet_cam.detectors.settings import read_settings
    from ppdet_cam.images.reading import read_image

    case = CASES[name]
    settings = read_settings(case.config)
    reader = copy.deepcopy(settings["TestReader"])
    for transform in reader["sample_transforms"]:
        if "Resize" in transform:
            transform["Resize"]["target_size"] = [pixels, pixels]
    changes = {"TestReader": reader, **({"eval_size": [pixels, pixels]} if settings.get("eval_size") else {})}
    detector, _ = build_detector(case.config, overrides=changes)
    detector.load_weights(str(case.weights(Path(weights_folder))))
    explainer = Explainer(detector, layers=BACKBONE, method=METHOD)
    question = dataclasses.replace(explainer.question, selection=_best(explainer, 1))
    frame = read_image(case.image)
    turns = [_explained(explainer, frame, question) for _ in range(SIZE_REPEATS)]
    (explanation,) = explainer.stream(frame, question=question).explanations
    own = max(explanation.levels, key=lambda level: level.share)
    return {
        "case": name, "pixels": pixels, "forward": [forward for forward, _, _ in turns],
        "explain": [explain for _, explain, _ in turns], "level_hw": "x".join(map(str, own.grid_hw)),
    }  # fmt: skip


class _Counted:
    """Multiply-adds of the convolutions' gradients: in the windows, and were there none."""

    def __init__(self) -> None:
        self.windowed = self.dense = 0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Counts while the context lasts."""
        from ppdet_cam.detectors import convolutions

        own, least = convolutions.input_gradient, convolutions.LEAST

        def counted(given: np.ndarray, taps: np.ndarray, *rest: object, **options: object) -> np.ndarray:
            rows, columns = convolutions.window(given)
            images, _, height, width = given.shape
            self.windowed += taps.size * images * (rows.stop - rows.start) * (columns.stop - columns.start)
            self.dense += taps.size * images * height * width
            return own(given, taps, *rest, **options)

        convolutions.input_gradient, convolutions.LEAST = counted, 0
        try:
            yield
        finally:
            convolutions.input_gradient, convolutions.LEAST = own, least


def _linear_multiply_adds(explainer: Explainer) -> int:
    """Returns those of an R-CNN's head on one RoI: once forward, once back."""
    from ppdet_cam.detectors.compat import paddle

    head = explainer.detector.extractor.roi_head
    layers = [] if head is None else [layer for layer in head.sublayers() if isinstance(layer, paddle.nn.Linear)]
    return 2 * sum(int(np.prod(layer.weight.shape)) for layer in layers)


def _best(explainer: Explainer, count: int) -> Selection:
    return dataclasses.replace(explainer.question.selection, draw_threshold=0.0, top_k=count)


def _explained(explainer: Explainer, frame: Frame, question: Question) -> tuple[float, float, int]:
    """Returns seconds of the forward pass, of all explanations, and how many those are."""
    started = time.perf_counter()
    stream = explainer.stream(frame, question=question)
    forward = time.perf_counter()
    done = sum(1 for _ in stream.explanations)
    return forward - started, time.perf_counter() - forward, done


def _seconds(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def _plain(case: Case, weights: str, out: str, *, images: Path | None = None) -> list[str]:
    program = [sys.executable, "benchmarks/plain_inference.py", str(case.config), weights, str(images or case.image)]
    return [*program, str(COMMAND_THRESHOLD), out]


def _ours(case: Case, weights: str, layer: str, out: str, *, more: Sequence[str] = ()) -> list[str]:
    program = [sys.executable, "tools/cam_ppdet.py", "-c", str(case.config), "--infer_img", str(case.image)]
    asked = ["--draw_threshold", str(COMMAND_THRESHOLD), "--top_k", str(COMMAND_BOXES), "--cam_out", out]
    how = ["--target_feature_layer_name", layer, "--method", METHOD, *more]
    return [*program, *asked, *how, "-o", f"weights={weights}"]


def _highest_score(pictures: Path) -> float:
    (line,) = (pictures / "images.jsonl").read_text(encoding="utf-8").splitlines()
    return max(box["score"] for box in json.loads(line)["boxes"]) - 1e-6


def _run(program: Sequence[str]) -> tuple[float, float]:
    """Returns a program's wall seconds and its peak memory in MB."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(program, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(program)} failed:\n{said.read().decode(errors='replace')[-2000:]}")
    return taken, usage.ru_maxrss / 1024
