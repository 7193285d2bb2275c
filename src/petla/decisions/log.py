"""Reading the decision log."""

from collections.abc import Sequence

import msgspec

from petla.core.errors import NotFoundError
from petla.decisions import records
from petla.decisions.feedback import records as labels
from petla.decisions.record import Labelled, LoggedDecision, Wanted
from petla.storage.database import reading
from petla.storage.workspace import Workspace

_ALL = Wanted()


class Page(msgspec.Struct, frozen=True):
    """Decisions that stand together in the log, newest first, and whether others stand beside them."""

    decisions: tuple[LoggedDecision, ...]
    has_newer: bool
    has_older: bool


def list_decisions(ws: Workspace, wanted: Wanted = _ALL, *, limit: int = 50) -> list[LoggedDecision]:
    """Return the newest of the decisions that are meant, the newest first.

    Those that are to be newer than a place are the ones next to it: so pages follow each other in both directions.
    """
    with reading(ws.engine) as connection:
        return records.list_decisions(connection, ws.name, wanted, limit)


def list_page(ws: Workspace, wanted: Wanted = _ALL, *, limit: int = 50) -> Page:
    """Return a page of what `list_decisions` lists."""
    found = list_decisions(ws, wanted, limit=limit + 1)
    is_more = len(found) > limit
    # NOTE: beside a place stands at least the decision that it was taken from.
    if wanted.newer_than is not None:
        return Page(tuple(found[-limit:]), has_newer=is_more, has_older=True)
    return Page(tuple(found[:limit]), has_newer=wanted.older_than is not None, has_older=is_more)


def get_decision(ws: Workspace, decision_id: str) -> LoggedDecision:
    """Return one decision with all that was said about it and what shadows would have answered.

    Raises:
        NotFoundError: it is not in the log.
    """
    with reading(ws.engine) as connection:
        found = records.find_decision(connection, ws.name, decision_id)
        feedback = labels.list_feedback(connection, ws.name, decision_id)
        shadows = records.list_shadows(connection, ws.name, decision_id) if found else []
    if found is None:
        said = f"; feedback about it came {feedback[-1].at} and is kept as {feedback[-1].status}" if feedback else ""
        raise NotFoundError(
            f"decision {decision_id!r} is not in the log{said}",
            hint="a decision arrives there within seconds of its answer while 'petla up' runs",
            field="id",
        )
    return msgspec.structs.replace(found, feedback=tuple(feedback), shadows=tuple(shadows))


def count_decisions(ws: Workspace, model: str | None = None, version: int | None = None) -> int:
    """Return the number of logged decisions."""
    with reading(ws.engine) as connection:
        return records.count_decisions(connection, ws.name, model, version)


def count_known(ws: Workspace, ids: Sequence[str]) -> int:
    """Return how many of the decisions with these ids are in the log; an id is there at most once."""
    with reading(ws.engine) as connection:
        return records.count_known(connection, ws.name, ids)


def count_labelled(ws: Workspace, model: str, after_feedback: int = 0, *, limit: int | None = None) -> int:
    """Return the number of a model's decisions that have feedback newer than the row `after_feedback`.

    With a limit, counting ends there: whoever asks whether there are enough need not count them all.
    """
    with reading(ws.engine) as connection:
        return labels.count_labelled(connection, ws.name, model, after_feedback, limit)


def list_labelled(
    ws: Workspace, model: str, version: int, *, after_feedback: int = 0, limit: int = 1_000
) -> list[Labelled]:
    """Return the newest feedback of each decision of a version, joined to it, in feedback order."""
    with reading(ws.engine) as connection:
        return labels.list_labelled(connection, ws.name, model, version, after_feedback=after_feedback, limit=limit)


def newest_feedback(ws: Workspace) -> int:
    """Return the number of the newest feedback row; 0 for none."""
    with reading(ws.engine) as connection:
        return labels.get_newest_feedback(connection, ws.name)
