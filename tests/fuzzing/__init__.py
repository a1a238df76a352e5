"""Random inputs for the command line, and what has to hold whatever they are: `python tests/fuzz.py --help`."""
