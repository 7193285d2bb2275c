"""What a worker counts about itself, as Prometheus text.

Each worker counts for itself. The one that is asked adds the others' last pages, which lie beside the
acknowledgements and are at most a second old; every sample carries its worker's name.
"""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import msgspec

from petla.deployments.snapshot import acknowledgements_folder

# upper bounds, seconds
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_BOUNDS_NS = tuple(int(bound * 1e9) for bound in BUCKETS_S)
_SUFFIX = ".metrics"
_FAMILIES = {
    "petla_requests_answered_total": ("counter", "Requests, by model and HTTP status."),
    "petla_rows_answered_total": ("counter", "Rows that were decided, recorded and answered."),
    "petla_request_latency_seconds": ("histogram", "Seconds from the arrival of a request to its answer."),
    "petla_rows_replaced_total": ("counter", "Rows that something else answered than the version that was asked."),
    "petla_rows_flagged_total": ("counter", "Rows that a guard found unusual."),
    "petla_shadow_rows_total": ("counter", "Decisions put to a second version: answered, failed, or dropped."),
    "petla_spool_writes_failed_total": ("counter", "Batches that could not be recorded."),
    "petla_decisions_lost_total": ("counter", "Decisions that were answered and not recorded, by serving.spool_full."),
    "petla_shadow_answers_lost_total": ("counter", "Answers of shadows that could not be recorded."),
    "petla_feedback_accepted_total": ("counter", "Truths about decisions that were taken and recorded."),
    "petla_feedback_unknown_class_total": ("counter", "Truths that no version which is served has as a class."),
    "petla_snapshot_serving_number": ("gauge", "Number of the snapshot that is served; 0: none."),
}


class ModelMetrics:
    """Counts of one model in one worker; they outlive its versions."""

    __slots__ = (
        "flagged",
        "latencies",
        "latency_sum_ns",
        "replaced",
        "rows",
        "shadow_answered",
        "shadow_dropped",
        "shadow_failed",
        "statuses",
    )

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.rows = 0
        self.latencies = [0] * (len(_BOUNDS_NS) + 1)
        self.latency_sum_ns = 0
        # what answered in the place of the version that was asked -> rows; name of a guard -> rows
        self.replaced: dict[str, int] = {}
        self.flagged: dict[str, int] = {}
        # rows that a shadow answered, failed at, or never got
        self.shadow_answered = self.shadow_failed = self.shadow_dropped = 0

    @property
    def shadow_rows(self) -> dict[str, int]:
        """Rows shown to a shadow, by what came of them."""
        return {"answered": self.shadow_answered, "failed": self.shadow_failed, "dropped": self.shadow_dropped}

    def count(self, status: int) -> None:
        """Count one request."""
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def observe(self, latency_ns: int) -> None:
        """Count the time of one answered request."""
        self.latencies[bisect_left(_BOUNDS_NS, latency_ns)] += 1
        self.latency_sum_ns += latency_ns


class Metrics:
    """All counts of one worker.

    Args:
        worker: its name.
        state: where the pages of all workers lie.
    """

    def __init__(self, worker: str, state: Path) -> None:
        self.spool_failures = 0
        self.decisions_lost = 0
        self.shadows_lost = 0
        self.feedback = 0
        self.feedback_unknown_class = 0
        self.snapshot_number = 0
        self._worker = worker
        self._folder = acknowledgements_folder(state)
        self._models: dict[str, ModelMetrics] = {}

    def of(self, model: str) -> ModelMetrics:
        """Return the counts of a model; requests that name no known model count under the empty name."""
        return self._models.setdefault(model, ModelMetrics())

    def publish(self) -> None:
        """Write this worker's samples where the other workers find them."""
        temporary = self._folder / f".{self._worker}{_SUFFIX}"
        temporary.write_bytes(msgspec.json.encode(self._samples()))
        temporary.replace(self._folder / f"{self._worker}{_SUFFIX}")

    def render(self) -> bytes:
        """Return the page of all workers, in Prometheus' text format."""
        others = (path for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if path.stem != self._worker)
        pages = [self._samples()] + [_read_samples(path) for path in others]
        lines: list[str] = []
        for name, (kind, text) in _FAMILIES.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            for page in pages:
                lines += page.get(name, [])
        return ("\n".join(lines) + "\n").encode()

    def _samples(self) -> dict[str, list[str]]:
        worker = f'worker="{self._worker}"'
        models = list(self._models.items())
        requests = [
            f'petla_requests_answered_total{{model="{name}",status="{status}",{worker}}} {n}'
            for name, counts in models
            for status, n in counts.statuses.items()
        ]
        rows = [
            f'petla_rows_answered_total{{model="{name}",{worker}}} {counts.rows}' for name, counts in models if name
        ]
        latencies = [line for name, counts in models if name for line in _histogram(name, worker, counts)]
        shadows = [
            f'petla_shadow_rows_total{{model="{name}",outcome="{outcome}",{worker}}} {n}'
            for name, counts in models
            for outcome, n in counts.shadow_rows.items()
            if name and any(counts.shadow_rows.values())
        ]
        samples = (
            requests,
            rows,
            latencies,
            [
                line
                for name, counts in models
                for line in _tally("replaced", "served_by", name, worker, counts.replaced)
            ],
            [line for name, counts in models for line in _tally("flagged", "flag", name, worker, counts.flagged)],
            shadows,
            [f"petla_spool_writes_failed_total{{{worker}}} {self.spool_failures}"],
            [f"petla_decisions_lost_total{{{worker}}} {self.decisions_lost}"],
            [f"petla_shadow_answers_lost_total{{{worker}}} {self.shadows_lost}"],
            [f"petla_feedback_accepted_total{{{worker}}} {self.feedback}"],
            [f"petla_feedback_unknown_class_total{{{worker}}} {self.feedback_unknown_class}"],
            [f"petla_snapshot_serving_number{{{worker}}} {self.snapshot_number}"],
        )
        return dict(zip(_FAMILIES, samples, strict=True))


def _read_samples(path: Path) -> dict[str, list[str]]:
    samples: dict[str, list[str]] = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])
    return samples


def _tally(what: str, label: str, model: str, worker: str, counts: dict[str, int]) -> Iterable[str]:
    for name, n in list(counts.items()):
        shown = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        yield f'petla_rows_{what}_total{{model="{model}",{label}="{shown}",{worker}}} {n}'


def _histogram(model: str, worker: str, counts: ModelMetrics) -> Iterable[str]:
    name, labels = "petla_request_latency_seconds", f'model="{model}",{worker}'
    total = 0
    for bound, n in zip((*map(str, BUCKETS_S), "+Inf"), counts.latencies, strict=True):
        total += n
        yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
    yield f"{name}_sum{{{labels}}} {counts.latency_sum_ns / 1e9:.9f}"
    yield f"{name}_count{{{labels}}} {total}"
