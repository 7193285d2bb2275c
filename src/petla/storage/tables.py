"""Every table, in the order of a model's life. Rows belong to a project; moments are ISO 8601 texts in UTC, which sort.

The migrations create exactly these; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite numbers only INTEGER primary keys by itself.
_Sequence = BigInteger().with_variant(Integer, "sqlite")


def _texts(*names: str) -> list[Column[Any]]:
    return [Column(name, Text, nullable=False) for name in names]


def _of_version() -> list[Column[Any]]:
    return [*_texts("project", "model"), Column("version", Integer, nullable=False)]


def _of_window() -> list[Column[Any]]:
    return [*_of_version(), *(Column(name, Integer, nullable=False) for name in ("number", "rows"))]


def _only_where(condition: str) -> dict[str, Any]:
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}


audit = Table(
    "audit",
    metadata,
    Column("project", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    *_texts("at", "actor"),
    # action: noun.past_verb, such as model.promoted; subject: of the action, such as delay:3
    *_texts("action", "subject", "reason"),
    # details: JSON object of figures and names
    *_texts("details", "previous", "hash"),
    Column("signature", LargeBinary, nullable=False),
    PrimaryKeyConstraint("project", "seq"),
)

projects = Table(
    "projects",
    metadata,
    Column("project", Text, primary_key=True),
    # hexadecimal digits: whose it is, whatever its name
    Column("public_key", Text, nullable=False),
    # number and hash of the newest audit entry, and the key's signature of both
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

controllers = Table(
    "controllers",
    metadata,
    Column("project", Text, primary_key=True),
    # instance: random; place: the same for all that share a state folder
    *_texts("instance", "place", "host"),
    Column("pid", BigInteger, nullable=False),
    # grows as long as the controller lives
    Column("beat", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("project", Text, nullable=False),
    # counts from 1 and is never used twice
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    # hash: SHA-256 of the key, which is kept nowhere; scopes: words with spaces between them
    *_texts("hash", "scopes"),
    # 0: no limit
    Column("rate_per_s", Float, nullable=False),
    Column("burst", Integer, nullable=False),
    *_texts("created_at", "created_by"),
    # None: it opens something
    Column("revoked_at", Text),
    PrimaryKeyConstraint("project", "number"),
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    *_texts("project", "dataset"),
    Column("version", Integer, nullable=False),
    # digest: of the manifest, a list of path, size, object; md5: DVC's, of the file or of the listing with `.dir`
    *_texts("digest", "md5"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("files", Integer, nullable=False),
    # None: not a table
    Column("rows", BigInteger),
    # object that holds the profile; None: not a table
    Column("profile", Text),
    # added by a person, or exported from decisions
    *_texts("source", "created_at", "created_by"),
    PrimaryKeyConstraint("project", "dataset", "version"),
    UniqueConstraint("project", "dataset", "digest"),
)

forgotten = Table(
    "forgotten",
    metadata,
    # object: whose bytes were removed everywhere; md5: DVC's name for the same bytes
    *_texts("project", "object", "md5", "dataset"),
    # of the file in the dataset; '' where the dataset is one file
    *_texts("path", "reason", "at", "by"),
    PrimaryKeyConstraint("project", "object", "dataset", "path"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _Sequence, primary_key=True),
    *_texts("project", "model"),
    # running, done, failed, interrupted
    Column("state", Text, nullable=False),
    # person, retraining:7
    *_texts("cause", "commit"),
    Column("dirty", Boolean, nullable=False),
    # JSON objects
    *_texts("parameters", "data", "metrics"),
    # JSON list of steps: name, key, cached, seconds
    *_texts("steps", "error", "started_at"),
    Column("finished_at", Text),
    Column("started_by", Text, nullable=False),
    Index("runs_by_model", "project", "model", "id"),
)

model_versions = Table(
    "model_versions",
    metadata,
    *_of_version(),
    Column("state", Text, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    # package: digest of the signed manifest; certificate: JSON
    *_texts("package", "certificate"),
    # JSON of the gates' verdict; empty: not judged yet
    *_texts("verdict", "created_at"),
    PrimaryKeyConstraint("project", "model", "version"),
)

deployments = Table(
    "deployments",
    metadata,
    *_texts("project", "model"),
    Column("live", Integer, nullable=False),
    # kept in memory by the workers, so that a rollback is one swap
    Column("standby", Integer),
    *_texts("changed_at", "changed_by"),
    PrimaryKeyConstraint("project", "model"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("project", Text, nullable=False),
    Column("number", Integer, nullable=False),
    *_texts("document", "at"),
    PrimaryKeyConstraint("project", "number"),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", _Sequence, primary_key=True),
    # kind: shadow, canary, experiment; state: running, or how it ended
    *_texts("project", "model", "kind", "state"),
    # version that the arms are compared with
    Column("champion", Integer, nullable=False),
    # arms: JSON list of name, version, share; salt: divides the subjects; steps: JSON list of a canary's shares
    *_texts("arms", "salt", "steps"),
    Column("step_minutes", Float, nullable=False),
    *_texts("started_at", "started_by", "stepped_at"),
    Column("ended_at", Text),
    # evidence: JSON of what was counted of each arm
    *_texts("outcome", "evidence"),
    Index("rollouts_by_model", "project", "model", "id"),
    Index("rollouts_by_state", "project", "state", "id"),
)

# On PostgreSQL a table of its own for each project and day, see `storage.partitions`; what is unique names the day.
decisions = Table(
    "decisions",
    metadata,
    # in the order in which they were shipped
    Column("seq", _Sequence, primary_key=True),
    *_texts("id", "project", "request_id", "at", "model"),
    Column("version", Integer, nullable=False),
    # inputs: JSON object, field -> value as scored; label: JSON of the decided class or the predicted number
    *_texts("inputs", "label"),
    # probability of the positive class (binary) or of the decided class; the number itself for a regression
    Column("score", Float, nullable=False),
    Column("served_by", Text, nullable=False),
    Column("latency_us", Integer, nullable=False),
    *_texts("worker", "trace_id", "arm"),
    # JSON list of names
    *_texts("flags", "subject"),
    # JSON list: effect of each input; empty: none
    Column("explanation", Text, nullable=False),
    # NOTE: indexes in which every new row comes last are cheap to keep, and the newest rows are found without sorting.
    Index("decisions_by_model", "project", "model", "at", "seq"),
    Index("decisions_by_project", "project", "at", "seq"),
    # of the few rows that have one
    Index("decisions_by_subject", "project", "subject", "at", **_only_where("subject <> ''")),
    Index("decisions_by_flag", "project", "at", "seq", **_only_where("flags <> '[]'")),
    # NOTE: unique on `id` alone would not do: SQLite then looks an id up through an index above, row by row.
    UniqueConstraint("project", "id", "at"),
    postgresql_partition_by="RANGE (project, at)",
)

# what a version that nobody sees would have answered; by day on PostgreSQL, as decisions are
shadows = Table(
    "shadows",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    *_texts("project", "decision_id", "at", "model"),
    Column("version", Integer, nullable=False),
    # JSON value; null: it failed
    Column("label", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("latency_us", Integer, nullable=False),
    *_texts("worker", "error"),
    Index("shadows_by_decision", "project", "decision_id"),
    Index("shadows_by_version", "project", "model", "version", "at", "seq"),
    Index("shadows_by_project", "project", "at", "seq"),
    postgresql_partition_by="RANGE (project, at)",
)

# NOTE: what is a key of a table with days must name the day, and nobody looks a row up by its number alone.
for _table in (decisions, shadows):
    _table.primary_key.ddl_if(dialect="sqlite")

feedback = Table(
    "feedback",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    *_texts("project", "decision_id"),
    # JSON value: what turned out to be true
    Column("truth", Text, nullable=False),
    # when it was reported
    Column("at", Text, nullable=False),
    # the moment of its decision, which finds it among the days; none: the log does not have the decision
    Column("decided_at", Text),
    # what it is to its decision: first, repeated, corrected, waiting, late, unknown class
    Column("status", Text, nullable=False, server_default="first"),
    Index("feedback_by_decision", "project", "decision_id", "seq"),
    # what came after a row; the controller asks several times a second
    Index("feedback_by_project", "project", "seq"),
    # what waits for its decision, and what goes when its decision goes
    Index("feedback_by_day", "project", "decided_at"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    # id: of the decision
    *_texts("project", "id", "model"),
    Column("version", Integer, nullable=False),
    # label: JSON of the provisional answer; flags: JSON list of the guards that sent it here; state: waiting, decided
    *_texts("at", "label", "flags", "state"),
    # JSON: the person's answer; None: not yet
    Column("answer", Text),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", Text),
    Column("reason", Text, nullable=False),
    # when the webhook is called next; None: there is nothing to deliver
    Column("deliver_at", Text),
    Column("attempts", Integer, nullable=False),
    Column("delivered_at", Text),
    Column("delivery_error", Text, nullable=False),
    UniqueConstraint("project", "id"),
    Index("reviews_by_state", "project", "state", "seq"),
    Index("reviews_by_delivery", "project", "deliver_at"),
)

spool_positions = Table(
    "spool_positions",
    metadata,
    # stream: worker and kind of records, such as 0/decisions
    *_texts("project", "stream"),
    *(Column(name, BigInteger, nullable=False) for name in ("segment", "offset")),
    PrimaryKeyConstraint("project", "stream"),
)

trusted_clocks = Table("trusted_clocks", metadata, Column("project", Text, primary_key=True), *_texts("at"))

windows = Table(
    "windows",
    metadata,
    *_of_window(),
    # JSON: feature -> counts along the profile's edges
    Column("counts", Text, nullable=False),
    Column("closed", Boolean, nullable=False),
    *_texts("started_at", "ended_at"),
    PrimaryKeyConstraint("project", "model", "version", "number"),
)

quality_windows = Table(
    "quality_windows",
    metadata,
    *_of_window(),
    # JSON: metric -> value
    Column("metrics", Text, nullable=False),
    # newest feedback row that was counted
    Column("last_feedback", BigInteger, nullable=False),
    *_texts("started_at", "ended_at"),
    # JSON: metric -> why these labels do not give it
    Column("absent", Text, nullable=False, server_default="{}"),
    # labels that are no class of the model, or no number
    Column("unusable", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("project", "model", "version", "number"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", _Sequence, primary_key=True),
    *_of_version(),
    # drift, quality
    Column("kind", Text, nullable=False),
    Column("window", Integer, nullable=False),
    # feature or metric
    *_texts("what", "measure"),
    Column("value", Float, nullable=False),
    Column("limit", Float),
    Column("rows", Integer, nullable=False),
    Column("is_alarm", Boolean, nullable=False),
    Column("at", Text, nullable=False),
    # why it was not judged
    Column("note", Text, nullable=False, server_default=""),
    Index("findings_by_window", "project", "model", "version", "kind", "window"),
    Index("findings_by_alarm", "project", "model", "version", "kind", "is_alarm", "id"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", _Sequence, primary_key=True),
    *_of_version(),
    # kind: drift, quality; names the playbook. state: open, acknowledged, resolved
    *_texts("kind", "state", "title"),
    # evidence: JSON list of the alarms that opened or joined the incident
    *_texts("evidence", "owner", "opened_at"),
    Column("acknowledged_at", Text),
    Column("resolved_at", Text),
    Column("outcome", Text, nullable=False),
    Index("incidents_by_state", "project", "state", "id"),
)

retrainings = Table(
    "retrainings",
    metadata,
    Column("id", _Sequence, primary_key=True),
    *_texts("project", "model"),
    Column("incident_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    # filled in as it goes on
    Column("dataset_version", Integer),
    Column("commit", Text, nullable=False),
    Column("candidate", Integer),
    Column("approval_id", BigInteger),
    # newest feedback row when it began: the next one wants fresher labels
    Column("last_feedback", BigInteger, nullable=False),
    *_texts("outcome", "started_at", "changed_at"),
    Index("retrainings_by_state", "project", "model", "state"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", _Sequence, primary_key=True),
    *_of_version(),
    Column("champion", Integer),
    # state: waiting, granted, refused, withdrawn; question: one sentence with the figures
    *_texts("state", "question", "asked_by", "asked_at", "decided_by"),
    Column("decided_at", Text),
    Column("reason", Text, nullable=False),
    Index("approvals_by_state", "project", "state", "id"),
)
