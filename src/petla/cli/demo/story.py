"""The demo's story: the stages of the loop, one after the other, each with what was seen."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petla.cli.demo import flights
from petla.cli.demo.report import Alarm, Report, Stage
from petla.cli.demo.stack import VIEWER, Stack
from petla.cli.demo.traffic import Client, Load, Tally
from petla.core.errors import PetlaError, UnavailableError
from petla.core.settings import Settings
from petla.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    import polars as pl

    from petla.loop.approvals import Approval

MODEL = "delay"
# rows in one request, and how many flights later a flight's outcome is known
_BATCH = 50
_LABEL_DELAY = 1_000
# the replay waits while more than this is not counted yet, so that the alarm comes when it is due
_BACKLOG = 2_000
_PATIENCE_S = 90.0
_LOAD_S = 1.0

Say = Callable[[str], None]


def tell(say: Say, *, is_approved: bool, keep: bool) -> Report:
    """Run the whole demo.

    Args:
        say: takes a line of progress.
        is_approved: answer the request for approval with yes; else a person is waited for.
        keep: leave the product running.
    """
    demo = Demo(Path(tempfile.mkdtemp(prefix="petla-demo-")), say, is_approved=is_approved)
    try:
        with contextlib.suppress(PetlaError):
            demo.run()
    finally:
        demo.finish(keep=keep)
    return demo.report()


class Demo:
    """One telling of the story.

    Args:
        folder: where the project is made.
        say: takes a line of progress.
        is_approved: whether the approval is answered with yes.
    """

    def __init__(self, folder: Path, say: Say, *, is_approved: bool) -> None:
        self._folder = folder / "flights"
        self._say = say
        self._is_approved = is_approved
        self._started = time.monotonic()
        self._stages: list[Stage] = []
        self._evidence = ""
        self._tally = Tally()
        self._stack = Stack(self._folder)
        self._alarm: Alarm | None = None
        self._approval: Approval | None = None
        self._metrics: tuple[float | None, float | None] = (None, None)
        self._swap_ms: float | None = None
        self._rollback_ms: float | None = None
        self._logged = 0

    def run(self) -> None:
        """Go through the stages; the first that fails ends it."""
        with self._stage("project"):
            later = self._make_project()
        with self._stage("train"):
            self._train()
        with self._stage("deploy"):
            self._deploy()
        rows = flights.requests_of(later)
        truths = later["late"].to_list()
        with self._stage("serve until the alarm"):
            self._replay(rows, truths, later)
        with self._stage("retrain"):
            self._wait_for_challenger()
        if self._approval is None:
            return
        with Load(self._stack.serving, MODEL, rows[: 10 * _BATCH], self._tally) as load:
            with self._stage("approve"):
                self._decide()
            with self._stage("swap under load"):
                self._wait_for_swap(load)
            with self._stage("roll back and forward under load"):
                self._roll(load)

    def finish(self, *, keep: bool) -> None:
        """Compare the log with what was answered, check the audit trail, and stop what runs."""
        if not self._stack.pid:
            return
        with contextlib.suppress(PetlaError), self._stage("nothing lost"):
            self._count_logged()
        if keep:
            self._say(f"still running: {self._link('/')}")
            self._say(f"it stops with: kill {self._stack.pid}")
            return
        with contextlib.suppress(PetlaError), self._stage("stop"):
            status = self._stack.stop()
            self._evidence = f"'petla up' stopped on SIGTERM with status {status}"
            if status:
                raise UnavailableError(f"'petla up' ended with status {status}", hint="see .petla/up.log")

    def report(self) -> Report:
        """Return what was seen."""
        champion, challenger = self._metrics
        return Report(
            stages=tuple(self._stages),
            requests_sent=self._tally.sent,
            requests_failed=self._tally.failed,
            decisions_answered=len(self._tally.ids),
            decisions_logged=self._logged,
            alarm=self._alarm,
            champion_metric=champion,
            challenger_metric=challenger,
            swap_ms=self._swap_ms,
            rollback_ms=self._rollback_ms,
            seconds=time.monotonic() - self._started,
            folder=str(self._folder),
        )

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self._say(f"{name} ...")
        self._evidence = ""
        started = time.monotonic()
        try:
            yield
        except PetlaError as error:
            self._stages.append(Stage(name, ok=False, seconds=time.monotonic() - started, evidence=str(error)))
            self._say(f"{name}: {error}")
            raise
        seconds = time.monotonic() - started
        self._stages.append(Stage(name, ok=True, seconds=seconds, evidence=self._evidence))
        self._say(f"{name}: {self._evidence} ({seconds:.1f} s)")

    def _open(self) -> Workspace:
        return open_workspace(self._folder, Settings(actor=VIEWER))

    def _make_project(self) -> pl.DataFrame:
        from petla.data.git import ensure_repository
        from petla.data.versions import add

        later = flights.make_project(self._folder)
        ensure_repository(self._folder)
        self._workspace = self._open()
        version = add(self._workspace, self._folder / "data" / "flights.parquet").version
        commit = flights.commit(self._folder, "The first three months of flights")
        self._evidence = f"{version.rows:,} flights are data version {version.digest[:12]}, commit {commit[:8]}"
        return later

    def _train(self) -> None:
        from petla.cli.progress import progress_on
        from petla.gates.training import train
        from petla.pipeline.plan import RunRequest

        self._first = train(self._workspace, MODEL, RunRequest(), progress_on())
        checks = self._first.verdict.checks
        passed = sum(check.passed for check in checks)
        figures = ", ".join(f"{name} {value:.3f}" for name, value in self._first.run.metrics.items())
        self._evidence = f"{MODEL}:{self._first.version} passed {passed} of {len(checks)} gates; {figures}"
        if not self._first.verdict.passed:
            raise UnavailableError("; ".join(check.message for check in checks if not check.passed))

    def _deploy(self) -> None:
        from petla.deployments.deploy import deploy

        deploy(self._workspace, MODEL, self._first.version, actor=self._workspace.actor, reason="first version")
        started = time.monotonic()
        self._stack.start()
        seconds = time.monotonic() - started
        self._evidence = f"{MODEL}:{self._first.version} is live; 'petla up' was ready after {seconds:.1f} s"
        self._say(f"pages: {self._stack.pages}")

    def _replay(self, rows: list[dict[str, Any]], truths: list[bool], later: pl.DataFrame) -> None:
        client = Client(self._stack.serving, self._tally)
        ids: list[str] = []
        told = 0
        for start in range(0, len(rows), _BATCH):
            answers = client.predict(MODEL, rows[start : start + _BATCH])
            if not answers:
                raise UnavailableError(f"a request failed: {self._tally.first_fault}")
            ids.extend(answer["id"] for answer in answers)
            due = len(ids) - _LABEL_DELAY
            if due - told >= _BATCH:
                client.tell(list(zip(ids[told:due], truths[told:due], strict=True)))
                told = due
            if start % (20 * _BATCH) == 0:
                self._keep_pace(len(ids))
                if self._find_alarm():
                    day = later["scheduled"][len(ids) - 1]
                    self._evidence = f"{len(ids):,} flights replayed up to {day:%d %B}: {self._evidence}"
                    client.close()
                    return
        raise UnavailableError("all flights were replayed and no alarm came that starts a retraining")

    def _keep_pace(self, answered: int) -> None:
        from petla.decisions.log import count_decisions

        deadline = time.monotonic() + _PATIENCE_S
        while answered - count_decisions(self._workspace) > _BACKLOG:
            if time.monotonic() > deadline:
                raise UnavailableError("the decisions do not reach the log", hint="see .petla/up.log")
            time.sleep(0.05)

    def _find_alarm(self) -> bool:
        from petla.incidents.incidents import list_incidents

        causes = self._workspace.project.models[MODEL].retrain.on
        incident = next((i for i in list_incidents(self._workspace) if i.kind in causes), None)
        if incident is None:
            return False
        first = incident.evidence[0]
        names = {"metric": first.what} if incident.kind == "quality" else {"feature": first.what}
        self._alarm = Alarm(value=first.value, limit=first.limit, **names)
        self._evidence = incident.title
        return True

    def _wait_for_challenger(self) -> None:
        from petla.loop.approvals import list_approvals
        from petla.loop.retraining.retrainings import list_retrainings

        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            retraining = next(iter(list_retrainings(self._workspace)), None)
            if retraining is not None and retraining.candidate is not None:
                self._read_verdict(retraining.candidate)
            self._approval = next(iter(list_approvals(self._workspace, "waiting")), None)
            if self._approval is not None:
                self._evidence = self._approval.question
                return
            if retraining is not None and not retraining.is_open:
                self._evidence = f"the challenger is not deployed: {retraining.outcome}"
                return
            time.sleep(0.1)
        raise UnavailableError("no challenger was made in time", hint="see .petla/up.log")

    def _read_verdict(self, version: int) -> None:
        from petla.gates.verdict import decode_verdict
        from petla.models.registry import get_version

        verdict = get_version(self._workspace, MODEL, version).verdict
        checks = decode_verdict(verdict).checks if verdict else ()
        figures = next((check.figures for check in checks if check.name == "champion"), {})
        self._metrics = (figures.get("champion"), figures.get("candidate"))

    def _decide(self) -> None:
        from petla.loop.approvals import get_approval, grant

        if self._approval is None:
            raise UnavailableError("nothing waits for approval")
        number = self._approval.id
        if self._is_approved:
            grant(self._workspace, number, actor=self._workspace.actor, reason="--yes")
        else:
            self._say(f"waiting for your word: open {self._link(f'/approvals/{number}')}")
            self._say(f"or, in {self._folder}: petla approvals grant {number}")
        while get_approval(self._workspace, number).state == "waiting":
            time.sleep(0.2)
        decided = get_approval(self._workspace, number)
        self._evidence = f"{decided.state} by {decided.decided_by}"
        if decided.state != "granted":
            raise UnavailableError(f"{decided.state}: {decided.reason}; {MODEL}:{decided.champion} stays live")

    def _link(self, path: str) -> str:
        from petla.api.sessions import make_link, running_address

        return make_link(self._workspace, running_address(self._workspace), path=path)

    def _wait_for_swap(self, load: Load) -> None:
        from petla.deployments.server import list_acknowledgements

        if self._approval is None or not load.wait_for_version(self._approval.version):
            raise UnavailableError("the workers did not take the new version in time", hint="see .petla/up.log")
        time.sleep(_LOAD_S)
        acknowledged = list_acknowledgements(self._workspace.state)
        self._swap_ms = max(ack.load_ms for ack in acknowledged)
        self._evidence = (
            f"{MODEL}:{self._approval.version} answers; {len(acknowledged)} workers loaded, verified and swapped in "
            f"{self._swap_ms:.0f} ms; {self._tally.failed} requests failed"
        )

    def _roll(self, load: Load) -> None:
        from petla.deployments.deploy import rollback

        times = []
        for reason in ("back, to see it", "and forward again"):
            done = rollback(self._workspace, MODEL, actor=self._workspace.actor, reason=reason)
            if done.took_ms is None or not load.wait_for_version(done.live):
                raise UnavailableError(f"version {done.live} did not answer after the rollback")
            times.append(done.took_ms)
            time.sleep(_LOAD_S)
        self._rollback_ms = times[0]
        self._evidence = (
            f"back in {times[0]:.0f} ms, forward in {times[1]:.0f} ms; {self._tally.failed} requests failed"
        )

    def _count_logged(self) -> None:
        from petla.decisions.log import count_decisions, count_known

        answered = self._tally.ids
        deadline = time.monotonic() + _PATIENCE_S
        while count_decisions(self._workspace) < len(answered) and time.monotonic() < deadline:
            time.sleep(0.1)
        self._logged = count_known(self._workspace, answered)
        entries = self._workspace.ledger.verify()
        self._evidence = (
            f"{self._logged:,} of {len(answered):,} answered decisions are in the log exactly once; "
            f"audit trail whole, {entries} entries"
        )
        if self._logged != len(answered):
            raise UnavailableError(f"{len(answered) - self._logged} decisions are missing in the log")
