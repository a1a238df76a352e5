"""Programs that measure ppdet_cam; each file beside this one is run by itself."""
