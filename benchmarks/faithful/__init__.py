"""Which detectors and parts the faithfulness benchmark measures, and its tables."""
