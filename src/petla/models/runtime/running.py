"""One protocol for whatever runs a package."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from petla.core.errors import CorruptError
from petla.core.project import LimitTable
from petla.models.package import ONNX_FILE, PYTHON_FILE, Package, read_file
from petla.models.signature import Row
from petla.storage.objects import ObjectStore

# packaged and served on different processors, float32 answers differ in the last digits
GOLDEN_TOLERANCE = 1e-4


class Runtime(Protocol):
    """Scores rows with one package."""

    @property
    def is_fast(self) -> bool:
        """Whether a call takes microseconds and may run on an event loop."""
        ...

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Score rows, values in the order of the signature's inputs, null as None.

        Shapes: classification (n_rows, n_classes), rows sum to 1, columns in the order of the signature's classes;
        regression (n_rows,).

        Raises:
            ProcessLostError: the process that runs the model died or did not answer in time; the next call starts
                another.
            UnavailableError: no process can be started at the moment.
            UserCodeError: the model itself raised.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def open_runtime(
    package: Package, objects: ObjectStore, *, threads: int = 1, limits: LimitTable | None = None
) -> Runtime:
    """Open what runs a verified package.

    Args:
        package: from `load_package`, so its signature is known to be good.
        objects: where its files lie.
        threads: for one call; 1 is fastest for few rows.
        limits: of a Python package's process; None: the usual ones.

    Raises:
        NotFoundError: a file of the package is not in the store.
        CorruptError: a file of the package was altered.
        UnavailableError: the process that runs a Python model could not be started.
    """
    if package.kind == "onnx":
        from petla.models.runtime.onnx_session import OnnxRuntime

        return OnnxRuntime(read_file(objects, package, ONNX_FILE), package.signature, threads=threads)
    from petla.models.runtime.python_process import PythonRuntime

    limits = limits or LimitTable()
    content = read_file(objects, package, PYTHON_FILE)
    return PythonRuntime(
        content, timeout_s=limits.hang_s, memory_bytes=limits.memory_mib << 20, threads=limits.model_threads
    )


def check_golden(package: Package, runtime: Runtime) -> None:
    """Score the package's golden rows and compare the answers with those it was packaged with.

    Raises:
        CorruptError: an answer differs.
        UnavailableError, UserCodeError: as `Runtime.score`.
    """
    if not package.golden:
        return
    expected = np.array([golden.scores for golden in package.golden])
    scores = runtime.score([golden.row for golden in package.golden]).reshape(expected.shape)
    difference = np.abs(scores - expected) / np.maximum(1.0, np.abs(expected))
    if not difference.max() <= GOLDEN_TOLERANCE:  # also when it is NaN
        raise CorruptError(
            f"package of {package.model} answers its golden rows differently here (by up to {difference.max():.3g})",
            hint="compare the versions of onnxruntime or of the model's libraries with those in the certificate",
        )
