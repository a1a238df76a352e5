"""Which ppdet is used: the installed one, or that of a PaddleDetection checkout that somebody named.

A folder is named by `--ppdet`, by the environment variable PPDET_CAM_PPDET, or by PYTHONPATH. The current folder and a
script's own are on Python's path without anybody having named them, so nothing is imported from there.
"""

from __future__ import annotations

import logging
import os
import re
import site
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ppdet_cam.errors import ConfigError, MissingPackageError

log = logging.getLogger(__name__)

FLAG = "--ppdet"
ENVIRONMENT = "PPDET_CAM_PPDET"
OLDEST = "2.6.0"
TRIED = "2.6.0, 2.7.0 and the develop branch"

_ARCHITECTURES = Path("modeling", "architectures")
_NEW_IN_OLDEST = _ARCHITECTURES / "ppyoloe.py"  # checkouts say no version, or a wrong one, so a file has to tell
_HASH = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class PpdetSource:
    """The ppdet that is used.

    Attributes:
        folder: that holds the package.
        version: of the installed distribution, None for a checkout.
        tag: of the checkout's commit, None where there is none or it is not known.
        commit: of the checkout, None where it is not known.
    """

    folder: Path
    version: str | None = None
    tag: str | None = None
    commit: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return self.version
        revision = [f"{kind} {name}" for kind, name in (("tag", self.tag), ("commit", self.commit)) if name]
        return f"{self.folder} ({', '.join(revision)})" if revision else str(self.folder)


def choose(folder: Path | None) -> None:
    """Makes the ppdet of a checkout the one that is imported; None changes nothing.

    Raises:
        ConfigError: it is no PaddleDetection, too old, or another ppdet is imported already.
    """
    if folder is None:
        return
    check(folder)
    loaded = sys.modules.get("ppdet")
    if loaded is not None and _package_of(loaded.__spec__) != folder.resolve() / "ppdet":
        raise ConfigError(
            f"{FLAG} {folder}: this process has imported another ppdet already, from "
            f"{_package_of(loaded.__spec__)}. Start a new one, with {ENVIRONMENT}={folder}"
        )
    os.environ[ENVIRONMENT] = str(folder.resolve())


def check(folder: Path) -> None:
    """Checks that a folder is a PaddleDetection checkout that is new enough.

    Raises:
        ConfigError: it is not.
    """
    what = f"{FLAG} (or {ENVIRONMENT}) {folder}"
    if not os.path.isdir(folder):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
        raise ConfigError(
            f"{what}: there is no such folder. Give that of a PaddleDetection checkout, which holds ppdet/"
        )
    if not is_checkout(folder):
        near = next((place for place in (folder.resolve().parent, *_subfolders(folder)) if is_checkout(place)), None)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(
            f"{what} is no PaddleDetection: there is no ppdet/{_ARCHITECTURES} in it{hint}. Give the folder of a "
            f"checkout, of {TRIED}"
        )
    _check_age(folder / "ppdet", None)


def is_checkout(folder: Path) -> bool:
    """Returns whether a folder holds ppdet's code."""
    return (folder / "ppdet" / "__init__.py").is_file() and (folder / "ppdet" / _ARCHITECTURES).is_dir()


def find_ppdet() -> ModuleSpec:
    """Returns where to import ppdet from.

    Raises:
        ConfigError: the named folder is no PaddleDetection, or what is there is too old.
        MissingPackageError: there is no ppdet, but for one that nobody named perhaps.
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        check(Path(named))
        spec = PathFinder.find_spec("ppdet", [str(Path(named).resolve())])
    else:
        spec = _on_path()
        _tell_of_current_folder(spec)
    if spec is None or spec.origin is None:
        raise _missing()
    _check_age(_package_of(spec), source_of(spec).version)
    return spec


def source_of(spec: ModuleSpec | None) -> PpdetSource:
    """Returns what is known of a ppdet."""
    package = _package_of(spec)
    for found in metadata.distributions(name="paddledet"):
        if Path(str(found.locate_file("ppdet"))).resolve() == package:
            return PpdetSource(package.parent, found.version)
    return PpdetSource(package.parent, None, *revision_of(package.parent))


def _package_of(spec: ModuleSpec | None) -> Path:
    return Path(str(spec and spec.origin)).resolve().parent


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(place for place in folder.iterdir() if place.is_dir())
    except OSError:
        return []  # only a hint: a folder that cannot be listed gives none


def _check_age(package: Path, version: str | None) -> None:
    if not (package / _NEW_IN_OLDEST).is_file():
        what = f"paddledet {version} in {package.parent}" if version else f"the PaddleDetection in {package.parent}"
        raise ConfigError(
            f"{what} is older than {OLDEST}: it has no ppdet/{_NEW_IN_OLDEST}. It works with {TRIED}: "
            f"pip install --no-deps paddledet=={OLDEST}, or check out a newer one and give it with {FLAG} FOLDER"
        )


def _missing() -> MissingPackageError:
    here = f" The current folder is one: {FLAG} ." if is_checkout(Path.cwd()) else ""
    return MissingPackageError(
        f"ppdet is missing. Install it: pip install --no-deps paddledet=={OLDEST} (with its dependencies, pip would "
        "replace numpy and OpenCV)\n"
        f"or name a PaddleDetection checkout: {FLAG} FOLDER, or {ENVIRONMENT}=FOLDER.{here}"
    )


def _tell_of_current_folder(spec: ModuleSpec | None) -> None:
    here = Path.cwd()
    if spec is not None and is_checkout(here) and _package_of(spec) != here.resolve() / "ppdet":
        log.info(
            "the current folder is a PaddleDetection checkout that is not used: ppdet is %s, from %s. To use the "
            "checkout: %s .",
            source_of(spec),
            _package_of(spec).parent,
            FLAG,
        )


# --- Python's path


def _on_path() -> ModuleSpec | None:
    """Returns what `import ppdet` would find, if the folders that nobody named were not on the path."""
    for finder in sys.meta_path:
        path = _named_folders() if finder is PathFinder else None
        spec = finder.find_spec("ppdet", path) if hasattr(finder, "find_spec") else None
        if spec is not None and spec.origin is not None:
            return spec
    return None


def _named_folders() -> list[str]:
    unnamed = {Path.cwd(), _script_folder()}
    named = set(_named_by_user())
    return [entry for entry in sys.path if _place(entry) in named or _place(entry) not in unnamed]


def _named_by_user() -> Iterator[Path]:
    """Yields PYTHONPATH's folders, those that packages are installed into, and those that .pth files name there."""
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if entry:
            yield _place(entry)
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()]
    for folder in {Path(place) for place in installed}:
        yield folder.resolve()
        for file in folder.glob("*.pth") if folder.is_dir() else ():
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from (_place(folder / line.strip()) for line in lines if line.strip() and "import" not in line)


def _script_folder() -> Path | None:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return None if file is None else Path(file).resolve().parent


def _place(entry: str | Path) -> Path:
    return Path(entry).resolve()


# --- git, read from its files: running git in a folder runs what that folder's settings say


def revision_of(folder: Path) -> tuple[str | None, str | None]:
    """Returns tag and commit of a git checkout, None for what is not known."""
    try:
        own, common = _git_folders(folder)
        commit = _commit(own, common)
        tags = sorted(name for name, tagged in _tags(common) if tagged == commit)
    except (OSError, ValueError, zlib.error):
        return None, None
    return (tags[-1] if tags else None), commit


def _git_folders(folder: Path) -> tuple[Path, Path]:
    own = folder / ".git"
    if own.is_file():  # a worktree or a submodule
        own = folder / own.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
    shared = own / "commondir"
    return own, (own / shared.read_text(encoding="utf-8").strip() if shared.is_file() else own)


def _commit(own: Path, common: Path) -> str:
    head = (own / "HEAD").read_text(encoding="utf-8").strip()
    reference = head.partition("ref:")[2].strip()
    if not reference:
        found = head
    elif (common / reference).is_file():
        found = (common / reference).read_text(encoding="utf-8").strip()
    else:
        found = dict(_packed(common)).get(reference, "")
    if not _HASH.fullmatch(found):
        raise ValueError(f"no commit in {own}")
    return found


def _packed(common: Path) -> Iterator[tuple[str, str]]:
    """Yields (reference, hash); of an annotated tag, the commit's hash comes last."""
    packed, name = common / "packed-refs", ""
    for line in packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else ():
        if line.startswith("^"):
            yield name, line[1:]
        elif not line.startswith("#"):
            found, _, name = line.partition(" ")
            yield name, found


def _tags(common: Path) -> Iterator[tuple[str, str]]:
    prefix = "refs/tags/"
    for name, found in _packed(common):
        if name.startswith(prefix):
            yield name[len(prefix) :], found
    folder = common / prefix
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if file.is_file():
            found = file.read_text(encoding="utf-8").strip()
            yield str(file.relative_to(folder)), _tagged_commit(common, found)


def _tagged_commit(common: Path, found: str) -> str:
    """Returns the commit that an annotated tag is for; a commit's hash as it is."""
    stored = common / "objects" / found[:2] / found[2:]
    text = zlib.decompress(stored.read_bytes()) if stored.is_file() else b""
    match = re.match(rb"tag \d+\0object ([0-9a-f]{40})", text)
    return match[1].decode("ascii") if match else found
