"""Runs the command as `python -m petla`."""

import sys

from petla.bootstrap import main

if __name__ == "__main__":
    sys.exit(main())
