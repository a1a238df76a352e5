"""The files of an evaluation, in its folder."""

MEASUREMENTS_FILE = "measurements.jsonl"  # a line per image, as soon as it is measured
TABLE_FILE = "eval.md"
PAGE_FILE = "report.html"
EVAL_FILE = "eval.json"  # written last
PARTIAL_FILE = "eval.partial.json"  # what the evaluation is, until that is there
OWN_FILES = (EVAL_FILE, TABLE_FILE, PAGE_FILE, MEASUREMENTS_FILE, PARTIAL_FILE)
