"""Reading the decision log."""

from collections.abc import Sequence

from petla.core.errors import NotFoundError
from petla.decisions import records
from petla.decisions.record import Labelled, LoggedDecision
from petla.storage.database import reading
from petla.storage.workspace import Workspace


def list_decisions(ws: Workspace, model: str | None = None, limit: int = 50) -> list[LoggedDecision]:
    """Return the newest decisions first, of one model or of all."""
    with reading(ws.engine) as connection:
        return records.list_decisions(connection, ws.name, model, limit)


def get_decision(ws: Workspace, decision_id: str) -> LoggedDecision:
    """Return one decision with the newest truth about it.

    Raises:
        NotFoundError: it is not in the log.
    """
    with reading(ws.engine) as connection:
        found = records.find_decision(connection, ws.name, decision_id)
    if found is None:
        raise NotFoundError(
            f"decision {decision_id!r} is not in the log",
            hint="a decision arrives there within seconds of its answer while 'petla up' runs",
            field="id",
        )
    return found


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
        return records.count_labelled(connection, ws.name, model, after_feedback, limit)


def list_labelled(
    ws: Workspace, model: str, version: int, *, after_feedback: int = 0, limit: int = 1_000
) -> list[Labelled]:
    """Return the newest feedback of each decision of a version, joined to it, in feedback order."""
    with reading(ws.engine) as connection:
        return records.list_labelled(connection, ws.name, model, version, after_feedback=after_feedback, limit=limit)


def newest_feedback(ws: Workspace) -> int:
    """Return the number of the newest feedback row; 0 for none."""
    with reading(ws.engine) as connection:
        return records.get_newest_feedback(connection, ws.name)
