"""Versions beside the champion: shadows, canaries and experiments, from their beginning to their end."""
