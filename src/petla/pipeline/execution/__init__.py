"""Runs the planned steps: the project's own code, its inputs, and what to do when it fails."""
