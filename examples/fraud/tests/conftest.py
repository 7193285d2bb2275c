"""Lets the tests import the modules that lie beside this folder, however pytest was started."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
