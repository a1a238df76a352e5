"""Image files and arrays become the pixels that ppdet's own decoder gives, or one clear error."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from ppdet_cam.errors import ImageError, PpdetCamError
from ppdet_cam.images import reading as images
from ppdet_cam.images.reading import frame_from_array, read_image
from ppdet_cam.places import PROJECT_ROOT, demo_photographs, find_file

HEIGHT, WIDTH = 37, 53


def photograph(mode: str = "RGB", width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Returns a picture whose four corners differ, so that no flip or turn goes unseen."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], axis=2).astype(np.uint8)
    return Image.fromarray(rgb).convert(mode)


def encode(image: Image.Image, format_name: str, **options: object) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, format_name, **options)
    return encoded.getvalue()


def decode_as_ppdet(encoded: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), 1), cv2.COLOR_BGR2RGB)


def sixteen_bit_png(channels: int) -> bytes:
    shape = (HEIGHT, WIDTH, channels) if channels > 1 else (HEIGHT, WIDTH)
    values = np.random.default_rng(0).integers(0, 2**16, shape, dtype=np.uint16)
    return bytes(cv2.imencode(".png", values)[1])


ENCODINGS = {
    "rgb.jpg": lambda: encode(photograph(), "JPEG"),
    "progressive.jpg": lambda: encode(photograph(), "JPEG", progressive=True),
    "gray.jpg": lambda: encode(photograph("L"), "JPEG"),
    "cmyk.jpg": lambda: encode(photograph("CMYK"), "JPEG"),
    "rgb.png": lambda: encode(photograph(), "PNG"),
    "gray.png": lambda: encode(photograph("L"), "PNG"),
    "rgba.png": lambda: encode(photograph("RGBA"), "PNG"),
    "gray_alpha.png": lambda: encode(photograph("LA"), "PNG"),
    "palette.png": lambda: encode(photograph("P"), "PNG"),
    "bilevel.png": lambda: encode(photograph("1"), "PNG"),
    "gray16.png": lambda: sixteen_bit_png(1),
    "rgb16.png": lambda: sixteen_bit_png(3),
    "rgba16.png": lambda: sixteen_bit_png(4),
    "one_pixel.png": lambda: encode(photograph(width=1, height=1), "PNG"),
    "one_pixel.jpg": lambda: encode(photograph(width=1, height=1), "JPEG"),
    "rgb.bmp": lambda: encode(photograph(), "BMP"),
    "rgb.webp": lambda: encode(photograph(), "WEBP"),
    "rgb.tif": lambda: encode(photograph(), "TIFF"),
    "rgb.jp2": lambda: encode(photograph(), "JPEG2000"),
    "rgb.ppm": lambda: encode(photograph(), "PPM"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with two photographs in its demo/."""
    (tmp_path / "project" / "demo").mkdir(parents=True)
    for name in ("dog.png", "cat.jpg"):
        (tmp_path / "project" / "demo" / name).write_bytes(ENCODINGS["rgb.png"]())
    (tmp_path / "project" / "demo" / "SOURCES.md").write_text("no photograph")
    return tmp_path / "project"


# --- files: the pixels ---


@pytest.mark.parametrize("name", ENCODINGS)
def test_read_image_equals_the_decoder_of_ppdet(name: str, tmp_path: Path) -> None:
    """Every format and pixel type gives the pixels of cv2.imdecode, as uint8 RGB."""
    encoded = ENCODINGS[name]()
    (tmp_path / name).write_bytes(encoded)
    frame = read_image(tmp_path / name)
    assert frame.image.dtype == np.uint8
    assert frame.image.ndim == 3 and frame.image.shape[2] == 3
    assert frame.image.flags.c_contiguous and frame.image.flags.writeable
    np.testing.assert_array_equal(frame.image, decode_as_ppdet(encoded))
    assert frame.path == tmp_path / name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_image_applies_exif_orientation(orientation: int, tmp_path: Path) -> None:
    """All eight EXIF orientations give cv2's pixels; 5 to 8 swap height and width."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(photograph(), "JPEG", exif=exif, quality=95)
    (tmp_path / "turned.jpg").write_bytes(encoded)
    frame = read_image(tmp_path / "turned.jpg")
    np.testing.assert_array_equal(frame.image, decode_as_ppdet(encoded))
    assert frame.original_hw == ((HEIGHT, WIDTH) if orientation <= 4 else (WIDTH, HEIGHT))


def test_read_image_turns_the_pixels_of_exif_orientation_6(tmp_path: Path) -> None:
    """Orientation 6 means that the stored picture is shown turned by 90 degrees clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "plain.jpg").write_bytes(encode(photograph(), "JPEG"))
    (tmp_path / "turned.jpg").write_bytes(encode(photograph(), "JPEG", exif=exif))
    plain, turned = read_image(tmp_path / "plain.jpg"), read_image(tmp_path / "turned.jpg")
    np.testing.assert_array_equal(turned.image, np.rot90(plain.image, k=-1))


def test_read_image_gives_rgb_not_bgr(tmp_path: Path) -> None:
    """A red file is red in the frame's first channel."""
    Image.new("RGB", (3, 2), "red").save(tmp_path / "red.png")
    np.testing.assert_array_equal(read_image(tmp_path / "red.png").image, np.full((2, 3, 3), [255, 0, 0]))


@pytest.mark.parametrize("name", ["with space.png", "фото-照片.png", "it's [1] #2 %20.png", "no_suffix", "wrong.jpg"])
def test_read_image_takes_any_file_name(name: str, tmp_path: Path) -> None:
    """Spaces, other scripts, shell characters and a wrong suffix do not matter."""
    (tmp_path / name).write_bytes(ENCODINGS["rgb.png"]())
    assert read_image(tmp_path / name).original_hw == (HEIGHT, WIDTH)


def test_read_image_accepts_a_format_that_only_opencv_knows(tmp_path: Path) -> None:
    """Radiance HDR is unknown to Pillow and read all the same."""
    encoded = bytes(cv2.imencode(".hdr", np.full((4, 5, 3), 0.5, np.float32))[1])
    (tmp_path / "light.hdr").write_bytes(encoded)
    np.testing.assert_array_equal(read_image(tmp_path / "light.hdr").image, decode_as_ppdet(encoded))


def test_read_image_accepts_bytes_after_the_end_of_a_jpeg(tmp_path: Path) -> None:
    """Phones append a film or a depth map to a whole JPEG."""
    encoded = ENCODINGS["rgb.jpg"]() + b"appended\xff\xda" * 100
    (tmp_path / "phone.jpg").write_bytes(encoded)
    np.testing.assert_array_equal(read_image(tmp_path / "phone.jpg").image, decode_as_ppdet(encoded))


def test_read_image_stays_silent_about_odd_metadata(tmp_path: Path) -> None:
    """A damaged EXIF block is none of our business (warnings are errors in these tests)."""
    encoded = encode(photograph(), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff broken")
    (tmp_path / "odd.jpg").write_bytes(encoded)
    np.testing.assert_array_equal(read_image(tmp_path / "odd.jpg").image, decode_as_ppdet(encoded))


# --- files: what is refused ---


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "rgb.png", "rgb.bmp", "rgb.webp", "rgb.tif", "rgb.jp2"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_read_image_refuses_a_truncated_file(
    name: str, kept: float, lenient: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that ends early is refused, also when ppdet has told Pillow to tolerate that."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    encoded = ENCODINGS[name]()
    (tmp_path / name).write_bytes(encoded[: int(len(encoded) * kept)])
    with pytest.raises(ImageError, match=f"{name}.*(truncated|damaged).*copy"):
        read_image(tmp_path / name)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


@pytest.mark.parametrize("size", [WIDTH, 64, 200, 333])
@pytest.mark.parametrize("missing", [3, 4, 10])
def test_read_image_refuses_a_jpeg_without_the_data_of_its_last_pixels(size: int, missing: int, tmp_path: Path) -> None:
    """A single byte of the last pixels' data counts."""
    encoded = encode(photograph(width=size, height=size), "JPEG", quality=60)
    (tmp_path / "cut.jpg").write_bytes(encoded[:-missing])
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("pillow", ["complains", "is content"])
@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg", "one_pixel.jpg"])
def test_read_image_reads_a_jpeg_without_its_end_marker_whole(
    name: str, missing: int, pillow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the marker alone every pixel is there, to the last row, and it is noted; when asked for it is refused."""
    if pillow == "is content":
        monkeypatch.setattr(images, "_examined", lambda encoded, path: ("JPEG", None))
    whole = ENCODINGS[name]()
    (tmp_path / "cut.jpg").write_bytes(whole[:-missing])
    frame = read_image(tmp_path / "cut.jpg")
    assert np.array_equal(frame.image, decode_as_ppdet(whole))
    assert frame.notes == ("the file is damaged (JPEG: the end marker is missing), but has all its pixels",)
    with pytest.raises(ImageError, match=r"cut\.jpg.*the end marker is missing.*copy"):
        read_image(tmp_path / "cut.jpg", strict=True)


@pytest.mark.parametrize("name", ["rgb.jpg", "rgb.png", "rgb.jp2", "rgb.tif"])
def test_read_image_notes_what_pillow_complains_of(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that OpenCV decodes whole is read whatever Pillow has against it, and that is noted."""

    def complain(*_: object) -> None:
        raise OSError("odd data")

    monkeypatch.setattr(ImageFile.ImageFile, "load", complain)
    (tmp_path / name).write_bytes(ENCODINGS[name]())
    frame = read_image(tmp_path / name)
    assert np.array_equal(frame.image, decode_as_ppdet(ENCODINGS[name]()))
    assert [note for note in frame.notes if "odd data" in note] == list(frame.notes) != []
    with pytest.raises(ImageError, match="odd data"):
        read_image(tmp_path / name, strict=True)


def test_read_image_notes_nothing_about_whole_files(tmp_path: Path) -> None:
    """Every whole file passes strictly, and without a word."""
    for name, encoded in ENCODINGS.items():
        (tmp_path / name).write_bytes(encoded())
        assert read_image(tmp_path / name, strict=True).notes == ()


def test_frame_of_warns_of_a_damaged_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From Python, what is amiss with a file is logged."""
    (tmp_path / "cut.jpg").write_bytes(ENCODINGS["rgb.jpg"]()[:-2])
    images.frame_of(tmp_path / "cut.jpg")
    assert "cut.jpg: the file is damaged" in caplog.text


@pytest.mark.parametrize("address", ["https://host.org/a/photo.jpg", "s3://bucket/photo.jpg", "file:///tmp/x.jpg"])
def test_read_image_says_that_an_address_is_to_be_fetched_first(address: str) -> None:
    """An address, which a path mangles, is shown as it was given, with what to do."""
    shown = address.replace("///", "//")
    with pytest.raises(ImageError, match=f"^{shown} is an address.*fetch it first.*wget or curl"):
        read_image(Path(address))


def test_read_image_names_missing_files(tmp_path: Path) -> None:
    """A missing file is named, and the message says where relative paths start."""
    with pytest.raises(ImageError, match=r"no image file '.*nowhere\.jpg'.*current folder") as caught:
        read_image(tmp_path / "nowhere.jpg")
    assert isinstance(caught.value, PpdetCamError)
    assert isinstance(caught.value, ValueError)
    assert "demo" not in str(caught.value).split("nowhere.jpg", 1)[1]


@pytest.mark.parametrize("name", ["hrnet_demo.jpg", "demo/000000014439.jpg", "/elsewhere/000000014439.jpg"])
def test_read_image_says_whose_demo_holds_a_missing_photograph(name: str, project: Path) -> None:
    """PaddleDetection's photographs are sent for to PaddleDetection, and ours are offered."""
    with pytest.raises(ImageError, match=r"PaddleDetection's own demo/ holds .* demo/cat\.jpg, demo/dog\.png") as error:
        read_image(name, root=project)
    assert "SOURCES" not in str(error.value)


def test_read_image_suggests_the_closest_demo_photograph(project: Path) -> None:
    """A slip of the pen in our own demo/ gets its correction, and PaddleDetection's demo/ is still named."""
    with pytest.raises(ImageError, match=r"did you mean 'demo/cat\.jpg'.*PaddleDetection's own demo/"):
        read_image("demo/cats.jpg", root=project)


def test_read_image_copes_without_demo_photographs(tmp_path: Path) -> None:
    """An installation without photographs says so."""
    with pytest.raises(ImageError, match="this project's demo/ holds no photographs"):
        read_image("demo/000000014439.jpg", root=tmp_path)


def test_read_image_refuses_a_folder(tmp_path: Path) -> None:
    """A folder is called a folder."""
    with pytest.raises(ImageError, match="is a folder, not an image file"):
        read_image(tmp_path)


def test_read_image_refuses_a_file_used_as_a_folder(tmp_path: Path) -> None:
    """A path that goes on below a file does not exist."""
    (tmp_path / "a.jpg").write_bytes(ENCODINGS["rgb.jpg"]())
    with pytest.raises(ImageError, match="no image file"):
        read_image(tmp_path / "a.jpg" / "b.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_read_image_refuses_a_pipe(tmp_path: Path) -> None:
    """A pipe would be waited for forever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="device or pipe"):
        read_image(tmp_path / "pipe.jpg")


def test_read_image_refuses_an_empty_file(tmp_path: Path) -> None:
    """Zero bytes are called zero bytes."""
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg' is empty \(0 bytes\)"):
        read_image(tmp_path / "empty.jpg")


@pytest.mark.parametrize(
    "content", [b"just a text\n", b"\x00" * 100, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"%PDF"]
)
def test_read_image_refuses_what_is_no_image(content: bytes, tmp_path: Path) -> None:
    """Other files are refused with the list of readable formats, or as damaged."""
    (tmp_path / "notes.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"notes\.jpg.*(not an image.*JPEG, PNG, BMP|truncated or damaged)"):
        read_image(tmp_path / "notes.jpg")


def test_read_image_names_a_format_that_only_pillow_knows(tmp_path: Path) -> None:
    """A format that the detector's decoder cannot read is refused by its name."""
    (tmp_path / "old.tga").write_bytes(encode(photograph(), "TGA"))
    with pytest.raises(ImageError, match="TGA image that OpenCV cannot decode.*convert it"):
        read_image(tmp_path / "old.tga")


@pytest.mark.parametrize(
    ("error", "reason"), [(PermissionError(13, "Permission denied"), "Permission denied"), (OSError(5, "I/O"), "I/O")]
)
@pytest.mark.parametrize("step", ["stat", "read_bytes"])
def test_read_image_passes_on_why_a_file_cannot_be_read(
    step: str, error: OSError, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operating system's reason reaches the user."""

    def refuse(*args: object, **options: object) -> None:
        raise error

    (tmp_path / "closed.jpg").write_bytes(ENCODINGS["rgb.jpg"]())
    monkeypatch.setattr(Path, step, refuse)
    with pytest.raises(ImageError, match=f"closed.jpg' cannot be read: {reason}"):
        read_image(tmp_path / "closed.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_read_image_refuses_a_file_without_read_permission(tmp_path: Path) -> None:
    """A closed file is an ImageError, not a traceback."""
    (tmp_path / "closed.jpg").write_bytes(ENCODINGS["rgb.jpg"]())
    (tmp_path / "closed.jpg").chmod(0)
    with pytest.raises(ImageError, match="cannot be read: Permission denied"):
        read_image(tmp_path / "closed.jpg")


@pytest.mark.parametrize("name", ["null\x00character.jpg", "long" * 500 + ".jpg"])
def test_read_image_refuses_impossible_names(name: str) -> None:
    """Names that no file can have are an ImageError too."""
    with pytest.raises(ImageError, match="image file"):
        read_image(name)


def test_read_image_refuses_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's refusal of a decompression bomb becomes an ImageError before anything is decoded."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 4)
    (tmp_path / "bomb.png").write_bytes(ENCODINGS["rgb.png"]())
    with pytest.raises(ImageError, match=r"bomb\.png' has too many pixels.*allowed are"):
        read_image(tmp_path / "bomb.png")


def test_read_image_keeps_its_own_limit_when_pillow_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that switched Pillow's limit off still gets ours."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(images, "MAX_PIXELS", HEIGHT * WIDTH - 1)
    (tmp_path / "bomb.png").write_bytes(ENCODINGS["rgb.png"]())
    with pytest.raises(ImageError, match=f"{WIDTH} x {HEIGHT} pixels; allowed are {HEIGHT * WIDTH - 1}"):
        read_image(tmp_path / "bomb.png")


def test_read_image_accepts_what_pillow_only_warns_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large photographs up to the limit pass without a warning."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    (tmp_path / "large.png").write_bytes(ENCODINGS["rgb.png"]())
    assert read_image(tmp_path / "large.png").original_hw == (HEIGHT, WIDTH)


def test_read_image_refuses_too_large_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film given by mistake is not read into memory."""
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 10)
    (tmp_path / "film.mp4").write_bytes(b"eleven byte")
    with pytest.raises(ImageError, match="too large for an image: 11 bytes, allowed are 10"):
        read_image(tmp_path / "film.mp4")


def test_read_image_passes_on_why_opencv_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception inside OpenCV is an ImageError."""

    def refuse(encoded: np.ndarray, flags: int) -> np.ndarray:
        return cv2.resize(np.zeros((0, 0), np.uint8), (1, 1))

    (tmp_path / "a.png").write_bytes(ENCODINGS["rgb.png"]())
    monkeypatch.setattr(images.cv2, "imdecode", refuse)
    with pytest.raises(ImageError, match=r"PNG image that OpenCV cannot decode \(.*empty"):
        read_image(tmp_path / "a.png")


# --- arrays ---

RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
GRAY = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)


def test_frame_from_array_copies_rgb() -> None:
    """The frame holds a copy: what happens to the array later does not reach it."""
    array = RGB.copy()
    frame = frame_from_array(array)
    array[:] = 0
    np.testing.assert_array_equal(frame.image, RGB)
    assert frame.path is None
    assert frame.image.flags.c_contiguous and frame.image.flags.writeable


def test_frame_from_array_takes_reversed_views() -> None:
    """BGR turned around by a view becomes plain contiguous RGB."""
    frame = frame_from_array(RGB[..., ::-1])
    np.testing.assert_array_equal(frame.image[0, 0], [2, 1, 0])
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize("gray", [GRAY, GRAY[:, :, None]])
def test_frame_from_array_repeats_gray(gray: np.ndarray) -> None:
    """Gray fills all three channels."""
    np.testing.assert_array_equal(frame_from_array(gray).image, np.stack([GRAY] * 3, axis=2))


def test_frame_from_array_drops_alpha() -> None:
    """Alpha is dropped, not blended, as cv2 does."""
    alpha = np.full((2, 3, 1), 7, np.uint8)
    np.testing.assert_array_equal(frame_from_array(np.concatenate([RGB, alpha], axis=2)).image, RGB)


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_frame_from_array_keeps_the_upper_bits_of_16(byte_order: str) -> None:
    """16-bit values lose their lower byte, exactly as in a 16-bit PNG read by cv2."""
    values = np.array([[0, 255, 256], [0x1234, 0xFEFF, 0xFFFF]], dtype=np.uint16)
    frame = frame_from_array(values.astype(byte_order))
    np.testing.assert_array_equal(frame.image[..., 0], [[0, 0, 1], [0x12, 0xFE, 0xFF]])
    np.testing.assert_array_equal(frame.image, decode_as_ppdet(bytes(cv2.imencode(".png", values)[1])))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), r"shape \[4, 5, 3\] and dtype float32.*uint8 or uint16"),
        (np.zeros((4, 5, 3), np.int64), "dtype int64"),
        (np.zeros((4, 5), bool), "dtype bool"),
        (np.zeros((4, 5, 3), np.uint32), "dtype uint32"),
        (np.zeros((4,), np.uint8), r"shape \[4\]"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"shape \[1, 4, 5, 3\].*one image at a time"),
        (np.zeros((4, 5, 2), np.uint8), r"shape \[4, 5, 2\]"),
        (np.zeros((3, 40, 50), np.uint8), r"shape \[3, 40, 50\].*transpose\(1, 2, 0\)"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \[0, 5, 3\].*no pixels"),
        (np.zeros((5, 0), np.uint8), "no pixels"),
        ([[1, 2], [3, 4]], r"type list .*numpy\.asarray"),
    ],
)
def test_frame_from_array_refuses_other_arrays(array: np.ndarray, message: str) -> None:
    """The error says what was given and what is allowed."""
    with pytest.raises(ImageError, match=message):
        frame_from_array(array)


# --- places ---


def test_find_file_looks_in_the_current_folder_first(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own file wins over the project's file of the same name."""
    (tmp_path / "here" / "demo").mkdir(parents=True)
    (tmp_path / "here" / "demo" / "cat.jpg").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert find_file("demo/cat.jpg", project) == Path("demo/cat.jpg")
    assert find_file("demo/dog.png", project) == project / "demo" / "dog.png"


def test_find_file_looks_inside_an_installed_package(tmp_path: Path) -> None:
    """A wheel keeps configs and photographs inside the package."""
    (tmp_path / "ppdet_cam" / "configs").mkdir(parents=True)
    (tmp_path / "ppdet_cam" / "configs" / "a.yml").touch()
    assert find_file(Path("configs/a.yml"), tmp_path) == tmp_path / "ppdet_cam" / "configs" / "a.yml"


@pytest.mark.parametrize("given", ["demo/none.jpg", "../demo/cat.jpg", "demo/../demo/cat.jpg", "x" * 5000])
def test_find_file_returns_the_given_path_when_nothing_is_there(given: str, project: Path) -> None:
    """The caller gets back what the user typed; ".." never leads out of the project."""
    assert find_file(given, project) == Path(given)


def test_find_file_leaves_absolute_paths_alone(project: Path) -> None:
    """An absolute path is what it is, whether it exists or not."""
    assert find_file("/demo/cat.jpg", project) == Path("/demo/cat.jpg")


def test_read_image_finds_demo_photographs_from_any_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """demo/cat.jpg works wherever the user stands, and the frame says which file it was."""
    monkeypatch.chdir(tmp_path)
    assert read_image("demo/cat.jpg", root=project).path == project / "demo" / "cat.jpg"


def test_demo_photographs_lists_only_photographs(project: Path, tmp_path: Path) -> None:
    """Sorted names of image files; none when there is no demo/; a wheel's demo/ counts."""
    assert demo_photographs(project) == ("cat.jpg", "dog.png")
    assert demo_photographs(tmp_path) == ()
    (tmp_path / "ppdet_cam" / "demo").mkdir(parents=True)
    (tmp_path / "ppdet_cam" / "demo" / "bird.JPG").touch()
    assert demo_photographs(tmp_path) == ("bird.JPG",)


def test_project_root_holds_the_package() -> None:
    """The default root is the folder that this package lies in."""
    assert Path(images.__file__).resolve().parent == PROJECT_ROOT / "ppdet_cam" / "images"


def test_frame_of_takes_what_python_code_has_as_an_image(tmp_path: Path) -> None:
    """A file, its path, an array and a PIL image give the same pixels; a frame is itself."""
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    for image in (str(path), path, pixels, Image.fromarray(pixels)):
        np.testing.assert_array_equal(images.frame_of(image).image, pixels)
    frame = images.frame_of(pixels)
    assert images.frame_of(frame) is frame


def test_frame_of_turns_a_pil_image_as_its_exif_says() -> None:
    """As for the same file."""
    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    picture.getexif()[0x0112] = 6
    assert images.frame_of(picture).original_hw == (6, 4)


class Tensor:
    """What torch's and paddle's tensors have in common."""

    def numpy(self) -> np.ndarray:
        return np.zeros((3, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "None, which is what cv2.imread gives"),
        ([np.zeros((4, 4, 3), np.uint8)] * 2, "2 images in a list: explain one at a time"),
        (Tensor(), r"Tensor is no array.*image\.numpy\(\)"),
        (7, "type int is no array"),
    ],
)
def test_frame_of_says_how_to_make_an_image(image: object, message: str) -> None:
    """Each thing that is often given instead has its own advice."""
    with pytest.raises(ImageError, match=message):
        images.frame_of(image)
