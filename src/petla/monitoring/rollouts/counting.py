"""Counting of rollouts: decisions and second answers in the transaction that stores them, and labels that have come."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from petla.core.clock import from_text
from petla.decisions.log import list_labelled
from petla.decisions.record import CHAMPION, Decision, Labelled, ShadowAnswer
from petla.decisions.store import Counter, ShadowCounter
from petla.deployments.beside.rollout import Rollout, RolloutKind
from petla.deployments.records import get_evidence, list_rollouts, put_evidence
from petla.monitoring.reference import Reference, ReferenceSource, find_readable, open_references
from petla.monitoring.rollouts.evidence import Evidence, Labels, add_decisions, add_labelled, add_opinions
from petla.monitoring.rollouts.records import list_opinions
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace

# labels of one version that are counted at once
_LABELS_AT_ONCE = 10_000


def make_rollout_counter(ws: Workspace) -> Counter:
    """Return the counter that the shipper calls with each batch of decisions."""

    def count(connection: Connection, decisions: Sequence[Decision]) -> None:
        for rollout in _list_running(connection, ws):
            begun_ns = int(from_text(rollout.started_at).timestamp() * 1e6) * 1_000
            mine = [each for each in decisions if each.model == rollout.model and each.at_ns >= begun_ns]
            if mine:
                evidence = _decode(get_evidence(connection, rollout.id))
                add_decisions(evidence, rollout, mine, ws.project.models[rollout.model].deploy)
                put_evidence(connection, rollout.id, _encode(evidence))

    return count


def make_shadow_counter(ws: Workspace, references: ReferenceSource | None = None) -> ShadowCounter:
    """Return the counter that the shipper calls with each batch of answers to what another version has decided.

    Args:
        ws: the project.
        references: finds the champion's signature and range of scores; None: in its signed package.
    """
    find_reference = references or open_references(ws)

    def count(connection: Connection, answers: Sequence[ShadowAnswer]) -> None:
        for rollout in _list_running(connection, ws):
            opinions = list_opinions(connection, ws.name, rollout, answers)
            reference = find_readable(find_reference, rollout.model, rollout.champion) if opinions else None
            if reference is not None:
                scale = _scale_of(reference) if reference.signature.task == "regression" else None
                evidence = _decode(get_evidence(connection, rollout.id))
                add_opinions(evidence, opinions, scale)
                put_evidence(connection, rollout.id, _encode(evidence))

    return count


def find_evidence(ws: Workspace, rollout: Rollout) -> Evidence:
    """Return what was counted of a rollout."""
    with reading(ws.engine) as connection:
        return _decode(get_evidence(connection, rollout.id))


def count_labels(ws: Workspace, rollout: Rollout, reference: Reference) -> None:
    """Count the labels of a rollout's versions that have come since the last time.

    Args:
        ws: the project.
        rollout: one that runs; a shadow decides nothing, so it has no labels of its own.
        reference: of the champion: the range of its scores is the scale of errors.
    """
    if rollout.kind is RolloutKind.SHADOW:
        return
    evidence = find_evidence(ws, rollout)
    versions = {CHAMPION: rollout.champion} | {arm.name: arm.version for arm in rollout.arms}
    found: dict[str, Labels] = {}
    for name, version in versions.items():
        tally = evidence.tallies.get(name)
        found[name] = _list_labels(ws, rollout, (name, version), tally.last_feedback if tally is not None else 0)
    if not any(labels.last_feedback for labels in found.values()):
        return
    scale = _scale_of(reference) if reference.signature.task == "regression" else None
    with writing(ws.engine) as connection:
        # read again: the shipper may have counted meanwhile
        evidence = _decode(get_evidence(connection, rollout.id))
        add_labelled(evidence, found, ws.project.models[rollout.model].deploy, scale)
        put_evidence(connection, rollout.id, _encode(evidence))


def _list_running(connection: Connection, ws: Workspace) -> list[Rollout]:
    running = list_rollouts(connection, ws.name, is_running=True)
    return [rollout for rollout in running if rollout.model in ws.project.models]


def _list_labels(ws: Workspace, rollout: Rollout, arm: tuple[str, int], after: int) -> Labels:
    """Return the labels of what an arm's version decided as that arm, neither named nor in the place of another."""
    name, version = arm
    rows: list[Labelled] = []
    last = 0
    while page := list_labelled(ws, rollout.model, version, after_feedback=after, limit=_LABELS_AT_ONCE):
        rows += [row for row in page if row.at >= rollout.started_at and row.arm == name]
        after = last = page[-1].feedback_seq
    return Labels(rows, last)


def _scale_of(reference: Reference) -> float:
    least, most = reference.score.minimum, reference.score.maximum
    return most - least if least is not None and most is not None and most > least else 1.0


def _decode(text: str) -> Evidence:
    return msgspec.json.decode(text, type=Evidence)


def _encode(evidence: Evidence) -> str:
    return msgspec.json.encode(evidence).decode()
