"""Files and arrays -> `Frame`; which images."""
