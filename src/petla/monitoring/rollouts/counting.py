"""Counting of rollouts: where the shipper stores decisions, in its transaction; and where labels have come."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from petla.core.clock import from_text
from petla.decisions.log import list_labelled
from petla.decisions.record import CHAMPION, Decision, Labelled
from petla.decisions.store import Counter
from petla.deployments.beside.rollout import Rollout, RolloutKind
from petla.deployments.records import get_evidence, list_rollouts, put_evidence
from petla.monitoring.reference import Reference
from petla.monitoring.rollouts.evidence import Evidence, Labels, add_decisions, add_labelled
from petla.monitoring.rollouts.records import list_answers
from petla.storage.database import reading, writing
from petla.storage.workspace import Workspace

# labels of one version that are counted at once
_LABELS_AT_ONCE = 10_000
# answers of a shadow
_ANSWERS_AT_ONCE = 20_000


def make_rollout_counter(ws: Workspace) -> Counter:
    """Return the counter that the shipper calls with each batch of decisions."""

    def count(connection: Connection, decisions: Sequence[Decision]) -> None:
        for rollout in list_rollouts(connection, ws.name, is_running=True):
            if rollout.model not in ws.project.models:
                continue
            begun_ns = int(from_text(rollout.started_at).timestamp() * 1e6) * 1_000
            mine = [each for each in decisions if each.model == rollout.model and each.at_ns >= begun_ns]
            if mine:
                evidence = _decode(get_evidence(connection, rollout.id))
                add_decisions(evidence, rollout, mine, ws.project.models[rollout.model].deploy)
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
        found[name] = _list_labels(ws, rollout, version, tally.last_feedback if tally is not None else 0)
    if not any(labels.last_feedback for labels in found.values()):
        return
    scale = _scale_of(reference) if reference.signature.task == "regression" else None
    with writing(ws.engine) as connection:
        # read again: the shipper may have counted meanwhile
        evidence = _decode(get_evidence(connection, rollout.id))
        add_labelled(evidence, rollout, found, ws.project.models[rollout.model].deploy, scale)
        put_evidence(connection, rollout.id, _encode(evidence))


def count_shadows(ws: Workspace, rollout: Rollout) -> None:
    """Count what a shadow has answered since the last time."""
    if rollout.kind is not RolloutKind.SHADOW:
        return
    evidence = find_evidence(ws, rollout)
    with reading(ws.engine) as connection:
        answers = list_answers(connection, ws.name, rollout, after=evidence.last_shadow, limit=_ANSWERS_AT_ONCE)
    if not answers:
        return
    with writing(ws.engine) as connection:
        # read again: the shipper may have counted meanwhile
        evidence = _decode(get_evidence(connection, rollout.id))
        evidence.last_shadow = answers[-1][0]
        evidence.shadow_failed += sum(failed for _, failed, _ in answers)
        evidence.disagreed.add([float(failed or otherwise) for _, failed, otherwise in answers])
        put_evidence(connection, rollout.id, _encode(evidence))


def _list_labels(ws: Workspace, rollout: Rollout, version: int, after: int) -> Labels:
    rows: list[Labelled] = []
    last = 0
    while page := list_labelled(ws, rollout.model, version, after_feedback=after, limit=_LABELS_AT_ONCE):
        rows += [row for row in page if row.at >= rollout.started_at]
        after = last = page[-1].feedback_seq
    return Labels(rows, last)


def _scale_of(reference: Reference) -> float:
    least, most = reference.score.minimum, reference.score.maximum
    return most - least if least is not None and most is not None and most > least else 1.0


def _decode(text: str) -> Evidence:
    return msgspec.json.decode(text, type=Evidence)


def _encode(evidence: Evidence) -> str:
    return msgspec.json.encode(evidence).decode()
