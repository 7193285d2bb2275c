"""The overview: each model with live version, traffic, quality, drift and incidents, and what waits for a person."""

from collections.abc import Iterator, Sequence

from petla.core.project import ModelTable
from petla.decisions.losses import count_losses, describe_losses
from petla.decisions.reviews.reviewing import count_waiting
from petla.deployments.deploy import Deployment, find_deployment
from petla.incidents.incident import Incident
from petla.incidents.incidents import list_unresolved
from petla.loop.approvals import Approval, ApprovalState, list_approvals
from petla.loop.controller import explain_waiting
from petla.loop.retraining.retrainings import list_retrainings
from petla.loop.retraining.states import Retraining, RetrainingState
from petla.models.registry import list_versions
from petla.models.states import State
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import find_moment, make_drift, make_quality, make_traffic, split_title
from petla.web.charts import STOPS, draw_loop
from petla.web.contexts import ModelCard, Note, OverviewPage
from petla.web.pages.rollout import show_shares
from petla.web.pieces import Badge, Figure, Row

_BARS_SHOWN = 5
_QUIET = "All quiet"
_STOP_OF = {name: i for i, name in enumerate(STOPS)}
_STAGES: dict[RetrainingState, tuple[str, str]] = {
    RetrainingState.WANTED: ("Retrain", "Collecting fresh labelled decisions to retrain on"),
    RetrainingState.EXPORTED: ("Retrain", "Committing the fresh dataset version"),
    RetrainingState.COMMITTED: ("Retrain", "Training a challenger on fresh data"),
    RetrainingState.TRAINED: ("Gates", "A challenger passed its gates"),
    RetrainingState.WAITING: ("Approve", "A challenger waits for a person's answer"),
    RetrainingState.DEPLOYING: ("Approve", "A challenger is going live"),
}


def make_overview(ws: Workspace) -> OverviewPage:
    """Ask the rooms what is going on, model by model."""
    cards = tuple(make_card(ws, name, table) for name, table in ws.project.models.items())
    waiting = list_approvals(ws, ApprovalState.WAITING)
    unresolved = list_unresolved(ws)
    reviews = [(name, n) for name in ws.project.models if (n := count_waiting(ws, name))]
    notes = (
        *map(_note_approval, waiting),
        *map(_note_incident, unresolved),
        *(_note_reviews(*pair) for pair in reviews),
        *_note_losses(ws),
    )
    n_live = sum(bool(card.live) for card in cards)
    parts = [
        figures.plural(len(cards), "model"),
        f"{n_live} live",
        figures.plural(len(unresolved), "incident") + " not resolved",
    ]
    headline = _make_headline(n_live, len(waiting), len(unresolved), sum(n for _, n in reviews))
    unjudged = [card.name for card in cards if card.live and card.quality.unjudged]
    if headline == _QUIET and unjudged:
        headline = f"The quality of {', '.join(unjudged)} is not judged"
    return OverviewPage(headline=headline, detail=" · ".join(parts), notes=notes, models=cards)


def make_card(ws: Workspace, name: str, table: ModelTable, *, bars: int | None = _BARS_SHOWN) -> ModelCard:
    """Return one model with everything the overview shows of it."""
    deployed = find_deployment(ws, name)
    unresolved = list_unresolved(ws, model=name)
    under_way = next(iter(list_retrainings(ws, model=name, is_open=True, limit=1)), None)
    quality = make_quality(ws, name, table, deployed.live if deployed else None)
    stop, stage = _find_stage(ws, deployed, unresolved, under_way, quality.unjudged)
    action, command = ("", "") if deployed else _find_next(ws, name)
    return ModelCard(
        name=name,
        href=f"/models/{name}",
        purpose=f"predicts {table.target} · {table.task}",
        live=f"{name}:{deployed.live}" if deployed else "",
        live_href=f"/models/{name}/versions/{deployed.live}" if deployed else "",
        live_since=find_moment(deployed.changed_at, ws.clock()) if deployed else None,
        standby=f"{name}:{deployed.standby}" if deployed and deployed.standby else "",
        beside=tuple(
            Row(str(each.kind), show_shares(each), href=f"/models/{name}/rollouts/{each.id}")
            for each in (deployed.rollouts if deployed else ())
        ),
        loop=draw_loop(stop, is_alarmed=bool(unresolved)),
        stage=stage,
        badge=_make_badge(deployed, unresolved, quality.unjudged),
        quality=quality,
        drift=make_drift(ws, name, deployed.live if deployed else None, shown=bars),
        traffic=make_traffic(ws, name, deployed.live if deployed else None),
        incidents=_make_incidents(unresolved),
        next_action=action,
        next_command=command,
    )


def _make_headline(n_live: int, n_waiting: int, n_unresolved: int, n_reviews: int) -> str:
    if n_waiting:
        return (
            "A challenger waits for your answer" if n_waiting == 1 else f"{n_waiting} challengers wait for your answer"
        )
    if n_unresolved:
        return "One incident needs a look" if n_unresolved == 1 else f"{n_unresolved} incidents need a look"
    if n_reviews:
        return "One decision waits for a person" if n_reviews == 1 else f"{n_reviews:,} decisions wait for a person"
    return _QUIET if n_live else "Nothing is live yet"


def _find_stage(
    ws: Workspace,
    deployed: Deployment | None,
    unresolved: Sequence[Incident],
    under_way: Retraining | None,
    unjudged: str,
) -> tuple[int | None, str]:
    if deployed is None:
        return None, "Not on its way yet"
    if under_way is not None:
        stop, sentence = _STAGES[under_way.state]
        return _STOP_OF[stop], sentence
    if unresolved:
        return _STOP_OF["Alarm"], f"An alarm is open; {explain_waiting(ws, unresolved[0])}"
    if unjudged:
        return _STOP_OF["Watch"], "Serving, but nobody knows how good: the newest window of labels has no figure"
    return _STOP_OF["Watch"], "Serving, and every window is watched"


def _make_badge(deployed: Deployment | None, unresolved: Sequence[Incident], unjudged: str) -> Badge:
    if deployed is None:
        return Badge("not live", "calm")
    if unresolved:
        return Badge("incident", "bad")
    return Badge("not judged", "warm") if unjudged else Badge("healthy", "good")


def _make_incidents(unresolved: Sequence[Incident]) -> Figure:
    href = f"/incidents/{unresolved[0].id}" if unresolved else "/incidents"
    newest = split_title(unresolved[0].title)[0] if unresolved else "none is open"
    unit = "incident" if len(unresolved) == 1 else "incidents"
    return Figure(figures.count(len(unresolved)), unit, newest, href, bool(unresolved))


def _find_next(ws: Workspace, name: str) -> tuple[str, str]:
    versions = list_versions(ws, name, limit=20)
    ready = next((version for version in versions if version.state is State.TESTING), None)
    if ready is not None:
        return f"{name}:{ready.version} passed its gates and can go live.", f"petla deploy {name}:{ready.version}"
    if versions:
        return (
            "No version passed its gates yet. Look at the verdicts, change something, run again.",
            f"petla run --model {name}",
        )
    return "No model yet.", "petla run"


def _note_approval(approval: Approval) -> Note:
    return Note(
        kind="Approval",
        title=f"Should {approval.model}:{approval.version} go live?",
        detail=approval.question,
        href=f"/approvals/{approval.id}",
        action="See the evidence",
        is_urgent=True,
    )


def _note_incident(incident: Incident) -> Note:
    title, figures_of_it = split_title(incident.title)
    owner = f"{incident.owner} answers for it" if incident.owner else "nobody answers for it yet"
    return Note(
        kind="Incident",
        title=title,
        detail=f"{figures_of_it} · {owner}",
        href=f"/incidents/{incident.id}",
        action="Open the playbook",
    )


def _note_reviews(model: str, n_waiting: int) -> Note:
    return Note(
        kind="Review",
        title=f"{figures.plural(n_waiting, 'decision')} of {model} to be decided by a person",
        detail="Answered provisionally, because a guard found something unusual.",
        href="/reviews",
        action="Decide",
    )


def _note_losses(ws: Workspace) -> Iterator[Note]:
    lost = describe_losses(count_losses(ws.state))
    if lost:
        yield Note(
            kind="Decision log",
            title=lost,
            detail='By serving.spool_full = "serve": the disk was full, or too much waited to be moved into the log.',
            href="/decisions",
            action="See the decisions",
        )
