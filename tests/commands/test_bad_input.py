"""Whatever is wrong with the input: exit code 2, one line that says what and what to do, and nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import requests
from PIL import Image
from support.families import FAMILIES
from support.places import ROOT
from support.runs import BLAZEFACE, PHOTO, SSD
from support.trees import contents

from ppdet_cam.detectors.families import families
from ppdet_cam.errors import ScoreMismatchError
from ppdet_cam.outputs import pictures
from ppdet_cam.places import demo_photographs
from ppdet_cam.running import drawing, model

PPYOLOE = FAMILIES["ppyoloe"]


@pytest.fixture
def refused(command):
    """Returns a function that runs `cam_ppdet`, asserts that it refuses and leaves nothing, and gives its message."""

    def run(*arguments: str | Path, **options: Path | str) -> str:
        before = contents(command.folder)
        message = command.refused(command.explain(*arguments, **options))
        assert contents(command.folder) == before
        return message

    return run


@pytest.fixture
def arrays(command):
    """BlazeFace's seeded weights as arrays by name."""
    return {name: value.numpy() for name, value in paddle.load(str(command.weights[BLAZEFACE])).items()}


def says(message: str, *parts: object) -> None:
    """Asserts that a message holds each of these, in this order."""
    position = 0
    for part in map(str, parts):
        assert part in message[position:], f"{part!r} is not in: {message[position:]}"
        position = message.index(part, position) + len(part)


# --- flags


def test_config_flag_is_required(command):
    """Without -c the message says how to give one."""
    says(command.refused(command()), "no config given", "-c <file>.yml")


def test_image_flag_is_required(command):
    """Without --infer_img nothing can be explained."""
    says(command.refused(command("-c", BLAZEFACE)), "no image given", "--infer_img <file>")


def test_unknown_flag_gives_the_closest(refused):
    """A misspelt flag is refused with the right one, before anything is read."""
    says(refused("--infer_image", PHOTO), "unknown argument '--infer_image'", "--help", "did you mean '--infer_img'")


def test_flag_is_not_abbreviated(refused):
    """The start of a flag's name is not taken for it: a later flag could start the same."""
    says(refused("--draw", "0.5"), "unknown argument '--draw'", "did you mean", "'--draw_threshold'")


@pytest.mark.parametrize("word", ["--box=--", "--method=--", "-c--"])
def test_two_dashes_are_no_value(refused, word):
    """argparse takes them out of the words, and would leave a list of nothing where a text is expected."""
    says(refused(word), "argument", word[:2], "'--' is no value")


@pytest.mark.parametrize("threshold", ["1.5", "-0.1", "nan", "inf"])
def test_threshold_is_a_score(refused, threshold):
    """A threshold that no score can be compared with is refused."""
    says(refused("--draw_threshold", threshold), "--draw_threshold", "between 0 and 1", threshold)


def test_threshold_is_a_number(refused):
    """Text is no threshold."""
    says(refused("--draw_threshold", "half"), "--draw_threshold", "'half'", "--help")


def test_unknown_method_gives_the_supported_ones(refused):
    """The message has the closest name and the list."""
    says(refused("--method", "grad-cam"), "method 'grad-cam'", "did you mean 'gradcam'", "Supported: ", "gradcam, ")


# --- config


def test_config_that_is_not_there_gives_the_closest_names(refused, command):
    """A misspelt file name is answered with those in its folder."""
    message = refused("-c", BLAZEFACE.with_name("blazeface_100e.yml"))
    says(message, "blazeface_100e.yml", "does not exist", "did you mean 'blazeface_1000e.yml'")
    says(refused("-c", command.folder / "no" / "such.yml"), "such.yml does not exist", "no folder", "no")


def test_config_may_not_be_a_folder(refused):
    """The message lists the configs in it."""
    says(refused("-c", BLAZEFACE.parent), "is a directory", "blazeface_1000e.yml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["is empty", "key: value"]),
        ("# a comment only\n", ["is empty"]),
        ("a: [1, 2\nb: 3\n", ["is not YAML", "line 2"]),
        ("- a\n- b\n", ["holds a list", "key: value"]),
        ("just text\n", ["holds a text"]),
        ("_BASE_: [gone.yml]\n", ["names the base 'gone.yml'", "not there"]),
        ("_BASE_: [mine.yml]\n", ["is its own base"]),
        ("use_gpu: true\n", ["names no architecture", "Supported: ARSL_FCOS"]),
        ("architecture: !Nope {}\n", ["names no architecture"]),
    ],
    ids="empty comment yaml list text base-missing base-itself no-architecture tagged".split(),
)
def test_config_that_says_nothing_is_refused(refused, command, text, expected):
    """The message names the file and what it lacks."""
    config = command.folder / "mine.yml"
    config.write_text(text, encoding="utf-8")
    says(refused("-c", config), "mine", *expected)


def test_config_without_a_reader_is_refused(refused, command):
    """How to read an image is not guessed."""
    (command.folder / "mine.yml").write_text("architecture: BlazeFace\n", encoding="utf-8")
    says(refused("-c", "mine.yml"), "no TestReader.sample_transforms")


def test_config_that_is_binary_is_refused(refused, command):
    """An image under a config's name is no config."""
    shutil.copy(PHOTO, command.folder / "mine.yml")
    says(refused("-c", "mine.yml"), "mine.yml", "UTF-8")


def test_config_with_another_suffix_is_refused(refused):
    """The image in the config's place is noticed before it is read."""
    says(refused("-c", PHOTO), PHOTO, "not a config", ".yml")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [touch {marker}]",
        "!!python/object/apply:os.system ['touch {marker}']",
        "!!python/object/new:os.system [touch {marker}]",
        "!!python/name:os.system ''",
        "!!python/module:os ''",
        "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {marker}']",
    ],
)
@pytest.mark.parametrize("place", ["override", "config", "base", "training section"])
def test_python_tags_are_refused_unread(refused, command, tag, place):
    """A tag that makes a Python object is refused wherever it stands, and what it asks for does not happen."""
    marker = command.folder / "ran"
    value = tag.format(marker=marker)
    if place == "override":
        message = refused(f"num_classes={value}")
    else:
        line = f"LearningRate: {{base_lr: {value}}}\n" if place == "training section" else f"num_classes: {value}\n"
        text = BLAZEFACE.read_text(encoding="utf-8").replace("num_classes: 1\n", line)
        (command.folder / "evil.yml").write_text(text, encoding="utf-8")
        (command.folder / "child.yml").write_text("_BASE_: [evil.yml]\n", encoding="utf-8")
        message = refused("-c", "child.yml" if place == "base" else "evil.yml")
        says(message, "evil.yml", "line")
    says(message, "the tag !!python/", "can run code")
    assert not marker.exists()


@pytest.mark.parametrize("architecture", ["TopDownHRNet", "HigherHRNet"])
def test_unsupported_architecture_gives_the_supported_ones(refused, command, architecture):
    """A model of ppdet that is not supported, as it is no detector, is named, with the list of those that are."""
    config = command.folder / "other.yml"
    config.write_text(f"architecture: {architecture}\n{architecture}: {{backbone: HRNet}}\n", encoding="utf-8")
    says(refused("-c", config), f"architecture '{architecture}' is not supported", ", ".join(families.names()))


def test_known_architecture_with_another_head_is_refused(refused, command):
    """`YOLOv3` is the name of several detectors' architecture; with a head for distilling it is not supported."""
    config = command.folder / "yolov3.yml"
    config.write_text(
        "architecture: YOLOv3\n"
        "YOLOv3: {backbone: CSPResNet, neck: CustomCSPPAN, yolo_head: SimpleConvHead, post_process: null}\n"
        "CSPResNet: {return_idx: [1, 2, 3]}\n"
        "CustomCSPPAN: {act: swish}\n"
        "SimpleConvHead: {feat_in: 768}\n"
        "TestReader: {sample_transforms: [{Decode: {}}, {Permute: {}}]}\n",
        encoding="utf-8",
    )
    message = refused("-c", config)
    says(message, "YOLOv3 with head SimpleConvHead is not supported", "Supported:", "YOLOv3 (PPYOLOEHead)")


@pytest.fixture(scope="module")
def ppyoloe_weights(tmp_path_factory, detector_of):
    """The small PP-YOLOE's weights, as a file."""
    path = tmp_path_factory.mktemp("ppyoloe") / "ppyoloe.pdparams"
    paddle.save(detector_of("ppyoloe").model.state_dict(), str(path))
    return path


def test_nms_that_tells_no_index_is_refused(refused, ppyoloe_weights):
    """Without the kept rows no box can be explained; the message names the NMS that works."""
    overrides = [f"weights={ppyoloe_weights}", *PPYOLOE.overrides, "PPYOLOEHead.nms=null"]
    says(refused(*overrides, "-c", ROOT / PPYOLOE.config), "NMS is", "does not tell the rows", "MultiClassNMS")


@pytest.mark.parametrize(
    ("key", "operation"),
    [
        ("sample_transforms", "RandomFlip: {}"),
        ("sample_transforms", "Pad: {size: [640, 640], offset_mode: 1}"),
        ("batch_transforms", "BatchRandomResize: {target_size: [320, 640]}"),
    ],
)
def test_reader_that_moves_pixels_is_refused(refused, key, operation):
    """An operation whose geometry is not known could put maps in the wrong place; those that are known are listed."""
    message = refused(f"TestReader.{key}=[{{Decode: {{}}}}, {{{operation}}}, {{Permute: {{}}}}]")
    says(message, operation.partition(":")[0], "wrong place", "Known:", "Resize")


@pytest.mark.parametrize("reader", ["3", "[3]", "[]", "null"])
def test_reader_that_is_no_list_of_operations_is_refused(refused, reader):
    """The message says where the operations belong."""
    says(refused(f"TestReader.sample_transforms={reader}"), "TestReader.sample_transforms")


# --- overrides


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("use_gpu", ["'use_gpu' has no '='", "key=value"]),
        ("=3", ["empty name", "key=value"]),
        ("wieghts=model.pdparams", ["'wieghts'", "did you mean 'weights'"]),
        ("BlazeFac.backbone=ResNet", ["'BlazeFac'", "did you mean 'BlazeFace'"]),
        ("num_classes=[1", ["is not YAML"]),
        ("BlazeFace.nope=1", ["BlazeFace has no 'nope'", "did you mean 'neck'"]),
        ("BlazeFace.backbone=ResNeXt", ["cannot build BlazeFace", "ResNeXt is not registered"]),
        ("BBoxPostProcess.nms.score_threshold=1e-3", ["reads 1e-3 as a text", "write 1.0e-3"]),
        ("metric=Mine", ["'Mine'"]),
    ],
)
def test_override_that_cannot_work_is_refused(refused, override, expected):
    """The message repeats what was given and says what would work."""
    says(refused(override), *expected)


# --- image


def test_image_that_is_not_there_is_named(refused, command):
    """The message says where it was looked for."""
    says(refused(image="photo.jpg"), "no image file 'photo.jpg'", "check the name")
    says(refused(image=command.folder / "no" / "photo.jpg"), "no image file")


@pytest.mark.parametrize("name", ["demo/000000014439.jpg", "demo/hrnet_demo.jpg"])
def test_photograph_of_the_documented_commands_is_explained(refused, name):
    """PaddleDetection's photographs are not shipped; the message says so and names those that are."""
    photographs = [f"demo/{photograph}" for photograph in demo_photographs()]
    assert len(photographs) > 1
    says(refused(image=name), name, "PaddleDetection's own demo/", ", ".join(photographs), "use one of these")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ["is empty (0 bytes)"]),
        (b"hello, I am text", ["is not an image", "readable formats are JPEG, PNG"]),
        (b"<html>not found</html>", ["is not an image"]),
        (PHOTO.read_bytes()[:9000], ["truncated or damaged"]),
        (PHOTO.read_bytes()[:-3], ["truncated or damaged"]),
        (PHOTO.read_bytes()[:20], ["is not an image"]),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), ["is not an image"]),
    ],
    ids="empty text html half-jpeg jpeg-without-last-bytes jpeg-head png-head".split(),
)
def test_file_that_is_no_whole_image_is_refused(refused, command, content, expected):
    """Broken files are told apart, and none is filled up with gray."""
    (command.folder / "photo.jpg").write_bytes(content)
    says(refused(image="photo.jpg"), "photo.jpg", *expected)


def test_image_may_not_be_a_folder(refused, command):
    """A folder is named as one."""
    (command.folder / "photos").mkdir()
    says(refused(image="photos"), "'photos' is a folder", "give a file")


@pytest.fixture(scope="module")
def small_photo(tmp_path_factory):
    """The photograph, a fifth as wide and high."""
    path = tmp_path_factory.mktemp("small") / "small.png"
    with Image.open(PHOTO) as image:
        image.resize((120, 80)).save(path)
    return path


ROTATED_BY_90 = 6  # EXIF: the first row is the right side


def save_unusual(kind: str, path: Path, photo: Path) -> None:
    """Writes a photograph in an unusual form."""
    with Image.open(photo) as image:
        if kind == "16-bit":
            cv2.imwrite(str(path), cv2.imread(str(photo)).astype(np.uint16) * 257)
        elif kind == "exif":
            exif = Image.Exif()
            exif[0x0112] = ROTATED_BY_90
            image.save(path, quality=92, exif=exif)
        elif "x" in kind:
            width, _, height = kind.partition("x")
            image.resize((int(width), int(height))).save(path)
        else:
            image.convert(kind).save(path)


@pytest.mark.parametrize("config", [BLAZEFACE, SSD], ids=["blazeface", "ssd"])
@pytest.mark.parametrize(
    ("kind", "suffix", "size_hw"),
    [
        ("L", ".jpg", (80, 120)),
        ("L", ".png", (80, 120)),
        ("P", ".png", (80, 120)),
        ("1", ".png", (80, 120)),
        ("RGBA", ".png", (80, 120)),
        ("16-bit", ".png", (80, 120)),
        ("CMYK", ".jpg", (80, 120)),
        ("exif", ".jpg", (120, 80)),
        ("1x1", ".png", (1, 1)),
        ("1x40", ".png", (40, 1)),
        ("40x1", ".png", (1, 40)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_image_works(command, small_photo, config, kind, suffix, size_hw):
    """Colour models, depths, orientation and size of an image do not matter; each explained box has a picture."""
    image = command.folder / f"photo{suffix}"
    save_unusual(kind, image, small_photo)
    run = command.explain("BBoxPostProcess.nms.keep_top_k=3", image=image, config=config)
    assert run.code == 0, run.err
    assert all(": no map: " in line or " is blind for this box: " in line for line in run.err)
    record = command.image_record()
    assert (record["size"]["height"], record["size"]["width"]) == size_hw
    assert command.pictures() == {box["files"]["overlay"] for box in record["boxes"]}
    for box in record["boxes"]:
        assert cv2.imread(str(command.cam_out / box["files"]["overlay"])) is not None


def test_form_of_the_file_does_not_change_the_boxes(command):
    """The same pixels give the same boxes."""
    command.explain()
    boxes = command.image_record()["boxes"]
    assert boxes
    for kind in ("RGBA", "16-bit"):
        save_unusual(kind, command.folder / "photo.png", PHOTO)
        command.explain(image="photo.png")
        assert command.image_record()["boxes"] == boxes, kind


@pytest.mark.parametrize(
    "name", ["my photo.jpg", "Straße 行.jpg", "-c.jpg", "it's;$(x)&.jpg", "two\nlines.jpg", "..jpg"]
)
def test_image_may_have_any_name(command, small_photo, name):
    """Names are names: nothing in them is taken for anything else."""
    shutil.copy(small_photo, command.folder / name)
    assert command.explain(image=command.folder / name).code == 0
    assert Path(command.image_record()["path"]) == command.folder / name


def test_image_name_may_be_no_text(command, small_photo):
    """A name whose bytes are no UTF-8, as old archives hold them, is written as JSON can."""
    name = os.fsdecode(b"caf\xe9.jpg")
    shutil.copy(small_photo, command.folder / name)
    assert command.explain(image=name).code == 0
    assert command.image_record()["path"] == name


# --- layer


@pytest.mark.parametrize(
    ("path", "close"),
    [
        ("model.bakbone", "'model.backbone'"),
        ("backbone", "'model.backbone'"),
        ("model.nek", "'model.neck'"),
        ("model.backbone.", "'model.backbone'"),
        ("Model.backbone", "'model.backbone'"),
    ],
)
def test_layer_that_is_not_there_gives_the_closest(refused, path, close):
    """The message names what was given, the closest layers, and how to list all."""
    message = refused("--target_feature_layer_name", path)
    says(message, f"no layer '{path}' in BlazeFace", "did you mean", close)
    assert "--list_layers" in message


@pytest.mark.parametrize(
    "path",
    [
        "model.__class__",
        "model.backbone.__dict__",
        "model.backbone.forward",
        "model.blaze_head.anchor_generator",
        "model.backbone;print(1)",
        "__import__('os').system('touch ran')",
        "model.backbone[0]",
        "model.backbone.conv1\nmodel.neck",
    ],
)
def test_layer_path_is_never_evaluated(refused, path):
    """What is no layer of the model is refused, also where Python would find something."""
    message = refused("--target_feature_layer_name", path)
    says(message, "no layer ", " in BlazeFace")
    assert "--list_layers" in message


def test_layer_may_not_be_empty(refused):
    """An empty path does not mean the default."""
    says(refused("--target_feature_layer_name", ""), "'' names no layer", "model.backbone", "--list_layers")


@pytest.mark.parametrize("path", ["model", "model.blaze_head"])
def test_layer_without_a_feature_map_is_refused(refused, path):
    """The message says what the layer gives instead."""
    says(refused("--target_feature_layer_name", path), f"'{path}'", "no feature map", "[N, C, h, w]", "--list_layers")


def test_layer_that_does_not_run_is_refused(refused):
    """A loss has no output at inference."""
    message = refused("--target_feature_layer_name", "model.blaze_head.loss")
    says(message, "'model.blaze_head.loss' does not run at inference", "--list_layers")


# --- weights


def test_weights_that_are_not_there_give_the_closest_names(refused, command):
    """A misspelt file is answered with those in its folder."""
    folder = command.weights[BLAZEFACE].parent
    message = refused(f"weights={folder / 'blazefase.pdparams'}")
    says(message, "blazefase.pdparams", "do not exist", "did you mean 'blazeface.pdparams'")
    says(refused(f"weights={command.folder / 'no' / 'x.pdparams'}"), "do not exist", "no folder")


def test_weights_may_not_be_a_folder(refused, command):
    """The message lists the weights in it."""
    folder = command.weights[BLAZEFACE].parent
    says(refused(f"weights={folder}"), "is a directory", "blazeface.pdparams")


def test_weights_must_be_given(refused):
    """An empty name does not mean the default."""
    says(refused("weights="), "names no weights", "-o weights=")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ["is empty"]),
        (b"\x00\x01 no pickle at all", ["was not written by paddle.save"]),
        (b"<html>404</html>", ["is a web page"]),
        (b"PK\x03\x04" + bytes(60), ["zip archive"]),
        (pickle.dumps([1, 2, 3], protocol=4), ["holds a list"]),
        (pickle.dumps({"a": "text"}, protocol=4), ["'a' is a str"]),
    ],
    ids="empty garbage html zip list text".split(),
)
def test_weights_file_of_another_kind_is_refused(refused, command, content, expected):
    """The message says what the file is instead."""
    (command.folder / "mine.pdparams").write_bytes(content)
    says(refused("weights=mine.pdparams"), "mine.pdparams", *expected)


@pytest.mark.parametrize("part", [0.01, 0.5, 0.999])
def test_truncated_weights_are_refused(refused, command, part):
    """A download that stopped is noticed wherever it stopped."""
    whole = command.weights[BLAZEFACE].read_bytes()
    (command.folder / "mine.pdparams").write_bytes(whole[: int(len(whole) * part)])
    says(refused("weights=mine.pdparams"), "mine.pdparams", "cut off or damaged", "get it again")


class _RunsCommand:
    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.line,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_weights_that_would_run_code_are_refused_unread(refused, command, arrays, protocol):
    """A pickle bomb among whole weights does not go off."""
    marker = command.folder / "ran"
    bomb = {**arrays, "bomb": _RunsCommand(f"touch {marker}")}
    (command.folder / "mine.pdparams").write_bytes(pickle.dumps(bomb, protocol=protocol))
    message = refused("weights=mine.pdparams")
    assert not marker.exists()
    says(message, "mine.pdparams", "paddle.save")
    if protocol > 1:
        says(message, "system", "can run code", "it is not read")


def test_weights_of_another_model_are_refused(refused, command):
    """The message counts what matched and gives the first few that did not."""
    message = refused(f"weights={command.weights[BLAZEFACE]}", config=SSD)
    says(message, "do not fit the model: 0 of its 199 arrays match", "194 missing: backbone.", "Use the config")
    assert len(message) < 2000


def test_weights_without_one_parameter_are_refused(refused, command, arrays):
    """One missing parameter is enough: no half-random model runs."""
    name = "backbone.conv1._conv.weight"
    paddle.save({key: value for key, value in arrays.items() if key != name}, "mine.pdparams")
    message = refused("weights=mine.pdparams")
    says(message, f"{len(arrays) - 1} of its {len(arrays)} arrays match", f"1 missing: {name}", "Use the config")


def test_weights_with_one_other_shape_are_refused(refused, command, arrays):
    """One misshapen parameter is enough; both shapes are given."""
    name = "blaze_head.scores0.bias"
    paddle.save({**arrays, name: arrays[name][:2]}, "mine.pdparams")
    message = refused("weights=mine.pdparams")
    says(message, f"{len(arrays) - 1} of its {len(arrays)} arrays match", f"{name} [2] instead of [4]", "num_classes")


def test_surplus_weights_are_one_warning(command, arrays):
    """What the model does not use is named in one line, and the run goes on."""
    paddle.save({**arrays, "teacher.weight": arrays["blaze_head.scores0.bias"]}, "mine.pdparams")
    run = command.explain("weights=mine.pdparams")
    assert run.code == 0
    (line,) = run.err
    says(line, "cam_ppdet: weights mine.pdparams", "not in the model: teacher.weight")
    assert command.run_record()["totals"]["explained"] > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_give_no_numbers_are_refused(refused, arrays, value):
    """Boxes that are nan or inf can be neither drawn nor written down."""
    name = "blaze_head.boxes0.bias"
    paddle.save({**arrays, name: np.full_like(arrays[name], value)}, "mine.pdparams")
    says(refused("weights=mine.pdparams"), "BlazeFace gives boxes with nan or inf for", "mine.pdparams", "-o weights")


def test_weights_that_cannot_be_downloaded_say_where_to_put_them(refused, command, monkeypatch):
    """Without a network the message gives the cause, the place in ppdet's cache, and the other way."""

    def fail(_url: str) -> str:
        raise requests.exceptions.ConnectionError("no route to host")

    monkeypatch.setattr("ppdet_cam.detectors.loading.get_weights_path", fail)
    monkeypatch.setenv("HOME", str(command.folder))
    url = "https://paddledet.bj.bcebos.com/models/blazeface_1000e.pdparams"
    message = refused(f"weights={url}")
    says(message, url, "cannot be downloaded", "no route to host", "Put the file")
    says(message, command.folder / ".cache/paddle/weights/blazeface_1000e.pdparams", "-o weights=<file>.pdparams")


@pytest.mark.parametrize("url", ["ftp://host/a.pdparams", "https://host/model.tar", "https://host/a.pdparams?x=1"])
def test_weights_url_that_ppdet_cannot_read_is_refused(refused, monkeypatch, url):
    """It is refused before anything is asked of the network."""
    monkeypatch.setattr("ppdet_cam.detectors.loading.get_weights_path", lambda url: pytest.fail(f"downloads {url}"))
    assert "weights" in refused(f"weights={url}")


# --- output


def test_output_may_not_be_a_file(refused, command):
    """Neither a file nor a path below one can be the output folder."""
    (command.folder / "taken").write_text("mine")
    says(refused("--cam_out", "taken"), "cannot write into taken", "is a file", "--cam_out")
    says(refused("--cam_out", "taken/below"), "cannot write into taken/below", "is a file", "--cam_out")


def test_output_that_may_not_be_written_is_refused(refused, monkeypatch):
    """It is refused before the detector is built."""
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    monkeypatch.setattr(model, "build_detector", lambda *_arguments, **_options: pytest.fail("builds"))
    says(refused(), "cannot write into cam_out", "no permission", "--cam_out")


def test_output_with_an_impossible_name_is_refused(refused):
    """A name that no file system takes is no traceback."""
    says(refused("--cam_out", "x" * 300), "cannot write into x", "name too long", "--cam_out")


@pytest.mark.parametrize("name", ["run.json", "images.jsonl"])
@pytest.mark.parametrize("content", [b'{"name": "my experiment"}\n', b"", b"\xff\xfe", b"[1, 2]"])
def test_foreign_manifest_is_not_replaced(refused, command, name, content):
    """A file of the user's that has a manifest's name stays, and the message says that it is in the way."""
    command.cam_out.mkdir()
    (command.cam_out / name).write_bytes(content)
    says(refused(), f"cam_out/{name}", "not of an earlier run", "--cam_out")


def test_foreign_picture_is_not_replaced(refused, command):
    """A picture that no run wrote stays, even when a box has its number."""
    command.cam_out.mkdir()
    (command.cam_out / "0.jpg").write_bytes(b"mine")
    says(refused(), "cam_out/0.jpg", "not of an earlier run", "--cam_out")


def test_explained_image_is_not_replaced(refused, command):
    """The photograph itself stays, even when a box has its name."""
    shutil.copy(PHOTO, command.folder / "0.jpg")
    says(refused("--cam_out", ".", image="0.jpg"), "0.jpg", "not of an earlier run", "--cam_out")


def test_explained_picture_of_an_earlier_run_is_kept(command):
    """The image of this run is not removed, though an earlier run into the same folder made it."""
    command.explain()
    picture = (command.cam_out / "0.jpg").read_bytes()
    assert command.explain("--draw_threshold", "1", "--overwrite", image="cam_out/0.jpg").code == 0
    assert command.pictures() == {"0.jpg"}
    assert (command.cam_out / "0.jpg").read_bytes() == picture


@pytest.mark.parametrize("schema", [1, 2])
def test_image_list_of_a_run_cannot_name_other_files(command, schema):
    """What a forged `images.jsonl` lists is not deleted unless it has a picture's name."""
    command.cam_out.mkdir()
    (command.cam_out / "notes.txt").write_bytes(b"mine")
    (command.folder / "1.jpg").write_bytes(b"mine")
    names = ["notes.txt", "../1.jpg", "..", str(command.folder / "1.jpg")]
    boxes = [{"file": name} if schema == 1 else {"files": {"overlay": name}} for name in names]
    (command.cam_out / "images.jsonl").write_text(json.dumps({"status": "ok", "boxes": boxes}) + "\n")
    assert command.explain("--draw_threshold", "1").code == 0
    assert (command.cam_out / "notes.txt").read_bytes() == (command.folder / "1.jpg").read_bytes() == b"mine"


def test_run_of_schema_1_makes_room(command):
    """Pictures of a run by an earlier version are replaced like any other's."""
    command.cam_out.mkdir()
    (command.cam_out / "77.jpg").write_bytes(b"old")
    (command.cam_out / "images.jsonl").write_text('{"path": "a.jpg", "status": "ok", "boxes": [{"file": "77.jpg"}]}\n')
    (command.cam_out / "run.json").write_text('{"schema_version": 1}')
    assert command.explain("--overwrite").code == 0
    assert "77.jpg" not in command.pictures()


@pytest.mark.parametrize("earlier", [False, True], ids=["new folder", "earlier run"])
@pytest.mark.parametrize(
    ("module", "function", "error", "message"),
    [
        (drawing, "write_new", OSError(28, "No space left on device"), "1.jpg: No space left on device. Free space"),
        (pictures, "draw_explanation", ScoreMismatchError("box 1 has another score"), "box 1 has another score"),
    ],
    ids=["disk full", "second box fails"],
)
def test_failure_midway_leaves_everything_as_it_was(
    refused, command, monkeypatch, earlier, module, function, error, message
):
    """Half of the pictures are never left, neither in a new folder nor among an earlier run's."""
    if earlier:
        command.explain("--draw_threshold", "0.3")
        assert len(command.pictures()) > 1
    real = getattr(module, function)
    calls = []

    def fail_at_the_second(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(module, function, fail_at_the_second)
    says(refused("--workers", "0"), message)
    assert len(calls) == 2
    assert (command.cam_out / "run.json").exists() == earlier


def test_bad_input_leaves_an_earlier_run_untouched(refused, command):
    """Pictures and manifest of an earlier run survive every refusal."""
    command.explain()
    assert len(command.pictures()) > 1
    for arguments in (
        ["--target_feature_layer_name", "model.nek"],
        ["--target_feature_layer_name", "model.blaze_head"],
        ["weights=nowhere.pdparams"],
        ["--draw_threshold", "2"],
    ):
        refused(*arguments)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("num_classes=abc", "num_classes must be a whole number"),
        ("use_gpu=maybe", "use_gpu must be true or false, not 'maybe'"),
        ("weights=3", "weights must be a file or a URL, not 3"),
        ("TestReader.sample_transforms=[{Pad: {size: 3}}, {Permute: {}}]", "Pad of TestReader fails"),
        (
            "TestReader.sample_transforms=[{Resize: {target_size: [0, 0], keep_ratio: true}}]",
            "Resize of TestReader fails",
        ),
        ("TestReader.sample_transforms=[{Resize: {target_size: abc, keep_ratio: true}}]", "TestReader"),
        ("BBoxPostProcess.nms.score_threshold=abc", "BlazeFace cannot run"),
        ("BlazeNeck.neck_type=foo", "BlazeFace cannot run"),
        ("BlazeNeck.in_channel=[1]", "ppdet cannot build BlazeFace"),
        ("BlazeNet.double_blaze_filters=[]", "ppdet cannot build BlazeFace"),
        ("BlazeNet.blaze_filters=[[24, 9223372036854775808]]", "ppdet cannot build BlazeFace"),
        ("BlazeNet.blaze_filters=[[24, 1000000000000]]", "ppdet cannot build BlazeFace"),
    ],
)
def test_nonsense_in_the_config_is_refused(refused, override, part):
    """Values that ppdet only trips over while it builds or runs end in one line as well."""
    says(refused("-o", override), part)


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (["--output_dir", "out"], "--cam_out FOLDER"),
        (["--use_gpu=true"], "-o use_gpu=false forces the CPU"),
        (["--slim_config", "a.yml"], "pruned, quantised and distilled models"),
        (["--image_dir", "photos"], "--infer_dir FOLDER"),
    ],
)
def test_flags_of_ppdets_tools_say_what_to_use(refused, words, instead):
    """No guess at a flag that is spelled alike."""
    message = refused(*words)
    assert instead in message and "did you mean" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mode: paddle\narch: SSD\nPreprocess: []\nlabel_list: [face]\n",
            "Explain that by its output: --model_dir",
        ),
        ("slim: QAT\nQAT: {}\n", "is a slim config"),
    ],
)
def test_other_files_of_ppdet_given_as_config_are_named(refused, tmp_path, text, message):
    """The error says what the file is, and what to give."""
    path = tmp_path / "infer_cfg.yml"
    path.write_text(text, encoding="utf-8")
    says(refused("-c", path), message, "give the config")


# --- what is amiss with an image, but keeps no one from explaining it


@pytest.fixture
def endless(command) -> Path:
    """A JPEG without its end marker."""
    path = command.folder / "endless.jpg"
    path.write_bytes(cv2.imencode(".jpg", cv2.imread(str(PHOTO)))[1].tobytes()[:-2])
    return path


def test_image_without_its_end_marker_is_explained_with_a_warning(command, endless):
    """One image: a line on stderr and in the record."""
    run = command.explain("--draw_threshold", "0.1", image=endless)
    assert run.code == 0
    (line,) = run.err
    says(line, "cam_ppdet: warning: ", "endless.jpg", "the end marker is missing")
    assert command.image_record()["warnings"] == [line.partition("endless.jpg: ")[2]]
    assert command.run_record()["totals"]["warned"] == 1


def test_strict_images_refuses_an_image_without_its_end_marker(command, refused, endless):
    """The flag refuses what is damaged at all."""
    before = contents(command.folder)
    message = command.refused(command.explain("--strict_images", image=endless))
    says(message, "endless.jpg", "truncated or damaged", "end marker is missing")
    assert contents(command.folder) == before


def test_images_of_other_sizes_than_annotated_are_noticed(command, endless):
    """Several images: each has its warnings, which the run counts; --strict_images fails the damaged one only."""
    shutil.copy(PHOTO, command.folder / "photo.jpg")
    document = {
        "images": [
            {"id": 1, "file_name": "photo.jpg", "width": 7, "height": 5},
            {"id": 2, "file_name": "endless.jpg", "width": 600, "height": 400},
        ],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [],
    }
    gt = command.folder / "gt.json"
    gt.write_text(json.dumps(document))
    words = ("-c", BLAZEFACE, "-o", f"weights={command.weights[BLAZEFACE]}", "--gt", gt, "--cam_out")
    run = command(*words, "out")
    assert run.code == 0
    first, second = run.err
    says(first, "warning: ", "photo.jpg", "says 7 x 5 pixels, the file has 600 x 400")
    says(second, "warning: ", "endless.jpg", "the end marker is missing")
    assert json.loads((command.folder / "out" / "run.json").read_text())["totals"]["warned"] == 2
    assert command(*words, "strict", "--strict_images").code == 3


def test_address_of_an_image_is_to_be_fetched_first(refused):
    """An image is a file; what to do with an address is said."""
    says(refused(image="https://host.org/dog.jpg"), "https://host.org/dog.jpg is an address", "wget")


def test_error_line_ends_however_long_a_name_is(refused, command):
    """What is wrong may be called by a million letters; what was given is named by its beginning."""
    paddle.save({"a" * 50_000: None}, str(command.folder / "own.pdparams"))
    message = refused("-o", f"weights={command.folder / 'own.pdparams'}")
    assert len(message) < 2100 and "own.pdparams" in message


def test_interrupt_before_anything_is_begun_is_an_exit_code(command, monkeypatch):
    """Also while logging is set up, Ctrl-C is exit code 130 and no traceback."""
    import contextlib

    @contextlib.contextmanager
    def interrupted(_program):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("ppdet_cam.commands.cam_ppdet.logging_on_stderr", interrupted)
    assert command("-c", BLAZEFACE).code == 130
