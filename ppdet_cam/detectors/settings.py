"""Settings: PaddleDetection's YAML configs and `-o` overrides as plain values; nothing is constructed.

PaddleDetection reads its configs with `yaml.Loader`, whose python tags run code. Here they are refused, and
the local tags of its own (`!COCODataSet {...}`) stay inert `Tagged` values.
"""
# os.path answers False where pathlib raises: a folder that may not be entered, a name too long or with a NUL in it.
# ruff: noqa: PTH110, PTH111, PTH112, PTH113

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ppdet_cam.errors import ConfigError
from ppdet_cam.registry import closest

BASE_KEY = "_BASE_"
CONFIG_SUFFIXES = (".yml", ".yaml")
MAX_NESTING = 64
MAX_NODES = 100_000  # with every alias written out; the largest file of PaddleDetection 2.6 has 453

_YAML_TAG = "tag:yaml.org,2002:"
_PYTHON_TAG = f"{_YAML_TAG}python/"
_FLOAT = re.compile(r"(?P<mantissa>[-+]?[0-9]+\.?[0-9]*)[eE](?P<exponent>[-+]?[0-9]+)")
_CALLABLE_TAG = "!Callable"  # ppdet/core/config/yaml_helpers.py: imports a module and calls what it finds there


@dataclass(frozen=True)
class Tagged:
    """A YAML value under a local tag, not constructed.

    Attributes:
        tag: the tag with its exclamation mark, such as "!COCODataSet".
        value: a dict, a list, or a str for a scalar.
    """

    tag: str
    value: object


def read_settings(path: Path) -> dict[str, object]:
    """Returns a config file merged over the files that its `_BASE_` names, as PaddleDetection merges them.

    The file wins over its bases, a later base over an earlier one. Mappings are merged, anything else
    (lists and tagged values too) is replaced. `filename` is the file's name without the suffix.

    Args:
        path: a .yml or .yaml file; `~` is expanded.

    Raises:
        ConfigError: a file is missing, is not a YAML mapping, is its own base, or holds a tag that runs code.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "base.yml").write_text("use_gpu: true\\nNMS: {top: 100, score: 0.5}")
        >>> _ = (folder / "child.yml").write_text("_BASE_: [base.yml]\\nNMS: {top: 10}")
        >>> read_settings(folder / "child.yml")
        {'use_gpu': True, 'NMS': {'top': 10, 'score': 0.5}, 'filename': 'child'}
    """
    path = Path(os.path.expanduser(path))
    _check_is_config_file(path)
    settings = _read_with_bases(path, ancestors=(), known={})
    _check_is_detector_config(settings, path)
    settings["filename"] = path.stem
    return settings


def read_mapping(path: Path) -> dict[str, object]:
    """Returns what a YAML file says, read as safely as a config but without bases: an export's deployment file.

    Raises:
        ConfigError: it cannot be read, is no YAML mapping, or holds a tag that runs code.
    """
    _check_is_config_file(path)
    return _read_file(path)


def _check_is_detector_config(settings: Mapping[str, object], path: Path) -> None:
    if "architecture" in settings:
        return
    if "Preprocess" in settings and ("arch" in settings or "label_list" in settings):
        raise ConfigError(
            f"config {path} is the deployment file of an exported model. Explain that by its output: --model_dir "
            f"{path.parent}. To look at its layers, give the config that it was exported from, and its weights with -o "
            "weights=<file>.pdparams"
        )
    if "slim" in settings:
        raise ConfigError(
            f"config {path} is a slim config: it changes a model (slim: {settings['slim']}) that another config names. "
            "Pruned, quantised and distilled models are not explained; give the config of the model as it was trained"
        )


def parse_overrides(items: Sequence[str]) -> dict[str, object]:
    """Returns `key=value` items as one nested mapping.

    A key's dots lead into nested mappings; the value is YAML. A later item wins over an earlier one with the
    same key, and items under one parent are all kept (PaddleDetection keeps only the last of
    `A.b.c=1 A.b.d=2`).

    Args:
        items: as given after `-o`.

    Raises:
        ConfigError: an item is not `key=value`, its value cannot be read, or two items contradict each other.

    Example:
        >>> parse_overrides(["use_gpu=false", "NMS.top=10", "NMS.score=0.5"])
        {'use_gpu': False, 'NMS': {'top': 10, 'score': 0.5}}
    """
    overrides: dict[str, object] = {}
    for item in items:
        keys, value = _split_override(item)
        _check_no_conflict(overrides, keys, value, item)
        nested: dict[str, object] = {keys[-1]: value}
        for key in reversed(keys[:-1]):
            nested = {key: nested}
        overrides = merge(overrides, nested)
    return overrides


def merge(base: Mapping[str, object], override: Mapping[str, object]) -> dict[str, object]:
    """Returns `override` laid over `base`, both left as they are.

    Mappings are merged at every depth. A mapping over a `Tagged` mapping is merged into its value and the tag
    stays; anything else replaces what was there.

    Args:
        base: the settings to start from.
        override: the settings that win.

    Raises:
        ConfigError: a mapping is laid over a list (`-o A.list.0=x`); a list can only be given whole.

    Example:
        >>> merge({"TestDataset": Tagged("!ImageFolder", {"anno_path": "a"})}, {"TestDataset": {"anno_path": "b"}})
        {'TestDataset': Tagged(tag='!ImageFolder', value={'anno_path': 'b'})}
    """
    return _merge_override(base, override, ())


# --- merging


def _merge_override(
    base: Mapping[str, object], override: Mapping[str, object], parents: tuple[str, ...]
) -> dict[str, object]:
    merged = {key: _copy(value) for key, value in base.items()}
    for key, value in override.items():
        merged[key] = _lay_over(base.get(key), value, (*parents, str(key)))
    return merged


def _lay_over(below: object, above: object, keys: tuple[str, ...]) -> object:
    if not isinstance(above, Mapping):
        return _copy(above)
    if isinstance(below, Mapping):
        return _merge_override(below, above, keys)
    if isinstance(below, Tagged) and isinstance(below.value, Mapping):
        return replace(below, value=_merge_override(below.value, above, keys))
    if isinstance(below, list):
        path = ".".join(keys)
        raise ConfigError(
            f"{path} is a list of {len(below)}, so {path}.{next(iter(above), '')} names nothing in it; "
            f"give the whole list: {path}=[...]"
        )
    return _copy(above)


def _inherit(base: Mapping[str, object], child: Mapping[str, object]) -> dict[str, object]:
    """Returns `child` over `base` as PaddleDetection's `dict_merge` does: only mappings are merged."""
    merged = dict(base)
    for key, value in child.items():
        below = merged.get(key)
        merged[key] = _inherit(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _copy(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, Tagged):
        return replace(value, value=_copy(value.value))
    return value


# --- files


def _read_with_bases(
    path: Path, *, ancestors: tuple[Path, ...], known: dict[Path, dict[str, object]]
) -> dict[str, object]:
    identity = path.resolve()
    if identity in ancestors:
        chain = " -> ".join(str(file) for file in (*ancestors[ancestors.index(identity) :], identity))
        raise ConfigError(f"config file {path} is its own base: {chain}; take one of these out of its {BASE_KEY}")
    if len(ancestors) >= MAX_NESTING:
        raise ConfigError(f"config file {path} is base number {len(ancestors)} in a row; at most {MAX_NESTING} may be")
    if identity in known:
        return known[identity]
    own = _read_file(path)
    merged: dict[str, object] = {}
    for base_path in _base_paths(own.pop(BASE_KEY, []), path):
        base = _read_with_bases(base_path, ancestors=(*ancestors, identity), known=known)
        merged = _inherit(merged, base)
    known[identity] = _inherit(merged, own)
    return known[identity]


def _base_paths(bases: object, path: Path) -> list[Path]:
    if not isinstance(bases, list) or not all(isinstance(base, str) and base for base in bases):
        raise ConfigError(
            f"config file {path}: {BASE_KEY} is {bases!r}; it must be a list of file names: {BASE_KEY}: [base.yml]"
        )
    paths = []
    for base in bases:
        base_path = path.parent / os.path.expanduser(base)
        if not os.path.isfile(base_path):
            kind = "a directory" if os.path.isdir(base_path) else "not there"
            raise ConfigError(
                f"config file {path} names the base {base!r}, which is {kind}: {base_path}{_closest_file(base_path)}"
            )
        paths.append(base_path)
    return paths


def _check_is_config_file(path: Path) -> None:
    suffixes = " or ".join(CONFIG_SUFFIXES)
    if os.path.isdir(path):
        held = _config_names(path)
        listing = f"it holds {', '.join(held[:5])}{', ...' if held[5:] else ''}" if held else "it holds none"
        raise ConfigError(f"config file {path} is a directory; name one {suffixes} file ({listing})")
    suffix_hint = "" if path.suffix in CONFIG_SUFFIXES else f"; a config's name ends in {suffixes}"
    if not os.path.exists(path):
        raise ConfigError(f"config file {path} does not exist{_closest_file(path)}{suffix_hint}")
    if suffix_hint:
        raise ConfigError(f"config file {path} is not a config{suffix_hint}")
    if not os.path.isfile(path):
        raise ConfigError(f"config file {path} is a device or pipe, which is not waited for; save the config to a file")


def _closest_file(path: Path) -> str:
    if not os.path.isdir(path.parent):
        return f"; there is no folder {path.parent} either"
    return closest(path.name, _config_names(path.parent))


def _config_names(folder: Path) -> list[str]:
    try:
        return sorted(child.name for child in folder.iterdir() if child.suffix in CONFIG_SUFFIXES)
    except OSError:
        return []  # only a hint: a folder that cannot be listed gives none


def _read_file(path: Path) -> dict[str, object]:
    origin = f"config file {path}"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{origin} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{origin} cannot be read: {error.strerror}") from error
    content = _parse_yaml(text, origin)
    if content is None:
        raise ConfigError(f"{origin} is empty; it must hold `key: value` lines")
    if not isinstance(content, dict):
        raise ConfigError(f"{origin} holds {_kind(content)}; it must hold `key: value` lines")
    for key in content:
        if not isinstance(key, str):
            raise ConfigError(f"{origin} has the key {key!r}, {_kind(key)}; the keys of a config are names")
    return content


def _kind(value: object) -> str:
    if isinstance(value, Tagged):
        return f"a value tagged {value.tag}"
    if isinstance(value, (list, str)):
        return "a list" if isinstance(value, list) else "a text"
    return f"the type {type(value).__name__}"


# --- overrides


def _split_override(item: str) -> tuple[list[str], object]:
    key, equals, text = item.strip().partition("=")
    if not equals:
        raise ConfigError(f"override {item!r} has no '='; write key=value, for example use_gpu=false")
    keys = [part.strip() for part in key.split(".")]
    if not all(keys):
        raise ConfigError(f"override {item!r} has an empty name before '='; write key=value or section.key=value")
    if keys[0] == BASE_KEY:
        raise ConfigError(f"override {item!r}: {BASE_KEY} works in a config file only; name another file with -c")
    value = _parse_yaml(text, f"override {item!r}")
    _check_is_no_broken_float(value, item)
    return keys, value


def _check_is_no_broken_float(value: object, item: str) -> None:
    """Raises ConfigError for 1e-3: YAML 1.1 wants a point and a signed exponent, else it gives a text."""
    match = _FLOAT.fullmatch(value) if isinstance(value, str) else None
    if match:
        mantissa, exponent = match["mantissa"], match["exponent"]
        mantissa += "" if "." in mantissa else ".0"
        exponent = exponent if exponent[0] in "+-" else f"+{exponent}"
        raise ConfigError(f"override {item!r}: YAML 1.1 reads {value} as a text; write {mantissa}e{exponent}")


def _check_no_conflict(overrides: Mapping[str, object], keys: Sequence[str], value: object, item: str) -> None:
    """Raises ConfigError when one item wants a value where another wants a section."""
    current: object = overrides
    for depth, key in enumerate(keys):
        current = current.value if isinstance(current, Tagged) else current
        if not isinstance(current, Mapping):
            held = f"{'.'.join(keys[:depth])}={current!r}"
            raise ConfigError(f"override {item!r} contradicts {held}, which is no section; give only one of them")
        if key not in current:
            return
        current = current[key]
    if isinstance(current, Mapping) and not isinstance(value, Mapping):
        held = ", ".join(f"{'.'.join(keys)}.{name}" for name in current)
        raise ConfigError(f"override {item!r} contradicts {held} given before it; give only one of them")


# --- YAML


class _InertLoader(yaml.SafeLoader):
    """YAML 1.1 as `yaml.Loader` resolves it, without its python objects; local tags give `Tagged`."""

    def __init__(self, text: str, origin: str) -> None:
        super().__init__(text)
        self.origin = origin
        self.nesting = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Returns the next node; the whole document passes here before anything of it is constructed."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # types-PyYAML leaves it bare
        origin = f"{self.origin}, line {_line(event)}"
        tag = getattr(event, "tag", None) or ""
        if tag.startswith(_PYTHON_TAG) or tag == _CALLABLE_TAG:
            raise ConfigError(
                f"{origin}: the tag {tag.replace(_YAML_TAG, '!!')} makes a Python object and can run code; "
                "it is never read. Write a plain value there"
            )
        if self.nesting >= MAX_NESTING:
            raise ConfigError(f"{origin}: nested more than {MAX_NESTING} deep")
        self.nesting += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.nesting -= 1

    def construct_tagged(self, _suffix: str, node: yaml.Node) -> Tagged:
        if isinstance(node, yaml.MappingNode):
            return Tagged(node.tag, self.construct_mapping(node, deep=True))
        if isinstance(node, yaml.SequenceNode):
            return Tagged(node.tag, self.construct_sequence(node, deep=True))
        return Tagged(node.tag, node.value)


_InertLoader.add_multi_constructor("!", _InertLoader.construct_tagged)


def _parse_yaml(text: str, origin: str) -> object:
    try:
        loader = _InertLoader(text, origin)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check_written_out(root, origin)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin} is not YAML: {_yaml_reason(error)}") from error
    except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError) as error:
        # PyYAML's constructors let these through for a scalar that does not fit its tag: `!!int x`, 2001-99-99.
        raise ConfigError(f"{origin} has a value that does not fit its type: {error}") from error


def _check_written_out(root: yaml.Node, origin: str) -> None:
    """Raises ConfigError when the document, with its aliases written out, is too large, too deep or endless."""
    sizes: dict[int, tuple[int, int]] = {}
    open_nodes: set[int] = set()

    def measure(node: yaml.Node) -> tuple[int, int]:
        if id(node) in sizes:
            return sizes[id(node)]
        line = _line(node)
        if id(node) in open_nodes:
            raise ConfigError(f"{origin}, line {line}: an anchored value holds an alias to itself")
        open_nodes.add(id(node))
        count, depth = 1, 0
        for child in _children(node):
            child_count, child_depth = measure(child)
            count, depth = count + child_count, max(depth, child_depth)
        if count > MAX_NODES or depth >= MAX_NESTING:
            raise ConfigError(
                f"{origin}, line {line}: with its aliases written out it has more than {MAX_NODES} values "
                f"or more than {MAX_NESTING} levels"
            )
        open_nodes.remove(id(node))
        sizes[id(node)] = count, depth + 1
        return sizes[id(node)]

    measure(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _line(marked: yaml.Event | yaml.Node) -> int:
    return marked.start_mark.line + 1 if marked.start_mark else 0


def _yaml_reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    parts = [getattr(error, part, None) for part in ("context", "problem", "reason")]
    reason = ", ".join(" ".join(str(part).split()) for part in parts if part)
    return f"{reason or error}{where}"
