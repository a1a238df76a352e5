"""Exported models: a folder -> what it says of itself, its inputs, its output. Nothing inside of it is looked at."""
