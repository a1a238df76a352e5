"""Where the pictures of two runs are found from the folder of their comparison, and the small ones inside its page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ppdet_cam.compare.comparison import Comparison
from ppdet_cam.compare.matching import BoxPair
from ppdet_cam.report.page import file_url
from ppdet_cam.report.reading import Box, Image
from ppdet_cam.report.thumbnails import MAX_EMBEDDED, Thumbnail, embedded_thumbnail, linked_thumbnail

# of run A and of run B
Thumbnails = tuple["Thumbnail | None", "Thumbnail | None"]


def link_to(run_folder: Path, *, page_folder: Path) -> Callable[[str], str]:
    """Returns a function: a path below a run's folder -> its URL relative to a page in another folder.

    Args:
        run_folder: the run's.
        page_folder: the page's.

    Example:
        >>> link_to(Path("runs/a b"), page_folder=Path("runs/out"))("0.jpg")
        './../a%20b/0.jpg'
    """
    # not resolved: a browser takes ".." off the path that the page was opened by
    target, start = os.path.abspath(run_folder), os.path.abspath(page_folder)
    try:
        below = PurePosixPath(Path(os.path.relpath(target, start)).as_posix())
    except ValueError:  # another drive of Windows
        root = Path(target).as_uri()
        return lambda file: f"{root}/{quote(file, safe='/', errors='surrogateescape')}"
    return lambda file: file_url(str(below / file))


def thumbnails_of(comparison: Comparison, max_embedded: int = MAX_EMBEDDED) -> list[Thumbnails]:
    """Returns two small pictures for each pair, of run A and of run B, which show the same part of the image.

    A run without a box in that place gives its photo there, if it saved it.

    Args:
        comparison: the pairs.
        max_embedded: so many pictures are made and kept in the page, the first pairs' first; the others are parts of
            the runs' files.
    """
    made = []
    for order, measured in enumerate(comparison.pairs):
        both, pair = comparison.images.compared[measured.image], measured.pair
        sides = ((comparison.a.folder, both.a, pair.a), (comparison.b.folder, both.b, pair.b))
        embeds = 2 * order < max_embedded
        one, other = (_thumbnail(folder, image, _shown(box, pair), embeds=embeds) for folder, image, box in sides)
        made.append((one, other))
    return made


def _thumbnail(folder: Path, image: Image, box: Box, *, embeds: bool) -> Thumbnail | None:
    return embedded_thumbnail(folder, image, box) if embeds else linked_thumbnail(image, box)


def _shown(box: Box | None, pair: BoxPair) -> Box:
    """Returns a box of the pair's whole place; with the files of the given one, so that they are cut alike."""
    boxes = [one for one in (pair.a, pair.b) if one is not None]
    corners = [one.detection.box_xyxy for one in boxes]
    left, top = (min(corner[side] for corner in corners) for side in (0, 1))
    right, bottom = (max(corner[side] for corner in corners) for side in (2, 3))
    detection = replace(boxes[0].detection, box_xyxy=(left, top, right, bottom), polygon_xy=None)
    files: Mapping[str, str] = box.files if box is not None else {}
    return replace(boxes[0], detection=detection, files=files, answer=None)
