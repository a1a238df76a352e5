#!/usr/bin/env python3
"""Says what a detector rests on, and what it cheats with, from the maps of a finished run. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam.commands.cam_insight import main  # noqa: E402  (needs the path above)

if __name__ == "__main__":
    sys.exit(main())
