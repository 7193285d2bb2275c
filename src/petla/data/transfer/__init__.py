"""Pushing versions to remotes and pulling them from there.

Hands out: `remotes` (which there are, and which is meant), `pushing.push`, `pulling.pull`.
"""
