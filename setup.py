"""Installs ppdet_cam with the versions that work together; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "ppdet_cam/__init__.py").read_text(encoding="utf-8")).group(1)


def data_folders():
    """Maps the folders of `configs/` and `demo/` into the installed package, so that documented paths work there."""
    folders = [folder for top in ("configs", "demo") for folder in [HERE / top, *sorted((HERE / top).rglob("*"))]]
    return {
        "ppdet_cam." + ".".join(folder.relative_to(HERE).parts): str(folder.relative_to(HERE))
        for folder in folders
        if folder.is_dir() and folder.name != "__pycache__"
    }


FOLDERS = data_folders()

setup(
    name="ppdet_cam",
    version=VERSION,
    description="Class activation maps for the boxes of PaddleDetection detectors",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.12",  # numpy<1.24, which paddledet 2.6.0 asks for, has no wheels for Python 3.12
    packages=[
        "ppdet_cam",
        "ppdet_cam.commands",
        "ppdet_cam.compare",
        "ppdet_cam.detectors",
        "ppdet_cam.detectors.families",
        "ppdet_cam.evaluation",
        "ppdet_cam.explaining",
        "ppdet_cam.images",
        "ppdet_cam.methods",
        "ppdet_cam.metrics",
        "ppdet_cam.outputs",
        "ppdet_cam.questions",
        "ppdet_cam.render",
        "ppdet_cam.report",
        "ppdet_cam.running",
        *FOLDERS,
    ],
    package_dir={"ppdet_cam": "ppdet_cam", **FOLDERS},
    package_data={
        "": ["*.yml", "*.jpg", "README.md", "py.typed"],
        "ppdet_cam.compare": ["templates/*.html", "templates/*.css", "templates/*.js"],
        "ppdet_cam.evaluation": ["templates/*.html", "templates/*.css"],
        "ppdet_cam.report": ["templates/*.html", "templates/*.css", "templates/*.js"],
    },
    install_requires=[
        "paddlepaddle>=2.6.2,<3.4",  # tested on 2.6.2 and 3.3.1
        "paddledet==2.6.0",
        "scikit-learn>=1.3,<1.8",  # paddledet imports it, but asks for `sklearn`, which installs nothing
        "numpy>=1.22,<1.24",  # paddledet's own bound; opencv-python below is built for numpy 1
        "opencv-python==4.5.5.64",  # paddledet allows up to 4.6.0; this one works with numpy 1.23 on Python 3.11
        "pyyaml>=6.0",
        "requests>=2.28",
        "pillow>=10.1",
        "scipy>=1.9",
        "tqdm>=4.60",
        "jinja2>=3.0",
    ],
    extras_require={
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "import-linter>=2.1",
            "typing_extensions>=4.7",
            "hypothesis>=6",
            "nbclient>=0.10",
            "ipykernel>=6.29",
            "playwright>=1.40",
            "ruff>=0.8",
            "mypy>=1.11",
            "types-PyYAML",
            "types-requests",
            "types-tqdm",
        ]
    },
    entry_points={
        "console_scripts": [
            "cam_ppdet = ppdet_cam.commands.cam_ppdet:main",
            "cam_report = ppdet_cam.commands.cam_report:main",
            "cam_compare = ppdet_cam.commands.cam_compare:main",
            "cam_eval = ppdet_cam.commands.cam_eval:main",
        ]
    },
)
