"""How versions come to be: from a path to the store, to a row, and how two of them differ."""
