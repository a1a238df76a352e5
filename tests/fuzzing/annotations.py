"""Ground truth in every form, and lists of class names, each spoilt or not."""

from __future__ import annotations

import json
import random
from pathlib import Path

from fuzzing import flags
from fuzzing.spoiling import as_text, garbled, put_in_its_place, spoilt
from fuzzing.world import CHOICE, CONFIG, WEIGHTS, Drawn, flipped, font, save_photo

STEMS = ("a", "b", "sub/c")
_VOC = """<annotation><filename>{name}</filename><size><width>{width}</width><height>120</height></size>
<object><name>{class_name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{left}</xmin><ymin>10</ymin><xmax>60</xmax><ymax>{bottom}</ymax></bndbox></object></annotation>"""
_ODD = ("", "x", "nan", "inf", "-1", "1e400", "0", "٣", "1_0", "160", "é 行", "<a/>", "&b;", "]]>", "\x01")
_ROWS = (
    "0 0.5 0.5 0.2 0.4",
    "0 0.1 0.1 0.4 0.1 0.4 0.6",
    "1 0.5 0.5 0.2 0.2",
    "0 0.5 0.5 0.2 0.2 0.9",
    "",
    "0",
    "0 50 50 2 2",
)


def draw(draws: random.Random, here: Path) -> Drawn:
    """Returns `cam_ppdet` with spoilt ground truth."""
    flags.furnish(here)
    gt, what = save_annotations(draws, here, spoil=draws.random() < 0.9)
    images = draws.choice(
        [[], ["--infer_img", "folder/a.png"], ["--infer_dir", "folder"], ["--infer_img", "photo.jpg"]]
    )
    more = draws.choice([[], [], ["--report"], ["--save", "raw"], ["--strict_images"], ["--resume"]])
    return Drawn(("-c", str(CONFIG), *CHOICE, "--gt", gt, *images, *more), what)


def save_annotations(draws: random.Random, here: Path, *, spoil: bool) -> tuple[str, str]:
    """Writes annotations of the images in `folder`, and returns their path, and what is wrong with them."""
    form = draws.choice(["coco", "voc", "voc list", "yolo"])
    if form == "coco":
        return _coco(draws, here, spoil)
    folder = here / draws.choice(["folder/labels", "labels", "folder"])
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    suffix, write = (".txt", _yolo_text) if form == "yolo" else (".xml", _voc_text)
    files = [folder / f"{stem}{suffix}" for stem in STEMS]
    for file in files:
        file.write_bytes(write(draws, spoil).encode("utf-8", "surrogatepass"))
    what = [form]
    if form == "yolo" and draws.random() < 0.5:
        files.append(folder / draws.choice(["classes.txt", "data.yaml"]))
        text = (
            "face\nother\n"
            if files[-1].suffix == ".txt"
            else draws.choice(["names: [face, other]", "names: {0: face, 1: x}"])
        )
        files[-1].write_text(text)
    if form == "voc list":
        files.append(here / "trainval.txt")
        lines = [f"folder/{stem}.png {folder.relative_to(here) / stem}.xml" for stem in STEMS]
        files[-1].write_text("\n".join(lines))
    if spoil and draws.random() < 0.7:
        file = draws.choice(files)
        what.append(f"{file.name} " + (put_in_its_place(file, draws) if draws.random() < 0.3 else "garbled"))
        if file.is_file() and not file.is_symlink():
            file.write_bytes(garbled(file.read_bytes(), draws))
    given = here / "trainval.txt" if form == "voc list" else draws.choice([folder] * 6 + [files[0]])
    return str(given.relative_to(here)), ", ".join(what)


def _coco(draws: random.Random, here: Path, spoil: bool) -> tuple[str, str]:
    images = [{"id": n, "file_name": f"folder/{stem}.png", "width": 160, "height": 120} for n, stem in enumerate(STEMS)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [10, 10, 50, 40]} for n in range(3)]
    boxes[0]["segmentation"] = [[10, 10, 60, 10, 60, 50]]
    boxes[1]["evidence"] = [12, 12, 5, 5]
    document: object = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "face"}]}
    kind = draws.choice(["values", "values", "garbled", "place"]) if spoil else "whole"
    if kind == "values":
        document = spoilt(document, draws, draws.choice([1, 1, 2, 4]))
    path = here / "own.json"
    path.write_bytes(garbled(as_text(document), draws) if kind == "garbled" else as_text(document))
    if kind == "place":
        kind = put_in_its_place(path, draws)
    return path.name, f"coco, {kind}"


def _voc_text(draws: random.Random, spoil: bool) -> str:
    values: dict[str, object] = {
        "name": "a.png",
        "width": 160,
        "class_name": "face",
        "difficult": 0,
        "left": 10,
        "bottom": 50,
    }
    if spoil and draws.random() < 0.5:
        values[draws.choice(list(values))] = draws.choice(_ODD)
    return _VOC.format(**values)


def _yolo_text(draws: random.Random, spoil: bool) -> str:
    rows = [draws.choice(_ROWS[:2]) for _ in range(draws.randint(0, 3))]
    if spoil and draws.random() < 0.5:
        numbers = draws.choice(_ROWS[:2]).split()
        numbers[draws.randrange(len(numbers))] = draws.choice(_ODD)
        rows.append(draws.choice([" ".join(numbers), *_ROWS]))
    return draws.choice(["\n", "\r\n", "\n\n"]).join(rows)


# --- lists of class names, and fonts

_NAMES = (
    "face",
    "Face",
    "行人",
    "고양이",
    "собака",
    "café",
    "a b",
    "",
    " ",
    "x" * 500,
    "\0",
    "\u202e",
    "face",
    "0",
    "\ud800",
    "#",
)


def classes(draws: random.Random, here: Path) -> Drawn:
    """Returns `cam_ppdet` with a config whose class list is spoilt, and perhaps a font that is."""
    save_photo(here / "photo.jpg")
    names = [draws.choice(_NAMES) for _ in range(draws.choice([0, 1, 1, 1, 2, 3, 80]))]
    path = here / draws.choice(["labels.txt", "labels.json", "labels"])
    if path.suffix == ".json":
        document: object = {"categories": [{"id": n, "name": name} for n, name in enumerate(names)]}
        content = as_text(spoilt(document, draws) if draws.random() < 0.6 else document)
    else:
        newline = draws.choice(["\n", "\r\n", "\r", "\n\n"])
        content = newline.join(names).encode(draws.choice(["utf-8", "utf-8-sig", "gbk", "utf-16"]), "replace")
    path.write_bytes(garbled(content, draws) if draws.random() < 0.3 else content)
    what = f"{path.name} of {len(names)} names"
    if draws.random() < 0.1:
        what += f", {put_in_its_place(path, draws)}"
    metric = draws.choice(["COCO", "VOC", "WiderFace", "RBOX", "Nope", "null"])
    owner = draws.choice(["TestDataset", "TestDataset", "EvalDataset"])
    tag = draws.choice(["!ImageFolder", "!VOCDataSet", "!COCODataSet"])
    config = {"_BASE_": [str(CONFIG)], "weights": str(WEIGHTS)}
    text = json.dumps(config)[1:-1].replace('", "', '"\n"').replace('], "', ']\n"')
    dataset = f"{owner}: {tag}\n  anno_path: {path.name}\n  dataset_dir: {draws.choice(['.', 'gone', 'null'])}\n"
    (here / "own.yml").write_text(f"{text}\nmetric: {metric}\n{dataset}", encoding="utf-8")
    return Drawn(("-c", "own.yml", "--infer_img", "photo.jpg", *CHOICE, *_font(draws, here)), what)


def _font(draws: random.Random, here: Path) -> list[str]:
    if draws.random() < 0.6:
        return []
    content, path = font(), here / "own.ttf"
    spoil = draws.random() < 0.7
    path.write_bytes(draws.choice([flipped(content, draws, 40), garbled(content, draws)]) if spoil else content)
    if draws.random() < 0.1:
        put_in_its_place(path, draws)
    return ["--font", draws.choice(["own.ttf", "own.ttf", "own.ttf", "gone.ttf", ".", "photo.jpg"])]
