#!/usr/bin/env python3
"""The smoke part of the tests in an environment of its own for each Python, and the table of docs/environments.md.

python tests/environments.py                 makes the environments in .venvs/, runs all legs, prints the table
python tests/environments.py py39 py313      only these
python tests/environments.py --newest        prints the newest supported interpreter there is
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ("3.13", "3.12", "3.11", "3.10", "3.9")
PADDLEDET = "paddledet==2.6.0"
TEST_PACKAGES = ("pytest>=8", "pytest-xdist>=3", "hypothesis>=6", "pycocotools>=2.0.6", "nbclient", "nbformat", "build")
SHOWN = ("numpy", "opencv-python-headless", "paddlepaddle", "scipy", "matplotlib")


@dataclass(frozen=True)
class Leg:
    """An environment.

    Attributes:
        name: folder in `.venvs/`.
        python: version of the interpreter.
        packages: that are not to be the newest.
        constraints: file of pins.
    """

    name: str
    python: str
    packages: tuple[str, ...] = ()
    constraints: str | None = None


LEGS = (
    Leg("py39", "3.9", constraints="tests/constraints_oldest.txt"),
    Leg("py310", "3.10", ("paddlepaddle==3.0.0",)),
    Leg("py310-paddle31", "3.10", ("paddlepaddle==3.1.1",)),
    Leg("py311", "3.11", ("paddlepaddle==2.6.2", "numpy<2", "opencv-python-headless<4.12")),
    Leg("py312", "3.12"),
    Leg("py312-paddle32", "3.12", ("paddlepaddle==3.2.2",)),
    Leg("py313", "3.13"),
)


def interpreter(version: str) -> str | None:
    """Returns an interpreter of this version, by its usual name or in pyenv's folder; None where there is none."""
    candidates = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)]
    return next((path for path in candidates if path and _is_version(path, version)), None)


def _is_version(path: str, version: str) -> bool:
    """Returns whether it runs and is of this version; pyenv's shims are there for versions that are switched off."""
    program = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", program], capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.strip() == version


def newest() -> str | None:
    """Returns the newest supported interpreter there is."""
    return next((found for found in map(interpreter, SUPPORTED) if found), None)


def install(leg: Leg, python: str) -> Path:
    """Makes a leg's environment, or brings it up to date, and returns its interpreter."""
    folder = ROOT / ".venvs" / leg.name
    own = folder / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [shutil.which("uv") or "", "pip", "install", "--quiet", "--python", str(own)]
    if not pip[0]:
        pip = [str(own), "-m", "pip", "install", "--quiet"]
    pins = ["-c", leg.constraints] if leg.constraints else []
    subprocess.run([*pip, *pins, *leg.packages, "-e", ".[cpu]", *TEST_PACKAGES], check=True, cwd=ROOT)
    subprocess.run([*pip, "--no-deps", PADDLEDET], check=True, cwd=ROOT)
    return own


def smoke(python: Path) -> bool:
    """Runs the smoke part; what it says goes to stderr."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(python), "-m", "pytest", "-m", "smoke", "-n", "2"], cwd=ROOT, env=environment, stdout=sys.stderr
    )
    return done.returncode == 0


def versions(python: Path) -> dict[str, str]:
    """Returns package -> version, and "python"."""
    program = (
        "import json, platform, sys; from importlib import metadata; "
        "found = {name: metadata.version(name) for name in sys.argv[1:]}; "
        "print(json.dumps({'python': platform.python_version(), **found}))"
    )
    done = subprocess.run([str(python), "-c", program, *SHOWN], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main() -> int:
    """Runs the legs and prints the table; 1 when the tests of one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"which of {', '.join(leg.name for leg in LEGS)}; all")
    parser.add_argument("--newest", action="store_true", help="print the newest supported interpreter, and stop")
    options = parser.parse_args()
    if options.newest:
        found = newest()
        print(found or "")
        return 0 if found else 1
    unknown = set(options.legs) - {leg.name for leg in LEGS}
    if unknown:
        parser.error(f"unknown legs: {', '.join(sorted(unknown))}")
    rows, failed = [], False
    for leg in LEGS:
        if options.legs and leg.name not in options.legs:
            continue
        python = interpreter(leg.python)
        if python is None:
            print(f"SKIPPED {leg.name}: there is no Python {leg.python}, by name or in pyenv's folder", file=sys.stderr)
            rows.append([leg.python, *["" for _ in SHOWN], "skipped: no interpreter"])
            continue
        print(f"--- {leg.name}: {python}", file=sys.stderr)
        own = install(leg, python)
        passed = smoke(own)
        failed |= not passed
        there = versions(own)
        rows.append([there["python"], *(there[name] for name in SHOWN), "passed" if passed else "FAILED"])
    print_table(rows)
    return int(failed)


def print_table(rows: list[list[str]]) -> None:
    """Prints Markdown."""
    names = ["Python", *SHOWN, "smoke part"]
    for row in [names, ["---"] * len(names), *rows]:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    sys.exit(main())
