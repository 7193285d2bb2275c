"""Both runtimes give the same answers, and a Python model that dies takes nobody with it."""

import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest

from petla.core.errors import CorruptError, UnavailableError, UserCodeError
from petla.data.profile.columns import Kind
from petla.models.conversion.original import Original, make_original, make_table
from petla.models.package import Package, load_package
from petla.models.runtime.frames import wait_for_frame
from petla.models.runtime.onnx_session import OnnxRuntime
from petla.models.runtime.python_process import PythonRuntime
from petla.models.runtime.running import Runtime, check_golden, open_runtime
from petla.models.signature import InputField, Row, Signature
from petla.storage.workspace import Workspace
from tests.models.examples import make_rows, open_workspace, package, train, train_unconvertible

ROW: Row = (1000.0, 12, 7.5, False, "AA", "JFK")


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module", params=["onnx", "python"])
def opened(request: pytest.FixtureRequest, ws: Workspace) -> Iterator[tuple[Package, Runtime]]:
    packaged = package(ws, train() if request.param == "onnx" else train_unconvertible())
    loaded = load_package(ws.objects, ws.keys, packaged.digest)
    runtime = open_runtime(loaded, ws.objects)
    yield loaded, runtime
    runtime.close()


class TestRuntime:
    """What holds for every runtime."""

    def test_scores_are_probabilities(self, opened: tuple[Package, Runtime]) -> None:
        scores = opened[1].score([ROW, ROW, ROW])

        assert scores.shape == (3, 2)
        assert scores.dtype == np.float64
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)

    def test_rows_do_not_know_of_each_other(self, opened: tuple[Package, Runtime]) -> None:
        _, runtime = opened
        rows = [golden.row for golden in opened[0].golden]

        together = runtime.score(rows)

        np.testing.assert_allclose(np.concatenate([runtime.score([row]) for row in rows]), together, atol=1e-6)

    def test_missing_value_is_null(self, opened: tuple[Package, Runtime]) -> None:
        assert np.isfinite(opened[1].score([(*ROW[:2], None, *ROW[3:])])).all()

    def test_huge_whole_number_is_answered(self, opened: tuple[Package, Runtime]) -> None:
        assert np.isfinite(opened[1].score([(1000.0, 10**30, 7.5, False, "AA", "JFK")])).all()

    def test_golden_rows_hold(self, opened: tuple[Package, Runtime]) -> None:
        check_golden(*opened)

    def test_other_golden_scores_are_refused(self, opened: tuple[Package, Runtime]) -> None:
        first = opened[0].golden[0]
        altered = msgspec.structs.replace(first, scores=tuple(1 - score for score in first.scores))

        with pytest.raises(CorruptError, match="golden rows differently"):
            check_golden(msgspec.structs.replace(opened[0], golden=(altered,)), opened[1])


def test_only_onnx_may_run_on_an_event_loop() -> None:
    assert OnnxRuntime.is_fast
    assert not PythonRuntime.is_fast


def test_whole_number_beyond_every_float_is_infinite(ws: Workspace) -> None:
    loaded = load_package(ws.objects, ws.keys, package(ws, train()).digest)
    runtime = open_runtime(loaded, ws.objects)

    huge, large = (runtime.score([(1000.0, hour, 7.5, False, "AA", "JFK")]) for hour in (10**400, 10**30))

    assert huge.tolist() == large.tolist()


def test_onnx_file_that_is_none_is_refused() -> None:
    signature = Signature(inputs=(InputField("x", Kind.NUMBER, False),), target="y", task="regression")

    with pytest.raises(CorruptError, match="cannot read the model"):
        OnnxRuntime(b"no model", signature)


class Fragile:
    """Ends its process, raises, prints, or hangs, as the number says."""

    def predict(self, table: pd.DataFrame) -> list[float]:
        import os
        import threading

        print("a model may print what it likes")  # noqa: T201
        match table["x"].iloc[0]:
            case 1:
                os._exit(3)
            case 2:
                raise ArithmeticError("two is too much")
            case 3:
                threading.Event().wait(60)
        return [float(value) * 2 for value in table["x"]]


def pickle_original(estimator: object) -> bytes:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    content: bytes = cloudpickle.dumps(make_original(estimator, pd.DataFrame({"x": [0.0]}), ["x"]))
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    return content


@pytest.fixture
def fragile() -> Iterator[PythonRuntime]:
    runtime = PythonRuntime(pickle_original(Fragile()), timeout_s=5)
    yield runtime
    runtime.close()


def test_crash_fails_one_batch_and_the_next_is_answered(fragile: PythonRuntime) -> None:
    with pytest.raises(UnavailableError, match="was lost"):
        fragile.score([(1.0,)])

    assert fragile.score([(5.0,), (6.0,)]).tolist() == [10.0, 12.0]


def test_exception_of_the_model_shows_its_traceback(fragile: PythonRuntime) -> None:
    with pytest.raises(UserCodeError, match="two is too much") as caught:
        fragile.score([(2.0,)])

    assert "in predict" in caught.value.traceback
    assert fragile.score([(5.0,)]).tolist() == [10.0]


def test_model_that_hangs_is_given_up(fragile: PythonRuntime) -> None:
    fragile.score([(5.0,)])
    fragile._timeout_s = 0.2

    with pytest.raises(UnavailableError, match=r"no answer in 0\.2 s"):
        fragile.score([(3.0,)])

    fragile._timeout_s = 5
    assert fragile.score([(5.0,)]).tolist() == [10.0]


def test_answers_are_waited_for_also_with_more_than_a_thousand_open_files() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, limits[1]), limits[1]))
    reader, writer = os.pipe()
    high = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, 1_500)
    try:
        with os.fdopen(high, "rb") as pipe:
            with pytest.raises(TimeoutError):
                wait_for_frame(pipe, 0.01)
            os.write(writer, b"x")
            wait_for_frame(pipe, 0.01)
    finally:
        os.close(reader)
        os.close(writer)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_closing_ends_the_process(fragile: PythonRuntime) -> None:
    assert fragile._child is not None
    pid = fragile._child.pid

    fragile.close()

    assert not Path(f"/proc/{pid}").exists()


def test_model_whose_code_is_not_there_says_so() -> None:
    content = b"\x80\x04\x8c\x0bno_such_lib\x8c\x05Model\x93."

    with pytest.raises(UserCodeError, match="No module named 'no_such_lib'"):
        PythonRuntime(content)


def test_child_sees_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETLA_DATABASE", "secret")
    child = "import os, sys; from petla.models.runtime import python_process as p; c = p._spawn(); c.stdin.close()"
    program = child + "; print(open(f'/proc/{c.pid}/environ').read().count('PETLA_')); c.wait(); c.stdout.close()"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0"
    assert os.environ["PETLA_DATABASE"] == "secret"


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_rows_become_the_table_that_the_model_was_trained_on(kind: str) -> None:
    frame = make_rows(20).assign(at=pd.Timestamp("2013-01-01 10:00"), size=pd.Categorical(["s", "l"] * 10))
    names = [name for name in frame.columns if name != "late"]
    training = {"pandas": frame, "polars": pl.from_pandas(frame), "arrow": pl.from_pandas(frame).to_arrow()}[kind]
    original = make_original(Fragile(), training, names)
    rows: list[Row] = [
        (1.0, 2, None, True, "AA", "JFK", "2013-02-03T04:05:06", "s"),
        (1.0, 10**30, 2.0, False, "??", None, "2013-02-03T04:05:06", "unseen"),
    ]

    table = make_table(original, rows[:1])

    schema = table.dtypes.tolist() if kind == "pandas" else table.schema
    expected = original.template.dtypes.tolist() if kind == "pandas" else original.template.schema
    assert schema == expected
    assert len(make_table(original, rows)) == 2


@pytest.mark.parametrize("kind", ["pandas", "nullable", "polars", "arrow"])
def test_whole_number_that_its_column_does_not_hold_becomes_no_other(kind: str) -> None:
    frame = pl.DataFrame({"tiny": [1, 2], "byte": [1, 2]}, schema={"tiny": pl.Int8, "byte": pl.UInt8})
    training: dict[str, Any] = {"polars": frame, "arrow": frame.to_arrow(), "pandas": frame.to_pandas()}
    training["nullable"] = training["pandas"].astype({"tiny": "Int8", "byte": "UInt8"})
    original = make_original(Fragile(), training[kind], frame.columns)

    table = make_table(original, [(300, -1), (-129, 256), (5, 5)])

    assert [list_column(table, name) for name in frame.columns] == [[300, -129, 5], [-1, 256, 5]]


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_timestamp_is_read_by_itself_whatever_the_others_look_like(kind: str) -> None:
    frame = pl.DataFrame({"at": [datetime(2026, 3, 1)]})  # noqa: DTZ001 - a column without a zone
    training = {"pandas": frame.to_pandas(), "polars": frame, "arrow": frame.to_arrow()}[kind]
    original = make_original(Fragile(), training, ["at"])
    texts = ["2026-03-01T15:00:00", "2026-03-01T15:00:00Z", "2026-03-01T16:00:00+01:00", None, "2026-03-01"]

    table = make_table(original, [(text,) for text in texts])

    hours = [None if pd.isna(value) else value.hour for value in list_column(table, "at")]
    assert hours == [15, 15, 15, None, 0]


def list_column(table: Any, name: str) -> list[Any]:  # noqa: ANN401 - a table of any library
    found: list[Any] = table[name].to_pylist() if hasattr(table[name], "to_pylist") else table[name].to_list()
    return found


def test_original_is_what_was_pickled() -> None:
    # packages hold it pickled, so fields are only added at the end, with a default
    assert Original.__struct_fields__ == ("estimator", "template", "special", "nulls")
    assert Original(1, 2, ()).nulls == {}


@pytest.mark.parametrize("null", [None, np.nan])
def test_missing_object_is_what_it_was_in_training(null: object) -> None:
    training = pd.DataFrame({"city": pd.Series(["a", null], dtype=object)})

    table = make_table(make_original(Fragile(), training, ["city"]), [(None,), ("b",)])

    assert table["city"].tolist()[1] == "b"
    assert (table["city"].iloc[0] is None) == (null is None)


class CountsThreads:
    """Answers how many threads its libraries would use: OpenMP's, those of BLAS, and joblib's processors."""

    def predict(self, table: pd.DataFrame) -> list[float]:
        import joblib
        import sklearn.ensemble  # noqa: F401 - loads OpenMP and BLAS
        from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

        threads = [pool["num_threads"] for pool in threadpool_info()] + [joblib.cpu_count(), joblib.effective_n_jobs()]
        return [float(max(threads))] * len(table)


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (2, min(2, os.cpu_count() or 1))])
def test_python_model_uses_the_threads_that_it_may(monkeypatch: pytest.MonkeyPatch, threads: int, most: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    runtime = PythonRuntime(pickle_original(CountsThreads()), threads=threads)
    try:
        assert runtime.score([(1.0,)]).tolist() == [most]
    finally:
        runtime.close()
