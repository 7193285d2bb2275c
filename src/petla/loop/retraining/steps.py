"""The steps of a retraining: from labelled decisions to a challenger that waits for a yes.

Each step does what is next, then records it; killed in between, it is done again and finds what is there already:

- the dataset version carries the retraining's name as its source;
- committing the same pointer on the same branch gives the same commit;
- a training takes its finished steps from the cache and registers its run once;
- asking, and what an answer sets off, is one change.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from petla.core.errors import BusyError, UnavailableError
from petla.data.git import commit_on_branch, export_tree, read_state
from petla.data.versions import DatasetVersion, add_content, get_version, list_versions, pointer_bytes
from petla.decisions.export import export_labelled
from petla.gates.verdict import Verdict, find_verdict
from petla.loop.approvals import ApprovalState, ask, get_approval, withdraw
from petla.loop.retraining.retrainings import CONTROLLER, get_retraining, move_on
from petla.loop.retraining.states import Retraining, RetrainingState
from petla.loop.retraining.trainer import RETRAININGS_FOLDER, Trainer, TrainingEnd, retraining_folder
from petla.loop.rollout import go_live
from petla.models import registry
from petla.pipeline.plan import RunRequest
from petla.storage.workspace import Workspace

TREES_FOLDER = "worktrees"
# faults of a training that the same command would meet again
_LASTING = ("user_code", "invalid", "not_found", "conflict", "forbidden")


def advance(ws: Workspace, retraining: Retraining, trainer: Trainer) -> Retraining:
    """Take one step of a retraining, if there is one to take now.

    Raises:
        PetlaError: the step could not be done; the retraining stays where it is.
    """
    match retraining.state:
        case RetrainingState.WANTED:
            return _export(ws, retraining)
        case RetrainingState.EXPORTED:
            return _commit(ws, retraining)
        case RetrainingState.COMMITTED:
            return _train(ws, retraining, trainer)
        case RetrainingState.TRAINED:
            return _ask(ws, retraining)
        case RetrainingState.WAITING:
            return _watch(ws, retraining)
        case RetrainingState.DEPLOYING:
            return go_live(ws, retraining)
        case _:
            return retraining


def give_up(ws: Workspace, retraining: Retraining, reason: str) -> Retraining:
    """End a retraining that cannot be carried through; its incident stays open and says why."""
    return move_on(ws, retraining, RetrainingState.FAILED, outcome=reason)


def clean_up(ws: Workspace, going_on: Collection[int]) -> None:
    """Remove what retrainings that are over kept on the disk; their data, commits and challengers stay."""
    for place in (ws.state / TREES_FOLDER, ws.state / RETRAININGS_FOLDER):
        left_behind = place.iterdir() if place.is_dir() else ()
        for folder in left_behind:
            if folder.name.isdecimal() and int(folder.name) not in going_on:
                shutil.rmtree(folder, ignore_errors=True)


def _export(ws: Workspace, retraining: Retraining) -> Retraining:
    _, model = ws.get_model(retraining.model)
    dataset, _ = ws.get_dataset(model.retrain.dataset)
    origin = f"retraining:{retraining.id}"
    found = next((v for v in list_versions(ws, dataset) if v.source == origin), None)
    if found is None:
        target = retraining_folder(ws, retraining) / "fresh.parquet"
        export_labelled(ws, retraining.model, target, rows=model.retrain.fresh_rows)
        found = add_content(ws, dataset, target, actor=CONTROLLER, origin=origin)
    return move_on(ws, retraining, RetrainingState.EXPORTED, dataset_version=found.version)


def _commit(ws: Workspace, retraining: Retraining) -> Retraining:
    version = _version_of(ws, retraining)
    parent = _code_of(ws, retraining)
    if not parent:
        return move_on(ws, retraining, RetrainingState.COMMITTED, commit="")
    path, pointer = pointer_bytes(ws, version)
    commit = commit_on_branch(
        ws.root,
        f"petla/retraining-{retraining.id}",
        {path: pointer},
        message=f"Retrain {retraining.model} on {version.rows or 0:,} fresh labelled decisions",
        parent=parent,
    )
    return move_on(ws, retraining, RetrainingState.COMMITTED, commit=commit)


def _train(ws: Workspace, retraining: Retraining, trainer: Trainer) -> Retraining:
    version = _version_of(ws, retraining)
    tree = _tree_of(ws, retraining) if retraining.commit else None
    if tree is not None and not tree.is_dir():
        export_tree(ws.root, retraining.commit, tree)
    request = RunRequest(
        datasets={version.dataset: version.digest},
        cause=f"retraining:{retraining.id}",
        source=tree,
        commit=retraining.commit or None,
    )
    end = trainer.poll(retraining, request)
    return retraining if end is None else _conclude(ws, retraining, end)


def _conclude(ws: Workspace, retraining: Retraining, end: TrainingEnd) -> Retraining:
    if end.answer is None or end.answer.verdict is None:
        return _conclude_without_answer(ws, retraining, end)
    number, verdict = end.answer.version, end.answer.verdict
    subject = f"{retraining.model}:{number}"
    champion = registry.find_champion(ws, retraining.model)
    if champion is not None and champion.version == number:
        outcome = f"fresh data gave the champion {subject} again"
        return move_on(ws, retraining, RetrainingState.LOST, candidate=number, outcome=outcome)
    if not verdict.passed:
        outcome = f"{subject} failed its gates: {_explain(verdict)}; the champion stays"
        return move_on(ws, retraining, RetrainingState.LOST, candidate=number, outcome=outcome)
    return move_on(ws, retraining, RetrainingState.TRAINED, candidate=number)


def _conclude_without_answer(ws: Workspace, retraining: Retraining, end: TrainingEnd) -> Retraining:
    """End what would fail again; let the controller try again what may pass."""
    code = end.fault.code if end.fault else ""
    reason = end.fault.message if end.fault else end.tail or f"it ended with status {end.status} and said nothing"
    if code == "gate_failed":
        return move_on(ws, retraining, RetrainingState.LOST, outcome=f"the fresh data did not pass: {reason}")
    if code in _LASTING:
        return give_up(ws, retraining, f"training failed: {reason}")
    if code == BusyError.code:
        raise BusyError(reason, hint="it is tried again by itself")
    raise UnavailableError(f"training ended with status {end.status}: {reason}", hint="see the incident's outcome")


def _ask(ws: Workspace, retraining: Retraining) -> Retraining:
    _, model = ws.get_model(retraining.model)
    if model.deploy.approval == "none":
        return move_on(ws, retraining, RetrainingState.DEPLOYING)
    verdict = find_verdict(registry.get_version(ws, retraining.model, retraining.challenger))
    if verdict is None:
        return give_up(ws, retraining, f"{retraining.model}:{retraining.challenger} has no verdict")
    ask(ws, retraining, verdict)
    return get_retraining(ws, retraining.id)


def _watch(ws: Workspace, retraining: Retraining) -> Retraining:
    """Take the question back if what it compares with is no longer live."""
    asked = get_approval(ws, retraining.approval_id or 0)
    champion = registry.find_champion(ws, retraining.model)
    live = None if champion is None else champion.version
    subject = f"{asked.model}:{asked.version}"
    if asked.state is not ApprovalState.WAITING:
        return retraining
    if live == asked.version:
        withdraw(ws, retraining, f"{subject} was deployed by hand", to=RetrainingState.DEPLOYING)
    elif live != asked.champion:
        reason = f"{subject} was compared with version {asked.champion or 'none'}, but version {live or 'none'} is live"
        withdraw(ws, retraining, reason, to=RetrainingState.LOST)
    return get_retraining(ws, retraining.id)


def _version_of(ws: Workspace, retraining: Retraining) -> DatasetVersion:
    _, model = ws.get_model(retraining.model)
    return get_version(ws, model.retrain.dataset, version=retraining.dataset_version)


def _code_of(ws: Workspace, retraining: Retraining) -> str:
    """Return the commit to train with: the champion's own, so that only the data is new; else what is checked out."""
    champion = registry.find_champion(ws, retraining.model)
    if champion is not None and champion.certificate.commit and not champion.certificate.is_dirty:
        return champion.certificate.commit
    return read_state(ws.root).commit


def _tree_of(ws: Workspace, retraining: Retraining) -> Path:
    return ws.state / TREES_FOLDER / str(retraining.id)


def _explain(verdict: Verdict) -> str:
    return "; ".join(f"{check.name}: {check.message}" for check in verdict.checks if not check.passed)
