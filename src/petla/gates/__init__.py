"""Gates: what a candidate must show before it may go live, and the road from a plan to a verdict.

`judge.py` holds a version against its champion and its limits; `training.py` runs, packages, registers and judges;
`reproduce.py` rebuilds a version from its certificate.
"""
