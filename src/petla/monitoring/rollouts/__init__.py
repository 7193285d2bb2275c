"""Versions that run beside the champion: counts, intervals that hold at any time, and the comparison."""
