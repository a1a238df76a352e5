"""Which family a config's architecture and a model's head belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paddle import nn

from ppdet_cam.detectors.families.base import Extractor, families, family_name
from ppdet_cam.errors import ConfigError, UnknownNameError
from ppdet_cam.registry import closest


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
    """Returns the extractor for the head that the model really has."""
    for extractor in known:
        head_type = type(getattr(model, extractor.head_name, None)).__name__
        if family_name(architecture, head_type) in families.names():
            return families.get(family_name(architecture, head_type))
    raise UnknownNameError(
        f"{architecture} with head {head_type} is not supported. Supported: {', '.join(families.names())}"
    )
