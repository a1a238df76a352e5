"""Maps lie where the evidence is, through every kind of reader, measured with the reader's own pixels."""

from __future__ import annotations

import cv2
import numpy as np
import paddle
import pytest
from paddle import nn
from PIL import Image
from ppdet.modeling.backbones.swin_transformer import PatchEmbed

from ppdet_cam import Explainer
from ppdet_cam.detectors.capture import capturing
from ppdet_cam.detectors.grids import Grids
from ppdet_cam.explaining.evidence import map_on_image
from ppdet_cam.images.reading import read_image
from ppdet_cam.methods import methods
from ppdet_cam.structures import FeatureKind, FeatureMap, Frame

# family -> reader: resize to 320x320 / keep the ratio and pad to 32 / the image's own size / resize to 300x300
READERS = {"ppyoloe": "stretch", "retinanet": "keep ratio and pad", "blazeface": "own size", "ssd": "stretch to 300"}


def impulse(grid_hw: tuple[int, int], cell: tuple[int, int]) -> FeatureMap:
    """A feature map that is 1 in one cell, with gradients of 1."""
    activations = np.zeros((1, *grid_hw), np.float32)
    activations[0][cell] = 1.0
    return FeatureMap("planted", 0, FeatureKind.IMAGE, activations, np.ones_like(activations))


def peak_centre(heatmap: np.ndarray) -> tuple[float, float]:
    """The centre of the hottest pixel, y and x."""
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    return row + 0.5, column + 0.5


@pytest.mark.smoke
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("original_hw", [(404, 640), (423, 359), (150, 97)], ids=str)
def test_planted_impulse_peaks_at_its_cell(detector_of, name, original_hw):
    """An impulse in a cell of each of the backbone's grids peaks at that cell's centre, to half a pixel."""
    detector = detector_of(name)
    frame = Frame(np.random.default_rng(0).integers(0, 256, (*original_hw, 3), dtype=np.uint8))
    forward = detector.forward(frame, detector.layers(["model.backbone"])[0])
    geometry = forward.geometry
    stretches = name == "ssd"
    checked = 0
    for tensor in forward.capture.feature_maps("model.backbone"):
        grid_hw = tuple(tensor.shape[2:])
        # the input's own halvings say how many input pixels a cell stands for; SSD spreads its cells evenly
        cell_yx = [
            length / cells if stretches else 2 ** int(np.ceil(np.log2(length / cells) - 0.1))
            for length, cells in zip(geometry.padded_hw, grid_hw)
        ]
        for cell in {
            (0, 0),
            (grid_hw[0] - 1, grid_hw[1] - 1),
            (grid_hw[0] // 2, grid_hw[1] // 3),
            (0, grid_hw[1] // 2),
        }:
            centre = [(index + 0.5) * length / scale for index, length, scale in zip(cell, cell_yx, geometry.scale_yx)]
            if any(place >= side for place, side in zip(centre, original_hw)):
                continue  # in the padding, or beyond the image's end
            heatmap, _, _ = map_on_image(
                [impulse(grid_hw, cell)], methods.get("gradcam"), geometry, cell_strides=forward.cell_strides
            )
            found = peak_centre(heatmap)
            assert found == pytest.approx(centre, abs=0.5 + 1e-6), (grid_hw, cell)
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("name", READERS)
def test_network_input_shows_the_original_where_the_map_says(detector_of, name):
    """At a cell's centre the reader's pixel shows the original's pixel at which the map of that cell peaks.

    The original carries its own coordinates as colours, so this does not rely on what the reader says of itself.
    """
    detector = detector_of(name)
    height, width = 200, 240
    rows, columns = np.mgrid[:height, :width]
    frame = Frame(np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8))
    inputs, geometry = detector.reader.prepare(frame)
    network_input = inputs["image"].numpy()[0]
    plain = detector.reader.prepare(Frame(np.zeros_like(frame.image)))[0]["image"].numpy()[0, :, 0, 0]
    full = detector.reader.prepare(Frame(np.full_like(frame.image, 200)))[0]["image"].numpy()[0, :, 0, 0]
    stride = 16
    grid_hw = tuple(length // stride for length in geometry.padded_hw)
    for cell in [(2, 2), (4, 5), (grid_hw[0] // 2, grid_hw[1] // 2)]:
        top, left = cell[0] * stride, cell[1] * stride
        # between the four pixels around the cell's centre
        patch = network_input[:, top + 7 : top + 9, left + 7 : left + 9].mean(axis=(1, 2))
        shown_x, shown_y = ((patch - plain) / (full - plain) * 200)[:2] + 0.5
        heatmap, _, _ = map_on_image(
            [impulse((geometry.padded_hw[0] // stride, geometry.padded_hw[1] // stride), cell)],
            methods.get("gradcam"),
            geometry.__class__(
                geometry.original_hw, (grid_hw[0] * stride, grid_hw[1] * stride), geometry.scale_yx, geometry.offset_yx
            ),
        )
        # half a pixel for the peak, half a colour step for the 8-bit coordinates
        assert peak_centre(heatmap) == pytest.approx((shown_y, shown_x), abs=1.0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_gives_the_rotated_images_maps(detector_of, tmp_path, photo, orientation):
    """A file with any EXIF orientation gives boxes and maps of the upright image, pixel for pixel."""
    small = Image.fromarray(cv2.resize(photo.image, (300, 200), interpolation=cv2.INTER_AREA))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    small.save(path, exif=exif)
    frame = read_image(path)
    turned = orientation >= 5 and cv2.imread(str(path)).shape[0] == 300
    assert frame.original_hw == ((300, 200) if turned else (200, 300))
    explainer = Explainer(detector_of("ssd"), draw_threshold=0.05)
    from_file, from_array = explainer(path), explainer(frame.image)
    assert from_file.explanations
    for one, other in zip(from_file.explanations, from_array.explanations):
        assert one.detection == other.detection
        assert one.heatmap.shape == frame.original_hw
        np.testing.assert_array_equal(one.heatmap, other.heatmap)


# --- tokens


@pytest.mark.parametrize("original_hw", [(404, 640), (423, 359), (150, 97)], ids=str)
def test_planted_token_peaks_at_its_cell(detector_of, original_hw):
    """A token of an encoder's sequence that is 1, all others 0, peaks at the centre of its cell of its level."""
    detector = detector_of("deformable_detr")
    frame = Frame(np.random.default_rng(0).integers(0, 256, (*original_hw, 3), dtype=np.uint8))
    forward = detector.forward(frame, detector.layers(["model.transformer.encoder"])[0])
    geometry, encoder = forward.geometry, detector.model.transformer.encoder
    levels = [tuple(one.shape[2:]) for one in forward.capture.feature_maps("model.transformer.encoder")]
    assert len(levels) == 4
    grids, start = detector.extractor.grids(1, geometry.padded_hw), 0
    length = sum(height * width for height, width in levels)
    for level, (height, width) in enumerate(levels):
        for row, column in {(0, 0), (height // 2, width // 3), (height - 1, width - 1)}:
            tokens = np.zeros((1, length, 1), np.float32)
            tokens[0, start + row * width + column] = 1.0
            maps = grids.layout(encoder, paddle.to_tensor(tokens)).split(paddle.to_tensor(tokens))
            features = [
                FeatureMap("planted", at, FeatureKind.IMAGE, one.numpy()[0], np.ones_like(one.numpy()[0]))
                for at, one in enumerate(maps)
            ]
            heatmap, shares, _ = map_on_image(features, methods.get("gradcam"), geometry)
            stride = 8 * 2**level
            centre = [(at + 0.5) * stride / scale for at, scale in zip((row, column), geometry.scale_yx)]
            if any(place >= side for place, side in zip(centre, original_hw)) or min(height, width) == 1:
                continue  # beyond the image's end, or a single cell, which covers the input evenly
            assert [share.share for share in shares] == [float(at == level) for at in range(4)]
            assert peak_centre(heatmap) == pytest.approx(centre, abs=0.5 + 1e-4)
        start += height * width


def test_bright_patch_is_its_tokens_cell():
    """Swin Transformer's tokens: the patch of the input that is bright is the cell that stands out."""
    paddle.seed(0)
    layer = PatchEmbed(patch_size=4, embed_dim=8, norm_layer=nn.LayerNorm)
    image = paddle.zeros([1, 3, 24, 40])
    image[:, :, 8:12, 28:32] = 1.0
    known = Grids(1, (24, 40), token_layers=frozenset(layer.sublayers()))
    with capturing({"model.norm": layer.norm}, known) as capture:
        layer(image)
    ((cells,),) = [one.numpy() for one in capture.feature_maps("model.norm")]
    differs = np.abs(cells - cells[:, :1, :1]).sum(axis=0)
    assert cells.shape == (8, 6, 10)
    assert np.argwhere(differs > 1e-4).tolist() == [[2, 7]]
