"""Which images a run is about, in which order, and what the folder of each one's files is called."""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ppdet_cam.errors import ConfigError
from ppdet_cam.places import find_file
from ppdet_cam.questions.truth import GroundTruth

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (
    ".bmp .jp2 .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # what `images.READABLE_FORMATS` names
)

# a folder that ended like a file of a run could be in that file's way
_TAKEN_SUFFIXES = (".html", ".jpg", ".json", ".jsonl", ".npz", ".png")
_TAKEN_PREFIX = ".cam"
_LOOKED_FOR = 200  # so many annotated images are looked for, to find out where they lie


class ImageFile(NamedTuple):
    """One image of a run.

    Attributes:
        path: where it lies, as it was given.
        name: the folder of its files below the output folder, with "/"; "" for a single image.
        annotated: its `file_name` in the ground truth, when it was taken from there.
    """

    path: str
    name: str
    annotated: str | None = None


@dataclass(frozen=True)
class Inputs:
    """What a run was given to look at.

    Attributes:
        images: image files.
        folder: a folder with images; with `list_file`, or with ground truth, where their relative paths start.
        recursive: whether the images in the folder's folders are taken as well.
        list_file: a text file with the path of an image per line.
        video: a video, whose frames are looked at.
        frame_interval: N for every N-th frame of the video.
    """

    images: tuple[Path, ...] = ()
    folder: Path | None = None
    recursive: bool = False
    list_file: Path | None = None
    video: Path | None = None
    frame_interval: int = 1

    def __post_init__(self) -> None:
        others = [("--infer_img", self.images), ("--infer_dir", self.folder), ("--infer_list", self.list_file)]
        if self.video is not None and any(given for _, given in others):
            other = next(flag for flag, given in others if given)
            raise ConfigError(f"--video_file and {other} exclude each other; give one of them")
        if self.frame_interval < 1:
            raise ConfigError(f"--frame_interval must be at least 1, not {self.frame_interval}")
        if self.frame_interval > 1 and self.video is None:
            raise ConfigError("--frame_interval is of the frames of a --video_file; give one, or leave it out")
        if self.images and (self.folder or self.list_file):
            other = "--infer_dir" if self.folder else "--infer_list"
            raise ConfigError(f"--infer_img and {other} exclude each other; give one of them")
        if self.recursive and (self.folder is None or self.list_file):
            raise ConfigError("--recursive looks into the folders of --infer_dir; give --infer_dir <folder> alone")

    @property
    def is_single(self) -> bool:
        """Whether it is one image file, whose files lie in the output folder itself."""
        return len(self.images) == 1

    @property
    def is_empty(self) -> bool:
        """Whether neither images, nor a list, nor a folder, nor a video were given."""
        return not self.images and self.folder is None and self.list_file is None and self.video is None


def list_images(inputs: Inputs, *, cam_out: Path) -> list[ImageFile]:
    """Returns the images of files, a list, or a folder.

    Args:
        inputs: where they are.
        cam_out: the output folder, which is not searched.

    Raises:
        ConfigError: there is none, or the folder or list cannot be read.
    """
    if inputs.list_file is not None:
        lines = _lines(find_file(inputs.list_file))
        paths = [os.path.join(find_file(inputs.folder), line) if inputs.folder else line for line in lines]
        return _named(paths, lines)
    if inputs.folder is not None:
        folder = find_file(inputs.folder)
        found = _images_in(folder, recursive=inputs.recursive, cam_out=cam_out)
        return _named([os.path.join(folder, name) for name in found], found)
    paths = [str(path) for path in inputs.images]
    return _named(paths, paths)


def annotated_images(truth: GroundTruth, folder: Path | None = None) -> list[ImageFile]:
    """Returns the images of ground truth.

    Args:
        truth: the annotations.
        folder: where their file names start; by default the annotations' own folder, a folder in it, the one above it,
            or one beside it, whichever holds them.

    Raises:
        ConfigError: there is none, or it is not clear where they lie.
    """
    names = list(truth.boxes)
    if not names:
        raise ConfigError(f"--gt {truth.path} has no images; give annotations of some")
    root = _root_of(truth) if folder is None else folder
    if folder is not None and not _holds_some(folder, truth):
        raise ConfigError(
            f"--infer_dir {folder} holds none of the images of --gt {truth.path}, such as {names[0]!r}; give the "
            "folder where their names start"
        )
    found = [(file, name) for name in names for file in _files_of(root, name, truth)]
    return _named(
        [os.path.join(root, file) for file, _ in found],
        [file for file, _ in found],
        annotated=[name for _, name in found],
    )


def _files_of(root: Path, name: str, truth: GroundTruth) -> list[str]:
    """Returns the paths below a folder of the files of an annotated image: one, though it may not be there."""
    if not truth.by_stem:
        return [name]
    suffixes = [*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)]
    there = {_identity(root / f"{name}{suffix}"): f"{name}{suffix}" for suffix in reversed(suffixes)}
    there.pop(None, None)  # some disks do not tell upper from lower case, so a file may be there by two names
    return list(there.values()) or [f"{name}.jpg"]


def _root_of(truth: GroundTruth) -> Path:
    """Returns the folder that holds the annotated images: the first kind of place where some of them are."""
    names = list(truth.boxes)
    own = truth.path if os.path.isdir(truth.path) else truth.path.parent
    above = own / os.pardir
    beside = [above, *(folder for folder in _folders_in(above) if not _is_same(folder, own))]
    for places in ([own], _folders_in(own), beside, _images_for_labels(own)):
        holding = [folder for folder in places if _holds_some(folder, truth)]
        if len(holding) == 1:
            return holding[0]
        if holding:
            where = " and in ".join(map(str, holding[:3]))
            break
    else:
        where = f"neither {own} nor a folder beside it"
    raise ConfigError(
        f"--gt {truth.path}: its images, such as {names[0]!r}, are in {where}. Say where: --infer_dir <dir>"
    )


def _holds_some(folder: Path, truth: GroundTruth) -> bool:
    some = itertools.islice(truth.boxes, _LOOKED_FOR)
    return any(os.path.exists(folder / file) for name in some for file in _files_of(folder, name, truth))


def _images_for_labels(own: Path) -> list[Path]:
    """Returns where YOLO's tools look for the images of labels: `images/train` for `labels/train`."""
    parts = Path(os.path.abspath(own)).parts
    places = [place for place, part in enumerate(parts) if part == "labels"]
    return [Path(*parts[: places[-1]], "images", *parts[places[-1] + 1 :])] if places else []


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if os.path.isdir(entry))
    except OSError:
        return []


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _lines(list_file: Path) -> list[str]:
    try:
        # not to wait for one that writes into a pipe, as there may be none; where there is one, it is waited for below
        opened = os.open(list_file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(opened, "rb") as stream:
            os.set_blocking(opened, True)
            text = stream.read().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise ConfigError(f"--infer_list {list_file} cannot be read: {error.strerror}") from error
    lines = [line.rstrip("\r") for line in text.split("\n")]
    paths = [line for line in lines if line.strip()]
    if not paths:
        raise ConfigError(f"--infer_list {list_file} is empty; it needs the path of an image per line")
    if any("\0" in path for path in paths):
        raise ConfigError(f"--infer_list {list_file} is not a text file; it needs the path of an image per line")
    return paths


# --- folders


def _images_in(folder: Path, *, recursive: bool, cam_out: Path) -> list[str]:
    """Returns the paths of the images below a folder, relative to it, sorted."""
    if recursive and _is_same(folder, cam_out):
        raise ConfigError(
            f"--cam_out is the folder of the images, {folder}: with --recursive the pictures would be taken for images "
            "next time. Choose another --cam_out"
        )
    found = sorted(_walk(folder, recursive=recursive, skipped=_identity(cam_out)), key=lambda path: path.split("/"))
    if not found:
        hint = "" if recursive or not _folders_in(folder) else "; it holds folders: --recursive looks into them"
        raise ConfigError(f"--infer_dir {folder} holds no image ({', '.join(IMAGE_SUFFIXES)}){hint}")
    return found


def _walk(folder: Path, *, recursive: bool, skipped: tuple[int, int] | None) -> Iterator[str]:
    """Yields the images below a folder. Links are followed, but not back into a folder that leads there."""
    waiting: list[tuple[str, tuple[tuple[int, int] | None, ...]]] = [("", ())]
    while waiting:
        below, above = waiting.pop()
        here = os.path.join(folder, below) if below else str(folder)
        identity = _identity(here)
        if identity in above or (below and skipped is not None and identity == skipped):
            continue
        for entry in _entries(here):
            path = f"{below}/{entry.name}" if below else entry.name
            if _is_folder(entry):
                if recursive:
                    waiting.append((path, (*above, identity)))
            elif entry.name.lower().endswith(tuple(IMAGE_SUFFIXES)):
                yield path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise ConfigError(f"--infer_dir: cannot read {folder}: {error.strerror}. Give a folder with images") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


# --- names


def _named(paths: Sequence[str], places: Sequence[str], *, annotated: Sequence[str] | None = None) -> list[ImageFile]:
    """Returns the images with their folders' names: each one's place without suffix, or with it where two would clash.

    Args:
        paths: of the images.
        places: their paths in the run, which the names are made of.
        annotated: their names in the ground truth.
    """
    first: dict[str, int] = {}
    for number, path in enumerate(paths):
        first.setdefault(os.path.normpath(path), number)
    if len(first) < len(paths):
        log.info("of %d images %d are named again; each is explained once", len(paths), len(paths) - len(first))
    names = unique_names([places[number] for number in first.values()])
    return [
        ImageFile(paths[number], name, annotated[number] if annotated else None)
        for number, name in zip(first.values(), names)
    ]


def unique_names(places: Sequence[str]) -> list[str]:
    """Returns a different name for each place, fit for a folder below another one.

    Example:
        >>> unique_names(["a/1.jpg", "a/1.png", "a/2.jpg", "../b/run.json.jpg"])
        ['a/1_jpg', 'a/1_png', 'a/2', 'b/run_json']
    """
    plain = [_folder_name(place, with_suffix=False) for place in places]
    count = Counter(plain)
    taken: dict[str, None] = {}
    for place, stem in zip(places, plain):
        wanted = stem if count[stem] == 1 else _folder_name(place, with_suffix=True)
        name, number = wanted, 2
        while name in taken:
            name, number = f"{wanted}~{number}", number + 1
        taken[name] = None
    return list(taken)


def _folder_name(place: str, *, with_suffix: bool) -> str:
    path = PurePosixPath(os.path.normpath(place).replace(os.sep, "/"))
    *folders, last = [part for part in path.parts if part not in ("/", "//", "..")]
    stem = last if with_suffix else PurePosixPath(last).stem
    return "/".join(map(_free, [*folders, last if stem.strip(".") == "" else stem]))


def _free(part: str) -> str:
    """Returns a folder's name that is in the way of no file of a run."""
    if part.lower().endswith((*_TAKEN_SUFFIXES, *IMAGE_SUFFIXES)):
        stem, _, suffix = part.rpartition(".")
        part = f"{stem}_{suffix}"
    return f"_{part}" if part.startswith(_TAKEN_PREFIX) else part


def digest_lines(images: Iterable[ImageFile]) -> Iterator[bytes]:
    """Yields what tells one run's images from another's."""
    for image in images:
        yield f"{image.path}\0{image.name}\n".encode(errors="surrogatepass")  # names that are no UTF-8
