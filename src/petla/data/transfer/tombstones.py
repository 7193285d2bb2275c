"""Tombstones travel with pushes and pulls: what was forgotten anywhere is forgotten here at the next contact.

Whoever may write to a remote may have a file of a dataset forgotten, and nothing else: a tombstone erases only what
some manifest names as a file, and never a manifest, a package of a model or an output of a step.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from petla.core.errors import CorruptError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from petla.core.project import RemoteTable
from petla.data.history import records
from petla.data.history.records import Forgotten
from petla.data.history.tombstones import list_forgotten
from petla.data.transfer.remotes import choose_remote
from petla.data.upkeep.erasing import erase_here, list_all_versions, list_known_versions
from petla.data.upkeep.protected import list_protected
from petla.storage.remotes.addresses import open_bucket, parse_address
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.tombstones import Graveyard, Tombstone
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)


def graveyard_of(bucket: Bucket, table: RemoteTable) -> Graveyard:
    """Return the tombstones of a remote; DVC does not look where they lie."""
    return Graveyard(bucket, "forgotten" if table.layout == "packs" else "petla/forgotten")


def take_over(ws: Workspace, graveyard: Graveyard) -> tuple[Forgotten, ...]:
    """Forget here what was forgotten by others; return the files that were erased here, by their names.

    Raises:
        BusyError: somebody writes into the store.
        CorruptError: a tombstone cannot be read.
        ForbiddenError, UnavailableError: the remote does not answer, or the disk is full.
    """
    return _bury(ws, list(graveyard.list_all(known=list_forgotten(ws))))


def hear(ws: Workspace, remote: str | None) -> tuple[Forgotten, ...]:
    """Do the same with the remote that is meant, if there is one and it answers.

    Raises:
        NotFoundError: there is no remote of this name.
        BusyError: somebody writes into the store.
        CorruptError: a tombstone cannot be read.
        UnavailableError: the disk is full.
    """
    try:
        name, table = choose_remote(ws, remote)
    except (NotFoundError, InvalidError):
        if remote is not None:
            raise
        return ()
    address = parse_address(table.url, ws.root)
    if address.scheme == "file" and not Path(address.place).is_dir():
        # NOTE: opening it would make a folder where a disk is not mounted
        logger.warning("remote.skipped", extra={"remote": name, "reason": f"there is no {address.place}"})
        return ()
    try:
        stones = list(graveyard_of(open_bucket(name, table, ws.root), table).list_all(known=list_forgotten(ws)))
    except CorruptError:
        raise
    except (ForbiddenError, NotFoundError, UnavailableError) as error:
        logger.warning("remote.skipped", extra={"remote": name, "reason": error.message})
        return ()
    return _bury(ws, stones)


def _bury(ws: Workspace, stones: Sequence[Tombstone]) -> tuple[Forgotten, ...]:
    if not stones:
        return ()
    protected = list_protected(ws, list_all_versions(ws))
    for stone in stones:
        if stone.digest in protected:
            logger.warning("tombstone.refused", extra={"object": stone.digest, "reason": "it is no file of a dataset"})
    items = [
        Forgotten(
            dataset="", path="", object=stone.digest, md5=stone.md5, reason=stone.reason, at=stone.at, by=stone.by
        )
        for stone in stones
        if stone.digest not in protected
    ]
    if not items:
        return ()
    named = tuple(_name(ws, {item.object: item for item in items}))
    # first the bytes: what dies in between is heard of again
    if named:
        erase_here(ws, {item.object: item.md5 for item in named})
    with ws.ledger.change(actor=ws.actor, action="data.forgotten", subject="tombstones of a remote") as change:
        records.insert_forgotten(change.connection, ws.name, items)
        change.record(objects=[item.object for item in items])
    return named


def _name(ws: Workspace, items: dict[str, Forgotten]) -> Iterator[Forgotten]:
    """Yield those that a manifest names as files, each once for each name that it has in a dataset."""
    told = set()
    for known in list_known_versions(ws):
        for entry in known.manifest.files:
            name = (known.version.dataset, entry.path, entry.object)
            if entry.object in items and name not in told:
                told.add(name)
                yield msgspec.structs.replace(
                    items[entry.object], dataset=known.version.dataset, path=entry.path, md5=entry.md5
                )
