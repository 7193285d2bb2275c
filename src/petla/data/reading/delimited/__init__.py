"""CSV files: how each is written, what its columns hold, and its rows."""
