"""The four commands: flags and terminal -> a call."""
