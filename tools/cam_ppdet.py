#!/usr/bin/env python3
"""Shows why a PaddleDetection detector drew each of its boxes. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppdet_cam.commands.cam_ppdet import main  # noqa: E402  (needs the path above)

if __name__ == "__main__":
    sys.exit(main())
