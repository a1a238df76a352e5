"""Modules that ppdet imports when it is imported and inference never uses: they need not be installed, and they wait.

While ppdet is imported, its own import statements get a stand-in for these. Nobody else's do, and nothing of it is in
`sys.modules`: whoever imports one of them gets the real one. What ppdet kept of a stand-in becomes the real one when it
is used, for tracking or evaluation with ppdet in the same process, say.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

# pkg_resources: gone from setuptools 82. imgaug: fails where it is installed beside numpy 2. The others are large.
NEVER_USED = ("imgaug", "matplotlib", "mpl_toolkits", "pandas", "pkg_resources", "pycocotools", "shapely", "sklearn")


class Importing:
    """Whether ppdet is being imported now."""

    def __init__(self) -> None:
        self.is_going_on = True


class StandIn(ModuleType):
    """Stands for a module, or for something in one, by its dotted name; real as soon as it is used.

    Its attributes are stand-ins as well while ppdet is being imported, and the real ones afterwards.
    """

    _importing: Importing

    def __init__(self, name: str, importing: Importing) -> None:
        super().__init__(name)
        self.__dict__["_importing"] = importing

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # what Python itself asks of a module: __path__, __spec__, ...
            raise AttributeError(name)
        if self._importing.is_going_on:
            return StandIn(f"{self.__name__}.{name}", self._importing)
        return getattr(_real(self.__name__), name)

    def __call__(self, *arguments: object, **named: object) -> object:
        if self._importing.is_going_on:  # matplotlib.use("Agg") and the like, which would be wrong in a notebook
            return None
        return _real(self.__name__)(*arguments, **named)  # type: ignore[operator]

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, _real(self.__name__))  # type: ignore[arg-type]

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[object, ...]:
        try:
            return (_real(self.__name__),)
        except ImportError:
            return ()


@contextlib.contextmanager
def stand_ins(names: Sequence[str] = NEVER_USED, *, importer: str = "ppdet") -> Iterator[None]:
    """Gives one package's import statements stand-ins for some modules, while the context lasts.

    Args:
        names: the modules; one that is imported already is left alone.
        importer: the package.
    """
    # a namespace package, without a file, is no sign: matplotlib's .pth file makes one whenever Python starts
    waiting = frozenset(name for name in names if getattr(sys.modules.get(name), "__file__", None) is None)
    importing = Importing()
    before = builtins.__import__

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> object:
        top = name.partition(".")[0]
        asking = str((globals or {}).get("__name__", "")).partition(".")[0]
        if level == 0 and top in waiting and asking == importer:
            return StandIn(name if fromlist else top, importing)
        return before(name, globals, locals, fromlist or (), level)

    builtins.__import__ = import_  # type: ignore[assignment]
    try:
        yield
    finally:
        importing.is_going_on = False
        builtins.__import__ = before


def _real(dotted: str) -> object:
    """Returns a module, or something in one.

    Raises:
        ModuleNotFoundError: the module is not installed.
    """
    parts = dotted.split(".")
    found: object = importlib.import_module(parts[0])
    for position, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part) and isinstance(found, ModuleType):
            importlib.import_module(".".join(parts[:position]))
        found = getattr(found, part)
    return found
