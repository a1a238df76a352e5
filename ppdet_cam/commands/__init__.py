"""The four commands: flags and terminal -> a call."""

from __future__ import annotations

import sys

from ppdet_cam.errors import PpdetCamError
from ppdet_cam.opencv import check_opencv

try:
    check_opencv()  # here, as the commands' modules import rooms that need it before they can tell of an error
except PpdetCamError as error:
    print(f"ppdet_cam: error: {error}", file=sys.stderr)
    raise SystemExit(2) from error
