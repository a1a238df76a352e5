"""How the settings of two runs differ, and what each difference touches."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ppdet_cam.report.reading import Run

NOT_SET = "–"


class Touches(enum.Enum):
    """What a setting decides."""

    MODEL = "the detector"
    MAPS = "the maps"
    BOXES = "which boxes there are"
    COLOURS = "the pictures only"
    UNKNOWN = "not known"


FLAGS_THAT_TOUCH: Mapping[str, Touches] = MappingProxyType(
    {
        "method": Touches.MAPS,
        "target_feature_layer_name": Touches.MAPS,
        "refine_by": Touches.MAPS,
        "channels": Touches.MAPS,
        "target": Touches.MAPS,
        "samples": Touches.MAPS,
        "seed": Touches.MAPS,
        "draw_threshold": Touches.BOXES,
        "slice_infer": Touches.BOXES,
        "top_k": Touches.BOXES,
        "classes": Touches.BOXES,
        "box_index": Touches.BOXES,
        "box": Touches.BOXES,
        "gt": Touches.BOXES,
        "colormap": Touches.COLOURS,
        "alpha": Touches.COLOURS,
        "mask": Touches.COLOURS,
        "normalize": Touches.COLOURS,
        "font": Touches.COLOURS,
        "scale": Touches.COLOURS,
    }
)
# They decide where is read and written, how finely maps are stored, and how fast. What `opt` changed is in the
# settings; the weights that it names are what is compared. `output_only` is said with the config.
FLAGS_THAT_TOUCH_NOTHING = frozenset(
    "batch_size cam_out frame_interval infer_dir infer_img infer_list model_dir opt output_only raw_dtype raw_frame "
    "raw_reduction recursive report lang save strict_images vdl_log_dir video_file".split()
)


@dataclass(frozen=True)
class Difference:
    """A setting that two runs do not share.

    Attributes:
        name: of the setting, a flag as it is written: "--method".
        a: its value in run A, as text; "–" where it was not set.
        b: in run B.
        touches: what it decides.
    """

    name: str
    a: str
    b: str
    touches: Touches


def differences(a: Run, b: Run) -> list[Difference]:
    """Returns how two runs differ in what they were asked, beside the weights; the most telling first.

    Flags that only say where is read and written, or how fast, are left out. Settings are in it when both runs had one
    config file, as someone changed them then; two config files may differ in hundreds.

    Args:
        a: run A.
        b: run B.
    """
    found = [*_model_differences(a, b), *_flag_differences(a.flags, b.flags)]
    if a.config == b.config:
        found += setting_differences(a, b)
    order = list(Touches)
    return sorted(found, key=lambda difference: order.index(difference.touches))


def setting_differences(a: Run, b: Run) -> list[Difference]:
    """Returns how the settings of the two configs differ, by their dotted keys.

    Args:
        a: run A.
        b: run B.

    Returns:
        None where one run is of an exported model: its deployment file has other keys than a config.
    """
    if (a.model_dir is None) != (b.model_dir is None):
        return []
    return [
        Difference(key, _shown(a.settings.get(key)), _shown(b.settings.get(key)), Touches.MODEL)
        for key in sorted({*a.settings, *b.settings})
        if a.settings.get(key) != b.settings.get(key)
    ]


def _model_differences(a: Run, b: Run) -> Iterator[Difference]:
    for name, one, other in (("architecture", a.architecture, b.architecture), ("config", _source(a), _source(b))):
        # an exporter has names of its own for architectures
        is_other_name = name == "architecture" and (a.model_dir is None) != (b.model_dir is None)
        if one != other and not is_other_name:
            yield Difference(name, one, other, Touches.MODEL)
    gone = [name for name in a.class_names if name not in b.class_names]
    come = [name for name in b.class_names if name not in a.class_names]
    if a.class_names and b.class_names and (gone or come):
        yield Difference("classes of one run only", _listed(gone), _listed(come), Touches.MODEL)


def _source(run: Run) -> str:
    if run.model_dir is not None:
        return f"{run.model_dir} (exported: the output only)"
    return f"{run.config} (the output only)" if run.is_of_output_only else run.config


def _flag_differences(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Difference]:
    for flag in sorted({*a, *b} - FLAGS_THAT_TOUCH_NOTHING):
        one, other = _shown(a.get(flag)), _shown(b.get(flag))
        if one != other:
            yield Difference(f"--{flag}", one, other, FLAGS_THAT_TOUCH.get(flag, Touches.UNKNOWN))


def _shown(value: str | None) -> str:
    """Returns a value as one would write it: a list with commas, nothing as a dash."""
    if value is None or value in ("null", "[]", ""):
        return NOT_SET
    try:
        items = json.loads(value)
    except ValueError:
        return value
    return ", ".join(map(str, items)) if isinstance(items, list) else value


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or NOT_SET
