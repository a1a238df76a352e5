"""A detector's candidate -> its map."""
