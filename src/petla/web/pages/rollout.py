"""A rollout's page: what the champion and each version beside it did, and where they decide otherwise."""

import msgspec

from petla.core.errors import NotFoundError
from petla.deployments.beside.rollout import Rollout, RolloutState
from petla.deployments.beside.rollouts import list_rollouts
from petla.deployments.deploy import find_deployment
from petla.monitoring.rollouts.comparison import AnswerShare, Comparison, Pair, Rate
from petla.monitoring.rollouts.report import RolloutReport, make_report
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import find_moment, make_moment
from petla.web.pieces import Badge, Moment, Row

_TONES: dict[RolloutState, str] = {
    RolloutState.RUNNING: "warm",
    RolloutState.PROMOTED: "good",
    RolloutState.STOPPED: "calm",
    RolloutState.ROLLED_BACK: "bad",
    RolloutState.REFUSED: "bad",
}

_ROLLOUTS_SHOWN = 20


class ArmLine(msgspec.Struct, frozen=True, kw_only=True):
    """The champion or a version beside it."""

    name: str
    version: str
    href: str
    share: str
    decisions: str
    failed: str
    slow: str
    wrong: str
    latency: str


class RolloutLine(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout in the list of all."""

    name: str
    href: str
    badge: Badge
    shares: str
    started: Moment
    is_shown: bool


class PairsPart(msgspec.Struct, frozen=True, kw_only=True):
    """What the champion and a version beside it said to the same requests."""

    # unique on the page
    id: str
    # of the version: shadow, canary, or the arm's own
    name: str
    # how many there are; empty: none
    pairs: str
    rates: tuple[Row, ...]
    # whose time is that of the whole request; the other's is that of its model
    champion: str
    other: str
    quantiles: tuple[tuple[str, str, str, str], ...]
    answers: tuple[tuple[str, str, str, str], ...]
    directions: tuple[tuple[str, str, str], ...]
    segments: tuple[tuple[str, str, str], ...]
    changed: tuple[tuple[str, str, str, str], ...]


class RolloutPage(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a rollout."""

    model: str
    model_href: str
    # empty: there was none yet
    title: str
    kind: str = ""
    badge: Badge | None = None
    is_running: bool = False
    started: Moment | None = None
    started_by: str = ""
    ended: Moment | None = None
    outcome: str = ""
    shares: str = ""
    alarms: tuple[str, ...] = ()
    confidence: str = ""
    arms: tuple[ArmLine, ...] = ()
    # versions that may be promoted
    versions: tuple[int, ...] = ()
    # of the shadow, or of each arm
    pairs: tuple[PairsPart, ...] = ()
    standby: str = ""
    # what runs, or ran, beside the champion, newest first; empty: only the one that is shown
    rollouts: tuple[RolloutLine, ...] = ()


def make_rollout(ws: Workspace, model: str, rollout: int | None = None) -> RolloutPage:
    """Return a rollout's page; None: the one that runs, else the last, else a page that says how to start one.

    Raises:
        NotFoundError: the project file has no such model, or it no such rollout.
    """
    ws.get_model(model)
    try:
        report = make_report(ws, model, rollout)
    except NotFoundError:
        if rollout is not None:
            raise
        return RolloutPage(model=model, model_href=f"/models/{model}", title="")
    found, now = report.rollout, ws.clock()
    deployed = find_deployment(ws, model)
    names = ", ".join(f"{model}:{arm.version}" for arm in found.arms)
    return RolloutPage(
        model=model,
        model_href=f"/models/{model}",
        title=f"{names} as {found.kind} beside {model}:{found.champion}",
        kind=str(found.kind),
        badge=Badge(str(found.state), _TONES[found.state]),
        is_running=found.ended_at is None,
        started=make_moment(found.started_at, now),
        started_by=found.started_by,
        ended=find_moment(found.ended_at, now),
        outcome=found.outcome,
        shares=show_shares(found),
        alarms=report.alarms,
        confidence=figures.share(report.confidence),
        arms=_list_arms(report),
        versions=tuple(arm.version for arm in found.arms),
        standby=f"{model}:{deployed.standby}" if deployed is not None and deployed.standby else "",
        pairs=_list_pairs(report),
        rollouts=_list_rollouts(ws, found),
    )


def show_shares(rollout: Rollout) -> str:
    """Write who answers which share, and which steps come."""
    arms = ", ".join(f"{arm.name} {rollout.model}:{arm.version} {figures.share(arm.share)}" for arm in rollout.arms)
    steps = ", then ".join(figures.share(share) for share in rollout.steps if share > rollout.arms[0].share)
    return f"{arms}; then {steps}" if steps else arms


def _list_rollouts(ws: Workspace, shown: Rollout) -> tuple[RolloutLine, ...]:
    found = list_rollouts(ws, shown.model, limit=_ROLLOUTS_SHOWN)
    if len(found) < 2:
        return ()
    now = ws.clock()
    return tuple(
        RolloutLine(
            name=f"{each.kind} {each.id}",
            href=f"/models/{each.model}/rollouts/{each.id}",
            badge=Badge(str(each.state), _TONES[each.state]),
            shares=show_shares(each),
            started=make_moment(each.started_at, now),
            is_shown=each.id == shown.id,
        )
        for each in found
    )


def _list_arms(report: RolloutReport) -> tuple[ArmLine, ...]:
    model = report.rollout.model
    return tuple(
        ArmLine(
            name=arm.name,
            version=f"{model}:{arm.version}",
            href=f"/models/{model}/versions/{arm.version}",
            share=figures.share(arm.share),
            decisions=figures.count(arm.decisions),
            failed=_show_rate(arm.failed),
            slow=_show_rate(arm.slow),
            wrong=_show_rate(arm.wrong),
            latency="not known yet"
            if arm.p50_us is None or arm.p99_us is None
            else f"{arm.p50_us / 1e3:.3g} ms, 99 of 100 below {arm.p99_us / 1e3:.3g} ms",
        )
        for arm in report.arms
    )


def _list_pairs(report: RolloutReport) -> tuple[PairsPart, ...]:
    if report.comparison is not None:
        return (_make_pairs("shadow", report.comparison, "Champion, whole request", "Shadow, its model"),)
    return tuple(
        _make_pairs(arm.name, arm.comparison, "Champion, its model", f"{arm.name.capitalize()}, whole request")
        for arm in report.arms
        if arm.comparison is not None
    )


def _make_pairs(name: str, it: Comparison, champion: str, other: str) -> PairsPart:
    return PairsPart(
        id=f"pairs-{name}",
        name=name,
        pairs=figures.count(it.pairs) if it.pairs else "",
        champion=champion,
        other=other,
        rates=(
            Row("Identical", _show_rate(it.identical), "the same answer and the same score"),
            Row("Decided otherwise", _show_rate(it.flipped)),
            Row("Failed", _show_rate(it.failed)),
            Row("Score shifted", figures.signed(it.mean_shift), "on average"),
        ),
        quantiles=tuple(
            (
                figures.share(each.share),
                f"{each.difference:.3g}",
                f"{each.champion_us / 1e3:.3g} ms",
                f"{each.challenger_us / 1e3:.3g} ms",
            )
            for each in it.quantiles
        ),
        answers=tuple(
            (str(each.answer), _show_share(each.champion), _show_share(each.other), _show_difference(each))
            for each in it.answers
        ),
        directions=tuple((str(each.before), str(each.after), figures.count(each.n)) for each in it.directions),
        segments=tuple((each.input, each.value, _show_rate(each.flipped)) for each in it.segments),
        changed=tuple(_show_case(pair) for pair in it.changed),
    )


def _show_case(pair: Pair) -> tuple[str, str, str, str]:
    inputs = ", ".join(f"{name} {value}" for name, value in pair.inputs.items())
    answer = f"{pair.label} → {pair.other_label}" if pair.label != pair.other_label else str(pair.label)
    return pair.decision_id, answer, f"{pair.score:.3g} → {pair.other_score:.3g}", inputs[:200]


def _show_share(rate: Rate) -> str:
    return f"{figures.share(rate.n, rate.of)} ({figures.count(rate.n)} of {figures.count(rate.of)})"


def _show_difference(it: AnswerShare) -> str:
    difference, low, high = (
        f"{100 * value:+.1f}".replace("-", figures.MINUS) for value in (it.difference, it.low, it.high)
    )
    return f"{difference} points ({low} to {high})"


def _show_rate(rate: Rate) -> str:
    if not rate.of:
        return "not enough data"
    span = f"{figures.share(rate.low)} to {figures.share(rate.high)}"
    return f"{figures.share(rate.n, rate.of)} ({figures.count(rate.n)} of {figures.count(rate.of)}; {span})"
