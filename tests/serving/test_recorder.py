"""The recorder: what waits is flushed together, and what becomes of records that cannot be written."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.errors import UnavailableError
from petla.decisions.losses import count_losses, describe_losses
from petla.decisions.record import Decision, ShadowAnswer
from petla.decisions.spool import (
    DECISIONS,
    SHADOWS,
    SPOOL_FOLDER,
    SpoolReader,
    end_of,
)
from petla.serving.metrics import Metrics
from petla.serving.recorder import Keeping, Recorder
from tests.decisions.logged import fix_numbers, make_decision, make_feedback, make_shadow, next_segments

SMALL = 100_000


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics("0", tmp_path)


@pytest.fixture
def careful(tmp_path: Path, metrics: Metrics) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path, "0", "power", metrics)
    yield recorder
    recorder.close()


@pytest.fixture
def generous(tmp_path: Path, metrics: Metrics) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path, "0", "process", metrics, Keeping(SMALL, when_full="serve"))
    yield recorder
    recorder.close()


def fill(recorder: Recorder, n_batches: int = 20) -> None:
    for first in range(0, n_batches * 50, 50):
        recorder.record([make_decision(first + i) for i in range(50)])


def count_recorded(state: Path, stream: str = DECISIONS) -> int:
    folder = state / SPOOL_FOLDER / "0"
    kind = Decision if stream == DECISIONS else ShadowAnswer
    frames = SpoolReader(folder, stream, kind).frames({}, end_of(folder, stream))
    return sum(len(frame.records) for frame in frames)


def test_batches_that_wait_share_one_flush(careful: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes: list[int] = []
    flush = os.fdatasync

    def count(descriptor: int) -> None:
        flushes.append(descriptor)
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", count)

    async def record() -> None:
        await asyncio.gather(*(careful.record_soon([make_decision(i)]) for i in range(50)))

    asyncio.run(record())

    assert len(flushes) == 1
    assert count_recorded(tmp_path) == 50


def test_flush_that_fails_fails_all_that_waited_for_it(tmp_path: Path, metrics: Metrics) -> None:
    folder = tmp_path / SPOOL_FOLDER / "0"
    fix_numbers(folder, DECISIONS)
    careful = Recorder(tmp_path, "0", "power", metrics)
    (full,) = next_segments(folder, DECISIONS, 1)
    full.symlink_to("/dev/full")

    async def record() -> list[BaseException | None]:
        waiting = (careful.record_soon([make_decision(i)]) for i in range(3))
        return await asyncio.gather(*waiting, return_exceptions=True)

    failed = asyncio.run(record())
    careful.close()

    assert [type(error) for error in failed] == [UnavailableError] * 3


def test_full_spool_is_refused(tmp_path: Path, metrics: Metrics) -> None:
    recorder = Recorder(tmp_path, "0", "process", metrics, Keeping(SMALL))

    with pytest.raises(UnavailableError, match="more than may wait"):
        fill(recorder)
    recorder.close()

    assert metrics.decisions_lost == 0
    assert b'petla_spool_writes_failed_total{worker="0"} 1' in metrics.render()


def test_full_spool_is_served_and_counted_where_the_project_says_so(
    generous: Recorder, metrics: Metrics, tmp_path: Path
) -> None:
    fill(generous)

    assert 0 < metrics.decisions_lost < 1_000
    assert count_recorded(tmp_path) == 1_000 - metrics.decisions_lost
    assert f'petla_decisions_lost_total{{worker="0"}} {metrics.decisions_lost}'.encode() in metrics.render()


def test_losses_are_remembered_beside_the_spool_from_one_start_to_the_next(tmp_path: Path, metrics: Metrics) -> None:
    keeping = Keeping(SMALL, when_full="serve")
    seen = [count_losses(tmp_path).decisions]

    for _ in range(2):
        recorder = Recorder(tmp_path, "0", "process", metrics, keeping)
        fill(recorder)
        recorder.close()
        seen.append(count_losses(tmp_path).decisions)

    assert 0 == seen[0] < seen[1] < seen[2] == metrics.decisions_lost
    said = describe_losses(count_losses(tmp_path))
    assert said.startswith(f"{metrics.decisions_lost:,} decisions were answered and not recorded, the last at 2")


def test_shadow_answers_that_cannot_be_written_are_dropped_and_counted(tmp_path: Path, metrics: Metrics) -> None:
    recorder = Recorder(tmp_path, "0", "process", metrics, Keeping(SMALL))

    for i in range(400):
        recorder.record_shadows([make_shadow(i)])
    recorder.record([make_decision(0)])
    recorder.close()

    assert 0 < metrics.shadows_lost < 400
    assert count_recorded(tmp_path, SHADOWS) == 400 - metrics.shadows_lost
    assert count_recorded(tmp_path) == 1


def test_feedback_is_counted(careful: Recorder, metrics: Metrics) -> None:
    asyncio.run(careful.record_feedback([make_feedback(0), make_feedback(1)]))

    assert b'petla_feedback_accepted_total{worker="0"} 2' in metrics.render()
