"""ppdet gets stand-ins for what inference never uses; nobody else does, and they turn into the real modules."""

from __future__ import annotations

import builtins
import subprocess
import sys
from importlib.util import find_spec

import pytest
from support.places import ROOT

from ppdet_cam.detectors.stand_ins import NEVER_USED, StandIn, stand_ins

pytestmark = pytest.mark.smoke


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Returns a function that imports a module of given text, in a package `importer`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "importer").mkdir()
    (tmp_path / "importer" / "__init__.py").touch()

    def load(text: str):
        (tmp_path / "importer" / "part.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, "importer.part", raising=False)
        monkeypatch.delitem(sys.modules, "importer", raising=False)
        with stand_ins(["colorsys", "xml", "no_such_module"], importer="importer"):
            import importer.part as part
        return part

    return load


@pytest.fixture(autouse=True)
def not_imported(monkeypatch):
    """The modules that the tests let wait are not imported yet."""
    for name in [name for name in sys.modules if name == "colorsys" or name.partition(".")[0] == "xml"]:
        monkeypatch.delitem(sys.modules, name)


def test_stand_in_becomes_the_real_module_when_it_is_used(package):
    """Modules, names from modules and modules in packages wait, and are the real ones afterwards."""
    part = package(
        "import colorsys\nimport xml.dom.minidom as dom\nfrom xml.dom.minidom import parseString\n"
        "colorsys.rgb_to_hsv(1, 2, 3)  # what a module does while it is imported has no effect\n"
    )
    assert all(isinstance(found, StandIn) for found in (part.colorsys, part.dom, part.parseString))
    assert "colorsys" not in sys.modules and "xml.dom.minidom" not in sys.modules
    assert part.colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    assert part.parseString("<a/>").documentElement.tagName == "a"
    assert isinstance(part.dom.parseString("<a/>"), part.dom.Document)
    import colorsys

    assert not isinstance(colorsys, StandIn)


def test_missing_module_is_missing_only_when_it_is_used(package):
    """Classes may be derived from a stand-in whose module is not installed; using it says which one is missing."""
    part = package("import no_such_module.deep as deep\nfrom no_such_module import Base\nclass Own(Base): pass\n")
    assert part.Own.__bases__ == (object,)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        part.deep.anything()


def test_class_derives_from_the_real_class_where_there_is_one(package):
    """What ppdet derives from an installed module's class is that class's, so evaluation in the same process works."""
    part = package("from xml.dom.minidom import Document\nclass Own(Document): pass\n")
    assert part.Own.__mro__[1].__module__ == "xml.dom.minidom"


def test_only_the_importer_gets_stand_ins(package, monkeypatch):
    """Others import the real module meanwhile; one that is imported already is the importer's as well."""
    before = builtins.__import__
    with stand_ins(["colorsys"], importer="importer"):
        import colorsys

        assert not isinstance(colorsys, StandIn)
    assert builtins.__import__ is before
    assert package("import colorsys").colorsys is colorsys


def test_import_that_fails_leaves_nothing_behind(package):
    """Python's own import is back when the importer raises."""
    before = builtins.__import__
    with pytest.raises(ZeroDivisionError):
        package("1 / 0")
    assert builtins.__import__ is before


def test_ppdet_is_imported_without_what_it_never_uses():
    """With none of these modules installed ppdet is imported; none is in sys.modules, and a user's own import works."""
    # an older setuptools, which paddle imports, imports its own pkg_resources
    hidden = [name for name in NEVER_USED if name != "pkg_resources" or find_spec(name) is None]
    program = (
        "import sys\n"
        f"names = {hidden!r}\n"
        "class Missing:\n"
        "    hidden = True\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if self.hidden and name.partition('.')[0] in names: raise ModuleNotFoundError(name, name=name)\n"
        "missing = Missing()\n"
        "sys.meta_path.insert(0, missing)\n"
        "before = set(sys.modules)\n"
        "import ppdet_cam.detectors.detector\n"
        "print([name for name in set(sys.modules) - before if name.partition('.')[0] in names])\n"
        "missing.hidden = False\n"
        "import matplotlib\n"
        "print(type(matplotlib).__name__, bool(matplotlib.__version__))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert (done.stdout.splitlines(), done.stderr) == (["[]", "module True"], "")
