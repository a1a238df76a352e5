"""Which family a config's architecture and a model's head belong to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from paddle import nn

from ppdet_cam.detectors.families.base import Extractor, families, family_name
from ppdet_cam.errors import ConfigError, UnknownNameError
from ppdet_cam.registry import closest

log = logging.getLogger(__name__)


def architecture_of(settings: Mapping[str, object]) -> str:
    architecture = settings.get("architecture")
    if not isinstance(architecture, str):
        raise ConfigError(
            f"config {settings.get('filename')!r} names no architecture, so there is nothing to build. "
            f"Supported: {', '.join(families.names())}"
        )
    return architecture


def known_heads(architecture: str) -> list[type[Extractor]]:
    """Returns the extractors for an architecture's heads.

    Raises:
        UnknownNameError: there is none.
    """
    known = [name for name in families.names() if name.startswith(f"{architecture} (")]
    if not known:
        supported = families.names()
        raise UnknownNameError(
            f"architecture {architecture!r} is not supported{closest(architecture, supported)}. "
            f"Supported: {', '.join(supported)}"
        )
    return [families.get(name) for name in known]


def extractor_type(model: nn.Layer, architecture: str, known: Sequence[type[Extractor]]) -> type[Extractor]:
    """Returns the extractor for the head that the model really has, or for the closest known parent of its class.

    A post-processing that is registered itself comes first: it makes other boxes of the same head.
    """
    heads = [head for head in (getattr(model, extractor.head_name, None) for extractor in known) if head is not None]
    for part in [getattr(model, "post_process", None), *heads]:
        for kind in type(part).__mro__:
            if family_name(architecture, kind.__name__) in families.names():
                if kind is not type(part):
                    log.info(f"{type(part).__name__} is explained as the {kind.__name__} that it derives from")
                return families.get(family_name(architecture, kind.__name__))
    there = ", ".join(dict.fromkeys(type(head).__name__ for head in heads)) or "NoneType"
    raise UnknownNameError(
        f"{architecture} with head {there} is not supported. Supported: {', '.join(families.names())}"
    )
