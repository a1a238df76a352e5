"""Installs ppdet_cam beside the paddle, ppdet and OpenCV that are there; tool settings are in pyproject.toml."""

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
    python_requires=">=3.9",
    packages=[
        "ppdet_cam",
        "ppdet_cam.commands",
        "ppdet_cam.compare",
        "ppdet_cam.detectors",
        "ppdet_cam.detectors.deployed",
        "ppdet_cam.detectors.families",
        "ppdet_cam.evaluation",
        "ppdet_cam.explaining",
        "ppdet_cam.images",
        "ppdet_cam.insight",
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
        "ppdet_cam.insight": ["templates/*.html", "templates/*.css", "templates/*.js"],
        "ppdet_cam.report": ["templates/*.html", "templates/*.css", "templates/*.js", "templates/*.json"],
    },
    # paddle, ppdet and OpenCV are not among them: they are the user's own, in builds that pip cannot tell apart
    # (CPU or GPU, headless or not, installed or a checkout), and are not to be changed. docs/environments.md.
    install_requires=[
        "numpy>=1.22",
        "matplotlib>=3.5",
        "pyyaml>=6.0",
        "requests>=2.28",
        "pillow>=10.1",
        "scipy>=1.9",
        "scikit-learn>=1.1",  # cam_insight groups maps with it
        "tqdm>=4.60",
        "jinja2>=3.0",
        "six>=1.15",  # ppdet needs it
        "setuptools",  # paddle imports it, and asks for it on Python 3.12 and newer only
    ],
    extras_require={
        # Not paddledet: its own bounds (numpy<1.24) would come with it. pip install --no-deps paddledet==2.6.0
        "cpu": ["paddlepaddle>=2.6.2,<3.4", "opencv-python-headless>=4.5.5.64"],
        "onnx": ["onnxruntime>=1.15"],  # --model_dir with an .onnx file
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "pycocotools>=2.0.6",  # demo/evaluate.py
            "nbclient>=0.10",
            "ipykernel>=6.29",
            "playwright>=1.40",
            "ruff>=0.8",
            "mypy>=1.11",
            "import-linter>=2",
            "typing_extensions>=4.7",
            "build>=1",
            "types-PyYAML",
            "types-requests",
            "types-tqdm",
        ],
    },
    entry_points={
        "console_scripts": [
            "cam_ppdet = ppdet_cam.commands.cam_ppdet:main",
            "cam_report = ppdet_cam.commands.cam_report:main",
            "cam_compare = ppdet_cam.commands.cam_compare:main",
            "cam_eval = ppdet_cam.commands.cam_eval:main",
            "cam_insight = ppdet_cam.commands.cam_insight:main",
        ]
    },
)
