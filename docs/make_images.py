#!/usr/bin/env python3
r"""Makes the pictures of the documentation with the demo detectors: python docs/make_images.py"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from ppdet_cam import Explainer  # noqa: E402
from ppdet_cam.images.reading import read_image  # noqa: E402
from ppdet_cam.methods import methods  # noqa: E402
from ppdet_cam.questions.annotations import read_ground_truth  # noqa: E402
from ppdet_cam.render import draw_explanation, draw_heatmap, encode_jpeg  # noqa: E402
from ppdet_cam.structures import Explanation, MapStatus  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SCENES = ROOT / "demo" / "drawn"
MODELS = sorted(path.stem for path in (ROOT / "demo" / "weights").glob("*.pdparams"))
TILE, CAPTION = 200, 20


def explainer_of(model: str, **choices: object) -> Explainer:
    """Returns a demo detector's explainer."""
    return Explainer.from_config(ROOT / f"configs/demo/{model}.yml", **choices)  # type: ignore[arg-type]


def tile(photo: np.ndarray, explanation: Explanation, caption: str) -> Image.Image:
    """Returns the part of the photo around the box, with the map over it and a caption above."""
    height, width = photo.shape[:2]
    left, top, right, bottom = explanation.detection.box_xyxy
    side = 1.9 * max(right - left, bottom - top)
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    picture = Image.fromarray(photo).convert("RGBA")
    if explanation.status is MapStatus.OK:
        picture.alpha_composite(Image.fromarray(draw_heatmap(explanation)))
    ImageDraw.Draw(picture).rectangle((left, top, right, bottom), outline=(255, 255, 255))
    corner_x = min(max(0.0, centre_x - side / 2), max(0.0, width - side))
    corner_y = min(max(0.0, centre_y - side / 2), max(0.0, height - side))
    region = (corner_x, corner_y, corner_x + side, corner_y + side)
    part = picture.convert("RGB").transform((TILE, TILE), Image.Transform.EXTENT, region, Image.Resampling.BICUBIC)
    framed = Image.new("RGB", (TILE, TILE + CAPTION), (24, 26, 31))
    framed.paste(part, (0, CAPTION))
    text = caption if explanation.status is MapStatus.OK else f"{caption}: no map"
    ImageDraw.Draw(framed).text((6, 3), text, fill=(240, 240, 242), font=ImageFont.load_default(13))
    return framed


def sheet(tiles: Sequence[Image.Image], columns: int) -> np.ndarray:
    """Returns the tiles in rows."""
    rows = -(-len(tiles) // columns)
    whole = Image.new("RGB", (columns * (TILE + 4), rows * (TILE + CAPTION + 4)), (24, 26, 31))
    for position, picture in enumerate(tiles):
        row, column = divmod(position, columns)
        whole.paste(picture, (column * (TILE + 4), row * (TILE + CAPTION + 4)))
    return np.asarray(whole)


def save(name: str, picture: np.ndarray) -> None:
    """Writes a picture of the documentation."""
    (IMAGES / name).write_bytes(encode_jpeg(picture, quality=88))
    print(IMAGES / name)


def best(explainer: Explainer, scene: str, class_name: str, **choices: object) -> Explanation:
    """Returns the explanation of a scene's surest object of a class."""
    return explainer(SCENES / scene, classes=[class_name], top_k=1, **choices)[0]  # type: ignore[arg-type]


def method_sheet() -> None:
    """Every method on one box, at the backbone."""
    explainer = explainer_of("ppyoloe")
    photo = read_image(SCENES / "scene_1.jpg").image
    tiles = []
    for name in methods.names():
        if methods.get(name).needs.is_of_attention:
            continue  # the detector has no object queries
        tiles.append(tile(photo, best(explainer, "scene_1.jpg", "ambulance", method=name), name))
    save("methods.jpg", sheet(tiles, 4))


def target_sheet() -> None:
    """Several targets on one box."""
    explainer = explainer_of("ppyoloe", layers="model.neck", method="layercam")
    photo = read_image(SCENES / "scene_1.jpg").image
    wanted = ["class", "contrast:van", "other:van", "box", "box:left", "box:top", "box:right", "box:bottom"]
    tiles = [tile(photo, best(explainer, "scene_1.jpg", "ambulance", target=name), name) for name in wanted]
    save("targets.jpg", sheet(tiles, 4))


def layer_sheet() -> None:
    """Several layers on one box of a detector with two stages."""
    explainer = explainer_of("mask_rcnn", method="hirescam")
    photo = read_image(SCENES / "scene_1.jpg").image
    wanted = [
        "model.backbone",
        "model.backbone@0",
        "model.backbone@1",
        "model.backbone@2",
        "model.neck",
        "model.neck@0",
        "model.bbox_head.roi_extractor",
        "model.backbone,model.neck",
    ]
    tiles = [
        tile(photo, best(explainer, "scene_1.jpg", "ambulance", layers=name), name.replace("model.", ""))
        for name in wanted
    ]
    save("layers.jpg", sheet(tiles, 4))


def model_sheet() -> None:
    """One box of every demo detector, as the command writes it."""
    tiles = []
    for model in MODELS:
        explainer = explainer_of(model)
        wanted = "face" if model == "blazeface" else "ambulance"
        photo = read_image(SCENES / "scene_1.jpg").image
        tiles.append(tile(photo, best(explainer, "scene_1.jpg", wanted, draw_threshold=0.2), model))
    save("demo_models.jpg", sheet(tiles, 4))


def asked_box() -> None:
    """An annotated face that is not shown, as its score is too low."""
    explainer = explainer_of("mask_rcnn", draw_threshold=0.9)
    frame = read_image(SCENES / "scene_1.jpg")
    truth = read_ground_truth(SCENES / "annotations.json", explainer.detector.class_names)
    answered = [e for e in explainer(frame, true_boxes=truth.boxes[truth.name_of(SCENES / "scene_1.jpg")]) if e.answer]
    save("asked_box.jpg", draw_explanation(frame.image, answered[0]))


def refinement_sheet() -> None:
    """Objects that are what they are by one mark: their maps at the backbone, and below the same refined."""
    explainer = explainer_of("faster_rcnn", method="layercam")
    photo = read_image(SCENES / "scene_1.jpg").image
    tiles = [
        tile(photo, best(explainer, "scene_1.jpg", name, refine_by=refine_by), caption or name)
        for refine_by, caption in (((), ""), ("auto", "--refine_by auto"))
        for name in ("ambulance", "sealed_parcel", "wired_lamp", "van")
    ]
    save("refined.jpg", sheet(tiles, 4))


def stage_sheet() -> None:
    """The same objects: maps of the backbone's output alone, and below those on which its stages agree."""
    explainer = explainer_of("faster_rcnn")
    photo = read_image(SCENES / "scene_1.jpg").image
    tiles = [
        tile(photo, best(explainer, "scene_1.jpg", name, **choices), caption)
        for choices, caption in (({"method": "layercam"}, "layercam"), ({}, "default"), ({"target": "lead"}, "lead"))
        for name in ("ambulance", "sealed_parcel", "wired_lamp", "van")
    ]
    save("stages.jpg", sheet(tiles, 4))


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    method_sheet()
    target_sheet()
    layer_sheet()
    refinement_sheet()
    stage_sheet()
    model_sheet()
    asked_box()


if __name__ == "__main__":
    main()
