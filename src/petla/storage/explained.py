"""What the audit entries say that rows must be, and whether they are.

Rows decide what serves, the entries are signed: a row that no entry explains was written by somebody else. Held against
their entries are model versions, deployments, approvals, keys of the data plane, and snapshots.

- Entries of 0.1.0 say less: a certificate, a verdict, a standby version or a snapshot is compared where its entry names
  it, and such a snapshot by the versions in it.
- Other rows, such as runs, incidents and dataset versions, decide nothing of what serves, and are not compared.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import msgspec
from sqlalchemy import Connection, Row, Table, select

from petla.core.digests import digest_bytes
from petla.core.errors import CorruptError
from petla.storage.tables import (
    api_keys,
    approvals,
    dataset_versions,
    deployments,
    incidents,
    model_versions,
    retrainings,
    rollouts,
    runs,
    snapshots,
)

_ADVICE = "compare the database with a backup; 'petla audit list' says what was changed through Pętla"
# written together with an entry, and never without one
_AUDITED = (dataset_versions, runs, model_versions, deployments, snapshots, rollouts, incidents, retrainings, approvals)
_ANSWERS = {"approval.granted": "granted", "approval.refused": "refused", "approval.withdrawn": "withdrawn"}


class KeyThen(msgspec.Struct, frozen=True):
    """A key of the data plane as its entry has it."""

    subject: str
    scopes: frozenset[str]
    rate_per_s: float
    hash: str | None


class _Document(msgspec.Struct):
    routes: dict[str, Any] = {}


class Witness:
    """What the entries of a project say; `see` them in their order."""

    def __init__(self) -> None:
        # model:version -> state, package, digest of the certificate, digest of the verdict
        self.states: dict[str, str] = {}
        self.packages: dict[str, str] = {}
        self._certificates: dict[str, str] = {}
        self._verdicts: dict[str, str] = {}
        # model -> live and standby
        self._served: dict[str, tuple[int | None, int | None]] = {}
        # number -> digest; None: the entry does not say
        self._snapshots: dict[int, str | None] = {}
        # number, or the question where the entry does not say the number -> state and by whom
        self._asked: dict[int | str, str] = {}
        self._answers: dict[int, tuple[str, str]] = {}
        self._keys: dict[int, KeyThen] = {}
        self._revoked: set[int] = set()

    def see(self, action: str, subject: str, actor: str, details: dict[str, Any]) -> None:
        """Take an entry in."""
        if action == "model.registered":
            self._see_version(subject, {"state": "candidate", **details})
        for name, said in details.items():
            if ":" in name and isinstance(said, dict):
                self._see_version(name, said)
        if isinstance(details.get("snapshot"), int):
            self._snapshots[details["snapshot"]] = details.get("document")
        if isinstance(served := details.get("served"), dict):
            self._served[served["model"]] = served["live"], served["standby"]
        self._see_approval(action, subject, actor, details)
        self._see_key(action, subject, details)

    def require(self, model: str, version: int, *, state: str, package: str) -> None:
        """Accept a version only as its entries have it.

        Raises:
            CorruptError: no entry explains it; the message says what differs.
        """
        name = f"{model}:{version}"
        if name not in self.states:
            _refuse(f"no audit entry registered model version {name}")
        if self.states[name] != state:
            _refuse(f"model version {name} is in state {state}, but its audit entries say {self.states[name]}")
        if self.packages.get(name) != package:
            _refuse(f"model version {name} has another package than its audit entry names")

    def hold(self, connection: Connection, project: str) -> None:
        """Hold the rows of a project against the entries.

        Raises:
            CorruptError: a row is not what its entries say, or one that they speak of is gone; the message names it.
        """
        self._hold_versions(_rows_of(connection, model_versions, project))
        self._hold_deployments(_rows_of(connection, deployments, project))
        self._hold_approvals(_rows_of(connection, approvals, project))
        self._hold_keys(_rows_of(connection, api_keys, project))
        self._hold_snapshots(_rows_of(connection, snapshots, project))

    def _see_version(self, name: str, said: dict[str, Any]) -> None:
        state = said.get("to") or said.get("state")
        if isinstance(state, str):
            self.states[name] = state
        for found, key in (
            (self.packages, "package"),
            (self._certificates, "certificate"),
            (self._verdicts, "verdict"),
        ):
            if isinstance(said.get(key), str):
                found[name] = said[key]

    def _see_approval(self, action: str, subject: str, actor: str, details: dict[str, Any]) -> None:
        if action == "approval.asked":
            self._asked[details.get("approval", details.get("question", ""))] = subject
        elif action in _ANSWERS:
            self._answers[details.get("approval", 0)] = _ANSWERS[action], actor

    def _see_key(self, action: str, subject: str, details: dict[str, Any]) -> None:
        if action == "key.added":
            scopes = frozenset(details.get("scopes", ()))
            made = KeyThen(subject, scopes, float(details.get("rate_per_s", 0)), details.get("hash"))
            self._keys[details.get("number", 0)] = made
        elif action == "key.revoked":
            self._revoked |= {number for number, key in self._keys.items() if key.subject == subject}

    def _hold_versions(self, rows: Iterable[Row[Any]]) -> None:
        gone = set(self.packages)
        for row in rows:
            name = f"{row.model}:{row.version}"
            self.require(row.model, row.version, state=row.state, package=row.package)
            _compare(f"the certificate of model version {name}", row.certificate, self._certificates.get(name))
            _compare(f"the verdict on model version {name}", row.verdict, self._verdicts.get(name))
            gone.discard(name)
        if gone:
            _refuse(f"model version {min(gone)} was registered, but is not in the database")

    def _hold_deployments(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            served = self._served.get(row.model, (row.live, row.standby))
            if self.states.get(f"{row.model}:{row.live}") != "production" or served != (row.live, row.standby):
                _refuse(f"no audit entry deployed {row.model}:{row.live} with {row.standby or 'nothing'} standing by")

    def _hold_approvals(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            asked = self._asked.get(row.id, self._asked.get(row.question))
            if asked != f"{row.model}:{row.version}":
                _refuse(f"no audit entry asked for approval {row.id} of {row.model}:{row.version}")
            state, actor = self._answers.get(row.id, ("waiting", ""))
            if (row.state, row.decided_by) != (state, actor):
                said = f"{state} by {actor}" if actor else state
                _refuse(f"approval {row.id} is {row.state} by {row.decided_by!r}, but its audit entries say {said}")

    def _hold_keys(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            made = self._keys.get(row.number)
            digest = digest_bytes(row.hash.encode()) if made is not None and made.hash is not None else None
            if made != KeyThen(f"key:{row.name}", frozenset(row.scopes.split()), row.rate_per_s, digest):
                _refuse(f"no audit entry added the key {row.name!r} as it is in the database")
            if row.revoked_at is None and row.number in self._revoked:
                _refuse(f"the key {row.name!r} was revoked, but the database says that it counts")

    def _hold_snapshots(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            _compare(f"snapshot {row.number}", row.document, self._snapshots.get(row.number))
            for model, variant in _list_variants(row):
                name = f"{model}:{variant['version']}"
                if row.number not in self._snapshots or self.packages.get(name) != variant["package"]:
                    _refuse(f"no audit entry published snapshot {row.number} with {name}")


def has_audited_rows(connection: Connection, project: str) -> bool:
    """Whether a project has rows that are written together with an audit entry only."""
    found = (select(table.c.project).where(table.c.project == project).limit(1) for table in _AUDITED)
    return any(connection.execute(query).first() is not None for query in found)


def _rows_of(connection: Connection, table: Table, project: str) -> Iterator[Row[Any]]:
    yield from connection.execute(select(table).where(table.c.project == project))


def _list_variants(row: Row[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the versions that a snapshot names, with their models."""
    try:
        routes = msgspec.json.decode(row.document, type=_Document).routes
    except msgspec.DecodeError:
        _refuse(f"snapshot {row.number} is damaged")
    yield from ((model, variant) for model, route in routes.items() for variant in _find_variants(route))


def _find_variants(value: object) -> Iterator[dict[str, Any]]:
    """Return what is a version with its package, at any depth of a route."""
    if isinstance(value, dict):
        if "version" in value and "package" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _find_variants(each)


def _compare(what: str, text: str, digest: str | None) -> None:
    if digest is not None and digest_bytes(text.encode()) != digest:
        _refuse(f"{what} is not the one that its audit entry names")


def _refuse(message: str) -> NoReturn:
    raise CorruptError(message, hint=_ADVICE)
