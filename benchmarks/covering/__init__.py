"""The parts of benchmarks/coverage.py: which of PaddleDetection's configs are explained."""
