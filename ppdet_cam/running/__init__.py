"""One run: read, explain, draw, enter."""
