"""Image files and arrays -> Frame, with the very pixels that ppdet's own `Decode` gives."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ppdet_cam.errors import ImageError
from ppdet_cam.places import PROJECT_ROOT, demo_photographs, find_file
from ppdet_cam.registry import closest
from ppdet_cam.structures import Frame

log = logging.getLogger(__name__)

BLANK_HW = (480, 640)
READABLE_FORMATS = "JPEG, PNG, BMP, WebP, TIFF, JPEG 2000 and PNM"

# Pillow refuses above this by default; about 0.5 GB as RGB, twice that for the float32 map of each box.
MAX_PIXELS = 178_956_970
# OpenCV counts an encoded buffer's bytes in an int.
MAX_FILE_BYTES = 2**31 - 1

_JPEG_FORMATS = ("JPEG", "MPO")
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_NO_END = "the end marker is missing"

# What is put behind a file that ends too early: a decoder that still needs data makes different pixels of each.
_FILLINGS = (b"\x55" * 256, b"\xaa" * 256)

_ADDRESS = re.compile("([A-Za-z][A-Za-z0-9+.-]+):/+(.*)")  # a single letter is a drive

PADDLEDETECTION_PHOTOGRAPHS = frozenset(
    {
        "000000014439.jpg",
        "000000014439_640x640.jpg",
        "000000087038.jpg",
        "000000570688.jpg",
        "39006.jpg",
        "P0072__1.0__0___0.png",
        "P0861__1.0__1154___824.png",
        "car.jpg",
        "hrnet_demo.jpg",
        "lane00000.jpg",
        "orange_71.jpg",
        "road554.png",
        "visdrone_0000315_01601_d_0000509.jpg",
    }
)


def read_image(path: Path | str, root: Path = PROJECT_ROOT, *, strict: bool = False) -> Frame:
    """Returns the photograph in a file, decoded as ppdet's `Decode` decodes it.

    That is `cv2.imdecode(bytes, 1)`, then BGR to RGB: EXIF orientation is applied, and grayscale, palette, alpha,
    16-bit and CMYK become 8-bit RGB. `Decode` itself lets broken files pass (a truncated JPEG is filled up with
    gray, other files fail later with an AttributeError); here they are an `ImageError`.

    A file that is not as it should be, but has the data of every pixel, is read, and the frame notes what is amiss. Of
    a JPEG without its end marker OpenCV 4 leaves the last rows to chance, and OpenCV 5 reads nothing; it is read as if
    the marker were there.

    Args:
        path: the file; looked up in the project's folder when it is not below the current one.
        root: the folder that holds the package.
        strict: whether a file with anything amiss is refused.

    Returns:
        The frame, with the path where the file was found.

    Raises:
        ImageError: there is no such file, or it cannot be read, or it is not a whole image.
    """
    found = find_file(path, root)
    encoded = _read_bytes(found, root)
    format_name, complaint = _examined(encoded, found)
    end = _JPEG_END if format_name in _JPEG_FORMATS and _lacks_its_end(encoded) else b""
    data = encoded.rstrip(_JPEG_END[:1]) if end else encoded  # without half of a marker
    is_whole = not (complaint or end) or _has_all_data(data, end)
    if end and (is_whole or not complaint):
        complaint = _NO_END
    bgr, reason = _imdecode(data + end)
    if complaint and (strict or bgr is None or not is_whole):
        raise ImageError(_damaged_message(found, f"{format_name or 'header'}: {complaint}"))
    if bgr is None:
        raise ImageError(_unknown_message(found, format_name, reason))
    notes = (f"the file is damaged ({format_name}: {complaint}), but has all its pixels",) if complaint else ()
    return Frame(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)), found, notes)


def frame_of(image: object) -> Frame:
    """Returns the frame of what Python code has as an image: a file, an array, a PIL image, or a frame as it is.

    Raises:
        ImageError: something else; the message says how to make an image of it.
    """
    if isinstance(image, Frame):
        return image
    if isinstance(image, (str, os.PathLike)):
        frame = read_image(Path(image))
        for note in frame.notes:
            log.warning("%s: %s", frame.path, note)
        return frame
    if isinstance(image, Image.Image):
        return frame_from_array(np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
    if image is None:
        raise ImageError(
            "the image is None, which is what cv2.imread gives for a file that it cannot read; check its path"
        )
    if isinstance(image, (list, tuple)):
        raise ImageError(f"{len(image)} images in a {type(image).__name__}: explain one at a time, in a loop")
    if not isinstance(image, np.ndarray) and hasattr(image, "numpy"):
        raise ImageError(
            f"an image of type {type(image).__module__.partition('.')[0]} {type(image).__name__} is no array; for one "
            "of pixels from 0 to 255, channels last, give image.numpy().astype('uint8')"
        )
    return frame_from_array(image)  # type: ignore[arg-type]  # it says so of anything else


def frame_from_array(array: np.ndarray) -> Frame:
    """Returns a frame that holds a copy of an image array.

    Args:
        array: uint8 or uint16, RGB [H, W, 3], RGBA [H, W, 4] (alpha is dropped) or gray [H, W] or [H, W, 1].
            Of 16 bits the upper 8 are kept, as OpenCV does when it reads a 16-bit PNG. An array from cv2.imread
            is BGR: pass `array[..., ::-1]`.

    Returns:
        The frame, without a path.

    Raises:
        ImageError: another type, dtype or number of dimensions or channels, or no pixels.

    Example:
        >>> frame_from_array(np.zeros((4, 6), np.uint8)).image.shape
        (4, 6, 3)
    """
    allowed = "allowed are uint8 or uint16 arrays, RGB [H, W, 3], RGBA [H, W, 4] or gray [H, W] or [H, W, 1]"
    if not isinstance(array, np.ndarray):
        raise ImageError(f"an image of type {type(array).__name__} is no array; {allowed}; try numpy.asarray(image)")
    given = f"an image array of shape {list(array.shape)} and dtype {array.dtype}"
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise ImageError(f"{given} is not supported; {allowed}; scale it to 0..255, then .astype(numpy.uint8)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        looks_planar = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        advice = "channels come last: array.transpose(1, 2, 0)" if looks_planar else "give one image at a time"
        raise ImageError(f"{given} is not supported; {allowed}; {advice}")
    if array.size == 0:
        raise ImageError(f"{given} has no pixels; {allowed}, at least 1 x 1")
    eight_bit = array if array.dtype.itemsize == 1 else array >> 8
    channels = eight_bit.reshape(*array.shape[:2], -1)
    rgb = np.repeat(channels, 3, axis=2) if channels.shape[2] == 1 else channels[:, :, :3]
    return Frame(np.array(rgb, dtype=np.uint8, order="C"))


def _read_bytes(path: Path, root: Path) -> bytes:
    _check_readable(path, root)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(_unreadable_message(path, error)) from error


def _check_readable(path: Path, root: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(_missing_message(path, root)) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ImageError(_unreadable_message(path, error)) from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{str(path)!r} is a folder, not an image file; give a file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{str(path)!r} is a device or pipe, not an image file; save the image to a file first")
    if status.st_size == 0:
        raise ImageError(f"image file {str(path)!r} is empty (0 bytes); copy or download it again")
    if status.st_size > MAX_FILE_BYTES:
        raise ImageError(
            f"file {str(path)!r} is too large for an image: {status.st_size} bytes, allowed are {MAX_FILE_BYTES}; "
            f"readable formats are {READABLE_FORMATS}"
        )


def _unreadable_message(path: Path, error: OSError | ValueError) -> str:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"image file {str(path)!r} cannot be read: {reason}; check its name and that you may read it"


def _missing_message(path: Path, root: Path) -> str:
    address = _ADDRESS.fullmatch(str(path))
    if address:  # a path keeps one of the slashes
        return (
            f"{address[1]}://{address[2]} is an address, and images are read from files; fetch it first, as with "
            "wget or curl -O, and give the file"
        )
    photographs = [f"demo/{name}" for name in demo_photographs(root)]
    ours = f"this project's demo/ holds {', '.join(photographs) or 'no photographs'}"
    if path.name in PADDLEDETECTION_PHOTOGRAPHS:
        return (
            f"no image file {str(path)!r}: PaddleDetection's own demo/ holds that photograph, and {ours}; "
            f"use one of these, or give the path of the file in your copy of PaddleDetection"
        )
    if path.parent.name == "demo":
        suggestion = closest(f"demo/{path.name}", photographs)
        return (
            f"no image file {str(path)!r}{suggestion or ';'} {ours}; "
            f"PaddleDetection's photographs lie in PaddleDetection's own demo/"
        )
    return f"no image file {str(path)!r}; relative paths start at the current folder, then at {root}; check the name"


def _examined(encoded: bytes, path: Path) -> tuple[str | None, str | None]:
    """Returns Pillow's name of the format, None when it does not know it, and what it finds amiss, None for nothing.

    Raises:
        ImageError: the image has too many pixels.
    """
    format_name: str | None = None
    try:
        with _strict_pillow(), Image.open(io.BytesIO(encoded)) as image:
            format_name = image.format
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            # JPEG only: an eighth of the size costs a third of the time, and still reads every byte.
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except UnidentifiedImageError:
        return None, None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"image file {str(path)!r} has too many pixels: {error}; allowed are {MAX_PIXELS}; make it smaller first"
        ) from error
    except Exception as error:  # Pillow's readers raise nearly anything on broken data
        return format_name, str(error) or type(error).__name__
    return format_name, None


def _lacks_its_end(encoded: bytes) -> bool:
    """Returns whether a JPEG's last scan, in whose data no marker can occur, is followed by no end marker."""
    return _JPEG_END not in encoded[encoded.rfind(_JPEG_SCAN) :]


def _has_all_data(encoded: bytes, end: bytes) -> bool:
    """Returns whether a file decodes to the same pixels whatever follows it, so that none of them lacks its data."""
    decode = _pillow_pixels if end else lambda encoded: _imdecode(encoded)[0]  # OpenCV's libjpeg prints what it skips
    one, other = (decode(encoded + filling + end) for filling in _FILLINGS)
    return one is not None and other is not None and np.array_equal(one, other)


def _pillow_pixels(encoded: bytes) -> np.ndarray | None:
    try:
        with _strict_pillow(), Image.open(io.BytesIO(encoded)) as image:
            return np.asarray(image)
    except Exception:  # as above
        return None


@contextlib.contextmanager
def _strict_pillow() -> Iterator[None]:
    """Makes Pillow report truncated data, and keep its warnings about odd metadata to itself.

    Importing ppdet's trainer switches `LOAD_TRUNCATED_IMAGES` on for the whole process (ppdet 2.6.0,
    engine/trainer.py:29), which would hide every truncation.
    """
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _unknown_message(path: Path, format_name: str | None, reason: str) -> str:
    what = f"is a {format_name} image that OpenCV cannot decode" if format_name else "is not an image"
    return (
        f"file {str(path)!r} {what}{reason}; readable formats are {READABLE_FORMATS}; "
        f"convert it to one of these, or copy it again if it is damaged"
    )


def _imdecode(encoded: bytes) -> tuple[np.ndarray | None, str]:
    """Returns uint8 [H, W, 3], BGR, or None and what OpenCV had to say about it."""
    try:
        return cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR), ""
    except cv2.error as error:
        return None, f" ({error.err})"


def _damaged_message(path: Path, reason: str) -> str:
    return f"image file {str(path)!r} is truncated or damaged ({reason}); copy or download it again"


def blank_frame() -> Frame:
    """Returns a gray image, 480 x 640: for what needs any image at all."""
    return Frame(np.full((*BLANK_HW, 3), 127, np.uint8))
