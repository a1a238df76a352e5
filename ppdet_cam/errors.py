"""Every error that ppdet_cam raises on purpose.

    PpdetCamError
    ├── ConfigError        (ValueError)    a config file, an override or a flag
    ├── ImageError         (ValueError)    an image file or array
    ├── WeightsError       (ValueError)    a weights file or URL, or weights that do not fit
    ├── LayerError         (LookupError)   a layer that is not there, or whose output is no feature map
    ├── UnknownNameError   (LookupError)   a name that no registry knows (architecture, method, ...)
    ├── GeometryError      (ValueError)    a reader whose effect on pixel positions is not known
    ├── ScoreMismatchError (RuntimeError)  the row found before NMS does not carry the printed score
    ├── OutputError        (OSError)       a folder or file that cannot be written
    └── MissingPackageError (ImportError)  paddle, ppdet or OpenCV, which are the user's own, is not there

The command line prints the message of each on one line, that of MissingPackageError on its two, and exits with 2.
"""

from __future__ import annotations


class PpdetCamError(Exception):
    """Base of all errors that tell the user what was wrong and what to do."""


class ConfigError(PpdetCamError, ValueError):
    """A config file, an override or a flag that cannot be used."""


class ImageError(PpdetCamError, ValueError):
    """A file or array that is not an image."""


class WeightsError(PpdetCamError, ValueError):
    """Weights that are not there, not safe to read, or do not fit the config."""


class LayerError(PpdetCamError, LookupError):
    """A layer path that names no layer, or a layer without a feature map."""


class UnknownNameError(PpdetCamError, LookupError):
    """A name that is not registered."""


class GeometryError(PpdetCamError, ValueError):
    """A reader operation whose effect on pixel positions is not known."""


class ScoreMismatchError(PpdetCamError, RuntimeError):
    """The score found before NMS is not the score that the detector printed."""


class OutputError(PpdetCamError, OSError):
    """An output folder or file that cannot be written."""


class MissingPackageError(PpdetCamError, ImportError):
    """A package that is the user's to choose is not installed; how to get it is said on a line for each way."""
