"""What each page shows, as frozen values: texts are ready to print, and templates only place them."""

from http import HTTPStatus

import msgspec

from petla.web.charts import IntervalChart, Loop
from petla.web.pieces import Badge, Drift, Figure, Moment, Quality, Row, TrafficBlock, VerdictBlock


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around every page."""

    project: str
    actor: str
    csrf_token: str
    # light, dark, or empty: as the system says
    theme: str
    # path of this page, for the navigation, and with its query for the way back
    path: str
    query: str = ""
    waiting: int = 0
    unresolved: int = 0
    reviews: int = 0
    # only what refreshes is wanted, without head and scripts
    is_fragment: bool = False


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should look at, and the way there."""

    kind: str
    title: str
    detail: str
    href: str
    action: str
    is_urgent: bool = False


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """One model on the overview."""

    name: str
    href: str
    # what it predicts
    purpose: str
    # live version such as delay:3; empty: none
    live: str
    live_href: str
    live_since: Moment | None
    standby: str
    # what runs beside the live version, each with the way to its report
    beside: tuple[Row, ...]
    loop: Loop
    # where it is on its way round, as a sentence
    stage: str
    badge: Badge
    quality: Quality
    drift: Drift
    traffic: TrafficBlock
    incidents: Figure
    # the next action while nothing is live; empty: something is
    next_action: str
    next_command: str


class OverviewPage(msgspec.Struct, frozen=True, kw_only=True):
    """All models at this moment."""

    headline: str
    detail: str
    notes: tuple[Note, ...]
    models: tuple[ModelCard, ...]


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """Challenger and champion on the same rows."""

    metric: str
    challenger: Figure
    champion: Figure
    # how much better the challenger is, whichever way the metric counts
    gain: str
    is_better: bool
    interval: IntervalChart
    interval_text: str
    margin_text: str


class MetricLine(msgspec.Struct, frozen=True):
    """One metric of two versions, each measured on its own holdout."""

    name: str
    challenger: str
    champion: str


class ApprovalPage(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person, with its evidence."""

    id: int
    title: str
    question: str
    badge: Badge
    is_waiting: bool
    asked_by: str
    asked_at: Moment
    decided_by: str
    decided_at: Moment | None
    reason: str
    challenger: str
    challenger_href: str
    champion: str
    champion_href: str
    contest: Contest | None
    verdict: VerdictBlock | None
    metrics: tuple[MetricLine, ...]
    origin: tuple[Row, ...]
    # what was wrong with the answer just given, and what had been typed
    fault: str = ""
    typed: str = ""


class ApprovalLine(msgspec.Struct, frozen=True):
    """A request in a list."""

    id: int
    href: str
    title: str
    question: str
    badge: Badge
    asked_at: Moment
    decided: str


class ApprovalsPage(msgspec.Struct, frozen=True):
    """All requests, those that wait first."""

    waiting: tuple[ApprovalLine, ...]
    answered: tuple[ApprovalLine, ...]


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A version in a list."""

    name: str
    href: str
    badge: Badge
    metric: str
    cause: str
    made_at: Moment
    verdict: Badge
    is_shown: bool


class CertificateBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A birth certificate."""

    name: str
    badge: Badge
    made: tuple[Row, ...]
    sources: tuple[Row, ...]
    metrics: tuple[Row, ...]
    package: tuple[Row, ...]
    inputs: tuple[Row, ...]
    environment: tuple[Row, ...]


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """A model: what is live, how it does, its versions, and one version's certificate."""

    card: ModelCard
    metric: str
    versions: tuple[VersionLine, ...]
    certificate: CertificateBlock | None
    verdict: VerdictBlock | None


class Step(msgspec.Struct, frozen=True):
    """One point of a timeline."""

    name: str
    at: Moment | None
    note: str
    is_done: bool


class AlarmLine(msgspec.Struct, frozen=True):
    """One alarm of an incident."""

    what: str
    measure: str
    value: str
    limit: str
    window: int
    rows: str
    at: Moment


class IncidentPage(msgspec.Struct, frozen=True, kw_only=True):
    """An incident with its playbook."""

    id: int
    title: str
    detail: str
    badge: Badge
    model: str
    model_href: str
    owner: str
    timeline: tuple[Step, ...]
    meaning_title: str
    meaning: str
    steps: tuple[str, ...]
    automatic: str
    alarms: tuple[AlarmLine, ...]
    retraining: tuple[Row, ...]
    approval_href: str
    outcome: str
    # why nothing was done yet; empty: it is over
    waits: str
    can_acknowledge: bool
    can_resolve: bool
    fault: str = ""
    typed: str = ""


class IncidentLine(msgspec.Struct, frozen=True):
    """An incident in a list."""

    id: int
    href: str
    title: str
    detail: str
    model: str
    badge: Badge
    opened_at: Moment
    lasted: str
    owner: str


class IncidentsPage(msgspec.Struct, frozen=True):
    """All incidents, those that are not over first."""

    current: tuple[IncidentLine, ...]
    resolved: tuple[IncidentLine, ...]


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit trail."""

    seq: int
    at: Moment
    actor: str
    action: str
    subject: str
    reason: str
    details: tuple[Row, ...]
    hash: str


class AuditPage(msgspec.Struct, frozen=True):
    """The newest entries."""

    entries: tuple[AuditLine, ...]


class ErrorPage(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong and what to do next."""

    status: HTTPStatus
    title: str
    message: str
    hint: str
    command: str
