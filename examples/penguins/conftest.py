"""Lets the tests import `pipeline` from the project's own folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
