"""What Python code gets for an image: explanations and results that show themselves in a notebook."""

from __future__ import annotations

import abc
import base64
import html
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from PIL import Image

from ppdet_cam.errors import ConfigError, OutputError
from ppdet_cam.render import RenderStyle, draw_explanation, draw_summary, draw_view, encode_jpeg, encode_png
from ppdet_cam.structures import Detection, Explanation, Frame, LayerView

DEFAULT_STYLE = RenderStyle()

_ENCODERS: Mapping[str, Callable[[np.ndarray], bytes]] = {".jpg": encode_jpeg, ".jpeg": encode_jpeg, ".png": encode_png}
_SHOWN_PX = 1200  # a notebook keeps the pictures of its cells: they are made smaller for it
_QUALITY = 90


class Pictured(abc.ABC):
    """Something with a picture, that shows itself in a notebook, opens in a window, or is saved."""

    @abc.abstractmethod
    def picture(self, style: RenderStyle = DEFAULT_STYLE) -> np.ndarray:
        """Returns it as a picture, uint8 [H, W, 3], RGB."""

    @abc.abstractmethod
    def caption(self) -> str:
        """Returns what it is, in one line."""

    def show(self, style: RenderStyle = DEFAULT_STYLE) -> None:
        """Shows the picture: below the cell in a notebook, else with the program that Pillow finds for pictures."""
        picture = self.picture(style)
        ipython = sys.modules.get("IPython")  # whoever runs a notebook has it
        shell = ipython.get_ipython() if ipython is not None else None
        if getattr(shell, "kernel", None) is None:
            Image.fromarray(picture).show()
            return
        display = importlib.import_module("IPython.display")
        display.display(display.HTML(_figure(picture, self.caption())))

    def save(self, path: str | Path, style: RenderStyle = DEFAULT_STYLE) -> Path:
        """Writes the picture to a file, and returns its path; a file of that name is replaced.

        Args:
            path: ends in .jpg, .jpeg or .png.
            style: how the maps are coloured.

        Raises:
            ConfigError: another suffix.
            OutputError: it cannot be written.
        """
        target = Path(path)
        encode = _ENCODERS.get(target.suffix.lower())
        if encode is None:
            raise ConfigError(
                f"a picture cannot be saved as {target.name!r}; its name must end in {', '.join(_ENCODERS)}"
            )
        content = encode(self.picture(style))
        try:
            target.write_bytes(content)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror}. Choose another place") from error
        return target

    def _repr_html_(self) -> str:
        return _figure(self.picture(), self.caption())


def _no_frame() -> Frame:
    raise TypeError("a PicturedExplanation is of a frame: give frame=")


@dataclass(frozen=True, repr=False)
class PicturedExplanation(Explanation, Pictured):
    """An explanation with its image.

    Attributes:
        frame: the image.

    Example:
        >>> explainer("demo/astronaut.jpg")[0].save("face.png")  # doctest: +SKIP
        PosixPath('face.png')
    """

    frame: Frame = field(default_factory=_no_frame, compare=False)

    def picture(self, style: RenderStyle = DEFAULT_STYLE) -> np.ndarray:
        """Returns the photograph with the map, the box and its label over it, uint8 [H, W, 3], RGB."""
        _check_scale(style)
        return draw_explanation(self.frame.image, self, style=style)

    def caption(self) -> str:
        """Returns class, score, method, layers, and why there is no map or what became of the box."""
        box = self.detection
        entries = [f"{box.class_name} {box.score:.3f}", self.method, *self.layers]
        if self.answer is not None:
            entries.append(self.answer.words)
        return ", ".join([*entries, self.status.value])

    def __repr__(self) -> str:
        height, width = self.heatmap.shape
        return f"<{type(self).__name__} {self.name}: {self.caption()}, map {height} x {width}>"


def pictured(explanation: Explanation, frame: Frame) -> PicturedExplanation:
    """Returns an explanation that knows its image."""
    values = {of.name: getattr(explanation, of.name) for of in fields(Explanation)}
    return PicturedExplanation(**values, frame=frame)


@dataclass(frozen=True, repr=False)
class ImageResult(Pictured):
    """All explanations of one image; iterating over it gives them.

    Attributes:
        frame: the image.
        detections: every row that the detector gave, also those below the threshold.
        explanations: one per explained box, in the detector's order.
        seconds: wall time by step.
        views: what layers show whatever the boxes, with the method "activations"; there are no explanations then.
    """

    frame: Frame
    detections: tuple[Detection, ...]
    explanations: tuple[PicturedExplanation, ...]
    seconds: Mapping[str, float]
    views: tuple[LayerView, ...] = ()

    def __iter__(self) -> Iterator[PicturedExplanation]:
        return iter(self.explanations)

    def __len__(self) -> int:
        return len(self.explanations)

    def __getitem__(self, position: int) -> PicturedExplanation:
        return self.explanations[position]

    @property
    def highest_score(self) -> float | None:
        """The best score among all detections, None when there are none."""
        return max((detection.score for detection in self.detections), default=None)

    def picture(self, style: RenderStyle = DEFAULT_STYLE) -> np.ndarray:
        """Returns all boxes on one picture, or the panels of all levels below each other, uint8 [H, W, 3], RGB."""
        _check_scale(style)
        if self.views:
            return _stacked([draw_view(self.frame.image, view, style=style) for view in self.views])
        return draw_summary(self.frame.image, self.explanations, style=style)

    def caption(self) -> str:
        """Returns how many detections there are, and each box that was explained."""
        of = f" of {self.frame.path}" if self.frame.path is not None else ""
        if self.views:
            return f"{len(self.views)} levels{of}"
        boxes = "; ".join(f"{one.name} {one.detection.class_name} {one.detection.score:.3f}" for one in self)
        return f"{len(self.detections)} detections{of}, {len(self)} explained{': ' if boxes else ''}{boxes}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.caption()}>"


def _check_scale(style: RenderStyle) -> None:
    if style.normalize != "box":
        raise ConfigError(
            f"normalize={style.normalize!r} compares maps, and here each is shown by itself; take 'box', or the "
            "functions of ppdet_cam.render"
        )


def _stacked(pictures: list[np.ndarray]) -> np.ndarray:
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), mode="edge") for one in pictures])


def _figure(picture: np.ndarray, caption: str) -> str:
    """Returns HTML that needs nothing beside it."""
    scale = min(1.0, _SHOWN_PX / picture.shape[1])
    if scale < 1:
        size = round(picture.shape[1] * scale), max(1, round(picture.shape[0] * scale))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    data = base64.b64encode(encode_jpeg(picture, _QUALITY)).decode("ascii")
    words = html.escape(caption)
    return (
        f'<figure style="margin:0"><img src="data:image/jpeg;base64,{data}" alt="{words}" style="max-width:100%">'
        f"<figcaption>{words}</figcaption></figure>"
    )
