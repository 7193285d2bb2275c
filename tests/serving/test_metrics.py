"""Metrics of several workers on one page."""

from pathlib import Path

from petla.deployments.snapshot import acknowledgements_folder
from petla.serving.metrics import BUCKETS_S, Metrics


def make_workers(state: Path) -> tuple[Metrics, Metrics]:
    acknowledgements_folder(state).mkdir(parents=True)
    return Metrics("0", state), Metrics("1", state)


def test_page_has_the_samples_of_every_worker_once(tmp_path: Path) -> None:
    asked, other = make_workers(tmp_path)
    for worker, n in ((asked, 2), (other, 3)):
        for _ in range(n):
            worker.of("fraud").count(200)
        worker.publish()
    asked.of("fraud").count(200)

    lines = asked.render().decode().splitlines()

    assert [line for line in lines if line.startswith("petla_requests")] == [
        'petla_requests_answered_total{model="fraud",status="200",worker="0"} 3',
        'petla_requests_answered_total{model="fraud",status="200",worker="1"} 3',
    ]
    assert sum(line.startswith("# TYPE petla_requests_answered_total") for line in lines) == 1


def test_histogram_is_cumulative_and_ends_with_the_count(tmp_path: Path) -> None:
    metrics, _ = make_workers(tmp_path)
    for latency_ns in (400_000, 500_000, 3_000_000, 4_000_000_000, 5_000_000_000, 90_000_000_000):
        metrics.of("fraud").observe(latency_ns)

    lines = metrics.render().decode().splitlines()

    buckets = [int(line.rsplit(" ", 1)[1]) for line in lines if "_seconds_bucket" in line]
    assert buckets == [2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 6]
    assert len(buckets) == len(BUCKETS_S) + 1
    assert 'petla_request_latency_seconds_sum{model="fraud",worker="0"} 99.003900000' in lines
    assert 'petla_request_latency_seconds_count{model="fraud",worker="0"} 6' in lines
