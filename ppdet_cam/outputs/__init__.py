"""What a run's folder holds, whole or not there."""
