"""Whether what `-o` sets is read by anything: a name that nothing reads would change nothing, in silence."""

from __future__ import annotations

from collections.abc import Mapping

from ppdet_cam.detectors import compat  # noqa: F401  (first: repairs ppdet, and loads what paddle needs loaded before it)

from ppdet.core import workspace as ppdet_workspace  # isort: skip
from ppdet.core.config.schema import SchemaDict

from ppdet_cam.detectors.settings import Tagged
from ppdet_cam.detectors.workspace import TOOL_KEYS
from ppdet_cam.errors import ConfigError
from ppdet_cam.registry import closest

DATASET = "ImageFolder"  # what a data set is for inference, whatever its tag
# Readers, as some backbones, take any keyword and ignore it; these are the further ones that something reads.
OF_READERS = frozenset("inputs_def collate_batch fuse_normalize mixup_epoch cutmix_epoch use_process".split())


def check_overrides(overrides: Mapping[str, object], file_settings: Mapping[str, object]) -> None:
    """Checks every name that is set, at each depth where ppdet says which names there are.

    Args:
        overrides: as `parse_overrides` gives them.
        file_settings: of the config file.

    Raises:
        ConfigError: neither the config file nor ppdet has the name.
    """
    modules = ppdet_workspace.get_registered_modules()
    shared = {name for module in modules.values() for name in module.shared}
    known = {*file_settings, *modules, *shared, *TOOL_KEYS}
    for name, value in overrides.items():
        if name not in known:
            raise ConfigError(f"-o sets {name!r}, which nothing reads{closest(name, sorted(known))}")
        _check_section(name, name, value, file_settings.get(name), modules)


def _check_section(dotted: str, module: str, value: object, in_file: object, modules: Mapping[str, SchemaDict]) -> None:
    """Checks the names in one section, and in those below it that name their class."""
    if not isinstance(value, Mapping):
        return
    tag = in_file.tag.lstrip("!") if isinstance(in_file, Tagged) else None
    fields = in_file.value if isinstance(in_file, Tagged) else in_file
    fields = fields if isinstance(fields, Mapping) else {}
    allowed = _names_of(module, tag, modules)
    for key, below in value.items():
        if allowed is not None and key not in allowed and key not in fields:
            names = sorted({*allowed, *map(str, fields)})
            raise ConfigError(
                f"-o sets {dotted}.{key}, and {dotted} has no {key!r}{closest(str(key), names)}; it has "
                f"{', '.join(names)}"
            )
        inner = fields.get(key)
        inner_class = inner.get("name") if isinstance(inner, Mapping) else None
        if isinstance(inner_class, str):
            _check_section(f"{dotted}.{key}", inner_class, below, inner, modules)


def _names_of(module: str, tag: str | None, modules: Mapping[str, SchemaDict]) -> set[str] | None:
    """Returns the names that a section can hold, None where ppdet does not know it."""
    if module not in modules:
        return None
    names = {"name", *modules[module].schema}
    if module.endswith("Dataset"):
        known = (tag, DATASET) if tag in modules else (DATASET,)
        return names.union(*(modules[name].schema for name in known if name is not None))
    if module.endswith("Reader"):
        return names | OF_READERS
    return names
