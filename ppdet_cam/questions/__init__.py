"""What is asked of which boxes."""
