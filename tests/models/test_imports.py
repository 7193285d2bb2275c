"""What the data plane loads of models needs neither the database nor what trains."""

import subprocess
import sys

LIGHT = [
    "petla.models.package",
    "petla.models.runtime.decide",
    "petla.models.runtime.running",
    "petla.models.runtime.onnx_session",
    "petla.models.runtime.python_process",
]
HEAVY = ["sqlalchemy", "polars", "pandas", "sklearn", "skl2onnx", "onnx", "petla.storage.database"]


def test_serving_a_package_needs_no_database_and_no_training_library() -> None:
    program = f"import sys, {', '.join(LIGHT)}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
