"""Tombstones travel with pushes and pulls: what was forgotten anywhere is forgotten here at the next contact."""

from petla.core.project import RemoteTable
from petla.data.history import records
from petla.data.history.records import Forgotten
from petla.data.history.tombstones import list_forgotten
from petla.data.upkeep.erasing import erase_here
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.tombstones import Graveyard
from petla.storage.workspace import Workspace


def graveyard_of(bucket: Bucket, table: RemoteTable) -> Graveyard:
    """Return the tombstones of a remote; DVC does not look where they lie."""
    return Graveyard(bucket, "forgotten" if table.layout == "packs" else "petla/forgotten")


def take_over(ws: Workspace, graveyard: Graveyard) -> int:
    """Forget here what was forgotten by others; return how many objects that were.

    Raises:
        BusyError: somebody writes into the store.
        ForbiddenError, UnavailableError: the remote does not answer, or the disk is full.
    """
    fresh = list(graveyard.list_all(known=list_forgotten(ws)))
    if not fresh:
        return 0
    items = [
        Forgotten(
            dataset="", path="", object=stone.digest, md5=stone.md5, reason=stone.reason, at=stone.at, by=stone.by
        )
        for stone in fresh
    ]
    # first the bytes: what dies in between is heard of again
    erase_here(ws, {item.object: item.md5 for item in items})
    with ws.ledger.change(actor=ws.actor, action="data.forgotten", subject="tombstones of a remote") as change:
        records.insert_forgotten(change.connection, ws.name, items)
        change.record(objects=[item.object for item in items])
    return len(items)
