"""Exported models whose files are damaged, mixed, misplaced or nonsense, and flags that do not fit them."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import yaml

from fuzzing.configs import DANGEROUS, garbled_yaml, yaml_value
from fuzzing.flags import furnish_annotations
from fuzzing.spoiling import as_text, garbled, put_in_its_place, spoilt
from fuzzing.world import CHOICE, CONFIG, Drawn, flipped, save_photo, spliced

# what the graph gives -> demo detector, settings of its export
EXPORTS: dict[str, tuple[str, dict[str, object]]] = {
    "detections": ("blazeface", {}),
    "boxes": ("picodet", {"export": {"post_process": True, "nms": False, "benchmark": False}}),
    "levels": ("picodet", {"export": {"post_process": False, "nms": False, "benchmark": False}}),
}
DEPLOYMENT_FILE, PARAMETERS = "infer_cfg.yml", "model.pdiparams"
PLAIN_SHARE = 0.2
ODD_NAMES = ("a b", "模型 导出", "m" * 250, "m.onnx", "-m", "é\n", "%s{}", "m.yml", "'")
OPERATIONS = (
    *("Resize", "NormalizeImage", "Permute", "PadStride", "Pad", "LetterBoxResize", "WarpAffine", "Fisheye", "Resiz"),
    *("", "CULaneResize", "__class__", "EvalAffine"),
)
ARGUMENTS = (
    *("target_size", "keep_ratio", "interp", "mean", "std", "is_scale", "norm_type", "stride", "size", "fill_value"),
    *("keep_res", "pad", "input_h", "input_w", "nope", "type", "_", "é"),
)
NUMBERS = (
    *("[64, 64]", "[320, 320]", "[1, 1]", "[0, 0]", "[-3, 8]", "[30000, 30000]", "[1000000, 1]", "[2, 3, 4]", "[8]"),
    *("64", "0", "1000000000000", "0.5", ".nan", "[.nan, 1, 1]", "[0.5, 0.5, 0.5]", "[0, 0, 0]", "[1e400, 1, 1]"),
    *("[a, b, c]", "true", "false", "3", "99", "-1", "[1, 2]", "mean_std", "none", "[[1], [2], [3]]"),
)
KEYS = (
    *("mode", "draw_threshold", "metric", "use_dynamic_shape", "arch", "min_subgraph_size", "Preprocess", "label_list"),
    *(
        "NMS",
        "fpn_stride",
        "num_top_queries",
        "mask",
        "tracker",
        "export_onnx",
        "Global",
        "PreProcess",
        "architecture",
        "hpi",
    ),
)
KEY_VALUES = (
    *(
        "HRNet",
        "SOLOv2",
        "JDE",
        "SSD",
        "YOLO",
        "PicoDet",
        "Perceptron",
        "RCNN",
        "DETR",
        "Face",
        "[8, 16, 32]",
        "[8, 16]",
    ),
    *("[8, 16, 32, 64]", "[0]", "[-8]", "[true]", "[8.0]", "[1e400]", "99999999999999999999999", "{model_name: PP}"),
    *("{name: MultiClassNMS}", "{name: MatrixNMS}", "{name: SoftNMS}", "{name: 3}", "{nms_threshold: x}", "{0: 1}"),
    *("{name: MatrixNMS, keep_top_k: 0}", "{nms_threshold: -1}", "{keep_top_k: -5}", "{keep_top_k: 1.5}"),
    *("{score_threshold: .nan}", "{nms_top_k: 99999999999999}", "{background_label: 3}", "{normalized: false}"),
    *("{nms_eta: 0}", "{return_index: false}", "{return_rois_num: false}", "{use_gaussian: true}", "{trt: true}"),
)
NMS_KEYS = (
    *("score_threshold", "nms_top_k", "keep_top_k", "nms_threshold", "normalized", "nms_eta", "return_index", "trt"),
    *("post_threshold", "use_gaussian", "gaussian_sigma", "background_label", "nope", "return_rois_num"),
)
NMS_NUMBERS = (
    *("0", "1", "-1", "-5", "0.5", "3", "300", "true", "false", "1.5", ".nan", ".inf", "-.inf", "2147483648", "x"),
    *("99999999999999999999", "1e400", "1.0e-300", "null", "[1]", "0.05", "0.05", "100"),
)
LABELS = ("face", "", " ", "行人", "x" * 500, "\0", "\u202e", "\ud800", 3, 2.5, True, None, [], {"a": 1}, 10**400)


def draw(draws: random.Random, here: Path, earlier: Path) -> Drawn:
    """Returns `cam_ppdet --model_dir` for an exported model, spoilt or not.

    Args:
        draws: what comes by chance.
        here: the current folder of the command.
        earlier: where the models are exported to, once.
    """
    save_photo(here / "photo.jpg")
    (here / "folder").mkdir()
    save_photo(here / "folder" / "a.png", size=(90, 130))
    furnish_annotations(here)
    name = draws.choice(ODD_NAMES) if draws.random() < 0.1 else "model"
    folder, model = here / name, draws.choice(["detections"] * 4 + ["boxes"] * 2 + ["levels"])
    shutil.copytree(exported(earlier, model), folder)
    done = [model]
    if draws.random() >= PLAIN_SHARE:
        ways = [draws.choice(_WAYS) for _ in range(draws.choice([1, 1, 1, 1, 2]))]
        for way in sorted(ways, key=lambda way: way is _in_its_place):  # last: a pipe cannot be spoilt any more
            try:
                done.append(f"{way.__name__[1:]} {way(draws, folder, earlier)}")
            except OSError:  # what was done before is in its way
                done.append(f"{way.__name__[1:]} cannot be done")
    words = ["--model_dir", _given(draws, here, name), *_inputs(draws), *_method(draws)]
    if draws.random() < 0.3:
        words += [word for _ in range(draws.choice([1, 1, 2, 3])) for word in draws.choice(_MORE)]
    if draws.random() < 0.05:
        done.append(_in_the_way(draws, here))
    return Drawn(tuple(words), "; ".join(done))


@cache
def exported(earlier: Path, model: str) -> Path:
    """Returns the folder of one of `EXPORTS`, which is made when it is asked for the first time."""
    from support.exporting import export_demo  # here: paddle and ppdet take seconds to import

    name, settings = EXPORTS[model]
    return export_demo(name, earlier / "exported" / model, **settings)


# --- the command line


def _given(draws: random.Random, here: Path, name: str) -> str:
    """Returns what the flag is given."""
    (here / "link").symlink_to(name)
    (here / "loop").symlink_to("loop")
    wrong = [f"{name}/{file}" for file in ("model.json", DEPLOYMENT_FILE, "gone.onnx", f"{'x' * 300}.onnx")]
    wrong += [".", "", "gone", "loop", "photo.jpg", "photo.jpg/below", "~nobody/x", "/dev/null", "x" * 300, "\udce9"]
    right = [name, name, f"./{name}/", str(here / name), "link", f"folder/../{name}"]
    return draws.choice(wrong if draws.random() < 0.07 else right)


def _inputs(draws: random.Random) -> list[str]:
    kinds = [["--infer_dir", "folder"], ["--infer_img", "photo.jpg", "folder/a.png"], ["--gt", "gt.json"], []]
    return draws.choice([["--infer_img", "photo.jpg"]] * 8 + kinds)


def _method(draws: random.Random) -> list[str]:
    """Returns a method that asks for few boxes, by few masks; occlusion takes 40 times as long."""
    drise = ["--method", "drise", "--samples", draws.choice(["1", "3"]), "--top_k", draws.choice(["1", "2"])]
    occlusion = draws.choice([["--top_k", "1"], ["--method", "occlusion", "--top_k", "1"]])
    threshold = list(CHOICE[:2]) if draws.random() < 0.9 else []
    return [*threshold, *(occlusion if draws.random() < 0.04 else drise)]


_MORE = tuple(
    text.split()
    for text in (
        *("--box 10,10,60,60", "--box 10,10,60,60,face", "--box 0,0,1,1,nobody", "--gt gt.json", "--draw_threshold 0"),
        *("--draw_threshold 1", "--draw_threshold x", "--top_k 0", "--classes face", "--classes nobody", "--levels"),
        *("--box_index 0", "--box_index 99", "--batch_size 3", "--save overlay,raw,panel", "--save nope", "--report"),
        *("--resume", "--overwrite", "--seed 5", "--shard 1/2", "--workers 2", "--cam_out new/deep", "--list_methods"),
        *("--target_feature_layer_name model.neck", f"-c {CONFIG}", "-o use_gpu=false", "--list_layers"),
        *("--method layercam", "--method stagecam", "--method attention", "--method activations", "--output_only"),
        *("--target logit", "--target contrast:face", "--refine_by auto", "--channels 0", "--model_dir gone"),
        *("--raw_frame grid --save raw", "--ppdet gone", "--nope", "--samples 0", "--model_filename model.json"),
        *(f"--ppdet {'x' * 300}", "--slice_infer"),
    )
)


def _in_the_way(draws: random.Random, here: Path) -> str:
    """Puts something where the run's folder would be, and says what."""
    out = here / "cam_out"
    kind = draws.choice(["files of the user", "a file", "something else"])
    if kind == "files of the user":
        out.mkdir()
        (out / draws.choice(["0.jpg", "run.json", "images.jsonl", "notes.txt"])).write_bytes(b"mine")
    elif kind == "a file":
        out.write_bytes(b"mine")
    else:
        kind = put_in_its_place(out, draws)
    return f"{kind} as cam_out"


# --- the deployment file


def _setting(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Gives a key of the deployment file another value, as YAML has it."""
    settings = _settings(folder)
    key = draws.choice(KEYS)
    value = draws.choice(KEY_VALUES) if draws.random() < 0.5 else yaml_value(draws)
    settings.pop(key, None)
    _write_settings(folder, settings, f"{key}: {value}\n")
    return f"{key}: {value}"


def _document(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Spoils the deployment file as a JSON document, which YAML is as well."""
    count = draws.choice([1, 1, 2, 5])
    (folder / DEPLOYMENT_FILE).write_bytes(as_text(spoilt(_settings(folder), draws, count)))
    return f"{count} parts"


def _text(draws: random.Random, folder: Path, _earlier: Path) -> str:
    file = folder / DEPLOYMENT_FILE
    content, what = garbled_yaml(file.read_bytes(), draws)
    if draws.random() < 0.3:
        what = draws.choice(["byte-order mark", "not UTF-8", "a tag", "Windows lines"])
        whole = file.read_bytes()
        content = {
            "byte-order mark": b"\xef\xbb\xbf" + whole,
            "not UTF-8": whole.replace(b"face", draws.choice([b"caf\xe9", "行".encode("gbk"), b"\xff\xfe"])),
            "a tag": whole + f"x: {draws.choice(DANGEROUS)}\n".encode(),
            "Windows lines": whole.replace(b"\n", b"\r\n"),
        }[what]
    file.write_bytes(content)
    return what


def _operations(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Writes operations of any kind, or gives one that is there an argument that it should not have."""
    settings = _settings(folder)
    listed = list(settings.get("Preprocess") or [])
    if listed and draws.random() < 0.5:
        item = dict(draws.choice(listed))
        key = draws.choice([*item, draws.choice(ARGUMENTS)])
        rest = [one for one in listed if one.get("type") != item.get("type")]
        item.pop(key, None)
        text = json.dumps(item)[1:-1] + f", {key}: {draws.choice(NUMBERS)}"
        lines = [*(json.dumps(one) for one in rest), f"{{{text.removeprefix(', ')}}}"]
    else:
        lines = [_operation(draws) for _ in range(draws.randint(0, 4))]
        lines += ["{type: NormalizeImage}", "{type: Permute}"] if draws.random() < 0.6 else []
    settings.pop("Preprocess", None)
    _write_settings(folder, settings, f"Preprocess: [{', '.join(lines)}]\n")
    return f"{lines}"


def _operation(draws: random.Random) -> str:
    arguments = [f"{draws.choice(ARGUMENTS[:-3])}: {draws.choice(NUMBERS)}" for _ in range(draws.randint(0, 3))]
    return f"{{{', '.join([f'type: {draws.choice(OPERATIONS)!r}', *arguments])}}}"


def _suppression(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Gives a model without NMS one of odd numbers."""
    numbers = [f"{draws.choice(NMS_KEYS)}: {draws.choice(NMS_NUMBERS)}" for _ in range(draws.choice([1, 1, 2, 4]))]
    text = f"{{name: {draws.choice(['MultiClassNMS', 'MatrixNMS'])}, {', '.join(numbers)}}}"
    settings = _settings(folder)
    settings.pop("NMS", None)
    _write_settings(folder, settings, f"NMS: {text}\n")
    return text


def _labels(draws: random.Random, folder: Path, _earlier: Path) -> str:
    labels = [draws.choice(LABELS) for _ in range(draws.choice([0, 1, 1, 2, 7, 9, 80, 5000]))]
    (folder / DEPLOYMENT_FILE).write_bytes(as_text({**_settings(folder), "label_list": labels}))
    return f"{len(labels)}, {labels[:3]!r}"[:200]


def _settings(folder: Path) -> dict[str, object]:
    """Returns what the deployment file says, nothing if it was spoilt before."""
    content = (folder / DEPLOYMENT_FILE).read_bytes()
    if b"&" in content:  # values that hold themselves, or that are endless when written out
        return {}
    try:
        found = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_settings(folder: Path, settings: dict[str, object], more: str) -> None:
    text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False) if settings else ""
    (folder / DEPLOYMENT_FILE).write_text(text + more, encoding="utf-8", errors="surrogatepass")


# --- the model's files


def _garbled_file(draws: random.Random, folder: Path, _earlier: Path) -> str:
    file = draws.choice(_model_files(folder))
    file.write_bytes(garbled(file.read_bytes(), draws))
    return file.name


def _parameters(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Spoils the weights as a bad disk or a copy that was cut short would, or where they say their lengths."""
    file = folder / PARAMETERS
    content = file.read_bytes()
    ways: dict[str, Callable[[], bytes]] = {
        "bits of the head": lambda: flipped(content[:60], draws, draws.randint(1, 3)) + content[60:],
        "bits anywhere": lambda: flipped(content, draws, draws.randint(1, 500)),
        "its end": lambda: content[: -draws.randint(1, 400)],
        "its middle zero": lambda: content[:2000] + bytes(5000) + content[7000:],
        "parts moved": lambda: spliced(content, draws),
        "all ones": lambda: b"\xff" * len(content),
        "nothing": lambda: b"",
    }
    what = draws.choice(list(ways))
    file.write_bytes(ways[what]())
    return what


def _graph(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Spoils the values of a graph that is JSON."""
    file = _program(folder)
    if file.suffix != ".json":
        file.write_bytes(flipped(file.read_bytes(), draws, 1))
        return "a bit"
    count = draws.choice([1, 1, 1, 2, 9])
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError):  # it was spoilt before
        return "nothing"
    file.write_bytes(as_text(spoilt(document, draws, count)))
    return f"{count} parts"


def _mixed(draws: random.Random, folder: Path, earlier: Path) -> str:
    """Puts a file of another export in the place of one, or beside it."""
    other = exported(earlier, draws.choice(list(EXPORTS)))
    file = draws.choice([*_model_files(folder), folder / DEPLOYMENT_FILE])
    name = file.name
    if draws.random() < 0.5:
        name = name.replace("model", "inference").replace("infer_cfg", "inference")
    shutil.copy(other / file.name, folder / name)
    return f"{name} of {other.parent.name}"


def _renamed(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Moves, doubles or takes away a file."""
    file = draws.choice(sorted(folder.iterdir()))
    names = ("model.pdmodel", "inference.pdiparams", "inference.yml", "infer_cfg.yaml", "model.onnx", "best.pdparams")
    names += ("b.onnx", "model.PDMODEL", "model.json", "model", ".onnx", "other.json", f"{'n' * 250}.yml")
    name = draws.choice(names)
    if draws.random() < 0.5:
        file.rename(folder / name)
        return f"{file.name} to {name}"
    shutil.copy(file, folder / name)
    return f"{file.name} as {name}, too"


def _in_its_place(draws: random.Random, folder: Path, _earlier: Path) -> str:
    file = draws.choice([*_model_files(folder), folder / DEPLOYMENT_FILE])
    return f"{put_in_its_place(file, draws)} as {file.name}"


def _closed(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Takes away the permission to read, which stops nobody who is root."""
    file = draws.choice([*sorted(folder.iterdir()), folder])
    file.chmod(0 if os.geteuid() else 0o755)
    return file.name


def _onnx(draws: random.Random, folder: Path, _earlier: Path) -> str:
    """Writes an `.onnx` file of rubbish in the place of the graph, or beside it."""
    if draws.random() < 0.7:
        for file in _model_files(folder):
            file.unlink()
    content = draws.choice([b"", b"\x08\x07", draws.randbytes(400), b"not a model", bytes(5000)])
    name = draws.choice(["model.onnx", "a b.onnx", "行.onnx", "model.ONNX"])
    (folder / name).write_bytes(content)
    return f"{name} of {len(content)} bytes"


def _linked(draws: random.Random, folder: Path, earlier: Path) -> str:
    """Puts links in the place of files; such a model is whole."""
    files = sorted(folder.iterdir())
    for file in draws.sample(files, draws.randint(1, len(files))):
        place = folder.parent / "elsewhere" / file.name
        place.parent.mkdir(exist_ok=True)
        file.rename(place)
        file.symlink_to(place)
    return "elsewhere"


def _model_files(folder: Path) -> list[Path]:
    return [_program(folder), folder / PARAMETERS]


def _program(folder: Path) -> Path:
    """Returns the graph that this paddle exports."""
    names = [name for name in ("model.pdmodel", "model.json") if (folder / name).exists()]
    return folder / (names[0] if names else "gone")


_WAYS = (
    *(_setting, _setting, _document, _document, _text, _operations, _operations, _labels, _suppression, _suppression),
    *(_garbled_file, _parameters, _parameters, _graph, _graph, _mixed, _renamed, _in_its_place, _closed, _onnx),
    _linked,
)
