"""Mistyped names: the nearest of those that exist."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None if none is near.

    Example:
        >>> nearest("minimun", ["metric", "minimum"])
        'minimum'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest name, else the list of what exists."""
    listed = sorted(known)
    near = nearest(name, listed)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(listed)}" if listed else "there is none yet"
