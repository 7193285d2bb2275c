"""Pętla takes a model from a notebook to a service, watches it there and retrains it: one loop.

The rooms follow the life of a model. Whoever reads them from `core` to `cli` reads that life from
birth to replacement; `bootstrap` is the one place that puts the parts together.
"""

__version__ = "0.1.0"
