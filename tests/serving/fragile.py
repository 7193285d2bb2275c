"""A real Python model that does to its process what an amount says."""

import os
import sys
import threading

import cloudpickle
import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from petla.models.conversion.original import make_original
from petla.models.package import PYTHON_FILE, GoldenRow, store_package
from petla.storage.workspace import Workspace
from tests.deployments.tiny import make_package, register

DEADLY, RAISING, SLOW, NOTHING, GREEDY, LEISURELY = 666.0, 667.0, 668.0, 669.0, 670.0, 671.0
PROBABILITY = 0.75


class Fragile:
    """P(fraud) is 3/4 for everybody who does not break it."""

    classes_ = (False, True)

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def predict(self, table: pl.DataFrame) -> NDArray[np.bool_]:
        chosen: NDArray[np.bool_] = self.predict_proba(table)[:, 1] >= 0.5
        return chosen

    def predict_proba(self, table: pl.DataFrame) -> NDArray[np.float64]:
        amounts = set(table["amount"].to_list())
        if 666.0 in amounts:
            os.kill(os.getpid(), 9)
        if 667.0 in amounts:
            raise ArithmeticError("667 is too much")
        if 668.0 in amounts:
            threading.Event().wait(60)
        if 671.0 in amounts:
            threading.Event().wait(3)
        if 670.0 in amounts:
            self.kept.extend(bytes(64 << 20) for _ in range(64))
        positive = np.where(table["amount"].to_numpy() == 669.0, np.nan, 0.75)
        return np.stack([1 - positive, positive], axis=1)


def pickle_fragile() -> bytes:
    frame = pl.DataFrame({"amount": [1.0], "items": [1.0], "country": ["pl"]})
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        content: bytes = cloudpickle.dumps(make_original(Fragile(), frame, frame.columns))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    return content


def add_fragile_version(ws: Workspace) -> int:
    golden = (GoldenRow((2.5, 3, "de"), (1 - PROBABILITY, PROBABILITY)),)
    package = msgspec.structs.replace(make_package(), kind="python", golden=golden)
    return register(ws, package, store_package(ws, package, {PYTHON_FILE: pickle_fragile()}))
